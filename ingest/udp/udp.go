// Package udp is the way in for MPEG-TS over UDP, plain or in RTP (RFC 2250), unicast or multicast, also source-specific.
//
//	socket ─► up to 32 datagrams a call ─► one sender ─► RTP header off, sequence watched ─► mpegts.Demuxer ─► events
//
// It has no goroutine: the feed's Next reads.
package udp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"flambeau/ingest"
	"flambeau/ingest/mpegts"
)

// ReceiveBuffer is what the kernel is asked to hold while we are away: five seconds of 6 Mb/s, a third of one at 100 Mb/s. What
// comes when it is full is lost, and counted under "receive_overflow".
const ReceiveBuffer = 4 << 20

// Config says what to listen to.
type Config struct {
	Address       netip.AddrPort // a group to join, or an address of this machine; without address: all of them
	Interface     string         // to join the group on, or to take datagrams from only; "": the kernel chooses
	Source        netip.Addr     // the only sender to hear; of a group: source-specific (RFC 4607); zero: the first that sends
	RTP           bool           // every datagram is RTP; else each is looked at
	Program       int            // program_number; 0: the first that has something for us
	ReceiveBuffer int            // bytes; 0: ReceiveBuffer
	Log           *slog.Logger   // nil: nobody is told
}

// Source is an ingest.Source.
type Source struct{ config Config }

// New makes a source; Open binds it.
func New(c Config) *Source {
	if c.ReceiveBuffer <= 0 {
		c.ReceiveBuffer = ReceiveBuffer
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Source{c}
}

func (s *Source) String() string {
	u := url.URL{Scheme: "udp", Host: s.config.host()} // it escapes a zone's %
	if s.config.RTP {
		u.Scheme = "rtp"
	}
	return u.String()
}

// host is what net takes: where no address is given, an empty one.
func (c Config) host() string {
	if !c.Address.Addr().IsValid() {
		return fmt.Sprintf(":%d", c.Address.Port())
	}
	return c.Address.String()
}

// Open binds, and joins.
func (s *Source) Open(ctx context.Context) (ingest.Feed, error) {
	conn, err := s.config.listen(ctx)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", s, err)
	}
	f := newFeed(conn, mpegts.New(mpegts.Options{Program: s.config.Program}), s.config)
	if s.config.Address.Addr().IsMulticast() {
		if err := s.config.join(conn); err != nil {
			conn.Close()
			return nil, fmt.Errorf("open %s: join: %w", s, err)
		}
	}
	return f, nil
}

func (c Config) listen(ctx context.Context) (*net.UDPConn, error) {
	if c.Address.Addr().IsMulticast() {
		return c.listenToGroup()
	}
	var set error
	l := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		err := raw.Control(func(fd uintptr) { set = c.options(int(fd)) })
		return errors.Join(err, set)
	}}
	p, err := l.ListenPacket(ctx, "udp", c.host())
	if err != nil {
		return nil, err
	}
	return p.(*net.UDPConn), nil
}

// listenToGroup binds to the group itself. net binds to every address instead, and then whatever anybody sends to this
// port, or to another group that somebody on this machine has joined, would come in here.
func (c Config) listenToGroup() (*net.UDPConn, error) {
	ip := c.Address.Addr()
	family, to := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: int(c.Address.Port())})
	if ip.Is4() {
		to.(*unix.SockaddrInet4).Addr = ip.As4()
	} else {
		zone, err := c.zone()
		if err != nil {
			return nil, err
		}
		family, to = unix.AF_INET6, &unix.SockaddrInet6{Port: int(c.Address.Port()), Addr: ip.As16(), ZoneId: zone}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), "udp")
	defer f.Close() // net has its own copy
	if err := c.options(fd); err != nil {
		return nil, err
	}
	if err := unix.Bind(fd, to); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	p, err := net.FilePacketConn(f)
	if err != nil {
		return nil, err
	}
	return p.(*net.UDPConn), nil
}

// zone is the interface's number, for groups that mean something on one link only.
func (c Config) zone() (uint32, error) {
	i, err := c.link()
	if err != nil || i == nil {
		return 0, err
	}
	return uint32(i.Index), nil
}

// link is the interface, or nil if none is named.
func (c Config) link() (*net.Interface, error) {
	name := c.Interface
	if name == "" {
		name = c.Address.Addr().Zone()
	}
	if name == "" {
		return nil, nil
	}
	i, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("interface %q: %w", name, err)
	}
	return i, nil
}

// options are set before the socket is bound.
func (c Config) options(fd int) error {
	set := func(option, value int) error {
		return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, value))
	}
	if c.Address.Addr().IsMulticast() {
		if err := set(unix.SO_REUSEADDR, 1); err != nil { // other workers of this machine may join too
			return err
		}
	} else if c.Interface != "" {
		if err := unix.BindToDevice(fd, c.Interface); err != nil {
			return fmt.Errorf("interface %q: %w", c.Interface, err)
		}
	}
	if err := set(unix.SO_RXQ_OVFL, 1); err != nil {
		return err
	}
	if set(unix.SO_RCVBUFFORCE, c.ReceiveBuffer) != nil { // needs CAP_NET_ADMIN
		if err := set(unix.SO_RCVBUF, c.ReceiveBuffer); err != nil { // cut to net.core.rmem_max
			return err
		}
	}
	twice, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF) // socket(7): the kernel doubles what it is asked for
	if err == nil && twice/2 < c.ReceiveBuffer {
		c.Log.Warn("receive buffer smaller than asked", "asked", c.ReceiveBuffer, "granted", twice/2, "see", "net.core.rmem_max")
	}
	return nil
}

func (c Config) join(conn *net.UDPConn) error {
	i, err := c.link()
	if err != nil {
		return err
	}
	group, source := &net.UDPAddr{IP: c.Address.Addr().AsSlice()}, &net.UDPAddr{IP: c.Source.AsSlice()}
	p4, p6 := ipv4.NewPacketConn(conn), ipv6.NewPacketConn(conn)
	switch v4, any := c.Address.Addr().Is4(), !c.Source.IsValid(); {
	case v4 && any:
		return p4.JoinGroup(i, group)
	case v4:
		return p4.JoinSourceSpecificGroup(i, group, source)
	case any:
		return p6.JoinGroup(i, group)
	}
	return p6.JoinSourceSpecificGroup(i, group, source)
}

// What is counted here, beside what the demuxer counts.
const (
	rtpLoss         = "rtp_loss"         // sequence numbers that did not come
	rtpLate         = "rtp_late"         // packets that came again, or after their place had passed; dropped
	rtpRestart      = "rtp_restart"      // times the sender began anew
	rtpHeader       = "rtp_header"       // datagrams that should be RTP, and are not
	otherSender     = "other_sender"     // datagrams of somebody else than who is being heard; dropped
	receiveOverflow = "receive_overflow" // datagrams that the kernel had no room for
)

// Reasons is the closed list of what a feed counts in Stats.Errors.
var Reasons = slices.Concat([]string{rtpLoss, rtpLate, rtpRestart, rtpHeader, otherSender, receiveOverflow}, mpegts.Reasons)
