package packager

// Where slots begin: the reference decides, the other lanes follow, and who is silent is closed without.

import (
	"cmp"
	"slices"

	"flambeau/packager/timeline"
)

// cutReference decides the slot of a reference sample, and with it everybody's cuts.
func (c *Channel) cutReference(t timed) {
	if len(c.late) > 0 && t.shown > c.force(c.owner(c.late[0].shown))+c.grace() {
		c.forceLate()
	}
	switch {
	case t.Key && c.claims(t.shown) > c.slot:
		// The key frame came: what waited for it came before it in decoding order, and stays in the old slot.
		c.keepLate()
		c.cutAt(c.claims(t.shown), c.cutFor(t))
	case c.owner(t.shown) > c.slot || len(c.late) > 0:
		if o := c.owner(t.shown); o > c.slot+1 && len(c.late) == 0 {
			c.cutAt(o-1, c.force(o-1)) // whether its slot has begun is open; those before it have passed
		}
		// What is shown before a picture that waits and decoded after it waits behind it: lanes take pictures in decoding order.
		c.late = append(c.late, t)
		if t.shown > c.force(c.owner(c.late[0].shown))+c.grace() || c.grace() == 0 {
			c.forceLate()
		}
		c.frontier = max(c.frontier, c.late0(t.shown))
		return
	}
	c.phase(t)
	c.ref.add(c, t)
	c.frontier = max(c.frontier, c.late0(t.shown))
}

// phase counts slots whose key frames lie more than a quarter interval off where they belong, all by the same. After a few, they belong
// there: the next generation begins at one, and segments begin with key frames again. Those that lie now here, now there begin nothing:
// a generation every few slots would be worse than segments that depend on others.
func (c *Channel) phase(t timed) {
	every := c.shape.Interval.Floor(1, c.gen.Timescale)
	if !t.Key || c.offSlot == c.slot || every < ticks(2*jitter, c.gen.Timescale) {
		return
	}
	off := (t.shown - c.gen.T0) % every
	if min(off, every-off) <= every/4 {
		c.offPhase = 0
		return
	}
	if abs(off-c.offBy) > every/16 {
		c.offPhase, c.offBy = 0, off
	}
	if c.offPhase, c.offSlot = c.offPhase+1, c.slot; c.offPhase >= phaseSlots {
		c.offPhase, c.pending = 0, "phase"
		c.change = cmp.Or(c.change, c.pending)
	}
}

// late0 is the instant up to which the reference is decided: where the oldest undecided sample's slot nominally begins, else t.
func (c *Channel) late0(t int64) int64 {
	if len(c.late) == 0 {
		return t
	}
	return c.force(c.owner(c.late[0].shown)) - 1
}

// claims is the slot that a key frame at t begins, if no earlier one did.
func (c *Channel) claims(t int64) int64 { return c.slotAt(t + c.early()) }

// owner is the last slot that must have begun at t even without a key frame.
func (c *Channel) owner(t int64) int64 {
	if c.shape.Regular() {
		return c.slotAt(t)
	}
	return c.slotAt(t - c.shape.Slot.Floor(1, c.gen.Timescale)/2)
}

func (c *Channel) slotAt(t int64) int64 {
	return c.gen.S0 + c.shape.Slot.Count(t-c.gen.T0, c.gen.Timescale)
}

// force is when a slot begins if no key frame does it.
func (c *Channel) force(slot int64) int64 {
	at := c.gen.Nominal(*c.shape, slot, c.gen.Timescale)
	if !c.shape.Regular() {
		at += c.shape.Slot.Floor(1, c.gen.Timescale) / 2
	}
	return at
}

// early is how long before its nominal start a slot may begin with a key frame.
func (c *Channel) early() int64 {
	if !c.shape.Regular() {
		return c.shape.Slot.Floor(1, c.gen.Timescale) / 4
	}
	return min(c.shape.Interval.Floor(1, c.gen.Timescale)/2, ticks(jitter, c.gen.Timescale))
}

// grace is how long after force a key frame is still waited for.
func (c *Channel) grace() int64 {
	if !c.shape.Regular() {
		return 0
	}
	return c.early()
}

func (c *Channel) keepLate() {
	late := c.late
	c.late = nil
	for _, t := range late {
		c.ref.add(c, t)
	}
}

