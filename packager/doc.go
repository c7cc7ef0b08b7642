// Package packager is the middle: it turns what feeds tell into segments, and makes them durable, then visible.
//
//	media.Event ─► Channel (slots, cuts, generations) ─► Cut ─► Publisher ─► objects, then index
//	               a machine: no goroutine, no clock                          the one writer of its worker's index
package packager
