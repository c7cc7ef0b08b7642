package origin

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"flambeau/packager/timeline"
	"flambeau/storage"
	"flambeau/storage/memory"
	"flambeau/storage/storagetest"
)

// watchedGets is a store and what was asked of it.
func watchedGets(s storage.Store) (storage.Store, *[]storagetest.Op) {
	var asked []storagetest.Op
	return &storagetest.Faulty{Store: s, Decide: func(op storagetest.Op) storagetest.Fault {
		if op.Name == "get" {
			asked = append(asked, op)
		}
		return storagetest.Fault{}
	}}, &asked
}

func TestWhatTheIndexKnowsIsNotAskedOfTheStore(t *testing.T) {
	m := memory.New()
	st := newStation(t, m)
	st.air(10)
	watched, asked := watchedGets(m)
	srv, f := newTestServer(watched, 15*time.Minute)
	look(t, f)
	init := "/live/c/v360/init-" + st.shape.First.Renditions[0].Init.Short() + ".mp4"
	for _, path := range []string{segment("v360", 3), segment("a-en", 9), init} {
		whole := get(srv, "GET", path)
		tag := whole.Header().Get("ETag")
		*asked = nil
		for _, method := range []string{"GET", "HEAD"} {
			for _, none := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
				w := get(srv, method, path, "If-None-Match", none)
				want(t, w, http.StatusNotModified, "")
				if w.Header().Get("ETag") != tag || w.Header().Get("Cache-Control") != whole.Header().Get("Cache-Control") {
					t.Errorf("304 says %v", w.Header())
				}
			}
		}
		if len(*asked) != 0 {
			t.Errorf("%s: %d gets for what has not changed", path, len(*asked))
		}
		head := get(srv, "HEAD", path)
		if path != init && len(*asked) != 0 {
			t.Errorf("%s: %d gets for a HEAD", path, len(*asked))
		}
		if head.Code != 200 || head.Body.Len() != 0 || fmt.Sprint(head.Header()) != fmt.Sprint(whole.Header()) {
			t.Errorf("HEAD %s: %d %v, want %v", path, head.Code, head.Header(), whole.Header())
		}
		want(t, get(srv, "GET", path, "If-None-Match", `"another"`), 200, whole.Body.String())
	}
}

func TestWhatOnlyTheStoreKnowsIsAskedOfIt(t *testing.T) {
	m := memory.New()
	st := newStation(t, m)
	st.air(100)
	st.index.Rows = st.index.Rows[50*3:]
	st.root()
	if err := m.Delete(t.Context(), timeline.SegmentKey("c", "v360", firstSlot+1)); err != nil {
		t.Fatal(err)
	}
	srv, f := newTestServer(m, 15*time.Minute)
	look(t, f)
	for _, method := range []string{"GET", "HEAD"} {
		want(t, get(srv, method, segment("v360", 2), "If-None-Match", fmt.Sprintf(`"v360-%d"`, firstSlot+2)), 304, "")
		want(t, get(srv, method, segment("v360", 1), "If-None-Match", fmt.Sprintf(`"v360-%d"`, firstSlot+1)), 404, "")
	}
	if w := get(srv, "HEAD", segment("v360", 2)); w.Code != 200 || w.Header().Get("Content-Length") != fmt.Sprint(len("segment  of v360, forty bytes of it and more")+len(fmt.Sprint(firstSlot))) {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestAPartIsAskedOfTheStoreAsAPart(t *testing.T) {
	m := memory.New()
	st := newStation(t, m)
	st.air(10)
	watched, asked := watchedGets(m)
	srv, f := newTestServer(watched, 15*time.Minute)
	look(t, f)
	whole := get(srv, "GET", segment("v360", 3)).Body.String()
	*asked = nil
	w := get(srv, "GET", segment("v360", 3), "Range", "bytes=4-9")
	want(t, w, 206, "")
	if w.Body.String() != whole[4:10] {
		t.Errorf("%q of %q", w.Body, whole)
	}
	if last := (*asked)[len(*asked)-1]; last.What != (storage.Get{Offset: 4, Length: 6}) {
		t.Errorf("asked for %+v", last.What)
	}
	// The store goes away between: nothing of the part is left in the refusal.
	m2 := &storagetest.Faulty{Store: m, Decide: func(op storagetest.Op) (f storagetest.Fault) {
		if op.What.Length > 0 {
			f.Err = fmt.Errorf("down")
		}
		return f
	}}
	srv.Store = m2
	w = get(srv, "GET", segment("v360", 3), "Range", "bytes=4-9")
	want(t, w, 503, "store")
	if w.Header().Get("Content-Range") != "" || w.Header().Get("Accept-Ranges") != "" || w.Header().Get("ETag") != "" {
		t.Errorf("%v", w.Header())
	}
}

// A record that nobody shows any more and that is gone, or broken, is owed no more; one that is late is waited for by who asks for it.
func TestRecordsOfGenerationsThatHaveLeftTheViewComeAfterwards(t *testing.T) {
	for what, code := range map[string]int{"there": 200, "late": 200, "gone": 404, "broken": 404} {
		synctest.Test(t, func(t *testing.T) {
			m := memory.New()
			st := newStation(t, m)
			st.air(10)
			st.shape.First.Renditions = slices.Clone(st.shape.First.Renditions)
			old := &st.shape.First.Renditions[0]
			old.Init[0] ^= 0xff
			st.put(timeline.InitKey("c", "v360", old.Init), "old init")
			path := "/live/c/v360/init-" + old.Init.Short() + ".mp4"
			st.generation()
			st.air(10)
			owed := timeline.AnchorKeyNamed("c", st.index.Generations[1])
			st.shape.First.Renditions = slices.Clone(st.shape.First.Renditions)
			st.shape.First.Renditions[0].Init[0] ^= 0xf0
			st.generation()
			st.air(600)
			switch what {
			case "gone":
				if err := m.Delete(t.Context(), owed); err != nil {
					t.Fatal(err)
				}
			case "broken":
				st.put(owed, "{}")
			}
			failures := 0
			faulty := &storagetest.Faulty{Store: m, Decide: func(op storagetest.Op) (f storagetest.Fault) {
				if op.Key == owed && what == "late" && failures < 2 {
					failures++
					f.Err = fmt.Errorf("down")
				}
				return f
			}}
			srv, f := newTestServer(faulty, 15*time.Minute)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			go f.Run(ctx)
			began := time.Now()
			want(t, get(srv, "GET", "/live/c/v360/index.m3u8"), 200, "EXTINF")
			if took := time.Since(began); took > 0 {
				t.Errorf("%s: the playlist waited %v", what, took)
			}
			want(t, get(srv, "GET", path), code, "")
			if took := time.Since(began); took > firstWait/2 || (took > 0) != (what == "late") {
				t.Errorf("%s: the init took %v", what, took)
			}
			if !f.Newest().Whole || !f.Ready() {
				t.Errorf("%s: something is owed still", what)
			}
			stop()
			synctest.Wait()
		})
	}
}
