package mpegts

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"testing"

	"flambeau/packager/media"
)

// Each parser alone: from the front door a mutation rarely gets so far.

// FuzzTables takes sections with whatever body: the CRC, which no mutation finds, is made right.
func FuzzTables(f *testing.F) {
	f.Add(byte(0), pat(0, 1, testPMT)[3:])
	f.Add(byte(2), pmt(1, 0, es{0x1b, testVideo, nil}, es{0x0f, testAudio, iso639("fra")}, es{0x86, testCues, nil})[3:])
	f.Add(byte(2), pmt(1, 3, es{0x06, 0x104, []byte{0x05, 4, 'C', 'U', 'E', 'I'}}, es{0x04, 0x105, []byte{0x56, 5, 'd', 'e', 'u', 8, 1}})[3:])
	f.Add(byte(tableSplice), timeSignal(900000, 7)[3:])
	f.Add(byte(tableSplice), insert(0xc0, 0xfe, 0, 1, 0x5f, 0x90)[3:])
	f.Fuzz(func(t *testing.T, table byte, body []byte) {
		if len(body) < 5 || len(body) > 4090 {
			return
		}
		m := announced()
		m.video(9000, none, first)
		pid := map[byte]int{0: pidPAT, 2: testPMT}[table]
		if pid == 0 && table != 0 {
			pid = testCues
		}
		s := sealed(append([]byte{table, 0xb0, 0}, body[:len(body)-4]...))
		m.tables(pid, s)
		m.tables(pid, s, s)
		m.video(12600, none, annexB(aud, slice{kind: sliceP, frameNum: 1, lsb: 2, body: 20}.nalu()))
		d := New(Options{})
		d.Write(m.out, noon)
		d.Flush()
		var c checker
		c.check(t, drain(d))
		if n := len(d.tracks); n > MaxTracks || len(d.candidates) > MaxPrograms {
			t.Fatalf("%d tracks, %d programmes", n, len(d.candidates))
		}
		if n := held(d); n > alwaysHeld {
			t.Fatalf("%d bytes held after Flush", n)
		}
	})
}

// FuzzSplice reads one splice_info_section. Its time is within 33 bits of the clock; what is told of it is a copy.
func FuzzSplice(f *testing.F) {
	f.Add(timeSignal(900000, 7))
	f.Add(insert(0xc0, 0xfe, 0, 1, 0x5f, 0x90))
	f.Add(insert(0x80, 1, 7, 0xfe, 0, 1, 0x5f, 0x90))
	f.Fuzz(func(t *testing.T, s []byte) {
		if len(s) < 7 || len(s) > maxSection {
			return
		}
		s = binary.BigEndian.AppendUint32(s[:len(s)-4:len(s)-4], crc32(s[:len(s)-4]))
		d := New(Options{})
		d.clock.unwrap(8_000_000_000)
		c := d.listen(testCues, nil)
		c.section(s)
		for _, e := range drain(d) {
			cue, is := e.(media.Cue)
			if !is {
				continue
			}
			if s[0] != tableSplice || !bytes.Equal(cue.Section, s) || &cue.Section[0] == &s[0] || cue.Command != s[13] {
				t.Fatalf("% x became %+v", s, cue)
			}
			if d := int64(cue.At) - 8_000_000_000; d > wrap/2 || d < -wrap/2 {
				t.Fatalf("at %d", cue.At)
			}
		}
	})
}

