package mpegts

import (
	"encoding/binary"
	"slices"
)

// muxer makes small transport streams.
type muxer struct {
	out []byte
	cc  map[int]byte
}

func newMuxer() *muxer { return &muxer{cc: map[int]byte{}} }

// packet writes one with a payload of at most 184 bytes; what is missing is stuffing in the adaptation field.
func (m *muxer) packet(pid int, payload []byte, start bool) {
	b := make([]byte, 4, packetSize)
	b[0], b[1], b[2], b[3] = syncByte, byte(pid>>8), byte(pid), 0x10|m.cc[pid]
	m.cc[pid] = (m.cc[pid] + 1) & 0x0f
	if start {
		b[1] |= 0x40
	}
	if n := 184 - len(payload); n > 0 {
		b[3] |= 0x20
		b = append(b, byte(n-1))
		if n > 1 {
			b = append(b, 0)
			b = append(b, slices.Repeat([]byte{0xff}, n-2)...)
		}
	}
	m.out = append(append(m.out, b...), payload...)
}

// empty writes a packet with an adaptation field and nothing else.
func (m *muxer) empty(pid int, flags byte) {
	b := slices.Repeat([]byte{0xff}, packetSize)
	copy(b, []byte{syncByte, byte(pid >> 8), byte(pid), 0x20 | (m.cc[pid]-1)&0x0f, 183, flags})
	m.out = append(m.out, b...)
}

// payload writes any number of bytes.
func (m *muxer) payload(pid int, p []byte) {
	for start := true; start || len(p) > 0; start = false {
		n := min(184, len(p))
		m.packet(pid, p[:n], start)
		p = p[n:]
	}
}

// tables writes sections behind one pointer_field of 0, padded with stuffing.
func (m *muxer) tables(pid int, sections ...[]byte) {
	p := append([]byte{0}, slices.Concat(sections...)...)
	p = append(p, slices.Repeat([]byte{0xff}, (184-len(p)%184)%184)...)
	m.payload(pid, p)
}

// section makes one in the long form, with its CRC.
func section(table byte, id, version, number, last int, body []byte) []byte {
	s := []byte{table, 0xb0, 0, byte(id >> 8), byte(id), 0xc1 | byte(version)<<1, byte(number), byte(last)}
	return sealed(append(s, body...))
}

// sealed sets the length and adds the CRC.
func sealed(s []byte) []byte {
	n := len(s) - 3 + 4
	s[1], s[2] = s[1]&0xf0|byte(n>>8), byte(n)
	return binary.BigEndian.AppendUint32(s, crc32(s))
}

// pat makes a PAT of one section out of number, PID pairs.
func pat(version int, pairs ...int) []byte {
	var body []byte
	for _, v := range pairs {
		body = binary.BigEndian.AppendUint16(body, uint16(v))
	}
	for i := 2; i < len(body); i += 4 {
		body[i] |= 0xe0
	}
	return section(0, 1, version, 0, 0, body)
}

// es is a line of a PMT.
type es struct {
	kind        byte
	pid         int
	descriptors []byte
}

func pmt(number, version int, list ...es) []byte {
	body := []byte{0xe1, 0, 0xf0, 0}
	for _, e := range list {
		body = append(body, e.kind, 0xe0|byte(e.pid>>8), byte(e.pid), 0xf0, byte(len(e.descriptors)))
		body = append(body, e.descriptors...)
	}
	return section(2, number, version, 0, 0, body)
}

func iso639(code string) []byte { return append([]byte{0x0a, 4}, code+"\x00"...) }

const none = -1 // no timestamp

