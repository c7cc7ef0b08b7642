package packager

// Which clock a sample is of: the one that runs, a bad reading of it, or another.

import (
	"slices"

	"flambeau/packager/media"
	"flambeau/packager/timeline"
)

// stray is a track that comes and has no rendition.
type stray struct {
	last  media.Ticks
	count int
}

// steadyAfter is how many samples of a track in a row, near the reference, make it part of the feed: one that comes now and then begins
// no generation.
const steadyAfter = 16

// steady tells whether a track without rendition has come steadily enough to have one, and could begin with this sample.
func (c *Channel) steady(s *media.Sample) bool {
	t, ok := c.track(s.Track)
	if !ok || len(c.strays) > openingTracks {
		return false
	}
	r, _ := c.gen.Rendition(c.ref.r.ID)
	at := c.gen.T0 + timeline.Rescale(int64(s.PTS)+c.shift-r.Zero, t.Timescale, c.gen.Timescale)
	o := c.strays[s.Track]
	if d := s.DTS - o.last; !c.near(at) || d <= 0 || int64(d) > ticks(backStep, t.Timescale) {
		o.count = 0
	}
	o.last, o.count = s.DTS, o.count+1
	c.strays[s.Track] = o
	if o.count < steadyAfter || !s.Key {
		return false
	}
	_, err := initFor(t, t.Timescale)
	return err == nil
}

// near tells whether an instant is where the reference is.
func (c *Channel) near(at int64) bool {
	return abs(at-c.frontier) <= ticks(holdLimit, c.gen.Timescale)
}

// goesOn tells whether a reference sample is of the clock that runs.
func (c *Channel) goesOn(s *media.Sample) bool {
	d := int64(s.DTS - c.ref.lastDTS)
	return !c.ref.hasDTS || d <= ticks(jump, c.ref.r.SourceTimescale) && d >= -ticks(backStep, c.ref.r.SourceTimescale)
}

type verdict int

const (
	good verdict = iota
	bad
	suspect
)

// judge holds a sample's decoding time against its track's last one.
func (c *Channel) judge(l *lane, s *media.Sample) verdict {
	if !l.hasDTS {
		if !sane(s) {
			return bad
		}
		return good
	}
	ts := l.r.SourceTimescale
	switch d := int64(s.DTS - l.lastDTS); {
	case d > ticks(jump, ts), d < -ticks(backStep, ts):
		return suspect
	case l != c.ref && d > ticks(holdLimit, ts) && !c.near(l.inReference(l.media(int64(s.PTS)))):
		return suspect // it alone is ahead: another clock
	case d <= 0:
		return bad
	case !sane(s):
		return bad
	}
	// The track goes on where it was: whatever was suspected of it was a rogue.
	c.suspects = slices.DeleteFunc(c.suspects, func(o *media.Sample) bool {
		if o.Track == s.Track {
			c.lose(o, "timestamp")
		}
		return o.Track == s.Track
	})
	return good
}

// sane tells whether a sample's two times can be of one sample.
func sane(s *media.Sample) bool {
	d := int64(s.PTS - s.DTS)
	return d <= ticks(jump, 90000) && d >= -ticks(backStep, 90000)
}

// isJump tells whether a second sample confirms what a first one of its track made us suspect.
func (c *Channel) isJump(s *media.Sample) bool {
	if len(c.suspects) >= suspectLimit {
		return true
	}
	ts := c.lane(s.Track).r.SourceTimescale
	for _, o := range c.suspects {
		if d := int64(s.DTS - o.DTS); o.Track == s.Track && d > 0 && d < ticks(backStep, ts) {
			return true
		}
	}
	return false
}
