package world

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"flambeau/origin"
	"flambeau/origin/dash"
	"flambeau/origin/hls"
	"flambeau/origin/rights"
	"flambeau/packager"
	"flambeau/packager/audit"
	"flambeau/packager/cmaf"
	"flambeau/packager/timeline"
	"flambeau/storage"
)

// What must hold in every world:
//
//   - what a manifest says of a number, it says for ever, and its numbers never go back, whichever origin one asks (screen.look);
//   - whatever is named is there (book.names, screen.entry), and verify finds nothing (judge);
//   - each frame that was sent is in the archive once at most, in order, and at the time that the programme has it (archive);
//   - each frame that a process was given is in the archive or in one of its loss records. Of a killed process, what came since its last
//     segment was stored may be in neither (accounts);
//   - what comes later in media time has a higher number (archive), and media time goes on as it should from one generation to the next: at
//     once after a jump, where the clock is after a change, and as much later as passed after a silence (border);
//   - what is kept aside is not what stands there (asides), and no gap is told of before there is something behind it (world.dark);
//   - the edge moves: after every fault it is where the air is, within a bounded time (world.onTheAir), in as many generations as the
//     fault justifies (world.justified).

// shown is what was said of a number.
type shown struct {
	words string
	at    int64 // media time, µs; negative: not known
}

// look renders what players would pull, and holds it against all that was said before.
func (s *screen) look(v *origin.View) {
	seen := map[string]bool{}
	for _, g := range v.Timeline.Generations {
		for _, r := range g.Renditions {
			if seen[r.ID] || len(v.Timeline.Line(r.ID)) == 0 {
				continue
			}
			seen[r.ID] = true
			body, err := hls.Media(v.Timeline, rights.Open(), worldWindow, r.ID)
			if err != nil {
				continue // it is in no slot that is shown
			}
			s.playlist(r.ID, string(body), v.Timeline.Shape.TargetDuration)
		}
	}
	body, err := dash.Manifest(v.Timeline, rights.Open(), worldWindow)
	if errors.Is(err, timeline.ErrEmpty) && len(s.periods) == 0 {
		return // not in every rendition yet
	}
	if err != nil {
		s.w.wrong("DASH, edge %d: %v", v.Edge.Slot, err)
		return
	}
	s.manifest(string(body))
}

// playlist reads one as a player does.
func (s *screen) playlist(rendition, body string, target int64) {
	var slot, discontinuity, length int64
	at, gap := int64(-1), false
	number := func(line, tag string) int64 {
		n, err := strconv.ParseInt(line[len(tag):], 10, 64)
		if err != nil {
			s.w.wrong("%s: %q", rendition, line)
		}
		return n
	}
	for line := range strings.Lines(body) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "#EXTINF:"):
			whole, rest, _ := strings.Cut(strings.TrimSuffix(line[len("#EXTINF:"):], ","), ".")
			micros, err := strconv.ParseInt((whole + rest + "000000")[:len(whole)+6], 10, 64)
			if length = micros; err != nil || (micros+500_000)/1_000_000 > target {
				s.w.wrong("%s: slot %d: %q, target duration %d", rendition, slot, line, target)
			}
		case line == "#EXT-X-GAP":
			gap = true
		case line == "#EXT-X-DISCONTINUITY":
			discontinuity++
		case strings.HasPrefix(line, "#EXT-X-PROGRAM-DATE-TIME:"):
			t, err := time.Parse(time.RFC3339, line[len("#EXT-X-PROGRAM-DATE-TIME:"):])
			if at = t.UnixMicro(); err != nil {
				s.w.wrong("%s: %q", rendition, line)
			}
		case strings.HasPrefix(line, "#EXT-X-MEDIA-SEQUENCE:"):
			slot = number(line, "#EXT-X-MEDIA-SEQUENCE:")
			s.rises("first of "+rendition, slot)
		case strings.HasPrefix(line, "#EXT-X-DISCONTINUITY-SEQUENCE:"):
			discontinuity = number(line, "#EXT-X-DISCONTINUITY-SEQUENCE:")
			s.rises("discontinuities of "+rendition, discontinuity)
		case !strings.HasPrefix(line, "#"):
			if line != strconv.FormatInt(slot, 10)+".m4s" {
				s.w.wrong("%s: %q is listed as number %d", rendition, line, slot)
			}
			s.entry(rendition, slot, shown{fmt.Sprintf("discontinuity %d, gap %v, %d µs", discontinuity, gap, length), at}, gap)
			slot, at, gap = slot+1, at+length, false
		}
	}
	s.rises("last of "+rendition, slot-1)
}

