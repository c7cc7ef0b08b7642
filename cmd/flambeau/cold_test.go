package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"flambeau/origin"
	"flambeau/packager"
	"flambeau/packager/timeline"
	"flambeau/storage"
	"flambeau/storage/memory"
	"flambeau/storage/storagetest"
)

const (
	coldSlot  = 12 * time.Second
	coldStart = 1_770_000_000 // Unix seconds; it begins a slot
)

// lean stores everything but segments: 17 days of them are of no use to who counts reads of indexes.
type lean struct{ storage.Store }

func (l lean) Put(ctx context.Context, key string, body []byte, how storage.Put) (storage.Version, error) {
	if strings.Contains(key, "/seg/") {
		return "not kept", nil
	}
	return l.Store.Put(ctx, key, body, how)
}

// publishAir publishes a channel's slots as its worker does, a generation a day, as fast as it takes them.
func publishAir(t *testing.T, s storage.Store, air time.Duration) {
	t.Helper()
	p, err := packager.OpenPublisher(t.Context(), packager.PublisherConfig{
		Channel: "c", Worker: "a", Store: lean{s}, Observe: newMetrics(nil).channel("c", nil, func() {}), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	cuts, done := make(chan packager.Cut, 512), make(chan error, 1)
	go func() { done <- p.Run(t.Context(), cuts, func(int64) {}) }()
	const first = coldStart / int64(coldSlot/time.Second)
	slots, day := int64(air/coldSlot), int64(24*time.Hour/coldSlot)
	g := timeline.Generation{T0: coldStart * 90000, S0: first, Timescale: 90000, Why: "start", Renditions: []timeline.Rendition{
		{ID: "v360", Kind: "video", Codec: "avc1.64001e", Timescale: 90000, SourceTimescale: 90000, Width: 640, Height: 360, FrameRate: timeline.Seconds(25, 1), Range: "SDR", Bandwidth: 600000, Average: 500000},
	}}
	shape := &timeline.Shape{Format: timeline.Format, Channel: "c", Slot: timeline.Seconds(12, 1), TargetDuration: 12, Part: timeline.Seconds(12, 25), Interval: timeline.Seconds(2, 1), Reference: "v360"}
	name := timeline.GenerationName{}
	for n := range slots {
		if n%day == 0 {
			g.Number, g.S0, g.T0 = int(n/day), first+n, (first+n)*12*90000
			body := fmt.Sprint("init ", n/day)
			g.Renditions = slices.Clone(g.Renditions)
			g.Renditions[0].Init = hashOf(body)
			if n == 0 {
				shape.First = g
			}
			opened := &packager.Opened{Generation: g, Inits: []packager.Init{{Rendition: "v360", Hash: g.Renditions[0].Init, Body: []byte(body)}}}
			if n == 0 {
				opened.Shape = shape
			} else {
				_, hash := g.Encode()
				name = timeline.GenerationName{Number: g.Number, Hash: hash.Short()}
			}
			cuts <- opened
		}
		cuts <- &packager.Closed{Rendition: "v360", Of: name, Body: []byte("segment"), Row: timeline.Row{
			Slot: first + n, Generation: g.Number, Start: (first + n) * 12 * 90000, Duration: 12 * 90000, Size: 7, Hash: hashOf("segment"),
			Keys: []timeline.Key{{Offset: 1, Size: 3}},
		}}
	}
	close(cuts)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestAColdOriginReadsAHandfulOfObjectsAndServes: what lies behind a channel costs an origin nothing until it has served.
func TestAColdOriginReadsAHandfulOfObjectsAndServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		publishAir(t, s, 17*24*time.Hour+37*time.Minute)
		reads, afterwards := map[string]int{}, 0
		var mu sync.Mutex
		watched := &storagetest.Faulty{Store: s, Decide: func(op storagetest.Op) storagetest.Fault {
			mu.Lock()
			defer mu.Unlock()
			path := strings.Split(op.Key, "/")
			switch {
			case path[1] == "anchor" && !strings.HasPrefix(path[2], "17-"):
				afterwards++
			default:
				reads[op.Name+" "+strings.Join(path[1:len(path)-1], "/")]++
			}
			return storagetest.Fault{Latency: storeLatency}
		}}
		f := origin.NewFollower(watched, "c", 15*time.Minute, slog.New(slog.DiscardHandler))
		srv := &origin.Server{Channels: origin.Channels{"c": f}, Store: watched, Archive: time.Hour, Observe: newMetrics(nil), Log: slog.New(slog.DiscardHandler)}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go f.Run(ctx)
		began := time.Now()
		ask := func(path string) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			srv.ServeHTTP(w, httptest.NewRequest("GET", "/live/c/"+path, nil))
			return w
		}
		w := ask("v360/index.m3u8")
		took := time.Since(began)
		mu.Lock()
		all := 0
		for _, n := range reads {
			all += n
		}
		t.Logf("answered after %v: %d requests to the store, %v", took, all, reads)
		mu.Unlock()
		if listed := strings.Count(w.Body.String(), ".m4s"); w.Code != 200 || listed != 75 {
			t.Errorf("%d, %d segments are listed\n%s", w.Code, listed, w.Body)
		}
		// 75 ms are five answers of the store, one after the other: shape, roots' names, roots, pages, generation.
		if all > 12 || took > 5*storeLatency {
			t.Errorf("%d requests to the store, and %v, until the first manifest", all, took)
		}
		// What has left the window is known a little later, and who asks at once waits for it.
		if w := ask("v360/init-" + hashOf("init 3").Short() + ".mp4"); w.Code != 200 || w.Body.String() != "init 3" {
			t.Errorf("the init of the third day: %d %s", w.Code, w.Body)
		}
		if took := time.Since(began); took > 10*storeLatency || afterwards != 16 {
			t.Errorf("it took %v, and %d records were read afterwards", took, afterwards)
		}
		stop()
		synctest.Wait()
	})
}

func hashOf(s string) timeline.Hash { return sha256.Sum256([]byte(s)) }
