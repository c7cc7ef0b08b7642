package file

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"flambeau/ingest"
	"flambeau/packager/media"
	"flambeau/testdata"
)

// clip is four seconds of H.264 with B-frames, and of AAC.
var clip = sync.OnceValues(func() ([]byte, error) { return made("-c:v", "libx264", "-bf", "2", "-g", "25", "-c:a", "aac") })

// alone is its sound, at a rate whose frames are no whole ticks.
var alone = sync.OnceValues(func() ([]byte, error) { return made("-vn", "-c:a", "aac", "-ar", "44100") })

func made(args ...string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "flambeau")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "clip.ts")
	args = append([]string{"-v", "error", "-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25:duration=4", "-f", "lavfi", "-i", "sine=duration=4:sample_rate=48000"}, append(args, path)...)
	if out, err := exec.Command("ffmpeg", args...).CombinedOutput(); err != nil {
		return nil, errors.Join(err, errors.New(string(out)))
	}
	return os.ReadFile(path)
}

func need(t *testing.T, what func() ([]byte, error)) []byte {
	t.Helper()
	b, err := what()
	if err != nil {
		t.Fatalf("ffmpeg makes no clip: %v", err)
	}
	return b
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

func next(t *testing.T, f *feed) media.Event {
	t.Helper()
	e, err := f.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// all is what a feed gives until it ends, and the error that ended it.
func all(t *testing.T, f *feed) (events []media.Event, err error) {
	for {
		e, err := f.Next(t.Context())
		if err != nil {
			return events, err
		}
		events = append(events, e)
	}
}

// tracks are the samples of events by kind, and the Begins.
func tracks(events []media.Event) (video, audio []*media.Sample, begins []media.Begin) {
	kinds := map[int]media.Kind{}
	for _, e := range events {
		switch e := e.(type) {
		case media.Begin:
			begins = append(begins, e)
			for _, t := range e.Tracks {
				kinds[t.ID] = t.Kind
			}
		case *media.Sample:
			if kinds[e.Track] == media.Video {
				video = append(video, e)
			} else {
				audio = append(audio, e)
			}
		}
	}
	return video, audio, begins
}

// passes plays until so many samples of video came, or of audio if there is no video.
func passes(t *testing.T, f *feed, samples int) (events []media.Event) {
	t.Helper()
	for {
		e := next(t, f)
		events = append(events, e)
		if video, audio, _ := tracks(events); len(video) == samples || len(video) == 0 && len(audio) == samples {
			return events
		}
	}
}

func once(t *testing.T, ts []byte) (video, audio []*media.Sample, begins []media.Begin) {
	t.Helper()
	events, err := all(t, open(t, Config{Open: FromBytes(ts), Unpaced: true}))
	if err != io.EOF {
		t.Fatal(err)
	}
	return tracks(events)
}

func TestAFileIsGivenToItsLastFrame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clip.ts")
	ts := need(t, clip)
	if err := os.WriteFile(path, ts, 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := Parse("file://" + path + "?pace=off")
	if err != nil {
		t.Fatal(err)
	}
	f := open(t, c)
	events, err := all(t, f)
	video, audio, begins := tracks(events)
	if err != io.EOF || len(video) != 100 || len(audio) < 187 || len(begins) == 0 {
		t.Errorf("%d pictures, %d audio frames, %d begins, %v", len(video), len(audio), len(begins), err)
	}
	if s := f.Stats(); s.Bytes != uint64(len(ts)) || len(s.Streams) != 2 {
		t.Errorf("%+v", s)
	}
}

func TestALoopHasNoSeam(t *testing.T) {
	ts := need(t, clip)
	one, sound, begins := once(t, ts)
	const rounds = 5
	f := open(t, Config{Open: FromBytes(ts), Unpaced: true, Loop: true})
	video, audio, again := tracks(passes(t, f, rounds*len(one)))
	for i, s := range video {
		if i > 0 && s.DTS-video[i-1].DTS != clock/25 {
			t.Errorf("picture %d is %d ticks after the one before", i, s.DTS-video[i-1].DTS)
		}
		first := one[i%len(one)]
		if !bytes.Equal(s.Data, first.Data) || s.Key != first.Key || s.PTS-s.DTS != first.PTS-first.DTS {
			t.Errorf("picture %d is not picture %d of the file", i, i%len(one))
		}
	}
	const frame = 1024 * clock / 48000
	for i := 1; i < len(audio); i++ {
		if d := audio[i].DTS - audio[i-1].DTS; d < frame || d >= 2*frame {
			t.Errorf("audio frame %d is %d ticks after the one before, %d is a frame", i, d, frame)
		}
	}
	// As many as fit one after the other: of every pass those that begin when the sound before has ended.
	length, end := one[len(one)-1].DTS-one[0].DTS+clock/25, sound[0].DTS
	want := 0
	for round := range rounds {
		for _, s := range sound {
			if at := s.DTS + media.Ticks(round)*length; at >= end {
				want++
				end = at + frame
			}
		}
	}
	if missing := want - len(audio); missing < 0 || missing > 25 { // those muxed behind the last picture have not been asked for
		t.Errorf("%d audio frames, want %d", len(audio), want)
	}
	if len(again) != len(begins) {
		t.Errorf("%d begins in %d rounds, %d in one", len(again), rounds, len(begins))
	}
}

func TestALoopOfWholePassesHasEveryAudioFrameThatFits(t *testing.T) {
	ts := need(t, clip)
	one, sound, _ := once(t, ts)
	f := open(t, Config{Open: FromBytes(ts), Unpaced: true, Loop: true})
	var events []media.Event
	for f.loop.passes < 3 { // the first event of the fourth pass is asked for, and not looked at
		events = append(events, next(t, f))
	}
	_, audio, _ := tracks(events[:len(events)-1])
	length := one[len(one)-1].DTS - one[0].DTS + clock/25
	const frame = 1024 * clock / 48000
	over := sound[len(sound)-1].DTS + frame - sound[0].DTS - length // sound that reaches beyond the pictures
	dropped := 0
	for at := media.Ticks(0); at < over; at += frame {
		dropped++
	}
	if want := 3*len(sound) - 2*dropped; len(audio) != want || dropped == 0 {
		t.Errorf("%d audio frames of %d a pass, want %d: %d dropped at each border", len(audio), len(sound), want, dropped)
	}
}

func TestALoopOfSoundAloneLosesNoFrame(t *testing.T) {
	ts := need(t, alone)
	_, one, _ := once(t, ts)
	f := open(t, Config{Open: FromBytes(ts), Unpaced: true, Loop: true})
	_, audio, _ := tracks(passes(t, f, 4*len(one)))
	for i := 1; i < len(audio); i++ {
		if d := audio[i].DTS - audio[i-1].DTS; d < 2089 || d > 2091 { // 1024 at 44.1 kHz are 2089.8
			t.Errorf("frame %d is %d ticks after the one before", i, d)
		}
		if !bytes.Equal(audio[i].Data, one[i%len(one)].Data) {
			t.Errorf("frame %d is not frame %d of the file", i, i%len(one))
		}
	}
}

func TestAPacedFileTakesAsLongAsItLasts(t *testing.T) {
	ts := need(t, clip)
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		f := open(t, Config{Open: FromBytes(ts), Loop: true})
		var first media.Ticks
		for n := 0; time.Since(start) < time.Hour; {
			s, ok := next(t, f).(*media.Sample)
			if !ok {
				continue
			}
			if n++; n == 1 {
				first = s.DTS
			}
			due := start.Add(duration(s.DTS - first)) // at the earliest: sound is muxed some frames behind the pictures
			if !s.Arrived.Equal(due) || time.Since(due) > 500*time.Millisecond || time.Until(due) > 0 {
				t.Fatalf("sample %d came at %v, says %v, was due %v", n, time.Since(start), s.Arrived.Sub(start), due.Sub(start))
			}
		}
		if passes := f.loop.passes; passes < 899 || passes > 900 { // the last sample may be sound that reaches beyond its pass
			t.Errorf("%d passes of 4 s in an hour", passes)
		}
	})
}

