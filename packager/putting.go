package packager

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"flambeau/packager/cmaf"
	"flambeau/packager/timeline"
	"flambeau/storage"
)

// putAll is the putting loop: batches, and then the root that names them.
func (p *Publisher) putAll(ctx context.Context, released func(int64)) error {
	if err := p.openAtLast(ctx); err != nil {
		return err
	}
	for {
		batches := p.queue.next(ctx, rootBatches)
		if len(batches) == 0 {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return nil
		}
		if p.shelf != nil && slices.ContainsFunc(batches, func(b *batch) bool { return b.file == "" }) {
			if err := p.shelf.outdated(); err != nil {
				return err
			}
		}
		if err := p.publish(ctx, batches); err != nil {
			return err
		}
		p.queue.drop(len(batches))
		p.showEdge()
		for i, b := range batches {
			p.Edge.hide(b)
			if p.shelf != nil {
				forget := p.shelf.remove
				if i == len(batches)-1 {
					forget = p.shelf.keep
				}
				if err := forget(b); err != nil {
					p.Log.Warn("spool file stays", "channel", p.Channel, "err", err)
				}
			}
			released(b.held)
		}
		p.Observe.Visible()
	}
}

// openAtLast asks the store where the channel stands, if that was not possible before, until it answers.
func (p *Publisher) openAtLast(ctx context.Context) error {
	if p.opened {
		return nil
	}
	newest := p.past
	defer func() { p.past = newest }() // the machine has gone on after it
	err := p.insist(ctx, timeline.RootKey(p.Channel, p.Worker), func(ctx context.Context) error { return p.open(ctx, true) })
	if err == nil && !p.Pair && p.otherShape(newest, p.queue.all()) {
		return errOtherShape
	}
	return err
}

// errOtherShape ends a publisher that went on from its spool and finds another channel in the store. The next one sets the spool aside.
var errOtherShape = errors.New("the store has another shape for this channel, or none")

// publish puts everything of some batches, and then the root that names it.
func (p *Publisher) publish(ctx context.Context, batches []*batch) error {
	var stored []object
	for _, b := range batches {
		done, err := p.putBatch(ctx, b)
		if err != nil {
			return err
		}
		stored = append(stored, done...)
	}
	if len(stored) == 0 {
		return nil
	}
	if err := p.putRoot(ctx); err != nil {
		return err
	}
	p.showing.Lock()
	p.base = p.index
	p.base.Rows, p.base.Pages, p.base.Generations = slices.Clone(p.index.Rows), slices.Clone(p.index.Pages), slices.Clone(p.index.Generations)
	p.showing.Unlock()
	now := time.Now()
	for _, o := range stored {
		switch {
		case o.Row.Flags.Has(timeline.Gap):
			p.Observe.Segment(o.Row.Rendition, "gap", 0)
		case o.Row.Hash != o.hash && !o.hash.IsZero():
			p.Observe.Segment(o.Row.Rendition, "divergent", 0)
		default:
			wait := time.Duration(0)
			if !o.Arrived.IsZero() {
				wait = max(0, now.Sub(o.Arrived))
			}
			p.Observe.Segment(o.Row.Rendition, "stored", wait)
		}
	}
	return nil
}

// putBatch puts the objects of a batch: what others lean on first, reference objects in slot order, the rest at once. A loss record is put
// before what comes after it: a process that is killed leaves no segment behind a hole that nothing names. It returns its segments with the
// rows that the index now has of them.
func (p *Publisher) putBatch(ctx context.Context, b *batch) (stored []object, err error) {
	if err := p.settle(ctx, b); err != nil {
		return nil, err
	}
	stored = make([]object, len(b.Objects))
	var free errgroup.Group
	free.SetLimit(putsAtOnce)
	for i, o := range b.Objects {
		put := func() (err error) {
			stored[i], err = p.putObject(ctx, b, o)
			return err
		}
		if o.Kind == other {
			free.Go(put)
			continue
		}
		if o.Kind == record {
			if err := free.Wait(); err != nil {
				return nil, err
			}
			free = errgroup.Group{}
			free.SetLimit(putsAtOnce)
		}
		if err := put(); err != nil {
			free.Wait()
			return nil, err
		}
	}
	if err := free.Wait(); err != nil {
		return nil, err
	}
	stored = slices.DeleteFunc(stored, func(o object) bool { return !o.isSegment() || o.aside })
	for _, o := range stored {
		if err := p.enter(ctx, o); err != nil {
			return nil, err
		}
	}
	return stored, nil
}

