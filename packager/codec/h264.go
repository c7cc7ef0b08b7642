package codec

import (
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
)

// Limits of what is believed of parameter sets of pictures. Beyond any of them the track is refused with a FormatError.
const (
	MaxWidth     = 16384        // luma samples
	MaxHeight    = 16384        //
	MaxPicture   = 139264 * 256 // luma samples of a frame: MaxFS of level 6.2 (ISO/IEC 14496-10, Table A-1), MaxLumaPs of H.265's
	MaxParameter = 4096         // bytes of one set; real ones have a few dozen
	MaxSPS       = 31           // sets in an avcC: five bits count them (ISO/IEC 14496-15, 5.3.3.1.2)
	MaxPPS       = 255          // eight bits
)

// A frame rate outside of these is taken for unknown: feeds are seen with timing that was never filled in.
const (
	maxFrameRate  = 480 // frames a second
	maxFrameTicks = 60  // seconds a frame
)

const (
	nalSPS = 7
	nalPPS = 8
)

// sets is what the parameter sets of a track say together.
type sets struct {
	sps, pps               [][]byte
	picture                h264.SPS // the set with the largest picture
	width, height          int64    // its picture
	profile, compat, level byte
}

// readH264 reads all sets. Which of several is active, only slices tell; the one with the largest picture speaks for all,
// so that nobody is promised a smaller picture than may come. The level is the highest, the compatibility flags are those
// that all share (ISO/IEC 14496-15, 5.3.3.1.2).
func readH264(parameters [][]byte) (sets, error) {
	var a sets
	for _, p := range parameters {
		if err := a.add(p); err != nil {
			return sets{}, err
		}
	}
	if len(a.sps) == 0 || len(a.pps) == 0 {
		return sets{}, formatf("%d sequence and %d picture parameter sets", len(a.sps), len(a.pps))
	}
	if len(a.sps) > MaxSPS || len(a.pps) > MaxPPS {
		return sets{}, formatf("%d sequence and %d picture parameter sets, at most %d and %d", len(a.sps), len(a.pps), MaxSPS, MaxPPS)
	}
	return a, nil
}

func (a *sets) add(nal []byte) error {
	if len(nal) < 2 || len(nal) > MaxParameter || nal[0]&0x80 != 0 {
		return formatf("parameter set of %d bytes", len(nal))
	}
	switch nal[0] & 0x1f {
	case nalSPS:
		return a.addSPS(nal)
	case nalPPS:
		a.pps = append(a.pps, nal)
		return nil
	}
	return formatf("NAL unit of type %d among the parameter sets", nal[0]&0x1f)
}

func (a *sets) addSPS(nal []byte) error {
	var s h264.SPS
	if err := s.Unmarshal(nal); err != nil {
		return formatf("sequence parameter set: %v", err)
	}
	w, h, err := pictureSize(s)
	if err != nil {
		return err
	}
	compat := nal[2] // Unmarshal has read past it
	if len(a.sps) == 0 {
		a.compat = compat
	}
	if w*h > a.width*a.height {
		a.picture, a.width, a.height, a.profile = s, w, h, s.ProfileIdc
	}
	a.compat &= compat
	a.level = max(a.level, s.LevelIdc)
	a.sps = append(a.sps, nal)
	return nil
}

// pictureSize is of a frame, after cropping (ISO/IEC 14496-10, 7.4.2.1.1). The library's own sum wraps at 32 bits and crops
// nothing off monochrome pictures.
func pictureSize(s h264.SPS) (w, h int64, err error) {
	if s.ChromaFormatIdc > 3 || s.BitDepthLumaMinus8 > 6 || s.BitDepthChromaMinus8 > 6 {
		return 0, 0, formatf("chroma format %d, bit depths 8+%d and 8+%d", s.ChromaFormatIdc, s.BitDepthLumaMinus8, s.BitDepthChromaMinus8)
	}
	fields := int64(2)
	if s.FrameMbsOnlyFlag {
		fields = 1
	}
	w = 16 * (int64(s.PicWidthInMbsMinus1) + 1)
	h = 16 * (int64(s.PicHeightInMapUnitsMinus1) + 1) * fields
	if w > MaxWidth || h > MaxHeight || w*h > MaxPicture {
		return 0, 0, formatf("pictures of %d × %d", w, h)
	}
	if c := s.FrameCropping; c != nil {
		x, y := cropUnit(s)
		w -= x * (int64(c.LeftOffset) + int64(c.RightOffset))
		h -= y * fields * (int64(c.TopOffset) + int64(c.BottomOffset))
	}
	if w <= 0 || h <= 0 {
		return 0, 0, FormatError("cropping leaves nothing of the picture")
	}
	return w, h, nil
}

