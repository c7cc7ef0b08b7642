package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// pairOfRecorded are two workers that reach one bucket, each through a relay that remembers what it put.
type pairOfRecorded struct {
	bucket
	ports  [2]int
	relays [2]*relay
	files  [2]string
}

func newPair(t *testing.T) *pairOfRecorded {
	t.Helper()
	b := newBucket(t)
	p := &pairOfRecorded{bucket: b, ports: [2]int{freeUDP(t), freeUDP(t)}, relays: [2]*relay{newRelay(t, b.Endpoint), newRelay(t, b.Endpoint)}}
	for i, name := range []string{"a", "b"} {
		p.files[i] = b.configure(t, name, p.relays[i].URL, t.TempDir(), p.ports[i], "    pair: true\n    window: 10m\n")
	}
	return p
}

// sends sends a feed to two ports.
func (p *pairOfRecorded) sends(t *testing.T, source string, ports [2]int) *exec.Cmd {
	t.Helper()
	sender := exec.Command("ffmpeg", "-v", "error", "-re", "-i", source, "-map", "0", "-c", "copy", "-f", "tee",
		fmt.Sprintf("[f=mpegts]udp://127.0.0.1:%d?pkt_size=1316|[f=mpegts]udp://127.0.0.1:%d?pkt_size=1316", ports[0], ports[1]))
	if err := sender.Start(); err != nil {
		t.Fatal(err)
	}
	return sender
}

// judge wants every frame of the feed, but for the last few of the picture and of each sound, from an origin that is started now, and no finding.
func (p *pairOfRecorded) judge(t *testing.T, source string, but [3]int) {
	t.Helper()
	want := sourceHashes(t, source, streams[0].filter)
	far := startIn(t, p.environment(), "serve", "-c", p.configure(t, "o", p.Endpoint, t.TempDir(), p.ports[0], "    window: 10m\n"), "--role", "origin")
	fetched := fetchHLS(t, far.media)
	for i, id := range []string{"v360", "a-en", "a-fr"} {
		got, n := fetched[id].hashes(t, streams[i].filter), len(want[i])-but[i]
		if but[i] > 0 {
			got = got[:min(len(got), n)]
		}
		if !slices.Equal(got, want[i][:n]) {
			t.Errorf("%s: %s", id, differ(got, want[i]))
		}
	}
	far.stop()
	p.verify(t, p.files[1])
}

// equalBytes holds what the one has put against what the other has, name by name, but for tombstones: one that comes too late loses nothing. It
// gives how many names both have put.
func (p *pairOfRecorded) equalBytes(t *testing.T) (both int) {
	t.Helper()
	theirs := p.relays[1].put("/c/seg/")
	for name, bodies := range p.relays[0].put("/c/seg/") {
		for hash := range bodies {
			for other := range theirs[name] {
				if p.relays[0].gaps[hash] || p.relays[1].gaps[other] {
					continue
				}
				if both++; other != hash {
					t.Errorf("%s: the two have put different bytes", name)
				}
			}
		}
	}
	t.Logf("%d names were put by both", both)
	return both
}

// pairSeconds is how long a pair is watched: 20 s, or FLAMBEAU_TEST_PAIR_SECONDS; then the second worker's clock is half a minute off.
func pairSeconds() (n int, long bool) {
	if n, err := strconv.Atoi(os.Getenv("FLAMBEAU_TEST_PAIR_SECONDS")); err == nil {
		return n, true
	}
	return 20, false
}

// TestAPairOfWorkersOnABucket: one of two workers is late; then the other is killed, and nobody notices. What both have put under one name has
// equal bytes, and an origin shows every frame.
func TestAPairOfWorkersOnABucket(t *testing.T) {
	t.Parallel()
	seconds, long := pairSeconds()
	p := newPair(t)
	source := makeLongFeed(t, seconds)
	program := binary(t)
	if long {
		program = withAClockOff(t, 30)
	}
	a := startIn(t, p.environment(), "serve", "-c", p.files[0], "--role", "ingest")
	sender := p.sends(t, source, p.ports)
	late := time.Duration(seconds) * time.Second / 4
	wait(late)
	b := startBinary(t, program, p.environment(), "serve", "-c", p.files[1], "--role", "ingest")
	if long {
		said, err := time.Parse(time.RFC3339Nano, b.log.find(t, `time=(\S+) level=INFO msg=listening`, time.Second)[1])
		if d := time.Until(said); err != nil || d < 25*time.Second || d > 30*time.Second {
			t.Fatalf("the worker's clock is off by %v, %v", d, err)
		}
	}
	wait(2*late - time.Second)
	a.cmd.Process.Kill()
	a.cmd.Wait()
	if err := sender.Wait(); err != nil {
		t.Fatal(err)
	}
	b.log.find(t, "feed lost", 15*time.Second)
	wait(4 * time.Second) // the last slot was closed by the silence, and waits for a rival's copy of it
	p.judge(t, source, [3]int{})
	if p.equalBytes(t) == 0 {
		t.Error("no name was put by both: nothing was compared")
	}
	b.stop()
}

// TestAPairOfWhichOneLosesPackets: one of two workers gets 98 of 100 datagrams, and gets them first. It has a damaged copy of nearly everything
// closed before the other has its whole one; what an origin shows is every frame of the feed, but for those of the slot that its end closes.
func TestAPairOfWhichOneLosesPackets(t *testing.T) {
	t.Parallel()
	seconds, _ := pairSeconds()
	p := newPair(t)
	source := makeLongFeed(t, seconds)
	slow, lossy := newAirRelay(t, p.ports[0], 0, 700*time.Millisecond), newAirRelay(t, p.ports[1], 0.02, 0)
	a := startIn(t, p.environment(), "serve", "-c", p.files[0], "--role", "ingest")
	b := startIn(t, p.environment(), "serve", "-c", p.files[1], "--role", "ingest")
	sender := p.sends(t, source, [2]int{slow.port, lossy.port})
	if err := sender.Wait(); err != nil {
		t.Fatal(err)
	}
	a.log.find(t, "feed lost", 15*time.Second)
	wait(4 * time.Second)
	t.Logf("%d of %d datagrams were lost on b's way", lossy.lost.Load(), lossy.came.Load())
	if lossy.lost.Load() < int64(seconds)/2 {
		t.Error("too few to see anything")
	}
	p.judge(t, source, [3]int{50, 94, 94}) // of the slot that the silence closed neither has a whole copy
	a.stop()
	b.stop()
}

// airRelay passes datagrams on, some of them and some time later.
type airRelay struct {
	port       int
	came, lost atomic.Int64
}

func newAirRelay(t *testing.T, to int, loss float64, delay time.Duration) *airRelay {
	t.Helper()
	in, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	out, err := net.Dial("udp4", fmt.Sprintf("127.0.0.1:%d", to))
	if err != nil {
		t.Fatal(err)
	}
	r := &airRelay{port: in.LocalAddr().(*net.UDPAddr).Port}
	type datagram struct {
		at   time.Time
		body []byte
	}
	waiting := make(chan datagram, 4096)
	dice := rand.New(rand.NewPCG(uint64(to), 3))
	go func() {
		defer close(waiting)
		b := make([]byte, 2048)
		for {
			n, err := in.Read(b)
			if err != nil {
				return
			}
			if r.came.Add(1); dice.Float64() < loss {
				r.lost.Add(1)
				continue
			}
			waiting <- datagram{time.Now().Add(delay), slices.Clone(b[:n])}
		}
	}()
	go func() {
		for d := range waiting {
			wait(time.Until(d.at))
			out.Write(d.body) // refused while nobody listens, which is as good as lost
		}
		out.Close()
	}()
	t.Cleanup(func() { in.Close() })
	return r
}

// withAClockOff builds flambeau with a standard library whose wall clock is off by some seconds; what is measured is not. There is no way to do
// that to a program of Go from outside: it asks the kernel without the C library, and a time namespace does not have the wall clock.
func withAClockOff(t *testing.T, seconds int) string {
	t.Helper()
	dir := t.TempDir()
	real := filepath.Join(strings.TrimSpace(tool(t, time.Minute, "go", "env", "GOROOT")), "src/time/time.go")
	text, err := os.ReadFile(real)
	if err != nil {
		t.Fatal(err)
	}
	const reads = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	if strings.Count(string(text), reads) != 1 {
		t.Fatal("this Go reads its clock in another way")
	}
	off, overlay, program := filepath.Join(dir, "time.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "flambeau")
	text = []byte(strings.Replace(string(text), reads, fmt.Sprintf("%s\tsec += %d\n", reads, seconds), 1))
	names, _ := json.Marshal(map[string]any{"Replace": map[string]string{real: off}})
	for path, b := range map[string][]byte{off: text, overlay: names} {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tool(t, 10*time.Minute, "go", "build", "-overlay", overlay, "-o", program, ".")
	return program
}
