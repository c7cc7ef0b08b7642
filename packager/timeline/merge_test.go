package timeline

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

var shape = Shape{
	Format: Format, Channel: "c", Slot: Seconds(2, 1), TargetDuration: 2, Part: Seconds(12, 25), Interval: Seconds(2, 1), Reference: "v360",
	First: Generation{Timescale: 90000, T0: 90000 * 1_770_000_000, S0: 885_000_000, Why: "start", Renditions: []Rendition{
		{ID: "v360", Kind: "video", Timescale: 90000, SourceTimescale: 90000}, {ID: "a-en", Kind: "audio", Timescale: 48000, SourceTimescale: 90000}}},
}

// drawRow draws a row of which create-only allows one, or now and then another that somebody lied about.
func drawRow(t *rapid.T, slot int64) Row {
	r := Row{Slot: slot, Start: slot * 180000, Duration: 180000, Size: 1000, Written: rapid.Int64Range(1, 9).Draw(t, "written")}
	version := rapid.SampledFrom([]int64{0, 0, 0, 0, 1, 2}).Draw(t, "version")
	r.Hash = sha256.Sum256(binary.AppendVarint(nil, slot*8+version))
	if version == 2 {
		r.Flags = Gap
	}
	return r
}

func drawTimeline(t *rapid.T) Timeline {
	tl := New(shape)
	for range rapid.IntRange(0, 12).Draw(t, "rows") {
		id := rapid.SampledFrom([]string{"v360", "a-en"}).Draw(t, "rendition")
		tl = tl.Append(id, drawRow(t, rapid.Int64Range(10, 18).Draw(t, "slot")))
	}
	if rapid.Bool().Draw(t, "second generation") {
		g := shape.First
		g.Number, g.S0, g.Why = 1, 15, rapid.SampledFrom([]string{"jump", "silence"}).Draw(t, "why")
		tl = tl.With(g)
	}
	return tl
}

func same(t *rapid.T, law string, a, b Timeline) {
	if len(a.Lines) == 0 && len(b.Lines) == 0 {
		a.Lines, b.Lines = nil, nil
	}
	if len(a.Conflicts) == 0 && len(b.Conflicts) == 0 {
		a.Conflicts, b.Conflicts = nil, nil
	}
	if !reflect.DeepEqual(a, b) {
		t.Fatalf("%s:\n%+v %v\n%+v %v", law, a.Lines, a.Conflicts, b.Lines, b.Conflicts)
	}
}

func TestMergeIsCommutativeAssociativeIdempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := drawTimeline(t), drawTimeline(t), drawTimeline(t)
		same(t, "commutative", a.Merge(b), b.Merge(a))
		same(t, "associative", a.Merge(b).Merge(c), a.Merge(b.Merge(c)))
		same(t, "idempotent", a.Merge(a), a)
		same(t, "idempotent of a union", a.Merge(b).Merge(b), a.Merge(b))
	})
}

func TestMergeNeverForgetsARowAndNeverChangesItsArguments(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawTimeline(t), drawTimeline(t)
		was := a.Merge(New(shape)) // a copy
		m := a.Merge(b)
		same(t, "argument changed", a, was)
		for _, l := range b.Lines {
			for _, r := range l.Rows {
				if _, ok := m.Row(l.Rendition, r.Slot); !ok {
					t.Fatalf("slot %d of %s is gone", r.Slot, l.Rendition)
				}
			}
		}
	})
}

func TestTwoRowsOfOneNameAreAConflict(t *testing.T) {
	r := Row{Slot: 12, Hash: Hash{1}}
	other := Row{Slot: 12, Hash: Hash{2}}
	gap := Row{Slot: 12, Hash: Hash{0}, Flags: Gap}
	tl := New(shape).Append("v360", other).Merge(New(shape).Append("v360", r, gap))
	if got, _ := tl.Row("v360", 12); got.Hash != r.Hash {
		t.Errorf("hash %s wins", got.Hash)
	}
	if len(tl.Conflicts) != 1 || tl.Conflicts[0] != (Conflict{"v360", 12}) {
		t.Errorf("conflicts: %v", tl.Conflicts)
	}
	if again := tl.Append("v360", Row{Slot: 13}); len(again.Conflicts) != 1 {
		t.Errorf("an append forgot the conflict: %v", again.Conflicts)
	}
}

