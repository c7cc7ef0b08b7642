package cmaf

import (
	"encoding/binary"
	"fmt"
)

// MaxSamples is the most samples that are read of one segment or part: at 120 pictures a second, nine minutes. More is a
// FormatError.
const MaxSamples = 1 << 16

// Parsed is a segment, or part of one, taken apart. It points into the bytes that were parsed.
type Parsed struct {
	Fragments []ParsedFragment
	Row       []byte // nil: there is none
}

// Tombstone tells whether it is a segment that isn't.
func (p Parsed) Tombstone() bool { return len(p.Fragments) == 0 && p.Row != nil }

// ParsedFragment is a moof and its mdat.
type ParsedFragment struct {
	Sequence uint32
	Time     uint64 // of decoding of the first sample, ticks
	Offset   int64  // of its moof
	End      int64  // of its mdat
	Samples  []ParsedSample
}

// ParsedSample is one sample: what trun and tfhd say of it, and where it lies.
type ParsedSample struct {
	Duration uint32
	Flags    uint32
	Offset   int32 // composition time offset
	Size     uint32
	Position int64 // of its first byte
}

// Key tells whether decoding can start here.
func (s ParsedSample) Key() bool { return s.Flags == FlagsKey }

// Duration is of all samples, in ticks.
func (f ParsedFragment) Duration() (ticks uint64) {
	for _, s := range f.Samples {
		ticks += uint64(s.Duration)
	}
	return ticks
}

// SampleData is sample i, out of the bytes that were parsed.
func (f ParsedFragment) SampleData(b []byte, i int) []byte {
	s := f.Samples[i]
	end := s.Position + int64(s.Size)
	return b[s.Position:end:end]
}

// A FormatError says at which byte the boxes are not what this package writes.
type FormatError struct {
	Offset int64
	What   string
}

func (e *FormatError) Error() string { return fmt.Sprintf("cmaf: byte %d: %s", e.Offset, e.What) }

// Parse takes apart what AppendSegmentType, AppendFragment, AppendRow and AppendTombstone wrote. Boxes that it does not know
// are skipped; what it knows must be as it would have been written, to the byte where media ends.
func Parse(b []byte) (Parsed, error) {
	p := parser{buf: b}
	if len(b) == 0 {
		return Parsed{}, &FormatError{0, "nothing there"}
	}
	err := p.boxes(0, len(b), p.top)
	if err == nil && p.open {
		err = p.errorf(len(b), "ends after a moof without mdat")
	}
	if err != nil {
		return Parsed{}, err
	}
	return p.out, nil
}

// parser walks boxes. Every size is checked against the box around it before it is used.
type parser struct {
	buf     []byte
	out     Parsed
	now     fragment
	open    bool // now waits for its mdat
	samples int
}

// fragment is a moof while it is read.
type fragment struct {
	ParsedFragment
	seen     map[string]bool
	defaults ParsedSample
	tfhd     uint32 // its flags
	data     int64  // where trun says that the first sample lies
}

func (p *parser) errorf(at int, format string, args ...any) error {
	return &FormatError{int64(at), fmt.Sprintf(format, args...)}
}

func (p *parser) u32(at int) uint32 { return binary.BigEndian.Uint32(p.buf[at:]) }

// boxes hands every box between start and end to visit: its type, where it begins, where its body does, where it ends.
func (p *parser) boxes(start, end int, visit func(kind string, at, body, end int) error) error {
	for at := start; at < end; {
		if end-at < headerSize {
			return p.errorf(at, "%d bytes are no box", end-at)
		}
		size := uint64(p.u32(at)) // 0 and 1, to the end and 64 bits, are never written
		if size < headerSize || size > uint64(end-at) {
			return p.errorf(at, "box %q of %d bytes where %d are left", p.buf[at+4:at+8], size, end-at)
		}
		next := at + int(size)
		if err := visit(string(p.buf[at+4:at+8]), at, at+headerSize, next); err != nil {
			return err
		}
		at = next
	}
	return nil
}

func (p *parser) top(kind string, at, body, end int) error {
	switch kind {
	case "moof":
		return p.moof(at, body, end)
	case "mdat":
		return p.mdat(at, body, end)
	case "uuid":
		return p.uuid(at, body, end)
	}
	return nil
}

func (p *parser) uuid(at, body, end int) error {
	if end-at < uuidSize {
		return p.errorf(at, "uuid of %d bytes", end-at)
	}
	if string(p.buf[body:body+len(rowType)]) != rowType {
		return nil
	}
	switch {
	case p.out.Row != nil:
		return p.errorf(at, "a second row")
	case p.open:
		return p.errorf(at, "a row between moof and mdat")
	case end-at-uuidSize > MaxRow:
		return p.errorf(at, "a row of %d bytes, at most %d", end-at-uuidSize, MaxRow)
	}
	p.out.Row = p.buf[at+uuidSize : end : end]
	return nil
}

