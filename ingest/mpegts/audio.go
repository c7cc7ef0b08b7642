package mpegts

import "flambeau/packager/media"

// framing is how one kind of audio stands in an elementary stream: in frames that begin with a syncword and say how long they are. The next
// kind is one type with these two methods, and a line in the table of stream.go.
type framing interface {
	// begins is where in b a frame could begin, as far as can be seen; len(b): nowhere.
	begins(b []byte) int
	// read looks at the front of b. The last unit that was read before tells what a frame may leave out. Where ending, nothing follows b.
	read(b []byte, last *audioUnit, ending bool) (audioUnit, verdict)
}

type verdict uint8

const (
	noFrame   verdict = iota // none begins here
	partFrame                // one does; more bytes are needed. Its configuration may be known
	oneFrame                 // it is there to its end
)

// audioUnit is a frame, or several that belong together, and what it says of itself.
type audioUnit struct {
	size    int         // bytes in the elementary stream
	at      int         // where its payload begins, in bits
	payload int         // how long that is, in bytes
	samples int64       // that it lasts
	rate    int64       // of these a second
	codec   media.Codec //
	config  audioConfig // what a decoder must know; n is 0 where it is not known
	refused reason      // why nothing is made of it; 0: it can be used
}

// maxAudioConfig is the longest configuration that is believed, in bytes.
const maxAudioConfig = 64

// audioConfig is what media.Track.Parameters hold. It is compared at every frame, and allocates nothing.
type audioConfig struct {
	n uint8
	b [maxAudioConfig]byte
}

func configOf(b ...byte) (c audioConfig) {
	c.n = uint8(copy(c.b[:], b))
	return c
}

func (c *audioConfig) parameters() [][]byte { return [][]byte{append([]byte(nil), c.b[:c.n]...)} }

// maxWaiting is how many frames wait for the next timestamp after a loss. If it has not come by then they are dropped.
const maxWaiting = 64

// maxHole is how much later than the frame before a loss a frame behind it may be: else the clock has jumped, and what lies
// between has no time.
const maxHole = 10 * timescale

// audioParser takes frames out of an elementary stream, whatever their kind.
type audioParser struct {
	*track
	framing
	m         marks
	buf       []byte // what is not taken yet
	ending    bool   // nothing follows
	sure      bool   // the frames so far were end to end
	searching bool   // what is skipped now was counted
	head      pes    // in which buf begins
	begun     bool   // head is known
	last      audioUnit
	unit      audioUnit // at the front of buf; here, so that it is not allocated each time

	base  media.Ticks // of the last timestamp
	timed bool        // base is known, and no frame since is missing
	n     int64       // samples since base

	latest  media.Ticks // of the last frame given
	waiting [][]byte    // frames behind a loss, which the next timestamp will tell the time of
}

func audioOf(f framing) func(*track) parser {
	return func(t *track) parser { return &audioParser{track: t, framing: f} }
}

func (a *audioParser) start(s stamp) { a.m.start(s) }

