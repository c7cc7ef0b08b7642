package srt

import "time"

// window is how many packets may lie between the first that is missing and the newest: four seconds at 80 Mb/s, 47 MiB. What comes
// from beyond it is dropped.
const window = 1 << 15

// receiver puts packets in order. What comes in order is given at once; behind a hole it waits until the hole is filled, or until
// patience is over: then the hole is lost.
//
//	given │ hole │ waits │ hole │ waits │ not yet
//	      next                          end
type receiver struct {
	patience time.Duration
	ring     []slot // by number; made when the first packet waits
	next     seq    // the first that was not given
	end      seq    // behind the newest
	waiting  int    // packets in the ring

	missed, late, beyond uint64 // packets: counted once when a hole opens; come again or too late; beyond the window
}

// slot is one packet that waits, or the place of one that is missing.
type slot struct {
	data  []byte        // nil: missing
	since time.Duration // when that was noticed, on the clock of the link
	asked time.Duration // for it, last
}

// longAgo is before every clock.
const longAgo = time.Duration(-1 << 62)

func (r *receiver) at(n seq) *slot { return &r.ring[n%window] }

// push takes a packet. It is to be followed by pop until there is no more; until then data may be the caller's. A hole that opens
// is told, to be asked for at once.
func (r *receiver) push(n seq, data []byte, now time.Duration) (hole bool, first, last seq) {
	ahead := n.minus(r.next)
	switch {
	case ahead < 0:
		r.late++
		return false, 0, 0
	case ahead >= window:
		r.beyond++
		return false, 0, 0
	}
	if r.ring == nil {
		r.ring = make([]slot, window)
	}
	if newer := n.minus(r.end); newer >= 0 {
		hole, first, last = newer > 0, r.end, n.plus(-1)
		for m := r.end; m != n; m = m.plus(1) {
			*r.at(m) = slot{since: now, asked: now}
		}
		r.missed += uint64(newer)
		r.end = n.plus(1)
		*r.at(n) = slot{}
	}
	s := r.at(n)
	if s.data != nil {
		r.late++
		return false, 0, 0
	}
	if ahead > 0 {
		data = append(make([]byte, 0, len(data)), data...)
	}
	s.data = data
	r.waiting++
	return hole, first, last
}

// pop gives the next packet, and how many before it are lost.
func (r *receiver) pop(now time.Duration) (data []byte, lost int, ok bool) {
	if r.waiting == 0 {
		return nil, 0, false
	}
	n := r.next
	for ; r.at(n).data == nil; n = n.plus(1) {
		if now-r.at(n).since < r.patience {
			return nil, 0, false
		}
	}
	lost = n.minus(r.next)
	s := r.at(n)
	data, s.data = s.data, nil
	r.waiting--
	r.next = n.plus(1)
	return data, lost, true
}

// forsake is told that the peer will not send these: what of them is missing need not be waited for.
func (r *receiver) forsake(first, last seq) {
	if r.ring == nil || first.minus(r.next) < 0 {
		first = r.next
	}
	for n := first; n.minus(last) <= 0 && n.minus(r.end) < 0; n = n.plus(1) {
		if s := r.at(n); s.data == nil {
			s.since = longAgo
		}
	}
}

// missing gives the holes that were not asked for since a while, and takes them as asked for now; not more than fit a NAK.
func (r *receiver) missing(now time.Duration, again time.Duration) (list []byte) {
	if r.waiting == 0 {
		return nil
	}
	for n := r.next; n != r.end && len(list) < maxNAK; n = n.plus(1) {
		first := n
		for n != r.end && r.at(n).data == nil && now-r.at(n).asked >= again {
			r.at(n).asked = now
			n = n.plus(1)
		}
		if n != first {
			list = appendRange(list, first, n.plus(-1))
		}
		if n == r.end {
			break
		}
	}
	return list
}

// maxNAK is how many bytes of numbers a NAK has: it must fit a packet.
const maxNAK = 1400

// room is how many packets fit the window.
func (r *receiver) room() int { return window - r.end.minus(r.next) }
