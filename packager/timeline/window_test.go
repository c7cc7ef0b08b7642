package timeline_test

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"flambeau/origin/rights"
	"flambeau/packager/timeline"
)

var open = rights.Open()

func window(t *testing.T, x timeline.Timeline, d time.Duration, g timeline.Sight) timeline.Window {
	t.Helper()
	w, err := x.Window(d, g)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestTheWindowIsTheSlotsThatEndWithinIt(t *testing.T) {
	long := p25
	long.slots = 1000
	x := air(long)
	s0, edge := x.Shape.First.S0, x.Shape.First.S0+999
	for _, c := range []struct {
		d     time.Duration
		first int64
	}{
		{0, edge - 5},                // six, however short
		{-time.Hour, edge - 5},       //
		{12 * time.Second, edge - 5}, // six of 2 s
		{12*time.Second + 1, edge - 5},
		{12*time.Second + time.Microsecond, edge - 6}, // one that ends within it by a hair
		{15 * time.Minute, edge - 449},
		{time.Hour, s0},
		{math.MaxInt64, s0},
	} {
		if w := window(t, x, c.d, open); w.First != c.first || w.Last != edge || w.Edge.Slot != edge {
			t.Errorf("%v: slots %d to %d, edge %d; want %d to %d", c.d, w.First, w.Last, w.Edge.Slot, c.first, edge)
		}
	}
}

func TestAHoleInTheReferenceEndsTheWindow(t *testing.T) {
	x := air(p25)
	s0 := x.Shape.First.S0
	x.Lines = slices.Clone(x.Lines)
	for i, l := range x.Lines {
		if l.Rendition == "v1080" {
			x.Lines[i].Rows = slices.Delete(slices.Clone(l.Rows), 4, 5)
		}
	}
	if w := window(t, x, time.Hour, open); w.Last != s0+3 {
		t.Errorf("last slot %d, want %d", w.Last, s0+3)
	}
}

func TestARowWithoutItsGenerationsRecordIsNotKnownYet(t *testing.T) {
	x := air(p25, p25)
	second := x.Newest()
	x.Generations = x.Generations[:1]
	if w := window(t, x, time.Hour, open); w.Last != second.S0-1 {
		t.Errorf("last slot %d, want %d", w.Last, second.S0-1)
	}
}

func TestGenerationNumbersThatSkipAreRefused(t *testing.T) {
	x := air(p25)
	x = with(x, "v1080", x.Shape.First.S0+5, func(r *timeline.Row) { r.Generation = 2 })
	if _, err := x.Window(time.Hour, open); !errors.Is(err, timeline.ErrGenerations) {
		t.Errorf("error %v", err)
	}
}

func TestAnEmptyChannelHasNoWindow(t *testing.T) {
	if _, err := timeline.New(air(p25).Shape).Window(time.Hour, open); !errors.Is(err, timeline.ErrEmpty) {
		t.Errorf("error %v", err)
	}
}

func TestAGrantShowsWholeSlotsOfItsSpan(t *testing.T) {
	x := air(p25)
	s0 := x.Shape.First.S0
	at := func(slot int64) time.Time { return timeline.UTC(t0+(slot-s0)*180000, 90000) }
	g := rights.Grant{From: at(s0 + 2).Add(time.Nanosecond), Until: at(s0 + 7)}
	w := window(t, x, time.Hour, g)
	if w.First != s0+3 || w.Last != s0+6 {
		t.Errorf("slots %d to %d, want %d to %d", w.First-s0, w.Last-s0, 3, 6)
	}
	// Sound of the last slot ends after the grant does. It belongs to the slot.
	list, err := w.List("a-fr")
	if err != nil || len(list) != 4 || list[3].Row == nil {
		t.Errorf("sound lists %d slots, error %v", len(list), err)
	}
	for slot, sees := range map[int64]bool{s0 + 2: false, s0 + 3: true, s0 + 6: true, s0 + 7: false, s0 + 10: false} {
		if x.Sees(g, 0, slot) != sees {
			t.Errorf("slot %d: sees %v", slot-s0, !sees)
		}
	}
	if _, err := x.Window(time.Hour, rights.Grant{From: at(s0 + 100)}); !errors.Is(err, timeline.ErrEmpty) {
		t.Errorf("a grant that has not begun: error %v", err)
	}
}

// blackout hides a stretch of media time from a viewer, and pictures above 720 lines for as long before it.
type blackout struct{ from, until time.Time }

func (b blackout) Everything() bool           { return false }
func (b blackout) Allows(height int) bool     { return true }
func (b blackout) half() time.Time            { return b.from.Add(b.from.Sub(b.until)) }
func (b blackout) Covers(s, e time.Time) bool { return b.AllowsAt(0, s, e) }
func (b blackout) AllowsAt(height int, s, e time.Time) bool {
	from := b.from
	if height > 720 {
		from = b.half()
	}
	return !e.After(from) || !s.Before(b.until)
}

func (b blackout) Since(height int, at time.Time) (since time.Time) {
	turns := []time.Time{b.from, b.until}
	if height > 720 {
		turns[0] = b.half()
	}
	for _, t := range turns {
		if !at.Before(t) {
			since = t
		}
	}
	return since
}

// TestABlackoutIsAGapToWhomItIsOne: numbers go on over it, and what a Period behind it is called does not change when it is long ago.
func TestABlackoutIsAGapToWhomItIsOne(t *testing.T) {
	x := air(p25, p25)
	s0 := x.Shape.First.S0
	at := func(slot int64) time.Time { return timeline.UTC(t0+(slot-s0)*180000, 90000) }
	see := blackout{at(s0 + 4), at(s0 + 7)}
	w := window(t, x, time.Hour, see)
	for id, want := range map[string]string{
		"v1080": "#......#############", "v720": "####...#############", "a-fr": "####...#############",
	} {
		list, err := w.List(id)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, e := range list {
			got += map[bool]string{true: ".", false: "#"}[e.Row == nil]
		}
		if got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
	if w := window(t, until(until(until(x, s0+6, "v1080"), s0+6, "v720"), s0+6, "a-fr"), time.Hour, see); w.Last != s0+3 {
		t.Errorf("while it lasts slot %d is listed, want none after %d", w.Last-s0, 3)
	}
	for id, want := range map[string]int64{"v1080": 7, "v720": 7, "a-fr": 7} {
		whole, late := window(t, x, time.Hour, see), window(t, x.Since(s0+8), time.Hour, see)
		if a, b := whole.Stretch(id, s0+9), late.Stretch(id, s0+9); a != s0+want || b != a {
			t.Errorf("%s: what goes on in slot 9 began in %d, and in %d once it is long ago, want %d", id, a-s0, b-s0, want)
		}
	}
	if got := w.Stretch("v1080", s0+2); got != s0+1 {
		t.Errorf("the hidden picture began to be so in slot %d, want 1", got-s0)
	}
	if _, ok := w.Ends("v720", s0+5); ok {
		t.Error("a slot that is hidden has an end")
	}
	if x.Sees(see, 0, s0+4) || !x.Sees(see, 720, s0+3) || x.Sees(see, 1080, s0+3) {
		t.Error("a slot is seen otherwise than it is listed")
	}
}

func TestAListGoesUpToTheFirstUnknownSlotAndSaysWhatIsMissing(t *testing.T) {
	second := p25
	second.renditions = []string{"v1080", "a-fr"}
	x := air(p25, second)
	s0 := x.Shape.First.S0
	x = with(x, "a-fr", s0+3, gap)
	x = with(x, "a-fr", s0+4, func(r *timeline.Row) { r.Duration = 0 })
	x = with(x, "a-fr", s0+5, func(r *timeline.Row) { r.Generation = 1 })
	x = until(x, s0+16, "a-fr")
	w := window(t, x, time.Hour, open)
	for id, want := range map[string]string{
		"v1080": "####################",
		"v720":  "##########..........", // its second generation does not have it
		"a-fr":  "###...###########",
	} {
		list, err := w.List(id)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for i, e := range list {
			if e.Slot != w.First+int64(i) || e.Duration <= 0 {
				t.Errorf("%s: entry %d is of slot %d and lasts %d", id, i, e.Slot-s0, e.Duration)
			}
			got += string(".#"[min(1, len(kept(e)))])
		}
		if got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
	if _, err := w.List("a-it"); !errors.Is(err, timeline.ErrRendition) {
		t.Errorf("unknown rendition: %v", err)
	}
	low := window(t, x, time.Hour, rights.Grant{MaxHeight: 720})
	if _, err := low.List("v1080"); !errors.Is(err, timeline.ErrRendition) {
		t.Errorf("too high a rendition: %v", err)
	}
	if list, err := low.List("v720"); len(list) != 20 {
		t.Errorf("v720 without v1080: %d entries, %v", len(list), err)
	}
}

func kept(e timeline.Entry) []int64 {
	if e.Row == nil {
		return nil
	}
	return []int64{e.Row.Slot}
}

func TestATombstoneOfTheReferenceLastsAsLongAsASlotShould(t *testing.T) {
	x := air(p2997)
	s := x.Shape.First.S0 + 4
	x = with(x, "v1080", s, func(r *timeline.Row) { gap(r); r.Start, r.Duration = 0, 0 })
	list, err := window(t, x, time.Hour, open).List("v1080")
	if err != nil {
		t.Fatal(err)
	}
	if e := list[4]; e.Row != nil || e.Start != list[3].End() || e.End() != list[5].Start {
		t.Errorf("from %d to %d, between %d and %d", e.Start, e.End(), list[3].End(), list[5].Start)
	}
}

func TestAStretchBeginsWhereAGapEndsOrItsGenerationBegins(t *testing.T) {
	x := air(p25, p25)
	s0 := x.Shape.First.S0
	for _, slot := range []int64{s0 + 3, s0 + 4, s0 + 13} {
		x = with(x, "a-fr", slot, gap)
	}
	w := window(t, x, time.Hour, open)
	for slot, begins := range map[int64]int64{2: 0, 3: 3, 4: 3, 5: 5, 9: 5, 10: 10, 12: 10, 13: 13, 19: 14} {
		if got := w.Stretch("a-fr", s0+slot); got != s0+begins {
			t.Errorf("slot %d: stretch begins at %d, want %d", slot, got-s0, begins)
		}
	}
	if got := w.Stretch("v720", s0+9); got != s0 {
		t.Errorf("pictures: %d", got-s0)
	}
	if got := window(t, x, 0, open).Oldest(); got != s0+13 {
		t.Errorf("the last six slots lean on %d, want 13, the gap", got-s0)
	}
	if got := window(t, air(p25), 0, open).Oldest(); got != s0+3 {
		t.Errorf("without gaps the last six slots lean on %d, want 3, the one before them", got-s0)
	}
}

// Whatever stands in an index, nothing panics, and every list has one entry a slot.
func TestNoTimelineIsTooWrongForAWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := air(p25, p2997)
		wild := rapid.OneOf(rapid.Int64(), rapid.Int64Range(0, 5), rapid.Just(int64(math.MaxInt64)))
		for range rapid.IntRange(1, 20).Draw(t, "changes") {
			id := rapid.SampledFrom(p25.renditions).Draw(t, "rendition")
			x = with(x, id, x.Shape.First.S0+rapid.Int64Range(0, 19).Draw(t, "slot"), func(r *timeline.Row) {
				switch rapid.IntRange(0, 4).Draw(t, "what") {
				case 0:
					r.Start = wild.Draw(t, "start")
				case 1:
					r.Duration = wild.Draw(t, "duration")
				case 2:
					r.Flags = timeline.Flags(rapid.Byte().Draw(t, "flags"))
				case 3:
					r.Generation = int(rapid.Int64Range(-1, 3).Draw(t, "generation"))
				case 4:
					r.Keys = []timeline.Key{{Time: wild.Draw(t, "time"), Offset: wild.Draw(t, "offset"), Size: wild.Draw(t, "size")}}
				}
			})
		}
		w, err := x.Window(time.Duration(wild.Draw(t, "window")), open)
		if err != nil {
			return
		}
		w.Oldest()
		for _, id := range w.Renditions() {
			list, err := w.List(id)
			if err != nil {
				t.Fatal(err)
			}
			for i, e := range list {
				if e.Slot != w.First+int64(i) {
					t.Fatalf("%s: entry %d is of slot %d", id, i, e.Slot)
				}
			}
		}
	})
}
