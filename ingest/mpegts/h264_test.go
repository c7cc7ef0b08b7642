package mpegts

import (
	"bytes"
	"reflect"
	"testing"

	"flambeau/packager/media"
)

var (
	sets  = annexB(aud, spsOf(0, 320, false), ppsOf(0, 0, 0))
	first = append(bytes.Clone(sets), annexB(slice{kind: sliceI, idr: true, body: 300}.nalu())...)
)

// picture is the nth after an IDR picture, all of them P.
func picture(n int, more ...[]byte) []byte {
	s := slice{kind: sliceP, frameNum: uint32(n) & 15, lsb: uint32(2*n) & 255, body: 120}
	return annexB(append(more, s.nalu())...)
}

func pictures(t *testing.T, m *muxer) []*media.Sample {
	t.Helper()
	events, _ := demux(m.out, Options{})
	return samples(events, testVideo)
}

func TestPicturesAreToldApartWithoutDelimiters(t *testing.T) {
	m := announced()
	m.video(9000, none, annexB(spsOf(0, 320, false), ppsOf(0, 0, 0), slice{kind: sliceI, idr: true, body: 300}.nalu()))
	for n := 1; n < 6; n++ {
		m.video(9000+int64(n)*3600, none, picture(n))
	}
	got := pictures(t, m)
	if len(got) != 6 {
		t.Fatalf("%d pictures", len(got))
	}
	for n, s := range got {
		if s.PTS != media.Ticks(9000+n*3600) || s.Key != (n == 0) {
			t.Errorf("picture %d at %d, key %v", n, s.PTS, s.Key)
		}
	}
}

func TestSlicesOfOnePictureStayTogether(t *testing.T) {
	m := announced()
	at := func(n int, first uint32) []byte {
		return slice{first: first, kind: sliceP, frameNum: uint32(n), lsb: uint32(2 * n), body: 60}.nalu()
	}
	m.video(9000, none, first)
	for n := 1; n < 4; n++ {
		m.video(9000+int64(n)*3600, none, annexB(at(n, 0), at(n, 100), []byte{6, 5, 1, 0xaa, 0x80}, at(n, 200)))
	}
	got := pictures(t, m)
	if len(got) != 4 {
		t.Fatalf("%d pictures", len(got))
	}
	want := lengths(annexB(at(2, 0), at(2, 100), []byte{6, 5, 1, 0xaa, 0x80}, at(2, 200)))
	if !bytes.Equal(got[2].Data, want) {
		t.Error("other NAL units than went in")
	}
}

func TestEqualHeadersAndAFirstMacroblockMakeANewPicture(t *testing.T) {
	m := announced()
	m.video(9000, none, first)
	same := slice{kind: sliceI, idr: true, body: 50}.nalu() // an encoder that never counts idr_pic_id
	m.video(12600, none, annexB(same))
	m.video(16200, none, annexB(same))
	if n := len(pictures(t, m)); n != 3 {
		t.Errorf("%d pictures", n)
	}
}

func TestTwoFieldsAreOneSample(t *testing.T) {
	m := announced()
	field := func(n int, bottom, idr bool) []byte {
		kind := uint32(sliceP)
		if idr {
			kind = sliceI
		}
		lsb := uint32(2 * n)
		if bottom {
			lsb++
		}
		return slice{kind: kind, frameNum: uint32(n), interlaced: true, field: true, bottom: bottom, idr: idr, lsb: lsb, body: 90}.nalu()
	}
	m.video(9000, none, annexB(aud, spsOf(0, 320, true), ppsOf(0, 0, 0), field(0, false, true)))
	m.video(10800, none, annexB(aud, field(0, true, false)))
	for n := 1; n < 4; n++ { // both in one PES packet
		m.video(9000+int64(n)*3600, none, annexB(aud, field(n, false, false), aud, field(n, true, false)))
	}
	m.video(9000+4*3600, none, annexB(aud, slice{kind: sliceP, frameNum: 4, interlaced: true, lsb: 8, body: 90}.nalu())) // a frame
	got := pictures(t, m)
	if len(got) != 5 {
		t.Fatalf("%d samples", len(got))
	}
	for n, s := range got {
		if s.PTS != media.Ticks(9000+n*3600) || s.Key != (n == 0) || s.Damaged {
			t.Errorf("sample %d: %d, key %v, damaged %v", n, s.PTS, s.Key, s.Damaged)
		}
	}
	if want := lengths(annexB(field(2, false, false), field(2, true, false))); !bytes.Equal(got[2].Data, want) {
		t.Error("a sample is not its two fields")
	}
}

