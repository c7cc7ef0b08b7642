package mpegts

import "flambeau/packager/media"

// clock unwraps the 33-bit timestamps of a programme. All its tracks share one, so that they stay on one line.
type clock struct {
	newest int64
	set    bool
}

const wrap = int64(1) << 33

// unwrap gives the value, equal modulo 2^33, that is nearest to the last one. A jump is no wrap: it lands within 2^32.
func (c *clock) unwrap(ts uint64) media.Ticks {
	t := c.near(ts)
	c.newest, c.set = int64(t), true
	return t
}

// near is unwrap for times that may lie ahead, and so must not move the clock.
func (c *clock) near(ts uint64) media.Ticks {
	t := int64(ts & uint64(wrap-1))
	if !c.set {
		return media.Ticks(t)
	}
	d := (t - c.newest) & (wrap - 1) // 0 … 2^33-1
	if d > wrap/2 {
		d -= wrap
	}
	return media.Ticks(c.newest + d)
}

// stamp is when a unit is shown and decoded.
type stamp struct {
	pts, dts media.Ticks
	ok       bool
}

// pes is one PES packet, as a parser needs to know it: whose timestamps speak of the first unit that commences in it
// (ISO/IEC 13818-1, 2.4.3.7).
type pes struct {
	serial int64 // 0: none
	at     int64 // where in the elementary stream its first byte is
	stamp
}

// marks remembers where PES packets begin in an elementary stream.
type marks struct {
	total     int64 // bytes of the elementary stream so far
	serial    int64
	now, past pes
	used      int64 // the PES whose timestamp a unit already has
}

func (m *marks) start(s stamp) {
	m.serial++
	if m.now.at < m.total {
		m.past = m.now
	}
	m.now = pes{serial: m.serial, at: m.total, stamp: s}
}

// gap says that bytes are missing: it is not known in which PES packet the next ones are.
func (m *marks) gap() { m.now, m.past = pes{at: m.total}, pes{at: m.total} }

// of is the PES packet in which the byte at a position is.
func (m *marks) of(at int64) pes {
	switch {
	case at >= m.now.at:
		return m.now
	case at >= m.past.at:
		return m.past
	}
	return pes{}
}

// claim gives the unit that commences in p its timestamp, if it is the first to do so.
func (m *marks) claim(p pes) (stamp, bool) {
	if p.serial == 0 || p.serial <= m.used {
		return stamp{}, false
	}
	m.used = p.serial
	return p.stamp, p.ok
}
