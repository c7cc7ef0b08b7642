package origin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"flambeau/origin/rights"
	"flambeau/packager/timeline"
	"flambeau/storage"
)

const (
	// pollLeast and pollMost bound how often a root is asked whether it has changed; between them it is a sixteenth of a slot.
	pollLeast = 50 * time.Millisecond
	pollMost  = 500 * time.Millisecond
	// rootsEvery is how often it is looked whether a worker has begun a root.
	rootsEvery = 10 * time.Second
	// readTimeout is what one read of an index object may take.
	readTimeout = 10 * time.Second
	// maxRoots is how many workers' roots of one channel are followed; further ones are ignored, and logged.
	maxRoots = 16
	// keepBeyond is how much more than the window a follower keeps, so that what a playlist has just dropped is still known.
	keepBeyond = 2 * time.Minute
	// keepMost is how many slots are kept at most of a generation that had a gap long ago: the Periods after a gap are named by it.
	// Beyond it they are named as if there had been none.
	keepMost = 1 << 16
)

// Follower holds the newest timeline of one channel: the union of what its workers' indexes say.
//
//	roots ─► changed? ─► pages not read yet ─► Merge ─► View ─► whoever waits
type Follower struct {
	channel string
	store   storage.Store
	window  time.Duration
	log     *slog.Logger
	poke    chan struct{}

	mu      sync.Mutex
	view    *View         // nil until something was published
	changed chan struct{} // closed, and replaced, with each view
	ready   bool          // the index was read once, whatever was in it
	looked  time.Time     // when it was last tried

	// All below is owned by Run.
	shape   *timeline.Shape
	known   timeline.Timeline
	gens    map[timeline.GenerationName]bool
	roots   map[string]*root
	alarmed map[timeline.Conflict]bool
	listed  time.Time
	poll    time.Duration
}

type root struct {
	version storage.Version
	pages   map[string]bool // that are in known already
}

// NewFollower follows a channel once Run is called. window is how much of it live manifests show.
func NewFollower(s storage.Store, channel string, window time.Duration, log *slog.Logger) *Follower {
	return &Follower{
		channel: channel, store: s, window: window, log: log, poke: make(chan struct{}, 1), changed: make(chan struct{}), looked: time.Now(),
		gens: map[timeline.GenerationName]bool{}, roots: map[string]*root{}, alarmed: map[timeline.Conflict]bool{}, poll: pollMost,
	}
}

// Newest is the newest view, nil while nothing is published.
func (f *Follower) Newest() *View {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.view
}

// Ready tells whether the index was read once.
func (f *Follower) Ready() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ready
}

// Looked is when the follower last came round, whether or not the store answered.
func (f *Follower) Looked() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.looked
}

// Wait returns the first view that is ok, or the newest there is (which may be nil) and an error when ctx ends.
func (f *Follower) Wait(ctx context.Context, ok func(*View) bool) (*View, error) {
	for {
		f.mu.Lock()
		v, changed := f.view, f.changed
		f.mu.Unlock()
		if v != nil && ok(v) {
			return v, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return v, ctx.Err()
		}
	}
}

// Poke makes the follower look at once. A worker of the same process calls it after each root.
func (f *Follower) Poke() {
	select {
	case f.poke <- struct{}{}:
	default:
	}
}

// Run follows until its context ends.
func (f *Follower) Run(ctx context.Context) error {
	failed := false
	for {
		err := f.look(ctx)
		if err != nil && ctx.Err() == nil && !failed {
			f.log.Warn("index not read", "channel", f.channel, "err", err)
		}
		failed = err != nil
		f.mu.Lock()
		f.looked = time.Now()
		f.mu.Unlock()
		t := time.NewTimer(f.poll)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		case <-f.poke:
			t.Stop()
		}
	}
}

// look reads what has changed since the last look, and shows it.
func (f *Follower) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if f.shape == nil {
		if err := f.readShape(ctx); err != nil || f.shape == nil {
			return err
		}
	}
	if time.Since(f.listed) >= rootsEvery || len(f.roots) == 0 {
		if err := f.listRoots(ctx); err != nil {
			return err
		}
	}
	news := false
	for key, r := range f.roots {
		changed, err := f.readRoot(ctx, key, r)
		if err != nil {
			return err
		}
		news = news || changed
	}
	f.mu.Lock()
	f.ready = true
	f.mu.Unlock()
	if news {
		f.show()
	}
	return nil
}

