package codec

import (
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/bits"
)

// Limits of what is believed of an AudioSpecificConfig. Beyond any of them the track is refused with a FormatError.
const (
	MaxConfig     = 64     // bytes; without a program config element it has at most 13
	MinSampleRate = 7350   // ISO/IEC 14496-3, Table 1.18
	MaxSampleRate = 192000 // 96 kHz, doubled by SBR
)

// Audio object types (ISO/IEC 14496-3, Table 1.17).
const (
	typeLC  = 2
	typeSBR = 5
	typePS  = 29
)

// aac is what an AudioSpecificConfig says.
type aac struct {
	config   []byte
	rate     int
	sbrRate  int // 0: not signalled
	ps       bool
	channels int // of the core
	frame    int
}

var sampleRates = [...]int{96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}

// channelCounts are those of channelConfiguration (ISO/IEC 14496-3, Table 1.19); 0: reserved.
var channelCounts = [16]int{1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 8, 11: 7, 12: 8, 13: 24, 14: 8}

func readAAC(parameters [][]byte) (aac, error) {
	if len(parameters) != 1 || len(parameters[0]) > MaxConfig {
		return aac{}, formatf("%d configurations, the first of %d bytes", len(parameters), len(parameters[0]))
	}
	r := configReader{buf: parameters[0]}
	a, err := r.config()
	if err == nil && r.short {
		err = FormatError("AudioSpecificConfig cut short")
	}
	if err != nil {
		return aac{}, err
	}
	a.config = parameters[0]
	return a, nil
}

// configReader reads an AudioSpecificConfig. Past its end everything is zero, and short is set.
type configReader struct {
	buf   []byte
	pos   int
	short bool
}

func (r *configReader) left() int { return len(r.buf)*8 - r.pos }

func (r *configReader) bits(n int) int {
	v, err := bits.ReadBits(r.buf, &r.pos, n)
	if err != nil {
		r.short = true
		return 0
	}
	return int(v)
}

func (r *configReader) flag() bool { return r.bits(1) == 1 }

// config reads AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1).
func (r *configReader) config() (a aac, err error) {
	object := r.bits(5)
	if a.rate, err = r.rate(); err != nil {
		return a, err
	}
	channels := r.bits(4)
	if object == typeSBR || object == typePS { // explicit, hierarchical signalling (1.6.5)
		a.ps = object == typePS
		if a.sbrRate, err = r.rate(); err != nil {
			return a, err
		}
		object = r.bits(5)
	}
	if r.short {
		return a, nil
	}
	if object != typeLC {
		return a, unsupportedf("audio object type %d", object)
	}
	if err := r.general(&a); err != nil {
		return a, err
	}
	if a.channels = channelCounts[channels]; a.channels == 0 {
		return a, unsupportedf("channel configuration %d", channels)
	}
	if err := r.extension(&a); err != nil {
		return a, err
	}
	if a.sbrRate != 0 && a.sbrRate != a.rate && a.sbrRate != 2*a.rate {
		return a, formatf("SBR makes %d of %d Hz", a.sbrRate, a.rate)
	}
	return a, nil
}

// rate reads samplingFrequencyIndex and, where that says so, samplingFrequency.
func (r *configReader) rate() (int, error) {
	i, rate := r.bits(4), 0
	switch {
	case i < len(sampleRates):
		rate = sampleRates[i]
	case i == 15:
		rate = r.bits(24)
	}
	if !r.short && (rate < MinSampleRate || rate > MaxSampleRate) {
		return 0, formatf("sample rate index %d, %d Hz", i, rate)
	}
	return rate, nil
}

// general reads GASpecificConfig (ISO/IEC 14496-3, 4.4.1), up to a program config element.
func (r *configReader) general(a *aac) error {
	a.frame = 1024
	if r.flag() {
		a.frame = 960
	}
	if r.flag() { // dependsOnCoreCoder
		return UnsupportedError("scalable AAC")
	}
	if r.flag() { // extensionFlag "shall be 0" for this object type
		return FormatError("AAC LC with an extension flag")
	}
	return nil
}

// extension reads the backward compatible signalling of SBR and PS, which is optional and comes last (1.6.5.2).
func (r *configReader) extension(a *aac) (err error) {
	const syncSBR, syncPS = 0x2b7, 0x548
	if a.sbrRate != 0 || r.left() < 16 || r.bits(11) != syncSBR || r.bits(5) != typeSBR {
		return nil
	}
	if !r.flag() {
		return nil
	}
	if a.sbrRate, err = r.rate(); err != nil {
		return err
	}
	a.ps = r.left() >= 12 && r.bits(11) == syncPS && r.flag()
	return nil
}

func (a aac) description() Description {
	object, channels := typeLC, a.channels
	switch {
	case a.ps:
		object = typePS
		if channels == 1 { // ISO/IEC 14496-3, 8.A: PS makes two of one
			channels = 2
		}
	case a.sbrRate != 0:
		object = typeSBR
	}
	return Description{
		Codec:       fmt.Sprintf("mp4a.40.%d", object),
		SampleRate:  a.rate,
		SBRRate:     a.sbrRate,
		Channels:    channels,
		FrameLength: a.frame,
	}
}
