package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"flambeau/ingest"
	"flambeau/ingest/file"
	"flambeau/origin"
	"flambeau/packager"
	"flambeau/packager/timeline"
	"flambeau/storage"
	"flambeau/storage/memory"
	"flambeau/storage/storagetest"
	"flambeau/testdata"
)

// storeLatency is how long the store of origins apart thinks before each answer: as an object store of the same city.
const storeLatency = 15 * time.Millisecond

// apart is one process of role origin over a store that is not a file store, listening on the loopback. It counts what it reads.
type apart struct {
	*process
	url string

	mu    sync.Mutex
	reads map[string]int // of each object that never changes
	hurt  map[string]int // faults that befell them
}

// newApart starts an origin. hurts says what befalls the nth read of an object.
func newApart(t *testing.T, truth storage.Store, channel ChannelConfig, hurts func(key string, nth int) storagetest.Fault) *apart {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	a := &apart{reads: map[string]int{}, hurt: map[string]int{}}
	counting := &storagetest.Faulty{Store: truth, Decide: func(op storagetest.Op) storagetest.Fault {
		f := storagetest.Fault{Latency: storeLatency}
		if op.Name != "get" || !timeline.Immutable(op.Key) {
			return f
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.reads[op.Key]++
		if hurts != nil {
			if f = hurts(op.Key, a.reads[op.Key]); f.Err != nil || f.Half {
				a.hurt[op.Key]++
			}
		}
		return f
	}}
	a.process = &process{
		log: log, role: "origin", store: counting, metrics: newMetrics(log), followers: origin.Channels{}, addresses: map[string]net.Addr{}, draining: make(chan struct{}),
		config: Config{
			Store: StoreConfig{Kind: "memory"}, Cache: CacheConfig{Size: minCache}, Channels: []ChannelConfig{channel},
			Listen: ListenConfig{Media: "127.0.0.1:0", Admin: "127.0.0.1:0", Metrics: "127.0.0.1:0"},
		},
	}
	a.edge = packager.NewEdge(a.openCache())
	ctx, stop := context.WithCancel(t.Context())
	began, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- a.run(ctx, func() { close(began) }) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-began:
	case err := <-ended:
		t.Fatal(err)
	}
	a.url = "http://" + a.addresses["media"].String() + "/live/c/"
	return a
}

// onAir packages the demo's feed into a store, in its own time, until the test ends.
func onAir(t *testing.T, s storage.Store, channel ChannelConfig) {
	log := slog.New(slog.DiscardHandler)
	p := &process{
		log: log, store: s, metrics: newMetrics(log), role: "ingest", followers: origin.Channels{}, config: Config{Worker: "a"},
		inputs: map[string][]ingest.Source{"c": {file.New(file.Config{Open: file.FromBytes(testdata.Demo), Name: "demo", Loop: true, Ahead: 20 * time.Second})}},
	}
	ctx, stop := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	writing.Go(func() { p.write(ctx, channel) })
	t.Cleanup(func() { stop(); writing.Wait() })
}

// pulled is what the pullers got, by what it should be equal for: an object's name, a manifest's name and edge.
type pulled struct {
	t      *testing.T
	client *http.Client
	mu     sync.Mutex
	first  map[string][32]byte
	bodies int
	again  int // answers that had to be asked for again
	from   map[string]map[string]bool
}

// tries is how often a puller asks before it gives up, as players do.
const tries = 8

