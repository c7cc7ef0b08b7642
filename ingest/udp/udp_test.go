package udp

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"flambeau/ingest"
	"flambeau/ingest/mpegts"
	"flambeau/packager/media"
)

// clip is two seconds of H.264 and AAC.
var clip = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "flambeau")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "clip.ts")
	out, err := exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25:duration=2", "-f", "lavfi", "-i", "sine=duration=2:sample_rate=48000",
		"-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-c:a", "aac", path).CombinedOutput()
	if err != nil {
		return nil, errors.Join(err, errors.New(string(out)))
	}
	return os.ReadFile(path)
})

func theClip(t *testing.T) []byte {
	t.Helper()
	b, err := clip()
	if err != nil {
		t.Fatalf("ffmpeg makes no clip: %v", err)
	}
	return b
}

// datagrams cuts as senders do: seven packets each.
func datagrams(ts []byte) [][]byte { return slices.Collect(slices.Chunk(ts, 7*tsPacket)) }

func inRTP(plain [][]byte) (packed [][]byte) {
	for i, d := range plain {
		packed = append(packed, rtp(uint16(65500+i), 42, d))
	}
	return packed
}

func open(t *testing.T, c Config) *feed {
	t.Helper()
	f, err := New(c).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f.(*feed)
}

func loopback() Config { return Config{Address: netip.MustParseAddrPort("127.0.0.1:0")} }

func send(t *testing.T, to netip.AddrPort, datagrams [][]byte) {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, d := range datagrams {
		if _, err := c.Write(d); err != nil {
			t.Fatal(err)
		}
	}
}

// rest is all that a feed gives of what waits in its socket.
func rest(t *testing.T, f *feed) (events []media.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 2*lookUp, ingest.ErrSilent)
	defer cancel()
	for {
		e, err := f.Next(ctx)
		if errors.Is(err, ingest.ErrSilent) {
			return events
		}
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
}

// straight is what the demuxer alone makes of the same bytes.
func straight(ts []byte) (events []media.Event) {
	d := mpegts.New(mpegts.Options{})
	take := func() {
		for e, ok := d.Next(); ok; e, ok = d.Next() {
			events = append(events, e)
		}
	}
	d.Write(ts, time.Time{})
	take()
	d.Flush()
	take()
	return events
}

func same(t *testing.T, got, want []media.Event) {
	t.Helper()
	if len(want) < 50 {
		t.Fatalf("%d events expected: this test looks at nothing", len(want))
	}
	if len(got) != len(want) {
		t.Fatalf("%d events, want %d", len(got), len(want))
	}
	for i := range got {
		if s, ok := got[i].(*media.Sample); ok {
			if s.Arrived.IsZero() {
				t.Fatalf("event %d has no arrival", i)
			}
			s.Arrived = time.Time{}
		}
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Fatalf("event %d: %+v, want %+v", i, got[i], want[i])
		}
	}
}

func errorsOf(f *feed) map[string]uint64 {
	m := f.Stats().Errors
	maps.DeleteFunc(m, func(_ string, n uint64) bool { return n == 0 })
	return m
}

func TestWhatIsSentIsWhatTheDemuxerGets(t *testing.T) {
	ts := theClip(t)
	v6 := Config{Address: netip.MustParseAddrPort("[::1]:0")}
	forced := loopback()
	forced.RTP = true
	for name, c := range map[string]struct {
		config Config
		sent   [][]byte
	}{
		"plain":        {loopback(), datagrams(ts)},
		"plain, IPv6":  {v6, datagrams(ts)},
		"odd sizes":    {loopback(), slices.Collect(slices.Chunk(ts, 1000))},
		"jumbo":        {loopback(), slices.Collect(slices.Chunk(ts, 340*tsPacket))},
		"RTP, found":   {loopback(), inRTP(datagrams(ts))},
		"RTP, told":    {forced, inRTP(datagrams(ts))},
		"RTP, odd cut": {forced, inRTP(slices.Collect(slices.Chunk(ts, 500)))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := open(t, c.config)
			send(t, f.LocalAddr(), c.sent)
			same(t, rest(t, f), straight(ts))
			if e := errorsOf(f); !maps.Equal(e, map[string]uint64{"unannounced": 1}) { // ffmpeg's SDT, before its PAT
				t.Errorf("counted %v", e)
			}
			s := f.Stats()
			if s.Bytes != uint64(len(bytes.Join(c.sent, nil))) || len(s.Streams) != 2 || s.Streams[0].Ignored != "" {
				t.Errorf("%d bytes, streams %+v", s.Bytes, s.Streams)
			}
		})
	}
}

