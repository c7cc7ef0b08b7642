package dash_test

import (
	"crypto/sha256"
	"slices"
	"strings"

	"flambeau/packager/timeline"
)

// take is one generation of a channel that never was: pictures on a 90 kHz clock, sound in AAC frames of 1024 at 48 kHz that start
// at the first frame after the cut.
type take struct {
	slots      int
	frame      int64    // ticks of 90 kHz
	frames     int64    // a slot
	renditions []string // v{height} or a-{lang}, in feed order
	silence    int64    // before it, ticks of 90 kHz
}

var p25 = take{slots: 10, frame: 3600, frames: 50, renditions: []string{"v1080", "v720", "a-fr", "a-en"}}

const t0 = 1771234567*90000 + 12345 // 2026-02-16 09:36:07.137 UTC

// air is everything that the takes give, one after the other.
func air(takes ...take) timeline.Timeline {
	slot := timeline.Seconds(takes[0].frame*takes[0].frames, 90000)
	shape := timeline.Shape{Format: timeline.Format, Channel: "curling-a", Slot: slot, TargetDuration: slot.Ceil(),
		Part: timeline.Seconds(1, 2), Interval: slot, Reference: takes[0].renditions[0]}
	at, s0 := int64(t0), slot.Count(t0, 90000)
	var t timeline.Timeline
	for n, k := range takes {
		at += k.silence
		g := timeline.Generation{Number: n, T0: at, Timescale: 90000, S0: s0, Why: "start"}
		for _, id := range k.renditions {
			g.Renditions = append(g.Renditions, k.rendition(n, id))
		}
		if n == 0 {
			shape.First = g
			t = timeline.New(shape)
		}
		t = t.With(g)
		for _, r := range g.Renditions {
			t = t.Append(r.ID, k.rows(g, r)...)
		}
		at, s0 = at+int64(k.slots)*k.frame*k.frames, s0+int64(k.slots)
	}
	return t
}

func (k take) rendition(n int, id string) timeline.Rendition {
	r := timeline.Rendition{ID: id, Init: sha256.Sum256([]byte{byte(n), id[0], id[len(id)-1]}), SourceTimescale: 90000}
	if lang, sound := strings.CutPrefix(id, "a-"); sound {
		r.Kind, r.Codec, r.Timescale, r.Language = "audio", "mp4a.40.2", 48000, lang
		r.SampleRate, r.Channels, r.Bandwidth, r.Average = 48000, 2, 140_000, 128_000
		return r
	}
	r.Kind, r.Codec, r.Timescale, r.Range = "video", "avc1.640028", 90000, "SDR"
	r.Width, r.Height, r.SAR, r.Bandwidth, r.Average = 1920, 1080, [2]int{1, 1}, 6_000_000, 5_000_000
	if id == "v720" {
		r.Width, r.Height, r.SAR, r.Bandwidth, r.Average = 1280, 720, [2]int{1, 1}, 3_000_000, 2_500_000
	}
	r.FrameRate = timeline.Seconds(90000, k.frame)
	return r
}

func (k take) rows(g timeline.Generation, r timeline.Rendition) (rows []timeline.Row) {
	slot := k.frame * k.frames
	border := func(i int) int64 { return g.T0 + int64(i)*slot }
	if !r.IsVideo() {
		border = func(i int) int64 { // the first whole frame at or after the cut
			first, cut := ceil(g.T0*48, 90), ceil((g.T0+int64(i)*slot)*48, 90)
			return first + ceil(cut-first, 1024)*1024
		}
	}
	for i := range k.slots {
		row := timeline.Row{Slot: g.S0 + int64(i), Generation: g.Number, Start: border(i), Duration: border(i+1) - border(i),
			Size: 100_000, Hash: sha256.Sum256([]byte{byte(i)})}
		if r.IsVideo() {
			row.Keys = []timeline.Key{{Offset: 120, Size: 20_000}, {Time: 90000, Offset: 50_000, Size: 19_000}}
		}
		rows = append(rows, row)
	}
	return rows
}

func ceil(a, b int64) int64 { return (a + b - 1) / b }

// with is the timeline with one row changed.
func with(t timeline.Timeline, rendition string, slot int64, change func(*timeline.Row)) timeline.Timeline {
	t.Lines = slices.Clone(t.Lines)
	for i, l := range t.Lines {
		if l.Rendition != rendition {
			continue
		}
		rows := slices.Clone(l.Rows)
		for j := range rows {
			if rows[j].Slot == slot {
				change(&rows[j])
			}
		}
		t.Lines[i].Rows = rows
	}
	return t
}

func gap(r *timeline.Row)       { r.Flags, r.Keys = timeline.Gap, nil }
func dependent(r *timeline.Row) { r.Flags, r.Keys = r.Flags|timeline.Dependent, nil }

// until is the timeline as it was when slot was the last one known of the renditions, or of all of them.
func until(t timeline.Timeline, slot int64, renditions ...string) timeline.Timeline {
	t.Lines = slices.Clone(t.Lines)
	for i, l := range t.Lines {
		if len(renditions) > 0 && !slices.Contains(renditions, l.Rendition) {
			continue
		}
		n, _ := slices.BinarySearchFunc(l.Rows, slot+1, func(r timeline.Row, s int64) int { return int(r.Slot - s) })
		t.Lines[i].Rows = l.Rows[:n:n]
	}
	return t
}
