package mpegts

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"flambeau/packager/media"

	"github.com/google/go-cmp/cmp"
)

func TestPacketsOf188And192And204BytesTellTheSame(t *testing.T) {
	for name, b := range whole(t) {
		want, _ := demux(b, Options{})
		if len(want) < 30 {
			t.Fatalf("%s: only %d events", name, len(want))
		}
		for _, filling := range [][2]int{{0, 16}, {4, 0}} {
			got, d := demux(restride(b, filling[0], filling[1]), Options{})
			if !reflect.DeepEqual(want, got) {
				t.Errorf("%s with %v bytes of filling: %.400s", name, filling, cmp.Diff(want, got))
			}
			if n := d.Errors()["sync"]; n != 0 {
				t.Errorf("%s with %v bytes of filling: %d bytes skipped", name, filling, n)
			}
		}
	}
}

func TestItDoesNotMatterHowTheBytesAreCut(t *testing.T) {
	for name, b := range streams(t) {
		want, whole := demux(b, Options{})
		cuts := map[string]func() int{
			"one byte": func() int { return 1 }, "datagrams": func() int { return 1316 },
			"odd": random(1, 700), "large": random(2, 9000),
		}
		for cut, next := range cuts {
			got, d := demuxIn(b, next)
			if !reflect.DeepEqual(want, got) {
				t.Errorf("%s, %s: %.400s", name, cut, cmp.Diff(want, got))
			}
			if diff := cmp.Diff(whole.Errors(), d.Errors()); diff != "" {
				t.Errorf("%s, %s: %s", name, cut, diff)
			}
		}
	}
}

func demuxIn(b []byte, next func() int) (events []media.Event, d *Demuxer) {
	d = New(Options{})
	for len(b) > 0 {
		n := min(next(), len(b))
		d.Write(b[:n], noon)
		events = append(events, drain(d)...)
		b = b[n:]
	}
	d.Flush()
	return append(events, drain(d)...), d
}

// whole are a made stream and a real one.
func whole(t *testing.T) map[string][]byte {
	return map[string][]byte{"clip": clip(), "scte35-x264-20s.ts": feed(t, "scte35-x264-20s.ts")}
}

// streams are these, and some with damage of all kinds.
func streams(t *testing.T) map[string][]byte {
	m := whole(t)
	r := rand.New(rand.NewPCG(5, 6))
	for i := range 8 {
		b := append(append(clip(), clip()...), clip()...)
		for range 6 {
			b[r.IntN(len(b))] ^= byte(1 << r.IntN(8))
		}
		at := r.IntN(len(b) - 2000)
		b = append(b[:at:at], b[at+r.IntN(2000):]...)
		m[fmt.Sprint("damaged ", i)] = b
	}
	return m
}

func random(seed uint64, limit int) func() int {
	r := rand.New(rand.NewPCG(seed, seed))
	return func() int { return 1 + r.IntN(limit) }
}
