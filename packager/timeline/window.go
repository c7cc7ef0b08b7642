package timeline

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// What a live manifest lists, decided once for HLS and DASH:
//
//	reference  … 96 97 98 99 │ 100 101 102 103 104 105 │ ?      the spine: known without a hole up to the edge
//	audio      … 96 97 98 99 │ 100 101 gap 103 104  ?  │        its list ends before its first unknown slot
//	                           └─ First          Last ─┘

// Limits of a live window.
const (
	MinShown = 6       // slots that are shown, if known, however short the window (Apple, HLS Authoring 8.11)
	MaxShown = 1 << 16 // slots; of a longer window the oldest are not shown
)

// Why a channel has no manifest.
var (
	ErrEmpty       = errors.New("timeline: nothing to show yet")
	ErrRendition   = errors.New("timeline: no such rendition")
	ErrGenerations = errors.New("timeline: generation numbers do not rise by one")
)

// Sight is what one viewer may see; rights.Grant is one.
type Sight interface {
	Everything() bool                               // nothing is hidden
	Covers(start, end time.Time) bool               // all of [start, end) of media time, in some rendition
	Allows(height int) bool                         // pictures of that height, at some time; sound has height 0
	AllowsAt(height int, start, end time.Time) bool // both
	// Since is since when pictures of that height have been shown, or hidden, as they are at an instant; zero: always.
	Since(height int, at time.Time) time.Time
}

// Window is the slots of a live manifest, one viewer's. It is a function of the timeline alone.
type Window struct {
	First, Last int64 // slots, both included
	Edge        Entry // the reference's last known slot, seen or not

	t     *Timeline // never changes
	sight Sight
	all   bool  // sight hides nothing
	spine []Row // of the reference, First to Last
}

// Entry is what a manifest says of one slot of one rendition. It points into the timeline: nobody writes to it.
type Entry struct {
	Slot       int64
	Generation *Generation
	Rendition  *Rendition // nil: its generation does not have it, or the viewer may not see it
	Row        *Row       // nil: a gap, which lasts as long as the reference's slot
	Start      int64      // media time, ticks of Timescale
	Duration   int64
	Timescale  uint32
}

// End is where the entry ends.
func (e Entry) End() int64 { return e.Start + e.Duration }

// Micros is media time in whole microseconds since 1970. Manifests that print lengths as differences of what it gives do not drift.
func Micros(ticks int64, timescale uint32) int64 { return Rescale(ticks, timescale, 1_000_000) }

// Window finds the slots of the last d before the edge. The first is the first that ends later than that, and the same for every
// rendition. A slot is seen or not seen as a whole, by the reference's times: see Sees.
func (t Timeline) Window(d time.Duration, see Sight) (Window, error) {
	known, err := t.spine()
	if err != nil {
		return Window{}, err
	}
	if len(known) == 0 {
		return Window{}, ErrEmpty
	}
	w := Window{t: &t, sight: see, all: see.Everything(), Edge: t.reference(&known[len(known)-1])}
	shown := w.seen(w.last(known, d))
	if len(shown) == 0 {
		return Window{}, ErrEmpty
	}
	w.spine, w.First, w.Last = shown, shown[0].Slot, shown[len(shown)-1].Slot
	return w, nil
}

// spine is what is known of the reference without a hole. A row whose generation's record has not been read is not known yet.
func (t *Timeline) spine() ([]Row, error) {
	rows := Contiguous(t.Line(t.Shape.Reference))
	for i := range rows {
		same := i > 0 && rows[i].Generation == rows[i-1].Generation
		if i > 0 && !same && rows[i].Generation != rows[i-1].Generation+1 {
			return nil, fmt.Errorf("%w: slot %d is of generation %d, the one before of %d", ErrGenerations, rows[i].Slot, rows[i].Generation, rows[i-1].Generation)
		}
		if same {
			continue
		}
		if _, ok := t.Generation(rows[i].Generation); !ok {
			return rows[:i], nil
		}
	}
	return rows, nil
}

// last walks back from the edge, so that it does not matter how much is known before the window.
func (w Window) last(known []Row, d time.Duration) []Row {
	from := Micros(w.Edge.End(), w.Edge.Timescale) - max(d, 0).Microseconds()
	i := len(known) - 1
	for i > 0 && len(known)-i < MaxShown {
		before := w.t.reference(&known[i-1])
		if len(known)-i >= MinShown && Micros(before.End(), before.Timescale) <= from {
			break
		}
		i--
	}
	return known[i:]
}

