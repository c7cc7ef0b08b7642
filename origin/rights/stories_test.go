package rights_test

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flambeau/origin/rights"
)

var curling = rights.Rule{ID: "curling", Channels: []string{"curling-*"}, Territories: []string{"DACH", "LI"}, Actions: []rights.Action{rights.Live, rights.Archive},
	From: at(2), Until: at(10), Open: at(0), Close: at(100), MaxHeight: 1080}

// held is a book of one broadcaster.
func held(t testing.TB, rules []rights.Rule, blackouts ...rights.Blackout) *rights.Book {
	return book(t, rights.Config{Broadcasters: []rights.Broadcaster{{ID: "alpine-tv", Rules: rules, Revoked: at(200)}}, Blackouts: blackouts, Groups: groups})
}

func but(r rights.Rule, change func(*rights.Rule)) rights.Rule { change(&r); return r }

func TestStoriesOfWhoMayTakeWhat(t *testing.T) {
	slow := but(curling, func(r *rights.Rule) { r.ID, r.Delay, r.Until = "slow", 5*time.Second, time.Time{} })
	contract := but(curling, func(r *rights.Rule) {
		r.ID, r.Mode, r.Networks = "contract", rights.Contract, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	})
	next := but(curling, func(r *rights.Rule) { r.ID, r.From, r.Until = "next", at(10), at(14) })
	everywhere := but(curling, func(r *rights.Rule) { r.Territories = []string{"world"} })
	abroad := but(curling, func(r *rights.Rule) { r.Territories = []string{"world", "!US"} })
	final := rights.Blackout{ID: "final", From: at(4), Until: at(6), Territories: []string{"CH"}}
	swiss := rights.Asker{Broadcaster: "alpine-tv", Territory: "CH"}
	in := func(territory string) rights.Asker {
		return rights.Asker{Broadcaster: "alpine-tv", Territory: territory}
	}
	from := func(address string) rights.Asker {
		return rights.Asker{Broadcaster: "alpine-tv", Territory: "US", Address: netip.MustParseAddr(address)}
	}
	token := func(l rights.Limits) rights.Asker {
		return rights.Asker{Broadcaster: "alpine-tv", Territory: "CH", Limits: l}
	}
	reached := map[rights.Reason]bool{}
	for name, c := range map[string]struct {
		rules      []rights.Rule
		dark       []rights.Blackout
		asker      rights.Asker
		channel    string        // "": curling-a
		action     rights.Action // "": live
		now        int           // 0: 50
		start, end int           // 0, 0: 3 to 4
		edge       int           // 0: 50
		height     int
		want       rights.Reason
	}{
		"what the rule says":                                {asker: swiss, want: rights.OK},
		"its highest picture":                               {asker: swiss, height: 1080, want: rights.OK},
		"a higher picture":                                  {asker: swiss, height: 2160, want: rights.TooHigh},
		"another broadcaster":                               {asker: rights.Asker{Broadcaster: "nordic", Territory: "CH"}, want: rights.NoBroadcaster},
		"nobody":                                            {want: rights.NoBroadcaster},
		"another channel":                                   {asker: swiss, channel: "luge", want: rights.NoChannel},
		"a channel in capitals":                             {asker: swiss, channel: "Curling-a", want: rights.NoChannel},
		"another action":                                    {asker: swiss, action: rights.Clip, want: rights.NoAction},
		"another territory":                                 {asker: in("US"), want: rights.NoTerritory},
		"a territory that nobody knows":                     {asker: in(""), want: rights.NoTerritory},
		"no territory at all":                               {asker: in("T1"), want: rights.NoTerritory},
		"the world holds who is nowhere known":              {rules: []rights.Rule{everywhere}, asker: in(""), want: rights.OK},
		"the world without one does not":                    {rules: []rights.Rule{abroad}, asker: in(""), want: rights.NoTerritory},
		"the world without one holds the others":            {rules: []rights.Rule{abroad}, asker: in("XK"), want: rights.OK},
		"a server abroad pulls for its viewers":             {rules: []rights.Rule{contract}, asker: from("10.1.2.3"), want: rights.OK},
		"IPv4 in IPv6 is the same address":                  {rules: []rights.Rule{contract}, asker: from("::ffff:10.1.2.3"), want: rights.OK},
		"a server of another network":                       {rules: []rights.Rule{contract}, asker: from("192.0.2.1"), want: rights.NoNetwork},
		"a server whose address nobody knows":               {rules: []rights.Rule{contract}, asker: swiss, want: rights.NoNetwork},
		"a nanosecond is too early":                         {rules: []rights.Rule{but(curling, func(r *rights.Rule) { r.Open = at(50).Add(1) })}, asker: swiss, want: rights.NotOpenYet},
		"open is included":                                  {rules: []rights.Rule{but(curling, func(r *rights.Rule) { r.Open = at(50) })}, asker: swiss, want: rights.OK},
		"close is excluded":                                 {asker: swiss, now: 100, want: rights.Closed},
		"from is included":                                  {asker: swiss, start: 2, end: 3, want: rights.OK},
		"a segment that begins before":                      {asker: swiss, start: 1, end: 3, want: rights.OutOfWindow},
		"a segment that ends with the window":               {asker: swiss, start: 9, end: 10, want: rights.OK},
		"a segment that begins where it ends":               {asker: swiss, start: 10, end: 11, want: rights.OutOfWindow},
		"two windows that touch leave no hole":              {rules: []rights.Rule{next, curling}, asker: swiss, start: 8, end: 12, height: 1080, want: rights.OK},
		"a segment that ends where a blackout begins":       {dark: []rights.Blackout{final}, asker: swiss, start: 3, end: 4, want: rights.OK},
		"one that laps into it":                             {dark: []rights.Blackout{final}, asker: swiss, start: 3, end: 5, want: rights.BlackedOut},
		"one within it, sixteen days later":                 {dark: []rights.Blackout{final}, asker: swiss, action: rights.Archive, start: 4, end: 6, edge: 1382400, want: rights.BlackedOut},
		"one that begins where it ends":                     {dark: []rights.Blackout{final}, asker: swiss, start: 6, end: 7, want: rights.OK},
		"a blackout of another territory":                   {dark: []rights.Blackout{final}, asker: in("AT"), start: 4, end: 6, want: rights.OK},
		"a blackout meets who is nowhere known":             {rules: []rights.Rule{everywhere}, dark: []rights.Blackout{final}, asker: in(""), start: 4, end: 6, want: rights.BlackedOut},
		"a blackout meets a contract that has viewers":      {rules: []rights.Rule{contract}, dark: []rights.Blackout{final}, asker: from("10.1.2.3"), start: 4, end: 6, want: rights.BlackedOut},
		"a blackout of all that there is":                   {dark: []rights.Blackout{{}}, asker: swiss, want: rights.BlackedOut},
		"revoked":                                           {asker: swiss, now: 200, want: rights.Revoked},
		"a token for another channel":                       {asker: token(rights.Limits{Channels: []string{"curling-b"}}), want: rights.Token},
		"a token for another action":                        {asker: token(rights.Limits{Actions: []rights.Action{rights.Archive}}), want: rights.Token},
		"a token of another time":                           {asker: token(rights.Limits{From: at(10)}), want: rights.Token},
		"a token of lower pictures":                         {asker: token(rights.Limits{MaxHeight: 720}), height: 1080, want: rights.TooHigh},
		"a token that would widen":                          {asker: token(rights.Limits{MaxHeight: 2160}), height: 2160, want: rights.TooHigh},
		"delayed media that is old enough":                  {rules: []rights.Rule{slow}, asker: swiss, start: 3, end: 4, edge: 9, want: rights.OK},
		"delayed media that is too young":                   {rules: []rights.Rule{slow}, asker: swiss, start: 3, end: 4, edge: 8, want: rights.Delayed},
		"who has a fast grant does not wait":                {rules: []rights.Rule{slow, curling}, asker: swiss, start: 3, end: 4, edge: 4, want: rights.OK},
		"the rule that came furthest says why it is denied": {rules: []rights.Rule{contract, curling}, asker: in("US"), want: rights.NoNetwork},
	} {
		t.Run(name, func(t *testing.T) {
			or := func(v, otherwise int) int {
				if v == 0 {
					return otherwise
				}
				return v
			}
			if c.rules == nil {
				c.rules = []rights.Rule{curling}
			}
			if c.channel == "" {
				c.channel = "curling-a"
			}
			if c.action == "" {
				c.action = rights.Live
			}
			g := held(t, c.rules, c.dark...).Grant(c.asker, c.channel, c.action, at(or(c.now, 50)))
			got := g.Judge(c.height, at(or(c.start, 3)), at(or(c.end, 4)), at(or(c.edge, 50)))
			if reached[got] = true; got != c.want {
				t.Errorf("%s, want %s: %+v", got, c.want, g)
			}
		})
	}
	for _, r := range rights.Reasons {
		if !reached[r] {
			t.Errorf("no story ends with %q", r)
		}
	}
}

