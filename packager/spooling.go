package packager

import (
	"context"
	"slices"
	"time"

	"flambeau/packager/timeline"
)

// spoolAll is the spooling loop.
func (p *Publisher) spoolAll(ctx context.Context, cuts <-chan Cut, released func(int64)) error {
	for {
		batch, more := gather(ctx, cuts)
		if len(batch) == 0 && !more {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return nil
		}
		b := p.composer.compose(batch, time.Now())
		p.named(b.losses)
		for _, cut := range batch {
			b.held += weight(cut)
			if c, ok := cut.(*Closed); ok {
				p.drifted(c)
			}
		}
		p.spool(b, released)
	}
}

// spool makes a batch durable here, if there is a spool, and queues it. A batch that has no room in it waits in memory, and gives way when
// there is none there either: the machine must not wait for a store.
func (p *Publisher) spool(b *batch, released func(int64)) {
	if p.shelf == nil {
		p.queue.push(b)
		return
	}
	err := p.shelf.write(p.Channel, b)
	if err != nil && p.queue.inMemory()+b.held > memoryBytes {
		p.Log.Error("segments give way", "channel", p.Channel, "err", err)
		small := p.composer.giveWay(b)
		p.named(small.losses[len(b.losses):])
		released(b.held)
		b = small
		if err = p.shelf.write(p.Channel, b); err != nil {
			b.file = "" // its tombstones wait in memory: they are small
		}
	} else if err != nil {
		p.Log.Warn("not spooled", "channel", p.Channel, "err", err)
	}
	if b.file == "" {
		p.queue.push(b)
		return
	}
	if p.queue.inMemory()+b.held > memoryBytes {
		b.forget()
		released(b.held)
		b.held = 0
	}
	p.visible(b)
}

// memoryBytes is how many bytes of a channel's segments stay in memory on their way to the store: of what is spooled, to be put without
// being read again; of what found no room in the spool, before it gives way. A variable, for tests.
var memoryBytes int64 = cutBytes / 2

// forget gives the memory of a spooled batch away.
func (b *batch) forget() {
	for i := range b.Objects {
		b.Objects[i].body = nil
	}
}

// visible shows a spooled batch to the origin of this process.
func (p *Publisher) visible(b *batch) {
	p.Edge.show(b)
	p.queue.push(b)
	p.showEdge()
	p.Observe.Visible()
}

// showEdge shows the newest root in the store together with the rows of what is spooled and not in it yet. What waits in memory only
// may be lost, and what comes after it is not shown before it.
func (p *Publisher) showEdge() {
	p.showing.Lock()
	defer p.showing.Unlock()
	x := p.base
	x.Channel, x.Worker = p.Channel, p.Worker
	x.Rows, x.Generations = slices.Clone(x.Rows), slices.Clone(x.Generations)
	waiting := p.queue.all()
	if len(waiting) == 0 || waiting[0].file == "" {
		p.Edge.root(p.Channel, p.Worker, nil)
		return
	}
	for _, b := range waiting {
		if b.file == "" {
			break
		}
		x.Rows = append(x.Rows, b.rows()...)
		for _, name := range b.Generations {
			if !slices.Contains(x.Generations, name) {
				x.Generations = append(x.Generations, name)
			}
		}
	}
	p.Edge.root(p.Channel, p.Worker, &x)
}

// named tells of what a batch says is lost.
func (p *Publisher) named(losses []timeline.LossEntry) {
	for _, e := range losses {
		p.Log.Warn("media lost", "channel", p.Channel, "track", e.Track, "rendition", e.Rendition, "reason", e.Reason, "frames", e.Frames, "units", e.Units,
			"from", timeline.UTC(e.First, e.Timescale), "to", timeline.UTC(e.Last, e.Timescale))
		p.Observe.Lost(float64(e.Duration) / float64(max(1, e.Timescale)))
	}
}

// gatherFor is how long the cuts of a slot's other renditions are waited for, so that one root names them all: a root costs as much as an
// object.
const gatherFor = 40 * time.Millisecond

// gather waits for a cut and takes those that come right after it with it.
func gather(ctx context.Context, cuts <-chan Cut) (batch []Cut, more bool) {
	select {
	case c, ok := <-cuts:
		if !ok {
			return nil, false
		}
		batch = append(batch, c)
	case <-ctx.Done():
		return nil, false
	}
	enough := time.NewTimer(gatherFor)
	defer enough.Stop()
	for len(batch) < batchCuts {
		select {
		case c, ok := <-cuts:
			if !ok {
				return batch, true // and none the next time
			}
			batch = append(batch, c)
		case <-enough.C:
			return batch, true
		}
	}
	return batch, true
}
