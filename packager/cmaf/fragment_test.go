package cmaf

import (
	"bytes"
	"crypto/sha1"
	"strings"
	"testing"

	"github.com/Eyevinn/mp4ff/mp4"
	"pgregory.net/rapid"
)

// TestAnotherWriterWritesTheSameBytes: mp4ff, given the fields, makes the moof and mdat that we do.
func TestAnotherWriterWritesTheSameBytes(t *testing.T) {
	for _, c := range fragments() {
		t.Run(c.name, func(t *testing.T) {
			ours := AppendFragment(nil, c.Fragment, c.samples)
			theirs := written(t, c)
			if !bytes.Equal(ours, theirs) {
				t.Errorf("ours\n%x\ntheirs\n%x", ours, theirs)
			}
		})
	}
}

type fragmentCase struct {
	name string
	Fragment
	samples []Sample
	tfhd    uint32
	trun    uint32
}

func fragments() []fragmentCase {
	return []fragmentCase{
		{"a key frame and B-frames that are shown before they are decoded", Fragment{7, 160_000_000_000_000, true}, []Sample{
			{[]byte("key frame"), 3600, 0, true}, {[]byte("P"), 3600, 7200, false}, {[]byte("b"), 3600, -3600, false}, {nil, 3601, -3600, false},
		}, 0x020000, 0xf01},
		{"one picture of one tick", Fragment{0, 0, true}, []Sample{{[]byte{1}, 1, -1, false}}, 0x020000, 0xf01},
		{"numbers at their ends", Fragment{1<<32 - 1, 1<<64 - 1, true}, []Sample{{[]byte{1}, 1<<32 - 1, -1 << 31, true}, {[]byte{2}, 0, 1<<31 - 1, false}}, 0x020000, 0xf01},
		{"sound of equal frames", Fragment{1, 48000, false}, []Sample{{[]byte("one"), 1024, 0, true}, {[]byte("three"), 1024, 0, true}}, 0x020028, 0x201},
		{"sound of one frame", Fragment{1, 48000, false}, []Sample{{[]byte("one"), 1024, 0, true}}, 0x020028, 0x201},
		{"sound, one frame a tick longer", Fragment{1, 90000, false}, []Sample{{[]byte("one"), 1920, 0, true}, {[]byte("three"), 1921, 0, true}}, 0x020020, 0x301},
	}
}

