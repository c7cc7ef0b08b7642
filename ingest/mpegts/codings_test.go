package mpegts

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"flambeau/packager/media"

	"github.com/Eyevinn/mp4ff/mp4"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
)

// sps265 is of the main profile, 640 × 360, blocks of 64, an order count of 8 bits.
var sps265 = new(bitWriter).u(8, 1).u(4, 0).u(3, 0).u(1, 1).u(8, 1).u(32, 0x60000000).u(32, 0x90000000).u(16, 0).u(8, 93).
	ue(0).ue(1).ue(640).ue(360).u(1, 0).ue(0).ue(0).ue(4).u(1, 1).ue(4).ue(2).ue(0).ue(0).ue(3).ue(0).ue(3).ue(0).ue(0).
	u(4, 0).ue(0).u(3, 0).u(2, 0).nalu(0x42)

// pps265 allows dependent slice segments.
var pps265 = new(bitWriter).u(8, 1).ue(0).ue(0).u(1, 1).u(1, 0).u(3, 0).u(8, 0).nalu(0x44)

var (
	vps265 = []byte{0x40, 1, 0x0c, 1, 0xff, 0xff, 1, 0x60, 0x80}
	aud265 = []byte{0x46, 1, 0x50}
)

// slice265 is the first of a picture.
func slice265(kind, lsb uint32, body int) []byte {
	w := new(bitWriter).u(8, 1).u(1, 1)
	if kind >= nalBLA && kind <= 23 {
		w.u(1, 0)
	}
	w.ue(0).ue(1)
	if kind != nalIDRW && kind != nalIDRN {
		w.u(8, lsb)
	}
	return w.nalu(byte(kind<<1), bytes.Repeat([]byte{byte(0x40 + lsb)}, body)...)
}

// more265 is another slice of the picture before it, at an address of six bits.
func more265(kind, lsb, address uint32, dependent bool) []byte {
	w := new(bitWriter).u(8, 1).u(1, 0)
	if kind >= nalBLA && kind <= 23 {
		w.u(1, 0)
	}
	w.ue(0)
	if dependent {
		return w.u(1, 1).u(6, address).nalu(byte(kind<<1), 0x77)
	}
	w.u(1, 0).u(6, address).ue(1)
	if kind != nalIDRW && kind != nalIDRN {
		w.u(8, lsb)
	}
	return w.nalu(byte(kind<<1), 0x78)
}

func h265Muxer() *muxer {
	m := newMuxer()
	m.tables(0, pat(0, 1, testPMT))
	m.tables(testPMT, pmt(1, 0, es{0x24, testVideo, nil}))
	return m
}

func TestH265SlicesBelongToPictures(t *testing.T) {
	m := h265Muxer()
	m.video(9000, none, annexB(aud265, vps265, sps265, pps265, slice265(nalIDRN, 0, 20), more265(nalIDRN, 0, 20, true), more265(nalIDRN, 0, 40, false)))
	m.video(12600, none, annexB(slice265(1, 1, 20), more265(1, 1, 30, true))) // without a delimiter
	m.video(16200, none, annexB(slice265(nalCRA, 2, 20)))
	m.video(12600+3600*2, 12600+3600*2, annexB(aud265, slice265(9, 3, 8), []byte{0x7e, 1, 1}, []byte{0x01, 0x81, 1, 2})) // one of unspecified kind, one of another layer
	events, d := demux(m.out, Options{})
	got := samples(events, testVideo)
	var keys []bool
	var sizes []int
	for _, s := range got {
		n := 0
		for b := s.Data; len(b) > 0; b = b[4+binary.BigEndian.Uint32(b):] {
			n++
		}
		keys, sizes = append(keys, s.Key), append(sizes, n)
	}
	if !reflect.DeepEqual(keys, []bool{true, false, true, false}) || !reflect.DeepEqual(sizes, []int{3, 2, 1, 2}) || len(wrong(d)) != 0 {
		t.Errorf("key %v, NAL units %v, %v", keys, sizes, wrong(d))
	}
	b := lastBegin(t, events)
	if want := [][]byte{vps265, sps265, pps265}; b.Tracks[0].Codec != media.H265 || !reflect.DeepEqual(b.Tracks[0].Parameters, want) {
		t.Errorf("%+v", b.Tracks)
	}
}

