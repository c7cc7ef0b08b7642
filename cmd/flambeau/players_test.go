package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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

// seen is what the page in testdata/players posts.
type seen struct {
	Player     string   `json:"player"`
	FirstFrame int      `json:"first_frame_ms"`
	Played     float64  `json:"played_s"`
	Frames     int      `json:"frames"`
	Dropped    int      `json:"dropped"`
	Stalls     []stall  `json:"stalls"`
	Errors     []string `json:"errors"`
	Fatal      []string `json:"fatal"`    // those of them after which a player does not go on by itself
	Behind     float64  `json:"behind_s"` // behind the edge that the player knows, at the end
	Trail      []trace  `json:"trail"`    // twice a second
	Tracks     []string `json:"tracks"`
	Sizes      []string `json:"sizes"` // of the picture, one after the other
	Width      int      `json:"width"`
	Height     int      `json:"height"`
	Audio      int      `json:"audio_bytes"`
	Shot       string   `json:"shot"`
}

// stall is a time in which the playhead stood still.
type stall struct {
	At  int64 `json:"at"` // Unix milliseconds
	For int   `json:"ms"`
}

func (s stall) String() string {
	return fmt.Sprintf("%v at %s", time.Duration(s.For)*time.Millisecond, time.UnixMilli(s.At).Format("05.0"))
}

// trace is where a player was.
type trace struct {
	At     int64   `json:"at"`    // Unix milliseconds
	Shown  float64 `json:"shown"` // media time of the picture, Unix seconds
	Ahead  float64 `json:"ahead"` // seconds that are buffered in front of it
	Frames int     `json:"frames"`
	Height int     `json:"height"` // of the picture
}

// frames is how many pictures of a stretch of media time were shown.
func (s seen) frames(from, to float64) (n int) {
	for i, p := range s.Trail {
		if i > 0 && s.Trail[i-1].Shown >= from && p.Shown <= to && p.Shown > s.Trail[i-1].Shown {
			n += p.Frames - s.Trail[i-1].Frames
		}
	}
	return n
}

var playerScripts = map[string]string{
	"hls":   "hls.js/dist/hls.min.js",
	"dash":  "dashjs/dist/modern/umd/dash.all.min.js",
	"shaka": "shaka-player/dist/shaka-player.compiled.js",
}

// browserTries is how often a browser may begin again: on a busy machine it stalls now and then by itself. What is wrong with the stream is wrong in
// all of them.
const browserTries = 4

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
		if try == browserTries {
			t.Fatal(strings.Join(wrong, "; "))
		}
		t.Logf("once more: %s", strings.Join(wrong, "; "))
	}
}

// playInBrowser plays a URL for playSeconds and returns what the page saw.
func playInBrowser(t *testing.T, player, address string) seen {
	t.Helper()
	v := openPlayer(t, player, address)
	v.play()
	wait(time.Duration(playSeconds()) * time.Second)
	return v.close()
}

// viewer is a player in headless Chromium.
type viewer struct {
	t       *testing.T
	player  string
	now     atomic.Value  // what the page is told to do: wait, play, enough
	there   chan struct{} // closed when the page is
	results chan seen
	stop    func()
}

const (
	// browserStarts is what a browser may take until its page is there, and pageEnds what the page may take to post what it saw.
	browserStarts = time.Minute
	pageEnds      = 20 * time.Second
)

// openPlayer starts a browser; the page waits until it is told to play.
func openPlayer(t *testing.T, player, address string) *viewer {
	t.Helper()
	dir := "../../testdata/players"
	script := filepath.Join(dir, "node_modules", playerScripts[player])
	if _, err := os.Stat(script); err != nil {
		t.Fatalf("%v: make test installs the players (npm ci in testdata/players)", err)
	}
	v := &viewer{t: t, player: player, there: make(chan struct{}), results: make(chan seen, 1)}
	v.now.Store("wait")
	arrived := sync.OnceFunc(func() { close(v.there) })
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, filepath.Join(dir, "page.html")) })
	mux.HandleFunc("GET /player.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, script) })
	mux.HandleFunc("GET /now", func(w http.ResponseWriter, r *http.Request) {
		arrived()
		io.WriteString(w, v.now.Load().(string))
	})
	mux.HandleFunc("POST /result", func(w http.ResponseWriter, r *http.Request) {
		var s seen
		b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 16<<20))
		if err == nil {
			err = json.Unmarshal(b, &s)
		}
		if err != nil {
			s.Errors = append(s.Errors, err.Error())
		}
		v.results <- s
	})
	page := httptest.NewServer(mux)

	ctx, cancel := context.WithCancel(t.Context())
	q := url.Values{"player": {player}, "url": {address}}
	browser := exec.CommandContext(ctx, "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--mute-audio",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required", "--user-data-dir="+t.TempDir(), page.URL+"/?"+q.Encode())
	// Its own process group: a browser is many processes, and all of them end with the test.
	browser.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	browser.Cancel = func() error { return syscall.Kill(-browser.Process.Pid, syscall.SIGKILL) }
	browser.WaitDelay = 5 * time.Second
	if err := browser.Start(); err != nil {
		t.Fatal(err)
	}
	v.stop = sync.OnceFunc(func() {
		cancel()
		browser.Wait()
		page.Close()
	})
	t.Cleanup(v.stop)
	return v
}

// ready waits until the page is there.
func (v *viewer) ready() {
	v.t.Helper()
	select {
	case <-v.there:
	case <-time.After(browserStarts):
		v.t.Fatalf("%s: the browser has not opened the page", v.player)
	}
}

// play begins to play.
func (v *viewer) play() {
	v.t.Helper()
	v.ready()
	v.now.Store("play")
}

// close ends playing and returns what the page saw.
func (v *viewer) close() seen {
	v.t.Helper()
	defer v.stop()
	v.now.Store("enough")
	select {
	case s := <-v.results:
		s.keep(v.t)
		v.t.Logf("%s: first frame after %d ms, %.1f s played, %d frames, %d dropped, stalls %v", v.player, s.FirstFrame, s.Played, s.Frames, s.Dropped, s.Stalls)
		return s
	case <-time.After(pageEnds):
		v.t.Fatalf("%s: the page has posted no result", v.player)
	}
	return seen{}
}

// keep writes the last frame, and what was seen, where FLAMBEAU_TEST_SHOTS says.
func (s seen) keep(t *testing.T) {
	t.Helper()
	dir := os.Getenv("FLAMBEAU_TEST_SHOTS")
	data, ok := strings.CutPrefix(s.Shot, "data:image/png;base64,")
	if dir == "" || !ok {
		return
	}
	png, err := base64.StdEncoding.DecodeString(data)
	s.Shot = ""
	text, _ := json.Marshal(s)
	name := filepath.Join(dir, strings.ReplaceAll(t.Name(), "/", "_")+"_"+s.Player)
	if err := errors.Join(err, os.WriteFile(name+".png", png, 0o644), os.WriteFile(name+".json", text, 0o644)); err != nil {
		t.Error(err)
	}
}
