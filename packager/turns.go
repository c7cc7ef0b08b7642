package packager

import (
	"time"

	"flambeau/packager/media"
)

const (
	// turnsAtOnce is how many generations a feed that goes on may begin one after the other: encoders that are set up, sources that are
	// switched. After that it may begin one for every turnEvery of media that has come: enough for a file that is sent round and
	// round without care. What a feed that changes more often says of itself is not acted on meanwhile: samples that can
	// only be read with it are lost, and named. A generation costs objects in the store and a discontinuity for every viewer.
	turnsAtOnce = 16
	turnEvery   = 8 * time.Second
	// turnTracks is how many tracks are measured, the mean of which counts, and turnLeast and turnMost what one sample counts for at
	// least and at most: a clock that jumps makes no media.
	turnTracks = 64
	turnLeast  = time.Millisecond
	turnMost   = time.Second
)

// turns counts the generations that a feed begins without going silent. It goes by media, so that two workers count alike.
type turns struct {
	used int
	came time.Duration // since a turn was given back
	last map[int]media.Ticks
}

func (t *turns) left() bool { return t.used < turnsAtOnce }

func (t *turns) saw(s *media.Sample, timescale uint32) {
	if t.last == nil || len(t.last) > turnTracks {
		t.last = map[int]media.Ticks{}
	}
	worth, step := turnLeast, s.DTS-t.last[s.Track]
	t.last[s.Track] = s.DTS
	if step > 0 && int64(step) < ticks(turnMost, timescale) {
		worth = max(worth, time.Duration(step)*time.Second/time.Duration(timescale)/time.Duration(len(t.last)))
	}
	if t.came += worth; t.came >= turnEvery {
		t.came, t.used = 0, max(0, t.used-1)
	}
}
