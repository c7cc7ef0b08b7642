package mpegts

import "bytes"

// maxParameterSet is the longest parameter set that is believed, in bytes.
const maxParameterSet = 4096

// parameterSets are those that slices may refer to, by id.
type parameterSets struct {
	sps     [32]*sps
	pps     [256]*pps
	active  *sps     // of the last IDR picture
	changed bool     // since list was made
	list    [][]byte // in canonical order; never written to again
}

func (h *h264Parser) takeSPS(nal []byte) {
	if len(nal) > maxParameterSet {
		h.lose(badParameters, 1)
		return
	}
	s, ok := parseSPS(nal)
	if !ok {
		h.lose(badParameters, 1)
		return
	}
	s.unit = h.unit
	if old := h.sps[s.id]; old != nil && bytes.Equal(old.raw, nal) {
		old.unit = h.unit
		return
	} else if old != nil {
		h.dropOf(s.id) // they were made for another
	}
	h.sps[s.id], h.changed = s, true
}

func (h *h264Parser) takePPS(nal []byte) {
	if len(nal) > maxParameterSet {
		h.lose(badParameters, 1)
		return
	}
	p, ok := parsePPS(nal)
	if !ok {
		h.lose(badParameters, 1)
		return
	}
	p.unit = h.unit
	if old := h.pps[p.id]; old != nil && bytes.Equal(old.raw, nal) {
		old.unit = h.unit
		return
	}
	h.pps[p.id], h.changed = p, true
}

// dropOf forgets the picture parameter sets of a sequence parameter set, but for those that came in this unit.
func (h *h264Parser) dropOf(sps uint32) {
	for id, p := range h.pps {
		if p != nil && p.sps == sps && p.unit != h.unit {
			h.pps[id], h.changed = nil, true
		}
	}
}

// activate is called at each IDR picture. One that starts with another sequence parameter set, which it brings along, comes
// from another encoder, or from one that was set up anew: what it doesn't repeat is stale. Else two workers, one of which
// joined later, would not agree on the parameters.
func (h *h264Parser) activate(s *sps) {
	if s != h.active && h.active != nil && s.unit == h.unit {
		h.dropStale()
	}
	h.active = s
}

func (h *h264Parser) dropStale() {
	for id, s := range h.sps {
		if s != nil && s.unit != h.unit {
			h.sps[id], h.changed = nil, true
			h.dropOf(uint32(id))
		}
	}
	for id, p := range h.pps {
		if p != nil && p.unit != h.unit {
			h.pps[id], h.changed = nil, true
		}
	}
}

// parameters lists all, sequence parameter sets first, each by rising id.
func (h *h264Parser) parameters() [][]byte {
	if !h.changed {
		return h.list
	}
	h.list, h.changed = nil, false
	for _, s := range h.sps {
		if s != nil {
			h.list = append(h.list, s.raw)
		}
	}
	for _, p := range h.pps {
		if p != nil {
			h.list = append(h.list, p.raw)
		}
	}
	return h.list
}