func TestATimestampOfASecondFieldIsNotThatOfTheNextFrame(t *testing.T) {
	m := announced()
	field := func(n int, bottom bool) []byte {
		return slice{kind: sliceP, frameNum: uint32(n), interlaced: true, field: true, bottom: bottom, lsb: uint32(2 * n), body: 90}.nalu()
	}
	m.video(9000, none, annexB(aud, spsOf(0, 320, true), ppsOf(0, 0, 0),
		slice{kind: sliceI, idr: true, interlaced: true, field: true, body: 90}.nalu()))
	m.video(10800, none, annexB(aud, field(0, true), aud, field(1, false), aud, field(1, true)))
	if got := pictures(t, m); len(got) != 2 || got[0].PTS != 9000 || got[1].PTS != 12600 {
		t.Errorf("%d samples, the second at %d", len(got), got[len(got)-1].PTS)
	}
}

func TestAfterALostFirstFieldTheOthersPairRight(t *testing.T) {
	m := announced()
	field := func(n int, bottom bool) []byte { // frame_num of pictures that nothing refers to stays
		lsb := uint32(2 * n)
		if bottom {
			lsb++
		}
		return slice{kind: sliceB, frameNum: 1, interlaced: true, field: true, bottom: bottom, discard: true, lsb: lsb, body: 90}.nalu()
	}
	m.video(9000, none, annexB(aud, spsOf(0, 320, true), ppsOf(0, 0, 0),
		slice{kind: sliceI, idr: true, interlaced: true, field: true, body: 90}.nalu()))
	m.video(9000, none, annexB(aud, slice{kind: sliceP, interlaced: true, field: true, bottom: true, lsb: 1, body: 90}.nalu()))
	for n := 1; n < 6; n++ {
		at := 9000 + int64(n)*3600
		if n == 3 {
			m.cc[testVideo]++ // the first field's packet is lost
		} else {
			m.video(at, none, annexB(aud, field(n, false)))
		}
		m.video(at+1800, none, annexB(aud, field(n, true)))
	}
	var times []media.Ticks
	var hurt []bool
	for _, s := range pictures(t, m) {
		times, hurt = append(times, s.PTS), append(hurt, s.Damaged)
	}
	// What went before can't know that it was complete.
	if !reflect.DeepEqual(times, []media.Ticks{9000, 12600, 16200, 21600, 23400, 27000}) ||
		!reflect.DeepEqual(hurt, []bool{false, false, true, true, false, false}) {
		t.Errorf("samples at %v, damaged %v", times, hurt)
	}
}

func TestParametersAreSaidOnceAndAgainWhenTheyChange(t *testing.T) {
	m := announced()
	idr := slice{kind: sliceI, idr: true, body: 50}.nalu()
	sps, big := spsOf(0, 320, false), spsOf(0, 640, false)
	pps, other := ppsOf(0, 0, 0), ppsOf(0, 0, 3)
	second := ppsOf(1, 0, 5)
	for i, s := range [][][]byte{
		{aud, sps, second, pps, idr}, {aud, sps, pps, idr}, // repeated, in another order, and in part
		{aud, sps, other, idr}, // other bytes under an old id
		{aud, big, pps, idr},   // the second PPS is of another SPS
		{aud, spsOf(3, 320, false), ppsOf(4, 3, 0), slice{kind: sliceI, pps: 4, idr: true, body: 50}.nalu()}, // nothing of before
	} {
		m.video(int64(i)*3600, none, annexB(s...))
	}
	events, _ := demux(m.out, Options{})
	var said [][][]byte
	var when []int
	n := 0
	for _, e := range events {
		switch e := e.(type) {
		case media.Begin:
			if e.Tracks[0].Known() {
				said, when = append(said, e.Tracks[0].Parameters), append(when, n)
			}
		case *media.Sample:
			n++
		}
	}
	want := [][][]byte{{sps, pps, second}, {sps, other, second}, {big, pps}, {spsOf(3, 320, false), ppsOf(4, 3, 0)}}
	if !reflect.DeepEqual(said, want) || !reflect.DeepEqual(when, []int{0, 2, 3, 4}) || n != 5 {
		t.Errorf("before samples %v of %d: %x", when, n, said)
	}
}

