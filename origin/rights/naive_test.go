package rights_test

import (
	"path"
	"slices"
	"time"

	"flambeau/origin/rights"
)

// What the issue says in sentences, said once more without cleverness: of one instant of media at a time, with lists, maps and
// nanoseconds. It shares nothing with the package but the types of what an operator writes.

type question struct {
	asker   rights.Asker
	channel string
	action  rights.Action
	now     time.Time
}

// naive answers whether an instant of media may be seen at a height while the edge of the channel is at edge.
type naive func(media, edge int64, height int) bool

func evaluate(c rights.Config, q question) naive {
	var who *rights.Broadcaster
	for i := range c.Broadcasters {
		if c.Broadcasters[i].ID == q.asker.Broadcaster {
			who = &c.Broadcasters[i]
		}
	}
	never := func(int64, int64, int) bool { return false }
	if who == nil {
		return never // deny by default
	}
	if !who.Revoked.IsZero() && q.now.UnixNano() >= who.Revoked.UnixNano() {
		return never
	}
	var any []naive
	for _, r := range who.Rules {
		if grants(c, q, r) {
			any = append(any, media(c, q, r))
		}
	}
	return func(m, edge int64, height int) bool {
		for _, sees := range any {
			if sees(m, edge, height) {
				return true
			}
		}
		return false
	}
}

// grants: a rule names channels, territories, request time, what, networks and mode, and a token narrows them.
func grants(c rights.Config, q question, r rights.Rule) bool {
	l := q.asker.Limits
	if !named(r.Channels, q.channel) || len(l.Channels) > 0 && !named(l.Channels, q.channel) {
		return false
	}
	if len(r.Actions) > 0 && !slices.Contains(r.Actions, q.action) || len(l.Actions) > 0 && !slices.Contains(l.Actions, q.action) {
		return false
	}
	if r.Mode != "contract" { // viewer: the territory is checked
		if places, everywhere := expand(c, r.Territories); !everywhere && !places[q.asker.Territory] {
			return false
		}
	}
	if len(r.Networks) > 0 {
		inside := false
		for _, n := range r.Networks {
			inside = inside || q.asker.Address.IsValid() && n.Contains(q.asker.Address.Unmap())
		}
		if !inside {
			return false
		}
	}
	if !r.Open.IsZero() && q.now.UnixNano() < r.Open.UnixNano() {
		return false // embargo
	}
	return r.Close.IsZero() || q.now.UnixNano() < r.Close.UnixNano() // expiry
}

// media: windows of media time, highest rendition, a delay; blackouts cut through.
func media(c rights.Config, q question, r rights.Rule) naive {
	l := q.asker.Limits
	var dark []rights.Blackout
	for _, b := range c.Blackouts {
		if len(b.Channels) > 0 && !named(b.Channels, q.channel) || len(b.Broadcasters) > 0 && !slices.Contains(b.Broadcasters, q.asker.Broadcaster) {
			continue
		}
		there, everywhere := expand(c, b.Territories)
		switch {
		case everywhere:
		case r.Mode == "contract": // its viewers are where the contract says
			mine, all := expand(c, r.Territories)
			if !all && !slices.ContainsFunc(keys(mine), func(t string) bool { return there[t] }) {
				continue
			}
		case rights.TerritoryKnown(q.asker.Territory) && !there[q.asker.Territory]:
			continue
		}
		dark = append(dark, b)
	}
	return func(m, edge int64, height int) bool {
		if r.MaxHeight > 0 && height > r.MaxHeight || l.MaxHeight > 0 && height > l.MaxHeight {
			return false
		}
		if !within(m, r.From, r.Until) || !within(m, l.From, l.Until) {
			return false
		}
		if r.Delay > 0 && m >= edge-int64(r.Delay) {
			return false // too young
		}
		for _, b := range dark {
			if within(m, b.From, b.Until) {
				return false
			}
		}
		return true
	}
}

// stretch: all of [start, end), by looking at its first instant and at each other at which anything may change.
func (n naive) stretch(c rights.Config, q question, start, end, edge int64, height int) bool {
	if !n(start, edge, height) {
		return false
	}
	for _, at := range changes(c, q, edge) {
		if at > start && at < end && !n(at, edge, height) {
			return false
		}
	}
	return true
}

// changes are all instants that anybody has written down, and those which become too young.
func changes(c rights.Config, q question, edge int64) (at []int64) {
	note := func(ts ...time.Time) {
		for _, t := range ts {
			if !t.IsZero() {
				at = append(at, t.UnixNano())
			}
		}
	}
	for _, b := range c.Broadcasters {
		for _, r := range b.Rules {
			note(r.From, r.Until)
			at = append(at, edge-int64(r.Delay))
		}
	}
	for _, b := range c.Blackouts {
		note(b.From, b.Until)
	}
	note(q.asker.Limits.From, q.asker.Limits.Until)
	return at
}

func within(m int64, from, until time.Time) bool {
	return (from.IsZero() || m >= from.UnixNano()) && (until.IsZero() || m < until.UnixNano())
}

// named leans on the standard library's patterns, which are the same without brackets and slashes.
func named(patterns []string, channel string) bool {
	for _, p := range patterns {
		if ok, _ := path.Match(p, channel); ok {
			return true
		}
	}
	return false
}

func expand(c rights.Config, list []string) (in map[string]bool, everywhere bool) {
	in, except := map[string]bool{}, false
	for _, name := range list {
		for _, code := range members(c, name) {
			in[code] = true
		}
	}
	for _, name := range list {
		if name[0] == '!' {
			except = true
			for _, code := range members(c, name[1:]) {
				delete(in, code)
			}
		}
	}
	return in, len(list) == 0 || slices.Contains(list, "world") && !except
}

func members(c rights.Config, name string) []string {
	if name == "world" {
		return testWorld
	}
	if g, ok := c.Groups[name]; ok {
		return g
	}
	return []string{name}
}

// testWorld is the world as far as these tests go.
var testWorld = []string{"AT", "CH", "DE", "FR", "LI", "US"}

func keys(m map[string]bool) (out []string) {
	for k := range m {
		out = append(out, k)
	}
	return out
}
