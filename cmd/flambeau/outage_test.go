package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"flambeau/storage/s3/s3test"
)

// bucket is a MinIO with a bucket in it, and a way to reach it.
type bucket struct {
	*s3test.Server
	name string
}

func newBucket(t *testing.T) bucket {
	t.Helper()
	s := s3test.MinIO(t)
	return bucket{s, s.Bucket()}
}

// environment is what a process needs to be let in.
func (b bucket) environment() []string {
	return []string{"AWS_ACCESS_KEY_ID=" + b.Key, "AWS_SECRET_ACCESS_KEY=" + b.Secret, "AWS_SESSION_TOKEN=", "AWS_PROFILE=", "AWS_EC2_METADATA_DISABLED=true"}
}

// configure writes a configuration of one channel whose store is the bucket, reached by endpoint.
func (b bucket) configure(t *testing.T, worker, endpoint, spool string, port int, more string) string {
	t.Helper()
	return b.configureInput(t, worker, endpoint, spool, fmt.Sprintf("udp://127.0.0.1:%d", port), more)
}

func (b bucket) configureInput(t *testing.T, worker, endpoint, spool, input, more string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), worker+".yml")
	text := fmt.Sprintf("worker: %s\nstore: s3://%s/games?endpoint=%s&region=%s\nspool: { dir: %q, size: 1GiB }\n"+
		"defaults: { segment: 2s }\nchannels:\n  - id: c\n%s    inputs: [ { url: %q } ]\n", worker, b.name, endpoint, s3test.Region, spool, more, input)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// outageSeconds is how long a store is away, and stopped: 10 s and 6 s, or FLAMBEAU_TEST_OUTAGE_SECONDS and half of it.
func outageSeconds() time.Duration {
	if n, err := strconv.Atoi(os.Getenv("FLAMBEAU_TEST_OUTAGE_SECONDS")); err == nil {
		return time.Duration(n) * time.Second
	}
	return 10 * time.Second
}

// TestABucketThatFailsLosesNothing: the store is killed, stopped, refuses every second request and cuts answers off after the write took
// effect, one after the other, under a feed. The worker's own live goes on, the backlog drains, and in the end every frame of the feed is
// in the bucket, under names that were each put with one content.
func TestABucketThatFailsLosesNothing(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	r := newRelay(t, b.Endpoint)
	gone := outageSeconds()
	stopped := gone * 6 / 10
	seconds := int((gone+stopped)/time.Second) + 22
	source := makeLongFeed(t, seconds)
	want := sourceHashes(t, source, streams[0].filter)
	port := freeUDP(t)
	spool := t.TempDir()
	file := b.configure(t, "a", r.URL, spool, port, "    window: 10m\n")
	w := startIn(t, b.environment(), "serve", "-c", file)
	sender := exec.Command("ffmpeg", "-v", "error", "-re", "-i", source, "-map", "0", "-c", "copy", "-f", "mpegts", fmt.Sprintf("udp://127.0.0.1:%d?pkt_size=1316", port))
	if err := sender.Start(); err != nil {
		t.Fatal(err)
	}
	wait(6 * time.Second)
	before := lastListed(t, w)
	b.Kill()
	wait(gone)
	if during := lastListed(t, w); during < before+int64(gone/(2*time.Second))-2 {
		t.Errorf("while the store was away live went from %d to %d only", before, during)
	}
	waiting := seriesOf(t, w, "flambeau_spool_bytes")
	if waiting == 0 {
		t.Error("nothing is spooled while the store is away")
	}
	b.Start()
	drained := drains(t, w, gone/3+8*time.Second)
	t.Logf("%v of backlog, %.0f bytes, drained in %v", gone, waiting, drained)
	b.Signal(syscall.SIGSTOP)
	wait(stopped)
	b.Signal(syscall.SIGCONT)
	r.mode.Store(half503)
	wait(4 * time.Second)
	r.mode.Store(cutAnswers)
	wait(4 * time.Second)
	r.mode.Store(fair)
	if err := sender.Wait(); err != nil {
		t.Fatal(err)
	}
	w.log.find(t, "feed lost", 15*time.Second)
	drains(t, w, 20*time.Second)
	far := startIn(t, b.environment(), "serve", "-c", b.configure(t, "o", b.Endpoint, t.TempDir(), port, "    window: 10m\n"), "--role", "origin")
	fetched := fetchHLS(t, far.media)
	for i, id := range []string{"v360", "a-en", "a-fr"} {
		if got := fetched[id].hashes(t, streams[i].filter); !slices.Equal(got, want[i]) {
			t.Errorf("%s: %s", id, differ(got, want[i]))
		}
	}
	r.oneContentAName(t, "/c/seg/")
	if n := seriesOf(t, w, `flambeau_divergence_total{channel="c"}`); n != 0 {
		t.Errorf("%v divergences", n)
	}
	far.stop()
	w.stop()
	out := toolIn(t, b.environment(), time.Minute, binary(t), "verify", "c", "-c", file)
	t.Log(strings.TrimSpace(out))
	if !strings.Contains(out, " 0 findings") {
		t.Errorf("verify: %s", out)
	}
}

