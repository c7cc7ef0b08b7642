package packager

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"flambeau/packager/cmaf"
	"flambeau/packager/media"
	"flambeau/packager/timeline"
)

var update = flag.Bool("update", false, "write what came out into the stories")

// TestStories plays each testdata/*.txt: lines that say what a feed tells, "--", and the cuts that this gives.
//
//	segment 2s                                          the wish; part 500ms
//	video fps=25 gop=50 from=0 to=10 [b=2] [keys=0,2.4] [pid=256] [known=0] [params=2] [start=90000]
//	audio rate=48000 lang=eng from=0.1 to=10 [announced=0]
//	drop pid=256 from=3 to=4                            frames that do not arrive
//	shift pid=0 from=5 by=3600                          from 5 s on timestamps are an hour ahead; pid 0: all
//	rogue pid=256 at=5 by=100                           one timestamp is
//	late pid=256 at=5 by=2                              one is only shown so much later than it should be
//	end at=4                                            the feed goes silent; what comes later comes after it
//	restart at=4                                        the process is stopped and started again; timestamps begin within 33 bits
//
// Times are seconds of air. In the cuts, times are seconds and slots are counted from the channel's first.
func TestStories(t *testing.T) {
	for name, story := range stories(t) {
		t.Run(name, func(t *testing.T) {
			script, want, _ := strings.Cut(story, "\n--\n")
			cuts := tell(t, script)
			for _, whatever := range holds(cuts) {
				t.Error(whatever)
			}
			got := strings.Join(describe(t, cuts), "\n") + "\n"
			if *update {
				if err := os.WriteFile("testdata/"+name+".txt", []byte(script+"\n--\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("cuts differ.\n-- got\n%s-- want\n%s", got, want)
			}
		})
	}
}

// stories are all scripts, and what they gave, by name.
func stories(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	files, _ := filepath.Glob("testdata/*.txt")
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".txt")] = string(b)
	}
	if len(all) < 10 {
		t.Fatalf("%d stories found", len(all))
	}
	return all
}

// air is when every story begins.
var air = time.Date(2026, 2, 6, 20, 0, 0, 123_000_000, time.UTC)

var parameters = map[string][][]byte{ // H.264 High 640x360, 25 frames a second claimed; 720x576 for the second
	"1": {unhex("6764001eacd980a02ff97016a02020280000030008000003019078b16cd0"), unhex("68e97b2c8b")},
	"2": {unhex("6764001facd9405005bb011000000300100000030320f1831960"), unhex("68ebe3cb22c0")},
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// timedEvent is an event and the second of air at which it is told.
type timedEvent struct {
	at    float64
	order int
	event media.Event
}

type args map[string]string

func (a args) num(k string, otherwise float64) float64 {
	if a[k] == "" {
		return otherwise
	}
	if p, q, ok := strings.Cut(a[k], "/"); ok {
		x, _ := strconv.ParseFloat(p, 64)
		y, _ := strconv.ParseFloat(q, 64)
		return x / y
	}
	x, err := strconv.ParseFloat(a[k], 64)
	if err != nil {
		panic(err)
	}
	return x
}

// tell makes the events of a script and pushes them through a channel.
func tell(t *testing.T, script string) (cuts []Cut) {
	t.Helper()
	script, _, _ = strings.Cut(script, "\n--\n")
	cfg := Config{Channel: "story", Worker: "a", Segment: 2 * time.Second, Part: 500 * time.Millisecond}
	for line := range strings.Lines(script) {
		if wish, ok := strings.CutPrefix(line, "segment "); ok {
			cfg.Segment, _ = time.ParseDuration(strings.TrimSpace(wish))
		}
	}
	c := NewChannel(cfg, Past{})
	for _, e := range eventsOf(t, script) {
		if _, again := e.(restart); again {
			cuts = append(cuts, c.Push(media.End{Reason: "stop"})...)
			c = NewChannel(cfg, Past{Shape: c.shape, Last: c.gen, Slot: c.slot, End: c.end, Seen: c.arrived, Names: c.names})
			c.Push(media.Begin{Tracks: e.(restart).Tracks})
			continue
		}
		cuts = append(cuts, c.Push(e)...)
	}
	return append(cuts, c.Push(media.End{Reason: "stop"})...)
}

// restart stands in a script where the process is started again.
type restart struct{ media.Begin }

func eventsOf(t *testing.T, script string) (told []media.Event) {
	t.Helper()
	var events []timedEvent
	var tracks []trackScript
	pid, again := 256, -1.0
	for line := range strings.Lines(script) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		a := args{}
		for _, w := range words[1:] {
			k, v, _ := strings.Cut(w, "=")
			a[k] = v
		}
		switch words[0] {
		case "segment":
		case "video", "audio":
			ts := newTrackScript(words[0], int(a.num("pid", float64(pid))), a)
			pid++
			tracks = append(tracks, ts)
			events = append(events, ts.samples()...)
		case "drop", "shift", "rogue", "late":
			events = tamper(words[0], a, events)
		case "restart":
			again = a.num("at", 0)
		case "end":
			events = append(events, timedEvent{a.num("at", 0), 2, media.End{Reason: "silence"}})
		default:
			t.Fatalf("a script says %q", words[0])
		}
	}
	events = append(events, begins(tracks)...)
	slices.SortStableFunc(events, func(a, b timedEvent) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.order, b.order)) })
	var table media.Begin
	for _, e := range events {
		if again >= 0 && e.at >= again {
			told, again = append(told, restart{table}), -2
		}
		if b, ok := e.event.(media.Begin); ok {
			table = b
		}
		if s, ok := e.event.(*media.Sample); ok && again == -2 {
			wrapped := s.DTS % (1 << 33)
			s.PTS, s.DTS = s.PTS-s.DTS+wrapped, wrapped
		}
		told = append(told, e.event)
	}
	return told
}

