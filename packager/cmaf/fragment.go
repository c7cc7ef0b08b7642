package cmaf

import (
	"encoding/binary"
	"slices"
)

// MaxFragment is the longest moof and mdat together: data_offset has 31 bits. Nobody comes near it; AppendFragment panics.
const MaxFragment = 1<<31 - 1

// Sample is one access unit as it stands in mdat. Of audio only Data and Duration are written: every frame is a key, and is
// heard when it is decoded.
type Sample struct {
	Data     []byte
	Duration uint32 // ticks
	Offset   int32  // composition time offset: presentation less decoding time, ticks, may be negative
	Key      bool   // decoding can start here
}

// Fragment is what a moof says of all its samples.
type Fragment struct {
	Sequence uint32
	Time     uint64 // of decoding of the first sample, ticks
	Video    bool
}

// Box flags, ISO/IEC 14496-12, 8.8.7 and 8.8.8.
const (
	tfhdDuration   = 0x000008
	tfhdFlags      = 0x000020
	tfhdBaseIsMoof = 0x020000

	trunDataOffset = 0x000001
	trunDuration   = 0x000100
	trunSize       = 0x000200
	trunFlags      = 0x000400
	trunOffset     = 0x000800
)

// Sample flags (ISO/IEC 14496-12, 8.8.3.1): a key depends on no other sample; the rest does, and is no sync sample.
const (
	FlagsKey   = 0x02000000
	FlagsOther = 0x01010000
)

const (
	headerSize = 8              // size and type of a box
	fullSize   = headerSize + 4 // and version and flags
	mfhdSize   = fullSize + 4
	tfdtSize   = fullSize + 8
	trunSize0  = fullSize + 8 // before the first sample
)

// layout is which fields stand where. There are three: video, audio of equal durations, and audio of others.
type layout struct {
	tfhd, trun uint32 // flags
}

var (
	videoLayout  = layout{tfhdBaseIsMoof, trunDataOffset | trunDuration | trunSize | trunFlags | trunOffset}
	steadyLayout = layout{tfhdBaseIsMoof | tfhdDuration | tfhdFlags, trunDataOffset | trunSize}
	variedLayout = layout{tfhdBaseIsMoof | tfhdFlags, trunDataOffset | trunDuration | trunSize}
)

func layoutOf(f Fragment, samples []Sample) layout {
	if f.Video {
		return videoLayout
	}
	for i := range samples {
		if samples[i].Duration != samples[0].Duration {
			return variedLayout
		}
	}
	return steadyLayout
}

func (l layout) tfhdSize() int {
	n := fullSize + 4
	for _, f := range [...]uint32{tfhdDuration, tfhdFlags} {
		if l.tfhd&f != 0 {
			n += 4
		}
	}
	return n
}

func (l layout) entrySize() int {
	switch l {
	case videoLayout:
		return 16
	case variedLayout:
		return 8
	}
	return 4
}

// AppendFragment appends one moof and its mdat: one traf, one trun, default-base-is-moof, tfdt and trun of version 1 (ISO/IEC
// 23000-19, brand cmf2). It allocates nothing but what dst lacks.
func AppendFragment(dst []byte, f Fragment, samples []Sample) []byte {
	if len(samples) == 0 {
		panic("cmaf: a fragment without samples: the packager closed a part that it had not begun")
	}
	l := layoutOf(f, samples)
	trun := trunSize0 + len(samples)*l.entrySize()
	traf := headerSize + l.tfhdSize() + tfdtSize + trun
	moof := headerSize + mfhdSize + traf
	mdat := headerSize
	for i := range samples {
		mdat += len(samples[i].Data)
	}
	if moof+mdat > MaxFragment {
		panic("cmaf: a fragment of 2 GiB: the packager did not keep its limit of a segment")
	}

	b := slices.Grow(dst, moof+mdat)
	b = appendBox(b, moof, "moof")
	b = appendFull(b, mfhdSize, "mfhd", 0, 0)
	b = append32(b, f.Sequence)
	b = appendBox(b, traf, "traf")
	b = appendTfhd(b, l, samples[0].Duration)
	b = appendFull(b, tfdtSize, "tfdt", 1, 0)
	b = binary.BigEndian.AppendUint64(b, f.Time)
	b = appendFull(b, trun, "trun", 1, l.trun)
	b = append32(b, uint32(len(samples)))
	b = append32(b, uint32(moof+headerSize))
	b = appendEntries(b, l, samples)
	b = appendBox(b, mdat, "mdat")
	for i := range samples {
		b = append(b, samples[i].Data...)
	}
	return b
}

// appendTfhd carries the defaults of audio, as cmf2 wants no fragment to lean on trex.
func appendTfhd(b []byte, l layout, duration uint32) []byte {
	b = appendFull(b, l.tfhdSize(), "tfhd", 0, l.tfhd)
	b = append32(b, trackID)
	if l.tfhd&tfhdDuration != 0 {
		b = append32(b, duration)
	}
	if l.tfhd&tfhdFlags != 0 {
		b = append32(b, FlagsKey)
	}
	return b
}

func appendEntries(b []byte, l layout, samples []Sample) []byte {
	for i := range samples {
		s := &samples[i]
		if l.trun&trunDuration != 0 {
			b = append32(b, s.Duration)
		}
		b = append32(b, uint32(len(s.Data)))
		if l.trun&trunFlags != 0 {
			b = append32(b, flagsOf(s.Key))
		}
		if l.trun&trunOffset != 0 {
			b = append32(b, uint32(s.Offset))
		}
	}
	return b
}

func flagsOf(key bool) uint32 {
	if key {
		return FlagsKey
	}
	return FlagsOther
}

func appendBox(b []byte, size int, kind string) []byte {
	return append(append32(b, uint32(size)), kind...)
}

func appendFull(b []byte, size int, kind string, version byte, flags uint32) []byte {
	return append32(appendBox(b, size, kind), uint32(version)<<24|flags)
}

func append32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }
