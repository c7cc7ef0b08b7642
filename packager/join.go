package packager

import (
	"time"

	"flambeau/packager/codec"
	"flambeau/packager/media"
	"flambeau/packager/timeline"
)

const (
	// joinSlots is how many slots may be missing between the last one and the feed's return for the generation to go on. They get
	// tombstones. After a longer silence the next generation begins: a hole in time has no slots.
	joinSlots = 3
	// joinDrift is how far the feed's clock may be from where the time that has passed puts it, and still be the same clock.
	joinDrift = 2 * time.Second
	// sourceWrap is where MPEG-TS timestamps begin again (ISO/IEC 13818-1, 2.4.3.7).
	sourceWrap = int64(1) << 33
)

// verdict of joins.
type joining int

const (
	cannot joining = iota // another generation begins
	later                 // it is the same clock, and the key frame that begins the next slot is still to come
	can
)

// joins tells whether what was collected goes on where the newest generation stopped: after a restart of this process, or a silence.
// Then shift is what is to be added to the feed's ticks to get the generation's, and first the sample that begins the next slot.
func (c *Channel) joins(ref media.Track, first int) (how joining, shift int64, at int) {
	o := c.opening
	if c.hasGen && c.stood && !o.sameClock {
		return c.joinsStanding(ref, first)
	}
	if !c.hasGen || o.sameClock || o.why != "restart" && o.why != "silence" || !c.sameTracks() {
		return cannot, 0, 0
	}
	r, ok := c.gen.Rendition(c.shape.Reference)
	if !ok || r.Track != ref.ID {
		return cannot, 0, 0
	}
	return c.joinsByTime(r, ref, first)
}

// joinsByTime tells whether the feed's clock is where the time that has passed since the newest generation's end puts it.
func (c *Channel) joinsByTime(r timeline.Rendition, ref media.Track, first int) (how joining, shift int64, at int) {
	o := c.opening
	zero := o.samples[first]
	expected := c.end + timeline.Rescale(zero.Arrived.Sub(c.arrived).Microseconds(), 1e6, c.gen.Timescale)
	shift = wraps(timeline.Rescale(expected-c.mapped(r, zero.PTS, 0), c.gen.Timescale, r.SourceTimescale), r.SourceTimescale)
	if abs(expected-c.mapped(r, zero.PTS, shift)) > ticks(joinDrift, c.gen.Timescale) {
		return cannot, 0, 0
	}
	for i, s := range o.samples[first:] {
		if s.Track != ref.ID || !s.Key || s.Damaged {
			continue
		}
		switch slot := c.claims(c.mapped(r, s.PTS, shift)); {
		case slot > c.slot+1+joinSlots:
			return cannot, 0, 0
		case slot > c.slot:
			return can, shift, first + i
		}
	}
	return later, 0, 0
}

func sign(n int64) int64 {
	if n < 0 {
		return -1
	}
	return 1
}

// sameTracks tells whether the feed's tracks are those of the newest generation, with the same initialization segments.
func (c *Channel) sameTracks() bool {
	n := 0
	for _, t := range knownTracks(c.tracks) {
		init, err := initFor(t, c.timescaleOf(t))
		if err != nil {
			continue
		}
		tag, _ := codec.Language(t.Language)
		n++
		if r, ok := c.renditionOf(t.ID); !ok || r.Kind != t.Kind.String() || r.Language != tag || r.Init != hashOf(init) {
			return false
		}
	}
	return n == len(c.gen.Renditions)
}

func (c *Channel) renditionOf(track int) (timeline.Rendition, bool) {
	for _, r := range c.gen.Renditions {
		if r.Track == track {
			return r, true
		}
	}
	return timeline.Rendition{}, false
}

func (c *Channel) timescaleOf(t media.Track) uint32 {
	if d, err := codec.Describe(t); err == nil && t.Kind == media.Audio {
		return uint32(d.SampleRate)
	}
	return t.Timescale
}

// inits makes a generation's initialization segments once more.
func (c *Channel) inits(g timeline.Generation) (inits []Init) {
	for _, r := range g.Renditions {
		t, _ := c.track(r.Track)
		if body, err := initFor(t, r.Timescale); err == nil && hashOf(body) == r.Init {
			inits = append(inits, Init{r.ID, r.Init, body})
		}
	}
	return inits
}

// join goes on with the newest generation: what is missing since its last slot gets tombstones, and is named.
func (c *Channel) join(ref media.Track, shift int64, first int) {
	g := c.gen
	collected := c.opening.samples
	c.makeLanes(g, ref, shift)
	c.out = append(c.out, &Joined{c.inits(g)})
	begin := c.ref.time(collected[first]).shown
	slot := c.claims(begin)
	for _, l := range c.lanes {
		l.idle, l.slot, l.doubt, l.end = true, c.slot, slot, timeline.CeilRescale(c.end, g.Timescale, l.r.Timescale)
		if end, ok := c.ends[l.r.ID]; ok {
			l.end = end
		}
		// What comes from before the reference would be a slot with sound and no picture, of a few frames: players fall over that.
		l.since = timeline.CeilRescale(begin, g.Timescale, l.r.Timescale)
		if at := timeline.Rescale(begin, g.Timescale, l.r.Timescale); at > l.end {
			c.lossOn(l, "silence", l.end, at)
		}
	}
	c.frontier = begin - 1
	if begin > c.force(slot)+c.grace() {
		c.partial = slot // its beginning was missed
	}
	for i, s := range collected {
		if l := c.lane(s.Track); l == c.ref && i < first {
			c.lose(s, "slot_closed")
			continue
		}
		c.sample(s)
	}
}
