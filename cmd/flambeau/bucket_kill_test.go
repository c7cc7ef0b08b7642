package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestKilledWithABucketBehind kills a worker at random moments, and starts it again at once. Every segment that was closed at any of them is
// in the bucket afterwards, with the bytes that it had; what is missing of the feed is one stretch a kill, which the bucket names; and there
// is one generation.
func TestKilledWithABucketBehind(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 2))
	b := newBucket(t)
	times := kills(2)
	source := makeLongFeed(t, 7+5*times)
	port, spool := freeUDP(t), t.TempDir()
	file := b.configure(t, "a", b.Endpoint, spool, port, "    window: 10m\n")
	w := startIn(t, b.environment(), "serve", "-c", file)
	sender := sends(t, source, port)
	get(t, w.media+"/live/c/v360/index.m3u8", 15*time.Second)
	closed := map[string][32]byte{}
	killed := 0
	for ; killed < times; killed++ {
		wait(time.Duration(2000+dice.IntN(4000)) * time.Millisecond)
		w.closed(closed)
		w.cmd.Process.Kill()
		w.cmd.Wait()
		w = startIn(t, b.environment(), "serve", "-c", file)
	}
	if err := sender.Wait(); err != nil {
		t.Fatal(err)
	}
	w.log.find(t, "feed lost", 15*time.Second)
	drains(t, w, 20*time.Second)
	far := startIn(t, b.environment(), "serve", "-c", b.configure(t, "o", b.Endpoint, t.TempDir(), port, "    window: 10m\n"), "--role", "origin")
	b.judge(t, far, source, killed, closed)
	far.stop()
	w.stop()
	b.verify(t, file)
}

// TestStartedWhileTheBucketIsAway: the store goes away, and then the worker is killed and started again. It comes up from its spool, live goes
// on there, and when the store is back it gets everything. A worker that has nothing to go on from ends with 75.
func TestStartedWhileTheBucketIsAway(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	source := makeLongFeed(t, 26)
	port, spool := freeUDP(t), t.TempDir()
	file := b.configure(t, "a", b.Endpoint, spool, port, "    window: 10m\n")
	w := startIn(t, b.environment(), "serve", "-c", file)
	sender := sends(t, source, port)
	get(t, w.media+"/live/c/v360/index.m3u8", 15*time.Second)
	b.Kill()
	wait(3 * time.Second)
	closed := map[string][32]byte{}
	w.closed(closed)
	w.cmd.Process.Kill()
	w.cmd.Wait()
	w = startIn(t, b.environment(), "serve", "-c", file)
	before := lastListed(t, w)
	wait(6 * time.Second)
	if during := lastListed(t, w); during < before+2 {
		t.Errorf("while the store was away live went from %d to %d", before, during)
	}
	get(t, w.metrics+"/readyz", time.Second)
	get(t, w.metrics+"/startupz", time.Second)
	fetchHLS(t, w.media) // all of it can be played
	nothing := b.configure(t, "b", b.Endpoint, t.TempDir(), freeUDP(t), "")
	cmd := exec.Command(binary(t), "serve", "-c", nothing)
	cmd.Env = append(cmd.Environ(), b.environment()...)
	if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != exitUnreachable {
		t.Errorf("a worker with an empty spool ends with %v: %s", cmd.ProcessState, out)
	}
	b.Start()
	w.log.find(t, "store answers", 15*time.Second)
	if err := sender.Wait(); err != nil {
		t.Fatal(err)
	}
	w.log.find(t, "feed lost", 15*time.Second)
	drains(t, w, 20*time.Second)
	far := startIn(t, b.environment(), "serve", "-c", b.configure(t, "o", b.Endpoint, t.TempDir(), port, "    window: 10m\n"), "--role", "origin")
	b.judge(t, far, source, 1, closed)
	far.stop()
	w.stop()
	b.verify(t, file)
}

// sends sends a feed at its own pace.
func sends(t *testing.T, source string, port int) *exec.Cmd {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	cmd := exec.CommandContext(ctx, "ffmpeg", "-v", "error", "-re", "-i", source, "-map", "0", "-c", "copy", "-f", "mpegts", fmt.Sprintf("udp://127.0.0.1:%d?pkt_size=1316", port))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// closed notes the segments that a process lists, and their bytes.
func (r *running) closed(seen map[string][32]byte) {
	r.t.Helper()
	for _, id := range []string{"v360", "a-en", "a-fr"} {
		at := r.media + "/live/c/" + id + "/"
		lines := strings.Split(strings.TrimSpace(string(get(r.t, at+"index.m3u8", 15*time.Second))), "\n")
		for i, name := range lines {
			if !strings.HasSuffix(name, ".m4s") || slices.Contains(lines[i-2:i], "#EXT-X-GAP") || seen[id+"/"+name] != [32]byte{} {
				continue
			}
			seen[id+"/"+name] = sha256.Sum256(get(r.t, at+name, 5*time.Second))
		}
	}
}

// judge holds what an origin apart shows against the feed and what was closed: it misses at most one stretch a kill.
func (b bucket) judge(t *testing.T, far *running, source string, kills int, closed map[string][32]byte) {
	t.Helper()
	want := sourceHashes(t, source, streams[0].filter)
	fetched := fetchHLS(t, far.media)
	for i, id := range []string{"v360", "a-en", "a-fr"} {
		holes, ok := stretchesMissing(fetched[id].hashes(t, streams[i].filter), want[i])
		if !ok {
			t.Errorf("%s: what is there is not the feed", id)
		}
		t.Logf("%s: %d frames, %d kills, missing in a row: %v", id, len(want[i]), kills, holes)
		all := 0
		for _, n := range holes {
			all += n
		}
		if most := kills * int(killedFor/time.Second) * []int{25, 47, 47}[i]; len(holes) > kills || all > most {
			t.Errorf("%s: %d frames in %d stretches are missing after %d kills, at most %d", id, all, len(holes), kills, most)
		}
	}
	for key, sum := range closed {
		id, name, _ := strings.Cut(key, "/")
		found := false
		for i, n := range fetched[id].names {
			found = found || n == name && sha256.Sum256(fetched[id].bodies[i]) == sum
		}
		if !found {
			t.Errorf("%s was closed before a kill, and is not there as it was", key)
		}
	}
	t.Logf("%d closed segments were noted", len(closed))
}

// stretchesMissing tells which stretches of want are not in got, if got is want without them.
func stretchesMissing(got, want []string) (stretches []int, ok bool) {
	for n := 0; len(want) > 0; want = want[1:] {
		if len(got) > 0 && got[0] == want[0] {
			got, n = got[1:], 0
			continue
		}
		if n++; n == 1 {
			stretches = append(stretches, 0)
		}
		stretches[len(stretches)-1]++
	}
	return stretches, len(got) == 0
}

// verify wants no finding, and one generation.
func (b bucket) verify(t *testing.T, file string) {
	t.Helper()
	out := toolIn(t, b.environment(), time.Minute, binary(t), "verify", "c", "-c", file)
	t.Log(strings.TrimSpace(out))
	if !strings.Contains(out, " 0 findings") || !strings.Contains(out, ": 1 generations") {
		t.Errorf("verify: %s", out)
	}
}
