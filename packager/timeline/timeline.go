// Package timeline is the border between those who write a channel and those who answer for it: what a channel is made of,
// what its objects are called, and how an index is written down.
//
//	publisher ─► Index (bytes in the store) ─► follower ─► Timeline ─► hls, dash
//
// It imports the standard library only. FORMAT.md describes every byte.
package timeline

import (
	"cmp"
	"slices"
)

// Flags of a row.
type Flags uint8

const (
	Dependent Flags = 1 << iota // does not begin with a key frame
	Damaged                     // its worker knows that something of it is missing
	Gap                         // nothing: a tombstone stands under its name
)

// Has tells whether all of f are set.
func (g Flags) Has(f Flags) bool { return g&f == f }

// Key is a key frame of a segment.
type Key struct {
	Time   int64   // ticks after the row's Start
	Offset int64   // of the moof that begins with it, in bytes of the object
	Size   int64   // bytes from Offset to the end of the frame; 0: it is not the first of its moof
	Hash   [8]byte // first 64 bits of the SHA-256 of the sample
}

// Row is the one entry of a slot in a rendition.
type Row struct {
	Slot       int64
	Generation int
	Start      int64 // media time since 1970, ticks of the rendition's timescale: the tfdt of its first fragment
	Duration   int64 // ticks
	Size       int64 // of the object, bytes
	Hash       Hash  // of the object
	Flags      Flags
	Keys       []Key
	Written    int64 // Unix milliseconds of the worker that indexed it; no manifest may depend on it
}

// End is where the next row starts, if it is of the same generation.
func (r Row) End() int64 { return r.Start + r.Duration }

func (r Row) equal(o Row) bool {
	return r.Slot == o.Slot && r.Generation == o.Generation && r.Start == o.Start && r.Duration == o.Duration &&
		r.Size == o.Size && r.Hash == o.Hash && r.Flags == o.Flags && slices.Equal(r.Keys, o.Keys)
}

// order puts rows of one slot into an order that every process shares: a real segment before a tombstone, then by hash, then
// by whatever else differs.
func (r Row) order(o Row) int {
	return cmp.Or(
		cmp.Compare(r.Flags&Gap, o.Flags&Gap),
		slices.Compare(r.Hash[:], o.Hash[:]),
		cmp.Compare(r.Generation, o.Generation),
		cmp.Compare(r.Start, o.Start),
		cmp.Compare(r.Duration, o.Duration),
		cmp.Compare(r.Size, o.Size),
		cmp.Compare(r.Flags, o.Flags),
		slices.CompareFunc(r.Keys, o.Keys, func(a, b Key) int {
			return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Size, b.Size), slices.Compare(a.Hash[:], b.Hash[:]))
		}),
	)
}

// Line is what is known of one rendition: rows by rising slot, at most one a slot. Holes are what is not known yet.
type Line struct {
	Rendition string
	Rows      []Row
}

// Conflict names a slot for which two different rows were claimed: create-only was broken, or somebody lied.
type Conflict struct {
	Rendition string
	Slot      int64
}

// Timeline is a snapshot of a channel. It never changes; whoever has one may keep it and share it.
type Timeline struct {
	Shape       Shape
	Generations []Generation // by number; the first is the shape's
	Lines       []Line       // by rendition id
	Conflicts   []Conflict   // by rendition, then slot
}

// New is a channel of which only the shape is known.
func New(s Shape) Timeline {
	return Timeline{Shape: s, Generations: []Generation{s.First}}
}

// Generation finds one by its number.
func (t Timeline) Generation(number int) (Generation, bool) {
	i, ok := slices.BinarySearchFunc(t.Generations, number, func(g Generation, n int) int { return cmp.Compare(g.Number, n) })
	if !ok {
		return Generation{}, false
	}
	return t.Generations[i], true
}

// Newest is the generation of the highest number.
func (t Timeline) Newest() Generation { return t.Generations[len(t.Generations)-1] }

// Line finds a rendition's rows; nil if nothing is known of it.
func (t Timeline) Line(rendition string) []Row {
	i, ok := slices.BinarySearchFunc(t.Lines, rendition, func(l Line, id string) int { return cmp.Compare(l.Rendition, id) })
	if !ok {
		return nil
	}
	return t.Lines[i].Rows
}

// Row finds the entry of one slot.
func (t Timeline) Row(rendition string, slot int64) (Row, bool) {
	rows := t.Line(rendition)
	i, ok := slices.BinarySearchFunc(rows, slot, func(r Row, s int64) int { return cmp.Compare(r.Slot, s) })
	if !ok {
		return Row{}, false
	}
	return rows[i], true
}

