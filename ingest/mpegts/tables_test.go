package mpegts

import (
	"bytes"
	"reflect"
	"slices"
	"testing"

	"flambeau/packager/media"
)

func begins(events []media.Event) (list []media.Begin) {
	for _, e := range events {
		if b, ok := e.(media.Begin); ok {
			list = append(list, b)
		}
	}
	return list
}

func ids(b media.Begin) (list []int) {
	for _, t := range b.Tracks {
		list = append(list, t.ID)
	}
	return list
}

func TestTracksComeInTheOrderOfThePMTWithTheirLanguages(t *testing.T) {
	m := newMuxer()
	m.tables(0, pat(0, 0, 0x10, 1, testPMT))
	m.tables(testPMT, pmt(1, 0, es{0x0f, 0x300, iso639("FRA")}, es{0x1b, 0x200, nil}, es{0x0f, 0x250, iso639("q!a")},
		es{0x06, 0x400, []byte{0x56, 5, 'd', 'e', 'u', 8, 1}}, es{0x02, 0x401, nil}, es{0x06, 0x402, []byte{0x05, 4, 'O', 'p', 'u', 's'}},
		es{0x06, 0x403, []byte{0x7a, 0}}, es{0x77, 0x404, nil}, es{0x1b, 0x200, nil}, es{0x24, 0x405, nil}, es{0x1b, 3, nil}))
	events, d := demux(m.out, Options{})
	b := lastBegin(t, events)
	if !reflect.DeepEqual(ids(b), []int{0x300, 0x200, 0x250, 0x403, 0x405}) || b.Tracks[0].Language != "fra" || b.Tracks[2].Language != "" {
		t.Errorf("tracks: %+v", b.Tracks)
	}
	for _, x := range b.Tracks {
		if x.Known() || x.Timescale != 90000 {
			t.Errorf("track %+v", x)
		}
	}
	var got []string
	for _, s := range d.Streams() {
		got = append(got, s.Name+" "+s.Language+" "+s.Why)
	}
	want := []string{"AAC fra ", "H.264  ", "AAC  ", "teletext deu not supported", "MPEG-2 video  not supported", "Opus  not supported",
		"E-AC-3  ", "unknown  not supported", "H.264  the PID is listed twice", "H.265  ", "H.264  a reserved PID"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("streams: %q", got)
	}
}

func TestTracksThatComeGoAndAreRenamedAreAnnounced(t *testing.T) {
	m := announced()
	m.video(9000, none, first)
	m.video(12600, none, append(annexB(aud), picture(1)...))
	change := func(version int, list ...es) { m.tables(testPMT, pmt(1, version, list...)) }
	change(0, es{0x1b, testVideo, nil}, es{0x0f, testAudio, iso639("fra")}, es{0x86, testCues, nil}) // again
	change(1, es{0x1b, testVideo, nil}, es{0x0f, testAudio, iso639("deu")})
	change(2, es{0x1b, testVideo, nil}, es{0x0f, testAudio, iso639("deu")}, es{0x0f, 0x200, nil})
	change(3, es{0x0f, 0x200, nil})
	change(4, es{0x0f, 0x200, nil}, es{0x02, 0x201, nil}) // nothing for us
	events, _ := demux(m.out, Options{})
	var got [][]int
	for _, b := range begins(events) {
		got = append(got, ids(b))
	}
	want := [][]int{{testVideo, testAudio}, {testVideo, testAudio}, {testVideo, testAudio}, {testVideo, testAudio, 0x200}, {0x200}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("announced: %v", got)
	}
	if l := begins(events)[2].Tracks[1].Language; l != "deu" {
		t.Errorf("language %q", l)
	}
	if n := len(samples(events, testVideo)); n != 2 {
		t.Errorf("%d pictures: the last of a track that goes is not lost", n)
	}
}

func TestATrackThatMovesToAnotherPIDIsAnother(t *testing.T) {
	m := announced()
	m.video(9000, none, first)
	m.tables(testPMT, pmt(1, 1, es{0x1b, 0x200, nil}))
	m.payload(0x200, pesOf(0xe0, 12600, none, false, first))
	events, _ := demux(m.out, Options{})
	if len(samples(events, testVideo)) != 1 || len(samples(events, 0x200)) != 1 {
		t.Error("pictures are missing")
	}
	if b := lastBegin(t, events); !reflect.DeepEqual(ids(b), []int{0x200}) || !b.Tracks[0].Known() {
		t.Errorf("tracks: %+v", b.Tracks)
	}
}

