// Package packager is the middle: it turns what feeds tell into segments, and makes them durable, then visible.
//
//	media.Event ─► Channel (slots, cuts, generations) ─► Cut ─► Publisher: spool ─► objects ─► index
//	               a machine: no goroutine, no clock                         └─► Edge: what this process shows already
//
// channel.go decides; publisher.go does. spool.go keeps what the store has not taken yet; edge.go shows it to the origin of this process.
package packager
