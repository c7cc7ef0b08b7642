package packager

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"flambeau/packager/cmaf"
	"flambeau/packager/media"
	"flambeau/packager/timeline"
	"flambeau/storage"
	"flambeau/storage/memory"
	"flambeau/storage/storagetest"
)

// outage is a store that can be away.
type outage struct {
	storage.Store
	away atomic.Bool
}

func (o *outage) faulty() storage.Store {
	return &storagetest.Faulty{Store: o.Store, Decide: func(storagetest.Op) storagetest.Fault {
		if o.away.Load() {
			return storagetest.Fault{Err: errors.New("no answer")}
		}
		return storagetest.Fault{}
	}}
}

// worker is a process of one channel, with a spool.
type worker struct {
	t      *testing.T
	edge   *Edge
	pub    *Publisher
	spool  *Spool
	events chan media.Event
	stop   context.CancelFunc
	done   chan error
	counts *counts
}

func startWorker(t *testing.T, s storage.Store, dir string, size int64) *worker {
	t.Helper()
	spool, err := OpenSpool(dir, size)
	if err != nil {
		t.Fatal(err)
	}
	w := &worker{t: t, edge: NewEdge(s), spool: spool, events: make(chan media.Event, eventsWaiting), done: make(chan error, 1), counts: newCounts()}
	ctx, stop := context.WithCancel(t.Context())
	w.stop = stop
	p, err := OpenPublisher(ctx, PublisherConfig{Channel: "story", Worker: "a", Store: s, Spool: spool, Edge: w.edge, Observe: w.counts, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	w.pub = p
	c := NewChannel(Config{Channel: "story", Worker: "a", Segment: 2 * time.Second, Part: 500 * time.Millisecond}, p.Past())
	go func() { w.done <- Run(ctx, w.events, c, p) }()
	return w
}

const eventsWaiting = 64

// send tells the worker of a script's events, at their pace.
func (w *worker) send(script string) {
	w.t.Helper()
	began, first := time.Now(), media.Ticks(-1)
	for _, e := range eventsOf(w.t, script) {
		if s, ok := e.(*media.Sample); ok {
			if first < 0 {
				first = s.DTS
			}
			time.Sleep(time.Duration(s.DTS-first)*time.Second/90000 - time.Since(began))
			s.Arrived = time.Now()
		}
		w.events <- e
	}
}

// kill ends the worker as a crash would: nothing of it is closed.
func (w *worker) kill() {
	w.stop()
	<-w.done
	w.spool.Close()
}

// end lets it close what is open, and bring it to where it lasts.
func (w *worker) end() {
	w.t.Helper()
	close(w.events)
	if err := <-w.done; err != nil {
		w.t.Errorf("it ended with %v", err)
	}
	w.stop()
	w.spool.Close()
}

// frames is how many samples the store holds of a rendition, and how many its loss records name as received and lost.
func frames(t *testing.T, s storage.Store, rendition string) (stored, lost int64) {
	t.Helper()
	for key, body := range contents(t, s, timeline.SegmentPrefix("story", rendition)) {
		parsed, err := cmaf.Parse(body)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		for _, f := range parsed.Fragments {
			stored += int64(len(f.Samples))
		}
	}
	for key, body := range contents(t, s, timeline.LossPrefix("story")) {
		l, err := timeline.DecodeLoss(body)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		for _, e := range l.Entries {
			if e.Rendition == rendition {
				lost += e.Frames
			}
		}
	}
	return stored, lost
}

const minute = "segment 2s\nvideo fps=25 gop=50 to=60\naudio lang=eng from=0.01 to=60\n"

// TestAStoreThatIsAwayLosesNothing: the store is away for half a minute. What this process shows goes on, and in the end the store has it all.
func TestAStoreThatIsAwayLosesNothing(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		o := &outage{Store: memory.New()}
		w := startWorker(t, o.faulty(), dir, 1<<30)
		began := time.Now()
		go func() {
			time.Sleep(10 * time.Second)
			o.away.Store(true)
			time.Sleep(35 * time.Second)
			edge, store := shownRows(t, w.edge), shownRows(t, o.Store)
			if want := int(time.Since(began)/(2*time.Second)) - 2; edge < want || store > 6 {
				t.Errorf("after %v: %d slots are shown here, want %d, and %d in the store", time.Since(began), edge, want, store)
			}
			if w.spool.Used() == 0 {
				t.Error("the spool is empty while the store is away")
			}
			if waited := w.pub.Waiting(); waited < 32*time.Second || waited > 36*time.Second {
				t.Errorf("the oldest segment has waited for %v, the store was away for 35 s", waited)
			}
			o.away.Store(false)
		}()
		w.send(minute)
		w.end()
		r := mustHold(t, o.Store)
		stored, lost := frames(t, o.Store, "v360")
		if stored != 1500 || lost != 0 || r.Gaps != 0 || r.Generations != 1 {
			t.Errorf("%d frames stored, %d lost, %d gaps, %d generations", stored, lost, r.Gaps, r.Generations)
		}
		if w.spool.Used() != 0 {
			t.Errorf("%d bytes are left in the spool", w.spool.Used())
		}
		if waited := w.pub.Waiting(); waited != 0 {
			t.Errorf("nothing waits, for %v", waited)
		}
	})
	empty(t, filepath.Join(dir, "story"))
}

