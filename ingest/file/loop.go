package file

import (
	"slices"

	"flambeau/packager/media"
)

// clock is what MPEG-TS counts in, ticks a second.
const clock = 90000

const (
	// rounding is how far the end of a frame may be from the start of the next: 1024 samples at 44.1 kHz are no whole ticks.
	rounding = 2

	// loneFrame is how long the only frame of a track lasts: nothing else tells.
	loneFrame = clock / 25

	// maxSteps is how many different distances between frames are told apart. Others do not take part in the choice of the
	// commonest.
	maxSteps = 64
)

// loop makes one feed of a file's passes. Each pass is shifted by the exact length of those before: from the first frame of
// the first video track (or audio, if there is no video) to the end of its last. Audio that would begin before the end of
// the audio already sent is dropped, so that no frames overlap. A Begin that tells nothing new is not repeated.
type loop struct {
	passes int
	by     media.Ticks
	begun  media.Begin
	lanes  map[int]*lane
}

// lane is what is known of a track.
type lane struct {
	seen         int // samples of this pass
	first, last  media.Ticks
	newest       media.Ticks
	steps        map[media.Ticks]int
	end          media.Ticks // of the passes before, on the line that goes out
	behindBorder bool        // in this pass a sample went out
}

// shift moves an event onto the line that goes out, and tells whether it goes out at all.
func (l *loop) shift(e media.Event) (media.Event, bool) {
	switch e := e.(type) {
	case media.Begin:
		if l.passes > 0 && tellsNothingNew(e, l.begun) {
			return nil, false
		}
		l.begun = e
		return e, true
	case *media.Sample:
		lane := l.lane(e.Track)
		lane.saw(e.DTS)
		e.DTS += l.by
		e.PTS += l.by
		if l.passes > 0 && !lane.behindBorder && l.kind(e.Track) == media.Audio && e.DTS < lane.end-rounding {
			return nil, false
		}
		lane.behindBorder = true
		return e, true
	case media.Cue:
		e.At += l.by
		return e, true
	case media.Lost:
		e.At += l.by
		return e, true
	}
	return e, true
}

func (l *loop) lane(track int) *lane {
	if l.lanes == nil {
		l.lanes = map[int]*lane{}
	}
	if l.lanes[track] == nil {
		l.lanes[track] = &lane{steps: map[media.Ticks]int{}}
	}
	return l.lanes[track]
}

func (l *loop) kind(track int) media.Kind {
	for _, t := range l.begun.Tracks {
		if t.ID == track {
			return t.Kind
		}
	}
	return 0
}

func (t *lane) saw(dts media.Ticks) {
	if t.seen > 0 {
		if step := dts - t.newest; step > 0 && (t.steps[step] > 0 || len(t.steps) < maxSteps) {
			t.steps[step]++
		}
		t.first, t.last = min(t.first, dts), max(t.last, dts)
	} else {
		t.first, t.last = dts, dts
	}
	t.newest = dts
	t.seen++
}

// frame is how long one lasts: the commonest distance, of two as common the shorter.
func (t *lane) frame() media.Ticks {
	best, times := media.Ticks(loneFrame), 0
	for step, n := range t.steps {
		if n > times || n == times && step < best {
			best, times = step, n
		}
	}
	return best
}

// turn ends a pass. It fails if there was nothing in it.
func (l *loop) turn() bool {
	length, ok := l.length()
	if !ok {
		return false
	}
	for _, t := range l.lanes {
		if t.seen > 0 {
			t.end = t.last + l.by + t.frame()
		}
		t.seen, t.behindBorder = 0, false
		clear(t.steps)
	}
	l.passes++
	l.by += length
	return true
}

// length of this pass.
func (l *loop) length() (media.Ticks, bool) {
	for _, kind := range []media.Kind{media.Video, media.Audio} {
		for _, track := range l.begun.Tracks {
			if t := l.lanes[track.ID]; track.Kind == kind && t != nil && t.seen > 0 {
				return t.last - t.first + t.frame(), true
			}
		}
	}
	return 0, false
}

// tellsNothingNew: the same tracks, and no parameters that were not known. A pass begins by knowing none.
func tellsNothingNew(b, before media.Begin) bool {
	return slices.EqualFunc(b.Tracks, before.Tracks, func(t, old media.Track) bool {
		same := t.ID == old.ID && t.Kind == old.Kind && t.Codec == old.Codec && t.Timescale == old.Timescale && t.Language == old.Language
		return same && (!t.Known() || slices.EqualFunc(t.Parameters, old.Parameters, slices.Equal[[]byte]))
	})
}
