package packager

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"flambeau/packager/audit"
	"flambeau/packager/cmaf"
	"flambeau/packager/media"
	"flambeau/packager/timeline"
	"flambeau/storage"
	"flambeau/storage/memory"
	"flambeau/storage/storagetest"
)

// A pair in a bubble: two workers pull one feed, each through its own leg, and know of one another by what is in the store alone.
//
//	          ┌─ leg a: losses, delay ─► worker a ─ its own faults ─┐
//	script ───┤                                                     ├─► one store ─► judge
//	          └─ leg b: losses, delay ─► worker b ─ its own faults ─┘
type pair struct {
	t     *testing.T
	truth storage.Store
	began time.Time
	legs  [2]*leg

	falseGaps int // slots that one had nothing of, and the other came too late with
}

// leg is one worker and its way to the feed and to the store. It is owned by its run.
type leg struct {
	*pair
	name   string
	dir    string
	events []media.Event
	faults []fault
	dice   *rand.Rand

	mu       sync.Mutex
	received map[string]time.Duration // frames that its worker took, and when
	kills    []time.Duration
}

// fault befalls a leg between two instants of air.
type fault struct {
	kind     string
	from, to time.Duration
	n        int64
}

func (f fault) String() string {
	return fmt.Sprintf("%s %v to %v (%d)", f.kind, f.from, f.to, f.n)
}

// during finds a fault of a kind that holds now.
func (l *leg) during(kind string, at time.Duration) (fault, bool) {
	for _, f := range l.faults {
		if f.kind == kind && at >= f.from && at < f.to {
			return f, true
		}
	}
	return fault{}, false
}

func (l *leg) air() time.Duration { return time.Since(l.began) }

// store is the store as this leg sees it.
func (l *leg) store() storage.Store {
	return &storagetest.Faulty{Store: l.truth, Decide: func(op storagetest.Op) (f storagetest.Fault) {
		l.mu.Lock()
		defer l.mu.Unlock()
		f.Latency = time.Duration(5+l.dice.IntN(30)) * time.Millisecond
		if fr, ok := l.during("freeze", l.air()); ok {
			f.Latency = fr.to - l.air() // SIGSTOP
		}
		if _, ok := l.during("outage", l.air()); ok {
			f.Err = errors.New("no answer")
		}
		if _, ok := l.during("lost answers", l.air()); ok && l.dice.IntN(2) == 0 {
			f.Err, f.After = errors.New("the answer was lost"), true
		}
		if _, ok := l.during("slow store", l.air()); ok {
			f.Latency += time.Duration(l.dice.IntN(3000)) * time.Millisecond
		}
		return f
	}}
}

// run is a leg's life: its worker is started, killed, started again.
func (l *leg) run() {
	next := 0
	for lives := 0; ; lives++ {
		if lives > 40 {
			l.t.Errorf("%s has had %d lives, and %d files are left in its spool", l.name, lives, l.spooled())
			return
		}
		for f, down := l.during("down", l.air()); down; f, down = l.during("down", l.air()) {
			time.Sleep(f.to - l.air())
		}
		if next = l.life(next); next >= len(l.events) && l.spooled() == 0 {
			return
		}
	}
}

// spooled is how many files a process has left in its spool, for the next.
func (l *leg) spooled() int {
	left, _ := filepath.Glob(filepath.Join(l.dir, "story", "*"+spoolEnding))
	return len(left)
}

// pairLog is what the workers say: FLAMBEAU_TEST_PAIR_LOG=1 shows it.
var pairLog = slog.New(slog.NewTextHandler(pairLogTo(), nil))

func pairLogTo() io.Writer {
	if os.Getenv("FLAMBEAU_TEST_PAIR_LOG") != "" {
		return os.Stderr
	}
	return io.Discard
}

