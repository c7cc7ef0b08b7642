package main

import (
	"encoding/xml"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"flambeau/packager/timeline"
)

// feedCase is a feed that ffmpeg sends, and what a whole number of its frames must come out as.
type feedCase struct {
	name  string
	video []string // encoder's arguments
	rate  string
	audio []string // encoders' arguments
	units string   // filters for the picture's frames, where it is not H.264
}

var feedCases = []feedCase{
	{"25fps_gop_2s", []string{"-g", "50", "-keyint_min", "50", "-sc_threshold", "0", "-bf", "0"}, "25", nil, ""},
	{"29.97fps_gop_37_two_b_frames", []string{"-g", "37", "-keyint_min", "37", "-sc_threshold", "0", "-bf", "2"}, "30000/1001", nil, ""},
	{"25fps_default_key_frames", nil, "25", nil, ""},
	{"25fps_h265_10_bits_open_gop_ac3_eac3", []string{"-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-x265-params", "log-level=none:keyint=48:min-keyint=48:scenecut=0:open-gop=1:bframes=3:colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc"},
		"25", []string{"-c:a:0", "ac3", "-c:a:1", "eac3"}, "hevc_mp4toannexb,filter_units=remove_types=32|33|34|35|36|37|38"},
}

// streams of every feed: how ffmpeg calls them, and what of them has no place in a CMAF sample (parameter sets, delimiters, filler).
var streams = []struct{ pick, filter string }{
	{"v:0", "h264_mp4toannexb,filter_units=remove_types=7|8|9|10|11|12"},
	{"a:0", ""},
	{"a:1", ""},
}

// TestFramesOverUDPComeOutOfHLSAndDASH sends 20 s of a pattern with two sounds, and holds every frame that both protocols deliver
// against the source, by ffmpeg's hashes; then does the same to what is broken on purpose.
func TestFramesOverUDPComeOutOfHLSAndDASH(t *testing.T) {
	for _, c := range feedCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			frames(t, c, home{url: "file://" + t.TempDir()})
		})
	}
}

// home is a store, and what a process needs in its environment to come in.
type home struct {
	url     string
	environ []string
}

// frames sends a feed through a process and its store, and holds what comes out against what went in. It gives the process's metrics.
func frames(t *testing.T, c feedCase, store home) (metrics string) {
	t.Helper()
	source := makeFeed(t, c)
	filters := [3]string{streams[0].filter}
	if c.units != "" {
		filters[0] = c.units
	}
	want := sourceHashes(t, source, filters[0])
	port := freeUDP(t)
	file := configure(t, store.url, fmt.Sprintf("udp://127.0.0.1:%d", port))
	r := startIn(t, store.environ, "serve", "-c", file)
	send(t, source, port)
	// The feed goes silent; what was open is closed, and is there.
	r.log.find(t, "reason=silent|feed lost|media.End|silence", 15*time.Second)
	wait(time.Second)

	hls, dash := fetchHLS(t, r.media), fetchDASH(t, r.media)
	for _, id := range slices.Sorted(maps.Keys(hls)) {
		if !slices.Equal(hls[id].names, dash[id].names) {
			t.Errorf("%s: HLS and DASH name other objects:\n%v\n%v", id, hls[id].names, dash[id].names)
		}
	}
	for i, id := range []string{"v360", "a-en", "a-fr"} {
		for protocol, fetched := range map[string]map[string]fetched{"HLS": hls, "DASH": dash} {
			got := fetched[id].hashes(t, filters[i])
			if !slices.Equal(got, want[i]) {
				t.Errorf("%s %s: %s", protocol, id, differ(got, want[i]))
			}
		}
		negatives(t, id, hls[id], filters[i], want[i])
	}
	same := startIn(t, store.environ, "serve", "-c", file, "--role", "origin")
	equalAnswers(t, r, same, hls)
	same.stop()
	metrics = string(get(t, r.metrics+"/metrics", 5*time.Second))
	if took := r.stop(); took > 5*time.Second {
		t.Errorf("it took %v to stop", took)
	}
	if out := toolIn(t, store.environ, time.Minute, binary(t), "verify", "c", "-c", file); !strings.Contains(out, " 0 findings") {
		t.Errorf("verify: %s", out)
	}
	return metrics
}

func makeFeed(t *testing.T, c feedCase) string {
	t.Helper()
	return makeFeedOf(t, c, 20)
}

func makeFeedOf(t *testing.T, c feedCase, seconds int) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "source.ts")
	args := []string{"-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=" + c.rate, "-f", "lavfi", "-itsoffset", "0.3", "-i", "sine=frequency=440:sample_rate=48000",
		"-f", "lavfi", "-itsoffset", "0.3", "-i", "sine=frequency=660:sample_rate=48000", "-map", "0", "-map", "1", "-map", "2", "-t", strconv.Itoa(seconds), "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-b:v", "800k"}
	args = append(args, c.video...)
	args = append(append(args, "-c:a", "aac", "-b:a", "64k", "-ac", "2"), c.audio...)
	args = append(args, "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=fre", "-f", "mpegts", out)
	tool(t, time.Minute, "ffmpeg", args...)
	return out
}

