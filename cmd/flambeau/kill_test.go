package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// kills is how often the process is killed; FLAMBEAU_TEST_KILLS asks for more.
func kills() int {
	if n, err := strconv.Atoi(os.Getenv("FLAMBEAU_TEST_KILLS")); err == nil {
		return n
	}
	return 3
}

// TestKilledAndStartedAgainUnderAFeed kills the process at random moments while a feed comes in, and starts it again at once. Numbers go on
// in the same generation, nothing is listed twice or otherwise than before, the holes are gaps, and the store holds every promise.
func TestKilledAndStartedAgainUnderAFeed(t *testing.T) {
	t.Parallel()
	dice := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	port := freeUDP(t)
	file := configure(t, t.TempDir(), fmt.Sprintf("udp://127.0.0.1:%d", port))
	seconds := 12 + 8*kills()
	sender := exec.Command("ffmpeg", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-re", "-f", "lavfi", "-i", "sine=sample_rate=48000", "-t", strconv.Itoa(seconds),
		"-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-keyint_min", "50", "-sc_threshold", "0", "-pix_fmt", "yuv420p", "-c:a", "aac", "-f", "mpegts", fmt.Sprintf("udp://127.0.0.1:%d?pkt_size=1316", port))
	if err := sender.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		sender.Process.Kill()
		sender.Wait()
	}()
	named := map[string]string{} // what each number was listed as
	newest := int64(0)
	r := start(t, "serve", "-c", file)
	for range kills() {
		wait(6*time.Second + time.Duration(dice.IntN(2000))*time.Millisecond)
		newest = listing(t, r, named, newest)
		r.cmd.Process.Kill()
		r.cmd.Wait()
		r = start(t, "serve", "-c", file)
	}
	wait(6 * time.Second)
	last := listing(t, r, named, newest)
	if last <= newest {
		t.Errorf("it stands still at %d after the last kill", last)
	}
	r.stop()
	out := tool(t, time.Minute, binary(t), "verify", "c", "-c", file)
	t.Log(strings.TrimSpace(out))
	if !strings.Contains(out, " 0 findings") || !strings.Contains(out, ": 1 generations") {
		t.Errorf("verify: %s", out)
	}
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
