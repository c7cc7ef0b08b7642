package timeline_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"flambeau/packager/timeline"
)

// FuzzRecords takes the three records that are JSON. What is believed of one can be written, read again as the same, and computed with;
// a window and a list are made of it without a panic.
func FuzzRecords(f *testing.F) {
	shape, _ := air(p25).Shape.Encode()
	generation, _ := air(p25).Shape.First.Encode()
	loss, _ := timeline.Loss{Format: timeline.Format, Channel: "c", Worker: "w", Slot: 9, Entries: []timeline.LossEntry{{Track: 256, Rendition: "v1", Reason: "hole", First: 7, Last: 9, Timescale: 90000}}}.Encode()
	f.Add(byte(0), shape)
	f.Add(byte(1), generation)
	f.Add(byte(2), loss)
	f.Add(byte(0), bytes.ReplaceAll(shape, []byte(`"num": 2`), []byte(`"num": 2147483647`)))
	f.Fuzz(func(t *testing.T, which byte, b []byte) {
		switch which % 3 {
		case 0:
			s, err := timeline.DecodeShape(b)
			if err != nil {
				return
			}
			same(t, s, timeline.Shape.Encode, timeline.DecodeShape)
			usable(t, s, s.First)
		case 1:
			g, err := timeline.DecodeGeneration(b)
			if err != nil {
				return
			}
			same(t, g, timeline.Generation.Encode, timeline.DecodeGeneration)
			usable(t, air(p25).Shape, g)
		default:
			if l, err := timeline.DecodeLoss(b); err == nil {
				same(t, l, timeline.Loss.Encode, timeline.DecodeLoss)
			}
		}
	})
}

func same[T any](t *testing.T, v T, encode func(T) ([]byte, timeline.Hash), decode func([]byte) (T, error)) {
	t.Helper()
	b, _ := encode(v)
	again, err := decode(b)
	if err != nil {
		t.Fatalf("what was read can't be written and read again: %v\n%s", err, b)
	}
	if twice, _ := encode(again); !bytes.Equal(b, twice) {
		t.Fatalf("%s\nis read and written as\n%s", b, twice)
	}
}

// usable does with a record what readers do.
func usable(t *testing.T, s timeline.Shape, g timeline.Generation) {
	tl := timeline.New(s).With(g)
	for _, r := range g.Renditions {
		for _, slot := range []int64{g.S0, g.S0 + 1, g.S0 + 2} {
			at := g.Nominal(s, slot, r.Timescale)
			if timeline.UTC(at, r.Timescale).Location() != time.UTC {
				t.Fatal("no UTC")
			}
			tl = tl.Append(r.ID, timeline.Row{Slot: slot, Generation: g.Number, Start: at, Duration: s.Slot.Floor(1, r.Timescale)})
		}
		if key := timeline.SegmentKey("c", r.ID, g.S0); strings.Count(key, "/") != 3 {
			t.Fatalf("rendition %q makes the key %s", r.ID, key)
		}
	}
	if w, err := tl.Window(time.Minute, anyone{}); err == nil {
		for _, id := range w.Renditions() {
			w.List(id)
		}
		w.Oldest()
	}
	for _, r := range g.Renditions {
		tl.Row(r.ID, g.S0)
		tl.Line(r.ID)
	}
}

// FuzzKeys: a name that is read as a segment's or a page's is one, and is that of what was read.
func FuzzKeys(f *testing.F) {
	f.Add("c/seg/v1080/000000000007.m4s")
	f.Add("c/seg/../../000000000007.m4s")
	f.Add("c/index/minute/60.w.0.idx")
	f.Add("c/index/minute/-60.w")
	f.Add("c/alt/v1080/7-5d41402a.m4s")
	f.Fuzz(func(t *testing.T, key string) {
		if rendition, slot, ok := timeline.ParseSegmentKey("c", key); ok && timeline.SegmentKey("c", rendition, slot) != key {
			t.Fatalf("%q is slot %d of %q", key, slot, rendition)
		}
		if rendition, slot, ok := timeline.ParseAltKey("c", key); ok && (slot < 0 && key[len("c/alt/")+len(rendition)+1] != '-' || len(key) < 10) {
			t.Fatalf("%q is a copy of slot %d of %q", key, slot, rendition)
		}
		if span, _, ok := timeline.ParsePageKey("c", key); ok && !strings.HasPrefix(key, "c/index/"+span+"/") {
			t.Fatalf("%q is of span %q", key, span)
		}
	})
}

// anyone sees everything.
type anyone struct{}

func (anyone) Covers(start, end time.Time) bool { return true }
func (anyone) Allows(height int) bool           { return true }
func (anyone) Everything() bool                 { return true }

func (anyone) AllowsAt(height int, start, end time.Time) bool    { return true }
func (anyone) Since(height int, at time.Time) (always time.Time) { return always }