func (a *audioParser) write(p []byte) {
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

func (a *audioParser) work() {
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
func (a *audioParser) next(b []byte) int {
	if !a.begun {
		a.head, a.begun = a.m.of(a.m.total-int64(len(b))), true
	}
	var v verdict
	a.unit, v = a.read(b, &a.last, a.ending)
	u := &a.unit
	switch {
	case v == noFrame:
		return a.resync(b)
	case v == partFrame && (a.sure || !a.ending):
		return 0
	case v == partFrame:
		return a.resync(b)
	case a.sure, a.ending && len(b) == u.size:
	default: // after a search the next frame has to confirm
		switch a.confirm(u, b[u.size:]) {
		case noFrame:
			return a.resync(b)
		case partFrame:
			return 0
		}
	}
	a.sure, a.searching = true, false
	a.frame(u, b[:u.size])
	a.begun = false
	return u.size
}

// confirm tells whether a frame of the same kind follows.
func (a *audioParser) confirm(u *audioUnit, b []byte) verdict {
	if len(b) == 0 {
		return partFrame
	}
	next, v := a.read(b, u, a.ending)
	switch {
	case v == noFrame, next.config.n > 0 && u.config.n > 0 && next.config != u.config:
		return noFrame
	case v == partFrame && next.config.n == 0 && a.ending:
		return noFrame
	case v == partFrame && next.config.n == 0:
		return partFrame
	}
	return oneFrame
}

// resync skips to what could be a frame.
func (a *audioParser) resync(b []byte) int {
	if !a.searching {
		a.lose(badSyntax, 1)
	}
	a.forget()
	a.searching, a.sure, a.timed, a.begun = true, false, false, false
	return 1 + a.begins(b[1:])
}

func (a *audioParser) gap() {
	a.forget()
	if len(a.buf) > 0 && a.sure {
		a.lose(damaged, 1)
	}
	a.searching = a.searching || len(a.buf) > 0 || a.sure // what it cuts through was counted where it was noticed
	a.buf, a.sure, a.begun, a.timed = a.buf[:0], false, false, false
	a.m.gap()
}

// finish waits for no second frame.
func (a *audioParser) finish() {
	a.ending = true
	a.work()
	a.ending = false
	a.gap()
}

// frame is one whole unit.
func (a *audioParser) frame(u *audioUnit, b []byte) {
	at, ok := a.time(u)
	same := u.codec == a.Codec && u.config == a.last.config
	a.last = *u
	switch {
	case u.refused != 0:
		a.forget()
		a.timed = a.timed && u.rate > 0
		a.lose(u.refused, 1)
		return
	case !ok:
		a.wait(same, bitsFrom(b, u.at, u.payload))
		return
	}
	a.release(at, same)
	if !same || !a.Known() {
		a.d.turnsOutToBe(a.track, u.codec)
		a.describe(u.config.parameters())
	}
	a.give(at, bitsFrom(b, u.at, u.payload))
}

func (a *audioParser) give(at media.Ticks, data []byte) {
	a.latest = at
	a.emit(media.Sample{PTS: at, DTS: at, Key: true, Data: data})
}

// wait keeps a whole frame behind a loss: it is not known how many are missing in front of it.
func (a *audioParser) wait(same bool, data []byte) {
	if !a.Known() || !same || len(a.waiting) == maxWaiting {
		a.forget()
		a.lose(noTime, 1)
		return
	}
	a.waiting = append(a.waiting, data)
}

// release gives the frames that wait, counted back from the one that came right after them.
func (a *audioParser) release(at media.Ticks, same bool) {
	n := int64(len(a.waiting))
	if n == 0 {
		return
	}
	begin := at - a.span(n*a.last.samples)
	if !same || begin <= a.latest || begin > a.latest+maxHole {
		a.forget()
		return
	}
	for i, data := range a.waiting {
		a.give(at-a.span((n-int64(i))*a.last.samples), data)
	}
	a.waiting = nil
}

// forget drops the frames that wait.
func (a *audioParser) forget() {
	if n := len(a.waiting); n > 0 {
		a.waiting = nil
		a.lose(noTime, n)
	}
}

// time counts samples from the last timestamp, so that no rounding adds up.
func (a *audioParser) time(u *audioUnit) (media.Ticks, bool) {
	s, ok := a.m.claim(a.head)
	switch {
	case ok:
		a.base, a.n, a.timed = s.pts, 0, true
	case a.timed && u.rate != a.last.rate: // what was counted so far was counted at another rate
		a.base, a.n = a.base+a.span(a.n+a.last.samples), 0
	case a.timed:
		a.n += a.last.samples
	}
	return a.base + spanOf(a.n, u.rate), a.timed
}

// span is how long so many samples of the last frame's rate take.
func (a *audioParser) span(samples int64) media.Ticks { return spanOf(samples, a.last.rate) }

func spanOf(samples, rate int64) media.Ticks {
	if rate == 0 {
		return 0
	}
	return media.Ticks((samples*timescale + rate/2) / rate)
}

// bitsFrom copies n bytes from a position in bits.
func bitsFrom(b []byte, at, n int) []byte {
	out, shift := append(make([]byte, 0, n), b[at>>3:min(at>>3+n, len(b))]...), at&7
	if shift == 0 {
		return out
	}
	for i := range out {
		out[i] <<= shift
		if next := at>>3 + i + 1; next < len(b) {
			out[i] |= b[next] >> (8 - shift)
		}
	}
	return out
}
