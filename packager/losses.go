package packager

// What is not in the archive, and is named.

import (
	"flambeau/packager/media"
	"flambeau/packager/timeline"
)

// lossEntries is how many kinds of loss one record names. Then it is sent off, and another is begun: a feed that calls its tracks
// something else with every table would else make one that nobody reads (timeline.MaxRecord).
const lossEntries = 1024

func (c *Channel) book(e timeline.LossEntry) {
	c.loss.Add(e)
	if len(c.loss.Entries) >= lossEntries {
		c.report()
	}
}

// missed books what the demuxer says did not arrive.
func (c *Channel) missed(m media.Lost) {
	e := timeline.LossEntry{Track: m.Track, Reason: m.Reason, Units: int64(m.Count), First: int64(m.At), Last: int64(m.At), Timescale: sourceTimescale(c.tracks, m.Track)}
	for _, l := range c.lanes {
		if l.track != m.Track && m.Track != 0 {
			continue
		}
		l.flags |= timeline.Damaged
		c.doubt(l)
		if l.track == m.Track {
			at := l.media(int64(m.At))
			e.Rendition, e.First, e.Last, e.Timescale = l.r.ID, at, at, l.r.Timescale
		}
	}
	c.book(e)
}

// lose books a sample that is not going to be in the archive.
func (c *Channel) lose(s *media.Sample, reason string) {
	e := timeline.LossEntry{Track: s.Track, Reason: reason, Frames: 1, First: int64(s.PTS), Last: int64(s.PTS), Timescale: sourceTimescale(c.tracks, s.Track)}
	if l := c.lane(s.Track); l != nil {
		at := l.media(int64(s.PTS))
		if reason == "timestamp" && l.hasLast {
			at = l.last // its own is what is wrong with it
		}
		if reason == "timestamp" || reason == "overlap" || reason == "segment_full" {
			l.flags |= timeline.Damaged // the open segment lacks it; what comes before its first cut it does not
			c.doubt(l)
		}
		e.Rendition, e.First, e.Last, e.Timescale, e.Duration = l.r.ID, at, at, l.r.Timescale, l.usual
	}
	c.book(e)
}

func (c *Channel) loseAll(samples []*media.Sample, reason string) {
	for _, s := range samples {
		c.lose(s, reason)
	}
}

// lossOn books a stretch of media time, in ticks of the lane, of which nothing came.
func (c *Channel) lossOn(l *lane, reason string, from, to int64) {
	c.book(timeline.LossEntry{Track: l.track, Rendition: l.r.ID, Reason: reason, Units: 1, First: from, Last: max(from, to), Timescale: l.r.Timescale, Duration: max(0, to-from)})
}

func sourceTimescale(tracks []media.Track, id int) uint32 {
	for _, t := range tracks {
		if t.ID == id {
			return t.Timescale
		}
	}
	return 90000
}

// report sends off the loss record of the slot, if there was any.
func (c *Channel) report() {
	if len(c.loss.Entries) == 0 {
		return
	}
	l := c.loss
	l.Slot = c.slot
	c.loss.Entries = nil
	c.out = append(c.out, &Lost{l})
}