func drawIndex(t *rapid.T) Index {
	x := Index{Channel: "curling-a", Worker: "a", Written: rapid.Int64Range(0, 1<<50).Draw(t, "written"), Generations: []GenerationName{{0, ""}, {1, "5d41402a"}}}
	for range rapid.IntRange(0, 3).Draw(t, "pages") {
		first := rapid.Int64Range(0, 1<<40).Draw(t, "first")
		x.Pages = append(x.Pages, Page{PageKey("curling-a", "minute", first, "a", 0), first, first + 29})
	}
	for range rapid.IntRange(0, 5).Draw(t, "rows") {
		r := RenditionRow{"v1080", drawRow(t, rapid.Int64Range(0, 1<<40).Draw(t, "slot"))}
		r.Generation = rapid.IntRange(0, 9).Draw(t, "generation")
		r.Flags = Flags(rapid.IntRange(0, 7).Draw(t, "flags"))
		for range rapid.IntRange(0, 3).Draw(t, "keys") {
			r.Keys = append(r.Keys, Key{rapid.Int64Range(0, 1<<40).Draw(t, "time"), 28, 20480, [8]byte{1, 2, 3, 4, 5, 6, 7, 255}})
		}
		x.Rows = append(x.Rows, r)
	}
	return x
}

func TestIndexReadsBackWhatWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := drawIndex(t)
		got, err := DecodeIndex(x.Encode())
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, x) {
			t.Fatalf("%+v\n%+v", got, x)
		}
		for _, r := range x.Rows {
			carried, err := ParseRow(string(r.Carried()))
			carried.Size, carried.Hash, carried.Written = r.Size, r.Hash, r.Written
			if err != nil || !reflect.DeepEqual(carried, r) {
				t.Fatalf("carried: %+v %v", carried, err)
			}
		}
	})
}

func TestAnIndexThatIsWrongIsRefusedByItsLine(t *testing.T) {
	good := string(Index{Channel: "c", Worker: "w", Rows: []RenditionRow{{"v1", Row{Slot: 7, Keys: []Key{{0, 1, 2, [8]byte{}}}}}}}.Encode())
	if _, err := DecodeIndex([]byte(good + "later words of a later version\n")); err != nil {
		t.Errorf("an unknown line is refused: %v", err)
	}
	for name, bad := range map[string]string{
		"cut short":       good[:len(good)-3],
		"other format":    "flambeau-index 1\n",
		"no header":       "channel c\n",
		"negative slot":   good + "row v1 -7 0 0 0 0 - - 0 -\n",
		"name with slash": good + "row ../v1 7 0 0 0 0 - - 0 -\n",
		"hash too short":  good + "row v1 7 0 0 0 0 abcd - 0 -\n",
		"unknown flag":    good + "row v1 7 0 0 0 0 - q 0 -\n",
		"too many words":  good + "row v1 7 0 0 0 0 - - 0 - more\n",
		"key cut":         good + "row v1 7 0 0 0 0 - - 0 1:2:3\n",
	} {
		if _, err := DecodeIndex([]byte(bad)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzDecodeIndex(f *testing.F) {
	f.Add(Index{Channel: "c", Worker: "w", Generations: []GenerationName{{0, ""}}, Pages: []Page{{"c/index/minute/60.w.0.idx", 1, 2}},
		Rows: []RenditionRow{{"v1", Row{Slot: 7, Keys: []Key{{0, 1, 2, [8]byte{}}}}}}}.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := DecodeIndex(b)
		if err != nil {
			return
		}
		again, err := DecodeIndex(x.Encode())
		if err != nil || !bytes.Equal(again.Encode(), x.Encode()) {
			t.Fatalf("what was read can't be written and read again: %v", err)
		}
	})
}

func TestRationalsAreExact(t *testing.T) {
	l := Seconds(37*1001, 30000)
	for _, c := range []struct{ got, want int64 }{
		{l.Floor(1, 90000), 111111},
		{l.Floor(1_189_700, 90000), 132188756700},         // seventeen days of slots: exact, 111111 × 1189700
		{l.Count(111111, 90000), 1},                       //
		{l.Count(111110, 90000), 0},                       //
		{l.Count(-1, 90000), -1},                          //
		{l.Count(90000*1_770_000_000, 90000), 1433701433}, // floor(1770000000 × 30000 / 37037)
		{Seconds(1, 3).CeilTicks(1, 1000), 334},
		{Seconds(-7, 2).Ceil(), -3},
		{Rescale(1, 90000, 48000), 1},
		{Rescale(-1, 2, 1), 0}, // halves up
		{CeilRescale(1, 90000, 48000), 1},
		{CeilRescale(-1, 90000, 48000), 0},
		{Rescale(90000*1_770_000_000, 90000, 44100), 44100 * 1_770_000_000},
	} {
		if c.got != c.want {
			t.Errorf("got %d, want %d", c.got, c.want)
		}
	}
}

func FuzzRationalAgreesWithBig(f *testing.F) {
	f.Add(int64(37037), int64(30000), int64(159300000000000))
	f.Fuzz(func(t *testing.T, num, den, ticks int64) {
		if num <= 0 || den <= 0 || num >= 1<<31 || den >= 1<<31 || ticks > 1<<50 || ticks < -1<<50 {
			return
		}
		agreesWithBig(t, Seconds(num, den), ticks)
	})
}
