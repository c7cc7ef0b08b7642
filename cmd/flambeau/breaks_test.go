package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"flambeau/packager/timeline"
)

// breaking is what happens to a feed, and what becomes of it.
type breaking struct {
	name   string
	speed  int
	feed   func(t *testing.T) []byte
	breaks int // discontinuities
	// seconds of pictures that come out, of each half
	seconds   []int
	dependent int // slots without key frame
}

var breaks = []breaking{
	{"wrap", 4, func(t *testing.T) []byte { return small(t, "320x180", 16, wrapAt-7) }, 0, []int{16}, 0},
	{"jump_by_an_hour", 4, func(t *testing.T) []byte {
		return slices.Concat(small(t, "320x180", 10, 100), small(t, "320x180", 10, 3710))
	}, 1, []int{10, 10}, 0},
	{"another_resolution", 4, func(t *testing.T) []byte {
		return slices.Concat(small(t, "320x180", 10, 100), small(t, "256x144", 10, 110))
	}, 1, []int{10, 10}, 0},
	{"a_minute_without_key_frames", 8, func(t *testing.T) []byte {
		return small(t, "320x180", 76, 100, "-g", "100000", "-force_key_frames", "0,2,4,6,8,70,72,74")
	}, 0, []int{76}, 30},
}

// small is a feed of so few bits that a receive buffer of the usual size holds it for a while, sent faster than it is played.
func small(t *testing.T, size string, seconds int, zero float64, more ...string) []byte {
	t.Helper()
	return encode(t, size, seconds, zero, append(more, "-crf", "40")...)
}

// TestABreakIsOneDiscontinuityAndBothHalvesDecode sends feeds in which the clock or the picture changes, or no key frame comes, to the
// process, and holds what it lists.
func TestABreakIsOneDiscontinuityAndBothHalvesDecode(t *testing.T) {
	for _, b := range breaks {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			a := air{ts: b.feed(t), port: freeUDP(t), speed: b.speed}
			store := t.TempDir()
			file := configure(t, store, fmt.Sprintf("udp://127.0.0.1:%d", a.port))
			r := start(t, "serve", "-c", file)
			r.log.find(t, "feed lost", 15*time.Second) // nothing came: it is bound
			if err := a.send(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.log.find(t, "was_up=true", 15*time.Second)
			wait(time.Second) // what was open is closed, and is there

			for _, id := range []string{"v180", "a-und"} {
				list := string(get(t, r.media+"/live/c/"+id+"/index.m3u8", 5*time.Second))
				if n := strings.Count(list, "#EXT-X-DISCONTINUITY\n"); n != b.breaks {
					t.Errorf("%s: %d discontinuities, want %d:\n%s", id, n, b.breaks, list)
				}
				if claims := strings.Contains(list, "#EXT-X-INDEPENDENT-SEGMENTS"); claims == (id == "v180" && b.dependent > 0) {
					t.Errorf("%s: independent segments are claimed: %v", id, claims)
				}
				if strings.Contains(list, "#EXT-X-GAP") {
					t.Errorf("%s: it has gaps:\n%s", id, list)
				}
				halves := fetchHalves(t, r.media+"/live/c/"+id+"/", list)
				if len(halves) != len(b.seconds) {
					t.Fatalf("%s: %d initialization segments, want %d", id, len(halves), len(b.seconds))
				}
				for i, half := range halves {
					frames, said := decode(t, half)
					if said != "" {
						t.Errorf("%s, half %d: ffmpeg says %s", id, i, said)
					}
					if id == "v180" && frames != 25*b.seconds[i] {
						t.Errorf("half %d: %d pictures come out, want %d", i, frames, 25*b.seconds[i])
					}
				}
				if id == "v180" {
					damaged := slices.Clone(halves[0])
					clear(damaged[len(damaged)/2:][:4000])
					if frames, said := decode(t, damaged); said == "" && frames == 25*b.seconds[0] {
						t.Error("ffmpeg decodes what is damaged on purpose: the comparison is void")
					}
				}
			}
			if periods := strings.Count(string(get(t, r.media+"/live/c/manifest.mpd", time.Second)), "<Period "); periods != b.breaks+1 {
				t.Errorf("%d Periods, want %d", periods, b.breaks+1)
			}
			r.stop()
			if n := dependents(t, store); n != b.dependent {
				t.Errorf("%d slots are flagged as dependent, want %d", n, b.dependent)
			}
			if out := tool(t, time.Minute, binary(t), "verify", "c", "-c", file); !strings.Contains(out, " 0 findings") || !strings.Contains(out, fmt.Sprintf(": %d generations", b.breaks+1)) {
				t.Errorf("verify: %s", out)
			}
		})
	}
}

// fetchHalves pulls what a playlist lists: one file for each initialization segment.
func fetchHalves(t *testing.T, at, list string) (halves [][]byte) {
	t.Helper()
	for line := range strings.Lines(list) {
		line = strings.TrimSpace(line)
		if m := regexp.MustCompile(`#EXT-X-MAP:URI="([^"]+)"`).FindStringSubmatch(line); m != nil {
			halves = append(halves, get(t, at+m[1], 5*time.Second))
		}
		if line != "" && !strings.HasPrefix(line, "#") {
			halves[len(halves)-1] = append(halves[len(halves)-1], get(t, at+line, 5*time.Second)...)
		}
	}
	return halves
}

// decode has ffmpeg decode a file. It tells how many frames came out, and what ffmpeg had to say against it.
func decode(t *testing.T, mp4 []byte) (frames int, said string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "half.mp4")
	if err := os.WriteFile(file, mp4, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-err_detect", "explode", "-i", file, "-fps_mode", "passthrough", "-f", "framehash", "-")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil && stderr.Len() == 0 {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "#") {
			frames++
		}
	}
	return frames, strings.TrimSpace(stderr.String())
}

// dependents counts the slots that the root lists as beginning without a key frame.
func dependents(t *testing.T, store string) (n int) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(store, timeline.RootKey("c", "a")))
	if err != nil {
		t.Fatal(err)
	}
	x, err := timeline.DecodeIndex(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range x.Rows {
		if r.Flags.Has(timeline.Dependent) {
			n++
		}
	}
	return n
}
