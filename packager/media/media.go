// Package media is the border between where feeds come from and what is made of them: the words in which a feed
// speaks to a packager.
//
//	source ─► demux ─► Begin, Sample, Sample, Cue, Lost, Sample … End ─► packager.Channel
//
// It knows no container, no socket and no clock, and imports the standard library only.
package media

import "time"

// Ticks count time on the timescale of a track (Track.Timescale ticks are one second). On the way out of a demuxer
// they are already unwrapped: 64 bits, no roll-over.
type Ticks int64

// Kind is what a track carries.
type Kind uint8

const (
	Video Kind = iota + 1
	Audio
)

func (k Kind) String() string {
	switch k {
	case Video:
		return "video"
	case Audio:
		return "audio"
	}
	return "unknown"
}

// Codec names an elementary stream's coding. The set grows with the demuxers.
type Codec string

const (
	H264      Codec = "h264" // ISO/IEC 14496-10
	H265      Codec = "h265" // ISO/IEC 23008-2
	AAC       Codec = "aac"  // ISO/IEC 14496-3
	AC3       Codec = "ac3"  // ETSI TS 102 366
	EAC3      Codec = "eac3" // ETSI TS 102 366, annex E
	MPEGAudio Codec = "mpga" // ISO/IEC 11172-3 and 13818-3, layers I to III
)

// Track is one elementary stream of a feed.
type Track struct {
	ID        int    // what the feed calls it (MPEG-TS: the PID); stable while the feed is
	Kind      Kind   //
	Codec     Codec  //
	Timescale uint32 // ticks a second of PTS and DTS (MPEG-TS: 90000)
	Language  string // as the feed says it, ISO 639-2 (three letters, lower case), or ""

	// Parameters are what a decoder must know before the first frame, in canonical order and without repeats:
	//
	//	H264  every sequence parameter set, then every picture parameter set, each by rising id; NAL units without
	//	      start code or length
	//	H265  every video, then every sequence, then every picture parameter set, likewise
	//	AAC   one AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1)
	//	AC3   what an AC3SpecificBox holds (ETSI TS 102 366, F.4)
	//	EAC3  what an EC3SpecificBox holds (F.6), data_rate being 0
	//	MPEGAudio  a frame header without what may change: error protection absent, bit rate, padding, private bit and all
	//	      behind mode 0, mode 0 for any of two channels
	//
	// Empty: the feed has announced the track, and nothing decodable has come yet.
	Parameters [][]byte
}

// Known tells whether the track can be described to a decoder.
func (t Track) Known() bool { return len(t.Parameters) > 0 }

// Event is one thing that a feed tells. It is one of Begin, *Sample, Cue, Lost and End. Whoever has sent an event
// touches neither it nor what it points to again.
type Event interface{ event() }

// Begin says which tracks the feed has from here on, in the order of the feed. It comes before the first sample, and
// again, complete, whenever a track appears, goes, or changes its parameters; a sample is to be read with the
// parameters of the last Begin before it.
type Begin struct {
	Tracks []Track
}

// Sample is one access unit.
type Sample struct {
	Track int   // Track.ID
	PTS   Ticks // presentation time
	DTS   Ticks // decoding time; equal to PTS where a feed gives none
	Key   bool  // decoding can start here. Video: IDR, CRA, BLA, or a recovery point where a feed has no IDR. Audio: always

	// Damaged: bytes of this access unit are known to be missing.
	Damaged bool

	// Data is the access unit as it stands in a CMAF track:
	//
	//	H264  NAL units, each after its length in four bytes (ISO/IEC 14496-15, 5.3.2), without parameter sets,
	//	      access unit delimiters, filler and end-of-sequence units
	//	H265  the same, of the base layer
	//	AAC   one raw_data_block, without ADTS header
	//	AC3   one syncframe
	//	EAC3  the syncframes of all substreams over six blocks (F.5)
	//	MPEGAudio  one frame with its header
	Data []byte

	// Arrived is when the worker had it: wall clock and monotonic reading of the worker's own clock; for a paced
	// file the instant at which it was due.
	Arrived time.Time
}

// Cue is a splice_info_section (ANSI/SCTE 35, 9.6) as it came, CRC checked.
type Cue struct {
	Track   int    // what the feed calls the stream it came in
	At      Ticks  // of the instant it speaks of, unwrapped, 90 kHz, pts_adjustment added; of its arrival if it names none
	Command uint8  // splice_command_type
	Section []byte //
	Arrived time.Time
}

// Lost says that something of a track did not arrive, or arrived unusable.
type Lost struct {
	Track  int    // Track.ID; 0: of the feed as a whole
	At     Ticks  // of the last timestamp seen on the track before the loss
	Reason string // from a closed list, see the demuxer
	Count  int    // how many units of that reason (packets, frames, sections)
}

// End says that nothing will follow: the feed was closed or went silent. A Begin may come after it.
type End struct {
	Reason string
}

func (Begin) event()   {}
func (*Sample) event() {}
func (Cue) event()     {}
func (Lost) event()    {}
func (End) event()     {}
