package packager

import (
	"cmp"
	"crypto/sha256"
	"slices"
	"strconv"
	"time"

	"flambeau/packager/cmaf"
	"flambeau/packager/codec"
	"flambeau/packager/media"
	"flambeau/packager/timeline"
)

// opening is what is kept of a feed until a generation can be written down.
type opening struct {
	why       string
	sameClock bool // the source's clock goes on: media time follows from the generation before
	samples   []*media.Sample
	bytes     int
	since     int // samples since it was last asked whether that is enough

	doubtful bool                      // something was lost where the generation before ended
	hashes   map[*media.Sample][8]byte // of key frames, as rows name them
}

func newOpening(why string) *opening { return &opening{why: why} }

// askEvery is how many samples may pass before an opening looks again whether it has enough; key frames always make it look.
const askEvery = 16

// hash is what a row names a key frame by.
func (o *opening) hash(s *media.Sample) [8]byte {
	h, ok := o.hashes[s]
	if !ok {
		if o.hashes == nil {
			o.hashes = map[*media.Sample][8]byte{}
		}
		sum := sha256.Sum256(s.Data)
		h = [8]byte(sum[:8])
		o.hashes[s] = h
	}
	return h
}

// collect keeps a sample for the generation to come, and begins it when enough is known.
func (c *Channel) collect(s *media.Sample) {
	o := c.opening
	if !sane(s) {
		c.lose(s, "timestamp")
		return
	}
	if o.breaks(s) {
		c.loseAll(o.samples, "before_jump")
		if o.sameClock {
			o.why = "jump"
		}
		o.samples, o.bytes, o.sameClock = nil, 0, false
	}
	o.samples, o.bytes = append(o.samples, s), o.bytes+len(s.Data)
	for o.bytes > openingBytes || len(o.samples) > openingSamples {
		c.lose(o.samples[0], "opening_full")
		o.bytes -= len(o.samples[0].Data)
		o.samples = o.samples[1:]
	}
	c.trim()
	if c.lossFrames() >= openingReport {
		c.report()
	}
	o.since++
	if !c.isKeyPicture(s) && o.since < askEvery {
		return
	}
	o.since = 0
	if ref, first, ok := c.enough(false); ok {
		c.open(ref, first, false)
	}
}

// openingReport is how many frames an opening may lose before it says so.
const openingReport = 1000

func (c *Channel) lossFrames() (n int64) {
	for _, e := range c.loss.Entries {
		n += e.Frames
	}
	return n
}

// breaks tells whether the sample is of another clock than those before it on its track.
func (o *opening) breaks(s *media.Sample) bool {
	for i := len(o.samples) - 1; i >= 0; i-- {
		if p := o.samples[i]; p.Track == s.Track {
			d := time.Duration(s.DTS-p.DTS) * time.Second / 90000
			return d > jump || d < -backStep
		}
	}
	return false
}

func (c *Channel) isKeyPicture(s *media.Sample) bool {
	if !s.Key {
		return false
	}
	t, ok := c.track(s.Track)
	if !ok || t.Kind != media.Video {
		return false
	}
	_, err := codec.Describe(t)
	return err == nil
}

func (c *Channel) track(id int) (media.Track, bool) {
	for _, t := range c.tracks {
		if t.ID == id {
			return t, true
		}
	}
	return media.Track{}, false
}

// openAnyhow begins a generation with whatever there is, because nothing more will come.
func (c *Channel) openAnyhow() {
	if ref, first, ok := c.enough(true); ok {
		c.open(ref, first, true)
		return
	}
	c.loseAll(c.opening.samples, "no_key_frame")
	c.opening.samples, c.opening.bytes = nil, 0
}

