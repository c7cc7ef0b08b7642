package s3_test

import (
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"flambeau/storage"
	"flambeau/storage/s3/s3test"
)

// segment is about what four seconds of 1 Mb/s come to.
const segment = 500_000

// BenchmarkOurCost is what a request costs this side: the other answers without a thought, in this process, and its work is
// counted too.
func BenchmarkOurCost(b *testing.B) {
	body := make([]byte, segment)
	s := against(b, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("ETag", `"v"`)
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			w.Write(body)
		}
	})
	b.Run("put", func(b *testing.B) { putAll(b, s, "k/") })
	b.Run("get", func(b *testing.B) { getAll(b, s, "k") })
}

// BenchmarkMinIO is what a put and a get take, end to end, one after the other and eight at once.
func BenchmarkMinIO(b *testing.B) {
	s := open(b, s3test.MinIO(b), "")
	b.Run("put", func(b *testing.B) { putAll(b, s, "one/") })
	if _, err := s.Put(b.Context(), "k", make([]byte, segment), storage.Put{}); err != nil {
		b.Fatal(err)
	}
	b.Run("get", func(b *testing.B) { getAll(b, s, "k") })
	var n atomic.Int64
	b.Run("put 8 at once", func(b *testing.B) {
		b.SetBytes(segment)
		b.SetParallelism(4) // of two cores
		body := make([]byte, segment)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := s.Put(b.Context(), fmt.Sprintf("many/%d", n.Add(1)), body, storage.Put{IfAbsent: true}); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

// perRequest reports the CPU time of this process, which a busy machine stretches less than the time on the wall.
func perRequest(b *testing.B, before time.Duration) {
	b.ReportMetric(float64((spent(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
}

func spent(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

var puts atomic.Int64

func putAll(b *testing.B, s storage.Store, prefix string) {
	b.SetBytes(segment)
	b.ReportAllocs()
	body := make([]byte, segment)
	defer perRequest(b, spent(b))
	for b.Loop() {
		if _, err := s.Put(b.Context(), fmt.Sprintf("%s%d", prefix, puts.Add(1)), body, storage.Put{IfAbsent: true}); err != nil {
			b.Fatal(err)
		}
	}
}

func getAll(b *testing.B, s storage.Store, key string) {
	b.SetBytes(segment)
	b.ReportAllocs()
	defer perRequest(b, spent(b))
	for b.Loop() {
		o, err := s.Get(b.Context(), key, storage.Get{})
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, o.Body)
		o.Body.Close()
		if n != segment || err != nil {
			b.Fatal(n, err)
		}
	}
}
