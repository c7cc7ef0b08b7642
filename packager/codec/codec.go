// Package codec says what a track's parameters mean: a description for manifests, a sample entry for an initialization
// segment, and how a language is called.
//
//	                ┌─► Describe    ─► Description   "avc1.64001f", 1920 × 1080, 25 frames a second, SDR
//	media.Track ────┼─► SampleEntry ─► avc1, mp4a … for cmaf.Init
//	                └─► Language    ─► "fr", "fra"
//
// It is pure: no I/O, no clock, no state. Parameters are hostile input; what they get wrong is a FormatError, what is not done
// yet an UnsupportedError.
package codec

import (
	"fmt"

	"github.com/Eyevinn/mp4ff/mp4"

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
	JOC         int // complexity index of joint object coding (ETSI TS 103 420, 8.3.2); 0: there is none
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
	c, err := read(t)
	if err != nil {
		return Description{}, err
	}
	return c.description(), nil
}

// SampleEntry is what a track's parameters are in an initialization segment: avc1 with avcC or hvc1 with hvcC, pasp and, where the feed has
// said it, colr; mp4a with esds, ac-3 with dac3, ec-3 with dec3. Equal parameters give equal boxes: no bit rate, no encoder's name.
func SampleEntry(t media.Track) (mp4.Box, error) {
	c, err := read(t)
	if err != nil {
		return nil, err
	}
	return c.entry(), nil
}

// coding is what parameters say, in one coding or another.
type coding interface {
	description() Description
	entry() mp4.Box
}

func read(t media.Track) (coding, error) {
	type kind struct {
		media.Kind
		media.Codec
	}
	if !t.Known() {
		return nil, FormatError("none came yet")
	}
	switch (kind{t.Kind, t.Codec}) {
	case kind{media.Video, media.H264}:
		return readH264(t.Parameters)
	case kind{media.Video, media.H265}:
		return readH265(t.Parameters)
	case kind{media.Audio, media.AAC}:
		return readAAC(t.Parameters)
	case kind{media.Audio, media.AC3}:
		return readAC3(t.Parameters)
	case kind{media.Audio, media.EAC3}:
		return readEAC3(t.Parameters)
	case kind{media.Audio, media.MPEGAudio}:
		return readMPEGAudio(t.Parameters)
	}
	return nil, unsupportedf("%v of codec %q", t.Kind, t.Codec)
}
