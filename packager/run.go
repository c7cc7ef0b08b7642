package packager

import (
	"context"
	"fmt"
	"runtime/debug"

	"golang.org/x/sync/semaphore"

	"flambeau/packager/media"
)

const (
	// cutQueue is how many cuts may wait for the publisher, and cutBytes how many bytes of segments are in memory. When that is full the
	// machine waits, then the queue of events before it fills, and then the worker drops what arrives and says so: memory stays bounded,
	// and ingest never waits. With a spool it comes to that only when the disk hangs.
	cutQueue = 256
	cutBytes = 64 << 20
)

// Run pushes events through a channel and publishes what it cuts, until events is closed; then it closes what is open, publishes
// that too, and returns. It ends early only with its context, or when the machine or the publisher failed; then nothing of it is left
// running.
//
//	events ─► Channel.Push ─► cuts ─► Publisher.Run
func Run(ctx context.Context, events <-chan media.Event, c *Channel, p *Publisher) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	cuts := make(chan Cut, cutQueue)
	room := semaphore.NewWeighted(cutBytes)
	published := make(chan error, 1)
	go func() {
		err := guarded(func() error {
			return p.Run(ctx, cuts, room.Release)
		})
		if err != nil {
			stop(err)
		}
		published <- err
	}()
	failed := guarded(func() error { return feed(ctx, events, c, p, cuts, room) })
	if failed != nil {
		stop(failed)
	}
	close(cuts)
	if err := <-published; failed == nil || context.Cause(ctx) == err {
		return err
	}
	return failed
}

// feed is the machine's loop.
func feed(ctx context.Context, events <-chan media.Event, c *Channel, p *Publisher, cuts chan<- Cut, room *semaphore.Weighted) error {
	standing, changed := p.Standing()
	for out := c.Stand(standing); ; {
		var more bool
		if out != nil {
			if err := send(ctx, out, cuts, room); err != nil {
				return err
			}
		}
		select {
		case <-changed:
			standing, changed = p.Standing()
			out, more = c.Stand(standing), true
		case e, ok := <-events:
			if more = ok; !ok {
				e = media.End{Reason: "stop"}
			}
			out = c.Push(e)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if !more {
			return send(ctx, out, cuts, room)
		}
	}
}

// send gives cuts to the publisher, when there is room.
func send(ctx context.Context, out []Cut, cuts chan<- Cut, room *semaphore.Weighted) error {
	for _, cut := range out {
		if err := room.Acquire(ctx, weight(cut)); err != nil {
			return context.Cause(ctx)
		}
		select {
		case cuts <- cut:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// weight is what a cut holds of cutBytes; a single one never more than all.
func weight(cut Cut) int64 {
	if c, ok := cut.(*Closed); ok {
		return min(int64(len(c.Body)), cutBytes)
	}
	return 0
}

// guarded turns a panic into an error: one channel's bug is not every channel's end.
func guarded(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	return f()
}