// TestAnH265PictureWhoseFirstSliceIsLostIsNotTakenForMoreOfTheOneBefore also has a picture without a timestamp, which is counted on.
func TestAnH265PictureWhoseFirstSliceIsLostIsNotTakenForMoreOfTheOneBefore(t *testing.T) {
	m := h265Muxer()
	m.video(9000, none, annexB(aud265, vps265, sps265, pps265, slice265(nalIDRN, 0, 20)))
	m.video(12600, none, annexB(slice265(1, 1, 20)))
	m.video(none, none, annexB(slice265(1, 2, 20)))
	m.video(19800, none, annexB(more265(1, 3, 20, false)))
	m.video(23400, none, annexB(slice265(1, 4, 20)))
	events, _ := demux(m.out, Options{})
	var at []media.Ticks
	for _, s := range samples(events, testVideo) {
		at = append(at, s.PTS)
	}
	if !reflect.DeepEqual(at, []media.Ticks{9000, 12600, 16200, 19800, 23400}) {
		t.Errorf("%v", at) // the incomplete one is a picture of its own
	}
}

func TestH265ParameterSetsThatMakeNoSenseAreCounted(t *testing.T) {
	for name, set := range map[string][]byte{
		"cut off": sps265[:12], "an order count of 20 bits": new(bitWriter).u(8, 1).u(8, 1).u(32, 0).u(32, 0).u(32, 93).ue(0).ue(1).ue(640).ue(360).u(1, 0).ue(0).ue(0).ue(16).u(1, 0).ue(0).ue(0).ue(0).ue(0).ue(3).nalu(0x42),
		"pictures of no size": new(bitWriter).u(8, 1).u(8, 1).u(32, 0).u(32, 0).u(32, 93).ue(0).ue(1).ue(0).ue(0).u(1, 0).ue(0).ue(0).ue(4).u(1, 0).ue(0).ue(0).ue(0).ue(0).ue(3).nalu(0x42),
		"too long":            append(bytes.Clone(sps265), bytes.Repeat([]byte{7}, maxParameterSet)...), "a picture set of id 64": new(bitWriter).u(8, 1).ue(64).ue(0).u(8, 0).nalu(0x44),
	} {
		m := h265Muxer()
		m.video(9000, none, annexB(aud265, append(set, 1), slice265(nalIDRN, 0, 20)))
		_, d := demux(m.out, Options{})
		if d.Errors()["parameters"] != 1 || d.Errors()["no_parameters"] != 1 {
			t.Errorf("%s: %v", name, wrong(d))
		}
	}
}

// ac3Of is one syncframe of AC-3 in stereo, 48 kHz, 32 kbit/s.
func ac3Of(fill byte) []byte {
	b := append([]byte{0x0b, 0x77, 0, 0, 0, 8 << 3, 2 << 5, 0}, bytes.Repeat([]byte{fill}, 120)...)
	return b
}

// eac3Of is one syncframe of E-AC-3, 48 kHz, with LFE where mode is 7.
func eac3Of(kind, id, blocks uint32, size int) []byte {
	return eac3With(kind, id, blocks, 7, size, func(*bitWriter) {})
}

func eac3With(kind, id, blocks, mode uint32, size int, rest func(*bitWriter)) []byte {
	w := new(bitWriter).u(16, 0x0b77).u(2, kind).u(3, id).u(11, uint32(size/2-1)).u(2, 0).u(2, blocks).u(3, mode).u(1, 1).u(5, 16).u(5, 27).u(1, 0)
	rest(w)
	return append(w.b, make([]byte, size-len(w.b))...)
}

func audioMuxer(kind byte) *muxer {
	m := newMuxer()
	m.tables(0, pat(0, 1, testPMT))
	m.tables(testPMT, pmt(1, 0, es{kind, testAudio, nil}))
	return m
}

