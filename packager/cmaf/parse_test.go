package cmaf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
)

// segment is a short one: two fragments of pictures, one of sound, a row.
func segment() []byte {
	b := AppendSegmentType(nil)
	for _, c := range fragments()[:4] {
		b = AppendFragment(b, c.Fragment, c.samples)
	}
	return AppendRow(b, []byte("row v1080 7\n"))
}

func mustFail(t *testing.T, name string, b []byte) {
	t.Helper()
	p, err := Parse(b)
	var want *FormatError
	if !errors.As(err, &want) || want.Offset < 0 || want.Offset > int64(len(b)) {
		t.Errorf("%s: %v", name, err)
	}
	if p.Fragments != nil || p.Row != nil {
		t.Errorf("%s: %+v beside the error", name, p)
	}
}

// find is where a box of that type begins; the n-th, from 0.
func find(t *testing.T, b []byte, kind string, n int) int {
	t.Helper()
	at := -1
	for range n + 1 {
		i := bytes.Index(b[at+1+4:], []byte(kind))
		if i < 0 {
			t.Fatalf("no %s", kind)
		}
		at += 1 + i
	}
	return at
}

func put(b []byte, at int, v uint32) []byte {
	b = slices.Clone(b)
	binary.BigEndian.PutUint32(b[at:], v)
	return b
}

func splice(b []byte, at, remove int, insert []byte) []byte {
	return slices.Concat(b[:at], insert, b[at+remove:])
}

// empty is a fragment without samples, all else in order.
func empty(t *testing.T) []byte {
	b := AppendFragment(nil, Fragment{Video: true}, make([]Sample, 1))
	b = splice(b, find(t, b, "mdat", 0)-16, 16, nil)
	trun := find(t, b, "trun", 0)
	for _, at := range []int{0, find(t, b, "traf", 0), trun, trun + 16} { // three sizes and data_offset
		b = put(b, at, binary.BigEndian.Uint32(b[at:])-16)
	}
	return put(b, trun+12, 0)
}

func TestBoxesThatAreNotOursAreRefused(t *testing.T) {
	good := segment()
	if _, err := Parse(good); err != nil {
		t.Fatalf("the segment that all others are made of: %v", err)
	}
	video := fragments()[0]
	one := AppendFragment(nil, video.Fragment, video.samples)
	row := AppendRow(nil, []byte("row\n"))
	moof, mdat := find(t, one, "moof", 0), find(t, one, "mdat", 0)
	tfhd, tfdt, trun, mfhd := find(t, one, "tfhd", 0), find(t, one, "tfdt", 0), find(t, one, "trun", 0), find(t, one, "mfhd", 0)
	for name, b := range map[string][]byte{
		"nothing":                       {},
		"seven bytes":                   good[:7],
		"a box that runs to the end":    put(one, mdat, 0),
		"a box of 64 bits":              put(one, mdat, 1),
		"a box longer than what's left": put(one, mdat, 1<<32-1),
		"a box shorter than its head":   put(one, moof, 7),
		"moof without mdat":             one[:mdat],
		"mdat without moof":             one[mdat:],
		"two moofs in a row":            slices.Concat(one[:mdat], one),
		"row between moof and mdat":     slices.Concat(put(one[:mdat], trun+16, uint32(mdat+len(row)+8)), row, one[mdat:]),
		"two rows":                      slices.Concat(one, row, row),
		"media after the row":           slices.Concat(one, row, one),
		"endless row":                   append(put(AppendRow(nil, make([]byte, MaxRow)), 0, uint32(uuidSize+MaxRow+1)), 0),
		"uuid without a type":           append(slices.Clone(one), 0, 0, 0, 8, 'u', 'u', 'i', 'd'),
		"short mfhd":                    put(one, mfhd, 12),
		"another track":                 put(one, tfhd+12, 2),
		"base not at moof":              put(one, tfhd+8, 0),
		"a tfhd of the other layout":    put(one, tfhd+8, 0x020028),
		"tfdt of version 0":             put(one, tfdt+8, 0),
		"trun of version 0":             put(one, trun+8, 0xf01),
		"trun without sizes":            put(one, trun+8, 1<<24|0xd01),
		"no samples":                    empty(t),
		"one sample too many":           put(one, trun+12, 5),
		"four thousand million samples": put(one, trun+12, 1<<32-1),
		"samples that start late":       put(one, trun+16, uint32(mdat+9)),
		"samples before the moof":       put(one, trun+16, 1<<32-8),
		"a sample beyond its mdat":      put(one, trun+20+4, 1<<31),
		"mdat with a byte of nobody's":  put(append(slices.Clone(one), 0), mdat, uint32(len(one)+1-mdat)),
	} {
		mustFail(t, name, b)
	}
}

