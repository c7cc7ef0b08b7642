package origin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"flambeau/packager/timeline"
	"flambeau/storage"
	"flambeau/storage/memory"
	"flambeau/storage/storagetest"
)

func get(srv *Server, method, path string, header ...string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	srv.ServeHTTP(w, r)
	return w
}

func want(t *testing.T, w *httptest.ResponseRecorder, code int, words string) {
	t.Helper()
	if w.Code != code || !strings.Contains(w.Body.String(), words) {
		t.Errorf("answered %d %q, want %d with %q", w.Code, w.Body, code, words)
	}
}

func segment(rendition string, n int64) string {
	return fmt.Sprintf("/live/c/%s/%d.m4s", rendition, firstSlot+n)
}

// edgeIs looks at the edge that is shown, in slots after the first.
func edgeIs(t *testing.T, f *Follower, n int64) {
	t.Helper()
	if f.Newest() == nil {
		t.Fatal("nothing is shown")
	}
	if e, _ := f.Newest().Timeline.Edge(); e.Slot != firstSlot+n || f.Newest().Edge.Slot != e.Slot {
		t.Errorf("the edge is %d, want %d", e.Slot-firstSlot, n)
	}
}

func look(t *testing.T, f *Follower) {
	t.Helper()
	f.listed = time.Time{}
	if err := f.look(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// generation begins the next one, without the renditions that are named.
func (st *station) generation(without ...string) {
	g := st.shape.First
	g.Number, g.S0, g.T0 = st.shape.First.Number+1, st.next, (air.Unix()+2*(st.next-firstSlot))*90000
	g.Renditions = nil
	for _, r := range st.shape.First.Renditions {
		if !slices.Contains(without, r.ID) {
			g.Renditions = append(g.Renditions, r)
		}
	}
	b, h := g.Encode()
	st.put(timeline.AnchorKey("c", g.Number, h), string(b))
	st.index.Generations = append(st.index.Generations, timeline.GenerationName{Number: g.Number, Hash: h.Short()})
	st.shape.First = g // what is aired from now on
}

// turn moves the rows of all slots before n into a page.
func (st *station) turn(n int64) string {
	key := timeline.PageKey("c", "minute", air.Unix()+n, st.index.Worker, 0)
	page, keep := timeline.Index{Channel: "c", Worker: st.index.Worker}, []timeline.RenditionRow(nil)
	for _, r := range st.index.Rows {
		if r.Slot < firstSlot+n {
			page.Rows = append(page.Rows, r)
		} else {
			keep = append(keep, r)
		}
	}
	st.put(key, string(page.Encode()))
	st.index.Pages = append(st.index.Pages, timeline.Page{Key: key, First: page.Rows[0].Slot, Last: page.Rows[len(page.Rows)-1].Slot})
	st.index.Rows = keep
	st.root()
	return key
}

func (st *station) root() {
	st.put(timeline.RootKey("c", st.index.Worker), string(st.index.Encode()))
}

func TestARenditionThatWasAwayForAGenerationIsAnsweredAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		st := newStation(t, s)
		full := st.shape.First.Renditions
		st.air(5)
		st.generation("a-fr")
		st.air(5)
		st.shape.First.Renditions = full
		st.generation()
		st.air(5)
		srv, f := newTestServer(s, 15*time.Minute)
		look(t, f)
		want(t, get(srv, "GET", "/live/c/a-fr/index.m3u8"), 200, fmt.Sprint(firstSlot+12, ".m4s"))
		began := time.Now()
		for _, n := range []int64{2, 12, 14} {
			want(t, get(srv, "GET", segment("a-fr", n)), 200, "of a-fr")
		}
		want(t, get(srv, "GET", segment("a-fr", 7)), 404, "is none of a-fr")
		if took := time.Since(began); took > 0 {
			t.Errorf("held for %v what was known", took)
		}
		want(t, get(srv, "GET", segment("a-fr", 15)), 404, "not there yet")
		if took := time.Since(began); took != 6*time.Second {
			t.Errorf("held the next slot for %v", took)
		}
	})
}

func TestABrokenRootHidesNobodysNews(t *testing.T) {
	s := memory.New()
	st := newStation(t, s)
	st.air(10)
	_, f := newTestServer(s, 15*time.Minute)
	look(t, f)
	st.put(timeline.RootKey("c", "0"), "broken")
	st.put(timeline.RootKey("c", "b"), "broken")
	f.listed = time.Time{}
	st.air(1)
	if err := f.look(t.Context()); err == nil || !strings.Contains(err.Error(), "live/b.idx") || !strings.Contains(err.Error(), "live/0.idx") {
		t.Errorf("the broken roots are not named: %v", err)
	}
	edgeIs(t, f, 10)
	st.air(1)
	if err := f.look(t.Context()); err != nil {
		t.Errorf("a broken root that has not changed was read again: %v", err)
	}
	edgeIs(t, f, 11)
}

func TestARootThatHangsHoldsUpNobodysNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		st := newStation(t, s)
		st.air(10)
		st.put(timeline.RootKey("c", "0"), "never read")
		hangs := &storagetest.Faulty{Store: s, Decide: func(op storagetest.Op) storagetest.Fault {
			return storagetest.Fault{Hang: op.Name == "get" && op.Key == timeline.RootKey("c", "0")}
		}}
		_, f := newTestServer(hangs, 15*time.Minute)
		began := time.Now()
		if err := f.look(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("said %v", err)
		}
		if took := time.Since(began); took != rootTimeout {
			t.Errorf("took %v", took)
		}
		edgeIs(t, f, 9)
	})
}

func TestARootThatIsDeletedIsFollowedNoMore(t *testing.T) {
	s := memory.New()
	st := newStation(t, s)
	st.air(10)
	st.put(timeline.RootKey("c", "b"), string(timeline.Index{Channel: "c", Worker: "b"}.Encode()))
	_, f := newTestServer(s, 15*time.Minute)
	look(t, f)
	if err := s.Delete(t.Context(), timeline.RootKey("c", "b")); err != nil {
		t.Fatal(err)
	}
	st.air(1)
	look(t, f)
	edgeIs(t, f, 10)
	if len(f.roots) != 1 {
		t.Errorf("%d roots are followed", len(f.roots))
	}
}

func TestNamesThatThereAreNotTakeNoMemory(t *testing.T) {
	s := memory.New()
	st := newStation(t, s)
	st.air(10)
	srv, f := newTestServer(s, 15*time.Minute)
	look(t, f)
	for i := range 100 {
		want(t, get(srv, "GET", fmt.Sprintf("/live/c/x%d/index.m3u8", i)), 404, "no such resource")
		want(t, get(srv, "GET", fmt.Sprintf("/live/c/x%d/iframes.m3u8", i)), 404, "no such resource")
	}
	want(t, get(srv, "GET", "/live/c/a-en/iframes.m3u8"), 404, "no such resource")
	if n := len(f.Newest().rendered); n != 0 {
		t.Errorf("%d manifests are kept", n)
	}
	want(t, get(srv, "GET", "/live/c/v360/iframes.m3u8"), 200, "I-FRAMES")
	if n := len(f.Newest().rendered); n != 1 {
		t.Errorf("%d manifests are kept of one that there is", n)
	}
}

// box is one box (ISO/IEC 14496-12, 4.2).
func box(kind, body string) string {
	return string([]byte{0, 0, 0, byte(8 + len(body))}) + kind + body
}

func TestAGapIsAGapWhenItHasLeftTheView(t *testing.T) {
	s := memory.New()
	st := newStation(t, s)
	st.air(10)
	for i := range st.index.Rows {
		if r := &st.index.Rows[i]; r.Rendition == "a-en" && r.Slot == firstSlot+2 {
			r.Flags |= timeline.Gap
		}
	}
	st.put(timeline.SegmentKey("c", "a-en", firstSlot+2), box("styp", "cmfs")+box("uuid", "sixteen bytes of it, and the row"))
	st.put(timeline.SegmentKey("c", "a-en", firstSlot+3), box("styp", "cmfs")+box("moof", "")+box("mdat", "sound")+box("uuid", "row"))
	st.root()
	srv, f := newTestServer(s, 30*time.Second)
	look(t, f)
	now := get(srv, "GET", segment("a-en", 2))
	st.air(100)
	st.index.Rows = st.index.Rows[40*3:]
	st.root()
	srv, f = newTestServer(s, 30*time.Second)
	look(t, f)
	if f.Newest().first() <= firstSlot+3 {
		t.Fatal("the gap is in the view still")
	}
	later := get(srv, "GET", segment("a-en", 2))
	want(t, later, 404, "is a gap")
	if a, b := now.Header().Get("Cache-Control"), later.Header().Get("Cache-Control"); now.Code != 404 || a != b || now.Body.String() != later.Body.String() {
		t.Errorf("answered otherwise than before: %d %q %q", now.Code, a, b)
	}
	want(t, get(srv, "GET", segment("a-en", 3)), 200, "sound")
	want(t, get(srv, "GET", segment("a-en", 3), "Range", "bytes=0-3"), 206, "\x00\x00\x00\x0c")
}

