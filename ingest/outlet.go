package ingest

import (
	"context"

	"flambeau/packager/media"
)

// outlet is the worker's end of the queue to its packager. It never waits for a live feed: what finds no room is dropped,
// and owed are, in this order, a Lost that says how much, the End of what was before, and the last Begin, without which
// samples can't be read. What is owed is paid before anything else is sent.
type outlet struct {
	out     chan<- media.Event
	dropped func(first bool)

	began bool // something was sent, or owed, since the last End

	lost  int
	ended *media.End
	begin *media.Begin
}

// offer sends e if there is room.
func (o *outlet) offer(e media.Event) {
	o.began = true
	if !o.pay() {
		o.drop(e)
		return
	}
	select {
	case o.out <- e:
	default:
		o.drop(e)
	}
}

func (o *outlet) drop(e media.Event) {
	if b, ok := e.(media.Begin); ok {
		o.begin = &b
		return
	}
	o.dropped(o.lost == 0)
	o.lost++
}

// wait sends e as soon as there is room.
func (o *outlet) wait(ctx context.Context, e media.Event) {
	o.began = true
	for o.owed() != nil {
		if !send(ctx, o.out, o.owed()) {
			return
		}
		o.paid()
	}
	send(ctx, o.out, e)
}

func send(ctx context.Context, out chan<- media.Event, e media.Event) bool {
	select {
	case out <- e:
		return true
	case <-ctx.Done():
		return false
	}
}

// end closes what was begun. For a patient source it waits; else, and at the end of all, it is owed if there is no room.
func (o *outlet) end(ctx context.Context, reason string, patient bool) {
	if !o.began {
		return
	}
	o.began = false
	o.ended, o.begin = &media.End{Reason: reason}, nil
	for !o.pay() && patient && send(ctx, o.out, o.owed()) {
		o.paid()
	}
}

// pay sends what is owed as far as there is room, and tells whether nothing is left.
func (o *outlet) pay() bool {
	for o.owed() != nil {
		select {
		case o.out <- o.owed():
			o.paid()
		default:
			return false
		}
	}
	return true
}

// owed is the first event that is owed, or nil.
func (o *outlet) owed() media.Event {
	switch {
	case o.lost > 0:
		return media.Lost{Reason: "overrun", Count: o.lost}
	case o.ended != nil:
		return *o.ended
	case o.begin != nil:
		return *o.begin
	}
	return nil
}

func (o *outlet) paid() {
	switch {
	case o.lost > 0:
		o.lost = 0
	case o.ended != nil:
		o.ended = nil
	default:
		o.begin = nil
	}
}

// owedTo is where to send what is owed: nowhere if nothing is.
func (o *outlet) owedTo() chan<- media.Event {
	if o.owed() == nil {
		return nil
	}
	return o.out
}
