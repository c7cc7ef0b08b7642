package main

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// What happens to the feed that players cross, in its own time. It has a key frame every two seconds.
const (
	crossingJoin  = 9 * time.Second  // players begin, three slots behind the edge
	crossingWrap  = 15 * time.Second // 33 bits of clock begin again
	crossingGone  = 20 * time.Second // nothing arrives: three slots become gaps
	crossingBack  = 25 * time.Second
	crossingLoses = 31 * time.Second // packets are lost, a key frame among them: one slot begins late, and without
	crossingHeals = 33*time.Second + 200*time.Millisecond
	crossingJump  = 38 * time.Second // another clock, and another picture size
	crossingEnd   = 60 * time.Second
)

const (
	// crossingPatience is how much longer than what is missing a player may stand before it plays on behind it. Of 7 s missing hls.js stands
	// for 5, shaka-player for 6, dash.js for 9.4 to 11.7.
	crossingPatience = 5 * time.Second
	// crossingLong is a stand that counts.
	crossingLong = 3 * time.Second
	// crossingBehind is how far from the edge a player may be in the end: DASH says three slots, players add what they buffer.
	crossingBehind = 14.0
	// crossingKeep is which part of the pictures must be shown: players drop some on a busy machine.
	crossingKeep = 0.25
)

// TestPlayersCrossAWrapAGapALossAndAJump: one feed by UDP, and three players that see all of it. Each plays on by itself after
// everything that happens.
func TestPlayersCrossAWrapAGapALossAndAJump(t *testing.T) {
	a := air{port: freeUDP(t), speed: 1, lost: func(at time.Duration, _ bool) bool {
		return at >= crossingGone && at < crossingBack || at >= crossingLoses && at < crossingHeals
	}}
	a.ts = slices.Concat(
		encode(t, "320x180", int(crossingJump.Seconds()), wrapAt-crossingWrap.Seconds()),
		encode(t, "256x144", int((crossingEnd-crossingJump).Seconds()), 3600))
	for try := 1; ; try++ {
		wrong := crossing(t, a)
		if len(wrong) == 0 {
			return
		}
		if try == 2 {
			t.Fatal(strings.Join(wrong, "\n"))
		}
		// A browser on a busy machine stalls now and then by itself; what is wrong with the stream is wrong in both tries.
		t.Logf("once more: %s", strings.Join(wrong, "\n"))
	}
}

// crossing sends the feed once, plays it in all players at once, and says what they did wrong.
func crossing(t *testing.T, a air) (wrong []string) {
	t.Helper()
	file := configure(t, t.TempDir(), fmt.Sprintf("udp://127.0.0.1:%d", a.port))
	r := start(t, "serve", "-c", file)
	var viewers []*viewer
	for _, p := range []struct{ player, manifest string }{{"hls", "index.m3u8"}, {"dash", "manifest.mpd"}, {"shaka", "manifest.mpd"}} {
		viewers = append(viewers, openPlayer(t, p.player, r.media+"/live/c/"+p.manifest))
	}
	for _, v := range viewers {
		v.ready()
	}
	began := time.Now()
	var sending sync.WaitGroup
	sending.Go(func() {
		if err := a.send(t.Context()); err != nil {
			t.Error(err)
		}
	})
	get(t, r.media+"/live/c/v180/index.m3u8", 10*time.Second)
	wait(time.Until(began.Add(crossingJoin)))
	for _, v := range viewers {
		v.play()
	}
	wait(time.Until(began.Add(crossingEnd - time.Second)))
	zero := firstPeriod(t, r)
	for _, v := range viewers {
		for _, w := range crossed(v.close(), zero) {
			wrong = append(wrong, v.player+": "+w)
		}
	}
	sending.Wait()

	list, mpd := string(get(t, r.media+"/live/c/v180/index.m3u8", time.Second)), string(get(t, r.media+"/live/c/manifest.mpd", time.Second))
	if borders, gaps := strings.Count(list, "#EXT-X-DISCONTINUITY\n"), strings.Count(list, "#EXT-X-GAP\n"); borders != 1 || gaps != 3 {
		t.Errorf("%d discontinuities, for the jump; %d gaps, of three slots:\n%s", borders, gaps, list)
	}
	if strings.Contains(list, "#EXT-X-INDEPENDENT-SEGMENTS") {
		t.Error("independent segments are claimed, and one has lost its key frame")
	}
	if periods := strings.Count(mpd, "<Period "); periods != 3 {
		t.Errorf("%d Periods: up to the gap, from it on, from the jump on:\n%s", periods, mpd)
	}
	r.stop()
	if out := tool(t, time.Minute, binary(t), "verify", "c", "-c", file); !strings.Contains(out, " 0 findings") || !strings.Contains(out, ": 2 generations") {
		t.Errorf("verify: %s", out)
	}
	return wrong
}

