package packager

import (
	"context"

	"flambeau/packager/media"
)

// cutQueue is how many cuts may wait for the publisher. When it is full the machine waits, then the queue of events before it
// fills, and then the worker drops what arrives and says so: memory stays bounded, and ingest never waits.
const cutQueue = 256

// Run pushes events through a channel and publishes what it cuts, until events is closed; then it closes what is open, publishes
// that too, and returns. It ends early only with its context.
//
//	events ─► Channel.Push ─► cuts ─► Publisher.Run
func Run(ctx context.Context, events <-chan media.Event, c *Channel, p *Publisher) error {
	cuts := make(chan Cut, cutQueue)
	done := make(chan error, 1)
	stop, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		done <- p.Run(ctx, cuts)
	}()
	send := func(out []Cut) {
		for _, cut := range out {
			select {
			case cuts <- cut:
			case <-stop.Done():
			}
		}
	}
	for {
		select {
		case e, more := <-events:
			if !more {
				send(c.Push(media.End{Reason: "stop"}))
				close(cuts)
				return <-done
			}
			send(c.Push(e))
		case <-stop.Done():
			close(cuts)
			return <-done
		}
	}
}