func TestALostDatagramIsToldWhereItHappened(t *testing.T) {
	ts := theClip(t)
	sent := inRTP(datagrams(ts))
	f := open(t, loopback())
	sent = slices.Delete(sent, 40, 43)
	sent = slices.Insert(sent, 60, sent[59], sent[58])
	send(t, f.LocalAddr(), sent)
	events := rest(t, f)
	at := slices.IndexFunc(events, func(e media.Event) bool { l, ok := e.(media.Lost); return ok && l.Reason == rtpLoss })
	if at < 10 || at > len(events)-10 {
		t.Fatalf("told at event %d of %d", at, len(events))
	}
	before, _ := events[at-1].(*media.Sample)
	if l := events[at].(media.Lost); l.Count != 3 || l.Track != 0 || before == nil || l.At != before.DTS {
		t.Errorf("%+v after %+v", l, before)
	}
	e := f.Stats().Errors
	if e[rtpLoss] != 3 || e[rtpLate] != 2 || e[rtpRestart] != 0 {
		t.Errorf("counted %v", e)
	}
}

func TestADatagramThatIsNoRTPIsRefusedWhereRTPIsTold(t *testing.T) {
	c := loopback()
	c.RTP = true
	f := open(t, c)
	rtcp := append([]byte{0x80, 200}, make([]byte, 26)...)
	send(t, f.LocalAddr(), [][]byte{packets(7), {}, {0x80}, rtcp})
	if events := rest(t, f); len(events) > 0 {
		t.Errorf("%v", events)
	}
	if e := errorsOf(f); !maps.Equal(e, map[string]uint64{rtpHeader: 4}) {
		t.Errorf("counted %v", e)
	}
}

func TestWhatTheKernelDroppedIsTold(t *testing.T) {
	c := loopback()
	c.ReceiveBuffer = 20_000
	f := open(t, c)
	plain := datagrams(bytes.Repeat(theClip(t), 3))
	send(t, f.LocalAddr(), plain)
	rest(t, f)
	send(t, f.LocalAddr(), plain[:1]) // with this one the kernel says how many were dropped before it
	var told int
	for _, e := range rest(t, f) {
		if l, ok := e.(media.Lost); ok && l.Reason == receiveOverflow {
			told += l.Count
		}
	}
	e := f.Stats().Errors
	received := f.bytes / (7 * tsPacket)
	if want := len(plain) + 1 - int(received); told != want || int(e[receiveOverflow]) != want || want < 10 {
		t.Errorf("%d of %d datagrams came in, told of %d, counted %d", received, len(plain)+1, told, e[receiveOverflow])
	}
}

func TestASmallerReceiveBufferIsLogged(t *testing.T) {
	for _, asked := range []int{1 << 12, 1<<30 - 1} {
		var log bytes.Buffer
		c := loopback()
		c.ReceiveBuffer, c.Log = asked, slog.New(slog.NewTextHandler(&log, nil))
		raw, err := open(t, c).conn.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var twice int
		if err := raw.Control(func(fd uintptr) { twice, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF) }); err != nil {
			t.Fatal(err)
		}
		// Root may force any size; others are cut.
		if said := strings.Contains(log.String(), "receive buffer smaller than asked"); said != (twice/2 < asked) {
			t.Errorf("asked for %d, got %d, log: %q", asked, twice/2, log.String())
		}
	}
}

func TestASecondSenderIsNotMixedIn(t *testing.T) {
	f := newFeed(open(t, loopback()).conn, mpegts.New(mpegts.Options{}), Config{})
	one, two := &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}, &net.UDPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 1}
	now := time.Now()
	for i, c := range []struct {
		after time.Duration
		from  *net.UDPAddr
		want  bool
	}{{0, one, true}, {0, two, false}, {quiet, one, true}, {quiet - 1, two, false}, {1, two, true}, {0, one, false}, {quiet / 2, two, true}, {quiet / 2, one, false}} {
		now = now.Add(c.after)
		f.arrived = now
		if got := f.hears(c.from); got != c.want {
			t.Errorf("%d: %v", i, got)
		}
	}
	f.config.Source = netip.MustParseAddr("192.0.2.9")
	f.arrived = now.Add(time.Hour)
	if f.hears(two) {
		t.Error("heard somebody else than the one told")
	}
}

