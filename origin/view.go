package origin

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"time"

	"flambeau/origin/dash"
	"flambeau/origin/hls"
	"flambeau/origin/rights"
	"flambeau/packager/timeline"
)

// View is one timeline as it is answered from: a snapshot, and each manifest of it, rendered and compressed once.
type View struct {
	Channel  string
	Timeline timeline.Timeline
	Window   time.Duration
	Edge     timeline.Row // of the reference
	End      time.Time    // media time at which the last slot that is shown ends; zero: none is
	Seen     time.Time    // when this process first saw that edge
	Past     past
	Whole    bool // Past knows all that there was; an origin that has just started reads it after the rest

	mu       sync.Mutex
	rendered map[string]*rendered
}

// rendered is a manifest in both of its encodings.
type rendered struct {
	once        sync.Once
	plain, gzip []byte
	etag        string // of plain; the compressed one's ends in -gz
	err         error
}

// maxRendered is how many manifests a view keeps: of so many grants that see different things, further ones are rendered each time.
const maxRendered = 1 << 10

// manifest renders one of the view's manifests, or finds it rendered. name is what follows the channel in its URL. rendition is
// "" or one that the view has: what is rendered is kept as long as the view, and a dark feed's is kept long.
func (v *View) manifest(g rights.Grant, rendition, name string) *rendered {
	key := g.Key() + "/" + rendition + "/" + name
	v.mu.Lock()
	r := v.rendered[key]
	if r == nil {
		r = &rendered{}
		if len(v.rendered) < maxRendered {
			v.rendered[key] = r
		}
	}
	v.mu.Unlock()
	r.once.Do(func() {
		if r.plain, r.err = v.render(g.At(v.End), rendition, name); r.err == nil {
			r.compress()
		}
	})
	return r
}

func (v *View) render(g rights.Grant, rendition, name string) ([]byte, error) {
	switch {
	case name == "manifest.mpd":
		return dash.Manifest(v.Timeline, g, v.Window)
	case rendition == "":
		return hls.Multivariant(v.Timeline, g)
	case name == "iframes.m3u8":
		return hls.IFrames(v.Timeline, g, v.Window, rendition)
	}
	return hls.Media(v.Timeline, g, v.Window, rendition)
}

// hides is why a grant sees nothing of a channel that has published something: what it says of the edge.
func (v *View) hides(g rights.Grant) rights.Reason {
	start, end, ok := v.span(v.Edge.Slot)
	if !ok {
		return rights.OK
	}
	return g.Judge(0, start, end, v.End)
}

// span is when a slot is that the view knows, by the reference.
func (v *View) span(slot int64) (start, end time.Time, ok bool) { return v.Timeline.Span(slot) }

// scale is in which ticks the reference of a generation counts.
func (v *View) scale(generation int) (uint32, bool) {
	if g, ok := v.Timeline.Generation(generation); ok {
		return g.Timescale, true
	}
	scale, ok := v.Past.scales[generation]
	return scale, ok
}

// height is the lines of a rendition's pictures, the most of any generation that is known; of sound 0.
func (v *View) height(id string) (lines int) {
	for _, g := range v.Timeline.Generations {
		if r, ok := g.Rendition(id); ok {
			lines = max(lines, r.Height)
		}
	}
	return max(lines, v.Past.heights[id])
}

func (r *rendered) compress() {
	sum := sha256.Sum256(r.plain)
	r.etag = hex.EncodeToString(sum[:8])
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	w.Write(r.plain)
	w.Close()
	r.gzip = b.Bytes()
}

// first is the oldest slot of the reference that is known.
func (v *View) first() int64 {
	if rows := v.Timeline.Line(v.Timeline.Shape.Reference); len(rows) > 0 {
		return rows[0].Slot
	}
	return 0
}

// What a view knows of a slot of a rendition.
type knowledge int

const (
	notThere  knowledge = iota // its row has not come yet
	there                      // its row is known
	older                      // than the view: only the store knows
	neverWill                  // its generation does not have the rendition
)

// knows looks a slot up. What lies before it does not matter: a rendition may have been away for a generation.
func (v *View) knows(rendition string, slot int64) knowledge {
	if _, ok := v.Timeline.Row(rendition, slot); ok {
		return there
	}
	if slot < v.first() {
		return older
	}
	row, ok := v.Timeline.Row(v.Timeline.Shape.Reference, slot)
	if g, known := v.Timeline.Generation(row.Generation); ok && known {
		if _, has := g.Rendition(rendition); !has {
			return neverWill
		}
	}
	return notThere
}

// rendition finds what the newest generation that has it says of a rendition.
func (v *View) rendition(id string) (timeline.Rendition, bool) {
	gs := v.Timeline.Generations
	for i := len(gs) - 1; i >= 0; i-- {
		if r, ok := gs[i].Rendition(id); ok {
			return r, true
		}
	}
	return timeline.Rendition{}, false
}

// kind finds whether a rendition that the channel has, or had, is video or audio.
func (v *View) kind(id string) (string, bool) {
	if r, ok := v.rendition(id); ok {
		return r.Kind, true
	}
	kind, ok := v.Past.kinds[id]
	return kind, ok
}

// names tells whether what a URL names is known here.
func (v *View) names(q request) bool {
	_, ok := v.kind(q.rendition)
	if ok && q.kind == "init" {
		_, ok = v.initHash(q.rendition, q.hash)
	}
	return ok
}

// initHash finds the whole hash of an initialization segment by the start of it that stands in URLs.
func (v *View) initHash(rendition, short string) (timeline.Hash, bool) {
	for _, g := range v.Timeline.Generations {
		if r, ok := g.Rendition(rendition); ok && r.Init.Short() == short {
			return r.Init, true
		}
	}
	hash, ok := v.Past.inits[initName{rendition, short}]
	return hash, ok
}