// forceLate begins the slot without a key frame, at its nominal start.
func (c *Channel) forceLate() {
	late := c.late
	c.late = nil
	for _, t := range late {
		if o := c.owner(t.shown); o > c.slot {
			c.cutAt(o, c.force(o))
		}
		c.ref.add(c, t)
	}
}

// cutFor is everybody's cut for a slot that begins with a key frame: its time, and the nominal instant where it comes so late that
// something must have been lost before it. Others were there, and their segments are no longer for it.
func (c *Channel) cutFor(t timed) int64 {
	if at := c.force(c.claims(t.shown)); t.shown > at+c.grace() {
		return at
	}
	return t.shown
}

// cutAt begins a slot. Those between the last and it, of which the reference has nothing, begin nominally.
func (c *Channel) cutAt(slot, at int64) {
	for c.slot+1 < slot {
		c.slot++
		c.cuts = append(c.cuts, boundary{c.slot, min(c.gen.Nominal(*c.shape, c.slot, c.gen.Timescale), at)})
	}
	c.slot = slot
	c.cuts = append(c.cuts, boundary{slot, at})
	c.report()
}

// drain gives out what the lanes held and the reference has passed, and closes what has waited too long.
func (c *Channel) drain() {
	for _, l := range c.lanes {
		l.release(c)
	}
	c.outrun()
	c.overtake()
	c.forget()
}

// release gives a lane what the reference has decided about.
func (l *lane) release(c *Channel) {
	for len(l.held) > 0 && l.inReference(l.held[0].shown+l.slack) <= c.frontier {
		l.add(c, l.held[0])
		l.held = l.held[1:]
	}
}

// outrun closes slots in which the reference itself has fallen silent while others go on.
func (c *Channel) outrun() {
	limit := c.newestHeld(-1) - ticks(holdLimit, c.gen.Timescale)
	if limit <= c.frontier {
		return
	}
	if len(c.late) > 0 {
		c.forceLate()
	}
	c.doubtAll() // another worker may have its sound earlier or later
	c.cutUpTo(limit)
	// Not beyond the next nominal start: the reference may come back just after it, and is still waited for.
	c.frontier = max(c.frontier, min(limit, c.force(c.slot+1)-c.early()-1))
	for _, l := range c.lanes {
		l.release(c)
	}
}

// newestHeld is the time, on the reference, of the newest sample that waits for it; of those before until, if that is not negative.
func (c *Channel) newestHeld(until int64) int64 {
	newest := int64(-1 << 62)
	for _, l := range c.lanes {
		for _, t := range l.held {
			if at := l.inReference(t.shown); until < 0 || at < until {
				newest = max(newest, at)
			}
		}
	}
	return newest
}

// cutUpTo begins every slot that must have begun at t, without anything of the reference in it.
func (c *Channel) cutUpTo(t int64) {
	t = min(t, c.frontier+ticks(jump, c.gen.Timescale)) // what is further ahead is of another clock, and judged as that
	for next := c.slot + 1; c.force(next)+c.grace() <= t; next++ {
		c.cutAt(next, c.force(next))
		c.ref.catchUp(c)
		c.lossOn(c.ref, "silence", c.force(next), c.force(next+1))
	}
}

// overtake closes the slots of lanes that are silent while the reference goes on.
func (c *Channel) overtake() {
	limit := c.frontier - ticks(holdLimit, c.gen.Timescale)
	for _, l := range c.lanes {
		for l != c.ref && len(l.held) == 0 && l.passed < len(c.cuts) && c.cuts[l.passed].at <= limit {
			at := timeline.Rescale(c.cuts[l.passed].at, c.gen.Timescale, l.r.Timescale)
			c.lossOn(l, "silence", l.end, at)
			c.doubt(l)
			l.turn(c, c.cuts[l.passed], nil)
			l.passed++
		}
	}
}

// forget drops the boundaries that every lane has passed.
func (c *Channel) forget() {
	n := len(c.cuts)
	for _, l := range c.lanes {
		n = min(n, l.passed)
	}
	if n == 0 {
		return
	}
	c.cuts = slices.Delete(c.cuts, 0, n)
	for _, l := range c.lanes {
		l.passed -= n
	}
}
