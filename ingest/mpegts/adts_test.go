package mpegts

import (
	"bytes"
	"reflect"
	"slices"
	"testing"

	"flambeau/packager/media"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
)

func TestFramesMayCrossPacketsAndKeepTheTimeOfWhereTheyBegan(t *testing.T) {
	const frames = 40
	var all []byte
	var starts []int
	for i := range frames {
		starts = append(starts, len(all))
		all = append(all, adtsOf(4, false, 100+i, byte(i))...) // 44.1 kHz
	}
	at := func(i int) media.Ticks { return 500000 + media.Ticks((i*1024*90000+22050)/44100) }
	for _, size := range []int{37, 100, 333, 1000} {
		m := announced()
		for from := 0; from < len(all); from += size {
			to, pts := min(from+size, len(all)), int64(none)
			if i, _ := slices.BinarySearch(starts, from); i < frames && starts[i] < to {
				pts = int64(at(i))
			}
			m.audio(pts, all[from:to])
		}
		events, d := demux(m.out, Options{})
		got := samples(events, testAudio)
		if len(got) != frames {
			t.Fatalf("PES packets of %d: %d frames, %v", size, len(got), wrong(d))
		}
		for i, s := range got {
			if d := s.PTS - at(i); d < -1 || d > 1 || len(s.Data) != 100+i || s.Data[0] != byte(i) || !s.Key || s.DTS != s.PTS {
				t.Errorf("PES packets of %d: frame %d is %d bytes at %d", size, i, len(s.Data), s.PTS)
			}
		}
	}
}

func TestFramesAfterOneTimestampDontAddRoundingUp(t *testing.T) {
	m := announced()
	var all []byte
	for range 44100 / 100 { // 441 × 1024 / 44100 s are 10.24 s to the tick
		all = append(all, adtsOf(4, false, 20, 1)...)
	}
	m.audio(0, all)
	m.audio(none, adtsOf(4, false, 20, 1))
	events, _ := demux(m.out, Options{})
	got := samples(events, testAudio)
	if last := got[len(got)-1]; len(got) != 442 || last.PTS != 921600 {
		t.Errorf("%d frames, the last at %d", len(got), last.PTS)
	}
}

func TestTheConfigurationIsWhatTheHeaderSays(t *testing.T) {
	m := announced()
	m.audio(9000, slices.Concat(adtsOf(at48k, true, 50, 1), adtsOf(at48k, false, 51, 2))) // with a CRC and without
	m.audio(9000+3840, slices.Concat(adtsOf(4, false, 52, 3), adtsOf(4, false, 53, 4)))
	events, _ := demux(m.out, Options{})
	var rates []int
	for _, e := range events {
		if b, ok := e.(media.Begin); ok && b.Tracks[1].Known() {
			var c mpeg4audio.AudioSpecificConfig
			if err := c.Unmarshal(b.Tracks[1].Parameters[0]); err != nil || c.Type != mpeg4audio.ObjectTypeAACLC || c.ChannelConfig != 2 {
				t.Errorf("%+v, %v", c, err)
			}
			rates = append(rates, c.SampleRate)
		}
	}
	var sizes []int
	for _, s := range samples(events, testAudio) {
		sizes = append(sizes, len(s.Data))
	}
	if !reflect.DeepEqual(rates, []int{48000, 44100}) || !reflect.DeepEqual(sizes, []int{50, 51, 52, 53}) {
		t.Errorf("rates %v, sizes %v", rates, sizes)
	}
}

func TestARateThatChangesInsideAPESPacketIsCountedAtBoth(t *testing.T) {
	m := announced()
	m.audio(9000, slices.Concat(adtsOf(at48k, false, 50, 1), adtsOf(at48k, false, 50, 1), adtsOf(6, false, 50, 1), adtsOf(6, false, 50, 1)))
	events, _ := demux(m.out, Options{})
	var times []media.Ticks
	for _, s := range samples(events, testAudio) {
		times = append(times, s.PTS)
	}
	if !reflect.DeepEqual(times, []media.Ticks{9000, 10920, 12840, 16680}) { // 24 kHz: twice as long
		t.Errorf("at %v", times)
	}
}

func TestGarbageBetweenFramesIsSkipped(t *testing.T) {
	m := announced()
	m.audio(9000, slices.Concat(adtsOf(at48k, false, 60, 1), adtsOf(at48k, false, 60, 1), bytes.Repeat([]byte{0xff, 0xf1, 0x3c}, 20),
		adtsOf(at48k, false, 61, 2)))
	m.audio(20000, slices.Concat(adtsOf(at48k, false, 62, 3), adtsOf(at48k, false, 63, 4)))
	events, d := demux(m.out, Options{})
	var times []media.Ticks
	for _, s := range samples(events, testAudio) {
		times = append(times, s.PTS)
	}
	// How many frames the garbage stands for nobody knows: the frame behind it is counted back from the next timestamp.
	if !reflect.DeepEqual(times, []media.Ticks{9000, 10920, 18080, 20000, 21920}) || d.Errors()["syntax"] == 0 || d.Errors()["no_time"] != 0 {
		t.Errorf("at %v, %v", times, wrong(d))
	}
}

