package main

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestAPairOfWorkersOnABucket: each of two workers reaches the bucket through a relay of its own, which remembers what it put. One is late,
// and gets a feed that has lost packets for a while; then the other is killed. What both have put under one name has equal bytes, and an
// origin shows every frame.
func TestAPairOfWorkersOnABucket(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	source := makeFeed(t, feedCases[0])
	want := sourceHashes(t, source, streams[0].filter)
	ports := [2]int{freeUDP(t), freeUDP(t)}
	relays := [2]*relay{newRelay(t, b.Endpoint), newRelay(t, b.Endpoint)}
	var files [2]string
	for i, name := range []string{"a", "b"} {
		files[i] = b.configure(t, name, relays[i].URL, t.TempDir(), ports[i], "    pair: true\n")
	}
	a := startIn(t, b.environment(), "serve", "-c", files[0], "--role", "ingest")
	sender := exec.Command("ffmpeg", "-v", "error", "-re", "-i", source, "-map", "0", "-c", "copy", "-f", "tee",
		fmt.Sprintf("[f=mpegts]udp://127.0.0.1:%d?pkt_size=1316|[f=mpegts]udp://127.0.0.1:%d?pkt_size=1316", ports[0], ports[1]))
	if err := sender.Start(); err != nil {
		t.Fatal(err)
	}
	wait(5 * time.Second)
	second := startIn(t, b.environment(), "serve", "-c", files[1], "--role", "ingest")
	wait(9 * time.Second)
	a.cmd.Process.Kill()
	a.cmd.Wait()
	if err := sender.Wait(); err != nil {
		t.Fatal(err)
	}
	second.log.find(t, "feed lost", 15*time.Second)
	wait(4 * time.Second)
	far := startIn(t, b.environment(), "serve", "-c", b.configure(t, "o", b.Endpoint, t.TempDir(), ports[0], ""), "--role", "origin")
	fetched := fetchHLS(t, far.media)
	for i, id := range []string{"v360", "a-en", "a-fr"} {
		if got := fetched[id].hashes(t, streams[i].filter); !slices.Equal(got, want[i]) {
			t.Errorf("%s: %s", id, differ(got, want[i]))
		}
	}
	both := 0
	theirs := relays[1].put("/c/seg/")
	for name, bodies := range relays[0].put("/c/seg/") {
		for hash := range bodies {
			if other, ok := theirs[name]; ok {
				if both++; other[hash] == 0 {
					t.Errorf("%s: the two have put different bytes", name)
				}
			}
		}
	}
	t.Logf("%d names were put by both", both)
	if both == 0 {
		t.Error("no name was put by both: nothing was compared")
	}
	second.stop()
	far.stop()
	out := toolIn(t, b.environment(), time.Minute, binary(t), "verify", "c", "-c", files[1])
	t.Log(strings.TrimSpace(out))
	if !strings.Contains(out, " 0 findings") || !strings.Contains(out, ": 1 generations") {
		t.Errorf("verify: %s", out)
	}
}
