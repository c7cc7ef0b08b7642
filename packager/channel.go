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
	Input   string        // what is pulled, without secrets
	Segment time.Duration // wished length of a slot
	Part    time.Duration // wished length of a part
}

// Past is what the store already holds of a channel. The zero value: nothing.
type Past struct {
	Shape *timeline.Shape
	Last  timeline.Generation  // the newest
	Slot  int64                // the last slot that has an entry in the reference rendition
	End   int64                // where it ended, media time in ticks of Last.Timescale
	Seen  time.Time            // when that was, by the clock of the worker that was there
	Names []timeline.Rendition // every rendition that the channel ever had, as it was last
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
	tracks []media.Track // of the last Begin

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
	pending  string          // the same, for a reason that is not in the feed's table
	strays   map[int]stray   // tracks without rendition, and how steadily they come
	offPhase int             // how many slots in a row had their key frames elsewhere
	offBy    int64           // by how much
	offSlot  int64           // the last of them
	change   string          // why the next key frame begins a generation; "" it does not
	ahead    []*media.Sample // of tracks that wait for that generation
	suspects []*media.Sample // after what may be a jump
	heldPast int             // bytes in ahead
	partial  int64           // the slot whose beginning was missed; negative: none
	shift    int64           // what is added to the feed's ticks to get the generation's
	end      int64           // where the last slot ended, ticks of gen.Timescale
	arrived  time.Time       // of the last sample that was taken

	loss timeline.Loss
	out  []Cut
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
		c.gen, c.hasGen, c.slot, c.end, c.arrived, why = past.Last, true, past.Slot, past.End, past.Seen, "restart"
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
	if c.change != "" && s.Track == c.newReference() && s.Key && sane(s) {
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
		c.suspects = append(c.suspects, s)
		if c.isJump(s) {
			waiting := c.suspects
			c.suspects = nil
			c.turnGeneration("jump", false, waiting)
		}
	}
}

// stray is a track that comes and has no rendition.
type stray struct {
	last  media.Ticks
	count int
}

// steadyAfter is how many samples of a track in a row, near the reference, make it part of the feed: one that comes now and then begins
// no generation.
const steadyAfter = 16

// steady tells whether a track without rendition has come steadily enough to have one, and could begin with this sample.
func (c *Channel) steady(s *media.Sample) bool {
	t, ok := c.track(s.Track)
	if !ok || len(c.strays) > openingTracks {
		return false
	}
	r, _ := c.gen.Rendition(c.ref.r.ID)
	at := c.gen.T0 + timeline.Rescale(int64(s.PTS)+c.shift-r.Zero, t.Timescale, c.gen.Timescale)
	o := c.strays[s.Track]
	if d := s.DTS - o.last; !c.near(at) || d <= 0 || int64(d) > ticks(backStep, t.Timescale) {
		o.count = 0
	}
	o.last, o.count = s.DTS, o.count+1
	c.strays[s.Track] = o
	if o.count < steadyAfter || !s.Key {
		return false
	}
	_, err := initFor(t, t.Timescale)
	return err == nil
}

// near tells whether an instant is where the reference is.
func (c *Channel) near(at int64) bool {
	return abs(at-c.frontier) <= ticks(holdLimit, c.gen.Timescale)
}

// goesOn tells whether a reference sample is of the clock that runs.
func (c *Channel) goesOn(s *media.Sample) bool {
	d := int64(s.DTS - c.ref.lastDTS)
	return !c.ref.hasDTS || d <= ticks(jump, c.ref.r.SourceTimescale) && d >= -ticks(backStep, c.ref.r.SourceTimescale)
}

