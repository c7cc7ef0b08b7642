package srt

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"flambeau/ingest"
	"flambeau/packager/media"
)

// clip is two seconds of H.264 and AAC, at 4 Mb/s.
var clip = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "flambeau")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "clip.ts")
	out, err := exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25:duration=2", "-f", "lavfi", "-i", "sine=duration=2:sample_rate=48000",
		"-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-qp", "6", "-c:a", "aac", path).CombinedOutput()
	if err != nil {
		return "", errors.Join(err, errors.New(string(out)))
	}
	return path, nil
})

func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "4") // they wait for the clip's own time to pass
	code := m.Run()
	if path, err := clip(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

func theClip(t *testing.T) string {
	t.Helper()
	path, err := clip()
	if err != nil {
		t.Fatalf("ffmpeg makes no clip: %v", err)
	}
	return path
}

// peer runs a process that the test ends, and gives what it says.
func peer(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	return peerOf(t, nil, name, args...)
}

func peerOf(t *testing.T, in io.Reader, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdin, cmd.Stderr = in, t.Output()
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

func ffmpegTo(t *testing.T, url string) *exec.Cmd {
	t.Helper()
	return peer(t, "ffmpeg", "-v", "error", "-re", "-i", theClip(t), "-map", "0", "-c", "copy", "-f", "mpegts", url+"&linger=1")
}

func listener(t *testing.T, c Config) *feed {
	t.Helper()
	c.Listen, c.Address = true, "127.0.0.1:0"
	if c.Log == nil {
		c.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	f, err := New(c).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f.(*feed)
}

// heard is what a feed tells until it ends, or says nothing for a while; its first word may take long: a machine has other work, too.
func heard(t *testing.T, f ingest.Feed) (video, audio, losses int, err error) {
	t.Helper()
	return heardUntil(t, f, 2*time.Second)
}

// heardUntil is heard, where so long a silence is the end.
func heardUntil(t *testing.T, f ingest.Feed, silence time.Duration) (video, audio, losses int, err error) {
	t.Helper()
	kinds := map[int]media.Kind{}
	for patience := 20 * time.Second; ; patience = silence {
		ctx, cancel := context.WithTimeoutCause(t.Context(), patience, ingest.ErrSilent)
		e, err := f.Next(ctx)
		cancel()
		if err != nil {
			return video, audio, losses, err
		}
		switch e := e.(type) {
		case media.Begin:
			for _, t := range e.Tracks {
				kinds[t.ID] = t.Kind
			}
		case *media.Sample:
			if kinds[e.Track] == media.Video {
				video++
			} else {
				audio++
			}
		case media.Lost:
			losses++
		}
	}
}

// whole holds what came of the clip against what it has. How it ended is the peer's affair: not every goodbye arrives.
func whole(t *testing.T, f ingest.Feed) {
	t.Helper()
	video, audio, losses, err := heard(t, f)
	if video != 50 || audio < 93 || losses != 0 {
		t.Errorf("%d pictures, %d sounds, %d losses, ended by %v; %v", video, audio, losses, err, counted(f))
	}
}

// counted are the errors that are not 0.
func counted(f ingest.Feed) map[string]uint64 {
	m := f.Stats().Errors
	for reason, n := range m {
		if n == 0 {
			delete(m, reason)
		}
	}
	return m
}

func TestFfmpegCallsWithPassphraseAndStreamID(t *testing.T) {
	t.Parallel()
	f := listener(t, Config{Passphrase: "correct horse", StreamID: "#!::r=a,m=publish"})
	ffmpegTo(t, fmt.Sprintf("srt://%s?passphrase=correct+horse&pbkeylen=32&streamid=#!::r=a,m=publish&pkt_size=1316", f.local())) // it decodes nothing
	whole(t, f)
}

func TestKeysAreReplacedUnderWay(t *testing.T) {
	t.Parallel()
	f := listener(t, Config{Passphrase: "correct horse"})
	ffmpegTo(t, fmt.Sprintf("srt://%s?passphrase=correct+horse&kmrefreshrate=200&kmpreannounce=80&pkt_size=1316", f.local()))
	whole(t, f)
	if f.link == nil || f.link.keys[1].block == nil {
		t.Error("no second key came: this shows nothing")
	}
}

func TestWeCallFfmpeg(t *testing.T) {
	t.Parallel()
	at := freePort(t)
	ffmpegTo(t, fmt.Sprintf("srt://%s?mode=listener&passphrase=correct+horse&pbkeylen=24&pkt_size=1316", at))
	s := New(Config{Address: at, Passphrase: "correct horse", KeyLength: 24})
	whole(t, eventually(t, s))
}

func TestSrtLiveTransmitCallsAndIsCalled(t *testing.T) {
	t.Parallel()
	var said lines
	f := listener(t, Config{Log: slog.New(slog.NewTextHandler(&said, nil))})
	for name, c := range map[string]struct {
		to   string
		feed func() ingest.Feed
	}{
		"calls":     {fmt.Sprintf("srt://%s?mode=caller&latency=200", f.local()), func() ingest.Feed { return f }},
		"is called": {"srt://" + freePort(t) + "?mode=listener&latency=200", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.feed == nil {
				address, _, _ := strings.Cut(strings.TrimPrefix(c.to, "srt://"), "?")
				c.feed = func() ingest.Feed { return eventually(t, New(Config{Address: address})) }
			}
			in, pipe := io.Pipe()
			cmd := peerOf(t, in, "srt-live-transmit", "-q", "-chunk:1316", "file://con", c.to)
			feed := c.feed()
			go func() {
				for name == "calls" && t.Context().Err() == nil && !strings.Contains(said.String(), "caller let in") { // what it reads before, nobody gets
					time.Sleep(20 * time.Millisecond)
				}
				ts, _ := os.ReadFile(theClip(t))
				for range 100 { // null packets: it sends whole chunks only
					ts = append(append(ts, 0x47, 0x1f, 0xff, 0x10), make([]byte, 184)...)
				}
				for b := range slices.Chunk(ts, 1316) {
					_, _ = pipe.Write(b)
					time.Sleep(2 * time.Millisecond)
				}
				time.Sleep(500 * time.Millisecond)
				_ = cmd.Process.Signal(os.Interrupt)
				pipe.Close()
			}()
			whole(t, feed)
		})
	}
}

// TestOneDatagramOfTwentyIsLostAndNoneIsMissed loses 5 % of all that goes either way, handshakes included.
func TestOneDatagramOfTwentyIsLostAndNoneIsMissed(t *testing.T) {
	t.Parallel()
	for name, listens := range map[string]bool{"listener": true, "caller": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var f ingest.Feed
			if listens {
				l := listener(t, Config{Latency: 2 * time.Second})
				f = l
				ffmpegTo(t, "srt://"+lossy(t, l.local().String())+"?pkt_size=1316")
			} else {
				at := freePort(t)
				ffmpegTo(t, "srt://"+at+"?mode=listener&pkt_size=1316")
				time.Sleep(500 * time.Millisecond) // it hears one caller, once
				f = eventually(t, New(Config{Address: lossy(t, at), Latency: 2 * time.Second}))
			}
			// The shutdown may be lost as well, and the very last packet: nothing comes after it that would tell.
			video, audio, _, err := heard(t, f)
			if c := counted(f); video != 50 || audio < 85 || c[lost] > 0 || c[missed] < 10 || c[again] < 10 {
				t.Errorf("%d pictures, %d sounds, ended by %v, %v", video, audio, err, c)
			}
		})
	}
}

