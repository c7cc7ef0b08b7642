// Package srt is the way in for MPEG-TS over SRT: as caller, or as listener for one caller at a time.
//
//	socket ─► up to 32 datagrams a call ─► link: decrypt, in order, ask again ─► mpegts.Demuxer ─► events
//	  ▲                                     │
//	  └──────── ACK, NAK, keepalive ◄───────┘
//
// It has no goroutine: the feed's Next reads, and answers. What comes in order is passed on at once; only behind a hole is there a
// wait, of at most the latency, and by our own clock: the peer's may drift for weeks.
//
// The protocol is draft-sharabayko-srt-01, as far as a receiver of live media needs it: handshake version 5, AES-CTR with keys that
// are replaced meanwhile, periodic NAK. There is no bonding, no packet filter (FEC) and no rendezvous.
package srt

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"flambeau/ingest"
	"flambeau/ingest/mpegts"
)

const (
	// DefaultLatency is how long a lost packet is waited for where the URL does not say.
	DefaultLatency = 120 * time.Millisecond
	// MinLatency and MaxLatency bound it; a peer that asks for more gets MaxLatency.
	MinLatency = 20 * time.Millisecond
	MaxLatency = 8 * time.Second

	// receiveBuffer is what the kernel is asked to hold while we are away. What comes when it is full is asked for again.
	receiveBuffer = 4 << 20

	// callEvery is how often a caller repeats itself, and callWait how long, until it gives up.
	callEvery = 250 * time.Millisecond
	callWait  = 5 * time.Second
)

// Config says whom to call, or where to be called.
type Config struct {
	Listen     bool
	Address    string        // host:port to call, or what to bind: an address of this machine, or all of them: ":9000"
	Passphrase string        // of both sides; "": what comes is not encrypted
	KeyLength  int           // bytes of the key that a caller chooses; 0: 16
	StreamID   string        // that a caller names, or the only one that a listener lets in; "": none, or any
	Latency    time.Duration // 0: DefaultLatency
	Program    int           // program_number; 0: the first that has something for us
	Log        *slog.Logger  // nil: nobody is told
}

// Source is an ingest.Source.
type Source struct{ config Config }

// New makes a source; Open calls, or binds.
func New(c Config) *Source {
	if c.Latency == 0 {
		c.Latency = DefaultLatency
	}
	if c.KeyLength == 0 {
		c.KeyLength = 16
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Source{c}
}

// String has neither passphrase nor stream id: that may be a password, too.
func (s *Source) String() string {
	u := url.URL{Scheme: "srt", Host: s.config.Address}
	if s.config.Listen {
		u.RawQuery = "mode=listener"
	}
	return u.String()
}

func (c Config) terms() terms { return terms{c.Passphrase, c.KeyLength, c.StreamID, c.Latency} }

// Open calls, until the peer has agreed; or binds, and does not wait for anybody.
func (s *Source) Open(ctx context.Context) (ingest.Feed, error) {
	open := s.config.call
	if s.config.Listen {
		open = s.config.listen
	}
	f, err := open(ctx)
	if err != nil {
		return nil, fmt.Errorf("srt: %s: %w", s.config.Address, err)
	}
	return f, nil
}

func (c Config) listen(ctx context.Context) (*feed, error) {
	l := net.ListenConfig{Control: control}
	p, err := l.ListenPacket(ctx, "udp", c.Address)
	if err != nil {
		return nil, withoutAddress(err)
	}
	f := newFeed(newSocket(p.(*net.UDPConn)), c)
	f.door = &door{terms: c.terms(), seed: maphash.MakeSeed(), counts: map[string]uint64{}}
	return f, nil
}

func (c Config) call(ctx context.Context) (_ *feed, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, callWait, errors.New("nobody answers"))
	defer cancel()
	d := net.Dialer{Control: control}
	conn, err := d.DialContext(ctx, "udp", c.Address)
	if err != nil {
		return nil, withoutAddress(err)
	}
	f := newFeed(newSocket(conn.(*net.UDPConn)), c)
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	for call := newCall(c.terms()); f.link == nil; {
		if err := f.ring(ctx, call); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// ring says what a call has to say, and waits for an answer.
func (f *feed) ring(ctx context.Context, call *call) error {
	said := f.now()
	if _, err := f.conn.Write(call.bytes(said)); err != nil {
		return nobody(err)
	}
	for until := time.Now().Add(callEvery); time.Now().Before(until); {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := f.socket.read(until); err != nil {
			return nobody(err)
		}
		for f.taken < f.have {
			m := f.message()
			p, ok := parsePacket(m.Buffers[0][:m.N])
			if !ok {
				continue
			}
			l, again, err := call.take(p, f.now()-said)
			if f.link = l; l != nil || err != nil || again {
				return err
			}
		}
	}
	return nil
}

// nobody names what the machine at the other end says of a port where nobody listens.
func nobody(err error) error {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return errors.New("nobody listens there")
	}
	return withoutAddress(err)
}

// withoutAddress leaves out what our own error begins with.
func withoutAddress(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

func control(_, _ string, raw syscall.RawConn) error {
	return raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil { // needs CAP_NET_ADMIN
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer) // cut to net.core.rmem_max: doctor tells
		}
	})
}

// local is where a feed listens.
func (f *feed) local() netip.AddrPort { return f.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// What is counted here, beside what the demuxer counts: packets, and callers.
const (
	lost              = "srt_lost"          // did not come in time
	missed            = "srt_missed"        // were not there when the next was; most come when asked for
	again             = "srt_retransmitted" // came because they were asked for
	late              = "srt_late"          // came twice, or after they were given up
	beyond            = "srt_window"        // too far ahead of one that is missing; dropped
	sealed            = "srt_undecrypted"   // not encrypted with our passphrase, or not at all; dropped
	senseless         = "srt_control"       // control packets that make no sense
	badHandshake      = "srt_handshake"     // handshakes that make no sense, or whose cookie is not ours
	refusedPassphrase = "srt_refused_passphrase"
	refusedStreamID   = "srt_refused_stream_id"
	refusedBusy       = "srt_refused_busy" // while another caller is being heard
	refusedOther      = "srt_refused"      // of a kind that we can't serve; the log says which
)

// Reasons is the closed list of what a feed counts in Stats.Errors.
var Reasons = slices.Concat([]string{
	lost, missed, again, late, beyond, sealed, senseless, badHandshake, refusedPassphrase, refusedStreamID, refusedBusy, refusedOther,
}, mpegts.Reasons)
