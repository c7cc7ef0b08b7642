package codec

import (
	"fmt"

	"github.com/Eyevinn/mp4ff/mp4"
)

// mpegAudio is what a frame header of ISO/IEC 11172-3 or 13818-3 says.
type mpegAudio struct {
	layer, rate, channels, frame int
	lower                        bool // sampling frequencies of ISO/IEC 13818-3
}

func readMPEGAudio(parameters [][]byte) (m mpegAudio, err error) {
	if len(parameters) != 1 || len(parameters[0]) != 4 {
		return m, formatf("%d frame headers, the first of %d bytes", len(parameters), len(parameters[0]))
	}
	h := parameters[0]
	version, layer, frequency := h[1]>>3&3, 4-int(h[1]>>1&3), h[2]>>2&3
	if h[0] != 0xff || h[1]&0xe0 != 0xe0 || version == 1 || layer == 4 || frequency == 3 {
		return m, formatf("frame header %x", h)
	}
	m = mpegAudio{layer: layer, rate: [3]int{44100, 48000, 32000}[frequency], channels: 2, frame: 1152, lower: version != 3}
	switch version {
	case 2:
		m.rate /= 2
	case 0: // of no standard, and common
		m.rate /= 4
	}
	if h[3]>>6 == 3 {
		m.channels = 1
	}
	switch {
	case layer == 1:
		m.frame = 384
	case layer == 3 && m.lower:
		m.frame = 576
	}
	return m, nil
}

// description names the layers by their audio object types (ISO/IEC 14496-3, Table 1.17), so that a player that has layer III only does not
// believe that it can play layer II, as it would of mp4a.6B.
func (m mpegAudio) description() Description {
	name := fmt.Sprintf("mp4a.40.%d", 31+m.layer)
	switch {
	case m.layer == 3 && m.lower:
		name = "mp4a.69"
	case m.layer == 3:
		name = "mp4a.6B"
	}
	return Description{Codec: name, SampleRate: m.rate, Channels: m.channels, FrameLength: m.frame}
}

// entry holds no DecoderSpecificInfo: each frame has its header (ISO/IEC 14496-14, 5.6).
func (m mpegAudio) entry() mp4.Box {
	esds := mp4.CreateEsdsBox(nil)
	esds.DecConfigDescriptor.DecSpecificInfo = nil
	esds.DecConfigDescriptor.ObjectType = mp4.ObjectTypeMP3
	if m.lower {
		esds.DecConfigDescriptor.ObjectType = mp4.ObjectTypeMPEG2Audio
	}
	return mp4.CreateAudioSampleEntryBox("mp4a", uint16(m.channels), 16, uint16(m.rate), esds)
}