// life is one process of the worker. It returns the event from which the next would go on.
func (l *leg) life(next int) int {
	ctx, kill := context.WithCancel(context.Background())
	defer kill()
	spool, err := OpenSpool(l.dir, 1<<30)
	if err != nil {
		l.t.Error(err)
		return len(l.events)
	}
	defer spool.Close()
	var p *Publisher
	for {
		p, err = OpenPublisher(ctx, PublisherConfig{Channel: "story", Worker: l.name, Store: l.store(), Spool: spool, Pair: true, Observe: newCounts(), Log: pairLog.With("leg", l.name)})
		if err == nil {
			break
		}
		time.Sleep(time.Second)
	}
	c := NewChannel(Config{Channel: "story", Worker: l.name, Segment: 2 * time.Second, Part: 500 * time.Millisecond, Pair: true}, p.Past())
	events := make(chan media.Event, 4096)
	done := make(chan error, 1)
	go func() { done <- Run(ctx, events, c, p) }()
	next, killed := l.tell(events, next)
	if killed {
		l.mu.Lock()
		l.kills = append(l.kills, l.air())
		l.mu.Unlock()
		kill()
		<-done
		return next
	}
	close(events)
	if err := <-done; err != nil {
		l.t.Errorf("%s ended at %v with %v", l.name, l.air(), err)
	}
	return next
}

// tell sends events as they come on air, until the leg goes down or there are no more.
func (l *leg) tell(events chan<- media.Event, next int) (int, bool) {
	table := media.Begin{}
	for _, e := range l.events[:next] {
		if b, ok := e.(media.Begin); ok {
			table = b
		}
	}
	if len(table.Tracks) > 0 && next < len(l.events) {
		events <- table
	}
	for began := l.air(); next < len(l.events); next++ {
		if s, ok := l.events[next].(*media.Sample); ok && s.Arrived.Sub(air) >= began-100*time.Millisecond {
			break // what came while it was down came to nobody
		}
	}
	last, dark := l.air(), false
	lost := map[int]int{}
	for ; next < len(l.events); next++ {
		s, ok := l.events[next].(*media.Sample)
		if !ok {
			if _, end := l.events[next].(media.End); end {
				continue // silence is what a worker finds out by itself
			}
			events <- l.events[next]
			continue
		}
		at := s.Arrived.Sub(air)
		if f, ok := l.during("delay", at); ok {
			at += time.Duration(f.n) * time.Millisecond
		}
		if f, ok := l.during("freeze", at); ok {
			at = f.to
		}
		for wait := at - l.air(); wait > 0; wait = at - l.air() {
			if !dark && l.air()-last >= 3*time.Second {
				dark = true
				events <- media.End{Reason: "silence"}
			}
			time.Sleep(min(wait, 100*time.Millisecond))
			if f, down := l.during("down", l.air()); down {
				return next, f.n == 0
			}
		}
		if f, down := l.during("down", l.air()); down {
			return next, f.n == 0
		}
		if f, loses := l.during("loss", s.Arrived.Sub(air)); loses && l.dice.Int64N(100) < f.n {
			lost[s.Track]++
			continue
		}
		if _, dead := l.during("dark", s.Arrived.Sub(air)); dead {
			if !dark && l.air()-last >= 3*time.Second {
				dark = true
				events <- media.End{Reason: "silence"}
			}
			continue
		}
		if lost[s.Track] > 0 {
			events <- media.Lost{Track: s.Track, Reason: "continuity", Count: lost[s.Track], At: s.DTS}
			delete(lost, s.Track)
		}
		if dark && len(table.Tracks) == 0 {
			for _, e := range l.events[:next] {
				if b, ok := e.(media.Begin); ok {
					table = b
				}
			}
		}
		dark, last = false, l.air()
		copied := *s
		copied.Arrived = time.Now()
		if f, ok := l.during("clock", l.air()); ok {
			copied.Arrived = copied.Arrived.Add(time.Duration(f.n) * time.Millisecond)
		}
		if _, ok := l.during("input", s.Arrived.Sub(air)); ok { // another source of the same programme, with a clock of its own
			copied.PTS, copied.DTS = copied.PTS+3600*90000, copied.DTS+3600*90000
			copied.Data = append([]byte("2."), s.Data...)
		}
		l.mu.Lock()
		l.received[string(copied.Data)] = l.air()
		l.mu.Unlock()
		events <- &copied
	}
	return next, false
}

