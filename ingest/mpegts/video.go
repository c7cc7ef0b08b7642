package mpegts

import (
	"bytes"
	"encoding/binary"

	"flambeau/packager/media"
)

const (
	// maxNALs is how many NAL units one access unit may have. One with more is dropped.
	maxNALs = 8192
	// maxIdle is the largest buffer that is kept between units for the next one. A larger one is given back.
	maxIdle = 4 << 20
	// idrPatience is how many access units without IDR make a feed one that has none, so that its recovery points count as
	// key frames. A feed is one until its first IDR has come.
	idrPatience = 64
)

// syntax is what one coding of pictures says where. The next coding is one type that has it, and a line in the table of stream.go.
type syntax interface {
	class(nal []byte) nalClass
	sps(nal []byte) (*sps, bool)
	pps(nal []byte) (*pps, bool)
	// slice reads a slice header. Where its parameter sets have not come, only the front of it is known. last is the one before it.
	slice(sets *parameterSets, last *sliceHeader, nal []byte) (sliceHeader, bool)
	// recovers tells whether a NAL unit that may say so says that decoding can begin with the picture behind it.
	recovers(nal []byte) bool
}

// nalClass is what a NAL unit is to an access unit.
type nalClass uint8

const (
	nalBroken    nalClass = iota // forbidden_zero_bit
	nalPicture                   // a slice of the picture
	nalDelimiter                 // an access unit begins
	nalVideo                     // parameter sets
	nalSequence                  //
	nalPictureSet
	nalMessage // SEI that stands before the picture
	nalFront   // whatever else stands before the picture
	nalBehind  // belongs to what it stands behind
	nalUseless // not wanted in a CMAF track
)

// videoParser makes access units out of a byte stream of NAL units (ISO/IEC 14496-10, annex B and 7.4.1.2.3; ISO/IEC 23008-2, annex B and
// 7.4.2.4.4). Two fields of one frame are one sample in H.264 (ISO/IEC 14496-15), not in H.265.
//
//	raw   … slice│AUD SEI slice slice│AUD SEI slic
//	             └ cur               └ next       └ the NAL unit in progress
//
// A NAL unit that can only stand in front of a picture opens next; the slice that follows decides whether another frame has
// begun, and cur is finished. An access unit delimiter decides at once, where cur is no first field.
type videoParser struct {
	*track
	syntax
	parameterSets
	m       marks
	raw     []byte // from the first byte that is still needed
	scanned int    // no start code begins before
	tail    int    // end of the last complete NAL unit
	open    int    // where the NAL unit in progress begins; -1: none does
	from    pes    // in which it commences

	cur, next frame
	holed     bool  // bytes were missing, and no start of a picture has come since
	unit      int64 // counts what could be access units
	sinceIDR  int
	noIDR     bool // none has come yet
	parity    int  // of the first fields: 1 top, 2 bottom
	times     counter
}

// frame is an access unit, or the two of a frame, in the making.
type frame struct {
	begun    bool
	from     pes // in which it commences
	nals     []nal
	first    sliceHeader
	last     sliceHeader // the latest slice
	zero     bool        // a slice that starts a picture was there
	vcl      bool        // it has slices
	aud      bool
	fields   int
	lone     bool // a second field whose first is missing
	intra    bool
	recovery bool
	damaged  bool // bytes are missing behind the start of its first slice
	broken   bool // bytes are missing before that
	deaf     bool // its parameter sets are unknown
	huge     bool
	sets     [][]byte
	stamp    stamp
}

// nal is raw[start:end].
type nal struct{ start, end int }

func videoOf(s syntax) func(*track) parser {
	return func(t *track) parser {
		return &videoParser{track: t, syntax: s, open: -1, holed: true, noIDR: true, unit: 1}
	}
}

var startCode = []byte{0, 0, 1}

func (h *videoParser) start(s stamp) { h.m.start(s) }

func (h *videoParser) write(p []byte) {
	h.m.total += int64(len(p))
	if !h.hold(len(h.raw) + len(p)) {
		h.overflow()
		return
	}
	h.raw = append(h.raw, p...)
	for {
		i := bytes.Index(h.raw[h.scanned:], startCode)
		if i < 0 {
			break
		}
		at := h.scanned + i
		h.close(at, false)
		h.open, h.scanned = at+3, at+3
		// A zero_byte before the start code is left out: some muxers leave it in the PES packet of the picture before.
		h.from = h.m.of(h.m.total - int64(len(h.raw)-at))
	}
	h.scanned = max(h.scanned, len(h.raw)-2)
	h.compact()
}

// compact throws away what is done with.
func (h *videoParser) compact() {
	if h.open < 0 { // garbage: only what may be the front of a start code is kept
		n := max(h.tail, len(h.raw)-2)
		h.raw = append(h.raw[:h.tail], h.raw[n:]...)
		h.scanned = h.tail
	}
	done := h.tail
	for _, f := range [...]*frame{&h.cur, &h.next} {
		if len(f.nals) > 0 {
			done = min(done, f.nals[0].start)
		}
	}
	if done > 0 {
		h.shift(done)
	}
}

