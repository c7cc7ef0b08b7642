package packager

import (
	"bytes"
	"testing"

	"flambeau/packager/cmaf"
	"flambeau/packager/timeline"
)

// FuzzCarriedRow takes a segment as it may lie in a store, and once more its input as the row of one: no mutation keeps all sizes of the
// boxes around it right. What is believed can be written, and is read as the same again.
func FuzzCarriedRow(f *testing.F) {
	g := timeline.Generation{Number: 3, Timescale: 90000, S0: 7, Renditions: []timeline.Rendition{{ID: "v1", Timescale: 90000}}}
	gap := tombstone(timeline.Shape{Slot: timeline.Seconds(2, 1)}, g, g.Renditions[0], 9)
	media := cmaf.AppendFragment(cmaf.AppendSegmentType(nil), cmaf.Fragment{Time: 180000, Video: true}, []cmaf.Sample{{Data: []byte("frame"), Duration: 3600, Key: true}})
	whole := seal(media, g, timeline.RenditionRow{Rendition: "v1", Row: timeline.Row{Slot: 7, Generation: 3, Start: 180000, Duration: 3600,
		Keys: []timeline.Key{{Time: 0, Offset: 24, Size: 200, Hash: [8]byte{1}}}}})
	for _, e := range []entry{gap, whole} {
		line, _ := carried(g, e.RenditionRow)
		f.Add(e.body)
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		read(t, b)
		if len(b) <= cmaf.MaxRow {
			read(t, cmaf.AppendTombstone(nil, b))
		}
	})
}

func read(t *testing.T, body []byte) {
	r, record, err := CarriedRow(body)
	if err != nil {
		return
	}
	if r.Size != int64(len(body)) || r.Hash != hashOf(body) || record == "" {
		t.Fatalf("%+v of %q, of %d bytes", r, record, len(body))
	}
	if len(body) <= timeline.MaxCarried {
		if short, name, err := timeline.CarriedIn(body); err != nil || name != record || !bytes.Equal(short.Carried(), r.Carried()) {
			t.Fatalf("its end says %q of %s: %v", short.Carried(), name, err)
		}
	}
	again, err := timeline.ParseRow(string(r.Carried()))
	if err != nil || !bytes.Equal(again.Carried(), r.Carried()) {
		t.Fatalf("%q is read as %q: %v", r.Carried(), again.Carried(), err)
	}
}
