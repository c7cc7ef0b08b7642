package packager

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"flambeau/packager/timeline"
	"flambeau/storage"
)

const (
	// watchLeast and watchMost bound how often a paired worker asks for its rivals' roots; between them it is an eighth of a slot.
	watchLeast = 100 * time.Millisecond
	watchMost  = 500 * time.Millisecond
	// watchList is how often it looks whether there are new ones.
	watchList = 5 * time.Second
	// watchTimeout is what one look may take.
	watchTimeout = 4 * time.Second
	// chainSlots is how many of the newest slots are remembered.
	chainSlots = 64
)

// chain is what a paired worker knows of the entries in the store, its rivals' and its own: the reference's objects, each created once and each
// naming its generation's record, decide what the channel is.
type chain struct {
	mu      sync.Mutex
	past    Past // where the chain stands
	rows    map[place]named
	voids   map[timeline.GenerationName]int64 // generations of this worker's that have no place in the store, from which slot on
	changed chan struct{}                     // closed, and replaced, with each change
	seen    time.Time                         // of the last change
	back    time.Time                         // when the store answered again, after it had not
}

// place is a slot of a rendition.
type place struct {
	rendition string
	slot      int64
}

// named is a row, and the record that its generation is named by.
type named struct {
	timeline.Row
	name timeline.GenerationName
}

func newChain() *chain {
	return &chain{rows: map[place]named{}, voids: map[timeline.GenerationName]int64{}, changed: make(chan struct{})}
}

// void says that a generation has no place in the store from a slot on.
func (c *chain) void(name timeline.GenerationName, from int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.voids[name]; ok && old <= from {
		return
	}
	c.voids[name] = from
	c.tell()
}

// isBack says that the store answers again: rivals may have something to put from before.
func (c *chain) isBack() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.back = time.Now()
}

// backSince is when the store last answered again.
func (c *chain) backSince() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.back
}

// adopted says that what comes of a generation from now on was made after it was found to stand in the store.
func (c *chain) adopted(name timeline.GenerationName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.voids, name)
}

// isVoid tells whether a slot of a generation has no place.
func (c *chain) isVoid(name timeline.GenerationName, slot int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	from, ok := c.voids[name]
	return ok && slot >= from
}

func (c *chain) tell() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// stands is the last slot of the reference that is known to have its entry.
func (c *chain) stands() (slot int64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.past.Slot, c.past.Lines != nil
}

// start says what the store held when the worker opened it.
func (c *chain) start(p Past) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.past, c.seen = p.clone(), time.Now()
}

// found says which shape the channel has, before any of its rows was seen.
func (c *chain) found(s *timeline.Shape) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.past = Past{Shape: s}
	c.past.begin(s.First, timeline.GenerationName{})
	c.seen = time.Now()
	c.tell()
}

// note adds rows of a generation.
func (c *chain) note(shape *timeline.Shape, g timeline.Generation, name timeline.GenerationName, rows ...timeline.RenditionRow) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.past.Shape == nil {
		c.past.Shape = shape
	}
	news := false
	for _, r := range rows {
		at := place{r.Rendition, r.Slot}
		if _, ok := c.rows[at]; ok || r.Slot <= c.past.Slot-chainSlots {
			continue
		}
		news = true
		c.rows[at] = named{r.Row, name}
		if c.past.Lines == nil || g.Number > c.past.Last.Number {
			c.past.begin(g, name)
		}
		c.past.entered(r)
	}
	if !news {
		return
	}
	for at := range c.rows {
		if at.slot <= c.past.Slot-chainSlots {
			delete(c.rows, at)
		}
	}
	c.seen = time.Now()
	c.tell()
}

// at finds what stands in a slot of a rendition, as far as it was seen, and what tells of the next change.
func (c *chain) at(rendition string, slot int64) (n named, ok bool, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, ok = c.rows[place{rendition, slot}]
	return n, ok, c.changed
}

