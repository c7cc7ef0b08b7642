package ingest_test

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

	"flambeau/ingest"
	"flambeau/packager/media"
)

// script is a source: each Open takes the next of its plays, and the last one again and again.
type script struct {
	plays   []play
	patient bool
	opened  []time.Duration // since start
	start   time.Time
	closed  int
}

// play is a feed that gives events a gap apart, and then ends with err, or, if that is nil, says nothing more.
type play struct {
	refuse error // of Open
	events []media.Event
	gap    time.Duration
	err    error
	panics any
	tail   []media.Event // what it gives once its context has ended
	bytes  uint64        // an event
}

func (s *script) Open(context.Context) (ingest.Feed, error) {
	if s.start.IsZero() {
		s.start = time.Now()
	}
	s.opened = append(s.opened, time.Since(s.start))
	p := s.plays[min(len(s.opened), len(s.plays))-1]
	if p.refuse != nil {
		return nil, p.refuse
	}
	return &scriptFeed{play: p, script: s, stats: ingest.Stats{Errors: map[string]uint64{"crc": 0}}}, nil
}

func (s *script) Patient() bool { return s.patient }
func (s *script) String() string {
	return "script"
}

type scriptFeed struct {
	play
	script *script
	stats  ingest.Stats
}

func (f *scriptFeed) Next(ctx context.Context) (media.Event, error) {
	if len(f.events) > 0 && f.sleep(ctx, f.gap) {
		e := f.events[0]
		f.events = f.events[1:]
		f.stats.Bytes += f.play.bytes
		f.stats.Errors["crc"]++
		if s, ok := e.(*media.Sample); ok {
			s.Arrived = time.Now()
		}
		return e, nil
	}
	if ctx.Err() == nil && f.panics != nil {
		panic(f.panics)
	}
	if ctx.Err() == nil && f.err != nil {
		return nil, f.err
	}
	<-ctx.Done()
	if len(f.tail) > 0 {
		e := f.tail[0]
		f.tail = f.tail[1:]
		return e, nil
	}
	return nil, context.Cause(ctx)
}

func (f *scriptFeed) sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

func (f *scriptFeed) Stats() ingest.Stats { return f.stats }
func (f *scriptFeed) Close() error        { f.script.closed++; return nil }

func begin(id int) media.Event { return media.Begin{Tracks: []media.Track{{ID: id}}} }

func samples(track, n int) (events []media.Event) {
	events = append(events, begin(track))
	for i := range n {
		events = append(events, &media.Sample{Track: track, DTS: media.Ticks(i)})
	}
	return events
}

// air runs a worker, reads what it sends, and tells it in a line each: "0s begin 1", "1s sample 1/0", "5s end silent".
type air struct {
	t      *testing.T
	lines  []string
	counts map[string]uint64
	bytes  uint64
	ups    []string
	log    bytes.Buffer
	stop   func()
	out    chan media.Event
}

