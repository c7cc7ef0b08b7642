package codec

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"flambeau/packager/media"
)

// What ffprobe says of the same bytes is the oracle.
type probed struct {
	Width, Height  int
	SAR            string `json:"sample_aspect_ratio"`
	Profile        string
	Level          int
	ColorRange     string `json:"color_range"`
	ColorSpace     string `json:"color_space"`
	ColorTransfer  string `json:"color_transfer"`
	ColorPrimaries string `json:"color_primaries"`
	FieldOrder     string `json:"field_order"`
	PixFmt         string `json:"pix_fmt"`
}

// TestWhatX264WritesIsReadAsFFprobeReadsIt cites ISO/IEC 14496-10, 7.4.2.1.1 and E.2.1, through an encoder that is not ours.
func TestWhatX264WritesIsReadAsFFprobeReadsIt(t *testing.T) {
	for _, c := range []struct {
		name, size, rate, format string
		more                     []string
		num, den                 int64
		rng                      string
		interlaced               bool
		chroma, depth            uint32
	}{
		{name: "1080p, eight lines cropped", size: "1920x1080", rate: "25", format: "yuv420p", num: 25, den: 1, rng: "SDR", chroma: 1},
		{name: "ntsc rate, anamorphic", size: "704x480", rate: "30000/1001", format: "yuv420p", more: []string{"-vf", "setsar=40/33"}, num: 30000, den: 1001, rng: "SDR", chroma: 1},
		{name: "a sample aspect that no table has", size: "352x288", rate: "25", format: "yuv420p", more: []string{"-vf", "setsar=101/77"}, num: 25, den: 1, rng: "SDR", chroma: 1},
		{name: "576i, fields", size: "720x576", rate: "25", format: "yuv420p", more: []string{"-flags", "+ildct+ilme", "-x264-params", "tff=1", "-vf", "setsar=64/45"}, num: 25, den: 1, rng: "SDR", interlaced: true, chroma: 1},
		{name: "1080i with cropped fields", size: "1920x1080", rate: "25", format: "yuv420p", more: []string{"-flags", "+ildct+ilme", "-x264-params", "bff=1"}, num: 25, den: 1, rng: "SDR", interlaced: true, chroma: 1},
		{name: "monochrome, cropped by single samples", size: "323x181", rate: "50", format: "gray", num: 50, den: 1, rng: "SDR", chroma: 0},
		{name: "4:2:2, ten bits", size: "326x181", rate: "50", format: "yuv422p10le", num: 50, den: 1, rng: "SDR", chroma: 2, depth: 2},
		{name: "4:4:4", size: "321x179", rate: "60", format: "yuv444p", num: 60, den: 1, rng: "SDR", chroma: 3},
		{name: "PQ", size: "640x360", rate: "50", format: "yuv420p10le", more: []string{"-x264-params", "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"}, num: 50, den: 1, rng: "PQ", chroma: 1, depth: 2},
		{name: "HLG, full range", size: "640x360", rate: "50", format: "yuv420p10le", more: []string{"-x264-params", "colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc:fullrange=on"}, num: 50, den: 1, rng: "HLG", chroma: 1, depth: 2},
		{name: "709", size: "640x360", rate: "25", format: "yuv420p", more: []string{"-x264-params", "colorprim=bt709:transfer=bt709:colormatrix=bt709"}, num: 25, den: 1, rng: "SDR", chroma: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := []string{"-f", "lavfi", "-i", "testsrc2=size=" + c.size + ":rate=" + c.rate, "-frames:v", "2", "-pix_fmt", c.format}
			es := ffmpeg(t, append(append(args, c.more...), "-c:v", "libx264", "-preset", "ultrafast", "-f", "h264", "-")...)
			track := h264Track(es)
			d, err := Describe(track)
			if err != nil {
				t.Fatal(err)
			}
			agree(t, d, probe(t, es, "h264"))
			if d.FrameNum != c.num || d.FrameDen != c.den {
				t.Errorf("%d/%d frames a second, want %d/%d", d.FrameNum, d.FrameDen, c.num, c.den)
			}
			if d.Range != c.rng || d.Interlaced != c.interlaced {
				t.Errorf("range %s, interlaced %v", d.Range, d.Interlaced)
			}
			s, err := readH264(track.Parameters)
			if err != nil || s.picture.ChromaFormatIdc != c.chroma || s.picture.BitDepthLumaMinus8 != c.depth {
				t.Errorf("chroma %d, depth 8+%d (%v)", s.picture.ChromaFormatIdc, s.picture.BitDepthLumaMinus8, err)
			}
			sameConfiguration(t, track, es)
		})
	}
}