func TestAChangeWithoutIDRDropsWhatWasMadeForTheOld(t *testing.T) {
	m := announced()
	m.video(0, none, annexB(aud, spsOf(0, 320, false), ppsOf(0, 0, 0), ppsOf(1, 0, 5), slice{kind: sliceI, body: 50}.nalu()))
	m.video(3600, none, annexB(aud, spsOf(0, 640, false), ppsOf(0, 0, 0), recovery, slice{kind: sliceI, body: 50}.nalu()))
	events, _ := demux(m.out, Options{})
	if got := lastBegin(t, events).Tracks[0].Parameters; !reflect.DeepEqual(got, [][]byte{spsOf(0, 640, false), ppsOf(0, 0, 0)}) {
		t.Errorf("parameters: %x", got)
	}
}

func TestAPictureThatLostItsSliceDoesNotTakeTheNextWithIt(t *testing.T) {
	m := announced()
	m.video(9000, none, first)
	long := append([]byte{6, 5, 200}, bytes.Repeat([]byte{0x77}, 201)...)
	unit := annexB(spsOf(0, 320, false), ppsOf(0, 0, 0), long, slice{kind: sliceI, idr: true, idrID: 1, body: 20}.nalu())
	m.video(12600, none, unit)
	m.video(16200, none, unit)
	list := packetsOf(m.out)
	i := nth(t, list, testVideo, 3) // the second packet of the second picture
	if list[i][1]&0x40 != 0 || list[i-1][1]&0x40 == 0 {
		t.Fatal("another packet")
	}
	events, d := demux(bytes.Join(append(list[:i:i], list[i+1:]...), nil), Options{})
	got := samples(events, testVideo)
	if len(got) != 2 || got[1].PTS != 16200 || got[1].Damaged || d.Errors()["damaged"] != 1 {
		t.Errorf("%d pictures, %v", len(got), wrong(d))
	}
}

func TestPicturesBeforeTheirParametersAreCounted(t *testing.T) {
	m := announced()
	for n := range 3 {
		m.video(int64(n)*3600, none, append(annexB(aud), picture(n)...))
	}
	m.video(3*3600, none, first)
	events, d := demux(m.out, Options{})
	if len(samples(events, testVideo)) != 1 || d.Errors()["no_parameters"] != 3 {
		t.Errorf("%d samples, %v", len(samples(events, testVideo)), wrong(d))
	}
	if b := events[0].(media.Begin); b.Tracks[0].Known() {
		t.Error("a track was known before its parameters came")
	}
}

func TestRecoveryPointsAreKeysOnlyWhereThereIsNoIDR(t *testing.T) {
	point := func(n int) []byte {
		return annexB(aud, recovery, slice{kind: sliceI, frameNum: uint32(n) & 15, lsb: uint32(2*n) & 255, body: 50}.nalu())
	}
	play := func(m *muxer, n int) {
		if n%20 == 10 {
			m.video(int64(n)*3600, none, point(n))
		} else {
			m.video(int64(n)*3600, none, append(annexB(aud), picture(n)...))
		}
	}
	without, with := announced(), announced()
	without.video(0, none, append(bytes.Clone(sets), annexB(recovery, slice{kind: sliceI, body: 50}.nalu())...))
	with.video(0, none, first)
	for n := 1; n < 100; n++ {
		play(without, n)
		play(with, n)
	}
	keys := func(m *muxer) (list []int) {
		for i, s := range pictures(t, m) {
			if s.Key {
				list = append(list, i)
			}
		}
		return list
	}
	if k := keys(without); !reflect.DeepEqual(k, []int{0, 10, 30, 50, 70, 90}) {
		t.Errorf("without IDR: %v", k)
	}
	if k := keys(with); !reflect.DeepEqual(k, []int{0, 70, 90}) {
		t.Errorf("with one IDR at the start: %v", k)
	}
}

