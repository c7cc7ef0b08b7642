package packager

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"flambeau/packager/cmaf"
	"flambeau/packager/timeline"
	"flambeau/storage"
)

const (
	// rootRows is how much media a root keeps as rows of its own; older ones are in pages. It keeps a root small enough to be
	// written once a slot.
	rootRows = 2 * time.Minute
	// putRetryFirst and putRetryMost bound the wait between two tries of one put. It is tried until the store takes it.
	putRetryFirst = 100 * time.Millisecond
	putRetryMost  = 5 * time.Second
	// putTimeout is what one try may take.
	putTimeout = 15 * time.Second
)

// Observer is told what a publisher did. Its methods must not block.
type Observer interface {
	Segment(rendition string, result string, wait time.Duration) // result: stored, gap, divergent; wait: last frame in → readable
	Lost(seconds float64)
	Divergence()
}

// Publisher makes cuts durable, then visible. It is the only writer of its worker's index.
//
//	Cut ─► put objects (create-only) ─► acknowledged ─► rows into the index ─► put root (compare-and-swap)
//
// If the power fails after an object and before the root, the object stands unseen under a name that the same bytes will
// claim again; nothing that a viewer was told of is missing.
type Publisher struct {
	channel string
	worker  string
	store   storage.Store
	observe Observer
	log     *slog.Logger

	// All below is owned by Run.
	index   timeline.Index
	version storage.Version
	open    timeline.GenerationName // the newest; the index names it together with its first row
	past    Past
	scale   map[string]uint32 // timescale of each rendition
}

// OpenPublisher reads what the store holds of a channel and of this worker's index.
func OpenPublisher(ctx context.Context, s storage.Store, channel, worker string, observe Observer, log *slog.Logger) (*Publisher, error) {
	p := &Publisher{channel: channel, worker: worker, store: s, observe: observe, log: log, scale: map[string]uint32{}}
	p.index = timeline.Index{Channel: channel, Worker: worker}
	b, version, err := storage.ReadAll(ctx, s, timeline.RootKey(channel, worker), storage.Get{}, timeline.MaxIndex)
	switch {
	case errors.Is(err, storage.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("open index of %s: %w", channel, err)
	default:
		if p.index, err = timeline.DecodeIndex(b); err != nil {
			return nil, fmt.Errorf("open index of %s: %w", channel, err)
		}
		p.version = version
	}
	return p, p.readPast(ctx)
}

// Past is what a Channel needs to go on.
func (p *Publisher) Past() Past { return p.past }

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
	for _, name := range p.index.Generations {
		g, err := ReadGeneration(ctx, p.store, p.channel, shape, name)
		if err != nil {
			return err
		}
		p.know(g)
		if g.Number > p.past.Last.Number {
			p.past.Last, p.past.Slot = g, g.S0-1
			p.past.End = max(p.past.End, g.T0)
		}
	}
	for _, page := range p.index.Pages {
		p.past.Slot = max(p.past.Slot, page.Last)
	}
	for _, r := range p.index.Rows {
		p.past.Slot = max(p.past.Slot, r.Slot)
	}
	p.open = timeline.GenerationName{Number: shape.First.Number}
	if n := len(p.index.Generations); n > 0 {
		p.open = p.index.Generations[n-1]
	}
	if err := p.complete(ctx, shape); err != nil {
		return err
	}
	for _, r := range p.index.Rows {
		if ts := p.scale[r.Rendition]; ts > 0 && r.Generation == p.past.Last.Number {
			if end := timeline.CeilRescale(r.End(), ts, p.past.Last.Timescale); end > p.past.End {
				p.past.End, p.past.Seen = end, time.UnixMilli(r.Written)
			}
		}
	}
	return nil
}

// orphans is how many slots after the last indexed one are looked at for objects that a killed worker put and did not index.
const orphans = 64

