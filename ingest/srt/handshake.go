package srt

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"net/netip"
	"time"
)

// Why a peer says no, or we do: draft-sharabayko-srt-01, table 7, and libsrt's access control.
const (
	rejectRogue      = 1004
	rejectVersion    = 1008
	rejectPassphrase = 1010
	rejectUnsecure   = 1011
	rejectMessage    = 1012
	rejectCongestion = 1013
	rejectFilter     = 1014
	rejectGroup      = 1015
	rejectForbidden  = 1403
	rejectBusy       = 1407
)

var rejections = map[uint32]string{
	1001: "system error", 1002: "by the peer", 1003: "no resources", rejectRogue: "bad handshake", 1005: "backlog full", 1006: "internal error", 1007: "socket is closing",
	rejectVersion: "SRT too old", 1009: "rendezvous collision", rejectPassphrase: "wrong passphrase", rejectUnsecure: "one side has a passphrase, the other has none",
	rejectMessage: "not live mode", rejectCongestion: "other congestion control", rejectFilter: "packet filter differs", rejectGroup: "bonding differs", 1016: "timeout",
	1400: "bad stream id", 1401: "not authorized", 1402: "overloaded", rejectForbidden: "stream id forbidden", 1404: "no such stream id", 1405: "wrong mode in stream id",
	1406: "stream id not acceptable", rejectBusy: "stream id is in use", 1423: "locked",
}

func rejection(code uint32) string {
	if s, ok := rejections[code]; ok {
		return s
	}
	return fmt.Sprintf("reason %d", code)
}

// terms are what this side wants of a connection.
type terms struct {
	passphrase string // "": none
	keyLength  int    // bytes of the key, where we choose it
	streamID   string
	latency    time.Duration
}

const (
	ourMTU    = 1500
	ourWindow = 25600 // packets in flight; no more than window
)

func (t terms) hello() *hello {
	ms := uint16(t.latency.Milliseconds())
	return &hello{version: ourVersion, flags: helloOurs, receive: ms, send: ms}
}

// patience is what both have agreed on: the longer, within our limit.
func (t terms) patience(peer uint16) time.Duration {
	return min(max(t.latency, time.Duration(peer)*time.Millisecond), MaxLatency)
}

func random32() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand
	return binary.BigEndian.Uint32(b[:])
}

// call is one side of 4.3.1: it says what to send, and takes the answers.
type call struct {
	terms
	id    uint32
	first seq
	keys  keys
	ask   handshake // what is being said
}

func newCall(t terms) *call {
	c := &call{terms: t, id: max(1, random32()&seqMask), first: seq(random32() & seqMask)}
	c.ask = handshake{version: versionInduction, extension: 2, mtu: ourMTU, window: ourWindow, kind: induction, id: c.id}
	return c
}

func (c *call) bytes(now time.Duration) []byte {
	return appendControl(nil, typeHandshake, 0, 0, uint32(now.Microseconds()), 0, c.ask.bytes(false))
}

// take takes an answer. It gives the link once the peer has agreed, and again where something is to be said at once.
func (c *call) take(p packet, rtt time.Duration) (l *link, again bool, err error) {
	if !p.control || p.kind != typeHandshake || p.to != c.id {
		return nil, false, nil
	}
	h, ok := parseHandshake(p.body)
	switch {
	case !ok:
		return nil, false, errors.New("handshake that makes no sense")
	case h.kind >= rejected && h.kind < agreement:
		return nil, false, refusedError(rejection(h.kind))
	case h.kind == induction && c.ask.kind == induction:
		return nil, true, c.conclude(h)
	case h.kind == conclusion && c.ask.kind == conclusion:
		l, err = c.agree(h, rtt)
		return l, false, err
	}
	return nil, false, nil
}

// refusedError is why the peer does not want us.
type refusedError string

func (e refusedError) Error() string { return "refused: " + string(e) }

func (c *call) conclude(h handshake) error {
	if h.version != versionSRT || h.extension != extensionMagic {
		return errors.New("the peer is older than SRT 1.3")
	}
	c.ask = handshake{version: versionSRT, first: c.first, mtu: ourMTU, window: ourWindow, kind: conclusion, id: c.id, cookie: h.cookie, hello: c.hello(), streamID: c.streamID}
	if c.passphrase != "" {
		length := c.keyLength
		if h.encryption >= 2 && h.encryption <= 4 { // the peer says which it wants
			length = int(h.encryption) * 8
		}
		c.ask.encryption, c.ask.key = uint16(length/8), c.keys.make(c.passphrase, length)
	}
	return nil
}

