package packager

import (
	"fmt"
	"testing"
	"time"

	"flambeau/packager/media"
	"flambeau/packager/timeline"
)

// flap is a feed of pictures and sound, to which, after ten seconds, something is done before every frame.
func flap(t *testing.T, long time.Duration, gop int, do func(frame int, tracks []media.Track) (table bool, shift media.Ticks)) (r struct {
	came, stored, flapping, generations, most int
	reasons                                   map[string]int64
}) {
	t.Helper()
	c := NewChannel(Config{Channel: "story", Worker: "a", Segment: 2 * time.Second, Part: 500 * time.Millisecond}, Past{})
	r.reasons = map[string]int64{}
	var cuts []Cut
	push := func(e media.Event) {
		for _, cut := range c.Push(e) {
			cuts = append(cuts, cut)
			r.stored += framesOfClosed(cut)
			switch cut := cut.(type) {
			case *Opened:
				r.generations++
			case *Lost:
				if b, _ := cut.Encode(); len(b) > timeline.MaxRecord {
					t.Fatalf("a loss record of %d bytes", len(b))
				}
				for _, e := range cut.Entries {
					r.reasons[e.Reason] += e.Frames
				}
			}
		}
		r.most = max(r.most, c.inside())
	}
	tracks := []media.Track{
		{ID: 256, Kind: media.Video, Codec: media.H264, Timescale: 90000, Parameters: parameters["1"]},
		{ID: 257, Kind: media.Audio, Codec: media.AAC, Timescale: 90000, Parameters: [][]byte{{0x11, 0x90}}, Language: "eng"},
	}
	push(media.Begin{Tracks: append([]media.Track(nil), tracks...)})
	shift := media.Ticks(0)
	for n := range int(long / (40 * time.Millisecond)) {
		table, by := false, media.Ticks(0)
		if n >= 250 { // ten seconds are well
			table, by = do(n, tracks)
		}
		if shift += by; table {
			push(media.Begin{Tracks: append([]media.Track(nil), tracks...)})
		}
		arrived := air.Add(time.Duration(n) * 40 * time.Millisecond)
		for i, at := range []media.Ticks{0, 0, 1920} {
			x, dts := tracks[min(i, 1)], media.Ticks(n)*3600+at+shift+900_000
			if i == 2 && n%8 == 7 {
				continue // 1.875 frames of sound to one of pictures
			}
			if i > 0 {
				dts = media.Ticks(n/8*15+n%8*2+i-1)*1920 + shift + 900_000
			}
			push(&media.Sample{Track: x.ID, DTS: dts, PTS: dts, Key: i > 0 || n%gop == 0, Data: fmt.Appendf(nil, "%d %d", n, i), Arrived: arrived})
			r.came++
		}
	}
	push(media.End{Reason: "stop"})
	lost := 0
	for _, n := range r.reasons {
		lost += int(n)
	}
	if r.came != r.stored+lost {
		t.Errorf("%d frames came, %d are stored, %d named: %v", r.came, r.stored, lost, r.reasons)
	}
	for _, wrong := range holds(cuts) {
		t.Error(wrong)
	}
	return r
}

func framesOfClosed(cut Cut) int {
	if c, ok := cut.(*Closed); ok {
		return countFrames(c.Body)
	}
	return 0
}

// TestWhatChangesAllTheTimeBeginsFewGenerations: whatever a feed says of itself with every frame, generations stay few, memory small, and
// each frame is stored or named.
func TestWhatChangesAllTheTimeBeginsFewGenerations(t *testing.T) {
	const long = 10 * time.Minute
	most := turnsAtOnce + int(long/turnEvery) + 1
	for name, c := range map[string]struct {
		gop    int
		do     func(n int, tracks []media.Track) (bool, media.Ticks)
		stored float64 // at least so much of what came
	}{
		"language": {1, func(n int, tracks []media.Track) (bool, media.Ticks) {
			tracks[1].Language = [...]string{"eng", "fra", "deu"}[n%3]
			return true, 0
		}, 0.99},
		"parameters": {1, func(n int, tracks []media.Track) (bool, media.Ticks) {
			tracks[0].Parameters = parameters[[...]string{"1", "2"}[n%2]]
			return true, 0
		}, 0.3},
		"a sound that comes and goes": {5, func(n int, tracks []media.Track) (bool, media.Ticks) {
			tracks[1].ID = 257 + n%2
			return true, 0
		}, 0.3},
		"another PID with every table": {5, func(n int, tracks []media.Track) (bool, media.Ticks) {
			tracks[1].ID = 257 + n%7000
			return true, 0
		}, 0.3},
		"two clocks": {5, func(n int, tracks []media.Track) (bool, media.Ticks) {
			if n%20 > 0 {
				return false, 0
			}
			return false, media.Ticks(1-n/20%2*2) * 90000 * 3600
		}, 0.3},
	} {
		t.Run(name, func(t *testing.T) {
			r := flap(t, long, c.gop, c.do)
			t.Logf("%d generations, at most %d frames held, %d of %d stored, %v", r.generations, r.most, r.stored, r.came, r.reasons)
			if r.generations > most || r.generations < 2 {
				t.Errorf("%d generations in %v, at most %d", r.generations, long, most)
			}
			if r.most > 3000 {
				t.Errorf("%d frames were held", r.most)
			}
			if float64(r.stored) < c.stored*float64(r.came) {
				t.Errorf("only %d of %d frames are stored: %v", r.stored, r.came, r.reasons)
			}
		})
	}
}

// TestAFileSentRoundAndRoundLosesNothing: a sender that begins again every ten seconds, for an hour, gets a generation each time.
func TestAFileSentRoundAndRoundLosesNothing(t *testing.T) {
	const round = 250 // frames
	r := flap(t, time.Hour, 50, func(n int, _ []media.Track) (bool, media.Ticks) {
		if n%round > 0 {
			return false, 0
		}
		return false, -round*3600 - 9_000_000*media.Ticks(1-n/round%2*2) // to and fro, far enough
	})
	if r.generations != 90*60*60/(90*10) || r.reasons["flapping"] > 0 {
		t.Errorf("%d generations, %v", r.generations, r.reasons)
	}
}
