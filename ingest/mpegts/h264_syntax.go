package mpegts

import (
	avc "github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
)

// NAL unit types (ISO/IEC 14496-10, table 7-1).
const (
	nalSlice     = 1
	nalPartA     = 2
	nalIDR       = 5
	nalSEI       = 6
	nalSPS       = 7
	nalPPS       = 8
	nalAUD       = 9
	nalEndSeq    = 10
	nalEndStream = 11
	nalFiller    = 12
	nalPrefix    = 14
	nalReserved  = 18
)

// h264 is ISO/IEC 14496-10.
type h264 struct{}

func (h264) class(nal []byte) nalClass {
	if nal[0]&0x80 != 0 {
		return nalBroken
	}
	switch kind := nal[0] & 0x1f; {
	case kind == nalSlice, kind == nalPartA, kind == nalIDR:
		return nalPicture
	case kind == nalAUD:
		return nalDelimiter
	case kind == nalSPS:
		return nalSequence
	case kind == nalPPS:
		return nalPictureSet
	case kind == nalSEI:
		return nalMessage
	case kind >= nalPrefix && kind <= nalReserved:
		return nalFront
	case kind == nalEndSeq, kind == nalEndStream, kind == nalFiller:
		return nalUseless
	}
	return nalBehind
}

// sps is what slice headers and clocks need of a sequence parameter set.
type sps struct {
	set
	frameNumBits   int
	lsbBits        int
	orderType      uint32
	deltaZero      bool // delta_pic_order_always_zero_flag
	framesOnly     bool
	separatePlanes bool
	units, scale   int64 // of a field; 0: not said
	addressBits    int   // of slice_segment_address; H.265 only
}

func (h264) sps(nal []byte) (*sps, bool) {
	var p avc.SPS
	if p.Unmarshal(nal) != nil || p.ID > 31 || p.Log2MaxFrameNumMinus4 > 12 || p.Log2MaxPicOrderCntLsbMinus4 > 12 {
		return nil, false
	}
	s := &sps{
		set: setOf(p.ID, nal), frameNumBits: int(p.Log2MaxFrameNumMinus4) + 4, lsbBits: int(p.Log2MaxPicOrderCntLsbMinus4) + 4,
		orderType: p.PicOrderCntType, deltaZero: p.DeltaPicOrderAlwaysZeroFlag, framesOnly: p.FrameMbsOnlyFlag,
		separatePlanes: p.SeparateColourPlaneFlag,
	}
	if p.VUI != nil && p.VUI.TimingInfo != nil {
		s.units, s.scale = int64(p.VUI.TimingInfo.NumUnitsInTick), int64(p.VUI.TimingInfo.TimeScale)
	}
	return s, true
}

// pps is what slice headers need of a picture parameter set.
type pps struct {
	set
	sps       uint32
	bottom    bool // bottom_field_pic_order_in_frame_present_flag
	redundant bool // redundant_pic_cnt_present_flag

	// H.265 only.
	dependent bool // dependent_slice_segments_enabled_flag
	output    bool // output_flag_present_flag
	extraBits int  // num_extra_slice_header_bits
}

// pps is ISO/IEC 14496-10, 7.3.2.2.
func (h264) pps(nal []byte) (*pps, bool) {
	r := bitReader{b: unescape(make([]byte, len(nal)), nal[1:])}
	p := &pps{set: setOf(r.ue(), nal), sps: r.ue()}
	r.u(1) // entropy_coding_mode_flag
	p.bottom = r.flag()
	if groups := r.ue(); groups > 0 {
		if groups > 7 {
			return nil, false
		}
		skipGroups(&r, groups)
	}
	r.ue() // num_ref_idx_l0_default_active_minus1
	r.ue() // num_ref_idx_l1_default_active_minus1
	r.u(3) // weighted_pred_flag, weighted_bipred_idc
	r.se() // pic_init_qp_minus26
	r.se() // pic_init_qs_minus26
	r.se() // chroma_qp_index_offset
	r.u(2) // deblocking_filter_control_present_flag, constrained_intra_pred_flag
	p.redundant = r.flag()
	return p, !r.fail && p.id < 256 && p.sps < 32
}