// sourceHashes are the hashes of each stream's frames, in order, by ffmpeg. The feed goes through MP4 on its way, as ours does.
func sourceHashes(t *testing.T, source, units string) (want [3][]string) {
	t.Helper()
	mp4 := filepath.Join(t.TempDir(), "source.mp4")
	tool(t, time.Minute, "ffmpeg", "-v", "error", "-y", "-i", source, "-map", "0", "-c", "copy", mp4)
	for i, s := range streams {
		filter := s.filter
		if i == 0 {
			filter = units
		}
		want[i] = frameHashes(t, mp4, s.pick, filter)
		if len(want[i]) < 100 {
			t.Fatalf("the source has %d frames of %s", len(want[i]), s.pick)
		}
	}
	return want
}

// frameHashes asks ffmpeg for the SHA-256 of every packet of a stream.
func frameHashes(t *testing.T, file, pick, filter string) (hashes []string) {
	t.Helper()
	args := []string{"-v", "error", "-i", file, "-map", "0:" + pick, "-c", "copy"}
	if filter != "" {
		args = append(args, "-bsf:v", filter)
	}
	for line := range strings.Lines(tool(t, time.Minute, "ffmpeg", append(args, "-f", "framehash", "-hash", "sha256", "-")...)) {
		if f := strings.Split(strings.TrimSpace(line), ","); len(f) >= 6 {
			hashes = append(hashes, strings.TrimSpace(f[5]))
		}
	}
	return hashes
}

func freeUDP(t *testing.T) int {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port
}

func freeTCP(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func send(t *testing.T, source string, port int) {
	t.Helper()
	tool(t, time.Minute, "ffmpeg", "-v", "error", "-re", "-i", source, "-map", "0", "-c", "copy", "-f", "mpegts", fmt.Sprintf("udp://127.0.0.1:%d?pkt_size=1316", port))
}

// fetched is a rendition as a protocol delivered it: its objects in order.
type fetched struct {
	names  []string // below the rendition's folder
	init   []byte
	bodies [][]byte
}

// hashes writes the objects to a file and asks ffmpeg.
func (f fetched) hashes(t *testing.T, filter string) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "fetched.mp4")
	if err := os.WriteFile(file, slices.Concat(append([][]byte{f.init}, f.bodies...)...), 0o644); err != nil {
		t.Fatal(err)
	}
	return frameHashes(t, file, "0", filter)
}

// fetchHLS pulls what the playlists name, as a player does.
func fetchHLS(t *testing.T, media string) map[string]fetched {
	t.Helper()
	master := string(get(t, media+"/live/c/index.m3u8", 5*time.Second))
	out := map[string]fetched{}
	for _, m := range regexp.MustCompile(`([a-z0-9-]+)/index\.m3u8`).FindAllStringSubmatch(master, -1) {
		id, at := m[1], media+"/live/c/"+m[1]+"/"
		var f fetched
		gap := false
		for line := range strings.Lines(string(get(t, at+"index.m3u8", 5*time.Second))) {
			line = strings.TrimSpace(line)
			gap = gap || line == "#EXT-X-GAP"
			if m := regexp.MustCompile(`#EXT-X-MAP:URI="([^"]+)"`).FindStringSubmatch(line); m != nil {
				f.init = get(t, at+m[1], 5*time.Second)
			}
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			if !gap {
				f.names = append(f.names, line)
				f.bodies = append(f.bodies, get(t, at+line, 5*time.Second))
			}
			gap = false
		}
		out[id] = f
	}
	return out
}

// manifest is what of an MPD a player needs to find the objects.
type manifest struct {
	Periods []struct {
		Sets []struct {
			Representations []struct {
				ID       string `xml:"id,attr"`
				Template struct {
					Init  string `xml:"initialization,attr"`
					Media string `xml:"media,attr"`
					Start int64  `xml:"startNumber,attr"`
					S     []struct {
						R int `xml:"r,attr"`
					} `xml:"SegmentTimeline>S"`
				} `xml:"SegmentTemplate"`
			} `xml:"Representation"`
		} `xml:"AdaptationSet"`
	} `xml:"Period"`
}

func fetchDASH(t *testing.T, media string) map[string]fetched {
	t.Helper()
	var m manifest
	if err := xml.Unmarshal(get(t, media+"/live/c/manifest.mpd", 5*time.Second), &m); err != nil {
		t.Fatal(err)
	}
	out := map[string]fetched{}
	for _, p := range m.Periods {
		for _, set := range p.Sets {
			for _, r := range set.Representations {
				f := out[r.ID]
				f.init = get(t, media+"/live/c/"+r.Template.Init, 5*time.Second)
				number := r.Template.Start
				for _, s := range r.Template.S {
					for range s.R + 1 {
						path := strings.ReplaceAll(r.Template.Media, "$Number$", strconv.FormatInt(number, 10))
						f.names = append(f.names, strings.TrimPrefix(path, r.ID+"/"))
						f.bodies = append(f.bodies, get(t, media+"/live/c/"+path, 5*time.Second))
						number++
					}
				}
				out[r.ID] = f
			}
		}
	}
	return out
}