// take lets a sample of the running generation in.
func (c *Channel) take(l *lane, s *media.Sample) {
	l.lastDTS, l.hasDTS = s.DTS, true
	c.arrived = s.Arrived
	t := l.time(s)
	if l == c.ref {
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
	if len(c.ahead) >= openingSamples || c.heldPast+len(s.Data) > openingBytes {
		c.lose(s, "generation_not_begun")
		return
	}
	c.ahead, c.heldPast = append(c.ahead, s), c.heldPast+len(s.Data)
}

type verdict int

const (
	good verdict = iota
	bad
	suspect
)

// judge holds a sample's decoding time against its track's last one.
func (c *Channel) judge(l *lane, s *media.Sample) verdict {
	if !l.hasDTS {
		if !sane(s) {
			return bad
		}
		return good
	}
	ts := l.r.SourceTimescale
	switch d := int64(s.DTS - l.lastDTS); {
	case d > ticks(jump, ts), d < -ticks(backStep, ts):
		return suspect
	case l != c.ref && d > ticks(holdLimit, ts) && !c.near(l.inReference(l.media(int64(s.PTS)))):
		return suspect // it alone is ahead: another clock
	case d <= 0:
		return bad
	case !sane(s):
		return bad
	}
	// The track goes on where it was: whatever was suspected of it was a rogue.
	c.suspects = slices.DeleteFunc(c.suspects, func(o *media.Sample) bool {
		if o.Track == s.Track {
			c.lose(o, "timestamp")
		}
		return o.Track == s.Track
	})
	return good
}

// sane tells whether a sample's two times can be of one sample.
func sane(s *media.Sample) bool {
	d := int64(s.PTS - s.DTS)
	return d <= ticks(jump, 90000) && d >= -ticks(backStep, 90000)
}

// isJump tells whether a second sample confirms what a first one of its track made us suspect.
func (c *Channel) isJump(s *media.Sample) bool {
	if len(c.suspects) >= suspectLimit {
		return true
	}
	ts := c.lane(s.Track).r.SourceTimescale
	for _, o := range c.suspects {
		if d := int64(s.DTS - o.DTS); o.Track == s.Track && d > 0 && d < ticks(backStep, ts) {
			return true
		}
	}
	return false
}

// cutReference decides the slot of a reference sample, and with it everybody's cuts.
func (c *Channel) cutReference(t timed) {
	if len(c.late) > 0 && t.shown > c.force(c.owner(c.late[0].shown))+c.grace() {
		c.forceLate()
	}
	switch {
	case t.Key && c.claims(t.shown) > c.slot:
		// The key frame came: what waited for it came before it in decoding order, and stays in the old slot.
		c.keepLate()
		c.cutAt(c.claims(t.shown), c.cutFor(t))
	case c.owner(t.shown) > c.slot:
		c.late = append(c.late, t)
		if t.shown > c.force(c.owner(t.shown))+c.grace() || c.grace() == 0 {
			c.forceLate()
		}
		c.frontier = max(c.frontier, c.late0(t.shown))
		return
	}
	c.phase(t)
	c.ref.add(c, t)
	c.frontier = max(c.frontier, c.late0(t.shown))
}

// phase counts slots whose key frames lie more than a quarter interval off where they belong, all by the same. After a few, they belong
// there: the next generation begins at one, and segments begin with key frames again. Those that lie now here, now there begin nothing:
// a generation every few slots would be worse than segments that depend on others.
func (c *Channel) phase(t timed) {
	every := c.shape.Interval.Floor(1, c.gen.Timescale)
	if !t.Key || c.offSlot == c.slot || every < ticks(2*jitter, c.gen.Timescale) {
		return
	}
	off := (t.shown - c.gen.T0) % every
	if min(off, every-off) <= every/4 {
		c.offPhase = 0
		return
	}
	if abs(off-c.offBy) > every/16 {
		c.offPhase, c.offBy = 0, off
	}
	if c.offPhase, c.offSlot = c.offPhase+1, c.slot; c.offPhase >= phaseSlots {
		c.offPhase, c.pending = 0, "phase"
		c.change = cmp.Or(c.change, c.pending)
	}
}

// late0 is the instant up to which the reference is decided: where the oldest undecided sample's slot nominally begins, else t.
func (c *Channel) late0(t int64) int64 {
	if len(c.late) == 0 {
		return t
	}
	return c.force(c.owner(c.late[0].shown)) - 1
}

// claims is the slot that a key frame at t begins, if no earlier one did.
func (c *Channel) claims(t int64) int64 { return c.slotAt(t + c.early()) }

// owner is the last slot that must have begun at t even without a key frame.
func (c *Channel) owner(t int64) int64 {
	if c.shape.Regular() {
		return c.slotAt(t)
	}
	return c.slotAt(t - c.shape.Slot.Floor(1, c.gen.Timescale)/2)
}

func (c *Channel) slotAt(t int64) int64 {
	return c.gen.S0 + c.shape.Slot.Count(t-c.gen.T0, c.gen.Timescale)
}

// force is when a slot begins if no key frame does it.
func (c *Channel) force(slot int64) int64 {
	at := c.gen.Nominal(*c.shape, slot, c.gen.Timescale)
	if !c.shape.Regular() {
		at += c.shape.Slot.Floor(1, c.gen.Timescale) / 2
	}
	return at
}

// early is how long before its nominal start a slot may begin with a key frame.
func (c *Channel) early() int64 {
	if !c.shape.Regular() {
		return c.shape.Slot.Floor(1, c.gen.Timescale) / 4
	}
	return min(c.shape.Interval.Floor(1, c.gen.Timescale)/2, ticks(jitter, c.gen.Timescale))
}

// grace is how long after force a key frame is still waited for.
func (c *Channel) grace() int64 {
	if !c.shape.Regular() {
		return 0
	}
	return c.early()
}

func (c *Channel) keepLate() {
	late := c.late
	c.late = nil
	for _, t := range late {
		c.ref.add(c, t)
	}
}

// forceLate begins the slot without a key frame, at its nominal start.
func (c *Channel) forceLate() {
	late := c.late
	c.late = nil
	for _, t := range late {
		if o := c.owner(t.shown); o > c.slot {
			c.cutAt(o, c.force(o))
		}
		c.ref.add(c, t)
	}
}

// cutFor is everybody's cut for a slot that begins with a key frame: its time, and the nominal instant where it comes so late that
// something must have been lost before it. Others were there, and their segments are no longer for it.
func (c *Channel) cutFor(t timed) int64 {
	if at := c.force(c.claims(t.shown)); t.shown > at+c.grace() {
		return at
	}
	return t.shown
}

// cutAt begins a slot. Those between the last and it, of which the reference has nothing, begin nominally.
func (c *Channel) cutAt(slot, at int64) {
	for c.slot+1 < slot {
		c.slot++
		c.cuts = append(c.cuts, boundary{c.slot, min(c.gen.Nominal(*c.shape, c.slot, c.gen.Timescale), at)})
	}
	c.slot = slot
	c.cuts = append(c.cuts, boundary{slot, at})
	c.report()
}

// drain gives out what the lanes held and the reference has passed, and closes what has waited too long.
func (c *Channel) drain() {
	for _, l := range c.lanes {
		l.release(c)
	}
	c.outrun()
	c.overtake()
	c.forget()
}

// release gives a lane what the reference has decided about.
func (l *lane) release(c *Channel) {
	for len(l.held) > 0 && l.inReference(l.held[0].shown+l.slack) <= c.frontier {
		l.add(c, l.held[0])
		l.held = l.held[1:]
	}
}

// outrun closes slots in which the reference itself has fallen silent while others go on.
func (c *Channel) outrun() {
	limit := c.newestHeld(-1) - ticks(holdLimit, c.gen.Timescale)
	if limit <= c.frontier {
		return
	}
	if len(c.late) > 0 {
		c.forceLate()
	}
	c.cutUpTo(limit)
	// Not beyond the next nominal start: the reference may come back just after it, and is still waited for.
	c.frontier = max(c.frontier, min(limit, c.force(c.slot+1)-c.early()-1))
	for _, l := range c.lanes {
		l.release(c)
	}
}

// newestHeld is the time, on the reference, of the newest sample that waits for it; of those before until, if that is not negative.
func (c *Channel) newestHeld(until int64) int64 {
	newest := int64(-1 << 62)
	for _, l := range c.lanes {
		for _, t := range l.held {
			if at := l.inReference(t.shown); until < 0 || at < until {
				newest = max(newest, at)
			}
		}
	}
	return newest
}

// cutUpTo begins every slot that must have begun at t, without anything of the reference in it.
func (c *Channel) cutUpTo(t int64) {
	t = min(t, c.frontier+ticks(jump, c.gen.Timescale)) // what is further ahead is of another clock, and judged as that
	for next := c.slot + 1; c.force(next)+c.grace() <= t; next++ {
		c.cutAt(next, c.force(next))
		c.ref.catchUp(c)
		c.lossOn(c.ref, "silence", c.force(next), c.force(next+1))
	}
}

// overtake closes the slots of lanes that are silent while the reference goes on.
func (c *Channel) overtake() {
	limit := c.frontier - ticks(holdLimit, c.gen.Timescale)
	for _, l := range c.lanes {
		for l != c.ref && len(l.held) == 0 && l.passed < len(c.cuts) && c.cuts[l.passed].at <= limit {
			at := timeline.Rescale(c.cuts[l.passed].at, c.gen.Timescale, l.r.Timescale)
			c.lossOn(l, "silence", l.end, at)
			l.turn(c, c.cuts[l.passed], nil)
			l.passed++
		}
	}
}

// forget drops the boundaries that every lane has passed.
func (c *Channel) forget() {
	n := len(c.cuts)
	for _, l := range c.lanes {
		n = min(n, l.passed)
	}
	if n == 0 {
		return
	}
	c.cuts = slices.Delete(c.cuts, 0, n)
	for _, l := range c.lanes {
		l.passed -= n
	}
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
	over := c.closeAll(until)
	if sameClock {
		over = append(over, c.ahead...)
	} else {
		c.loseAll(c.ahead, "generation_not_begun")
	}
	first = append(over, first...)
	c.ahead, c.heldPast, c.change, c.pending = nil, 0, "", ""
	c.opening = newOpening(why)
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
	c.end = c.gen.T0
	for _, l := range c.lanes {
		l.catchUp(c)
		l.close(c, -1)
		c.end = max(c.end, l.endInReference())
	}
	c.report()
	c.lanes, c.ref, c.cuts, c.running = nil, nil, nil, nil
	return over
}

// missed books what the demuxer says did not arrive.
func (c *Channel) missed(m media.Lost) {
	e := timeline.LossEntry{Track: m.Track, Reason: m.Reason, Units: int64(m.Count), First: int64(m.At), Last: int64(m.At), Timescale: sourceTimescale(c.tracks, m.Track)}
	for _, l := range c.lanes {
		if l.track != m.Track && m.Track != 0 {
			continue
		}
		l.flags |= timeline.Damaged
		if l.track == m.Track {
			at := l.media(int64(m.At))
			e.Rendition, e.First, e.Last, e.Timescale = l.r.ID, at, at, l.r.Timescale
		}
	}
	c.loss.Add(e)
}

// lose books a sample that is not going to be in the archive.
func (c *Channel) lose(s *media.Sample, reason string) {
	e := timeline.LossEntry{Track: s.Track, Reason: reason, Frames: 1, First: int64(s.PTS), Last: int64(s.PTS), Timescale: sourceTimescale(c.tracks, s.Track)}
	if l := c.lane(s.Track); l != nil {
		at := l.media(int64(s.PTS))
		if reason == "timestamp" && l.hasLast {
			at = l.last // its own is what is wrong with it
		}
		if reason == "timestamp" || reason == "overlap" || reason == "segment_full" {
			l.flags |= timeline.Damaged // the open segment lacks it; what comes before its first cut it does not
		}
		e.Rendition, e.First, e.Last, e.Timescale, e.Duration = l.r.ID, at, at, l.r.Timescale, l.usual
	}
	c.loss.Add(e)
}

func (c *Channel) loseAll(samples []*media.Sample, reason string) {
	for _, s := range samples {
		c.lose(s, reason)
	}
}

// lossOn books a stretch of media time, in ticks of the lane, of which nothing came.
func (c *Channel) lossOn(l *lane, reason string, from, to int64) {
	c.loss.Add(timeline.LossEntry{Track: l.track, Rendition: l.r.ID, Reason: reason, Units: 1, First: from, Last: max(from, to), Timescale: l.r.Timescale, Duration: max(0, to-from)})
}

func sourceTimescale(tracks []media.Track, id int) uint32 {
	for _, t := range tracks {
		if t.ID == id {
			return t.Timescale
		}
	}
	return 90000
}

// report sends off the loss record of the slot, if there was any.
func (c *Channel) report() {
	if len(c.loss.Entries) == 0 {
		return
	}
	l := c.loss
	l.Slot = c.slot
	c.loss.Entries = nil
	c.out = append(c.out, &Lost{l})
}

func ticks(d time.Duration, timescale uint32) int64 {
	return int64(d) * int64(timescale) / int64(time.Second)
}