// pull gets a path of one origin.
func (p *pulled) pull(url, path string) string {
	for range tries {
		resp, err := p.client.Get(url + path)
		if err != nil {
			p.t.Error(err)
			return ""
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil && resp.StatusCode == http.StatusOK {
			p.keep(url, path, b)
			return string(b)
		}
		p.mu.Lock()
		p.again++
		p.mu.Unlock()
		time.Sleep(50 * time.Millisecond)
	}
	p.t.Errorf("%s%s was not to be had", url, path)
	return ""
}

func (p *pulled) keep(url, path string, b []byte) {
	key := path + " " + edgeOf(path, string(b))
	sum := sha256.Sum256(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bodies++
	if before, ok := p.first[key]; !ok {
		p.first[key], p.from[key] = sum, map[string]bool{}
	} else if before != sum {
		p.t.Errorf("%s: other bytes for an equal edge", key)
	}
	p.from[key][url] = true
}

var (
	segments = regexp.MustCompile(`(?m)^\d+\.m4s$`)
	inits    = regexp.MustCompile(`init-[0-9a-f]{8}\.mp4`)
	edges    = regexp.MustCompile(`publishTime="[^"]*"|<S [^>]*>`)
)

// edgeOf says where a manifest stands, of an MPD in each of its renditions; of objects it says nothing.
func edgeOf(path, body string) string {
	switch {
	case strings.HasSuffix(path, ".m3u8"):
		return strings.Join(segments.FindAllString(body, -1), " ")
	case strings.HasSuffix(path, ".mpd"):
		return strings.Join(edges.FindAllString(body, -1), " ")
	}
	return ""
}

// watch plays one rendition: the manifests, what they list, and then each next segment before it is there.
func (p *pulled) watch(url, rendition string, live int) {
	p.pull(url, "index.m3u8")
	p.pull(url, "manifest.mpd")
	list := p.pull(url, rendition+"/index.m3u8")
	p.pull(url, rendition+"/"+inits.FindString(list))
	listed := segments.FindAllString(list, -1)
	if len(listed) == 0 {
		p.t.Errorf("nothing is listed:\n%s", list)
		return
	}
	for _, name := range listed {
		p.pull(url, rendition+"/"+name)
	}
	next, err := strconv.ParseInt(strings.TrimSuffix(listed[len(listed)-1], ".m4s"), 10, 64)
	if err != nil {
		p.t.Error(err)
	}
	for range live {
		next++
		p.pull(url, fmt.Sprintf("%s/%d.m4s", rendition, next))
		p.pull(url, rendition+"/index.m3u8")
		p.pull(url, "manifest.mpd")
	}
}

// TestTwoColdOriginsUnderTwoHundredPullers: equal bytes for equal edges, and each object is read once by each origin, however many
// pull it and whenever: also the newest, for which a hundred wait when it appears.
func TestTwoColdOriginsUnderTwoHundredPullers(t *testing.T) {
	for _, c := range []struct {
		name  string
		hurts func(string, int) storagetest.Fault
	}{{"of a store that is well", nil}, {"of a store that is ill", illness}} {
		t.Run(c.name, func(t *testing.T) { underPullers(t, c.hurts) })
	}
}

// illness lets the first read of every second object fail, break off or take long.
func illness(key string, nth int) (f storagetest.Fault) {
	h := fnv.New32()
	io.WriteString(h, key)
	f.Latency = storeLatency
	if nth > 1 {
		return f
	}
	switch h.Sum32() % 6 {
	case 0:
		f.Err = errors.New("no answer")
	case 1:
		f.Half = true
	case 2:
		f.Latency = 400 * time.Millisecond
	}
	return f
}

func underPullers(t *testing.T, hurts func(string, int) storagetest.Fault) {
	const pullers, live = 200, 3
	channel := ChannelConfig{ID: "c", Segment: 2 * time.Second, Part: 500 * time.Millisecond, Window: 15 * time.Minute, Archive: time.Hour}
	truth := memory.New()
	onAir(t, truth, channel)
	time.Sleep(time.Second)
	origins := []*apart{newApart(t, truth, channel, hurts), newApart(t, truth, channel, hurts)}
	p := &pulled{t: t, first: map[string][32]byte{}, from: map[string]map[string]bool{}}
	p.client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: pullers, DisableCompression: true}}
	defer p.client.CloseIdleConnections()
	var all sync.WaitGroup
	for i := range pullers {
		all.Go(func() { p.watch(origins[i%2].url, []string{"v360", "v360", "a-en", "a-fr"}[i/2%4], live) })
	}
	all.Wait()
	p.judge()
	for i, o := range origins {
		o.judge(t, i)
	}
	t.Logf("%d bodies of %d names and edges, %d asked for again", p.bodies, len(p.first), p.again)
}

// judge: the comparison has compared something.
func (p *pulled) judge() {
	both, manifests := 0, 0
	for key, from := range p.from {
		if len(from) == 2 {
			both++
			if !strings.Contains(key, ".m4s ") && !strings.Contains(key, ".mp4 ") {
				manifests++
			}
		}
	}
	if both < 30 || manifests < 4 {
		p.t.Errorf("%d answers came from both origins, %d of them manifests: this test looks at nothing", both, manifests)
	}
}

func (a *apart) judge(t *testing.T, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	media, most, hurt := 0, 0, 0
	for key, reads := range a.reads {
		if reads > 1+a.hurt[key] {
			t.Errorf("origin %d has read %s %d times, of which %d failed", n, key, reads, a.hurt[key])
		}
		if strings.Contains(key, "/seg/") {
			media++
		}
		most, hurt = max(most, reads), hurt+a.hurt[key]
	}
	if media < 30 {
		t.Errorf("origin %d has read %d segments: this test looks at nothing", n, media)
	}
	metrics := string(get(t, "http://"+a.addresses["metrics"].String()+"/metrics", time.Second))
	for _, result := range storage.CacheResults {
		if m := regexp.MustCompile(`flambeau_cache_requests_total\{result="` + result + `"\} (\d+)`).FindStringSubmatch(metrics); m == nil || (m[1] == "0") != (result == "pass") {
			t.Errorf("origin %d: /metrics says of %s: %q", n, result, m)
		}
	}
	if m := regexp.MustCompile(`flambeau_cache_bytes ([1-9]\S*)`).FindStringSubmatch(metrics); m == nil {
		t.Errorf("origin %d: /metrics does not say how much is held", n)
	}
	t.Logf("origin %d has read %d objects, at most %d times, with %d faults", n, len(a.reads), most, hurt)
}
