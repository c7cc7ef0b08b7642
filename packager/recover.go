package packager

import (
	"context"
	"errors"
	"fmt"
	"time"

	"flambeau/packager/timeline"
	"flambeau/storage"
)

// readPast finds where the channel stands: over the roots of all workers, for a worker may come back under another name.
func (p *Publisher) readPast(ctx context.Context) error {
	b, _, err := storage.ReadAll(ctx, p.store, timeline.ShapeKey(p.channel), storage.Get{}, timeline.MaxRecord)
	if errors.Is(err, storage.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read shape of %s: %w", p.channel, err)
	}
	shape, err := timeline.DecodeShape(b)
	if err != nil {
		return fmt.Errorf("read shape of %s: %w", p.channel, err)
	}
	p.past = Past{Shape: &shape, Last: shape.First, Slot: shape.First.S0 - 1, End: shape.First.T0}
	p.know(shape.First)
	roots, err := p.readRoots(ctx)
	if err != nil {
		return err
	}
	newest := map[string]int64{} // slot of each rendition
	for _, x := range roots {
		if err := p.readGenerations(ctx, shape, x); err != nil {
			return err
		}
		for _, page := range x.Pages {
			p.past.Slot = max(p.past.Slot, page.Last)
		}
		for _, r := range x.Rows {
			p.past.Slot = max(p.past.Slot, r.Slot)
			newest[r.Rendition] = max(newest[r.Rendition], r.Slot)
		}
	}
	if err := p.complete(ctx, shape, newest); err != nil {
		return err
	}
	for _, x := range append(roots, p.index) {
		for _, r := range x.Rows {
			p.ended(r)
		}
	}
	return nil
}

// ended notes where the newest generation ends, and when that was.
func (p *Publisher) ended(r timeline.RenditionRow) {
	ts := p.scale[scaleOf{r.Generation, r.Rendition}]
	if ts == 0 || r.Generation != p.past.Last.Number {
		return
	}
	if end := timeline.CeilRescale(r.End(), ts, p.past.Last.Timescale); end > p.past.End {
		p.past.End, p.past.Seen = end, time.UnixMilli(r.Written)
	}
}

func (p *Publisher) readRoots(ctx context.Context) (roots []timeline.Index, err error) {
	for info, err := range p.store.List(ctx, timeline.RootPrefix(p.channel), "") {
		if err != nil {
			return nil, fmt.Errorf("list roots of %s: %w", p.channel, err)
		}
		b, _, err := storage.ReadAll(ctx, p.store, info.Key, storage.Get{}, timeline.MaxIndex)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", info.Key, err)
		}
		x, err := timeline.DecodeIndex(b)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", info.Key, err)
		}
		roots = append(roots, x)
	}
	return roots, nil
}

func (p *Publisher) readGenerations(ctx context.Context, shape timeline.Shape, x timeline.Index) error {
	for _, name := range x.Generations {
		g, err := ReadGeneration(ctx, p.store, p.channel, shape, name)
		if err != nil {
			return err
		}
		p.goOn(g, name)
	}
	return nil
}

// goOn makes a generation the newest, if it is.
func (p *Publisher) goOn(g timeline.Generation, name timeline.GenerationName) {
	p.know(g)
	if g.Number >= p.past.Last.Number {
		p.past.Last, p.open = g, name
		p.past.Slot, p.past.End = max(p.past.Slot, g.S0-1), max(p.past.End, g.T0)
	}
}

// orphans is how many slots after the last indexed one are looked at for objects that a killed worker put and did not index.
const orphans = 64