func TestTheProgrammeThatWasAskedForIsGiven(t *testing.T) {
	m := newMuxer()
	m.tables(0, pat(0, 7, 0x70, 8, 0x80, 9, 0x90))
	m.tables(0x90, pmt(9, 0, es{0x1b, 0x91, nil}))
	m.tables(0x80, pmt(8, 0, es{0x1b, 0x81, nil}))
	m.tables(0x70, pmt(7, 0, es{0x02, 0x71, nil}))
	for o, want := range map[int]int{0: 0x81, 8: 0x81, 9: 0x91} {
		events, _ := demux(m.out, Options{Program: o})
		if b := begins(events); len(b) != 1 || !reflect.DeepEqual(ids(b[0]), []int{want}) {
			t.Errorf("programme %d: %+v", o, b)
		}
	}
	events, d := demux(m.out, Options{Program: 5})
	if len(begins(events)) != 0 || d.Errors()["no_programme"] != 1 {
		t.Errorf("programme 5: %v", wrong(d))
	}
	if _, d := demux(m.out, Options{Program: 7}); len(d.Streams()) != 1 || d.Streams()[0].Name != "MPEG-2 video" {
		t.Errorf("programme 7: %+v", d.Streams())
	}
}

func TestAProgrammeWhosePMTNeverComesIsGivenUp(t *testing.T) {
	m := newMuxer()
	m.tables(0, pat(0, 7, 0x70, 8, 0x80))
	d := New(Options{})
	for i := range patience {
		if d.Write(m.out, noon); d.program != nil {
			t.Fatalf("chosen after %d PMTs", i)
		}
		m.out = nil
		m.tables(0x80, pmt(8, 0, es{0x1b, 0x81, nil}))
		for range probePackets { // so that the phase is found
			m.packet(pidNull, nil, false)
		}
	}
	d.Write(m.out, noon)
	if d.program == nil || d.program.number != 8 {
		t.Error("never chosen")
	}
}

func TestAProgrammeThatLeavesThePATTakesItsTracksAlong(t *testing.T) {
	m := announced()
	m.video(9000, none, first)
	m.tables(0, pat(1, 2, 0x80))
	m.tables(0x80, pmt(2, 0, es{0x1b, 0x81, nil}))
	m.payload(0x81, pesOf(0xe0, 12600, none, false, first))
	events, _ := demux(m.out, Options{})
	var got [][]int
	for _, b := range begins(events) {
		got = append(got, ids(b))
	}
	if !reflect.DeepEqual(got, [][]int{{testVideo, testAudio}, {testVideo, testAudio}, nil, {0x81}, {0x81}}) {
		t.Errorf("announced: %v", got)
	}
}

func TestAPMTThatMovesToAnotherPIDChangesNothing(t *testing.T) {
	m := announced()
	m.video(9000, none, first)
	m.tables(0, pat(1, 1, 0x80))
	m.tables(0x80, pmt(1, 0, es{0x1b, testVideo, nil}, es{0x0f, testAudio, iso639("fra")}, es{0x86, testCues, nil}))
	m.video(12600, none, append(annexB(aud), picture(1)...))
	events, _ := demux(m.out, Options{})
	if n := len(begins(events)); n != 2 || len(samples(events, testVideo)) != 2 {
		t.Errorf("%d announcements, %d pictures", n, len(samples(events, testVideo)))
	}
}

func TestAPATOfManySections(t *testing.T) {
	parts := [][]byte{
		section(0, 1, 3, 0, 2, []byte{0, 0, 0xe0, 0x10}), section(0, 1, 3, 1, 2, []byte{0, 9, 0xe0, 0x90}),
		section(0, 1, 3, 2, 2, []byte{0, 8, 0xe0, 0x80}),
	}
	for _, order := range [][]int{{0, 1, 2}, {2, 0, 1}} {
		m := newMuxer()
		for _, i := range order {
			m.tables(0, parts[i])
		}
		m.tables(0x90, pmt(9, 0, es{0x1b, 0x91, nil}))
		events, _ := demux(m.out, Options{})
		if b := begins(events); len(b) != 1 || b[0].Tracks[0].ID != 0x91 {
			t.Errorf("order %v: %+v", order, b)
		}
	}
}

