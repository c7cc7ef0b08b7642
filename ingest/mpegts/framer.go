package mpegts

import "bytes"

const (
	packetSize = 188
	syncByte   = 0x47

	// A phase is believed when this many sync bytes stand in it.
	probePackets = 5
	probeWindow  = (probePackets-1)*maxStride + 1
	maxStride    = 204

	// maxHold is how much is kept while looking for sync; what was looked at is thrown away.
	maxHold = 4096
)

// strides are the distances between sync bytes that are in use: plain, with a four-byte time code before each packet
// (M2TS), with sixteen bytes of Reed-Solomon code after it.
var strides = [...]int{packetSize, 192, maxStride}

// framer finds packets in bytes.
type framer struct {
	take    func(packet []byte)
	lost    func(skipped int, shifted bool) // sync was lost, and found again so many bytes later, maybe in another phase
	stride  int                             // 0: not in sync
	last    int                             // the stride before sync was lost
	skip    int                             // bytes between the last packet and the next
	skipped int                             // since sync was lost
	hold    []byte                          // the beginning of a packet, or what is being looked at for sync
}

func (f *framer) write(p []byte) {
	for len(p) > 0 {
		switch {
		case f.skip > 0:
			n := min(f.skip, len(p))
			p, f.skip = p[n:], f.skip-n
		case f.stride != 0 && len(f.hold) == 0 && len(p) >= packetSize:
			if p[0] != syncByte {
				f.unlock()
				continue
			}
			f.take(p[:packetSize])
			p, f.skip = p[packetSize:], f.stride-packetSize
		default:
			n := min(f.room(), len(p))
			f.hold = append(f.hold, p[:n]...)
			p = p[n:]
			f.work()
		}
	}
}

// room is how much hold should take before it is worth looking at.
func (f *framer) room() int {
	if f.stride != 0 {
		return packetSize - len(f.hold)
	}
	return maxHold - len(f.hold)
}

// work does with hold what can be done.
func (f *framer) work() {
	rest := f.hold
	for {
		if f.stride == 0 {
			var found bool
			if rest, found = f.probe(rest); !found {
				break
			}
		}
		if n := min(f.skip, len(rest)); n > 0 {
			rest, f.skip = rest[n:], f.skip-n
		}
		if len(rest) > 0 && rest[0] != syncByte {
			f.unlock()
			continue
		}
		if len(rest) < packetSize {
			break
		}
		f.take(rest[:packetSize])
		rest, f.skip = rest[packetSize:], f.stride-packetSize
	}
	f.hold = f.hold[:copy(f.hold, rest)]
}

func (f *framer) unlock() { f.last, f.stride, f.skip = f.stride, 0, 0 }

// probe looks for a phase, offset by offset, so that its answer doesn't depend on how the bytes were cut.
func (f *framer) probe(b []byte) (rest []byte, found bool) {
	for o := 0; len(b)-o >= probeWindow; o++ {
		if f.lonely(b[o:]) {
			f.lost(packetSize, false)
			f.stride = f.last
			f.skip = f.last - packetSize
			return b[o+packetSize:], true
		}
		if b[o] != syncByte {
			f.skipped++
			continue
		}
		for _, stride := range strides {
			if inPhase(b[o:], stride, probePackets) {
				f.found(stride)
				return b[o:], true
			}
		}
		f.skipped++
	}
	return b[max(0, len(b)-probeWindow+1):], false
}

// lonely tells whether a single sync byte is wrong in a stream that otherwise goes on: one packet is lost then, no more.
func (f *framer) lonely(b []byte) bool {
	return f.last != 0 && f.skipped == 0 && b[0] != syncByte && inPhase(b[f.last:], f.last, probePackets-1)
}

// found ends a search.
func (f *framer) found(stride int) {
	if stride == 192 && f.last == 0 && f.skipped <= 4 {
		f.skipped = 0 // the time code before the first packet
	}
	if f.skipped > 0 {
		f.lost(f.skipped, stride != f.last || f.skipped%stride != 0)
	}
	f.stride, f.skipped = stride, 0
}

func inPhase(b []byte, stride, packets int) bool {
	for i := range packets {
		if b[i*stride] != syncByte {
			return false
		}
	}
	return true
}

// flush takes what is left when nothing will follow, and forgets the phase. Fewer packets than a probe wants are believed
// when they reach the end.
func (f *framer) flush() {
	for f.stride == 0 && len(f.hold) > 0 {
		o := bytes.IndexByte(f.hold, syncByte)
		if o < 0 {
			break
		}
		f.hold = f.hold[o:]
		f.skipped += o
		if stride := toTheEnd(f.hold); stride != 0 {
			f.found(stride)
			f.work()
			break
		}
		f.hold = f.hold[1:]
		f.skipped++
	}
	if n := f.skipped + len(f.hold); n > 0 {
		f.lost(n, true)
	}
	f.stride, f.last, f.skip, f.skipped, f.hold = 0, 0, 0, 0, nil
}

// toTheEnd is the stride in which all that is left, two packets or more, stands; 0: none.
func toTheEnd(b []byte) int {
	for _, stride := range strides {
		packets := (len(b)-packetSize)/stride + 1
		if packets >= 2 && inPhase(b, stride, packets) {
			return stride
		}
	}
	return 0
}
