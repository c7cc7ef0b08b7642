package mpegts

import (
	"bytes"
	"reflect"
	"slices"
	"testing"

	"flambeau/packager/media"
)

// packets cuts a stream of 188-byte packets up.
func packetsOf(b []byte) [][]byte { return slices.Collect(slices.Chunk(slices.Clone(b), packetSize)) }

// nth finds the packet of a PID, counted from 0.
func nth(t *testing.T, list [][]byte, pid, n int) int {
	t.Helper()
	for i, p := range list {
		if int(p[1]&0x1f)<<8|int(p[2]) == pid {
			if n--; n < 0 {
				return i
			}
		}
	}
	t.Fatal("no such packet")
	return 0
}

func TestACleanStreamHasNoErrors(t *testing.T) {
	events, d := demux(clip(), Options{})
	if v, a := len(samples(events, testVideo)), len(samples(events, testAudio)); v != 13 || a != 39 {
		t.Errorf("%d pictures, %d audio frames", v, a)
	}
	if w := wrong(d); len(w) != 0 || len(losses(events)) != 0 {
		t.Errorf("errors: %v", w)
	}
}

func TestAPacketLostInsideAPictureDamagesThatPictureOnly(t *testing.T) {
	list := packetsOf(clip())
	i := nth(t, list, testVideo, 7) // the second packet of the second picture
	events, d := demux(slices.Concat(slices.Delete(list, i, i+1)...), Options{})
	got := samples(events, testVideo)
	if len(got) != 13 {
		t.Fatalf("%d pictures", len(got))
	}
	hurt := 0
	for _, s := range got {
		if s.Damaged {
			hurt++
		}
	}
	if hurt != 1 {
		t.Errorf("%d damaged pictures", hurt)
	}
	want := []media.Lost{{Track: testVideo, At: losses(events)[0].At, Reason: "continuity", Count: 1}}
	if l := losses(events); !reflect.DeepEqual(l, want) || d.Errors()["continuity"] != 1 {
		t.Errorf("lost: %v", l)
	}
}

func TestAPictureWhoseStartIsLostIsDroppedAndNamed(t *testing.T) {
	list := packetsOf(clip())
	i := nth(t, list, testVideo, 6)
	for list[i][1] != 0x40|testVideo>>8 || list[i][2] != testVideo&0xff { // where a PES packet begins
		i++
	}
	events, _ := demux(slices.Concat(slices.Delete(list, i, i+1)...), Options{})
	if n := len(samples(events, testVideo)); n != 12 {
		t.Errorf("%d pictures, one was lost of 13", n)
	}
	if len(losses(events)) == 0 {
		t.Error("nothing was said of it")
	}
}

func TestLostAudioPacketsCostTheirFramesAndNoOthersTime(t *testing.T) {
	whole, _ := demux(clip(), Options{})
	at := map[media.Ticks][]byte{}
	for _, s := range samples(whole, testAudio) {
		at[s.PTS] = s.Data
	}
	list := packetsOf(clip())
	for n := range 30 {
		i := nth(t, list, testAudio, n)
		events, d := demux(slices.Concat(slices.Delete(slices.Clone(list), i, i+1)...), Options{})
		got := samples(events, testAudio)
		if len(got) >= 39 || len(got) < 34 {
			t.Errorf("packet %d lost: %d frames left of 39", n, len(got))
		}
		for _, s := range got {
			if !bytes.Equal(at[s.PTS], s.Data) {
				t.Errorf("packet %d lost: the frame at %d is another one", n, s.PTS)
			}
		}
		if n > 0 && d.Errors()["continuity"] != 1 {
			t.Errorf("packet %d lost: %v", n, wrong(d))
		}
	}
}

