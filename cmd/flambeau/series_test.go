package main

import (
	"fmt"
	"log/slog"
	"testing"

	"flambeau/ingest"
)

// TestAFeedThatRenamesItselfMakesFewSeries: what a feed says of itself becomes neither series nor lines without end.
func TestAFeedThatRenamesItselfMakesFewSeries(t *testing.T) {
	m := newMetrics(slog.New(slog.DiscardHandler))
	c := m.channel("c", feedReasons(), func() {})
	count := func() (n int) {
		families, err := m.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			n += len(f.GetMetric())
		}
		return n
	}
	before := count()
	for n := range 2000 {
		c.Segment(fmt.Sprintf("a-und-%d", n), "stored", 0)
		c.feed(ingest.Report{Streams: []ingest.Stream{{ID: n, Name: "unknown", Ignored: "not supported"}}})
	}
	if n := count() - before; n != renditionSeries+1 {
		t.Errorf("%d new series", n)
	}
	if len(c.named) != namedStreams {
		t.Errorf("%d streams are remembered", len(c.named))
	}
}
