package origin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"flambeau/packager/timeline"
	"flambeau/storage"
)

// pagePatience is how long it is tried to read a page that the store does not give; then the channel goes on without its rows.
const pagePatience = 10 * time.Second

const (
	// readAtOnce is how many pages, or records of generations, are read at the same time; further ones wait.
	readAtOnce = 8
	// owedAtOnce is how many records of generations that have left what is shown are read at one look; further ones at the next.
	owedAtOnce = 64
)

// root is what a follower knows of one worker's root. It is owned by the follower's Run.
type root struct {
	version storage.Version
	newest  int64                // slot of the reference
	pages   map[string]bool      // that need not be read any more
	failing map[string]time.Time // pages, and since when
	lost    []timeline.Page      // that were given up
}

// fresh is a root that has changed.
type fresh struct {
	key string
	*root
	timeline.Index
	read storage.Version
	err  error
}

func (f *Follower) readShape(ctx context.Context) error {
	b, _, err := storage.ReadAll(ctx, f.store, timeline.ShapeKey(f.channel), storage.Get{}, timeline.MaxRecord)
	if errors.Is(err, storage.ErrNotExist) {
		f.isReady()
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
	f.past = f.past.with(s.First)
	slot := time.Duration(s.Slot.Float() * float64(time.Second))
	f.poll = min(max(slot/16, pollLeast), pollMost)
	return nil
}

// listing is what a list of the roots said, as far as it came.
type listing struct {
	keys []string
	err  error
}

// listRoots finds roots that are new. A store that does not list holds up nobody who has roots to read: it is asked beside, as long as run
// lasts.
func (f *Follower) listRoots(run, ctx context.Context) error {
	patience := time.Duration(0)
	if f.listing == nil {
		if time.Since(f.listed) < rootsEvery && len(f.roots) > 0 {
			return nil
		}
		f.listing, patience = make(chan listing, 1), listPatience
		go list(run, f.store, timeline.RootPrefix(f.channel), f.listing)
	}
	if len(f.roots) == 0 {
		patience = listTimeout
	}
	var l listing
	select {
	case l = <-f.listing:
	case <-time.After(patience):
		if len(f.roots) == 0 {
			return errors.New("the list of roots has not come")
		}
		return nil // it comes when it comes
	case <-ctx.Done():
		return ctx.Err()
	}
	f.listing, f.listed = nil, time.Now()
	for _, key := range l.keys {
		if f.roots[key] != nil {
			continue
		}
		if len(f.roots) == maxRoots {
			f.log.Warn("too many workers", "channel", f.channel, "root", key, "limit", maxRoots)
			continue
		}
		f.roots[key] = &root{pages: map[string]bool{}, failing: map[string]time.Time{}}
	}
	return l.err
}

// list lists names, for at most listTimeout.
func list(ctx context.Context, s storage.Store, prefix string, to chan<- listing) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	var l listing
	for info, err := range s.List(ctx, prefix, "") {
		if err != nil {
			l.err = err
			break
		}
		l.keys = append(l.keys, info.Key)
	}
	to <- l
}

// readRoots asks all roots at once and returns those that have changed, in order. A root that is gone is followed no more.
func (f *Follower) readRoots(ctx context.Context) (changed []fresh, failed error) {
	ctx, cancel := context.WithTimeout(ctx, rootTimeout)
	defer cancel()
	all := make([]fresh, 0, len(f.roots))
	for key, r := range f.roots {
		all = append(all, fresh{key: key, root: r})
	}
	slices.SortFunc(all, func(a, b fresh) int { return strings.Compare(a.key, b.key) })
	var asking sync.WaitGroup
	for i := range all {
		asking.Go(func() { all[i].get(ctx, f.store) })
	}
	asking.Wait()
	for _, n := range all {
		switch {
		case errors.Is(n.err, storage.ErrUnchanged):
		case errors.Is(n.err, storage.ErrNotExist):
			delete(f.roots, n.key)
		case n.err != nil:
			failed = errors.Join(failed, n.err)
		default:
			changed = append(changed, n)
		}
	}
	return changed, failed
}

// get reads the root if it is another than the last that was taken. One that is no index is not read again until it changes.
func (n *fresh) get(ctx context.Context, s storage.Store) {
	var b []byte
	b, n.read, n.err = storage.ReadAll(ctx, s, n.key, storage.Get{IfChanged: n.version}, timeline.MaxIndex)
	if n.err != nil {
		return
	}
	if n.Index, n.err = timeline.DecodeIndex(b); n.err != nil {
		n.version, n.err = n.read, fmt.Errorf("read %s: %w", n.key, n.err)
	}
}

