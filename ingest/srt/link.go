package srt

import (
	"encoding/binary"
	"time"
)

const (
	ackEvery       = 10 * time.Millisecond // draft-sharabayko-srt-01, 4.8.1
	nakEvery       = 20 * time.Millisecond // 4.8.2, at least; and no sooner than an answer can be there
	keepaliveEvery = time.Second           // 3.2.3

	// asks is how often a packet is asked for at least, before it is given up. Latency should be four round trips, so that each
	// can be answered.
	asks = 4
)

// link is a connection that stands: it takes packets, and says what to send. It has no socket and no clock: now is the time since
// the link began.
//
//	packet ─► take ─► receiver ─► pop
//	            └───► out ◄─ tick: ACK, NAK, keepalive
type link struct {
	ours, peers uint32 // socket IDs
	passphrase  string // "" : not encrypted
	keys        keys
	receiver

	out  [][]byte // packets to send
	sent time.Duration

	rtt, spread time.Duration
	acked       seq // what the last ACK said
	ackedAt     time.Duration
	ackNumber   uint32
	acks        [64]time.Duration // when each was sent, by its number

	closed bool          // the peer has said so
	heard  time.Duration // any packet of it

	bytes, again, sealed, senseless uint64 // payload; packets: sent once more; that can't be decrypted; control packets without sense
}

func newLink(h handshake, ours uint32, patience, rtt time.Duration) *link {
	return &link{ours: ours, peers: h.id, receiver: receiver{patience: patience, next: h.first, end: h.first}, acked: h.first, rtt: rtt, spread: rtt / 2}
}

// take takes a packet of the peer. After it, pop is to be called until there is no more.
func (l *link) take(p packet, now time.Duration) {
	l.heard = now
	if !p.control {
		l.data(p, now)
		return
	}
	switch p.kind {
	case typeShutdown:
		l.closed = true
	case typeACKACK:
		l.measure(p.info, now)
	case typeDropReq:
		if len(p.body) < 8 {
			l.senseless++
			return
		}
		l.forsake(seq(binary.BigEndian.Uint32(p.body)&seqMask), seq(binary.BigEndian.Uint32(p.body[4:])&seqMask))
	case typeUser:
		if p.subtype == extKey {
			l.rekey(p.body, now)
		}
	}
}

func (l *link) data(p packet, now time.Duration) {
	l.bytes += uint64(len(p.body))
	if p.again {
		l.again++
	}
	if l.passphrase != "" && !l.keys.open(p) || l.passphrase == "" && p.key != 0 {
		l.sealed++
		return
	}
	if hole, first, last := l.push(p.number, p.body, now); hole {
		l.say(now, typeNAK, 0, 0, appendRange(nil, first, last))
	}
}

// rekey takes the next key (6.1.6), and says that it did by saying it again.
func (l *link) rekey(message []byte, now time.Duration) {
	if l.passphrase == "" || l.keys.take(message, l.passphrase) != nil {
		l.senseless++
		return
	}
	l.say(now, typeUser, extKeyReply, 0, message)
}

// measure is 4.10.
func (l *link) measure(number uint32, now time.Duration) {
	if l.ackNumber-number >= uint32(len(l.acks)) {
		return
	}
	took := now - l.acks[number%uint32(len(l.acks))]
	l.spread = (3*l.spread + (l.rtt - took).Abs()) / 4
	l.rtt = (7*l.rtt + took) / 8
}

// tick is to be called every ackEvery or so.
func (l *link) tick(now time.Duration) {
	if l.next != l.acked && now-l.ackedAt >= ackEvery {
		l.ack(now)
	}
	if list := l.missing(now, max(nakEvery, min(l.rtt+4*l.spread, l.patience/asks))); list != nil {
		l.say(now, typeNAK, 0, 0, list)
	}
	if now-l.sent >= keepaliveEvery {
		l.say(now, typeKeepalive, 0, 0, words(0))
	}
}

func (l *link) ack(now time.Duration) {
	l.acked, l.ackedAt = l.next, now
	l.ackNumber++
	l.acks[l.ackNumber%uint32(len(l.acks))] = now
	l.say(now, typeACK, 0, l.ackNumber, words(uint32(l.acked), uint32(l.rtt.Microseconds()), uint32(l.spread.Microseconds()), uint32(l.room()), 0, 0, 0))
}

func (l *link) shutdown(now time.Duration) { l.say(now, typeShutdown, 0, 0, words(0)) }

func (l *link) say(now time.Duration, kind, subtype uint16, info uint32, body []byte) {
	l.out = append(l.out, appendControl(nil, kind, subtype, info, uint32(now.Microseconds()), l.peers, body))
	l.sent = now
}
