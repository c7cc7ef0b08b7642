package mpegts

import (
	"bytes"
	"testing"

	"flambeau/packager/media"
)

func cuesIn(events []media.Event) (list []media.Cue) {
	for _, e := range events {
		if c, ok := e.(media.Cue); ok {
			list = append(list, c)
		}
	}
	return list
}

// insert is a splice_info_section with a splice_insert.
func insert(flags byte, rest ...byte) []byte {
	body := append([]byte{0, 0, 0, 1, 0x7f, flags | 0x0f}, rest...)
	s := []byte{0xfc, 0x30, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xf0, byte(len(body)), 5}
	return sealed(append(append(s, body...), 0, 1, 0, 0, 0, 0))
}

func TestCuesSayWhenTheySpeakOf(t *testing.T) {
	at := []byte{0xfe, 0, 0x01, 0x5f, 0x90} // 90000
	for name, c := range map[string]struct {
		section []byte
		want    media.Ticks
		command byte
	}{
		"time_signal":             {timeSignal(903000, 7), 903007, 6},
		"time_signal at the wrap": {timeSignal(uint64(wrap-1), 901001), 901000, 6},
		"insert":                  {insert(0xc0, at...), 90000, 5},
		"insert, immediate":       {insert(0xf0, at...), 900000, 5}, // a duration, and no time
		"insert, of a component":  {insert(0x80, append([]byte{1, 0x42}, at...)...), 90000, 5},
		"insert, without time":    {insert(0xc0, 0x7f), 900000, 5},
		"insert, cut off":         {insert(0xc0), 900000, 5},
		"null":                    {sealed([]byte{0xfc, 0x30, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xf0, 0, 0, 0, 0}), 900000, 0},
	} {
		m := announced()
		m.video(900000, none, first)
		m.tables(testCues, c.section)
		events, d := demux(m.out, Options{})
		got := cuesIn(events)
		if len(got) != 1 {
			t.Fatalf("%s: %d cues, %v", name, len(got), wrong(d))
		}
		if g := got[0]; g.At != c.want || g.Command != c.command || g.Track != testCues || !bytes.Equal(g.Section, c.section) || !g.Arrived.Equal(noon) {
			t.Errorf("%s: %+v", name, g)
		}
	}
}

func TestACueOfTomorrowDoesNotMoveTheClock(t *testing.T) {
	m := announced()
	m.video(900000, none, first)
	for i := range uint64(8) { // each within reach of the one before
		m.tables(testCues, timeSignal((900000+i<<31)&uint64(wrap-1), 0))
	}
	m.video(903600, none, append(annexB(aud), picture(1)...))
	events, _ := demux(m.out, Options{})
	if got := samples(events, testVideo); len(got) != 2 || got[1].PTS != 903600 || len(cuesIn(events)) != 8 {
		t.Errorf("%d pictures, %d cues", len(got), len(cuesIn(events)))
	}
}

func TestABrokenCueIsLostAndNamed(t *testing.T) {
	m := announced()
	s := timeSignal(1, 2)
	s[9] ^= 4
	m.tables(testCues, s)
	events, _ := demux(m.out, Options{})
	l := losses(events)
	if len(cuesIn(events)) != 0 || len(l) != 1 || l[0].Track != testCues || l[0].Reason != "crc" {
		t.Errorf("lost: %v", l)
	}
}

func TestTheRealFeedsHoldTheCuesThatTheyAreKnownFor(t *testing.T) {
	for name, want := range map[string][]byte{"scte35-x264-20s.ts": {5}, "scte35-exo.ts": {5, 5, 5}} {
		events, _ := demux(feed(t, name), Options{})
		var got []byte
		for _, c := range cuesIn(events) {
			got = append(got, c.Command)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: commands %v", name, got)
		}
	}
}