// written builds the fragment out of mp4ff's boxes.
func written(t *testing.T, c fragmentCase) []byte {
	t.Helper()
	tfhd := &mp4.TfhdBox{Flags: c.tfhd, TrackID: 1, DefaultSampleDuration: c.samples[0].Duration, DefaultSampleFlags: 0x02000000}
	trun := mp4.CreateTrun(0)
	trun.Version, trun.Flags = 1, c.trun
	mdat := &mp4.MdatBox{}
	for _, s := range c.samples {
		flags := uint32(0x01010000)
		if s.Key {
			flags = 0x02000000
		}
		trun.AddSample(mp4.NewSample(flags, s.Duration, uint32(len(s.Data)), s.Offset))
		mdat.AddSampleData(s.Data)
	}
	traf := &mp4.TrafBox{}
	tfdt := mp4.CreateTfdt(c.Time)
	tfdt.Version = 1
	for _, b := range []mp4.Box{tfhd, tfdt, trun} {
		if err := traf.AddChild(b); err != nil {
			t.Fatal(err)
		}
	}
	moof := &mp4.MoofBox{}
	for _, b := range []mp4.Box{mp4.CreateMfhd(c.Sequence), traf} {
		if err := moof.AddChild(b); err != nil {
			t.Fatal(err)
		}
	}
	trun.DataOffset = int32(moof.Size() + 8)
	var b bytes.Buffer
	if err := moof.Encode(&b); err != nil {
		t.Fatal(err)
	}
	if err := mdat.Encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestAnotherReaderReadsWhatWasWritten: mp4ff finds every sample of a whole segment, and one traf with one trun a moof (C1).
func TestAnotherReaderReadsWhatWasWritten(t *testing.T) {
	for _, c := range fragments() {
		segment := AppendRow(AppendFragment(AppendFragment(AppendSegmentType(nil), c.Fragment, c.samples), c.Fragment, c.samples), []byte("row\n"))
		file, err := mp4.DecodeFile(bytes.NewReader(segment))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if len(file.Segments) != 1 || len(file.Segments[0].Fragments) != 2 || file.Segments[0].Styp.MajorBrand() != "cmfs" {
			t.Fatalf("%s: not one segment of two fragments", c.name)
		}
		for _, f := range file.Segments[0].Fragments {
			if f.Moof.Mfhd.SequenceNumber != c.Sequence || len(f.Moof.Trafs) != 1 || len(f.Moof.Traf.Truns) != 1 || f.Moof.Traf.Tfdt.Version != 1 {
				t.Fatalf("%s: %+v", c.name, f.Moof)
			}
			got, err := f.GetFullSamples(&mp4.TrexBox{TrackID: 1, DefaultSampleFlags: 0xdeadbeef, DefaultSampleDuration: 99, DefaultSampleSize: 98})
			if err != nil || len(got) != len(c.samples) {
				t.Fatalf("%s: %d samples, %v", c.name, len(got), err)
			}
			at := c.Time
			for i, s := range got {
				w := c.samples[i]
				key := s.Flags == 0x02000000
				if !bytes.Equal(s.Data, w.Data) || s.Dur != w.Duration || s.CompositionTimeOffset != w.Offset || key != w.Key || s.DecodeTime != at {
					t.Errorf("%s: sample %d: %+v, want %+v at %d", c.name, i, s, w, at)
				}
				at += uint64(w.Duration)
			}
		}
	}
}

func drawSamples(t *rapid.T, video bool) []Sample {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Sample {
		s := Sample{
			Data:     rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "data"),
			Duration: rapid.SampledFrom([]uint32{0, 1, 1024, 1920, 3600, 1<<32 - 1}).Draw(t, "duration"),
			Key:      true,
		}
		if video {
			s.Offset, s.Key = rapid.Int32().Draw(t, "offset"), rapid.Bool().Draw(t, "key")
		}
		return s
	}), 1, 12).Draw(t, "samples")
}

func TestWhatIsParsedIsWhatWasAppended(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type part struct {
			f Fragment
			s []Sample
		}
		var parts []part
		segment := AppendSegmentType(nil)
		for range rapid.IntRange(0, 4).Draw(t, "parts") {
			f := Fragment{rapid.Uint32().Draw(t, "sequence"), rapid.Uint64().Draw(t, "time"), rapid.Bool().Draw(t, "video")}
			parts = append(parts, part{f, drawSamples(t, f.Video)})
			before := len(segment)
			segment = AppendFragment(segment, f, parts[len(parts)-1].s)
			if alone := AppendFragment(nil, f, parts[len(parts)-1].s); !bytes.Equal(alone, segment[before:]) {
				t.Fatalf("a fragment's bytes depend on what stands before it")
			}
		}
		line := []byte(rapid.String().Draw(t, "row"))
		segment = AppendRow(segment, line)

		p, err := Parse(segment)
		if err != nil || !bytes.Equal(p.Row, line) || len(p.Fragments) != len(parts) || p.Tombstone() != (len(parts) == 0) {
			t.Fatalf("%d fragments of %d, row %q: %v", len(p.Fragments), len(parts), p.Row, err)
		}
		for i, got := range p.Fragments {
			want, total := parts[i], uint64(0)
			if got.Sequence != want.f.Sequence || got.Time != want.f.Time || len(got.Samples) != len(want.s) {
				t.Fatalf("fragment %d: %+v", i, got)
			}
			if again := AppendFragment(nil, want.f, want.s); !bytes.Equal(segment[got.Offset:got.End], again) {
				t.Fatalf("fragment %d lies elsewhere than from %d to %d", i, got.Offset, got.End)
			}
			for j, s := range got.Samples {
				w := want.s[j]
				total += uint64(w.Duration)
				if s.Duration != w.Duration || s.Offset != w.Offset || s.Key() != w.Key || !bytes.Equal(got.SampleData(segment, j), w.Data) {
					t.Fatalf("fragment %d, sample %d: %+v, want %+v", i, j, s, w)
				}
			}
			if got.Duration() != total {
				t.Fatalf("fragment %d lasts %d, want %d", i, got.Duration(), total)
			}
		}
	})
}

