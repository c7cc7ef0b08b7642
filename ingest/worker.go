package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"flambeau/packager/media"
)

const (
	// DefaultSilence is how long a feed may bring no sample. Then it is dark: it is closed, and the next input is tried.
	DefaultSilence = 3 * time.Second

	// openWait is how long an Open may take. Then it failed.
	openWait = 10 * time.Second

	// An input that failed rests for retryMin, each time twice as long, up to retryMax, ± retryJitter, so that workers which
	// lost one encoder do not all come back at once. It starts from retryMin again after goodAir without interruption.
	retryMin    = 250 * time.Millisecond
	retryMax    = 8 * time.Second
	retryJitter = 0.2
	goodAir     = 10 * time.Second

	// maxTail is how many events a feed may still give once its context has ended. What comes beyond is not asked for.
	maxTail = 4096

	// reportEvery is how often Observe is called while nothing special happens.
	reportEvery = time.Second
)

// Reasons is the closed list of what a Worker itself counts in Report.Errors, beside the reasons of its feeds.
var Reasons = []string{"open", "silent", "ended", "failed", "panic", "overrun"}

// Config is what a Worker must know.
type Config struct {
	Channel string
	Inputs  []Source      // the first is preferred; the next takes over when one goes dark, and stays until it goes dark itself
	Silence time.Duration // 0: DefaultSilence
	Log     *slog.Logger  // nil: nobody is told
	Observe func(Report)  // nil, or called from Run's goroutine, about once a second and whenever Up changes
}

// Report is how a worker's feed is, and what was counted since the last Report.
type Report struct {
	Input      int               // which of the inputs is open, or was last
	Up         bool              // samples arrive
	LastSample time.Time         // its Arrived; zero before the first
	Bytes      uint64            // received since the last Report
	Errors     map[string]uint64 // by reason, since the last Report; only what happened
	Streams    []Stream          // what the feed has
}

// Worker keeps a channel's feed open.
type Worker struct {
	channel string
	silence time.Duration
	log     *slog.Logger
	observe func(Report)

	// All below is owned by Run.
	inputs []*input
	out    *outlet
	ledger ledger
}

// input is a Source and when it may be opened again.
type input struct {
	Source
	number   int
	rest     time.Duration // of its last failure
	ready    time.Time     // not before
	finished bool          // it ended, and has nothing more to give: a file without loop
	kept     Feed          // it listens still, and is to be heard next; nil: the source must be opened
}

// New makes a Worker; Run runs it, once.
func New(c Config) *Worker {
	w := &Worker{channel: c.Channel, silence: c.Silence, log: c.Log, observe: c.Observe}
	if w.silence <= 0 {
		w.silence = DefaultSilence
	}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	w.log = w.log.With("channel", c.Channel)
	if w.observe == nil {
		w.observe = func(Report) {}
	}
	for i, s := range c.Inputs {
		w.inputs = append(w.inputs, &input{Source: s, number: i})
	}
	return w
}

// Run passes events on until its context ends or no input has anything more to give, and returns nil. After each feed that
// began, it sends one media.End, whose reason is one of Reasons, or "stopped". It does not close out.
//
//	open ─► play until silent, lost, ended or stopped ─► End ─► the next input that may be opened ─► …
func (w *Worker) Run(ctx context.Context, out chan<- media.Event) error {
	if len(w.inputs) == 0 {
		return fmt.Errorf("ingest %s: no inputs", w.channel)
	}
	w.out = &outlet{out: out, dropped: func(first bool) {
		w.ledger.count("overrun")
		if first {
			w.log.Warn("packager too slow, events dropped")
		}
	}}
	for now := w.inputs[0]; now != nil; now = w.turn(now) {
		if !w.sleepUntil(ctx, now.ready) {
			w.letGo(now)
			return nil
		}
		w.ledger.turnTo(now.number)
		err := w.play(ctx, now)
		reason := why(ctx, err)
		w.judge(now, err, reason)
		w.out.end(ctx, reason, patient(now.Source))
		w.ledger.tell(w.observe)
		if ctx.Err() != nil {
			w.letGo(now)
			return nil
		}
	}
	return nil
}

// turn goes on to the input that follows. What the one before kept is let go of, unless it is that one's turn again.
func (w *Worker) turn(last *input) *input {
	next := w.following(last)
	if next != last {
		w.letGo(last)
	}
	return next
}

func (w *Worker) letGo(in *input) {
	if in.kept != nil {
		w.close(in.kept)
		in.kept = nil
	}
}

// following is the input to open after one: the next in turn that may be opened now, else the one that may be first.
func (w *Worker) following(last *input) (best *input) {
	now := time.Now()
	for i := range w.inputs {
		in := w.inputs[(last.number+1+i)%len(w.inputs)]
		switch {
		case in.finished:
		case !in.ready.After(now):
			return in
		case best == nil || in.ready.Before(best.ready):
			best = in
		}
	}
	return best
}