// settle makes known what a batch begins.
func (p *Publisher) settle(ctx context.Context, b *batch) error {
	if p.shape == nil || !p.Pair {
		p.shape = b.Past.Shape
	}
	if b.Adopted != nil {
		p.stale = false
		p.chain.adopted(b.Adopted.Name)
	}
	for i, g := range b.Records {
		p.begun[b.Generations[i]] = g
		if p.stale {
			p.chain.void(b.Generations[i], 0)
		}
	}
	if b.Adopted == nil {
		return nil
	}
	if err := p.knowName(ctx, b.Adopted.Name); err != nil {
		return err
	}
	if b.Adopted.Last.Number > p.line.Number {
		if err := p.fillAll(ctx, b.Adopted.Last.Number); err != nil {
			return err
		}
	}
	p.line = b.Adopted.Last
	for id, slot := range b.Adopted.Lines {
		p.lines[id] = max(p.lines[id], slot)
	}
	return nil
}

// enter lists what stands under a segment's name.
func (p *Publisher) enter(ctx context.Context, o object) error {
	name := o.Of
	if o.record != "" {
		if name = (timeline.GenerationName{Number: o.Row.Generation, Hash: o.record}); name.Number == 0 {
			name.Hash = ""
		}
	}
	if err := p.knowName(ctx, name); err != nil {
		return fmt.Errorf("%s: %w", o.Key, err)
	}
	if name == o.Of {
		if err := p.fill(ctx, o.Row); err != nil {
			return err
		}
	}
	p.list(o.Row)
	if p.Pair {
		p.chain.note(p.shape, p.gens[name.Number], name, o.Row)
	}
	return nil
}

// putObject puts one object, and returns it with the row of what stands under its name.
func (p *Publisher) putObject(ctx context.Context, b *batch, o object) (object, error) {
	body, err := b.load(o)
	if err != nil {
		return p.damaged(ctx, b, o, err)
	}
	if p.Pair {
		return p.putPaired(ctx, b, o, body)
	}
	err = p.create(ctx, o.Key, body)
	var diverged *DivergenceError
	if !errors.As(err, &diverged) || !o.isSegment() {
		if diverged != nil && o.Kind == record {
			p.Observe.Divergence()
		}
		return o, err
	}
	return p.diverge(ctx, o, body)
}

// diverge keeps aside what can't stand under its name, and lists what does. A tombstone that comes too late loses nothing.
func (p *Publisher) diverge(ctx context.Context, o object, body []byte) (object, error) {
	if !o.Row.Flags.Has(timeline.Gap) {
		p.Observe.Divergence()
		p.Log.Error("divergence", "channel", p.Channel, "rendition", o.Row.Rendition, "slot", o.Row.Slot, "hash", o.Row.Hash.Short())
		if err := p.create(ctx, timeline.AltKey(p.Channel, o.Row.Rendition, o.Row.Slot, o.Row.Hash), body); err != nil {
			return o, err
		}
	}
	e, err := p.stored(ctx, o.Row.Rendition, o.Row.Slot)
	if err != nil {
		return o, err
	}
	o.hash, o.Row, o.record = o.Row.Hash, e.RenditionRow, e.record
	return o, nil
}