// TestTheRowsTypeIsDerivedAsDocumented: RFC 9562, 5.5.
func TestTheRowsTypeIsDerivedAsDocumented(t *testing.T) {
	urls := "\x6b\xa7\xb8\x11\x9d\xad\x11\xd1\x80\xb4\x00\xc0\x4f\xd4\x30\xc8"
	h := sha1.Sum([]byte(urls + "urn:flambeau:segment-row:1"))
	h[6], h[8] = h[6]&0x0f|0x50, h[8]&0x3f|0x80
	if string(h[:16]) != rowType {
		t.Errorf("%x, the constant is %x", h[:16], rowType)
	}
}

func TestATombstoneIsARowAndNoMedia(t *testing.T) {
	line := []byte("row v1080 7 0 0 180000 - - g - -\n")
	tomb := AppendTombstone(nil, line)
	if p, err := Parse(tomb); err != nil || !p.Tombstone() || string(p.Row) != string(line) {
		t.Errorf("%+v, %v", p, err)
	}
	if !bytes.Equal(tomb, AppendTombstone(make([]byte, 0, 1000), line)) || string(tomb[4:8]) != "styp" {
		t.Errorf("%x", tomb)
	}
}

func TestACallerThatBreaksAPromiseIsStopped(t *testing.T) {
	for name, broken := range map[string]func(){
		"a fragment without samples": func() { AppendFragment(nil, Fragment{}, nil) },
		"a row of more than 1 MiB":   func() { AppendRow(nil, make([]byte, MaxRow+1)) },
		"a fragment of 2 GiB": func() {
			half := make([]byte, 1<<20) // one MiB, named two thousand times
			samples := make([]Sample, 2048)
			for i := range samples {
				samples[i].Data = half
			}
			AppendFragment(nil, Fragment{}, samples)
		},
	} {
		func() {
			defer func() {
				if said, _ := recover().(string); !strings.Contains(said, name) {
					t.Errorf("%s: %q", name, said)
				}
			}()
			broken()
		}()
	}
}

func TestAppendingIntoRoomAllocatesNothing(t *testing.T) {
	for _, c := range fragments() {
		buf := make([]byte, 0, 4096)
		if n := testing.AllocsPerRun(100, func() { buf = AppendFragment(buf[:0], c.Fragment, c.samples) }); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
		if n := testing.AllocsPerRun(100, func() { AppendFragment(nil, c.Fragment, c.samples) }); n != 1 {
			t.Errorf("%s, from nothing: %v allocations", c.name, n)
		}
	}
}

// A part of half a second: 25 pictures at 6 Mb/s, or 24 frames of sound.
func BenchmarkAppendFragment(b *testing.B) {
	for _, c := range []struct {
		name  string
		video bool
		n     int
		size  int
	}{{"video", true, 25, 15000}, {"audio", false, 24, 340}} {
		b.Run(c.name, func(b *testing.B) {
			samples := make([]Sample, c.n)
			for i := range samples {
				samples[i] = Sample{make([]byte, c.size), 1800, 0, i == 0}
			}
			buf := make([]byte, 0, 1<<20)
			b.SetBytes(int64(c.n * c.size))
			b.ReportAllocs()
			for b.Loop() {
				buf = AppendFragment(buf[:0], Fragment{1, 1, c.video}, samples)
			}
		})
	}
}
