package dash_test

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Eyevinn/dash-mpd/mpd"
	"github.com/bluenviron/gohlslib/v2/pkg/playlist"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"flambeau/origin/dash"
	"flambeau/origin/hls"
	"flambeau/packager/timeline"
)

// What a second parser makes of a manifest.
type (
	period struct {
		id              string
		start, duration time.Duration
		representations []representation
	}
	representation struct {
		set        uint32
		id, init   string
		timescale  uint32
		offset     int64
		segments   []segment
		attributes string
	}
	segment struct {
		slot, start, duration int64
		name                  string
	}
)

type failer interface{ Fatalf(string, ...any) }

func parse(t failer, b []byte) (periods []period) {
	m, err := mpd.MPDFromBytes(b)
	if err != nil {
		t.Fatalf("%v:\n%s", err, b)
	}
	for _, p := range m.Periods {
		q := period{id: p.Id, start: time.Duration(*p.Start)}
		if p.Duration != nil {
			q.duration = time.Duration(*p.Duration)
		}
		for _, set := range p.AdaptationSets {
			for _, r := range set.Representations {
				q.representations = append(q.representations, read(set, r))
			}
		}
		periods = append(periods, q)
	}
	return periods
}

func read(set *mpd.AdaptationSetType, r *mpd.RepresentationType) representation {
	s := r.SegmentTemplate
	out := representation{set: *set.Id, id: r.Id, init: s.Initialization, timescale: *s.Timescale, offset: int64(*s.PresentationTimeOffset)}
	out.attributes = fmt.Sprint(set.Lang, set.ContentType, set.Par, r.Codecs, r.Bandwidth, r.Width, r.Height, r.FrameRate)
	slot, at := int64(*s.StartNumber), int64(0)
	for _, e := range s.SegmentTimeline.S {
		if e.T != nil {
			at = int64(*e.T)
		}
		for range e.R + 1 {
			out.segments = append(out.segments, segment{slot, at, int64(e.D), strings.ReplaceAll(s.Media, "$Number$", strconv.FormatInt(slot, 10))})
			slot, at = slot+1, at+int64(e.D)
		}
	}
	return out
}

func drawn(t *rapid.T) timeline.Timeline {
	clock := rapid.SampledFrom([][]take{{{frame: 3600, frames: 50}, {frame: 3003, frames: 60}, {frame: 1800, frames: 100}}, {{frame: 3003, frames: 74}}}).Draw(t, "clock")
	var takes []take
	for i := range rapid.IntRange(1, 4).Draw(t, "generations") {
		k := rapid.SampledFrom(clock).Draw(t, "rate")
		k.slots, k.renditions = rapid.IntRange(1, 12).Draw(t, "slots"), p25.renditions
		if i > 0 {
			k.silence = rapid.SampledFrom([]int64{0, 0, 1, 900_000}).Draw(t, "silence")
			k.renditions = k.renditions[:rapid.IntRange(1, 4).Draw(t, "renditions")]
		}
		takes = append(takes, k)
	}
	x := air(takes...)
	last := x.Line("v1080")[len(x.Line("v1080"))-1].Slot
	for range rapid.IntRange(0, 5).Draw(t, "oddities") {
		change := rapid.SampledFrom([]func(*timeline.Row){gap, dependent, func(r *timeline.Row) { gap(r); r.Start, r.Duration = 0, 0 }}).Draw(t, "what")
		x = with(x, rapid.SampledFrom(p25.renditions).Draw(t, "of"), rapid.Int64Range(x.Shape.First.S0, last).Draw(t, "at"), change)
	}
	return x
}

// memory is what players of one channel remember.
type memory struct {
	bytes     string
	published time.Time
	starts    map[string]time.Duration // of Periods
	fixed     map[string]string        // what is said of a rendition in a Period, and of a segment
	gone      map[string]bool          // Periods that are no longer listed
	last      []string                 // those that were
	edge      int64
}

func TestAsTheWindowSlidesNothingOnceSaidIsTakenBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := drawn(t)
		window := time.Duration(rapid.IntRange(0, 40).Draw(t, "window")) * time.Second
		forget := rapid.Bool().Draw(t, "forgets")
		m := &memory{starts: map[string]time.Duration{}, fixed: map[string]string{}, gone: map[string]bool{}}
		oldest, heard := int64(0), int64(0)
		for _, row := range whole.Line("v1080") {
			for _, lag := range []int64{rapid.Int64Range(0, 3).Draw(t, "lag"), rapid.Int64Range(0, 3).Draw(t, "then")} {
				heard = max(heard, row.Slot-lag)
				x := until(until(whole, row.Slot), heard, "a-fr", "a-en")
				if forget { // what no manifest leans on
					x = x.Since(oldest)
				}
				b, err := dash.Manifest(x, open, window)
				if err != nil {
					continue
				}
				if string(b) == m.bytes {
					continue
				}
				m.look(t, x, b)
				m.sameAsHLS(t, x, b, window)
				w, err := x.Window(window, open)
				if err != nil {
					t.Fatalf("%v", err)
				}
				oldest = max(oldest, w.Oldest())
			}
		}
	})
}