// rises: a number never goes back.
func (s *screen) rises(what string, n int64) {
	if before, ok := s.first[what]; ok && n < before {
		s.w.wrong("%s goes back from %d to %d", what, before, n)
	}
	s.first[what] = n
}

func (s *screen) entry(rendition string, slot int64, e shown, gap bool) {
	key := rendition + "/" + strconv.FormatInt(slot, 10)
	before, ok := s.entries[key]
	if ok {
		if before.words != e.words || max(before.at-e.at, e.at-before.at) > 1000 {
			s.w.wrong("%s was listed as %v and is %v", key, before, e)
		}
		return
	}
	s.entries[key] = e
	if gap {
		return
	}
	o, err := s.w.truth.Get(s.w.t.Context(), timeline.SegmentKey(worldChannel, rendition, slot), storage.Get{})
	if err != nil {
		s.w.wrong("%s is listed: %v", key, err)
		return
	}
	o.Body.Close()
}

var periodTag = regexp.MustCompile(`<Period id="([^"]*)" start="([^"]*)"`)

// manifest: a Period keeps its id and start, and its place.
func (s *screen) manifest(body string) {
	last := -1
	for _, m := range periodTag.FindAllStringSubmatch(body, -1) {
		id, start := m[1], m[2]
		if before, ok := s.periods[id]; !ok {
			s.order[id] = len(s.periods)
			s.periods[id] = start
		} else if before != start {
			s.w.wrong("Period %s began at %s and begins at %s", id, before, start)
		}
		if s.order[id] <= last {
			s.w.wrong("Period %s comes after a later one:\n%s", id, body)
		}
		if last < 0 {
			s.rises("first Period", int64(s.order[id]))
		}
		last = s.order[id]
	}
	s.rises("last Period", int64(last))
}

// stored is a frame in the archive.
type stored struct {
	frame
	shown int64 // media time of presentation, ticks of its rendition
}

// read takes a segment apart.
func (w *world) read(key string) (frames []stored, row timeline.RenditionRow, err error) {
	b, _, err := storage.ReadAll(w.t.Context(), w.truth, key, storage.Get{}, 1<<30)
	if err != nil {
		return nil, row, err
	}
	if row, _, err = packager.CarriedRow(b); err != nil {
		return nil, row, err
	}
	parsed, err := cmaf.Parse(b)
	if err != nil {
		return nil, row, err
	}
	for _, part := range parsed.Fragments {
		at := int64(part.Time)
		for i, sample := range part.Samples {
			f, ok := parseFrame(part.SampleData(b, i))
			if !ok {
				return nil, row, fmt.Errorf("frame %d of %s was never on air", i, key)
			}
			f.key = sample.Key()
			frames = append(frames, stored{f, at + int64(sample.Offset)})
			at += int64(sample.Duration)
		}
	}
	return frames, row, nil
}

// judge looks at what is there in the end.
func (w *world) judge() {
	r, err := audit.Run(w.t.Context(), w.truth, worldChannel, audit.Span{})
	if err != nil {
		w.wrong("%v", err)
		return
	}
	for _, f := range r.Findings {
		w.wrong("verify: %v", f)
	}
	w.asides()
	w.accounts(w.archive())
	w.say("%d generations, %d segments, %d gaps, %d losses, %d lives", r.Generations, r.Segments, r.Gaps, r.Losses, len(w.legs[0].lives))
}

