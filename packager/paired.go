package packager

import (
	"context"
	"errors"
	"fmt"
	"time"

	"flambeau/packager/timeline"
)

// putPaired puts an object of a channel that another worker packages too. Whole copies are put at once. A copy that is not whole, and a
// tombstone, waits for a rival's, at most a slot's length from when it was closed. What stands under the name already decides: the same bytes
// are a success; another generation there means that ours has lost; other bytes of our generation are listed, and ours are kept aside if
// anything may be in them that those lack.
func (p *Publisher) putPaired(ctx context.Context, b *batch, o object, body []byte) (object, error) {
	if !o.isSegment() {
		err := p.create(ctx, o.Key, body)
		var diverged *DivergenceError
		if errors.As(err, &diverged) && o.Key == timeline.ShapeKey(p.Channel) {
			return o, p.lostShape(ctx)
		}
		return o, err
	}
	if o.Kind == reference && sameShape(p.shape, b.Past.Shape) {
		p.follows(o)
	}
	if p.isVoid(b, o) {
		return p.setAside(ctx, o, body)
	}
	if !o.Whole {
		p.waitForRival(ctx, b, o)
	}
	there, known, _ := p.chain.at(o.Row.Rendition, o.Row.Slot)
	if known && there.name == o.Of && there.Hash == o.Row.Hash {
		return o, nil // the rival has put it, and said so
	}
	if !known {
		err := p.create(ctx, o.Key, body)
		if err == nil {
			p.standsIn(o, o.Row)
			return o, nil
		}
		var diverged *DivergenceError
		if !errors.As(err, &diverged) {
			return o, err
		}
	}
	e, err := p.stored(ctx, o.Row.Rendition, o.Row.Slot)
	if err != nil {
		return o, err
	}
	name := timeline.GenerationName{Number: e.Generation, Hash: e.record}
	if name.Number == 0 {
		name.Hash = ""
	}
	if name != o.Of {
		return p.outranked(ctx, o, body, e, name)
	}
	whole := !e.Flags.Has(timeline.Damaged) && !e.Flags.Has(timeline.Gap)
	within := o.Row.Start >= e.Start && o.Row.End() <= e.End() // a whole copy that a change closed early may lack what ours has
	if o.Whole || !whole || !within {
		if o.Whole && whole {
			p.Observe.Divergence()
			p.Log.Error("divergence", "channel", p.Channel, "rendition", o.Row.Rendition, "slot", o.Row.Slot, "hash", o.Row.Hash.Short(), "stored", e.Hash.Short())
		}
		if _, err := p.setAside(ctx, o, body); err != nil {
			return o, err
		}
		if err := p.nameAside(ctx, o); err != nil {
			return o, err
		}
	}
	p.standsIn(o, e.RenditionRow)
	o.Row, o.record = e.RenditionRow, e.record
	return o, nil
}

// standsIn tells the chain at once what a slot of the reference holds: the next may be in the same batch.
func (p *Publisher) standsIn(o object, r timeline.RenditionRow) {
	if o.Kind != reference {
		return
	}
	p.chain.note(p.shape, p.generation(o.Of), o.Of, r)
}

// generation is the record that a name stands for, of this worker's own proposals or of the store's.
func (p *Publisher) generation(name timeline.GenerationName) timeline.Generation {
	if g, ok := p.begun[name]; ok {
		return g
	}
	return p.gens[name.Number]
}

// follows finds out whether a reference object may be put: what is before it must be in the store, and of its own generation or, where it
// begins one, of the generation before that, and not beyond its beginning. Else it was made before the machine heard that what it follows has lost its place.
func (p *Publisher) follows(o object) {
	stands, ok := p.chain.stands()
	if !ok {
		return
	}
	before, known, _ := p.chain.at(o.Row.Rendition, o.Row.Slot-1)
	g, ours := p.begun[o.Of]
	begins := ours && g.Number > 0 && o.Row.Slot == g.S0
	switch {
	case o.Row.Slot > stands+1:
	case known && begins && (before.name.Number != g.Number-1 || p.reaches(before, g)):
	case known && !begins && before.name != o.Of:
	default:
		return
	}
	p.Log.Warn("a generation has no place", "channel", p.Channel, "slot", o.Row.Slot, "ours", o.Of, "before it", before.name, "store stands at", stands)
	p.stale = true
	p.chain.void(o.Of, o.Row.Slot)
}