// play runs a pair over a script. faults are each leg's.
func play(t *testing.T, seed uint64, script string, faults [2][]fault) *pair {
	p := &pair{t: t, truth: memory.New(), began: time.Now()}
	var all sync.WaitGroup
	base := shm(t)
	for i, name := range []string{"a", "b"} {
		l := &leg{pair: p, name: name, dir: filepath.Join(base, name), events: unique(eventsOf(t, script)), faults: faults[i], dice: rand.New(rand.NewPCG(seed, uint64(i))), received: map[string]time.Duration{}}
		p.legs[i] = l
		all.Go(l.run)
	}
	all.Wait()
	return p
}

// shm is a folder in memory, where the machine has one: what fsync costs is not what is tried here.
func shm(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "flambeau-pair-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// unique gives each sample bytes that no other has.
func unique(events []media.Event) []media.Event {
	n := map[int]int{}
	for _, e := range events {
		if s, ok := e.(*media.Sample); ok {
			s.Data = fmt.Appendf(nil, "%d:%08d", s.Track, n[s.Track])
			n[s.Track]++
		}
	}
	return events
}

// judge says what does not hold.
func (p *pair) judge() (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	r, err := audit.Run(context.Background(), p.truth, "story", audit.Span{})
	if err != nil {
		return []string{err.Error()}
	}
	for _, f := range r.Findings {
		if strings.Contains(f.What, "it is false") {
			p.falseGaps++ // a rival that was away for longer than its tombstone was waited for
			continue
		}
		say("audit: %v", f)
	}
	main, order := p.frames("story/seg/")
	alt, _ := p.frames("story/alt/")
	for frame, n := range main {
		if n > 1 {
			say("%s is in %d segments", frame, n)
		}
	}
	wrong = append(wrong, order...)
	// What a worker took is in the archive, or aside, or named, or died with a process: count by track.
	named := p.named()
	missing := map[string]int64{}
	all := map[string]bool{}
	for _, l := range p.legs {
		for frame, at := range l.received {
			all[frame] = true
			if main[frame] == 0 && alt[frame] == 0 && !l.died(at) {
				track, _, _ := strings.Cut(strings.TrimPrefix(frame, "2."), ":")
				missing[l.name+" "+track]++
			}
		}
	}
	for of, n := range missing {
		if n > named[of] {
			say("%s: %d frames are nowhere, and %d are named", of, n, named[of])
		}
	}
	both := 0
	for frame := range all {
		if main[frame] > 0 || alt[frame] > 0 {
			both++
		}
	}
	if both == 0 {
		say("nothing was archived")
	}
	return wrong
}

// died tells whether what was taken at an instant may have died with the process.
func (l *leg) died(at time.Duration) bool {
	return slices.ContainsFunc(l.kills, func(kill time.Duration) bool { return at <= kill && kill-at < 24*time.Second })
}

// frames counts the samples in the objects below a prefix, and says where a track's go backwards.
func (p *pair) frames(prefix string) (count map[string]int, order []string) {
	count = map[string]int{}
	last := map[string]string{}
	for info, err := range p.truth.List(context.Background(), prefix, "") {
		if err != nil {
			return nil, []string{err.Error()}
		}
		b, _, _ := storage.ReadAll(context.Background(), p.truth, info.Key, storage.Get{}, 1<<30)
		parsed, err := cmaf.Parse(b)
		if err != nil {
			order = append(order, fmt.Sprintf("%s: %v", info.Key, err))
			continue
		}
		for _, f := range parsed.Fragments {
			for _, s := range f.Samples {
				frame := string(b[s.Position : s.Position+int64(s.Size)])
				track, _, _ := strings.Cut(frame, ":")
				if frame <= last[track] && prefix == "story/seg/" {
					order = append(order, fmt.Sprintf("%s: %s comes after %s", info.Key, frame, last[track]))
				}
				last[track] = frame
				count[frame]++
			}
		}
	}
	return count, order
}

// named is how many frames each worker's loss records name, by worker and track.
func (p *pair) named() map[string]int64 {
	named := map[string]int64{}
	for info := range p.truth.List(context.Background(), timeline.LossPrefix("story"), "") {
		b, _, _ := storage.ReadAll(context.Background(), p.truth, info.Key, storage.Get{}, 1<<30)
		l, err := timeline.DecodeLoss(b)
		if err != nil {
			continue
		}
		for _, e := range l.Entries {
			named[l.Worker+" "+strconv.Itoa(e.Track)] += e.Frames
		}
	}
	return named
}

func (p *pair) report() audit.Report {
	r, _ := audit.Run(context.Background(), p.truth, "story", audit.Span{})
	return r
}

const pairAir = "segment 2s\nvideo fps=25 gop=50 to=60\naudio lang=eng from=0.01 to=60\n"

// TestPairs tells the stories of two workers.
func TestPairs(t *testing.T) {
	s := time.Second
	for name, story := range map[string]struct {
		script      string
		a, b        []fault
		generations int
		records     int // that were proposed for what comes after the first: one if both see the same change
		gaps        int // at most
		frames      int // of the picture, at least, in segments
	}{
		"both see all":                  {pairAir, nil, nil, 1, 0, 0, 1500},
		"one starts late":               {pairAir, nil, []fault{{"down", 0, 10 * s, 0}}, 1, 0, 0, 1500},
		"a clock is half a minute off":  {pairAir, nil, []fault{{"down", 0, 10 * s, 0}, {"clock", 0, 100 * s, 30000}}, 1, 0, 0, 1500},
		"one is killed":                 {pairAir, []fault{{"down", 21 * s, 90 * s, 0}}, nil, 1, 0, 0, 1500},
		"the other is killed":           {pairAir, nil, []fault{{"down", 21 * s, 90 * s, 0}}, 1, 0, 0, 1500},
		"one is killed, and back":       {pairAir, []fault{{"down", 21 * s, 25 * s, 0}}, nil, 1, 0, 0, 1500},
		"one after the other is killed": {pairAir, []fault{{"down", 15 * s, 20 * s, 0}}, []fault{{"down", 35 * s, 40 * s, 0}}, 1, 0, 0, 1500},
		"one is stopped, and back":      {pairAir, []fault{{"down", 21 * s, 25 * s, 1}}, nil, 1, 0, 0, 1500},
		"one loses packets":             {pairAir, []fault{{"loss", 10 * s, 50 * s, 2}}, nil, 1, 0, 0, 1500},
		"one goes dark":                 {pairAir, []fault{{"dark", 20 * s, 40 * s, 0}}, nil, 1, 0, 0, 1500},
		"one has no store":              {pairAir, []fault{{"outage", 20 * s, 40 * s, 0}}, nil, 1, 0, 0, 1500},
		"none has a store":              {pairAir, []fault{{"outage", 20 * s, 40 * s, 0}}, []fault{{"outage", 20 * s, 38 * s, 0}}, 1, 0, 0, 1500},
		"one is slow":                   {pairAir, []fault{{"slow store", 0, 60 * s, 0}}, nil, 1, 0, 0, 1500},
		"one is five seconds behind":    {pairAir, []fault{{"delay", 0, 100 * s, 5000}}, nil, 1, 0, 0, 1500},
		"a jump":                        {pairAir + "shift pid=0 from=29.99 by=3600\n", nil, nil, 2, 1, 0, 1500},
		"a jump that one missed":        {pairAir + "shift pid=0 from=29.99 by=3600\n", []fault{{"loss", 28 * s, 33 * s, 30}}, nil, 2, 2, 0, 1490},
		"a silence of ten seconds":      {"segment 2s\nvideo fps=25 gop=50 to=20\naudio lang=eng from=0.01 to=20\nvideo pid=256 fps=25 gop=50 from=30 to=60\naudio pid=257 lang=eng from=30.01 to=60\n", nil, nil, 2, 2, 0, 1250},
		"a silence of four seconds":     {"segment 2s\nvideo fps=25 gop=50 to=20\naudio lang=eng from=0.01 to=20\nvideo pid=256 fps=25 gop=50 from=24 to=60\naudio pid=257 lang=eng from=24.01 to=60\n", nil, nil, 1, 0, 4, 1400},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := play(t, 1, story.script, [2][]fault{story.a, story.b})
				for _, w := range p.judge() {
					t.Error(w)
				}
				r := p.report()
				main, _ := p.frames("story/seg/")
				picture := 0
				for frame := range main {
					if strings.HasPrefix(frame, "256:") {
						picture++
					}
				}
				records := 0
				for range p.truth.List(t.Context(), "story/anchor/", "") {
					records++
				}
				if r.Generations != story.generations || records > story.records || r.Gaps > story.gaps || picture < story.frames {
					t.Errorf("%d generations, %d proposed, %d gaps, %d pictures", r.Generations, records, r.Gaps, picture)
				}
			})
		})
	}
}

