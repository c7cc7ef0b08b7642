package origin

import (
	"fmt"
	"net/http"
	"testing"
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