// TestSubstreamsOfEAC3AreOneSample: an independent substream of 5.1, a dependent one with two more channels, a second programme; and three
// blocks at a time. What the box says of them is read by others.
func TestSubstreamsOfEAC3AreOneSample(t *testing.T) {
	dependent := func(w *bitWriter) { w.u(1, 1).u(16, 1<<9) } // chanmap: rear surrounds
	for name, c := range map[string]struct {
		frames [][]byte
		want   mp4.Dec3Box
	}{
		"7.1 and another": {[][]byte{eac3Of(0, 0, 3, 200), eac3With(1, 0, 3, 2, 100, dependent), eac3Of(0, 1, 3, 80)}, mp4.Dec3Box{EC3Subs: []mp4.EC3Sub{
			{BSID: 16, ACMod: 7, LFEOn: 1, NumDepSub: 1, ChanLoc: 2}, {BSID: 16, ACMod: 7, LFEOn: 1}}}},
		"three blocks at a time": {[][]byte{eac3Of(0, 0, 2, 200), eac3Of(0, 0, 2, 100)}, mp4.Dec3Box{EC3Subs: []mp4.EC3Sub{{BSID: 16, ACMod: 7, LFEOn: 1}}}},
		"joint object coding": {[][]byte{eac3With(0, 0, 3, 7, 200, func(w *bitWriter) {
			w.u(1, 0).u(1, 0).u(1, 1).u(6, 1).u(7, 0).u(1, 1).u(8, 16) // no mixing, no information, addbsi of two bytes
		})}, mp4.Dec3Box{JOCComplexity: 16, EC3Subs: []mp4.EC3Sub{{BSID: 16, ACMod: 7, LFEOn: 1}}}},
	} {
		m, unit := audioMuxer(0x87), slices.Concat(c.frames...)
		for i := range 5 {
			m.audio(9000+int64(i)*2880, unit)
		}
		events, d := demux(m.out, Options{})
		got := samples(events, testAudio)
		if len(got) != 5 || len(wrong(d)) != 0 {
			t.Errorf("%s: %d samples, %v", name, len(got), wrong(d))
			continue
		}
		for i, s := range got {
			if !bytes.Equal(s.Data, unit) || s.PTS != media.Ticks(9000+i*2880) {
				t.Errorf("%s: sample %d is %d bytes at %d", name, i, len(s.Data), s.PTS)
			}
		}
		p := lastBegin(t, events).Tracks[0].Parameters[0]
		box, err := mp4.DecodeDec3(mp4.BoxHeader{Name: "dec3", Size: uint64(8 + len(p)), Hdrlen: 8}, 0, bytes.NewReader(p))
		if err != nil {
			t.Fatal(err)
		}
		read := box.(*mp4.Dec3Box)
		c.want.NumIndSub, c.want.Reserved, read.Reserved = read.NumIndSub, nil, nil
		if !reflect.DeepEqual(*read, c.want) {
			t.Errorf("%s: %+v, want %+v", name, *read, c.want)
		}
	}
}

func TestAUnitOfEAC3ThatLacksBlocksIsDropped(t *testing.T) {
	m := audioMuxer(0x87)
	half := eac3Of(0, 0, 2, 100)
	m.audio(9000, slices.Concat(half, half, half))
	m.audio(9000+2*2880, []byte("garbage"))
	m.audio(9000+3*2880, slices.Concat(half, half, half, half))
	events, d := demux(m.out, Options{})
	if n := len(samples(events, testAudio)); n != 3 || d.Errors()["damaged"] != 1 {
		t.Errorf("%d samples, %v", n, wrong(d))
	}
}

// latmOf is one AudioSyncStream of AAC LC in stereo, 48 kHz.
func latmOf(same bool, body int) []byte {
	w := new(bitWriter)
	if same {
		w.u(1, 1)
	} else {
		w.u(1, 0).u(1, 0).u(1, 1).u(6, 0).u(4, 0).u(3, 0) // StreamMuxConfig
		w.u(5, 2).u(4, 3).u(4, 2).u(3, 0)                 // AudioSpecificConfig
		w.u(3, 0).u(8, 0xff).u(1, 0).u(1, 0)              // frames of variable length, nothing else
	}
	n := body
	for ; n >= 255; n -= 255 {
		w.u(8, 255)
	}
	w.u(8, uint32(n))
	for i := range body {
		w.u(8, uint32(i*3+body)&0xff)
	}
	return append([]byte{0x56, 0xe0 | byte(len(w.b)>>8), byte(len(w.b))}, w.b...)
}

func TestLATMGivesWhatItCarries(t *testing.T) {
	m := audioMuxer(0x11)
	m.audio(7080, latmOf(true, 30)) // nothing has said what it is
	for i, body := range []int{20, 300, 600, 21} {
		m.audio(9000+int64(i)*1920, latmOf(i%2 == 1, body))
	}
	events, d := demux(m.out, Options{})
	got := samples(events, testAudio)
	if len(got) != 4 || d.Errors()["no_parameters"] != 1 {
		t.Fatalf("%d samples, %v", len(got), wrong(d))
	}
	for i, body := range []int{20, 300, 600, 21} {
		want := make([]byte, body)
		for j := range want {
			want[j] = byte(j*3 + body)
		}
		if !bytes.Equal(got[i].Data, want) || got[i].PTS != media.Ticks(9000+i*1920) {
			t.Errorf("sample %d: %d bytes at %d, %x", i, len(got[i].Data), got[i].PTS, got[i].Data[:4])
		}
	}
	if p := lastBegin(t, events).Tracks[0].Parameters; !reflect.DeepEqual(p, [][]byte{{0x11, 0x90}}) {
		t.Errorf("%x", p)
	}
}

