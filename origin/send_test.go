package origin

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"flambeau/packager/timeline"
	"flambeau/storage"
	"flambeau/storage/file"
	"flambeau/storage/memory"
)

// BenchmarkASegment is what a request for two megabytes costs the process that answers and the client that drops them, over the
// loopback: out of the cache, and out of a file store, from where the kernel sends them.
func BenchmarkASegment(b *testing.B) {
	folder, err := file.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	for name, s := range map[string]storage.Store{
		"cached": storage.Cached(memory.New(), 256<<20, timeline.Immutable, func(string) {}),
		"file":   folder,
	} {
		b.Run(name, func(b *testing.B) {
			st := newStation(b, s)
			st.air(10)
			st.put(timeline.SegmentKey("c", "v360", firstSlot), strings.Repeat("x", 2<<20))
			handler, f := newTestServer(s, 15*time.Minute)
			if err := f.look(b.Context()); err != nil {
				b.Fatal(err)
			}
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			srv := &http.Server{Handler: handler}
			go srv.Serve(ln)
			defer srv.Close()
			for what, part := range map[string]string{"whole": "", "part": "bytes=1000-600000"} {
				b.Run(what, func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						r, _ := http.NewRequest("GET", "http://"+ln.Addr().String()+segment("v360", 0), nil)
						if part != "" {
							r.Header.Set("Range", part)
						}
						answer, err := http.DefaultClient.Do(r)
						if err != nil {
							b.Fatal(err)
						}
						n, err := io.Copy(io.Discard, answer.Body)
						answer.Body.Close()
						if err != nil || n != answer.ContentLength || n < 500_000 {
							b.Fatal(n, err)
						}
						b.SetBytes(n)
					}
				})
			}
		})
	}
}
