package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// playSeconds is how long each player plays; FLAMBEAU_TEST_PLAY_SECONDS asks for more.
func playSeconds() int {
	if n, err := strconv.Atoi(os.Getenv("FLAMBEAU_TEST_PLAY_SECONDS")); err == nil {
		return n
	}
	return 20
}

// TestDemoPlays starts the demo and plays it in a browser with three players, one after the other, and asks ffprobe.
func TestDemoPlays(t *testing.T) {
	began := time.Now()
	r := start(t, "demo", "--data", filepath.Join(t.TempDir(), "data"))
	if said := r.stdout.find(t, `HLS\s+(\S+)`, 10*time.Second); !strings.HasPrefix(said[1], r.media) {
		t.Errorf("it prints %s, and listens on %s", said[1], r.media)
	}
	get(t, r.media+"/live/demo/index.m3u8", 10*time.Second)
	get(t, r.media+"/live/demo/manifest.mpd", 10*time.Second)
	t.Logf("HLS and DASH answer %v after the start", time.Since(began).Round(time.Millisecond))
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v until HLS and DASH answer", took)
	}
	probed(t, r.media+"/live/demo/index.m3u8", "HLS")
	probed(t, r.media+"/live/demo/manifest.mpd", "DASH")
	for _, p := range []struct{ player, manifest string }{{"hls", "index.m3u8"}, {"dash", "manifest.mpd"}, {"shaka", "manifest.mpd"}, {"shaka", "index.m3u8"}} {
		t.Run(p.player+"_"+p.manifest, func(t *testing.T) {
			plays(t, p.player, r.media+"/live/demo/"+p.manifest, func(s seen) (wrong []string) {
				if s.Width != 640 || s.Audio == 0 || s.Frames < 20*(playSeconds()-5) {
					wrong = append(wrong, fmt.Sprintf("%d frames of %dx%d, %d bytes of sound", s.Frames, s.Width, s.Height, s.Audio))
				}
				if langs := strings.Join(slices.Sorted(slices.Values(s.Tracks)), " "); langs != "en fr" {
					wrong = append(wrong, fmt.Sprintf("it sees the languages %q", langs))
				}
				return wrong
			})
		})
	}
	metrics := string(get(t, r.metrics+"/metrics", time.Second))
	for _, want := range []string{`flambeau_ingest_up{channel="demo"} 1`, `flambeau_segments_total{channel="demo",rendition="v360",result="stored"}`, `flambeau_build_info{`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics has no %s", want)
		}
	}
	if took := r.stop(); took > 5*time.Second {
		t.Errorf("it took %v to stop", took)
	}
}

// probed asks ffprobe what it sees: one picture, two sounds, and their languages.
func probed(t *testing.T, url, protocol string) {
	t.Helper()
	out := tool(t, 30*time.Second, "ffprobe", "-v", "error", "-show_entries", "stream=codec_type,codec_name:stream_tags=language", "-of", "json", url)
	var seen struct {
		Streams []struct {
			Kind  string            `json:"codec_type"`
			Codec string            `json:"codec_name"`
			Tags  map[string]string `json:"tags"`
		} `json:"streams"`
	}
	if err := json.Unmarshal([]byte(out), &seen); err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, s := range seen.Streams {
		said = append(said, strings.TrimSpace(s.Kind+" "+s.Codec+" "+s.Tags["language"]))
	}
	slices.Sort(said)
	// ffprobe reads HLS languages off EXT-X-MEDIA; off DASH it passes @lang on as it stands there too.
	want := []string{"audio aac en", "audio aac fr", "video h264"}
	for i := range said {
		said[i] = strings.TrimSuffix(said[i], " und")
	}
	if !slices.Equal(said, want) {
		t.Errorf("%s: ffprobe sees %q, want %q", protocol, said, want)
	}
}

// seen is what the page in testdata/players posts.
type seen struct {
	Player     string   `json:"player"`
	FirstFrame int      `json:"first_frame_ms"`
	Played     float64  `json:"played_s"`
	Frames     int      `json:"frames"`
	Dropped    int      `json:"dropped"`
	Stalls     [][2]int `json:"stalls"`
	Errors     []string `json:"errors"`
	Tracks     []string `json:"tracks"`
	Sizes      []string `json:"sizes"` // of the picture, one after the other
	Width      int      `json:"width"`
	Height     int      `json:"height"`
	Audio      int      `json:"audio_bytes"`
	Shot       string   `json:"shot"`
}

var playerScripts = map[string]string{
	"hls":   "hls.js/dist/hls.min.js",
	"dash":  "dashjs/dist/modern/umd/dash.all.min.js",
	"shaka": "shaka-player/dist/shaka-player.compiled.js",
}

// plays holds that a player plays a URL from beginning to end without error or stall, and whatever else is asked of it. A browser on a busy
// machine stalls now and then by itself, so it has two tries; what is wrong with the stream is wrong in both.
func plays(t *testing.T, player, address string, also func(seen) []string) {
	t.Helper()
	for try := 1; ; try++ {
		s := playInBrowser(t, player, address)
		wrong := also(s)
		if len(s.Errors) > 0 || len(s.Stalls) > 0 || s.Played < float64(playSeconds())-5 {
			wrong = append(wrong, fmt.Sprintf("errors %v, stalls %v, %.1f s played", s.Errors, s.Stalls, s.Played))
		}
		if len(wrong) == 0 {
			return
		}
		if try == 2 {
			t.Fatal(strings.Join(wrong, "; "))
		}
		t.Logf("once more: %s", strings.Join(wrong, "; "))
	}
}

