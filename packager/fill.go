package packager

import (
	"context"
	"fmt"

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
	from, until := p.line.Nominal(*p.shape, last+1, r.Timescale), p.line.Nominal(*p.shape, to+1, r.Timescale)
	lost := timeline.Loss{Format: timeline.Format, Channel: p.Channel, Worker: p.Worker, Slot: to}
	lost.Add(timeline.LossEntry{Track: r.Track, Rendition: r.ID, Reason: "process_ended", Units: to - last, First: from, Last: until, Timescale: r.Timescale, Duration: until - from})
	if err := p.putLoss(ctx, lost); err != nil {
		return err
	}
	for slot := last + 1; slot <= to; slot++ {
		o, err := p.putTombstone(ctx, *p.shape, p.line, r, slot)
		if err != nil {
			return err
		}
		if o.record != "" {
			if err := p.knowRecord(ctx, o); err != nil {
				return err
			}
		}
		p.list(o.Row)
	}
	return nil
}