// sameConfiguration compares avcC, to the byte, with what ffmpeg writes of the same stream, and looks for what the description
// says in pasp and colr (C5).
func sameConfiguration(t *testing.T, track media.Track, es []byte) {
	t.Helper()
	in := filepath.Join(t.TempDir(), "in.h264")
	if err := os.WriteFile(in, es, 0o600); err != nil {
		t.Fatal(err)
	}
	theirs := ffmpeg(t, "-f", "h264", "-i", in, "-c", "copy", "-movflags", "empty_moov", "-f", "mp4", "-")
	entry, err := SampleEntry(track)
	if err != nil {
		t.Fatal(err)
	}
	var ours bytes.Buffer
	if err := entry.Encode(&ours); err != nil {
		t.Fatal(err)
	}
	if got, want := box(ours.Bytes(), "avcC"), box(theirs, "avcC"); len(want) < 20 || !bytes.Equal(got, want) {
		t.Errorf("avcC\n%x, ffmpeg writes\n%x", got, want)
	}
	d, err := Describe(track)
	if err != nil {
		t.Fatal(err)
	}
	if got := box(ours.Bytes(), "pasp"); len(got) != 16 || !bytes.Equal(got[8:], []byte{0, 0, 0, byte(d.SARWidth), 0, 0, 0, byte(d.SARHeight)}) {
		t.Errorf("pasp %x, want %d:%d", got, d.SARWidth, d.SARHeight)
	}
	c, full := d.Colour, byte(0)
	if c.FullRange {
		full = 0x80
	}
	var want []byte
	if c.Present || c.FullRange {
		want = append([]byte("nclx"), 0, c.Primaries, 0, c.Transfer, 0, c.Matrix, full)
	}
	if got := box(ours.Bytes(), "colr"); !bytes.Equal(got[min(8, len(got)):], want) {
		t.Errorf("colr %x, want %x", got, want)
	}
}

// box is the first of that type, wherever it stands.
func box(b []byte, kind string) []byte {
	i := bytes.Index(b, []byte(kind)) - 4
	if i < 0 {
		return nil
	}
	return b[i : i+int(binary.BigEndian.Uint32(b[i:]))]
}

// TestRealFeedsAreReadAsFFprobeReadsThem: sizes, aspect, profile and colour by ffprobe; rates are those at
// which their frames come. portrait.ts gives none, middle-pat-pmt.ts rounds.
func TestRealFeedsAreReadAsFFprobeReadsThem(t *testing.T) {
	for _, c := range []struct {
		feed     string
		num, den int64
	}{
		{"1080i-eac3x3-dvbsub.ts", 25, 1},
		{"ac3-muxed-576-0.ts", 25, 1},
		{"avsync-h264-aac-30s.ts", 30, 1},
		{"bframes-720p25.ts", 25, 1},
		{"cea608-multichannel.ts", 30000, 1001},
		{"gst-test.ts", 30, 1},
		{"h264-aac-12s.ts", 25, 1},
		{"middle-pat-pmt.ts", 2997, 100},
		{"missing-sei-and-pes.ts", 10, 1},
		{"mp3-in-ts.ts", 30000, 1001},
		{"no-aud.ts", 30000, 1001},
		{"pcr-jitter-1080p30.ts", 30, 1},
		{"portrait.ts", 0, 0},
		{"pts-ne-dts.ts", 20, 1},
		{"rollover-1fps.ts", 1, 1},
		{"scte35-x264-20s.ts", 25, 1},
	} {
		t.Run(c.feed, func(t *testing.T) {
			es := ffmpeg(t, "-i", feed(t, c.feed), "-map", "0:v:0", "-c", "copy", "-frames:v", "100", "-f", "h264", "-")
			d, err := Describe(h264Track(es))
			if err != nil {
				t.Fatal(err)
			}
			agree(t, d, probe(t, es, "h264"))
			if d.FrameNum != c.num || d.FrameDen != c.den {
				t.Errorf("%d/%d frames a second, want %d/%d", d.FrameNum, d.FrameDen, c.num, c.den)
			}
		})
	}
}

