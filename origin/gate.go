package origin

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"flambeau/origin/access"
	"flambeau/origin/rights"
	"flambeau/origin/territory"
)

// seatTime is how long after its last request a token counts as in use.
const seatTime = 30 * time.Second

// maxSeats is how many tokens of one broadcaster are counted; a limit above it is none.
const maxSeats = 1 << 16

// Gate knows who may see what. A Server without one is open to everybody.
type Gate struct {
	Verifier *access.Verifier
	Book     func() *rights.Book // the newest
	Where    *territory.Locator  // nil: nobody's territory is known

	seats seats
	known entitlements
}

// visitor is who asks. The zero visitor is anybody, of an origin that is open.
type visitor struct {
	gate   *Gate
	book   *rights.Book
	id     access.Identity
	asker  rights.Asker
	now    time.Time
	shared bool // what let it in stands in the URL, and nothing else had a say
}

// enter finds out who asks, and the path of what it asks for.
func (g *Gate) enter(r *http.Request, now time.Time) (v visitor, path string, err error) {
	token, path, where, err := access.FromRequest(r)
	if r.Method == http.MethodOptions || err == nil && token == "" && path == "/time" {
		return v, path, nil // a browser asks this by itself, without what its page sends; and the time is everybody's
	}
	if err != nil {
		return v, path, g.refused(err)
	}
	v = visitor{gate: g, book: g.Book(), now: now}
	if v.id, err = g.Verifier.Verify(token, now); err != nil {
		return v, path, g.refused(err)
	}
	v.asker = rights.Asker{Broadcaster: v.id.Broadcaster, Limits: rights.Limits{
		Channels: v.id.Channels, MaxHeight: v.id.MaxHeight, From: v.id.From, Until: v.id.Until,
	}}
	for _, a := range v.id.Actions {
		v.asker.Limits.Actions = append(v.asker.Limits.Actions, rights.Action(a))
	}
	v.asker.Territory, v.asker.Address = g.Where.Where(r)
	v.shared = where == access.InPath && v.id.InURL()
	asked := access.Asked(r, path, v.asker.Address)
	asked.Territory = v.asker.Territory
	return v, path, g.refused(g.Verifier.Request(v.id, asked))
}

// denial is a refusal for a reason of rights.
type denial struct {
	refusal
	reason string
}

func (d *denial) Unwrap() error { return &d.refusal }

// refused makes an answer of what is wrong with a token. A good one that is not for this request has no right to it.
func (g *Gate) refused(err error) error {
	var why *access.Error
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &why):
		return err
	}
	d := &denial{refusal{code: http.StatusUnauthorized, text: why.Error()}, string(why.Reason)}
	switch why.Reason {
	case access.WrongTerritory:
		d.refusal = refusal{code: http.StatusUnavailableForLegalReasons, text: noTerritory}
	case access.WrongMethod, access.WrongURL, access.WrongNetwork, access.WrongHeader, access.WrongProtocol:
		d.refusal = refusal{code: http.StatusForbidden, text: noRight}
	}
	return d
}

// What is said to who is known and has no right: alike of what is not his and of what is not there.
const (
	noRight     = "no right to this"
	noTerritory = "not to be seen in this territory"
	noSeat      = "too many of this broadcaster's tokens are in use"
)

// noSeats is the reason of who has too many tokens in use.
const noSeats = "tokens"

// DenialReasons are all for which Observer.Denied is told of a denial.
func DenialReasons() []string {
	reasons := []string{noSeats}
	for _, r := range access.Reasons() {
		reasons = append(reasons, string(r))
	}
	for _, r := range rights.Reasons {
		if r != rights.OK {
			reasons = append(reasons, string(r))
		}
	}
	slices.Sort(reasons)
	return slices.Compact(reasons) // a broadcaster is revoked as a token is
}

func denied(reason rights.Reason) error {
	if reason == rights.NoTerritory {
		return &denial{refusal{code: http.StatusUnavailableForLegalReasons, text: noTerritory}, string(reason)}
	}
	return &denial{refusal{code: http.StatusForbidden, text: noRight}, string(reason)}
}

// open tells whether nobody is asked who he is.
func (v *visitor) open() bool { return v.gate == nil }

// sit counts the visitor's token among those in use, or tells that there are too many.
func (v *visitor) sit(g rights.Grant) error {
	if v.open() || g.Tokens == 0 || v.gate.seats.take(v.id.Broadcaster, v.id.Token, g.Tokens, v.now) {
		return nil
	}
	return &denial{refusal{code: http.StatusTooManyRequests, text: noSeat, retry: int(seatTime / time.Second)}, noSeats}
}

// keep is Cache-Control of an answer that may be kept for age: not longer than the token, nor than the next change of what it may see; and by
// a cache that others use too only where the URL says all that decided.
func (v *visitor) keep(e *entitlement, age time.Duration, more string) string {
	if !v.open() {
		for _, end := range [...]time.Time{v.id.Expires, e.ends} {
			if !end.IsZero() {
				age = min(age, end.Sub(v.now))
			}
		}
		if !v.shared || e.personal() {
			return "private, no-store"
		}
	}
	if age < time.Second {
		return "no-store"
	}
	return "public, max-age=" + strconv.FormatInt(int64(age/time.Second), 10) + more
}

// seats are the tokens in use, by broadcaster.
type seats struct {
	mu    sync.Mutex
	taken map[string]map[string]time.Time // when each token was last used
}

func (s *seats) take(broadcaster, token string, most int, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	used := s.taken[broadcaster]
	if used == nil {
		if s.taken == nil {
			s.taken = map[string]map[string]time.Time{}
		}
		used = map[string]time.Time{}
		s.taken[broadcaster] = used
	}
	if _, sits := used[token]; !sits && len(used) >= min(most, maxSeats) {
		for t, at := range used {
			if now.Sub(at) > seatTime {
				delete(used, t)
			}
		}
		if len(used) >= min(most, maxSeats) {
			return false
		}
	}
	used[token] = now
	return true
}