// enough tells whether a generation can be written down, by which reference, from which sample on. atEnd: nothing more will come.
func (c *Channel) enough(atEnd bool) (ref media.Track, first int, ok bool) {
	ref, first, ok = c.chooseReference(atEnd)
	if !ok || atEnd {
		return ref, first, ok
	}
	zero := c.opening.samples[first].PTS
	newest := zero
	came, began := map[int]bool{}, map[int]bool{}
	at := zero
	for _, s := range c.opening.samples[first:] {
		if s.Track == ref.ID {
			at = s.PTS
		}
		began[s.Track] = true
		came[s.Track] = came[s.Track] || s.Key && s.PTS >= zero && aligned(s, at)
		if s.Track == ref.ID {
			newest = max(newest, s.PTS)
		}
	}
	seen := time.Duration(newest-zero) * time.Second / time.Duration(ref.Timescale)
	for _, t := range c.tracks {
		wait := trackWait
		if t.Kind == media.Video && began[t.ID] {
			wait = openingLimit // its key frame is still to come
		}
		if !came[t.ID] && seen < wait {
			return ref, first, false
		}
	}
	if c.shape != nil {
		// A feed that comes back may say only by and by what it carries.
		return ref, first, seen >= trackWait || c.opening.sameClock || len(came) >= len(c.gen.Renditions)
	}
	if ref.Kind == media.Audio && seen < trackWait {
		return ref, first, false // sound alone decides a channel's shape only when no picture is announced for a while
	}
	intervals := cleanIntervals(c.opening.samples[first:], ref.ID)
	return ref, first, len(intervals) >= 2 || seen >= openingLimit
}

// chooseReference takes the first video track that has a key frame; without any, and not before openingLimit, the first sound.
// A channel that has a shape keeps to the kind of its reference.
func (c *Channel) chooseReference(atEnd bool) (media.Track, int, bool) {
	kind := media.Kind(0)
	if c.shape != nil {
		kind = media.Audio
		if r, ok := c.shape.First.Rendition(c.shape.Reference); ok && r.IsVideo() {
			kind = media.Video
		}
	}
	pictures := false
	for _, t := range c.tracks {
		if t.Kind != media.Video || kind == media.Audio {
			continue
		}
		pictures = true
		if i := c.firstKey(t); i >= 0 {
			return t, i, true
		}
	}
	if kind == media.Video || pictures && !atEnd && c.opening.span() < openingLimit {
		return media.Track{}, 0, false
	}
	for _, t := range c.tracks {
		if t.Kind == media.Audio {
			if i := c.firstKey(t); i >= 0 {
				return t, i, true
			}
		}
	}
	return media.Track{}, 0, false
}

func (c *Channel) firstKey(t media.Track) int {
	if !t.Known() {
		return -1
	}
	if _, err := initFor(t, t.Timescale); err != nil {
		return -1
	}
	return slices.IndexFunc(c.opening.samples, func(s *media.Sample) bool { return s.Track == t.ID && s.Key && !s.Damaged })
}

func (o *opening) span() time.Duration {
	var first, last media.Ticks
	for i, s := range o.samples {
		if i == 0 {
			first, last = s.DTS, s.DTS
		}
		first, last = min(first, s.DTS), max(last, s.DTS)
	}
	return time.Duration(last-first) * time.Second / 90000
}

// interval is the distance of two key frames.
type interval struct {
	ticks  int64
	frames int64
}

// cleanIntervals are those between key frames with nothing missing in between.
func cleanIntervals(samples []*media.Sample, track int) (clean []interval) {
	var at media.Ticks
	frames, whole := int64(0), false
	for _, s := range samples {
		if s.Track != track {
			continue
		}
		if s.Key {
			if whole && frames > 0 {
				clean = append(clean, interval{int64(s.PTS - at), frames})
			}
			at, frames, whole = s.PTS, 0, true
		}
		frames++
		whole = whole && !s.Damaged
	}
	return clean
}

