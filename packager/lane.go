package packager

import (
	"crypto/sha256"
	"fmt"
	"math"
	"time"

	"flambeau/packager/cmaf"
	"flambeau/packager/media"
	"flambeau/packager/timeline"
)

// timed is a sample and where it lies on its rendition's media time.
type timed struct {
	*media.Sample
	at    int64 // decoding
	shown int64 // presentation
}

// lane is one rendition while a generation runs: what is held, and the segment that is open.
type lane struct {
	r       timeline.Rendition
	track   int
	kind    media.Kind
	refTS   uint32 // timescale of the reference
	zero    int64  // media time, ticks of r.Timescale, of source tick r.Zero
	slack   int64  // how far behind a cut a key frame may be and still be the one it means
	part    int64  // no part is longer
	usual   int64  // duration of a frame whose successor is not known
	lasted  int64  // of the last one; 0: none
	step    int64  // source ticks: two decoding times further apart than this have lost something between them
	doubt   int64  // its slots up to this one may lack something, or be cut otherwise than by who saw all
	lastDTS media.Ticks
	hasDTS  bool
	pace    int64 // source ticks between the last two

	held   []timed // not decided yet: the reference has not passed it
	passed int     // how many of the channel's boundaries it has gone through

	slot    int64 // the open one
	since   int64 // nothing from before it is taken
	from    int64 // its cut; what comes for it from before that comes too late
	flags   timeline.Flags
	body    []byte // of the open segment: the parts that are closed
	size    int    // of the last segment: what the next will roughly need
	start   int64
	done    int64 // ticks in closed parts and in fragment
	parts   int
	frames  int64         // in closed parts
	samples []cmaf.Sample // of the open part
	partAt  int64
	partFor int64 // ticks in samples
	bytes   int   // in samples
	keys    []timeline.Key
	keyHash [8]byte // of the open part's first sample if that is a key frame
	hasKey  bool
	keyAt   int64
	waiting *timed // its duration is known when the next one comes
	empty   bool
	idle    bool // no slot is open: the one in slot was closed before this lane was made
	arrived time.Time
	end     int64 // media time of the end of what was closed last
	last    int64 // decoding time of the last sample that was taken
	hasLast bool
}

func newLane(g timeline.Generation, r timeline.Rendition, shape timeline.Shape) *lane {
	l := &lane{r: r, track: r.Track, kind: media.Audio, refTS: g.Timescale, empty: true, slot: g.S0}
	l.zero = timeline.Rescale(g.T0, g.Timescale, r.Timescale)
	l.part = max(1, shape.Part.Floor(1, r.Timescale))
	l.usual = r.Frame
	if r.IsVideo() {
		l.kind = media.Video
		l.usual = int64(r.Timescale) / 25
		if r.FrameRate.Num > 0 {
			l.usual = timeline.Seconds(r.FrameRate.Den, r.FrameRate.Num).Floor(1, r.Timescale)
		}
		l.slack = l.usual / 2
	}
	l.step = timeline.Rescale(l.usual*3/2, r.Timescale, r.SourceTimescale)
	if r.IsVideo() && r.FrameRate.Num == 0 {
		l.step = math.MaxInt64 // it has no cadence
	}
	l.doubt = g.S0 - 1
	l.end = g.Nominal(shape, g.S0, r.Timescale)
	l.from = l.end
	return l
}

// media is the media time of a source tick, before any snapping.
func (l *lane) media(source int64) int64 {
	return l.zero + timeline.Rescale(source-l.r.Zero, l.r.SourceTimescale, l.r.Timescale)
}

// time puts a sample on media time. Sound snaps to the lattice of whole frames that starts at the first of its generation:
// the same for whoever looks, however the source rounds.
func (l *lane) time(s *media.Sample) timed {
	if l.r.Frame > 0 && l.kind == media.Audio {
		n := timeline.Seconds(l.r.Frame, 1).Count(timeline.Rescale(int64(s.PTS)-l.r.FirstSource, l.r.SourceTimescale, l.r.Timescale)+l.r.Frame/2, 1)
		at := l.r.First + n*l.r.Frame
		return timed{s, at, at}
	}
	return timed{s, l.media(int64(s.DTS)) + l.r.Delay, l.media(int64(s.PTS))}
}

// inReference turns the lane's ticks into the reference's, upwards: what is not before a cut there is not before it here.
func (l *lane) inReference(t int64) int64 { return timeline.CeilRescale(t, l.r.Timescale, l.refTS) }

