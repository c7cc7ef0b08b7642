package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// kills is how often a process is killed: n times, or FLAMBEAU_TEST_KILLS.
func kills(n int) int {
	if more, err := strconv.Atoi(os.Getenv("FLAMBEAU_TEST_KILLS")); err == nil {
		return more
	}
	return n
}

const (
	// killedFor is what may be missing after a kill: the slot that was open, what passes until the process is back on a busy machine, and
	// what comes before the next key frame.
	killedFor = 6 * time.Second
	// killedPatience is how much longer than that a player may stand.
	killedPatience = 3 * time.Second
)

// TestKilledAndStartedAgainUnderAFeed kills the process at random moments while a feed comes in and hls.js plays, and starts it again at
// once. Numbers go on in the same generation, nothing is listed twice or otherwise than before, the holes are gaps, the store holds every
// promise, and the player plays on by itself after each.
func TestKilledAndStartedAgainUnderAFeed(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 1))
	a := air{port: freeUDP(t), speed: 1}
	file := configure(t, t.TempDir(), fmt.Sprintf("udp://127.0.0.1:%d", a.port))
	a.ts = encode(t, "320x180", 40+12*kills(3), 10)
	media := freeTCP(t)
	v := openPlayer(t, "hls", "http://"+media+"/live/c/index.m3u8")
	v.ready()
	r := startAt(t, media, "serve", "-c", file)
	ctx, cancel := context.WithCancel(t.Context())
	var sending sync.WaitGroup
	sending.Go(func() {
		if err := a.send(ctx); err != nil {
			t.Error(err)
		}
	})
	defer sending.Wait()
	defer cancel()
	get(t, r.media+"/live/c/v180/index.m3u8", 15*time.Second)
	wait(5 * time.Second)
	v.play()

	named := map[string]string{} // what each number was listed as
	newest := int64(0)
	var killed []time.Time
	for range kills(3) {
		wait(6*time.Second + time.Duration(dice.IntN(2000))*time.Millisecond)
		newest = listing(t, r, named, newest)
		killed = append(killed, time.Now())
		r.cmd.Process.Kill()
		r.cmd.Wait()
		r = startAt(t, media, "serve", "-c", file)
	}
	wait(10 * time.Second)
	last := listing(t, r, named, newest)
	if last <= newest {
		t.Errorf("it stands still at %d after the last kill", last)
	}
	for _, wrong := range recovered(v.close(), append(killed, time.Now())) {
		t.Error(wrong)
	}
	gaps := 0
	for _, was := range named {
		if strings.HasPrefix(was, " gap") {
			gaps++
		}
	}
	t.Logf("%d kills, %d segments listed, %d of them gaps", len(killed), len(named), gaps)
	r.stop()
	out := tool(t, time.Minute, binary(t), "verify", "c", "-c", file)
	t.Log(strings.TrimSpace(out))
	if !strings.Contains(out, " 0 findings") || !strings.Contains(out, ": 1 generations") {
		t.Errorf("verify: %s", out)
	}
}

// recovered says where a player did not play on by itself: it shows pictures between any two kills, and in the end.
func recovered(s seen, killed []time.Time) (wrong []string) {
	if len(s.Fatal) > 0 {
		wrong = append(wrong, fmt.Sprintf("the player gave up: %v", s.Fatal))
	}
	for i, until := range killed[1:] {
		from, first, last := killed[i], 0, 0
		for _, p := range s.Trail {
			if p.At <= from.UnixMilli() {
				first = p.Frames
			}
			if p.At <= until.UnixMilli() {
				last = p.Frames
			}
		}
		if all := 25 * (until.Sub(from) - killedFor).Seconds(); float64(last-first) < crossingKeep*all {
			wrong = append(wrong, fmt.Sprintf("%d pictures in the %.1f s after kill %d", last-first, until.Sub(from).Seconds(), i+1))
		}
	}
	for _, p := range s.Stalls {
		if d := time.Duration(p.For) * time.Millisecond; d > killedFor+killedPatience {
			wrong = append(wrong, fmt.Sprintf("the player stood for %v", d))
		}
	}
	if n := len(s.Trail); n < 7 || s.Frames == s.Trail[n-7].Frames {
		wrong = append(wrong, "the player does not play in the end")
	}
	return wrong
}

// listing pulls the playlist and holds it against what was listed before. It returns the last number.
func listing(t *testing.T, r *running, named map[string]string, newest int64) int64 {
	t.Helper()
	body := string(get(t, r.media+"/live/c/v180/index.m3u8", 10*time.Second))
	m := regexp.MustCompile(`#EXT-X-MEDIA-SEQUENCE:(\d+)`).FindStringSubmatch(body)
	n, _ := strconv.ParseInt(m[1], 10, 64)
	gap, last := "", n-1
	for line := range strings.Lines(body) {
		line = strings.TrimSpace(line)
		switch {
		case line == "#EXT-X-GAP":
			gap = " gap"
		case strings.HasPrefix(line, "#EXTINF:"):
			gap += " " + line
		case strings.HasSuffix(line, ".m4s"):
			last++
			if line != strconv.FormatInt(last, 10)+".m4s" {
				t.Errorf("%s is listed as number %d", line, last)
			}
			if before, ok := named[line]; ok && before != gap {
				t.Errorf("%s was%s, and is%s", line, before, gap)
			}
			named[line], gap = gap, ""
		}
	}
	if strings.Contains(body, "EXT-X-DISCONTINUITY\n") {
		t.Errorf("there is a discontinuity where the clock goes on:\n%s", body)
	}
	if last < newest {
		t.Errorf("went back from %d to %d", newest, last)
	}
	return last
}

// TestADarkFeedStandsStillAndComesBack: while the feed is dark its playlist answers 200 and stands still.
func TestADarkFeedStandsStillAndComesBack(t *testing.T) {
	t.Parallel()
	source := filepath.Join(t.TempDir(), "source.ts")
	tool(t, time.Minute, "ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-t", "7", "-c:v", "libx264", "-preset", "ultrafast",
		"-g", "50", "-keyint_min", "50", "-sc_threshold", "0", "-pix_fmt", "yuv420p", "-f", "mpegts", source)
	port := freeUDP(t)
	r := start(t, "serve", "-c", configure(t, t.TempDir(), fmt.Sprintf("udp://127.0.0.1:%d", port)))
	send(t, source, port)
	r.log.find(t, "feed lost", 10*time.Second)
	wait(time.Second)
	dark := string(get(t, r.media+"/live/c/v180/index.m3u8", 5*time.Second))
	if up := string(get(t, r.metrics+"/metrics", time.Second)); !strings.Contains(up, `flambeau_ingest_up{channel="c"} 0`) {
		t.Error("flambeau_ingest_up does not tell that the feed is dark")
	}
	get(t, r.metrics+"/readyz", time.Second)
	wait(time.Second)
	if again := string(get(t, r.media+"/live/c/v180/index.m3u8", time.Second)); again != dark {
		t.Errorf("the playlist of a dark feed moves:\n%s\n%s", dark, again)
	}
	send(t, source, port) // from the start: another clock
	wait(time.Second)
	back := string(get(t, r.media+"/live/c/v180/index.m3u8", 5*time.Second))
	if strings.Count(back, "#EXT-X-DISCONTINUITY\n") != 1 {
		t.Errorf("want one discontinuity:\n%s", back)
	}
	r.stop()
}