// open writes the generation down and lets what was collected in.
func (c *Channel) open(ref media.Track, first int, atEnd bool) {
	o := c.opening
	switch how, shift, at := c.joins(ref, first); {
	case how == can:
		c.sayAdopted()
		c.join(ref, shift, at)
		return
	case how == later && !atEnd:
		return
	}
	first, ok := c.unheld(ref, first)
	if !ok {
		return
	}
	c.sayAdopted()
	opened := &Opened{}
	if c.shape == nil {
		c.shape = c.decideShape(ref, first)
		opened.Shape = c.shape
	}
	zero := o.samples[first]
	g := timeline.Generation{Number: 0, Why: o.why, Timescale: ref.Timescale}
	if ref.Kind == media.Audio {
		d, _ := codec.Describe(ref)
		g.Timescale = uint32(d.SampleRate)
	}
	g.T0 = c.t0(o, ref, zero, g.Timescale)
	if c.hasGen {
		g.Number, g.S0 = c.gen.Number+1, c.slot+1
	} else {
		g.S0 = c.shape.Slot.Count(g.T0, g.Timescale)
	}
	g.Renditions, opened.Inits = c.renditions(g, ref, zero)
	if opened.Shape != nil {
		c.shape.Reference = g.Renditions[slices.IndexFunc(g.Renditions, func(r timeline.Rendition) bool { return r.Track == ref.ID })].ID
		c.shape.First = g
	}
	opened.Generation = g
	c.name = timeline.GenerationName{Number: g.Number}
	if opened.Shape == nil {
		_, hash := g.Encode()
		c.name.Hash = hash.Short()
	}
	c.out = append(c.out, opened)
	c.run(g, ref, first)
	if o.waits() || o.doubtful {
		for _, l := range c.lanes {
			l.doubt = max(l.doubt, g.S0) // it did not see the feed before
		}
	}
}

// t0 is the media time of the generation's first reference frame.
func (c *Channel) t0(o *opening, ref media.Track, zero *media.Sample, timescale uint32) int64 {
	utc := timeline.Rescale(zero.Arrived.UnixMilli(), 1000, timescale)
	if !c.hasGen {
		return utc
	}
	end := timeline.CeilRescale(c.end, c.gen.Timescale, timescale)
	switch {
	case o.sameClock:
		old, _ := c.gen.Rendition(c.shape.Reference)
		at := c.gen.T0 + timeline.Rescale(int64(zero.PTS)+c.shift-old.Zero, old.SourceTimescale, c.gen.Timescale)
		return max(end, timeline.Rescale(at, c.gen.Timescale, timescale))
	case o.why == "restart", o.why == "rival":
		return max(end, utc)
	case o.why == "silence":
		// Monotonic readings: a step of the wall clock is no silence.
		return end + max(0, timeline.Rescale(zero.Arrived.Sub(c.arrived).Microseconds(), 1e6, timescale))
	}
	return end
}

// run makes the lanes of a generation and pushes what was collected through them.
func (c *Channel) run(g timeline.Generation, ref media.Track, first int) {
	collected := c.opening.samples
	c.slot, c.frontier = g.S0, g.T0
	c.makeLanes(g, ref, 0)
	for i, s := range collected {
		l := c.lane(s.Track)
		if l != nil && (l == c.ref && i < first || l != c.ref && l.inReference(l.time(s).shown+l.slack) < g.T0) {
			c.lose(s, "before_first_cut")
			continue
		}
		if l == nil && c.opening == nil {
			c.lose(s, "no_rendition") // and is no reason for yet another generation
			continue
		}
		c.sample(s)
	}
}

// makeLanes makes the lanes of a generation. shift is what is to be added to the feed's ticks to get the record's.
func (c *Channel) makeLanes(g timeline.Generation, ref media.Track, shift int64) {
	c.gen, c.hasGen, c.opening = g, true, nil
	c.cuts, c.late, c.partial, c.shift = nil, nil, -1, shift
	c.strays, c.offPhase, c.offSlot = map[int]stray{}, 0, -1
	c.running = knownTracks(c.tracks)
	c.lanes = c.lanes[:0]
	for _, r := range g.Renditions {
		r.Zero, r.FirstSource = r.Zero-shift, r.FirstSource-shift
		l := newLane(g, r, *c.shape)
		c.lanes = append(c.lanes, l)
		if r.Track == ref.ID {
			c.ref = l
		}
	}
}

