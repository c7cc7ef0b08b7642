package packager

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	scale   map[scaleOf]uint32
}

// scaleOf is what a timescale is of: a rendition may have another one in another generation.
type scaleOf struct {
	generation int
	rendition  string
}

// OpenPublisher reads what the store holds of a channel and of this worker's index.
func OpenPublisher(ctx context.Context, s storage.Store, channel, worker string, observe Observer, log *slog.Logger) (*Publisher, error) {
	p := &Publisher{channel: channel, worker: worker, store: s, observe: observe, log: log, scale: map[scaleOf]uint32{}}
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

// batchCuts is how many cuts are published together: what is put is not seen before the root that names it.
const batchCuts = 32

// Run publishes cuts until the channel of them is closed. It ends early with its context, or if a name that it needs is taken. done is
// told of each cut that was published.
func (p *Publisher) Run(ctx context.Context, cuts <-chan Cut, done func(Cut)) error {
	for {
		batch, more := gather(ctx, cuts)
		if len(batch) == 0 && !more {
			return ctx.Err()
		}
		if err := p.publish(ctx, batch); err != nil {
			return fmt.Errorf("publish %s: %w", p.channel, err)
		}
		for _, cut := range batch {
			done(cut)
		}
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

// publish puts everything of a batch, and then the root that names it.
func (p *Publisher) publish(ctx context.Context, batch []Cut) error {
	var seen []*Closed
	news := false
	for _, cut := range batch {
		var err error
		switch cut := cut.(type) {
		case *Opened:
			err = p.opened(ctx, cut)
		case *Closed:
			var stored bool
			if stored, err = p.closed(ctx, cut); stored {
				seen = append(seen, cut)
			}
			p.drifted(cut)
			news = true
		case *Lost:
			err = p.lost(ctx, cut)
		}
		if err != nil {
			return err
		}
	}
	if !news {
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
			p.observe.Divergence()
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

// closed puts a slot's entry, and tells whether what stands under its name is it.
func (p *Publisher) closed(ctx context.Context, c *Closed) (stored bool, err error) {
	key := timeline.SegmentKey(p.channel, c.Rendition, c.Row.Slot)
	err = p.create(ctx, key, c.Body)
	var diverged *DivergenceError
	if errors.As(err, &diverged) {
		return false, p.diverge(ctx, c)
	}
	if err != nil {
		return false, err
	}
	p.list(timeline.RenditionRow{Rendition: c.Rendition, Row: c.Row})
	return true, nil
}

// diverge keeps aside what can't stand under its name, and lists what does.
func (p *Publisher) diverge(ctx context.Context, c *Closed) error {
	p.observe.Divergence()
	p.observe.Segment(c.Rendition, "divergent", 0)
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
		p.observe.Lost(float64(e.Duration) / float64(max(1, e.Timescale)))
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
