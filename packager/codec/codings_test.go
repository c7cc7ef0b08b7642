package codec

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/Eyevinn/mp4ff/hevc"
	"github.com/Eyevinn/mp4ff/mp4"

	"flambeau/packager/media"
)

func h265Track(es []byte) media.Track {
	vps, sps, pps := hevc.GetParameterSetsFromByteStream(es)
	return media.Track{Kind: media.Video, Codec: media.H265, Timescale: 90000, Parameters: slices.Concat(vps[:1], sps[:1], pps[:1])}
}

// TestWhatX265WritesIsReadAsFFprobeReadsIt cites ISO/IEC 23008-2, 7.4.3.2.1 and E.3.1.
func TestWhatX265WritesIsReadAsFFprobeReadsIt(t *testing.T) {
	for _, c := range []struct {
		name, size, rate, format, params string
		more                             []string
		num, den                         int64
		rng, codec                       string
	}{
		{name: "Main", size: "1920x1080", rate: "25", format: "yuv420p", num: 25, den: 1, rng: "SDR", codec: "hvc1.1.6.L120.90"},
		{name: "anamorphic, NTSC", size: "704x480", rate: "30000/1001", format: "yuv420p", more: []string{"-vf", "setsar=40/33"}, num: 30000, den: 1001, rng: "SDR", codec: "hvc1.1.6.L90.90"},
		{name: "a sample aspect that no table has", size: "352x288", rate: "50", format: "yuv420p", more: []string{"-vf", "setsar=101/77"}, num: 50, den: 1, rng: "SDR", codec: "hvc1.1.6.L63.90"},
		{name: "HDR10", size: "640x360", rate: "50", format: "yuv420p10le", params: "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:hdr10=1:max-cll=1000,400:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)", num: 50, den: 1, rng: "PQ", codec: "hvc1.2.4.L90.90"},
		{name: "HLG, temporal layers", size: "640x360", rate: "50", format: "yuv420p10le", params: "colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc:temporal-layers=1", num: 50, den: 1, rng: "HLG", codec: "hvc1.2.4.L90.90"},
		{name: "4:2:2, ten bits, high tier", size: "640x360", rate: "50", format: "yuv422p10le", params: "level-idc=5:high-tier=1:vbv-maxrate=30000:vbv-bufsize=30000", num: 50, den: 1, rng: "SDR", codec: "hvc1.4.10.H150.9D.8"},
		{name: "odd sizes", size: "326x182", rate: "60", format: "yuv420p", num: 60, den: 1, rng: "SDR", codec: "hvc1.1.6.L63.90"},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := []string{"-f", "lavfi", "-i", "testsrc2=size=" + c.size + ":rate=" + c.rate, "-frames:v", "2", "-pix_fmt", c.format}
			es := ffmpeg(t, append(append(args, c.more...), "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:"+c.params, "-f", "hevc", "-")...)
			track := h265Track(es)
			d, err := Describe(track)
			if err != nil {
				t.Fatal(err)
			}
			p := probe(t, es, "hevc")
			if d.Codec != c.codec || d.Range != c.rng || d.FrameNum != c.num || d.FrameDen != c.den {
				t.Errorf("%+v", d)
			}
			d.Codec, p.Profile, p.Level = "avc1.640028", "High", 0x28 // what was compared above
			agree(t, d, p)
			sameRecord(t, track, es)
		})
	}
}

// sameRecord compares hvcC with what ffmpeg writes of the same stream, but for what ffmpeg finds out by looking at more of it.
func sameRecord(t *testing.T, track media.Track, es []byte) {
	t.Helper()
	in := filepath.Join(t.TempDir(), "in.hevc")
	if err := os.WriteFile(in, es, 0o600); err != nil {
		t.Fatal(err)
	}
	theirs := ffmpeg(t, "-f", "hevc", "-i", in, "-c", "copy", "-tag:v", "hvc1", "-movflags", "empty_moov", "-f", "mp4", "-")
	entry, err := SampleEntry(track)
	if err != nil {
		t.Fatal(err)
	}
	var ours bytes.Buffer
	if err := entry.Encode(&ours); err != nil {
		t.Fatal(err)
	}
	read := func(b []byte) hevc.DecConfRec {
		r, err := hevc.DecodeHEVCDecConfRec(box(b, "hvcC")[8:])
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	got, want := read(ours.Bytes()), read(theirs)
	for _, kind := range []hevc.NaluType{hevc.NALU_VPS, hevc.NALU_SPS, hevc.NALU_PPS} {
		if !slices.EqualFunc(got.GetNalusForType(kind), want.GetNalusForType(kind), bytes.Equal) {
			t.Errorf("%v: %x, ffmpeg writes %x", kind, got.GetNalusForType(kind), want.GetNalusForType(kind))
		}
	}
	want.NaluArrays, want.MinSpatialSegmentationIDC, want.ParallellismType, want.AvgFrameRate, want.ConstantFrameRate = got.NaluArrays, 0, 0, 0, 0
	var a, b bytes.Buffer
	if err := errors.Join(got.Encode(&a), want.Encode(&b)); err != nil || !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Errorf("%+v, ffmpeg writes %+v (%v)", got, want, err)
	}
}