// take merges what roots say. Of a root that names what could not be read now, the rest is taken, and it is read again.
func (f *Follower) take(ctx context.Context, changed []fresh) (failed error) {
	for _, n := range changed {
		for _, r := range n.Rows {
			if r.Rendition == f.shape.Reference {
				n.newest = max(n.newest, r.Slot)
			}
		}
	}
	oldest := f.oldest()
	for _, n := range changed {
		f.merge(n.Rows, oldest)
		late, lost := f.readPages(ctx, n, oldest)
		generations := f.readGenerations(ctx, f.spoken(n.Generations))
		failed = errors.Join(failed, late, lost, generations)
		if late == nil && generations == nil {
			n.version = n.read
		}
	}
	return failed
}

// hopes tells whether a page has not been read that may be yet.
func (f *Follower) hopes() bool {
	for _, r := range f.roots {
		if len(r.failing) > 0 {
			return true
		}
	}
	return false
}

// pageRead is a page and what came of reading it.
type pageRead struct {
	timeline.Page
	rows []timeline.RenditionRow
	err  error
}

// readPages reads those pages that may say something new, each for itself: late is what went wrong with those that are tried
// again, lost with those that are given up.
func (f *Follower) readPages(ctx context.Context, n fresh, oldest int64) (late, lost error) {
	n.prune(n.Pages)
	var wanted []pageRead
	for _, page := range n.Pages {
		switch {
		case n.pages[page.Key]:
		case f.has(max(page.First, oldest), page.Last):
			n.pages[page.Key] = true
		default:
			wanted = append(wanted, pageRead{Page: page})
		}
	}
	for some := range slices.Chunk(wanted, readAtOnce) {
		atOnce(some, func(p *pageRead) { p.rows, p.err = f.readPage(ctx, p.Key) })
		for i := range some {
			page, err := some[i].Page, some[i].err
			switch {
			case err == nil:
				f.merge(some[i].rows, oldest)
				n.pages[page.Key] = true
				delete(n.failing, page.Key)
			case n.hopeless(page.Key, err):
				n.pages[page.Key], n.lost, f.news = true, append(n.lost, page), true
				delete(n.failing, page.Key)
				f.log.Error("page given up", "channel", f.channel, "page", page.Key, "first", page.First, "last", page.Last, "err", err)
				lost = errors.Join(lost, err)
			default:
				late = errors.Join(late, err)
			}
			some[i].rows = nil
		}
	}
	return late, lost
}

func atOnce[T any](all []T, do func(*T)) {
	var doing sync.WaitGroup
	for i := range all {
		doing.Go(func() { do(&all[i]) })
	}
	doing.Wait()
}

func (f *Follower) readPage(ctx context.Context, key string) ([]timeline.RenditionRow, error) {
	b, _, err := storage.ReadAll(ctx, f.store, key, storage.Get{}, timeline.MaxIndex)
	if err != nil {
		return nil, err
	}
	x, err := timeline.DecodeIndex(b)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return x.Rows, nil
}

// hopeless tells whether to ask once more is no use: pages never change.
func (r *root) hopeless(key string, err error) bool {
	var format *timeline.FormatError
	if errors.As(err, &format) || errors.Is(err, storage.ErrNotExist) || errors.Is(err, storage.ErrLarge) {
		return true
	}
	since, ok := r.failing[key]
	if !ok {
		since = time.Now()
		r.failing[key] = since
	}
	return time.Since(since) >= pagePatience
}

// prune forgets pages that the root no longer names.
func (r *root) prune(named []timeline.Page) {
	keys := make(map[string]bool, len(named))
	for _, p := range named {
		keys[p.Key] = true
	}
	for key := range r.pages {
		if !keys[key] {
			delete(r.pages, key)
		}
	}
	for key := range r.failing {
		if !keys[key] {
			delete(r.failing, key)
		}
	}
	r.lost = slices.DeleteFunc(r.lost, func(p timeline.Page) bool { return !keys[p.Key] })
}

// lost tells whether a page that was given up held some of the slots.
func (f *Follower) lost(first, last int64) bool {
	for _, r := range f.roots {
		for _, p := range r.lost {
			if p.First <= last && first <= p.Last {
				return true
			}
		}
	}
	return false
}