// TestAFragmentHasOneOfEachBox holds C1 against moofs that are sound but for what is missing or twice there.
func TestAFragmentHasOneOfEachBox(t *testing.T) {
	f := fragments()[0]
	one := AppendFragment(nil, f.Fragment, f.samples)
	for _, kind := range []string{"mfhd", "traf", "tfhd", "tfdt", "trun"} {
		at := find(t, one, kind, 0)
		size := int(binary.BigEndian.Uint32(one[at:]))
		for name, change := range map[string]int{"without " + kind: -size, "with two " + kind: size} {
			b := splice(one, at, size, nil)
			if change > 0 {
				b = splice(one, at, 0, one[at:at+size])
			}
			for _, outer := range []string{"moof", "traf"} {
				if i := find(t, one, outer, 0); i < at {
					b = put(b, i, uint32(int(binary.BigEndian.Uint32(one[i:]))+change))
				}
			}
			for n := range bytes.Count(b, []byte("trun")) {
				i := find(t, b, "trun", n) + 16
				b = put(b, i, binary.BigEndian.Uint32(b[i:])+uint32(change))
			}
			mustFail(t, name, b)
			why := "a second "
			if change < 0 {
				why = kind
			}
			if _, err := Parse(b); err == nil || !strings.Contains(err.Error(), why) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestBoxesThatNobodyKnowsAreSkipped(t *testing.T) {
	f := fragments()[0]
	one := AppendFragment(nil, f.Fragment, f.samples)
	free := []byte{0, 0, 0, 10, 'f', 'r', 'e', 'e', 1, 2}
	uuid := slices.Concat([]byte{0, 0, 0, 24, 'u', 'u', 'i', 'd'}, make([]byte, 16))
	inside := splice(one, find(t, one, "mfhd", 0), 0, free)
	inside = put(inside, 0, uint32(find(t, one, "mdat", 0)+len(free)))
	trun := find(t, inside, "trun", 0)
	inside = put(inside, trun+16, binary.BigEndian.Uint32(inside[trun+16:])+uint32(len(free)))
	for name, b := range map[string][]byte{
		"before":  slices.Concat(free, one),
		"after":   slices.Concat(one, uuid),
		"in moof": inside,
	} {
		p, err := Parse(b)
		if err != nil || len(p.Fragments) != 1 || p.Row != nil || string(p.Fragments[0].SampleData(b, 0)) != "key frame" {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

// TestNoCutAndNoFlippedBitGoesUnnoticed: of a segment, each prefix that does not end with a box is an error, and each bit that is
// not of an unknown box's content changes what is parsed, or is an error.
func TestNoCutAndNoFlippedBitGoesUnnoticed(t *testing.T) {
	good := segment()
	want, err := Parse(good)
	if err != nil {
		t.Fatal(err)
	}
	ends := map[int]bool{32: true, len(good): true}
	for _, f := range want.Fragments {
		ends[int(f.End)] = true
	}
	for n := range good {
		if _, err := Parse(good[:n]); (err == nil) != ends[n] {
			t.Errorf("cut after %d of %d bytes: %v", n, len(good), err)
		}
	}
	for i := range len(good) * 8 {
		if i/8 >= 4 && i/8 < 32 {
			continue // styp: its type, and what stands in it
		}
		bad := slices.Clone(good)
		bad[i/8] ^= 1 << (i % 8)
		if got, err := Parse(bad); err == nil && same(got, bad, want, good) {
			t.Errorf("bit %d of byte %d flipped, and nothing noticed", i%8, i/8)
		}
	}
}

func same(a Parsed, abytes []byte, b Parsed, bbytes []byte) bool {
	if !bytes.Equal(a.Row, b.Row) || (a.Row == nil) != (b.Row == nil) || len(a.Fragments) != len(b.Fragments) {
		return false
	}
	for i, f := range a.Fragments {
		g := b.Fragments[i]
		if f.Sequence != g.Sequence || f.Time != g.Time || f.Offset != g.Offset || f.End != g.End || !slices.Equal(f.Samples, g.Samples) {
			return false
		}
		for j := range f.Samples {
			if !bytes.Equal(f.SampleData(abytes, j), g.SampleData(bbytes, j)) {
				return false
			}
		}
	}
	return true
}

func TestMoreSamplesThanASegmentCanHaveAreRefused(t *testing.T) {
	b := []byte{}
	samples := make([]Sample, MaxSamples/2)
	for range 2 {
		b = AppendFragment(b, Fragment{}, samples)
	}
	if _, err := Parse(b); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	mustFail(t, "one more", AppendFragment(b, Fragment{}, samples[:1]))
}

// FuzzParse: whatever stands in the store, there is an error, or everything parsed lies in the bytes, in order and unbroken.
func FuzzParse(f *testing.F) {
	f.Add(segment())
	f.Add(AppendTombstone(nil, []byte("row\n")))
	for _, c := range fragments() {
		f.Add(AppendFragment(nil, c.Fragment, c.samples))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			return
		}
		last := int64(0)
		for _, f := range p.Fragments {
			if f.Offset < last || f.End > int64(len(b)) || len(f.Samples) == 0 {
				t.Fatalf("fragment from %d to %d after %d, of %d bytes", f.Offset, f.End, last, len(b))
			}
			at := f.Samples[0].Position
			for i, s := range f.Samples {
				if s.Position != at || len(f.SampleData(b, i)) != int(s.Size) {
					t.Fatalf("sample %d at %d, want %d", i, s.Position, at)
				}
				at += int64(s.Size)
			}
			if at != f.End || f.Samples[0].Position <= f.Offset {
				t.Fatalf("samples end at %d, mdat at %d", at, f.End)
			}
			last = f.End
		}
	})
}