type trackScript struct {
	kind      string
	track     media.Track
	from, to  float64
	announced float64
	a         args
}

func newTrackScript(kind string, pid int, a args) trackScript {
	s := trackScript{kind: kind, from: a.num("from", 0), to: a.num("to", 10), a: a}
	s.announced = a.num("announced", s.from)
	s.track = media.Track{ID: pid, Kind: media.Video, Codec: media.H264, Timescale: 90000, Language: a["lang"]}
	s.track.Parameters = parameters[cmp.Or(a["params"], "1")]
	if kind == "audio" {
		s.track.Kind, s.track.Codec = media.Audio, media.AAC
		s.track.Parameters = [][]byte{{0x11, 0x90}} // AAC-LC 48 kHz stereo
		if a["rate"] == "44100" {
			s.track.Parameters = [][]byte{{0x12, 0x10}}
		}
	}
	return s
}

func (s trackScript) samples() (out []timedEvent) {
	origin := media.Ticks(s.a.num("start", 90000))
	step := 1024 / s.a.num("rate", 48000)
	if s.kind == "video" {
		step = 1 / s.a.num("fps", 25)
	}
	gop, b := int(s.a.num("gop", 50)), int(s.a.num("b", 0))
	var keys []float64
	for k := range strings.SplitSeq(s.a["keys"], ",") {
		if x, err := strconv.ParseFloat(k, 64); err == nil {
			keys = append(keys, x)
		}
	}
	for i := 0; s.from+float64(i)*step < s.to-1e-9; i++ {
		at := s.from + float64(i)*step
		ticks := func(frame float64) media.Ticks { return origin + media.Ticks((s.from+frame*step)*90000+0.5) }
		m := &media.Sample{Track: s.track.ID, DTS: ticks(float64(i)), Key: true, Data: fmt.Appendf(nil, "%s %d of %d", s.kind, i, s.track.ID)}
		m.PTS = m.DTS
		if s.kind == "video" {
			n := i % gop
			m.Key = n == 0
			if s.a["keys"] != "" {
				m.Key = i == 0 || slices.ContainsFunc(keys, func(k float64) bool { return k > at-step/2 && k < at+step/2 })
			}
			m.PTS = ticks(float64(i + reorder(n, gop, b)))
		}
		at += s.a.num("late", 0) // it comes behind the others
		m.Arrived = air.Add(time.Duration(at * float64(time.Second)))
		out = append(out, timedEvent{at, 1, m})
	}
	return out
}

// reorder is by how many frames presentation is after decoding, for a frame n of a closed group with b bidirectional frames between
// references: I0 P3 B1 B2 P6 … is decoded one b early, and the last ones are references only.
func reorder(n, gop, b int) int {
	if b == 0 {
		return 0
	}
	if n == 0 || n > (gop-1)/(b+1)*(b+1) {
		return b
	}
	if (n-1)%(b+1) == 0 {
		return b + b
	}
	return b - 1
}