func TestSectionsMayBeginAnywhereAndShareAPacket(t *testing.T) {
	foreign := sealed([]byte{0x72, 0x70, 0, 1, 2, 3, 4, 5, 6, 7})
	var long []es // a PMT that needs several packets
	for i := range 40 {
		long = append(long, es{0x02, 0x400 + i, iso639("eng")})
	}
	table := pmt(1, 0, append(long, es{0x1b, testVideo, nil})...)
	for lead := range 180 { // so many bytes of another section stand before it in the packet
		m := newMuxer()
		m.tables(0, pat(0, 1, testPMT))
		head := sealed(append([]byte{0x72, 0x70, 0}, bytes.Repeat([]byte{9}, lead)...))
		all := slices.Concat(head, table, foreign, table)
		p := append([]byte{0}, all...)
		m.packet(testPMT, p[:184], true)
		for p = p[184:]; len(p) > 184; p = p[184:] {
			m.packet(testPMT, p[:184], false)
		}
		m.packet(testPMT, p, false)
		events, d := demux(m.out, Options{})
		if b := begins(events); len(b) != 1 || !reflect.DeepEqual(ids(b[0]), []int{testVideo}) || d.Errors()["crc"] != 0 {
			t.Fatalf("lead %d: %+v, %v", lead, b, wrong(d))
		}
	}
}

func TestThePointerFieldEndsOneSectionAndBeginsTheNext(t *testing.T) {
	m := newMuxer()
	m.tables(0, pat(0, 1, testPMT))
	table := pmt(1, 0, es{0x1b, testVideo, nil})
	other := sealed(append([]byte{0x72, 0x70, 0}, bytes.Repeat([]byte{9}, 200)...))
	m.packet(testPMT, append([]byte{0}, other[:183]...), true)
	m.packet(testPMT, slices.Concat([]byte{byte(len(other) - 183)}, other[183:], table, bytes.Repeat([]byte{0xff}, 50)), true)
	if events, d := demux(m.out, Options{}); len(begins(events)) != 1 || len(wrong(d)) != 0 {
		t.Errorf("not found: %v", wrong(d))
	}
}

func TestTablesThatAreWrongAreCountedAndNotBelieved(t *testing.T) {
	good := pmt(1, 0, es{0x1b, testVideo, nil})
	flipped := slices.Clone(good)
	flipped[14] ^= 1
	overlong := sealed(append(slices.Clone(good[:12]), 0xf0, 200, 0x1b, 0xe1, 1, 0xf0, 0))
	next := slices.Clone(good)
	next[5] &^= 1 // not current yet
	for name, c := range map[string]struct {
		table  []byte
		reason string
	}{"flipped": {flipped, "crc"}, "lengths": {overlong, "section"}, "next": {sealed(next[:len(next)-4]), ""}} {
		m := newMuxer()
		m.tables(0, pat(0, 1, testPMT))
		m.tables(testPMT, c.table)
		events, d := demux(m.out, Options{})
		if len(begins(events)) != 0 || c.reason != "" && d.Errors()[c.reason] != 1 {
			t.Errorf("%s: %v", name, wrong(d))
		}
	}
	m := newMuxer()
	m.packet(0, []byte{250, 0, 1}, true) // a pointer out of the packet
	m.packet(0, []byte{0, 0, 0xbf, 0xff, 1}, true)
	if _, d := demux(m.out, Options{}); d.Errors()["section"] != 2 {
		t.Errorf("pointer and length: %v", wrong(d))
	}
}

func TestWithoutTablesNothingIsSaidAndAllIsCounted(t *testing.T) {
	list := slices.DeleteFunc(packetsOf(clip()), func(p []byte) bool { return p[1]&0x1f == 0 && p[2] == 0 })
	events, d := demux(slices.Concat(list...), Options{})
	if len(events) != 0 || d.Errors()["unannounced"] != uint64(len(list)) {
		t.Errorf("%d events, %v", len(events), wrong(d))
	}
}

func TestLimitsOfTables(t *testing.T) {
	var pairs []int
	for i := range 200 {
		pairs = append(pairs, i+1, 0x100+i)
	}
	m := newMuxer()
	m.tables(0, pat(0, pairs...))
	_, d := demux(m.out, Options{})
	if len(d.candidates) != MaxPrograms || d.Errors()["too_many"] != 200-MaxPrograms {
		t.Errorf("%d programmes, %v", len(d.candidates), wrong(d))
	}
	var list []es
	for i := range 100 {
		list = append(list, es{0x1b, 0x400 + i, nil})
	}
	m = newMuxer()
	m.tables(0, pat(0, 1, testPMT))
	m.tables(testPMT, pmt(1, 0, list...))
	events, d := demux(m.out, Options{})
	if n := len(lastBegin(t, events).Tracks); n != MaxTracks || len(d.Streams()) != 100 || d.Streams()[99].Why != "too many streams" {
		t.Errorf("%d tracks", n)
	}
}

func TestCRCIsThatOfTheStandard(t *testing.T) {
	if c := crc32([]byte("123456789")); c != 0x0376e6e7 { // CRC-32/MPEG-2's check value
		t.Errorf("%08x", c)
	}
}
