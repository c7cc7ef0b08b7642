package storage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"flambeau/storage"
	"flambeau/storage/memory"
	"flambeau/storage/storagetest"
)

func always(string) bool     { return true }
func never(string) bool      { return false }
func observesNothing(string) {}

func TestACacheKeepsTheContract(t *testing.T) {
	for name, c := range map[string]struct {
		limit     int64
		immutable func(string) bool
	}{"of everything, all of which fits": {64 << 20, always}, "of everything, little of which fits": {100, always}, "of nothing": {64 << 20, never}} {
		t.Run(name, func(t *testing.T) {
			storagetest.Run(t, func(*testing.T) storage.Store {
				return storage.Cached(memory.New(), c.limit, c.immutable, observesNothing)
			})
		})
	}
}

// place is a memory store that counts the gets of each key, and what a cache before it said.
type place struct {
	*storagetest.Faulty
	mu   sync.Mutex
	gets map[string]int
	said map[string]int
}

func newPlace(t *testing.T, objects map[string]string, decide func(storagetest.Op) storagetest.Fault) *place {
	m := memory.New()
	for key, body := range objects {
		if _, err := m.Put(t.Context(), key, []byte(body), storage.Put{}); err != nil {
			t.Fatal(err)
		}
	}
	p := &place{gets: map[string]int{}, said: map[string]int{}}
	p.Faulty = &storagetest.Faulty{Store: m, Decide: func(op storagetest.Op) storagetest.Fault {
		p.mu.Lock()
		if op.Name == "get" {
			p.gets[op.Key]++
		}
		p.mu.Unlock()
		if decide == nil {
			return storagetest.Fault{}
		}
		return decide(op)
	}}
	return p
}

func (p *place) cached(limit int64) *storage.Cache {
	return storage.Cached(p, limit, always, func(result string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.said[result]++
	})
}

func (p *place) reads(key string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gets[key]
}

func read(ctx context.Context, s storage.Store, key string, what storage.Get) (string, error) {
	o, err := s.Get(ctx, key, what)
	if err != nil {
		return "", err
	}
	defer o.Body.Close()
	b, err := io.ReadAll(o.Body)
	return string(b), err
}

func TestTwoHundredAtOnceAreOneRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, map[string]string{"k": "a segment"}, storagetest.Script(storagetest.Fault{Latency: 50 * time.Millisecond}))
		c := p.cached(1000)
		var all sync.WaitGroup
		for range 200 {
			all.Go(func() {
				if got, err := read(t.Context(), c, "k", storage.Get{}); got != "a segment" || err != nil {
					t.Errorf("%q %v", got, err)
				}
			})
		}
		all.Wait()
		if got, err := read(t.Context(), c, "k", storage.Get{Offset: 2, Length: 3}); got != "seg" || err != nil {
			t.Errorf("a range: %q %v", got, err)
		}
		if p.reads("k") != 1 || p.said["miss"] != 1 || p.said["wait"] != 199 || p.said["hit"] != 1 {
			t.Errorf("%d reads, %v", p.reads("k"), p.said)
		}
		if c.Bytes() != 9 {
			t.Errorf("%d bytes are held", c.Bytes())
		}
	})
}

func TestWhoeverLeavesHarmsNobodyAndTheLastOneEndsTheRead(t *testing.T) {
	for _, stay := range []int{1, 0} {
		synctest.Test(t, func(t *testing.T) {
			ended := make(chan error, 1)
			p := newPlace(t, map[string]string{"k": "x"}, nil)
			slow := &watched{Store: p, get: func(ctx context.Context) error {
				select {
				case <-time.After(10 * time.Second):
				case <-ctx.Done():
				}
				ended <- ctx.Err()
				return ctx.Err()
			}}
			c := storage.Cached(slow, 1000, always, observesNothing)
			var all sync.WaitGroup
			for i := range 10 {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if i >= stay {
					time.AfterFunc(time.Second, cancel) // the first among them: the read is not its own
				}
				all.Go(func() {
					began := time.Now()
					got, err := read(ctx, c, "k", storage.Get{})
					if i < stay && (got != "x" || err != nil) {
						t.Errorf("who stayed got %q, %v", got, err)
					}
					if i >= stay && (!errors.Is(err, context.Canceled) || time.Since(began) != time.Second) {
						t.Errorf("who left got %q, %v after %v", got, err, time.Since(began))
					}
				})
				synctest.Wait()
			}
			all.Wait()
			if err := <-ended; (err == nil) != (stay > 0) {
				t.Errorf("%d stayed, and the read ended with %v", stay, err)
			}
			if got, err := read(t.Context(), c, "k", storage.Get{}); got != "x" || err != nil || c.Bytes() != 1 {
				t.Errorf("after that: %q, %v, %d bytes are held", got, err, c.Bytes())
			}
		})
	}
}