// pes makes a PES packet; dts of none leaves it out, pts of none both.
func pesOf(id byte, pts, dts int64, sized bool, data []byte) []byte {
	var times []byte
	flags := byte(0)
	switch {
	case pts != none && dts != none:
		flags, times = 0xc0, append(stampOf(3, pts), stampOf(1, dts)...)
	case pts != none:
		flags, times = 0x80, stampOf(2, pts)
	}
	b := append([]byte{0, 0, 1, id, 0, 0, 0x80, flags, byte(len(times))}, times...)
	b = append(b, data...)
	if sized {
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-6))
	}
	return b
}

func stampOf(prefix byte, t int64) []byte {
	return []byte{
		prefix<<4 | byte(t>>29)&0x0e | 1, byte(t >> 22), byte(t>>14) | 1, byte(t >> 7), byte(t<<1) | 1,
	}
}

const (
	testPMT   = 0x100
	testVideo = 0x101
	testAudio = 0x102
	testCues  = 0x103
)

// announced is a muxer that has said: one programme, one video, one audio, cues.
func announced() *muxer {
	m := newMuxer()
	m.announce()
	return m
}

func (m *muxer) announce() {
	m.tables(0, pat(0, 1, testPMT))
	m.tables(testPMT, pmt(1, 0, es{0x1b, testVideo, nil}, es{0x0f, testAudio, iso639("fra")}, es{0x86, testCues, nil}))
}

func (m *muxer) video(pts, dts int64, au []byte) {
	m.payload(testVideo, pesOf(0xe0, pts, dts, false, au))
}
func (m *muxer) audio(pts int64, frames []byte) {
	m.payload(testAudio, pesOf(0xc0, pts, none, true, frames))
}

// bitWriter writes what bitReader reads.
type bitWriter struct {
	b []byte
	n int
}

func (w *bitWriter) u(n int, v uint32) *bitWriter {
	for i := n - 1; i >= 0; i-- {
		if w.n%8 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[w.n/8] |= byte(v>>i&1) << (7 - w.n%8)
		w.n++
	}
	return w
}

func (w *bitWriter) ue(v uint32) *bitWriter {
	n := 0
	for (v+1)>>(n+1) > 0 {
		n++
	}
	return w.u(n, 0).u(n+1, v+1)
}

// nalu ends the bits and protects them (ISO/IEC 14496-10, 7.4.1).
func (w *bitWriter) nalu(header byte, more ...byte) []byte {
	w.u(1, 1)
	out, zeros := []byte{header}, 0
	for _, b := range append(w.b, more...) {
		if zeros >= 2 && b <= 3 {
			out, zeros = append(out, 3), 0
		}
		out = append(out, b)
		if zeros++; b != 0 {
			zeros = 0
		}
	}
	return out
}

// spsOf makes one of the main profile: frame_num of 4 bits, order count of 8, 25 frames a second.
func spsOf(id, width uint32, interlaced bool) []byte {
	w := new(bitWriter).u(8, 77).u(8, 0).u(8, 30).ue(id).ue(0).ue(0).ue(4).ue(4).u(1, 0).ue(width/16 - 1).ue(17)
	if interlaced {
		w.u(1, 0).u(1, 0)
	} else {
		w.u(1, 1)
	}
	w.u(1, 1).u(1, 0)                                                    // direct_8x8_inference, cropping
	w.u(1, 1).u(1, 0).u(1, 0).u(1, 0).u(1, 0)                            // VUI
	w.u(1, 1).u(32, 1).u(32, 50).u(1, 1).u(1, 0).u(1, 0).u(1, 0).u(1, 0) // timing
	return w.nalu(0x67)
}

func ppsOf(id, sps, qp uint32) []byte {
	return new(bitWriter).ue(id).ue(sps).u(1, 0).u(1, 0).ue(0).ue(0).ue(0).u(3, 0).ue(qp).ue(0).ue(0).u(3, 0).nalu(0x68)
}

// slice of a picture.
type slice struct {
	first, kind, pps, frameNum uint32
	interlaced, field, bottom  bool
	idr                        bool
	idrID, lsb                 uint32
	discard                    bool // not a reference
	body                       int  // bytes
}

