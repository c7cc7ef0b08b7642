package dash

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"flambeau/packager/timeline"
)

// set is an AdaptationSet: pictures that a player may switch between, or one sound. Two sounds of one language are two programmes
// of the feed, not two qualities of one.
type set struct {
	id    int // its place in the generation's record, whether or not all of it has media: it does not move when a gap comes
	role  string
	lanes []lane
}

func (p *period) sets() (sets []set) {
	var codings []string
	sounds := 0
	for i := range p.generation.Renditions {
		r := &p.generation.Renditions[i]
		c, role := coding(r), "main"
		if !r.IsVideo() {
			if sounds++; sounds > 1 {
				role = "alternate"
			}
		}
		id := slices.Index(codings, c) + 1
		if id == 0 {
			codings = append(codings, c)
			id = len(codings)
		}
		at := slices.IndexFunc(p.lanes, func(l lane) bool { return l.list[0].Rendition == r })
		if at < 0 {
			continue
		}
		here := slices.IndexFunc(sets, func(s set) bool { return s.id == id })
		if here < 0 {
			here, sets = len(sets), append(sets, set{id: id, role: role})
		}
		sets[here].lanes = append(sets[here].lanes, p.lanes[at])
	}
	return sets
}

// coding is equal for renditions that one decoder can switch between.
func coding(r *timeline.Rendition) string {
	if !r.IsVideo() {
		return r.ID
	}
	entry, _, _ := strings.Cut(r.Codec, ".")
	return fmt.Sprint("video ", entry, r.Range, r.Colour)
}

func (x *writer) set(p *period, s set) {
	first := s.lanes[0].list[0].Rendition
	x.text("<AdaptationSet")
	x.number("id", int64(s.id))
	x.attr("contentType", first.Kind)
	x.attr("mimeType", first.Kind+"/mp4")
	x.attr("lang", first.Language)
	x.attr("par", s.aspect())
	x.attr("frameRate", s.frameRate())
	x.attr("segmentAlignment", "true")
	if s.independent() {
		x.attr("startWithSAP", "1")
	}
	x.text(">\n")
	if !first.IsVideo() {
		x.scheme("AudioChannelConfiguration", "urn:mpeg:dash:23003:3:audio_channel_configuration:2011", channels(first.Channels))
	}
	if first.JOC > 0 { // ETSI TS 103 420, D.2
		x.scheme("SupplementalProperty", "tag:dolby.com,2018:dash:EC3_ExtensionType:2018", "JOC")
		x.scheme("SupplementalProperty", "tag:dolby.com,2018:dash:EC3_ExtensionComplexityIndex:2018", strconv.Itoa(first.JOC))
	}
	for i, what := range [...]string{"ColourPrimaries", "TransferCharacteristics", "MatrixCoefficients"} {
		if v := first.Colour[i]; v > 0 { // ISO/IEC 23001-8; a hint: a player that does not know it plays on
			x.scheme("SupplementalProperty", "urn:mpeg:mpegB:cicp:"+what, strconv.Itoa(v))
		}
	}
	x.scheme("Role", "urn:mpeg:dash:role:2011", s.role)
	for _, l := range s.lanes {
		x.representation(p, l)
	}
	x.text("</AdaptationSet>\n")
}

func (x *writer) scheme(element, scheme, value string) {
	if value == "" {
		return
	}
	x.text("<" + element)
	x.attr("schemeIdUri", scheme)
	x.attr("value", value)
	x.text("/>\n")
}

func (x *writer) representation(p *period, l lane) {
	r := l.list[0].Rendition
	x.text("<Representation")
	x.attr("id", r.ID)
	x.attr("codecs", r.Codec)
	x.number("bandwidth", r.Bandwidth)
	if r.Width > 0 && r.Height > 0 {
		x.number("width", int64(r.Width))
		x.number("height", int64(r.Height))
	}
	x.attr("frameRate", frameRate(r))
	x.attr("sar", sample(r))
	if r.SampleRate > 0 {
		x.number("audioSamplingRate", int64(r.SampleRate))
	}
	x.text(">\n")
	x.template(p, l, r)
	x.text("</Representation>\n")
}

