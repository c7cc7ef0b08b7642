package mpegts

import (
	"encoding/binary"

	"flambeau/packager/media"
)

// cues is one PID with splice_info_sections (ANSI/SCTE 35, 9.6).
type cues struct {
	sections
	d      *Demuxer
	number int
}

func (c *cues) packet(payload []byte, start bool) { c.write(payload, start) }

// listen to a PID, with what has listened to it before if there is.
func (d *Demuxer) listen(number int, lists []*cues) *cues {
	for _, c := range lists {
		if c.number == number {
			return c
		}
	}
	c := &cues{d: d, number: number}
	c.take, c.fail = c.section, func(r reason) { c.lose(r) }
	d.pids[number] = &pid{number: number, take: c}
	return c
}

func (c *cues) lose(r reason) {
	c.d.count(r, 1)
	c.d.push(media.Lost{Track: c.number, At: media.Ticks(c.d.clock.newest), Reason: r.String(), Count: 1})
}

const tableSplice = 0xfc

func (c *cues) section(s []byte) {
	switch {
	case s[0] != tableSplice:
		return
	case crc32(s) != 0:
		c.lose(badCRC)
		return
	case len(s) < 20:
		c.lose(badSection)
		return
	}
	cue := media.Cue{Track: c.number, At: media.Ticks(c.d.clock.newest), Command: s[13], Arrived: c.d.arrived}
	if pts, ok := spliceTime(s); ok {
		cue.At = c.d.clock.near(pts + ptsAdjustment(s))
	}
	cue.Section = append([]byte(nil), s...)
	c.d.push(cue)
}

func ptsAdjustment(s []byte) uint64 {
	return uint64(s[4]&1)<<32 | uint64(binary.BigEndian.Uint32(s[5:]))
}

// spliceTime finds the instant that a section speaks of: of splice_insert (9.7.3) the programme's, or its first component's,
// and of time_signal (9.7.4). There is none in one that is encrypted, cancelled or immediate.
func spliceTime(s []byte) (uint64, bool) {
	if s[4]&0x80 != 0 {
		return 0, false
	}
	body := s[14 : len(s)-4]
	switch s[13] {
	case 0x06:
		return specified(body)
	case 0x05:
		return insertTime(body)
	}
	return 0, false
}

func insertTime(b []byte) (uint64, bool) {
	if len(b) < 6 || b[4]&0x80 != 0 { // splice_event_cancel_indicator
		return 0, false
	}
	flags := b[5]
	if flags&0x10 != 0 { // splice_immediate_flag
		return 0, false
	}
	b = b[6:]
	if flags&0x40 == 0 { // no program_splice_flag: component_count, component_tag, splice_time
		if len(b) < 2 || b[0] == 0 {
			return 0, false
		}
		b = b[2:]
	}
	return specified(b)
}

// specified is splice_time (9.8.1).
func specified(b []byte) (uint64, bool) {
	if len(b) < 5 || b[0]&0x80 == 0 {
		return 0, false
	}
	return uint64(b[0]&1)<<32 | uint64(binary.BigEndian.Uint32(b[1:])), true
}