func TestPacketsSentTwiceAreUsedOnce(t *testing.T) {
	want, _ := demux(clip(), Options{})
	var twice []byte
	for _, p := range packetsOf(clip()) {
		twice = append(append(twice, p...), p...)
	}
	got, d := demux(twice, Options{})
	if !reflect.DeepEqual(want, got) || d.Errors()["duplicate"] != 0 {
		t.Errorf("not the same: %v", wrong(d))
	}
	list := packetsOf(clip())
	i := nth(t, list, testVideo, 3)
	_, d = demux(slices.Concat(slices.Insert(list, i, list[i], list[i])...), Options{})
	if d.Errors()["duplicate"] != 1 || d.Errors()["continuity"] != 0 {
		t.Errorf("three times: %v", wrong(d))
	}
}

func TestSixteenLostPacketsAreNoDuplicate(t *testing.T) {
	m := announced()
	m.video(9000, none, annexB(aud, spsOf(0, 320, false), ppsOf(0, 0, 0), slice{kind: sliceI, idr: true, body: 6000}.nalu()))
	m.video(12600, none, annexB(aud, slice{kind: sliceP, frameNum: 1, lsb: 2, body: 100}.nalu()))
	list := packetsOf(m.out)
	i := nth(t, list, testVideo, 5)
	_, d := demux(slices.Concat(slices.Delete(list, i, i+15)...), Options{})
	if d.Errors()["continuity"] != 15 {
		t.Errorf("errors: %v", wrong(d))
	}
}

func TestPacketsWithoutPayloadDontCount(t *testing.T) {
	want, _ := demux(clip(), Options{})
	m := newMuxer()
	for _, p := range packetsOf(clip()) {
		m.out = append(m.out, p...)
		pid := int(p[1]&0x1f)<<8 | int(p[2])
		m.cc[pid] = p[3]&0x0f + 1
		m.empty(pid, 0)
	}
	got, d := demux(m.out, Options{})
	if !reflect.DeepEqual(want, got) {
		t.Errorf("not the same: %v", wrong(d))
	}
}

func TestAnAnnouncedJumpOfTheCounterIsNoLoss(t *testing.T) {
	m := announced()
	m.video(9000, none, annexB(aud, spsOf(0, 320, false), ppsOf(0, 0, 0), slice{kind: sliceI, idr: true, body: 100}.nalu()))
	m.cc[testVideo] += 5
	at := len(m.out)
	m.video(12600, none, annexB(aud, slice{kind: sliceP, frameNum: 1, lsb: 2, body: 100}.nalu()))
	m.out[at+5] |= 0x80
	events, d := demux(m.out, Options{})
	if got := samples(events, testVideo); len(got) != 2 || got[0].Damaged || got[1].Damaged || d.Errors()["continuity"] != 0 {
		t.Errorf("%d pictures, %v", len(got), wrong(d))
	}
}

func TestBrokenAndEncryptedPacketsAreCountedAndNotUsed(t *testing.T) {
	for reason, spoil := range map[string]func(p []byte){
		"transport_error": func(p []byte) { p[1] |= 0x80 },
		"scrambled":       func(p []byte) { p[3] |= 0xc0 },
		"packet":          func(p []byte) { p[3] &^= 0x30 },
	} {
		list := packetsOf(clip())
		spoil(list[nth(t, list, testVideo, 8)])
		events, d := demux(slices.Concat(list...), Options{})
		if d.Errors()[reason] != 1 {
			t.Errorf("%s: %v", reason, wrong(d))
		}
		hurt := 0
		for _, s := range samples(events, testVideo) {
			if s.Damaged {
				hurt++
			}
		}
		if hurt != 1 {
			t.Errorf("%s: %d damaged pictures", reason, hurt)
		}
	}
}

func TestOneBrokenSyncByteCostsOnePacket(t *testing.T) {
	list := packetsOf(clip())
	list[nth(t, list, testVideo, 8)][0] = 0x46
	events, d := demux(slices.Concat(list...), Options{})
	hurt := 0
	for _, s := range samples(events, testVideo) {
		if s.Damaged {
			hurt++
		}
	}
	if d.Errors()["sync"] != packetSize || d.Errors()["continuity"] != 1 || len(samples(events, testVideo)) != 13 ||
		len(samples(events, testAudio)) != 39 || hurt != 1 {
		t.Errorf("errors: %v", wrong(d))
	}
}

