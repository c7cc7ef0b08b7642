// Package dash writes the manifest of a live channel (ISO/IEC 23009-1; DASH-IF, Guidelines for Implementation: timing model).
//
//	timeline, grant, window ─► cut where the set of media changes ─► Periods ─► /live/{channel}/manifest.mpd
//
//	generation         0                1
//	video       ▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆│▆▆▆▆▆▆▆▆▆
//	audio       ▆▆▆▆▆▆░▆▆▆▆▆▆▆▆▆▆│▆▆▆▆▆▆▆▆▆      a gap in audio ends a Period, and so does its end
//	Period id   0     ╷0-7       │1
//	                  0-6
//
// It is a function of what it is given: no clock, no measurement. Origins with equal edges answer equal bytes.
//
// $Number$ is the slot. Ids and starts of Periods never change, also when their beginning is no longer listed: those of a
// generation's first come from its record. For one that begins after a gap the timeline must hold the rows around that gap for as
// long as the Period is shown: timeline.Window.Oldest says from where on.
package dash

import (
	"fmt"
	"math"
	"time"

	"flambeau/origin/rights"
	"flambeau/packager/timeline"
)

// Why there is no manifest. timeline.ErrGenerations is the third: somebody lied.
var (
	ErrNoRendition = timeline.ErrRendition // the viewer may see none
	ErrEmpty       = timeline.ErrEmpty     // nothing published yet, or nothing that this viewer may see
)

// delaySlots is how many slots behind the edge a player is told to begin: as HLS players do (RFC 8216, 6.3.3).
const delaySlots = 3

// Manifest is the live MPD. All renditions are listed up to the same slot, the last that all of them know.
func Manifest(t timeline.Timeline, g rights.Grant, window time.Duration) ([]byte, error) {
	w, err := t.Window(window, g)
	if err != nil {
		return nil, err
	}
	lanes, slots, err := open(w)
	if err != nil {
		return nil, err
	}
	periods := cut(w, lanes, slots)
	if len(periods) == 0 {
		return nil, ErrEmpty
	}
	x := &writer{b: make([]byte, 0, 4096+len(lanes)*(len(periods)*1024+slots*8))}
	x.manifest(t.Shape, w, window, w.First+int64(slots)-1, periods)
	return x.b, nil
}

// lane is one rendition through the window.
type lane struct {
	id   string
	list []timeline.Entry
	from int64 // where the first of a Period's begins: where the one before it ended, if that is of the Period too
}

// open gives the lanes and how many slots all of them know.
func open(w timeline.Window) (lanes []lane, slots int, err error) {
	slots = int(w.Last - w.First + 1)
	for _, id := range w.Renditions() {
		list, err := w.List(id)
		if err != nil {
			return nil, 0, err
		}
		lanes, slots = append(lanes, lane{id: id, list: list}), min(slots, len(list))
	}
	switch {
	case len(lanes) == 0:
		return nil, 0, ErrNoRendition
	case slots == 0:
		return nil, 0, fmt.Errorf("%w in every rendition", ErrEmpty)
	}
	return lanes, slots, nil
}

// period is a stretch of slots in which the same renditions have media throughout.
type period struct {
	generation *timeline.Generation
	begins     int64 // slot with which it began, listed or not
	start, end int64 // µs since 1970
	first      int64 // slot listed first
	ticks      int64 // start, exactly, in ticks of the generation's timescale
	lanes      []lane
}

// cut splits the window into Periods. Slots in which nothing has media are in none.
func cut(w timeline.Window, lanes []lane, slots int) (periods []period) {
	for from := 0; from < slots; {
		to := from + 1
		for to < slots && alike(lanes, to-1, to) {
			to++
		}
		if p, ok := stretch(w, lanes, from, to); ok {
			periods = append(periods, p)
		}
		from = to
	}
	return periods
}

// alike tells whether two slots are of one generation and have media in the same renditions.
func alike(lanes []lane, a, b int) bool {
	for i := range lanes {
		a, b := &lanes[i].list[a], &lanes[i].list[b]
		if a.Generation != b.Generation || (a.Row == nil) != (b.Row == nil) {
			return false
		}
	}
	return true
}

func stretch(w timeline.Window, lanes []lane, from, to int) (p period, ok bool) {
	head := &lanes[0].list[from]
	p = period{generation: head.Generation, first: head.Slot, begins: head.Slot}
	for _, l := range lanes {
		if l.list[from].Row != nil {
			p.lanes = append(p.lanes, lane{l.id, l.list[from:to], l.list[from].Start})
		}
	}
	if from == 0 {
		p.begins = begins(w, lanes, head)
		p.follows(w)
	}
	p.starts(w)
	p.ends()
	return p, len(p.lanes) > 0
}

// begins looks behind the window for the slot with which its first Period began.
func begins(w timeline.Window, lanes []lane, head *timeline.Entry) int64 {
	slot := head.Generation.S0
	for _, l := range lanes {
		if l.list[0].Rendition != nil {
			slot = max(slot, w.Stretch(l.id, head.Slot))
		}
	}
	return slot
}

// follows looks at the slot before the first that is listed: a segment is not said to begin elsewhere when it has become that first.
func (p *period) follows(w timeline.Window) {
	if p.begins == p.first {
		return
	}
	for i := range p.lanes {
		if end, ok := w.Ends(p.lanes[i].id, p.first-1); ok { // else forgotten too early: see timeline.Window.Oldest
			p.lanes[i].from = end
		}
	}
}

// starts fixes Period@start: the generation's t0, or else the first presentation time of any of its media.
func (p *period) starts(w timeline.Window) {
	p.ticks = p.generation.T0
	if p.begins != p.generation.S0 {
		p.ticks = math.MaxInt64
		for _, l := range p.lanes {
			e := l.list[0]
			if r, ok := w.Row(l.id, p.begins); ok { // else forgotten too early: see timeline.Window.Oldest
				e.Start = r.Start
			}
			p.ticks = min(p.ticks, timeline.Rescale(e.Start, e.Timescale, p.generation.Timescale))
		}
	}
	p.start = timeline.Micros(p.ticks, p.generation.Timescale)
}

// ends finds where the last of the media ends: sound goes on for up to a frame after the cut.
func (p *period) ends() {
	p.end = p.start
	for _, l := range p.lanes {
		e := l.list[len(l.list)-1]
		p.end = max(p.end, timeline.Micros(e.End(), e.Timescale))
	}
}