func TestSeveralPicturesInOnePESPacketAreCountedOn(t *testing.T) {
	m := announced()
	order := []uint32{0, 6, 2, 4, 12, 8, 10} // I P B B P B B
	var all []byte
	for i, l := range order {
		s := slice{kind: sliceP, frameNum: uint32(i), lsb: l, body: 70}
		if i == 0 {
			all = append(all, sets...)
			s.kind, s.idr = sliceI, true
		} else {
			all = append(all, annexB(aud)...)
		}
		all = append(all, annexB(s.nalu())...)
	}
	m.video(9000+3600, 9000, all)
	got := pictures(t, m)
	if len(got) != len(order) {
		t.Fatalf("%d pictures", len(got))
	}
	for i, s := range got {
		if s.DTS != media.Ticks(9000+3600*i) || s.PTS != media.Ticks(12600+1800*order[i]) {
			t.Errorf("picture %d: %d, %d", i, s.PTS, s.DTS)
		}
	}
}

func TestWithoutAFrameRateTheLastDistanceCounts(t *testing.T) {
	silent := new(bitWriter).u(8, 77).u(8, 0).u(8, 30).ue(0).ue(0).ue(0).ue(4).ue(4).u(1, 0).ue(19).ue(17).u(1, 1).u(1, 1).u(1, 0).u(1, 0).nalu(0x67)
	m := announced()
	m.video(9000, none, annexB(aud, silent, ppsOf(0, 0, 0), slice{kind: sliceI, idr: true, body: 50}.nalu()))
	m.video(none, none, append(annexB(aud), picture(1)...)) // nothing to count by yet
	m.video(16200, none, append(annexB(aud), picture(2)...))
	m.video(none, none, append(annexB(aud), picture(3)...))
	events, d := demux(m.out, Options{})
	var times []media.Ticks
	for _, s := range samples(events, testVideo) {
		times = append(times, s.PTS)
	}
	if !reflect.DeepEqual(times, []media.Ticks{9000, 16200, 19800}) || d.Errors()["no_time"] != 1 {
		t.Errorf("at %v, %v", times, wrong(d))
	}
}

func TestARecoveryPointMayHaveASecondFieldThatIsPredicted(t *testing.T) {
	m := announced()
	m.video(9000, none, annexB(aud, spsOf(0, 320, true), ppsOf(0, 0, 0), recovery,
		slice{kind: sliceI, interlaced: true, field: true, body: 90}.nalu(), aud,
		slice{kind: sliceP, interlaced: true, field: true, bottom: true, lsb: 1, body: 90}.nalu()))
	if got := pictures(t, m); len(got) != 1 || !got[0].Key {
		t.Errorf("%d samples", len(got))
	}
}

func TestATimestampSpeaksOfThePictureThatCommencesInItsPacket(t *testing.T) {
	var whole []byte
	var starts []int
	for n := range 6 {
		starts = append(starts, len(whole))
		if n == 0 {
			whole = append(whole, first...)
		} else {
			whole = append(append(whole, annexB(aud)...), picture(n)...)
		}
	}
	for shift := range 60 { // every PES packet begins so many bytes before its picture
		m := announced()
		at := 0
		for n := range 6 {
			end := len(whole)
			if n < 5 {
				end = starts[n+1] - shift
			}
			m.video(9000+int64(n)*3600, none, whole[at:end])
			at = end
		}
		got := pictures(t, m)
		if len(got) != 6 {
			t.Errorf("shift %d: %d pictures", shift, len(got))
		}
		for n, s := range got {
			if s.PTS != media.Ticks(9000+n*3600) {
				t.Errorf("shift %d: picture %d at %d", shift, n, s.PTS)
			}
		}
	}
}

func TestAPictureIsGivenAsSoonAsTheNextDelimiterHasCome(t *testing.T) {
	d := New(Options{})
	m := announced()
	m.video(9000, none, first)
	d.Write(m.out, noon)
	if n := len(samples(drain(d), testVideo)); n != 0 {
		t.Fatalf("%d pictures before any could be complete", n)
	}
	m.out = nil
	m.packet(testVideo, append(pesOf(0xe0, 12600, none, false, annexB(aud)), 0, 0, 1, 0x41), true)
	d.Write(m.out, noon)
	if n := len(samples(drain(d), testVideo)); n != 1 {
		t.Errorf("%d pictures", n)
	}
}