// begins are the tables of the feed: at each instant at which one changes, all tracks that are announced by then.
func begins(tracks []trackScript) (out []timedEvent) {
	var at []float64
	for _, s := range tracks {
		at = append(at, s.announced, s.from)
		if s.a["gone"] != "" {
			at = append(at, s.a.num("gone", 0))
		}
	}
	slices.Sort(at)
	for _, now := range slices.Compact(at) {
		byID := map[int]media.Track{}
		var ids []int
		for _, s := range tracks {
			if s.announced > now || s.a["gone"] != "" && s.a.num("gone", 0) <= now {
				continue
			}
			t := s.track
			if s.from > now {
				if _, replaces := byID[t.ID]; replaces {
					continue
				}
				t.Parameters = nil
			}
			if _, again := byID[t.ID]; !again {
				ids = append(ids, t.ID)
			}
			byID[t.ID] = t
		}
		b := media.Begin{}
		for _, id := range ids {
			b.Tracks = append(b.Tracks, byID[id])
		}
		out = append(out, timedEvent{now, 0, b})
	}
	return out
}

func tamper(how string, a args, events []timedEvent) (out []timedEvent) {
	pid, from, to := int(a.num("pid", 0)), a.num("from", a.num("at", 0)), a.num("to", 1e9)
	by, done := media.Ticks(a.num("by", 0)*90000), false
	for _, e := range events {
		s, ok := e.event.(*media.Sample)
		if !ok || pid != 0 && s.Track != pid || e.at < from-1e-9 || e.at >= to-1e-9 {
			out = append(out, e)
			continue
		}
		switch {
		case how == "drop":
			continue
		case how == "late" && !done:
			s.PTS, done = s.PTS+by, true
		case how == "shift", how == "rogue" && !done:
			s.PTS, s.DTS, done = s.PTS+by, s.DTS+by, true
		}
		out = append(out, e)
	}
	return out
}

// describe says each cut in a line.
func describe(t interface {
	Helper()
	Fatal(...any)
}, cuts []Cut) (lines []string) {
	t.Helper()
	s0, scales := int64(0), map[string]uint32{}
	zero := air.UnixMilli()
	sec := func(ticks int64, ts uint32) string {
		return strconv.FormatFloat(float64(timeline.Rescale(ticks, ts, 1e6)-zero*1000)/1e6, 'f', 3, 64)
	}
	for _, cut := range cuts {
		switch c := cut.(type) {
		case *Opened:
			if c.Shape != nil {
				s0 = c.Shape.First.S0
				lines = append(lines, fmt.Sprintf("shape slot=%v target=%d part=%v interval=%v reference=%s", c.Shape.Slot, c.Shape.TargetDuration, c.Shape.Part, c.Shape.Interval, c.Shape.Reference))
			}
			g := c.Generation
			line := fmt.Sprintf("generation %d %s +%d t0=%s", g.Number, g.Why, g.S0-s0, sec(g.T0, g.Timescale))
			for _, r := range g.Renditions {
				scales[r.ID] = r.Timescale
				line += " " + r.ID
				if r.IsVideo() {
					line += fmt.Sprintf("(%dx%d %.3f)", r.Width, r.Height, r.FrameRate.Float())
				}
			}
			lines = append(lines, line)
		case *Closed:
			r, ts := c.Row, scales[c.Rendition]
			if r.Flags.Has(timeline.Gap) {
				lines = append(lines, fmt.Sprintf("  %-6s +%d gap", c.Rendition, r.Slot-s0))
				continue
			}
			parsed, err := cmaf.Parse(c.Body)
			if err != nil {
				t.Fatal(err)
			}
			frames := countFrames(c.Body)
			line := fmt.Sprintf("  %-6s +%d %s %.3fs %d frames, %d parts", c.Rendition, r.Slot-s0, sec(r.Start, ts), float64(r.Duration)/float64(ts), frames, len(parsed.Fragments))
			if r.Flags.Has(timeline.Dependent) {
				line += ", dependent"
			}
			if r.Flags.Has(timeline.Damaged) {
				line += ", damaged"
			}
			lines = append(lines, line)
		case *Lost:
			for _, e := range c.Entries {
				lines = append(lines, fmt.Sprintf("  lost %d %s: %d frames, %d units", e.Track, e.Reason, e.Frames, e.Units))
			}
		}
	}
	return lines
}

