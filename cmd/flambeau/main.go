// Command flambeau is a live-video distribution origin: feeds in, CMAF segments in a store, HLS and DASH out.
package main

func main() {}