// TestPairsWithFaults rolls dice: one to four faults on either leg in ten minutes of air, and four faults in fifty seconds.
func TestPairsWithFaults(t *testing.T) {
	for _, world := range []struct {
		name  string
		air   int // seconds
		most  int // faults
		least int
		seeds int
	}{
		{"ten_minutes", 600, 4, 1, pairSeeds(3)},
		{"dense", 50, 4, 4, pairSeeds(50)},
	} {
		t.Run(world.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(world.seeds) {
				t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { rolled(t, seed, world.air, world.least, world.most) })
				})
			}
		})
	}
}

// pairSeeds is how many seeds there are: FLAMBEAU_TEST_PAIR_SEEDS, or n.
func pairSeeds(n int) int {
	if more, err := strconv.Atoi(os.Getenv("FLAMBEAU_TEST_PAIR_SEEDS")); err == nil {
		return more
	}
	return n
}

func rolled(t *testing.T, seed uint64, air, least, most int) {
	dice := rand.New(rand.NewPCG(seed, uint64(air)))
	script, told := rollFeed(dice, air)
	var faults [2][]fault
	for range least + dice.IntN(most-least+1) {
		f := rollFault(dice, air)
		i := dice.IntN(2)
		faults[i] = append(faults[i], f)
		if f.kind == "outage" && dice.IntN(2) == 0 {
			faults[1-i] = append(faults[1-i], f) // of the store itself
		}
	}
	if dice.IntN(3) == 0 {
		faults[dice.IntN(2)] = append(faults[dice.IntN(2)], fault{"clock", 0, 1000 * time.Hour, dice.Int64N(60000) - 30000})
	}
	p := play(t, seed, script, faults)
	wrong := p.judge()
	if p.falseGaps > 0 {
		t.Logf("%d false gaps; a: %v, b: %v", p.falseGaps, faults[0], faults[1])
	}
	r := p.report()
	if newest, want := p.newest(), (air-25)*25; newest < want && !(p.legs[0].downLate(air) && p.legs[1].downLate(air)) {
		wrong = append(wrong, fmt.Sprintf("it stands still at frame %d, want %d", newest, want))
	}
	if len(wrong) > 0 {
		t.Errorf("feed: %s\na: %v\nb: %v\n%d generations, %d gaps", told, faults[0], faults[1], r.Generations, r.Gaps)
		for _, w := range wrong[:min(len(wrong), 12)] {
			t.Error(w)
		}
		for _, line := range p.chain() {
			t.Log(line)
		}
	}
}

