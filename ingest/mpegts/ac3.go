package mpegts

import "flambeau/packager/media"

// ac3 is ETSI TS 102 366, clause 4: one syncframe is one unit.
type ac3 struct{}

func (ac3) begins(b []byte) int { return syncAt(b, 0x0b, 0xff, 0x77) }

const (
	// ac3Header is how much of a syncframe tells what it is.
	ac3Header = 8
	ac3Block  = 256 // samples
	ac3Frame  = 6 * ac3Block
)

// ac3Rates are kbit/s by frmsizecod / 2 (table 4.13).
var ac3Rates = [19]int{32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640}

var ac3Frequencies = [3]int64{48000, 44100, 32000}

// bsidAC3 is the highest bit stream identification of AC-3 (4.4.2.1); E-AC-3 has those from 11 to 16 (E.1.3.1.6).
const bsidAC3 = 8

func (ac3) read(b []byte, _ *audioUnit, _ bool) (u audioUnit, v verdict) {
	switch {
	case b[0] != 0x0b, len(b) > 1 && b[1] != 0x77:
		return u, noFrame
	case len(b) < ac3Header:
		return u, partFrame
	}
	fscod, code, bsid, bsmod := b[4]>>6, b[4]&0x3f, b[5]>>3, b[5]&7
	if fscod == 3 || int(code>>1) >= len(ac3Rates) || bsid > bsidAC3 {
		return u, noFrame
	}
	r := bitReader{b: b[6:ac3Header]}
	acmod := byte(r.u(3))
	if acmod&1 != 0 && acmod != 1 {
		r.u(2) // cmixlev
	}
	if acmod&4 != 0 {
		r.u(2) // surmixlev
	}
	if acmod == 2 {
		r.u(2) // dsurmod
	}
	lfeon := byte(r.u(1))
	rate := ac3Rates[code>>1]
	u.rate, u.samples, u.codec = ac3Frequencies[fscod], ac3Frame, media.AC3
	if fscod == 1 { // whole words, every other frame one more
		u.size = 2 * (rate*1000*ac3Frame/44100/16 + int(code&1))
	} else {
		u.size = rate * 1000 / 8 * ac3Frame / int(u.rate)
	}
	u.payload = u.size
	// AC3SpecificBox, F.4: fscod bsid bsmod acmod lfeon bit_rate_code reserved
	w := uint32(fscod)<<22 | uint32(bsid)<<17 | uint32(bsmod)<<14 | uint32(acmod)<<11 | uint32(lfeon)<<10 | uint32(code>>1)<<5
	u.config = configOf(byte(w>>16), byte(w>>8), byte(w))
	if len(b) < u.size {
		return u, partFrame
	}
	return u, oneFrame
}

// eac3 is ETSI TS 102 366, annex E. A unit is the syncframes of all substreams over six blocks, as ISO base media files want it (F.5): the
// next independent substream 0 ends it.
type eac3 struct{}

func (eac3) begins(b []byte) int { return syncAt(b, 0x0b, 0xff, 0x77) }

// maxSubstreams of either kind are believed: substreamid has three bits.
const maxSubstreams = 8

func (eac3) read(b []byte, _ *audioUnit, ending bool) (u audioUnit, v verdict) {
	var subs [maxSubstreams]substream
	n, blocks := 0, 0
	for u.size < len(b) {
		f, v := readSyncframe(b[u.size:])
		first, known := f.independent && f.id == 0, f.bsid > 0
		switch {
		case u.size == 0 && (v == noFrame || known && !first):
			return u, noFrame
		case v == noFrame, known && first && blocks >= 6, v == partFrame && ending && blocks > 0:
			return u.of(subs[:n], blocks)
		case v == partFrame:
			return u, partFrame
		case first:
			if blocks == 0 {
				u.rate, subs[0], n = f.rate, f, 1
			}
			blocks += f.blocks
		case f.independent && f.id == n && n < maxSubstreams:
			subs[n], n = f, n+1
		case !f.independent && blocks == subs[0].blocks: // the first time around
			subs[n-1].dependents++
			subs[n-1].locations |= f.locations
		}
		u.size += f.size
	}
	if ending {
		return u.of(subs[:n], blocks)
	}
	return u, partFrame
}

// of describes a unit. EC3SpecificBox, F.6; its data_rate is left 0, as is what no frame says: it would be a measurement, and of a stream
// whose frames differ another one for whoever joins.
func (u audioUnit) of(subs []substream, blocks int) (audioUnit, verdict) {
	u.payload, u.samples, u.codec = u.size, int64(blocks)*ac3Block, media.EAC3
	w := fieldWriter{b: make([]byte, 0, maxAudioConfig)}
	w.put(0, 13)
	w.put(uint32(len(subs)-1), 3)
	joc := uint32(0)
	for _, s := range subs {
		w.put(uint32(s.fscod), 2)
		w.put(uint32(s.bsid), 5)
		w.put(0, 1) // reserved
		w.put(0, 1) // asvc
		w.put(uint32(s.bsmod), 3)
		w.put(uint32(s.acmod), 3)
		w.put(uint32(s.lfeon), 1)
		w.put(0, 3)
		w.put(uint32(min(s.dependents, 15)), 4)
		if s.dependents > 0 {
			w.put(uint32(s.locations), 9)
		} else {
			w.put(0, 1)
		}
		joc = max(joc, uint32(s.joc))
	}
	if joc > 0 { // ETSI TS 103 420, C.3.1
		w.put(1, 8)
		w.put(joc, 8)
	}
	u.config = configOf(w.b...)
	if blocks != 6 {
		u.refused = damaged
	}
	return u, oneFrame
}

