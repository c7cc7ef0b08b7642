package packager

import (
	"context"
	"fmt"
	"time"

	"flambeau/packager/timeline"
)

// fillMost is how many slots in a row are filled; what misses more was not left by a process that ended.
const fillMost = 1024

// fill gives every slot an entry that a row jumps over, in its rendition, and when a generation begins, in all of the one before: what was
// half done when a process ended, and was in no spool.
func (p *Publisher) fill(ctx context.Context, r timeline.RenditionRow) error {
	switch {
	case r.Generation < p.line.Number:
		return nil // of a generation that was filled when the next began
	case r.Generation > p.line.Number:
		if err := p.fillAll(ctx, r.Generation); err != nil {
			return err
		}
	}
	last, ok := p.lines[r.Rendition]
	if !ok {
		last = r.Slot - 1
	}
	if err := p.fillTo(ctx, r.Rendition, last, r.Slot-1); err != nil {
		return err
	}
	p.lines[r.Rendition] = max(last, r.Slot)
	return nil
}

// fillAll fills the generation that ends up to where the next one begins.
func (p *Publisher) fillAll(ctx context.Context, next int) error {
	g, ok := p.gens[next]
	if !ok {
		return fmt.Errorf("a row of generation %d, of which there is no record", next)
	}
	for _, r := range p.line.Renditions {
		if last, ok := p.lines[r.ID]; ok {
			if err := p.fillTo(ctx, r.ID, last, g.S0-1); err != nil {
				return err
			}
		}
	}
	p.line = g
	clear(p.lines)
	for _, r := range g.Renditions {
		p.lines[r.ID] = g.S0 - 1
	}
	return nil
}

// fillTo gives the slots after last, up to to, their entries, and says in a loss record that they are missing.
func (p *Publisher) fillTo(ctx context.Context, rendition string, last, to int64) error {
	if last >= to {
		return nil
	}
	r, ok := p.line.Rendition(rendition)
	if !ok || to-last > fillMost {
		return fmt.Errorf("%s has nothing between slots %d and %d of generation %d", rendition, last, to, p.line.Number)
	}
	for slot := last + 1; slot <= to; slot++ {
		if p.Pair {
			there, err := p.theirs(ctx, r, slot, to)
			if err != nil {
				return err
			}
			if there {
				continue
			}
		}
		from, until := p.line.Nominal(*p.shape, slot, r.Timescale), p.line.Nominal(*p.shape, slot+1, r.Timescale)
		lost := timeline.Loss{Format: timeline.Format, Channel: p.Channel, Worker: p.Worker, Slot: slot}
		lost.Add(timeline.LossEntry{Track: r.Track, Rendition: r.ID, Reason: "process_ended", Units: 1, First: from, Last: until, Timescale: r.Timescale, Duration: until - from})
		if err := p.putLoss(ctx, lost); err != nil {
			return err
		}
		o, err := p.putTombstone(ctx, *p.shape, p.line, r, slot)
		if err != nil {
			return err
		}
		if err := p.enterFilled(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// theirs lists what a rival has put in a slot, for which it is waited, as for any tombstone, a slot's length.
func (p *Publisher) theirs(ctx context.Context, r timeline.Rendition, slot, to int64) (bool, error) {
	now := &batch{composed: time.Now().Add(-time.Duration(float64(to-slot) * p.shape.Slot.Float() * float64(time.Second))), Past: Past{Shape: p.shape}}
	p.waitForRival(ctx, now, object{Row: timeline.RenditionRow{Rendition: r.ID, Row: timeline.Row{Slot: slot}}})
	var e entry
	var ok bool
	if err := p.insist(ctx, timeline.SegmentKey(p.Channel, r.ID, slot), func(ctx context.Context) (err error) {
		e, ok, err = p.orphan(ctx, r.ID, slot)
		return err
	}); err != nil || !ok {
		return false, err
	}
	return true, p.enterFilled(ctx, object{Row: e.RenditionRow, record: e.record})
}

// enterFilled lists what stands in a slot that was filled.
func (p *Publisher) enterFilled(ctx context.Context, o object) error {
	if o.record != "" && o.Row.Generation > 0 {
		if err := p.knowName(ctx, timeline.GenerationName{Number: o.Row.Generation, Hash: o.record}); err != nil {
			return err
		}
	}
	p.list(o.Row)
	return nil
}