func empty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range left {
		if info, err := f.Info(); err == nil && f.Name() == keptName && info.Size() < 16<<10 {
			continue // where the channel stands
		}
		t.Errorf("%s is left", f.Name())
	}
}

// shownRows is how many slots of the picture a store's root names, of which each object can be read.
func shownRows(t *testing.T, s storage.Store) (n int) {
	t.Helper()
	b, _, err := storage.ReadAll(context.Background(), s, timeline.RootKey("story", "a"), storage.Get{}, 1<<30)
	if err != nil {
		t.Error(err)
		return 0
	}
	x, err := timeline.DecodeIndex(b)
	if err != nil {
		t.Error(err)
	}
	for _, r := range x.Rows {
		if r.Rendition != "v360" {
			continue
		}
		n++
		if _, ok := s.(*Edge); !ok {
			continue
		}
		key := timeline.SegmentKey("story", r.Rendition, r.Slot)
		body, _, err := storage.ReadAll(context.Background(), s, key, storage.Get{}, 1<<30)
		if err != nil {
			continue // the store has it, and is away
		}
		if hashOf(body) != r.Hash {
			t.Errorf("%s is not what its row says", key)
		}
	}
	return n
}

// TestKilledWithTheStoreAway: the worker is killed while the store is away, started again while it still is, and killed again. Each segment
// that was closed is in the store when it is back; numbers go on; what was half done is named.
func TestKilledWithTheStoreAway(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		o := &outage{Store: memory.New()}
		for n, script := range []string{
			"segment 2s\nvideo fps=25 gop=50 to=14\naudio lang=eng from=0.01 to=14\n",
			"segment 2s\nvideo fps=25 gop=50 to=8 start=1350000\naudio lang=eng from=0.01 to=8 start=1350000\n",
			"segment 2s\nvideo fps=25 gop=50 to=9 start=2070000\naudio lang=eng from=0.01 to=9 start=2070000\n",
		} {
			w := startWorker(t, o.faulty(), dir, 1<<30)
			if n == 2 {
				o.away.Store(false)
			}
			if n == 0 {
				time.AfterFunc(6*time.Second, func() { o.away.Store(true) })
			}
			w.send(script)
			if n < 2 {
				time.Sleep(100 * time.Millisecond)
				w.kill()
				continue
			}
			w.end()
		}
		r := mustHold(t, o.Store)
		if r.Generations != 1 {
			t.Errorf("%d generations", r.Generations)
		}
		// 31 s of air; of each of the two kills the open slot is lost, and the next is cut where it was joined.
		if stored, _ := frames(t, o.Store, "v360"); stored < 25*(31-2*4) {
			t.Errorf("%d frames are stored", stored)
		}
	})
	empty(t, filepath.Join(dir, "story"))
}

// TestStartedWhileTheStoreIsAway: the store has taken everything, the worker is killed, and started again while the store does not answer. It
// goes on where it stood, shows what it makes, and in the end the store has it all.
func TestStartedWhileTheStoreIsAway(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		o := &outage{Store: memory.New()}
		w := startWorker(t, o.faulty(), dir, 1<<30)
		w.send("segment 2s\nvideo fps=25 gop=50 to=10.5\naudio lang=eng from=0.01 to=10.5\n")
		time.Sleep(1500 * time.Millisecond)
		if w.spool.Used() != 0 {
			t.Fatalf("%d bytes are in the spool", w.spool.Used())
		}
		w.kill()
		o.away.Store(true)
		w = startWorker(t, o.faulty(), dir, 1<<30)
		time.AfterFunc(8*time.Second, func() {
			if n := shownRows(t, w.edge); n < 2 {
				t.Errorf("%d slots are shown", n)
			}
			shape, err := readShape(t.Context(), w.edge, "story")
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range shape.First.Renditions {
				if _, _, err := storage.ReadAll(t.Context(), w.edge, timeline.InitKey("story", r.ID, r.Init), storage.Get{}, 1<<20); err != nil {
					t.Errorf("nobody can play what is shown: %v", err)
				}
			}
		})
		time.AfterFunc(12*time.Second, func() { o.away.Store(false) })
		w.send("segment 2s\nvideo fps=25 gop=50 to=20 start=1170000\naudio lang=eng from=0.01 to=20 start=1170000\n")
		w.end()
		r := mustHold(t, o.Store)
		// Of 30 s of frames the slot that was open when it was killed is lost, and the one in which it came back is cut where it was joined.
		if stored, _ := frames(t, o.Store, "v360"); stored < 25*(30-3) || r.Generations != 1 {
			t.Errorf("%d frames are stored, in %d generations", stored, r.Generations)
		}
	})
	empty(t, filepath.Join(dir, "story"))
}

