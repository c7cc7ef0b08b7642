package rights

import (
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// Book is who holds what. It never changes.
type Book struct {
	holders   map[string]*holder
	blackouts []*blackout // of all broadcasters
}

// holder is a broadcaster with what is said of him.
type holder struct {
	rules     []*rule
	revoked   time.Time
	blackouts []*blackout // that name him
}

// rule is a Rule that has been read.
type rule struct {
	Rule
	name  string // its id, or its place
	where territories
	media Span
}

type blackout struct {
	Blackout
	name  string
	where territories
	media Span
}

// question is one that the rules are asked, with what is found out once.
type question struct {
	Asker
	channel string
	action  Action
	now     time.Time
	where   territory
	address netip.Addr
}

func ask(a Asker, channel string, action Action, now time.Time) question {
	return question{a, channel, action, now, territoryOf(a.Territory), a.Address.Unmap().WithZone("")}
}

// Grant is what the asker may see of a channel by an action. Now is request time: the wall clock's, see the package.
func (b *Book) Grant(a Asker, channel string, action Action, now time.Time) Grant {
	h, ok := b.holders[a.Broadcaster]
	switch {
	case !ok:
		return Grant{Reason: NoBroadcaster}
	case !h.revoked.IsZero() && !now.Before(h.revoked):
		return Grant{Reason: Revoked}
	}
	q := ask(a, channel, action, now)
	g := Grant{Reason: NoChannel, Expires: h.revoked}
	var few [8]*rule
	open := few[:0]
	for _, r := range h.rules {
		why := q.refused(r)
		g.Personal = g.Personal || r.personal() && why != NoChannel && why != NoAction
		if why == OK {
			open = append(open, r)
		} else {
			g.Reason = Further(g.Reason, why)
		}
		g.Expires = soonest(g.Expires, q.turns(r, why))
	}
	if len(open) > 0 {
		q.unite(&g, open, b.meeting(h, &q))
	}
	return g
}

// refused is the first condition of a rule that does not hold, but for blackouts.
func (q *question) refused(r *rule) Reason {
	switch {
	case !matchAny(r.Channels, q.channel):
		return NoChannel
	case len(r.Actions) > 0 && !slices.Contains(r.Actions, q.action):
		return NoAction
	case r.Mode != Contract && !r.where.surely(q.where):
		return NoTerritory
	case !q.within(r.Networks):
		return NoNetwork
	case !before(q.now, r.Close):
		return Closed
	case q.now.Before(r.Open):
		return NotOpenYet
	case !q.Limits.leave(q.channel, q.action) || !q.narrow(r.media).long():
		return Token
	}
	return OK
}

// personal tells whether a rule asks where somebody is.
func (r *rule) personal() bool {
	return len(r.Networks) > 0 || r.Mode != Contract && !r.where.everywhere
}

func (q *question) within(networks []netip.Prefix) bool {
	for _, n := range networks {
		if n.Contains(q.address) {
			return true
		}
	}
	return len(networks) == 0
}

// turns is when a rule opens or closes next; zero: never, or it does not matter.
func (q *question) turns(r *rule, why Reason) time.Time {
	switch why {
	case NotOpenYet:
		return r.Open
	case Token, OK:
		return r.Close
	}
	return time.Time{}
}

// leave tells whether a token leaves anything of a channel.
func (l *Limits) leave(channel string, action Action) bool {
	return l.MaxHeight >= 0 && (len(l.Channels) == 0 || matchAny(l.Channels, channel)) && (len(l.Actions) == 0 || slices.Contains(l.Actions, action))
}

// narrow is a span as far as the token goes.
func (q *question) narrow(s Span) Span {
	s.From, s.Until = latest(s.From, q.Limits.From), soonest(s.Until, q.Limits.Until)
	s.MaxHeight = lower(s.MaxHeight, q.Limits.MaxHeight)
	return s
}

// meeting are the blackouts that may meet rules of h.
func (b *Book) meeting(h *holder, q *question) (met []*blackout) {
	for _, all := range [][]*blackout{b.blackouts, h.blackouts} {
		for _, x := range all {
			if len(x.Channels) == 0 || matchAny(x.Channels, q.channel) {
				met = append(met, x)
			}
		}
	}
	return met
}

// meets tells whether a blackout cuts through a rule.
func (q *question) meets(x *blackout, r *rule) bool {
	if r.Mode == Contract {
		return x.where.touches(&r.where)
	}
	return x.where.perhaps(q.where)
}

// unite lays the open rules over each other. Between two instants at which a rule or a blackout begins or ends everything stays as it is.
func (q *question) unite(g *Grant, open []*rule, dark []*blackout) {
	var few [16]time.Time
	points := q.turningPoints(few[:0], open, dark)
	g.Spans = make([]Span, 0, len(points))
	grants := make([]bool, len(open))
	last := 0 // where the spans of the stretch before begin
	for i, p := range points {
		var until time.Time
		if i+1 < len(points) {
			until = points[i+1]
		}
		here := len(g.Spans)
		for k, r := range open {
			s := q.narrow(r.media)
			if !s.holds(p) || q.darkAt(p, r, dark) {
				continue
			}
			s.From, s.Until, grants[k] = p, until, true
			g.Spans = add(g.Spans, here, s)
		}
		last = join(g, last, here)
	}
	if len(g.Spans) == 0 {
		g.Spans, g.Reason = nil, BlackedOut
		return
	}
	g.Reason, g.key = OK, keyOf(g.Spans)
	g.Tokens = mostTokens(open, grants)
	g.dark = q.shadows(open, dark)
	for _, x := range dark {
		g.Personal = g.Personal || !x.where.everywhere && slices.ContainsFunc(open, func(r *rule) bool { return r.Mode != Contract })
	}
}

// turningPoints are the instants at which something begins or ends, sorted, the zero time first.
func (q *question) turningPoints(points []time.Time, open []*rule, dark []*blackout) []time.Time {
	points = append(points, time.Time{})
	for _, r := range open {
		s := q.narrow(r.media)
		points = append(points, s.From, s.Until) // without end is the zero time, and that is there
	}
	for _, x := range dark {
		points = append(points, x.From, x.Until)
	}
	slices.SortFunc(points, time.Time.Compare)
	return slices.CompactFunc(points, time.Time.Equal)
}

func (q *question) darkAt(p time.Time, r *rule, dark []*blackout) bool {
	for _, x := range dark {
		if x.media.holds(p) && q.meets(x, r) {
			return true
		}
	}
	return false
}

// add puts a span among those of its stretch, which begin at here, unless one of them shows as much as soon; what it makes needless goes.
func add(spans []Span, here int, s Span) []Span {
	for i := here; i < len(spans); i++ {
		if spans[i].Delay <= s.Delay && spans[i].allows(orAny(s.MaxHeight)) {
			return spans
		}
	}
	kept := spans[:here]
	for _, o := range spans[here:] {
		if !(s.Delay <= o.Delay && s.allows(orAny(o.MaxHeight))) {
			kept = append(kept, o)
		}
	}
	i := here
	for i < len(kept) && kept[i].Delay < s.Delay {
		i++
	}
	return slices.Insert(kept, i, s)
}

// join makes the stretch from last to here longer if the one from here on is as it was, and says where the last stretch begins now.
func join(g *Grant, last, here int) int {
	was, is := g.Spans[last:here], g.Spans[here:]
	alike := func(a, b Span) bool { return a.Until.Equal(b.From) && a.MaxHeight == b.MaxHeight && a.Delay == b.Delay }
	if len(is) == 0 || !slices.EqualFunc(was, is, alike) {
		return here
	}
	for i := range was {
		was[i].Until = is[i].Until
	}
	g.Spans = g.Spans[:here]
	return last
}

// mostTokens is the largest limit of the rules that grant something.
func mostTokens(open []*rule, grants []bool) (most int) {
	for k, r := range open {
		if grants[k] && r.Tokens == 0 {
			return 0
		}
		if grants[k] {
			most = max(most, r.Tokens)
		}
	}
	return most
}

// shadows are the stretches of the blackouts that cut into an open rule.
func (q *question) shadows(open []*rule, dark []*blackout) (spans []Span) {
	for _, x := range dark {
		if slices.ContainsFunc(open, func(r *rule) bool { return q.meets(x, r) }) {
			spans = append(spans, x.media)
		}
	}
	return spans
}

// Offer is what there is to take of one channel.
type Offer struct {
	Channel string
	Grants  []ActionGrant // in the order of Actions
}

// ActionGrant is what an action sees. It is not empty.
type ActionGrant struct {
	Action Action
	Grant  Grant
}

// Channels finds of which channels the asker may take anything, now or once it is there, in the order in which they are given.
func (b *Book) Channels(a Asker, all []string, now time.Time) (offers []Offer) {
	for _, channel := range all {
		o := Offer{Channel: channel}
		for _, action := range Actions {
			if g := b.Grant(a, channel, action, now); !g.Empty() {
				o.Grants = append(o.Grants, ActionGrant{action, g})
			}
		}
		if len(o.Grants) > 0 {
			offers = append(offers, o)
		}
	}
	return offers
}

// long tells whether there is any time in a span.
func (s Span) long() bool { return before(s.From, s.Until) }

// soonest is the first of two instants of which either may be none.
func soonest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// lower is the lower of two heights, of which 0 is any.
func lower(a, b int) int {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// orAny makes a highest picture comparable: 0 is above all.
func orAny(height int) int {
	if height == 0 {
		return 1<<(strconv.IntSize-1) - 1
	}
	return height
}