// standing is what a Channel is told.
func (c *chain) standing() Standing {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Standing{Past: c.past.clone(), At: c.seen, Voids: maps.Clone(c.voids)}
	if c.past.Shape == nil {
		return s
	}
	for at, n := range c.rows {
		if at.rendition == c.past.Shape.Reference {
			s.Rows = append(s.Rows, n.Row)
		}
	}
	slices.SortFunc(s.Rows, func(a, b timeline.Row) int { return int(a.Slot - b.Slot) })
	return s
}

// rival is one that a watcher follows.
type rival struct {
	version storage.Version
}

// watcher reads the roots of the other workers of a channel. It is owned by watch.
type watcher struct {
	p      *Publisher
	rivals map[string]*rival
	listed time.Time
	gens   map[timeline.GenerationName]timeline.Generation
	shape  *timeline.Shape
}

// watch tells the chain, and with it the machine, of what rivals have indexed, until ctx ends.
func (p *Publisher) watch(ctx context.Context) {
	w := &watcher{p: p, rivals: map[string]*rival{}, gens: map[timeline.GenerationName]timeline.Generation{}}
	failed := false
	for {
		wait := watchMost
		if s := w.shape; s != nil {
			wait = min(max(time.Duration(s.Slot.Float()*float64(time.Second))/8, watchLeast), watchMost)
		}
		err := w.look(ctx)
		if err != nil && !failed && ctx.Err() == nil {
			p.Log.Warn("rivals not read", "channel", p.Channel, "err", err)
		}
		if failed && err == nil {
			p.chain.isBack()
		}
		failed = err != nil
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func (w *watcher) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	if w.shape == nil {
		s, err := readShape(ctx, w.p.Store, w.p.Channel)
		if err != nil || s == nil {
			return err
		}
		w.shape = s
	}
	if time.Since(w.listed) >= watchList {
		if err := w.list(ctx); err != nil {
			return err
		}
	}
	for key, r := range w.rivals {
		if err := w.read(ctx, key, r); err != nil {
			return err
		}
	}
	return nil
}

func (w *watcher) list(ctx context.Context) error {
	for info, err := range w.p.Store.List(ctx, timeline.RootPrefix(w.p.Channel), "") {
		if err != nil {
			return fmt.Errorf("list roots: %w", err)
		}
		if info.Key != timeline.RootKey(w.p.Channel, w.p.Worker) && w.rivals[info.Key] == nil {
			w.rivals[info.Key] = &rival{}
		}
	}
	w.listed = time.Now()
	return nil
}

func (w *watcher) read(ctx context.Context, key string, r *rival) error {
	b, version, err := storage.ReadAll(ctx, w.p.Store, key, storage.Get{IfChanged: r.version}, timeline.MaxIndex)
	if errors.Is(err, storage.ErrUnchanged) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	x, err := timeline.DecodeIndex(b)
	if err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	rows := map[int][]timeline.RenditionRow{}
	for _, row := range x.Rows {
		rows[row.Generation] = append(rows[row.Generation], row)
	}
	for _, name := range x.Generations {
		if len(rows[name.Number]) == 0 {
			continue
		}
		g, ok := w.gens[name]
		if !ok {
			if g, err = ReadGeneration(ctx, w.p.Store, w.p.Channel, *w.shape, name); err != nil {
				return err
			}
			w.gens[name] = g
		}
		w.p.chain.note(w.shape, g, name, rows[name.Number]...)
	}
	r.version = version
	return nil
}

// readShape reads a channel's shape; nil: it has none.
func readShape(ctx context.Context, s storage.Store, channel string) (*timeline.Shape, error) {
	b, _, err := storage.ReadAll(ctx, s, timeline.ShapeKey(channel), storage.Get{}, timeline.MaxRecord)
	if errors.Is(err, storage.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read shape of %s: %w", channel, err)
	}
	shape, err := timeline.DecodeShape(b)
	if err != nil {
		return nil, fmt.Errorf("read shape of %s: %w", channel, err)
	}
	return &shape, nil
}