// skipGroups passes over the map of slice groups, groups + 1 of them.
func skipGroups(r *bitReader, groups uint32) {
	switch kind := r.ue(); kind {
	case 0:
		for range groups + 1 {
			r.ue()
		}
	case 2:
		for range groups {
			r.ue()
			r.ue()
		}
	case 3, 4, 5:
		r.u(1)
		r.ue()
	case 6:
		size := r.ue()
		width := 1
		for 1<<width < int(groups)+1 {
			width++
		}
		for i := uint32(0); i <= size && !r.fail; i++ {
			r.u(width)
		}
	}
}

// sliceHeader is as much of ISO/IEC 14496-10, 7.3.3, or of ISO/IEC 23008-2, 7.3.6.1, as tells one picture from the next.
type sliceHeader struct {
	known         bool   // the parameter sets were there, and all below could be read
	first         uint32 // where in the picture it begins
	kind          uint32 // slice_type modulo 5
	pps           uint32
	reference     bool
	frameNum      uint32
	field, bottom bool
	idr, key      bool // key: decoding can begin with it
	idrID         uint32
	lsb           uint32
	delta         [2]int32
	deltaBottom   int32
	redundant     uint32
}

func (s *sliceHeader) intra() bool { return s.kind == 2 || s.kind == 4 }

// newPicture is ISO/IEC 14496-10, 7.4.1.2.4.
func (s *sliceHeader) newPicture(before *sliceHeader) bool {
	a, b := *s, *before
	a.first, a.kind, a.redundant, b.first, b.kind, b.redundant = 0, 0, 0, 0, 0, 0
	return a != b
}

// secondField tells whether a picture is the other field of one that came right before it (3.30, 3.31).
func (s *sliceHeader) secondField(first *sliceHeader) bool {
	return s.known && first.known && s.field && first.field && s.bottom != first.bottom && s.frameNum == first.frameNum &&
		!s.idr && (first.reference || !s.reference)
}

// headerBytes of a slice are enough for the fields above, whatever their values.
const headerBytes = 64

// slice is 7.3.3.
func (h264) slice(sets *parameterSets, _ *sliceHeader, nal []byte) (s sliceHeader, ok bool) {
	var space [headerBytes]byte
	r := bitReader{b: unescape(space[:], nal[1:])}
	s.first, s.kind, s.pps = r.ue(), r.ue()%5, r.ue()
	s.idr, s.reference = nal[0]&0x1f == nalIDR, nal[0]&0x60 != 0
	s.key = s.idr
	if r.fail || s.pps > 255 {
		return s, false
	}
	p := sets.pictures[s.pps]
	if p == nil || sets.sequences[p.sps] == nil {
		return s, true
	}
	s.rest(&r, sets.sequences[p.sps], p)
	s.known = true
	return s, !r.fail
}

func (s *sliceHeader) rest(r *bitReader, sps *sps, pps *pps) {
	if sps.separatePlanes {
		r.u(2)
	}
	s.frameNum = r.u(sps.frameNumBits)
	if !sps.framesOnly {
		s.field = r.flag()
		s.bottom = s.field && r.flag()
	}
	if s.idr {
		s.idrID = r.ue()
	}
	if sps.orderType == 0 {
		s.lsb = r.u(sps.lsbBits)
		if pps.bottom && !s.field {
			s.deltaBottom = r.se()
		}
	}
	if sps.orderType == 1 && !sps.deltaZero {
		s.delta[0] = r.se()
		if pps.bottom && !s.field {
			s.delta[1] = r.se()
		}
	}
	if pps.redundant {
		s.redundant = r.ue()
	}
}

// recoverySoon is the largest recovery_frame_cnt that is still as good as a key frame.
const recoverySoon = 3

// recovers looks for a recovery point in an SEI NAL unit (ISO/IEC 14496-10, D.1.8). Only its front is looked at.
func (h264) recovers(nal []byte) bool {
	var space [1024]byte
	b := unescape(space[:], nal[1:])
	for len(b) > 2 {
		kind, size := 0, 0
		for _, n := range []*int{&kind, &size} {
			for len(b) > 0 && b[0] == 0xff {
				*n, b = *n+255, b[1:]
			}
			if len(b) == 0 {
				return false
			}
			*n, b = *n+int(b[0]), b[1:]
		}
		if size > len(b) {
			return false
		}
		if kind == 6 {
			r := bitReader{b: b[:size]}
			return r.ue() <= recoverySoon && !r.fail
		}
		b = b[size:]
	}
	return false
}