// knowName makes a generation known by the name of its record.
func (p *Publisher) knowName(ctx context.Context, name timeline.GenerationName) error {
	known, ok := p.names[name.Number]
	if ok && known == name {
		return nil
	}
	if ok {
		return fmt.Errorf("%w: generation %d is of record %q, and of %q", errRival, name.Number, known.Hash, name.Hash)
	}
	if g, ok := p.begun[name]; ok {
		p.know(g, name)
		return nil
	}
	return p.insist(ctx, timeline.AnchorKeyNamed(p.Channel, name), func(ctx context.Context) error {
		g, err := ReadGeneration(ctx, p.Store, p.Channel, *p.shape, name)
		if err == nil {
			p.know(g, name)
		}
		return err
	})
}

// errRival says that another worker has written this channel, in a generation of its own.
var errRival = errors.New("another worker has begun the generation")

// damaged puts a tombstone, and a loss record, instead of a segment that the spool no longer has as it was written.
func (p *Publisher) damaged(ctx context.Context, b *batch, o object, why error) (object, error) {
	p.Log.Error("spool damaged", "channel", p.Channel, "key", o.Key, "err", why)
	if !o.isSegment() {
		return o, nil // what it said is lost; that it was lost, is in the log
	}
	g, r, ok := b.Past.rendition(o.Row.Generation, o.Row.Rendition, b.Records)
	if !ok {
		return o, fmt.Errorf("%s: %w, and its generation is not known", o.Key, why)
	}
	lost := timeline.Loss{Format: timeline.Format, Channel: p.Channel, Worker: p.Worker, Slot: o.Row.Slot}
	lost.Add(timeline.LossEntry{
		Track: r.Track, Rendition: r.ID, Reason: "spool_damaged", Frames: o.Frames, First: o.Row.Start, Last: o.Row.End(), Timescale: r.Timescale, Duration: o.Row.Duration,
	})
	if err := p.putLoss(ctx, lost); err != nil {
		return o, err
	}
	return p.putTombstone(ctx, *b.Past.Shape, g, r, o.Row.Slot)
}

func (p *Publisher) putLoss(ctx context.Context, l timeline.Loss) error {
	p.named(l.Entries)
	body, hash := l.Encode()
	return p.create(ctx, timeline.LossKey(p.Channel, l.Slot, p.Worker, hash), body)
}

// putTombstone gives a slot an entry that says that there is nothing; or finds that there is something.
func (p *Publisher) putTombstone(ctx context.Context, s timeline.Shape, g timeline.Generation, r timeline.Rendition, slot int64) (object, error) {
	e := tombstone(s, g, r, slot)
	e.Written = time.Now().UnixMilli()
	o := object{Kind: other, Key: timeline.SegmentKey(p.Channel, r.ID, slot), Row: e.RenditionRow, hash: e.Hash, body: e.body}
	err := p.create(ctx, o.Key, e.body)
	var diverged *DivergenceError
	if errors.As(err, &diverged) {
		return p.diverge(ctx, o, e.body)
	}
	return o, err
}

// stored reads the row that a segment in the store carries.
func (p *Publisher) stored(ctx context.Context, rendition string, slot int64) (e entry, err error) {
	key := timeline.SegmentKey(p.Channel, rendition, slot)
	var body []byte
	if err = p.insist(ctx, key, func(ctx context.Context) (err error) {
		body, _, err = storage.ReadAll(ctx, p.Store, key, storage.Get{}, segmentBytes+timeline.MaxIndex)
		return err
	}); err != nil {
		return e, err
	}
	r, record, err := CarriedRow(body)
	if err != nil {
		return e, fmt.Errorf("read %s: %w", key, err)
	}
	if r.Rendition != rendition || r.Slot != slot {
		return e, fmt.Errorf("read %s: it says that it is slot %d of %s", key, r.Slot, r.Rendition)
	}
	return entry{r, body, record}, nil
}

