package packager

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"flambeau/packager/media"
	"flambeau/packager/timeline"
)

// sparse is a feed of a picture every so many seconds, and a key frame a slot, which arrive when arrives says. It gives the cuts to take.
func sparse(seconds, every, slot int, arrives func(n int) time.Time, take func(Cut)) {
	c := NewChannel(Config{Channel: "story", Worker: "a", Segment: time.Duration(slot) * time.Second, Part: time.Second}, Past{})
	c.Push(media.Begin{Tracks: []media.Track{{ID: 256, Kind: media.Video, Codec: media.H264, Timescale: 90000, Parameters: parameters["1"]}}})
	for n := 0; n < seconds; n += every {
		dts := media.Ticks(n) * 90000
		for _, cut := range c.Push(&media.Sample{Track: 256, PTS: dts, DTS: dts, Key: n%slot == 0, Data: fmt.Append(nil, n), Arrived: arrives(n)}) {
			take(cut)
		}
	}
	for _, cut := range c.Push(media.End{Reason: "stop"}) {
		take(cut)
	}
}

// TestSeventeenDaysOnAClockThatIsFiftyPartsInAMillionFast: the drift is told, and nothing else comes of it: one generation, no timestamp
// bent, nothing lost.
func TestSeventeenDaysOnAClockThatIsFiftyPartsInAMillionFast(t *testing.T) {
	t.Parallel()
	const days, ppm, slot = 17, 50, 64
	var g timeline.Generation
	generations, slots := 0, int64(0)
	var last drift
	sparse(days*86400, 4, slot, func(n int) time.Time {
		return air.Add(time.Duration(n) * (time.Second - ppm*time.Microsecond)) // what it calls a second is shorter
	}, func(cut Cut) {
		switch c := cut.(type) {
		case *Opened:
			generations, g = generations+1, c.Generation
		case *Lost:
			t.Errorf("lost: %+v", c.Entries)
		case *Closed:
			want := timeline.Row{Slot: g.S0 + slots, Start: g.T0 + slots*slot*90000, Duration: slot * 90000}
			if c.Row.Slot != want.Slot || c.Row.Start != want.Start || c.Row.Duration != want.Duration && slots < days*86400/slot-1 {
				t.Fatalf("slot %d starts at %d for %d, want %+v", c.Row.Slot, c.Row.Start, c.Row.Duration, want)
			}
			if c.Drift.known {
				last = c.Drift
			}
			slots++
		}
	})
	want := time.Duration(days*86400) * ppm * time.Microsecond // 73.44 s
	if off := last.ahead - want; off < -10*time.Millisecond || off > 10*time.Millisecond {
		t.Errorf("a drift of %v is told, %v is true", last.ahead, want)
	}
	if generations != 1 || slots != days*86400/slot {
		t.Errorf("%d generations, %d slots", generations, slots)
	}
}

// TestAStepOfTheWorkersClockChangesNoNumberAndNoByte: the wall clock goes half a minute ahead, then back, then back an hour. It shows as
// drift, and in nothing that is stored.
func TestAStepOfTheWorkersClockChangesNoNumberAndNoByte(t *testing.T) {
	steps := func(n int) time.Duration {
		switch {
		case n < 60:
			return 0
		case n < 120:
			return 30 * time.Second
		case n < 180:
			return -30 * time.Second
		}
		return -time.Hour
	}
	told := map[time.Duration]bool{}
	var steady, stepped []byte
	write := func(to *[]byte) func(Cut) {
		return func(cut Cut) {
			switch c := cut.(type) {
			case *Opened:
				b, _ := c.Generation.Encode()
				*to = append(*to, b...)
			case *Closed:
				*to = append(timeline.RenditionRow{Rendition: c.Rendition, Row: c.Row}.Append(*to), c.Body...)
				if c.Drift.known {
					told[c.Drift.ahead.Round(time.Minute/2)] = true
				}
			case *Lost:
				b, _ := c.Encode()
				*to = append(*to, b...)
			}
		}
	}
	at := func(n int) time.Time { return air.Add(time.Duration(n) * time.Second) }
	sparse(240, 1, 8, at, write(&steady))
	sparse(240, 1, 8, func(n int) time.Time { return at(n).Add(steps(n)) }, write(&stepped))
	if len(steady) == 0 || !bytes.Equal(steady, stepped) {
		t.Error("what is stored is not the same")
	}
	for _, d := range []time.Duration{0, -30 * time.Second, 30 * time.Second, time.Hour} {
		if !told[d] {
			t.Errorf("a drift of %v is not told: %v", d, told)
		}
	}
}
