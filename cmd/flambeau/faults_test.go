package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"flambeau/ingest"
	"flambeau/ingest/file"
	"flambeau/origin"
	"flambeau/packager/audit"
	"flambeau/packager/timeline"
	"flambeau/storage"
	"flambeau/storage/memory"
	"flambeau/storage/storagetest"
	"flambeau/testdata"
)

// demoAir is how long each seed is on air.
const demoAir = 3 * time.Minute

// demoSeeds is how many seeds there are.
const demoSeeds = 24

// TestTheDemoOverAFaultyStore runs the process as serve draws it, in a bubble where time is free: a real transport stream, paced, a store
// on which requests fail before or after they take effect, or take long, and two origins as players see them. Nothing untrue may be said,
// and something must be said. What befalls the feed and the workers is TestTheWorld's.
func TestTheDemoOverAFaultyStore(t *testing.T) {
	for seed := range uint64(demoSeeds) {
		t.Run(fmt.Sprintf("seed_%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newDemoWorld(t, seed).turn() })
		})
	}
}

type demoWorld struct {
	t      *testing.T
	truth  storage.Store // what is really there
	store  storage.Store // as processes see it
	faults int
	seen   map[string]int64 // the newest media sequence of each playlist at each origin
	first  map[string]string
}

func newDemoWorld(t *testing.T, seed uint64) *demoWorld {
	w := &demoWorld{t: t, truth: memory.New(), seen: map[string]int64{}, first: map[string]string{}}
	dice := rand.New(rand.NewPCG(seed, 7))
	var mu sync.Mutex
	w.store = &storagetest.Faulty{Store: w.truth, Decide: func(storagetest.Op) storagetest.Fault {
		mu.Lock()
		defer mu.Unlock()
		f := storagetest.Fault{Latency: time.Duration(dice.IntN(30)) * time.Millisecond}
		if seed == 0 {
			return f // one world without faults
		}
		switch dice.IntN(40) {
		case 0:
			f.Err = errors.New("no answer")
		case 1:
			f.Err, f.After = errors.New("the answer was lost"), true
		case 2:
			f.Latency = time.Duration(dice.IntN(3000)) * time.Millisecond
		default:
			return f
		}
		w.faults++
		return f
	}}
	return w
}

func (w *demoWorld) turn() {
	ctx, stop := context.WithCancel(w.t.Context())
	defer stop()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	p := &process{
		log: log, store: w.store, metrics: newMetrics(log), role: "all", followers: origin.Channels{}, draining: make(chan struct{}),
		config: Config{Worker: "a", Channels: []ChannelConfig{{ID: "c", Segment: 2 * time.Second, Part: 500 * time.Millisecond, Window: time.Minute, Archive: time.Hour}}},
		inputs: map[string][]ingest.Source{"c": {file.New(file.Config{Open: file.FromBytes(testdata.Demo), Name: "demo", Loop: true})}},
	}
	var origins []*origin.Server
	var all sync.WaitGroup
	follow, stopFollowing := context.WithCancel(context.WithoutCancel(ctx))
	for range 2 {
		f := origin.NewFollower(w.store, "c", time.Minute, log)
		p.followers["c"] = f
		all.Go(func() { f.Run(follow) })
		origins = append(origins, &origin.Server{Channels: origin.Channels{"c": f}, Store: w.truth, Archive: time.Hour, Observe: p.metrics, Log: log, Draining: p.draining})
	}
	all.Go(func() { p.write(ctx, p.config.Channels[0]) })
	for began := time.Now(); time.Since(began) < demoAir; time.Sleep(700 * time.Millisecond) {
		for i, o := range origins {
			w.look(i, o)
		}
	}
	stop()
	time.Sleep(2 * drainLimit)
	stopFollowing()
	all.Wait()
	w.judge()
}

var sequence = regexp.MustCompile(`#EXT-X-MEDIA-SEQUENCE:(\d+)`)

// look pulls what a player would, and holds it against what was said before, by either origin.
func (w *demoWorld) look(i int, o *origin.Server) {
	for _, path := range []string{"v360/index.m3u8", "a-en/index.m3u8", "a-fr/index.m3u8", "manifest.mpd"} {
		rec := httptest.NewRecorder()
		o.ServeHTTP(rec, httptest.NewRequest("GET", "/live/c/"+path, nil))
		body := rec.Body.String()
		if rec.Code == 404 && len(w.seen) == 0 {
			continue // not on air yet
		}
		if rec.Code != 200 {
			w.t.Fatalf("origin %d: %s: %d %s", i, path, rec.Code, body)
		}
		m := sequence.FindStringSubmatch(body)
		if m == nil {
			continue
		}
		n, _ := strconv.ParseInt(m[1], 10, 64)
		lines := strings.Split(strings.TrimSpace(body), "\n")
		last := n - 1
		for _, line := range lines {
			if strings.HasSuffix(line, ".m4s") {
				last++
				w.listed(o, path[:strings.Index(path, "/")], line, last)
			}
		}
		key := fmt.Sprint(i, path)
		if last < w.seen[key] {
			w.t.Errorf("origin %d: %s went back from %d to %d", i, path, w.seen[key], last)
		}
		w.seen[key] = last
		edge := fmt.Sprint(path, n, last)
		if before, ok := w.first[edge]; ok && before != body {
			w.t.Errorf("origin %d: %s: other bytes for an equal edge", i, path)
		}
		w.first[edge] = body
	}
}

// listed: what a playlist names is there, under its number.
func (w *demoWorld) listed(o *origin.Server, rendition, name string, slot int64) {
	if name != strconv.FormatInt(slot, 10)+".m4s" {
		w.t.Errorf("%s is listed as number %d", name, slot)
	}
	key := rendition + "/" + name
	if _, done := w.first[key]; done {
		return
	}
	rec := httptest.NewRecorder()
	o.ServeHTTP(rec, httptest.NewRequest("GET", "/live/c/"+key, nil))
	if rec.Code != 200 {
		w.t.Errorf("%s is listed, and answers %d", key, rec.Code)
	}
	w.first[key] = ""
}

func (w *demoWorld) judge() {
	r, err := audit.Run(w.t.Context(), w.truth, "c", audit.Span{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range r.Findings {
		w.t.Error(f)
	}
	// Progress: what was on air is there, and the origins have seen it.
	if air := r.Last.Sub(r.First); air < demoAir-3*time.Second {
		w.t.Errorf("%v of %v are there", air, demoAir)
	}
	if r.Generations != 1 || r.Losses != 0 {
		w.t.Errorf("%d generations, %d losses", r.Generations, r.Losses)
	}
	w.gaps()
	for key, last := range w.seen {
		if want := r.Last.Add(-10*time.Second).Unix() / 2; last < want {
			w.t.Errorf("%s stands at %d, the air is at %d", key, last, want)
		}
	}
}

// gaps: only the slot that was cut short by the stop may have begun in one rendition and not yet in another.
func (w *demoWorld) gaps() {
	b, _, err := storage.ReadAll(w.t.Context(), w.truth, timeline.RootKey("c", "a"), storage.Get{}, timeline.MaxIndex)
	if err != nil {
		w.t.Fatal(err)
	}
	x, err := timeline.DecodeIndex(b)
	if err != nil {
		w.t.Fatal(err)
	}
	last := int64(0)
	for _, row := range x.Rows {
		last = max(last, row.Slot)
	}
	for _, row := range x.Rows {
		if row.Flags.Has(timeline.Gap) && row.Slot != last {
			w.t.Errorf("slot %d of %s is a gap, and the feed was whole", row.Slot, row.Rendition)
		}
	}
}
