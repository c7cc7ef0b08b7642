package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// air is a feed as it goes out: transport packets by UDP, each when the feed's own clock says.
type air struct {
	ts    []byte
	port  int
	speed int                                     // how many times faster than that
	lost  func(at time.Duration, video bool) bool // what never arrives, by the time since the feed's beginning; nil: nothing
}

const (
	airVideo = 0x100 // as ffmpeg numbers it
	airBurst = 7     // packets a datagram
	// airWrap is where a clock of 27 MHz begins again: 33 bits of 90 kHz (ISO/IEC 13818-1, 2.4.3.5).
	airWrap = 300 << 33
	// airStep is the most that passes between two PCR (ISO/IEC 13818-1, 2.7.2: 100 ms; some feeds take longer). More is a jump.
	airStep = time.Second
	// wrapAt is the timestamp, in seconds, at which 33 bits of 90 kHz begin again: 95443.718.
	wrapAt = float64(1<<33) / 90000
)

// encode makes a transport stream with ffmpeg: a pattern with a running clock, a sound, a key frame every two seconds unless the
// arguments say otherwise. zero is its first timestamp in seconds.
func encode(t *testing.T, size string, seconds int, zero float64, more ...string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "feed.ts")
	args := []string{"-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=" + size + ":rate=25", "-f", "lavfi", "-i", "sine=beep_factor=4:sample_rate=48000", "-t", strconv.Itoa(seconds),
		"-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-keyint_min", "50", "-sc_threshold", "0", "-pix_fmt", "yuv420p", "-c:a", "aac"}
	args = append(args, more...)
	tool(t, time.Minute, "ffmpeg", append(args, "-output_ts_offset", strconv.FormatFloat(zero, 'f', 6, 64), "-f", "mpegts", out)...)
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// send sends the feed to its end, or to that of ctx.
func (a air) send(ctx context.Context) error {
	c, err := net.Dial("udp4", fmt.Sprintf("127.0.0.1:%d", a.port))
	if err != nil {
		return err
	}
	defer c.Close()
	began, at, clock := time.Now(), time.Duration(0), int64(-1)
	datagram := make([]byte, 0, airBurst*188)
	for ts := a.ts; ; ts = ts[188:] {
		pcr, ticks := int64(0), false
		if len(ts) >= 188 {
			pcr, ticks = clockOf(ts)
		}
		if ticks || len(datagram) == cap(datagram) || len(ts) < 188 {
			if len(datagram) > 0 {
				c.Write(datagram) // refused while nobody listens, which is as good as lost
			}
			datagram = datagram[:0]
		}
		if len(ts) < 188 {
			return nil
		}
		if ticks {
			if step := time.Duration((pcr-clock+airWrap)%airWrap) * 1000 / 27; clock >= 0 && step < airStep {
				at += step
			}
			clock = pcr
			select {
			case <-time.After(time.Until(began.Add(at / time.Duration(a.speed)))):
			case <-ctx.Done():
				return nil
			}
		}
		if video := int(ts[1]&0x1f)<<8|int(ts[2]) == airVideo; a.lost == nil || !a.lost(at, video) {
			datagram = append(datagram, ts[:188]...)
		}
	}
}

// clockOf is the PCR of a packet, if it has one, in ticks of 27 MHz (ISO/IEC 13818-1, 2.4.3.4).
func clockOf(p []byte) (int64, bool) {
	if p[3]&0x20 == 0 || p[4] < 7 || p[5]&0x10 == 0 {
		return 0, false
	}
	base := int64(p[6])<<25 | int64(p[7])<<17 | int64(p[8])<<9 | int64(p[9])<<1 | int64(p[10])>>7
	return base*300 + int64(p[10]&1)<<8 + int64(p[11]), true
}