func TestAPhaseThatPayloadsPretendIsNotBelieved(t *testing.T) {
	m := announced()
	m.video(9000, none, first)
	for range 40 {
		m.packet(pidNull, bytes.Repeat([]byte{syncByte}, 184), false)
	}
	m.video(12600, none, append(annexB(aud), picture(1)...))
	m.out[20*packetSize] = 0
	events, d := demux(m.out, Options{})
	if len(samples(events, testVideo)) != 2 || d.Errors()["sync"] != packetSize {
		t.Errorf("errors: %v", wrong(d))
	}
}

func TestAPacketThatIsCutShortDamagesWhatItBelongsTo(t *testing.T) {
	m := announced()
	m.video(9000, none, append(bytes.Clone(sets), annexB(slice{kind: sliceI, idr: true, body: 900}.nalu())...))
	m.video(12600, none, append(annexB(aud), picture(1)...))
	list := packetsOf(m.out)
	i := nth(t, list, testVideo, 2)
	stuffing := slices.Repeat([]byte{0xff}, packetSize) // a packet that the short one swallows
	copy(stuffing, []byte{syncByte, 0x1f, 0xff, 0x10})
	b := slices.Concat(slices.Concat(list[:i]...), list[i][:100], stuffing, slices.Concat(list[i+1:]...))
	events, d := demux(b, Options{})
	got := samples(events, testVideo)
	if len(got) != 2 || !got[0].Damaged || got[1].Damaged || d.Errors()["continuity"] != 0 {
		t.Errorf("%d pictures, %v", len(got), wrong(d))
	}
}

func TestGarbageBetweenPacketsIsSkippedAndCounted(t *testing.T) {
	want, _ := demux(clip(), Options{})
	list := packetsOf(clip())
	i := nth(t, list, testVideo, 30)
	for list[i][1]&0x40 == 0 { // between two units nothing else is lost
		i++
	}
	for _, size := range []int{1, 4, 187, 188, 189, 5000, 100000} {
		garbage := bytes.Repeat([]byte{0x55}, size)
		b := slices.Concat(slices.Concat(list[:i]...), garbage, slices.Concat(list[i:]...))
		got, d := demux(b, Options{})
		if d.Errors()["sync"] != uint64(size) {
			t.Errorf("%d bytes of garbage: %v", size, wrong(d))
		}
		var units, all int
		for _, e := range got {
			if _, ok := e.(*media.Sample); ok {
				units++
			}
		}
		for _, e := range want {
			if _, ok := e.(*media.Sample); ok {
				all++
			}
		}
		if units < all-1 {
			t.Errorf("%d bytes of garbage: %d of %d units", size, units, all)
		}
	}
}

func TestATruncatedStreamGivesWhatIsComplete(t *testing.T) {
	b := clip()
	whole, _ := demux(b, Options{})
	for n := 0; n < len(b); n += 61 {
		events, _ := demux(b[:n], Options{})
		for _, pid := range []int{testVideo, testAudio} {
			got, all := samples(events, pid), samples(whole, pid)
			for i, s := range got {
				last := i == len(got)-1
				if !reflect.DeepEqual(s, all[i]) && !(last && pid == testVideo) { // a PES packet without length hides its end
					t.Fatalf("%d bytes: sample %d of %d differs", n, i, pid)
				}
			}
		}
	}
}

func TestAPESPacketShorterThanItSaysIsADamagedOne(t *testing.T) {
	m := announced()
	m.payload(testVideo, pesOf(0xe0, 9000, none, true, annexB(aud, spsOf(0, 320, false), ppsOf(0, 0, 0), slice{kind: sliceI, idr: true, body: 900}.nalu())))
	list := packetsOf(m.out)
	cut := slices.Concat(list[:len(list)-1]...)
	events, d := demux(cut, Options{})
	if len(samples(events, testVideo)) != 0 || d.Errors()["pes_short"] != 1 || d.Errors()["damaged"] != 1 {
		t.Errorf("at the end: %v", wrong(d))
	}
	m.out = cut
	m.cc[testVideo]--
	m.video(12600, none, annexB(aud, slice{kind: sliceP, frameNum: 1, lsb: 2, body: 100}.nalu()))
	events, d = demux(m.out, Options{})
	if got := samples(events, testVideo); len(got) != 2 || !got[0].Damaged || got[1].Damaged || d.Errors()["pes_short"] != 1 {
		t.Errorf("in the middle: %v", wrong(d))
	}
}

