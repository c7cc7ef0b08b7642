package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"flambeau/storage/file"
)

// TestAPairOfWorkers: two workers on one feed, one of them 8 s late, both into one store; one is killed. An origin of its own shows all
// frames of the feed, as if there had been one worker that never fails; and what both have put has equal bytes.
func TestAPairOfWorkers(t *testing.T) {
	t.Parallel()
	source := makeFeed(t, feedCases[0])
	want := sourceHashes(t, source, streams[0].filter)
	store := t.TempDir()
	ports := [2]int{freeUDP(t), freeUDP(t)}
	var files [2]string
	for i, name := range []string{"a", "b"} {
		files[i] = pairConfiguration(t, store, name, ports[i])
	}
	a := start(t, "serve", "-c", files[0], "--role", "ingest")
	shown := start(t, "serve", "-c", files[0], "--role", "origin")
	sender := exec.Command("ffmpeg", "-v", "error", "-re", "-i", source, "-map", "0", "-c", "copy", "-f", "tee",
		fmt.Sprintf("[f=mpegts]udp://127.0.0.1:%d?pkt_size=1316|[f=mpegts]udp://127.0.0.1:%d?pkt_size=1316", ports[0], ports[1]))
	if err := sender.Start(); err != nil {
		t.Fatal(err)
	}
	wait(6 * time.Second)
	b := start(t, "serve", "-c", files[1], "--role", "ingest")
	wait(8 * time.Second)
	a.cmd.Process.Kill() // nobody notices
	a.cmd.Wait()
	if err := sender.Wait(); err != nil {
		t.Fatal(err)
	}
	b.log.find(t, "feed lost|silence", 15*time.Second)
	wait(2500 * time.Millisecond) // the last slot was closed by the silence, and waits for a rival's copy of it
	fetched := fetchHLS(t, shown.media)
	for i, id := range []string{"v360", "a-en", "a-fr"} {
		if got := fetched[id].hashes(t, streams[i].filter); !slices.Equal(got, want[i]) {
			t.Errorf("%s: %s", id, differ(got, want[i]))
		}
	}
	b.stop()
	shown.stop()
	out := tool(t, time.Minute, binary(t), "verify", "c", "-c", files[1])
	t.Log(strings.TrimSpace(out))
	if !strings.Contains(out, " 0 findings") || !strings.Contains(out, ": 1 generations") {
		t.Errorf("verify: %s", out)
	}
	s, err := file.Open(store)
	if err != nil {
		t.Fatal(err)
	}
	for info := range s.List(t.Context(), "c/alt/", "") {
		t.Errorf("%s: the two have made other bytes", info.Key)
	}
	both := map[string]int{}
	for info := range s.List(t.Context(), "c/index/live/", "") {
		both[info.Key]++
	}
	if len(both) != 2 {
		t.Errorf("roots: %v", both)
	}
}

func pairConfiguration(t *testing.T, store, name string, port int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name+".yml")
	text := fmt.Sprintf("worker: %s\nstore: file://%s\nlisten: { media: \"127.0.0.1:0\", admin: \"127.0.0.1:0\", metrics: \"127.0.0.1:0\" }\n"+
		"defaults: { segment: 2s }\nchannels:\n  - id: c\n    pair: true\n    inputs: [ { url: \"udp://127.0.0.1:%d\" } ]\n", name, store, port)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