// TestWhatDoesNotComeInTimeIsLostWhereItWas loses three packets of a hundred however often they are sent.
func TestWhatDoesNotComeInTimeIsLostWhereItWas(t *testing.T) {
	t.Parallel()
	f := listener(t, Config{})
	to := relay(t, f.local().String(), func(there bool, b []byte) bool {
		p, _ := parsePacket(b)
		return there && !p.control && p.number%100 >= 97
	})
	ffmpegTo(t, "srt://"+to+"?pkt_size=1316")
	video, _, losses, err := heard(t, f)
	if n := counted(f)[lost]; video < 30 || losses < 5 || n < 9 {
		t.Errorf("%d pictures, %d losses, %v, %v", video, losses, err, counted(f))
	}
}

func TestTheWrongCallerIsRefusedAndTheRightOneIsHeard(t *testing.T) {
	t.Parallel()
	var said lines
	f := listener(t, Config{Passphrase: "correct horse", StreamID: "a", Log: slog.New(slog.NewTextHandler(&said, nil))})
	for _, query := range []string{"passphrase=battery+staple", "", "passphrase=correct+horse&streamid=b"} {
		ffmpegTo(t, fmt.Sprintf("srt://%s?pkt_size=1316&%s", f.local(), query))
	}
	go func() {
		time.Sleep(1500 * time.Millisecond)
		ffmpegTo(t, fmt.Sprintf("srt://%s?passphrase=correct+horse&streamid=a&pkt_size=1316", f.local()))
		ffmpegTo(t, fmt.Sprintf("srt://%s?passphrase=correct+horse&streamid=a&pkt_size=1316", f.local()))
	}()
	whole(t, f)
	c := counted(f)
	if c[refusedPassphrase] < 2 || c[refusedStreamID] < 1 || c[refusedBusy] < 1 {
		t.Errorf("counted %v", c)
	}
	for _, why := range []string{"wrong passphrase", "one side has a passphrase", "stream id forbidden", "stream id is in use"} {
		if !strings.Contains(said.String(), why) {
			t.Errorf("the log does not say %q:\n%s", why, said.String())
		}
	}
	if strings.Contains(said.String(), "horse") || strings.Contains(said.String(), "staple") {
		t.Errorf("the log tells a passphrase:\n%s", said.String())
	}
}

