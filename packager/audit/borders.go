package audit

import (
	"fmt"
	"strings"

	"flambeau/packager/cmaf"
	"flambeau/packager/timeline"
)

// What one row alone can't show: borders of generations where none should be, or none where there should be; gaps that are none.

// apart is how far a frame's two times may be from each other, in seconds: the demuxer believes no more. One damaged presentation time puts
// frames into a slot that they are decoded so long before.
const apart = 5

// place: a segment lies within a slot's length of where its generation's clock puts its slot, and what may be between a frame's two times.
// What is further is of another clock, and a generation should have begun.
func (w *walk) place(key string, g timeline.Generation, r timeline.Rendition, row timeline.Row) {
	off := shown(row) - g.Nominal(w.tl.Shape, row.Slot, r.Timescale)
	if most := w.tl.Shape.Slot.CeilTicks(1, r.Timescale) + apart*int64(r.Timescale); off > most || off < -most {
		w.find(key, "starts %d ticks from where its slot is, and no generation begins", off)
	}
}

// shown is when a segment's first picture is shown, as far as its row tells: a key frame with a damaged timestamp may be decoded long before,
// and it is by what is shown that slots are told.
func shown(row timeline.Row) int64 {
	if row.Flags.Has(timeline.Dependent) || len(row.Keys) == 0 {
		return row.Start
	}
	return row.Start + row.Keys[0].Time
}

// gap: what stands between two segments that leave no room for it was never missing. before and after are the rows around it.
func (w *walk) gap(key string, before, row, after timeline.Row) {
	one := before.Generation == after.Generation && before.Slot+1 == row.Slot && row.Slot+1 == after.Slot
	if after.Flags.Has(timeline.Dependent) {
		return // its row does not tell when its first picture is shown
	}
	if one && !before.Flags.Has(timeline.Gap) && !after.Flags.Has(timeline.Gap) && shown(after) <= before.End() {
		w.find(key, "is a gap, and media goes on without a hole: it is false")
	}
}

// together: the entries of a slot are of one generation in every rendition.
func (w *walk) together(line timeline.Line) {
	for _, row := range line.Rows {
		ref, ok := w.tl.Row(w.tl.Shape.Reference, row.Slot)
		if ok && ref.Generation != row.Generation && w.within(line.Rendition, row) {
			w.find(timeline.SegmentKey(w.channel, line.Rendition, row.Slot), "is of generation %d, the reference of that slot of %d", row.Generation, ref.Generation)
		}
	}
}

// within tells whether a row is of the span that is looked at.
func (w *walk) within(rendition string, row timeline.Row) bool {
	g, _ := w.tl.Generation(row.Generation)
	r, ok := g.Rendition(rendition)
	return ok && w.span.has(timeline.UTC(row.Start, r.Timescale))
}

// borders: a generation begins where something changes, and not before the one before it; at the same slot where nothing of that was put.
func (w *walk) borders() {
	for _, g := range w.tl.Generations {
		before, ok := w.tl.Generation(g.Number - 1)
		if !ok || !w.span.has(timeline.UTC(g.T0, g.Timescale)) {
			continue
		}
		key := timeline.SegmentKey(w.channel, w.tl.Shape.Reference, g.S0)
		if g.S0 < before.S0 || timeline.UTC(g.T0, g.Timescale).Before(timeline.UTC(before.T0, before.Timescale)) {
			w.find(key, "generation %d begins before generation %d", g.Number, before.Number)
		}
		if w.idle(before, g) && !w.brief(g) {
			w.find(key, "generation %d begins for %q, and neither clock nor tracks are others", g.Number, g.Why)
		}
	}
}

// waits is for how long a generation is waited with for a track that makes it another.
const waits = 3

// brief tells whether a generation ended before that: where the feed ended, what had come was kept at the price of a border.
func (w *walk) brief(g timeline.Generation) bool {
	rows := w.tl.Line(w.tl.Shape.Reference)
	i := len(rows) - 1
	for i >= 0 && rows[i].Generation > g.Number {
		i--
	}
	r, ok := g.Rendition(w.tl.Shape.Reference)
	return i >= 0 && ok && rows[i].Generation == g.Number && timeline.Rescale(rows[i].End(), r.Timescale, g.Timescale)-g.T0 <= waits*int64(g.Timescale)
}

// idle tells whether a generation that says it begins for another clock, or for other tracks, has the same. What begins after a silence may.
func (w *walk) idle(a, b timeline.Generation) bool {
	if b.Why != "jump" && b.Why != "tracks" && b.Why != "parameters" || len(a.Renditions) != len(b.Renditions) || a.Timescale != b.Timescale {
		return false
	}
	for _, r := range b.Renditions {
		o, ok := a.Rendition(r.ID)
		if !ok || o.Track != r.Track || o.Init != r.Init || o.Language != r.Language || o.SourceTimescale != r.SourceTimescale {
			return false
		}
		// The same source tick is the same instant in both, to a tick of rounding.
		d := b.T0 - a.T0 - timeline.Rescale(r.Zero-o.Zero, r.SourceTimescale, b.Timescale)
		if d > 1 || d < -1 {
			return false
		}
	}
	return true
}

// alts: media that is kept aside for a slot shows that its tombstone is false.
func (w *walk) alts() error {
	prefix := w.channel + "/alt/"
	for info, err := range w.store.List(w.ctx, prefix, "") {
		if err != nil {
			return err
		}
		rendition, slot, ok := timeline.ParseAltKey(w.channel, info.Key)
		if !ok {
			w.find(info.Key, "is no copy's name")
			continue
		}
		row, known := w.tl.Row(rendition, slot)
		if !known || !row.Flags.Has(timeline.Gap) || !w.within(rendition, row) {
			continue
		}
		b, err := w.read(info.Key, maxObject)
		if err != nil {
			return err
		}
		parsed, err := cmaf.Parse(b)
		// Of a pair a worker may have made it in a generation that the store does not have there: it never had a place.
		of := fmt.Sprintf("generation %d %s\n", row.Generation, w.records[row.Generation])
		if err != nil || !parsed.Tombstone() && strings.HasPrefix(string(parsed.Row), of) {
			w.find(timeline.SegmentKey(w.channel, rendition, slot), "is a gap, and %s has media of it: it is false", info.Key)
		}
	}
	return nil
}
