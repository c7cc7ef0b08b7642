package mpegts

import (
	"hash/maphash"
	"slices"
	"time"

	"flambeau/packager/media"
)

const (
	// MaxUnit is the longest access unit, in bytes as they come. A longer one is dropped.
	MaxUnit = 16 << 20
	// MaxBuffered is what all unfinished units of a programme may hold together. The unit that would pass it is dropped.
	MaxBuffered = 64 << 20
	// MaxTracks is how many streams of a programme are taken apart. Those behind them in the PMT are not.
	MaxTracks = 32
	// MaxPrograms is how many programmes of a PAT are looked at. Those behind them are not.
	MaxPrograms = 64
	// MaxQueued is how many events wait for Next. Events beyond it are dropped; once there is room, a Lost says how many,
	// and a Begin how things stand.
	MaxQueued = 1 << 16
	// MaxQueuedBytes is how much media waits for Next, with the same end.
	MaxQueuedBytes = 256 << 20
)

const (
	pidPAT  = 0
	pidNull = 0x1fff
)

// Options say what is wanted of a transport stream.
type Options struct {
	Program int // program_number; 0: the first in the PAT that has a stream which we understand
}

// Demuxer takes one transport stream apart. It belongs to one goroutine.
type Demuxer struct {
	options Options
	framer  framer
	pids    [8192]*pid
	last    *pid // of the last packet
	arrived time.Time
	clock   clock
	errors  [reasonCount]uint64
	seed    maphash.Seed
	queue   queue
	tables
	streams []Stream
	tracks  []*track
	cues    []*cues
}

// New makes a demuxer that has seen nothing.
func New(o Options) *Demuxer {
	d := &Demuxer{options: o, seed: maphash.MakeSeed()}
	d.framer.take, d.framer.lost = d.packet, d.lostSync
	d.tables.reset(d)
	return d
}

// Write takes any number of bytes, cut anywhere, that arrived at an instant.
func (d *Demuxer) Write(p []byte, arrived time.Time) {
	d.arrived = arrived
	d.framer.write(p)
}

// Next gives what the bytes so far have told, in order. It is to be called after each Write until there is no more.
func (d *Demuxer) Next() (media.Event, bool) { return d.queue.pop() }

// Flush says that the feed ended, or went silent: what is complete is given, what is not is forgotten. A later Write starts
// clean, but with the same tracks and on the same clock.
func (d *Demuxer) Flush() {
	d.framer.flush()
	for _, t := range d.tracks {
		t.es.finish()
	}
	for _, p := range d.pids {
		if p != nil {
			p.forget()
		}
	}
	d.last = nil
}

// Streams lists all that the programme has, in the order of its PMT; where no programme has anything for us, what the first
// one has.
func (d *Demuxer) Streams() []Stream {
	if d.program == nil {
		for _, p := range d.candidates {
			if p.seen > 0 {
				return slices.Clone(p.streams)
			}
		}
	}
	return slices.Clone(d.streams)
}

// pid is what is known of one PID that we follow.
type pid struct {
	number  int
	take    payloads
	track   *track // whose losses these are; nil: of the feed as a whole
	counter byte   // continuity_counter of the last packet with a payload
	begun   bool   // counter is known
	twice   bool   // the last packet came twice
	print   uint64 // of its payload
}

// payloads takes what packets of one PID carry.
type payloads interface {
	packet(payload []byte, start bool)
	gap() // packets are missing here
}

func (p *pid) forget() {
	p.begun = false
	p.take.gap()
}

// packet is ISO/IEC 13818-1, 2.4.3.2.
func (d *Demuxer) packet(b []byte) {
	if b[1]&0x80 != 0 {
		d.count(transportError, 1) // not even its PID is to be trusted; the continuity counter will tell whose it was
		d.last = nil
		return
	}
	number := int(b[1]&0x1f)<<8 | int(b[2])
	p := d.pids[number]
	d.last = p
	if p == nil {
		if !d.announced && number != pidNull {
			d.count(unannounced, 1)
		}
		return
	}
	payload, jump, ok := adaptation(b)
	if !ok {
		d.lose(p, badPacket, 1)
		p.begun = false
		p.take.gap()
		return
	}
	if payload == nil || !d.continues(p, b[3]&0x0f, payload, jump, b[1]&0x40 != 0) {
		return
	}
	if b[3]&0xc0 != 0 {
		d.encrypted(p, b[1]&0x40 != 0)
		return
	}
	p.take.packet(payload, b[1]&0x40 != 0)
}

