package mpegts

import (
	"bytes"
	"slices"

	"flambeau/packager/media"
)

const timescale = 90000

// track is one elementary stream that we understand: what its parser has to say goes through here.
type track struct {
	media.Track
	d    *Demuxer
	es   *elementary
	seen media.Ticks // the last timestamp
	held int         // bytes of unfinished units

	announced string // what the PMT calls it
}

func (t *track) lose(r reason, n int) {
	t.d.count(r, n)
	t.d.push(media.Lost{Track: t.ID, At: t.seen, Reason: r.String(), Count: n})
}

// describe says with which parameters the next sample is to be read. Equal ones are said once.
func (t *track) describe(parameters [][]byte) {
	if slices.EqualFunc(t.Parameters, parameters, bytes.Equal) {
		return
	}
	t.Parameters = parameters
	t.d.announce()
}

func (t *track) emit(s media.Sample) {
	s.Track, s.Arrived = t.ID, t.d.arrived
	t.d.push(&s)
}

// hold tells whether an unfinished unit may grow to size, of room already taken.
func (t *track) hold(size int) bool {
	if size > MaxUnit {
		return false
	}
	if size <= t.held {
		return true
	}
	total := size
	for _, o := range t.d.tracks {
		if o != t {
			total += o.held
		}
	}
	if total > MaxBuffered {
		return false
	}
	t.held = size
	return true
}