// decideShape fixes what holds for the life of the channel.
func (c *Channel) decideShape(ref media.Track, first int) *timeline.Shape {
	s := &timeline.Shape{Format: timeline.Format, Channel: c.cfg.Channel}
	wish := timeline.Seconds(c.cfg.Segment.Microseconds(), 1e6)
	frame, every, longest := cadence(ref, c.opening.samples[first:])
	if !every.IsZero() {
		s.Interval = every
		s.Slot = every.Times(ceilDiv(wish, every))
		s.TargetDuration = s.Slot.Ceil()
	} else {
		s.Slot = wish.Times(max(1, ceilDiv(longest, wish)))
		s.TargetDuration = s.Slot.Times(2).Ceil()
	}
	s.Part = timeline.Seconds(c.cfg.Part.Microseconds(), 1e6)
	if !frame.IsZero() {
		whole := frame.Count(c.cfg.Part.Microseconds(), 1e6)
		s.Part = frame.Times(max(1, whole))
	}
	return s
}

// cadence is the exact duration of a frame, 0 if it is not known; the key-frame interval, 0 if it is not regular; and the longest
// distance between key frames that was seen.
func cadence(ref media.Track, samples []*media.Sample) (frame, every, longest timeline.Rational) {
	d, _ := codec.Describe(ref)
	if ref.Kind == media.Audio {
		frame = timeline.Seconds(int64(d.FrameLength), int64(d.SampleRate))
		return frame, frame, frame
	}
	for _, i := range keyDistances(samples, ref.ID) {
		r := timeline.Seconds(min(i, ticks(openingLimit, ref.Timescale)), int64(ref.Timescale)) // no shape is made for more
		if r.Cmp(longest) > 0 {
			longest = r
		}
	}
	clean := cleanIntervals(samples, ref.ID)
	if len(clean) == 0 {
		return frame, every, longest
	}
	frame = exactFrame(clean, int64(ref.Timescale), d)
	if len(clean) < 2 || frame.IsZero() {
		return frame, every, longest
	}
	a, b := clean[0], clean[1]
	if a.ticks > ticks(openingLimit, ref.Timescale) {
		return frame, every, longest
	}
	if 2*abs(a.ticks-b.ticks) <= a.ticks/a.frames && a.frames == b.frames {
		every = frame.Times(a.frames)
	}
	return frame, every, longest
}

// keyDistances are all distances between key frames, and that from the last one to the newest frame.
func keyDistances(samples []*media.Sample, track int) (out []int64) {
	var at, newest media.Ticks
	began := false
	for _, s := range samples {
		if s.Track != track {
			continue
		}
		if !began {
			at, newest, began = s.PTS, s.PTS, true
		} else if s.Key {
			out = append(out, int64(s.PTS-at))
			at = s.PTS
		}
		newest = max(newest, s.PTS)
	}
	return append(out, int64(newest-at))
}

// rates are the frame rates that are in use, and those divided by 1.001.
var rates = []int64{1, 2, 5, 6, 8, 10, 12, 15, 16, 18, 20, 24, 25, 30, 36, 48, 50, 60, 72, 90, 96, 100, 120, 144, 200, 240}

// oddRate is the largest term of a frame rate that is believed: a slot is a small multiple of it, and is computed with in 64 bits.
const oddRate = 1_000_000

// exactFrame is the duration of a frame that the parameter sets claim, or that is in use, if the measured intervals agree with it
// to a quarter of a millisecond plus a tick. Measured ticks themselves never become a duration: two workers would measure two.
func exactFrame(clean []interval, timescale int64, d codec.Description) timeline.Rational {
	var total interval
	for _, i := range clean {
		total.ticks, total.frames = total.ticks+i.ticks, total.frames+i.frames
	}
	var candidates []timeline.Rational
	claimed := true
	if d.FrameNum > 0 && d.FrameDen > 0 {
		if f := timeline.Seconds(d.FrameDen, d.FrameNum); f.Num <= oddRate && f.Den <= oddRate {
			candidates = append(candidates, f)
		} else {
			claimed = false
		}
	} else {
		claimed = false
	}
	for _, r := range rates {
		candidates = append(candidates, timeline.Seconds(1, r), timeline.Seconds(1001, 1000*r))
	}
	best, off := timeline.Rational{}, timescale/4000+2
	for i, f := range candidates {
		e := abs(total.ticks - f.Floor(total.frames, uint32(timescale)))
		if e < off {
			best, off = f, e
			if i == 0 && claimed {
				break
			}
		}
	}
	return best
}

