package cmaf_test

import (
	"bytes"
	"math"
	"testing"

	"github.com/Eyevinn/mp4ff/mp4"

	"flambeau/packager/cmaf"
	"flambeau/packager/codec"
	"flambeau/packager/media"
)

var stereo = media.Track{Kind: media.Audio, Codec: media.AAC, Timescale: 48000, Parameters: [][]byte{{0x11, 0x90}}}

func entry(t *testing.T, tr media.Track) mp4.Box {
	t.Helper()
	e, err := codec.SampleEntry(tr)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func parsed(t *testing.T, b []byte) *mp4.InitSegment {
	t.Helper()
	f, err := mp4.DecodeFile(bytes.NewReader(b))
	if err != nil || f.Init == nil {
		t.Fatalf("%v", err)
	}
	return f.Init
}

// TestTheHeaderIsOfOneTrackWithoutEditsOrSamples holds C1 and C2.
func TestTheHeaderIsOfOneTrackWithoutEditsOrSamples(t *testing.T) {
	b, err := cmaf.Init(entry(t, stereo), 48000, "fra")
	if err != nil {
		t.Fatal(err)
	}
	init := parsed(t, b)
	if f := init.Ftyp; f.MajorBrand() != "cmf2" || !slicesContain(f.CompatibleBrands(), "cmfc", "cmf2", "iso6") {
		t.Errorf("brands %s, %v", f.MajorBrand(), f.CompatibleBrands())
	}
	m := init.Moov
	if len(m.Traks) != 1 || m.Trak.Tkhd.TrackID != 1 || m.Trak.Edts != nil || m.Mvhd.NextTrackID != 2 {
		t.Errorf("%d tracks, the first has id %d and edits %v", len(m.Traks), m.Trak.Tkhd.TrackID, m.Trak.Edts)
	}
	if x := m.Mvex.Trex; x.TrackID != 1 || x.DefaultSampleDescriptionIndex != 1 || x.DefaultSampleDuration != 0 || x.DefaultSampleSize != 0 || x.DefaultSampleFlags != 0 {
		t.Errorf("trex %+v: a fragment could lean on it", x)
	}
	h := m.Trak.Mdia.Mdhd
	if h.Timescale != 48000 || h.GetLanguage() != "fra" || h.Duration != 0 || h.CreationTime != 0 || h.ModificationTime != 0 {
		t.Errorf("mdhd %+v", h)
	}
	if m.Mvhd.CreationTime != 0 || m.Mvhd.ModificationTime != 0 || m.Mvhd.Duration != 0 || m.Trak.Tkhd.CreationTime != 0 || m.Trak.Tkhd.Duration != 0 {
		t.Errorf("times or durations in %+v, %+v", m.Mvhd, m.Trak.Tkhd)
	}
	if again, err := cmaf.Init(entry(t, stereo), 48000, "fra"); err != nil || !bytes.Equal(b, again) {
		t.Errorf("equal input, other bytes (%v)", err)
	}
	if bytes.Contains(b, []byte("mp4ff")) || bytes.Contains(b, []byte("handler")) {
		t.Error("names who wrote it")
	}
}

func slicesContain(have []string, want ...string) bool {
	seen := map[string]bool{}
	for _, h := range have {
		seen[h] = true
	}
	for _, w := range want {
		if !seen[w] {
			return false
		}
	}
	return true
}

// TestPicturesAreShownInSquareSamples cites ISO/IEC 14496-12, 8.3.2; pasp holds C5.
func TestPicturesAreShownInSquareSamples(t *testing.T) {
	for _, c := range []struct {
		width, height uint16
		h, v          uint32
		shown         uint32 // 16.16
	}{
		{1920, 1080, 1, 1, 1920 << 16}, {720, 576, 64, 45, 1024 << 16}, {704, 480, 40, 33, 704 << 16 / 33 * 40},
		{1920, 1080, 65535, 1, 1920 << 16}, {1920, 1080, 1, 0, 1920 << 16}, {1, 1, 1, math.MaxUint32, 1 << 16},
	} {
		e := mp4.CreateVisualSampleEntryBox("avc1", c.width, c.height, nil)
		e.AddChild(&mp4.PaspBox{HSpacing: c.h, VSpacing: c.v})
		b, err := cmaf.Init(e, 90000, "und")
		if err != nil {
			t.Fatal(err)
		}
		tkhd := parsed(t, b).Moov.Trak.Tkhd
		if d := int64(tkhd.Width) - int64(c.shown); d < -100 || d > 100 || uint32(tkhd.Height) != uint32(c.height)<<16 {
			t.Errorf("%d:%d: shown as %v × %v, want %v wide", c.h, c.v, tkhd.Width, tkhd.Height, c.shown>>16)
		}
	}
}

func TestAHeaderThatNobodyCouldPlayIsNotWritten(t *testing.T) {
	good := entry(t, stereo)
	for name, c := range map[string]struct {
		entry     mp4.Box
		timescale uint32
		language  string
	}{
		"timescale 0":           {good, 0, "fra"},
		"two letters":           {good, 48000, "fr"},
		"capitals":              {good, 48000, "FRA"},
		"no language":           {good, 48000, ""},
		"three letters of five": {good, 48000, "öä"[:3]},
		"no sample entry":       {nil, 48000, "fra"},
		"some other box":        {&mp4.MdatBox{}, 48000, "fra"},
	} {
		if b, err := cmaf.Init(c.entry, c.timescale, c.language); err == nil || b != nil {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
}
