package mpegts

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// patience is how often the PMT of a programme is seen before one further up in the PAT, whose PMT never came, is given up.
// So workers that start at different packets choose the same programme.
const patience = 3

// tables are the PAT, and the PMTs of the programmes that are still to be chosen from.
type tables struct {
	pat        patParts
	candidates []*program
	program    *program // chosen
	announced  bool     // a PMT has come
}

// program is one line of the PAT.
type program struct {
	number, pid int
	streams     []Stream
	body        []byte // of its last PMT
	seen        int    // how often its PMT came
}

// patParts are the sections of one version of the PAT.
type patParts struct {
	version byte
	parts   [][]byte
	missing int
}

func (t *tables) reset(d *Demuxer) {
	s := &sections{take: d.patSection, fail: func(r reason) { d.lose(nil, r, 1) }}
	d.pids[pidPAT] = &pid{number: pidPAT, take: tablePID{s}}
}

// tablePID makes payloads of sections.
type tablePID struct{ *sections }

func (t tablePID) packet(payload []byte, start bool) { t.write(payload, start) }

// long checks what PAT and PMT have in common (ISO/IEC 13818-1, 2.4.4.4 and 2.4.4.9) and gives what stands between
// last_section_number and CRC.
func (d *Demuxer) long(s []byte, tableID byte) (body []byte, ok bool) {
	if s[0] != tableID {
		return nil, false // others may share a PID with a PMT
	}
	if len(s) < 12 || len(s) > 1024 || s[1]&0x80 == 0 {
		d.lose(nil, badSection, 1)
		return nil, false
	}
	if crc32(s) != 0 {
		d.lose(nil, badCRC, 1)
		return nil, false
	}
	return s[8 : len(s)-4], s[5]&1 == 1 // current_next_indicator: the next table will come again when it is the current one
}

// patSection collects the sections of a PAT.
func (d *Demuxer) patSection(s []byte) {
	body, ok := d.long(s, 0)
	if !ok {
		return
	}
	version, number, last := s[5]>>1&0x1f, int(s[6]), int(s[7])
	if number > last {
		d.lose(nil, badSection, 1)
		return
	}
	p := &d.pat
	if p.version != version || len(p.parts) != last+1 {
		*p = patParts{version: version, parts: make([][]byte, last+1), missing: last + 1}
	}
	if p.parts[number] == nil {
		p.missing--
	} else if bytes.Equal(p.parts[number], body) {
		return
	}
	p.parts[number] = append([]byte{}, body...)
	if p.missing == 0 {
		d.patComplete(slices.Concat(p.parts...))
	}
}

func (d *Demuxer) patComplete(list []byte) {
	var programs []*program
	for ; len(list) >= 4; list = list[4:] {
		number, pid := int(binary.BigEndian.Uint16(list)), int(binary.BigEndian.Uint16(list[2:]))&0x1fff
		switch {
		case number == 0, d.options.Program != 0 && number != d.options.Program: // 0: the network information table
		case pid < 0x10 || pid == pidNull:
			d.lose(nil, badSection, 1)
		case len(programs) == MaxPrograms:
			d.count(tooMany, 1)
		default:
			programs = append(programs, d.known(number, pid))
		}
	}
	if d.options.Program != 0 && len(programs) == 0 {
		d.lose(nil, noProgramme, 1)
	}
	d.candidates = programs
	if d.program != nil && !slices.Contains(programs, d.program) {
		d.leave(programs)
	}
	d.follow()
	d.choose()
}

// known keeps what has been seen of a programme that is still where it was.
func (d *Demuxer) known(number, pid int) *program {
	if p := d.program; p != nil && p.number == number && p.pid == pid {
		return p
	}
	for _, p := range d.candidates {
		if p.number == number && p.pid == pid {
			return p
		}
	}
	return &program{number: number, pid: pid}
}

// leave gives up the chosen programme. Where only its PMT has moved, its tracks stay until the new PMT is there.
func (d *Demuxer) leave(programs []*program) {
	gone := d.program
	d.program = nil
	for _, p := range programs {
		if p.number == gone.number {
			d.program = p
			return
		}
	}
	d.apply(nil)
}

// follow listens to the PMTs that matter: all, or only that of the programme once it is chosen.
func (d *Demuxer) follow() {
	want := map[int]bool{}
	for _, p := range d.candidates {
		if d.program == nil || p == d.program {
			want[p.pid] = true
		}
	}
	for number, p := range d.pids {
		if p != nil && number != pidPAT && isTable(p) && !want[number] {
			d.pids[number] = nil
		}
	}
	for number := range want {
		if p := d.pids[number]; p == nil || !isTable(p) {
			s := &sections{take: func(s []byte) { d.pmtSection(number, s) }, fail: func(r reason) { d.lose(nil, r, 1) }}
			d.pids[number] = &pid{number: number, take: tablePID{s}}
		}
	}
}

func isTable(p *pid) bool {
	_, is := p.take.(tablePID)
	return is
}

// pmtSection is ISO/IEC 13818-1, 2.4.4.8.
func (d *Demuxer) pmtSection(pid int, s []byte) {
	body, ok := d.long(s, 2)
	if !ok {
		return
	}
	p := d.listed(pid, int(s[3])<<8|int(s[4]))
	if p == nil {
		return // another programme on the same PID
	}
	p.seen++
	d.announced = true
	if p.seen > 1 && bytes.Equal(p.body, body) {
		d.choose()
		return
	}
	streams, ok := parsePMT(body)
	if !ok {
		d.lose(nil, badSection, 1)
		return
	}
	p.body, p.streams = append(p.body[:0], body...), streams
	if p == d.program {
		d.apply(streams)
	}
	d.choose()
}

func (d *Demuxer) listed(pid, number int) *program {
	for _, p := range d.candidates {
		if p.pid == pid && p.number == number && (d.program == nil || p == d.program) {
			return p
		}
	}
	return nil
}

// choose takes the first programme that has a stream which we understand, once it is known that none before it has. It is
// never left while the PAT has it: a programme whose streams go away must not turn into another.
func (d *Demuxer) choose() {
	if d.program != nil {
		return
	}
	sure := true
	for _, p := range d.candidates {
		if d.fits(p) && (sure || p.seen >= patience) {
			d.program = p
			d.follow()
			d.apply(p.streams)
			return
		}
		sure = sure && p.seen > 0
	}
}

func (d *Demuxer) fits(p *program) bool {
	if p.seen == 0 {
		return false
	}
	return d.options.Program != 0 || slices.ContainsFunc(p.streams, func(s Stream) bool { return s.Supported })
}

// apply makes the tracks what a PMT says. Those that stay keep what they have.
func (d *Demuxer) apply(streams []Stream) {
	before := d.begin()
	old := d.pids
	tracks, lists := d.tracks, d.cues
	d.tracks, d.cues, d.streams = nil, nil, slices.Clone(streams)
	for i := range d.streams {
		d.attach(&d.streams[i], tracks, lists)
	}
	kept := d.tracks
	d.tracks = tracks // the last words of those that go belong to the old list
	for _, t := range tracks {
		if !slices.Contains(kept, t) {
			t.es.finish()
			d.detach(t.ID, old[t.ID])
		}
	}
	d.tracks = kept
	for _, c := range lists {
		if !slices.Contains(d.cues, c) {
			d.detach(c.number, old[c.number])
		}
	}
	if !sameTracks(before, d.begin()) {
		d.announce()
	}
}

// detach stops listening to a PID, unless something else has taken it over.
func (d *Demuxer) detach(number int, was *pid) {
	if d.pids[number] == was {
		d.pids[number] = nil
	}
}