func (l *lane) endInReference() int64 { return l.inReference(l.end) }

// add gives the lane the next sample about which everything is decided.
func (l *lane) add(c *Channel, t timed) {
	if t.shown+l.slack < l.since {
		c.lose(t.Sample, "slot_closed")
		return
	}
	for l.passed < len(c.cuts) && l.begins(c.cuts[l.passed], t) {
		next := &t
		if l.passed+1 < len(c.cuts) && l.begins(c.cuts[l.passed+1], t) {
			next = nil // whole slots are missing between: the last frame before them does not last through them
		}
		l.turn(c, c.cuts[l.passed], next)
		l.passed++
	}
	if l.idle {
		c.lose(t.Sample, "slot_closed")
		return
	}
	if l.empty && t.shown+l.slack < l.from {
		c.lose(t.Sample, "late")
		return
	}
	if l.hasLast && t.at <= l.last {
		c.lose(t.Sample, "overlap")
		return
	}
	if len(l.body)+l.bytes+len(t.Data) > segmentBytes {
		c.lose(t.Sample, "segment_full")
		return
	}
	l.last, l.hasLast = t.at, true
	l.settle(t.at)
	if l.empty {
		l.begin(t)
	}
	if t.Damaged {
		l.flags |= timeline.Damaged
	}
	l.waiting, l.arrived = &t, t.Arrived
}

// begins tells whether the sample is the first of the slot that starts at b.
func (l *lane) begins(b boundary, t timed) bool {
	at := timeline.CeilRescale(b.at, l.refTS, l.r.Timescale)
	return t.shown >= at || t.Key && t.shown+l.slack >= at
}

// begin starts the open slot's segment with its first sample.
func (l *lane) begin(t timed) {
	l.empty = false
	l.start, l.done, l.parts, l.frames = t.at, 0, 0, 0
	if !t.Key {
		l.flags |= timeline.Dependent
	}
	l.body = cmaf.AppendSegmentType(make([]byte, 0, l.size+l.size/8+4096))
}

// settle puts the waiting sample into its part, now that the next one's decoding time is known.
func (l *lane) settle(next int64) {
	if l.waiting == nil {
		return
	}
	t := *l.waiting
	l.waiting = nil
	d := next - t.at
	if d <= 0 {
		// As long as the one before it, where that was shorter: a rate that was claimed and is not kept would lay it over the next one.
		if d = l.usual; l.lasted > 0 {
			d = min(d, l.lasted)
		}
	}
	l.lasted = d
	if l.partFor+d > l.part && len(l.samples) > 0 {
		l.closePart()
	}
	if len(l.samples) == 0 {
		l.partAt = t.at
		if l.hasKey = t.Key && (l.kind == media.Video || l.parts == 0); l.hasKey {
			sum := sha256.Sum256(t.Data)
			copy(l.keyHash[:], sum[:8])
			l.keyAt = t.shown - l.start
		}
	} else if t.Key && l.kind == media.Video {
		l.addKey(t)
	}
	l.samples = append(l.samples, cmaf.Sample{Data: t.Data, Duration: uint32(d), Offset: int32(t.shown - t.at), Key: t.Key})
	l.partFor += d
	l.done += d
	l.bytes += len(t.Data)
}

// addKey names a key frame that is not the first of its part: it has a time and a hash, and no range of its own.
func (l *lane) addKey(t timed) {
	if len(l.keys) >= timeline.MaxKeys {
		return
	}
	k := timeline.Key{Time: max(0, t.shown-l.start)}
	sum := sha256.Sum256(t.Data)
	copy(k.Hash[:], sum[:8])
	l.keys = append(l.keys, k)
}

func (l *lane) closePart() {
	offset := len(l.body)
	sequence := uint32(l.slot*256 + int64(l.parts))
	l.body = cmaf.AppendFragment(l.body, cmaf.Fragment{Sequence: sequence, Time: uint64(l.partAt), Video: l.kind == media.Video}, l.samples)
	if l.hasKey && len(l.keys) < timeline.MaxKeys {
		k := timeline.Key{Time: max(0, l.keyAt), Offset: int64(offset), Hash: l.keyHash}
		k.Size = int64(len(l.body) - offset - l.bytes + len(l.samples[0].Data))
		l.insertKey(k)
	}
	l.frames += int64(len(l.samples))
	clear(l.samples)
	l.samples, l.partFor, l.bytes = l.samples[:0], 0, 0
	l.parts++
}