// newest is the number of the last picture that is archived.
func (p *pair) newest() (n int) {
	main, _ := p.frames("story/seg/")
	for frame := range main {
		track, number, _ := strings.Cut(strings.TrimPrefix(frame, "2."), ":")
		if i, err := strconv.Atoi(number); err == nil && track == "256" {
			n = max(n, i)
		}
	}
	return n
}

// downLate tells whether the leg was away near the end of a feed.
func (l *leg) downLate(air int) bool {
	return slices.ContainsFunc(l.faults, func(f fault) bool {
		return (f.kind == "down" || f.kind == "dark" || f.kind == "freeze") && f.to > time.Duration(air-25)*time.Second
	})
}

// rollFeed is a feed with, perhaps, a jump or a silence of its own.
func rollFeed(dice *rand.Rand, air int) (script, told string) {
	gop := []int{25, 50, 100}[dice.IntN(3)]
	part := func(from, to int) string {
		return fmt.Sprintf("video pid=256 fps=25 gop=%d from=%d to=%d\naudio pid=257 lang=eng from=%d.01 to=%d\n", gop, from, to, from, to)
	}
	middle := 10 + dice.IntN(air-20)
	middle -= middle % 4
	switch dice.IntN(4) {
	case 0:
		by := []int{-7200, -60, 30, 3600}[dice.IntN(4)]
		return part(0, air) + fmt.Sprintf("shift pid=0 from=%d.99 by=%d\n", middle-1, by), fmt.Sprintf("gop %d, jump at %d by %d", gop, middle, by)
	case 1:
		silence := 2 + dice.IntN(15)
		return part(0, middle) + part(middle+silence, air+silence), fmt.Sprintf("gop %d, silent from %d for %d", gop, middle, silence)
	}
	return part(0, air), fmt.Sprintf("gop %d", gop)
}

