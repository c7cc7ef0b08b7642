package srt

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/ipv4"

	"flambeau/ingest"
	"flambeau/ingest/mpegts"
	"flambeau/packager/media"
)

const (
	// batch is how many datagrams one system call may bring.
	batch = 32

	// lookUp is how long a listener's read waits before it looks at its context again. On a link it is ackEvery.
	lookUp = 250 * time.Millisecond

	// alive is how long a caller may say nothing, not even keepalive, and still not be taken for dead by another that calls.
	alive = 1500 * time.Millisecond
)

// socket reads datagrams by the batch.
type socket struct {
	conn     *net.UDPConn
	reader   *ipv4.PacketConn // IPv6 reads the same way
	messages []ipv4.Message
	have     int // datagrams in messages
	taken    int // of these
}

func newSocket(conn *net.UDPConn) *socket {
	s := &socket{conn: conn, reader: ipv4.NewPacketConn(conn)}
	room := make([]byte, batch*maxPacket)
	for i := range batch {
		s.messages = append(s.messages, ipv4.Message{Buffers: [][]byte{room[i*maxPacket : (i+1)*maxPacket]}})
	}
	return s
}

// read waits for datagrams until an instant.
func (s *socket) read(until time.Time) error {
	s.have, s.taken = 0, 0
	if err := s.conn.SetReadDeadline(until); err != nil {
		return err
	}
	n, err := s.reader.ReadBatch(s.messages, 0)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	if err != nil {
		return err
	}
	s.have = n
	return nil
}

func (s *socket) message() *ipv4.Message {
	s.taken++
	return &s.messages[s.taken-1]
}

// feed is one connection, or the wait for one. All of it is owned by who calls Next.
type feed struct {
	*socket
	config  Config
	start   time.Time
	arrived time.Time // of what was read last

	link *link // nil: nobody has called yet
	door *door // of a listener; nil: we called
	peer netip.AddrPort
	yes  []byte // the answer by which the peer was let in

	demux   *mpegts.Demuxer
	flushed bool
	last    media.Ticks // DTS of the last sample given
	lost    uint64
}

func newFeed(s *socket, c Config) *feed {
	return &feed{socket: s, config: c, start: time.Now(), demux: mpegts.New(mpegts.Options{Program: c.Program})}
}

func (f *feed) now() time.Duration { return time.Since(f.start) }

// Next gives what the packets tell, one after the other, so that a loss stands where it happened.
func (f *feed) Next(ctx context.Context) (media.Event, error) {
	for {
		if e, ok := f.demux.Next(); ok {
			if s, ok := e.(*media.Sample); ok {
				f.last = s.DTS
			}
			return e, nil
		}
		if gone, ok := f.pass(); gone > 0 {
			return media.Lost{At: f.last, Reason: lost, Count: gone}, nil
		} else if ok {
			continue
		}
		if f.taken < f.have {
			f.take()
			continue
		}
		err := f.more(ctx)
		switch {
		case err == nil:
		case f.flushed:
			return nil, err
		case f.link != nil && f.link.waiting > 0:
			f.link.patience = longAgo // nothing will fill the holes any more
		default:
			f.demux.Flush()
			f.flushed = true
		}
	}
}

// pass gives the demuxer the next packet that is in order. What is missing before it is the caller's to tell, before anything of it.
func (f *feed) pass() (gone int, ok bool) {
	if f.link == nil {
		return 0, false
	}
	data, gone, ok := f.link.pop(f.now())
	if ok {
		f.lost += uint64(gone)
		f.demux.Write(data, f.arrived)
	}
	return gone, ok
}

// more says what is to be said, and reads.
func (f *feed) more(ctx context.Context) error {
	wait := lookUp
	if l := f.link; l != nil {
		if l.tick(f.now()); !l.closed {
			wait = ackEvery
		}
		if err := f.say(); err != nil {
			return nobody(err)
		}
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case f.link != nil && f.link.closed:
		return io.EOF
	}
	if err := f.read(time.Now().Add(wait)); err != nil {
		return nobody(err)
	}
	f.arrived = time.Now()
	return nil
}

// say sends what the link has to say. On a bound socket that can't fail for long, and is repeated.
func (f *feed) say() (err error) {
	for _, b := range f.link.out {
		if f.door != nil {
			_, _ = f.conn.WriteToUDPAddrPort(b, f.peer)
		} else if _, e := f.conn.Write(b); e != nil {
			err = e
		}
	}
	f.link.out = f.link.out[:0]
	return err
}

// take looks at one datagram.
func (f *feed) take() {
	m := f.message()
	p, ok := parsePacket(m.Buffers[0][:m.N])
	if !ok {
		return
	}
	from := f.peer
	if f.door != nil {
		u, ok := m.Addr.(*net.UDPAddr)
		if !ok {
			return
		}
		from = u.AddrPort()
		if p.to == 0 {
			f.answer(p, from)
			return
		}
	}
	if f.link != nil && from == f.peer && p.to == f.link.ours {
		f.flushed = false
		f.link.take(p, f.now())
	}
}

// answer answers who calls.
func (f *feed) answer(p packet, from netip.AddrPort) {
	if !p.control || p.kind != typeHandshake {
		return
	}
	if h, ok := parseHandshake(p.body); ok && f.link != nil && h.kind == conclusion && from == f.peer && h.id == f.link.peers {
		_, _ = f.conn.WriteToUDPAddrPort(f.yes, from) // it has not heard us
		return
	}
	answer, l, why := f.door.take(p, from, time.Now(), f.link != nil)
	if why != "" && f.link != nil && f.now()-f.link.heard > alive {
		f.link.closed = true // it has died without a word: who calls now will be let in when it calls again
		return
	}
	if why != "" {
		f.config.Log.Warn("caller refused", "listener", f.config.Address, "from", from, "reason", why)
	}
	if answer != nil {
		_, _ = f.conn.WriteToUDPAddrPort(answer, from)
	}
	if l != nil {
		f.link, f.peer, f.yes, f.start = l, from, answer, time.Now()
		f.config.Log.Info("caller let in", "listener", f.config.Address, "from", from, "latency", l.patience)
	}
}

func (f *feed) Stats() ingest.Stats {
	s := ingest.Stats{Errors: f.demux.Errors()}
	if f.door != nil {
		maps.Copy(s.Errors, f.door.counts)
	}
	if l := f.link; l != nil {
		s.Bytes = l.bytes
		maps.Copy(s.Errors, map[string]uint64{
			lost: f.lost, missed: l.missed, again: l.again, late: l.late, beyond: l.beyond, sealed: l.sealed, senseless: l.senseless,
		})
	}
	for _, d := range f.demux.Streams() {
		s.Streams = append(s.Streams, ingest.Stream{ID: d.PID, Name: d.Name, Language: d.Language, Ignored: d.Why})
	}
	return s
}

// Renew lets a listener wait for the next caller at the same socket. A caller can't: it has to call again.
func (f *feed) Renew() (ingest.Feed, error) {
	if f.door == nil {
		return nil, nil
	}
	f.hangUp()
	fresh := newFeed(f.socket, f.config)
	fresh.arrived = f.arrived
	fresh.door = &door{terms: f.door.terms, seed: f.door.seed, counts: map[string]uint64{}}
	return fresh, nil
}

// hangUp tells the peer, so that it does not go on sending to nobody.
func (f *feed) hangUp() {
	if f.link != nil && !f.link.closed {
		f.link.shutdown(f.now())
		_ = f.say()
	}
}

func (f *feed) Close() error {
	f.hangUp()
	return f.conn.Close()
}
