package udp

import (
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"flambeau/ingest"
	"flambeau/ingest/mpegts"
	"flambeau/packager/media"
)

const (
	// batch is how many datagrams one system call may bring.
	batch = 32

	// maxDatagram is more than UDP can carry: nothing is cut. Memory that no datagram has touched is not taken.
	maxDatagram = 1 << 16

	// lookUp is how long a read waits before it looks at its context again.
	lookUp = 250 * time.Millisecond

	// quiet is how long the sender that is being heard must say nothing before another is heard.
	quiet = 500 * time.Millisecond
)

// feed is one bound socket. All of it is owned by who calls Next.
type feed struct {
	conn   *net.UDPConn
	reader *ipv4.PacketConn // IPv6 reads the same way
	config Config

	messages []ipv4.Message
	have     int // datagrams in messages
	taken    int // of these
	arrived  time.Time

	heard    netip.AddrPort // who is being heard
	heardAt  time.Time
	sequence sequence
	overflow uint32 // datagrams that the kernel said it dropped

	demux   *mpegts.Demuxer
	flushed bool
	last    media.Ticks // DTS of the last sample given

	bytes  uint64
	errors map[string]uint64
}

func newFeed(conn *net.UDPConn, d *mpegts.Demuxer, c Config) *feed {
	f := &feed{conn: conn, reader: ipv4.NewPacketConn(conn), config: c, demux: d, errors: map[string]uint64{}}
	room := make([]byte, batch*maxDatagram)
	for i := range batch {
		f.messages = append(f.messages, ipv4.Message{
			Buffers: [][]byte{room[i*maxDatagram : (i+1)*maxDatagram]},
			OOB:     make([]byte, unix.CmsgSpace(4)),
		})
	}
	return f
}

// LocalAddr is what was bound.
func (f *feed) LocalAddr() netip.AddrPort { return f.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// Next gives what the datagrams tell, one datagram after the other, so that a loss stands where it happened.
func (f *feed) Next(ctx context.Context) (media.Event, error) {
	for {
		if e, ok := f.demux.Next(); ok {
			if s, ok := e.(*media.Sample); ok {
				f.last = s.DTS
			}
			return e, nil
		}
		if f.taken < f.have {
			f.taken++
			if reason, lost := f.take(&f.messages[f.taken-1]); lost > 0 {
				return media.Lost{At: f.last, Reason: reason, Count: lost}, nil
			}
			continue
		}
		err := context.Cause(ctx)
		if err == nil {
			err = f.read()
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

// read waits for datagrams, but not longer than lookUp.
func (f *feed) read() error {
	if err := f.conn.SetReadDeadline(time.Now().Add(lookUp)); err != nil {
		return err
	}
	n, err := f.reader.ReadBatch(f.messages, 0)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	if err != nil {
		return err
	}
	f.have, f.taken, f.arrived, f.flushed = n, 0, time.Now(), false
	return nil
}

// take feeds one datagram to the demuxer. What is missing before it is the caller's to tell, before anything of it.
func (f *feed) take(m *ipv4.Message) (reason string, lost int) {
	p := m.Buffers[0][:m.N]
	f.bytes += uint64(len(p))
	if dropped := f.dropped(m.OOB[:m.NN]); dropped > 0 {
		reason, lost = receiveOverflow, dropped
		f.errors[receiveOverflow] += uint64(dropped)
	}
	if !f.hears(m.Addr) {
		f.errors[otherSender]++
		return reason, lost
	}
	p, missing, ok := f.unwrap(p)
	if missing > 0 {
		reason, lost = rtpLoss, missing // of overflow and sequence the latter knows better
		f.errors[rtpLoss] += uint64(missing)
	}
	if ok {
		f.demux.Write(p, f.arrived)
	}
	return reason, lost
}

// dropped is how many datagrams the kernel dropped since it last said so.
func (f *feed) dropped(oob []byte) int {
	if len(oob) < unix.CmsgSpace(4) {
		return 0
	}
	h, data, _, err := unix.ParseOneSocketControlMessage(oob)
	if err != nil || h.Level != unix.SOL_SOCKET || h.Type != unix.SO_RXQ_OVFL || len(data) < 4 {
		return 0
	}
	total := binary.NativeEndian.Uint32(data)
	n := int32(total - f.overflow)
	f.overflow = total
	return int(max(n, 0))
}

// hears tells whether a datagram comes from whom we listen to: two senders mixed into one transport stream are no feed.
func (f *feed) hears(a net.Addr) bool {
	u, ok := a.(*net.UDPAddr)
	if !ok {
		return false
	}
	from := u.AddrPort()
	if only := f.config.Source; only.IsValid() && from.Addr().Unmap() != only {
		return false
	}
	if from != f.heard {
		if f.arrived.Sub(f.heardAt) < quiet {
			return false
		}
		f.heard, f.sequence = from, sequence{}
	}
	f.heardAt = f.arrived
	return true
}

// unwrap takes the RTP header off, where there is one.
func (f *feed) unwrap(p []byte) (payload []byte, lost int, ok bool) {
	r, is := detectRTP(p)
	if f.config.RTP {
		if r, is = parseRTP(p); !is || r.control() {
			f.errors[rtpHeader]++
			return nil, 0, false
		}
	}
	if !is {
		return p, 0, true
	}
	use, lost, restart := f.sequence.judge(r)
	if restart {
		f.errors[rtpRestart]++
	}
	if !use {
		f.errors[rtpLate]++
	}
	return r.payload, lost, use
}

func (f *feed) Stats() ingest.Stats {
	s := ingest.Stats{Bytes: f.bytes, Errors: f.demux.Errors()}
	maps.Copy(s.Errors, f.errors)
	for _, d := range f.demux.Streams() {
		s.Streams = append(s.Streams, ingest.Stream{ID: d.PID, Name: d.Name, Language: d.Language, Ignored: d.Why})
	}
	return s
}

// Renew listens on at the same socket, for whoever sends: what comes until Next is called waits in the kernel.
func (f *feed) Renew() (ingest.Feed, error) {
	return &feed{
		conn: f.conn, reader: f.reader, config: f.config, messages: f.messages, overflow: f.overflow,
		demux: mpegts.New(mpegts.Options{Program: f.config.Program}), errors: map[string]uint64{},
	}, nil
}

func (f *feed) Close() error { return f.conn.Close() }