// watched has get happen before each Get, and wraps its body.
type watched struct {
	storage.Store
	get  func(context.Context) error
	body func(io.ReadCloser) io.ReadCloser
}

func (w *watched) Get(ctx context.Context, key string, what storage.Get) (storage.Object, error) {
	if w.get != nil {
		if err := w.get(ctx); err != nil {
			return storage.Object{}, err
		}
	}
	o, err := w.Store.Get(ctx, key, what)
	if err == nil && w.body != nil {
		o.Body = w.body(o.Body)
	}
	return o, err
}

func TestWhatFailedAndWhatIsMissingIsNotRemembered(t *testing.T) {
	down := errors.New("down")
	p := newPlace(t, nil, storagetest.On("get", storagetest.Script(storagetest.Fault{Err: down})))
	c := p.cached(1000)
	if _, err := read(t.Context(), c, "k", storage.Get{}); !errors.Is(err, down) {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := read(t.Context(), c, "k", storage.Get{}); !errors.Is(err, storage.ErrNotExist) {
			t.Fatal(err)
		}
	}
	// It comes by another way than through the cache.
	if _, err := p.Put(t.Context(), "k", []byte("now"), storage.Put{}); err != nil {
		t.Fatal(err)
	}
	if got, err := read(t.Context(), c, "k", storage.Get{}); got != "now" || err != nil {
		t.Fatalf("%q %v", got, err)
	}
	if p.reads("k") != 4 {
		t.Errorf("%d reads", p.reads("k"))
	}
}

func TestAReadThatHangsFailsForAllAndTheNextBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, map[string]string{"k": "x"}, storagetest.On("get", storagetest.Script(storagetest.Fault{Hang: true})))
		c := p.cached(1000)
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if _, err := read(t.Context(), c, "k", storage.Get{}); !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if got, err := read(t.Context(), c, "k", storage.Get{}); got != "x" || err != nil {
			t.Errorf("%q %v", got, err)
		}
	})
}

func TestABodyThatBreaksOffIsGoneOnWith(t *testing.T) {
	body := string(bytes.Repeat([]byte("0123456789"), 100_000))
	for halves, want := range []int{1, 2} { // the half of what is left is all of it
		faults := make([]storagetest.Fault, halves)
		for i := range faults {
			faults[i].Half = true
		}
		p := newPlace(t, map[string]string{"k": body}, storagetest.On("get", storagetest.Script(faults...)))
		c := p.cached(16 << 20)
		if got, err := read(t.Context(), c, "k", storage.Get{}); got != body || err != nil {
			t.Errorf("%d halves: %d bytes, %v", halves, len(got), err)
		}
		if p.reads("k") != want {
			t.Errorf("%d halves: %d reads", halves, p.reads("k"))
		}
	}
	// One that always breaks off at once is given up, and not kept.
	p := newPlace(t, map[string]string{"k": body}, nil)
	c := storage.Cached(&watched{Store: p, body: func(io.ReadCloser) io.ReadCloser { return io.NopCloser(bytes.NewReader(nil)) }}, 16<<20, always, observesNothing)
	for n := 1; n <= 2; n++ {
		if got, err := read(t.Context(), c, "k", storage.Get{}); got != "" || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if p.reads("k") != 3*n || c.Bytes() != 0 {
			t.Errorf("%d reads, %d bytes are held", p.reads("k"), c.Bytes())
		}
	}
}

func TestABodyThatChangesWhereItBrokeOffIsNotPiecedTogether(t *testing.T) {
	p := newPlace(t, map[string]string{"k": "0123456789"}, storagetest.On("get", storagetest.Script(storagetest.Fault{Half: true})))
	first := true
	c := storage.Cached(&watched{Store: p, get: func(ctx context.Context) error {
		if !first {
			_, err := p.Put(ctx, "k", []byte("abcdefghij"), storage.Put{})
			return err
		}
		first = false
		return nil
	}}, 1000, always, observesNothing)
	if got, err := read(t.Context(), c, "k", storage.Get{}); got != "01234" || !errors.Is(err, storage.ErrChanged) {
		t.Errorf("%q %v", got, err)
	}
}

