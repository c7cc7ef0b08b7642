package timeline_test

import (
	"testing"

	"flambeau/packager/timeline"
)

func TestWhichObjectsNeverChange(t *testing.T) {
	var h timeline.Hash
	for _, key := range []string{
		timeline.ShapeKey("c"), timeline.AnchorKey("c", 1, h), timeline.InitKey("c", "v360", h), timeline.SegmentKey("c", "v360", 7),
		timeline.AltKey("c", "v360", 7, h), timeline.LossKey("c", 7, "a", h), timeline.PageKey("c", "minute", 60, "a", 0),
		timeline.PageKey("c", "hour", 3600, "a", 0), timeline.PageKey("c", "day", 86400, "a", 0),
	} {
		if !timeline.Immutable(key) {
			t.Errorf("%s is taken for one that changes", key)
		}
	}
	for _, key := range []string{
		timeline.RootKey("c", "a"), timeline.RootPrefix("c"), "c/floor.json", "c/pin/x.json", "flambeau-ready/nothing", "c/index/live", "c/index", "c", "", "/", "seg/x",
		"c/index/live/minute/x", "c/new/seg/x",
	} {
		if timeline.Immutable(key) {
			t.Errorf("%q is taken for one that never changes", key)
		}
	}
}
