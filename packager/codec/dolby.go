package codec

import "github.com/Eyevinn/mp4ff/mp4"

const (
	ac3Frame   = 1536 // samples of a frame, and of the syncframes of E-AC-3 that are one sample (ETSI TS 102 366, 4.1 and F.5)
	bsidAC3    = 8    // the highest of AC-3 (4.4.2.1)
	minBSIDEC3 = 11   // E-AC-3 has these (E.1.3.1.6)
	maxBSIDEC3 = 16
)

var dolbyRates = [3]int{48000, 44100, 32000}

// modeChannels are the full range channels of an acmod (ETSI TS 102 366, table 4.3).
var modeChannels = [8]int{2, 1, 2, 3, 3, 4, 4, 5}

// locationChannels are those of a chan_loc, from its first bit on (table F.6.1).
var locationChannels = [9]int{2, 2, 1, 1, 2, 2, 2, 1, 1}

// dolby is what an AC3SpecificBox or an EC3SpecificBox says.
type dolby struct {
	ac3            *mp4.Dac3Box // or
	eac3           *mp4.Dec3Box
	rate, channels int
	joc            int
}

// readAC3 reads what an AC3SpecificBox holds (ETSI TS 102 366, F.4.1).
func readAC3(parameters [][]byte) (d dolby, err error) {
	if len(parameters) != 1 || len(parameters[0]) != 3 {
		return d, formatf("%d AC3SpecificBoxes, the first of %d bytes", len(parameters), len(parameters[0]))
	}
	r := configReader{buf: parameters[0]}
	b := &mp4.Dac3Box{FSCod: byte(r.bits(2)), BSID: byte(r.bits(5)), BSMod: byte(r.bits(3)), ACMod: byte(r.bits(3)), LFEOn: byte(r.bits(1)), BitRateCode: byte(r.bits(5))}
	if b.FSCod == 3 || b.BSID > bsidAC3 || b.BitRateCode > 18 {
		return d, formatf("AC-3 with fscod %d, bsid %d, bit_rate_code %d", b.FSCod, b.BSID, b.BitRateCode)
	}
	return dolby{ac3: b, rate: dolbyRates[b.FSCod], channels: modeChannels[b.ACMod] + int(b.LFEOn)}, nil
}

// readEAC3 reads what an EC3SpecificBox holds (ETSI TS 102 366, F.6.1; ETSI TS 103 420, C.3.1). What is heard is the first programme: the
// first independent substream and those that depend on it.
func readEAC3(parameters [][]byte) (d dolby, err error) {
	if len(parameters) != 1 || len(parameters[0]) > MaxConfig {
		return d, formatf("%d EC3SpecificBoxes, the first of %d bytes", len(parameters), len(parameters[0]))
	}
	r := configReader{buf: parameters[0]}
	b := &mp4.Dec3Box{DataRate: uint16(r.bits(13))}
	for range r.bits(3) + 1 {
		s := mp4.EC3Sub{FSCod: byte(r.bits(2)), BSID: byte(r.bits(5))}
		r.bits(1)
		s.ASVC, s.BSMod, s.ACMod, s.LFEOn = byte(r.bits(1)), byte(r.bits(3)), byte(r.bits(3)), byte(r.bits(1))
		r.bits(3)
		if s.NumDepSub = byte(r.bits(4)); s.NumDepSub > 0 {
			s.ChanLoc = uint16(r.bits(9))
		} else {
			r.bits(1)
		}
		b.EC3Subs = append(b.EC3Subs, s)
	}
	if r.left() >= 16 && r.bits(8) == 1 {
		b.JOCComplexity = byte(r.bits(8))
	}
	first := b.EC3Subs[0]
	switch {
	case r.short:
		return d, FormatError("EC3SpecificBox cut short")
	case first.BSID < minBSIDEC3 || first.BSID > maxBSIDEC3:
		return d, formatf("E-AC-3 with bsid %d", first.BSID)
	case first.FSCod == 3:
		return d, UnsupportedError("E-AC-3 of half a sample rate") // the box does not say of which
	}
	d = dolby{eac3: b, rate: dolbyRates[first.FSCod], channels: modeChannels[first.ACMod] + int(first.LFEOn), joc: int(b.JOCComplexity)}
	for i, n := range locationChannels {
		if first.ChanLoc>>i&1 == 1 {
			d.channels += n
		}
	}
	return d, nil
}

func (d dolby) description() Description {
	name := "ac-3"
	if d.eac3 != nil {
		name = "ec-3"
	}
	return Description{Codec: name, SampleRate: d.rate, Channels: d.channels, FrameLength: ac3Frame, JOC: d.joc}
}

// entry is ETSI TS 102 366, F.3 and F.5.
func (d dolby) entry() mp4.Box {
	if d.eac3 != nil {
		return mp4.CreateAudioSampleEntryBox("ec-3", uint16(d.channels), 16, uint16(d.rate), d.eac3)
	}
	return mp4.CreateAudioSampleEntryBox("ac-3", uint16(d.channels), 16, uint16(d.rate), d.ac3)
}
