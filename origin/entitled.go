package origin

import (
	"net/netip"
	"sync"
	"time"

	"flambeau/origin/rights"
)

// entitlement is what one visitor may see of one channel. Nobody writes to it.
type entitlement struct {
	live   rights.Grant   // by live manifests
	all    []rights.Grant // by any action, those that see something: objects do not tell by which manifest they were found
	reason rights.Reason  // why there are none

	book *rights.Book
	ends time.Time // request time at which it may change; zero: never
}

var everything = &entitlement{live: rights.Open(), all: []rights.Grant{rights.Open()}}

// entitled is what the visitor may see of a channel.
func (v *visitor) entitled(channel string) *entitlement {
	if v.open() {
		return everything
	}
	k := entitledKey{v.id.Token, v.asker.Territory, v.asker.Address, channel}
	if e := v.gate.known.get(k); e != nil && e.book == v.book && (e.ends.IsZero() || v.now.Before(e.ends)) {
		return e
	}
	e := &entitlement{book: v.book}
	for _, a := range rights.Actions {
		g := v.book.Grant(v.asker, channel, a, v.now)
		if a == rights.Live {
			e.live, e.reason = g, g.Reason
		}
		if !g.Expires.IsZero() && (e.ends.IsZero() || g.Expires.Before(e.ends)) {
			e.ends = g.Expires
		}
		if !g.Empty() {
			e.all = append(e.all, g)
		} else {
			e.reason = rights.Further(e.reason, g.Reason)
		}
	}
	v.gate.known.put(k, e)
	return e
}

// judge is the verdict on a slot's span, by whichever grant goes furthest.
func (e *entitlement) judge(height int, start, end, edge time.Time) rights.Reason {
	best := e.reason
	for i := range e.all {
		why := e.all[i].Judge(height, start, end, edge)
		if why == rights.OK {
			return why
		}
		best = why
	}
	return best
}

// allows tells whether pictures of that height may be seen at some time.
func (e *entitlement) allows(height int) bool {
	for i := range e.all {
		for _, s := range e.all[i].Spans {
			if s.MaxHeight == 0 || height <= s.MaxHeight {
				return true
			}
		}
	}
	return false
}

// personal tells whether who sends a request, or from where, had a say.
func (e *entitlement) personal() bool {
	for i := range e.all {
		if e.all[i].Personal {
			return true
		}
	}
	return e.live.Personal
}

type entitledKey struct {
	token, territory string
	address          netip.Addr
	channel          string
}

// maxEntitled is how many entitlements are remembered, twice: what has not been asked for since as many others were is found out anew.
const maxEntitled = 1 << 14

// entitlements remembers what was found out. It is safe for any number of goroutines.
type entitlements struct {
	mu       sync.RWMutex
	now, old map[entitledKey]*entitlement
}

func (m *entitlements) get(k entitledKey) *entitlement {
	m.mu.RLock()
	e, ok := m.now[k]
	old := m.old[k]
	m.mu.RUnlock()
	if ok || old == nil {
		return e
	}
	m.put(k, old)
	return old
}

func (m *entitlements) put(k entitledKey, e *entitlement) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.now) >= maxEntitled || m.now == nil {
		m.now, m.old = map[entitledKey]*entitlement{}, m.now
	}
	m.now[k] = e
}