// negatives break what was fetched, and hold that the comparison above sees each.
func negatives(t *testing.T, id string, f fetched, filter string, want []string) {
	t.Helper()
	if len(f.bodies) < 2 {
		t.Errorf("%s: %d segments: nothing to break", id, len(f.bodies))
		return
	}
	last := len(f.bodies) - 1
	flipped := slices.Clone(f.bodies[1])
	flipped[len(flipped)/2] ^= 1
	for name, broken := range map[string][][]byte{
		"flipped bit": append([][]byte{f.bodies[0], flipped}, f.bodies[2:]...),
		"dropped":     f.bodies[:last],
		"swapped":     append([][]byte{f.bodies[1], f.bodies[0]}, f.bodies[2:]...),
		"duplicated":  append([][]byte{f.bodies[0]}, f.bodies...),
	} {
		file := filepath.Join(t.TempDir(), "broken.mp4")
		if err := os.WriteFile(file, slices.Concat(append([][]byte{f.init}, broken...)...), 0o644); err != nil {
			t.Fatal(err)
		}
		args := []string{"-v", "quiet", "-i", file, "-map", "0:0", "-c", "copy"}
		if filter != "" {
			args = append(args, "-bsf:v", filter)
		}
		out, err := exec.Command("ffmpeg", append(args, "-f", "framehash", "-hash", "sha256", "-")...).Output()
		var got []string
		for line := range strings.Lines(string(out)) {
			if f := strings.Split(strings.TrimSpace(line), ","); len(f) >= 6 {
				got = append(got, strings.TrimSpace(f[5]))
			}
		}
		if err == nil && slices.Equal(got, want) {
			t.Errorf("%s: a %s segment is not noticed: the comparison is void", id, name)
		}
	}
}

func differ(got, want []string) string {
	n := 0
	for n < len(got) && n < len(want) && got[n] == want[n] {
		n++
	}
	return fmt.Sprintf("%d frames, the source has %d; equal up to frame %d", len(got), len(want), n)
}

// equalAnswers asks two origins for every manifest and one object of each rendition.
func equalAnswers(t *testing.T, a, b *running, hls map[string]fetched) {
	t.Helper()
	paths := []string{"/live/c/index.m3u8", "/live/c/manifest.mpd", "/live/c/v360/iframes.m3u8"}
	for id, f := range hls {
		paths = append(paths, "/live/c/"+id+"/index.m3u8", "/live/c/"+id+"/"+f.names[0])
	}
	for _, path := range paths {
		x, y := get(t, a.media+path, 5*time.Second), get(t, b.media+path, 5*time.Second)
		if string(x) != string(y) {
			t.Errorf("%s: an origin apart answers other bytes:\n%s\n%s", path, x, y)
		}
	}
}

// TestWhatStartsBeforeTheFirstPictureIsNamedInALossRecord: where the sound begins before the first key frame, exactly those frames are
// missing, and the loss record says how many.
func TestWhatStartsBeforeTheFirstPictureIsNamedInALossRecord(t *testing.T) {
	t.Parallel()
	source := filepath.Join(t.TempDir(), "source.ts")
	tool(t, time.Minute, "ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-itsoffset", "0.5", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi", "-i", "sine=sample_rate=48000", "-t", "8",
		"-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-bf", "2", "-pix_fmt", "yuv420p", "-c:a", "aac", "-f", "mpegts", source)
	want := frameHashes(t, source, "a:0", "")
	store := t.TempDir()
	file := configure(t, store, "file://"+source+"?pace=off")
	r := start(t, "serve", "-c", file)
	r.log.find(t, "media lost", 10*time.Second)
	get(t, r.media+"/live/c/a-und/index.m3u8", 5*time.Second)
	r.stop()
	records, _ := filepath.Glob(filepath.Join(store, "c/loss/*"))
	frames := 0
	for _, name := range records {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		l, err := timeline.DecodeLoss(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range l.Entries {
			if e.Rendition == "a-und" && e.Reason == "before_first_cut" {
				frames += int(e.Frames)
			}
		}
	}
	again := start(t, "serve", "-c", file, "--role", "origin")
	got := fetchHLS(t, again.media)["a-und"].hashes(t, "")
	again.stop()
	n := min(len(want), frames)
	if frames == 0 || len(got) != len(want)-frames {
		t.Errorf("%d frames were sent, %d came out, the loss records name %d (of %d)", len(want), len(got), frames, n)
	}
}
