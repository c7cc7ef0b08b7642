package codec

import (
	"math"

	"github.com/Eyevinn/mp4ff/avc"
	"github.com/Eyevinn/mp4ff/mp4"
)

func (a sets) entry() mp4.Box { return picture("avc1", a.description(), a.config()) }

// picture is a VisualSampleEntry.
func picture(name string, d Description, config mp4.Box) mp4.Box {
	e := mp4.CreateVisualSampleEntryBox(name, uint16(d.Width), uint16(d.Height), config)
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

// entry holds an ES_Descriptor (ISO/IEC 14496-14, 5.6). The rate has 16 bits; where it does not fit, 0, as decoders go by the
// AudioSpecificConfig anyway.
func (a aac) entry() mp4.Box {
	d := a.description()
	rate := d.OutputRate()
	if rate > math.MaxUint16 {
		rate = 0
	}
	return mp4.CreateAudioSampleEntryBox("mp4a", uint16(d.Channels), 16, uint16(rate), mp4.CreateEsdsBox(a.config))
}
