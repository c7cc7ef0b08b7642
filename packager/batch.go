package packager

import (
	"maps"
	"slices"
	"time"

	"flambeau/packager/timeline"
)

// kind is what an object is to the one who puts it.
type kind uint8

const (
	record    kind = iota // initialization segment, shape, anchor: what follows leans on it
	reference             // a slot's entry in the reference rendition: in slot order, for it decides
	other                 // in any other rendition
	loss                  // a loss record: it is there before the segment behind the hole that it names
)

// object is one thing that is put, create-only.
type object struct {
	Kind    kind
	Key     string
	Row     timeline.RenditionRow // of a segment
	Frames  int64                 // in it, of a segment
	Whole   bool                  // see Closed
	Of      timeline.GenerationName
	Arrived time.Time // when the last frame of it came in; zero: it is not measured

	body   []byte // nil where it is to be read from the spool
	size   int64
	hash   timeline.Hash // of body; where something else stands under its name, Row has that one's
	aside  bool          // it is not listed: another generation has its place
	record string        // hash8 of the generation's record that what stands there names, if it is not body
	from   int64         // where it begins in its spool file
}

// isSegment tells whether the object is a slot's entry.
func (o object) isSegment() bool { return o.Kind == reference || o.Kind == other }

// batch is what becomes durable, and then visible, together: objects in the order in which they are put, and what the index will name
// them by.
type batch struct {
	Objects     []object
	Generations []timeline.GenerationName // that begin in it
	Records     []timeline.Generation     // of those
	Adopted     *Past                     // it goes on where the store stood
	Past        Past                      // what a Channel needs to go on after it

	losses   []timeline.LossEntry // that its loss records name
	file     string               // in the spool; "": it is in memory only
	fileSize int64
	held     int64     // bytes of it in memory
	since    time.Time // when it began to wait for the store; after a restart, by its file's clock
	composed time.Time // zero: by a process that has ended
}

func (b *batch) weight() (n int64) {
	for _, o := range b.Objects {
		n += o.size
	}
	return n
}

// rows is what the index will say of it.
func (b *batch) rows() (rows []timeline.RenditionRow) {
	for _, o := range b.Objects {
		if o.isSegment() {
			rows = append(rows, o.Row)
		}
	}
	return rows
}

// composer turns cuts into what is put for them: keys, bytes, rows. It does nothing else.
type composer struct {
	channel, worker string
	past            Past // after what was composed
	alone           bool // the store has not said where the channel stands: what it has of it already is put once more, for those who see only this
}

// compose makes a batch of cuts. now is the instant at which its rows are said to be written.
func (c *composer) compose(cuts []Cut, now time.Time) *batch {
	b := &batch{composed: now}
	for _, cut := range cuts {
		switch cut := cut.(type) {
		case *Opened:
			c.opened(b, cut)
		case *Joined:
			c.joined(b, cut)
		case *Adopted:
			past := cut.clone()
			b.Adopted, c.past = &past, cut.clone()
		case *Closed:
			c.closed(b, cut, now)
		case *Lost:
			c.lost(b, cut.Loss)
		}
	}
	b.Past = c.past.clone()
	return b
}

func (b *batch) add(o object) {
	o.size = int64(len(o.body))
	b.Objects = append(b.Objects, o)
}

// joined is of interest where nobody has the generation from the store.
func (c *composer) joined(b *batch, j *Joined) {
	if c.alone {
		for _, i := range j.Inits {
			b.add(object{Kind: record, Key: timeline.InitKey(c.channel, i.Rendition, i.Hash), body: i.Body})
		}
		c.founded(b)
	}
}

// founded adds what the channel stands on.
func (c *composer) founded(b *batch) {
	c.alone = false
	body, _ := c.past.Shape.Encode()
	b.add(object{Kind: record, Key: timeline.ShapeKey(c.channel), body: body})
	if name := c.past.Name; name.Hash != "" {
		body, _ := c.past.Last.Encode()
		b.add(object{Kind: record, Key: timeline.AnchorKeyNamed(c.channel, name), body: body})
	}
	b.Generations, b.Records = append(b.Generations, c.past.Name), append(b.Records, c.past.Last)
}

func (c *composer) opened(b *batch, o *Opened) {
	if c.alone {
		c.founded(b)
	}
	g := o.Generation
	for _, i := range o.Inits {
		b.add(object{Kind: record, Key: timeline.InitKey(c.channel, i.Rendition, i.Hash), body: i.Body})
	}
	name := timeline.GenerationName{Number: g.Number}
	if o.Shape != nil {
		body, _ := o.Shape.Encode()
		b.add(object{Kind: record, Key: timeline.ShapeKey(c.channel), body: body})
		c.past.Shape = o.Shape
	} else {
		body, hash := g.Encode()
		name.Hash = hash.Short()
		b.add(object{Kind: record, Key: timeline.AnchorKeyNamed(c.channel, name), body: body})
	}
	b.Generations, b.Records = append(b.Generations, name), append(b.Records, g)
	c.past.begin(g, name)
}

