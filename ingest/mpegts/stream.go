package mpegts

import (
	"encoding/binary"
	"reflect"
	"slices"
	"strings"

	"flambeau/packager/media"
)

// Stream is one line of the PMT.
type Stream struct {
	PID       int
	Type      byte   // stream_type, ISO/IEC 13818-1, table 2-34
	Name      string // "H.264", "teletext" …
	Language  string // ISO 639-2, as the feed says it
	Supported bool   // it becomes a track, or cues
	Why       string // not, if it doesn't
}

const (
	nameH264   = "H.264"
	nameH265   = "H.265"
	nameAAC    = "AAC"
	nameLATM   = "AAC LATM"
	nameAC3    = "AC-3"
	nameEAC3   = "E-AC-3"
	nameMPEG1  = "MPEG-1 audio"
	nameMPEG2  = "MPEG-2 audio"
	nameSCTE35 = "SCTE-35"
)

// codecs are what we take apart, by name. SCTE-35 is not among them: it comes in sections, see scte35.go.
var codecs = map[string]struct {
	kind  media.Kind
	codec media.Codec // until a frame says otherwise
	make  func(*track) parser
}{
	nameH264:  {media.Video, media.H264, videoOf(h264{})},
	nameH265:  {media.Video, media.H265, videoOf(h265{})},
	nameAAC:   {media.Audio, media.AAC, audioOf(adts{})},
	nameLATM:  {media.Audio, media.AAC, audioOf(latm{})},
	nameAC3:   {media.Audio, media.AC3, audioOf(ac3{})},
	nameEAC3:  {media.Audio, media.EAC3, audioOf(eac3{})},
	nameMPEG1: {media.Audio, media.MPEGAudio, audioOf(mpegAudio{})},
	nameMPEG2: {media.Audio, media.MPEGAudio, audioOf(mpegAudio{})},
}

// byType names what stream_type alone tells.
var byType = map[byte]string{
	0x01: "MPEG-1 video", 0x02: "MPEG-2 video", 0x03: nameMPEG1, 0x04: nameMPEG2, 0x05: "private sections",
	0x06: "private data", 0x07: "MHEG", 0x08: "DSM-CC", 0x0a: "DSM-CC", 0x0b: "DSM-CC", 0x0c: "DSM-CC", 0x0d: "DSM-CC",
	0x0f: nameAAC, 0x10: "MPEG-4 video", 0x11: nameLATM, 0x12: "MPEG-4 systems", 0x13: "MPEG-4 systems",
	0x15: "metadata", 0x16: "metadata", 0x1b: nameH264, 0x1c: "MPEG-4 audio", 0x1f: "SVC", 0x20: "MVC", 0x21: "JPEG 2000",
	0x24: nameH265, 0x25: "H.265, temporal subset", 0x2d: "MPEG-H audio", 0x2e: "MPEG-H audio", 0x32: "JPEG XS", 0x33: "VVC", 0x34: "VVC",
	0x42: "AVS", 0x80: "MPEG-2 video", 0x81: nameAC3, 0x82: "SCTE-27 subtitles", 0x84: nameEAC3, 0x85: "DTS-HD",
	0x86: nameSCTE35, 0x87: nameEAC3, 0xc1: "AC-3, encrypted", 0xc2: "E-AC-3, encrypted", 0xcf: "AAC, encrypted",
	0xd1: "Dirac", 0xd2: "AVS2", 0xd4: "AVS3", 0xdb: "H.264, encrypted", 0xea: "VC-1",
}

// byDescriptor names private data (ETSI EN 300 468, table 12).
var byDescriptor = map[byte]string{
	0x45: "VBI data", 0x46: "VBI teletext", 0x56: "teletext", 0x59: "DVB subtitles", 0x6a: nameAC3, 0x7a: nameEAC3, 0x7b: "DTS",
	0x7c: "AAC in private data",
}

// byFormat names private data by the format_identifier of its registration (ISO/IEC 13818-1, 2.6.8).
var byFormat = map[string]string{
	"AC-3": nameAC3, "EAC3": nameEAC3, "AC-4": "AC-4", "HEVC": nameH265, "VVC ": "VVC", "Opus": "Opus", "AV01": "AV1",
	"VANC": "SMPTE ST 2038 ancillary data", "KLVA": "KLV", "BSSD": "SMPTE ST 302 audio", "DTS1": "DTS", "DTS2": "DTS",
	"DTS3": "DTS", "ID3 ": "ID3", "VC-1": "VC-1", "drac": "Dirac", "CUEI": nameSCTE35,
}

// parsePMT reads what stands between last_section_number and CRC (ISO/IEC 13818-1, 2.4.4.8).
func parsePMT(b []byte) (streams []Stream, ok bool) {
	if len(b) < 4 {
		return nil, false
	}
	info, b, ok := cut(b[2:])
	if !ok {
		return nil, false
	}
	disc := format(info) == "HDMV"
	taken, ours := map[int]bool{}, 0
	for len(b) > 0 {
		if len(b) < 5 {
			return nil, false
		}
		s := Stream{Type: b[0], PID: int(binary.BigEndian.Uint16(b[1:])) & 0x1fff}
		var es []byte
		if es, b, ok = cut(b[3:]); !ok {
			return nil, false
		}
		s.Name, s.Language = name(s.Type, es, disc), language(es)
		s.Supported, s.Why = judge(s, taken, ours)
		if s.Supported {
			ours++
		}
		taken[s.PID] = true
		streams = append(streams, s)
	}
	return streams, true
}