func (h *videoParser) shift(n int) {
	h.raw = h.raw[:copy(h.raw, h.raw[n:])]
	h.tail, h.scanned = h.tail-n, max(0, h.scanned-n)
	if h.open >= 0 {
		h.open -= n
	}
	for _, f := range [...]*frame{&h.cur, &h.next} {
		for i := range f.nals {
			f.nals[i].start -= n
			f.nals[i].end -= n
		}
	}
	if cap(h.raw) > maxIdle && len(h.raw) < cap(h.raw)/8 {
		h.raw = append([]byte(nil), h.raw...)
		h.held = len(h.raw)
	}
}

// overflow drops the unit in progress.
func (h *videoParser) overflow() {
	h.lose(tooBig, 1)
	h.cur.reset()
	h.next.reset()
	h.raw, h.held, h.scanned, h.tail, h.open = nil, 0, 0, 0, -1
	h.holed, h.times.known = true, false
	h.m.gap()
}

// close ends the NAL unit in progress. A broken one lacks its end.
func (h *videoParser) close(end int, broken bool) {
	if h.open < 0 {
		return
	}
	n := nal{h.open, end}
	for n.end > n.start && h.raw[n.end-1] == 0 { // trailing_zero_8bits
		n.end--
	}
	h.open, h.tail = -1, end
	if n.end > n.start {
		h.take(n, broken)
	}
}

// take decides what a NAL unit belongs to (ISO/IEC 14496-10, 7.4.1.2.3; ISO/IEC 23008-2, 7.4.2.4.4).
func (h *videoParser) take(n nal, broken bool) {
	b := h.raw[n.start:n.end]
	class := h.class(b)
	if class == nalBroken {
		h.lose(badSyntax, 1)
		h.target().hurt()
		return
	}
	h.forsake()
	switch class {
	case nalPicture:
		h.takeSlice(n, b, broken)
	case nalDelimiter:
		h.delimiter()
	case nalVideo, nalSequence, nalPictureSet:
		h.opening().begin(h)
		if !broken && !h.takeSet(class, b, h.syntax, h.unit) {
			h.lose(badParameters, 1)
		}
	case nalMessage, nalFront:
		f := h.opening()
		f.begin(h)
		f.recovery = f.recovery || class == nalMessage && !broken && h.recovers(b)
		f.keep(n)
	case nalBehind:
		h.target().keep(n)
	}
}

// target is the frame to which the bytes that come now belong, as far as is known.
func (h *videoParser) target() *frame {
	if h.next.begun {
		return &h.next
	}
	return &h.cur
}

// opening is the frame to which a NAL unit belongs that stands before the slices.
func (h *videoParser) opening() *frame {
	if !h.cur.vcl {
		return &h.cur
	}
	if !h.next.begun {
		h.unit++
	}
	return &h.next
}

// delimiter is an access unit delimiter: what stands before it without a slice belongs to nothing, and what has slices is
// complete, unless it is a first field.
func (h *videoParser) delimiter() {
	f := h.opening()
	if f.begun {
		h.discard(f)
		h.unit++
	}
	if h.cur.vcl && (h.cur.fields != 1 || h.cur.lone) {
		h.emit(&h.cur)
		f = &h.cur
	}
	f.begin(h)
	f.aud = true
}

// forsake gives up a frame that lost its start, once another PES packet has come.
func (h *videoParser) forsake() {
	f := h.target()
	if f.broken && !f.vcl && h.from.serial != 0 && h.from.serial != f.from.serial {
		h.discard(f)
		h.unit++
	}
}

func (h *videoParser) discard(f *frame) {
	if f.broken {
		h.lose(damaged, 1)
	}
	f.reset()
}

func (f *frame) begin(h *videoParser) {
	if !f.begun {
		f.begun, f.from = true, h.from
	}
	h.holed = false
}

func (f *frame) keep(n nal) {
	if len(f.nals) == maxNALs {
		f.huge = true
		return
	}
	f.nals = append(f.nals, n)
}

// hurt says that bytes are missing from here on.
func (f *frame) hurt() {
	f.damaged = f.damaged || f.vcl
	f.broken = f.broken || f.begun && !f.vcl
}

func (f *frame) reset() { *f = frame{nals: f.nals[:0]} }

// slice is what decides.
func (h *videoParser) takeSlice(n nal, b []byte, broken bool) {
	s, ok := h.syntax.slice(&h.parameterSets, &h.cur.last, b)
	if !ok {
		if !broken {
			h.lose(badSyntax, 1)
		}
		h.target().hurt()
		return
	}
	switch {
	case !h.cur.vcl:
		h.picture(&s)
	case h.same(&s):
		h.cur.absorb(&h.next)
	case h.pairs(&s):
		if !h.next.begun {
			h.next.from = h.from
		}
		h.m.claim(h.next.from) // the frame is shown when its first field is
		h.cur.absorb(&h.next)
		h.cur.fields, h.cur.zero, h.cur.sets = 2, false, h.parameters()
	default:
		h.emit(&h.cur)
		h.cur, h.next = h.next, h.cur
		h.next.reset()
		h.picture(&s)
	}
	f := &h.cur
	f.last = s
	f.zero = f.zero || s.first == 0 && s.redundant == 0
	if f.fields < 2 {
		f.intra = f.intra && s.intra()
	}
	f.keep(n)
}

