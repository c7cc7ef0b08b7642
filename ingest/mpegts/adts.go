package mpegts

import (
	"bytes"

	"flambeau/packager/media"
)

// aacFrame is how many samples one raw_data_block holds (ISO/IEC 14496-3, 4.5.2.1.1; ADTS has no 960).
const aacFrame = 1024

// aacRates is ISO/IEC 14496-3, table 1.18.
var aacRates = [...]int64{96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}

// adtsHeader is the length of adts_fixed_header and adts_variable_header.
const adtsHeader = 7

// adts is AAC in its transport frames (ISO/IEC 14496-3, 1.A.3.2).
type adts struct{}

func (adts) begins(b []byte) int { return syncAt(b, 0xff, 0xf6, 0xf0) }

// syncAt is where a syncword of one byte, and of the masked bits of another, could begin.
func syncAt(b []byte, first, mask, second byte) int {
	for at := 0; ; at++ {
		i := bytes.IndexByte(b[at:], first)
		if i < 0 {
			return len(b)
		}
		if at += i; at+1 == len(b) || b[at+1]&mask == second {
			return at
		}
	}
}

func (adts) read(b []byte, _ *audioUnit, _ bool) (u audioUnit, v verdict) {
	switch {
	case b[0] != 0xff, len(b) > 1 && b[1]&0xf6 != 0xf0:
		return u, noFrame
	case len(b) < adtsHeader:
		return u, partFrame
	}
	object, index, channels := b[2]>>6+1, b[2]>>2&0x0f, b[2]&1<<2|b[3]>>6
	header := adtsHeader
	if b[1]&1 == 0 { // protection_absent
		header += 2
	}
	u.size = int(b[3]&3)<<11 | int(b[4])<<3 | int(b[5]>>5)
	if int(index) >= len(aacRates) || u.size <= header {
		return u, noFrame
	}
	blocks := int64(b[6]&3) + 1
	u.at, u.payload = header*8, u.size-header
	u.samples, u.rate, u.codec = aacFrame*blocks, aacRates[index], media.AAC
	u.config = configOf(object<<3|index>>1, index<<7|channels<<3) // AudioSpecificConfig, 1.6.2.1
	if blocks > 1 || channels == 0 {                              // 0: they are described in a program_config_element inside the frame
		u.refused = unsupported
	}
	if len(b) < u.size {
		return u, partFrame
	}
	return u, oneFrame
}