// cut takes a 12-bit length and what it counts off the front.
func cut(b []byte) (counted, rest []byte, ok bool) {
	n := int(binary.BigEndian.Uint16(b)) & 0x0fff
	if b = b[2:]; n > len(b) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

const listedTwice = "the PID is listed twice"

func judge(s Stream, taken map[int]bool, ours int) (bool, string) {
	_, known := codecs[s.Name]
	switch {
	case s.PID < 0x10 || s.PID == pidNull:
		return false, "a reserved PID"
	case taken[s.PID]:
		return false, listedTwice
	case !known && s.Name != nameSCTE35:
		return false, "not supported"
	case ours >= MaxTracks:
		return false, "too many streams"
	}
	return true, ""
}

func name(streamType byte, es []byte, disc bool) string {
	n, known := byType[streamType]
	switch {
	case streamType == 0x86 && disc:
		return "DTS-HD" // Blu-ray has its own table
	case streamType == 0x06 || streamType == 0x05:
		if private, ok := private(es); ok {
			return private
		}
	case streamType == 0x15 && bytesContain(es, "ID3 "):
		return "ID3"
	case !known:
		if byFormat, ok := byFormat[format(es)]; ok && byFormat != nameSCTE35 {
			return byFormat
		}
		return "unknown"
	}
	return n
}

func bytesContain(b []byte, s string) bool { return strings.Contains(string(b), s) }

// private names what only descriptors can tell.
func private(es []byte) (string, bool) {
	if n, ok := byFormat[format(es)]; ok {
		return n, true
	}
	for tag := range descriptors(es) {
		if n, ok := byDescriptor[tag]; ok {
			return n, true
		}
	}
	return "", false
}

// descriptors yields tag and body, as far as they are whole.
func descriptors(b []byte) func(yield func(byte, []byte) bool) {
	return func(yield func(byte, []byte) bool) {
		for b := b; len(b) >= 2 && int(b[1]) <= len(b)-2; b = b[2+int(b[1]):] {
			if !yield(b[0], b[2:2+int(b[1])]) {
				return
			}
		}
	}
}

func format(b []byte) string {
	for tag, body := range descriptors(b) {
		if tag == 0x05 && len(body) >= 4 {
			return string(body[:4])
		}
	}
	return ""
}

// language is the first of an ISO_639_language (ISO/IEC 13818-1, 2.6.18), teletext or subtitling descriptor.
func language(b []byte) string {
	for tag, body := range descriptors(b) {
		if len(body) >= 3 && (tag == 0x0a || tag == 0x46 || tag == 0x56 || tag == 0x59) {
			l := strings.ToLower(string(body[:3]))
			if strings.IndexFunc(l, func(r rune) bool { return r < 'a' || r > 'z' }) < 0 {
				return l
			}
		}
	}
	return ""
}

// attach listens to a stream, with the track that had it before if it is still the same.
func (d *Demuxer) attach(s *Stream, tracks []*track, lists []*cues) {
	if !s.Supported {
		return
	}
	if p := d.pids[s.PID]; p != nil && isTable(p) {
		s.Supported, s.Why = false, "the PID carries tables"
		return
	}
	if s.Name == nameSCTE35 {
		d.cues = append(d.cues, d.listen(s.PID, lists))
		return
	}
	for _, t := range tracks {
		if t.ID == s.PID && t.announced == s.Name {
			t.Language = s.Language
			d.tracks = append(d.tracks, t)
			d.turnsOutToBe(t, t.Codec)
			return
		}
	}
	t := d.newTrack(s)
	d.pids[s.PID] = &pid{number: s.PID, take: t.es, track: t}
	d.tracks = append(d.tracks, t)
}

func (d *Demuxer) newTrack(s *Stream) *track {
	c := codecs[s.Name]
	t := &track{d: d, announced: s.Name, Track: media.Track{ID: s.PID, Kind: c.kind, Codec: c.codec, Timescale: timescale, Language: s.Language}}
	t.es = &elementary{track: t, parser: c.make(t), header: make([]byte, 0, maxHeader)}
	return t
}

// turnsOutToBe notes what a track is of, where that is not what was announced.
func (d *Demuxer) turnsOutToBe(t *track, codec media.Codec) {
	t.Codec = codec
	if codec == codecs[t.announced].codec {
		return
	}
	for i := range d.streams {
		if s := &d.streams[i]; s.PID == t.ID && s.Supported && codec == media.AAC {
			s.Name = nameAAC
		}
	}
}

func sameTracks(a, b media.Begin) bool {
	return slices.EqualFunc(a.Tracks, b.Tracks, func(a, b media.Track) bool { return reflect.DeepEqual(a, b) })
}
