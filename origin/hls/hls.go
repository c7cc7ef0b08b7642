// Package hls writes the playlists of a live channel (RFC 8216; draft-pantos-hls-rfc8216bis).
//
//	                         ┌─ Multivariant   /live/{channel}/index.m3u8
//	timeline, grant, window ─┼─ Media          /live/{channel}/{rendition}/index.m3u8
//	                         └─ IFrames        /live/{channel}/{rendition}/iframes.m3u8
//
// A playlist is a function of what it is given: no clock, no measurement. Origins with equal edges answer equal bytes.
//
// Media sequence is the slot, discontinuity sequence the generation, and so neither goes back, on any origin. Every slot has one
// entry in every playlist; where there is no media it is a gap.
package hls

import (
	"strconv"
	"time"

	"flambeau/origin/rights"
	"flambeau/packager/timeline"
)

// Why there is no playlist. timeline.ErrGenerations is the third: somebody lied.
var (
	ErrNoRendition = timeline.ErrRendition // not known, not of that kind, or not for this viewer
	ErrEmpty       = timeline.ErrEmpty     // nothing published yet, or nothing that this viewer may see
)

// The lowest version that has what is used (RFC 8216, 7).
const (
	mediaVersion        = "6" // EXT-X-MAP in a playlist of whole segments
	iframesVersion      = "5" // EXT-X-MAP in a playlist of key frames
	multivariantVersion = "4" // EXT-X-MEDIA and EXT-X-I-FRAME-STREAM-INF: below it they are skipped, sound with them
)

// Media is the playlist of one rendition.
func Media(t timeline.Timeline, g rights.Grant, window time.Duration, rendition string) ([]byte, error) {
	list, err := list(t, g, window, rendition)
	if err != nil {
		return nil, err
	}
	p := begin(t.Shape, list, mediaVersion, 48)
	if independent(list) {
		p.line("#EXT-X-INDEPENDENT-SEGMENTS")
	}
	for i := range list {
		gap := list[i].Row == nil
		p.before(&list[i], gap)
		p.segment(&list[i], gap)
	}
	return p.b, nil
}

// IFrames is the playlist of one rendition's key frames, for scrubbing: the first of each slot, so that media sequence is the slot
// here too. A slot that does not begin with a key frame is a gap. The rest of the slot is shown while the frame stands.
func IFrames(t timeline.Timeline, g rights.Grant, window time.Duration, rendition string) ([]byte, error) {
	list, err := list(t, g, window, rendition)
	if err != nil {
		return nil, err
	}
	if !video(list) {
		return nil, ErrNoRendition
	}
	p := begin(t.Shape, list, iframesVersion, 80)
	p.line("#EXT-X-I-FRAMES-ONLY")
	for i := range list {
		key, ok := firstKey(list[i].Row)
		p.before(&list[i], !ok)
		if ok {
			p.number("#EXT-X-BYTERANGE:", key.Size)
			p.b = strconv.AppendInt(append(p.b[:len(p.b)-1], '@'), key.Offset, 10)
			p.b = append(p.b, '\n')
		}
		p.segment(&list[i], !ok)
	}
	return p.b, nil
}

func list(t timeline.Timeline, g rights.Grant, window time.Duration, rendition string) ([]timeline.Entry, error) {
	w, err := t.Window(window, g)
	if err != nil {
		return nil, err
	}
	list, err := w.List(rendition)
	if err == nil && len(list) == 0 {
		err = ErrEmpty
	}
	return list, err
}

func independent(list []timeline.Entry) bool {
	for i := range list {
		if r := list[i].Row; r != nil && r.Flags.Has(timeline.Dependent) {
			return false
		}
	}
	return true
}

func video(list []timeline.Entry) bool {
	for i := range list {
		if r := list[i].Rendition; r != nil {
			return r.IsVideo()
		}
	}
	return false
}

// firstKey finds the key frame with which a segment begins, if its bytes can be named.
func firstKey(r *timeline.Row) (k timeline.Key, ok bool) {
	if r == nil || r.Flags.Has(timeline.Dependent) || len(r.Keys) == 0 {
		return k, false
	}
	k = r.Keys[0]
	return k, k.Time == 0 && k.Size > 0 && k.Offset >= 0 && k.Size <= r.Size && k.Offset <= r.Size-k.Size
}
