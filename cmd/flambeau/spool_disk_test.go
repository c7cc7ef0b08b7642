package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"

	"flambeau/packager/cmaf"
	"flambeau/packager/timeline"
	"flambeau/storage"
	"flambeau/storage/s3"
)

const (
	// heavyRate is about what heavyFeed takes, bytes a second.
	heavyRate = 4 << 20
	// heavyMemory is what of a channel waits in memory when the spool takes no more.
	heavyMemory = 32 << 20
)

// spoolDisk is how large the disk of a spool is: 16 MiB, or FLAMBEAU_TEST_SPOOL_MIB.
func spoolDisk() int {
	if n, err := strconv.Atoi(os.Getenv("FLAMBEAU_TEST_SPOOL_MIB")); err == nil {
		return n << 20
	}
	return 16 << 20
}

// TestASpoolOnADiskThatIsFull: the store is away until the spool's disk is full, memory too, and some time beyond. The process lives on, says
// that it is not ready, and recovers by itself; and each frame of the feed is in the bucket or counted in a loss record.
func TestASpoolOnADiskThatIsFull(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, fmt.Sprintf("size=%d", spoolDisk())); err != nil {
		t.Skipf("NOT TESTED: a small tmpfs can't be mounted here (needs root): %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(disk, syscall.MNT_DETACH) })
	const beyond = 5 * time.Second
	away := time.Duration(spoolDisk()+heavyMemory)*time.Second/heavyRate + beyond
	b := newBucket(t)
	source := heavyFeed(t, int((away+11*time.Second)/time.Second))
	file := b.configureInput(t, "a", b.Endpoint, filepath.Join(disk, "spool"), "file://"+source, "")
	w := startIn(t, b.environment(), "serve", "-c", file, "--role", "ingest")
	began := time.Now()
	wait(8 * time.Second)
	b.Kill()
	wait(away - beyond)
	readiness(t, w) // the first who asks is told that it may be one answer that was lost
	wait(beyond + time.Second)
	if code, why := readiness(t, w); code != 503 || !strings.Contains(why, "the store has not answered") {
		t.Errorf("with a full disk and no store: %d %s", code, why)
	}
	w.log.find(t, "no space left on device", time.Second)
	w.log.find(t, "segments give way", time.Second)
	b.Start()
	w.log.find(t, "feed ended", time.Minute-time.Since(began))
	drains(t, w, 30*time.Second)
	if code, why := readiness(t, w); code != 200 {
		t.Errorf("it does not recover: %d %s", code, why)
	}
	w.stop()
	b.verify(t, file)
	stored, lost := b.frames(t)
	for track, n := range framesOf(t, source) {
		t.Logf("track %d: %d frames, %d stored, %d named", track, n, stored[track], lost[track])
		if stored[track]+lost[track] != n || lost[track] == 0 {
			t.Errorf("track %d: %d frames, %d are stored and %d named", track, n, stored[track], lost[track])
		}
	}
}

// heavyFeed is noise with a sound.
func heavyFeed(t *testing.T, seconds int) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "heavy.ts")
	tool(t, 3*time.Minute, "ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=480x270:rate=25", "-f", "lavfi", "-i", "sine=sample_rate=48000", "-t", strconv.Itoa(seconds),
		"-vf", "noise=alls=80:allf=t", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-qp", "15", "-g", "50", "-keyint_min", "50", "-sc_threshold", "0", "-bf", "0",
		"-c:a", "aac", "-f", "mpegts", out)
	return out
}

// readiness is what the process answers to who asks whether it is ready.
func readiness(t *testing.T, r *running) (int, string) {
	t.Helper()
	resp, err := http.Get(r.metrics + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

// framesOf counts the frames of a feed's tracks, by PID.
func framesOf(t *testing.T, source string) map[int]int64 {
	t.Helper()
	out := tool(t, time.Minute, "ffprobe", "-v", "error", "-count_packets", "-show_entries", "stream=id,nb_read_packets", "-of", "csv=p=0", source)
	count := map[int]int64{}
	for line := range strings.Lines(out) {
		words := strings.Split(strings.TrimSpace(line), ",")
		if len(words) != 2 {
			continue
		}
		pid, _ := strconv.ParseInt(words[0], 0, 32)
		n, _ := strconv.ParseInt(words[1], 10, 64)
		count[int(pid)] = n
	}
	return count
}

// frames counts what the bucket has of each track, and what its loss records name as received and lost.
func (b bucket) frames(t *testing.T) (stored, lost map[int]int64) {
	t.Helper()
	s, err := s3.Open(t.Context(), s3.Config{Bucket: b.name, Prefix: "games", Endpoint: b.Endpoint}, config.WithCredentialsProvider(b.Credentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	stored, lost = map[int]int64{}, map[int]int64{}
	read := func(prefix string, each func(key string, body []byte)) {
		for info, err := range s.List(t.Context(), prefix, "") {
			if err != nil {
				t.Fatal(err)
			}
			body, _, err := storage.ReadAll(t.Context(), s, info.Key, storage.Get{}, 1<<30)
			if err != nil {
				t.Fatal(err)
			}
			each(info.Key, body)
		}
	}
	tracks := map[string]int{}
	read(timeline.ShapeKey("c"), func(_ string, body []byte) {
		shape, err := timeline.DecodeShape(body)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range shape.First.Renditions {
			tracks[r.ID] = r.Track
		}
	})
	read("c/seg/", func(key string, body []byte) {
		parsed, err := cmaf.Parse(body)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		for _, f := range parsed.Fragments {
			stored[tracks[strings.Split(key, "/")[2]]] += int64(len(f.Samples))
		}
	})
	read(timeline.LossPrefix("c"), func(key string, body []byte) {
		l, err := timeline.DecodeLoss(body)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		for _, e := range l.Entries {
			lost[e.Track] += e.Frames
		}
	})
	return stored, lost
}
