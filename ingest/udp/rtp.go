package udp

import "encoding/binary"

// packet is what we need of an RTP packet: RFC 3550, 5.1.
type packet struct {
	kind     byte // payload type
	sequence uint16
	sender   uint32 // SSRC
	payload  []byte
}

const (
	rtpFixed = 12 // bytes of header before CSRCs
	tsPacket = 188
	tsSync   = 0x47

	kindMP2T    = 33 // RFC 3551, 6
	kindDynamic = 96
)

func parseRTP(p []byte) (packet, bool) {
	if len(p) < rtpFixed || p[0]>>6 != 2 {
		return packet{}, false
	}
	header := rtpFixed + 4*int(p[0]&0x0f)
	if p[0]&0x10 != 0 { // extension: its length in words comes behind two bytes of its own
		if len(p) < header+4 {
			return packet{}, false
		}
		header += 4 + 4*int(binary.BigEndian.Uint16(p[header+2:]))
	}
	end := len(p)
	if p[0]&0x20 != 0 { // padding: the last byte says how many
		end -= int(p[len(p)-1])
		if p[len(p)-1] == 0 {
			return packet{}, false
		}
	}
	if header > end {
		return packet{}, false
	}
	return packet{p[1] & 0x7f, binary.BigEndian.Uint16(p[2:]), binary.BigEndian.Uint32(p[8:]), p[header:end]}, true
}

// control tells RTCP on the same port: RFC 5761, 4.
func (p packet) control() bool { return p.kind >= 72 && p.kind <= 76 }

// detectRTP tells whether a datagram of a plain port is RTP after all: a transport stream begins with 0x47, RTP with 0x80 to
// 0xbf, and behind its header comes the 0x47.
func detectRTP(p []byte) (packet, bool) {
	r, ok := parseRTP(p)
	if !ok || r.kind != kindMP2T && r.kind < kindDynamic || len(r.payload) < tsPacket || r.payload[0] != tsSync {
		return packet{}, false
	}
	return r, len(r.payload) < 2*tsPacket || r.payload[tsPacket] == tsSync
}

// How far a sequence number may be from the expected one: RFC 3550, A.1. Beyond, the sender began anew.
const (
	maxDropout  = 3000
	maxMisorder = 100
)

// sequence watches the numbers of one sender.
type sequence struct {
	started bool
	sender  uint32
	next    uint16
}

// judge takes a packet and says whether to use it, how many before it are missing, and whether the sender began anew.
// Packets are not put back in order: one that comes late was counted as lost before, and is dropped.
func (s *sequence) judge(p packet) (use bool, lost int, restart bool) {
	ahead := int(int16(p.sequence - s.next))
	switch {
	case !s.started:
	case p.sender != s.sender || ahead > maxDropout || ahead < -maxMisorder:
		restart = true
	case ahead < 0:
		return false, 0, false
	default:
		lost = ahead
	}
	s.started, s.sender, s.next = true, p.sender, p.sequence+1
	return true, lost, restart
}
