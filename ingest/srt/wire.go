package srt

import (
	"encoding/binary"
	"strings"
)

// What SRT puts on the wire: draft-sharabayko-srt-01, section 3, and what libsrt 1.5 does where the draft is silent. All of it may
// come from anybody: whatever is too short, or does not add up, is refused.

const (
	headerSize  = 16
	controlFlag = 1 << 31

	// maxPacket is more than any SRT packet has: MSS is at most 1500 less the headers of IP and UDP.
	maxPacket = 1500
)

// Control packets, 3.2.
const (
	typeHandshake = 0
	typeKeepalive = 1
	typeACK       = 2
	typeNAK       = 3
	typeShutdown  = 5
	typeACKACK    = 6
	typeDropReq   = 7
	typeUser      = 0x7fff
)

// Extensions, of a handshake or as subtype of typeUser.
const (
	extHello         = 1 // HSREQ
	extHelloReply    = 2 // HSRSP
	extKey           = 3 // KMREQ
	extKeyReply      = 4 // KMRSP
	extStreamID      = 5
	extCongestion    = 6
	extFilter        = 7
	extGroup         = 8
	maxStreamID      = 512 // bytes
	maxExtensions    = 16
	flagsHello       = 1 // of the extension field
	flagsKey         = 2
	flagsConfig      = 4
	extensionMagic   = 0x4a17
	versionInduction = 4
	versionSRT       = 5
)

// Handshake types; those from rejected on say why not.
const (
	induction  = 1
	conclusion = 0xffffffff
	rejected   = 1000
	agreement  = 0xfffffffd // and above are no rejections
)

// Flags of a hello, 3.2.1.1.1.
const (
	helloTSBPDSender   = 1
	helloTSBPDReceiver = 2
	helloCrypt         = 4
	helloTooLateDrop   = 8
	helloPeriodicNAK   = 16
	helloRexmit        = 32
	helloStream        = 64
	helloOurs          = helloTSBPDSender | helloTSBPDReceiver | helloCrypt | helloTooLateDrop | helloPeriodicNAK | helloRexmit
	ourVersion         = 0x010401
)

// seq is a sequence number of 31 bits.
type seq uint32

const seqMask = 1<<31 - 1

func (s seq) plus(n int) seq { return (s + seq(n)) & seqMask }

// minus is how far s is ahead of o, in the shorter direction.
func (s seq) minus(o seq) int { return int(int32(uint32(s-o)<<1) >> 1) }

// packet is one datagram.
type packet struct {
	control       bool
	kind, subtype uint16 // of a control packet
	info          uint32 // of a control packet
	number        seq    // of a data packet, as all below
	key           byte   // 0: not encrypted, 1: even, 2: odd
	again         bool   // sent once more
	to            uint32 // socket ID
	body          []byte
}

func parsePacket(b []byte) (p packet, ok bool) {
	if len(b) < headerSize {
		return p, false
	}
	first, second := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	p.to, p.body = binary.BigEndian.Uint32(b[12:]), b[headerSize:]
	if first&controlFlag != 0 {
		p.control, p.kind, p.subtype, p.info = true, uint16(first>>16)&0x7fff, uint16(first), second
		return p, true
	}
	p.number, p.key, p.again = seq(first), byte(second>>27&3), second>>26&1 == 1
	return p, true
}

// appendControl writes a control packet.
func appendControl(b []byte, kind, subtype uint16, info, stamp, to uint32, body []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, controlFlag|uint32(kind)<<16|uint32(subtype))
	b = binary.BigEndian.AppendUint32(b, info)
	b = binary.BigEndian.AppendUint32(b, stamp)
	b = binary.BigEndian.AppendUint32(b, to)
	return append(b, body...)
}

