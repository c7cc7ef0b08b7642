package mpegts

// maxSection is the longest section, header included: a section_length of 4093 (ISO/IEC 13818-1, 2.4.4.11).
const maxSection = 4096

// sections puts sections together out of the payloads of one PID (ISO/IEC 13818-1, 2.4.4).
type sections struct {
	buf  []byte // the section in progress
	open bool   // a section is in progress; else what comes is stuffing, or the rest of one whose start was lost
	take func(section []byte)
	fail func(reason)
}

func (s *sections) write(payload []byte, start bool) {
	if !start {
		if s.open {
			s.add(payload)
		}
		return
	}
	if len(payload) == 0 {
		return
	}
	pointer := int(payload[0])
	payload = payload[1:]
	if pointer > len(payload) {
		s.reset(badSection)
		return
	}
	if s.open {
		s.add(payload[:pointer])
		if len(s.buf) > 0 {
			s.reset(badSection)
		}
	}
	s.open, s.buf = true, s.buf[:0]
	s.add(payload[pointer:])
}

// add continues the section in progress, and begins those that follow it.
func (s *sections) add(p []byte) {
	for len(p) > 0 && s.open {
		if len(s.buf) == 0 && p[0] == 0xff { // stuffing, to the end of the packet
			s.open = false
			return
		}
		p = s.fill(p, 3)
		if len(s.buf) < 3 {
			return
		}
		size := 3 + (int(s.buf[1]&0x0f)<<8 | int(s.buf[2]))
		if size > maxSection {
			s.reset(badSection)
			return
		}
		p = s.fill(p, size)
		if len(s.buf) < size {
			return
		}
		s.take(s.buf)
		s.buf = s.buf[:0]
	}
}

// fill moves bytes until buf has size.
func (s *sections) fill(p []byte, size int) []byte {
	n := max(0, min(size-len(s.buf), len(p)))
	s.buf = append(s.buf, p[:n]...)
	return p[n:]
}

// gap says that packets are missing here.
func (s *sections) gap() { s.open, s.buf = false, s.buf[:0] }

func (s *sections) reset(r reason) {
	s.gap()
	s.fail(r)
}

var crcTable = func() (t [256]uint32) {
	for i := range t {
		c := uint32(i) << 24
		for range 8 {
			if c&(1<<31) != 0 {
				c = c<<1 ^ 0x04c11db7
			} else {
				c <<= 1
			}
		}
		t[i] = c
	}
	return t
}()

// crc32 of ISO/IEC 13818-1, annex A: 0 over a whole section.
func crc32(p []byte) uint32 {
	c := ^uint32(0)
	for _, b := range p {
		c = c<<8 ^ crcTable[byte(c>>24)^b]
	}
	return c
}
