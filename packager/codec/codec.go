// Package codec says what a track's parameters mean: a description for manifests, a sample entry for an initialization
// segment, and how a language is called.
//
//	                ┌─► Describe    ─► Description   "avc1.64001f", 1920 × 1080, 25 frames a second, SDR
//	media.Track ────┼─► SampleEntry ─► avc1, mp4a    for cmaf.Init
//	                └─► Language    ─► "fr", "fra"
//
// It is pure: no I/O, no clock, no state. Parameters are hostile input; what they get wrong is a FormatError, what is not done
// yet an UnsupportedError.
package codec

import (
	"fmt"

	"flambeau/packager/media"
)

// A FormatError says what is wrong with a track's parameters.
type FormatError string

func (e FormatError) Error() string { return "codec: invalid parameters: " + string(e) }

// An UnsupportedError says what a track uses that is not done yet.
type UnsupportedError string

func (e UnsupportedError) Error() string { return "codec: unsupported: " + string(e) }

func formatf(format string, args ...any) error { return FormatError(fmt.Sprintf(format, args...)) }

func unsupportedf(format string, args ...any) error {
	return UnsupportedError(fmt.Sprintf(format, args...))
}

// Description is what a track's parameters say. Fields of the other kind are zero.
type Description struct {
	Codec string // RFC 6381, 3.3: "avc1.64001f", "mp4a.40.2"

	// Video.

	Width, Height       int    // luma samples after cropping; of a frame, also where fields are coded
	SARWidth, SARHeight int    // sample aspect ratio; 1:1 where none is given
	FrameNum, FrameDen  int64  // frames (never fields) a second, lowest terms; 0/0: unknown
	Interlaced          bool   // fields may be coded; there may be whole frames among them
	Range               string // "SDR", "PQ" or "HLG": the words of VIDEO-RANGE
	Colour              Colour

	// Audio. A frame lasts FrameLength/SampleRate seconds, also with SBR, where it gives more samples at a higher rate.

	SampleRate  int // of the core
	SBRRate     int // samples a second after spectral band replication; 0: not signalled
	Channels    int // after parametric stereo, where that is signalled
	FrameLength int // samples of the core in a frame
}

// Colour is how samples become light, in the code points of ITU-T H.273.
type Colour struct {
	Present                     bool  // the three below were given; else they are 2, unspecified
	Primaries, Transfer, Matrix uint8 //
	FullRange                   bool  //
}

// OutputRate is the sample rate that a listener gets.
func (d Description) OutputRate() int { return max(d.SampleRate, d.SBRRate) }

// Describe reads a track's parameters.
func Describe(t media.Track) (Description, error) {
	if !t.Known() {
		return Description{}, FormatError("none came yet")
	}
	switch {
	case t.Codec == media.H264 && t.Kind == media.Video:
		v, err := readH264(t.Parameters)
		return v.description(), err
	case t.Codec == media.AAC && t.Kind == media.Audio:
		a, err := readAAC(t.Parameters)
		return a.description(), err
	}
	return Description{}, unsupportedf("%v of codec %q", t.Kind, t.Codec)
}
