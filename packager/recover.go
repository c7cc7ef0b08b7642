package packager

import (
	"context"
	"errors"
	"fmt"

	"flambeau/packager/timeline"
	"flambeau/storage"
)

// open asks the store where the channel stands: this worker's index, and the roots of all workers, for a worker may come back under another
// name. Where something is spooled, what is missing in the store is on its way there.
func (p *Publisher) open(ctx context.Context, spooled bool) error {
	p.index, p.version, p.past = timeline.Index{Channel: p.Channel, Worker: p.Worker}, "", Past{}
	b, version, err := storage.ReadAll(ctx, p.Store, timeline.RootKey(p.Channel, p.Worker), storage.Get{}, timeline.MaxIndex)
	switch {
	case errors.Is(err, storage.ErrNotExist):
	case err != nil:
		return fmt.Errorf("open index of %s: %w", p.Channel, err)
	default:
		if p.index, err = timeline.DecodeIndex(b); err != nil {
			return fmt.Errorf("open index of %s: %w", p.Channel, err)
		}
		p.version = version
	}
	p.base = p.index
	if err := p.readPast(ctx, spooled); err != nil {
		return err
	}
	p.opened = true
	return nil
}

func (p *Publisher) readPast(ctx context.Context, spooled bool) error {
	b, _, err := storage.ReadAll(ctx, p.Store, timeline.ShapeKey(p.Channel), storage.Get{}, timeline.MaxRecord)
	if errors.Is(err, storage.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read shape of %s: %w", p.Channel, err)
	}
	shape, err := timeline.DecodeShape(b)
	if err != nil {
		return fmt.Errorf("read shape of %s: %w", p.Channel, err)
	}
	p.shape = &shape
	p.past = Past{Shape: &shape}
	p.goOn(shape.First, timeline.GenerationName{})
	roots, err := p.readRoots(ctx)
	if err != nil {
		return err
	}
	for _, x := range roots {
		for _, name := range x.Generations {
			g, ok := p.gens[name.Number]
			if !ok || p.names[name.Number] != name { // else it was read in an earlier try
				if g, err = ReadGeneration(ctx, p.Store, p.Channel, shape, name); err != nil {
					return err
				}
			}
			p.goOn(g, name)
		}
	}
	for _, x := range roots {
		for _, page := range x.Pages {
			p.past.Slot = max(p.past.Slot, page.Last)
		}
		for _, r := range x.Rows {
			p.past.Slot = max(p.past.Slot, r.Slot)
			p.past.entered(r)
		}
	}
	if p.Pair {
		p.chain.start(p.past)
		for _, x := range roots {
			for _, name := range x.Generations {
				p.chain.note(&shape, p.gens[name.Number], name, rowsOf(x, name.Number)...)
			}
		}
	}
	if !p.Pair && !spooled { // a rival may be about to put what seems to be missing
		if err := p.complete(ctx, shape); err != nil {
			return err
		}
	}
	p.line, p.lines = p.past.Last, p.past.clone().Lines
	return nil
}

func (p *Publisher) readRoots(ctx context.Context) (roots []timeline.Index, err error) {
	for info, err := range p.Store.List(ctx, timeline.RootPrefix(p.Channel), "") {
		if err != nil {
			return nil, fmt.Errorf("list roots of %s: %w", p.Channel, err)
		}
		b, _, err := storage.ReadAll(ctx, p.Store, info.Key, storage.Get{}, timeline.MaxIndex)
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

func rowsOf(x timeline.Index, generation int) (rows []timeline.RenditionRow) {
	for _, r := range x.Rows {
		if r.Generation == generation {
			rows = append(rows, r)
		}
	}
	return rows
}

// goOn makes a generation known, and the newest if it is.
func (p *Publisher) goOn(g timeline.Generation, name timeline.GenerationName) {
	p.know(g, name)
	if p.past.Lines == nil || g.Number > p.past.Last.Number {
		p.past.begin(g, name)
	}
}

// know makes a generation known by its number.
func (p *Publisher) know(g timeline.Generation, name timeline.GenerationName) {
	p.gens[g.Number], p.names[g.Number] = g, name
	if p.line.Timescale == 0 {
		p.line = g
		for _, r := range g.Renditions {
			p.lines[r.ID] = g.S0 - 1
		}
	}
}

// orphans is how many slots after the last indexed one are looked at for objects that a killed worker put and did not index.
const orphans = 64

// complete lists what a worker that was killed had put and not yet listed, and gives an entry to what it had not: every slot has one in every
// rendition.
func (p *Publisher) complete(ctx context.Context, shape timeline.Shape) error {
	for {
		next, err := p.completeReference(ctx, shape)
		if err != nil {
			return err
		}
		for _, r := range p.past.Last.Renditions {
			if err := p.completeRendition(ctx, r); err != nil {
				return err
			}
		}
		if next == nil {
			return nil
		}
		// The killed worker had begun a generation: its first reference object names the record that became it.
		name := timeline.GenerationName{Number: next.Generation, Hash: next.record}
		g, err := ReadGeneration(ctx, p.Store, p.Channel, shape, name)
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
		p.past.entered(r.RenditionRow)
	}
	return nil, nil
}

// completeRendition gives every slot of the newest generation that the reference has an entry.
func (p *Publisher) completeRendition(ctx context.Context, r timeline.Rendition) error {
	p.line = p.past.Last
	for last := max(p.past.Lines[r.ID], p.past.Slot-orphans); last < p.past.Slot; last = p.past.Lines[r.ID] {
		e, ok, err := p.orphan(ctx, r.ID, last+1)
		if err != nil {
			return err
		}
		if ok {
			p.list(e.RenditionRow)
			p.past.entered(e.RenditionRow)
			continue
		}
		if err := p.fillTo(ctx, r.ID, last, last+1); err != nil {
			return err
		}
		p.past.Lines[r.ID] = last + 1
	}
	return nil
}

// orphan is the row of a segment that may or may not be there.
func (p *Publisher) orphan(ctx context.Context, rendition string, slot int64) (entry, bool, error) {
	key := timeline.SegmentKey(p.Channel, rendition, slot)
	o, err := p.Store.Get(ctx, key, storage.Get{})
	if errors.Is(err, storage.ErrNotExist) {
		return entry{}, false, nil
	}
	if err != nil {
		return entry{}, false, err
	}
	o.Body.Close()
	body, _, err := storage.ReadAll(ctx, p.Store, key, storage.Get{}, segmentBytes+timeline.MaxIndex)
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
