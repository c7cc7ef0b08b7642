package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// wayCase is a way in, and who sends on it: ffmpeg, to an URL of its own.
type wayCase struct {
	name  string
	input string   // lines of the configuration
	send  []string // where to
}

// TestEveryWayInGivesEveryFrameAndIsHeardAgain sends a pattern over each way in, kills who sends it, starts it again, and holds every
// frame that comes out of HLS against the source: those up to the kill, and all of the second time.
func TestEveryWayInGivesEveryFrameAndIsHeardAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("correct horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	source := makeFeedOf(t, feedCase{video: []string{"-g", "25", "-keyint_min", "25", "-sc_threshold", "0", "-bf", "2"}, rate: "25"}, 8)
	want := sourceHashes(t, source, streams[0].filter)
	srtPort, calledPort, httpAt := freeUDP(t), freeUDP(t), freeTCP(t)
	cases := []wayCase{
		{"srt-listener", fmt.Sprintf("{ url: 'srt://127.0.0.1:%d?mode=listener', secret_file: secret }", srtPort),
			[]string{fmt.Sprintf("srt://127.0.0.1:%d?passphrase=correct+horse&pkt_size=1316&linger=1", srtPort)}},
		{"srt-caller", fmt.Sprintf("{ url: 'srt://127.0.0.1:%d?passphrase=correct+horse' }", calledPort),
			[]string{fmt.Sprintf("srt://127.0.0.1:%d?mode=listener&passphrase=correct+horse&pkt_size=1316&linger=1", calledPort)}},
		{"http", fmt.Sprintf("{ url: 'http://%s/feed.ts' }", httpAt), []string{"-listen", "1", "http://" + httpAt + "/feed.ts"}},
	}
	r := start(t, "serve", "-c", configureWays(t, dir, cases))
	var sending sync.WaitGroup
	for _, c := range cases {
		sending.Go(func() { sendTwice(t, r, c, source) })
	}
	sending.Wait()
	wait(4 * time.Second) // the feeds go silent, or end; what was open is closed, and is there
	for _, c := range cases {
		for i, id := range []string{"v360", "a-en", "a-fr"} {
			twice(t, c.name+" "+id, fetchGenerations(t, r.media+"/live/"+c.name+"/"+id+"/"), streams[i].filter, want[i])
		}
		if said := r.log.String(); strings.Contains(said, "horse") {
			t.Errorf("%s: the log tells the passphrase", c.name)
		}
	}
	r.stop()
}

// configureWays writes a configuration of a channel a way.
func configureWays(t *testing.T, dir string, cases []wayCase) string {
	t.Helper()
	text := "worker: a\nstore: file://" + t.TempDir() + "\ndefaults: { segment: 2s }\nchannels:\n"
	for _, c := range cases {
		text += fmt.Sprintf("  - { id: %s, inputs: [ %s ] }\n", c.name, c.input)
	}
	file := filepath.Join(dir, "flambeau.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// sendTwice sends, is killed once it has been heard for a while, and sends again, to the end.
func sendTwice(t *testing.T, r *running, c wayCase, source string) {
	args := append([]string{"-v", "error", "-re", "-i", source, "-map", "0", "-c", "copy", "-f", "mpegts"}, c.send...)
	first := exec.CommandContext(t.Context(), "ffmpeg", args...)
	if err := first.Start(); err != nil {
		t.Error(err)
		return
	}
	for deadline := time.Now().Add(15 * time.Second); !strings.Contains(r.log.String(), `msg="feed up" channel=`+c.name+" ") && time.Now().Before(deadline); {
		wait(100 * time.Millisecond)
	}
	wait(4 * time.Second)
	_ = first.Process.Kill()
	_ = first.Wait()
	wait(time.Second)
	if out, err := exec.CommandContext(t.Context(), "ffmpeg", args...).CombinedOutput(); err != nil {
		t.Errorf("%s: ffmpeg: %v: %s", c.name, err, out)
	}
}

// fetchGenerations pulls what a playlist lists, but for its gaps: what stands between two discontinuities is one.
func fetchGenerations(t *testing.T, at string) (all []fetched) {
	t.Helper()
	var init []byte
	begins, gap := true, false
	for line := range strings.Lines(string(get(t, at+"index.m3u8", 5*time.Second))) {
		line = strings.TrimSpace(line)
		switch m := regexp.MustCompile(`#EXT-X-MAP:URI="([^"]+)"`).FindStringSubmatch(line); {
		case m != nil:
			init = get(t, at+m[1], 5*time.Second)
		case line == "#EXT-X-DISCONTINUITY":
			begins = true
		case line == "#EXT-X-GAP":
			gap = true
		case line == "" || strings.HasPrefix(line, "#"):
		case gap:
			gap = false
		default:
			if begins {
				all, begins = append(all, fetched{init: init}), false
			}
			g := &all[len(all)-1]
			g.bodies = append(g.bodies, get(t, at+line, 5*time.Second))
		}
	}
	return all
}

// twice holds what came out against a beginning of the source, and then, in the next generation, all of it.
func twice(t *testing.T, name string, got []fetched, filter string, want []string) {
	t.Helper()
	if len(got) != 2 {
		t.Errorf("%s: %d generations, want 2", name, len(got))
		return
	}
	first, second := got[0].hashes(t, filter), got[1].hashes(t, filter)
	if len(first) < 25 || len(first) >= len(want) || !slices.Equal(first, want[:len(first)]) {
		t.Errorf("%s: first time: %s", name, differ(first, want))
	}
	if !slices.Equal(second, want) {
		t.Errorf("%s: second time: %s", name, differ(second, want))
	}
}
