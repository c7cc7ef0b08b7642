package rights

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Limits of a book. What is more is refused by New.
const (
	maxBroadcasters = 10_000
	maxRules        = 1_000 // of one broadcaster
	maxBlackouts    = 10_000
	maxGroups       = 1_000
	maxList         = 1_000 // entries of any list of one rule or blackout
	maxName         = 63    // bytes of an id, a pattern, the name of a group
	maxReason       = 200   // bytes
	maxProblems     = 100   // that are told

	maxHeight = 1 << 16              // lines
	maxDelay  = 366 * 24 * time.Hour // who wants it later wants `open`
	maxTokens = 1_000_000
)

// Media and request times that anybody can mean.
var (
	earliest = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	tooLate  = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

// Problem is one thing that is wrong with a Config, and where: broadcasters[2].grants[0].territories[1].
type Problem struct{ Path, Text string }

func (p Problem) String() string { return p.Path + ": " + p.Text }

// Problems are all that is wrong, at most a hundred.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// New reads a Config. An error is Problems, every one.
func New(c Config) (*Book, error) {
	m := &maker{groups: map[string]territories{}}
	m.limit("broadcasters", len(c.Broadcasters), maxBroadcasters)
	m.limit("blackouts", len(c.Blackouts), maxBlackouts)
	m.limit("territory_groups", len(c.Groups), maxGroups)
	if len(m.problems) > 0 {
		return nil, m.problems
	}
	for _, name := range sortedNames(c.Groups) {
		m.group(name, c.Groups[name])
	}
	b := &Book{holders: map[string]*holder{}}
	for i := range c.Broadcasters {
		m.broadcaster(b, fmt.Sprintf("broadcasters[%d]", i), &c.Broadcasters[i])
	}
	seen := map[string]bool{}
	for i := range c.Blackouts {
		m.blackout(b, seen, fmt.Sprintf("blackouts[%d]", i), c.Blackouts[i])
	}
	if len(m.problems) > 0 {
		return nil, m.problems
	}
	return b, nil
}

// maker collects what is wrong while a book is made.
type maker struct {
	groups   map[string]territories
	problems Problems
}

func (m *maker) note(path, format string, args ...any) {
	if len(m.problems) < maxProblems {
		m.problems = append(m.problems, Problem{path, fmt.Sprintf(format, args...)})
	}
}

func (m *maker) limit(path string, n, most int) bool {
	if n > most {
		m.note(path, "%d entries, at most %d", n, most)
	}
	return n <= most
}

func (m *maker) group(name string, members []string) {
	path := "territory_groups." + name
	switch {
	case name == World || TerritoryKnown(name):
		m.note(path, "is a territory's name: choose another")
	case !is(name, groupLetter):
		m.note(path, "a group's name has 1 to %d letters, digits, - and _", maxName)
	case len(members) == 0:
		m.note(path, "want at least one territory")
	}
	m.groups[name] = territories{}
	if !m.limit(path, len(members), maxList) {
		return
	}
	var set territories
	for i, code := range members {
		if t := territoryOf(code); t != unknown {
			set.add(t)
		} else {
			m.note(fmt.Sprintf("%s[%d]", path, i), "%s: a group has codes only", m.unknownTerritory(code))
		}
	}
	m.groups[name] = set
}

func (m *maker) broadcaster(b *Book, path string, from *Broadcaster) {
	m.id(path+".id", from.ID)
	if _, taken := b.holders[from.ID]; taken {
		m.note(path+".id", "broadcaster %q is there already", from.ID)
	}
	m.instant(path+".revoked", from.Revoked)
	h := &holder{revoked: from.Revoked}
	b.holders[from.ID] = h
	if !m.limit(path+".grants", len(from.Rules), maxRules) {
		return
	}
	seen := map[string]bool{}
	for i, r := range from.Rules {
		h.rules = append(h.rules, m.rule(fmt.Sprintf("%s.grants[%d]", path, i), i, r, seen))
	}
}

func (m *maker) rule(path string, i int, from Rule, seen map[string]bool) *rule {
	from.Channels, from.Actions, from.Networks = slices.Clone(from.Channels), slices.Clone(from.Actions), slices.Clone(from.Networks)
	r := &rule{Rule: from, name: from.ID, media: Span{from.From, from.Until, from.MaxHeight, from.Delay}}
	if r.name == "" {
		r.name = fmt.Sprintf("grants[%d]", i)
	} else {
		m.id(path+".id", from.ID)
		m.once(path+".id", "grant", from.ID, seen)
	}
	if len(from.Channels) == 0 {
		m.note(path+".channels", `want at least one; "*" is all`)
	}
	m.patterns(path+".channels", from.Channels)
	r.where = m.territories(path+".territories", from.Territories)
	m.actions(path+".actions", from.Actions)
	m.window(path, "from", "until", from.From, from.Until)
	m.window(path, "open", "close", from.Open, from.Close)
	m.number(path+".max_height", from.MaxHeight, maxHeight)
	if from.Delay < 0 || from.Delay > maxDelay {
		m.note(path+".delay", "%v is outside 0s to %v", from.Delay, maxDelay)
	}
	m.number(path+".tokens", from.Tokens, maxTokens)
	m.networks(path+".networks", from.Networks)
	if from.Mode != "" && from.Mode != Viewer && from.Mode != Contract {
		m.note(path+".mode", "%q: want %s or %s", from.Mode, Viewer, Contract)
	}
	return r
}

func (m *maker) blackout(b *Book, seen map[string]bool, path string, from Blackout) {
	from.Channels = slices.Clone(from.Channels)
	x := &blackout{Blackout: from, name: from.ID, media: Span{From: from.From, Until: from.Until}}
	if x.name == "" {
		x.name = path
	} else {
		m.id(path+".id", from.ID)
		m.once(path+".id", "blackout", from.ID, seen)
	}
	m.patterns(path+".channels", from.Channels)
	x.where = m.territories(path+".territories", from.Territories)
	m.window(path, "from", "until", from.From, from.Until)
	if len(from.Reason) > maxReason || strings.ContainsFunc(from.Reason, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		m.note(path+".reason", "want one line of at most %d bytes", maxReason)
	}
	if len(from.Broadcasters) == 0 {
		b.blackouts = append(b.blackouts, x)
	}
	if !m.limit(path+".broadcasters", len(from.Broadcasters), maxBroadcasters) {
		return
	}
	for i, id := range from.Broadcasters {
		if h, ok := b.holders[id]; !ok {
			m.note(fmt.Sprintf("%s.broadcasters[%d]", path, i), "there is no broadcaster %q", id)
		} else if !slices.Contains(from.Broadcasters[:i], id) {
			h.blackouts = append(h.blackouts, x)
		}
	}
}

func (m *maker) id(path, id string) {
	if !is(id, idLetter) || id[0] == '-' {
		m.note(path, "%q: want 1 to %d of a-z, 0-9 and, not first, -", id, maxName)
	}
}

func (m *maker) once(path, what, id string, seen map[string]bool) {
	if seen[id] {
		m.note(path, "%s %q is there already", what, id)
	}
	seen[id] = true
}

func (m *maker) patterns(path string, patterns []string) {
	if !m.limit(path, len(patterns), maxList) {
		return
	}
	for i, p := range patterns {
		if !is(p, patternLetter) {
			m.note(fmt.Sprintf("%s[%d]", path, i), "%q: want 1 to %d of what channels are called by (a-z, 0-9, -), * and ?", p, maxName)
		}
	}
}

// territories reads a list. An exception counts wherever it stands.
func (m *maker) territories(path string, list []string) (set territories) {
	if len(list) == 0 {
		set = world
		set.everywhere = true
		return set
	}
	if !m.limit(path, len(list), maxList) {
		return set
	}
	var out territories
	listed := false
	for i, name := range list {
		bare, except := strings.CutPrefix(name, "!")
		one, ok := m.named(bare)
		switch {
		case !ok:
			m.note(fmt.Sprintf("%s[%d]", path, i), "%s", m.unknownTerritory(bare))
			return territories{}
		case except:
			out.unite(one)
		default:
			set.unite(one)
			set.everywhere, listed = set.everywhere || bare == World, true
		}
	}
	set.everywhere = set.everywhere && out.empty()
	set.without(out)
	switch {
	case !listed:
		m.note(path, `exceptions only: say of what, such as "world"`)
	case set.empty() && !out.empty(): // an empty group is told where it stands
		m.note(path, "the exceptions leave nothing")
	}
	return set
}

func (m *maker) named(name string) (set territories, ok bool) {
	if name == World {
		return world, true
	}
	if t := territoryOf(name); t != unknown {
		set.add(t)
		return set, true
	}
	set, ok = m.groups[name]
	return set, ok
}

func (m *maker) unknownTerritory(name string) string {
	upper := strings.ToUpper(name)
	if upper == "UK" {
		upper = "GB"
	}
	if name != upper && TerritoryKnown(upper) {
		return fmt.Sprintf("%q is no territory, did you mean %q?", name, upper)
	}
	if strings.EqualFold(name, World) {
		return fmt.Sprintf("%q is no territory, did you mean %q?", name, World)
	}
	return fmt.Sprintf("%q is no territory of ISO 3166-1 and no group", name)
}

func (m *maker) actions(path string, actions []Action) {
	for i, a := range actions {
		if !slices.Contains(Actions, a) {
			m.note(fmt.Sprintf("%s[%d]", path, i), "%q: want live, startover, archive, clip or download", a)
		}
	}
}

func (m *maker) window(path, first, last string, from, until time.Time) {
	m.instant(path+"."+first, from)
	m.instant(path+"."+last, until)
	if !from.IsZero() && !before(from, until) {
		m.note(path+"."+last, "%s is not after %s, which is %s", clock(until), first, clock(from))
	}
}

func (m *maker) instant(path string, t time.Time) {
	if !t.IsZero() && (t.Before(earliest) || !t.Before(tooLate)) {
		m.note(path, "%s is outside the years %d to %d", clock(t), earliest.Year(), tooLate.Year()-1)
	}
}

func (m *maker) number(path string, n, most int) {
	if n < 0 || n > most {
		m.note(path, "%d is outside 0 to %d", n, most)
	}
}

func (m *maker) networks(path string, networks []netip.Prefix) {
	if !m.limit(path, len(networks), maxList) {
		return
	}
	for i, n := range networks {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case !n.IsValid():
			m.note(at, "want an address and a length, such as 192.0.2.0/24")
		case n.Addr().Is4In6():
			m.note(at, "%v is IPv4: write it so", n)
		case n != n.Masked():
			m.note(at, "%v has bits behind its length: want %v", n, n.Masked())
		}
	}
}

func is(s string, letter func(byte) bool) bool {
	for i := range len(s) {
		if !letter(s[i]) {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= maxName
}

func idLetter(c byte) bool      { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' }
func patternLetter(c byte) bool { return idLetter(c) || c == '*' || c == '?' }
func groupLetter(c byte) bool   { return idLetter(c) || c >= 'A' && c <= 'Z' || c == '_' }

func clock(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func sortedNames[V any](m map[string]V) (names []string) {
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
