package cmaf_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/Eyevinn/mp4ff/mp4"

	"flambeau/packager/cmaf"
	"flambeau/packager/codec"
	"flambeau/packager/media"
)

// A track as a demuxer would give it, taken by mp4ff out of what ffmpeg wrote, and as we write it.
type track struct {
	media.Track
	timescale uint32
	start     uint64
	samples   []cmaf.Sample
}

// source has ffmpeg write a file of one track in each rendition, and gives it with its tracks.
func source(t *testing.T, args ...string) (path string, tracks []track) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "source.mp4")
	args = append(args, "-fflags", "+bitexact", "-movflags", "frag_keyframe+delay_moov+default_base_moof+negative_cts_offsets", path)
	if _, err := run("ffmpeg", append([]string{"-v", "error", "-threads", "1"}, args...)...); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := mp4.DecodeFile(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	for _, trak := range file.Init.Moov.Traks {
		tr := describe(t, trak)
		for _, s := range file.Segments {
			for _, f := range s.Fragments {
				tr.take(t, f, trak.Tkhd.TrackID, file.Init.Moov.Mvex.Trexs)
			}
		}
		tracks = append(tracks, tr)
	}
	return path, tracks
}

func describe(t *testing.T, trak *mp4.TrakBox) track {
	t.Helper()
	tr := track{timescale: trak.Mdia.Mdhd.Timescale}
	tr.Timescale, tr.Language = tr.timescale, trak.Mdia.Mdhd.GetLanguage()
	stsd := trak.Mdia.Minf.Stbl.Stsd
	switch {
	case stsd.AvcX != nil:
		tr.Kind, tr.Codec = media.Video, media.H264
		tr.Parameters = slices.Concat(stsd.AvcX.AvcC.SPSnalus, stsd.AvcX.AvcC.PPSnalus)
	case stsd.HvcX != nil:
		tr.Kind, tr.Codec = media.Video, media.H265
		for _, a := range stsd.HvcX.HvcC.NaluArrays {
			tr.Parameters = append(tr.Parameters, a.Nalus[0]) // of the SEI units that ffmpeg puts there too, none is a parameter set
		}
		tr.Parameters = tr.Parameters[:3]
	case stsd.AC3 != nil:
		tr.Kind, tr.Codec = media.Audio, media.AC3
		tr.Parameters = [][]byte{body(t, stsd.AC3.Dac3)}
	case stsd.EC3 != nil:
		tr.Kind, tr.Codec = media.Audio, media.EAC3
		tr.Parameters = [][]byte{body(t, stsd.EC3.Dec3)}
	case stsd.Mp4a != nil && stsd.Mp4a.Esds.DecConfigDescriptor.ObjectType == mp4.ObjectTypeMP3:
		tr.Kind, tr.Codec = media.Audio, media.MPEGAudio
		tr.Parameters = [][]byte{{0xff, 0xfb, 0x04, 0}} // layer III, 48 kHz, two channels
	case stsd.Mp4a != nil:
		tr.Kind, tr.Codec = media.Audio, media.AAC
		tr.Parameters = [][]byte{stsd.Mp4a.Esds.DecConfigDescriptor.DecSpecificInfo.DecConfig}
	default:
		t.Fatal("the source is of a coding that this test does not know")
	}
	return tr
}

func body(t *testing.T, box mp4.Box) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := box.Encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()[8:]
}

func (tr *track) take(t *testing.T, f *mp4.Fragment, id uint32, trexs []*mp4.TrexBox) {
	t.Helper()
	for _, traf := range f.Moof.Trafs {
		if traf.Tfhd.TrackID != id {
			continue
		}
		trex := trexs[slices.IndexFunc(trexs, func(x *mp4.TrexBox) bool { return x.TrackID == id })]
		got, err := f.GetFullSamples(trex)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range got {
			if len(tr.samples) == 0 {
				tr.start = s.DecodeTime
			}
			tr.samples = append(tr.samples, cmaf.Sample{Data: s.Data, Duration: s.Dur, Offset: s.CompositionTimeOffset, Key: s.IsSync()})
		}
	}
}

