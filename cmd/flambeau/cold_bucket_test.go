package main

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestTwoColdOriginsOfABucket is TestTwoColdOriginsUnderTwoHundredPullers with processes: a worker puts a feed into a bucket, and two origins
// that have just started read it, each through a relay that counts. 200 pull from them.
func TestTwoColdOriginsOfABucket(t *testing.T) {
	t.Parallel()
	const pullers, live = 200, 3
	b := newBucket(t)
	port := freeUDP(t)
	w := startIn(t, b.environment(), "serve", "-c", b.configure(t, "a", b.Endpoint, t.TempDir(), port, ""), "--role", "ingest")
	sender := sends(t, makeLongFeed(t, 40), port)
	wait(18 * time.Second)
	relays := [2]*relay{newRelay(t, b.Endpoint), newRelay(t, b.Endpoint)}
	var origins [2]*running
	for i, r := range relays {
		origins[i] = startIn(t, b.environment(), "serve", "-c", b.configure(t, "o", r.URL, t.TempDir(), port, ""), "--role", "origin")
	}
	p := &pulled{t: t, first: map[string][32]byte{}, from: map[string]map[string]bool{}}
	p.client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: pullers, DisableCompression: true}}
	defer p.client.CloseIdleConnections()
	var all sync.WaitGroup
	for i := range pullers {
		all.Go(func() { p.watch(origins[i%2].media+"/live/c/", []string{"v360", "v360", "a-en", "a-fr"}[i/2%4], live) })
	}
	all.Wait()
	p.judge()
	for i, r := range relays {
		r.mu.Lock()
		media, objects, most := 0, 0, 0
		for path, n := range r.read {
			if strings.Contains(path, "/index/live/") || !strings.Contains(path, "/c/") {
				continue // what changes, and lists
			}
			objects, most = objects+1, max(most, n)
			if strings.Contains(path, "/seg/") {
				media++
			}
			if n > 1 {
				t.Errorf("origin %d has read %s %d times", i, path, n)
			}
		}
		r.mu.Unlock()
		t.Logf("origin %d has read %d objects, %d of them segments, at most %d times", i, objects, media, most)
		if media < 30 {
			t.Errorf("origin %d has read %d segments: this test looks at nothing", i, media)
		}
	}
	t.Logf("%d bodies of %d names and edges, %d asked for again", p.bodies, len(p.first), p.again)
	sender.Process.Kill()
	sender.Wait()
	w.stop()
}
