package timeline

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Index is what a root or a page says: lines of text, one thing a line, in an order that is part of the format.
//
//	flambeau-index 2
//	channel curling-a
//	worker a
//	written 1771234567890
//	generation 0 shape
//	generation 1 1-5d41402a
//	page curling-a/index/minute/1771234440.a.0.idx 885617220 885617249
//	row v1080 885617250 1 159411105000000 180000 1048576 9f86d0…0a08 - 1771234567800 0:28:20480:cb2f…91
type Index struct {
	Channel     string
	Worker      string
	Written     int64 // Unix milliseconds, by the worker's clock
	Generations []GenerationName
	Pages       []Page
	Rows        []RenditionRow
}

// GenerationName says which of the proposals for a number became it. Generation 0 stands in the shape and has no hash.
type GenerationName struct {
	Number int
	Hash   string // the eight hex digits of its key; "" for the shape's
}

// Page names an index object that holds older rows.
type Page struct {
	Key         string
	First, Last int64 // slots, both included
}

// RenditionRow is a row and the rendition that it is of.
type RenditionRow struct {
	Rendition string
	Row
}

// Limits of what is believed of an index that comes out of a store.
const (
	MaxIndex = 64 << 20 // bytes of a root or page
	MaxKeys  = 4096     // key frames of a row
)

// Encode gives an index's bytes.
func (x Index) Encode() []byte {
	b := make([]byte, 0, 256+len(x.Pages)*80+len(x.Rows)*220)
	b = fmt.Appendf(b, "flambeau-index %d\nchannel %s\nworker %s\nwritten %d\n", Format, x.Channel, x.Worker, x.Written)
	for _, g := range x.Generations {
		name := "shape"
		if g.Hash != "" {
			name = fmt.Sprintf("%d-%s", g.Number, g.Hash)
		}
		b = fmt.Appendf(b, "generation %d %s\n", g.Number, name)
	}
	for _, p := range x.Pages {
		b = fmt.Appendf(b, "page %s %d %d\n", p.Key, p.First, p.Last)
	}
	for _, r := range x.Rows {
		b = r.Append(b)
	}
	return b
}

// Append writes the row as the line that stands in an index.
func (r RenditionRow) Append(b []byte) []byte {
	b = r.appendHead(b)
	b = strconv.AppendInt(append(b, ' '), r.Size, 10)
	b = hex.AppendEncode(append(b, ' '), r.Hash[:])
	b = appendFlags(append(b, ' '), r.Flags)
	b = strconv.AppendInt(append(b, ' '), r.Written, 10)
	b = appendKeys(append(b, ' '), r.Keys)
	return append(b, '\n')
}

// Carried writes the row as the segment itself carries it: without its own size and hash, and without when it was indexed.
func (r RenditionRow) Carried() []byte {
	b := r.appendHead(nil)
	b = append(b, " - - "...)
	b = appendFlags(b, r.Flags)
	b = append(b, " - "...)
	b = appendKeys(b, r.Keys)
	return append(b, '\n')
}

func (r RenditionRow) appendHead(b []byte) []byte {
	b = append(append(b, "row "...), r.Rendition...)
	for _, n := range [...]int64{r.Slot, int64(r.Generation), r.Start, r.Duration} {
		b = strconv.AppendInt(append(b, ' '), n, 10)
	}
	return b
}

var flagLetters = []struct {
	flag   Flags
	letter byte
}{{Dependent, 'd'}, {Damaged, 'x'}, {Gap, 'g'}}

func appendFlags(b []byte, f Flags) []byte {
	n := len(b)
	for _, l := range flagLetters {
		if f.Has(l.flag) {
			b = append(b, l.letter)
		}
	}
	if len(b) == n {
		b = append(b, '-')
	}
	return b
}

func appendKeys(b []byte, keys []Key) []byte {
	if len(keys) == 0 {
		return append(b, '-')
	}
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, k.Time, 10)
		b = strconv.AppendInt(append(b, ':'), k.Offset, 10)
		b = strconv.AppendInt(append(b, ':'), k.Size, 10)
		b = hex.AppendEncode(append(b, ':'), k.Hash[:])
	}
	return b
}

// A FormatError says in which line of an index something is wrong.
type FormatError struct {
	Line int
	What string
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("timeline: index: line %d: %s", e.Line, e.What)
}

// DecodeIndex reads what Encode wrote. Lines that begin with an unknown word are skipped: a later version may add them.
func DecodeIndex(b []byte) (Index, error) {
	var x Index
	if len(b) > MaxIndex {
		return x, &FormatError{0, fmt.Sprintf("%d bytes, at most %d", len(b), MaxIndex)}
	}
	for n := 1; len(b) > 0; n++ {
		line, rest, whole := bytes.Cut(b, []byte{'\n'})
		if !whole {
			return x, &FormatError{n, "cut short"}
		}
		b = rest
		if err := x.line(n, string(line)); err != nil {
			return x, &FormatError{n, err.Error()}
		}
	}
	if x.Channel == "" || x.Worker == "" {
		return x, &FormatError{0, "no channel or no worker"}
	}
	return x, nil
}