// firstPeriod is the media time of the feed's first picture, in Unix seconds.
func firstPeriod(t *testing.T, r *running) float64 {
	t.Helper()
	var m struct {
		Periods []struct {
			Start string `xml:"start,attr"`
		} `xml:"Period"`
	}
	if err := xml.Unmarshal(get(t, r.media+"/live/c/manifest.mpd", time.Second), &m); err != nil {
		t.Fatal(err)
	}
	zero, err := strconv.ParseFloat(strings.Trim(m.Periods[0].Start, "PTS"), 64)
	if err != nil {
		t.Fatal(err)
	}
	return zero
}

// crossed says what one player did wrong. zero is the media time of the feed's beginning.
func crossed(s seen, zero float64) (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if len(s.Fatal) > 0 {
		say("it gave up: %v", s.Fatal)
	}
	for _, x := range []struct {
		after    string
		from, to time.Duration
	}{
		{"the wrap", crossingWrap, crossingGone},
		{"the gap", crossingBack + time.Second, crossingLoses},
		{"the loss", crossingHeals + 800*time.Millisecond, crossingJump},
		{"the jump", crossingJump, crossingJump + 8*time.Second},
	} {
		n, all := s.frames(zero+x.from.Seconds(), zero+x.to.Seconds()), 25*(x.to-x.from).Seconds()
		if float64(n) < crossingKeep*all {
			say("after %s it showed %d pictures of %.0f", x.after, n, all)
		}
	}
	// What a player can't have: the feed's absence, and what comes before the next key frame.
	missing := crossingBack - crossingGone + 2*time.Second
	stalls := together(s.Stalls)
	for _, p := range stalls {
		if d := time.Duration(p.For) * time.Millisecond; d > missing+crossingPatience {
			say("it stood for %v", d)
		}
	}
	if n := len(slices.DeleteFunc(slices.Clone(stalls), func(p stall) bool { return p.For < int(crossingLong.Milliseconds()) })); n > 2 {
		say("it stood for long %d times, and something is missing twice: %v", n, stalls)
	}
	if s.Behind < 0 || s.Behind > crossingBehind {
		say("it is %.1f s behind in the end", s.Behind)
	}
	if n := len(s.Trail); n < 11 || float64(s.Frames-s.Trail[n-11].Frames) < crossingKeep*25*5 {
		say("it does not play in the end")
	}
	if s.Height != 144 || s.Audio == 0 {
		say("it ends with a picture of %dx%d, and %d bytes of sound", s.Width, s.Height, s.Audio)
	}
	return wrong
}

// together makes one of stalls between which the playhead only twitched: dash.js seeks into a hole before it is over, and stands there again.
func together(stalls []stall) (all []stall) {
	for _, s := range stalls {
		if n := len(all) - 1; n >= 0 && s.At-all[n].At-int64(all[n].For) < 500 {
			all[n].For = int(s.At-all[n].At) + s.For
			continue
		}
		all = append(all, s)
	}
	return all
}
