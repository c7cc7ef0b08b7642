package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"flambeau/packager"
)

func TestADriftIsToldOnceAndItsEndToo(t *testing.T) {
	var said bytes.Buffer
	m := newMetrics(slog.New(slog.NewTextHandler(&said, nil)))
	var c packager.DriftObserver = m.channel("c", nil, func() {})
	for _, ahead := range []time.Duration{0, 900, 1001, 999, 1500, 600, 1200, 499, 800, -1001, -700, -2000, -400, 0} {
		c.Drift(ahead * time.Millisecond)
	}
	c.Drift(-73440 * time.Millisecond)
	if raised, over := strings.Count(said.String(), "has drifted"), strings.Count(said.String(), "near UTC again"); raised != 3 || over != 2 {
		t.Errorf("told %d times, and %d times that it is over:\n%s", raised, over, said.String())
	}
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "flambeau_channel_drift_seconds" && f.GetMetric()[0].GetGauge().GetValue() == -73.44 {
			return
		}
	}
	t.Error("flambeau_channel_drift_seconds does not say -73.44")
}
