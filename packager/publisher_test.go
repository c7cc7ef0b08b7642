package packager

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"flambeau/packager/audit"
	"flambeau/packager/media"
	"flambeau/packager/timeline"
	"flambeau/storage"
	"flambeau/storage/memory"
	"flambeau/storage/storagetest"
)

type counts struct {
	mu          sync.Mutex
	results     map[string]int
	divergences int
	lost        float64
}

func (c *counts) Segment(_, result string, _ time.Duration) { c.note(func() { c.results[result]++ }) }
func (c *counts) Lost(s float64)                            { c.note(func() { c.lost += s }) }
func (c *counts) Divergence()                               { c.note(func() { c.divergences++ }) }
func (c *counts) Visible()                                  {}

func (c *counts) note(do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	do()
}

func newCounts() *counts { return &counts{results: map[string]int{}} }

// open is a publisher without a spool.
func open(t *testing.T, s storage.Store, worker string, c *counts) (*Publisher, error) {
	return OpenPublisher(t.Context(), PublisherConfig{Channel: "story", Worker: worker, Store: s, Observe: c, Log: quiet})
}

// TestAStartAsksAgain: a store that does not answer one request in seven keeps nobody from starting, and one that answers none is soon given up.
func TestAStartAsksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		publishAll(t, s, tell(t, "segment 2s\nvideo fps=25 gop=50 to=30\nshift pid=0 from=8 by=100\nshift pid=0 from=14 by=100\nshift pid=0 from=20 by=100\n"))
		for every, patience := range map[int]time.Duration{7: time.Second, 1: 2 * time.Second} {
			began := time.Now()
			_, err := open(t, &storagetest.Faulty{Store: s, Decide: func(op storagetest.Op) (f storagetest.Fault) {
				if op.N%every == 0 {
					f.Err = io.ErrUnexpectedEOF
				}
				return f
			}}, "a", newCounts())
			if took := time.Since(began); (err != nil) != (every == 1) || took > patience {
				t.Errorf("one in %d fails: %v, after %v", every, err, took)
			}
		}
	})
}

// TestAStartGivesUpAStoreThatHangs: one that never answers does not keep a worker for ever from beginning again.
func TestAStartGivesUpAStoreThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		_, err := open(t, &storagetest.Faulty{Store: memory.New(), Decide: func(storagetest.Op) storagetest.Fault { return storagetest.Fault{Hang: true} }}, "a", newCounts())
		if took := time.Since(began); err == nil || took > 2*openPatience {
			t.Errorf("%v, after %v", err, took)
		}
	})
}

