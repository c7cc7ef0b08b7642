package rights

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Explanation is one decision of one instant of media time, for people.
type Explanation struct {
	Broadcaster string     `json:"broadcaster"`
	Territory   string     `json:"territory,omitempty"`
	Address     netip.Addr `json:"address,omitzero"`
	Channel     string     `json:"channel"`
	Action      Action     `json:"action"`
	At          time.Time  `json:"at"`  // of media time
	Now         time.Time  `json:"now"` // of request time; the channel's edge is taken to be there too

	Allowed   bool      `json:"allowed"`
	Reason    Reason    `json:"reason"`
	Rule      string    `json:"rule,omitempty"`       // that made the decision
	MaxHeight int       `json:"max_height,omitempty"` // of pictures, if allowed; 0: any
	Tokens    int       `json:"tokens,omitempty"`     // in use at once, if allowed; 0: no limit
	Expires   time.Time `json:"expires,omitzero"`     // when the answer may change by itself
	Change    string    `json:"change"`               // what would change it
	Rules     []Verdict `json:"rules"`                // of the broadcaster, in his order
}

// Verdict is what one rule says.
type Verdict struct {
	Rule   string `json:"rule"`
	Reason Reason `json:"reason"`           // ok, or the first condition that does not hold
	Text   string `json:"text"`             // the same with what was asked and what is wanted
	Change string `json:"change,omitempty"` // what would make it say yes
}

// Explain says what Grant grants of one instant of media time, which rule made it so, and what would change it.
func (b *Book) Explain(a Asker, channel string, action Action, at, now time.Time) Explanation {
	e := Explanation{Broadcaster: a.Broadcaster, Territory: a.Territory, Address: a.Address, Channel: channel, Action: action, At: at.UTC(), Now: now.UTC(), Rules: []Verdict{}}
	g := b.Grant(a, channel, action, now)
	e.Expires = g.Expires
	h, ok := b.holders[a.Broadcaster]
	switch {
	case !ok:
		e.Reason, e.Change = NoBroadcaster, "name the broadcaster in the configuration"
		return e
	case g.Reason == Revoked:
		e.Reason, e.Change = Revoked, fmt.Sprintf("the broadcaster is revoked since %s: take that back", clock(h.revoked))
		return e
	}
	q := ask(a, channel, action, now)
	dark := b.meeting(h, &q)
	e.Reason, e.Change = NoChannel, "the broadcaster has no grants"
	var made *rule // that made the decision
	for _, r := range h.rules {
		v := q.verdict(r, at, dark)
		e.Rules = append(e.Rules, v)
		if made == nil || v.Reason != e.Reason && Further(e.Reason, v.Reason) == v.Reason || v.Reason == OK && orAny(made.MaxHeight) < orAny(r.MaxHeight) {
			made, e.Reason, e.Rule, e.Change = r, v.Reason, v.Rule, v.Change
		}
	}
	if e.Reason == OK {
		e.Allowed, e.Tokens = true, g.Tokens
		e.MaxHeight = lower(made.MaxHeight, a.Limits.MaxHeight)
		e.Change = q.whatEnds(h, made, dark)
	}
	return e
}

// verdict asks one rule for one instant.
func (q *question) verdict(r *rule, at time.Time, dark []*blackout) Verdict {
	v := Verdict{Rule: r.name, Reason: q.refused(r)}
	if v.Reason != OK {
		v.Text, v.Change = q.why(r, v.Reason)
		return v
	}
	if s := q.narrow(r.media); !r.media.holds(at) {
		v.Reason = OutOfWindow
		v.Text = fmt.Sprintf("media time %s is outside %s", clock(at), stretch(r.From, r.Until))
		v.Change = "its `from` and `until`"
		return v
	} else if !s.holds(at) {
		v.Reason = Token
		v.Text = fmt.Sprintf("the token sees only %s", stretch(q.Limits.From, q.Limits.Until))
		v.Change = "another token"
		return v
	}
	for _, x := range dark {
		if x.media.holds(at) && q.meets(x, r) {
			v.Reason = BlackedOut
			v.Text = fmt.Sprintf("blackout %s covers %s%s", x.name, stretch(x.From, x.Until), because(x.Blackout.Reason))
			v.Change = "the blackout"
			return v
		}
	}
	if seen := at.Add(1 + r.Delay); r.Delay > 0 && q.now.Before(seen) {
		v.Reason = Delayed
		v.Text = fmt.Sprintf("media is seen once it is %v old, this from %s on", r.Delay, clock(seen))
		v.Change = fmt.Sprintf("time, at %s, or its `delay`", clock(seen))
		return v
	}
	v.Text = "grants " + height(lower(r.MaxHeight, q.Limits.MaxHeight))
	return v
}