// makeLongFeed is a feed of so many seconds, with two sounds, in which no frame is like another.
func makeLongFeed(t *testing.T, seconds int) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "source.ts")
	n := strconv.Itoa(seconds)
	tool(t, 3*time.Minute, "ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25", "-f", "lavfi", "-itsoffset", "0.3", "-i", "aevalsrc=0.3*sin(2*PI*(300+7*t)*t):s=48000",
		"-f", "lavfi", "-itsoffset", "0.3", "-i", "aevalsrc=0.3*sin(2*PI*(500+11*t)*t):s=48000", "-map", "0", "-map", "1", "-map", "2", "-t", n, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-b:v", "800k",
		"-g", "50", "-keyint_min", "50", "-sc_threshold", "0", "-bf", "0", "-c:a", "aac", "-b:a", "64k", "-ac", "2", "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=fre", "-f", "mpegts", out)
	return out
}

// lastListed is the number of the last segment that a process lists.
func lastListed(t *testing.T, r *running) int64 {
	t.Helper()
	body := string(get(t, r.media+"/live/c/v360/index.m3u8", 10*time.Second))
	all := regexp.MustCompile(`(?m)^(\d+)\.m4s$`).FindAllStringSubmatch(body, -1)
	n, err := strconv.ParseInt(all[len(all)-1][1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// seriesOf is the value of a series that a process shows.
func seriesOf(t *testing.T, r *running, series string) float64 {
	t.Helper()
	return metric(string(get(t, r.metrics+"/metrics", 5*time.Second)), series)
}

// drains waits until nothing older than a slot is left in the spool.
func drains(t *testing.T, r *running, limit time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	for time.Since(began) < limit {
		if seriesOf(t, r, "flambeau_spool_bytes") == 0 {
			return time.Since(began)
		}
		wait(100 * time.Millisecond)
	}
	t.Errorf("%.0f bytes are in the spool after %v", seriesOf(t, r, "flambeau_spool_bytes"), limit)
	return limit
}

// TestAStoreWithBrokenCreateOnlyIsRefused: within seconds, and by name.
func TestAStoreWithBrokenCreateOnlyIsRefused(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	r := newRelay(t, b.Endpoint)
	r.mode.Store(secondsToo)
	file := b.configure(t, "a", r.URL, t.TempDir(), freeUDP(t), "    pair: true\n")
	cmd := exec.Command(binary(t), "serve", "-c", file)
	began := time.Now()
	cmd.Env = append(os.Environ(), b.environment()...)
	out, err := cmd.CombinedOutput()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if err == nil || !strings.Contains(string(out), "breaks a promise") {
		t.Errorf("%v: %s", err, out)
	}
	t.Log(strings.TrimSpace(string(out)))
}
