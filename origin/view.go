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
	Seen     time.Time // when this process first saw it

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

func newView(channel string, t timeline.Timeline, window time.Duration) *View {
	return &View{Channel: channel, Timeline: t, Window: window, Seen: time.Now(), rendered: map[string]*rendered{}}
}

// manifest renders one of the view's manifests, or finds it rendered. name is what follows the channel in its URL.
func (v *View) manifest(rendition, name string) *rendered {
	v.mu.Lock()
	key := rendition + "/" + name
	r := v.rendered[key]
	if r == nil {
		r = &rendered{}
		v.rendered[key] = r
	}
	v.mu.Unlock()
	r.once.Do(func() {
		if r.plain, r.err = v.render(rendition, name); r.err == nil {
			r.compress()
		}
	})
	return r
}

func (v *View) render(rendition, name string) ([]byte, error) {
	open := rights.Open()
	switch {
	case name == "manifest.mpd":
		return dash.Manifest(v.Timeline, open, v.Window)
	case rendition == "":
		return hls.Multivariant(v.Timeline, open)
	case name == "iframes.m3u8":
		return hls.IFrames(v.Timeline, open, v.Window, rendition)
	}
	return hls.Media(v.Timeline, open, v.Window, rendition)
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

// edge is the last slot that a rendition has without a hole, and whether it has any.
func (v *View) edge(rendition string) (timeline.Row, bool) {
	rows := timeline.Contiguous(v.Timeline.Line(rendition))
	if len(rows) == 0 {
		return timeline.Row{}, false
	}
	return rows[len(rows)-1], true
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

// initHash finds the whole hash of an initialization segment by the start of it that stands in URLs.
func (v *View) initHash(rendition, short string) (timeline.Hash, bool) {
	for _, g := range v.Timeline.Generations {
		if r, ok := g.Rendition(rendition); ok && r.Init.Short() == short {
			return r.Init, true
		}
	}
	return timeline.Hash{}, false
}
