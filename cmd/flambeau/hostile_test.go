package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// hostileMB is how much a hostile sender sends; FLAMBEAU_TEST_HOSTILE_MB asks for more.
	hostileMB = 24
	// hostileRate is how much of it a second: some forty times what these feeds were made for.
	hostileRate = 4 << 20
	// hostileGrowth is what the process may have grown by when it is over.
	hostileGrowth = 50 << 20
	// hostileLines is how many lines a second a process with a hostile feed may log, in the mean.
	hostileLines = 20
)

// TestAHostileFeedIsItsOwnChannelsTrouble runs one process with two channels. One is sent broken feeds of every kind, as fast as they
// are taken; of the other every frame comes out as it was sent. The process is afterwards as large as before, has no more goroutines or
// descriptors, has said what is wrong without drowning the log, and every promise holds in the store, of both channels.
func TestAHostileFeedIsItsOwnChannelsTrouble(t *testing.T) {
	t.Parallel()
	size := int64(hostileMB) << 20
	if n, err := strconv.ParseInt(os.Getenv("FLAMBEAU_TEST_HOSTILE_MB"), 10, 64); err == nil {
		size = n << 20
	}
	took := time.Duration(size/hostileRate) * time.Second
	ammunition := loadAmmunition(t)
	source := steadyFeed(t, took+12*time.Second)
	store, bad, good := t.TempDir(), freeUDP(t), freeUDP(t)
	file := filepath.Join(t.TempDir(), "flambeau.yml")
	text := fmt.Sprintf("worker: a\nstore: file://%s\ndefaults: { segment: 2s }\nchannels:\n  - { id: hostile, inputs: [ { url: udp://127.0.0.1:%d } ] }\n  - { id: c, inputs: [ { url: udp://127.0.0.1:%d } ] }\n", store, bad, good)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, "serve", "-c", file)
	var sending sync.WaitGroup
	sending.Go(func() { sendFor(t, source, good, took+time.Minute) })
	get(t, r.media+"/live/c/index.m3u8", 20*time.Second)

	gun := aim(t, bad)
	dice := rand.New(rand.NewPCG(5, 8))
	gun.fire(ammunition.sound()) // what is well first: both channels are on air when it is measured
	wait(2 * time.Second)
	before, lines, began := measure(t, r), r.log.lines(), time.Now()
	peak := before.memory
	for next := time.Now().Add(time.Second); gun.sent < size; {
		gun.fire(ammunition.broken(dice))
		if time.Now().After(next) {
			next = next.Add(time.Second)
			peak = max(peak, measure(t, r).memory)
		}
	}
	lasted := time.Since(began)
	sending.Wait()
	r.log.find(t, `msg="feed lost" channel=c `, 15*time.Second)
	wait(5 * time.Second)
	after := measure(t, r)
	said := r.log.lines() - lines

	metrics := string(get(t, r.metrics+"/metrics", 5*time.Second))
	came := metric(metrics, `flambeau_ingest_bytes_total{channel="hostile"}`)
	dropped := metric(metrics, `flambeau_ingest_errors_total{channel="hostile",reason="receive_overflow"}`)
	t.Logf("%d MB in %v, of which %.0f MB came in; memory %s, at most %d MB; %d lines", gun.sent>>20, lasted.Round(time.Second), came/(1<<20), before.until(after), peak>>20, said)
	if came < 0.9*float64(gun.sent) {
		t.Errorf("of %d bytes %.0f came in, %.0f datagrams found no room: that shows little", gun.sent, came, dropped)
	}
	if after.memory > before.memory+hostileGrowth {
		t.Errorf("memory: %s", before.until(after))
	}
	if after.goroutines > before.goroutines || after.descriptors > before.descriptors {
		t.Errorf("something was left behind: %s", before.until(after))
	}
	if most := hostileLines * int(lasted/time.Second+20); said > most {
		t.Errorf("%d lines in %v: a log that drowns", said, lasted)
	}
	if kinds := regexp.MustCompile(`flambeau_ingest_errors_total\{channel="hostile",reason="\w+"\} [1-9]`).FindAllString(metrics, -1); len(kinds) < 10 {
		t.Errorf("what was wrong is counted under %d reasons only: %v", len(kinds), kinds)
	}
	if strings.Contains(r.log.String(), "panic") || strings.Contains(r.log.String(), `msg="channel failed"`) {
		t.Error("the hostile channel broke")
	}
	neighbour(t, r, source)
	r.stop()
	for _, id := range []string{"hostile", "c"} {
		out := tool(t, 5*time.Minute, binary(t), "verify", id, "-c", file)
		t.Log(strings.TrimSpace(out))
	}
}

// neighbour holds every frame that came out of c against what was sent.
func neighbour(t *testing.T, r *running, source string) {
	t.Helper()
	hls := fetchHLS(t, r.media)
	for i, id := range []string{"v180", "a-en"} {
		want := frameHashes(t, source, streams[i].pick, streams[i].filter)
		if got := hls[id].hashes(t, streams[i].filter); len(want) < 100 || !slices.Equal(got, want) {
			t.Errorf("the neighbour's %s: %s", id, differ(got, want))
		}
		negatives(t, id, hls[id], streams[i].filter, want)
	}
}