// TestLATMOfAnotherWriterIsRead also has what only others write: HE-AAC in LATM.
func TestLATMOfAnotherWriterIsRead(t *testing.T) {
	for name, config := range map[string]mpeg4audio.AudioSpecificConfig{
		"LC": {Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 44100, ChannelConfig: 1, ChannelCount: 1},
		"HE": {Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 24000, ChannelConfig: 2, ChannelCount: 2, ExtensionType: mpeg4audio.ObjectTypeSBR, ExtensionSampleRate: 48000},
	} {
		want, err := config.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		e := mpeg4audio.AudioMuxElement{MuxConfigPresent: true, StreamMuxConfig: &mpeg4audio.StreamMuxConfig{Programs: []*mpeg4audio.StreamMuxConfigProgram{
			{Layers: []*mpeg4audio.StreamMuxConfigLayer{{AudioSpecificConfig: &config, LatmBufferFullness: 255}}}}}}
		m := audioMuxer(0x11)
		for i := range 5 {
			e.Payloads = [][][][]byte{{{bytes.Repeat([]byte{byte(i)}, 100+i)}}}
			b, err := e.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			m.audio(9000+int64(i)*2090, append([]byte{0x56, 0xe0 | byte(len(b)>>8), byte(len(b))}, b...))
		}
		events, d := demux(m.out, Options{})
		got := samples(events, testAudio)
		if len(got) != 5 || len(wrong(d)) != 0 {
			t.Fatalf("%s: %d samples, %v", name, len(got), wrong(d))
		}
		for i, s := range got {
			if !bytes.Equal(s.Data, bytes.Repeat([]byte{byte(i)}, 100+i)) {
				t.Errorf("%s: sample %d: %x", name, i, s.Data)
			}
		}
		if p := lastBegin(t, events).Tracks[0].Parameters; !reflect.DeepEqual(p, [][]byte{want}) {
			t.Errorf("%s: %x, want %x", name, p, want)
		}
	}
}

// TestCodingsThatOthersMultiplex has each written into a transport stream by ffmpeg, and holds every frame against what it put in.
func TestCodingsThatOthersMultiplex(t *testing.T) {
	for name, args := range map[string][]string{
		"layer II":       {"-f", "lavfi", "-i", "sine=r=48000:d=4", "-c:a", "mp2", "-b:a", "192k"},
		"layer III":      {"-f", "lavfi", "-i", "sine=r=44100:d=4", "-c:a", "libmp3lame", "-b:a", "128k"},
		"layer III, low": {"-f", "lavfi", "-i", "sine=r=22050:d=4", "-c:a", "libmp3lame", "-b:a", "64k"},
		"AC-3":           {"-f", "lavfi", "-i", "aevalsrc=0.1*sin(440*t)|0|0|0|0|0:c=5.1:s=44100:d=4", "-c:a", "ac3"},
		"E-AC-3":         {"-f", "lavfi", "-i", "aevalsrc=0.1*sin(440*t)|0|0|0|0|0:c=5.1:s=48000:d=4", "-c:a", "eac3"},
		"LATM":           {"-f", "lavfi", "-i", "sine=r=48000:d=4", "-c:a", "aac", "-mpegts_flags", "latm"},
		"H.265":          {"-f", "lavfi", "-i", "testsrc2=r=25:s=320x180:d=4", "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:keyint=25:open-gop=1:bframes=3:slices=2"},
		"H.265, 10 bits": {"-f", "lavfi", "-i", "testsrc2=r=25:s=320x180:d=2", "-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le", "-x265-params", "log-level=error:temporal-layers=1:bframes=4:b-pyramid=1"},
	} {
		t.Run(name, func(t *testing.T) {
			write := func(args ...string) string {
				path := filepath.Join(t.TempDir(), "feed.ts")
				if out, err := exec.Command("ffmpeg", slices.Concat([]string{"-v", "error"}, args, []string{"-f", "mpegts", path})...).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				return path
			}
			path := write(args...)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if name == "LATM" {
				path = write(args[:len(args)-2]...) // ffprobe would give AudioSyncStreams
			}
			want := probe(t, path)[0x100]
			events, d := demux(b, Options{})
			bad := wrong(d)
			delete(bad, "unannounced") // the SDT comes first
			if len(bad) != 0 || len(want) < 40 {
				t.Fatalf("%v, ffprobe has %d", bad, len(want))
			}
			compare(t, samples(events, 0x100), want)
			if !lastBegin(t, events).Tracks[0].Known() {
				t.Error("not described")
			}
		})
	}
}
