package httpts

import (
	"context"
	"errors"
	"io"
	"maps"
	"time"

	"flambeau/ingest"
	"flambeau/ingest/mpegts"
	"flambeau/packager/media"
)

// feed is one answer's body. All of it is owned by who calls Next.
type feed struct {
	body   io.ReadCloser
	cancel context.CancelCauseFunc
	buffer []byte
	head   []byte // the first bytes, until it is known that they are a transport stream
	known  bool
	demux  *mpegts.Demuxer

	ended   error // why there is no more
	flushed bool
	bytes   uint64
	errors  map[string]uint64
}

func (f *feed) Next(ctx context.Context) (media.Event, error) {
	for {
		if e, ok := f.demux.Next(); ok {
			return e, nil
		}
		err := context.Cause(ctx)
		if f.ended != nil {
			err = f.ended
		}
		if err == nil {
			err = f.read(ctx)
		}
		if err != nil && f.flushed {
			return nil, err
		}
		if err != nil {
			f.demux.Flush()
			f.flushed = true
		}
	}
}

// read waits for more of the body. A wait that ctx ends is the last: the answer is given up.
func (f *feed) read(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { f.cancel(nil) })
	n, err := f.body.Read(f.buffer)
	stop()
	if ctx.Err() != nil {
		f.ended = context.Cause(ctx)
		return f.ended
	}
	f.bytes += uint64(n)
	if !f.known {
		if wrong := f.look(f.buffer[:n], err != nil); wrong != nil {
			f.errors[refusedContent]++
			f.ended = wrong
			return wrong
		}
	}
	f.demux.Write(f.buffer[:n], time.Now())
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the server broke off")
	}
	f.ended = err
	return nil // what was read comes first
}

// look judges the first bytes, as soon as there are enough of them.
func (f *feed) look(b []byte, last bool) error {
	f.head = append(f.head, b[:min(len(b), headSize-len(f.head))]...)
	if len(f.head) < headSize && !last {
		return nil
	}
	is, ok := sniff(f.head)
	f.head, f.known = nil, true
	if !ok {
		return notTS(is)
	}
	return nil
}

func (f *feed) Stats() ingest.Stats {
	s := ingest.Stats{Bytes: f.bytes, Errors: f.demux.Errors()}
	maps.Copy(s.Errors, f.errors)
	for _, d := range f.demux.Streams() {
		s.Streams = append(s.Streams, ingest.Stream{ID: d.PID, Name: d.Name, Language: d.Language, Ignored: d.Why})
	}
	return s
}

func (f *feed) Close() error {
	f.cancel(nil)
	return f.body.Close()
}