func (m *memory) look(t *rapid.T, x timeline.Timeline, b []byte) {
	parsed, err := mpd.MPDFromBytes(b)
	if err != nil {
		t.Fatalf("%v", err)
	}
	published, err := time.Parse(time.RFC3339, string(parsed.PublishTime))
	if err != nil {
		t.Fatalf("%v", err)
	}
	if published.Before(m.published) || published.Equal(m.published) && m.bytes != "" && m.bytes != string(b) {
		t.Fatalf("published %v, then %v\n%s\n%s", m.published, published, m.bytes, b)
	}
	m.bytes, m.published = string(b), published

	periods := parse(t, b)
	var ids []string
	edge := int64(0)
	for i, p := range periods {
		ids = append(ids, p.id)
		if start, ok := m.starts[p.id]; ok && start != p.start || m.gone[p.id] {
			t.Fatalf("Period %s starts at %v, before at %v; was gone: %v", p.id, p.start, start, m.gone[p.id])
		}
		m.starts[p.id] = p.start
		if i > 0 && (periods[i-1].start >= p.start || periods[i-1].start+periods[i-1].duration > p.start) {
			t.Fatalf("Period %s starts before %s ends", p.id, periods[i-1].id)
		}
		for _, r := range p.representations {
			edge = max(edge, m.rendition(t, x, p, r))
		}
	}
	if edge < m.edge {
		t.Fatalf("the edge goes back from %d to %d", m.edge, edge)
	}
	m.edge = edge
	for _, id := range m.last {
		m.gone[id] = true
	}
	for _, id := range ids {
		m.gone[id] = false
	}
	m.last = ids
}

func (m *memory) rendition(t *rapid.T, x timeline.Timeline, p period, r representation) (last int64) {
	m.same(t, p.id+" "+r.id, fmt.Sprint(r.set, r.init, r.timescale, r.offset, r.attributes))
	if d := time.Duration(r.offset%int64(r.timescale)*1e9/int64(r.timescale)) + time.Duration(r.offset/int64(r.timescale))*time.Second - p.start; d.Abs() > time.Second/time.Duration(r.timescale)+time.Microsecond {
		t.Fatalf("Period %s: presentationTimeOffset of %s is off by %v", p.id, r.id, d)
	}
	first := p.representations[0].segments
	if r.segments[0].slot != first[0].slot || len(r.segments) != len(first) {
		t.Fatalf("Period %s: %s lists other slots than %s", p.id, r.id, p.representations[0].id)
	}
	for i, s := range r.segments {
		m.same(t, s.name, fmt.Sprint(p.id, s))
		row, ok := x.Row(r.id, s.slot)
		if !ok || row.Start != s.start || row.Duration != s.duration || row.Flags.Has(timeline.Gap) || s.start < r.offset-1 {
			t.Fatalf("Period %s: %+v, published as %+v", p.id, s, row)
		}
		if i > 0 && s.start != r.segments[i-1].start+r.segments[i-1].duration {
			t.Fatalf("Period %s: a gap before %+v", p.id, s)
		}
	}
	return r.segments[len(r.segments)-1].slot
}

func (m *memory) same(t *rapid.T, what, now string) {
	if before, ok := m.fixed[what]; ok && before != now {
		t.Fatalf("%s: %s, before: %s", what, now, before)
	}
	m.fixed[what] = now
}

// sameAsHLS holds the two against each other: the same objects in the same order, up to the slot that all renditions know.
func (m *memory) sameAsHLS(t *rapid.T, x timeline.Timeline, b []byte, window time.Duration) {
	names := map[string][]string{}
	for _, p := range parse(t, b) {
		for _, r := range p.representations {
			for _, s := range r.segments {
				names[r.id] = append(names[r.id], s.name)
			}
		}
	}
	known := int64(math.MaxInt64)
	lists := map[string]playlist.Media{}
	w, err := x.Window(window, open)
	if err != nil {
		t.Fatalf("%v", err)
	}
	for _, id := range w.Renditions() {
		b, err := hls.Media(x, open, window, id)
		if err != nil {
			t.Fatalf("%s: DASH has a manifest, HLS: %v", id, err)
		}
		var l playlist.Media
		if err := l.Unmarshal(b); err != nil {
			t.Fatalf("%v", err)
		}
		lists[id], known = l, min(known, int64(l.MediaSequence+len(l.Segments)-1))
	}
	for id, l := range lists {
		var want []string
		for i, s := range l.Segments {
			if !s.Gap && int64(l.MediaSequence+i) <= known {
				want = append(want, id+"/"+s.URI)
			}
		}
		if diff := cmp.Diff(want, names[id]); diff != "" {
			t.Fatalf("%s: HLS and DASH differ: %s", id, diff)
		}
	}
}

func TestOriginsThatKeepMoreOrLessOfThePastAnswerEqualBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := drawn(t)
		window := time.Duration(rapid.IntRange(0, 40).Draw(t, "window")) * time.Second
		w, err := x.Window(window, open)
		if err != nil {
			t.Fatal(err)
		}
		a, errA := dash.Manifest(x, open, window)
		b, errB := dash.Manifest(x.Since(w.Oldest()), open, window)
		if diff := cmp.Diff(string(a), string(b)); diff != "" || (errA == nil) != (errB == nil) {
			t.Fatalf("%v, %v: %s", errA, errB, diff)
		}
	})
}

func TestNoTimelineIsTooWrongForAManifest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := drawn(t)
		wild := rapid.OneOf(rapid.Int64(), rapid.Int64Range(0, 5), rapid.Just(int64(math.MaxInt64)))
		x.Shape.TargetDuration = wild.Draw(t, "target")
		for range rapid.IntRange(1, 20).Draw(t, "changes") {
			id := rapid.SampledFrom(p25.renditions).Draw(t, "of")
			x = with(x, id, x.Shape.First.S0+rapid.Int64Range(0, 19).Draw(t, "at"), func(r *timeline.Row) {
				r.Start, r.Duration = wild.Draw(t, "start"), wild.Draw(t, "duration")
				r.Flags = timeline.Flags(rapid.Byte().Draw(t, "flags"))
			})
		}
		b, err := dash.Manifest(x, open, time.Hour)
		if err == nil && !strings.HasSuffix(string(b), "</MPD>\n") {
			t.Fatalf("%s", b)
		}
	})
}
