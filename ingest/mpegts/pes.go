package mpegts

// parser takes one kind of elementary stream apart. The next codec is one file that has one, and a line in the table of
// stream.go.
type parser interface {
	start(s stamp)  // a PES packet begins here, and speaks of the first unit that commences in it
	write(p []byte) // bytes of the elementary stream; not to be kept
	gap()           // bytes are missing here
	finish()        // nothing follows: give what is complete, forget the rest
}

// maxHeader is the longest PES header (ISO/IEC 13818-1, 2.4.3.6).
const maxHeader = 9 + 255

// maxAhead is how much later than it is decoded a unit may be shown, in ticks: a decoder reorders 16 frames at most (ISO/IEC 14496-10,
// A.3.1), which is four seconds of four a second. A pair of timestamps that says more, or that a unit is shown before it is decoded, is
// not believed, and the unit's time is counted on from those before it: one flipped bit of a PTS would else be a jump of hours.
const maxAhead = 5 * timescale

// elementary is one PID with PES packets.
type elementary struct {
	*track
	parser
	header []byte // of the PES packet that begins, as far as it has come
	state  pesState
	left   int // bytes to come of a PES packet with a length; -1: it has none
}

type pesState uint8

const (
	pesNone   pesState = iota // waiting for the start of a PES packet
	pesHeader                 // in a header
	pesBody                   // in a payload
)

func (e *elementary) packet(payload []byte, start bool) {
	if start {
		e.ends()
		e.state, e.header = pesHeader, e.header[:0]
	}
	if e.state == pesHeader {
		payload = e.readHeader(payload)
	}
	if e.state == pesBody && len(payload) > 0 {
		if e.left >= 0 {
			e.left -= len(payload) // a length that is too short is not believed: some muxers count modulo 2^16
			e.left = max(0, e.left)
		}
		e.parser.write(payload)
	}
}

// ends notices that bytes are missing in front of a PES packet.
func (e *elementary) ends() {
	if e.state == pesHeader || e.state == pesBody && e.left > 0 {
		e.lose(shortPES, 1)
		e.parser.gap()
	}
}

// gap leaves a payload open: what follows is more of the elementary stream, of this PES packet or of one whose header was
// lost. Parsers find their feet in it by themselves.
func (e *elementary) gap() {
	if e.state == pesHeader {
		e.state = pesNone
	}
	e.left = -1
	e.parser.gap()
}

func (e *elementary) finish() {
	e.ends()
	e.state = pesNone
	e.parser.finish()
}

// readHeader takes what belongs to the header, and gives back the rest.
func (e *elementary) readHeader(p []byte) []byte {
	for {
		want := e.headerSize()
		if len(e.header) >= want {
			return e.startBody(p)
		}
		if len(p) == 0 {
			return nil
		}
		n := min(want-len(e.header), len(p))
		e.header = append(e.header, p[:n]...)
		p = p[n:]
	}
}

func (e *elementary) headerSize() int {
	switch h := e.header; {
	case len(h) < 6:
		return 6
	case !hasOptionalHeader(h[3]):
		return 6
	case len(h) < 9:
		return 9
	default:
		return 9 + int(h[8])
	}
}

// hasOptionalHeader: all but program_stream_map, padding, private_stream_2, ECM, EMM, DSMCC, H.222.1 type E and directory
// (ISO/IEC 13818-1, table 2-21).
func hasOptionalHeader(streamID byte) bool {
	switch streamID {
	case 0xbc, 0xbe, 0xbf, 0xf0, 0xf1, 0xf2, 0xf8, 0xff:
		return false
	}
	return true
}

func (e *elementary) startBody(p []byte) []byte {
	h := e.header
	e.state = pesNone
	switch {
	case h[0] != 0 || h[1] != 0 || h[2] != 1, len(h) >= 9 && h[6]>>6 != 2:
		e.lose(badPES, 1)
		e.parser.gap()
		return nil
	case len(h) < 9: // padding, and what is none of ours
		return nil
	case h[6]>>4&3 != 0:
		e.lose(scrambled, 1)
		e.parser.gap()
		return nil
	}
	e.state, e.left = pesBody, -1
	if length := int(h[4])<<8 | int(h[5]); length != 0 {
		e.left = max(0, length+6-len(h))
	}
	e.parser.start(e.stamp(h))
	return p
}

// stamp reads PTS and DTS (ISO/IEC 13818-1, 2.4.3.7). DTS goes first: it is nearer to what came before.
func (e *elementary) stamp(h []byte) (s stamp) {
	flags := h[7] >> 6
	if flags < 2 {
		if flags == 1 {
			e.d.count(badPES, 1)
		}
		return stamp{}
	}
	if len(h) < 14 || flags == 3 && len(h) < 19 {
		e.d.count(badPES, 1)
		return stamp{}
	}
	pts, ok := timestamp(h[9:14])
	dts := pts
	if ok && flags == 3 {
		dts, ok = timestamp(h[14:19])
	}
	if !ok || (pts-dts)&uint64(wrap-1) > maxAhead {
		e.d.count(badTimestamp, 1)
		return stamp{}
	}
	s = stamp{dts: e.d.clock.unwrap(dts), ok: true}
	s.pts = e.d.clock.unwrap(pts)
	e.seen = s.dts
	return s
}

// timestamp reads 33 bits and their three marker bits.
func timestamp(b []byte) (uint64, bool) {
	ok := b[0]&1 == 1 && b[2]&1 == 1 && b[4]&1 == 1
	return uint64(b[0]>>1&7)<<30 | uint64(b[1])<<22 | uint64(b[2]>>1)<<15 | uint64(b[3])<<7 | uint64(b[4]>>1), ok
}