// has tells whether every rendition's rows of the slots are known; of no slots they are.
func (f *Follower) has(first, last int64) bool {
	if last-first >= int64(len(f.known.Line(f.shape.Reference))) {
		return false // there are not that many rows: nobody's page makes us count to 2^63
	}
	for slot := first; slot <= last; slot++ {
		row, ok := f.known.Row(f.shape.Reference, slot)
		g, known := f.known.Generation(row.Generation)
		if !ok || !known {
			return false
		}
		for i := range g.Renditions {
			if _, ok := f.known.Row(g.Renditions[i].ID, slot); !ok {
				return false
			}
		}
	}
	return true
}

// spoken are those generations of which some row is known, and what lies between. The others are owed: a channel with a hundred of them
// behind it is shown first.
func (f *Follower) spoken(names []timeline.GenerationName) (now []timeline.GenerationName) {
	oldest := math.MaxInt
	for _, l := range f.known.Lines {
		if len(l.Rows) > 0 {
			oldest = min(oldest, l.Rows[0].Generation)
		}
	}
	for _, name := range names {
		switch {
		case name.Hash == "" || f.gens[name]:
		case name.Number >= oldest:
			now = append(now, name)
			delete(f.owed, name)
		default:
			f.owed[name] = true
		}
	}
	return now
}

// readOwed reads records that are owed, the newest first. One that is not there, or is none, never will be: it is owed no more.
func (f *Follower) readOwed(ctx context.Context) error {
	names := slices.SortedFunc(maps.Keys(f.owed), func(a, b timeline.GenerationName) int {
		return cmp.Or(b.Number-a.Number, strings.Compare(a.Hash, b.Hash))
	})
	return f.readGenerations(ctx, names[:min(len(names), owedAtOnce)])
}

// record is a generation's name and what came of reading it.
type record struct {
	name timeline.GenerationName
	timeline.Generation
	err error
}

func (f *Follower) readGenerations(ctx context.Context, names []timeline.GenerationName) (failed error) {
	for some := range slices.Chunk(names, readAtOnce) {
		records := make([]record, len(some))
		for i, name := range some {
			records[i].name = name
		}
		atOnce(records, func(r *record) { r.Generation, r.err = f.readGeneration(ctx, r.name) })
		for _, r := range records {
			if r.err != nil {
				failed = errors.Join(failed, r.err)
				if f.owed[r.name] && (errors.Is(r.err, storage.ErrNotExist) || errors.Is(r.err, errNoRecord)) {
					f.settled(r.name)
				}
				continue
			}
			f.known, f.past = f.known.With(r.Generation), f.past.with(r.Generation)
			f.news = true
			f.settled(r.name)
		}
	}
	return failed
}

// settled notes that a generation need not be read any more.
func (f *Follower) settled(name timeline.GenerationName) {
	f.gens[name] = true
	if f.owed[name] {
		delete(f.owed, name)
		f.news = true
	}
}

// errNoRecord: what stands under a generation's name is not its record.
var errNoRecord = errors.New("origin: no record of that generation")

func (f *Follower) readGeneration(ctx context.Context, name timeline.GenerationName) (timeline.Generation, error) {
	key := timeline.AnchorKeyNamed(f.channel, name)
	b, _, err := storage.ReadAll(ctx, f.store, key, storage.Get{}, timeline.MaxRecord)
	if err != nil {
		return timeline.Generation{}, err
	}
	g, err := timeline.DecodeGeneration(b)
	if err == nil && g.Number != name.Number {
		err = fmt.Errorf("it says that it is %d", g.Number)
	}
	if err != nil {
		return g, fmt.Errorf("read %s: %w: %w", key, errNoRecord, err)
	}
	return g, nil
}

// merge adds rows that are not known yet, from slot oldest on.
func (f *Follower) merge(rows []timeline.RenditionRow, oldest int64) {
	lines := map[string][]timeline.Row{}
	for _, r := range rows {
		if r.Slot < oldest {
			continue
		}
		if old, ok := f.known.Row(r.Rendition, r.Slot); !ok || !same(old, r.Row) {
			lines[r.Rendition] = append(lines[r.Rendition], r.Row)
		}
	}
	for id, rows := range lines {
		f.known, f.news = f.known.Append(id, rows...), true
	}
}

// same tells whether two rows say the same of a slot; when they were written does not count.
func same(a, b timeline.Row) bool {
	return a.Slot == b.Slot && a.Generation == b.Generation && a.Start == b.Start && a.Duration == b.Duration &&
		a.Size == b.Size && a.Hash == b.Hash && a.Flags == b.Flags && slices.Equal(a.Keys, b.Keys)
}
