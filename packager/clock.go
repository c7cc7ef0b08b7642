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
		if !l.sane(s) {
			return bad
		}
		return good
	}
	ts := l.r.SourceTimescale
	switch d := int64(s.DTS - l.lastDTS); {
	case d > l.believes(), d < -ticks(backStep, ts):
		return suspect
	case d <= 0:
		return bad
	case !l.sane(s):
		return bad
	}
	// The track goes on where it was: whatever was suspected of it was a rogue.
	c.loseAll(c.suspectsOf(s.Track), "timestamp")
	return good
}

// believes is how far ahead a decoding time may be and be believed at once. Beyond it either frames are missing or it is wrong: the next one of
// the track tells. One that is taken too early keeps out all that come after it, up to where it is. A feed of few frames is not doubted at
// each of them.
func (l *lane) believes() int64 {
	return max(ticks(leap, l.r.SourceTimescale), 3*timeline.Rescale(l.usual, l.r.Timescale, l.r.SourceTimescale), min(2*l.pace, ticks(jump, l.r.SourceTimescale)))
}

// suspectsOf takes a track's samples out of those that are suspected.
func (c *Channel) suspectsOf(track int) (of []*media.Sample) {
	c.suspects = slices.DeleteFunc(c.suspects, func(o *media.Sample) bool {
		if o.Track == track {
			of = append(of, o)
		}
		return o.Track == track
	})
	return of
}

// suspected keeps a sample that may be of another clock until the next ones say what it is.
func (c *Channel) suspected(l *lane, s *media.Sample) {
	c.suspects = append(c.suspects, s)
	before := c.confirms(l, s)
	switch full := len(c.suspects) >= suspectLimit; {
	case before == nil && !full:
	case before != nil && c.sameClock(l, before):
		for _, o := range c.suspectsOf(s.Track) {
			if o.DTS >= before.DTS && o.DTS > l.lastDTS && l.sane(o) {
				c.take(l, o)
			} else {
				c.lose(o, "timestamp")
			}
		}
	case l != c.ref && !full && int64(s.DTS-l.lastDTS) <= ticks(jump, l.r.SourceTimescale) && s.DTS > l.lastDTS && c.suspectsIn(s.Track) < steadyAfter:
		// The others may come after it.
	case !c.turns.left():
		c.loseAll(c.suspects, "flapping")
		c.suspects = nil
	default:
		waiting := c.suspects
		c.suspects = nil
		c.turnGeneration("jump", false, waiting)
	}
}

func (c *Channel) suspectsIn(track int) (n int) {
	for _, o := range c.suspects {
		if o.Track == track {
			n++
		}
	}
	return n
}

// sameClock tells whether a sample that is ahead is so because frames are missing before it: the reference not by much, another track
// likewise, or as much as the others; and any track by more, if others have gone on to where it is.
func (c *Channel) sameClock(l *lane, s *media.Sample) bool {
	ts := l.r.SourceTimescale
	d := int64(s.DTS - l.lastDTS)
	if d <= 0 || !l.sane(s) {
		return false
	}
	if d <= ticks(holdLimit, ts) || l == c.ref && d <= ticks(jump, ts) {
		return true
	}
	near := func(o *lane, dts media.Ticks) bool {
		return o != l && abs(o.inReference(o.media(int64(dts)))-l.inReference(l.media(int64(s.DTS)))) <= ticks(holdLimit, c.gen.Timescale)
	}
	return slices.ContainsFunc(c.lanes, func(o *lane) bool { return o.hasDTS && near(o, o.lastDTS) }) ||
		d <= ticks(jump, ts) && slices.ContainsFunc(c.suspects, func(o *media.Sample) bool { return near(c.lane(o.Track), o.DTS) })
}

// sane tells whether a sample's two times can be of one sample.
func sane(s *media.Sample) bool {
	d := int64(s.PTS - s.DTS)
	return d <= ticks(jump, 90000) && d >= -ticks(backStep, 90000)
}

// maxReorder is how many frames later than it is decoded a picture may be shown: a decoder holds 16 back at most (ISO/IEC 14496-10, A.3.1),
// and a multiplexer may be some ahead.
const maxReorder = 20

// sane tells the same where more is known: a picture is not shown so much later than it is decoded that no decoder would hold so many back.
// One flipped bit would else make it the next slot's, and the one between a gap. What a feed does from its beginning is its way; and one
// of few frames, or of a pace of its own, is given its time.
func (l *lane) sane(s *media.Sample) bool {
	ts := l.r.SourceTimescale
	most := max(ticks(backStep, ts), maxReorder*max(timeline.Rescale(l.usual, l.r.Timescale, ts), l.pace), 4*l.r.Delay)
	return sane(s) && int64(s.PTS-s.DTS) <= most
}

// confirms finds the sample after which s is the next one of its track, among those that are suspected: s comes soon after it, or not later
// than it came itself.
func (c *Channel) confirms(l *lane, s *media.Sample) *media.Sample {
	ts := l.r.SourceTimescale
	for _, o := range c.suspects {
		most := max(ticks(backStep, ts), min(2*int64(o.DTS-l.lastDTS), ticks(jump, ts)))
		if d := int64(s.DTS - o.DTS); o.Track == s.Track && d > 0 && d < most {
			return o
		}
	}
	return nil
}
