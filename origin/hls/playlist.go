package hls

import (
	"strconv"
	"time"

	"flambeau/packager/timeline"
)

// playlist is one that is being written.
type playlist struct {
	b          []byte
	longest    int64                // µs: an EXTINF above it would round above EXT-X-TARGETDURATION
	at         int64                // µs since 1970 where a player that adds up EXTINF is; lost: it has to be told
	generation int                  // of the last entry
	mapped     *timeline.Generation // whose initialization segment was named last
}

const lost = -1

// begin writes what stands before the first segment. EXT-X-DISCONTINUITY-SEQUENCE is always there (Apple, HLS Authoring 8.17).
func begin(s timeline.Shape, list []timeline.Entry, version string, bytesEach int) *playlist {
	p := &playlist{
		b:          make([]byte, 0, 512+len(list)*bytesEach),
		longest:    min(s.TargetDuration, 1<<32)*1_000_000 + 499_999,
		at:         lost,
		generation: list[0].Generation.Number,
	}
	p.line("#EXTM3U")
	p.line("#EXT-X-VERSION:" + version)
	p.number("#EXT-X-TARGETDURATION:", s.TargetDuration)
	p.number("#EXT-X-MEDIA-SEQUENCE:", list[0].Slot)
	p.number("#EXT-X-DISCONTINUITY-SEQUENCE:", int64(p.generation))
	return p
}

// before writes the tags of an entry that say how it follows on the last one. Generations rise by one, so that each border is one
// discontinuity; the tag of a border goes with the segment before it, and the sequence number then counts it (RFC 8216, 6.2.2).
func (p *playlist) before(e *timeline.Entry, gap bool) {
	if n := e.Generation.Number; n != p.generation {
		p.line("#EXT-X-DISCONTINUITY")
		p.generation, p.at = n, lost
	}
	if !gap && p.mapped != e.Generation {
		p.line("#EXT-X-MAP:URI=\"init-" + e.Rendition.Init.Short() + ".mp4\"")
		p.mapped = e.Generation
	}
	if start := timeline.Micros(e.Start, e.Timescale); start != p.at {
		p.time(start)
		p.at = start
	}
	if gap {
		p.line("#EXT-X-GAP")
	}
}

// segment writes the entry itself. Its length is the difference of two rounded instants, so that sums do not drift. One that
// would break EXT-X-TARGETDURATION is said to be as long as it may be, and the next says anew when it is: players refuse a
// playlist that breaks it (RFC 8216, 4.3.3.1), and live with one segment that ends a little late.
func (p *playlist) segment(e *timeline.Entry, gap bool) {
	length := min(max(timeline.Micros(e.End(), e.Timescale)-p.at, 0), p.longest)
	p.b = append(p.b, "#EXTINF:"...)
	p.b = appendSeconds(p.b, length)
	p.b = append(p.b, ",\n"...)
	p.b = strconv.AppendInt(p.b, e.Slot, 10)
	p.b = append(p.b, ".m4s\n"...)
	p.at += length
	if gap {
		p.at = lost
	}
}

// time writes when the next segment is, in milliseconds (Apple, HLS Authoring 8.4).
func (p *playlist) time(micros int64) {
	p.b = append(p.b, "#EXT-X-PROGRAM-DATE-TIME:"...)
	p.b = time.UnixMilli((micros+500)/1000).UTC().AppendFormat(p.b, "2006-01-02T15:04:05.000Z")
	p.b = append(p.b, '\n')
}

func (p *playlist) line(s string) { p.b = append(append(p.b, s...), '\n') }

func (p *playlist) number(tag string, n int64) {
	p.b = append(strconv.AppendInt(append(p.b, tag...), n, 10), '\n')
}

// appendSeconds writes microseconds, not negative, as seconds.
func appendSeconds(b []byte, micros int64) []byte {
	b = strconv.AppendInt(b, micros/1_000_000, 10)
	b = append(b, '.')
	for unit := int64(100_000); unit > 0; unit /= 10 {
		b = append(b, byte('0'+micros/unit%10))
	}
	return b
}