// onAir with room reads nothing by itself; without, it reads at once.
func onAir(t *testing.T, room int, inputs ...ingest.Source) *air {
	read := room == 0
	if read {
		room = 64
	}
	a := &air{t: t, counts: map[string]uint64{}, out: make(chan media.Event, room)}
	start := time.Now()
	w := ingest.New(ingest.Config{Channel: "curling-a", Inputs: inputs, Log: slog.New(slog.NewTextHandler(&a.log, nil)), Observe: func(r ingest.Report) {
		for reason, n := range r.Errors {
			a.counts[reason] += n
		}
		a.bytes += r.Bytes
		if up := fmt.Sprint(r.Input, " ", r.Up); len(a.ups) == 0 || a.ups[len(a.ups)-1] != up {
			a.ups = append(a.ups, up)
		}
	}})
	ctx, cancel := context.WithCancel(t.Context())
	done, reader := make(chan error), sync.WaitGroup{}
	go func() { done <- w.Run(ctx, a.out) }()
	a.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		reader.Wait()
		for len(a.out) > 0 {
			a.line(start, <-a.out)
		}
	}
	if read {
		reader.Go(func() {
			for {
				select {
				case e := <-a.out:
					a.line(start, e)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	return a
}

func (a *air) line(start time.Time, e media.Event) {
	a.lines = append(a.lines, fmt.Sprint(time.Since(start).Round(time.Millisecond), " ", tell(e)))
}

func tell(e media.Event) string {
	switch e := e.(type) {
	case media.Begin:
		return fmt.Sprint("begin ", e.Tracks[0].ID)
	case *media.Sample:
		return fmt.Sprintf("sample %d/%d", e.Track, e.DTS)
	case media.Lost:
		return fmt.Sprintf("lost %s %d", e.Reason, e.Count)
	case media.End:
		return "end " + e.Reason
	}
	return fmt.Sprintf("%T", e)
}

func (a *air) want(lines ...string) {
	a.t.Helper()
	if !slices.Equal(a.lines, lines) {
		a.t.Errorf("sent:\n  %s\nwant:\n  %s", strings.Join(a.lines, "\n  "), strings.Join(lines, "\n  "))
	}
}

func (a *air) counted(want map[string]uint64) {
	a.t.Helper()
	delete(a.counts, "crc")
	if !maps.Equal(a.counts, want) {
		a.t.Errorf("counted %v, want %v", a.counts, want)
	}
}

func story(t *testing.T, tell func(t *testing.T)) { synctest.Test(t, tell) }

func TestASilentFeedEndsAndIsOpenedAgainAtOnce(t *testing.T) {
	story(t, func(t *testing.T) {
		s := &script{plays: []play{{events: samples(1, 2), gap: time.Second, bytes: 10, tail: []media.Event{&media.Sample{Track: 1, DTS: 9}}}, {events: samples(2, 1), gap: time.Second, bytes: 10}}}
		a := onAir(t, 0, s)
		time.Sleep(10 * time.Second)
		a.stop()
		// The last sample came at 3 s; what the parser still held comes with the silence, before the end.
		a.want("1s begin 1", "2s sample 1/0", "3s sample 1/1", "6s sample 1/9", "6s end silent", "7s begin 2", "8s sample 2/0", "10s end stopped")
		a.counted(map[string]uint64{"silent": 1})
		if a.bytes != 50 || !slices.Equal(a.ups, []string{"0 false", "0 true", "0 false", "0 true", "0 false"}) || s.closed != 2 {
			t.Errorf("%d bytes, up %v, closed %d", a.bytes, a.ups, s.closed)
		}
	})
}

// bound is a script that is opened once and then renewed, as a socket is that stays.
type bound struct{ script }

func (b *bound) Open(ctx context.Context) (ingest.Feed, error) {
	f, err := b.script.Open(ctx)
	return &boundFeed{f, b}, err
}

type boundFeed struct {
	ingest.Feed
	b *bound
}

func (f *boundFeed) Renew() (ingest.Feed, error) {
	if len(f.b.plays) == 1 {
		return nil, errors.New("gone")
	}
	f.b.plays = f.b.plays[1:]
	return &boundFeed{&scriptFeed{play: f.b.plays[0], script: &f.b.script, stats: ingest.Stats{Errors: map[string]uint64{"crc": 0}}}, f.b}, nil
}

func TestABoundFeedIsListenedToAgainWithoutARest(t *testing.T) {
	story(t, func(t *testing.T) {
		s := &bound{script{plays: []play{{events: samples(1, 1), gap: time.Second}, {events: samples(2, 1), gap: time.Second, err: io.EOF}, {events: samples(3, 1), gap: time.Second}}}}
		a := onAir(t, 0, s)
		time.Sleep(10 * time.Second)
		a.stop()
		a.want("1s begin 1", "2s sample 1/0", "5s end silent", "6s begin 2", "7s sample 2/0", "7s end ended", "8s begin 3", "9s sample 3/0", "10s end stopped")
		if len(s.opened) != 1 || s.closed != 1 {
			t.Errorf("opened %d times, closed %d times", len(s.opened), s.closed)
		}
	})
}

func TestABoundFeedIsClosedWhenAnotherInputHasItsTurnOrItCantListenOn(t *testing.T) {
	story(t, func(t *testing.T) {
		s, other := &bound{script{plays: []play{{}, {}, {}}}}, &script{plays: []play{{}}}
		a := onAir(t, 0, s, other)
		time.Sleep(7 * time.Second)
		a.stop()
		if len(s.opened) != 2 || s.closed != 2 || other.closed != 1 {
			t.Errorf("opened %d times, closed %d times, the other %d times", len(s.opened), s.closed, other.closed)
		}
		s = &bound{script{plays: []play{{}}}}
		a = onAir(t, 0, s)
		time.Sleep(7 * time.Second)
		a.stop()
		if len(s.opened) != 3 || s.closed != 3 {
			t.Errorf("opened %d times, closed %d times", len(s.opened), s.closed)
		}
	})
}

func TestAFeedWithoutSamplesIsDarkHoweverMuchItTells(t *testing.T) {
	story(t, func(t *testing.T) {
		var chatter []media.Event
		for range 100 {
			chatter = append(chatter, media.Lost{Reason: "crc", Count: 1})
		}
		dark := &script{plays: []play{{events: chatter, gap: 100 * time.Millisecond}}}
		light := &script{plays: []play{{events: samples(2, 2), gap: time.Second}}}
		a := onAir(t, 0, dark, light)
		time.Sleep(6500 * time.Millisecond)
		a.stop()
		if i := slices.Index(a.lines, "3s end silent"); i < 0 || !slices.Equal(a.lines[i+1:], []string{"4s begin 2", "5s sample 2/0", "6s sample 2/1", "6.5s end stopped"}) {
			t.Errorf("sent %q", a.lines)
		}
	})
}

func TestAnInputThatFailsRestsLongerEachTimeUpToEightSeconds(t *testing.T) {
	story(t, func(t *testing.T) {
		s := &script{plays: []play{{refuse: errors.New("refused")}}}
		a := onAir(t, 0, s)
		time.Sleep(time.Minute)
		a.stop()
		a.want() // what never began has no end
		waits := []float64{.25, .5, 1, 2, 4, 8, 8, 8}
		if len(s.opened) < len(waits)+1 {
			t.Fatalf("opened at %v", s.opened)
		}
		even := true
		for i, want := range waits {
			got := (s.opened[i+1] - s.opened[i]).Seconds()
			if got < .8*want || got > 1.2*want {
				t.Errorf("rest %d was %.3f s, want %.2f ± 20 %%", i, got, want)
			}
			even = even && got == want
		}
		if even {
			t.Error("no jitter")
		}
		if a.counts["open"] != uint64(len(s.opened)) {
			t.Errorf("%d opens failed, counted %v", len(s.opened), a.counts)
		}
	})
}

func TestTenSecondsOfGoodAirForgiveFailures(t *testing.T) {
	for _, c := range []struct {
		air       time.Duration
		low, high time.Duration
	}{{11 * time.Second, 200 * time.Millisecond, 300 * time.Millisecond}, {9 * time.Second, 3200 * time.Millisecond, 4800 * time.Millisecond}} {
		story(t, func(t *testing.T) {
			bad, cut := play{refuse: errors.New("refused")}, errors.New("connection reset")
			good := play{events: samples(1, 1+int(c.air/time.Second)), gap: time.Second, err: cut}
			s := &script{plays: []play{bad, bad, bad, bad, good, bad}}
			a := onAir(t, 0, s)
			time.Sleep(time.Minute)
			a.stop()
			ended := s.opened[4] + c.air + 2*time.Second // begin, and the first sample a second later
			if rest := s.opened[5] - ended; rest < c.low || rest > c.high {
				t.Errorf("after %v of air it rested %v, want %v to %v", c.air, rest, c.low, c.high)
			}
			if last := a.lines[len(a.lines)-1]; !strings.HasSuffix(last, "end failed") {
				t.Errorf("at last: %s", last)
			}
		})
	}
}

func TestTheNextInputTakesOverAndStaysUntilItGoesDark(t *testing.T) {
	story(t, func(t *testing.T) {
		cut := errors.New("cut")
		first := &script{plays: []play{{events: samples(1, 1), gap: time.Second, err: cut}, {events: samples(1, 100), gap: time.Second}}}
		second := &script{plays: []play{{events: samples(2, 20), gap: time.Second, err: cut}}}
		a := onAir(t, 0, first, second)
		time.Sleep(30 * time.Second)
		a.stop()
		if !slices.Equal(a.lines[:4], []string{"1s begin 1", "2s sample 1/0", "2s end failed", "3s begin 2"}) {
			t.Errorf("the second did not take over at once: %q", a.lines[:4])
		}
		if i := slices.Index(a.lines, "23s end failed"); i < 0 || a.lines[i+1] != "24s begin 1" {
			t.Errorf("the first did not come back when the second went dark: %q", a.lines)
		}
		if len(first.opened) != 2 {
			t.Errorf("the first was opened at %v while the second was fine", first.opened)
		}
		if want := []string{"0 false", "0 true", "0 false", "1 false", "1 true", "1 false", "0 false", "0 true", "0 false"}; !slices.Equal(a.ups, want) {
			t.Errorf("up: %q", a.ups)
		}
	})
}

func TestOfTwoInputsThatFailNoneIsHammered(t *testing.T) {
	story(t, func(t *testing.T) {
		refused := play{refuse: errors.New("refused")}
		first, second := &script{plays: []play{refused}}, &script{plays: []play{refused}}
		a := onAir(t, 0, first, second)
		time.Sleep(time.Minute)
		a.stop()
		for _, s := range []*script{first, second} {
			if n := len(s.opened); n < 8 || n > 16 {
				t.Errorf("opened %d times in a minute", n)
			}
		}
	})
}

func TestALiveFeedNeverWaitsAndSaysWhatWasLost(t *testing.T) {
	story(t, func(t *testing.T) {
		// Room for three: begin, 0, 1. Then 2, 3 and 4 find none, nor does a change of tracks.
		events := append(samples(1, 5), begin(7), &media.Sample{Track: 7, DTS: 5}, &media.Sample{Track: 7, DTS: 6}, &media.Sample{Track: 7, DTS: 7})
		s := &script{plays: []play{{events: events, gap: time.Second}}}
		a := onAir(t, 3, s)
		time.Sleep(8500 * time.Millisecond) // 5 is lost too
		start := time.Now()
		for range 3 {
			a.line(start, <-a.out)
		}
		time.Sleep(2 * time.Second)
		for range 3 {
			a.line(start, <-a.out)
		}
		time.Sleep(100 * time.Millisecond)
		a.stop()
		for i, l := range a.lines {
			_, a.lines[i], _ = strings.Cut(l, " ")
		}
		a.want("begin 1", "sample 1/0", "sample 1/1", "lost overrun 4", "begin 7", "sample 7/6", "lost overrun 1", "end stopped")
		a.counted(map[string]uint64{"overrun": 5})
		if n := strings.Count(a.log.String(), "packager too slow"); n != 2 {
			t.Errorf("logged %d times for two spells", n)
		}
	})
}

func TestAnEndThatFindsNoRoomIsOwedAndComesBeforeTheNextBegin(t *testing.T) {
	story(t, func(t *testing.T) {
		cut := errors.New("cut")
		s := &script{plays: []play{{events: samples(1, 1), gap: time.Second, err: cut}, {events: samples(2, 1), gap: time.Second}}}
		a := onAir(t, 2, s)
		time.Sleep(4500 * time.Millisecond) // the second feed has begun and given its sample
		start := time.Now()
		for range 2 {
			a.line(start, <-a.out)
		}
		time.Sleep(10 * time.Second)
		for range 2 {
			a.line(start, <-a.out)
		}
		time.Sleep(10 * time.Second)
		a.stop()
		for i, l := range a.lines {
			_, a.lines[i], _ = strings.Cut(l, " ")
		}
		// The second feed's sample was lost as well, and what it began came to nothing: one end is enough.
		if len(a.lines) < 4 || !slices.Equal(a.lines[:4], []string{"begin 1", "sample 1/0", "lost overrun 1", "end silent"}) {
			t.Errorf("%q", a.lines)
		}
	})
}

func TestAPatientSourceWaitsForThePackager(t *testing.T) {
	story(t, func(t *testing.T) {
		s := &script{patient: true, plays: []play{{events: samples(1, 50), err: io.EOF}}}
		a := onAir(t, 1, s)
		start := time.Now()
		for range 52 {
			time.Sleep(10 * time.Second) // far longer than a silence
			a.line(start, <-a.out)
		}
		a.stop()
		if last := a.lines[51]; !strings.HasSuffix(last, "end ended") {
			t.Errorf("at last: %s", last)
		}
		a.counted(map[string]uint64{"ended": 1})
		if len(s.opened) != 1 {
			t.Errorf("a file that ended was opened again: %v", s.opened)
		}
	})
}

func TestAPanicCostsTheFeedAndNotTheProcess(t *testing.T) {
	story(t, func(t *testing.T) {
		s := &script{plays: []play{{events: samples(1, 1), gap: time.Second, panics: "index out of range"}, {events: samples(2, 1), gap: time.Second}}}
		a := onAir(t, 0, s)
		time.Sleep(4500 * time.Millisecond)
		a.stop()
		if !slices.Equal(a.lines[:3], []string{"1s begin 1", "2s sample 1/0", "2s end panic"}) || len(a.lines) < 5 {
			t.Errorf("%q", a.lines)
		}
		a.counted(map[string]uint64{"panic": 1})
		if l := a.log.String(); !strings.Contains(l, "index out of range") || !strings.Contains(l, "worker_test.go") {
			t.Errorf("the log has no stack: %s", l)
		}
		if s.closed != 2 {
			t.Errorf("closed %d feeds", s.closed)
		}
	})
}

func TestStoppingEndsTheFeedWithWhatItStillHolds(t *testing.T) {
	story(t, func(t *testing.T) {
		s := &script{plays: []play{{events: samples(1, 100), gap: time.Second, tail: []media.Event{&media.Sample{Track: 1, DTS: 99}}}}}
		a := onAir(t, 10, s)
		time.Sleep(2500 * time.Millisecond)
		a.stop()
		for i, l := range a.lines {
			_, a.lines[i], _ = strings.Cut(l, " ")
		}
		a.want("begin 1", "sample 1/0", "sample 1/99", "end stopped")
		a.counted(map[string]uint64{})
	})
}

func TestAnOpenThatHangsIsGivenUp(t *testing.T) {
	story(t, func(t *testing.T) {
		s := hanging{}
		a := onAir(t, 0, s)
		time.Sleep(25 * time.Second)
		a.stop()
		if n := a.counts["open"]; n != 2 {
			t.Errorf("%d opens failed in 25 s", n)
		}
	})
}

type hanging struct{}

func (hanging) Open(ctx context.Context) (ingest.Feed, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestAWorkerWithoutInputsSaysSo(t *testing.T) {
	if err := ingest.New(ingest.Config{Channel: "c"}).Run(t.Context(), nil); err == nil {
		t.Error("ran")
	}
}