// substream is a syncframe of E-AC-3, and what goes with it.
type substream struct {
	size        int // bytes
	independent bool
	id          int
	blocks      int
	rate        int64

	fscod, bsid, bsmod, acmod, lfeon byte

	locations  uint16 // chan_loc of F.6.2.12, of a dependent one
	dependents int
	joc        byte // complexity_index_type_a
}

var blocksOf = [4]int{1, 2, 3, 6}

// readSyncframe is ETSI TS 102 366, E.1.2.1 and E.1.2.2.
func readSyncframe(b []byte) (s substream, v verdict) {
	switch {
	case b[0] != 0x0b, len(b) > 1 && b[1] != 0x77:
		return s, noFrame
	case len(b) < 6:
		return s, partFrame
	}
	r := bitReader{b: b[2:min(len(b), 2+maxBSI)]}
	kind := r.u(2)
	s.independent, s.id = kind != 1, int(r.u(3))
	size := 2 * (int(r.u(11)) + 1)
	s.fscod = byte(r.u(2))
	code := r.u(2)
	if s.blocks = blocksOf[code]; s.fscod == 3 {
		if code == 3 {
			return s, noFrame
		}
		s.rate, s.blocks = ac3Frequencies[code]/2, 6
	} else {
		s.rate = ac3Frequencies[s.fscod]
	}
	s.acmod, s.lfeon, s.bsid = byte(r.u(3)), byte(r.u(1)), byte(r.u(5))
	if kind == 3 || s.bsid <= 10 || s.bsid > 16 || size < ac3Header {
		return s, noFrame
	}
	if len(b) < size {
		return s, partFrame
	}
	s.size = size
	s.rest(&r, kind)
	return s, oneFrame
}

// maxBSI is how much of a syncframe is looked at: mixing data may be 33 bytes, addbsi 64.
const maxBSI = 160

// rest reads what follows bsid, up to addbsi.
func (s *substream) rest(r *bitReader, kind uint32) {
	for range 1 + btoi(s.acmod == 0) {
		r.u(5) // dialnorm
		if r.flag() {
			r.u(8) // compr
		}
	}
	if kind == 1 && r.flag() {
		s.locations = locations(uint16(r.u(16)))
	}
	if r.flag() {
		s.mixing(r, kind)
	}
	if r.flag() {
		s.informational(r)
	}
	if kind == 0 && s.blocks != 6 {
		r.u(1) // convsync
	}
	if kind == 2 && (s.blocks == 6 || r.flag()) {
		r.u(6) // frmsizecod
	}
	if !r.flag() {
		return
	}
	if n := r.u(6) + 1; n >= 2 { // ETSI TS 103 420, 8.3.1
		r.u(7)
		if r.flag() && !r.fail {
			s.joc = byte(r.u(8))
		}
	}
	if r.fail {
		s.joc = 0
	}
}

// mixing passes over mixing metadata.
func (s *substream) mixing(r *bitReader, kind uint32) {
	if s.acmod > 2 {
		r.u(2) // dmixmod
	}
	if s.acmod&1 != 0 && s.acmod > 2 {
		r.u(6) // ltrtcmixlev, lorocmixlev
	}
	if s.acmod&4 != 0 {
		r.u(6) // ltrtsurmixlev, lorosurmixlev
	}
	if s.lfeon == 1 && r.flag() {
		r.u(5) // lfemixlevcod
	}
	if kind != 0 {
		return
	}
	for range 2 + btoi(s.acmod == 0) { // pgmscl, pgmscl2, extpgmscl
		if r.flag() {
			r.u(6)
		}
	}
	switch r.u(2) {
	case 1:
		r.u(5)
	case 2:
		r.u(12)
	case 3:
		for range r.u(5) + 2 {
			r.u(8)
		}
	}
	if s.acmod < 2 {
		for range 1 + btoi(s.acmod == 0) {
			if r.flag() {
				r.u(14) // panmean, paninfo
			}
		}
	}
	if !r.flag() {
		return
	}
	if s.blocks == 1 {
		r.u(5)
		return
	}
	for range s.blocks {
		if r.flag() {
			r.u(5)
		}
	}
}

// informational reads bsmod, and passes over the rest.
func (s *substream) informational(r *bitReader) {
	s.bsmod = byte(r.u(3))
	r.u(2) // copyrightb, origbs
	if s.acmod == 2 {
		r.u(4) // dsurmod, dheadphonmod
	}
	if s.acmod >= 6 {
		r.u(2) // dsurexmod
	}
	for range 1 + btoi(s.acmod == 0) {
		if r.flag() {
			r.u(8) // mixlevel, roomtyp, adconvtyp
		}
	}
	if s.fscod < 3 {
		r.u(1) // sourcefscod
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// locations picks from a chanmap (table E.1.4, from its first bit on) what chan_loc has (table F.6.1): the front left and right of centre,
// rear surrounds, back centre, top centre, surround direct, wide, top front and its centre, and the second LFE.
func locations(chanmap uint16) (loc uint16) {
	for i, bit := range [9]int{10, 9, 8, 7, 6, 5, 4, 3, 1} {
		loc |= chanmap >> bit & 1 << i
	}
	return loc
}

// fieldWriter appends fields.
type fieldWriter struct {
	b    []byte
	free int // bits of the last byte
}

func (w *fieldWriter) put(v uint32, n int) {
	for n--; n >= 0; n-- {
		if w.free == 0 {
			w.b, w.free = append(w.b, 0), 8
		}
		w.free--
		w.b[len(w.b)-1] |= byte(v>>n&1) << w.free
	}
}