// why says what a rule wants that the question does not have, and what would help.
func (q *question) why(r *rule, reason Reason) (text, change string) {
	switch reason {
	case NoChannel:
		return fmt.Sprintf("channel %q fits none of %s", q.channel, quoted(r.Channels)), "its `channels`"
	case NoAction:
		return fmt.Sprintf("action %s is not among %s", q.action, some(r.Actions)), "its `actions`"
	case NoTerritory:
		return fmt.Sprintf("%s is not within %s", q.from(), some(r.Territories)), "its `territories`"
	case NoNetwork:
		return fmt.Sprintf("%s is in none of %s", q.sender(), some(r.Networks)), "its `networks`"
	case Closed:
		return "closed at " + clock(r.Close), "its `close`"
	case NotOpenYet:
		return "opens at " + clock(r.Open), fmt.Sprintf("time, at %s, or its `open`", clock(r.Open))
	case Token:
		return "grants, and the token itself does not: " + q.tokenSays(r), "another token"
	}
	panic("rights: no sentence for " + string(reason))
}

func (q *question) from() string {
	switch {
	case q.Territory == "":
		return "an unknown territory"
	case q.where == unknown:
		return fmt.Sprintf("territory %q, which is no code of ISO 3166-1 and so unknown,", q.Territory)
	}
	return "territory " + q.Territory
}

func (q *question) sender() string {
	if !q.Address.IsValid() {
		return "an unknown address"
	}
	return "address " + q.address.String()
}

func (q *question) tokenSays(r *rule) string {
	l := &q.Limits
	switch {
	case l.MaxHeight < 0:
		return fmt.Sprintf("it wants pictures of %d lines", l.MaxHeight)
	case len(l.Channels) > 0 && !matchAny(l.Channels, q.channel):
		return "it is for channels " + quoted(l.Channels)
	case len(l.Actions) > 0 && !slices.Contains(l.Actions, q.action):
		return "it is for " + some(l.Actions)
	}
	return fmt.Sprintf("it is for %s, the grant for %s", stretch(l.From, l.Until), stretch(r.From, r.Until))
}

// whatEnds says what would take away what a rule grants.
func (q *question) whatEnds(h *holder, made *rule, dark []*blackout) string {
	var ends []string
	if !made.Close.IsZero() {
		ends = append(ends, "the grant closes at "+clock(made.Close))
	}
	if !h.revoked.IsZero() {
		ends = append(ends, "the broadcaster is revoked from "+clock(h.revoked)+" on")
	}
	for _, x := range dark {
		if q.meets(x, made) {
			ends = append(ends, fmt.Sprintf("blackout %s covers %s", x.name, stretch(x.From, x.Until)))
		}
	}
	if len(ends) == 0 {
		return "nothing by itself"
	}
	return strings.Join(ends, "; ")
}

// String is the explanation for whoever is on the telephone with a broadcaster's engineer.
func (e Explanation) String() string {
	var b strings.Builder
	verdict := "DENIED"
	if e.Allowed {
		verdict = "ALLOWED"
	}
	fmt.Fprintf(&b, "%s: %s", verdict, e.Reason)
	if e.Rule != "" {
		fmt.Fprintf(&b, ", decided by %s", e.Rule)
	}
	fmt.Fprintf(&b, "\n  asked    %s of %q at %s by %q, %s, at %s\n", e.Action, e.Channel, clock(e.At), e.Broadcaster, e.place(), clock(e.Now))
	if e.Allowed {
		fmt.Fprintf(&b, "  granted  %s", height(e.MaxHeight))
		if e.Tokens > 0 {
			fmt.Fprintf(&b, ", %d tokens in use at once", e.Tokens)
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "  changed by %s\n", e.Change)
	if !e.Expires.IsZero() {
		fmt.Fprintf(&b, "  until    %s at least\n", clock(e.Expires))
	}
	for _, v := range e.Rules {
		fmt.Fprintf(&b, "  %s: %s: %s\n", v.Rule, v.Reason, v.Text)
	}
	return b.String()
}

func (e Explanation) place() string {
	where := "territory unknown"
	if TerritoryKnown(e.Territory) {
		where = "territory " + e.Territory
	}
	if e.Address.IsValid() {
		where += ", from " + e.Address.String()
	}
	return where
}

func height(lines int) string {
	if lines == 0 {
		return "pictures of any height"
	}
	return fmt.Sprintf("pictures of up to %d lines", lines)
}

func stretch(from, until time.Time) string {
	switch {
	case from.IsZero() && until.IsZero():
		return "all time"
	case from.IsZero():
		return "all before " + clock(until)
	case until.IsZero():
		return clock(from) + " and after"
	}
	return clock(from) + " to " + clock(until)
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// maxListed is how many entries of a list a sentence has.
const maxListed = 10

func some[T any](list []T) string {
	var words []string
	for _, v := range list[:min(len(list), maxListed)] {
		words = append(words, fmt.Sprint(v))
	}
	if more := len(list) - maxListed; more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(words, ", ")
}

func quoted(list []string) string {
	words := make([]string, len(list))
	for i, v := range list {
		words[i] = fmt.Sprintf("%q", v)
	}
	return some(words)
}
