package hls

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"flambeau/origin/rights"
	"flambeau/packager/timeline"
)

// Multivariant lists the renditions of the newest generation that has media: pictures by falling bit rate, each with every group
// of sound; without pictures, each sound is a variant. What it names can be fetched: it is ErrEmpty until every rendition has come.
func Multivariant(t timeline.Timeline, g rights.Grant) ([]byte, error) {
	w, err := t.Window(math.MaxInt64, g)
	if err != nil {
		return nil, err
	}
	var pictures, sounds []timeline.Rendition
	for _, r := range w.Newest().Renditions {
		switch {
		case !g.Allows(r.Height):
			continue
		case len(t.Line(r.ID)) == 0 && w.First >= w.Newest().S0:
			return nil, fmt.Errorf("%w of %s", ErrEmpty, r.ID)
		case r.IsVideo():
			pictures = append(pictures, r)
		default:
			sounds = append(sounds, r)
		}
	}
	if len(pictures)+len(sounds) == 0 {
		return nil, ErrNoRendition
	}
	slices.SortStableFunc(pictures, func(a, b timeline.Rendition) int { return cmp.Compare(b.Bandwidth, a.Bandwidth) })
	b := []byte("#EXTM3U\n#EXT-X-VERSION:" + multivariantVersion + "\n")
	if len(pictures) == 0 {
		return appendSoundOnly(b, sounds), nil
	}
	groups := group(sounds)
	for _, s := range groups {
		b = s.appendMedia(b)
	}
	for _, r := range pictures {
		b = appendVariants(b, r, groups)
	}
	for _, r := range pictures {
		b = appendIFrames(b, r)
	}
	return b, nil
}

// sound is an audio group: renditions of one codec, since CODECS is said of a variant, and so of all of its group.
type sound struct {
	codec              string
	renditions         []named
	bandwidth, average int64 // the largest of any: a viewer hears one at a time
}

type named struct {
	timeline.Rendition
	name   string
	choose bool // first of its language in the group
}

func group(sounds []timeline.Rendition) (groups []*sound) {
	taken := map[string]bool{}
	for i, r := range sounds {
		at := slices.IndexFunc(groups, func(s *sound) bool { return s.codec == r.Codec })
		if at < 0 {
			at, groups = len(groups), append(groups, &sound{codec: r.Codec})
		}
		s := groups[at]
		choose := !slices.ContainsFunc(s.renditions, func(n named) bool { return n.Language == r.Language })
		s.renditions = append(s.renditions, named{r, name(taken, r.Language, i+1), choose})
		s.bandwidth, s.average = max(s.bandwidth, r.Bandwidth), max(s.average, r.Average)
	}
	return groups
}

// name gives each sound a name of its own (RFC 8216, 4.3.4.1.1): its language, or its number in the feed.
func name(taken map[string]bool, language string, number int) string {
	n := language
	if n == "" {
		n = "Audio " + strconv.Itoa(number)
	}
	for taken[n] {
		n += " (" + strconv.Itoa(number) + ")"
	}
	taken[n] = true
	return n
}

func (s *sound) id() string { return "audio-" + s.codec }

// appendMedia writes the group. Of two sounds in one language a player may choose the first only by itself: AUTOSELECT of both
// would say that they differ in what it knows of them (RFC 8216, 4.3.4.1.1).
func (s *sound) appendMedia(b []byte) []byte {
	for i, r := range s.renditions {
		b = append(b, "#EXT-X-MEDIA:TYPE=AUDIO"...)
		b = appendQuoted(b, "GROUP-ID", s.id())
		b = appendQuoted(b, "NAME", r.name)
		b = appendQuoted(b, "LANGUAGE", r.Language)
		b = append(b, ",DEFAULT="...)
		b = append(b, yes(i == 0)...)
		b = append(b, ",AUTOSELECT="...)
		b = append(b, yes(r.choose)...)
		b = appendQuoted(b, "CHANNELS", channels(r.Rendition))
		b = appendQuoted(b, "URI", r.ID+"/index.m3u8")
		b = append(b, '\n')
	}
	return b
}