// With adds generations; one whose number is known already is ignored if equal, and otherwise loses to the lower hash.
func (t Timeline) With(gs ...Generation) Timeline {
	t.Generations = slices.Clone(t.Generations)
	for _, g := range gs {
		i, ok := slices.BinarySearchFunc(t.Generations, g.Number, func(g Generation, n int) int { return cmp.Compare(g.Number, n) })
		if !ok {
			t.Generations = slices.Insert(t.Generations, i, g)
			continue
		}
		_, a := t.Generations[i].Encode()
		_, b := g.Encode()
		if slices.Compare(b[:], a[:]) < 0 {
			t.Generations[i] = g
		}
	}
	return t
}

// Append adds rows to a rendition, in any order. The receiver stays as it was.
func (t Timeline) Append(rendition string, rows ...Row) Timeline {
	if len(rows) == 0 {
		return t
	}
	rows = slices.Clone(rows)
	slices.SortFunc(rows, func(a, b Row) int { return cmp.Or(cmp.Compare(a.Slot, b.Slot), a.order(b)) })
	other := Timeline{Lines: []Line{{rendition, nil}}}
	other.Lines[0].Rows, other.Conflicts = mergeRows(rendition, nil, rows)
	return t.merge(other)
}

// Merge is the union of what two workers' indexes say. It is commutative, associative and idempotent: origins that have
// read the same roots, in whatever order, hold the same timeline. Both are of one channel.
func (t Timeline) Merge(o Timeline) Timeline { return t.With(o.Generations...).merge(o) }

func (t Timeline) merge(o Timeline) Timeline {
	conflicts := slices.Concat(t.Conflicts, o.Conflicts)
	lines := make([]Line, 0, max(len(t.Lines), len(o.Lines)))
	a, b := t.Lines, o.Lines
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].Rendition < b[0].Rendition:
			lines, a = append(lines, a[0]), a[1:]
		case len(a) == 0 || b[0].Rendition < a[0].Rendition:
			lines, b = append(lines, b[0]), b[1:]
		default:
			rows, c := mergeRows(a[0].Rendition, a[0].Rows, b[0].Rows)
			lines, conflicts = append(lines, Line{a[0].Rendition, rows}), append(conflicts, c...)
			a, b = a[1:], b[1:]
		}
	}
	slices.SortFunc(conflicts, func(a, b Conflict) int {
		return cmp.Or(cmp.Compare(a.Rendition, b.Rendition), cmp.Compare(a.Slot, b.Slot))
	})
	t.Lines, t.Conflicts = lines, slices.Compact(conflicts)
	return t
}

// mergeRows merges two runs that are sorted by slot; a run may name a slot more than once.
func mergeRows(rendition string, a, b []Row) (out []Row, conflicts []Conflict) {
	out = make([]Row, 0, len(a)+len(b))
	for len(a) > 0 || len(b) > 0 {
		var r Row
		if len(b) == 0 || len(a) > 0 && a[0].Slot <= b[0].Slot {
			r, a = a[0], a[1:]
		} else {
			r, b = b[0], b[1:]
		}
		last := len(out) - 1
		if last < 0 || out[last].Slot != r.Slot {
			out = append(out, r)
			continue
		}
		if !out[last].equal(r) {
			conflicts = append(conflicts, Conflict{rendition, r.Slot})
		}
		written := min(out[last].Written, r.Written)
		if r.order(out[last]) < 0 {
			out[last] = r
		}
		out[last].Written = written
	}
	return out, conflicts
}

// Since forgets all rows before a slot, and the generations of which none is left but the newest.
func (t Timeline) Since(slot int64) Timeline {
	lines := make([]Line, 0, len(t.Lines))
	first := t.Newest().Number
	for _, l := range t.Lines {
		i, _ := slices.BinarySearchFunc(l.Rows, slot, func(r Row, s int64) int { return cmp.Compare(r.Slot, s) })
		if i == len(l.Rows) {
			continue
		}
		first = min(first, l.Rows[i].Generation)
		lines = append(lines, Line{l.Rendition, slices.Clone(l.Rows[i:])})
	}
	t.Lines = lines
	t.Generations = slices.DeleteFunc(slices.Clone(t.Generations), func(g Generation) bool { return g.Number < first })
	t.Conflicts = slices.DeleteFunc(slices.Clone(t.Conflicts), func(c Conflict) bool { return c.Slot < slot })
	return t
}

// Edge is the last slot of the reference rendition up to which nothing is unknown, counted from the first that is known.
// Numbers go on by one across generations, so a hole in them is a row that has not come yet.
func (t Timeline) Edge() (Row, bool) {
	rows := Contiguous(t.Line(t.Shape.Reference))
	if len(rows) == 0 {
		return Row{}, false
	}
	return rows[len(rows)-1], true
}

// Contiguous is the longest head of rows whose slots follow one another.
func Contiguous(rows []Row) []Row {
	for i := 1; i < len(rows); i++ {
		if rows[i].Slot != rows[i-1].Slot+1 {
			return rows[:i]
		}
	}
	return rows
}