// archive reads every segment, in order, and tells which frames are there.
func (w *world) archive() []bool {
	there := make([]bool, w.onAir.number+1)
	lines := map[string][]string{}
	for info, err := range w.truth.List(w.t.Context(), worldChannel+"/seg/", "") {
		if err != nil {
			w.wrong("%v", err)
			return there
		}
		rendition, _, _ := timeline.ParseSegmentKey(worldChannel, info.Key)
		lines[rendition] = append(lines[rendition], info.Key)
	}
	borders := map[int]*border{}
	offs := map[stretch]*float64{}
	for rendition, keys := range lines {
		last, end := int64(-1), float64(0)
		before, of := stored{}, -1
		for _, key := range keys {
			frames, row, err := w.read(key)
			if err != nil {
				w.wrong("%v", err)
				continue
			}
			g, ok := w.record(row.Generation)
			r, known := g.Rendition(rendition)
			if !ok || !known {
				continue // verify has said so
			}
			from, to := float64(row.Start)/float64(r.Timescale), float64(row.End())/float64(r.Timescale)
			b := borders[row.Generation]
			if b == nil {
				b = &border{Generation: g, begins: math.Inf(1)}
				borders[row.Generation] = b
			}
			b.until = max(b.until, to)
			in := stretch{row.Generation, -1, rendition}
			var first *float64
			for _, f := range frames {
				if there[f.number] {
					w.wrong("%s: frame %d of track %d is in the archive twice", key, f.number, f.track)
				}
				there[f.number] = true
				if f.number <= last {
					w.wrong("%s: frame %d comes after %d", key, f.number, last)
				}
				last = f.number
				hole := f.pts - before.pts
				if before.clock != f.clock || of != row.Generation {
					hole = math.MaxInt64
				}
				before, of = f, row.Generation
				if by := w.onAir.rogues[f.number]; by != 0 && max(by, -by) <= hole {
					continue // one that is off by less than what is missing before it may be right
				}
				if in.clock != f.clock {
					in.clock = f.clock
					first = w.stretch(offs, in, key, r, f)
				}
				w.inTime(first, key, r, f)
			}
			if len(frames) == 0 {
				continue
			}
			if from < end-1e-3 {
				w.wrong("%s begins %f s before what went before it ends", key, end-from)
			}
			end = to
			b.ends, b.begins = max(b.ends, to), min(b.begins, from)
			if r.IsVideo() {
				b.picture(r, frames)
			}
		}
	}
	w.generationsFollow(borders)
	return there
}

// asides: nothing is kept aside that is what stands there.
func (w *world) asides() {
	for info, err := range w.truth.List(w.t.Context(), worldChannel+"/alt/", "") {
		if err != nil {
			w.wrong("%v", err)
			return
		}
		rendition, slot, _ := timeline.ParseAltKey(worldChannel, info.Key)
		a, _, aerr := storage.ReadAll(w.t.Context(), w.truth, info.Key, storage.Get{}, 1<<30)
		b, _, berr := storage.ReadAll(w.t.Context(), w.truth, timeline.SegmentKey(worldChannel, rendition, slot), storage.Get{}, 1<<30)
		if aerr != nil || berr != nil || bytes.Equal(a, b) {
			w.wrong("%s is kept aside, and is what stands there: %v, %v", info.Key, aerr, berr)
		}
	}
}

// border is what is known of where a generation begins and ends: seconds of media time.
type border struct {
	timeline.Generation
	begins, ends float64 // its media
	until        float64 // its slots
	first, last  stored  // its pictures
	offs         [2]float64
}

// picture notes the pictures of a segment.
func (b *border) picture(r timeline.Rendition, frames []stored) {
	if b.first.number == 0 {
		b.first = frames[0]
		b.offs[0] = b.first.off(r)
	}
	b.last = frames[len(frames)-1]
	b.offs[1] = b.last.off(r)
}

// generationsFollow: all of a generation lies after all of those before it, but for half a frame, and where its reason puts it.
func (w *world) generationsFollow(borders map[int]*border) {
	const (
		half   = 0.13 // of the longest frame of sound, seconds
		listen = 1.0  // how well a silence is measured: by when frames came
	)
	end, before := 0.0, (*border)(nil)
	for _, n := range slices.Sorted(maps.Keys(borders)) {
		b := borders[n]
		if b.begins < end-half {
			w.wrong("generation %d begins %f s before the one before it ends", n, end-b.begins)
		}
		end = max(end, b.ends)
		if before != nil && before.Number == n-1 && b.first.number > 0 && before.last.number > 0 {
			// A rendition that has nothing of the last slot has a gap there, whose end is nominal: the next generation comes after it.
			gap := max(0, before.until-before.ends)
			later := b.begins - before.until
			off := b.offs[0] - before.offs[1]
			switch {
			case b.Why == "jump" && later > 2*half:
				w.wrong("generation %d begins %f s after the one before it ends, and nothing but the clock has jumped", n, later)
			case b.Why == "silence" && (off < -listen || off > listen+gap):
				w.wrong("generation %d, after a silence of %f s, is %f s off", n, float64(b.first.pts-before.last.pts)/90000, off)
			case b.first.clock == before.last.clock && slices.Contains([]string{"tracks", "parameters", "phase"}, b.Why) && (off < -2*half || off > 2*half+gap):
				w.wrong("generation %d, for %s, is %f s off where the clock goes on", n, b.Why, off)
			}
		}
		before = b
	}
}

// stretch is a stretch in which media time and programme time go together.
type stretch struct {
	generation, clock int
	rendition         string
}