func TestWhoWaitsSeesHigherPicturesAndNobodyTheBestOfTwoRules(t *testing.T) {
	low, high := curling, curling
	low.ID, low.MaxHeight = "low", 720
	high.ID, high.Delay = "high", 5*time.Second
	g := held(t, []rights.Rule{high, low}).Grant(rights.Asker{Broadcaster: "alpine-tv", Territory: "CH"}, "curling-a", rights.Live, at(50))
	if diff := cmp.Diff([]rights.Span{{at(2), at(10), 720, 0}, {at(2), at(10), 1080, 5 * time.Second}}, g.Spans); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]rights.Span{{at(2), at(4), 1080, 0}, {at(4), at(10), 720, 0}}, g.At(at(9)).Spans); diff != "" {
		t.Error(diff)
	}
}

func TestABlackoutSplitsASpanAndTheOpenGrantIsEverything(t *testing.T) {
	g := held(t, []rights.Rule{curling}, rights.Blackout{From: at(4), Until: at(6)}).Grant(rights.Asker{Broadcaster: "alpine-tv", Territory: "LI"}, "curling-a", rights.Live, at(50))
	if diff := cmp.Diff([]rights.Span{{at(2), at(4), 1080, 0}, {at(6), at(10), 1080, 0}}, g.Spans); diff != "" || !g.Expires.Equal(at(100)) {
		t.Error(diff, g.Expires)
	}
	open := rights.Open()
	if !open.Everything() || !open.AllowsAt(4320, time.Time{}, at(1<<30)) || g.Everything() || !(rights.Grant{}).Empty() || (rights.Grant{}).Covers(at(1), at(2)) {
		t.Error("open is not everything, or nothing is something")
	}
}

