package packager

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"flambeau/packager/media"
	"flambeau/packager/timeline"
)

// What a Channel waits for, and how much of it, in media time and bytes. All of it is media time: a Channel knows no clock.
const (
	// openingLimit is how much media may pass before the shape is decided with whatever key frames were seen, and before a
	// picture without a key frame is given up for the sound.
	openingLimit = 12 * time.Second
	// openingBytes is what an opening holds at most; beyond it the oldest samples go, into a loss record.
	openingBytes = 128 << 20
	// openingSamples bounds the same by number.
	openingSamples = 1 << 16
	// openingTracks is how many tracks without rendition are watched.
	openingTracks = 64
	// finishTries is how many generations the last samples of a feed may begin; what is left then is lost, and named.
	finishTries = 4
	// phaseSlots is how many slots in a row may have their key frames elsewhere; then the next generation begins at one.
	phaseSlots = 3
	// trackWait is how long a generation waits for a track that was announced and is silent; then it begins without.
	trackWait = 3 * time.Second
	// holdLimit is how far one track may be behind the others. Beyond it, its slots are closed with what they have, and what
	// still comes for them is lost, and named.
	holdLimit = 3 * time.Second
	// jitter is how far from its nominal start the key frame of a slot may be. Twice that, and a frame of another track on either
	// side, is less than EXTINF may round away (RFC 8216, 4.3.3.1). Beyond it the nominal instant is the cut.
	jitter = 200 * time.Millisecond
	// jump is the distance of two decoding times of one track from which on they are not of one clock.
	jump = 10 * time.Second
	// leap is how far a decoding time may go ahead of the last one of its track and be believed at once; see believes.
	leap = 300 * time.Millisecond
	// backStep is how far a decoding time may fall back and still count as one bad timestamp rather than as a jump.
	backStep = time.Second
	// suspectLimit is how many samples wait for a verdict about a jump; then the jump is believed.
	suspectLimit = 256
	// segmentBytes is what a segment holds at most; what comes beyond it in its slot is lost, and named.
	segmentBytes = 512 << 20
)

// Config is what a Channel is told.
type Config struct {
	Channel string
	Worker  string
	Segment time.Duration // wished length of a slot
	Part    time.Duration // wished length of a part
	Pair    bool          // another worker packages the same feed, and the store decides between them
}

// Past is what the store already holds of a channel. The zero value: nothing.
type Past struct {
	Shape *timeline.Shape
	Last  timeline.Generation  // the newest
	Slot  int64                // the last slot that has an entry in the reference rendition
	End   int64                // where it ended, media time in ticks of Last.Timescale
	Seen  time.Time            // when that was, by the clock of the worker that was there
	Names []timeline.Rendition // every rendition that the channel ever had, as it was last

	Name     timeline.GenerationName // of Last
	Lines    map[string]int64        // the last slot that has an entry, of each rendition of Last
	Ends     map[string]int64        // where that ended, media time in the rendition's ticks; a rendition that is not in it: at End
	Previous timeline.Generation     // the one before Last, where a process has seen it
}

// Channel is the packager's mind: events in, cuts out. It decides which slot a sample belongs to, where segments begin and end,
// and when a generation does. It has no goroutine and no clock and does no input or output; equal events give equal cuts.
//
//	          ┌─ opening: what kind of feed is this? ─┐
//	Begin ───►│ samples wait until the generation     ├─► running: reference ─► cuts ─┐
//	          │ can be written down                   │            others ── held ────┴─► segments
//	          └───────────────────────────────────────┘                │
//	                     ▲ End, a jump, other tracks or parameters     │
//	                     └─────────────────────────────────────────────┘
//
// A Channel is owned by whoever calls Push.
type Channel struct {
	cfg    Config
	shape  *timeline.Shape
	gen    timeline.Generation // the newest; valid if hasGen
	hasGen bool
	name   timeline.GenerationName // of gen
	tracks []media.Track           // of the last Begin

	// Of a paired channel: what the store holds.
	standing Standing
	stood    bool
	newsAt   time.Time // when it last said something new
	adopted  bool      // the machine stands where the store does, and has not said so

	opening *opening             // nil while running
	names   []timeline.Rendition // every rendition that the channel ever had, as it was last

	// While running.
	lanes    []*lane
	ref      *lane
	cuts     []boundary // of the reference, oldest first; those that every lane has passed are forgotten
	slot     int64      // the reference's open slot, or the last before an opening
	late     []timed    // reference samples after a nominal start whose key frame may still come
	frontier int64      // reference ticks: no cut will be made at or before it any more
	running  []media.Track
	pending  string           // the same, for a reason that is not in the feed's table
	strays   map[int]stray    // tracks without rendition, and how steadily they come
	offPhase int              // how many slots in a row had their key frames elsewhere
	offBy    int64            // by how much
	offSlot  int64            // the last of them
	change   string           // why the next key frame begins a generation; "" it does not
	ahead    []*media.Sample  // of tracks that wait for that generation
	suspects []*media.Sample  // after what may be a jump
	heldPast int              // bytes in ahead
	partial  int64            // the slot whose beginning was missed; negative: none
	shift    int64            // what is added to the feed's ticks to get the generation's
	end      int64            // where the last slot ended, ticks of gen.Timescale
	ends     map[string]int64 // the same of each rendition, where that is known, in its own ticks
	arrived  time.Time        // of the last sample that was taken

	turns turns
	drift drift
	loss  timeline.Loss
	out   []Cut
}

