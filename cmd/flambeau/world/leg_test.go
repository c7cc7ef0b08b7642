package world

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"flambeau/ingest"
	"flambeau/packager"
	"flambeau/packager/media"
	"flambeau/packager/timeline"
	"flambeau/storage"
	"flambeau/storage/storagetest"
)

// What serve does.
const (
	eventQueue = 1024 // events between a worker and its machine
	drainLimit = 20 * time.Second
	againFirst = time.Second // before a worker that could not start is begun again
	againMost  = 30 * time.Second
)

// leg is one worker: the antenna that hears the feed, the processes that run one after the other, their way to the store, and what befalls
// all of them. It belongs to the world's goroutine; what the processes share with that is said below.
type leg struct {
	w    *world
	name string
	dice *rand.Rand

	dark     int           // how many faults keep the feed away
	lossy    int           // of a thousand frames, how many do not arrive
	without  int           // the track that does not arrive; 0: none
	keysOnly bool          // only its key frames do not
	wall     time.Duration // how far off the machine's wall clock is
	store    trouble
	owed     map[int]int // frames of a track that were missed and not yet told of

	life  *life // the process that runs; nil: none
	lives []*life

	mu      sync.Mutex // guards antenna
	antenna *antenna   // nil: no process listens
}

// life is one process from its start to its end.
type life struct {
	began, ended time.Time
	process      context.Context
	cut          context.CancelFunc // kills it
	stop         chan struct{}      // closed: it is told to drain
	done         chan struct{}      // closed when it has ended
	told         bool               // to drain
	doomed       atomic.Bool        // it is killed at its next put
	killed       bool               // or did not end its drain in time
	err          error

	received []received // owned by the worker's goroutine until done

	listed map[string][]int64 // the slots of each rendition that its roots have listed; owned by its publisher until done
	keyed  uint32             // the newest key frame, milliseconds of the programme, and the longest that it waited for one; owned by the worker's
	keys   uint32             // goroutine until done

	mu      sync.Mutex
	named   map[int]int64   // frames of each track that its loss records name
	losses  map[string]bool // these records
	overrun int64
}

// received is a frame that a process was given.
type received struct {
	number uint32
	at     uint32 // milliseconds of the programme
	track  uint16
}

// live runs one worker process, the way serve draws it. This is the one place where the world starts what it tests.
//
//	leg (the antenna) ─► ingest.Worker ─► packager.Run ─► the leg's way to the store
func (l *leg) live(ctx context.Context, store storage.Store, me *life) error {
	log := slog.New(slog.DiscardHandler)
	p, err := packager.OpenPublisher(ctx, packager.PublisherConfig{Channel: worldChannel, Worker: l.name, Store: store, Observe: nobody{}, Log: log})
	if err != nil {
		return tryAgain{err}
	}
	machine := packager.NewChannel(packager.Config{Channel: worldChannel, Worker: l.name, Segment: l.w.segment, Part: 500 * time.Millisecond}, p.Past())
	events := make(chan media.Event, eventQueue)
	pull, stop := context.WithCancel(ctx)
	defer stop()
	var pulling sync.WaitGroup
	pulling.Go(func() {
		defer close(events)
		ingest.New(ingest.Config{Channel: worldChannel, Inputs: []ingest.Source{source{l, me}}, Log: log}).Run(pull, events)
	})
	pulling.Go(func() {
		select {
		case <-me.stop:
			stop()
		case <-pull.Done():
		}
	})
	err = packager.Run(ctx, events, machine, p)
	stop()
	for range events {
		// The machine that would name it is gone.
	}
	pulling.Wait()
	return err
}

// tryAgain is an error that a store may cause at a start.
type tryAgain struct{ error }

