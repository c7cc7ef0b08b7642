package ingest

import (
	"maps"
	"time"

	"flambeau/packager/media"
)

// ledger turns what feeds count since they were opened into what happened since the last Report.
type ledger struct {
	feed  Feed  // open, or nil
	known Stats // of it, and accounted for

	report Report // the next
	told   time.Time

	first, last time.Time // samples of this input's turn, by our clock
}

// turnTo starts the turn of an input.
func (l *ledger) turnTo(input int) {
	l.report.Input = input
	l.first, l.last = time.Time{}, time.Time{}
}

func (l *ledger) follow(f Feed) { l.feed, l.known = f, Stats{} }

// settle accounts for a feed that is about to be closed.
func (l *ledger) settle() {
	l.collect()
	l.feed = nil
}

func (l *ledger) count(reason string) { l.add(reason, 1) }

func (l *ledger) add(reason string, n uint64) {
	if n == 0 {
		return
	}
	if l.report.Errors == nil {
		l.report.Errors = map[string]uint64{}
	}
	l.report.Errors[reason] += n
}

// sample tells whether it is the first of its turn.
func (l *ledger) sample(s *media.Sample) (up bool) {
	now := time.Now()
	if l.first.IsZero() {
		l.first, up = now, true
	}
	l.last, l.report.LastSample, l.report.Up = now, s.Arrived, true
	return up
}

func (l *ledger) down() (was bool) {
	was, l.report.Up = l.report.Up, false
	return was
}

// air is how long samples came in this turn.
func (l *ledger) air() time.Duration { return l.last.Sub(l.first) }

func (l *ledger) tellNowAndThen(observe func(Report)) {
	if time.Since(l.told) >= reportEvery {
		l.tell(observe)
	}
}

func (l *ledger) tell(observe func(Report)) {
	l.collect()
	r := l.report
	l.report.Bytes, l.report.Errors = 0, nil
	l.told = time.Now()
	observe(r)
}

func (l *ledger) collect() {
	if l.feed == nil {
		return
	}
	now, err := stats(l.feed)
	if err != nil {
		l.count("panic")
		return
	}
	l.report.Bytes += now.Bytes - l.known.Bytes
	for reason, n := range now.Errors {
		l.add(reason, n-l.known.Errors[reason])
	}
	l.report.Streams = now.Streams
	l.known = now
	l.known.Errors = maps.Clone(now.Errors)
}
