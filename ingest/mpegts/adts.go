package mpegts

import (
	"bytes"

	"flambeau/packager/media"
)

// aacFrame is how many samples one raw_data_block holds (ISO/IEC 14496-3, 4.5.2.1.1; ADTS has no 960).
const aacFrame = 1024

// aacRates is ISO/IEC 14496-3, table 1.18.
var aacRates = [...]int64{96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}

// maxWaiting is how many frames wait for the next timestamp after a loss. If it has not come by then they are dropped.
const maxWaiting = 64

// maxHole is how much later than the frame before a loss a frame behind it may be: else the clock has jumped, and what lies
// between has no time.
const maxHole = 10 * timescale

// adts takes AAC out of its transport frames (ISO/IEC 14496-3, 1.A.3.2).
type adts struct {
	*track
	m         marks
	buf       []byte // what is not taken yet
	ending    bool   // nothing follows
	sure      bool   // the frames so far were end to end
	searching bool   // what is skipped now was counted
	head      pes    // in which buf begins
	begun     bool   // head is known
	config    [2]byte

	base  media.Ticks // of the last timestamp
	timed bool        // base is known, and no frame since is missing
	n     int64       // frames since base
	rate  int64       // of the last frame

	latest  media.Ticks // of the last frame given
	waiting [][]byte    // frames behind a loss, which the next timestamp will tell the time of
}

func newADTS(t *track) parser { return &adts{track: t} }

func (a *adts) start(s stamp) { a.m.start(s) }

func (a *adts) write(p []byte) {
	if !a.hold(len(a.buf) + len(p)) {
		a.lose(tooBig, 1)
		a.gap()
		a.m.total += int64(len(p))
		return
	}
	a.buf = append(a.buf, p...)
	a.m.total += int64(len(p))
	a.work()
}

func (a *adts) work() {
	rest := a.buf
	for len(rest) > 0 {
		n := a.next(rest)
		if n == 0 {
			break
		}
		rest = rest[n:]
	}
	a.buf = a.buf[:copy(a.buf, rest)]
}

// next looks at the front of b and says how many bytes are done with; 0: more are needed.
func (a *adts) next(b []byte) int {
	if !a.begun {
		a.head, a.begun = a.m.of(a.m.total-int64(len(b))), true
	}
	if len(b) < 7 && couldBegin(b) {
		return 0
	}
	h, ok := parseADTS(b)
	switch {
	case !ok:
		return a.resync(b)
	case a.sure && len(b) < h.size:
		return 0
	case a.sure:
	case a.ending && len(b) == h.size:
	case len(b) < h.size+7 && !a.ending:
		return 0 // after a search the next frame has to confirm
	case len(b) < h.size+7 || !h.goesOn(b[h.size:]):
		return a.resync(b)
	}
	a.sure, a.searching = true, false
	a.frame(h, b[:h.size])
	a.begun = false
	return h.size
}

// resync skips to what could be a frame.
func (a *adts) resync(b []byte) int {
	if !a.searching {
		a.lose(badSyntax, 1)
	}
	a.forget()
	a.searching, a.sure, a.timed, a.begun = true, false, false, false
	if i := bytes.IndexByte(b[1:], 0xff); i >= 0 {
		return 1 + i
	}
	return len(b)
}

func (a *adts) gap() {
	a.forget()
	if len(a.buf) > 0 && a.sure {
		a.lose(damaged, 1)
	}
	a.searching = a.searching || len(a.buf) > 0 || a.sure // what it cuts through was counted where it was noticed
	a.buf, a.sure, a.begun, a.timed = a.buf[:0], false, false, false
	a.m.gap()
}

// finish waits for no second frame.
func (a *adts) finish() {
	a.ending = true
	a.work()
	a.ending = false
	a.gap()
}

