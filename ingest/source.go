// Package ingest is where feeds come from. Each way in is a Source in a folder of its own; a Worker keeps one of a channel's
// Sources open and passes on what its feed tells.
//
//	udp, file, …        Worker
//	Source ─► Feed ─► Next ─► silent? lost? another input? ─► chan media.Event ─► packager
package ingest

import (
	"context"
	"errors"

	"flambeau/packager/media"
)

// Source is a place to pull from. It may be opened again and again, but has one Feed at a time. A Source may also have
//
//	Patient() bool   true: its feed waits when the packager is slow. Else events that find no room are dropped, and counted
//	String() string  what the logs call it, without secrets
type Source interface {
	// Open connects, or binds. Its context is for the opening only.
	Open(ctx context.Context) (Feed, error)
}

// Feed is one open connection. It belongs to one goroutine. One that was bound, and waits for who sends, may also have
//
//	Renew() (Feed, error)   after ErrSilent or io.EOF: a fresh Feed that goes on listening in the same place, deaf at no moment. The old
//	                        one is done with and is not closed. Nil, or an error: it can't, and is closed
type Feed interface {
	// Next waits for the next event; the caller owns it. io.EOF says that the feed ended by itself. When ctx ends, Next reads
	// no more: it gives, event by event, what of the read is complete, and then context.Cause(ctx). No Feed decides what
	// silence is, and none sends media.End: both are the Worker's.
	Next(ctx context.Context) (media.Event, error)
	// Stats are counted since Open, and stay readable after Close.
	Stats() Stats
	Close() error
}

// Stats tell how a feed is.
type Stats struct {
	Bytes   uint64            // received
	Errors  map[string]uint64 // by reason: a closed list that the feed's package exports as Reasons
	Streams []Stream          // everything that the feed has, used or not
}

// Stream is one thing that a feed carries.
type Stream struct {
	ID       int    // MPEG-TS: the PID
	Name     string // "H.264", "teletext" …
	Language string // as the feed says it
	Ignored  string // why nothing is made of it; "" if something is
}

// ErrSilent is why a Worker gave up a feed that brought no sample for too long.
var ErrSilent = errors.New("ingest: no sample for too long")

func patient(s Source) bool {
	p, ok := s.(interface{ Patient() bool })
	return ok && p.Patient()
}

func renew(f Feed) (fresh Feed, err error) {
	r, ok := f.(interface{ Renew() (Feed, error) })
	if !ok {
		return nil, nil
	}
	defer recovered(&err)
	return r.Renew()
}

func name(s Source) string {
	if n, ok := s.(interface{ String() string }); ok {
		return n.String()
	}
	return "unnamed"
}