func TestWhatHasArrivedIsSentBeforeTheRestComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := bytes.Repeat([]byte("0123456789"), 100_000)
		in, out := io.Pipe()
		p := newPlace(t, map[string]string{"k": string(body)}, nil)
		c := storage.Cached(&watched{Store: p, body: func(io.ReadCloser) io.ReadCloser { return in }}, 16<<20, always, observesNothing)
		arrived := make(chan []byte, 1000)
		for range 3 {
			o, err := c.Get(t.Context(), "k", storage.Get{})
			if err != nil || o.Size != int64(len(body)) {
				t.Fatal(o.Size, err)
			}
			go func() {
				io.Copy(writes(arrived), o.Body)
				o.Body.Close()
			}()
		}
		synctest.Wait()
		out.Write(body[:500_000])
		synctest.Wait()
		got := 0
		for len(arrived) > 0 {
			got += len(<-arrived)
		}
		if got < 3*350_000 {
			t.Errorf("half has arrived, and of it three readers have %d", got)
		}
		out.Write(body[500_000:])
		synctest.Wait()
		for len(arrived) > 0 {
			got += len(<-arrived)
		}
		if got != 3*len(body) || p.reads("k") != 1 {
			t.Errorf("%d bytes out of %d reads", got, p.reads("k"))
		}
	})
}

// A reader may be done before the read has ended: what it had is kept all the same.
func TestWhatHasArrivedIsKeptThoughItsReadHasNotEnded(t *testing.T) {
	p := newPlace(t, map[string]string{"k": "x"}, nil)
	end := make(chan struct{})
	c := storage.Cached(&watched{Store: p, body: func(r io.ReadCloser) io.ReadCloser { return closes{r, end} }}, 1000, always, observesNothing)
	for range 3 {
		if got, err := read(t.Context(), c, "k", storage.Get{}); got != "x" || err != nil {
			t.Fatal(got, err)
		}
	}
	close(end)
	if p.reads("k") != 1 {
		t.Errorf("%d reads", p.reads("k"))
	}
}

// closes takes its time to close.
type closes struct {
	io.Reader
	end chan struct{}
}

func (c closes) Close() error { <-c.end; return nil }

type writes chan []byte

func (w writes) Write(b []byte) (int, error) { w <- b; return len(b), nil }

func TestAllAreSentTheSameBytesInOneWrite(t *testing.T) {
	p := newPlace(t, map[string]string{"k": string(make([]byte, 500_000))}, nil)
	c := p.cached(16 << 20)
	if _, err := read(t.Context(), c, "k", storage.Get{}); err != nil {
		t.Fatal(err)
	}
	sent := make(writes, 10)
	for range 2 {
		o, err := c.Get(t.Context(), "k", storage.Get{})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(sent, o.Body); n != 500_000 || err != nil {
			t.Fatal(n, err)
		}
		o.Body.Close()
	}
	if a, b := <-sent, <-sent; len(sent) != 0 || &a[0] != &b[0] {
		t.Error("it was copied, or written in pieces")
	}
}

func TestWhatIsTooLargePassesAndRangesOfItAreRangesOfTheStore(t *testing.T) {
	var asked []storage.Get
	p := newPlace(t, map[string]string{"k": "0123456789abcdef"}, func(op storagetest.Op) storagetest.Fault {
		asked = append(asked, op.What)
		return storagetest.Fault{}
	})
	c := p.cached(127) // an eighth of it is less than sixteen
	for range 3 {
		if got, err := read(t.Context(), c, "k", storage.Get{Offset: 4, Length: 2}); got != "45" || err != nil {
			t.Fatalf("%q %v", got, err)
		}
	}
	part := storage.Get{Offset: 4, Length: 2}
	if fmt.Sprint(asked) != fmt.Sprint([]storage.Get{{}, part, part, part}) || p.said["pass"] != 3 || c.Bytes() != 0 {
		t.Errorf("asked %v, said %v", asked, p.said)
	}
}

func TestRootsAreAskedForEachTime(t *testing.T) {
	p := newPlace(t, map[string]string{"c/index/live/a.idx": "x"}, nil)
	said := 0
	c := storage.Cached(p, 1000, never, func(string) { said++ })
	for range 3 {
		if got, err := read(t.Context(), c, "c/index/live/a.idx", storage.Get{}); got != "x" || err != nil {
			t.Fatal(got, err)
		}
	}
	if p.reads("c/index/live/a.idx") != 3 || said != 0 {
		t.Errorf("%d reads, %d counted", p.reads("c/index/live/a.idx"), said)
	}
}