// seen is from the first to the last row that the viewer may see. What is hidden between them is listed as a gap: numbers do not skip.
func (w Window) seen(rows []Row) []Row {
	for len(rows) > 0 && !w.t.sees(w.sight, &rows[0]) {
		rows = rows[1:]
	}
	for len(rows) > 0 && !w.t.sees(w.sight, &rows[len(rows)-1]) {
		rows = rows[:len(rows)-1]
	}
	return rows
}

// Sees tells whether a viewer may see a slot of pictures of that height: its times in the reference decide, since the cut is everybody's.
// Deciding by each rendition's own times would part sound, which ends up to a frame later, from the last picture of a grant.
func (t Timeline) Sees(see Sight, height int, slot int64) bool {
	r, ok := t.Row(t.Shape.Reference, slot)
	if _, known := t.Generation(r.Generation); !ok || !known {
		return false
	}
	start, end := t.span(&r)
	return see.AllowsAt(height, start, end)
}

func (t *Timeline) sees(see Sight, r *Row) bool {
	if see.Everything() {
		return true
	}
	return see.Covers(t.span(r))
}

// span is when a row of the reference is.
func (t *Timeline) span(r *Row) (start, end time.Time) {
	e := t.reference(r)
	return UTC(e.Start, e.Timescale), UTC(e.End(), e.Timescale)
}

// reference is the entry of a row of the reference whose generation is known. A tombstone that does not say how long it is lasts
// as long as a slot should.
func (t *Timeline) reference(r *Row) Entry {
	g := t.record(r.Generation)
	e := Entry{Slot: r.Slot, Generation: g, Start: r.Start, Duration: r.Duration, Timescale: g.Timescale}
	if !r.timed() {
		e.Start = g.Nominal(t.Shape, r.Slot, g.Timescale)
		e.Duration = g.Nominal(t.Shape, r.Slot+1, g.Timescale) - e.Start
	}
	return e
}

// record is Generation without a copy; nil if it is not known. It is asked for every row, and numbers rise by one.
func (t *Timeline) record(number int) *Generation {
	if i := number - t.Generations[0].Number; i >= 0 && i < len(t.Generations) && t.Generations[i].Number == number {
		return &t.Generations[i]
	}
	i, ok := slices.BinarySearchFunc(t.Generations, number, func(g Generation, n int) int { return cmp.Compare(g.Number, n) })
	if !ok {
		return nil
	}
	return &t.Generations[i]
}

// timed tells whether a row says when it is. A segment without length can't be listed.
func (r *Row) timed() bool { return r.Duration > 0 && r.Start <= math.MaxInt64-r.Duration }

// has tells whether there is media under the row's name that a manifest of generation g may name.
func (r *Row) has(g *Generation) bool {
	return !r.Flags.Has(Gap) && r.Generation == g.Number && r.timed()
}

// Renditions are the ids of all that the window's generations have and the viewer may see, in feed order, the newest generation's
// first.
func (w Window) Renditions() (ids []string) {
	newest, oldest := w.spine[len(w.spine)-1].Generation, w.spine[0].Generation
	for n := newest; n >= oldest; n-- {
		for i := range w.t.record(n).Renditions {
			r := &w.t.record(n).Renditions[i]
			if w.sight.Allows(r.Height) && !slices.Contains(ids, r.ID) {
				ids = append(ids, r.ID)
			}
		}
	}
	return ids
}

// Newest is the generation of the last slot: what a manifest says of renditions, it says of that one's. A record without media may
// be a proposal that has lost.
func (w Window) Newest() *Generation { return w.t.record(w.spine[len(w.spine)-1].Generation) }

// List is what a manifest lists of a rendition: one entry a slot, from First up to the first slot of which nothing is known. An entry
// lasts at least until the reference's does, also where the end of its media was lost: slots end together in all renditions.
func (w Window) List(rendition string) ([]Entry, error) {
	if !slices.Contains(w.Renditions(), rendition) {
		return nil, fmt.Errorf("%w: %q", ErrRendition, rendition)
	}
	rows := w.t.since(rendition, w.First)
	list := make([]Entry, 0, len(w.spine))
	var here *Rendition
	for i := range w.spine {
		e := w.t.reference(&w.spine[i])
		if i == 0 || e.Generation != list[i-1].Generation {
			here = w.rendition(e.Generation, rendition)
		}
		if e.Rendition = here; here == nil {
			list = append(list, e)
			continue
		}
		for len(rows) > 0 && rows[0].Slot < e.Slot {
			rows = rows[1:]
		}
		if len(rows) == 0 || rows[0].Slot != e.Slot {
			break
		}
		if r := &rows[0]; r.has(e.Generation) && w.shows(&w.spine[i], here) {
			e.Row, e.Start, e.Duration, e.Timescale = r, r.Start, w.ends(r, &w.spine[i], here)-r.Start, here.Timescale
		}
		list = append(list, e)
	}
	return list, nil
}

