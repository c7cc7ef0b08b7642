package packager

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"flambeau/packager/media"
)

// TestNoFeedEndsTheMachine tells a channel anything at all: tables that come and go, clocks that jump, frames of tracks that were never
// announced, silence. It must not panic, must keep every rule that holds says, and must hold a bounded amount of memory.
func TestNoFeedEndsTheMachine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := NewChannel(Config{Channel: "story", Worker: "a", Segment: rapid.SampledFrom([]time.Duration{time.Second, 2 * time.Second, 6 * time.Second}).Draw(t, "segment"), Part: 500 * time.Millisecond}, Past{})
		f := &anyFeed{t: t, clock: map[int]media.Ticks{}, arrived: air}
		var cuts []Cut
		came, left := 0, 0
		push := func(e media.Event) {
			if _, ok := e.(*media.Sample); ok {
				came++
			}
			for _, cut := range c.Push(e) {
				cuts, left = append(cuts, cut), left+framesOf(cut)
			}
			// The ledger, at every instant: every frame received is inside, or in a segment, or named in a loss record.
			if inside := c.inside(); came != left+inside {
				t.Fatalf("after %T: %d frames came, %d left, %d are inside; change %q, opening %v", e, came, left, inside, c.change, c.opening != nil)
			}
		}
		for range rapid.IntRange(1, 30).Draw(t, "scenes") {
			for _, e := range f.scene() {
				push(e)
			}
		}
		push(media.End{Reason: "stop"})
		if c.inside() != 0 {
			t.Fatalf("%d frames are still inside after the end", c.inside())
		}
		for _, wrong := range holds(cuts) {
			t.Errorf("%s, among\n%s", wrong, strings.Join(describe(t, cuts), "\n"))
		}
	})
}

// framesOf are the frames that a cut accounts for.
func framesOf(cut Cut) (n int) {
	switch cut := cut.(type) {
	case *Closed:
		return countFrames(cut.Body)
	case *Lost:
		for _, e := range cut.Entries {
			n += int(e.Frames)
		}
	}
	return n
}

// inside are the frames that a channel holds, those that it is about to name as lost among them.
func (c *Channel) inside() (n int) {
	if c.opening != nil {
		n += len(c.opening.samples)
	}
	n += len(c.ahead) + len(c.suspects) + len(c.late)
	for _, l := range c.lanes {
		n += len(l.held) + len(l.samples) + countFrames(l.body)
		if l.waiting != nil {
			n++
		}
	}
	for _, e := range c.loss.Entries {
		n += int(e.Frames)
	}
	return n
}

// anyFeed makes scenes: runs of a feed that is well, and what may befall it between them.
type anyFeed struct {
	t       *rapid.T
	tracks  []media.Track
	clock   map[int]media.Ticks
	arrived time.Time
}

func (f *anyFeed) scene() []media.Event {
	switch rapid.SampledFrom([]string{"run", "run", "run", "run", "begin", "jump", "step", "lost", "end", "stranger", "cue"}).Draw(f.t, "scene") {
	case "begin":
		return f.begin()
	case "jump":
		by := media.Ticks(rapid.SampledFrom([]int64{-324000000, -9000000, -900000, 900000, 9000000, 324000000}).Draw(f.t, "by"))
		only := rapid.IntRange(-1, 3).Draw(f.t, "only") // one track, or all
		for id := range f.clock {
			if only < 0 || id == 256+only {
				f.clock[id] += by
			}
		}
	case "step":
		f.arrived = f.arrived.Add(time.Duration(rapid.IntRange(-3600, 3600).Draw(f.t, "seconds")) * time.Second)
	case "lost":
		return []media.Event{media.Lost{Track: 256 + rapid.IntRange(-1, 3).Draw(f.t, "track"), Reason: "continuity", Count: 1}}
	case "end":
		return []media.Event{media.End{Reason: "silence"}}
	case "stranger":
		return []media.Event{&media.Sample{Track: 999, Key: true, Data: []byte{1}, Arrived: f.arrived}}
	case "cue":
		return []media.Event{media.Cue{}}
	default:
		return f.run()
	}
	return nil
}

func (f *anyFeed) begin() []media.Event {
	f.tracks = nil
	for i := range rapid.IntRange(0, 4).Draw(f.t, "tracks") {
		t := media.Track{ID: 256 + i, Kind: media.Video, Codec: media.H264, Timescale: 90000, Parameters: parameters[rapid.SampledFrom([]string{"1", "2"}).Draw(f.t, "parameters")]}
		if rapid.Bool().Draw(f.t, "sound") {
			t = media.Track{ID: 256 + i, Kind: media.Audio, Codec: media.AAC, Timescale: 90000, Parameters: [][]byte{{0x11, 0x90}}, Language: rapid.SampledFrom([]string{"", "eng", "fra", "???"}).Draw(f.t, "language")}
		}
		switch rapid.IntRange(0, 9).Draw(f.t, "odd") {
		case 0:
			t.Parameters = nil
		case 1:
			t.Parameters = [][]byte{{0}}
		}
		f.tracks = append(f.tracks, t)
	}
	return []media.Event{media.Begin{Tracks: f.tracks}}
}

// run is up to five seconds of every track, interleaved by time.
func (f *anyFeed) run() (events []media.Event) {
	seconds := media.Ticks(rapid.IntRange(1, 40).Draw(f.t, "tenths")) * 9000
	gop := rapid.SampledFrom([]int{1, 12, 25, 50, 300}).Draw(f.t, "gop")
	silent := rapid.IntRange(0, 8).Draw(f.t, "silent")
	for at := media.Ticks(0); at < seconds; at += 3600 {
		f.arrived = f.arrived.Add(40 * time.Millisecond)
		for i, t := range f.tracks {
			if i == silent {
				continue
			}
			step := media.Ticks(3600)
			if t.Kind == media.Audio {
				step = 1920
			}
			for from := f.clock[t.ID]; f.clock[t.ID] < from+3600; {
				dts := f.clock[t.ID]
				f.clock[t.ID] += step
				s := &media.Sample{Track: t.ID, PTS: dts, DTS: dts, Key: t.Kind == media.Audio || int(dts/3600)%gop == 0, Data: []byte{byte(dts), byte(dts >> 8)}, Arrived: f.arrived}
				if t.Kind == media.Video {
					s.PTS += 3600
				}
				events = append(events, s)
			}
		}
	}
	return events
}