func TestEachMistakeInABookIsNamedWithItsPlace(t *testing.T) {
	rule := func(change func(*rights.Rule)) rights.Config {
		r := rights.Rule{Channels: []string{"*"}}
		change(&r)
		return rights.Config{Groups: groups, Broadcasters: []rights.Broadcaster{{ID: "a", Rules: []rights.Rule{{Channels: []string{"x"}}, r}}}}
	}
	where := func(list ...string) rights.Config { return rule(func(r *rights.Rule) { r.Territories = list }) }
	for want, c := range map[string]rights.Config{
		`broadcasters[0].grants[1].channels: want at least one; "*" is all`:                                                      rule(func(r *rights.Rule) { r.Channels = nil }),
		`broadcasters[0].grants[1].channels[1]: "Curling-*": want 1 to 63 of what channels are called by (a-z, 0-9, -), * and ?`: rule(func(r *rights.Rule) { r.Channels = []string{"a", "Curling-*"} }),
		`broadcasters[0].grants[1].territories[1]: "UK" is no territory, did you mean "GB"?`:                                     where("CH", "UK"),
		`broadcasters[0].grants[1].territories[0]: "ch" is no territory, did you mean "CH"?`:                                     where("!ch"),
		`broadcasters[0].grants[1].territories[0]: "World" is no territory, did you mean "world"?`:                               where("World"),
		`broadcasters[0].grants[1].territories[0]: "ASIA" is no territory of ISO 3166-1 and no group`:                            where("ASIA"),
		`broadcasters[0].grants[1].territories: exceptions only: say of what, such as "world"`:                                   where("!CH"),
		`broadcasters[0].grants[1].territories: the exceptions leave nothing`:                                                    where("CH", "!DACH"),
		`broadcasters[0].grants[1].actions[0]: "watch": want live, startover, archive, clip or download`:                         rule(func(r *rights.Rule) { r.Actions = []rights.Action{"watch"} }),
		`broadcasters[0].grants[1].until: 2026-02-16T00:00:01Z is not after from, which is 2026-02-16T00:00:01Z`:                 rule(func(r *rights.Rule) { r.From, r.Until = at(1), at(1) }),
		`broadcasters[0].grants[1].close: 2026-02-16T00:00:01Z is not after open, which is 2026-02-16T00:00:02Z`:                 rule(func(r *rights.Rule) { r.Open, r.Close = at(2), at(1) }),
		`broadcasters[0].grants[1].from: 1969-12-31T23:59:59Z is outside the years 1970 to 2199`:                                 rule(func(r *rights.Rule) { r.From = time.Unix(-1, 0) }),
		`broadcasters[0].grants[1].max_height: -1 is outside 0 to 65536`:                                                         rule(func(r *rights.Rule) { r.MaxHeight = -1 }),
		`broadcasters[0].grants[1].tokens: -1 is outside 0 to 1000000`:                                                           rule(func(r *rights.Rule) { r.Tokens = -1 }),
		`broadcasters[0].grants[1].delay: -1s is outside 0s to 8784h0m0s`:                                                        rule(func(r *rights.Rule) { r.Delay = -time.Second }),
		`broadcasters[0].grants[1].mode: "open": want viewer or contract`:                                                        rule(func(r *rights.Rule) { r.Mode = "open" }),
		`broadcasters[0].grants[1].networks[0]: 10.1.0.0/8 has bits behind its length: want 10.0.0.0/8`:                          rule(func(r *rights.Rule) { r.Networks = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/8")} }),
		`broadcasters[0].grants[1].networks[0]: want an address and a length, such as 192.0.2.0/24`:                              rule(func(r *rights.Rule) { r.Networks = []netip.Prefix{{}} }),
		`broadcasters[0].id: "A b": want 1 to 63 of a-z, 0-9 and, not first, -`:                                                  {Broadcasters: []rights.Broadcaster{{ID: "A b"}}},
		`broadcasters[1].id: broadcaster "a" is there already`:                                                                   {Broadcasters: []rights.Broadcaster{{ID: "a"}, {ID: "a"}}},
		`blackouts[0].broadcasters[0]: there is no broadcaster "b"`:                                                              {Blackouts: []rights.Blackout{{Broadcasters: []string{"b"}}}},
		`blackouts[1].id: blackout "x" is there already`:                                                                         {Blackouts: []rights.Blackout{{ID: "x"}, {ID: "x"}}},
		`blackouts[0].reason: want one line of at most 200 bytes`:                                                                {Blackouts: []rights.Blackout{{Reason: "a\nb"}}},
		`territory_groups.CH: is a territory's name: choose another`:                                                             {Groups: map[string][]string{"CH": {"LI"}}},
		`territory_groups.ALPS[1]: "DACH" is no territory of ISO 3166-1 and no group: a group has codes only`:                    {Groups: map[string][]string{"ALPS": {"CH", "DACH"}}},
		`territory_groups.ALPS: want at least one territory`:                                                                     {Groups: map[string][]string{"ALPS": nil}},
	} {
		b, err := rights.New(c)
		if err == nil || err.Error() != want || b != nil {
			t.Errorf("\n got %v\nwant %s", err, want)
		}
	}
}

func TestTheTerritoriesAreThoseOfISO3166(t *testing.T) {
	b, err := os.ReadFile("/usr/share/zoneinfo/iso3166.tab")
	if err != nil {
		t.Fatal("no list of another's hand on this machine, package tzdata: ", err)
	}
	want := []string{"XK"}
	for line := range strings.Lines(string(b)) {
		if code, _, ok := strings.Cut(line, "\t"); ok && line[0] != '#' {
			want = append(want, code)
		}
	}
	var got []string
	for a := 'A'; a <= 'Z'; a++ {
		for z := 'A'; z <= 'Z'; z++ {
			if c := string(a) + string(z); rights.TerritoryKnown(c) {
				got = append(got, c)
			}
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAnEngineerReadsWhy(t *testing.T) {
	open := but(curling, func(r *rights.Rule) { r.ID, r.Territories, r.Open, r.Tokens = "", nil, at(60), 2 })
	b := held(t, []rights.Rule{curling, open}, rights.Blackout{ID: "final", From: at(4), Until: at(6), Reason: "sold to another"})
	for _, c := range []struct {
		territory string
		at, now   int
		want      string
	}{
		{"US", 3, 50, `DENIED: not_open_yet, decided by grants[1]
  asked    live of "curling-a" at 2026-02-16T00:00:03Z by "alpine-tv", territory US, at 2026-02-16T00:00:50Z
  changed by time, at 2026-02-16T00:01:00Z, or its ` + "`open`" + `
  until    2026-02-16T00:01:00Z at least
  curling: territory: territory US is not within DACH, LI
  grants[1]: not_open_yet: opens at 2026-02-16T00:01:00Z
`},
		{"CH", 4, 70, `DENIED: blackout, decided by curling
  asked    live of "curling-a" at 2026-02-16T00:00:04Z by "alpine-tv", territory CH, at 2026-02-16T00:01:10Z
  changed by the blackout
  until    2026-02-16T00:01:40Z at least
  curling: blackout: blackout final covers 2026-02-16T00:00:04Z to 2026-02-16T00:00:06Z: sold to another
  grants[1]: blackout: blackout final covers 2026-02-16T00:00:04Z to 2026-02-16T00:00:06Z: sold to another
`},
		{"", 3, 70, `ALLOWED: ok, decided by grants[1]
  asked    live of "curling-a" at 2026-02-16T00:00:03Z by "alpine-tv", territory unknown, at 2026-02-16T00:01:10Z
  granted  pictures of up to 1080 lines, 2 tokens in use at once
  changed by the grant closes at 2026-02-16T00:01:40Z; the broadcaster is revoked from 2026-02-16T00:03:20Z on; blackout final covers 2026-02-16T00:00:04Z to 2026-02-16T00:00:06Z
  until    2026-02-16T00:01:40Z at least
  curling: territory: an unknown territory is not within DACH, LI
  grants[1]: ok: grants pictures of up to 1080 lines
`},
	} {
		e := b.Explain(rights.Asker{Broadcaster: "alpine-tv", Territory: c.territory}, "curling-a", rights.Live, at(c.at), at(c.now))
		if diff := cmp.Diff(c.want, e.String()); diff != "" {
			t.Error(diff)
		}
	}
}

// FuzzNew holds that no text in a book ends the process, and that one which is taken answers.
func FuzzNew(f *testing.F) {
	f.Add("alpine-tv", "curling-*", "!CH", "DACH", "live", "viewer", int64(5), int64(9), 1080)
	f.Add("", "", "", "", "", "", int64(-1), int64(1)<<62, -1)
	f.Fuzz(func(t *testing.T, id, pattern, territory, group, action, mode string, from, until int64, height int) {
		r := rights.Rule{ID: id, Channels: []string{pattern}, Territories: []string{"world", territory}, Actions: []rights.Action{rights.Action(action)}, Mode: rights.Mode(mode),
			From: time.Unix(from, 0), Until: time.Unix(until, 0), MaxHeight: height}
		b, err := rights.New(rights.Config{Groups: map[string][]string{group: {"CH"}}, Broadcasters: []rights.Broadcaster{{ID: id, Rules: []rights.Rule{r}}}, Blackouts: []rights.Blackout{{Territories: []string{group}}}})
		if (b == nil) == (err == nil) {
			t.Fatal(b, err)
		}
		if err != nil {
			return
		}
		a := rights.Asker{Broadcaster: id, Territory: territory, Limits: rights.Limits{Channels: []string{pattern}}}
		g := b.Grant(a, "curling-a", rights.Action(action), at(3))
		if e := b.Explain(a, "curling-a", rights.Action(action), at(3), at(4)); e.Allowed && g.Empty() {
			t.Fatalf("%+v\n%v", g, e)
		}
	})
}