func TestTheFirstSecondsComeAtOnceWithTimesInThePast(t *testing.T) {
	ts := need(t, clip)
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		f := open(t, Config{Open: FromBytes(ts), Loop: true, Ahead: 8 * time.Second})
		var first media.Ticks
		atOnce := 0
		for n := 0; time.Since(start) < time.Minute; {
			s, ok := next(t, f).(*media.Sample)
			if !ok {
				continue
			}
			if n++; n == 1 {
				first = s.DTS
			}
			if due := start.Add(duration(s.DTS-first) - 8*time.Second); !s.Arrived.Equal(due) {
				t.Fatalf("sample %d says %v, want %v", n, s.Arrived.Sub(start), due.Sub(start))
			}
			if time.Since(start) == 0 {
				atOnce++
			}
		}
		if atOnce < 8*(25+46) || atOnce > 8*(25+48)+5 {
			t.Errorf("%d samples came at once", atOnce)
		}
	})
}

func TestAWaitEndsWithItsContextAndLosesNothing(t *testing.T) {
	ts := need(t, clip)
	video, audio, _ := once(t, ts)
	synctest.Test(t, func(t *testing.T) {
		f := open(t, Config{Open: FromBytes(ts)})
		why := errors.New("why")
		n, cut := 0, 0
		for {
			ctx, cancel := context.WithTimeoutCause(t.Context(), 30*time.Millisecond, why)
			e, err := f.Next(ctx)
			cancel()
			if err == io.EOF {
				break
			}
			if err != nil {
				if !errors.Is(err, why) {
					t.Fatal(err)
				}
				cut++
				continue
			}
			if _, ok := e.(*media.Sample); ok {
				n++
			}
		}
		if n != len(video)+len(audio) || cut == 0 {
			t.Errorf("%d samples of %d, %d waits cut short", n, len(video)+len(audio), cut)
		}
	})
}

