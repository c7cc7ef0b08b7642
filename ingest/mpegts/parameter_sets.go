package mpegts

import "bytes"

// maxParameterSet is the longest parameter set that is believed, in bytes.
const maxParameterSet = 4096

// parameterSets are those that slices may refer to, by id. H.264 has no video parameter sets.
type parameterSets struct {
	videos    [16]*set
	sequences [32]*sps
	pictures  [256]*pps
	active    *sps     // of the last key picture
	changed   bool     // since list was made
	list      [][]byte // in canonical order; never written to again
}

// set is what parameter sets have in common.
type set struct {
	id   uint32
	raw  []byte
	unit int64 // in which it came last
}

func setOf(id uint32, nal []byte) set { return set{id: id, raw: append([]byte(nil), nal...)} }

// again tells whether a set has only come once more.
func (s *set) again(old *set, unit int64) bool {
	s.unit = unit
	if !bytes.Equal(old.raw, s.raw) {
		return false
	}
	old.unit = unit
	return true
}

// takeSet keeps a parameter set, or tells that it is none.
func (p *parameterSets) takeSet(class nalClass, nal []byte, x syntax, unit int64) bool {
	switch {
	case len(nal) > maxParameterSet:
		return false
	case class == nalVideo:
		return p.takeVideo(nal, unit)
	case class == nalSequence:
		s, ok := x.sps(nal)
		if !ok {
			return false
		}
		old := p.sequences[s.id]
		if old != nil && s.again(&old.set, unit) {
			return true
		}
		if s.unit = unit; old != nil {
			p.dropOf(s.id, unit) // they were made for another
		}
		p.sequences[s.id], p.changed = s, true
	default:
		s, ok := x.pps(nal)
		if !ok {
			return false
		}
		if old := p.pictures[s.id]; old != nil && s.again(&old.set, unit) {
			return true
		}
		s.unit = unit
		p.pictures[s.id], p.changed = s, true
	}
	return true
}

// takeVideo looks at no more than the id (ISO/IEC 23008-2, 7.3.2.1).
func (p *parameterSets) takeVideo(nal []byte, unit int64) bool {
	if len(nal) < 4 {
		return false
	}
	s := setOf(uint32(nal[2]>>4), nal)
	if old := p.videos[s.id]; old != nil && s.again(old, unit) {
		return true
	}
	s.unit = unit
	p.videos[s.id], p.changed = &s, true
	return true
}

// dropOf forgets the picture parameter sets of a sequence parameter set, but for those that came in this unit.
func (p *parameterSets) dropOf(sps uint32, unit int64) {
	for id, s := range p.pictures {
		if s != nil && s.sps == sps && s.unit != unit {
			p.pictures[id], p.changed = nil, true
		}
	}
}

// activate is called at each key picture. One that starts with another sequence parameter set, which it brings along, comes
// from another encoder, or from one that was set up anew: what it doesn't repeat is stale. Else two workers, one of which
// joined later, would not agree on the parameters.
func (p *parameterSets) activate(s *sps, unit int64) {
	if s != p.active && p.active != nil && s.unit == unit {
		p.dropStale(unit)
	}
	p.active = s
}

func (p *parameterSets) dropStale(unit int64) {
	for id, s := range p.videos {
		if s != nil && s.unit != unit {
			p.videos[id], p.changed = nil, true
		}
	}
	for id, s := range p.sequences {
		if s != nil && s.unit != unit {
			p.sequences[id], p.changed = nil, true
			p.dropOf(uint32(id), unit)
		}
	}
	for id, s := range p.pictures {
		if s != nil && s.unit != unit {
			p.pictures[id], p.changed = nil, true
		}
	}
}

// parameters lists all, video before sequence before picture parameter sets, each by rising id.
func (p *parameterSets) parameters() [][]byte {
	if !p.changed {
		return p.list
	}
	p.list, p.changed = nil, false
	for _, s := range p.videos {
		if s != nil {
			p.list = append(p.list, s.raw)
		}
	}
	for _, s := range p.sequences {
		if s != nil {
			p.list = append(p.list, s.raw)
		}
	}
	for _, s := range p.pictures {
		if s != nil {
			p.list = append(p.list, s.raw)
		}
	}
	return p.list
}
