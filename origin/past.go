package origin

import (
	"maps"

	"flambeau/packager/timeline"
)

// maxPast is how many initialization segments of generations that have left the view are known by their short names; those of
// further generations are known while the view has them.
const maxPast = 1 << 12

// past is what generations said that may have left the view: their segments are still there, so their initialization segments
// must be. It never changes; views share it.
type past struct {
	inits   map[initName]timeline.Hash
	kinds   map[string]string // of each rendition, for the channel's life
	heights map[string]int    // of its pictures, the most
	scales  map[int]uint32    // of each generation: ticks a second of its reference
}

type initName struct{ rendition, short string }

func newPast() past {
	return past{map[initName]timeline.Hash{}, map[string]string{}, map[string]int{}, map[int]uint32{}}
}

func (p past) with(g timeline.Generation) past {
	if len(p.inits)+len(g.Renditions) > maxPast {
		return p
	}
	p = past{maps.Clone(p.inits), maps.Clone(p.kinds), maps.Clone(p.heights), maps.Clone(p.scales)}
	p.scales[g.Number] = g.Timescale
	for _, r := range g.Renditions {
		p.inits[initName{r.ID, r.Init.Short()}] = r.Init
		p.kinds[r.ID] = r.Kind
		p.heights[r.ID] = max(p.heights[r.ID], r.Height)
	}
	return p
}