// TestASpoolBeforeAnotherStoreIsSetAside: what was kept of one store says nothing of another, which is found when that answers.
func TestASpoolBeforeAnotherStoreIsSetAside(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		o, other := &outage{Store: memory.New()}, &outage{Store: memory.New()}
		for i, s := range []*outage{o, other} {
			w := startWorker(t, s.faulty(), filepath.Join(dir, fmt.Sprint(i)), 1<<30)
			w.send(fmt.Sprintf("segment %ds\nvideo fps=25 gop=50 to=11\naudio lang=eng from=0.01 to=11\n", 2+2*i))
			w.end()
		}
		o.away.Store(true)
		other.away.Store(true)
		w := startWorker(t, other.faulty(), filepath.Join(dir, "0"), 1<<30)
		w.send("segment 2s\nvideo fps=25 gop=50 to=8 start=1170000\naudio lang=eng from=0.01 to=8 start=1170000\n")
		other.away.Store(false)
		if err := <-w.done; !errors.Is(err, errOtherShape) {
			t.Errorf("it ended with %v", err)
		}
		w.stop()
		w.spool.Close()
		w = startWorker(t, other.faulty(), filepath.Join(dir, "0"), 1<<30)
		w.send("segment 2s\nvideo fps=25 gop=50 to=8 start=1890000\naudio lang=eng from=0.01 to=8 start=1890000\n")
		w.end()
		mustHold(t, other.Store)
	})
	if left, _ := filepath.Glob(filepath.Join(dir, "0", "story"+asideEnding, "*"+spoolEnding)); len(left) == 0 {
		t.Error("nothing was set aside")
	}
}

// TestKilledBetweenPictureAndSound: a slot's picture is in the store, its sound only in the spool. It is no gap.
func TestKilledBetweenPictureAndSound(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		var deaf atomic.Bool
		without := &storagetest.Faulty{Store: s, Decide: func(op storagetest.Op) (f storagetest.Fault) {
			if deaf.Load() && strings.Contains(op.Key, "/seg/a-en/") {
				f.Err = errors.New("no answer")
			}
			return f
		}}
		w := startWorker(t, without, dir, 1<<30)
		time.AfterFunc(9*time.Second, func() { deaf.Store(true) })
		w.send("segment 2s\nvideo fps=25 gop=50 to=10.5\naudio lang=eng from=0.01 to=10.5 late=0.5\n")
		time.Sleep(1500 * time.Millisecond)
		w.kill()
		w = startWorker(t, s, dir, 1<<30)
		w.send("segment 2s\nvideo fps=25 gop=50 to=10 start=1170000\naudio lang=eng from=0.01 to=10 start=1170000\n")
		w.end()
		if r := mustHold(t, s); r.Gaps != 2 || r.Generations != 1 {
			t.Errorf("%d gaps, %d generations", r.Gaps, r.Generations)
		}
	})
}

// TestASpoolThatIsFullGivesWay: nothing ends, what is lost is named to the frame, and when the store is back all goes on.
func TestASpoolThatIsFullGivesWay(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		o := &outage{Store: memory.New()}
		w := startWorker(t, o.faulty(), dir, 120<<10)
		time.AfterFunc(5*time.Second, func() { o.away.Store(true) })
		time.AfterFunc(50*time.Second, func() { o.away.Store(false) })
		limitMemory(t, 64<<10)
		w.send(minute)
		w.end()
		r := mustHold(t, o.Store)
		stored, lost := frames(t, o.Store, "v360")
		if stored+lost != 1500 || lost == 0 {
			t.Errorf("%d frames stored and %d lost, of 1500", stored, lost)
		}
		if r.Generations != 1 || r.Last.Sub(r.First) < 59*time.Second {
			t.Errorf("%d generations, %v", r.Generations, r.Last.Sub(r.First))
		}
		if w.spool.Used() != 0 {
			t.Errorf("%d bytes are left", w.spool.Used())
		}
	})
}

