package packager

// A paired worker: what the store holds decides, and a machine that hears of it joins, stands by, or proposes.

import (
	"slices"
	"time"

	"flambeau/packager/media"
	"flambeau/packager/timeline"
)

// quietSlots is for how many slots nothing new may stand in the store before a worker that stands by believes that its rival is gone.
const quietSlots = 3

// standbySlots is how many slots of samples a worker that stands by keeps: what it needs to go on at the slot after the store's last. By no
// more may it be behind its rival.
const standbySlots = 6

// Standing is what the store holds of a paired channel, as the publisher has last seen it. Past is where the chain of the reference's
// objects stands; whoever wrote them.
type Standing struct {
	Past
	Rows  []timeline.Row                    // the newest of the reference, by slot
	Voids map[timeline.GenerationName]int64 // generations of this worker's that have no place in the store, from which slot on
	At    time.Time                         // when that was seen, with a monotonic reading
}

// Stand tells the Channel where the channel stands in the store, and returns what it has decided since.
func (c *Channel) Stand(s Standing) []Cut {
	if s.Shape == nil {
		return nil
	}
	if !c.stood || s.Name != c.standing.Name || s.Slot != c.standing.Slot {
		c.newsAt = s.At
	}
	c.standing, c.stood = s, true
	switch {
	case c.outranked():
		c.abandon()
		c.adopt()
	case c.opening != nil && c.behind():
		c.adopt()
	}
	if c.opening != nil && len(c.opening.samples) > 0 {
		if ref, first, ok := c.enough(false); ok {
			c.open(ref, first, false)
		}
	}
	out := c.out
	c.out = nil
	return out
}

// outranked tells whether another generation stands where the running one, or the one that ran last, would.
func (c *Channel) outranked() bool {
	s := c.standing
	switch {
	case !c.hasGen:
		return false
	case !sameShape(c.shape, s.Shape):
		return true
	}
	if _, void := s.Voids[c.name]; void && s.Name != c.name {
		return true
	}
	return s.Name != c.name && (s.Slot >= c.gen.S0 || s.Name.Number >= c.name.Number)
}

// behind tells whether the store is further than this machine was, in its own generation or in a newer one.
func (c *Channel) behind() bool {
	s := c.standing
	return !c.hasGen || s.Last.Number > c.gen.Number || s.Name == c.name && s.Slot > c.slot
}

// abandon closes what was made in a generation that the store does not have. The publisher keeps it aside.
func (c *Channel) abandon() {
	if c.opening != nil {
		c.opening.why, c.opening.sameClock = "rival", false
		return
	}
	c.loseAll(c.ahead, "generation_not_begun")
	c.ahead, c.heldPast, c.change, c.pending = nil, 0, "", ""
	c.doubtAll()
	c.closeAll(-1)
	c.opening = newOpening("rival")
}

// adopt makes the store's standing the one that the machine goes on after.
func (c *Channel) adopt() {
	s := c.standing.Past.clone()
	c.shape, c.gen, c.name, c.hasGen, c.slot, c.end, c.arrived = s.Shape, s.Last, s.Name, true, s.Slot, s.End, s.Seen
	c.ends = s.Ends
	for _, r := range s.Names {
		c.names = remember(c.names, r)
	}
	c.adopted = true
}

// sayAdopted tells the publisher what was adopted, before anything that goes on after it.
func (c *Channel) sayAdopted() {
	if c.adopted {
		c.adopted = false
		c.out = append(c.out, &Adopted{c.standing.Past.clone()})
	}
}

// quiet tells whether the store has said nothing new for so long that whoever wrote it must be gone.
func (c *Channel) quiet() bool {
	o := c.opening
	if len(o.samples) == 0 {
		return false
	}
	return o.samples[len(o.samples)-1].Arrived.Sub(c.newsAt) > c.slots(quietSlots)
}

// slots is how long n slots last.
func (c *Channel) slots(n int) time.Duration {
	return time.Duration(float64(n) * c.shape.Slot.Float() * float64(time.Second))
}

// waits tells whether a worker that did not see the newest generation begin has to wait for what its rival says.
func (o *opening) waits() bool {
	return o.why == "restart" || o.why == "silence" || o.why == "rival" || o.why == "start"
}

// recognized looks for a key frame of the feed among those that the store's rows hold, at the time that the newest generation's map gives
// it: then the clock is the same. shift is what is to be added to the feed's ticks to get the generation's.
func (c *Channel) recognized(r timeline.Rendition) (shift int64, ok bool) {
	for _, s := range c.opening.samples {
		if s.Track != r.Track || !s.Key || s.Damaged {
			continue
		}
		hash := c.opening.hash(s)
		for i := len(c.standing.Rows) - 1; i >= 0; i-- {
			row := c.standing.Rows[i]
			if row.Generation != c.gen.Number {
				break
			}
			for _, k := range row.Keys {
				if k.Hash != hash {
					continue
				}
				off := timeline.Rescale(row.Start+k.Time-c.mapped(r, s.PTS, 0), c.gen.Timescale, r.SourceTimescale)
				if shift = wraps(off, r.SourceTimescale); off == shift {
					return shift, true
				}
			}
		}
	}
	return 0, false
}

