package packager

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"flambeau/packager/audit"
	"flambeau/packager/timeline"
	"flambeau/storage"
	"flambeau/storage/memory"
)

// TestVerifyFindsWhatWasDoneToTheStore is the negative control of every test that asks the audit: each wrong is done to a store
// in which everything holds, and has to be found, under the name of the object.
func TestVerifyFindsWhatWasDoneToTheStore(t *testing.T) {
	cuts := tell(t, "segment 2s\nvideo fps=25 gop=50 to=30\naudio lang=eng from=0.01 to=30\n")
	s0 := cuts[0].(*Opened).Generation.S0
	seg := func(n int64) string { return timeline.SegmentKey("story", "v360", s0+n) }
	for name, wrong := range map[string]struct {
		do   func(h hands)
		name string // the object that a finding must name
		what string // what it must say
	}{
		"delete":    {func(h hands) { h.delete(seg(3)) }, seg(3), "not there"},
		"flip":      {func(h hands) { h.flip(seg(3)) }, seg(3), "has hash"},
		"swap":      {func(h hands) { h.swap(seg(3), seg(4)) }, seg(4), "has hash"},
		"shift":     {func(h hands) { h.shift(seg(3)) }, seg(3), "ticks off"},
		"duplicate": {func(h hands) { h.put(seg(900), h.get(seg(3))) }, seg(900), "is in no index"},

		"duplicate over the next":  {func(h hands) { h.put(seg(4), h.get(seg(3))) }, seg(4), "has hash"},
		"swap, and the index too":  {func(h hands) { h.swap(seg(3), seg(4)); h.reindex(seg(3)); h.reindex(seg(4)) }, seg(3), "carries another row"},
		"shift, and the index too": {func(h hands) { h.shift(seg(3)); h.reindex(seg(3)) }, seg(3), "ticks off"},
		"flip, and the index too":  {func(h hands) { h.flip(seg(3)); h.reindex(seg(3)) }, seg(3), "key frame"},
		"row removed":              {func(h hands) { h.unindex(seg(3)) }, seg(3), "no index"},
		"init deleted":             {func(h hands) { h.delete(h.first("story/init/v360/")) }, "story/init/v360/", "not there"},
		"truncate":                 {func(h hands) { h.put(seg(3), h.get(seg(3))[:900]) }, seg(3), "bytes, its row says"},
		"a false gap":              {func(h hands) { h.bury(seg(3)); h.close(seg(3)) }, seg(3), "media goes on without a hole"},
		"a gap, and media kept aside": {func(h hands) {
			h.put(timeline.AltKey("story", "v360", s0+3, timeline.Hash{1}), h.get(seg(3)))
			h.bury(seg(3))
		}, seg(3), "has media of it"},
		"longer than playlists may say": {func(h hands) { h.editIndex(func(x *timeline.Index) { x.Rows[0].Duration *= 3 }) }, "story/seg/", "more than the target duration"},
		"a border without a reason":     {func(h hands) { h.split(s0+5, "", 0) }, seg(5), "neither clock nor tracks are others"},
		"a border in one rendition":     {func(h hands) { h.split(s0+5, "v360", 0) }, timeline.SegmentKey("story", "a-en", s0+6), "the reference of that slot of 1"},
		"a generation before the last":  {func(h hands) { h.split(s0+5, "", -90000*3600) }, seg(5), "begins before generation 0"},
		"a border that is missing":      {func(h hands) { h.bury(seg(3)); h.later(s0+4, 90000*3600) }, seg(4), "no generation begins"},
		"shape gone to another one":     {func(h hands) { h.replace("story/shape.json", `"v360"`, `"v361"`) }, seg(3), "there is no record"},
	} {
		t.Run(name, func(t *testing.T) {
			s := memory.New()
			publishAll(t, s, cuts)
			mustHold(t, s)
			wrong.do(hands{t, s})
			r, err := audit.Run(t.Context(), s, "story", audit.Span{})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(r.Findings, func(f audit.Finding) bool {
				return strings.HasPrefix(f.Object, wrong.name) && strings.Contains(f.What, wrong.what)
			}) {
				t.Errorf("not found: %s %q among %v", wrong.name, wrong.what, r.Findings)
			}
		})
	}
}

// hands do to a store what no worker would.
type hands struct {
	t *testing.T
	s storage.Store
}

func (h hands) get(key string) []byte {
	h.t.Helper()
	b, _, err := storage.ReadAll(h.t.Context(), h.s, key, storage.Get{}, 1<<30)
	if err != nil {
		h.t.Fatal(err)
	}
	return b
}

func (h hands) put(key string, b []byte) {
	h.t.Helper()
	if _, err := h.s.Put(h.t.Context(), key, b, storage.Put{}); err != nil {
		h.t.Fatal(err)
	}
}

func (h hands) delete(key string) {
	if err := h.s.Delete(h.t.Context(), key); err != nil {
		h.t.Fatal(err)
	}
}

