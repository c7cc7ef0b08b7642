package udp

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// rtp puts a header before a payload.
func rtp(sequence uint16, sender uint32, payload []byte) []byte {
	p := []byte{0x80, kindMP2T, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(p[2:], sequence)
	binary.BigEndian.PutUint32(p[8:], sender)
	return append(p, payload...)
}

func packets(n int) []byte {
	return bytes.Repeat(append([]byte{tsSync}, make([]byte, tsPacket-1)...), n)
}

func TestAHeaderOfAnyLengthComesOff(t *testing.T) {
	ts := packets(7)
	withCSRC := append([]byte{0x82, kindMP2T, 0, 7, 0, 0, 0, 0, 0, 0, 0, 9}, make([]byte, 8)...)
	withExtension := append([]byte{0x90, kindMP2T, 0, 7, 0, 0, 0, 0, 0, 0, 0, 9}, 0xbe, 0xde, 0, 1, 1, 2, 3, 4)
	for name, p := range map[string][]byte{
		"plain":     append(rtp(7, 9, nil), ts...),
		"csrc":      append(withCSRC, ts...),
		"extension": append(withExtension, ts...),
		"padding":   append(append([]byte{0xa0, kindDynamic, 0, 7, 0, 0, 0, 0, 0, 0, 0, 9}, ts...), 0, 0, 3),
	} {
		r, ok := detectRTP(p)
		if !ok || r.sequence != 7 || r.sender != 9 || !bytes.Equal(r.payload, ts) {
			t.Errorf("%s: %v, %d bytes", name, ok, len(r.payload))
		}
	}
}

func TestWhatIsNoRTPIsNotTakenForIt(t *testing.T) {
	for name, p := range map[string][]byte{
		"nothing":              {},
		"a transport stream":   packets(7),
		"cut off":              rtp(1, 1, nil)[:11],
		"other payload":        rtp(1, 1, make([]byte, 1316)),
		"version 1":            append([]byte{0x40}, rtp(1, 1, packets(7))[1:]...),
		"one sync byte only":   append(rtp(1, 1, packets(1)), make([]byte, 188)...),
		"csrcs beyond the end": {0x8f, kindMP2T, 0, 7, 0, 0, 0, 0, 0, 0, 0, 9, 1, 2, 3},
		"extension cut off":    {0x90, kindMP2T, 0, 7, 0, 0, 0, 0, 0, 0, 0, 9, 1},
		"extension too long":   append([]byte{0x90, kindMP2T, 0, 7, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0xff, 0xff}, packets(1)...),
		"padding too long":     {0xa0, kindMP2T, 0, 7, 0, 0, 0, 0, 0, 0, 0, 9, 0, 200},
		"no padding":           {0xa0, kindMP2T, 0, 7, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0},
	} {
		if _, ok := detectRTP(p); ok {
			t.Errorf("%s was", name)
		}
	}
}

func TestSequenceNumbersTellLossAcrossTheirWrap(t *testing.T) {
	type verdict struct {
		use     bool
		lost    int
		restart bool
	}
	var s sequence
	for i, c := range []struct {
		sequence uint16
		sender   uint32
		want     verdict
	}{
		{65533, 1, verdict{true, 0, false}},
		{65534, 1, verdict{true, 0, false}},
		{65534, 1, verdict{false, 0, false}}, // again
		{1, 1, verdict{true, 2, false}},      // 65535 and 0 are missing
		{0, 1, verdict{false, 0, false}},     // too late: it counts as lost
		{2, 1, verdict{true, 0, false}},
		{9000, 1, verdict{true, 0, true}}, // no loss is that long
		{9001, 1, verdict{true, 0, false}},
		{17, 2, verdict{true, 0, true}}, // somebody else
		{18, 2, verdict{true, 0, false}},
		{65000, 2, verdict{true, 0, true}}, // far back
	} {
		var got verdict
		got.use, got.lost, got.restart = s.judge(packet{sequence: c.sequence, sender: c.sender})
		if got != c.want {
			t.Errorf("%d: %d of %d: %+v, want %+v", i, c.sequence, c.sender, got, c.want)
		}
	}
}

func FuzzRTP(f *testing.F) {
	f.Add(rtp(1, 1, packets(2)))
	f.Add([]byte{0xb3, 33, 0, 7, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, p []byte) {
		r, ok := parseRTP(p)
		if ok && (len(r.payload) > len(p)-rtpFixed || !bytes.Contains(p, r.payload)) {
			t.Errorf("% x: payload % x", p, r.payload)
		}
	})
}
