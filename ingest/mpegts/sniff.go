package mpegts

import (
	"cmp"
	"slices"
)

// Some muxers announce AAC as MPEG audio (stream_type 3 or 4). Those streams are listened to for a moment: the syncword of
// MPEG audio never comes with layer 0, that of ADTS always does.

// sniffLimit is how many bytes may pass without AAC before a stream is what it was announced as.
const sniffLimit = 16 << 10

func maybeAAC(s Stream) bool {
	return (s.Type == 0x03 || s.Type == 0x04) && s.PID >= 0x10 && s.PID != pidNull
}

// sniffer feeds a track that nobody knows of, until it speaks or the limit is reached.
type sniffer struct {
	*elementary
	left int
}

func (s *sniffer) packet(payload []byte, start bool) {
	s.elementary.packet(payload, start)
	if s.left -= len(payload); s.left < 0 && s.mute {
		d := s.d
		d.pids[s.ID] = nil
		d.hidden = slices.DeleteFunc(d.hidden, func(t *track) bool { return t == s.track })
	}
}

// attachHidden listens to what may be AAC, or goes on with it where it has been found out.
func (d *Demuxer) attachHidden(s *Stream, tracks []*track) {
	for _, t := range tracks {
		if t.ID == s.PID && t.Codec == codecs[nameAAC].codec {
			t.Language = s.Language
			d.keep(t, s)
			return
		}
	}
	if d.pids[s.PID] != nil || len(d.tracks)+len(d.hidden) >= MaxTracks {
		return
	}
	t := d.newTrack(s, nameAAC)
	t.mute = true
	d.pids[s.PID] = &pid{number: s.PID, take: &sniffer{t.es, sniffLimit}, track: t}
	d.hidden = append(d.hidden, t)
}

func (d *Demuxer) keep(t *track, s *Stream) {
	if t.mute {
		d.hidden = append(d.hidden, t)
		return
	}
	s.Name, s.Supported, s.Why = nameAAC, true, ""
	d.tracks = append(d.tracks, t)
}

// reveal makes a track of a hidden one, in the order of the PMT.
func (d *Demuxer) reveal(t *track) {
	t.mute = false
	d.hidden = slices.DeleteFunc(d.hidden, func(o *track) bool { return o == t })
	d.tracks = append(d.tracks, t)
	at := func(t *track) int {
		return slices.IndexFunc(d.streams, func(s Stream) bool { return s.PID == t.ID })
	}
	slices.SortStableFunc(d.tracks, func(a, b *track) int { return cmp.Compare(at(a), at(b)) })
	s := &d.streams[at(t)]
	s.Name, s.Supported, s.Why = nameAAC, true, ""
}
