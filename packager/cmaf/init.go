// Package cmaf writes the bytes of CMAF tracks (ISO/IEC 23000-19, brand cmf2), and reads back what it wrote.
//
//	codec.SampleEntry ─► Init ─► ftyp moov                                one an init object
//
//	                 ┌─► AppendSegmentType ─► styp                    ┐
//	samples, row ────┼─► AppendFragment    ─► moof mdat, moof mdat …  ├─  one segment ─► Parse
//	                 └─► AppendRow         ─► uuid                    ┘
//
//	row ─────────────────► AppendTombstone   ─► styp uuid                 the segment that isn't
//
// Equal input gives equal bytes: there is no time of creation, no encoder's name, no bit rate, and one layout only. What is
// appended one after the other is the segment; a part is the same bytes, cut before a moof.
package cmaf

import (
	"errors"
	"fmt"
	"math"

	"github.com/Eyevinn/mp4ff/bits"
	"github.com/Eyevinn/mp4ff/mp4"
)

const trackID = 1 // one track a file (ISO/IEC 23000-19)

// Init gives the initialization segment (CMAF header) of a track with that sample entry. The language is of ISO 639-2/T, three
// letters. Sample times count in ticks of 1/timescale second. The header holds no edit list, and no default that a fragment
// relies on, which is what the brand cmf2 asks.
func Init(entry mp4.Box, timescale uint32, language string) ([]byte, error) {
	if timescale == 0 {
		return nil, errors.New("cmaf: init: timescale 0")
	}
	if !isLanguage(language) {
		return nil, fmt.Errorf("cmaf: init: language %q is no code of three letters", language)
	}
	media, err := mediaType(entry)
	if err != nil {
		return nil, err
	}
	init := mp4.CreateEmptyInit()
	init.Ftyp = mp4.NewFtyp("cmf2", 0, []string{"iso6", "cmfc", "cmf2"})
	init.Children[0] = init.Ftyp
	init.Moov.Mvhd.Timescale = timescale
	track := init.AddEmptyTrack(timescale, media, language)
	track.Mdia.Hdlr.Name = "" // the library's would name it
	track.Mdia.Minf.Stbl.Stsd.AddChild(entry)
	setDisplay(track.Tkhd, entry)

	w := bits.NewFixedSliceWriter(int(init.Size()))
	if err := init.EncodeSW(w); err != nil {
		return nil, fmt.Errorf("cmaf: init: %w", err)
	}
	return w.Bytes(), nil
}

func mediaType(entry mp4.Box) (string, error) {
	switch entry.(type) {
	case *mp4.VisualSampleEntryBox:
		return "video", nil
	case *mp4.AudioSampleEntryBox:
		return "audio", nil
	}
	return "", fmt.Errorf("cmaf: init: a sample entry of type %T", entry)
}

// setDisplay gives the size at which pictures are shown: square samples, the coded height (ISO/IEC 14496-12, 8.3.2). A width
// that 16.16 can't hold comes of a nonsensical aspect ratio; pasp still carries it.
func setDisplay(tkhd *mp4.TkhdBox, entry mp4.Box) {
	v, ok := entry.(*mp4.VisualSampleEntryBox)
	if !ok {
		return
	}
	width, height := uint64(v.Width)<<16, uint64(v.Height)<<16
	if p := v.Pasp; p != nil && p.VSpacing > 0 {
		if shown := width * uint64(p.HSpacing) / uint64(p.VSpacing); shown > 0 && shown <= math.MaxUint32 {
			width = shown
		}
	}
	tkhd.Width, tkhd.Height = mp4.Fixed32(width), mp4.Fixed32(height)
}

func isLanguage(s string) bool {
	for i := range len(s) {
		if s[i] < 'a' || s[i] > 'z' {
			return false
		}
	}
	return len(s) == 3
}
