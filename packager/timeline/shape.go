package timeline

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"
)

// Format is the version of everything that FORMAT.md describes.
const Format = 2

// Shape is what the first worker of a channel decides for its whole life.
type Shape struct {
	Format         int        `json:"format"`
	Channel        string     `json:"channel"`
	Slot           Rational   `json:"slot"`                // L, the length of a slot
	TargetDuration int64      `json:"target_duration"`     // seconds, EXT-X-TARGETDURATION
	Part           Rational   `json:"part"`                // no part is longer
	Interval       Rational   `json:"key_frame_interval"`  // of a regular channel; 0: irregular
	Reference      string     `json:"reference_rendition"` // whose key frames are everybody's cuts
	First          Generation `json:"generation"`          // generation 0
}

// Regular tells whether key frames come at equal distances.
func (s Shape) Regular() bool { return !s.Interval.IsZero() }

// Generation is one stretch of one clock, one track set, one language set and one initialization segment per rendition.
type Generation struct {
	Number     int         `json:"number"`
	T0         int64       `json:"t0"`        // media time of its first reference frame since 1970, in ticks of Timescale
	Timescale  uint32      `json:"timescale"` // of the reference rendition
	S0         int64       `json:"s0"`        // its first slot
	Why        string      `json:"why"`       // "start", "restart", "silence", "jump", "tracks", "parameters", "phase"
	Renditions []Rendition `json:"renditions"`
}

// Rendition is one track as it leaves: everything that a manifest says of it, and its map from source ticks to media time.
type Rendition struct {
	ID        string `json:"id"`    // v{height}, a-{lang}, then -2, -3 in feed order
	Kind      string `json:"kind"`  // "video" or "audio"
	Track     int    `json:"track"` // of the feed
	Codec     string `json:"codec"` // RFC 6381
	Timescale uint32 `json:"timescale"`
	Init      Hash   `json:"init"`
	Language  string `json:"language,omitempty"` // RFC 5646, shortest; "" unknown

	Width      int      `json:"width,omitempty"` // luma samples
	Height     int      `json:"height,omitempty"`
	SAR        [2]int   `json:"sar,omitzero"`        // shape of a sample, horizontal to vertical; 0:0 unknown
	FrameRate  Rational `json:"frame_rate,omitzero"` // frames a second
	Range      string   `json:"video_range,omitempty"`
	Colour     [3]int   `json:"colour,omitzero"` // primaries, transfer, matrix by ITU-T H.273; 0:0:0 unknown
	SampleRate int      `json:"sample_rate,omitempty"`
	Channels   int      `json:"channels,omitempty"`
	JOC        int      `json:"joc,omitempty"` // complexity index of joint object coding; 0: there is none

	// Bandwidth is the peak over any slot, Average the mean, bits a second; from the first media of the generation or the
	// configuration, never measured later: manifests must not depend on who looked when.
	Bandwidth int64 `json:"bandwidth"`
	Average   int64 `json:"average_bandwidth"`

	// Zero is the source tick, of SourceTimescale, that stands for the generation's T0.
	Zero            int64  `json:"source_zero"`
	SourceTimescale uint32 `json:"source_timescale"`
	// Delay is added to decoding times, so that a key frame's is its presentation time (CMAF: no edit list, negative
	// composition offsets). Video.
	Delay int64 `json:"delay,omitempty"`
	// Frame is the length of every frame and First the media time of the first, both in ticks of Timescale, FirstSource
	// that frame's source tick: the lattice to which frames snap. Audio.
	Frame       int64 `json:"frame,omitempty"`
	First       int64 `json:"first,omitempty"`
	FirstSource int64 `json:"first_source,omitempty"`
}

// IsVideo tells whether it has pictures.
func (r Rendition) IsVideo() bool { return r.Kind == "video" }

// Rendition finds one by its id.
func (g Generation) Rendition(id string) (Rendition, bool) {
	for _, r := range g.Renditions {
		if r.ID == id {
			return r, true
		}
	}
	return Rendition{}, false
}

// Nominal is the media time, in ticks of timescale, at which a slot of this generation begins if nothing is late.
func (g Generation) Nominal(s Shape, slot int64, timescale uint32) int64 {
	if timescale == g.Timescale {
		return g.T0 + s.Slot.CeilTicks(slot-g.S0, timescale)
	}
	return Rescale(g.T0, g.Timescale, timescale) + s.Slot.CeilTicks(slot-g.S0, timescale)
}

// Encode gives the record's bytes, and their hash, which is part of its name. Equal records, equal bytes.
func (g Generation) Encode() ([]byte, Hash) { return encodeJSON(g) }

// Encode gives the bytes of shape.json.
func (s Shape) Encode() ([]byte, Hash) { return encodeJSON(s) }

func encodeJSON(v any) ([]byte, Hash) {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		panic("timeline: a record of plain numbers and strings that is no JSON: " + err.Error())
	}
	b = append(b, '\n')
	return b, sha256.Sum256(b)
}

// MaxRecord is the longest shape or generation record, in bytes.
const MaxRecord = 1 << 20

// DecodeShape reads shape.json and refuses what no worker can have written.
func DecodeShape(b []byte) (Shape, error) {
	var s Shape
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("timeline: shape: %w", err)
	}
	if s.Format != Format {
		return s, fmt.Errorf("timeline: shape: format %d, this is %d", s.Format, Format)
	}
	if !s.Slot.sound() || !s.Part.sound() || s.TargetDuration <= 0 || s.Slot.Cmp(Seconds(s.TargetDuration, 1)) > 0 {
		return s, fmt.Errorf("timeline: shape: slot %v, part %v and target duration %d do not fit", s.Slot, s.Part, s.TargetDuration)
	}
	if s.Interval.Num != 0 && !s.Interval.sound() {
		return s, fmt.Errorf("timeline: shape: key frame interval %v", s.Interval)
	}
	return s, s.First.check()
}

func (r Rational) sound() bool {
	return r.Num > 0 && r.Den > 0 && r.Num < 1<<31 && r.Den < 1<<31
}

// DecodeGeneration reads a generation's record.
func DecodeGeneration(b []byte) (Generation, error) {
	var g Generation
	if err := json.Unmarshal(b, &g); err != nil {
		return g, fmt.Errorf("timeline: generation: %w", err)
	}
	return g, g.check()
}

func (g Generation) check() error {
	if g.Number < 0 || g.Timescale == 0 || len(g.Renditions) == 0 {
		return fmt.Errorf("timeline: generation %d: timescale %d, %d renditions", g.Number, g.Timescale, len(g.Renditions))
	}
	for _, r := range g.Renditions {
		if err := CheckName(r.ID); err != nil {
			return fmt.Errorf("timeline: generation %d: rendition %w", g.Number, err)
		}
		if r.Timescale == 0 || r.SourceTimescale == 0 {
			return fmt.Errorf("timeline: generation %d: rendition %s without timescale", g.Number, r.ID)
		}
	}
	return nil
}

// UTC is the instant of ticks since 1970.
func UTC(ticks int64, timescale uint32) time.Time {
	ts := int64(timescale)
	sec := floorDiv(ticks, ts)
	return time.Unix(sec, (ticks-sec*ts)*int64(time.Second)/ts).UTC()
}