// shows tells whether the viewer may see a rendition in a slot, by the slot's row of the reference.
func (w Window) shows(spine *Row, here *Rendition) bool {
	if w.all {
		return true
	}
	start, end := w.t.span(spine)
	return w.sight.AllowsAt(here.Height, start, end)
}

// since is a rendition's rows from a slot on.
func (t *Timeline) since(rendition string, slot int64) []Row {
	rows := t.Line(rendition)
	i, _ := slices.BinarySearchFunc(rows, slot, func(r Row, s int64) int { return cmp.Compare(r.Slot, s) })
	return rows[i:]
}

// rendition finds what the viewer may see of a generation by its id.
func (w Window) rendition(g *Generation, id string) *Rendition {
	for i := range g.Renditions {
		if r := &g.Renditions[i]; r.ID == id && w.sight.Allows(r.Height) {
			return r
		}
	}
	return nil
}

// Stretch finds where the stretch of a rendition around slot begins, in which it has media throughout or nowhere: at the
// beginning of its generation, or where a gap begins or ends. Slots that have been forgotten count as equal to the oldest that is
// known, so a timeline must reach back to the slot before the beginning to find it; Oldest tells.
func (w Window) Stretch(rendition string, slot int64) int64 {
	row, ok := w.t.Row(w.t.Shape.Reference, slot)
	g := w.t.record(row.Generation)
	if !ok || g == nil {
		return slot
	}
	here := w.rendition(g, rendition)
	if here == nil {
		return slot
	}
	rows := w.t.Line(rendition)
	i, _ := slices.BinarySearchFunc(rows, slot, func(r Row, s int64) int { return cmp.Compare(r.Slot, s) })
	media := i < len(rows) && rows[i].Slot == slot && rows[i].has(g)
	for i--; i >= 0 && rows[i].Slot >= g.S0; i-- {
		if rows[i].has(g) != media {
			return max(rows[i].Slot+1, w.turned(g, here, &row))
		}
	}
	return max(g.S0, w.turned(g, here, &row))
}

// turned is the slot in which what the viewer sees became what it is at a row of the reference. It is told from times alone: rows are forgotten,
// and what a Period is called must not depend on them.
func (w Window) turned(g *Generation, here *Rendition, spine *Row) int64 {
	if w.all {
		return g.S0
	}
	start, _ := w.t.span(spine)
	since := w.sight.Since(here.Height, start)
	if since.IsZero() {
		return g.S0
	}
	l := w.t.Shape.Slot
	ticks := Rescale(since.UnixMicro(), 1_000_000, g.Timescale) - g.T0
	return min(spine.Slot, g.S0+ticks*l.Den/(l.Num*int64(g.Timescale)))
}

// Oldest is the oldest slot on which the window's manifests lean: t.Since of it, or of anything older, changes none of them. It is the
// one before the first, or where a Period that is shown began.
func (w Window) Oldest() int64 {
	s0 := w.t.record(w.spine[0].Generation).S0
	oldest := max(w.First-1, s0) // what begins the window begins where that ended
	for _, id := range w.Renditions() {
		if begins := w.Stretch(id, w.First); begins > s0 {
			oldest = min(oldest, begins-1)
		}
	}
	return oldest
}

// Ends is where the entry of one slot ends, as List would have it, if there is media; of before the window too.
func (w Window) Ends(rendition string, slot int64) (int64, bool) {
	r, ok := w.t.Row(rendition, slot)
	spine, known := w.t.Row(w.t.Shape.Reference, slot)
	g := w.t.record(r.Generation)
	if !ok || !known || g == nil || spine.Generation != r.Generation || !r.has(g) {
		return 0, false
	}
	here := w.rendition(g, rendition)
	if here == nil || !w.shows(&spine, here) {
		return 0, false
	}
	return w.ends(&r, &spine, here), true
}

// ends is where a row with media ends: not before the reference's does, if that has media too.
func (w Window) ends(r, spine *Row, here *Rendition) int64 {
	g := w.t.record(r.Generation)
	if !spine.has(g) {
		return r.End()
	}
	return max(r.End(), Rescale(spine.End(), g.Timescale, here.Timescale))
}

// Row is the timeline's, of before the window too.
func (w Window) Row(rendition string, slot int64) (Row, bool) { return w.t.Row(rendition, slot) }