func words(w ...uint32) (b []byte) {
	for _, v := range w {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// handshake is 3.2.1.
type handshake struct {
	version    uint32
	encryption uint16
	extension  uint16
	first      seq // the sender's first packet
	mtu        uint32
	window     uint32
	kind       uint32
	id         uint32 // the speaker's socket
	cookie     uint32

	hello      *hello
	key        []byte // key material, as it came
	streamID   string
	congestion string
	filter     bool
	group      bool
}

// hello is 3.2.1.1.
type hello struct {
	version, flags uint32
	receive, send  uint16 // latency, milliseconds
}

const handshakeSize = 48

func parseHandshake(b []byte) (h handshake, ok bool) {
	if len(b) < handshakeSize {
		return h, false
	}
	u32 := func(at int) uint32 { return binary.BigEndian.Uint32(b[at:]) }
	h = handshake{
		version: u32(0), encryption: uint16(u32(4) >> 16), extension: uint16(u32(4)), first: seq(u32(8) & seqMask),
		mtu: u32(12), window: u32(16), kind: u32(20), id: u32(24), cookie: u32(28),
	}
	if h.kind != conclusion || h.version != versionSRT {
		return h, true
	}
	return h, h.extensions(b[handshakeSize:])
}

func (h *handshake) extensions(b []byte) bool {
	for n := 0; len(b) > 0; n++ {
		if len(b) < 4 || n == maxExtensions {
			return false
		}
		kind, size := binary.BigEndian.Uint16(b), 4*int(binary.BigEndian.Uint16(b[2:]))
		if b = b[4:]; size > len(b) {
			return false
		}
		if !h.take(kind, b[:size]) {
			return false
		}
		b = b[size:]
	}
	return true
}

func (h *handshake) take(kind uint16, b []byte) (ok bool) {
	switch kind {
	case extHello, extHelloReply:
		if len(b) < 12 {
			return false
		}
		h.hello = &hello{
			version: binary.BigEndian.Uint32(b), flags: binary.BigEndian.Uint32(b[4:]),
			receive: binary.BigEndian.Uint16(b[8:]), send: binary.BigEndian.Uint16(b[10:]),
		}
	case extKey, extKeyReply:
		h.key = b
	case extStreamID:
		if len(b) > maxStreamID {
			return false
		}
		h.streamID = swapped(b)
	case extCongestion:
		h.congestion = swapped(b[:min(len(b), 16)])
	case extFilter:
		h.filter = true
	case extGroup:
		h.group = true
	}
	return true
}

// swapped reads a text whose words of four bytes stand backwards, as 3.2.1.3 has it.
func swapped(b []byte) string {
	var s strings.Builder
	for ; len(b) >= 4; b = b[4:] {
		s.Write([]byte{b[3], b[2], b[1], b[0]})
	}
	return strings.TrimRight(s.String(), "\x00")
}

func swap(s string) []byte {
	b := []byte(s)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	for i := 0; i < len(b); i += 4 {
		b[i], b[i+1], b[i+2], b[i+3] = b[i+3], b[i+2], b[i+1], b[i]
	}
	return b
}

// bytes writes a handshake; reply says of which kind its extensions are.
func (h *handshake) bytes(reply bool) []byte {
	helloKind, keyKind := uint16(extHello), uint16(extKey)
	if reply {
		helloKind, keyKind = extHelloReply, extKeyReply
	}
	var tail []byte
	extend := func(kind, flag uint16, body []byte) {
		h.extension |= flag
		tail = binary.BigEndian.AppendUint16(tail, kind)
		tail = binary.BigEndian.AppendUint16(tail, uint16(len(body)/4))
		tail = append(tail, body...)
	}
	if o := h.hello; o != nil {
		extend(helloKind, flagsHello, words(o.version, o.flags, uint32(o.receive)<<16|uint32(o.send)))
	}
	if len(h.key) > 0 {
		extend(keyKind, flagsKey, h.key)
	}
	if h.streamID != "" {
		extend(extStreamID, flagsConfig, swap(h.streamID))
	}
	b := words(h.version, uint32(h.encryption)<<16|uint32(h.extension), uint32(h.first), h.mtu, h.window, h.kind, h.id, h.cookie, 0, 0, 0, 0)
	return append(b, tail...)
}

// appendRange writes what is missing as the body of a NAK has it (appendix A): one number, or a pair of which the first has its top
// bit set.
func appendRange(b []byte, first, last seq) []byte {
	if first == last {
		return binary.BigEndian.AppendUint32(b, uint32(first))
	}
	b = binary.BigEndian.AppendUint32(b, 1<<31|uint32(first))
	return binary.BigEndian.AppendUint32(b, uint32(last))
}