func (c *composer) closed(b *batch, cut *Closed, now time.Time) {
	o := object{
		Kind: other, Key: timeline.SegmentKey(c.channel, cut.Rendition, cut.Row.Slot), Row: timeline.RenditionRow{Rendition: cut.Rendition, Row: cut.Row},
		Frames: cut.Frames, Whole: cut.Whole, Of: cut.Of, Arrived: cut.Arrived, body: cut.Body,
	}
	if c.past.Shape != nil && cut.Rendition == c.past.Shape.Reference {
		o.Kind = reference
	}
	if o.Row.Written == 0 {
		o.Row.Written = now.UnixMilli()
	}
	b.add(o)
	c.past.entered(o.Row)
}

func (c *composer) lost(b *batch, l timeline.Loss) {
	l.Worker = c.worker
	body, hash := l.Encode()
	b.add(object{Kind: loss, Key: timeline.LossKey(c.channel, l.Slot, c.worker, hash), body: body})
	b.losses = append(b.losses, l.Entries...)
}

// giveWay is the batch for which there is no room: tombstones instead of segments, and a record of what that loses. What was made of the
// channel before it stays as it is; numbers go on.
func (c *composer) giveWay(b *batch) *batch {
	small := &batch{Adopted: b.Adopted, Generations: b.Generations, Records: b.Records, Past: b.Past, losses: b.losses, composed: b.composed}
	lost := timeline.Loss{Format: timeline.Format, Channel: c.channel, Worker: c.worker}
	for _, o := range b.Objects {
		if !o.isSegment() || o.Row.Flags.Has(timeline.Gap) {
			small.Objects = append(small.Objects, o)
			continue
		}
		g, r, ok := c.past.rendition(o.Row.Generation, o.Row.Rendition, b.Records)
		if !ok {
			panic("packager: a batch with a segment of a generation that neither it nor the one before begins: the machine would have had to go back")
		}
		e := tombstone(*c.past.Shape, g, r, o.Row.Slot)
		e.Written = o.Row.Written
		small.add(object{Kind: o.Kind, Key: o.Key, Row: e.RenditionRow, Of: o.Of, body: e.body})
		lost.Slot = max(lost.Slot, o.Row.Slot)
		lost.Add(timeline.LossEntry{
			Track: r.Track, Rendition: r.ID, Reason: "spool_full", Frames: o.Frames, First: o.Row.Start, Last: o.Row.End(), Timescale: r.Timescale, Duration: o.Row.Duration,
		})
	}
	if len(lost.Entries) > 0 {
		c.lost(small, lost)
	}
	return small
}

// begin notes a generation that begins.
func (p *Past) begin(g timeline.Generation, name timeline.GenerationName) {
	p.Previous, p.Last, p.Name = p.Last, g, name
	p.Slot, p.End = max(p.Slot, g.S0-1), max(timeline.CeilRescale(p.End, max(1, p.Previous.Timescale), g.Timescale), g.T0)
	p.Lines, p.Ends = map[string]int64{}, map[string]int64{}
	for _, r := range g.Renditions {
		p.Lines[r.ID] = g.S0 - 1
		p.Names = remember(p.Names, r)
	}
}

// entered notes a slot's entry.
func (p *Past) entered(r timeline.RenditionRow) {
	if r.Generation != p.Last.Number || p.Lines == nil {
		return // the last of the generation before, which ends where the next has begun
	}
	p.Lines[r.Rendition] = max(p.Lines[r.Rendition], r.Slot)
	if p.Shape != nil && r.Rendition == p.Shape.Reference {
		p.Slot = max(p.Slot, r.Slot)
	}
	of, ok := p.Last.Rendition(r.Rendition)
	if !ok {
		return
	}
	p.Ends[r.Rendition] = max(p.Ends[r.Rendition], r.End())
	if end := timeline.CeilRescale(r.End(), of.Timescale, p.Last.Timescale); end > p.End {
		p.End, p.Seen = end, time.UnixMilli(r.Written)
	}
}

// rendition finds one of a generation that runs, has just run, or is among begun.
func (p *Past) rendition(generation int, id string, begun []timeline.Generation) (timeline.Generation, timeline.Rendition, bool) {
	for _, g := range slices.Concat(begun, []timeline.Generation{p.Last, p.Previous}) {
		if g.Number == generation {
			r, ok := g.Rendition(id)
			if ok {
				return g, r, true
			}
		}
	}
	return timeline.Generation{}, timeline.Rendition{}, false
}

func (p Past) clone() Past {
	p.Names = slices.Clone(p.Names)
	p.Lines, p.Ends = maps.Clone(p.Lines), maps.Clone(p.Ends)
	return p
}