func TestAfterFlushANewStreamBeginsCleanOnTheSameTracksAndClock(t *testing.T) {
	d := New(Options{})
	d.Write(clip(), noon)
	d.Flush()
	first := drain(d)
	d.Write(clip(), noon)
	d.Flush()
	second := drain(d)
	if n := len(samples(second, testVideo)); n != 13 {
		t.Errorf("%d pictures the second time", n)
	}
	for _, e := range second {
		if _, ok := e.(media.Begin); ok {
			t.Error("the tracks were announced again, and nothing had changed")
		}
	}
	if !reflect.DeepEqual(samples(first, testAudio), samples(second, testAudio)) {
		t.Error("the second time the audio is another")
	}
}

func TestWhoeverNeverCallsNextLosesEventsAndIsTold(t *testing.T) {
	d := New(Options{})
	b := clip()
	for d.Errors()["queue"] == 0 {
		d.Write(b, noon)
	}
	if n := len(d.queue.events); n > MaxQueued {
		t.Errorf("%d events wait", n)
	}
	drain(d)
	d.Write(b, noon)
	events := drain(d)
	lost, ok := events[0].(media.Lost)
	if !ok || lost.Reason != "queue" || lost.Count == 0 {
		t.Errorf("first came %v", events[0])
	}
	if b, ok := events[1].(media.Begin); !ok || len(b.Tracks) != 2 || !b.Tracks[0].Known() {
		t.Errorf("then came %v", events[1])
	}
}

func TestAUnitThatNeverEndsIsDroppedAndMemoryStaysBounded(t *testing.T) {
	d := New(Options{})
	m := announced()
	m.video(9000, none, annexB(aud, spsOf(0, 320, false), ppsOf(0, 0, 0), slice{kind: sliceI, idr: true, body: 100}.nalu()))
	d.Write(m.out, noon)
	for range MaxUnit / 184 * 5 / 2 {
		m.out = m.out[:0]
		m.packet(testVideo, bytes.Repeat([]byte{0xaa}, 184), false)
		d.Write(m.out, noon)
		if n := held(d); n > MaxUnit*3/2 {
			t.Fatalf("%d bytes are held", n)
		}
	}
	if d.Errors()["too_big"] == 0 {
		t.Errorf("errors: %v", wrong(d))
	}
	m.out = m.out[:0]
	m.video(99000, none, annexB(aud, slice{kind: sliceI, idr: true, body: 100}.nalu()))
	m.video(102600, none, annexB(aud, slice{kind: sliceP, frameNum: 1, lsb: 2, body: 100}.nalu()))
	d.Write(m.out, noon)
	if len(samples(drain(d), testVideo)) != 1 {
		t.Error("nothing comes after it")
	}
}

func TestUnfinishedUnitsOfAllTracksShareOneLimit(t *testing.T) {
	d := New(Options{})
	for range 8 {
		d.tracks = append(d.tracks, &track{d: d})
	}
	granted := 0
	for _, t := range d.tracks {
		if t.hold(MaxUnit) {
			granted++
		}
	}
	if granted != MaxBuffered/MaxUnit || d.tracks[0].hold(MaxUnit+1) || !d.tracks[0].hold(100) {
		t.Errorf("%d tracks may hold the most", granted)
	}
}

// held is how much memory the unfinished units take.
func held(d *Demuxer) (n int) {
	n = cap(d.framer.hold)
	for _, t := range d.tracks {
		switch p := t.es.parser.(type) {
		case *videoParser:
			n += cap(p.raw) + 16*cap(p.cur.nals) + 16*cap(p.next.nals)
		case *audioParser:
			n += cap(p.buf)
		}
	}
	return n
}
