package codec

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"flambeau/packager/media"
)

func audio(config []byte) media.Track {
	return media.Track{Kind: media.Audio, Codec: media.AAC, Timescale: 90000, Parameters: [][]byte{config}}
}

func bitsOf(fields ...[2]uint64) []byte {
	var w bitWriter
	for _, f := range fields {
		w.bits(f[0], int(f[1]))
	}
	return w.b
}

// TestAudioConfigurationsSayWhatIsHeard cites ISO/IEC 14496-3, 1.6.2.1 and 1.6.5.
func TestAudioConfigurationsSayWhatIsHeard(t *testing.T) {
	for name, c := range map[string]struct {
		config string
		want   Description
	}{
		"LC, 48 kHz, stereo":              {"1190", Description{Codec: "mp4a.40.2", SampleRate: 48000, Channels: 2, FrameLength: 1024}},
		"LC, 44.1 kHz, mono":              {"1208", Description{Codec: "mp4a.40.2", SampleRate: 44100, Channels: 1, FrameLength: 1024}},
		"LC, 5.1":                         {"11b0", Description{Codec: "mp4a.40.2", SampleRate: 48000, Channels: 6, FrameLength: 1024}},
		"LC, 7.1":                         {"11b8", Description{Codec: "mp4a.40.2", SampleRate: 48000, Channels: 8, FrameLength: 1024}},
		"LC, frames of 960":               {"1194", Description{Codec: "mp4a.40.2", SampleRate: 48000, Channels: 2, FrameLength: 960}},
		"LC, 5.1.2 of a later amendment":  {"11f0", Description{Codec: "mp4a.40.2", SampleRate: 48000, Channels: 8, FrameLength: 1024}},
		"HE, said backward compatibly":    {"131056e598", Description{Codec: "mp4a.40.5", SampleRate: 24000, SBRRate: 48000, Channels: 2, FrameLength: 1024}},
		"HE v2, said backward compatibly": {"138856e5a54880", Description{Codec: "mp4a.40.29", SampleRate: 22050, SBRRate: 44100, Channels: 2, FrameLength: 1024}},
		"HE, said in front":               {hex.EncodeToString(bitsOf([2]uint64{5, 5}, [2]uint64{6, 4}, [2]uint64{2, 4}, [2]uint64{3, 4}, [2]uint64{2, 5}, [2]uint64{0, 3})), Description{Codec: "mp4a.40.5", SampleRate: 24000, SBRRate: 48000, Channels: 2, FrameLength: 1024}},
		"HE v2, said in front":            {hex.EncodeToString(bitsOf([2]uint64{29, 5}, [2]uint64{6, 4}, [2]uint64{1, 4}, [2]uint64{3, 4}, [2]uint64{2, 5}, [2]uint64{0, 3})), Description{Codec: "mp4a.40.29", SampleRate: 24000, SBRRate: 48000, Channels: 2, FrameLength: 1024}},
		"LC, a rate that no index has":    {hex.EncodeToString(bitsOf([2]uint64{2, 5}, [2]uint64{15, 4}, [2]uint64{50000, 24}, [2]uint64{2, 4}, [2]uint64{0, 3})), Description{Codec: "mp4a.40.2", SampleRate: 50000, Channels: 2, FrameLength: 1024}},
		"LC, SBR said not to be":          {"139056e500", Description{Codec: "mp4a.40.2", SampleRate: 22050, Channels: 2, FrameLength: 1024}},
		"LC, and bytes that mean nothing": {"1190000000", Description{Codec: "mp4a.40.2", SampleRate: 48000, Channels: 2, FrameLength: 1024}},
	} {
		config, err := hex.DecodeString(c.config)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Describe(audio(config)); err != nil || got != c.want {
			t.Errorf("%s (%s): %+v, %v; want %+v", name, c.config, got, err, c.want)
		}
	}
}

func TestAudioConfigurationsThatMakeNoSenseAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		config      []byte
		unsupported bool
	}{
		"one byte":                 {[]byte{0x11}, false},
		"reserved rate index":      {bitsOf([2]uint64{2, 5}, [2]uint64{13, 4}, [2]uint64{2, 4}, [2]uint64{0, 3}), false},
		"0 Hz":                     {bitsOf([2]uint64{2, 5}, [2]uint64{15, 4}, [2]uint64{0, 24}, [2]uint64{2, 4}, [2]uint64{0, 3}), false},
		"16 MHz":                   {bitsOf([2]uint64{2, 5}, [2]uint64{15, 4}, [2]uint64{1<<24 - 1, 24}, [2]uint64{2, 4}, [2]uint64{0, 3}), false},
		"SBR from 24 to 96 kHz":    {bitsOf([2]uint64{5, 5}, [2]uint64{6, 4}, [2]uint64{2, 4}, [2]uint64{0, 4}, [2]uint64{2, 5}, [2]uint64{0, 3}), false},
		"extension flag":           {[]byte{0x11, 0x91}, false},
		"longer than any":          {append([]byte{0x11, 0x90}, make([]byte, MaxConfig)...), false},
		"Main":                     {[]byte{0x09, 0x90}, true},
		"xHE-AAC":                  {[]byte{0xf9, 0x46, 0x20, 0x00}, true},
		"a program config element": {[]byte{0x11, 0x80, 0x04, 0xc4, 0x04}, true},
		"reserved channels":        {[]byte{0x11, 0xc0}, true},
		"scalable":                 {[]byte{0x11, 0x92, 0, 0, 0}, true},
	} {
		_, err := Describe(audio(c.config))
		var format FormatError
		var unsupported UnsupportedError
		if c.unsupported && !errors.As(err, &unsupported) || !c.unsupported && !errors.As(err, &format) {
			t.Errorf("%s: %v", name, err)
		}
	}
	two := audio([]byte{0x11, 0x90})
	two.Parameters = append(two.Parameters, two.Parameters[0])
	if _, err := Describe(two); err == nil {
		t.Error("two configurations at once are described")
	}
}

// TestAnotherReaderHearsTheSame: whatever both readers take, they read alike.
func TestAnotherReaderHearsTheSame(t *testing.T) {
	seen := 0
	for n := range 1 << 16 {
		config := []byte{byte(n >> 8), byte(n), 0x56, 0xa0, 0}
		ours, err := Describe(audio(config))
		var other mpeg4audio.AudioSpecificConfig
		if err != nil || other.Unmarshal(config) != nil {
			continue
		}
		seen++
		length := 1024
		if other.FrameLengthFlag {
			length = 960
		}
		core := int(other.ChannelConfig)
		if core == 7 {
			core = 8
		}
		if other.ExtensionType == mpeg4audio.ObjectTypePS && core == 1 {
			core = 2
		}
		if ours.SampleRate != other.SampleRate || ours.SBRRate != other.ExtensionSampleRate || ours.Channels != core || ours.FrameLength != length {
			t.Fatalf("%x: %+v, another reader says %+v", config, ours, other)
		}
	}
	if seen < 100 {
		t.Fatalf("only %d configurations were compared", seen)
	}
}

func TestSampleEntriesHoldTheParametersToTheByte(t *testing.T) {
	config := []byte{0x11, 0x90}
	for name, track := range map[string]media.Track{"aac": audio(config), "h264": video(sps{mbs: 40, rows: 23}.nal(), pps)} {
		entry, err := SampleEntry(track)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var b, again bytes.Buffer
		if err := entry.Encode(&b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, p := range track.Parameters {
			if !bytes.Contains(b.Bytes(), p) {
				t.Errorf("%s: %x is not in %x", name, p, b.Bytes())
			}
		}
		entry, _ = SampleEntry(track)
		if err := entry.Encode(&again); err != nil || !bytes.Equal(b.Bytes(), again.Bytes()) {
			t.Errorf("%s: equal parameters, other bytes (%v)", name, err)
		}
		if bytes.Contains(b.Bytes(), []byte("mp4ff")) {
			t.Errorf("%s: names its encoder", name)
		}
	}
}