func (h hands) first(prefix string) string {
	for info, err := range h.s.List(h.t.Context(), prefix, "") {
		if err != nil {
			h.t.Fatal(err)
		}
		return info.Key
	}
	h.t.Fatal("nothing below " + prefix)
	return ""
}

// flip turns one bit of the first frame.
func (h hands) flip(key string) {
	b := h.get(key)
	b[bytes.Index(b, []byte("mdat"))+6] ^= 1
	h.put(key, b)
}

func (h hands) swap(a, b string) {
	x, y := h.get(a), h.get(b)
	h.put(a, y)
	h.put(b, x)
}

func (h hands) replace(key, old, with string) {
	h.put(key, bytes.ReplaceAll(h.get(key), []byte(old), []byte(with)))
}

// shift moves the first fragment's tfdt by one tick.
func (h hands) shift(key string) {
	b := h.get(key)
	at := bytes.Index(b, []byte("tfdt")) + 8
	binary.BigEndian.PutUint64(b[at:], binary.BigEndian.Uint64(b[at:])+1)
	h.put(key, b)
}

func (h hands) editIndex(edit func(*timeline.Index)) {
	key := timeline.RootKey("story", "a")
	x, err := timeline.DecodeIndex(h.get(key))
	if err != nil {
		h.t.Fatal(err)
	}
	edit(&x)
	h.put(key, x.Encode())
}

// reindex makes the row of an object say the size and hash that the object has now.
func (h hands) reindex(key string) {
	rendition, slot, _ := timeline.ParseSegmentKey("story", key)
	body := h.get(key)
	h.editIndex(func(x *timeline.Index) {
		for i := range x.Rows {
			if r := &x.Rows[i]; r.Rendition == rendition && r.Slot == slot {
				r.Size, r.Hash = int64(len(body)), hashOf(body)
			}
		}
	})
}

// bury puts a tombstone where a segment is, in the index too.
func (h hands) bury(key string) {
	rendition, slot, _ := timeline.ParseSegmentKey("story", key)
	s, err := timeline.DecodeShape(h.get(timeline.ShapeKey("story")))
	if err != nil {
		h.t.Fatal(err)
	}
	r, _ := s.First.Rendition(rendition)
	e := tombstone(s, s.First, r, slot)
	h.put(key, e.body)
	h.editIndex(func(x *timeline.Index) {
		for i := range x.Rows {
			if x.Rows[i].Rendition == rendition && x.Rows[i].Slot == slot {
				x.Rows[i] = e.RenditionRow
			}
		}
	})
}

// close makes the row after an object begin where the row before it ends.
func (h hands) close(key string) {
	rendition, slot, _ := timeline.ParseSegmentKey("story", key)
	h.editIndex(func(x *timeline.Index) {
		end := int64(0)
		for i := range x.Rows {
			if r := &x.Rows[i]; r.Rendition == rendition && r.Slot == slot-1 {
				end = r.End()
			} else if r.Rendition == rendition && r.Slot == slot+1 {
				r.Start = end
			}
		}
	})
}

// later moves the rows of the reference from a slot on.
func (h hands) later(from, by int64) {
	h.editIndex(func(x *timeline.Index) {
		for i := range x.Rows {
			if r := &x.Rows[i]; r.Rendition == "v360" && r.Slot >= from {
				r.Start += by
			}
		}
	})
}

// split lets another generation begin at a slot, on the same clock but for by, in one rendition or in all.
func (h hands) split(from int64, only string, by int64) {
	s, err := timeline.DecodeShape(h.get(timeline.ShapeKey("story")))
	if err != nil {
		h.t.Fatal(err)
	}
	g := s.First
	g.Number, g.S0, g.Why, g.T0 = 1, from, "jump", s.First.Nominal(s, from, s.First.Timescale)
	g.Renditions = slices.Clone(g.Renditions)
	for i := range g.Renditions {
		r := &g.Renditions[i]
		r.Zero += timeline.Rescale(g.T0-s.First.T0, g.Timescale, r.SourceTimescale)
	}
	g.T0 += by
	b, hash := g.Encode()
	name := timeline.GenerationName{Number: 1, Hash: hash.Short()}
	h.put(timeline.AnchorKeyNamed("story", name), b)
	h.editIndex(func(x *timeline.Index) {
		x.Generations = append(x.Generations, name)
		for i := range x.Rows {
			if r := &x.Rows[i]; r.Slot >= from && (only == "" || r.Rendition == only) {
				r.Generation = 1
			}
		}
	})
}

func (h hands) unindex(key string) {
	rendition, slot, _ := timeline.ParseSegmentKey("story", key)
	h.editIndex(func(x *timeline.Index) {
		x.Rows = slices.DeleteFunc(x.Rows, func(r timeline.RenditionRow) bool { return r.Rendition == rendition && r.Slot == slot })
	})
}