func (p *parser) moof(at, body, end int) error {
	if p.open {
		return p.errorf(at, "a moof where the mdat of the last belongs")
	}
	if p.out.Row != nil {
		return p.errorf(at, "media after the row")
	}
	p.now = fragment{ParsedFragment: ParsedFragment{Offset: int64(at)}, seen: map[string]bool{}}
	p.open = true
	if err := p.boxes(body, end, p.inMoof); err != nil {
		return err
	}
	for _, kind := range [...]string{"mfhd", "traf", "tfhd", "tfdt", "trun"} {
		if !p.now.seen[kind] {
			return p.errorf(at, "a moof without %s", kind)
		}
	}
	return nil
}

// once refuses the second box of a kind: one traf a moof, one trun a traf (ISO/IEC 23000-19).
func (p *parser) once(kind string, at int) error {
	if p.now.seen[kind] {
		return p.errorf(at, "a second %s in one moof", kind)
	}
	p.now.seen[kind] = true
	return nil
}

func (p *parser) inMoof(kind string, at, body, end int) error {
	switch kind {
	case "mfhd":
		if end-at != mfhdSize || p.u32(body) != 0 {
			return p.errorf(at, "mfhd of %d bytes, or with version or flags", end-at)
		}
		p.now.Sequence = p.u32(body + 4)
	case "traf":
		if err := p.boxes(body, end, p.inTraf); err != nil {
			return err
		}
	default:
		return nil
	}
	return p.once(kind, at)
}

func (p *parser) inTraf(kind string, at, body, end int) (err error) {
	switch kind {
	case "tfhd":
		err = p.tfhd(at, body, end)
	case "tfdt":
		err = p.tfdt(at, body, end)
	case "trun":
		err = p.trun(at, body, end)
	default:
		return nil
	}
	if err != nil {
		return err
	}
	return p.once(kind, at)
}

func (p *parser) tfhd(at, body, end int) error {
	if end-at < fullSize+4 {
		return p.errorf(at, "tfhd of %d bytes", end-at)
	}
	l := layout{tfhd: p.u32(body)}
	if l.tfhd != videoLayout.tfhd && l.tfhd != steadyLayout.tfhd && l.tfhd != variedLayout.tfhd || end-at != l.tfhdSize() {
		return p.errorf(at, "tfhd with version and flags %08x in %d bytes", l.tfhd, end-at)
	}
	if id := p.u32(body + 4); id != trackID {
		return p.errorf(at, "track %d", id)
	}
	next := body + 8
	if l.tfhd&tfhdDuration != 0 {
		p.now.defaults.Duration = p.u32(next)
		next += 4
	}
	if l.tfhd&tfhdFlags != 0 {
		p.now.defaults.Flags = p.u32(next)
	}
	p.now.tfhd = l.tfhd
	return nil
}

func (p *parser) tfdt(at, body, end int) error {
	if end-at != tfdtSize || p.u32(body) != 1<<24 {
		return p.errorf(at, "tfdt of %d bytes, or not of version 1", end-at)
	}
	p.now.Time = binary.BigEndian.Uint64(p.buf[body+4:])
	return nil
}

// trun needs tfhd before it: together they must be one of the layouts.
func (p *parser) trun(at, body, end int) error {
	if end-at < trunSize0 || p.u32(body)>>24 != 1 {
		return p.errorf(at, "trun of %d bytes, or not of version 1", end-at)
	}
	l := layout{p.now.tfhd, p.u32(body) & 0xffffff}
	if l != videoLayout && l != steadyLayout && l != variedLayout {
		return p.errorf(at, "tfhd with flags %06x and trun with %06x", l.tfhd, l.trun)
	}
	count, entries := uint64(p.u32(body+4)), body+12
	if left := uint64(end - entries); count == 0 || count*uint64(l.entrySize()) != left {
		return p.errorf(at, "trun of %d samples of %d bytes in %d bytes", count, l.entrySize(), left)
	}
	if p.samples += int(count); p.samples > MaxSamples {
		return p.errorf(at, "more than %d samples", MaxSamples)
	}
	p.now.data = p.now.Offset + int64(int32(p.u32(body+8)))
	p.entries(entries, int(count), l)
	return nil
}

func (p *parser) entries(at, count int, l layout) {
	next := func() uint32 { v := p.u32(at); at += 4; return v }
	p.now.Samples = make([]ParsedSample, count)
	for i := range p.now.Samples {
		s := &p.now.Samples[i]
		*s = p.now.defaults
		if l.trun&trunDuration != 0 {
			s.Duration = next()
		}
		s.Size = next()
		if l.trun&trunFlags != 0 {
			s.Flags = next()
		}
		if l.trun&trunOffset != 0 {
			s.Offset = int32(next())
		}
	}
}

// mdat must hold the samples of the moof before it, from its first byte to its last.
func (p *parser) mdat(at, body, end int) error {
	if !p.open {
		return p.errorf(at, "mdat without moof")
	}
	if p.now.data != int64(body) {
		return p.errorf(at, "samples at %d, mdat begins at %d", p.now.data, body)
	}
	position := int64(body)
	for i := range p.now.Samples {
		s := &p.now.Samples[i]
		s.Position = position
		position += int64(s.Size) // MaxSamples of 4 GiB do not overflow
	}
	if position != int64(end) {
		return p.errorf(at, "samples end at %d, mdat at %d", position, end)
	}
	p.now.End = int64(end)
	p.out.Fragments = append(p.out.Fragments, p.now.ParsedFragment)
	p.open = false
	return nil
}