// init is the initialization segment, as the packager makes it.
func (tr track) init(t *testing.T) []byte {
	t.Helper()
	entry, err := codec.SampleEntry(tr.Track)
	if err != nil {
		t.Fatal(err)
	}
	_, language := codec.Language(tr.Language)
	b, err := cmaf.Init(entry, tr.timescale, language)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// segments cuts before key frames, makes parts of seven samples, and ends each segment with a row.
func (tr track) segments() (all [][]byte) {
	at := tr.start
	for i := 0; i < len(tr.samples); {
		b := cmaf.AppendSegmentType(nil)
		for first := true; i < len(tr.samples); first = false {
			n := 1
			for n < 7 && i+n < len(tr.samples) && !(tr.Kind == media.Video && tr.samples[i+n].Key) {
				n++
			}
			if !first && tr.samples[i].Key && (tr.Kind == media.Video || i%35 == 0) {
				break
			}
			b = cmaf.AppendFragment(b, cmaf.Fragment{Sequence: uint32(i), Time: at, Video: tr.Kind == media.Video}, tr.samples[i:i+n])
			for _, s := range tr.samples[i : i+n] {
				at += uint64(s.Duration)
			}
			i += n
		}
		all = append(all, cmaf.AppendRow(b, fmt.Appendf(nil, "row %d\n", len(all))))
	}
	return all
}

func (tr track) file(t *testing.T, segments [][]byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ours.mp4")
	b := append(tr.init(t), bytes.Join(segments, nil)...)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func run(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		return "", fmt.Errorf("%v: %v: %s", cmd.Args, err, stderr.Bytes())
	}
	return string(out), nil
}

// hashes are the frames of one track, as ffmpeg finds them: stored or, where asked, decoded. Times count from the first, as
// the source's have an edit list and ours must not.
func hashes(path, track string, decoded bool) (frames []string, err error) {
	args := []string{"-v", "error", "-threads", "1", "-copyts", "-i", path, "-map", "0:" + track}
	if !decoded {
		args = append(args, "-c", "copy")
	}
	out, err := run("ffmpeg", append(args, "-f", "framehash", "-hash", "sha256", "-")...)
	if err != nil {
		return nil, err
	}
	var first [2]int64
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		var dts, pts, duration, size int64
		var stream int
		var hash string
		if _, err := fmt.Sscanf(strings.ReplaceAll(line, ",", " "), "%d %d %d %d %d %s", &stream, &dts, &pts, &duration, &size, &hash); err != nil {
			return nil, fmt.Errorf("%q: %v", line, err)
		}
		if len(frames) == 0 {
			first = [2]int64{dts, pts}
		}
		frames = append(frames, fmt.Sprintf("%d %d %d %d %s", dts-first[0], pts-first[1], duration, size, hash))
	}
	return frames, nil
}

var tests = []struct {
	name   string
	args   []string
	width  int
	height int
	sar    string
	colour [3]string // primaries, transfer, space
	lang   string
}{
	{
		name: "B-frames, French", width: 320, height: 180, sar: "1:1", lang: "fra",
		args:   []string{"-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-g", "25", "-x264-params", "colorprim=bt709:transfer=bt709:colormatrix=bt709", "-c:a", "aac", "-ac", "2", "-metadata:s:a:0", "language=fre"},
		colour: [3]string{"bt709", "bt709", "bt709"},
	},
	{
		name: "anamorphic fields, no language", width: 352, height: 288, sar: "16:11", lang: "und",
		args: []string{"-vf", "scale=352:288,setsar=16/11", "-c:v", "libx264", "-preset", "veryfast", "-flags", "+ildct+ilme", "-g", "12", "-c:a", "aac", "-ac", "1", "-ar", "44100"},
	},
	{
		name: "HLG of ten bits, Spanish", width: 320, height: 180, sar: "1:1", lang: "spa",
		args:   []string{"-pix_fmt", "yuv420p10le", "-c:v", "libx264", "-preset", "veryfast", "-g", "50", "-x264-params", "colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc", "-c:a", "aac", "-ac", "6", "-metadata:s:a:0", "language=spa"},
		colour: [3]string{"bt2020", "arib-std-b67", "bt2020nc"},
	},
	{
		name: "H.265, HDR10, AC-3", width: 320, height: 180, sar: "1:1", lang: "eng",
		args: []string{"-pix_fmt", "yuv420p10le", "-c:v", "libx265", "-tag:v", "hvc1", "-preset", "ultrafast", "-g", "25",
			"-x265-params", "log-level=none:bframes=3:open-gop=1:hdr10=1:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:max-cll=1000,400",
			"-c:a", "ac3", "-ac", "6", "-metadata:s:a:0", "language=eng"},
		colour: [3]string{"bt2020", "smpte2084", "bt2020nc"},
	},
	{
		name: "E-AC-3", width: 320, height: 180, sar: "1:1", lang: "und",
		args: []string{"-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "eac3", "-ac", "6"},
	},
	{
		name: "layer III", width: 320, height: 180, sar: "1:1", lang: "und",
		args: []string{"-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "libmp3lame", "-ac", "2"},
	},
}

var picturesAndSound = []string{"-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=2", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=2"}

func TestWhatGoesInComesOutOfFFmpegFrameByFrame(t *testing.T) {
	for i, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			original, tracks := source(t, slices.Concat(picturesAndSound, c.args)...)
			if len(tracks) != 2 {
				t.Fatalf("%d tracks", len(tracks))
			}
			video, audio := tracks[0], tracks[1]
			if i == 0 && !slices.ContainsFunc(video.samples, func(s cmaf.Sample) bool { return s.Offset < 0 }) {
				t.Error("no sample of the source is shown before it is decoded")
			}
			for _, decoded := range []bool{false, true} {
				sameFrames(t, original, "0", video.file(t, video.segments()), decoded)
				sameFrames(t, original, "1", audio.file(t, audio.segments()), decoded)
			}
			v, a := probe(t, video.file(t, video.segments())), probe(t, audio.file(t, audio.segments()))
			if v.Width != c.width || v.Height != c.height || v.SAR != c.sar || v.TimeBase != fmt.Sprintf("1/%d", video.timescale) {
				t.Errorf("%+v", v)
			}
			if got := [3]string{v.ColorPrimaries, v.ColorTransfer, v.ColorSpace}; got != c.colour {
				t.Errorf("colour %q, want %q", got, c.colour)
			}
			if v.Tags["language"] != "und" || a.Tags["language"] != c.lang {
				t.Errorf("languages %q and %q, want und and %q", v.Tags["language"], a.Tags["language"], c.lang)
			}
			d, err := codec.Describe(audio.Track)
			if err != nil || fmt.Sprint(d.SampleRate) != a.SampleRate || d.Channels != a.Channels {
				t.Errorf("%+v, described as %+v (%v)", a, d, err)
			}
		})
	}
}