// renditions describes the tracks that have come, and makes their initialization segments.
func (c *Channel) renditions(g timeline.Generation, ref media.Track, zero *media.Sample) (rs []timeline.Rendition, inits []Init) {
	for _, t := range c.tracks {
		first := c.firstSample(t, ref, zero)
		if first == nil {
			continue
		}
		d, err := codec.Describe(t)
		if err != nil {
			c.refuse(t, "unsupported")
			continue
		}
		tag, _ := codec.Language(t.Language)
		r := timeline.Rendition{
			Kind: t.Kind.String(), Track: t.ID, Codec: d.Codec, Timescale: t.Timescale, Language: tag,
			Zero: int64(zero.PTS), SourceTimescale: t.Timescale,
		}
		if t.Kind == media.Video {
			r.Width, r.Height, r.SAR, r.Range = d.Width, d.Height, [2]int{d.SARWidth, d.SARHeight}, d.Range
			r.FrameRate = c.frameRate(t, d)
			if c := d.Colour; c.Present {
				r.Colour = [3]int{int(c.Primaries), int(c.Transfer), int(c.Matrix)}
			}
			r.Delay = int64(first.PTS - first.DTS)
		} else {
			r.SampleRate, r.Channels, r.JOC, r.Timescale, r.Frame = d.SampleRate, d.Channels, d.JOC, uint32(d.SampleRate), int64(d.FrameLength)
			r.FirstSource = int64(first.PTS)
			at := timeline.Rescale(g.T0, g.Timescale, r.SourceTimescale) + r.FirstSource - r.Zero
			r.First = timeline.Rescale(at, r.SourceTimescale, r.Timescale)
		}
		init, err := initFor(t, r.Timescale)
		if err != nil {
			c.refuse(t, "unsupported")
			continue
		}
		r.Init = hashOf(init)
		r.Average, r.Bandwidth = c.bandwidth(t)
		rs = append(rs, r)
		inits = append(inits, Init{Hash: r.Init, Body: init})
	}
	c.renditionIDs(rs, slices.IndexFunc(rs, func(r timeline.Rendition) bool { return r.Track == ref.ID }))
	for i := range rs {
		inits[i].Rendition = rs[i].ID
		if old, ok := c.gen.Rendition(rs[i].ID); ok && old.Init == rs[i].Init {
			// The same encoder goes on. A generation may begin with a few frames: by those, two workers of a pair would say two things.
			rs[i].Average, rs[i].Bandwidth = old.Average, old.Bandwidth
		}
	}
	return rs, inits
}

func initFor(t media.Track, timescale uint32) ([]byte, error) {
	entry, err := codec.SampleEntry(t)
	if err != nil {
		return nil, err
	}
	_, iso639 := codec.Language(t.Language)
	return cmaf.Init(entry, timescale, iso639)
}

func (c *Channel) refuse(t media.Track, reason string) {
	c.book(timeline.LossEntry{Track: t.ID, Reason: reason, Units: 1, Timescale: t.Timescale})
}

// firstSample is a track's first at or after the generation's beginning; of pictures, its first key frame. One that is far from where the
// reference is at that point of the feed is of another clock, and has no place in the generation.
func (c *Channel) firstSample(t, ref media.Track, zero *media.Sample) *media.Sample {
	at := zero.PTS
	for _, s := range c.opening.samples {
		if s.Track == ref.ID && s.PTS >= zero.PTS {
			at = s.PTS
		}
		if s.Track == t.ID && s.PTS >= zero.PTS && s.Key && aligned(s, at) {
			return s
		}
	}
	return nil
}

// aligned tells whether a sample is where the reference is. All tracks of a feed count 90 kHz, or come from one that does.
func aligned(s *media.Sample, at media.Ticks) bool {
	return abs(int64(s.PTS-at)) <= ticks(holdLimit, 90000)
}

func (c *Channel) frameRate(t media.Track, d codec.Description) timeline.Rational {
	frame, _, _ := cadence(t, c.opening.samples)
	if !frame.IsZero() {
		return timeline.Seconds(frame.Den, frame.Num)
	}
	if d.FrameNum > 0 && d.FrameDen > 0 {
		return timeline.Seconds(d.FrameNum, d.FrameDen)
	}
	return timeline.Rational{}
}

