package world

import (
	"fmt"
	"time"
)

// fault is one thing that goes wrong.
type fault struct {
	name        string
	begin, end  func() // end: nil if it has none
	lasts       time.Duration
	settles     time.Duration // what it needs more than others until all is well again
	least, most int           // the generations that it justifies
	dark        bool          // nothing comes while it lasts
}

// draw deals the next fault.
func (w *world) draw(l *leg) fault {
	switch w.dice.IntN(16) {
	case 0:
		return w.kill(l)
	case 1:
		return w.killAtPut(l)
	case 2:
		return w.kills(l)
	case 3:
		return w.drain(l)
	case 4, 5:
		return w.silence(l)
	case 6:
		return w.losses(l)
	case 7, 8:
		return w.jump()
	case 9:
		return w.shortStep()
	case 10:
		return w.rogue()
	case 11:
		return w.parameters()
	case 12:
		return w.languages()
	case 13:
		return w.falls(l)
	case 14:
		return w.wallStep(l)
	}
	return w.outage(l)
}

// span is a time from nothing to a minute, and now and then an hour, in which nothing else could happen.
func (w *world) span() time.Duration {
	switch n := w.dice.IntN(8); {
	case n == 0:
		return 0
	case n < 4:
		return time.Duration(w.dice.IntN(3000)) * time.Millisecond
	case n == 4 && w.kind != "wild":
		return time.Hour
	}
	return time.Duration(3000+w.dice.IntN(57000)) * time.Millisecond
}

// goesOn says how many generations a hole of a given length justifies: none while no more than three slots are missing, however it lies,
// and one when more are. Between, that depends on where in a slot it began.
func (w *world) goesOn(f *fault, hole time.Duration, spare time.Duration) {
	slot := w.slot()
	if f.most = 1; hole+spare+w.onAir.longestGOP()+time.Second < 3*slot {
		f.most = 0
	}
	if hole > 5*slot+2*time.Second {
		f.least = 1
	}
}

// kill takes the process away at any moment and starts it again.
func (w *world) kill(l *leg) fault {
	d := w.span()
	f := fault{name: fmt.Sprintf("kill for %v", d), lasts: d, dark: true, begin: func() { w.moment(); l.kill() }, end: l.start}
	w.goesOn(&f, d, w.slot()+time.Second) // what was in its memory is gone too
	w.offClock(&f, l, 1)
	return f
}

// killAtPut takes the process away when it has asked for a segment to be put, and starts it again at once.
func (w *world) killAtPut(l *leg) fault {
	f := fault{name: "kill in the midst of a put", lasts: 2 * w.slot()}
	f.begin = func() {
		me := l.life
		if me == nil {
			return
		}
		me.doomed.Store(true)
		var look func()
		look = func() {
			switch {
			case l.life != me:
			case me.process.Err() == nil:
				w.later(w.step, look)
			default:
				l.kill()
				l.start()
			}
		}
		look()
	}
	w.goesOn(&f, 0, w.slot()+time.Second)
	w.offClock(&f, l, 1)
	return f
}

// moment is some time between two steps.
func (w *world) moment() { time.Sleep(time.Duration(w.dice.Int64N(int64(w.step)))) }

// offClock: over a restart time is told by the wall clock alone. One that is off justifies a generation, since it can't be known that the
// feed's is the same.
func (w *world) offClock(f *fault, l *leg, times int) {
	if l.wall != 0 {
		f.most = max(f.most, times)
	}
}

// kills does it again and again.
func (w *world) kills(l *leg) fault {
	times, d := 2+w.dice.IntN(4), time.Duration(w.dice.IntN(4000))*time.Millisecond
	f := fault{name: fmt.Sprintf("%d kills, every %v", times, d), lasts: time.Duration(times)*d + time.Second, most: 1}
	f.begin = func() {
		for i := range times {
			w.later(time.Duration(i)*d, func() { w.moment(); l.kill(); l.start() })
		}
	}
	w.offClock(&f, l, times)
	return f
}

// drain stops the process well and starts it again.
func (w *world) drain(l *leg) fault {
	d := w.span()
	f := fault{name: fmt.Sprintf("stop for %v", d), lasts: d + 2*time.Second, dark: true}
	f.begin = func() {
		me, since := l.life, time.Now()
		if !l.drain() {
			return
		}
		var look func()
		look = func() {
			if l.life == me && !l.ended(since) {
				w.later(w.step, look)
				return
			}
			w.later(d, l.start)
		}
		look()
	}
	w.goesOn(&f, d+time.Second, w.slot()/2)
	w.offClock(&f, l, 1)
	return f
}