// CarriedRow is the row of a segment, whole, and the generation's record that it names, out of the segment itself.
func CarriedRow(body []byte) (r timeline.RenditionRow, record string, err error) {
	parsed, err := cmaf.Parse(body)
	if err != nil {
		return r, "", err
	}
	if r, record, err = timeline.ParseCarried(parsed.Row); err != nil {
		return r, "", err
	}
	r.Size, r.Hash = int64(len(body)), hashOf(body)
	return r, record, nil
}

// list puts a row where the next root will show it, once.
func (p *Publisher) list(r timeline.RenditionRow) {
	for i := len(p.index.Rows) - 1; i >= 0; i-- {
		if o := p.index.Rows[i]; o.Slot == r.Slot && o.Rendition == r.Rendition {
			return // a batch that was put before its process ended
		}
	}
	if name := p.names[r.Generation]; !slices.Contains(p.index.Generations, name) {
		p.index.Generations = append(p.index.Generations, name)
	}
	if r.Written == 0 {
		r.Written = time.Now().UnixMilli()
	}
	p.index.Rows = append(p.index.Rows, r)
}

// A DivergenceError says that a name is taken by other bytes. Nothing is overwritten.
type DivergenceError struct{ Key string }

func (e *DivergenceError) Error() string { return e.Key + ": exists with other bytes" }

// create puts an object that never changes. A name that is taken by the same bytes is a success: it was our own put, whose
// answer was lost, or another worker's.
func (p *Publisher) create(ctx context.Context, key string, body []byte) error {
	return p.insist(ctx, key, func(ctx context.Context) error {
		_, err := p.Store.Put(ctx, key, body, storage.Put{IfAbsent: true})
		if !errors.Is(err, storage.ErrExists) {
			return err
		}
		there, _, err := storage.ReadAll(ctx, p.Store, key, storage.Get{}, int64(len(body))+1)
		if err != nil && !errors.Is(err, storage.ErrLarge) {
			return err
		}
		if err == nil && bytes.Equal(there, body) {
			return nil
		}
		return &DivergenceError{key}
	})
}

// tryLimit is one and a half slots, so that a store that hangs is asked again before much has piled up.
func (p *Publisher) tryLimit() time.Duration {
	if p.shape == nil {
		return putTimeout
	}
	return min(max(time.Duration(1.5*p.shape.Slot.Float()*float64(time.Second)), putLeast), putTimeout)
}

// insist tries until the store says yes, or no for good.
func (p *Publisher) insist(ctx context.Context, key string, try func(context.Context) error) error {
	for wait := putRetryFirst; ; wait = min(2*wait, putRetryMost) {
		tctx, cancel := context.WithTimeout(ctx, p.tryLimit())
		err := try(tctx)
		cancel()
		var diverged *DivergenceError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &diverged), errors.Is(err, storage.ErrKey), errors.Is(err, storage.ErrChanged):
			return fmt.Errorf("put %w", err)
		}
		p.Log.Warn("store refused", "channel", p.Channel, "key", key, "err", err, "retry_in", wait)
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
	key := timeline.RootKey(p.Channel, p.Worker)
	return p.insist(ctx, key, func(ctx context.Context) error {
		how := storage.Put{IfVersion: p.version, IfAbsent: p.version == ""}
		version, err := p.Store.Put(ctx, key, body, how)
		if errors.Is(err, storage.ErrChanged) || errors.Is(err, storage.ErrExists) {
			// Our own put may have taken effect without our hearing of it. Anything else is a second worker of this name.
			there, v, rerr := storage.ReadAll(ctx, p.Store, key, storage.Get{}, timeline.MaxIndex)
			if rerr != nil {
				return rerr
			}
			if !bytes.Equal(there, body) {
				return fmt.Errorf("%s: %w: another worker is named %q", key, storage.ErrChanged, p.Worker)
			}
			version, err = v, nil
		}
		if err == nil {
			p.version = version
		}
		return err
	})
}