// start starts a process. It begins again when the store does not answer at its start, and ends for good when it is stopped.
func (l *leg) start() {
	if l.life != nil {
		return
	}
	ctx, cut := context.WithCancel(context.Background())
	me := &life{began: time.Now(), process: ctx, cut: cut, stop: make(chan struct{}), done: make(chan struct{}), named: map[int]int64{}, losses: map[string]bool{}, listed: map[string][]int64{}}
	l.life, l.lives = me, append(l.lives, me)
	go func() {
		defer close(me.done)
		for wait := againFirst; ; wait = min(2*wait, againMost) {
			err := l.live(ctx, l.w.way(l, me), me)
			var again tryAgain
			if !errors.As(err, &again) {
				me.err = err
				return
			}
			select {
			case <-time.After(wait):
			case <-me.stop:
				return
			case <-ctx.Done():
				return
			}
		}
	}()
}

// kill ends the process between two instants: what it had in memory is gone, what was on its way to the store took effect or did not.
func (l *leg) kill() {
	if l.life == nil {
		return
	}
	l.life.killed = true
	l.end()
}

// drain tells the process to stop, if there is one that was not told yet; ended tells whether it has.
func (l *leg) drain() bool {
	if l.life == nil || l.life.told {
		return false
	}
	l.life.told = true
	close(l.life.stop)
	return true
}

func (l *leg) ended(since time.Time) bool {
	if l.life == nil {
		return true
	}
	select {
	case <-l.life.done:
	default:
		if time.Since(since) < drainLimit {
			return false
		}
		l.life.killed = true // it is not waited for any longer, as systemd does
	}
	l.end()
	return true
}

func (l *leg) end() {
	me := l.life
	me.killed = me.killed || me.process.Err() != nil // at its last request
	me.cut()
	<-me.done
	me.ended, l.life = time.Now(), nil
	if me.err != nil && !me.killed {
		l.w.wrong("worker %s failed: %v", l.name, me.err)
	}
	l.mu.Lock()
	l.antenna = nil
	l.mu.Unlock()
}

// hear gives the frames that were sent to whoever listens.
func (l *leg) hear(frames []frame) {
	l.mu.Lock()
	a := l.antenna
	l.mu.Unlock()
	if a == nil || l.dark > 0 || len(frames) == 0 {
		return
	}
	samples, bodies := make([]media.Sample, len(frames)), make([]byte, 0, len(frames)*frameBytes)
	events := make([]media.Event, 0, len(frames)+2)
	for i := range frames {
		f := &frames[i]
		if l.lossy > 0 && l.dice.IntN(1000) < l.lossy || f.track == l.without && (f.key || !l.keysOnly) {
			l.owed[f.track]++
			continue
		}
		if n := l.owed[f.track]; n > 0 {
			events = append(events, media.Lost{Track: f.track, At: media.Ticks(a.receiver.last), Reason: "continuity", Count: n})
			delete(l.owed, f.track)
		}
		at := len(bodies)
		events = a.receiver.hear(f, &samples[i], bodies[at:at:at+frameBytes], stepped(l.w.began.Add(f.due), l.wall), events)
		bodies = bodies[:at+frameBytes]
		samples[i].Damaged = l.lossy > 0 && l.dice.IntN(1000) < l.lossy/4
	}
	select {
	case a.batches <- events:
	default: // nobody reads: a socket's buffer is full
	}
}

// before1970 is where the wall seconds of a time that has a monotonic reading begin, the first of 1885.
var before1970 = -time.Date(1885, 1, 1, 0, 0, 0, 0, time.UTC).Unix()

// stepped is a reading of a clock whose wall time is off and whose monotonic reading is not: what stepping a clock does, and time.Time has
// no word for. Times of a bubble have no monotonic reading of their own. The first word of one that has: a flag, 33 bits of seconds since
// 1885 and 30 of nanoseconds; the second: the monotonic reading.
func stepped(t time.Time, by time.Duration) time.Time {
	wall := t.Add(by)
	words := (*[2]uint64)(unsafe.Pointer(&t))
	words[0] = 1<<63 | uint64(wall.Unix()+before1970)<<30 | uint64(wall.Nanosecond())
	words[1] = uint64(wall.Add(-by).UnixNano())
	return t
}

func TestASteppedClockCountsOn(t *testing.T) {
	a, b := stepped(time.Unix(1e9, 1), 0), stepped(time.Unix(1e9+5, 2), -30*time.Second)
	if d := b.Sub(a); d != 5*time.Second+1 {
		t.Errorf("%v have passed", d)
	}
	if w := b.UnixNano(); w != (1e9-25)*1e9+2 {
		t.Errorf("the wall says %d", w)
	}
}