// complete lists what a worker that was killed had put and not yet listed, and puts a tombstone where it had put nothing: every
// slot has one entry in every rendition. newest is the last slot that an index has of each rendition.
func (p *Publisher) complete(ctx context.Context, shape timeline.Shape, newest map[string]int64) error {
	for {
		next, err := p.completeReference(ctx, shape)
		if err != nil {
			return err
		}
		g := p.past.Last
		for _, r := range g.Renditions {
			if r.ID == shape.Reference {
				continue
			}
			if err := p.completeRendition(ctx, shape, r, max(newest[r.ID], g.S0-1)); err != nil {
				return err
			}
		}
		if next == nil {
			return nil
		}
		// The killed worker had begun a generation: its first reference object names the record that became it.
		name := timeline.GenerationName{Number: next.Generation, Hash: next.record}
		g, err = ReadGeneration(ctx, p.store, p.channel, shape, name)
		if err != nil {
			return err
		}
		p.goOn(g, name)
	}
}

// completeReference lists the reference objects of the newest generation that no index has. It returns the one that it meets of the next.
func (p *Publisher) completeReference(ctx context.Context, shape timeline.Shape) (*entry, error) {
	for range orphans {
		r, ok, err := p.orphan(ctx, shape.Reference, p.past.Slot+1)
		if err != nil || !ok {
			return nil, err
		}
		if r.Generation != p.past.Last.Number {
			return &r, nil
		}
		p.list(r.RenditionRow)
		p.past.Slot++
	}
	return nil, nil
}

// completeRendition gives every slot of the newest generation after last its entry.
func (p *Publisher) completeRendition(ctx context.Context, shape timeline.Shape, r timeline.Rendition, last int64) error {
	for slot := max(last+1, p.past.Slot-orphans); slot <= p.past.Slot; slot++ {
		e, ok, err := p.orphan(ctx, r.ID, slot)
		if err != nil {
			return err
		}
		if !ok {
			e = tombstone(shape, p.past.Last, r, slot)
			if err := p.create(ctx, timeline.SegmentKey(p.channel, r.ID, slot), e.body); err != nil {
				return err
			}
		}
		p.list(e.RenditionRow)
	}
	return nil
}

// orphan is the row of a segment that may or may not be there.
func (p *Publisher) orphan(ctx context.Context, rendition string, slot int64) (entry, bool, error) {
	key := timeline.SegmentKey(p.channel, rendition, slot)
	o, err := p.store.Get(ctx, key, storage.Get{})
	if errors.Is(err, storage.ErrNotExist) {
		return entry{}, false, nil
	}
	if err != nil {
		return entry{}, false, err
	}
	o.Body.Close()
	body, _, err := storage.ReadAll(ctx, p.store, key, storage.Get{}, segmentBytes+timeline.MaxIndex)
	if err != nil {
		return entry{}, false, err
	}
	r, record, err := CarriedRow(body)
	if err != nil {
		return entry{}, false, fmt.Errorf("read %s: %w", key, err)
	}
	r.Written = o.Modified.UnixMilli() // when it was put is when its worker was last there
	return entry{r, body, record}, true, nil
}

func (p *Publisher) know(g timeline.Generation) {
	for _, r := range g.Renditions {
		p.scale[scaleOf{g.Number, r.ID}] = r.Timescale
		p.past.Names = remember(p.past.Names, r)
	}
}

// ReadGeneration reads the record that an index names.
func ReadGeneration(ctx context.Context, s storage.Store, channel string, shape timeline.Shape, name timeline.GenerationName) (timeline.Generation, error) {
	if name.Hash == "" {
		return shape.First, nil
	}
	key := timeline.AnchorKeyNamed(channel, name)
	b, _, err := storage.ReadAll(ctx, s, key, storage.Get{}, timeline.MaxRecord)
	if err != nil {
		return timeline.Generation{}, fmt.Errorf("read generation %s: %w", key, err)
	}
	g, err := timeline.DecodeGeneration(b)
	if err == nil && g.Number != name.Number {
		err = fmt.Errorf("it says that it is %d", g.Number)
	}
	if err != nil {
		return g, fmt.Errorf("read generation %s: %w", key, err)
	}
	return g, nil
}