func TestAJumpOfTheFilesClockIsNotWaitedFor(t *testing.T) {
	now := time.Now()
	p := pace{}
	if maxStep >= ingest.DefaultSilence {
		t.Error("a hole in a file is silence")
	}
	for i, c := range []struct {
		dts  media.Ticks
		want time.Duration
	}{{1000, 0}, {1000 + clock, time.Second}, {26 * 3600 * clock, time.Second}, {26*3600*clock + clock/2, 1500 * time.Millisecond}, {0, 1500 * time.Millisecond}, {2 * clock, 3500 * time.Millisecond}} {
		if got := p.due(c.dts, now).Sub(now); got != c.want {
			t.Errorf("%d: due after %v, want %v", i, got, c.want)
		}
	}
}

func TestTicksBecomeTimeExactlyOverManyYears(t *testing.T) {
	for ticks, want := range map[media.Ticks]time.Duration{3600: 40 * time.Millisecond, -clock: -time.Second, 1: 11111, 9: 100 * time.Microsecond, 100 * 365 * 86400 * clock: 100 * 365 * 24 * time.Hour} {
		if got := duration(ticks); got != want {
			t.Errorf("%d: %v, want %v", ticks, got, want)
		}
	}
}

func TestALoopOfNothingEndsInsteadOfSpinning(t *testing.T) {
	for name, b := range map[string][]byte{"empty": nil, "noise": bytes.Repeat([]byte("not a transport stream "), 1000)} {
		f := open(t, Config{Open: FromBytes(b), Unpaced: true, Loop: true})
		if _, err := all(t, f); !errors.Is(err, ErrEmpty) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type broken struct {
	io.ReadSeekCloser
	read, seek error
}

func (b broken) Read(p []byte) (int, error) {
	if b.read != nil {
		return 0, b.read
	}
	return b.ReadSeekCloser.Read(p)
}

func (b broken) Seek(int64, int) (int64, error) { return 0, b.seek }

func TestADiskThatFailsSaysSo(t *testing.T) {
	bad := errors.New("input/output error")
	ts := need(t, clip)
	for name, b := range map[string]broken{"read": {read: bad}, "seek": {seek: bad}} {
		f := open(t, Config{Name: "/x.ts", Loop: true, Unpaced: true, Open: func() (io.ReadSeekCloser, error) {
			b.ReadSeekCloser, _ = FromBytes(ts)()
			return b, nil
		}})
		if _, err := all(t, f); !errors.Is(err, bad) || !strings.Contains(err.Error(), "/x.ts") {
			t.Errorf("%s: %v", name, err)
		}
	}
	c, err := Parse("file:///no/such/file.ts")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(c).Open(t.Context()); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "open file:///no/such/file.ts") {
		t.Errorf("%v", err)
	}
}

func TestErrorsAndBytesAddUpOverPasses(t *testing.T) {
	ts := append(bytes.Repeat([]byte{1}, 1000), need(t, clip)...)
	f := open(t, Config{Open: FromBytes(ts), Unpaced: true, Loop: true})
	for f.loop.passes < 3 {
		next(t, f)
	}
	s := f.Stats()
	if s.Errors["sync"] < 3000 || s.Bytes < 3*uint64(len(ts)) {
		t.Errorf("%d bytes of %d, errors %v", s.Bytes, len(ts), s.Errors)
	}
	for reason := range maps.Keys(s.Errors) {
		if !slices.Contains(Reasons, reason) {
			t.Errorf("%q is not in the list", reason)
		}
	}
}

func TestCuesAndLossesMoveWithTheirPass(t *testing.T) {
	l := loop{by: 100, passes: 1}
	if e, ok := l.shift(media.Cue{At: 5}); !ok || e.(media.Cue).At != 105 {
		t.Errorf("%+v", e)
	}
	if e, ok := l.shift(media.Lost{At: 5}); !ok || e.(media.Lost).At != 105 {
		t.Errorf("%+v", e)
	}
}

func TestANewPassTellsOnlyWhatIsNew(t *testing.T) {
	track := media.Track{ID: 1, Kind: media.Video, Codec: media.H264, Timescale: clock}
	with := func(parameters ...string) media.Begin {
		t := track
		for _, p := range parameters {
			t.Parameters = append(t.Parameters, []byte(p))
		}
		return media.Begin{Tracks: []media.Track{t}}
	}
	l := loop{passes: 1, begun: with("sps", "pps")}
	for i, c := range []struct {
		begin media.Begin
		want  bool
	}{{with(), false}, {with("sps", "pps"), false}, {with("sps", "other"), true}, {with("sps", "other"), false}, {with("sps", "pps"), true}, {media.Begin{}, true}, {with(), true}} {
		if _, ok := l.shift(c.begin); ok != c.want {
			t.Errorf("%d: %v", i, ok)
		}
	}
}

func TestAURLSaysWhatToPlay(t *testing.T) {
	c, err := Parse("file:///srv/a%20loop.ts?loop=1&ahead=8s&program=3")
	if err != nil || c.Name != "/srv/a loop.ts" || !c.Loop || c.Unpaced || c.Ahead != 8*time.Second || c.Program != 3 || c.Open == nil {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err := Parse("file:///srv/x.ts?pace=off&loop=0"); err != nil || !c.Unpaced || c.Loop {
		t.Errorf("%+v, %v", c, err)
	}
	for url, want := range map[string]string{
		"http://x/y.ts":                  "scheme",
		"file://x.ts":                    "three slashes",
		"file:x.ts":                      "three slashes",
		"file:///":                       "three slashes",
		"file:///x.ts?speed=2":           `"speed"`,
		"file:///x.ts?loop=yes":          "loop",
		"file:///x.ts?loop=1&loop=0":     "twice",
		"file:///x.ts?pace=0":            "pace",
		"file:///x.ts?ahead=8":           "ahead",
		"file:///x.ts?ahead=-8s":         "ahead",
		"file:///x.ts?ahead=100h":        "ahead",
		"file:///x.ts?ahead=8s&pace=off": "ahead",
		"file:///x.ts?program=x":         "program",
		"file:///x.ts?program=70000":     "program",
		"file:///x.ts#y":                 "fragment",
	} {
		if _, err := Parse(url); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want it to say %q", url, err, want)
		}
	}
}

func TestTheDemoFeedGoesRoundWithoutLosingAFrame(t *testing.T) {
	f := open(t, Config{Open: FromBytes(testdata.Demo), Unpaced: true, Loop: true})
	last, frames := map[int]media.Ticks{}, map[int]int{}
	for f.loop.passes < 3 {
		s, ok := next(t, f).(*media.Sample)
		if !ok {
			continue
		}
		step := media.Ticks(clock / 25)
		if f.loop.kind(s.Track) == media.Audio {
			step = 1024 * clock / 48000
		}
		if before, ok := last[s.Track]; ok && s.DTS-before != step {
			t.Errorf("track %d, frame %d: %d ticks after the one before, want %d", s.Track, frames[s.Track], s.DTS-before, step)
		}
		last[s.Track] = s.DTS
		frames[s.Track]++
	}
	if len(frames) != 3 {
		t.Errorf("tracks: %v", frames)
	}
}