// source is the leg as a place to pull from: ingest.Source.
type source struct {
	l  *leg
	me *life
}

func (s source) Open(context.Context) (ingest.Feed, error) {
	a := &antenna{me: s.me, batches: make(chan []media.Event, 64), receiver: newReceiver()}
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.l.antenna = a
	return a, nil
}

// antenna is an open feed: ingest.Feed. The receiver in it is the world's, the rest the worker's.
type antenna struct {
	me       *life
	batches  chan []media.Event
	receiver *receiver
	events   []media.Event
}

func (a *antenna) Next(ctx context.Context) (media.Event, error) {
	for len(a.events) == 0 {
		select {
		case a.events = <-a.batches:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	e := a.events[0]
	a.events = a.events[1:]
	if s, ok := e.(*media.Sample); ok {
		at := uint32(binary.BigEndian.Uint64(s.Data[8:]) / 90)
		a.me.received = append(a.me.received, received{uint32(binary.BigEndian.Uint64(s.Data)), at, uint16(s.Track)})
		if s.Key && s.Track == pictureTrack {
			if a.me.keyed > 0 {
				a.me.keys = max(a.me.keys, at-a.me.keyed)
			}
			a.me.keyed = at
		}
	}
	return e, nil
}

func (a *antenna) Stats() ingest.Stats { return ingest.Stats{} }
func (a *antenna) Close() error        { return nil }

// nobody is told what a publisher did.
type nobody struct{}

func (nobody) Segment(string, string, time.Duration) {}
func (nobody) Lost(float64)                          {}
func (nobody) Divergence()                           {}
func (nobody) Visible()                              {}

// trouble is how a way to the store behaves.
type trouble struct {
	mu      sync.Mutex
	noise   int           // of a thousand requests, how many fail at any time
	slow    time.Duration // what any request may take, before and after it takes effect
	outage  string        // "": none; "before", "after", "hang", "slow": all requests
	last    time.Time     // when an outage last was
	counted int
}

// begin and end of an outage.
func (o *trouble) begin(kind string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.outage = kind
}

func (o *trouble) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.outage, o.last = "", time.Now()
}

var errNoAnswer = errors.New("no answer")

// decide is a storagetest.Faulty's.
func (o *trouble) decide(dice *rand.Rand) func(storagetest.Op) storagetest.Fault {
	return func(storagetest.Op) (f storagetest.Fault) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.slow > 0 {
			f.Latency = time.Duration(dice.Int64N(int64(o.slow)))
		}
		kind := o.outage
		if kind == "" && o.noise > 0 && dice.IntN(1000) < o.noise {
			kind = []string{"before", "after", "after"}[dice.IntN(3)]
		}
		switch kind {
		case "":
			return f
		case "before":
			f.Err = errNoAnswer
		case "after":
			f.Err, f.After = errNoAnswer, true
		case "hang":
			f.Hang, f.After = true, dice.IntN(2) == 0
		case "slow":
			f.Latency += time.Duration(dice.IntN(4000)) * time.Millisecond
		}
		o.counted++
		return f
	}
}

// way is what stands between a process and the store: faults, then answers that come late, then the book of what was really done.
func (w *world) way(l *leg, me *life) storage.Store {
	seed := l.dice.Uint64()
	faulty := &storagetest.Faulty{Store: tardy{book{w.truth, w, me}, &l.store, rand.New(rand.NewPCG(seed, 2))}, Decide: l.store.decide(rand.New(rand.NewPCG(seed, 1)))}
	return last{faulty, me, book{w.truth, w, me}, rand.New(rand.NewPCG(seed, 4))}
}

// eyes is the way to the store of an origin.
func (w *world) eyes(how *trouble) storage.Store {
	return &storagetest.Faulty{Store: w.truth, Decide: how.decide(rand.New(rand.NewPCG(w.dice.Uint64(), 3)))}
}