func agree(t *testing.T, d Description, p probed) {
	t.Helper()
	if d.Width != p.Width || d.Height != p.Height {
		t.Errorf("%d × %d, ffprobe says %d × %d", d.Width, d.Height, p.Width, p.Height)
	}
	if sar := fmt.Sprintf("%d:%d", d.SARWidth, d.SARHeight); sar != p.SAR && !(sar == "1:1" && (p.SAR == "" || p.SAR == "0:1")) {
		t.Errorf("sample aspect %s, ffprobe says %q", sar, p.SAR)
	}
	profile := map[string]string{"Constrained Baseline": "42", "Baseline": "42", "Main": "4d", "High": "64", "High 10": "6e", "High 4:2:2": "7a", "High 4:4:4 Predictive": "f4"}[p.Profile]
	if !strings.HasPrefix(d.Codec, "avc1."+profile) || profile == "" || !strings.HasSuffix(d.Codec, fmt.Sprintf("%02x", p.Level)) {
		t.Errorf("codec %s, ffprobe says profile %q, level %d", d.Codec, p.Profile, p.Level)
	}
	if d.Colour.FullRange != (p.ColorRange == "pc") {
		t.Errorf("full range %v, ffprobe says %q", d.Colour.FullRange, p.ColorRange)
	}
	// The names of the code points that appear (ITU-T H.273, Tables 2 to 4).
	names := func(v uint8, of map[uint8]string) string { return of[v] }
	primaries := names(d.Colour.Primaries, map[uint8]string{1: "bt709", 2: "", 5: "bt470bg", 6: "smpte170m", 9: "bt2020"})
	transfer := names(d.Colour.Transfer, map[uint8]string{1: "bt709", 2: "", 5: "bt470bg", 6: "smpte170m", 16: "smpte2084", 18: "arib-std-b67"})
	matrix := names(d.Colour.Matrix, map[uint8]string{1: "bt709", 2: "", 5: "bt470bg", 6: "smpte170m", 9: "bt2020nc"})
	if primaries != p.ColorPrimaries || transfer != p.ColorTransfer || matrix != p.ColorSpace {
		t.Errorf("colour %+v, ffprobe says %q %q %q", d.Colour, p.ColorPrimaries, p.ColorTransfer, p.ColorSpace)
	}
}

func TestOfSeveralSetsTheLargestPictureSpeaksForAll(t *testing.T) {
	small, large := sps{mbs: 40, rows: 23, level: 31}, sps{mbs: 120, rows: 68, level: 30, compat: 0x40}
	for _, order := range [][]sps{{small, large}, {large, small}} {
		d, err := Describe(video(order[0].nal(), order[1].nal(), pps))
		if err != nil {
			t.Fatal(err)
		}
		if d.Width != 1920 || d.Height != 1088 || d.Codec != "avc1.64001f" {
			t.Errorf("%s, %d × %d: want the larger picture, the higher level and the flags that both have", d.Codec, d.Width, d.Height)
		}
	}
}