func limitMemory(t *testing.T, n int64) {
	old := memoryBytes
	memoryBytes = n
	t.Cleanup(func() { memoryBytes = old })
}

// TestASpoolFileThatIsDamaged: a flipped bit of a segment costs that segment, one in a head what is in that file; both are named, and
// the rest is stored.
func TestASpoolFileThatIsDamaged(t *testing.T) {
	for name, damage := range map[string]func(string) error{
		"body":  func(path string) error { return flip(path, -1000) },
		"head":  func(path string) error { return flip(path, 200) },
		"torn":  func(path string) error { return os.Truncate(path, 5000) },
		"empty": func(path string) error { return os.Truncate(path, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				o := &outage{Store: memory.New()}
				w := startWorker(t, o.faulty(), dir, 1<<30)
				time.AfterFunc(5*time.Second, func() { o.away.Store(true) })
				w.send("segment 2s\nvideo fps=25 gop=50 to=20\naudio lang=eng from=0.01 to=20\n")
				w.kill()
				files, err := filepath.Glob(filepath.Join(dir, "story", "*.spool"))
				if err != nil || len(files) < 4 {
					t.Fatalf("%d files, %v", len(files), err)
				}
				if err := damage(files[2]); err != nil {
					t.Fatal(err)
				}
				o.away.Store(false)
				w = startWorker(t, o.faulty(), dir, 1<<30)
				w.send("segment 2s\nvideo fps=25 gop=50 to=9 start=1890000\naudio lang=eng from=0.01 to=9 start=1890000\n")
				w.end()
				r := mustHold(t, o.Store)
				if r.Gaps == 0 || r.Gaps > 6 || r.Generations != 1 {
					t.Errorf("%d gaps, %d generations", r.Gaps, r.Generations)
				}
				named := false
				for _, body := range contents(t, o.Store, timeline.LossPrefix("story")) {
					named = named || strings.Contains(string(body), "spool_damaged") || strings.Contains(string(body), "process_ended")
				}
				if !named {
					t.Error("no loss record names what was damaged")
				}
			})
		})
	}
}

func flip(path string, at int64) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if at < 0 {
		at += int64(len(b))
	}
	b[at] ^= 1
	return os.WriteFile(path, b, 0o644)
}

func TestASpoolIsOneProcesss(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenSpool(dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSpool(dir, 1); !errors.Is(err, ErrSpoolTaken) {
		t.Errorf("a second one got %v", err)
	}
	s.Close()
	again, err := OpenSpool(dir, 1)
	if err != nil {
		t.Errorf("after the first had ended: %v", err)
	}
	again.Close()
}

// TestABatchComesBackFromTheSpoolAsItWas: heads and bodies, in order.
func TestABatchComesBackFromTheSpoolAsItWas(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenSpool(dir, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	shelf, _, _, err := s.shelf("story")
	if err != nil {
		t.Fatal(err)
	}
	c := composer{channel: "story", worker: "a"}
	var want []*batch
	for _, cut := range tell(t, ninety) {
		b := c.compose([]Cut{cut}, time.Unix(1000, 0))
		if err := shelf.write("story", b); err != nil {
			t.Fatal(err)
		}
		want = append(want, b)
	}
	shelf.leave(want)
	if s.Used() != 0 {
		t.Errorf("%d bytes after it was left", s.Used())
	}
	_, got, broken, err := s.shelf("story")
	if err != nil || broken != 0 || len(got) != len(want) {
		t.Fatalf("%d batches, %d broken, %v; want %d", len(got), broken, err, len(want))
	}
	for i, b := range got {
		if fmt.Sprint(b.Past) == "" || b.Past.Slot != want[i].Past.Slot || !sameShape(b.Past.Shape, want[i].Past.Shape) || b.Past.End != want[i].Past.End {
			t.Errorf("batch %d: past %+v, want %+v", i, b.Past, want[i].Past)
		}
		for j, o := range b.Objects {
			w := want[i].Objects[j]
			body, err := b.load(o)
			if err != nil || hashOf(body) != hashOf(w.body) || o.Key != w.Key || o.Kind != w.Kind || o.Frames != w.Frames || string(o.Row.Append(nil)) != string(w.Row.Append(nil)) {
				t.Errorf("batch %d, %s: %v", i, o.Key, err)
			}
		}
	}
}

// TestAnEdgeIsAStore: where it shows nothing, it keeps every promise of the store below it.
func TestAnEdgeIsAStore(t *testing.T) {
	storagetest.Run(t, func(*testing.T) storage.Store { return NewEdge(memory.New()) })
}