func TestWhoReadsThroughTheArchiveDrivesTheLiveEdgeOutOfNoCache(t *testing.T) {
	objects := map[string]string{}
	for i := range 1000 {
		objects[fmt.Sprint("old/", i)] = "0123456789"
	}
	for i := range 5 {
		objects[fmt.Sprint("live/", i)] = "0123456789"
	}
	p := newPlace(t, objects, nil)
	c := p.cached(200)
	live := func() {
		for i := range 5 {
			for range 2 {
				if _, err := read(t.Context(), c, fmt.Sprint("live/", i), storage.Get{}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	live()
	for i := range 1000 {
		if _, err := read(t.Context(), c, fmt.Sprint("old/", i), storage.Get{}); err != nil {
			t.Fatal(err)
		}
	}
	live()
	for i := range 5 {
		if key := fmt.Sprint("live/", i); p.reads(key) != 1 {
			t.Errorf("%s was read %d times", key, p.reads(key))
		}
	}
	eventually(t, func() bool { return c.Bytes() <= 200 }) // the last read may still be ending
}

// What slow readers hold has left the cache and not the memory: there is a limit to it too.
func TestWhatIsHeldByReadersIsCountedAndLimited(t *testing.T) {
	objects := map[string]string{}
	for i := range 100 {
		objects[fmt.Sprint(i)] = "0123456789"
	}
	p := newPlace(t, objects, nil)
	c := p.cached(100)
	var open []io.Closer
	for i := range 100 {
		o, err := c.Get(t.Context(), fmt.Sprint(i), storage.Get{})
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, o.Body)
		if c.Bytes() > 210 {
			t.Fatalf("%d bytes are held", c.Bytes())
		}
	}
	if p.said["pass"] != 80 || p.said["miss"] != 20 {
		t.Errorf("said %v", p.said)
	}
	for _, o := range open {
		o.Close()
		o.Close() // once more is no harm
	}
	eventually(t, func() bool { return c.Bytes() == 100 })
	if _, err := read(t.Context(), c, "0", storage.Get{}); err != nil || p.said["miss"] != 21 {
		t.Errorf("%v, said %v", err, p.said)
	}
}

// eventually waits for what another goroutine is about to do.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for began := time.Now(); !ok(); time.Sleep(time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			t.Fatal("it has not come")
		}
	}
}

// Everything at once: faults, leavers, deletes, a cache that is far too small. What is read is right or an error, and in the end
// nothing is on the books that nobody has.
func TestManyReadersOfASmallCache(t *testing.T) {
	var dice atomic.Uint64
	objects := map[string]string{}
	bodyOf := func(key string) string { return string(bytes.Repeat([]byte(key+"."), 300)) }
	for i := range 60 {
		objects[fmt.Sprint("k", i)] = bodyOf(fmt.Sprint("k", i))
	}
	p := newPlace(t, objects, func(storagetest.Op) storagetest.Fault {
		switch n := dice.Add(1); {
		case n%17 == 0:
			return storagetest.Fault{Err: errors.New("down")}
		case n%11 == 0:
			return storagetest.Fault{Half: true}
		}
		return storagetest.Fault{Latency: 100 * time.Microsecond}
	})
	const limit = 10_000
	c := p.cached(limit)
	var right, wrong atomic.Int64
	var all sync.WaitGroup
	for seed := range uint64(16) {
		all.Go(func() {
			r := rand.New(rand.NewPCG(seed, 1))
			for range 400 {
				key := fmt.Sprint("k", min(r.IntN(60), r.IntN(60)))
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(r.IntN(2000))*time.Microsecond)
				from := r.IntN(100)
				got, err := read(ctx, c, key, storage.Get{Offset: int64(from), Length: 500})
				cancel()
				switch {
				case err == nil && got == bodyOf(key)[from:from+500]:
					right.Add(1)
				case err == nil:
					t.Errorf("%s: other bytes", key)
				default:
					wrong.Add(1)
				}
				if r.IntN(50) == 0 {
					c.Put(t.Context(), key, []byte(bodyOf(key)), storage.Put{})
				}
				if n := c.Bytes(); n > 2*limit+limit/8 {
					t.Errorf("%d bytes are held", n)
				}
			}
		})
	}
	all.Wait()
	if right.Load() < 1000 || wrong.Load() == 0 {
		t.Errorf("%d reads went well and %d failed: this test looks at nothing", right.Load(), wrong.Load())
	}
	eventually(t, func() bool { return c.Bytes() <= limit })
}

func BenchmarkAHit(b *testing.B) {
	m := memory.New()
	m.Put(b.Context(), "k", make([]byte, 2<<20), storage.Put{})
	c := storage.Cached(m, 256<<20, always, observesNothing)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			o, err := c.Get(b.Context(), "k", storage.Get{})
			if err != nil {
				b.Fatal(err)
			}
			io.Copy(io.Discard, o.Body)
			o.Body.Close()
		}
	})
}