// reaches tells whether what stands before a generation ends after that has begun: a rival closed the slot later, and has in it what this
// generation begins with.
func (p *Publisher) reaches(before named, g timeline.Generation) bool {
	r, ok := p.generation(before.name).Rendition(p.shape.Reference)
	return ok && timeline.Rescale(before.End(), r.Timescale, g.Timescale) > g.T0+1 // two roundings
}

// lostShape learns the shape that another worker has decided first. What was made by ours is void.
func (p *Publisher) lostShape(ctx context.Context) error {
	return p.insist(ctx, timeline.ShapeKey(p.Channel), func(ctx context.Context) error {
		shape, err := readShape(ctx, p.Store, p.Channel)
		if err == nil && shape != nil {
			p.Log.Warn("another worker decided the channel's shape", "channel", p.Channel)
			p.shape = shape
			p.know(shape.First, timeline.GenerationName{})
			p.chain.found(shape)
		}
		return err
	})
}

// outranked is what happens where another generation stands in a slot of the reference: ours is void from there on.
func (p *Publisher) outranked(ctx context.Context, o object, body []byte, e entry, name timeline.GenerationName) (object, error) {
	if o.Kind == reference {
		p.Log.Warn("another worker has begun a generation", "channel", p.Channel, "slot", o.Row.Slot, "ours", o.Of, "theirs", name)
		p.stale = true
		p.chain.void(o.Of, o.Row.Slot)
		g := p.gens[name.Number]
		if err := p.insist(ctx, o.Key, func(ctx context.Context) (err error) {
			g, err = ReadGeneration(ctx, p.Store, p.Channel, *p.shape, name)
			return err
		}); err != nil {
			return o, err
		}
		p.chain.note(p.shape, g, name, e.RenditionRow)
	}
	return p.setAside(ctx, o, body)
}

// isVoid tells whether a segment is of a generation, or of a shape, that the store does not have there.
func (p *Publisher) isVoid(b *batch, o object) bool {
	if !sameShape(p.shape, b.Past.Shape) {
		return true
	}
	return p.chain.isVoid(o.Of, o.Row.Slot)
}

// setAside keeps a segment that can't stand under its name, unless there is nothing in it.
func (p *Publisher) setAside(ctx context.Context, o object, body []byte) (object, error) {
	o.aside = true
	if o.Row.Flags.Has(timeline.Gap) {
		return o, nil
	}
	p.Observe.Segment(o.Row.Rendition, "aside", 0)
	if err := p.create(ctx, timeline.AltKey(p.Channel, o.Row.Rendition, o.Row.Slot, o.Row.Hash), body); err != nil {
		return o, fmt.Errorf("set aside: %w", err)
	}
	return o, nil
}

// nameAside says in a loss record that what is listed of a slot may lack something, and that it is kept aside.
func (p *Publisher) nameAside(ctx context.Context, o object) error {
	r, ok := p.generation(o.Of).Rendition(o.Row.Rendition)
	if !ok {
		return fmt.Errorf("%s: generation %v has no such rendition", o.Key, o.Of)
	}
	l := timeline.Loss{Format: timeline.Format, Channel: p.Channel, Worker: p.Worker, Slot: o.Row.Slot}
	l.Add(timeline.LossEntry{Track: r.Track, Rendition: r.ID, Reason: "aside", Units: 1, First: o.Row.Start, Last: o.Row.End(), Timescale: r.Timescale})
	return p.putLoss(ctx, l)
}

// waitForRival waits until a rival's index names the object, for as long as a slot from when ours was closed. After the store was away a
// rival may have more to put than we know, and may not have noticed yet that it is back.
func (p *Publisher) waitForRival(ctx context.Context, b *batch, o object) {
	length := time.Duration(b.Past.Shape.Slot.Float() * float64(time.Second))
	left := max(time.Until(b.composed.Add(length)), time.Until(p.chain.backSince().Add(length+putRetryMost)))
	if left <= 0 {
		return
	}
	enough := time.NewTimer(left)
	defer enough.Stop()
	for {
		_, ok, changed := p.chain.at(o.Row.Rendition, o.Row.Slot)
		if ok {
			return
		}
		select {
		case <-changed:
		case <-enough.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
