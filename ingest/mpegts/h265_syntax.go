package mpegts

import "math/bits"

// h265 is ISO/IEC 23008-2.
type h265 struct{}

// NAL unit types (table 7-1).
const (
	nalVCLReserved  = 32 // those before it are slices, or reserved for such
	nalTrailing     = 9  // RASL_R: those up to it are in use
	nalBLA          = 16
	nalIDRW         = 19
	nalIDRN         = 20
	nalCRA          = 21
	nalVPS265       = 32
	nalSPS265       = 33
	nalPPS265       = 34
	nalAUD265       = 35
	nalEndSeq265    = 36
	nalEndStream265 = 37
	nalFiller265    = 38
	nalSEIFront     = 39
)

func (h265) class(nal []byte) nalClass {
	if nal[0]&0x80 != 0 || len(nal) < 2 || nal[1]&7 == 0 { // nuh_temporal_id_plus1
		return nalBroken
	}
	kind := nal[0] >> 1 & 0x3f
	switch {
	case nal[0]&1 != 0 || nal[1]>>3 != 0:
		return nalUseless // nuh_layer_id: what an extension adds to the base layer
	case kind <= nalTrailing, kind >= nalBLA && kind <= nalCRA:
		return nalPicture
	case kind < nalVCLReserved:
		return nalUseless
	}
	switch kind {
	case nalVPS265:
		return nalVideo
	case nalSPS265:
		return nalSequence
	case nalPPS265:
		return nalPictureSet
	case nalAUD265:
		return nalDelimiter
	case nalEndSeq265, nalEndStream265, nalFiller265:
		return nalUseless
	}
	if kind == nalSEIFront || kind >= 41 && kind <= 44 || kind >= 48 && kind <= 55 { // 7.4.2.4.4
		return nalFront
	}
	return nalBehind
}

// sps reads 7.3.2.2.1 as far as slice headers need it.
func (h265) sps(nal []byte) (*sps, bool) {
	r := bitReader{b: unescape(make([]byte, len(nal)), nal[2:])}
	r.u(4) // sps_video_parameter_set_id
	layers := int(r.u(3))
	r.u(1) // sps_temporal_id_nesting_flag
	skipProfile(&r, layers)
	s := &sps{set: setOf(r.ue(), nal)}
	if r.ue() == 3 { // chroma_format_idc
		s.separatePlanes = r.flag()
	}
	width, height := int64(r.ue()), int64(r.ue())
	if r.flag() { // conformance_window_flag
		for range 4 {
			r.ue()
		}
	}
	r.ue() // bit_depth_luma_minus8
	r.ue() // bit_depth_chroma_minus8
	lsb := r.ue()
	first := layers
	if r.flag() { // sps_sub_layer_ordering_info_present_flag
		first = 0
	}
	for range layers - first + 1 {
		r.ue()
		r.ue()
		r.ue()
	}
	block := r.ue() + 3 + r.ue() // log2 of the size of a coding tree block
	if r.fail || s.id > 15 || lsb > 12 || block > 6 || width == 0 || height == 0 {
		return nil, false
	}
	size := int64(1) << block
	blocks := (width + size - 1) >> block * ((height + size - 1) >> block)
	s.addressBits = bits.Len64(uint64(blocks - 1))
	s.lsbBits = int(lsb) + 4 + 1 // picture order counts are doubled, to count fields as those of H.264 do
	return s, s.addressBits <= 32
}

// skipProfile passes over profile_tier_level (7.3.3).
func skipProfile(r *bitReader, layers int) {
	const general, profile, level = 88, 88, 8
	r.skip(general + level)
	if layers == 0 {
		return
	}
	var has [8][2]bool
	for i := range layers {
		has[i] = [2]bool{r.flag(), r.flag()}
	}
	r.skip(2 * (8 - layers))
	for i := range layers {
		if has[i][0] {
			r.skip(profile)
		}
		if has[i][1] {
			r.skip(level)
		}
	}
}

// pps reads the front of 7.3.2.3.1.
func (h265) pps(nal []byte) (*pps, bool) {
	var space [headerBytes]byte
	r := bitReader{b: unescape(space[:], nal[2:])}
	p := &pps{set: setOf(r.ue(), nal), sps: r.ue()}
	p.dependent, p.output, p.extraBits = r.flag(), r.flag(), int(r.u(3))
	return p, !r.fail && p.id < 64 && p.sps < 16
}

// slice is 7.3.6.1. A dependent slice segment says nothing of its own.
func (h265) slice(sets *parameterSets, last *sliceHeader, nal []byte) (s sliceHeader, ok bool) {
	var space [headerBytes]byte
	r := bitReader{b: unescape(space[:], nal[2:])}
	kind := nal[0] >> 1 & 0x3f
	s.key = kind >= nalBLA && kind <= nalCRA
	s.idr = kind == nalIDRW || kind == nalIDRN
	s.reference = true
	first := r.flag()
	if s.key {
		r.u(1) // no_output_of_prior_pics_flag
	}
	if s.pps = r.ue(); r.fail || s.pps > 63 {
		return s, false
	}
	if !first {
		s.first = 1
	}
	p := sets.pictures[s.pps]
	if p == nil || sets.sequences[p.sps] == nil {
		return s, true
	}
	q := sets.sequences[p.sps]
	if !first {
		dependent := p.dependent && r.flag()
		s.first = max(1, r.u(q.addressBits))
		if dependent {
			again := *last
			again.first = s.first
			return again, !r.fail
		}
	}
	s.known = true
	r.skip(p.extraBits)
	s.kind = h264Kind[r.ue()%3]
	if p.output {
		r.u(1)
	}
	if q.separatePlanes {
		r.u(2)
	}
	if !s.idr {
		s.lsb = 2 * r.u(q.lsbBits-1)
	}
	return s, !r.fail
}

// h264Kind is slice_type (table 7-7) in the numbers of H.264.
var h264Kind = [3]uint32{1, 0, 2}

// recovers: there are pictures of its own for that, CRA and BLA.
func (h265) recovers([]byte) bool { return false }