func rollFault(dice *rand.Rand, air int) fault {
	from := time.Duration(dice.IntN(air*1000)) * time.Millisecond
	for_ := time.Duration(500+dice.IntN(12000)) * time.Millisecond
	switch dice.IntN(10) {
	case 8:
		return fault{"freeze", from, from + for_, 0}
	case 9:
		return fault{"input", from, from + 2*for_, 0}
	case 0, 1:
		return fault{"down", from, from + for_, 0}
	case 2:
		return fault{"down", from, from + for_, 1}
	case 3:
		return fault{"loss", from, from + for_/4, 2 + dice.Int64N(40)}
	case 4:
		return fault{"dark", from, from + for_, 0}
	case 5:
		return fault{"outage", from, from + 2*for_, 0}
	case 6:
		return fault{"lost answers", from, from + 2*for_, 0}
	case 7:
		if dice.IntN(2) == 0 {
			return fault{"delay", from, from + for_, dice.Int64N(5000)}
		}
		return fault{"slow store", from, from + 2*for_, 0}
	}
	panic("ten faces")
}

// chain is what stands in the reference's slots.
func (p *pair) chain() (lines []string) {
	for info := range p.truth.List(context.Background(), "story/seg/v360/", "") {
		b, _, _ := storage.ReadAll(context.Background(), p.truth, info.Key, storage.Get{}, 1<<30)
		r, record, err := CarriedRow(b)
		first := ""
		if parsed, _ := cmaf.Parse(b); len(parsed.Fragments) > 0 {
			s := parsed.Fragments[0].Samples[0]
			first = string(b[s.Position : s.Position+int64(s.Size)])
		}
		lines = append(lines, fmt.Sprintf("slot %d: generation %d %s, start %v, %s, put at %v, first %s, %v", r.Slot, r.Generation, record, timeline.UTC(r.Start, 90000).Sub(p.began), fmt.Sprint(r.Flags), info.Modified.Sub(p.began), first, err))
	}
	return lines
}