// tardy answers a while after a put took effect: there a kill finds what is done and not known to be.
type tardy struct {
	storage.Store
	how  *trouble
	dice *rand.Rand
}

func (s tardy) Put(ctx context.Context, key string, body []byte, how storage.Put) (storage.Version, error) {
	v, err := s.Store.Put(ctx, key, body, how)
	if err != nil || s.how.slow == 0 {
		return v, err
	}
	t := time.NewTimer(time.Duration(s.dice.Int64N(int64(s.how.slow))))
	defer t.Stop()
	select {
	case <-t.C:
		return v, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// last is a process's last request, if it is doomed: it takes effect or does not, and nobody is told.
type last struct {
	storage.Store
	me   *life
	book book
	dice *rand.Rand
}

func (s last) Put(ctx context.Context, key string, body []byte, how storage.Put) (storage.Version, error) {
	if s.me.doomed.Load() && strings.HasPrefix(key, worldChannel+"/seg/") {
		if s.dice.IntN(2) == 0 {
			s.book.Put(ctx, key, body, how)
		}
		s.me.cut()
	}
	return s.Store.Put(ctx, key, body, how)
}

// book stands before the store itself, sees what is really done there, and says what must never be.
type book struct {
	storage.Store
	w  *world
	me *life
}

func (s book) Put(ctx context.Context, key string, body []byte, how storage.Put) (storage.Version, error) {
	root := strings.HasPrefix(key, timeline.RootPrefix(worldChannel))
	var news []timeline.RenditionRow
	switch {
	case root && !how.IfAbsent && how.IfVersion == "":
		s.w.wrong("%s is put without asking what is there", key)
	case root:
		news = s.names(ctx, key, body)
	case !how.IfAbsent:
		s.w.wrong("%s is put over whatever is there", key)
	}
	v, err := s.Store.Put(ctx, key, body, how)
	// One that is there already, its name being its content, names what another process has not got either: nothing more is to be said.
	if (err == nil || errors.Is(err, storage.ErrExists)) && strings.HasPrefix(key, timeline.LossPrefix(worldChannel)) {
		s.loss(key, body)
	}
	for _, row := range news {
		s.me.listed[row.Rendition] = append(s.me.listed[row.Rendition], row.Slot)
	}
	return v, err
}

// names: what an index names is there, at the instant at which it is put. Rows are in the order in which they were listed, so the new ones
// are the last. It returns those.
func (s book) names(ctx context.Context, key string, body []byte) (news []timeline.RenditionRow) {
	for body = bytes.TrimSuffix(body, []byte("\n")); ; {
		i := bytes.LastIndexByte(body, '\n')
		line := body[i+1:]
		rest, ok := bytes.CutPrefix(line, []byte("row "))
		if !ok || i < 0 {
			return news
		}
		body = body[:i]
		rendition, rest, _ := bytes.Cut(rest, []byte(" "))
		slot, _, _ := bytes.Cut(rest, []byte(" "))
		if s.w.indexed(string(rendition) + "/" + string(slot)) {
			return news
		}
		row, err := timeline.ParseRow(string(line))
		if err != nil {
			s.w.wrong("%s: %v", key, err)
			return news
		}
		o, err := s.Store.Get(ctx, timeline.SegmentKey(worldChannel, row.Rendition, row.Slot), storage.Get{})
		if err != nil {
			if ctx.Err() == nil {
				s.w.wrong("%s names slot %d of %s before it is there: %v", key, row.Slot, row.Rendition, err)
			}
			return news
		}
		o.Body.Close()
		news = append(news, row)
	}
}

func (s book) loss(key string, body []byte) {
	l, err := timeline.DecodeLoss(body)
	if err != nil {
		s.w.wrong("%s: %v", key, err)
		return
	}
	s.me.mu.Lock()
	defer s.me.mu.Unlock()
	if s.me.losses[key] {
		return // it was put again, because its answer was lost
	}
	s.me.losses[key] = true
	for _, e := range l.Entries {
		s.me.named[e.Track] += e.Frames
		if e.Reason == "overrun" {
			s.me.overrun += e.Units
		}
	}
}