// mapped is the media time of a reference timestamp in the newest generation.
func (c *Channel) mapped(r timeline.Rendition, pts media.Ticks, shift int64) int64 {
	return c.gen.T0 + timeline.Rescale(int64(pts)+shift-r.Zero, r.SourceTimescale, c.gen.Timescale)
}

// wraps is the nearest whole number of the source clock's rounds, in ticks; of a clock that has none, 0.
func wraps(off int64, timescale uint32) int64 {
	if timescale != 90000 {
		return 0
	}
	return (off + sign(off)*sourceWrap/2) / sourceWrap * sourceWrap
}

// joinsStanding is joins for a paired worker.
func (c *Channel) joinsStanding(ref media.Track, first int) (how joining, shift int64, at int) {
	r, ok := c.gen.Rendition(c.shape.Reference)
	if !ok || r.Track != ref.ID || !c.sameTracks() {
		if c.opening.waits() && !c.quiet() {
			return later, 0, 0
		}
		return cannot, 0, 0
	}
	shift, known := c.recognized(r)
	if !known {
		switch {
		case !c.opening.waits():
			return cannot, 0, 0 // it saw the change itself
		case !c.quiet():
			return later, 0, 0
		}
		return c.joinsByTime(r, ref, first)
	}
	for i, s := range c.opening.samples[first:] {
		if s.Track != ref.ID || !s.Key || s.Damaged {
			continue
		}
		slot := c.claims(c.mapped(r, s.PTS, shift))
		switch {
		case slot <= c.slot:
		case slot == c.slot+1:
			return can, shift, first + i
		case !c.quiet():
			return later, 0, 0 // the rival is still to put what comes before it
		case slot > c.slot+1+joinSlots:
			return cannot, 0, 0
		default:
			return can, shift, first + i
		}
	}
	return later, 0, 0
}

// unheld is the first key frame from which on a new generation may begin: of those before it the store's rows may hold some.
func (c *Channel) unheld(ref media.Track, first int) (int, bool) {
	if !c.cfg.Pair || !c.hasGen || !c.opening.waits() || !c.stood {
		return first, true
	}
	r, ok := c.gen.Rendition(c.shape.Reference)
	shift, known := int64(0), false
	if ok && r.Track == ref.ID {
		shift, known = c.recognized(r)
	}
	held := map[[8]byte]bool{}
	for _, row := range c.standing.Rows {
		for _, k := range row.Keys {
			held[k.Hash] = true
		}
	}
	// A picture that stands still has key frames that are all alike: what comes long after the last row is not in it.
	until := c.newsAt.Add(c.slots(standbySlots))
	for i := len(c.opening.samples) - 1; i >= first; i-- {
		if s := c.opening.samples[i]; s.Track == ref.ID && s.Key && s.Arrived.Before(until) && held[c.opening.hash(s)] {
			first = i + 1
			break
		}
	}
	for i, s := range c.opening.samples[first:] {
		if s.Track != ref.ID || !s.Key || s.Damaged {
			continue
		}
		if known && c.mapped(r, s.PTS, shift) >= c.end || !known && s.Arrived.After(c.newsAt) {
			return first + i, true
		}
	}
	return 0, false
}

// trim forgets what a worker that stands by will not need any more: it is in the store, or its rival's.
func (c *Channel) trim() {
	o := c.opening
	if !c.cfg.Pair || !c.hasGen || len(o.samples) == 0 {
		return
	}
	keep := c.slots(standbySlots)
	newest := o.samples[len(o.samples)-1].Arrived
	n := slices.IndexFunc(o.samples, func(s *media.Sample) bool { return newest.Sub(s.Arrived) <= keep })
	for _, s := range o.samples[:max(n, 0)] {
		c.lose(s, "standby")
		o.bytes -= len(s.Data)
		delete(o.hashes, s)
	}
	o.samples = o.samples[max(n, 0):]
}

// doubtAll says that the open slots, and the next, may lack something.
func (c *Channel) doubtAll() {
	for _, l := range c.lanes {
		l.doubt = max(l.doubt, c.slot+1)
	}
}

// doubt says the same of one track; of the reference it holds for all, for it makes everybody's cuts.
func (c *Channel) doubt(l *lane) {
	if l == c.ref {
		c.doubtAll()
		return
	}
	l.doubt = max(l.doubt, c.slot+1)
}