func TestWhatIsNoTombstone(t *testing.T) {
	for _, b := range []string{"", "x", "\x00\x00\x00\x00styp", "\x00\x00\x00\x09styp", "\xff\xff\xff\xffstyp", box("styp", "") + "tail", box("styp", "") + box("mdat", ""), box("moof", "")} {
		if tombstone([]byte(b)) {
			t.Errorf("%q is taken for a tombstone", b)
		}
	}
}

func TestTheInitOfAGenerationThatHasLeftTheViewIsThere(t *testing.T) {
	s := memory.New()
	st := newStation(t, s)
	st.air(10)
	old := st.shape.First.Renditions
	st.shape.First.Renditions = slices.Clone(old)
	for i := range st.shape.First.Renditions {
		st.shape.First.Renditions[i].Init[0] ^= 0xff
	}
	st.generation("a-fr")
	st.air(600)
	srv, f := newTestServer(s, 15*time.Minute)
	look(t, f)
	if len(f.Newest().Timeline.Generations) != 1 {
		t.Fatal("the generation is in the view still")
	}
	for _, r := range old {
		want(t, get(srv, "GET", segment(r.ID, 3)), 200, "of "+r.ID)
		w := get(srv, "GET", "/live/c/"+r.ID+"/init-"+r.Init.Short()+".mp4")
		want(t, w, 200, "init "+r.ID)
		if got := w.Header().Get("Content-Type"); got != r.Kind+"/mp4" {
			t.Errorf("the init of %s is %s", r.ID, got)
		}
	}
	want(t, get(srv, "GET", "/live/c/a-fr/init-"+old[0].Init.Short()+".mp4"), 404, "")
	want(t, get(srv, "GET", "/live/c/a-fr/index.m3u8"), 404, "no such resource")
}

func TestARetiredWorkersRootChangesNothing(t *testing.T) {
	for _, cold := range []bool{false, true} {
		s := memory.New()
		st := newStation(t, s)
		st.index.Worker = "b"
		st.next += 5000
		st.root()
		airs := func(n int) {
			st.air(n) // which writes a's root: none yet
			if err := s.Delete(t.Context(), timeline.RootKey("c", "a")); err != nil {
				t.Fatal(err)
			}
			st.root()
		}
		airs(20)
		_, f := newTestServer(s, 15*time.Minute)
		if !cold {
			look(t, f)
		}
		old := newStation(t, s)
		old.air(5)
		look(t, f)
		edgeIs(t, f, 5019)
		if first := f.Newest().first(); first != firstSlot+5000 {
			t.Errorf("begins at %d", first-firstSlot)
		}
	}
}

func TestAnOriginThatWasCutOffForLongGoesOn(t *testing.T) {
	s := memory.New()
	st := newStation(t, s)
	st.air(20)
	_, f := newTestServer(s, 30*time.Second)
	look(t, f)
	st.air(500)
	st.turn(450)
	st.index.Pages = nil // pages that old are not looked for
	st.root()
	look(t, f)
	edgeIs(t, f, 519)
}

func TestTheEdgeNeverFalls(t *testing.T) {
	s := memory.New()
	st := newStation(t, s)
	st.air(30)
	whole := st.index.Rows
	st.index.Rows = whole[20*3:]
	st.root()
	srv, f := newTestServer(s, 15*time.Minute)
	look(t, f)
	before := get(srv, "GET", "/live/c/v360/index.m3u8").Body.String()
	// Another worker's root has older rows, and a hole before ours.
	b := timeline.Index{Channel: "c", Worker: "b", Rows: whole[:10*3]}
	st.put(timeline.RootKey("c", "b"), string(b.Encode()))
	look(t, f)
	edgeIs(t, f, 29)
	if after := get(srv, "GET", "/live/c/v360/index.m3u8").Body.String(); after != before {
		t.Errorf("the playlist has become\n%s", after)
	}
	// Were there a way all the same, what was shown stays.
	f.known = f.known.Since(0)
	for i := range f.known.Lines {
		f.known.Lines[i].Rows = f.known.Lines[i].Rows[:5]
	}
	f.show()
	edgeIs(t, f, 29)
}