// cropUnit is SubWidthC and SubHeightC (Table 6-1), or 1 where ChromaArrayType is 0.
func cropUnit(s h264.SPS) (x, y int64) {
	switch {
	case s.SeparateColourPlaneFlag:
		return 1, 1
	case s.ChromaFormatIdc == 1:
		return 2, 2
	case s.ChromaFormatIdc == 2:
		return 2, 1
	}
	return 1, 1
}

func (a sets) description() Description {
	d := Description{
		Codec:      fmt.Sprintf("avc1.%02x%02x%02x", a.profile, a.compat, a.level),
		Width:      int(a.width),
		Height:     int(a.height),
		Interlaced: !a.picture.FrameMbsOnlyFlag,
		SARWidth:   1, SARHeight: 1,
		Range:  "SDR",
		Colour: Colour{Primaries: 2, Transfer: 2, Matrix: 2},
	}
	if vui := a.picture.VUI; vui != nil {
		d.SARWidth, d.SARHeight = aspect(vui)
		d.FrameNum, d.FrameDen = frameRate(vui.TimingInfo)
		d.Colour = colour(vui)
		d.Range = dynamicRange(d.Colour)
	}
	return d
}

// sampleAspects are those of aspect_ratio_idc 1 to 16 (ISO/IEC 14496-10, Table E-1).
var sampleAspects = [...][2]int{
	{1, 1}, {12, 11}, {10, 11}, {16, 11}, {40, 33}, {24, 11}, {20, 11}, {32, 11},
	{80, 33}, {18, 11}, {15, 11}, {64, 33}, {160, 99}, {4, 3}, {3, 2}, {2, 1},
}

const extendedSAR = 255

func aspect(v *h264.SPS_VUI) (w, h int) {
	idc := int(v.AspectRatioIdc)
	switch {
	case !v.AspectRatioInfoPresentFlag:
	case idc == extendedSAR && v.SarWidth > 0 && v.SarHeight > 0:
		g := gcd(int64(v.SarWidth), int64(v.SarHeight))
		return int(v.SarWidth) / int(g), int(v.SarHeight) / int(g)
	case idc >= 1 && idc <= len(sampleAspects):
		return sampleAspects[idc-1][0], sampleAspects[idc-1][1]
	}
	return 1, 1
}

// frameRate halves the rate of fields: a frame is two ticks of the clock (ISO/IEC 14496-10, E.2.1, Table E-6).
func frameRate(t *h264.SPS_TimingInfo) (num, den int64) {
	if t == nil {
		return 0, 0
	}
	return rate(int64(t.TimeScale), 2*int64(t.NumUnitsInTick))
}

// rate is a frame rate in lowest terms, if it is one that can be.
func rate(num, den int64) (int64, int64) {
	if num <= 0 || den <= 0 || num > maxFrameRate*den || den > maxFrameTicks*num {
		return 0, 0
	}
	g := gcd(num, den)
	return num / g, den / g
}

func colour(v *h264.SPS_VUI) Colour {
	c := Colour{Primaries: 2, Transfer: 2, Matrix: 2, FullRange: v.VideoFullRangeFlag}
	if v.ColourDescriptionPresentFlag {
		c.Present = true
		c.Primaries, c.Transfer, c.Matrix = v.ColourPrimaries, v.TransferCharacteristics, v.MatrixCoefficients
	}
	return c
}

// Transfer characteristics (ITU-T H.273, Table 3).
const (
	transferPQ  = 16 // SMPTE ST 2084
	transferHLG = 18 // ARIB STD-B67
)

func dynamicRange(c Colour) string {
	switch c.Transfer {
	case transferPQ:
		return "PQ"
	case transferHLG:
		return "HLG"
	}
	return "SDR"
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
