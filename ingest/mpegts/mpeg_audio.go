package mpegts

import "flambeau/packager/media"

// mpegAudio is ISO/IEC 11172-3 and 13818-3, layers I to III; or AAC, which some muxers announce as such (stream_type 3 or 4): the syncword
// of MPEG audio never comes with layer 0, that of ADTS always does.
type mpegAudio struct{}

func (mpegAudio) begins(b []byte) int { return syncAt(b, 0xff, 0xe0, 0xe0) }

// mpegRates are kbit/s by bitrate_index, of layers I to III of MPEG-1 (ISO/IEC 11172-3, 2.4.2.3), and of layer I, and II and III, with
// lower sampling frequencies (ISO/IEC 13818-3, 2.4.2.3). 0 is the free format.
var mpegRates = [5][15]int{
	{0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448},
	{0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384},
	{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320},
	{0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256},
	{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},
}

var mpegFrequencies = [3]int64{44100, 48000, 32000}

func (mpegAudio) read(b []byte, last *audioUnit, ending bool) (u audioUnit, v verdict) {
	switch {
	case b[0] != 0xff, len(b) > 1 && b[1]&0xe0 != 0xe0:
		return u, noFrame
	case len(b) > 1 && b[1]&0xf6 == 0xf0:
		return adts{}.read(b, last, ending)
	case len(b) < 4:
		return u, partFrame
	}
	version, layer := b[1]>>3&3, 4-int(b[1]>>1&3) // version 3: MPEG-1, 2: lower frequencies, 0: still lower ones, of no standard
	rate, frequency, padding := b[2]>>4, b[2]>>2&3, int(b[2]>>1&1)
	if version == 1 || layer == 4 || rate == 0 || rate == 15 || frequency == 3 {
		return u, noFrame
	}
	row := layer - 1
	u.rate, u.samples = mpegFrequencies[frequency], 1152
	if version != 3 {
		u.rate >>= 1 + (2-version)>>1
		row = min(2+layer, 4)
		if layer == 3 {
			u.samples = 576
		}
	}
	if layer == 1 {
		u.samples = 384
		u.size = (12*mpegRates[row][rate]*1000/int(u.rate) + padding) * 4
	} else {
		u.size = int(u.samples)/8*mpegRates[row][rate]*1000/int(u.rate) + padding
	}
	u.payload, u.codec = u.size, media.MPEGAudio
	mode := b[3] & 0xc0
	if mode != 0xc0 { // what is no single channel is two, however they are coded
		mode = 0
	}
	u.config = configOf(0xff, b[1]|1, frequency<<2, mode)
	if len(b) < u.size {
		return u, partFrame
	}
	return u, oneFrame
}