func TestH265ThatMakesNoSenseIsRefused(t *testing.T) {
	es := ffmpeg(t, "-f", "lavfi", "-i", "testsrc2=size=320x180", "-frames:v", "1", "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error", "-f", "hevc", "-")
	good := h265Track(es)
	vps, sps, pps := good.Parameters[0], good.Parameters[1], good.Parameters[2]
	for name, sets := range map[string][][]byte{
		"no video parameter set": {sps, pps}, "no sequence parameter set": {vps, pps}, "no picture parameter set": {vps, sps},
		"cut short": {vps, sps[:20], pps}, "an endless set": {vps, sps, append(slices.Clone(pps), make([]byte, MaxParameter)...)},
		"a slice": {vps, sps, pps, {0x26, 1, 0xaf, 0}}, "an empty set": {vps, sps, pps, nil},
	} {
		track := good
		track.Parameters = sets
		var format FormatError
		if d, err := Describe(track); !errors.As(err, &format) {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
}

// TestSoundsOfOtherCodingsAreDescribedAsOthersDo: the boxes are ffmpeg's, the parameters what stands in them.
func TestSoundsOfOtherCodingsAreDescribedAsOthersDo(t *testing.T) {
	for name, c := range map[string]struct {
		args  []string
		codec media.Codec
		box   string
		want  Description
	}{
		"AC-3, stereo": {[]string{"-i", "sine=r=48000:d=1", "-ac", "2", "-c:a", "ac3"}, media.AC3, "dac3", Description{Codec: "ac-3", SampleRate: 48000, Channels: 2, FrameLength: 1536}},
		"AC-3, 5.1":    {[]string{"-i", "aevalsrc=0|0|0|0|0|0:c=5.1:s=44100:d=1", "-c:a", "ac3"}, media.AC3, "dac3", Description{Codec: "ac-3", SampleRate: 44100, Channels: 6, FrameLength: 1536}},
		"E-AC-3, 5.1":  {[]string{"-i", "aevalsrc=0|0|0|0|0|0:c=5.1:s=48000:d=1", "-c:a", "eac3"}, media.EAC3, "dec3", Description{Codec: "ec-3", SampleRate: 48000, Channels: 6, FrameLength: 1536}},
		"E-AC-3, mono": {[]string{"-i", "sine=r=32000:d=1", "-c:a", "eac3"}, media.EAC3, "dec3", Description{Codec: "ec-3", SampleRate: 32000, Channels: 1, FrameLength: 1536}},
	} {
		theirs := ffmpeg(t, slices.Concat([]string{"-f", "lavfi"}, c.args, []string{"-movflags", "empty_moov+delay_moov", "-f", "mp4", "-"})...)
		b := box(theirs, c.box)
		if len(b) < 11 {
			t.Fatalf("%s: ffmpeg wrote %x", name, b)
		}
		track := media.Track{Kind: media.Audio, Codec: c.codec, Timescale: 90000, Parameters: [][]byte{b[8:]}}
		if d, err := Describe(track); err != nil || d != c.want {
			t.Errorf("%s: %+v, %v; want %+v", name, d, err, c.want)
		}
		entry, err := SampleEntry(track)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var ours bytes.Buffer
		if err := entry.Encode(&ours); err != nil || !bytes.Equal(box(ours.Bytes(), c.box), b) {
			t.Errorf("%s: %x, ffmpeg writes %x (%v)", name, box(ours.Bytes(), c.box), b, err)
		}
	}
}

func TestSubstreamsAndObjectsAreHeard(t *testing.T) {
	for name, c := range map[string]struct {
		box  mp4.Dec3Box
		want Description
	}{
		"7.1 by a dependent substream": {mp4.Dec3Box{EC3Subs: []mp4.EC3Sub{{BSID: 16, ACMod: 7, LFEOn: 1, NumDepSub: 1, ChanLoc: 2}}}, Description{Codec: "ec-3", SampleRate: 48000, Channels: 8, FrameLength: 1536}},
		"joint object coding":          {mp4.Dec3Box{JOCComplexity: 16, EC3Subs: []mp4.EC3Sub{{BSID: 16, ACMod: 7, LFEOn: 1}}}, Description{Codec: "ec-3", SampleRate: 48000, Channels: 6, FrameLength: 1536, JOC: 16}},
		"two programmes":               {mp4.Dec3Box{EC3Subs: []mp4.EC3Sub{{BSID: 16, ACMod: 2}, {BSID: 16, ACMod: 7}}}, Description{Codec: "ec-3", SampleRate: 48000, Channels: 2, FrameLength: 1536}},
	} {
		var b bytes.Buffer
		if err := c.box.Encode(&b); err != nil {
			t.Fatal(err)
		}
		track := media.Track{Kind: media.Audio, Codec: media.EAC3, Parameters: [][]byte{b.Bytes()[8:]}}
		if d, err := Describe(track); err != nil || d != c.want {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
}

func TestMPEGAudioIsNamedByItsLayer(t *testing.T) {
	for name, c := range map[string]struct {
		header [4]byte
		object byte
		want   Description
	}{
		"layer I":              {[4]byte{0xff, 0xff, 0x04, 0}, 0x6b, Description{Codec: "mp4a.40.32", SampleRate: 48000, Channels: 2, FrameLength: 384}},
		"layer II, mono":       {[4]byte{0xff, 0xfd, 0x04, 0xc0}, 0x6b, Description{Codec: "mp4a.40.33", SampleRate: 48000, Channels: 1, FrameLength: 1152}},
		"layer III":            {[4]byte{0xff, 0xfb, 0x00, 0}, 0x6b, Description{Codec: "mp4a.6B", SampleRate: 44100, Channels: 2, FrameLength: 1152}},
		"layer III, half rate": {[4]byte{0xff, 0xf3, 0x04, 0}, 0x69, Description{Codec: "mp4a.69", SampleRate: 24000, Channels: 2, FrameLength: 576}},
		"layer III, a quarter": {[4]byte{0xff, 0xe3, 0x08, 0}, 0x69, Description{Codec: "mp4a.69", SampleRate: 8000, Channels: 2, FrameLength: 576}},
	} {
		track := media.Track{Kind: media.Audio, Codec: media.MPEGAudio, Parameters: [][]byte{c.header[:]}}
		if d, err := Describe(track); err != nil || d != c.want {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
		entry, err := SampleEntry(track)
		if err != nil {
			t.Fatal(err)
		}
		esds := entry.(*mp4.AudioSampleEntryBox).Esds
		if d := esds.DecConfigDescriptor; d.ObjectType != c.object || d.DecSpecificInfo != nil {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

func TestSoundsThatMakeNoSenseAreRefused(t *testing.T) {
	for name, track := range map[string]media.Track{
		"AC-3, two bytes":        {Codec: media.AC3, Parameters: [][]byte{{0x10, 0x11}}},
		"AC-3, two boxes":        {Codec: media.AC3, Parameters: [][]byte{{0x10, 0x11, 0}, {0x10, 0x11, 0}}},
		"AC-3, reserved rate":    {Codec: media.AC3, Parameters: [][]byte{{0xd0, 0x11, 0}}},
		"AC-3, bsid of another":  {Codec: media.AC3, Parameters: [][]byte{{0x20, 0x11, 0}}},
		"E-AC-3, cut short":      {Codec: media.EAC3, Parameters: [][]byte{{0, 0, 0x20}}},
		"E-AC-3, bsid of AC-3":   {Codec: media.EAC3, Parameters: [][]byte{{0, 0, 0x10, 0x0f, 0}}},
		"E-AC-3, endless":        {Codec: media.EAC3, Parameters: [][]byte{make([]byte, MaxConfig+1)}},
		"MPEG audio, no header":  {Codec: media.MPEGAudio, Parameters: [][]byte{{0xff, 0xfd}}},
		"MPEG audio, layer zero": {Codec: media.MPEGAudio, Parameters: [][]byte{{0xff, 0xf1, 4, 0}}},
		"MPEG audio, no rate":    {Codec: media.MPEGAudio, Parameters: [][]byte{{0xff, 0xfd, 0x0c, 0}}},
	} {
		track.Kind = media.Audio
		var format FormatError
		if d, err := Describe(track); !errors.As(err, &format) {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
}
