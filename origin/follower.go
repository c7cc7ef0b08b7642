package origin

import (
	"context"
	"errors"
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
	// readTimeout is what one look may take; what was not read by then is read by the next.
	readTimeout = 10 * time.Second
	// listTimeout is what a list of the roots may take, and listPatience for how long those that are known wait for it.
	listTimeout  = 5 * time.Second
	listPatience = 200 * time.Millisecond
	// rootTimeout is what the roots, which are asked all at once, may take: one that does not come holds up the others no longer.
	rootTimeout = 4 * time.Second
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
//	                                                      ▲
//	records of generations that are no longer shown ──────┘ afterwards: a cold origin reads a handful of objects and serves
type Follower struct {
	channel string
	store   storage.Store
	window  time.Duration
	log     *slog.Logger
	poke    chan struct{}

	mu      sync.Mutex
	view    *View         // nil until something was published; only Run sets it
	changed chan struct{} // closed, and replaced, with each view
	ready   bool          // the index was read once, whatever was in it
	looked  time.Time     // when it was last tried
	told    time.Time     // the latest channel time that was answered

	// All below is owned by Run.
	shape   *timeline.Shape
	known   timeline.Timeline
	gens    map[timeline.GenerationName]bool // that need not be read any more
	owed    map[timeline.GenerationName]bool // that have left what is shown, and were not read yet
	past    past
	roots   map[string]*root
	alarmed map[timeline.Conflict]bool
	fell    bool // that the edge would have fallen was logged
	news    bool // known says more than the view
	listed  time.Time
	listing chan listing // of roots, on its way; nil: none is
	poll    time.Duration
}

// NewFollower follows a channel once Run is called. window is how much of it live manifests show.
func NewFollower(s storage.Store, channel string, window time.Duration, log *slog.Logger) *Follower {
	return &Follower{
		channel: channel, store: s, window: window, log: log, poke: make(chan struct{}, 1), changed: make(chan struct{}), looked: time.Now(),
		gens: map[timeline.GenerationName]bool{}, owed: map[timeline.GenerationName]bool{}, past: newPast(), roots: map[string]*root{}, alarmed: map[timeline.Conflict]bool{}, poll: pollMost,
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

// Time is channel time: the media time at the edge plus what has passed since this origin first saw that edge, so that what a
// player takes for just available is. An edge that comes late makes it stand still: on one origin it never goes back. Before
// anything is published it is the wall clock's, which binds nothing: a channel need not be near it.
func (f *Follower) Time() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if f.view == nil || f.view.End.IsZero() {
		return now
	}
	if t := f.view.End.Add(now.Sub(f.view.Seen)); t.After(f.told) {
		f.told = t
	}
	return f.told
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
	defer func() {
		if f.listing != nil {
			<-f.listing
		}
	}()
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

// look reads what has changed since the last look, and shows it. What one root has to say waits for no other.
func (f *Follower) look(run context.Context) error {
	ctx, cancel := context.WithTimeout(run, readTimeout)
	defer cancel()
	if f.shape == nil {
		if err := f.readShape(ctx); err != nil || f.shape == nil {
			return err
		}
	}
	listing := f.listRoots(run, ctx)
	fresh, reading := f.readRoots(ctx)
	broken := f.take(ctx, fresh)
	// A playlist never grows at its old end, so the first view waits for the pages.
	waits := f.view == nil && f.hopes()
	if f.news && !waits {
		f.show()
	}
	if f.view != nil && len(f.owed) > 0 {
		broken = errors.Join(broken, f.readOwed(ctx))
		if f.news {
			f.show()
		}
	}
	if listing == nil && reading == nil && !waits {
		f.isReady()
	}
	return errors.Join(listing, reading, broken)
}

func (f *Follower) isReady() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ready = true
}

// keep is how many slots before the newest are kept.
func (f *Follower) keep() int64 {
	return f.shape.Slot.Count((f.window + keepBeyond).Microseconds(), 1e6)
}

// oldest is the slot from which on rows are taken. What is older than what is shown stays out, however it comes to be read: the
// root of a worker that has retired, whose rows nothing joins to the others, or pages that would make playlists begin earlier
// than they did.
func (f *Follower) oldest() int64 {
	oldest := int64(0)
	for _, r := range f.roots {
		oldest = max(oldest, r.newest-f.keep())
	}
	if f.view != nil {
		oldest = max(oldest, f.view.first(), f.view.Edge.Slot-f.keep())
	}
	return oldest
}

// forget drops what lies before a hole that nothing will fill: it is older than what is kept, or in a page that can't be read.
// Else the edge would stand before the hole until the window has passed, or for ever.
func (f *Follower) forget() {
	oldest := f.oldest()
	rows := f.known.Line(f.shape.Reference)
	for i := len(rows) - 1; i > 0; i-- {
		hole, after := rows[i-1].Slot+1, rows[i].Slot
		if hole != after && (hole < oldest || f.lost(hole, after-1)) {
			f.known = f.known.Since(after)
			return
		}
	}
}

// show makes the newest timeline everybody's.
func (f *Follower) show() {
	f.news = false
	f.forget()
	edge, ok := f.known.Edge()
	if !ok {
		return
	}
	if f.view != nil && edge.Slot < f.view.Edge.Slot {
		if !f.fell {
			f.log.Error("edge would fall", "channel", f.channel, "slot", edge.Slot, "shown", f.view.Edge.Slot)
		}
		f.fell = true
		return
	}
	v := &View{Channel: f.channel, Window: f.window, Edge: edge, Past: f.past, Whole: len(f.owed) == 0, rendered: map[string]*rendered{}}
	oldest := edge.Slot - f.keep()
	if w, err := f.known.Window(f.window, rights.Open()); err == nil {
		oldest = min(oldest, max(w.Oldest(), edge.Slot-keepMost))
		v.End = timeline.UTC(w.Edge.End(), w.Edge.Timescale)
	}
	f.known = f.known.Since(oldest)
	f.alarm()
	v.Timeline, v.Seen = f.known, f.seen(v)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.view = v
	close(f.changed)
	f.changed = make(chan struct{})
}

// seen is when an edge was first seen. An origin that has just started may find one that is old, its feed being dark: there the
// worker's word counts, unless its clock is ahead of ours.
func (f *Follower) seen(v *View) time.Time {
	now := time.Now()
	if f.view != nil && f.view.End.Equal(v.End) {
		return f.view.Seen
	}
	if written := time.UnixMilli(v.Edge.Written); f.view == nil && v.Edge.Written > 0 && written.Before(now) {
		return written
	}
	return now
}

func (f *Follower) alarm() {
	alarmed := map[timeline.Conflict]bool{}
	for _, c := range f.known.Conflicts {
		if !f.alarmed[c] {
			f.log.Error("two rows for one slot", "channel", f.channel, "rendition", c.Rendition, "slot", c.Slot)
		}
		alarmed[c] = true
	}
	f.alarmed = alarmed
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