func (w *Worker) sleepUntil(ctx context.Context, at time.Time) bool {
	t := time.NewTimer(time.Until(at))
	defer t.Stop()
	for {
		select {
		case <-t.C:
			return ctx.Err() == nil
		case <-ctx.Done():
			return false
		case w.out.owedTo() <- w.out.owed():
			w.out.paid()
		}
	}
}

// play opens an input and passes on what it gives. It returns why it stopped.
func (w *Worker) play(ctx context.Context, in *input) (err error) {
	feed := in.kept
	if in.kept = nil; feed == nil {
		if feed, err = open(ctx, in.Source); err != nil {
			return openError{err}
		}
	}
	defer func() { in.kept = w.part(ctx, feed, err) }()
	w.ledger.follow(feed)
	air, dark := context.WithCancelCause(ctx)
	defer dark(nil)
	alarm := time.AfterFunc(w.silence, func() { dark(ErrSilent) })
	defer alarm.Stop()
	for tail := 0; tail < maxTail; {
		e, err := next(air, feed)
		if err != nil {
			return err
		}
		if air.Err() != nil {
			tail++
		}
		w.pass(ctx, in, e, alarm)
	}
	return context.Cause(air)
}

// part leaves a feed that stopped: it is closed, or renewed and given back.
func (w *Worker) part(ctx context.Context, feed Feed, why error) (kept Feed) {
	if ctx.Err() != nil || !errors.Is(why, ErrSilent) && !errors.Is(why, io.EOF) {
		w.close(feed)
		return nil
	}
	w.ledger.settle()
	kept, err := renew(feed)
	if kept == nil || err != nil {
		w.close(feed)
		return nil
	}
	return kept
}

func (w *Worker) pass(ctx context.Context, in *input, e media.Event, alarm *time.Timer) {
	if s, ok := e.(*media.Sample); ok {
		alarm.Reset(w.silence)
		if w.ledger.sample(s) {
			w.log.Info("feed up", "input", in.number, "source", name(in.Source))
			w.ledger.tell(w.observe)
		}
	}
	if patient(in.Source) && ctx.Err() == nil {
		alarm.Stop() // our waiting is not its silence
		w.out.wait(ctx, e)
		alarm.Reset(w.silence)
	} else {
		w.out.offer(e)
	}
	w.ledger.tellNowAndThen(w.observe)
}

// judge says what becomes of an input that stopped.
func (w *Worker) judge(in *input, err error, reason string) {
	up := w.ledger.down()
	if reason == stopped {
		return
	}
	w.ledger.count(reason)
	now := time.Now()
	if w.ledger.air() >= goodAir {
		in.rest = 0
	}
	switch {
	case reason == "ended" && patient(in.Source):
		in.finished = true
	case reason == "silent" || in.kept != nil:
		in.ready = now // the silence was the wait; and who listens on opens nothing
	default:
		in.rest = min(max(2*in.rest, retryMin), retryMax)
		in.ready = now.Add(jitter(in.rest))
	}
	var p *panicked
	if errors.As(err, &p) {
		w.log.Error("feed panicked", "input", in.number, "source", name(in.Source), "err", err, "stack", string(p.stack))
	}
	told := w.log.With("input", in.number, "source", name(in.Source), "err", err, "was_up", up)
	if !in.finished {
		told = told.With("retry_in", in.ready.Sub(now))
	}
	told.Warn("feed lost")
}

func jitter(d time.Duration) time.Duration {
	return d + time.Duration((2*rand.Float64()-1)*retryJitter*float64(d))
}

const stopped = "stopped"

// why puts an error under its reason.
func why(ctx context.Context, err error) string {
	var p *panicked
	var o openError
	switch {
	case errors.As(err, &p):
		return "panic"
	case ctx.Err() != nil:
		return stopped
	case errors.As(err, &o):
		return "open"
	case errors.Is(err, ErrSilent):
		return "silent"
	case errors.Is(err, io.EOF):
		return "ended"
	}
	return "failed"
}

type openError struct{ error }

func (e openError) Unwrap() error { return e.error }

// panicked is a fault of ours in a feed or its parser: it costs this feed, not the process.
type panicked struct {
	what  any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.what) }

func recovered(err *error) {
	if p := recover(); p != nil {
		*err = &panicked{p, debug.Stack()}
	}
}

func open(ctx context.Context, s Source) (f Feed, err error) {
	defer recovered(&err)
	ctx, cancel := context.WithTimeout(ctx, openWait)
	defer cancel()
	return s.Open(ctx)
}

func next(ctx context.Context, f Feed) (e media.Event, err error) {
	defer recovered(&err)
	return f.Next(ctx)
}

func (w *Worker) close(f Feed) {
	w.ledger.settle()
	if err := closeFeed(f); err != nil {
		w.log.Warn("feed not closed well", "err", err)
	}
}

func closeFeed(f Feed) (err error) {
	defer recovered(&err)
	return f.Close()
}

func stats(f Feed) (s Stats, err error) {
	defer recovered(&err)
	return f.Stats(), nil
}
