package srt

import (
	"bytes"
	"crypto/aes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// told is what a receiver gives, in a line: "5 6 lost 2 9".
func told(r *receiver, now time.Duration) (s []string) {
	for {
		data, lost, ok := r.pop(now)
		if !ok {
			return s
		}
		if lost > 0 {
			s = append(s, fmt.Sprint("lost ", lost))
		}
		s = append(s, string(data))
	}
}

func TestPacketsComeOutInOrder(t *testing.T) {
	for name, first := range map[string]seq{"from the start": 10, "over the wrap": seqMask - 2} {
		t.Run(name, func(t *testing.T) {
			r := receiver{patience: 100, next: first, end: first}
			push := func(now time.Duration, number int) []string {
				r.push(first.plus(number), fmt.Append(nil, number), now)
				return told(&r, now)
			}
			for _, step := range []struct {
				now    time.Duration
				number int
				want   string
			}{
				{0, 0, "0"}, {0, 1, "1"}, {1, 3, ""}, {2, 4, ""}, {3, 2, "2 3 4"}, // a hole that is filled
				{4, 7, ""}, {50, 9, ""}, {60, 8, ""}, {104, 10, "lost 2 7 8 9 10"}, // one that is not, and inside it one that is
				{105, 5, ""}, {105, 10, ""}, // late, and twice
				{106, 12, ""}, {110, 14, ""}, {207, 15, "lost 1 12"}, {211, 16, "lost 1 14 15 16"},
			} {
				if got := strings.Join(push(step.now, step.number), " "); got != step.want {
					t.Errorf("packet %d at %d: %q, want %q", step.number, step.now, got, step.want)
				}
			}
			if r.late != 2 || r.missed != 6 || r.waiting != 0 {
				t.Errorf("%d late, %d missed, %d wait", r.late, r.missed, r.waiting)
			}
		})
	}
}

func TestAHoleIsAskedForAtOnceAndAgain(t *testing.T) {
	r := receiver{patience: time.Second, next: 100, end: 100}
	r.push(100, []byte{0}, 0)
	r.pop(0)
	hole, first, last := r.push(104, []byte{4}, 0)
	if !hole || first != 101 || last != 103 {
		t.Errorf("%v %d-%d", hole, first, last)
	}
	r.push(106, []byte{6}, 0)
	r.push(102, []byte{2}, 0)
	if list := r.missing(10, 20); list != nil {
		t.Errorf("asked again at once: %x", list)
	}
	if got, want := hex.EncodeToString(r.missing(20, 20)), "000000650000006700000069"; got != want {
		t.Errorf("asked for %s, want %s", got, want)
	}
	r.forsake(101, 103)
	if got := told(&r, 20); len(got) != 4 || got[0] != "lost 1" || got[2] != "lost 1" {
		t.Errorf("after they were forsaken: %q", got)
	}
}

func TestAHoleWiderThanTheWindowIsNotTaken(t *testing.T) {
	r := receiver{patience: 10, next: 0, end: 0}
	r.push(window, []byte{1}, 0)
	if r.beyond != 1 || r.waiting != 0 {
		t.Errorf("%d beyond, %d wait", r.beyond, r.waiting)
	}
	r.push(window-1, []byte{1}, 0)
	if list := r.missing(50, 20); len(list) != 8 || r.room() != 0 {
		t.Errorf("%x, room for %d", list, r.room())
	}
	if _, lost, ok := r.pop(10); !ok || lost != window-1 {
		t.Errorf("lost %d, %v", lost, ok)
	}
}

// TestMissingNumbersNeverOverfillAPacket makes every second packet missing.
func TestMissingNumbersNeverOverfillAPacket(t *testing.T) {
	r := receiver{patience: time.Second}
	for n := seq(1); n < 4000; n += 2 {
		r.push(n, []byte{1}, 0)
	}
	asked := 0
	for range 10 {
		list := r.missing(100, 20)
		if len(list) > maxNAK+8 {
			t.Fatalf("%d bytes", len(list))
		}
		asked += len(list) / 4
	}
	if asked != 2000 {
		t.Errorf("asked for %d of 2000, each once", asked)
	}
}

// TestKeysAreWrappedAsTheRFCShows takes the vectors of RFC 3394, 4.1 and 4.6.
func TestKeysAreWrappedAsTheRFCShows(t *testing.T) {
	for _, v := range [][3]string{
		{"000102030405060708090A0B0C0D0E0F", "00112233445566778899AABBCCDDEEFF", "1FA68B0A8112B447AEF34BD8FB5A7B829D3E862371D2CFE5"},
		{"000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F", "00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F",
			"28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21"},
	} {
		b := func(s string) []byte { d, _ := hex.DecodeString(s); return d }
		kek, err := aes.NewCipher(b(v[0]))
		if err != nil {
			t.Fatal(err)
		}
		if got := wrap(kek, b(v[1])); !bytes.Equal(got, b(v[2])) {
			t.Errorf("wrapped: %x, want %s", got, v[2])
		}
		if got, ok := unwrap(kek, b(v[2])); !ok || !bytes.Equal(got, b(v[1])) {
			t.Errorf("unwrapped: %x, %v", got, ok)
		}
		broken := b(v[2])
		broken[3] ^= 1
		if _, ok := unwrap(kek, broken); ok {
			t.Error("a broken one is unwrapped")
		}
	}
}

func TestAKeyIsForWhoKnowsThePassphrase(t *testing.T) {
	for _, length := range keyLengths {
		var ours, theirs keys
		message := ours.make("correct horse", length)
		if err := theirs.take(message, "battery staple"); !errors.Is(err, errPassphrase) {
			t.Errorf("another passphrase: %v", err)
		}
		if err := theirs.take(message, "correct horse"); err != nil {
			t.Fatal(err)
		}
		p := packet{key: 1, number: 12345, body: []byte("seven packets of video")}
		if !ours.open(p) || string(p.body) == "seven packets of video" { // a counter mode opens as it closes
			t.Error("not encrypted")
		}
		if !theirs.open(p) || string(p.body) != "seven packets of video" {
			t.Errorf("%q", p.body)
		}
		if p.key = 2; theirs.open(p) {
			t.Error("a key that never came opens")
		}
	}
}

// said are the control packets that a link has for its peer, without stamps.
func said(t *testing.T, l *link) (all []string) {
	t.Helper()
	for _, b := range l.out {
		p, ok := parsePacket(b)
		if !ok || !p.control || p.to != l.peers {
			t.Fatalf("%x", b)
		}
		all = append(all, fmt.Sprintf("%d/%d %d %x", p.kind, p.subtype, p.info, p.body))
	}
	l.out = nil
	return all
}

func TestALinkAcknowledgesAsksAndKeepsAlive(t *testing.T) {
	l := newLink(handshake{id: 77, first: 1000}, 5, time.Second, 10*time.Millisecond)
	at := func(ms int) time.Duration { return time.Duration(ms) * time.Millisecond }
	for _, n := range []seq{1000, 1001, 1004} {
		l.take(packet{number: n, body: []byte{1}}, at(5))
		told(&l.receiver, at(5))
	}
	if got, want := said(t, l), []string{"3/0 0 800003ea000003eb"}; !slices.Equal(got, want) {
		t.Errorf("at once: %q, want %q", got, want)
	}
	l.tick(at(12))
	if got := said(t, l); len(got) != 1 || !strings.HasPrefix(got[0], "2/0 1 000003ea00002710") {
		t.Errorf("after 10 ms: %q", got)
	}
	l.take(packet{control: true, kind: typeACKACK, info: 1}, at(20))
	if l.rtt != 9750*time.Microsecond {
		t.Errorf("round trip %v", l.rtt)
	}
	l.tick(at(20))
	if got := said(t, l); got != nil {
		t.Errorf("with nothing new: %q", got)
	}
	l.tick(at(60))
	if got, want := said(t, l), []string{"3/0 0 800003ea000003eb"}; !slices.Equal(got, want) {
		t.Errorf("again: %q, want %q", got, want)
	}
	l.take(packet{control: true, kind: typeDropReq, body: words(1002, 1003)}, at(61))
	if got := told(&l.receiver, at(61)); len(got) != 2 || got[0] != "lost 2" {
		t.Errorf("after a drop request: %q", got)
	}
	l.tick(at(1200))
	l.tick(at(2300))
	if got := said(t, l); len(got) != 2 || !strings.HasPrefix(got[0], "2/0 2 000003ed") || got[1] != "1/0 0 00000000" {
		t.Errorf("in the quiet: %q", got)
	}
	l.take(packet{control: true, kind: typeShutdown}, at(2301))
	if !l.closed {
		t.Error("a shutdown is not heard")
	}
}

func TestWhatIsNotForOurKeyIsDroppedAndCounted(t *testing.T) {
	locked := newLink(handshake{id: 1}, 2, time.Second, 0)
	locked.passphrase = "correct horse"
	locked.take(packet{number: 0, body: []byte{1}}, 0)
	locked.take(packet{number: 1, key: 2, body: []byte{1}}, 0)
	locked.take(packet{control: true, kind: typeUser, subtype: extKey, body: []byte{1, 2, 3}}, 0)
	open := newLink(handshake{id: 1}, 2, time.Second, 0)
	open.take(packet{number: 0, key: 1, body: []byte{1}}, 0)
	open.take(packet{control: true, kind: typeUser, subtype: extKey, body: make([]byte, 100)}, 0)
	open.take(packet{control: true, kind: typeDropReq, body: []byte{1}}, 0)
	if locked.sealed != 2 || locked.senseless != 1 || open.sealed != 1 || open.senseless != 2 || locked.waiting+open.waiting != 0 {
		t.Errorf("%d and %d sealed, %d and %d senseless", locked.sealed, open.sealed, locked.senseless, open.senseless)
	}
}

func TestAHandshakeIsReadAsItWasWritten(t *testing.T) {
	h := handshake{
		version: versionSRT, encryption: 2, first: 99, mtu: 1500, window: 8192, kind: conclusion, id: 4, cookie: 5,
		hello: &hello{version: ourVersion, flags: helloOurs, receive: 120, send: 200}, key: make([]byte, 56), streamID: "#!::r=ä",
	}
	got, ok := parseHandshake(h.bytes(false))
	if !ok || got.streamID != h.streamID || *got.hello != *h.hello || !bytes.Equal(got.key, h.key) || got.extension != 7 || got.cookie != 5 || got.first != 99 {
		t.Errorf("%+v, %v", got, ok)
	}
	whole := h.bytes(false)
	for n := range whole {
		if _, ok := parseHandshake(whole[:n]); ok && n != handshakeSize && n != handshakeSize+16 && n != handshakeSize+16+60 {
			t.Errorf("cut after %d bytes it is taken", n)
		}
	}
}

func FuzzPackets(f *testing.F) {
	h := handshake{version: versionSRT, kind: conclusion, id: 4, hello: terms{}.hello(), key: make([]byte, 56), streamID: "abc"}
	f.Add(appendControl(nil, typeHandshake, 0, 0, 0, 0, h.bytes(false)))
	f.Add(appendControl(nil, typeDropReq, 0, 0, 0, 2, words(5, 9)))
	f.Add(append(words(3, 0x60000001, 9, 2), make([]byte, 188)...))
	f.Add(appendControl(nil, typeUser, extKey, 0, 0, 2, (&keys{}).make("correct horse", 16)))
	f.Fuzz(func(t *testing.T, b []byte) {
		l := newLink(handshake{id: 1}, 2, time.Second, 0)
		for i := range 4 { // as it is, and cut into pieces that follow each other
			n := len(b) * (i + 1) / 4
			p, ok := parsePacket(b[:n])
			if !ok {
				continue
			}
			parseHandshake(p.body)
			parseKeyMessage(p.body)
			l.take(p, time.Duration(i)*time.Second)
			l.take(packet{number: seq(binary.BigEndian.Uint32(b)) & seqMask, body: p.body}, time.Duration(i)*time.Second)
			told(&l.receiver, time.Duration(i)*time.Second)
			l.tick(time.Duration(i) * time.Second)
			if l.waiting < 0 || l.room() < 0 || l.room() > window {
				t.Fatalf("%d wait, room %d", l.waiting, l.room())
			}
			for _, out := range l.out {
				if len(out) > maxPacket {
					t.Fatalf("a packet of %d bytes", len(out))
				}
			}
		}
	})
}
