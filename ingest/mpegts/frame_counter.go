package mpegts

import "flambeau/packager/media"

// counter gives times to units that have none of their own: several in one PES packet, or PES packets without timestamps.
type counter struct {
	last  stamp // of the last unit
	lsb   uint32
	n     int64       // units since base
	base  media.Ticks // decoding time of the last unit with a timestamp
	frame media.Ticks // between decoding times, as last seen
	ahead media.Ticks // presentation before decoding time of the last key frame
	known bool        // base is known, and no unit since is missing
}

// given takes a timestamp.
func (c *counter) given(s stamp, h *sliceHeader) {
	if c.known && s.dts > c.base {
		c.frame = (s.dts - c.base) / media.Ticks(c.n+1)
	}
	if h.idr {
		c.ahead = s.pts - s.dts
	}
	c.base, c.n, c.known, c.last, c.lsb = s.dts, 0, true, s, h.lsb
}

// next counts on by one frame.
func (c *counter) next(h *sliceHeader, s *sps) (stamp, bool) {
	if !c.known {
		return stamp{}, false
	}
	c.n++
	t := stamp{dts: c.base + c.span(c.n, s), ok: true}
	if t.dts == c.base {
		return stamp{}, false // nothing tells how long a frame is
	}
	t.pts = c.present(t.dts, h, s)
	c.last, c.lsb = t, h.lsb
	if c.n == maxCount {
		c.base, c.n = t.dts, 0
	}
	return t, true
}

// maxCount is after how many frames without a timestamp counting begins anew, so that no product overflows.
const maxCount = 1 << 12

// span of n frames, exact where the stream says how long a frame is (ISO/IEC 14496-10, E.2.1: a tick is a field).
func (c *counter) span(n int64, s *sps) media.Ticks {
	if s != nil && s.units > 0 && s.scale > 0 && s.units <= s.scale*10 {
		return media.Ticks((2*n*s.units*timescale + s.scale/2) / s.scale)
	}
	return media.Ticks(n) * c.frame
}

// present goes by picture order count, two of which are a frame, and starts anew at an IDR picture (8.2.1).
func (c *counter) present(dts media.Ticks, h *sliceHeader, s *sps) media.Ticks {
	switch {
	case s != nil && s.orderType == 2:
		return dts + c.last.pts - c.last.dts // output order is decoding order
	case h.idr || s == nil || s.orderType != 0:
		return dts + c.ahead
	}
	span := int64(1) << s.lsbBits
	d := (int64(h.lsb) - int64(c.lsb)) & (span - 1)
	if d >= span/2 {
		d -= span
	}
	half := c.span(1, s)
	return c.last.pts + media.Ticks(d)*half/2
}