// boundary is where a slot begins, for everybody.
type boundary struct {
	slot int64
	at   int64 // media time, ticks of the reference
}

// NewChannel makes a Channel that goes on after what the store holds.
func NewChannel(cfg Config, past Past) *Channel {
	c := &Channel{cfg: cfg, shape: past.Shape, loss: timeline.Loss{Format: timeline.Format, Channel: cfg.Channel, Worker: cfg.Worker}}
	why := "start"
	if past.Shape != nil {
		c.gen, c.name, c.hasGen, c.slot, c.end, c.arrived, why = past.Last, past.Name, true, past.Slot, past.End, past.Seen, "restart"
		c.ends = past.Ends
		c.names = past.Names
	}
	c.opening = newOpening(why)
	return c
}

// Shape is the channel's shape once it is decided, else nil.
func (c *Channel) Shape() *timeline.Shape { return c.shape }

// Push tells the Channel of one event and returns what it has decided since.
func (c *Channel) Push(e media.Event) []Cut {
	switch e := e.(type) {
	case media.Begin:
		c.begin(e)
	case *media.Sample:
		c.turns.saw(e, sourceTimescale(c.tracks, e.Track))
		c.sample(e)
	case media.Lost:
		c.missed(e)
	case media.End:
		c.finish("silence")
	case media.Cue:
		// Cues are read by the demuxer and not yet written anywhere.
	default:
		panic(fmt.Sprintf("packager: event %T: media.Event is closed, and this is none of it", e))
	}
	out := c.out
	c.out = nil
	return out
}

func (c *Channel) begin(b media.Begin) {
	c.tracks = b.Tracks
	if c.opening != nil {
		return
	}
	if c.change = cmp.Or(c.changed(), c.pending); c.change == "" {
		// Back to what it was before a key frame could act on it: what waited for the change belongs to no rendition.
		c.loseAll(c.ahead, "track_withdrawn")
		c.ahead, c.heldPast = nil, 0
	}
}

// changed tells in which way the feed's tracks differ from those that run, among the ones that can be described.
func (c *Channel) changed() string {
	known := knownTracks(c.tracks)
	if len(known) == 0 {
		return "" // the feed has lost its table and will say so again
	}
	if !slices.EqualFunc(known, c.running, func(a, b media.Track) bool {
		return a.ID == b.ID && a.Codec == b.Codec && a.Language == b.Language && a.Timescale == b.Timescale
	}) {
		return "tracks"
	}
	for i := range known {
		if !slices.EqualFunc(known[i].Parameters, c.running[i].Parameters, slices.Equal) {
			return "parameters"
		}
	}
	return ""
}

func knownTracks(all []media.Track) (known []media.Track) {
	for _, t := range all {
		if t.Known() {
			known = append(known, t)
		}
	}
	return known
}

func (c *Channel) sample(s *media.Sample) {
	if c.opening != nil {
		c.collect(s)
		return
	}
	if c.change != "" && c.turns.left() && s.Track == c.newReference() && s.Key && sane(s) {
		if c.goesOn(s) {
			c.turnGeneration(c.change, true, []*media.Sample{s})
		} else {
			c.turnGeneration("jump", false, []*media.Sample{s}) // another source, with another clock
		}
		return
	}
	l := c.lane(s.Track)
	if c.change != "" && (l == nil || c.isStale(s.Track)) {
		c.waitForChange(s)
		return
	}
	if l == nil {
		if c.steady(s) {
			// A track that the generation had to begin without is there now.
			c.pending, c.change = "tracks", "tracks"
			c.waitForChange(s)
			return
		}
		c.lose(s, "no_rendition")
		return
	}
	switch c.judge(l, s) {
	case good:
		c.take(l, s)
	case bad:
		c.lose(s, "timestamp")
	case suspect:
		c.suspected(l, s)
	}
}

