package mpegts

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"flambeau/packager/media"
)

// FuzzDemuxer takes its input as a stream, and once more as payloads behind tables that are right: no mutation finds a CRC.
func FuzzDemuxer(f *testing.F) {
	f.Add(clip())
	f.Add(restride(clip(), 0, 16)[:8000])
	m := announced()
	m.video(9000, none, append(bytes.Clone(first), picture(1)...))
	m.audio(9000, slices.Concat(adtsOf(at48k, true, 50, 1), adtsOf(4, false, 51, 2)))
	m.tables(testCues, insert(0xc0, 0xfe, 0, 1, 0x5f, 0x90))
	f.Add(m.out)
	m = announced()
	m.video(9000, none, annexB(aud, spsOf(0, 320, true), ppsOf(0, 0, 0),
		slice{kind: sliceI, idr: true, interlaced: true, field: true, body: 90}.nalu()))
	m.video(none, none, annexB(aud, recovery, slice{kind: sliceP, interlaced: true, field: true, bottom: true, lsb: 1, body: 90}.nalu()))
	f.Add(m.out)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<18 {
			return
		}
		feedAndCheck(t, b)
		feedAndCheck(t, steered(b))
	})
}

// steered puts sync bytes and PIDs that matter into a stream, behind an announcement.
func steered(b []byte) []byte {
	m := announced()
	out := m.out
	for p := range slices.Chunk(slices.Clone(b), packetSize) {
		if len(p) < packetSize {
			break
		}
		pid := testVideo + int(p[2])%3
		p[0], p[1], p[2], p[3] = syncByte, p[1]&0x40|byte(pid>>8), byte(pid), p[3]&0x3f
		out = append(out, p...)
	}
	return out
}

func feedAndCheck(t *testing.T, b []byte) {
	d := New(Options{})
	var c checker
	for p := range slices.Chunk(b, 1000) {
		d.Write(p, noon)
		if n := held(d); n > heldForEach*len(b)+alwaysHeld {
			t.Fatalf("%d bytes held of %d that came", n, len(b))
		}
		c.check(t, drain(d))
	}
	d.Flush()
	c.check(t, drain(d))
	if n := held(d); n > alwaysHeld {
		t.Fatalf("%d bytes held after Flush", n)
	}
}

const (
	// heldForEach byte that came: NAL units may be of one byte and a start code of three, and slices grow by doubling.
	heldForEach = 10
	// alwaysHeld is what may be held whatever came: the search for sync, and an ADTS frame of each track.
	alwaysHeld = maxHold + MaxTracks*(16<<10)
)

// checker holds what is promised of events.
type checker struct{ tracks map[int]media.Track }

func (c *checker) check(t *testing.T, events []media.Event) {
	for _, e := range events {
		if err := c.one(e); err != nil {
			t.Fatalf("%+v: %v", e, err)
		}
	}
}

func (c *checker) one(e media.Event) error {
	switch e := e.(type) {
	case media.Begin:
		c.tracks = map[int]media.Track{}
		for _, x := range e.Tracks {
			c.tracks[x.ID] = x
		}
		if len(c.tracks) != len(e.Tracks) || len(e.Tracks) > MaxTracks {
			return fmt.Errorf("%d tracks, %d of them different", len(e.Tracks), len(c.tracks))
		}
	case *media.Sample:
		x, ok := c.tracks[e.Track]
		if !ok || !x.Known() {
			return fmt.Errorf("a sample of a track that is not known")
		}
		if len(e.Data) == 0 || len(e.Data) > MaxUnit*2 {
			return fmt.Errorf("%d bytes", len(e.Data))
		}
		if x.Kind == media.Video {
			return wellFormed(x.Codec, e.Data)
		}
	case media.Cue:
		if crc32(e.Section) != 0 {
			return fmt.Errorf("a cue with a wrong CRC")
		}
	case media.Lost:
		if !slices.Contains(Reasons, e.Reason) || e.Count <= 0 {
			return fmt.Errorf("a loss of no known kind")
		}
	default:
		return fmt.Errorf("an event of no known kind")
	}
	return nil
}

// wellFormed: slices and what goes with them, and nothing that has its place elsewhere.
func wellFormed(coding media.Codec, b []byte) error {
	var x syntax = h264{}
	if coding == media.H265 {
		x = h265{}
	}
	slices := 0
	for len(b) > 0 {
		if len(b) < 5 {
			return fmt.Errorf("%d bytes left", len(b))
		}
		n := int(binary.BigEndian.Uint32(b))
		if n < 1 || n > len(b)-4 {
			return fmt.Errorf("a NAL unit of %d bytes, %d left", n, len(b))
		}
		switch class := x.class(b[4 : 4+n]); class {
		case nalPicture:
			slices++
		case nalMessage, nalFront, nalBehind:
		default:
			return fmt.Errorf("a NAL unit %x of class %d", b[4], class)
		}
		b = b[4+n:]
	}
	if slices == 0 {
		return fmt.Errorf("no slice")
	}
	return nil
}