// A playlist must not grow at its old end (RFC 8216, 6.2.2), whoever turns up with older rows.
func TestOlderRowsThatComeLaterChangeNothing(t *testing.T) {
	s := memory.New()
	st := newStation(t, s)
	st.air(30)
	whole := st.index.Rows
	st.index.Rows = whole[20*3:]
	st.root()
	srv, f := newTestServer(s, 15*time.Minute)
	look(t, f)
	before := get(srv, "GET", "/live/c/v360/index.m3u8").Body.String()
	b := timeline.Index{Channel: "c", Worker: "b", Rows: whole[:20*3]}
	st.put(timeline.RootKey("c", "b"), string(b.Encode()))
	look(t, f)
	if after := get(srv, "GET", "/live/c/v360/index.m3u8").Body.String(); after != before {
		t.Errorf("the playlist has become\n%s", after)
	}
}

func TestAPageOlderThanTheWindowIsNotRead(t *testing.T) {
	s := memory.New()
	st := newStation(t, s)
	st.air(200)
	st.turn(50)
	watched, reads := counted(s, "c/index/minute/")
	_, f := newTestServer(watched, 30*time.Second)
	look(t, f)
	edgeIs(t, f, 199)
	if reads.Load() != 0 {
		t.Error("it was read")
	}
}

// counted counts gets by the beginning of their key.
func counted(s storage.Store, prefix string) (storage.Store, *atomic.Int64) {
	var n atomic.Int64
	return &storagetest.Faulty{Store: s, Decide: func(op storagetest.Op) storagetest.Fault {
		if op.Name == "get" && strings.HasPrefix(op.Key, prefix) {
			n.Add(1)
		}
		return storagetest.Fault{}
	}}, &n
}

func TestAPageOfKnownRowsIsNotRead(t *testing.T) {
	s := memory.New()
	st := newStation(t, s)
	st.air(60)
	watched, reads := counted(s, "c/index/minute/")
	_, f := newTestServer(watched, 15*time.Minute)
	look(t, f)
	for n := int64(10); n <= 50; n += 10 {
		st.turn(n)
		st.air(1)
		look(t, f)
	}
	if reads.Load() != 0 {
		t.Errorf("%d pages were read of which all was known", reads.Load())
	}
	_, cold := newTestServer(watched, 15*time.Minute)
	look(t, cold)
	if reads.Load() != 5 {
		t.Errorf("an origin that knew nothing read %d pages of 5", reads.Load())
	}
	edgeIs(t, cold, 64)
	if first := cold.Newest().first(); first != firstSlot {
		t.Errorf("it begins at %d", first-firstSlot)
	}
}

func TestAPageThatIsBrokenStopsNothing(t *testing.T) {
	for _, deleted := range []bool{false, true} {
		s := memory.New()
		st := newStation(t, s)
		st.air(60)
		st.turn(20)
		bad := st.turn(40)
		_, warm := newTestServer(s, 15*time.Minute)
		look(t, warm)
		if deleted {
			if err := s.Delete(t.Context(), bad); err != nil {
				t.Fatal(err)
			}
		} else {
			st.put(bad, "broken")
		}
		_, cold := newTestServer(s, 15*time.Minute)
		if err := cold.look(t.Context()); err == nil {
			t.Error("nothing is said of it")
		}
		edgeIs(t, cold, 59)
		if first := cold.Newest().first(); first != firstSlot+40 {
			t.Errorf("begins at %d", first-firstSlot)
		}
		st.air(1)
		for _, f := range []*Follower{warm, cold} {
			look(t, f)
			edgeIs(t, f, 60)
		}
		if first := warm.Newest().first(); first != firstSlot {
			t.Errorf("who had read it has forgotten it, and begins at %d", first-firstSlot)
		}
	}
}

// A playlist must not grow at its old end (RFC 8216, 6.2.2), so a cold origin waits for a page that is late, but not for ever.
func TestAPageThatTheStoreDoesNotGiveIsWaitedForAndThenGivenUp(t *testing.T) {
	for _, comes := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := memory.New()
			st := newStation(t, s)
			st.air(60)
			late := st.turn(40)
			var there atomic.Bool
			faulty := &storagetest.Faulty{Store: s, Decide: func(op storagetest.Op) (f storagetest.Fault) {
				if op.Key == late && !there.Load() {
					f.Err = errors.New("no answer")
				}
				return f
			}}
			srv, f := newTestServer(faulty, 15*time.Minute)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			go f.Run(ctx)
			if comes {
				time.AfterFunc(5*time.Second, func() { there.Store(true) })
			}
			want(t, get(srv, "GET", "/live/c/v360/index.m3u8"), 404, "not published")
			if f.Ready() {
				t.Error("ready without the page")
			}
			want(t, get(srv, "GET", "/live/c/v360/index.m3u8"), map[bool]int{true: 200, false: 404}[comes], "")
			<-time.After(5 * time.Second)
			edgeIs(t, f, 59)
			first := int64(firstSlot)
			if !comes {
				first += 40
			}
			if got := f.Newest().first(); got != first || !f.Ready() {
				t.Errorf("begins at %d, ready: %v", got-firstSlot, f.Ready())
			}
			stop()
			synctest.Wait()
		})
	}
}

func channelTime(t *testing.T, srv *Server) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, get(srv, "GET", "/live/c/time").Body.String())
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestAChannelsTimeIsItsEdgeAndWhatHasPassedSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		st := newStation(t, s)
		srv, f := newTestServer(s, 15*time.Minute)
		at := func(what string, want time.Time) {
			t.Helper()
			if got := channelTime(t, srv); !got.Equal(want) {
				t.Errorf("%s: %v after air, want %v", what, got.Sub(air), want.Sub(air))
			}
		}
		at("before anything", time.Now())
		st.air(10)
		look(t, f)
		at("first seen", air.Add(20*time.Second))
		<-time.After(1500 * time.Millisecond)
		look(t, f) // the edge is the same
		at("later", air.Add(21500*time.Millisecond))
		early := st.index.Rows[len(st.index.Rows)-1] // sound of the next slot: news, and the edge is the same
		early.Slot++
		st.index.Rows = append(st.index.Rows, early)
		st.root()
		look(t, f)
		<-time.After(100 * time.Millisecond)
		at("later, with news", air.Add(21600*time.Millisecond))
		st.index.Rows = st.index.Rows[:len(st.index.Rows)-1]
		<-time.After(400 * time.Millisecond)
		st.air(1)
		look(t, f)
		at("in time", air.Add(22*time.Second))
		<-time.After(2300 * time.Millisecond)
		at("late", air.Add(24300*time.Millisecond))
		st.air(1)
		look(t, f)
		at("it stands", air.Add(24300*time.Millisecond))
		<-time.After(300 * time.Millisecond)
		at("and has caught up", air.Add(24300*time.Millisecond))
		<-time.After(100 * time.Millisecond)
		at("and goes on", air.Add(24400*time.Millisecond))
		if wall, _ := time.Parse(time.RFC3339, get(srv, "GET", "/time").Body.String()); !wall.Equal(time.Now()) {
			t.Errorf("/time says %v", wall)
		}
	})
}

func TestTheTimeOfADarkFeedGoesOnWhenAnOriginIsStartedAgain(t *testing.T) {
	for ahead, after := range map[time.Duration]time.Duration{0: 20*time.Second + time.Hour, 2 * time.Hour: 20 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			s := memory.New()
			st := newStation(t, s)
			st.air(10)
			for i := range st.index.Rows {
				st.index.Rows[i].Written = time.Now().Add(ahead).UnixMilli()
			}
			st.root()
			<-time.After(time.Hour)
			srv, f := newTestServer(s, 15*time.Minute)
			look(t, f)
			if got := channelTime(t, srv).Sub(air); got != after {
				t.Errorf("%v after air, want %v", got, after)
			}
		})
	}
}

func TestTooManyHeldRequestsAreToldToComeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		st := newStation(t, s)
		st.air(10)
		srv, f := newTestServer(s, 15*time.Minute)
		look(t, f)
		srv.held.Store(maxHeld)
		for _, path := range []string{segment("v360", 10), "/live/dark/index.m3u8"} {
			w := get(srv, "GET", path)
			want(t, w, http.StatusServiceUnavailable, "too many")
			if w.Header().Get("Retry-After") != "1" {
				t.Error("it is not said when to come again")
			}
		}
		srv.held.Add(-1)
		want(t, get(srv, "GET", segment("v360", 10)), 404, "not there yet")
		want(t, get(srv, "GET", segment("v360", 9)), 200, "")
		if n := srv.held.Load(); n != maxHeld-1 {
			t.Errorf("%d are held when none is", n-maxHeld+1)
		}
	})
}

func TestRangeIsOfGetAlone(t *testing.T) {
	s := memory.New()
	st := newStation(t, s)
	st.air(10)
	srv, f := newTestServer(s, 15*time.Minute)
	look(t, f)
	for _, path := range []string{segment("v360", 0), "/live/c/v360/index.m3u8"} {
		if w := get(srv, "HEAD", path, "Range", "bytes=0-3"); w.Code != 200 || w.Header().Get("Content-Range") != "" || w.Header().Get("Content-Length") == "4" {
			t.Errorf("HEAD %s with a range: %d %v", path, w.Code, w.Header())
		}
		want(t, get(srv, "GET", path, "Range", "bytes=0-3"), 206, "")
	}
}