func (f *Follower) readShape(ctx context.Context) error {
	b, _, err := storage.ReadAll(ctx, f.store, timeline.ShapeKey(f.channel), storage.Get{}, timeline.MaxRecord)
	if errors.Is(err, storage.ErrNotExist) {
		f.mu.Lock()
		f.ready = true
		f.mu.Unlock()
		return nil
	}
	if err != nil {
		return err
	}
	s, err := timeline.DecodeShape(b)
	if err != nil {
		return err
	}
	f.shape, f.known = &s, timeline.New(s)
	slot := time.Duration(s.Slot.Float() * float64(time.Second))
	f.poll = min(max(slot/16, pollLeast), pollMost)
	return nil
}

func (f *Follower) listRoots(ctx context.Context) error {
	for info, err := range f.store.List(ctx, timeline.RootPrefix(f.channel), "") {
		if err != nil {
			return err
		}
		if f.roots[info.Key] != nil {
			continue
		}
		if len(f.roots) == maxRoots {
			f.log.Warn("too many workers", "channel", f.channel, "root", info.Key, "limit", maxRoots)
			continue
		}
		f.roots[info.Key] = &root{pages: map[string]bool{}}
	}
	f.listed = time.Now()
	return nil
}

// readRoot merges what a root says, if it says anything new.
func (f *Follower) readRoot(ctx context.Context, key string, r *root) (changed bool, err error) {
	b, version, err := storage.ReadAll(ctx, f.store, key, storage.Get{IfChanged: r.version}, timeline.MaxIndex)
	if errors.Is(err, storage.ErrUnchanged) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	x, err := timeline.DecodeIndex(b)
	if err != nil {
		return false, fmt.Errorf("read %s: %w", key, err)
	}
	for _, name := range x.Generations {
		if err := f.readGeneration(ctx, name); err != nil {
			return false, err
		}
	}
	for _, page := range x.Pages {
		if r.pages[page.Key] || page.Last < f.oldest(x) {
			continue
		}
		pb, _, err := storage.ReadAll(ctx, f.store, page.Key, storage.Get{}, timeline.MaxIndex)
		if err != nil {
			return false, err
		}
		px, err := timeline.DecodeIndex(pb)
		if err != nil {
			return false, fmt.Errorf("read %s: %w", page.Key, err)
		}
		f.merge(px.Rows)
		r.pages[page.Key] = true
	}
	f.merge(x.Rows)
	r.version = version
	return true, nil
}

// oldest is the slot from which on rows are kept.
func (f *Follower) oldest(x timeline.Index) int64 {
	newest := int64(0)
	for _, r := range x.Rows {
		newest = max(newest, r.Slot)
	}
	if e, ok := f.known.Edge(); ok {
		newest = max(newest, e.Slot)
	}
	return newest - f.shape.Slot.Count((f.window+keepBeyond).Microseconds(), 1e6)
}

func (f *Follower) readGeneration(ctx context.Context, name timeline.GenerationName) error {
	if name.Hash == "" || f.gens[name] {
		return nil
	}
	key := timeline.AnchorKeyNamed(f.channel, name)
	b, _, err := storage.ReadAll(ctx, f.store, key, storage.Get{}, timeline.MaxRecord)
	if err != nil {
		return err
	}
	g, err := timeline.DecodeGeneration(b)
	if err == nil && g.Number != name.Number {
		err = fmt.Errorf("it says that it is %d", g.Number)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	f.known, f.gens[name] = f.known.With(g), true
	return nil
}

func (f *Follower) merge(rows []timeline.RenditionRow) {
	lines := map[string][]timeline.Row{}
	for _, r := range rows {
		lines[r.Rendition] = append(lines[r.Rendition], r.Row)
	}
	for id, rows := range lines {
		f.known = f.known.Append(id, rows...)
	}
}

// show makes the newest timeline everybody's.
func (f *Follower) show() {
	edge, ok := f.known.Edge()
	if !ok {
		return
	}
	oldest := edge.Slot - f.shape.Slot.Count((f.window+keepBeyond).Microseconds(), 1e6)
	if w, err := f.known.Window(f.window, rights.Open()); err == nil {
		oldest = min(oldest, max(w.Oldest(), edge.Slot-keepMost))
	}
	f.known = f.known.Since(oldest)
	for _, c := range f.known.Conflicts {
		if !f.alarmed[c] {
			f.log.Error("two rows for one slot", "channel", f.channel, "rendition", c.Rendition, "slot", c.Slot)
		}
		f.alarmed[c] = true
	}
	v := newView(f.channel, f.known, f.window)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.view = v
	close(f.changed)
	f.changed = make(chan struct{})
}

// Channels is the set of followers of a process.
type Channels map[string]*Follower

// Names are the channels, in order.
func (c Channels) Names() []string {
	names := make([]string, 0, len(c))
	for n := range c {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