func (x *Index) line(n int, line string) error {
	f := fields{rest: line}
	word := f.next()
	if n == 1 {
		if v := f.int(); word != "flambeau-index" || v != Format {
			return fmt.Errorf("%q is no index of format %d", line, Format)
		}
		return f.end()
	}
	switch word {
	case "channel":
		x.Channel = f.name()
	case "worker":
		x.Worker = f.name()
	case "written":
		x.Written = f.int()
	case "generation":
		g := GenerationName{Number: int(f.int())}
		if name := f.next(); name != "shape" {
			var ok bool
			if g.Hash, ok = strings.CutPrefix(name, strconv.Itoa(g.Number)+"-"); !ok || len(g.Hash) != 8 {
				f.fail("generation named %q", name)
			}
		}
		x.Generations = append(x.Generations, g)
	case "page":
		x.Pages = append(x.Pages, Page{f.next(), f.int(), f.int()})
	case "row":
		r, err := parseRow(&f)
		if err != nil {
			return err
		}
		x.Rows = append(x.Rows, r)
	default:
		return nil
	}
	return f.end()
}

// ParseRow reads one line as Append or Carried wrote it.
func ParseRow(line string) (RenditionRow, error) {
	f := fields{rest: strings.TrimSuffix(line, "\n")}
	if w := f.next(); w != "row" {
		return RenditionRow{}, fmt.Errorf("timeline: row begins with %q", w)
	}
	r, err := parseRow(&f)
	if err == nil {
		err = f.end()
	}
	return r, err
}

func parseRow(f *fields) (RenditionRow, error) {
	var r RenditionRow
	r.Rendition = f.name()
	r.Slot, r.Generation, r.Start, r.Duration = f.int(), int(f.int()), f.int(), f.int()
	r.Size = f.intOrDash()
	if h := f.next(); h != "-" {
		hash, err := ParseHash(h)
		if err != nil {
			f.fail("hash %q", h)
		}
		r.Hash = hash
	}
	r.Flags = f.flags()
	r.Written = f.intOrDash()
	r.Keys = f.keys()
	if r.Slot < 0 || r.Generation < 0 || r.Start < 0 || r.Duration < 0 || r.Size < 0 {
		f.fail("negative number in row of slot %d", r.Slot)
	}
	return r, f.err
}

// fields reads words off a line; the first thing wrong sticks.
type fields struct {
	rest string
	err  error
}

func (f *fields) fail(format string, args ...any) {
	if f.err == nil {
		f.err = fmt.Errorf(format, args...)
	}
}

func (f *fields) next() (word string) {
	word, f.rest, _ = strings.Cut(f.rest, " ")
	if word == "" {
		f.fail("a word is missing")
	}
	return word
}

func (f *fields) name() string {
	s := f.next()
	if err := CheckName(s); err != nil {
		f.fail("%v", err)
	}
	return s
}

func (f *fields) int() int64 {
	s := f.next()
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		f.fail("%q is no number", s)
	}
	return n
}

func (f *fields) intOrDash() int64 {
	if strings.HasPrefix(f.rest, "- ") {
		f.next()
		return 0
	}
	return f.int()
}

func (f *fields) flags() (flags Flags) {
	s := f.next()
	if s == "-" {
		return 0
	}
next:
	for i := 0; i < len(s); i++ {
		for _, l := range flagLetters {
			if s[i] == l.letter {
				flags |= l.flag
				continue next
			}
		}
		f.fail("flag %q", s[i])
	}
	return flags
}

func (f *fields) keys() []Key {
	s := f.next()
	if s == "-" || f.err != nil {
		return nil
	}
	n := strings.Count(s, ",") + 1
	if n > MaxKeys {
		f.fail("%d key frames, at most %d", n, MaxKeys)
		return nil
	}
	keys := make([]Key, 0, n)
	for one := range strings.SplitSeq(s, ",") {
		var k Key
		p := strings.Split(one, ":")
		if len(p) != 4 || len(p[3]) != 16 {
			f.fail("key frame %q", one)
			return nil
		}
		for i, to := range [...]*int64{&k.Time, &k.Offset, &k.Size} {
			v, err := strconv.ParseInt(p[i], 10, 64)
			if err != nil || v < 0 {
				f.fail("key frame %q", one)
			}
			*to = v
		}
		if _, err := hex.Decode(k.Hash[:], []byte(p[3])); err != nil {
			f.fail("key frame %q", one)
		}
		keys = append(keys, k)
	}
	return keys
}

func (f *fields) end() error {
	if f.err == nil && f.rest != "" {
		f.fail("%q is too much", f.rest)
	}
	return f.err
}