// steadyFeed is a feed that is well, and long enough.
func steadyFeed(t *testing.T, long time.Duration) string {
	t.Helper()
	ts := filepath.Join(t.TempDir(), "steady.ts")
	tool(t, 5*time.Minute, "ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi", "-itsoffset", "0.3", "-i", "sine=frequency=440:sample_rate=48000",
		"-t", strconv.Itoa(int(long/time.Second)), "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "50", "-keyint_min", "50", "-sc_threshold", "0", "-bf", "2",
		"-c:a", "aac", "-b:a", "64k", "-metadata:s:a:0", "language=eng", "-f", "mpegts", ts)
	mp4 := strings.TrimSuffix(ts, "ts") + "mp4" // from which it is sent, and by which it is judged
	tool(t, time.Minute, "ffmpeg", "-v", "error", "-y", "-i", ts, "-map", "0", "-c", "copy", "-bsf:a", "aac_adtstoasc", mp4)
	return mp4
}

func sendFor(t *testing.T, source string, port int, limit time.Duration) {
	cmd := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-re", "-i", source, "-map", "0", "-c", "copy", "-f", "mpegts", fmt.Sprintf("udp://127.0.0.1:%d?pkt_size=1316", port))
	cmd.WaitDelay = limit
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("the neighbour's sender: %v: %s", err, out)
	}
}

// ammunition is real feeds.
type ammunition [][]byte

func loadAmmunition(t *testing.T) (a ammunition) {
	t.Helper()
	names, _ := filepath.Glob(filepath.Join(feeds(t), "*.ts"))
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > 20*188 { // less leaves no room for damage
			a = append(a, b)
		}
	}
	if len(a) < 20 {
		t.Fatalf("%d feeds", len(a))
	}
	return a
}

// sound is a feed of pictures and sound that nothing was done to.
func (a ammunition) sound() []byte {
	return slices.MaxFunc(a, func(x, y []byte) int { return len(x) - len(y) })
}

// broken is one feed, or two that were spliced, with damage; now and then something that is none.
func (a ammunition) broken(dice *rand.Rand) []byte {
	switch b := a[dice.IntN(len(a))]; dice.IntN(12) {
	case 0: // noise
		noise := make([]byte, 1+dice.IntN(200_000))
		for i := range noise {
			noise[i] = byte(dice.Uint32())
		}
		return noise
	case 1: // null packets
		return bytes.Repeat(append([]byte{0x47, 0x1f, 0xff, 0x10}, make([]byte, 184)...), 1+dice.IntN(1000))
	case 2: // one feed cut into another, packet by packet
		o := a[dice.IntN(len(a))]
		var mix []byte
		for at := 0; at+188 <= min(len(b), len(o)) && at < 300_000; at += 188 {
			mix = append(append(mix, b[at:at+188]...), o[at:at+188]...)
		}
		return mix
	case 3: // the end of one, and the beginning of another
		o := a[dice.IntN(len(a))]
		return mutated(append(slices.Clone(b[dice.IntN(len(b)):]), o[:dice.IntN(len(o))]...), dice)
	case 4: // as it is: it ends, and another begins
		return b
	default:
		return mutated(b, dice)
	}
}

// gun sends datagrams at hostileRate.
type gun struct {
	t    *testing.T
	conn net.Conn
	due  time.Time // of the next
	sent int64
}

func aim(t *testing.T, port int) *gun {
	t.Helper()
	conn, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &gun{t, conn, time.Now(), 0}
}

func (g *gun) fire(b []byte) {
	for p := range slices.Chunk(b, 1316) {
		if n, err := g.conn.Write(p); err != nil {
			g.t.Fatalf("after %d bytes, of %d: %v", g.sent, n, err)
		}
		g.sent += int64(len(p))
		if g.due = g.due.Add(time.Duration(len(p)) * time.Second / hostileRate); time.Until(g.due) > 2*time.Millisecond {
			wait(time.Until(g.due))
		} else if time.Since(g.due) > time.Second/10 {
			g.due = time.Now() // what was not sent in time is not made up for
		}
	}
}

// footprint is what a process takes.
type footprint struct {
	memory, heap            int64 // bytes: resident, and of it in use by Go's heap
	goroutines, descriptors int
}

func (f footprint) until(o footprint) string {
	return fmt.Sprintf("%d → %d MB (heap %d → %d MB), %d → %d goroutines, %d → %d descriptors", f.memory>>20, o.memory>>20, f.heap>>20, o.heap>>20, f.goroutines, o.goroutines, f.descriptors, o.descriptors)
}

func measure(t *testing.T, r *running) (f footprint) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	kb, _ := strconv.ParseInt(regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindStringSubmatch(string(status))[1], 10, 64)
	http.DefaultClient.CloseIdleConnections() // these are ours
	wait(100 * time.Millisecond)
	metrics := string(get(t, r.metrics+"/metrics", 5*time.Second))
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", r.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return footprint{kb << 10, int64(metric(metrics, "go_memstats_heap_inuse_bytes")), int(metric(metrics, "go_goroutines")), len(open)}
}

// metric is one value of what /metrics says; 0 if it is not there.
func metric(metrics, series string) float64 {
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindStringSubmatch(metrics)
	if m == nil {
		return 0
	}
	v, _ := strconv.ParseFloat(m[1], 64)
	return v
}

func (l *tail) lines() int { return strings.Count(l.String(), "\n") }
