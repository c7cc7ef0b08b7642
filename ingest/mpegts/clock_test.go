package mpegts

import (
	"testing"

	"flambeau/packager/media"
)

func TestTimestampsGoOnAcrossTheWrapInTheMiddleOfBPictures(t *testing.T) {
	for _, audioFirst := range []bool{true, false} {
		m := announced()
		start := wrap - 9*3600 // so that it lies among them
		lsb := []uint32{0, 6, 2, 4, 12, 8, 10, 18, 14, 16, 24, 20, 22, 30, 26, 28}
		for i, l := range lsb {
			dts := start + int64(i)*3600
			pts := start + 3600 + int64(l)*1800
			sound := dts
			if audioFirst {
				sound += 3600 * 3
			}
			m.audio(sound&(wrap-1), adtsOf(at48k, false, 50, 1))
			au := annexB(aud, slice{kind: sliceB, frameNum: uint32(i) & 15, lsb: l, body: 40}.nalu())
			if i == 0 {
				au = first
			}
			m.video(pts&(wrap-1), dts&(wrap-1), au)
		}
		m.audio((start+20*3600)&(wrap-1), adtsOf(at48k, false, 50, 1))
		events, _ := demux(m.out, Options{})
		got := samples(events, testVideo)
		if len(got) != len(lsb) {
			t.Fatalf("%d pictures", len(got))
		}
		for i, s := range got {
			if s.DTS != media.Ticks(start+int64(i)*3600) || s.PTS != media.Ticks(start+3600+int64(lsb[i])*1800) {
				t.Errorf("audio first %v: picture %d: %d, %d", audioFirst, i, s.PTS, s.DTS)
			}
		}
		for i, s := range samples(events, testAudio)[:len(lsb)] {
			if s.PTS < media.Ticks(start) || s.PTS > media.Ticks(start+int64(i+4)*3600) {
				t.Errorf("audio frame %d at %d", i, s.PTS)
			}
		}
	}
}

func TestAJumpIsNoWrap(t *testing.T) {
	var c clock
	hour := int64(3600 * 90000)
	for _, step := range []struct{ ts, want int64 }{
		{10 * hour, 10 * hour}, {2 * hour, 2 * hour}, {15 * hour, 15 * hour}, {9 * hour, 9 * hour},
		{0, 0}, {wrap - 90, -90}, {5, 5}, {wrap/2 + 5, wrap/2 + 5}, {wrap - 1, wrap - 1}, {0, wrap}, {wrap - 1, wrap - 1}, {wrap / 2, wrap / 2},
	} {
		if got := c.unwrap(uint64(step.ts)); got != media.Ticks(step.want) {
			t.Errorf("%d became %d, not %d", step.ts, got, step.want)
		}
	}
}

func TestWrapsAddUp(t *testing.T) {
	var c clock
	for at := int64(0); at < 5*wrap; at += wrap / 7 {
		if got := c.unwrap(uint64(at) & uint64(wrap-1)); got != media.Ticks(at) {
			t.Fatalf("%d became %d", at, got)
		}
	}
}

func TestTimestampsWithoutTheirMarkersAreNotBelieved(t *testing.T) {
	m := announced()
	b := pesOf(0xe0, 9000, none, false, first)
	b[11] &^= 1
	m.payload(testVideo, b)
	m.video(12600, none, first)
	events, d := demux(m.out, Options{})
	if got := samples(events, testVideo); len(got) != 1 || got[0].PTS != 12600 || d.Errors()["timestamp"] != 1 || d.Errors()["no_time"] != 1 {
		t.Errorf("errors: %v", wrong(d))
	}
}

func TestAPictureShownHoursAfterItIsDecodedOrBeforeIsNotBelieved(t *testing.T) {
	for _, pts := range []int64{9000 + 1<<32, 9000 + maxAhead + 1, 8999} {
		m := announced()
		m.video(pts, 9000, first)
		m.video(12600+maxAhead, 12600, first)
		events, d := demux(m.out, Options{})
		if got := samples(events, testVideo); len(got) != 1 || got[0].PTS != 12600+maxAhead || got[0].DTS != 12600 || d.Errors()["timestamp"] != 1 {
			t.Errorf("%d: %d pictures, %v", pts, len(got), wrong(d))
		}
	}
}

func TestAHeaderTooShortForItsTimestampHasNone(t *testing.T) {
	m := announced()
	b := append([]byte{0, 0, 1, 0xe0, 0, 0, 0x80, 0x80, 0}, first...)
	m.payload(testVideo, b)
	m.video(12600, none, first)
	events, d := demux(m.out, Options{})
	if got := samples(events, testVideo); len(got) != 1 || d.Errors()["pes"] != 1 || d.Errors()["no_time"] != 1 {
		t.Errorf("%d pictures, %v", len(got), wrong(d))
	}
}