// playInBrowser plays a URL in headless Chromium and returns what the page saw.
func playInBrowser(t *testing.T, player, address string) seen {
	t.Helper()
	dir := "../../testdata/players"
	script := filepath.Join(dir, "node_modules", playerScripts[player])
	if _, err := os.Stat(script); err != nil {
		t.Fatalf("%v: make test installs the players (npm ci in testdata/players)", err)
	}
	results := make(chan seen, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, filepath.Join(dir, "page.html")) })
	mux.HandleFunc("GET /player.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, script) })
	mux.HandleFunc("POST /result", func(w http.ResponseWriter, r *http.Request) {
		var s seen
		b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 16<<20))
		if err == nil {
			err = json.Unmarshal(b, &s)
		}
		if err != nil {
			s.Errors = append(s.Errors, err.Error())
		}
		results <- s
	})
	page := httptest.NewServer(mux)
	defer page.Close()

	seconds := playSeconds()
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(seconds+40)*time.Second)
	defer cancel()
	q := url.Values{"player": {player}, "url": {address}, "seconds": {fmt.Sprint(seconds)}}
	browser := exec.CommandContext(ctx, "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--mute-audio",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required", "--user-data-dir="+t.TempDir(), page.URL+"/?"+q.Encode())
	// Its own process group: a browser is many processes, and all of them end with the test.
	browser.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	browser.Cancel = func() error { return syscall.Kill(-browser.Process.Pid, syscall.SIGKILL) }
	browser.WaitDelay = 5 * time.Second
	if err := browser.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		browser.Wait()
	}()
	select {
	case s := <-results:
		s.keepShot(t)
		t.Logf("%s: first frame after %d ms, %.1f s played, %d frames, %d dropped, stalls %v", player, s.FirstFrame, s.Played, s.Frames, s.Dropped, s.Stalls)
		return s
	case <-ctx.Done():
		t.Fatal("the page has posted no result")
	}
	return seen{}
}

// keepShot writes the last frame where FLAMBEAU_TEST_SHOTS says.
func (s seen) keepShot(t *testing.T) {
	t.Helper()
	dir := os.Getenv("FLAMBEAU_TEST_SHOTS")
	data, ok := strings.CutPrefix(s.Shot, "data:image/png;base64,")
	if dir == "" || !ok {
		return
	}
	png, err := base64.StdEncoding.DecodeString(data)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, strings.ReplaceAll(t.Name(), "/", "_")+".png"), png, 0o644)
	}
	if err != nil {
		t.Error(err)
	}
}

// TestPlayersCrossAJumpAndAnotherResolution: a feed that switches every 12 s between two sources, with another clock and another picture
// size each, plays on in every player without a reload.
func TestPlayersCrossAJumpAndAnotherResolution(t *testing.T) {
	dir := t.TempDir()
	var feed []byte
	for i, size := range []string{"640x360", "1280x720"} {
		half := filepath.Join(dir, size+".ts")
		tool(t, time.Minute, "ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size="+size+":rate=25", "-f", "lavfi", "-i", "sine=sample_rate=48000", "-t", "12",
			"-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-keyint_min", "50", "-sc_threshold", "0", "-pix_fmt", "yuv420p", "-c:a", "aac",
			"-output_ts_offset", strconv.Itoa(10+5000*i), "-f", "mpegts", half)
		b, err := os.ReadFile(half)
		if err != nil {
			t.Fatal(err)
		}
		feed = append(feed, b...)
	}
	source := filepath.Join(dir, "feed.ts")
	if err := os.WriteFile(source, feed, 0o644); err != nil {
		t.Fatal(err)
	}
	file := configure(t, filepath.Join(dir, "store"), "file://"+source+"?loop=1&ahead=8s")
	r := start(t, "serve", "-c", file)
	get(t, r.media+"/live/c/v360/index.m3u8", 10*time.Second)
	for _, p := range []struct{ player, manifest string }{{"hls", "index.m3u8"}, {"dash", "manifest.mpd"}, {"shaka", "manifest.mpd"}} {
		t.Run(p.player, func(t *testing.T) {
			plays(t, p.player, r.media+"/live/c/"+p.manifest, func(s seen) (wrong []string) {
				if len(s.Sizes) < 2 {
					wrong = append(wrong, fmt.Sprintf("it has seen the sizes %v", s.Sizes))
				}
				return wrong
			})
		})
	}
	playlist := string(get(t, r.media+"/live/c/v360/index.m3u8", time.Second))
	sequence, borders := 0, strings.Count(playlist, "#EXT-X-DISCONTINUITY\n")
	fmt.Sscanf(playlist[strings.Index(playlist, "#EXT-X-DISCONTINUITY-SEQUENCE:"):], "#EXT-X-DISCONTINUITY-SEQUENCE:%d", &sequence)
	if mpd := string(get(t, r.media+"/live/c/manifest.mpd", time.Second)); borders < 3 || strings.Count(mpd, "<Period ") != borders+1 {
		t.Errorf("%d discontinuities, %d Periods", borders, strings.Count(mpd, "<Period "))
	}
	r.stop()
	if out := tool(t, time.Minute, binary(t), "verify", "c", "-c", file); !strings.Contains(out, " 0 findings") || !strings.Contains(out, fmt.Sprintf(": %d generations", sequence+borders+1)) {
		t.Errorf("verify, %d discontinuities: %s", sequence+borders, out)
	}
}