// silence keeps the feed away.
func (w *world) silence(l *leg) fault {
	d := time.Second + w.span()
	f := fault{name: fmt.Sprintf("silence of %v", d), lasts: d, dark: true, begin: func() { l.dark++ }, end: func() { l.dark-- }}
	if to := time.Duration(w.dice.IntN(61)-30) * time.Second; w.dice.IntN(3) == 0 {
		f.name += fmt.Sprintf(", the wall clock is %v off after it", to) // its length is told by another
		f.end = func() { l.dark, l.wall = l.dark-1, to }
	}
	if w.goesOn(&f, d, w.slot()/2); d < 2500*time.Millisecond {
		f.least, f.most = 0, 0 // nobody takes it for one
	}
	return f
}

// losses takes frames away, here and there.
func (w *world) losses(l *leg) fault {
	n, d := []int{5, 50, 300}[w.dice.IntN(3)], time.Duration(1+w.dice.IntN(20))*time.Second
	return fault{name: fmt.Sprintf("%d‰ lost for %v", n, d), lasts: d, begin: func() { l.lossy = n }, end: func() { l.lossy = 0 }}
}

// jump moves the feed's clock so far that it is another.
func (w *world) jump() fault {
	f := fault{least: 1, most: 1}
	if w.dice.IntN(4) == 0 {
		f.name, f.begin = "clock begins at zero", func() { w.onAir.toZero() }
		return f
	}
	by := []float64{11, 60, 3600, 11.9 * 3600, -1.5, -11, -60, -3600, -11.9 * 3600}[w.dice.IntN(9)]
	f.name, f.begin = fmt.Sprintf("clock jumps by %v s", by), func() { w.onAir.jump(int64(by * 90000)) }
	return f
}

// shortStep moves it less: it may be the same clock, and key frames may come elsewhere from then on.
func (w *world) shortStep() fault {
	by := time.Duration(w.dice.IntN(8000)-800) * time.Millisecond
	return fault{name: fmt.Sprintf("clock steps by %v", by), begin: func() { w.phase = true; w.onAir.jump(int64(by) * 9 / 100_000) }, settles: 5 * w.slot()}
}

// rogue is one wrong timestamp. Of two pictures a second, one that is half a second off is where the next one could be: nobody can tell.
func (w *world) rogue() fault {
	by := []float64{-3600, -100, -3, 3, 100, 3600, -0.5, 0.5}[w.dice.IntN(8)]
	if w.kind == "long" {
		by = max(-3600, min(6*by, 3600))
	}
	return fault{name: fmt.Sprintf("one timestamp is off by %v s", by), begin: func() { w.onAir.rogue, w.onAir.rogueBy = true, int64(by*90000) }}
}

// parameters makes pictures of another size from the next key frame on.
func (w *world) parameters() fault {
	return fault{name: "pictures of another size", begin: func() { w.onAir.next++ }, least: 1, most: 1, settles: w.onAir.longestGOP()}
}

// languages makes a sound speak another language, or come or go.
func (w *world) languages() fault {
	if len(w.onAir.rates) == 0 {
		return w.parameters()
	}
	i := w.dice.IntN(len(w.onAir.rates))
	language := []string{"ita", "eng", ""}[w.dice.IntN(3)]
	if was := w.onAir.table.sounds[i].language; was == language {
		language = "roh"
	}
	return fault{name: fmt.Sprintf("sound %d speaks %q", i, language), begin: func() { w.onAir.table = w.onAir.table.with(i, language) }, least: 1, most: 1, settles: w.onAir.longestGOP()}
}

// falls keeps one track away, or only its key frames.
func (w *world) falls(l *leg) fault {
	track := pictureTrack + w.dice.IntN(1+len(w.onAir.rates))
	f := fault{name: fmt.Sprintf("track %d falls silent", track), lasts: time.Duration(1+w.dice.IntN(30)) * time.Second}
	keys := track == pictureTrack && w.dice.IntN(2) == 0
	if w.onAir.alone() && !keys {
		return w.silence(l) // of all there is
	}
	if keys {
		f.name = "no key frames"
	}
	f.begin, f.end = func() { l.without, l.keysOnly = track, keys }, func() { l.without = 0 }
	return f
}

// wallStep sets the machine's wall clock. A worker that runs does not mind.
func (w *world) wallStep(l *leg) fault {
	to := time.Duration(w.dice.IntN(61)-30) * time.Second
	return fault{name: fmt.Sprintf("wall clock is %v off", to), begin: func() { l.wall = to }}
}

// outage is a store that does not answer, or answers late.
func (w *world) outage(l *leg) fault {
	kind := []string{"before", "after", "hang", "slow"}[w.dice.IntN(4)]
	d := time.Duration(1+w.dice.IntN(100)) * time.Second
	f := fault{name: fmt.Sprintf("store fails, %s, for %v", kind, d), lasts: d, begin: func() { l.store.begin(kind) }, end: l.store.end, settles: 60 * time.Second}
	if w.dice.IntN(3) == 0 {
		f.name, f.begin, f.end = f.name+", of the origin", func() { w.screen.store.begin(kind) }, w.screen.store.end
	}
	return f
}
