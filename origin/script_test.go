package origin

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flambeau/packager/timeline"
	"flambeau/storage"
	"flambeau/storage/memory"
)

// air is the media time at which the scripts' channel begins: slot 885195000 of 2 s.
var air = time.Date(2026, 2, 6, 20, 0, 0, 0, time.UTC)

const firstSlot = 885204000

// testShape is 25 frames a second, a key frame every 2 s, one picture and two sounds.
func testShape() timeline.Shape {
	t0 := air.Unix() * 90000
	g := timeline.Generation{T0: t0, Timescale: 90000, S0: firstSlot, Why: "start", Renditions: []timeline.Rendition{
		{ID: "v360", Kind: "video", Codec: "avc1.64001e", Timescale: 90000, SourceTimescale: 90000, Width: 640, Height: 360, FrameRate: timeline.Seconds(25, 1), Range: "SDR", Bandwidth: 600000, Average: 500000, Init: sha256.Sum256([]byte("init v360"))},
		{ID: "a-en", Kind: "audio", Codec: "mp4a.40.2", Timescale: 48000, SourceTimescale: 90000, SampleRate: 48000, Channels: 2, Language: "en", Frame: 1024, First: air.Unix() * 48000, Bandwidth: 80000, Average: 70000, Init: sha256.Sum256([]byte("init a-en"))},
		{ID: "a-fr", Kind: "audio", Codec: "mp4a.40.2", Timescale: 48000, SourceTimescale: 90000, SampleRate: 48000, Channels: 2, Language: "fr", Frame: 1024, First: air.Unix() * 48000, Bandwidth: 80000, Average: 70000, Init: sha256.Sum256([]byte("init a-fr"))},
	}}
	return timeline.Shape{Format: timeline.Format, Channel: "c", Slot: timeline.Seconds(2, 1), TargetDuration: 2, Part: timeline.Seconds(12, 25), Interval: timeline.Seconds(2, 1), Reference: "v360", First: g}
}

// station is a worker as an origin sees it: it puts objects, then the root.
type station struct {
	t     testing.TB
	store storage.Store
	index timeline.Index
	shape timeline.Shape // its First is the generation that is on air
	next  int64
}

func newStation(t testing.TB, s storage.Store) *station {
	st := &station{t: t, store: s, shape: testShape(), next: firstSlot}
	st.index = timeline.Index{Channel: "c", Worker: "a", Generations: []timeline.GenerationName{{Number: 0}}}
	for _, r := range st.shape.First.Renditions {
		st.put(timeline.InitKey("c", r.ID, r.Init), "init "+r.ID)
	}
	b, _ := st.shape.Encode()
	st.put(timeline.ShapeKey("c"), string(b))
	return st
}

func (st *station) put(key, body string) {
	if _, err := st.store.Put(context.Background(), key, []byte(body), storage.Put{}); err != nil {
		st.t.Fatal(err)
	}
}

// air publishes n more slots.
func (st *station) air(n int) {
	for range n {
		for _, r := range st.shape.First.Renditions {
			body := fmt.Sprintf("segment %d of %s, forty bytes of it and more", st.next, r.ID)
			st.put(timeline.SegmentKey("c", r.ID, st.next), body)
			ts := int64(r.Timescale)
			row := timeline.Row{Slot: st.next, Generation: st.shape.First.Number, Start: air.Unix()*ts + (st.next-firstSlot)*2*ts, Duration: 2 * ts, Size: int64(len(body)), Hash: sha256.Sum256([]byte(body))}
			row.Keys = []timeline.Key{{Offset: 8, Size: 20}}
			st.index.Rows = append(st.index.Rows, timeline.RenditionRow{Rendition: r.ID, Row: row})
		}
		st.next++
	}
	st.put(timeline.RootKey("c", "a"), string(st.index.Encode()))
}

type nobody struct{}

func (nobody) Answered(string, int, time.Duration, int64) {}
func (nobody) Blocked(int)                                {}