// FuzzSyntax reads parameter sets, and a slice behind them, of either coding. Nothing that was read exceeds what the standard allows, where
// something is computed with it.
func FuzzSyntax(f *testing.F) {
	f.Add(false, spsOf(0, 320, true), ppsOf(0, 0, 0), slice{kind: sliceI, idr: true, interlaced: true, field: true, body: 9}.nalu())
	f.Add(false, spsOf(31, 4096, false), ppsOf(255, 31, 40), slice{kind: sliceB, pps: 255, lsb: 9, body: 9}.nalu())
	f.Add(false, spsOf(0, 320, false), new(bitWriter).ue(0).ue(0).u(1, 0).u(1, 0).ue(7).ue(6).ue(70).nalu(0x68), recovery)
	f.Add(false, new(bitWriter).u(8, 66).u(8, 0).u(8, 30).ue(0).ue(0).ue(1).u(1, 0).ue(0).ue(0).ue(255).ue(1).nalu(0x67), ppsOf(0, 0, 0), recovery)
	f.Add(true, sps265, pps265, slice265(nalCRA, 0, 7))
	f.Add(true, sps265, pps265, slice265(1, 3, 9))
	f.Fuzz(func(t *testing.T, is265 bool, first, second, nal []byte) {
		var x syntax = h264{}
		if is265 {
			x = h265{}
		}
		var sets parameterSets
		for _, n := range [][]byte{first, second, nal} {
			if len(n) == 0 || len(n) > 2*maxParameterSet || x.class(n) == nalBroken {
				return
			}
		}
		for _, n := range [][]byte{first, second} {
			if c := x.class(n); c == nalVideo || c == nalSequence || c == nalPictureSet {
				sets.takeSet(c, n, x, 1)
			}
		}
		for id, s := range sets.sequences {
			if s != nil && (int(s.id) != id || s.frameNumBits > 16 || s.lsbBits > 17 || s.addressBits > 32 || s.units < 0 || s.scale < 0) {
				t.Fatalf("%+v", s)
			}
		}
		for id, p := range sets.pictures {
			if p != nil && (int(p.id) != id || p.sps > 31) {
				t.Fatalf("%+v", p)
			}
		}
		x.recovers(nal)
		s, ok := x.slice(&sets, new(sliceHeader), nal)
		if again, _ := x.slice(&sets, new(sliceHeader), nal); !reflect.DeepEqual(s, again) {
			t.Fatalf("%+v, and then %+v", s, again)
		}
		if !ok || !s.known {
			return
		}
		set := sets.sequences[sets.pictures[s.pps].sps]
		var c counter
		c.given(stamp{pts: 90000, dts: 86400, ok: true}, &s)
		for i := range 40 {
			if next, ok := c.next(&s, set); ok && (next.dts <= 86400 || next.dts > 86400+media.Ticks(i+1)*20*timescale) {
				t.Fatalf("unit %d at %+v, by %+v", i, next, set)
			}
		}
	})
}

// FuzzElementary takes payloads of one PID, as packets of any size: whole PES packets, and pieces of them, of pictures and of sound.
func FuzzElementary(f *testing.F) {
	h264, aac, h265 := byte(0), byte(1), byte(2)
	f.Add(h264, byte(184), pesOf(0xe0, 9000, 5400, false, append(bytes.Clone(first), picture(1)...)))
	f.Add(h264, byte(17), append(pesOf(0xe0, 9000, none, true, first), pesOf(0xe0, none, none, false, picture(1))...))
	f.Add(aac, byte(184), pesOf(0xc0, 9000, none, true, bytes.Repeat(adtsOf(at48k, true, 50, 1), 3)))
	f.Add(aac, byte(3), pesOf(0xc0, 9000, none, false, append(adtsOf(4, false, 51, 2), adtsOf(at48k, false, 9, 3)...)))
	f.Add(h265, byte(184), pesOf(0xe0, 9000, 5400, false, annexB(sps265, pps265, slice265(nalCRA, 0, 7), slice265(1, 2, 9))))
	f.Add(byte(3), byte(184), pesOf(0xbd, 9000, none, true, bytes.Repeat(ac3Of(0), 3)))
	f.Add(byte(4), byte(184), pesOf(0xbd, 9000, none, true, bytes.Repeat(eac3Of(0, 0, 3, 60), 3)))
	f.Add(byte(5), byte(184), pesOf(0xc0, 9000, none, true, bytes.Repeat([]byte{0xff, 0xfb, 0x14, 0x44}, 300)))
	f.Add(byte(6), byte(184), pesOf(0xc0, 9000, none, true, append(latmOf(false, 30), latmOf(true, 31)...)))
	kinds := []es{{0x1b, testVideo, nil}, {0x0f, testVideo, nil}, {0x24, testVideo, nil}, {0x81, testVideo, nil}, {0x87, testVideo, nil}, {0x03, testVideo, nil}, {0x11, testVideo, nil}}
	f.Fuzz(func(t *testing.T, kind, size byte, b []byte) {
		if len(b) > 1<<16 || size == 0 {
			return
		}
		tell := func(size int) (events []media.Event, last int) {
			d := New(Options{})
			d.patSection(pat(0, 1, testPMT))
			d.pmtSection(testPMT, pmt(1, 0, kinds[int(kind)%len(kinds)]))
			p := d.pids[testVideo].take
			start := true
			for rest := b; len(rest) > 0; start = false {
				n := min(size, len(rest))
				p.packet(rest[:n], start || bytes.HasPrefix(rest, []byte{0, 0, 1, 0xe0}) || bytes.HasPrefix(rest, []byte{0, 0, 1, 0xc0}))
				rest = rest[n:]
			}
			d.Flush()
			return drain(d), held(d)
		}
		events, last := tell(int(size))
		var c checker
		c.check(t, events)
		if last > alwaysHeld {
			t.Fatalf("%d bytes held after Flush", last)
		}
		if again, _ := tell(int(size)); !reflect.DeepEqual(events, again) {
			t.Fatal("the same bytes told something else")
		}
	})
}
