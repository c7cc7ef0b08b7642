package mpegts

import "flambeau/packager/media"

// latm is AAC in LATM in LOAS (ISO/IEC 14496-3, 1.7): AudioSyncStream, each with one AudioMuxElement. Taken is what broadcast uses, one
// programme of one layer, a frame at a time.
type latm struct{}

func (latm) begins(b []byte) int { return syncAt(b, 0x56, 0xe0, 0xe0) }

// loasHeader is syncword and audioMuxLengthBytes.
const loasHeader = 3

func (latm) read(b []byte, last *audioUnit, _ bool) (u audioUnit, v verdict) {
	switch {
	case b[0] != 0x56, len(b) > 1 && b[1]&0xe0 != 0xe0:
		return u, noFrame
	case len(b) < loasHeader:
		return u, partFrame
	}
	size := loasHeader + int(b[1]&0x1f)<<8 + int(b[2])
	switch {
	case size == loasHeader:
		return u, noFrame
	case len(b) < size:
		return u, partFrame
	}
	r := bitReader{b: b[:size], at: loasHeader * 8}
	if r.flag() { // useSameStreamMux
		if last.codec == media.AAC {
			u = *last
			u.payload = 0
		} else {
			u.refused = noParameters
		}
	} else {
		u.muxConfig(&r)
	}
	u.size, u.codec = size, media.AAC
	if u.refused != 0 {
		u.at, u.payload = 0, 0
		return u, oneFrame
	}
	for { // PayloadLengthInfo, 1.7.3.1
		n := r.u(8)
		if u.payload += int(n); n != 255 {
			break
		}
	}
	if u.at = r.at; r.fail || u.payload == 0 || u.at+8*u.payload > 8*size {
		return audioUnit{}, noFrame
	}
	return u, oneFrame
}

// muxConfig reads StreamMuxConfig (table 1.42).
func (u *audioUnit) muxConfig(r *bitReader) {
	version := r.flag()
	if version && r.flag() { // audioMuxVersionA, of which nothing is known
		u.refused = unsupported
		return
	}
	if version {
		latmValue(r) // taraBufferFullness
	}
	same, subframes, programmes, layers := r.flag(), r.u(6), r.u(4), r.u(3)
	if !same || subframes > 0 || programmes > 0 || layers > 0 {
		u.refused = unsupported
		return
	}
	end := 0
	if version {
		end = int(latmValue(r))
		end += r.at
	}
	begin := r.at
	u.audioSpecificConfig(r)
	if version && end >= r.at {
		r.at = end
	}
	u.keepConfig(r, begin)
	if u.refused == 0 && r.u(3) != 0 { // frameLengthType: 0 is of a length that each frame says
		u.refused = unsupported
	}
	r.u(8)        // latmBufferFullness
	if r.flag() { // otherDataPresent: it stands behind the payload
		if version {
			latmValue(r)
		} else {
			for r.flag() {
				r.u(8)
			}
			r.u(8)
		}
	}
	if r.flag() {
		r.u(8) // crcCheckSum
	}
}

// latmValue is LatmGetValue (table 1.43).
func latmValue(r *bitReader) (v uint32) {
	for range r.u(2) + 1 {
		v = v<<8 | r.u(8)
	}
	return v
}

// keepConfig takes the AudioSpecificConfig that began there and ends here, to whole bytes.
func (u *audioUnit) keepConfig(r *bitReader, begin int) {
	bits := r.at - begin
	if r.fail || bits > 8*maxAudioConfig || r.at > 8*len(r.b) {
		u.refused = badParameters
		return
	}
	n := (bits + 7) / 8
	for i := range n {
		at := begin + 8*i
		v := uint16(r.b[at>>3]) << 8
		if at>>3+1 < len(r.b) {
			v |= uint16(r.b[at>>3+1])
		}
		u.config.b[i] = byte(v >> (8 - at&7))
	}
	if spare := 8*n - bits; spare > 0 {
		u.config.b[n-1] &^= 1<<spare - 1
	}
	u.config.n = uint8(n)
}

// audioSpecificConfig reads as much of ISO/IEC 14496-3, 1.6.2.1 as tells how long it is, and a frame.
func (u *audioUnit) audioSpecificConfig(r *bitReader) {
	const lc, sbr, ps = 2, 5, 29
	object := audioObject(r)
	u.rate = aacRate(r)
	channels := r.u(4)
	if object == sbr || object == ps {
		aacRate(r)
		object = audioObject(r)
	}
	u.samples = aacFrame
	if r.flag() { // frameLengthFlag of GASpecificConfig, 4.4.1
		u.samples = 960
	}
	if r.flag() { // dependsOnCoreCoder
		r.u(14)
	}
	extension := r.flag()
	if object != lc || channels == 0 || extension || u.rate == 0 {
		u.refused = unsupported
	}
}

func audioObject(r *bitReader) uint32 {
	if v := r.u(5); v != 31 {
		return v
	}
	return 32 + r.u(6)
}

// aacRate is samplingFrequencyIndex and, where that says so, samplingFrequency; 0: a reserved one.
func aacRate(r *bitReader) int64 {
	switch i := r.u(4); {
	case int(i) < len(aacRates):
		return aacRates[i]
	case i == 15:
		return int64(r.u(24))
	}
	return 0
}