// take lets a sample of the running generation in.
func (c *Channel) take(l *lane, s *media.Sample) {
	if c.cfg.Pair && (s.Damaged || l.hasDTS && int64(s.DTS-l.lastDTS) > l.step) {
		c.doubt(l) // a hole that no counter has shown
	}
	if l.hasDTS {
		l.pace = int64(s.DTS - l.lastDTS)
	}
	l.lastDTS, l.hasDTS = s.DTS, true
	c.arrived = s.Arrived
	t := l.time(s)
	if l == c.ref {
		c.drift.saw(t, c.gen.Timescale)
		c.cutReference(t)
	} else {
		l.held = append(l.held, t)
	}
	c.drain()
}

func (c *Channel) lane(track int) *lane {
	for _, l := range c.lanes {
		if l.track == track {
			return l
		}
	}
	return nil
}

// newReference is the track whose next key frame begins the generation that waits.
func (c *Channel) newReference() int {
	for _, t := range c.tracks {
		if t.Known() && t.Kind == c.ref.kind {
			return t.ID
		}
	}
	return c.ref.track
}

// isStale tells whether a running track's samples are already to be read with other parameters.
func (c *Channel) isStale(track int) bool {
	for _, t := range c.tracks {
		if t.ID != track {
			continue
		}
		for _, r := range c.running {
			if r.ID == track {
				return r.Codec != t.Codec || !slices.EqualFunc(r.Parameters, t.Parameters, slices.Equal)
			}
		}
	}
	return false
}

func (c *Channel) waitForChange(s *media.Sample) {
	if !c.turns.left() {
		c.lose(s, "flapping")
		return
	}
	if len(c.ahead) >= openingSamples || c.heldPast+len(s.Data) > openingBytes {
		c.lose(s, "generation_not_begun")
		return
	}
	c.ahead, c.heldPast = append(c.ahead, s), c.heldPast+len(s.Data)
}

// finish closes everything: nothing will follow on this clock as far as is known.
func (c *Channel) finish(why string) {
	for n := 0; c.opening != nil && len(c.opening.samples) > 0; n++ {
		if n == finishTries {
			c.loseAll(c.opening.samples, "no_key_frame")
			c.opening = newOpening(why)
			break
		}
		c.openAnyhow() // what was collected may itself hold the end of one generation and the start of another
	}
	if c.opening == nil {
		c.loseAll(c.ahead, "generation_not_begun")
		c.ahead, c.heldPast, c.change, c.pending = nil, 0, "", ""
		c.doubtAll()
		c.closeAll(-1)
		c.opening = newOpening(why)
	}
	c.report()
}

// turnGeneration closes the running generation and begins to collect the next one's first samples.
func (c *Channel) turnGeneration(why string, sameClock bool, first []*media.Sample) {
	until := int64(-1)
	if sameClock {
		until = c.ref.time(first[len(first)-1]).shown
	}
	doubtful := slices.ContainsFunc(c.lanes, func(l *lane) bool { return l.doubt >= c.slot })
	over := c.closeAll(until)
	if sameClock {
		over = append(over, c.ahead...)
	} else {
		c.loseAll(c.ahead, "generation_not_begun")
	}
	first = append(over, first...)
	c.ahead, c.heldPast, c.change, c.pending = nil, 0, "", ""
	c.turns.used++
	c.opening = newOpening(why)
	c.opening.doubtful = doubtful
	c.opening.sameClock = sameClock
	for _, s := range first {
		c.sample(s)
	}
}

// closeAll closes the open slot of every lane. Held samples from until on (media time of the reference; negative: none) go
// over to the next generation and are returned.
func (c *Channel) closeAll(until int64) (over []*media.Sample) {
	c.keepLate()
	c.loseAll(c.suspects, "timestamp")
	c.suspects = nil
	c.cutUpTo(c.newestHeld(until))
	for _, l := range c.lanes {
		for _, t := range l.held {
			if until >= 0 && l.inReference(t.shown) >= until {
				over = append(over, t.Sample)
				continue
			}
			l.add(c, t)
		}
		l.held = nil
	}
	c.end, c.ends = c.gen.T0, nil
	for _, l := range c.lanes {
		l.catchUp(c)
		l.close(c, -1)
		c.end = max(c.end, l.endInReference())
	}
	c.report()
	c.lanes, c.ref, c.cuts, c.running = nil, nil, nil, nil
	return over
}

func ticks(d time.Duration, timescale uint32) int64 {
	return int64(d) * int64(timescale) / int64(time.Second)
}
