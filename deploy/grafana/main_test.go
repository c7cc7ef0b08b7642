package main

import (
	"bytes"
	"os"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func TestTheDashboardIsWhatThisProgramMakes(t *testing.T) {
	want, err := encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what this program makes: go generate ./deploy/grafana", file)
	}
}

// TestPanelsLieSideBySide: none over another, none beyond the right edge.
func TestPanelsLieSideBySide(t *testing.T) {
	d, err := build().Build()
	if err != nil {
		t.Fatal(err)
	}
	taken := map[[2]uint32]string{}
	lay := func(title string, g *dashboard.GridPos) {
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if x >= width {
					t.Errorf("%s lies beyond the right edge", title)
				}
				if other, ok := taken[[2]uint32{x, y}]; ok {
					t.Fatalf("%s lies on %s", title, other)
				}
				taken[[2]uint32{x, y}] = title
			}
		}
	}
	for _, p := range d.Panels {
		if p.RowPanel != nil {
			lay(*p.RowPanel.Title, p.RowPanel.GridPos)
		} else {
			lay(*p.Panel.Title, p.Panel.GridPos)
		}
	}
	if len(d.Panels) < 20 {
		t.Errorf("%d panels and rows", len(d.Panels))
	}
}