func (c *call) agree(h handshake, rtt time.Duration) (*link, error) {
	switch {
	case h.version != versionSRT || h.hello == nil:
		return nil, errors.New("the peer is older than SRT 1.3")
	case c.passphrase != "" && len(h.key) <= 4: // KMRSP of one word is an error
		return nil, refusedError(rejection(rejectPassphrase))
	case h.hello.flags&helloStream != 0:
		return nil, refusedError(rejection(rejectMessage))
	}
	l := newLink(h, c.id, c.patience(h.hello.send), rtt)
	l.passphrase, l.keys = c.passphrase, c.keys
	return l, nil
}

// firstRTT is what is believed until it is measured. Who asks too soon gets a packet twice.
const firstRTT = 20 * time.Millisecond

// door answers who calls.
type door struct {
	terms
	seed   maphash.Seed // of cookies
	counts map[string]uint64
}

// cookieLife is how long a cookie is good: 4.3.1.1 wants a minute or so.
const cookieLife = time.Minute

func (d *door) cookie(from netip.AddrPort, at time.Time) uint32 {
	return uint32(maphash.Bytes(d.seed, fmt.Appendf(nil, "%s %d", from, at.Unix()/int64(cookieLife.Seconds()))))
}

// take takes a handshake. It gives what to answer, and the link of whom was let in. Busy refuses everybody.
func (d *door) take(p packet, from netip.AddrPort, now time.Time, busy bool) (answer []byte, l *link, why string) {
	h, ok := parseHandshake(p.body)
	reply := func(h handshake) []byte {
		return appendControl(nil, typeHandshake, 0, 0, 0, h.id, h.bytes(true))
	}
	switch {
	case !ok:
		d.counts[badHandshake]++
		return nil, nil, ""
	case h.kind == induction:
		return reply(handshake{
			version: versionSRT, extension: extensionMagic, first: h.first, mtu: ourMTU, window: ourWindow, kind: induction, id: h.id, cookie: d.cookie(from, now),
		}), nil, ""
	case h.kind != conclusion || h.cookie != d.cookie(from, now) && h.cookie != d.cookie(from, now.Add(-cookieLife)):
		d.counts[badHandshake]++ // who did not come by our cookie is not even answered
		return nil, nil, ""
	}
	l, code, reason := d.judge(h, busy)
	yes := handshake{version: versionSRT, encryption: h.encryption, first: h.first, mtu: min(h.mtu, ourMTU), window: ourWindow, kind: conclusion, id: h.id}
	if code != 0 {
		d.counts[reason]++
		yes.kind = code
		return reply(yes), nil, rejection(code)
	}
	ms := uint16(l.patience.Milliseconds())
	yes.hello, yes.key = &hello{version: ourVersion, flags: helloOurs, receive: ms, send: max(ms, h.hello.receive)}, h.key
	to := h.id
	yes.id = l.ours
	return appendControl(nil, typeHandshake, 0, 0, 0, to, yes.bytes(true)), l, ""
}

// judge decides whether to let somebody in; code says why not, and reason counts it.
func (d *door) judge(h handshake, busy bool) (l *link, code uint32, reason string) {
	switch {
	case h.version != versionSRT || h.hello == nil:
		return nil, rejectVersion, refusedOther
	case h.hello.flags&helloStream != 0:
		return nil, rejectMessage, refusedOther
	case h.congestion != "" && h.congestion != "live":
		return nil, rejectCongestion, refusedOther
	case h.filter:
		return nil, rejectFilter, refusedOther
	case h.group:
		return nil, rejectGroup, refusedOther
	case (d.passphrase == "") != (len(h.key) == 0):
		return nil, rejectUnsecure, refusedPassphrase
	}
	l = newLink(h, max(1, random32()&seqMask), d.patience(h.hello.send), firstRTT)
	l.passphrase = d.passphrase
	if d.passphrase != "" {
		if err := l.keys.take(h.key, d.passphrase); errors.Is(err, errPassphrase) {
			return nil, rejectPassphrase, refusedPassphrase
		} else if err != nil {
			return nil, rejectRogue, badHandshake
		}
	}
	switch {
	case d.streamID != "" && h.streamID != d.streamID:
		return nil, rejectForbidden, refusedStreamID
	case busy:
		return nil, rejectBusy, refusedBusy
	}
	return l, 0, ""
}