func TestACallThatFailsSaysWhy(t *testing.T) {
	t.Parallel()
	mute, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mute.Close() })
	locked := listener(t, Config{Passphrase: "correct horse"})
	go func() { _, _ = locked.Next(t.Context()) }()
	ffmpegs := freePort(t)
	ffmpegTo(t, "srt://"+ffmpegs+"?mode=listener&passphrase=correct+horse")
	time.Sleep(500 * time.Millisecond)
	for name, c := range map[string]struct {
		to   string
		why  string
		most time.Duration
	}{
		"nobody there":     {freePort(t), "nobody listens there", 4 * time.Second},
		"nobody answers":   {mute.LocalAddr().String(), "nobody answers", callWait + 5*time.Second},
		"ours, locked":     {locked.local().String(), "refused: wrong passphrase", 4 * time.Second},
		"ffmpeg's, locked": {ffmpegs, "refused: wrong passphrase", 4 * time.Second},
		"nobody's name":    {"nobody.invalid:9000", "no such host", 9 * time.Second},
		"given up by us":   {mute.LocalAddr().String(), "context deadline exceeded", 4 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			if strings.HasPrefix(name, "given up") {
				ctx, cancel = context.WithTimeout(context.Background(), time.Second)
			}
			defer cancel()
			began := time.Now()
			f, err := New(Config{Address: c.to, Passphrase: "battery staple"}).Open(ctx)
			if f != nil || err == nil || !strings.HasPrefix(err.Error(), "srt: "+c.to+": ") || !strings.Contains(err.Error(), c.why) || time.Since(began) > c.most {
				t.Errorf("after %v: %v", time.Since(began), err)
			}
		})
	}
}

