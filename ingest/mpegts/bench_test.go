package mpegts

import (
	"slices"
	"testing"
)

func BenchmarkRealFeed(b *testing.B)   { bench(b, feed(b, "h264-aac-12s.ts")) }
func BenchmarkBusyFeed(b *testing.B)   { bench(b, busy()) }
func BenchmarkOthersOnly(b *testing.B) { bench(b, foreign()) }

// bench takes a stream in datagrams, and says what a packet costs.
func bench(b *testing.B, stream []byte) {
	d := New(Options{})
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for p := range slices.Chunk(stream, 1316) {
			d.Write(p, noon)
			for {
				if _, ok := d.Next(); !ok {
					break
				}
				n++
			}
		}
		d.Flush()
	}
	if n == 0 {
		b.Fatal("nothing came of it")
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(stream)/packetSize), "ns/packet")
}

// busy is two seconds of 50 large pictures a second.
func busy() []byte {
	m := announced()
	for i := range 100 {
		au := annexB(aud, slice{kind: sliceP, frameNum: uint32(i) & 15, lsb: uint32(2*i) & 255, body: 20000}.nalu())
		if i%50 == 0 {
			au = annexB(aud, spsOf(0, 320, false), ppsOf(0, 0, 0), slice{kind: sliceI, idr: true, body: 90000}.nalu())
		}
		m.video(int64(i)*1800, none, au)
		m.audio(int64(i)*1920, adtsOf(at48k, false, 400, 7))
	}
	return m.out
}

// foreign is a programme among packets that are none of ours.
func foreign() []byte {
	m := announced()
	m.video(9000, none, first)
	for range 5000 {
		m.packet(0x500, make([]byte, 184), false)
	}
	return m.out
}

func TestAPacketCostsNoAllocation(t *testing.T) {
	d := New(Options{})
	m := announced()
	m.video(9000, none, first)
	for range 40000 {
		m.packet(testVideo, slices.Repeat([]byte{0x33}, 184), false)
	}
	d.Write(m.out, noon)
	drain(d)
	p := m.out[len(m.out)-packetSize:]
	d.tracks[0].es.finish()
	h := d.tracks[0].es.parser.(*videoParser)
	h.raw = make([]byte, 0, 1<<20)
	if n := testing.AllocsPerRun(1000, func() { d.Write(p, noon) }); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
}
