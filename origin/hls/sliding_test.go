package hls_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gohlslib/v2/pkg/playlist"
	"pgregory.net/rapid"

	"flambeau/origin/hls"
	"flambeau/packager/timeline"
)

// drawn is a channel of a few generations, with gaps, dependent segments and tombstones that do not say how long they are.
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

// seen is what a viewer of one playlist remembers.
type seen struct {
	sequence, discontinuities int
	entries                   map[int]string    // by media sequence: everything said of it
	at                        map[int]time.Time // and when it is
}

func TestAsTheWindowSlidesNothingOnceSaidIsTakenBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := drawn(t)
		window := time.Duration(rapid.IntRange(0, 40).Draw(t, "window")) * time.Second
		rows := whole.Line("v1080")
		remembered := map[string]*seen{}
		moved := false
		for _, edge := range rows {
			x := until(whole, edge.Slot)
			lag := rapid.Int64Range(0, 2).Draw(t, "lag")
			x = until(x, edge.Slot-lag, "a-fr", "a-en")
			for _, id := range p25.renditions {
				b, err := hls.Media(x, open, window, id)
				if err != nil {
					continue
				}
				s := remembered[id]
				if s == nil {
					s = &seen{entries: map[int]string{}, at: map[int]time.Time{}}
					remembered[id] = s
				}
				s.look(t, x, id, b, lag > 0)
				moved = moved || len(s.entries) > 0
			}
		}
		if !moved {
			t.Fatal("nothing was ever listed")
		}
	})
}

func (s *seen) look(t *rapid.T, x timeline.Timeline, id string, b []byte, late bool) {
	var m playlist.Media
	if err := m.Unmarshal(b); err != nil {
		t.Fatalf("%v:\n%s", err, b)
	}
	if m.MediaSequence < s.sequence || m.DiscontinuitySequence == nil || *m.DiscontinuitySequence < s.discontinuities {
		t.Fatalf("%s: numbers go back: media %d after %d, discontinuity %v after %d", id, m.MediaSequence, s.sequence, m.DiscontinuitySequence, s.discontinuities)
	}
	if !late && len(m.Segments) < min(timeline.MinShown, len(x.Line("v1080"))) {
		t.Fatalf("%s: only %d segments", id, len(m.Segments))
	}
	s.sequence, s.discontinuities = m.MediaSequence, *m.DiscontinuitySequence
	number := s.discontinuities
	var at time.Time
	for i, e := range m.Segments {
		slot := m.MediaSequence + i
		if e.Discontinuity {
			number++
		}
		if e.DateTime != nil {
			at = *e.DateTime
		}
		if math.Round(e.Duration.Seconds()) > float64(m.TargetDuration) {
			t.Fatalf("%s: %v in a target duration of %d s", id, e.Duration, m.TargetDuration)
		}
		says := fmt.Sprintf("%s gap %v discontinuity sequence %d lasts %v", e.URI, e.Gap, number, e.Duration)
		if before, ok := s.entries[slot]; ok && before != says {
			t.Fatalf("%s: slot %d: %s; before: %s", id, slot, says, before)
		}
		s.entries[slot] = says
		if before, ok := s.at[slot]; ok && before.Sub(at).Abs() > time.Millisecond+2*time.Microsecond {
			t.Fatalf("%s: slot %d is at %v, before: %v", id, slot, at, before)
		}
		s.at[slot] = at
		checkAgainstTheRow(t, x, id, int64(slot), number, e, at)
		at = at.Add(e.Duration)
	}
}