// TestAPeerThatDiesIsReplacedByWhoCallsNext kills a caller; the listener stays bound meanwhile.
func TestAPeerThatDiesIsReplacedByWhoCallsNext(t *testing.T) {
	t.Parallel()
	l := listener(t, Config{})
	to := fmt.Sprintf("srt://%s?pkt_size=1316", l.local())
	first := ffmpegTo(t, to)
	for range 40 {
		if _, err := l.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	_ = first.Process.Kill()
	time.AfterFunc(alive, func() { ffmpegTo(t, to) })
	if _, _, _, err := heardUntil(t, l, 20*time.Second); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	second, err := l.Renew()
	if err != nil {
		t.Fatal(err)
	}
	whole(t, second)
}

// TestAListenerOutlivesGarbage sends it noise, and half handshakes; then a caller is heard.
func TestAListenerOutlivesGarbage(t *testing.T) {
	t.Parallel()
	f := listener(t, Config{})
	c, err := net.Dial("udp", f.local().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	dice := rand.New(rand.NewPCG(1, 2))
	hello := (&handshake{version: versionSRT, kind: conclusion, id: 7, hello: terms{}.hello(), streamID: "x"}).bytes(false)
	go func() {
		for i := range 3000 {
			b := appendControl(nil, typeHandshake, 0, 0, 0, 0, hello[:dice.IntN(len(hello)+1)])
			if i%2 == 0 {
				for j := range b[4:] {
					b[4+j] ^= byte(dice.Uint32() & dice.Uint32() & dice.Uint32())
				}
			}
			_, _ = c.Write(b)
			if i%100 == 0 {
				time.Sleep(10 * time.Millisecond)
			}
		}
	}()
	ffmpegTo(t, fmt.Sprintf("srt://%s?pkt_size=1316", f.local()))
	whole(t, f)
	if counted(f)[badHandshake] < 500 {
		t.Errorf("%v", counted(f))
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 5 {
		f := listener(t, Config{Passphrase: "correct horse"})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			for {
				if _, err := f.Next(ctx); err != nil {
					close(done)
					return
				}
			}
		}()
		good, err := New(Config{Address: f.local().String(), Passphrase: "correct horse"}).Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := New(Config{Address: f.local().String(), Passphrase: "battery staple"}).Open(t.Context()); err == nil {
			t.Error("the wrong passphrase was let in")
		}
		good.Close()
		cancel()
		<-done
		f.Close()
	}
	for tries := 0; runtime.NumGoroutine() > before; tries++ {
		if tries == 100 {
			t.Fatalf("%d goroutines before, %d after", before, runtime.NumGoroutine())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// eventually opens a source whose peer may not be there yet.
func eventually(t *testing.T, s *Source) ingest.Feed {
	t.Helper()
	for tries := 0; ; tries++ {
		f, err := s.Open(t.Context())
		if err == nil {
			t.Cleanup(func() { f.Close() })
			return f
		}
		if tries == 50 {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().String()
}

// lossy is a relay that loses one datagram of twenty.
func lossy(t *testing.T, to string) string {
	dice := rand.New(rand.NewPCG(3, 4))
	return relay(t, to, func(bool, []byte) bool { return dice.IntN(20) == 0 })
}

// relay passes datagrams between whoever sends to it and one address, but for those that it is to drop.
func relay(t *testing.T, to string, drop func(there bool, b []byte) bool) string {
	t.Helper()
	near, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	far, err := net.Dial("udp", to)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var from net.Addr
	t.Cleanup(func() { near.Close(); far.Close() })
	go func() {
		for b := make([]byte, 2048); ; {
			n, a, err := near.ReadFrom(b)
			if err != nil {
				return
			}
			mu.Lock()
			from = a
			gone := drop(true, b[:n])
			mu.Unlock()
			if !gone {
				_, _ = far.Write(b[:n])
			}
		}
	}()
	go func() {
		for b := make([]byte, 2048); ; {
			n, err := far.Read(b)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue
			}
			mu.Lock()
			a, gone := from, drop(false, b[:n])
			mu.Unlock()
			if !gone && a != nil {
				_, _ = near.WriteTo(b[:n], a)
			}
		}
	}()
	return near.LocalAddr().String()
}

// lines are what a log says, safe to be read meanwhile.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
