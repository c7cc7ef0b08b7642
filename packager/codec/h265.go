package codec

import (
	"fmt"
	"math/bits"
	"strings"

	"github.com/Eyevinn/mp4ff/hevc"
	"github.com/Eyevinn/mp4ff/mp4"
)

// h265 is what the parameter sets of a track say together.
type h265 struct {
	vps, sps, pps [][]byte
	picture       *hevc.SPS // the set with the largest picture
	width, height int64     // its picture
}

// readH265 reads all sets. Of several sequence parameter sets the one with the largest picture speaks for all, as in H.264; profile and level
// must be of one, for an hvcC has room for one (ISO/IEC 14496-15, 8.3.3.1).
func readH265(parameters [][]byte) (h265, error) {
	var a h265
	for _, p := range parameters {
		if len(p) < 4 || len(p) > MaxParameter || p[0]&0x80 != 0 {
			return h265{}, formatf("parameter set of %d bytes", len(p))
		}
		switch kind := hevc.GetNaluType(p[0]); kind {
		case hevc.NALU_VPS:
			a.vps = append(a.vps, p)
		case hevc.NALU_SPS:
			if err := a.addSPS(p); err != nil {
				return h265{}, err
			}
		case hevc.NALU_PPS:
			a.pps = append(a.pps, p)
		default:
			return h265{}, formatf("NAL unit of type %d among the parameter sets", kind)
		}
	}
	if len(a.vps) == 0 || len(a.sps) == 0 || len(a.pps) == 0 {
		return h265{}, formatf("%d video, %d sequence and %d picture parameter sets", len(a.vps), len(a.sps), len(a.pps))
	}
	return a, nil
}

func (a *h265) addSPS(nal []byte) error {
	s, err := hevc.ParseSPSNALUnit(nal)
	if err != nil {
		return formatf("sequence parameter set: %v", err)
	}
	w, h, err := pictureSizeH265(s)
	if err != nil {
		return err
	}
	if w*h > a.width*a.height {
		a.picture, a.width, a.height = s, w, h
	}
	a.sps = append(a.sps, nal)
	return nil
}

// pictureSizeH265 is after cropping (ISO/IEC 23008-2, 7.4.3.2.1).
func pictureSizeH265(s *hevc.SPS) (w, h int64, err error) {
	if s.ChromaFormatIDC > 3 || s.BitDepthLumaMinus8 > 8 || s.BitDepthChromaMinus8 > 8 {
		return 0, 0, formatf("chroma format %d, bit depths 8+%d and 8+%d", s.ChromaFormatIDC, s.BitDepthLumaMinus8, s.BitDepthChromaMinus8)
	}
	w, h = int64(s.PicWidthInLumaSamples), int64(s.PicHeightInLumaSamples)
	if w > MaxWidth || h > MaxHeight || w*h > MaxPicture {
		return 0, 0, formatf("pictures of %d × %d", w, h)
	}
	x, y := int64(1), int64(1)
	switch {
	case s.SeparateColourPlaneFlag:
	case s.ChromaFormatIDC == 1:
		x, y = 2, 2
	case s.ChromaFormatIDC == 2:
		x = 2
	}
	c := s.ConformanceWindow
	w -= x * (int64(c.LeftOffset) + int64(c.RightOffset))
	h -= y * (int64(c.TopOffset) + int64(c.BottomOffset))
	if w <= 0 || h <= 0 {
		return 0, 0, FormatError("cropping leaves nothing of the picture")
	}
	return w, h, nil
}

func (a h265) description() Description {
	d := Description{
		Codec: a.name(), Width: int(a.width), Height: int(a.height),
		SARWidth: 1, SARHeight: 1,
		Interlaced: a.picture.ProfileTierLevel.GeneralInterlacedSourceFlag && !a.picture.ProfileTierLevel.GeneralProgressiveSourceFlag,
		Range:      "SDR",
		Colour:     Colour{Primaries: 2, Transfer: 2, Matrix: 2},
	}
	v := a.picture.VUI
	if v == nil {
		return d
	}
	if v.SampleAspectRatioWidth > 0 && v.SampleAspectRatioHeight > 0 {
		g := gcd(int64(v.SampleAspectRatioWidth), int64(v.SampleAspectRatioHeight))
		d.SARWidth, d.SARHeight = int(int64(v.SampleAspectRatioWidth)/g), int(int64(v.SampleAspectRatioHeight)/g)
	}
	if v.TimingInfoPresentFlag {
		d.FrameNum, d.FrameDen = rate(int64(v.TimeScale), int64(v.NumUnitsInTick))
	}
	d.Colour.FullRange = v.VideoFullRangeFlag
	if v.ColourDescriptionFlag {
		d.Colour = Colour{true, v.ColourPrimaries, v.TransferCharacteristics, v.MatrixCoefficients, v.VideoFullRangeFlag}
	}
	d.Range = dynamicRange(d.Colour)
	return d
}

// name is ISO/IEC 14496-15, E.3: parameter sets are in the sample entry only, hence hvc1.
func (a h265) name() string {
	p := a.picture.ProfileTierLevel
	tier := "L"
	if p.GeneralTierFlag {
		tier = "H"
	}
	var b strings.Builder
	b.WriteString("hvc1.")
	if p.GeneralProfileSpace > 0 {
		b.WriteByte('A' + p.GeneralProfileSpace - 1)
	}
	fmt.Fprintf(&b, "%d.%X.%s%d", p.GeneralProfileIDC, bits.Reverse32(p.GeneralProfileCompatibilityFlags), tier, p.GeneralLevelIDC)
	for flags := p.GeneralConstraintIndicatorFlags << 16; flags != 0; flags <<= 8 {
		fmt.Fprintf(&b, ".%X", flags>>56)
	}
	return b.String()
}

// entry holds an HEVCDecoderConfigurationRecord (ISO/IEC 14496-15, 8.3.3.1.2), which says nothing that would have to be measured.
func (a h265) entry() mp4.Box {
	s := a.picture
	p := s.ProfileTierLevel
	nested := byte(0)
	if s.TemporalIDNestingFlag {
		nested = 1
	}
	arrays := []hevc.NaluArray{
		hevc.NewNaluArray(true, hevc.NALU_VPS, a.vps), hevc.NewNaluArray(true, hevc.NALU_SPS, a.sps), hevc.NewNaluArray(true, hevc.NALU_PPS, a.pps),
	}
	return picture("hvc1", a.description(), &mp4.HvcCBox{DecConfRec: hevc.DecConfRec{
		ConfigurationVersion:             1,
		GeneralProfileSpace:              p.GeneralProfileSpace,
		GeneralTierFlag:                  p.GeneralTierFlag,
		GeneralProfileIDC:                p.GeneralProfileIDC,
		GeneralProfileCompatibilityFlags: p.GeneralProfileCompatibilityFlags,
		GeneralConstraintIndicatorFlags:  p.GeneralConstraintIndicatorFlags,
		GeneralLevelIDC:                  p.GeneralLevelIDC,
		ChromaFormatIDC:                  s.ChromaFormatIDC,
		BitDepthLumaMinus8:               s.BitDepthLumaMinus8,
		BitDepthChromaMinus8:             s.BitDepthChromaMinus8,
		NumTemporalLayers:                s.MaxSubLayersMinus1 + 1,
		TemporalIDNested:                 nested,
		LengthSizeMinusOne:               3,
		NaluArrays:                       arrays,
	}})
}