// renditionIDs names tracks for the life of the channel: whoever had a name keeps it, also if another now stands before it in the feed.
// The reference's name goes to the reference.
func (c *Channel) renditionIDs(rs []timeline.Rendition, reference int) {
	taken := map[string]bool{}
	give := func(r *timeline.Rendition, id string) { r.ID, taken[id] = id, true }
	if c.shape.Reference != "" {
		give(&rs[reference], c.shape.Reference)
		taken[c.shape.Reference] = true
	}
	keep := func(same func(old, r timeline.Rendition) bool) {
		for i := range rs {
			for _, old := range c.names {
				if r := &rs[i]; r.ID == "" && !taken[old.ID] && old.Kind == r.Kind && same(old, *r) {
					give(r, old.ID)
				}
			}
		}
	}
	keep(func(old, r timeline.Rendition) bool {
		return old.Track == r.Track && (r.IsVideo() || old.Language == r.Language)
	})
	keep(func(old, r timeline.Rendition) bool { return old.Language == r.Language && old.Height == r.Height })
	for _, old := range c.names {
		taken[old.ID] = true
	}
	for i := range rs {
		if rs[i].ID == "" {
			give(&rs[i], freeID(rs[i], taken))
		}
		c.names = remember(c.names, rs[i])
	}
}

// remember keeps the newest of each name.
func remember(names []timeline.Rendition, r timeline.Rendition) []timeline.Rendition {
	names = slices.DeleteFunc(slices.Clone(names), func(o timeline.Rendition) bool { return o.ID == r.ID })
	return append(names, r)
}

func freeID(r timeline.Rendition, taken map[string]bool) string {
	base := "v" + strconv.Itoa(r.Height)
	if !r.IsVideo() {
		base = "a-" + cmp.Or(idLanguage(r.Language), "und")
	}
	id := base
	for n := 2; taken[id]; n++ {
		id = base + "-" + strconv.Itoa(n)
	}
	return id
}

// idLanguage is a language as far as it can stand in a name.
func idLanguage(tag string) string {
	if timeline.CheckName(tag) != nil {
		return ""
	}
	return tag
}

// bandwidth is what manifests say of a track that is new, for the life of the generation, bits a second. What has come so far is all that is
// known: the mean with a tenth to spare, the peak (of any slot's length in it) with a quarter, which is what a peak may exceed what
// is declared by (Apple HLS Authoring Specification, 1.28 and 1.29). Two digits: a few bytes must not make two workers differ.
func (c *Channel) bandwidth(t media.Track) (average, peak int64) {
	var bytes, best, window int64
	var in []*media.Sample // the last slot's length of them
	var first, last media.Ticks
	length := media.Ticks(c.shape.Slot.Floor(1, t.Timescale))
	for _, s := range c.opening.samples {
		if s.Track != t.ID {
			continue
		}
		if bytes == 0 {
			first = s.DTS
		}
		in, last = append(in, s), s.DTS
		bytes, window = bytes+int64(len(s.Data)), window+int64(len(s.Data))
		for s.DTS-in[0].DTS >= length {
			window -= int64(len(in[0].Data))
			in = in[1:]
		}
		best = max(best, window)
	}
	ts := int64(t.Timescale)
	span := max(int64(last-first), ts/2)
	mean := bytes * 8 * ts / span
	top := max(best*8*ts/max(min(int64(length), span), ts/2), mean)
	return twoDigits(mean + mean/10), twoDigits(top + top/4)
}

// twoDigits rounds up to two significant digits.
func twoDigits(n int64) int64 {
	unit := int64(1)
	for n/unit >= 100 {
		unit *= 10
	}
	return (n + unit - 1) / unit * unit
}

// ceilDiv is the smallest whole number of b that is not below a.
func ceilDiv(a, b timeline.Rational) int64 {
	n := b.Count(a.Num, uint32(a.Den))
	if b.Times(n).Cmp(a) < 0 {
		n++
	}
	return n
}

func abs(n int64) int64 {
	if n < 0 {
		return -n
	}
	return n
}