// template lists the segments. Names are relative to the manifest.
func (x *writer) template(p *period, l lane, r *timeline.Rendition) {
	x.text("<SegmentTemplate")
	x.number("timescale", int64(r.Timescale))
	x.number("presentationTimeOffset", timeline.Rescale(p.ticks, p.generation.Timescale, r.Timescale))
	x.number("startNumber", p.first)
	x.attr("initialization", r.ID+"/init-"+r.Init.Short()+".mp4")
	x.attr("media", r.ID+"/$Number$.m4s")
	x.text(">\n<SegmentTimeline>\n")
	x.timeline(l)
	x.text("</SegmentTimeline>\n</SegmentTemplate>\n")
}

// timeline writes S elements: @t of the first, @r for runs of one length (ISO/IEC 23009-1, 5.3.9.6). There are no gaps between them
// (DASH-IF, timing model; D3): what was lost over a border belongs to the segment behind it, which is said to begin where the one
// before ended. A player that looks for what comes next at the end of what it has finds nothing in a gap, and stands for ever; over
// a hole in its buffer it jumps. The segment before can't be said to be longer: it is listed before anybody knows of the loss.
func (x *writer) timeline(l lane) {
	begins := func(i int) int64 {
		before := l.from
		if i > 0 {
			before = l.list[i-1].End()
		}
		if before >= l.list[i].End() {
			return l.list[i].Start // no row that we wrote
		}
		return before
	}
	for i := 0; i < len(l.list); {
		length := func(n int) int64 { return l.list[n].End() - begins(n) }
		run := i + 1
		for run < len(l.list) && length(run) == length(i) && begins(run) == l.list[run-1].End() {
			run++
		}
		x.text("<S")
		if i == 0 || begins(i) != l.list[i-1].End() {
			x.number("t", begins(i))
		}
		x.number("d", length(i))
		if run-i > 1 {
			x.number("r", int64(run-i-1))
		}
		x.text("/>\n")
		i = run
	}
}

// independent tells whether every listed segment begins with a key frame.
func (s set) independent() bool {
	for _, l := range s.lanes {
		for i := range l.list {
			if l.list[i].Row.Flags.Has(timeline.Dependent) {
				return false
			}
		}
	}
	return true
}

// aspect is the shape of the picture, in lowest terms, if it is one for the whole set and known.
func (s set) aspect() string {
	aspect := ""
	for i, l := range s.lanes {
		r := l.list[0].Rendition
		if r.SAR[0] <= 0 || r.SAR[1] <= 0 || r.Width <= 0 || r.Height <= 0 {
			return ""
		}
		shape := timeline.Seconds(int64(r.Width)*int64(r.SAR[0]), int64(r.Height)*int64(r.SAR[1]))
		one := ratio(shape.Num, shape.Den)
		if i > 0 && one != aspect {
			return ""
		}
		aspect = one
	}
	return aspect
}

// sample is the shape of a picture's samples.
func sample(r *timeline.Rendition) string {
	if r.SAR[0] <= 0 || r.SAR[1] <= 0 {
		return ""
	}
	return ratio(int64(r.SAR[0]), int64(r.SAR[1]))
}

func ratio(a, b int64) string { return strconv.FormatInt(a, 10) + ":" + strconv.FormatInt(b, 10) }

// frameRate is that of all the set's pictures, or empty.
func (s set) frameRate() string {
	rate := frameRate(s.lanes[0].list[0].Rendition)
	for _, l := range s.lanes[1:] {
		if frameRate(l.list[0].Rendition) != rate {
			return ""
		}
	}
	return rate
}

// frameRate is frames a second as DASH writes them: 25, 30000/1001.
func frameRate(r *timeline.Rendition) string {
	f := r.FrameRate
	switch {
	case f.Num <= 0 || f.Den <= 0:
		return ""
	case f.Den == 1:
		return strconv.FormatInt(f.Num, 10)
	}
	return strconv.FormatInt(f.Num, 10) + "/" + strconv.FormatInt(f.Den, 10)
}

// channels is the ChannelConfiguration (ISO/IEC 23003-3, table 95) of so many speakers in their usual places; empty if there is none.
func channels(n int) string {
	switch {
	case n >= 1 && n <= 6:
		return strconv.Itoa(n)
	case n == 7:
		return "11"
	case n == 8:
		return "7"
	}
	return ""
}