// adaptation gives the payload behind the adaptation field (ISO/IEC 13818-1, 2.4.3.4); nil: there is none.
func adaptation(b []byte) (payload []byte, jump, ok bool) {
	control := b[3] >> 4 & 3
	if control == 0 {
		return nil, false, false
	}
	if control == 1 {
		return b[4:], false, true
	}
	length := int(b[4])
	jump = length > 0 && b[5]&0x80 != 0
	switch {
	case control == 2:
		return nil, jump, length <= 183
	case length > 183: // 183 leaves a payload of no bytes: not as the clause has it, but as some muxers do
		return nil, false, false
	}
	return b[5+length:], jump, true
}

// continues checks the continuity counter (ISO/IEC 13818-1, 2.4.3.3), and tells whether the packet is to be used.
func (d *Demuxer) continues(p *pid, counter byte, payload []byte, jump, start bool) bool {
	last, before, begun := p.counter, p.print, p.begun
	p.counter, p.print, p.begun = counter, maphash.Bytes(d.seed, payload), true
	if !begun {
		return true
	}
	if counter == last && p.print == before {
		if p.twice {
			d.count(duplicate, 1)
		}
		p.twice = true
		return false
	}
	p.twice = false
	missing := int(counter-last-1) & 0x0f
	if missing == 0 {
		return true
	}
	if jump && start { // announced, and nothing is cut: discontinuity_indicator, 2.4.3.5
		return true
	}
	d.lose(p, continuity, missing)
	p.take.gap()
	return true
}

func (d *Demuxer) encrypted(p *pid, start bool) {
	if p.track == nil || !start {
		d.count(scrambled, 1)
	} else {
		p.track.lose(scrambled, 1) // one Lost a PES packet is enough
	}
	p.take.gap()
}

// lostSync is told that sync was lost. Where it comes back in another phase, the last packet may have been cut short.
func (d *Demuxer) lostSync(skipped int, shifted bool) {
	d.lose(nil, lostSync, skipped)
	if shifted && d.last != nil {
		d.last.take.gap()
		d.last = nil
	}
}

// lose counts, and says whose loss it is.
func (d *Demuxer) lose(p *pid, r reason, n int) {
	if p != nil && p.track != nil {
		p.track.lose(r, n)
		return
	}
	d.count(r, n)
	d.push(media.Lost{At: media.Ticks(d.clock.newest), Reason: r.String(), Count: n})
}

// announce says which tracks there are.
func (d *Demuxer) announce() { d.push(d.begin()) }

func (d *Demuxer) begin() media.Begin {
	b := media.Begin{Tracks: make([]media.Track, len(d.tracks))}
	for i, t := range d.tracks {
		b.Tracks[i] = t.Track
	}
	return b
}

func (d *Demuxer) push(e media.Event) {
	if d.queue.full() {
		d.queue.dropped++
		d.count(queueFull, 1)
		return
	}
	if n := d.queue.dropped; n > 0 {
		d.queue.dropped = 0
		d.queue.push(media.Lost{At: media.Ticks(d.clock.newest), Reason: queueFull.String(), Count: n})
		d.queue.push(d.begin())
	}
	d.queue.push(e)
}

// queue holds events until somebody asks.
type queue struct {
	events  []media.Event
	head    int
	bytes   int
	dropped int // since it was full
}

func (q *queue) full() bool {
	return len(q.events)-q.head >= MaxQueued || q.bytes >= MaxQueuedBytes
}

func (q *queue) push(e media.Event) {
	if len(q.events) == cap(q.events) && q.head > len(q.events)/2 {
		n := copy(q.events, q.events[q.head:])
		clear(q.events[n:])
		q.events, q.head = q.events[:n], 0
	}
	q.events = append(q.events, e)
	q.bytes += weight(e)
}

func (q *queue) pop() (media.Event, bool) {
	if q.head == len(q.events) {
		q.events, q.head = q.events[:0], 0
		return nil, false
	}
	e := q.events[q.head]
	q.events[q.head] = nil
	q.head++
	q.bytes -= weight(e)
	if q.head == len(q.events) {
		q.events, q.head = q.events[:0], 0
	}
	return e, true
}

func weight(e media.Event) int {
	switch e := e.(type) {
	case *media.Sample:
		return len(e.Data)
	case media.Cue:
		return len(e.Section)
	}
	return 0
}
