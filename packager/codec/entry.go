package codec

import (
	"math"

	"github.com/Eyevinn/mp4ff/avc"
	"github.com/Eyevinn/mp4ff/mp4"

	"flambeau/packager/media"
)

// SampleEntry is what a track's parameters are in an initialization segment: avc1 with avcC, pasp and, where the feed has said
// it, colr; mp4a with esds. Equal parameters give equal boxes: no bit rate, no encoder's name.
func SampleEntry(t media.Track) (mp4.Box, error) {
	d, err := Describe(t)
	if err != nil {
		return nil, err
	}
	if t.Kind == media.Audio {
		return mp4a(d, t.Parameters[0]), nil
	}
	a, err := readH264(t.Parameters)
	return avc1(d, a), err
}

func avc1(d Description, a sets) mp4.Box {
	e := mp4.CreateVisualSampleEntryBox("avc1", uint16(d.Width), uint16(d.Height), a.config())
	e.CompressorName = ""
	e.AddChild(&mp4.PaspBox{HSpacing: uint32(d.SARWidth), VSpacing: uint32(d.SARHeight)})
	if c := d.Colour; c.Present || c.FullRange {
		e.AddChild(&mp4.ColrBox{
			ColorType:               mp4.ColorTypeOnScreenColors,
			ColorPrimaries:          uint16(c.Primaries),
			TransferCharacteristics: uint16(c.Transfer),
			MatrixCoefficients:      uint16(c.Matrix),
			FullRangeFlag:           c.FullRange,
		})
	}
	return e
}

// config is the AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1.2). The library would always say 4:2:0 and 8 bits; what it
// calls minus 1 is minus 8.
func (a sets) config() mp4.Box {
	return &mp4.AvcCBox{DecConfRec: avc.DecConfRec{
		AVCProfileIndication: a.profile,
		ProfileCompatibility: a.compat,
		AVCLevelIndication:   a.level,
		SPSnalus:             a.sps,
		PPSnalus:             a.pps,
		ChromaFormat:         byte(a.picture.ChromaFormatIdc),
		BitDepthLumaMinus1:   byte(a.picture.BitDepthLumaMinus8),
		BitDepthChromaMinus1: byte(a.picture.BitDepthChromaMinus8),
	}}
}

// mp4a holds an ES_Descriptor (ISO/IEC 14496-14, 5.6). The rate has 16 bits; where it does not fit, 0, as decoders go by the
// AudioSpecificConfig anyway.
func mp4a(d Description, config []byte) mp4.Box {
	rate := d.OutputRate()
	if rate > math.MaxUint16 {
		rate = 0
	}
	return mp4.CreateAudioSampleEntryBox("mp4a", uint16(d.Channels), 16, uint16(rate), mp4.CreateEsdsBox(config))
}