const (
	sliceP = 5
	sliceB = 6
	sliceI = 7
)

func (s slice) nalu() []byte {
	w := new(bitWriter).ue(s.first).ue(s.kind).ue(s.pps).u(4, s.frameNum)
	flag := map[bool]uint32{true: 1}
	if s.interlaced {
		w.u(1, flag[s.field])
		if s.field {
			w.u(1, flag[s.bottom])
		}
	}
	header := byte(0x41)
	if s.idr {
		header = 0x65
		w.ue(s.idrID)
	}
	if s.discard {
		header = 0x01
	}
	w.u(8, s.lsb)
	body := make([]byte, s.body)
	for i := range body {
		body[i] = byte(i*7+int(s.lsb)) | 0x10
	}
	return w.nalu(header, append(body, 0x80)...)
}

var (
	aud      = []byte{9, 0xf0}
	recovery = []byte{6, 6, 1, 0xc4, 0x80}
)

// annexB makes a byte stream: the first with four bytes of start code, the others with three.
func annexB(nalus ...[]byte) (b []byte) {
	for i, n := range nalus {
		if i == 0 {
			b = append(b, 0)
		}
		b = append(append(b, 0, 0, 1), n...)
	}
	return b
}

// adtsOf makes one frame of AAC-LC in stereo.
func adtsOf(index byte, protected bool, body int, fill byte) []byte {
	size, flag := 7+body, byte(1)
	if protected {
		size, flag = size+2, 0
	}
	b := []byte{0xff, 0xf0 | flag, 1<<6 | index<<2, 2 << 6, byte(size >> 3), byte(size<<5) | 0x1f, 0xfc}
	b[3] |= byte(size >> 11)
	if protected {
		b = append(b, 0xca, 0xfe)
	}
	return append(b, slices.Repeat([]byte{fill}, body)...)
}

const at48k = 3

// clip is a second of video with B pictures, audio, and a cue: what the other tests spoil.
func clip() []byte {
	m := announced()
	lsb := []uint32{0, 6, 2, 4, 12, 8, 10, 18, 14, 16, 24, 20, 22}
	for i, l := range lsb {
		dts := int64(900000 + i*3600)
		pts := 900000 + 3600 + int64(l)*1800
		s := slice{kind: sliceP, frameNum: uint32(i) & 15, lsb: l, body: 700 + 40*i}
		au := [][]byte{aud, s.nalu()}
		if i == 0 {
			s.kind, s.idr = sliceI, true
			au = [][]byte{aud, spsOf(0, 320, false), ppsOf(0, 0, 0), s.nalu()}
		}
		m.video(pts, dts, annexB(au...))
		var frames []byte
		for k := range 3 {
			frames = append(frames, adtsOf(at48k, false, 150+k, byte(i*3+k))...)
		}
		m.audio(900000+int64(i)*3*1920, frames)
		if i == 5 {
			m.announce()
			m.tables(testCues, timeSignal(903000, 7))
		}
	}
	return m.out
}

// timeSignal is a splice_info_section with a time_signal.
func timeSignal(pts, adjustment uint64) []byte {
	s := []byte{0xfc, 0x30, 0, 0, byte(adjustment >> 32)}
	s = binary.BigEndian.AppendUint32(s, uint32(adjustment))
	s = append(s, 0, 0xff, 0xf0, 5, 6, 0xfe|byte(pts>>32))
	s = binary.BigEndian.AppendUint32(s, uint32(pts))
	return sealed(append(s, 0, 0))
}

// restride puts 188-byte packets at another distance, with filling before or behind each.
func restride(b []byte, before, behind int) (out []byte) {
	for p := range slices.Chunk(b, packetSize) {
		out = append(out, slices.Repeat([]byte{0x21}, before)...)
		out = append(out, p...)
		out = append(out, slices.Repeat([]byte{0x42}, behind)...)
	}
	return out
}