// stretch is how far media time is from programme time in a stretch: what its first frame says, which is what other renditions say of it.
func (w *world) stretch(offs map[stretch]*float64, in stretch, key string, r timeline.Rendition, f stored) *float64 {
	first, ok := offs[in]
	if !ok {
		off := f.off(r)
		first, offs[in] = &off, &off
		for other, o := range offs {
			if other.generation == in.generation && other.clock == in.clock && max(off-*o, *o-off) > 0.13 {
				w.wrong("%s: frame %d is %f s off from where %s has it", key, f.number, off-*o, other.rendition)
			}
		}
	}
	return first
}

// off is how far a frame's media time is from its programme's, seconds.
func (f stored) off(r timeline.Rendition) float64 {
	return float64(f.shown)/float64(r.Timescale) - float64(f.pts)/90000
}

// inTime: within a generation and one run of the feed's clock, each frame is where the first was, and sound is where the picture is.
func (w *world) inTime(first *float64, key string, r timeline.Rendition, f stored) {
	off, spare := f.off(r), 2.0/90000
	if !r.IsVideo() {
		spare = float64(r.Frame)/float64(r.Timescale) + 1e-4
	}
	if !r.IsVideo() && (f.shown-r.First)%r.Frame != 0 {
		w.wrong("%s: frame %d lies beside the lattice of its generation", key, f.number)
	}
	if d := off - *first; d > spare || d < -spare {
		w.wrong("%s: frame %d is %f s from where it belongs", key, f.number, d)
		*first = off
	}
}

// record is a generation's record.
func (w *world) record(n int) (timeline.Generation, bool) {
	w.screen.mu.Lock()
	defer w.screen.mu.Unlock()
	g, ok := w.screen.known[n]
	return g, ok
}

// accounts: each frame that a process was given is somewhere.
func (w *world) accounts(there []bool) {
	for _, l := range w.legs {
		for i, me := range l.lives {
			w.account(fmt.Sprintf("process %d of %s", i, l.name), me, there)
		}
	}
}

// lastListed is the newest frame of each track that a root of the process has shown, milliseconds of the programme.
func (w *world) lastListed(me *life) map[int]uint32 {
	newest := map[int]uint32{}
	for rendition, slots := range me.listed {
		slices.Sort(slots)
		for _, slot := range slices.Backward(slots) {
			if frames, _, _ := w.read(timeline.SegmentKey(worldChannel, rendition, slot)); len(frames) > 0 {
				f := frames[len(frames)-1]
				newest[f.track] = max(newest[f.track], uint32(f.pts/90))
				break
			}
		}
	}
	return newest
}

const (
	// hurry is how far one track may be sent before another, and a frame before one that is shown earlier.
	hurry = time.Second
	// decided is how long after a slot's end a process has decided about everything in it.
	decided = 3 * time.Second
)

// account: what a process was given and is not in the archive, its loss records name, no more and no less. A killed one takes with it what it
// had not made up its mind about, and what was still on its way: of each track, what came after its last segment that was listed, and of no
// track anything from before the slot that was open when the last listed picture's began, however long the next key frame was waited for.
func (w *world) account(name string, me *life, there []bool) {
	missing, tail := map[int]int64{}, map[int]int64{}
	first, last := map[int]uint32{}, map[int]uint32{} // of those that are missing
	newest := w.lastListed(me)
	patience := uint32((w.slot()*5/2 + decided + hurry).Milliseconds()) + me.keys
	for _, f := range me.received {
		if there[f.number] {
			continue
		}
		track := int(f.track)
		if missing[track] == 0 {
			first[track] = f.at
		}
		last[track] = f.at
		if missing[track]++; f.at+uint32(hurry.Milliseconds()) > newest[track] && f.at+patience > newest[pictureTrack] {
			tail[track]++
		}
	}
	for _, track := range slices.Sorted(maps.Keys(missing)) {
		n, named := missing[track], me.named[track]
		least := n
		if me.killed {
			least -= tail[track]
		}
		if named+me.overrun < least || named > n {
			w.wrong("%s, %v to %v, killed: %v: %d frames of track %d are not in the archive, from %d to %d ms, %d of them after what it listed, up to %d, and pictures up to %d; its loss records name %d, and %d events that found no room",
				name, me.began.Sub(w.began), me.ended.Sub(w.began), me.killed, n, track, first[track], last[track], tail[track], newest[track], newest[pictureTrack], named, me.overrun)
		}
	}
	for track, n := range me.named {
		if missing[track] == 0 && n > 0 {
			w.wrong("%s: its loss records name %d frames of track %d, and none is missing", name, n, track)
		}
	}
}