func newTestServer(s storage.Store, window time.Duration) (*Server, *Follower) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	f := NewFollower(s, "c", window, log)
	return &Server{Channels: Channels{"c": f, "dark": NewFollower(s, "dark", window, log)}, Store: s, Archive: 408 * time.Hour, Observe: nobody{}, Log: log, Draining: make(chan struct{})}, f
}

// TestScripts plays each testdata/*.txt against a channel of ten slots:
//
//	GET /live/c/index.m3u8      a request; "> Name: value" lines are its headers
//	200                         the status
//	Name: value                 a header, exactly; "Name:" it is absent
//	~ words                     the body has them; "! words" it has not
//	air 1 after 1s              (instead of a request) that many slots more, while the next request waits
func TestScripts(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txt")
	if len(files) == 0 {
		t.Fatal("no scripts")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) { play(t, string(b)) })
		})
	}
}

func play(t *testing.T, script string) {
	s := memory.New()
	st := newStation(t, s)
	st.air(10)
	srv, f := newTestServer(s, 15*time.Minute)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go f.Run(ctx)
	synctest.Wait()
	n := 0
	for block := range strings.SplitSeq(script, "\n\n") {
		line := strings.Count(script[:strings.Index(script, block)], "\n") + 1
		block = strings.TrimSpace(block)
		if block == "" || strings.HasPrefix(block, "#") && !strings.Contains(block, "\n") {
			continue
		}
		var slots int
		var after string
		if k, _ := fmt.Sscanf(block, "air %d after %s", &slots, &after); k == 2 {
			d, err := time.ParseDuration(after)
			if err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(d, func() { st.air(slots) })
			continue
		}
		n++
		ask(t, srv, line, strings.Split(block, "\n"))
	}
	if n == 0 {
		t.Fatal("a script that asks nothing")
	}
	stop()
	synctest.Wait()
}

func ask(t *testing.T, srv *Server, line int, lines []string) {
	t.Helper()
	for strings.HasPrefix(lines[0], "#") {
		lines = lines[1:]
	}
	method, url, _ := strings.Cut(lines[0], " ")
	r := httptest.NewRequest(method, url, nil)
	w := httptest.NewRecorder()
	lines = lines[1:]
	for len(lines) > 0 && strings.HasPrefix(lines[0], "> ") {
		k, v, _ := strings.Cut(lines[0][2:], ": ")
		r.Header.Set(k, v)
		lines = lines[1:]
	}
	start := time.Now()
	srv.ServeHTTP(w, r)
	body := w.Body.String()
	if w.Header().Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(z)
		body = string(b)
	}
	fail := func(format string, args ...any) {
		t.Helper()
		t.Errorf("line %d: %s %s: %s\n%v\n%s", line, method, url, fmt.Sprintf(format, args...), w.Header(), body)
	}
	if n := w.Header().Get("Content-Length"); n != "" && method == http.MethodGet && n != strconv.Itoa(w.Body.Len()) && w.Code != 304 {
		fail("Content-Length %s, body of %d", n, w.Body.Len())
	}
	if code, err := strconv.Atoi(lines[0]); err != nil || w.Code != code {
		fail("answered %d, want %s", w.Code, lines[0])
	}
	for _, want := range lines[1:] {
		switch words := want[min(2, len(want)):]; {
		case strings.HasPrefix(want, "~ "):
			if !strings.Contains(body, words) {
				fail("the body has no %q", words)
			}
		case strings.HasPrefix(want, "! "):
			if strings.Contains(body, words) {
				fail("the body has %q", words)
			}
		case strings.HasPrefix(want, "took "):
			if d, _ := time.ParseDuration(want[5:]); time.Since(start).Round(100*time.Millisecond) != d {
				fail("took %v, want %v", time.Since(start), d)
			}
		default:
			k, v, _ := strings.Cut(want, ":")
			if got := w.Header().Get(k); got != strings.TrimSpace(v) {
				fail("%s is %q, want %q", k, got, strings.TrimSpace(v))
			}
		}
	}
}