// channels is CHANNELS (RFC 8216bis, 4.4.6.1): of objects, as many as there may be (Apple, HLS Authoring, 2.14).
func channels(r timeline.Rendition) string {
	switch {
	case r.JOC > 0:
		return strconv.Itoa(r.JOC) + "/JOC"
	case r.Channels > 0:
		return strconv.Itoa(r.Channels)
	}
	return ""
}

func yes(is bool) string {
	if is {
		return "YES"
	}
	return "NO"
}

// appendVariants writes one variant for each group of sound. BANDWIDTH is the largest sum over what may be played at once (Apple,
// HLS Authoring 9.13).
func appendVariants(b []byte, r timeline.Rendition, groups []*sound) []byte {
	if len(groups) == 0 {
		groups = []*sound{nil}
	}
	for _, s := range groups {
		bandwidth, average, codecs := r.Bandwidth, r.Average, r.Codec
		if s != nil {
			bandwidth, average, codecs = bandwidth+s.bandwidth, average+s.average, codecs+","+s.codec
		}
		b = append(b, "#EXT-X-STREAM-INF:"...)
		b = appendRate(b, bandwidth, average)
		b = appendQuoted(b, "CODECS", codecs)
		b = appendPicture(b, r)
		if f := r.FrameRate; f.Num > 0 && f.Den > 0 {
			b = strconv.AppendFloat(append(b, ",FRAME-RATE="...), f.Float(), 'f', 3, 64)
		}
		if s != nil {
			b = appendQuoted(b, "AUDIO", s.id())
		}
		b = append(b, ",CLOSED-CAPTIONS=NONE\n"...)
		b = append(b, r.ID+"/index.m3u8\n"...)
	}
	return b
}

func appendSoundOnly(b []byte, sounds []timeline.Rendition) []byte {
	for _, r := range sounds {
		b = append(b, "#EXT-X-STREAM-INF:"...)
		b = appendRate(b, r.Bandwidth, r.Average)
		b = appendQuoted(b, "CODECS", r.Codec)
		b = append(b, '\n')
		b = append(b, r.ID+"/index.m3u8\n"...)
	}
	return b
}

// keyShare is which part of a slot's bits its first key frame is taken to be, at most. The record of a generation does not say,
// and what was measured later must not be told: manifests are equal whoever wrote them. In broadcast feeds a key frame is an eighth
// to a fifth of two seconds.
const keyShare = 4

// appendIFrames writes the variant that is for scrubbing only.
func appendIFrames(b []byte, r timeline.Rendition) []byte {
	b = append(b, "#EXT-X-I-FRAME-STREAM-INF:"...)
	b = appendRate(b, max(r.Bandwidth/keyShare, 1), r.Average/keyShare)
	b = appendQuoted(b, "CODECS", r.Codec)
	b = appendPicture(b, r)
	b = appendQuoted(b, "URI", r.ID+"/iframes.m3u8")
	return append(b, '\n')
}

func appendRate(b []byte, bandwidth, average int64) []byte {
	b = strconv.AppendInt(append(b, "BANDWIDTH="...), bandwidth, 10)
	if average > 0 {
		b = strconv.AppendInt(append(b, ",AVERAGE-BANDWIDTH="...), average, 10)
	}
	return b
}

func appendPicture(b []byte, r timeline.Rendition) []byte {
	if r.Width > 0 && r.Height > 0 {
		b = strconv.AppendInt(append(b, ",RESOLUTION="...), int64(r.Width), 10)
		b = strconv.AppendInt(append(b, 'x'), int64(r.Height), 10)
	}
	switch r.Range { // others have no meaning to a player (RFC 8216bis, 4.4.6.2)
	case "SDR", "HLG", "PQ":
		b = append(append(b, ",VIDEO-RANGE="...), r.Range...)
	}
	return b
}

// appendQuoted writes an attribute unless it is empty, without what a quoted string must not hold (RFC 8216, 4.2).
func appendQuoted(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	b = append(append(append(b, ','), key...), `="`...)
	b = append(b, strings.Map(func(r rune) rune {
		if r == '"' || r < ' ' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, value)...)
	return append(b, '"')
}