func TestNextEndsWithItsContextAndGoesOnWithAnother(t *testing.T) {
	f := open(t, loopback())
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(ingest.ErrSilent)
	for range 2 {
		if _, err := f.Next(ctx); !errors.Is(err, ingest.ErrSilent) {
			t.Fatal(err)
		}
	}
	send(t, f.LocalAddr(), datagrams(theClip(t)))
	same(t, rest(t, f), straight(theClip(t)))
	f.Close()
	if _, err := f.Next(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestARenewedFeedMissedNothingAndBeginsAnew(t *testing.T) {
	old := open(t, loopback())
	send(t, old.LocalAddr(), datagrams(theClip(t)))
	same(t, rest(t, old), straight(theClip(t)))
	ctx, silent := context.WithCancelCause(t.Context())
	silent(ingest.ErrSilent)
	if _, err := old.Next(ctx); !errors.Is(err, ingest.ErrSilent) {
		t.Fatal(err)
	}
	send(t, old.LocalAddr(), datagrams(theClip(t))) // another sender, while nobody reads
	fresh, err := old.Renew()
	if err != nil {
		t.Fatal(err)
	}
	same(t, rest(t, fresh.(*feed)), straight(theClip(t)))
	if n := fresh.Stats().Bytes; n != uint64(len(theClip(t))) {
		t.Errorf("counted %d bytes, want those since it was renewed", n)
	}
}

func TestAnAddressInUseIsRefused(t *testing.T) {
	f := open(t, loopback())
	c := loopback()
	c.Address = f.LocalAddr()
	if _, err := New(c).Open(t.Context()); err == nil || !strings.Contains(err.Error(), "open udp://127.0.0.1:") {
		t.Errorf("%v", err)
	}
}

// group opens two members of a group, on the first interface that does multicast here.
func group(t *testing.T, c Config) (string, []*feed) {
	var refused error
	for _, name := range []string{"lo", "eth0", ""} {
		c.Interface = name
		one, err := New(c).Open(t.Context())
		if err != nil {
			refused = errors.Join(refused, err)
			continue
		}
		t.Cleanup(func() { one.Close() })
		c.Address = netip.AddrPortFrom(c.Address.Addr(), one.(*feed).LocalAddr().Port())
		return name, []*feed{one.(*feed), open(t, c)}
	}
	t.Skipf("NOT TESTED: no interface here joins a group: %v", refused)
	return "", nil
}

func sendToGroup(t *testing.T, over string, to netip.AddrPort, datagrams [][]byte) {
	t.Helper()
	p, err := net.ListenPacket("udp4", "")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c := ipv4.NewPacketConn(p)
	if i, err := net.InterfaceByName(over); err == nil {
		if err := c.SetMulticastInterface(i); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.SetMulticastLoopback(true); err != nil {
		t.Fatal(err)
	}
	for _, d := range datagrams {
		if _, err := c.WriteTo(d, nil, net.UDPAddrFromAddrPort(to)); err != nil {
			t.Skipf("NOT TESTED: %s sends to no group here: %v", over, err)
		}
	}
}

func TestMembersOfAGroupAllHearItAndNothingElse(t *testing.T) {
	address := netip.MustParseAddr("239.255.77.1")
	over, members := group(t, Config{Address: netip.AddrPortFrom(address, 0)})
	port := members[0].LocalAddr().Port()
	ts := theClip(t)
	// Another group on this port, joined by somebody on this machine, and a datagram to this machine itself.
	_ = open(t, Config{Address: netip.AddrPortFrom(netip.MustParseAddr("239.255.77.2"), port), Interface: over})
	sendToGroup(t, over, netip.AddrPortFrom(netip.MustParseAddr("239.255.77.2"), port), [][]byte{packets(7)})
	if c, err := net.Dial("udp", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port).String()); err == nil {
		_, _ = c.Write(packets(7)) // refused by the kernel, in the best case
		c.Close()
	}
	sendToGroup(t, over, netip.AddrPortFrom(address, port), datagrams(ts))
	for _, f := range members {
		same(t, rest(t, f), straight(ts))
		if f.bytes != uint64(len(ts)) {
			t.Errorf("%d bytes of %d: something else came in too", f.bytes, len(ts))
		}
	}
}

func TestAGroupOfOneSourceHearsItAndNobodyElse(t *testing.T) {
	ts, address := theClip(t), netip.MustParseAddr("232.255.77.1")
	over, any := group(t, Config{Address: netip.AddrPortFrom(address, 0)})
	to := netip.AddrPortFrom(address, any[0].LocalAddr().Port())
	sendToGroup(t, over, to, [][]byte{packets(7)})
	rest(t, any[0])
	us := any[0].heard.Addr().Unmap()
	if !us.IsValid() {
		t.Fatal("who sends is not known")
	}
	for source, want := range map[netip.Addr]int{us: len(ts), netip.MustParseAddr("192.0.2.99"): 0} {
		f := open(t, Config{Address: to, Interface: over, Source: source})
		sendToGroup(t, over, to, datagrams(ts))
		if rest(t, f); f.bytes != uint64(want) {
			t.Errorf("of %s: %d bytes came in, want %d", source, f.bytes, want)
		}
		f.Close()
	}
}

func TestAJoinThatFailsSaysWhere(t *testing.T) {
	for _, address := range []string{"239.255.77.1:5000", "[ff02::77]:5000"} {
		_, err := New(Config{Address: netip.MustParseAddrPort(address), Interface: "nosuch0"}).Open(t.Context())
		if err == nil || !strings.Contains(err.Error(), `"nosuch0"`) || !strings.Contains(err.Error(), "open udp://"+address) {
			t.Errorf("%v", err)
		}
	}
}

func TestReasonsAreClosed(t *testing.T) {
	for reason := range open(t, loopback()).Stats().Errors {
		if !slices.Contains(Reasons, reason) {
			t.Errorf("%q is not in the list", reason)
		}
	}
	if len(Reasons) != len(slices.Compact(slices.Sorted(slices.Values(Reasons)))) {
		t.Errorf("twice the same: %q", Reasons)
	}
}

func TestAWorkerHearsASenderGoAndComeBack(t *testing.T) {
	f := open(t, loopback())
	at := f.LocalAddr()
	f.Close()
	ts, out := theClip(t), make(chan media.Event, 1000)
	w := ingest.New(ingest.Config{Channel: "c", Inputs: []ingest.Source{New(Config{Address: at})}, Silence: 2 * lookUp})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx, out) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	for range 2 {
		got := untilEnd(t, at, ts, out)
		if end := got[len(got)-1]; end != (media.End{Reason: "silent"}) {
			t.Errorf("ended: %+v", end)
		}
		if _, ok := got[0].(media.Begin); !ok {
			t.Errorf("began with %+v", got[0])
		}
		if !slices.ContainsFunc(got, func(e media.Event) bool { _, ok := e.(*media.Sample); return ok }) {
			t.Error("no sample before the silence")
		}
	}
}

// untilEnd sends, again and again until it is heard: whether the socket is bound yet can't be seen from here.
func untilEnd(t *testing.T, at netip.AddrPort, ts []byte, out <-chan media.Event) (got []media.Event) {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for tries := 0; tries < 20; {
		if len(got) == 0 {
			for _, d := range datagrams(ts) {
				_, _ = c.Write(d) // refused while nobody listens
			}
		}
		select {
		case e := <-out:
			if got = append(got, e); isEnd(e) {
				return got
			}
		case <-time.After(lookUp):
			tries++
		}
	}
	t.Fatalf("no end after %d events", len(got))
	return nil
}

func isEnd(e media.Event) bool { _, ok := e.(media.End); return ok }

func BenchmarkDatagrams(b *testing.B) {
	ts, err := clip()
	if err != nil {
		b.Fatal(err)
	}
	l, err := New(loopback()).Open(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	f := l.(*feed)
	c, err := net.Dial("udp", f.LocalAddr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	plain := datagrams(ts)
	b.SetBytes(int64(len(ts)))
	b.ReportAllocs()
	for b.Loop() {
		for _, d := range plain {
			if _, err := c.Write(d); err != nil {
				b.Fatal(err)
			}
		}
		for want := f.bytes + uint64(len(ts)); f.bytes < want; {
			if err := f.read(); err != nil {
				b.Fatal(err)
			}
			for f.taken < f.have {
				f.taken++
				f.take(&f.messages[f.taken-1])
				for _, more := f.demux.Next(); more; _, more = f.demux.Next() {
				}
			}
		}
	}
	b.ReportMetric(float64(len(plain)), "datagrams/op")
}