// frame is one whole ADTS frame.
func (a *adts) frame(h adtsHeader, b []byte) {
	at, ok := a.time(h)
	switch {
	case h.blocks != 1:
		a.forget()
		a.timed = false
		a.lose(unsupported, 1)
		return
	case h.channels == 0: // they are described in a program_config_element inside the frame
		a.forget()
		a.lose(unsupported, 1)
		return
	case !ok:
		a.wait(h, append([]byte(nil), b[h.length:]...))
		return
	}
	a.release(at, h)
	if c := h.config(); a.config != c || !a.Known() {
		a.config = c
		a.describe([][]byte{c[:]})
	}
	a.give(at, append([]byte(nil), b[h.length:]...))
}

func (a *adts) give(at media.Ticks, data []byte) {
	a.latest = at
	a.emit(media.Sample{PTS: at, DTS: at, Key: true, Data: data})
}

// wait keeps a whole frame behind a loss: it is not known how many are missing in front of it.
func (a *adts) wait(h adtsHeader, data []byte) {
	if !a.Known() || h.config() != a.config || len(a.waiting) == maxWaiting {
		a.forget()
		a.lose(noTime, 1)
		return
	}
	a.waiting = append(a.waiting, data)
}

// release gives the frames that wait, counted back from the one that came right after them.
func (a *adts) release(at media.Ticks, h adtsHeader) {
	n := int64(len(a.waiting))
	if n == 0 {
		return
	}
	begin := at - a.span(n, h.rate)
	if h.config() != a.config || begin <= a.latest || begin > a.latest+maxHole {
		a.forget()
		return
	}
	for i, data := range a.waiting {
		a.give(at-a.span(n-int64(i), h.rate), data)
	}
	a.waiting = nil
}

// forget drops the frames that wait.
func (a *adts) forget() {
	if n := len(a.waiting); n > 0 {
		a.waiting = nil
		a.lose(noTime, n)
	}
}

// time counts frames from the last timestamp, so that no rounding adds up.
func (a *adts) time(h adtsHeader) (media.Ticks, bool) {
	s, ok := a.m.claim(a.head)
	switch {
	case ok:
		a.base, a.n, a.timed = s.pts, 0, true
	case a.timed && h.rate != a.rate: // what was counted so far was counted at another rate
		a.base, a.n = a.base+a.span(a.n+1, a.rate), 0
	case a.timed:
		a.n++
	}
	a.rate = h.rate
	return a.base + a.span(a.n, h.rate), a.timed
}

func (a *adts) span(frames, rate int64) media.Ticks {
	return media.Ticks((frames*aacFrame*timescale + rate/2) / rate)
}

// adtsHeader is adts_fixed_header and adts_variable_header.
type adtsHeader struct {
	object   byte // audio object type
	index    byte // sampling_frequency_index
	rate     int64
	channels byte
	length   int // of the header
	size     int // of the frame
	blocks   int
}

// couldBegin tells whether a frame may begin so, as far as can be seen.
func couldBegin(b []byte) bool {
	return b[0] == 0xff && (len(b) < 2 || b[1]&0xf6 == 0xf0)
}

func parseADTS(b []byte) (h adtsHeader, ok bool) {
	if len(b) < 7 || !couldBegin(b) || int(b[2]>>2&0x0f) >= len(aacRates) {
		return h, false
	}
	h = adtsHeader{
		object: b[2]>>6 + 1, index: b[2] >> 2 & 0x0f, channels: b[2]&1<<2 | b[3]>>6, length: 7,
		size: int(b[3]&3)<<11 | int(b[4])<<3 | int(b[5]>>5), blocks: int(b[6]&3) + 1,
	}
	h.rate = aacRates[h.index]
	if b[1]&1 == 0 { // protection_absent
		h.length += 2
	}
	return h, h.size > h.length
}

// goesOn tells whether a frame of the same kind follows.
func (h adtsHeader) goesOn(b []byte) bool {
	n, ok := parseADTS(b)
	return ok && n.config() == h.config()
}

// config is the AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1).
func (h adtsHeader) config() [2]byte {
	return [2]byte{h.object<<3 | h.index>>1, h.index<<7 | h.channels<<3}
}