func TestParametersThatMakeNoSenseAreRefused(t *testing.T) {
	good := sps{mbs: 40, rows: 23}
	if _, err := Describe(video(good.nal(), pps)); err != nil {
		t.Fatalf("the set that all others are made of: %v", err)
	}
	many := func(n int, nal []byte) media.Track { return video(slices.Repeat([][]byte{nal}, n)...) }
	for name, track := range map[string]media.Track{
		"nothing yet":                   video(),
		"no picture parameter set":      video(good.nal()),
		"no sequence parameter set":     video(pps),
		"an empty set":                  video(good.nal(), pps, nil),
		"an endless set":                video(good.nal(), append(slices.Clone(pps), make([]byte, MaxParameter)...)),
		"a slice":                       video(good.nal(), pps, []byte{0x65, 0x88}),
		"forbidden bit":                 video(good.nal(), []byte{0xe8, 0xee}),
		"cut short":                     video(good.nal()[:5], pps),
		"wider than 16384":              video(sps{mbs: 1025, rows: 1}.nal(), pps),
		"higher than 16384":             video(sps{mbs: 1, rows: 1025}.nal(), pps),
		"fields higher than 16384":      video(sps{mbs: 1, rows: 513, fields: true}.nal(), pps),
		"more than level 6.2 has":       video(sps{mbs: 1000, rows: 1000}.nal(), pps),
		"a width that wraps 32 bits":    video(sps{mbs: 1<<28 + 1, rows: 23}.nal(), pps),
		"cropped to nothing":            video(sps{mbs: 40, rows: 23, crop: 320}.nal(), pps),
		"a crop that wraps 32 bits":     video(sps{mbs: 40, rows: 23, crop: 1<<31 - 16}.nal(), pps),
		"chroma format 4":               video(sps{mbs: 40, rows: 23, chroma: 4}.nal(), pps),
		"fifteen bits":                  video(sps{mbs: 40, rows: 23, depth: 7}.nal(), pps),
		"more sets than avcC can count": many(MaxSPS+2, good.nal()),
	} {
		t.Run(name, func(t *testing.T) {
			d, err := Describe(track)
			var want FormatError
			if !errors.As(err, &want) {
				t.Errorf("%+v, %v: want a FormatError", d, err)
			}
			if d != (Description{}) {
				t.Errorf("described as %+v beside the error", d)
			}
			if _, err := SampleEntry(track); !errors.As(err, &want) {
				t.Errorf("sample entry: %v", err)
			}
		})
	}
	overfull := append([][]byte{good.nal()}, slices.Repeat([][]byte{pps}, MaxPPS+1)...)
	if _, err := Describe(video(overfull...)); err == nil {
		t.Error("256 picture parameter sets fit into eight bits")
	}
}

func TestCodecsThatAreNotDoneYetAreUnsupportedNotInvalid(t *testing.T) {
	for _, track := range []media.Track{
		{Kind: media.Video, Codec: "vvc", Parameters: [][]byte{{0x40, 1}}},
		{Kind: media.Audio, Codec: "opus", Parameters: [][]byte{{0x0b, 0x77}}},
		{Kind: media.Audio, Codec: media.H264, Parameters: [][]byte{{0x67, 1}}},
	} {
		_, err := Describe(track)
		var want UnsupportedError
		if !errors.As(err, &want) {
			t.Errorf("%s %s: %v", track.Kind, track.Codec, err)
		}
	}
}

func TestFrameRatesThatNobodyMeantAreUnknown(t *testing.T) {
	for _, c := range []struct {
		units, scale uint32
		num, den     int64
	}{
		{1, 50, 25, 1}, {1001, 60000, 30000, 1001}, {1001, 48000, 24000, 1001}, {2, 240, 60, 1}, {1, 2, 1, 1},
		{0, 50, 0, 0}, {1, 0, 0, 0}, {1, 90000, 0, 0}, {1<<32 - 1, 1, 0, 0}, {1<<32 - 1, 1<<32 - 1, 1, 2},
	} {
		d, err := Describe(video(sps{mbs: 40, rows: 23, units: c.units, scale: c.scale, timing: true}.nal(), pps))
		if err != nil || d.FrameNum != c.num || d.FrameDen != c.den {
			t.Errorf("%d/%d: %d/%d frames a second, want %d/%d (%v)", c.scale, c.units, d.FrameNum, d.FrameDen, c.num, c.den, err)
		}
	}
}

// sps writes sequence parameter sets that no encoder would (ISO/IEC 14496-10, 7.3.2.1.1).
type sps struct {
	mbs, rows     uint32
	fields        bool
	crop          uint32 // to the right, in crop units
	chroma, depth uint32 // chroma 0 is written as 1
	level, compat byte
	timing        bool
	units, scale  uint32
}

var pps = []byte{0x68, 0xee, 0x3c, 0x80}