// insertKey keeps the order of times: a part's first key frame is written down after those that follow it in the part.
func (l *lane) insertKey(k timeline.Key) {
	i := len(l.keys)
	for i > 0 && l.keys[i-1].Time > k.Time {
		i--
	}
	l.keys = append(l.keys, timeline.Key{})
	copy(l.keys[i+1:], l.keys[i:])
	l.keys[i] = k
}

// turn closes the open slot and opens that of b. next is the sample that begins it, if there is one.
//
// The last frame lasts until the next one, and where that comes late, until the cut: a hole makes no segment longer than the slot
// (RFC 8216, 4.3.3.1), and is named. A picture stands until then; a frame of sound is heard only as long as it is: players that are
// told that it lasts until the cut run dry in the midst of what they take for buffered, and some never look for what comes behind.
func (l *lane) turn(c *Channel, b boundary, next *timed) {
	until := int64(-1)
	if next != nil && next.at > l.last {
		until = next.at
		most := max(timeline.CeilRescale(b.at, l.refTS, l.r.Timescale), l.last+l.usual)
		if until > most && l.kind == media.Audio {
			most = l.last + l.usual
		}
		if until > most && !l.empty {
			c.lossOn(l, "hole", most, until)
			until = most
		}
	}
	l.close(c, until)
	l.slot, l.from = b.slot, timeline.CeilRescale(b.at, l.refTS, l.r.Timescale)
}

// catchUp goes through the boundaries that no sample came for.
func (l *lane) catchUp(c *Channel) {
	for ; l.passed < len(c.cuts); l.passed++ {
		l.turn(c, c.cuts[l.passed], nil)
	}
}

// close makes the open slot's entry: the segment, or a tombstone where nothing came. until is where its last frame ends, negative if
// that is not known.
func (l *lane) close(c *Channel, until int64) {
	if l.idle {
		l.idle = false
		return
	}
	var e entry
	out := &Closed{Rendition: l.r.ID, Of: c.name}
	if l.empty {
		e = tombstone(*c.shape, c.gen, l.r, l.slot)
	} else {
		l.settle(until)
		l.closePart()
		row := timeline.Row{Slot: l.slot, Generation: c.gen.Number, Start: l.start, Duration: l.done, Flags: l.flags, Keys: l.keys}
		out.Whole = l.slot > l.doubt
		if l.slot == c.partial || c.cfg.Pair && !out.Whole {
			row.Flags |= timeline.Damaged
		}
		e = seal(l.body, c.gen, timeline.RenditionRow{Rendition: l.r.ID, Row: row})
		out.Arrived, out.Frames = l.arrived, l.frames
		if l == c.ref {
			out.Drift = c.drift.told()
		}
		l.size = len(e.body)
	}
	out.Row, out.Body = e.Row, e.body
	l.end = max(l.end, e.End())
	c.out = append(c.out, out)
	l.body, l.keys, l.empty, l.flags = nil, nil, true, 0
}

// entry is a row and the object that it speaks of.
type entry struct {
	timeline.RenditionRow
	body   []byte
	record string // hash8 of the generation's record that it names
}

// seal ends a segment with what it says of itself: the record that its generation is named by, and its row.
func seal(body []byte, g timeline.Generation, r timeline.RenditionRow) entry {
	line, record := carried(g, r)
	body = cmaf.AppendRow(body, line)
	r.Size, r.Hash = int64(len(body)), sha256.Sum256(body)
	return entry{r, body, record}
}

// tombstone is the entry of a slot of which a rendition has nothing. Its bytes follow from the record and the slot alone.
func tombstone(s timeline.Shape, g timeline.Generation, r timeline.Rendition, slot int64) entry {
	row := timeline.RenditionRow{Rendition: r.ID, Row: timeline.Row{Slot: slot, Generation: g.Number, Flags: timeline.Gap}}
	row.Start = g.Nominal(s, slot, r.Timescale)
	row.Duration = g.Nominal(s, slot+1, r.Timescale) - row.Start
	line, record := carried(g, row)
	body := cmaf.AppendTombstone(nil, line)
	row.Size, row.Hash = int64(len(body)), sha256.Sum256(body)
	return entry{row, body, record}
}

func carried(g timeline.Generation, r timeline.RenditionRow) (lines []byte, record string) {
	_, hash := g.Encode()
	return append(fmt.Appendf(nil, "generation %d %s\n", g.Number, hash.Short()), r.Carried()...), hash.Short()
}

func hashOf(b []byte) timeline.Hash { return sha256.Sum256(b) }