func sameFrames(t *testing.T, original, track, ours string, decoded bool) {
	t.Helper()
	want, err := hashes(original, track, decoded)
	if err != nil || len(want) < 40 {
		t.Fatalf("%d frames of the source: %v", len(want), err)
	}
	if got, err := hashes(ours, "0", decoded); err != nil || !slices.Equal(got, want) {
		t.Errorf("track %s, decoded %v: %d frames of %d, or others (%v)", track, decoded, len(got), len(want), err)
	}
}

// TestTheOracleNoticesWhatIsWrong: what the tests above compare would have told each of the five.
func TestTheOracleNoticesWhatIsWrong(t *testing.T) {
	original, tracks := source(t, slices.Concat(picturesAndSound, tests[0].args)...)
	want, err := hashes(original, "1", false)
	if err != nil {
		t.Fatal(err)
	}
	sound := tracks[1]
	for name, wrong := range map[string]func(s [][]byte) [][]byte{
		"one deleted":    func(s [][]byte) [][]byte { return slices.Delete(s, 1, 2) },
		"two swapped":    func(s [][]byte) [][]byte { s[0], s[1] = s[1], s[0]; return s },
		"one duplicated": func(s [][]byte) [][]byte { return slices.Insert(s, 1, s[1]) },
		"a bit flipped":  func(s [][]byte) [][]byte { s[1][len(s[1])-100] ^= 1; return s },
		"a tick later":   func(s [][]byte) [][]byte { s[1][bytes.Index(s[1], []byte("tfdt"))+15]++; return s },
	} {
		if got, err := hashes(sound.file(t, wrong(sound.segments())), "0", false); err == nil && slices.Equal(got, want) {
			t.Errorf("%s, and the hashes are equal", name)
		}
	}
	if got, err := hashes(sound.file(t, sound.segments()), "0", false); err != nil || !slices.Equal(got, want) {
		t.Errorf("nothing wrong, and the hashes differ: %v", err)
	}
}

type stream struct {
	Width, Height  int
	SAR            string `json:"sample_aspect_ratio"`
	ColorSpace     string `json:"color_space"`
	ColorTransfer  string `json:"color_transfer"`
	ColorPrimaries string `json:"color_primaries"`
	SampleRate     string `json:"sample_rate"`
	Channels       int
	TimeBase       string `json:"time_base"`
	Tags           map[string]string
}

func probe(t *testing.T, path string) stream {
	t.Helper()
	var answer struct{ Streams []stream }
	out, err := run("ffprobe", "-v", "error", "-of", "json", "-show_streams", path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil || len(answer.Streams) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	return answer.Streams[0]
}

// TestRealFeedsPlayFromOurSegments: B-frames, sound beside pictures, several slices a picture.
func TestRealFeedsPlayFromOurSegments(t *testing.T) {
	for name, maps := range map[string][]string{
		"bframes-720p25.ts":      {"-map", "0:v"},
		"avsync-h264-aac-30s.ts": {"-map", "0:v", "-map", "0:a", "-bsf:a", "aac_adtstoasc"},
		"scte35-x264-20s.ts":     {"-map", "0:v", "-map", "0:a", "-bsf:a", "aac_adtstoasc"},
		"ac3-muxed-576-0.ts":     {"-map", "0:v"},
	} {
		t.Run(name, func(t *testing.T) {
			original, tracks := source(t, slices.Concat([]string{"-t", "4", "-i", feed(t, name)}, maps, []string{"-c", "copy"})...)
			if len(tracks) != strings.Count(strings.Join(maps, " "), "-map") {
				t.Fatalf("%d tracks", len(tracks))
			}
			for i, tr := range tracks {
				sameFrames(t, original, fmt.Sprint(i), tr.file(t, tr.segments()), false)
			}
		})
	}
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