// now publishes cuts at once, as a batch of their own.
func (p *Publisher) now(t *testing.T, cuts ...Cut) error {
	b := p.composer.compose(cuts, time.Now())
	p.named(b.losses)
	return p.publish(t.Context(), []*batch{b})
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

const ninety = "segment 2s\nvideo fps=25 gop=50 to=90\naudio lang=eng from=0.01 to=90\n"

// publishAll sends cuts through a publisher, as if they came one by one.
func publishAll(t *testing.T, s storage.Store, cuts []Cut) *counts {
	t.Helper()
	c := newCounts()
	p, err := open(t, s, "a", c)
	if err != nil {
		t.Fatal(err)
	}
	ch := make(chan Cut)
	done := make(chan error)
	go func() { done <- p.Run(t.Context(), ch, func(int64) {}) }()
	for _, cut := range cuts {
		ch <- cut
	}
	close(ch)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return c
}

// contents is every object of a store but the instants that roots and rows carry.
func contents(t *testing.T, s storage.Store, prefix string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for info, err := range s.List(t.Context(), prefix, "") {
		if err != nil {
			t.Fatal(err)
		}
		b, _, err := storage.ReadAll(t.Context(), s, info.Key, storage.Get{}, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		all[info.Key] = b
	}
	return all
}

func mustHold(t *testing.T, s storage.Store) audit.Report {
	t.Helper()
	r, err := audit.Run(t.Context(), s, "story", audit.Span{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		t.Error(f)
	}
	return r
}

func TestEveryStoryIsPublishedAndEveryPromiseHolds(t *testing.T) {
	for name, script := range stories(t) {
		t.Run(name, func(t *testing.T) {
			s := memory.New()
			publishAll(t, s, tell(t, script))
			r := mustHold(t, s)
			if r.Segments == 0 {
				t.Error("nothing was published")
			}
		})
	}
}

// stumbling fails requests: before they take effect, or after, as if the answer were lost.
type stumbling struct {
	storage.Store
	mu     sync.Mutex
	every  int
	n      int
	before int
	after  int
}

var errStumbled = errors.New("no answer")

func (s *stumbling) Put(ctx context.Context, key string, body []byte, how storage.Put) (storage.Version, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	if s.n%s.every != 0 {
		return s.Store.Put(ctx, key, body, how)
	}
	if s.n/s.every%2 == 0 {
		s.before++
		return "", errStumbled
	}
	s.after++
	if _, err := s.Store.Put(ctx, key, body, how); err != nil {
		return "", err
	}
	return "", errStumbled
}

func TestWhateverRequestFailsTheStoreEndsUpTheSame(t *testing.T) {
	want := map[string][]byte{}
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		publishAll(t, s, tell(t, ninety))
		want = contents(t, s, "story/seg/")
	})
	for every := 2; every <= 7; every++ {
		synctest.Test(t, func(t *testing.T) {
			s := &stumbling{Store: memory.New(), every: every}
			c := publishAll(t, s, tell(t, ninety))
			mustHold(t, s.Store)
			if s.before == 0 || s.after == 0 {
				t.Fatalf("%d failed before, %d after: the fault was not tried", s.before, s.after)
			}
			if c.divergences != 0 {
				t.Errorf("%d divergences", c.divergences)
			}
			if got := contents(t, s.Store, "story/seg/"); !maps.EqualFunc(got, want, bytes.Equal) {
				t.Errorf("every %d-th request failing gives other objects", every)
			}
		})
	}
}

// TestTheIndexNamesOnlyWhatIsThere looks into the store after each put.
func TestTheIndexNamesOnlyWhatIsThere(t *testing.T) {
	s := &watched{Store: memory.New(), t: t}
	p, err := open(t, s, "a", newCounts())
	if err != nil {
		t.Fatal(err)
	}
	for _, cut := range tell(t, ninety) {
		if err := p.now(t, cut); err != nil {
			t.Fatal(err)
		}
	}
	if s.roots < 10 {
		t.Fatalf("%d roots were looked at", s.roots)
	}
}

type watched struct {
	storage.Store
	t     *testing.T
	roots int
}

func (w *watched) Put(ctx context.Context, key string, body []byte, how storage.Put) (storage.Version, error) {
	if strings.HasPrefix(key, "story/index/") {
		w.roots++
		x, err := timeline.DecodeIndex(body)
		if err != nil {
			w.t.Error(err)
		}
		for _, r := range x.Rows {
			b, _, err := storage.ReadAll(ctx, w.Store, timeline.SegmentKey("story", r.Rendition, r.Slot), storage.Get{}, 1<<30)
			if err != nil || hashOf(b) != r.Hash {
				w.t.Errorf("%s names slot %d of %s before it is there", key, r.Slot, r.Rendition)
			}
		}
		for _, p := range x.Pages {
			if _, err := w.Store.Get(ctx, p.Key, storage.Get{}); err != nil {
				w.t.Errorf("%s names %s before it is there", key, p.Key)
			}
		}
	}
	return w.Store.Put(ctx, key, body, how)
}

// TestKilledAtAnyPutAndStartedAgain kills the worker at each of its puts in turn, and starts another on what is left: in one generation,
// and over a change of generation.
func TestKilledAtAnyPutAndStartedAgain(t *testing.T) {
	for name, script := range map[string]string{
		"one generation":  "segment 2s\nvideo fps=25 gop=50 to=9\naudio lang=eng from=0.01 to=9\n",
		"two generations": "segment 2s\nvideo fps=25 gop=50 to=4 pid=256\nvideo fps=25 gop=50 from=4 to=9 pid=256 params=2\naudio lang=eng from=0.01 to=9 pid=257\n",
	} {
		t.Run(name, func(t *testing.T) { killAtEach(t, script) })
	}
}

func killAtEach(t *testing.T, script string) {
	later := "segment 2s\nvideo fps=25 gop=50 to=9 start=9000000\naudio lang=eng from=0.01 to=9 start=9000000\n"
	for kill := 1; ; kill++ {
		finished := false
		for _, took := range []bool{false, true} {
			s := &killed{Store: memory.New(), at: kill, took: took}
			finished = runKilled(t, s, script) || finished
			s.at = -1 // and now the next worker
			restarted(t, s, later, fmt.Sprintf("killed at put %d, took effect: %v", kill, took))
		}
		if finished {
			if kill < 20 {
				t.Fatalf("only %d puts were killed", kill)
			}
			return
		}
	}
}

type killed struct {
	storage.Store
	mu   sync.Mutex
	at   int
	took bool
	dead bool
}

func (k *killed) Put(ctx context.Context, key string, body []byte, how storage.Put) (storage.Version, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dead && k.at >= 0 {
		return "", storage.ErrKey
	}
	if k.at > 0 {
		if k.at--; k.at == 0 {
			k.dead = true
			if k.took {
				k.Store.Put(ctx, key, body, how)
			}
			return "", storage.ErrKey // the end of that worker
		}
	}
	return k.Store.Put(ctx, key, body, how)
}

// runKilled tells whether the worker came to its end before it was killed.
func runKilled(t *testing.T, s *killed, script string) bool {
	t.Helper()
	p, err := open(t, s, "a", newCounts())
	if err != nil {
		t.Fatal(err)
	}
	for _, cut := range tell(t, script) {
		if err := p.now(t, cut); err != nil {
			return false
		}
	}
	return !s.dead
}

func restarted(t *testing.T, s *killed, script, what string) {
	t.Helper()
	before := indexed(t, s)
	c := newCounts()
	p, err := open(t, s, "a", c)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	channel := NewChannel(Config{Channel: "story", Worker: "a", Segment: 2 * time.Second, Part: 500 * time.Millisecond}, p.Past())
	for _, e := range eventsOf(t, script) {
		if err := p.now(t, channel.Push(e)...); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	if err := p.now(t, channel.Push(media.End{})...); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if c.divergences > 0 {
		t.Errorf("%s: %d divergences", what, c.divergences)
	}
	r, err := audit.Run(t.Context(), s, "story", audit.Span{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		t.Errorf("%s: %v", what, f)
	}
	after := indexed(t, s)
	for _, row := range before {
		if !slices.Contains(after, row) {
			t.Errorf("%s: a row that was visible is gone or changed: %s", what, row)
		}
	}
	if len(after) <= len(before) {
		t.Errorf("%s: %d rows before, %d after: it stands still", what, len(before), len(after))
	}
}

// indexed is each row that is visible, as it is written but for the instant.
func indexed(t *testing.T, s storage.Store) (rows []string) {
	t.Helper()
	b, _, err := storage.ReadAll(t.Context(), s, timeline.RootKey("story", "a"), storage.Get{}, 1<<30)
	if errors.Is(err, storage.ErrNotExist) {
		return nil
	}
	x, err := timeline.DecodeIndex(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range x.Rows {
		r.Written = 0
		rows = append(rows, string(r.Append(nil)))
	}
	return rows
}

func TestADayOfAirIsInAHandfulOfPages(t *testing.T) {
	s := memory.New()
	c := newCounts()
	p, err := open(t, s, "a", c)
	if err != nil {
		t.Fatal(err)
	}
	cuts := tell(t, "segment 2s\nvideo fps=25 gop=50 to=5\n")
	g := cuts[0].(*Opened).Generation
	if err := p.now(t, cuts[0]); err != nil {
		t.Fatal(err)
	}
	const slots = 26 * 3600 / 2
	for i := range int64(slots) {
		row := timeline.Row{Slot: g.S0 + i, Start: g.T0 + i*180000, Duration: 180000, Size: 1, Hash: hashOf([]byte{0})}
		if err := p.now(t, &Closed{Rendition: "v360", Row: row, Body: []byte{0}}); err != nil {
			t.Fatal(err)
		}
	}
	spans, rows := map[string]int{}, 0
	for _, page := range p.index.Pages {
		span, _, _ := timeline.ParsePageKey("story", page.Key)
		spans[span]++
		more, err := p.readPage(t.Context(), page.Key)
		if err != nil {
			t.Fatal(err)
		}
		rows += len(more)
	}
	if rows += len(p.index.Rows); rows != slots {
		t.Errorf("%d rows in all, %d were published", rows, slots)
	}
	if len(p.index.Rows) > 100 || spans["day"] != 1 || spans["hour"] > 24 || spans["minute"] > 20 {
		t.Errorf("%d rows in the root, pages: %v", len(p.index.Rows), spans)
	}
}

// TestAWorkerUnderAnotherNameGoesOn: a container that is made again has another host name.
func TestAWorkerUnderAnotherNameGoesOn(t *testing.T) {
	s := memory.New()
	publishAll(t, s, tell(t, "segment 2s\nvideo fps=25 gop=50 to=300\naudio lang=eng from=0.01 to=300\n"))
	c := newCounts()
	p, err := open(t, s, "b", c)
	if err != nil {
		t.Fatal(err)
	}
	channel := NewChannel(Config{Channel: "story", Worker: "b", Segment: 2 * time.Second, Part: 500 * time.Millisecond}, p.Past())
	for _, e := range append(eventsOf(t, "segment 2s\nvideo fps=25 gop=50 to=9 start=7000\naudio lang=eng from=0.01 to=9 start=7000\n"), media.End{}) {
		if err := p.now(t, channel.Push(e)...); err != nil {
			t.Fatal(err)
		}
	}
	r := mustHold(t, s)
	if c.divergences != 0 || c.results["stored"] == 0 || r.Generations != 2 {
		t.Errorf("%d divergences, %v, %d generations", c.divergences, c.results, r.Generations)
	}
}

// TestAnotherSampleRateIsNoOtherTime: rows of a rendition are paged by the timescale of their own generation.
func TestAnotherSampleRateIsNoOtherTime(t *testing.T) {
	s := memory.New()
	c := publishAll(t, s, tell(t, "segment 2s\nvideo fps=25 gop=50 to=400 pid=256\naudio lang=eng from=0.01 to=60 pid=257\naudio rate=44100 lang=eng from=60 to=400 pid=257\n"))
	mustHold(t, s)
	b, _, err := storage.ReadAll(t.Context(), s, timeline.RootKey("story", "a"), storage.Get{}, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	x, err := timeline.DecodeIndex(b)
	if err != nil {
		t.Fatal(err)
	}
	if len(x.Pages) > 7 || c.divergences != 0 {
		t.Errorf("%d pages for 400 s, %d divergences", len(x.Pages), c.divergences)
	}
}

// failing panics where it is asked to.
type failing struct {
	storage.Store
	on string
}

func (f failing) Put(ctx context.Context, key string, body []byte, how storage.Put) (storage.Version, error) {
	if strings.Contains(key, f.on) {
		panic("a bug at " + key)
	}
	return f.Store.Put(ctx, key, body, how)
}

type nonsense struct{ media.Event }

// TestAPanicOfEitherIsAnErrorOfTheChannel: and nothing of the channel is left running, or the bubble would not end.
func TestAPanicOfEitherIsAnErrorOfTheChannel(t *testing.T) {
	for name, last := range map[string]media.Event{"the publisher": media.End{}, "the machine": nonsense{}} {
		synctest.Test(t, func(t *testing.T) {
			var s storage.Store = memory.New()
			if name == "the publisher" {
				s = failing{s, "/seg/"}
			}
			p, err := open(t, s, "a", newCounts())
			if err != nil {
				t.Fatal(err)
			}
			events := make(chan media.Event, 10000)
			for _, e := range append(eventsOf(t, "segment 2s\nvideo fps=25 gop=50 to=9\n"), last) {
				events <- e
			}
			c := NewChannel(Config{Channel: "story", Worker: "a", Segment: 2 * time.Second, Part: 500 * time.Millisecond}, p.Past())
			if err := Run(t.Context(), events, c, p); err == nil || !strings.Contains(err.Error(), "panic") {
				t.Errorf("a panic of %s: %v", name, err)
			}
		})
	}
}

// TestAStoreThatHangsBoundsWhatWaits: the machine waits, and what waits is not more than it may be.
func TestAStoreThatHangsBoundsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &storagetest.Faulty{Store: memory.New(), Decide: func(op storagetest.Op) storagetest.Fault {
			return storagetest.Fault{Hang: op.Name == "put" && strings.Contains(op.Key, "/seg/")}
		}}
		p, err := open(t, s, "a", newCounts())
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		events := make(chan media.Event)
		c := NewChannel(Config{Channel: "story", Worker: "a", Segment: 2 * time.Second, Part: 500 * time.Millisecond}, p.Past())
		done := make(chan error, 1)
		go func() { done <- Run(ctx, events, c, p) }()
		sent, big := 0, make([]byte, 1<<20)
		for _, e := range eventsOf(t, "segment 2s\nvideo fps=25 gop=50 to=60\n") {
			if s, ok := e.(*media.Sample); ok {
				s.Data = big
			}
			select {
			case events <- e:
				sent++
				continue
			case <-time.After(time.Second):
			}
			break
		}
		if most := cutBytes/len(big) + 4*50; sent > most {
			t.Errorf("%d MiB were taken, at most %d", sent, most)
		}
		stop()
		if err := <-done; err == nil {
			t.Error("it ended as if all were well")
		}
	})
}