func (s sps) nal() []byte {
	var w bitWriter
	w.ue(0)
	w.ue(max(s.chroma, 1))
	w.ue(s.depth)
	w.ue(s.depth)
	w.bits(0, 2) // transform bypass, scaling matrix
	w.ue(0)      // log2_max_frame_num - 4
	w.ue(2)      // pic_order_cnt_type
	w.ue(1)      // max_num_ref_frames
	w.bits(0, 1)
	w.ue(s.mbs - 1)
	w.ue(s.rows - 1)
	w.flag(!s.fields)
	if s.fields {
		w.bits(0, 1)
	}
	w.bits(1, 1) // direct_8x8_inference
	w.flag(s.crop > 0)
	if s.crop > 0 {
		w.ue(0)
		w.ue(s.crop)
		w.ue(0)
		w.ue(0)
	}
	w.flag(s.timing)
	if s.timing {
		w.bits(0, 4) // aspect, overscan, signal type, chroma location
		w.bits(1, 1)
		w.bits(uint64(s.units), 32)
		w.bits(uint64(s.scale), 32)
		w.bits(0, 5) // fixed rate, hrd, hrd, pic_struct, restriction
	}
	w.bits(1, 1)
	nal := []byte{0x67, 100, s.compat, max(s.level, 30)}
	for i, zeros := 0, 0; i < len(w.b); i++ { // emulation prevention, 7.4.1
		if zeros == 2 && w.b[i] <= 3 {
			nal, zeros = append(nal, 3), 0
		}
		nal = append(nal, w.b[i])
		if zeros++; w.b[i] != 0 {
			zeros = 0
		}
	}
	return nal
}

type bitWriter struct {
	b []byte
	n int
}

func (w *bitWriter) bits(v uint64, n int) {
	for i := n - 1; i >= 0; i-- {
		if w.n%8 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[w.n/8] |= byte(v>>i&1) << (7 - w.n%8)
		w.n++
	}
}

func (w *bitWriter) flag(f bool) {
	if f {
		w.bits(1, 1)
	} else {
		w.bits(0, 1)
	}
}

func (w *bitWriter) ue(v uint32) {
	n := 0
	for x := uint64(v) + 1; x > 1; x >>= 1 {
		n++
	}
	w.bits(0, n)
	w.bits(uint64(v)+1, n+1)
}

func video(parameters ...[]byte) media.Track {
	return media.Track{Kind: media.Video, Codec: media.H264, Timescale: 90000, Parameters: parameters}
}

// h264Track takes the parameter sets out of an Annex B stream, as a demuxer would: without repeats, sequence sets first.
func h264Track(es []byte) media.Track {
	var sets [2][][]byte
	for _, part := range bytes.Split(es, []byte{0, 0, 1})[1:] {
		nal := bytes.TrimRight(part, "\x00")
		kind := int(nal[0] & 0x1f)
		if kind != nalSPS && kind != nalPPS {
			continue
		}
		to := &sets[kind-nalSPS]
		if !slices.ContainsFunc(*to, func(have []byte) bool { return bytes.Equal(have, nal) }) {
			*to = append(*to, nal)
		}
	}
	return video(append(sets[0], sets[1]...)...)
}

func ffmpeg(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("ffmpeg", append([]string{"-v", "fatal", "-threads", "1"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || len(out) == 0 {
		t.Fatalf("%v: %v: %s", cmd.Args, err, stderr.Bytes())
	}
	return out
}

func probe(t *testing.T, es []byte, format string) probed {
	t.Helper()
	cmd := exec.Command("ffprobe", "-v", "fatal", "-f", format, "-of", "json", "-show_streams", "-")
	cmd.Stdin = bytes.NewReader(es)
	out, err := cmd.Output()
	var answer struct{ Streams []probed }
	if err == nil {
		err = json.Unmarshal(out, &answer)
	}
	if err != nil || len(answer.Streams) != 1 {
		t.Fatalf("ffprobe: %v: %s", err, out)
	}
	return answer.Streams[0]
}

// feed finds a real feed beside the project.
func feed(t *testing.T, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
	}
	path := filepath.Join(dir, "..", "shared", "feeds", name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no real feeds beside the project: %v", err)
	}
	return path
}
