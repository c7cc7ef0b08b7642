// Package file is the way in for MPEG-TS from a file, at the pace of its own clock or as fast as it is taken, once or round and
// round without a seam.
//
//	file ─► mpegts.Demuxer ─► loop: shift by the passes before ─► pace: wait until it is due ─► events
//
// It has no goroutine: the feed's Next reads and waits.
package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"flambeau/ingest"
	"flambeau/ingest/mpegts"
	"flambeau/packager/media"
)

// readSize is how much is read at a time.
const readSize = 256 * 188

// ErrEmpty is a file that has no sample, and so nothing to go round with.
var ErrEmpty = errors.New("ingest: no sample in the file")

// Reasons is the closed list of what a feed counts in Stats.Errors.
var Reasons = mpegts.Reasons

// Config says what to play, and how.
type Config struct {
	Open    func() (io.ReadSeekCloser, error)
	Name    string        // for logs and errors
	Loop    bool          // after the end comes the beginning, with timestamps that go on
	Unpaced bool          // as fast as it is taken; else as fast as it was made
	Ahead   time.Duration // of media, is delivered at once, as if playing had begun so long ago
	Program int           // program_number; 0: the first that has something for us
}

// FromBytes is an Open for what is in memory.
func FromBytes(b []byte) func() (io.ReadSeekCloser, error) {
	return func() (io.ReadSeekCloser, error) { return unclosed{bytes.NewReader(b)}, nil }
}

type unclosed struct{ *bytes.Reader }

func (unclosed) Close() error { return nil }

// Source is an ingest.Source.
type Source struct{ config Config }

// New makes a source; each Open plays from the beginning.
func New(c Config) *Source { return &Source{c} }

// Patient says that nothing is lost by waiting: a file stays.
func (s *Source) Patient() bool { return true }

func (s *Source) String() string { return "file://" + s.config.Name }

func (s *Source) Open(context.Context) (ingest.Feed, error) {
	f, err := s.config.Open()
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", s, err)
	}
	feed := &feed{file: f, config: s.config, buffer: make([]byte, readSize), errors: map[string]uint64{}, pace: pace{ahead: s.config.Ahead}}
	feed.rewind()
	return feed, nil
}

// feed is one open file. All of it is owned by who calls Next.
type feed struct {
	file   io.ReadSeekCloser
	config Config
	buffer []byte
	demux  *mpegts.Demuxer // of this pass: each begins as the first did
	ended  bool            // this pass: everything is in the demuxer

	loop loop
	pace pace
	held media.Event // ready, but not due

	bytes  uint64
	errors map[string]uint64 // of the passes before
}

func (f *feed) rewind() {
	f.demux, f.ended = mpegts.New(mpegts.Options{Program: f.config.Program}), false
}

// Next gives events when they are due. When ctx ends meanwhile, the event stays for a later Next.
func (f *feed) Next(ctx context.Context) (media.Event, error) {
	for f.held == nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		e, ok := f.demux.Next()
		if !ok {
			if err := f.more(); err != nil {
				return nil, err
			}
			continue
		}
		if e, ok = f.loop.shift(e); ok {
			f.held = e
		}
	}
	if err := f.due(ctx, f.held); err != nil {
		return nil, err
	}
	e := f.held
	f.held = nil
	return e, nil
}

// more brings more of the file into the demuxer, or begins another pass.
func (f *feed) more() error {
	if f.ended {
		return f.turn()
	}
	n, err := f.file.Read(f.buffer)
	f.bytes += uint64(n)
	f.demux.Write(f.buffer[:n], time.Time{})
	if errors.Is(err, io.EOF) {
		f.demux.Flush()
		f.ended, err = true, nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", f.config.Name, err)
	}
	return nil
}

// turn goes back to the beginning, if that is asked for.
func (f *feed) turn() error {
	if !f.config.Loop {
		return io.EOF
	}
	if !f.loop.turn() {
		return fmt.Errorf("loop %s: %w", f.config.Name, ErrEmpty)
	}
	if _, err := f.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("loop %s: %w", f.config.Name, err)
	}
	for reason, n := range f.demux.Errors() {
		f.errors[reason] += n
	}
	f.rewind()
	return nil
}

// due waits until an event may be told, and dates it.
func (f *feed) due(ctx context.Context, e media.Event) error {
	switch e := e.(type) {
	case *media.Sample:
		e.Arrived = time.Now()
		if f.config.Unpaced {
			return nil
		}
		e.Arrived = f.pace.due(e.DTS, e.Arrived)
		return wait(ctx, e.Arrived)
	case media.Cue:
		e.Arrived = f.pace.last
		if e.Arrived.IsZero() {
			e.Arrived = time.Now()
		}
		f.held = e
	}
	return nil
}

func wait(ctx context.Context, until time.Time) error {
	left := time.Until(until)
	if left <= 0 {
		return nil
	}
	t := time.NewTimer(left)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (f *feed) Stats() ingest.Stats {
	s := ingest.Stats{Bytes: f.bytes, Errors: f.demux.Errors()}
	for reason, n := range f.errors {
		s.Errors[reason] += n
	}
	for _, d := range f.demux.Streams() {
		s.Streams = append(s.Streams, ingest.Stream{ID: d.PID, Name: d.Name, Language: d.Language, Ignored: d.Why})
	}
	return s
}

func (f *feed) Close() error { return f.file.Close() }