// complete lists what a worker that was killed had put and not yet listed, and puts a tombstone where it had put nothing: every
// slot has one entry in every rendition.
func (p *Publisher) complete(ctx context.Context, shape timeline.Shape) error {
	g := p.past.Last
	ref := shape.Reference
	for n := 0; n < orphans; n++ {
		r, ok, err := p.orphan(ctx, ref, p.past.Slot+1)
		if err != nil {
			return err
		}
		if !ok || r.Generation != g.Number {
			break
		}
		p.list(r.RenditionRow)
		p.past.Slot++
	}
	for _, r := range g.Renditions {
		last := g.S0 - 1
		for _, row := range p.index.Rows {
			if row.Rendition == r.ID {
				last = max(last, row.Slot)
			}
		}
		for slot := max(last+1, p.past.Slot-orphans); slot <= p.past.Slot; slot++ {
			row, ok, err := p.orphan(ctx, r.ID, slot)
			if err != nil {
				return err
			}
			if !ok {
				row = tombstone(shape, g, r, slot)
				if err := p.create(ctx, timeline.SegmentKey(p.channel, r.ID, slot), row.body); err != nil {
					return err
				}
			}
			p.list(row.RenditionRow)
		}
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
	r, _, err := CarriedRow(body)
	if err != nil {
		return entry{}, false, fmt.Errorf("read %s: %w", key, err)
	}
	r.Written = o.Modified.UnixMilli() // when it was put is when its worker was last there
	return entry{r, body}, true, nil
}

func (p *Publisher) know(g timeline.Generation) {
	for _, r := range g.Renditions {
		p.scale[r.ID] = r.Timescale
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

// Run publishes cuts until the channel of them is closed, and then what is left. It ends early only with its context.
func (p *Publisher) Run(ctx context.Context, cuts <-chan Cut) error {
	for cut := range cuts {
		batch := []Cut{cut}
		for more := true; more; {
			select {
			case c, ok := <-cuts:
				if more = ok; ok {
					batch = append(batch, c)
				}
			default:
				more = false
			}
		}
		if err := p.publish(ctx, batch); err != nil {
			return fmt.Errorf("publish %s: %w", p.channel, err)
		}
	}
	return nil
}

// publish puts everything of a batch, and then the root that names it.
func (p *Publisher) publish(ctx context.Context, batch []Cut) error {
	var seen []*Closed
	for _, cut := range batch {
		var err error
		switch cut := cut.(type) {
		case *Opened:
			err = p.opened(ctx, cut)
		case *Closed:
			err = p.closed(ctx, cut)
			seen = append(seen, cut)
		case *Lost:
			err = p.lost(ctx, cut)
		}
		if err != nil {
			return err
		}
	}
	if len(seen) == 0 {
		return nil
	}
	if err := p.putRoot(ctx); err != nil {
		return err
	}
	now := time.Now()
	for _, c := range seen {
		result, wait := "stored", now.Sub(c.Arrived)
		if c.Row.Flags.Has(timeline.Gap) {
			result, wait = "gap", 0
		}
		p.observe.Segment(c.Rendition, result, max(0, wait))
	}
	return nil
}

func (p *Publisher) opened(ctx context.Context, o *Opened) error {
	for _, i := range o.Inits {
		if err := p.create(ctx, timeline.InitKey(p.channel, i.Rendition, i.Hash), i.Body); err != nil {
			return err
		}
	}
	name := timeline.GenerationName{Number: o.Generation.Number}
	if o.Shape != nil {
		b, _ := o.Shape.Encode()
		if err := p.create(ctx, timeline.ShapeKey(p.channel), b); err != nil {
			return err
		}
	} else {
		b, hash := o.Generation.Encode()
		name.Hash = hash.Short()
		if err := p.create(ctx, timeline.AnchorKeyNamed(p.channel, name), b); err != nil {
			return err
		}
	}
	p.know(o.Generation)
	p.open = name
	return nil
}

func (p *Publisher) closed(ctx context.Context, c *Closed) error {
	key := timeline.SegmentKey(p.channel, c.Rendition, c.Row.Slot)
	err := p.create(ctx, key, c.Body)
	var diverged *DivergenceError
	if errors.As(err, &diverged) {
		return p.diverge(ctx, c)
	}
	if err != nil {
		return err
	}
	p.list(timeline.RenditionRow{Rendition: c.Rendition, Row: c.Row})
	return nil
}

// diverge keeps aside what can't stand under its name, and lists what does.
func (p *Publisher) diverge(ctx context.Context, c *Closed) error {
	p.log.Error("divergence", "channel", p.channel, "rendition", c.Rendition, "slot", c.Row.Slot, "hash", c.Row.Hash.Short())
	if err := p.create(ctx, timeline.AltKey(p.channel, c.Rendition, c.Row.Slot, c.Row.Hash), c.Body); err != nil {
		return err
	}
	stored, err := p.stored(ctx, c.Rendition, c.Row.Slot)
	if err != nil {
		return err
	}
	p.list(stored)
	return nil
}

// stored reads the row that a segment in the store carries.
func (p *Publisher) stored(ctx context.Context, rendition string, slot int64) (r timeline.RenditionRow, err error) {
	key := timeline.SegmentKey(p.channel, rendition, slot)
	var body []byte
	if err = p.insist(ctx, key, func(ctx context.Context) (err error) {
		body, _, err = storage.ReadAll(ctx, p.store, key, storage.Get{}, segmentBytes+timeline.MaxIndex)
		return err
	}); err != nil {
		return r, err
	}
	r, _, err = CarriedRow(body)
	if err != nil {
		return r, fmt.Errorf("read %s: %w", key, err)
	}
	if r.Rendition != rendition || r.Slot != slot {
		return r, fmt.Errorf("read %s: it says that it is slot %d of %s", key, r.Slot, r.Rendition)
	}
	return r, nil
}

// CarriedRow is the row of a segment, whole, and the generation's record that it names, out of the segment itself.
func CarriedRow(body []byte) (r timeline.RenditionRow, record string, err error) {
	parsed, err := cmaf.Parse(body)
	if err != nil {
		return r, "", err
	}
	head, line, ok := bytes.Cut(parsed.Row, []byte{'\n'})
	var number int
	if _, serr := fmt.Sscanf(string(head), "generation %d %s", &number, &record); !ok || serr != nil {
		return r, "", fmt.Errorf("it does not say which generation it is of")
	}
	if r, err = timeline.ParseRow(string(line)); err != nil {
		return r, "", err
	}
	if r.Generation != number {
		return r, "", fmt.Errorf("it is of generation %d and %d", number, r.Generation)
	}
	r.Size, r.Hash = int64(len(body)), hashOf(body)
	return r, record, nil
}

// list puts a row where the next root will show it.
func (p *Publisher) list(r timeline.RenditionRow) {
	if r.Generation == p.open.Number && !slices.Contains(p.index.Generations, p.open) {
		p.index.Generations = append(p.index.Generations, p.open)
	}
	if r.Written == 0 {
		r.Written = time.Now().UnixMilli()
	}
	p.index.Rows = append(p.index.Rows, r)
}

func (p *Publisher) lost(ctx context.Context, l *Lost) error {
	l.Worker = p.worker
	b, hash := l.Encode()
	if err := p.create(ctx, timeline.LossKey(p.channel, l.Slot, p.worker, hash), b); err != nil {
		return err
	}
	for _, e := range l.Entries {
		p.log.Warn("media lost", "channel", p.channel, "slot", l.Slot, "track", e.Track, "rendition", e.Rendition, "reason", e.Reason, "frames", e.Frames, "units", e.Units,
			"from", timeline.UTC(e.First, e.Timescale), "to", timeline.UTC(e.Last, e.Timescale))
		p.observe.Lost(float64(e.Last-e.First) / float64(e.Timescale))
	}
	return nil
}

// A DivergenceError says that a name is taken by other bytes. Nothing is overwritten.
type DivergenceError struct{ Key string }

func (e *DivergenceError) Error() string { return e.Key + ": exists with other bytes" }

// create puts an object that never changes. A name that is taken by the same bytes is a success: it was our own put, whose
// answer was lost, or another worker's.
func (p *Publisher) create(ctx context.Context, key string, body []byte) error {
	return p.insist(ctx, key, func(ctx context.Context) error {
		_, err := p.store.Put(ctx, key, body, storage.Put{IfAbsent: true})
		if !errors.Is(err, storage.ErrExists) {
			return err
		}
		there, _, err := storage.ReadAll(ctx, p.store, key, storage.Get{}, int64(len(body))+1)
		if err != nil && !errors.Is(err, storage.ErrLarge) {
			return err
		}
		if err == nil && bytes.Equal(there, body) {
			return nil
		}
		p.observe.Divergence()
		return &DivergenceError{key}
	})
}

// insist tries until the store says yes, or no for good.
func (p *Publisher) insist(ctx context.Context, key string, try func(context.Context) error) error {
	for wait := putRetryFirst; ; wait = min(2*wait, putRetryMost) {
		tctx, cancel := context.WithTimeout(ctx, putTimeout)
		err := try(tctx)
		cancel()
		var diverged *DivergenceError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &diverged), errors.Is(err, storage.ErrKey), errors.Is(err, storage.ErrChanged):
			return fmt.Errorf("put %w", err)
		}
		p.log.Warn("store refused", "channel", p.channel, "key", key, "err", err, "retry_in", wait)
		select {
		case <-ctx.Done():
			return fmt.Errorf("put %s: %w", key, ctx.Err())
		case <-time.After(wait):
		}
	}
}

// putRoot makes visible what was put.
func (p *Publisher) putRoot(ctx context.Context) error {
	if err := p.page(ctx); err != nil {
		return err
	}
	p.index.Written = time.Now().UnixMilli()
	body := p.index.Encode()
	key := timeline.RootKey(p.channel, p.worker)
	return p.insist(ctx, key, func(ctx context.Context) error {
		how := storage.Put{IfVersion: p.version, IfAbsent: p.version == ""}
		version, err := p.store.Put(ctx, key, body, how)
		if errors.Is(err, storage.ErrChanged) || errors.Is(err, storage.ErrExists) {
			// Our own put may have taken effect without our hearing of it. Anything else is a second worker of this name.
			there, v, rerr := storage.ReadAll(ctx, p.store, key, storage.Get{}, timeline.MaxIndex)
			if rerr != nil {
				return rerr
			}
			if !bytes.Equal(there, body) {
				return fmt.Errorf("%s: %w: another worker is named %q", key, storage.ErrChanged, p.worker)
			}
			version, err = v, nil
		}
		if err == nil {
			p.version = version
		}
		return err
	})
}

// page moves rows that have become old out of the root into minute pages, those into hours and those into days.
func (p *Publisher) page(ctx context.Context) error {
	edge := int64(0)
	for _, r := range p.index.Rows {
		edge = max(edge, p.second(r))
	}
	old := func(r timeline.RenditionRow) bool {
		return p.second(r)-p.second(r)%60+60 <= edge-int64(rootRows/time.Second)
	}
	minutes := map[int64][]timeline.RenditionRow{}
	for _, r := range p.index.Rows {
		if old(r) {
			t := p.second(r) - p.second(r)%60
			minutes[t] = append(minutes[t], r)
		}
	}
	if len(minutes) == 0 {
		return nil
	}
	for _, t := range slices.Sorted(maps.Keys(minutes)) {
		if err := p.putPage(ctx, "minute", t, minutes[t]); err != nil {
			return err
		}
	}
	p.index.Rows = slices.DeleteFunc(p.index.Rows, old)
	if err := p.rollUp(ctx, "minute", "hour", 3600, edge); err != nil {
		return err
	}
	return p.rollUp(ctx, "hour", "day", 86400, edge)
}

func (p *Publisher) second(r timeline.RenditionRow) int64 {
	ts := p.scale[r.Rendition]
	if ts == 0 {
		panic("packager: a row of rendition " + r.Rendition + ", of which no generation of the index speaks")
	}
	return timeline.UTC(r.Start, ts).Unix()
}

// putPage writes a page under the first revision that is free.
func (p *Publisher) putPage(ctx context.Context, span string, t int64, rows []timeline.RenditionRow) error {
	slices.SortStableFunc(rows, func(a, b timeline.RenditionRow) int {
		return cmp.Or(cmp.Compare(a.Slot, b.Slot), cmp.Compare(a.Rendition, b.Rendition))
	})
	body := timeline.Index{Channel: p.channel, Worker: p.worker, Rows: rows}.Encode()
	for revision := 0; ; revision++ {
		key := timeline.PageKey(p.channel, span, t, p.worker, revision)
		var diverged *DivergenceError
		if err := p.create(ctx, key, body); errors.As(err, &diverged) {
			continue
		} else if err != nil {
			return err
		}
		p.index.Pages = append(p.index.Pages, timeline.Page{Key: key, First: rows[0].Slot, Last: rows[len(rows)-1].Slot})
		return nil
	}
}

// rollUp merges the pages of one span into those of a longer one, where that is over.
func (p *Publisher) rollUp(ctx context.Context, from, to string, seconds, edge int64) error {
	groups := map[int64][]timeline.Page{}
	for _, page := range p.index.Pages {
		if span, t, ok := timeline.ParsePageKey(p.channel, page.Key); ok && span == from && t-t%seconds+seconds <= edge-2*int64(rootRows/time.Second) {
			groups[t-t%seconds] = append(groups[t-t%seconds], page)
		}
	}
	for _, t := range slices.Sorted(maps.Keys(groups)) {
		var rows []timeline.RenditionRow
		for _, page := range groups[t] {
			more, err := p.readPage(ctx, page.Key)
			if err != nil {
				return err
			}
			rows = append(rows, more...)
		}
		if err := p.putPage(ctx, to, t, rows); err != nil {
			return err
		}
		p.index.Pages = slices.DeleteFunc(p.index.Pages, func(page timeline.Page) bool { return slices.Contains(groups[t], page) })
	}
	slices.SortFunc(p.index.Pages, func(a, b timeline.Page) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Key, b.Key))
	})
	return nil
}

func (p *Publisher) readPage(ctx context.Context, key string) (rows []timeline.RenditionRow, err error) {
	err = p.insist(ctx, key, func(ctx context.Context) error {
		b, _, err := storage.ReadAll(ctx, p.store, key, storage.Get{}, timeline.MaxIndex)
		if err != nil {
			return err
		}
		x, err := timeline.DecodeIndex(b)
		rows = x.Rows
		return err
	})
	return rows, err
}