// same tells whether a slice belongs to the picture before it.
func (h *videoParser) same(s *sliceHeader) bool {
	again := s.first == 0 && s.redundant == 0 && h.cur.zero
	return !s.newPicture(&h.cur.last) && !h.next.aud && !again
}

func (h *videoParser) pairs(s *sliceHeader) bool {
	return h.cur.fields == 1 && !h.cur.lone && s.secondField(&h.cur.first)
}

// absorb takes over what seemed to begin another frame.
func (f *frame) absorb(next *frame) {
	for _, n := range next.nals {
		f.keep(n)
	}
	f.damaged = f.damaged || next.broken
	next.reset()
}

// picture begins the slices of cur.
func (h *videoParser) picture(s *sliceHeader) {
	f := &h.cur
	if !f.begun {
		f.begin0(h, s)
	}
	f.vcl, f.intra, f.first = true, true, *s
	f.deaf = !s.known
	if s.field {
		h.field(f, s)
	}
	if s.known && s.key {
		h.activate(h.sequences[h.pictures[s.pps].sps], h.unit)
	}
	f.sets = h.parameters()
	f.stamp = h.time(f, s)
}

// begin0 begins a frame with its first slice.
func (f *frame) begin0(h *videoParser, s *sliceHeader) {
	f.begun, f.from = true, h.from
	h.unit++
	f.broken = h.holed && s.first != 0
	h.holed = h.holed && s.first != 0
}

// field keeps fields in step: after a loss, a field of the other parity is the second of a frame whose first is missing.
func (h *videoParser) field(f *frame, s *sliceHeader) {
	f.fields = 1
	parity := 1
	if s.bottom {
		parity = 2
	}
	if h.times.known || h.parity == 0 {
		h.parity = parity
		return
	}
	f.lone = parity != h.parity
}

func (h *videoParser) time(f *frame, s *sliceHeader) stamp {
	if t, ok := h.m.claim(f.from); ok {
		h.times.given(t, s)
		return t
	}
	var set *sps
	if s.known {
		set = h.sequences[h.pictures[s.pps].sps]
	}
	t, _ := h.times.next(s, set)
	return t
}

// emit gives a finished frame, or says why there is none.
func (h *videoParser) emit(f *frame) {
	defer f.reset()
	if f.first.key {
		h.sinceIDR, h.noIDR = 0, false
	} else {
		h.sinceIDR++
	}
	switch {
	case f.broken:
		h.lose(damaged, 1)
	case f.huge:
		h.lose(tooBig, 1)
	case f.deaf:
		h.lose(noParameters, 1)
	case !f.stamp.ok:
		h.lose(noTime, 1)
	default:
		h.describe(f.sets)
		h.track.emit(media.Sample{
			PTS: f.stamp.pts, DTS: f.stamp.dts, Key: h.key(f), Damaged: f.damaged || f.lone, Data: h.data(f),
		})
	}
}

func (h *videoParser) key(f *frame) bool {
	if f.first.key {
		return true
	}
	return f.recovery && f.intra && (h.noIDR || h.sinceIDR > idrPatience)
}

// data is the access unit with lengths instead of start codes.
func (h *videoParser) data(f *frame) []byte {
	size := 0
	for _, n := range f.nals {
		size += 4 + n.end - n.start
	}
	b := make([]byte, 0, size)
	for _, n := range f.nals {
		b = binary.BigEndian.AppendUint32(b, uint32(n.end-n.start))
		b = append(b, h.raw[n.start:n.end]...)
	}
	return b
}

// gap cuts the NAL unit in progress off: what follows, up to the next start code, may belong to anything.
func (h *videoParser) gap() {
	h.close(len(h.raw), true)
	h.target().hurt()
	h.tail = len(h.raw)
	h.scanned = len(h.raw)
	h.holed, h.times.known = true, false
	h.m.gap()
}

// finish takes the last frame as complete, unless bytes of it are known to be missing.
func (h *videoParser) finish() {
	h.close(len(h.raw), false)
	if h.cur.damaged && h.cur.vcl {
		h.cur.broken = true
	}
	if h.cur.vcl {
		h.emit(&h.cur)
	}
	h.discard(&h.cur)
	h.discard(&h.next)
	h.cur.nals, h.next.nals = nil, nil
	h.raw, h.held, h.scanned, h.tail, h.open = nil, 0, 0, 0, -1
	h.holed, h.times.known = true, false
	h.m.gap()
}