// checkAgainstTheRow holds what a player would believe against what was published: PDT and the sum of EXTINF since are media time.
func checkAgainstTheRow(t *rapid.T, x timeline.Timeline, id string, slot int64, number int, e *playlist.MediaSegment, at time.Time) {
	row, ok := x.Row(id, slot)
	if media := ok && !row.Flags.Has(timeline.Gap); media == e.Gap {
		t.Fatalf("%s: slot %d: gap %v, row %+v", id, slot, e.Gap, row)
	}
	ref, _ := x.Row("v1080", slot)
	if e.URI != fmt.Sprintf("%d.m4s", slot) || number != ref.Generation {
		t.Fatalf("%s: slot %d is %s of discontinuity %d, generation %d", id, slot, e.URI, number, ref.Generation)
	}
	if e.Gap {
		return
	}
	g, _ := x.Generation(row.Generation)
	r, _ := g.Rendition(id)
	if d := at.Sub(timeline.UTC(row.Start, r.Timescale)).Abs(); d > time.Millisecond {
		t.Fatalf("%s: slot %d: a player is off by %v", id, slot, d)
	}
	if d := e.Duration - time.Duration(row.Duration*1e9/int64(r.Timescale)); d.Abs() > 2*time.Microsecond {
		t.Fatalf("%s: slot %d lasts %v, off by %v", id, slot, e.Duration, d)
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
		less := x.Since(w.First)
		for _, id := range w.Renditions() {
			for _, render := range []func(timeline.Timeline) ([]byte, error){
				func(x timeline.Timeline) ([]byte, error) { return hls.Media(x, open, window, id) },
				func(x timeline.Timeline) ([]byte, error) { return hls.IFrames(x, open, window, id) },
			} {
				a, errA := render(x)
				b, errB := render(less)
				if string(a) != string(b) || (errA == nil) != (errB == nil) {
					t.Fatalf("%s: %v, %v\n%s\n%s", id, errA, errB, a, b)
				}
			}
		}
		a, errA := hls.Multivariant(x, open)
		b, errB := hls.Multivariant(less, open)
		if string(a) != string(b) || (errA == nil) != (errB == nil) {
			t.Fatalf("multivariant: %v, %v", errA, errB)
		}
	})
}

func TestASecondParserReadsTheMultivariantPlaylist(t *testing.T) {
	b, err := hls.Multivariant(air(p25), open)
	if err != nil {
		t.Fatal(err)
	}
	var m playlist.Multivariant
	if err := m.Unmarshal(b); err != nil {
		t.Fatal(err)
	}
	if len(m.Variants) != 2 || len(m.Renditions) != 2 {
		t.Fatalf("%d variants, %d renditions", len(m.Variants), len(m.Renditions))
	}
	v, r := m.Variants[0], m.Renditions[0]
	if v.Bandwidth != 6_140_000 || v.Resolution != "1920x1080" || *v.FrameRate != 25 || v.URI != "v1080/index.m3u8" || !slices.Equal(v.Codecs, []string{"avc1.640028", "mp4a.40.2"}) {
		t.Errorf("%+v", v)
	}
	if r.GroupID != v.Audio || r.Name != "fr" || r.Language != "fr" || !r.Default || *r.URI != "a-fr/index.m3u8" {
		t.Errorf("%+v", r)
	}
}

func TestNoTimelineIsTooWrongForAPlaylist(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := drawn(t)
		wild := rapid.OneOf(rapid.Int64(), rapid.Int64Range(0, 5), rapid.Just(int64(math.MaxInt64)))
		x.Shape.TargetDuration = wild.Draw(t, "target")
		for range rapid.IntRange(1, 20).Draw(t, "changes") {
			id := rapid.SampledFrom(p25.renditions).Draw(t, "of")
			x = with(x, id, x.Shape.First.S0+rapid.Int64Range(0, 19).Draw(t, "at"), func(r *timeline.Row) {
				r.Start, r.Duration, r.Size = wild.Draw(t, "start"), wild.Draw(t, "duration"), wild.Draw(t, "size")
				r.Flags = timeline.Flags(rapid.Byte().Draw(t, "flags"))
				r.Keys = []timeline.Key{{Time: wild.Draw(t, "time"), Offset: wild.Draw(t, "offset"), Size: wild.Draw(t, "key size")}}
			})
		}
		for _, id := range p25.renditions {
			for _, render := range []func() ([]byte, error){
				func() ([]byte, error) { return hls.Media(x, open, time.Hour, id) },
				func() ([]byte, error) { return hls.IFrames(x, open, time.Hour, id) },
				func() ([]byte, error) { return hls.Multivariant(x, open) },
			} {
				if b, err := render(); err == nil && !strings.HasPrefix(string(b), "#EXTM3U\n") {
					t.Fatalf("%s", b)
				}
			}
		}
	})
}
