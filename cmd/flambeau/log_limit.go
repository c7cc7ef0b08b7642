package main

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// logBurst lines of one phrase about one channel may come in logSpan. What comes beyond is not written but counted, and the number
	// is told when the span is over and anything at all is logged: a feed that breaks a thousand times a second does not bury the line
	// about another channel. Metrics and loss records count on.
	logBurst = 30
	logSpan  = 10 * time.Second
	// logKinds is how many phrases and channels are told apart; the rest share one count.
	logKinds = 4096
)

// quiet is a slog.Handler that bounds what one phrase of one channel may say. What is worse than a warning it never holds back.
type quiet struct {
	slog.Handler
	channel string
	said    *said
}

// said is shared by a handler and all that were made from it.
type said struct {
	to    slog.Handler // what is counted is told here, without the attributes of whoever comes next
	mu    sync.Mutex
	kinds map[logKind]*logCount
}

type logKind struct{ channel, phrase string }

type logCount struct {
	since          time.Time
	lines, dropped int
}

func newQuiet(h slog.Handler) *quiet {
	return &quiet{h, "", &said{to: h, kinds: map[logKind]*logCount{}}}
}

func (q *quiet) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &quiet{q.Handler.WithAttrs(attrs), channelOf(attrs, q.channel), q.said}
}

func (q *quiet) WithGroup(name string) slog.Handler {
	return &quiet{q.Handler.WithGroup(name), q.channel, q.said}
}

func channelOf(attrs []slog.Attr, otherwise string) string {
	for _, a := range attrs {
		if a.Key == "channel" {
			return a.Value.String()
		}
	}
	return otherwise
}

func (q *quiet) Handle(ctx context.Context, r slog.Record) error {
	if r.Level > slog.LevelWarn {
		return q.Handler.Handle(ctx, r)
	}
	kind := logKind{q.channel, r.Message}
	r.Attrs(func(a slog.Attr) bool {
		kind.channel = channelOf([]slog.Attr{a}, kind.channel)
		return true
	})
	write, over := q.said.judge(kind, r.Time)
	for kind, n := range over {
		more := slog.NewRecord(r.Time, slog.LevelWarn, "lines not written", 0)
		more.AddAttrs(slog.String("channel", kind.channel), slog.String("of", kind.phrase), slog.Int("count", n))
		if err := q.said.to.Handle(ctx, more); err != nil {
			return err
		}
	}
	if !write {
		return nil
	}
	return q.Handler.Handle(ctx, r)
}

// judge tells whether a line is written, and of which kinds a span is over in which lines were dropped.
func (s *said) judge(kind logKind, now time.Time) (write bool, over map[logKind]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, c := range s.kinds {
		if now.Sub(c.since) < logSpan {
			continue
		}
		if c.dropped > 0 {
			if over == nil {
				over = map[logKind]int{}
			}
			over[k] = c.dropped
		}
		delete(s.kinds, k)
	}
	if len(s.kinds) >= logKinds {
		kind = logKind{}
	}
	c := s.kinds[kind]
	if c == nil {
		c = &logCount{since: now}
		s.kinds[kind] = c
	}
	if c.lines < logBurst {
		c.lines++
		return true, over
	}
	c.dropped++
	return false, over
}
