package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestOneChannelDoesNotBuryWhatIsSaidOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(newQuiet(slog.NewTextHandler(&out, nil)))
		a := log.With("channel", "a")
		for n := range 6000 { // a minute
			a.Warn("media lost", "n", n)
			if n%600 == 0 {
				log.Warn("media lost", "channel", "b")
				a.Error("divergence")
			}
			time.Sleep(10 * time.Millisecond)
		}
		log.Info("feed up", "channel", "b")
		said := out.String()
		if n := strings.Count(said, "channel=a n="); n != 6*logBurst {
			t.Errorf("%d lines about a were written", n)
		}
		if strings.Count(said, "channel=b") != 11 || strings.Count(said, "divergence") != 10 {
			t.Errorf("what is rare, or grave, was held back:\n%s", said)
		}
		dropped := 0
		for line := range strings.Lines(said) {
			var n int
			if _, err := fmt.Sscanf(line[strings.Index(line, "level="):], `level=WARN msg="lines not written" channel=a of="media lost" count=%d`, &n); err == nil {
				dropped += n
			}
		}
		if dropped != 6000-6*logBurst {
			t.Errorf("%d lines are said not to have been written, of %d", dropped, 6000-6*logBurst)
		}
	})
}

func TestTooManyKindsOfLinesShareOneCount(t *testing.T) {
	var out bytes.Buffer
	q := newQuiet(slog.NewTextHandler(&out, nil))
	log := slog.New(q)
	for n := range 2 * logKinds {
		log.Warn("stream not used", "channel", fmt.Sprint(n))
	}
	if n := len(q.said.kinds); n > logKinds+1 {
		t.Errorf("%d kinds are kept", n)
	}
}