// holds says what is never to be seen, in any story.
func holds(cuts []Cut) (broken []string) {
	say := func(format string, a ...any) { broken = append(broken, fmt.Sprintf(format, a...)) }
	var shape timeline.Shape
	var g timeline.Generation
	last := map[string]timeline.Row{}
	for _, cut := range cuts {
		switch c := cut.(type) {
		case *Opened:
			if c.Shape != nil {
				shape = *c.Shape
			} else if c.Generation.Number != g.Number+1 {
				say("generation %d after %d", c.Generation.Number, g.Number)
			}
			g = c.Generation
		case *Closed:
			r := c.Row
			rendition, known := g.Rendition(c.Rendition)
			if !known {
				say("%s closes without being of the generation", c.Rendition)
			}
			if p, ok := last[c.Rendition]; ok && r.Slot != p.Slot+1 && g.S0 != r.Slot {
				say("%s: slot %d after %d", c.Rendition, r.Slot, p.Slot)
			} else if ok && p.Generation == r.Generation && !p.Flags.Has(timeline.Gap) && !r.Flags.Has(timeline.Gap) && r.Start < p.End() {
				say("%s: slot %d starts before %d ends", c.Rendition, r.Slot, p.Slot)
			}
			last[c.Rendition] = r
			if secs := float64(r.Duration) / float64(rendition.Timescale); secs >= float64(shape.TargetDuration)+0.5 {
				say("%s: slot %d lasts %f s, target duration %d", c.Rendition, r.Slot, secs, shape.TargetDuration)
			}
			for _, wrong := range segmentHolds(shape, g, rendition, c) {
				say("%s: slot %d: %s", c.Rendition, r.Slot, wrong)
			}
		}
	}
	return broken
}

func segmentHolds(shape timeline.Shape, g timeline.Generation, rendition timeline.Rendition, c *Closed) (wrong []string) {
	carried, record, err := CarriedRow(c.Body)
	_, hash := g.Encode()
	want := timeline.RenditionRow{Rendition: c.Rendition, Row: c.Row}
	if err != nil || record != hash.Short() || !bytes.Equal(carried.Append(nil), want.Append(nil)) {
		wrong = append(wrong, fmt.Sprintf("carries %s of %s: %v", carried.Append(nil), record, err))
	}
	end := c.Body[max(0, len(c.Body)-timeline.MaxCarried):]
	if short, name, err := timeline.CarriedIn(end); err != nil || name != record || !bytes.Equal(short.Carried(), carried.Carried()) {
		wrong = append(wrong, fmt.Sprintf("its end says %s of %s: %v", short.Carried(), name, err))
	}
	parsed, err := cmaf.Parse(c.Body)
	if err != nil {
		return append(wrong, err.Error())
	}
	at := uint64(c.Row.Start)
	limit := uint64(shape.Part.Floor(1, rendition.Timescale))
	for i, f := range parsed.Fragments {
		if f.Time != at || f.Sequence != uint32(c.Row.Slot*256+int64(i)) {
			wrong = append(wrong, fmt.Sprintf("part %d: time %d, sequence %d", i, f.Time, f.Sequence))
		}
		if f.Duration() > limit && len(f.Samples) > 1 {
			wrong = append(wrong, fmt.Sprintf("part %d lasts %d ticks, at most %d", i, f.Duration(), limit))
		}
		at += f.Duration()
	}
	if at != uint64(c.Row.End()) && !c.Row.Flags.Has(timeline.Gap) {
		wrong = append(wrong, fmt.Sprintf("ends at %d, its row says %d", at, c.Row.End()))
	}
	for _, k := range c.Row.Keys {
		if k.Offset+k.Size > int64(len(c.Body)) {
			wrong = append(wrong, "a key frame ends beyond it")
		}
	}
	return wrong
}

func countFrames(segment []byte) (n int) {
	parsed, err := cmaf.Parse(segment)
	if err != nil {
		return 0
	}
	for _, f := range parsed.Fragments {
		n += len(f.Samples)
	}
	return n
}