func TestWholeFramesBehindALossAreNotLostWithIt(t *testing.T) {
	build := func(jump int64) *muxer {
		m := announced()
		m.video(9000, none, first)
		for p := range 3 {
			var all []byte
			for i := range 12 {
				all = append(all, adtsOf(at48k, false, 120, byte(p*12+i))...)
			}
			at := 9000 + int64(p)*12*1920
			if p == 2 {
				at += jump
			}
			m.audio(at, all)
		}
		return m
	}
	list := packetsOf(build(0).out)
	i := nth(t, list, testAudio, 10) // the second packet of the second PES packet
	events, d := demux(slices.Concat(slices.Delete(list, i, i+1)...), Options{})
	got := samples(events, testAudio)
	for _, s := range got {
		if want := media.Ticks(9000 + 1920*int64(s.Data[0])); s.PTS != want {
			t.Errorf("frame %d is at %d, not %d", s.Data[0], s.PTS, want)
		}
	}
	if len(got) < 33 || len(got) > 35 || d.Errors()["no_time"] != 0 {
		t.Errorf("%d frames of 36, %v", len(got), wrong(d))
	}
	for _, jump := range []int64{-900000, 90000 * 60} { // a clock that is set anew tells nothing of what was before
		list = packetsOf(build(jump).out)
		events, d = demux(slices.Concat(slices.Delete(list, i, i+1)...), Options{})
		if n := len(samples(events, testAudio)); uint64(n)+d.Errors()["no_time"] != uint64(len(got)) || d.Errors()["no_time"] < 8 {
			t.Errorf("jump %d: %d frames, %v", jump, n, wrong(d))
		}
	}
}

func TestWhatLooksLikeALongFrameHoldsNothingBackAtTheEnd(t *testing.T) {
	m := announced()
	decoy := []byte{0xff, 0xf1, 0x4c, 0x83, 0xff, 0xe0, 0xfc} // says that it is 8 kB long
	m.audio(9000, slices.Concat(decoy, adtsOf(at48k, false, 60, 1), adtsOf(at48k, false, 61, 2)))
	m.audio(20000, slices.Concat(adtsOf(at48k, false, 62, 3), adtsOf(at48k, false, 63, 4)))
	events, d := demux(m.out, Options{})
	if n := len(samples(events, testAudio)); n != 4 {
		t.Errorf("%d frames, %v", n, wrong(d))
	}
}

func TestFramesThatWeCantTakeApartAreCounted(t *testing.T) {
	described, several := adtsOf(at48k, false, 60, 1), adtsOf(at48k, false, 60, 1)
	described[2], described[3] = described[2]&^1, described[3]&0x3f // channel_configuration 0
	several[6] |= 1                                                 // two raw_data_blocks
	for _, f := range [][]byte{described, several} {
		m := announced()
		m.audio(9000, slices.Concat(f, f, f))
		events, d := demux(m.out, Options{})
		if len(samples(events, testAudio)) != 0 || d.Errors()["unsupported"] != 3 {
			t.Errorf("errors: %v", wrong(d))
		}
	}
}

func TestAACAnnouncedAsMPEGAudioIsFoundOut(t *testing.T) {
	m := newMuxer()
	list := pmt(1, 0, es{0x04, testAudio, iso639("deu")}, es{0x1b, testVideo, nil}, es{0x03, 0x200, nil})
	m.tables(0, pat(0, 1, testPMT))
	m.tables(testPMT, list)
	m.video(9000, none, first)
	layer2 := append([]byte{0xff, 0xfd, 0x84, 0x04}, bytes.Repeat([]byte{0xaa}, 380)...) // 128 kbit/s, 48 kHz: 384 bytes
	for i := range 30 {
		m.audio(9000+int64(i)*1920*2, slices.Concat(adtsOf(at48k, false, 400, 1), adtsOf(at48k, false, 400, 2)))
		m.payload(0x200, pesOf(0xc1, 9000+int64(i)*2160, none, true, layer2))
	}
	m.tables(testPMT, pmt(1, 1, es{0x04, testAudio, iso639("deu")}, es{0x1b, testVideo, nil}, es{0x03, 0x200, nil})) // and again, as a new version
	events, d := demux(m.out, Options{})
	b := lastBegin(t, events)
	if len(b.Tracks) != 3 || b.Tracks[0].Codec != media.AAC || b.Tracks[0].Language != "deu" || !b.Tracks[0].Known() || b.Tracks[2].Codec != media.MPEGAudio {
		t.Errorf("tracks: %+v", b.Tracks)
	}
	if aac, layer2 := len(samples(events, testAudio)), len(samples(events, 0x200)); aac != 60 || layer2 != 30 {
		t.Errorf("%d frames of AAC, %d of layer II", aac, layer2)
	}
	if s := d.Streams(); s[0].Name != "AAC" || s[2].Name != "MPEG-1 audio" || len(wrong(d)) != 0 {
		t.Errorf("streams: %+v, counted: %v", s, wrong(d))
	}
}
