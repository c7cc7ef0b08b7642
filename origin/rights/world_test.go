package rights_test

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"flambeau/origin/rights"
)

// A small world, so that everything meets: sixteen seconds, four channels, six territories.

func at(s int) time.Time { return time.Unix(1771200000+int64(s), 0).UTC() }

type dice struct{ *rand.Rand }

func roll(seed uint64) dice { return dice{rand.New(rand.NewPCG(seed, 6))} }

func one[T any](d dice, of ...T) T { return of[d.IntN(len(of))] }

// up to n of these
func few[T any](d dice, n int, of ...T) (out []T) {
	for range d.IntN(n + 1) {
		out = append(out, one(d, of...))
	}
	return out
}

func (d dice) instant() time.Time {
	if d.IntN(2) == 0 {
		return time.Time{}
	}
	return at(d.IntN(16)).Add(time.Duration(one(d, 0, 0, 0, 0, 1, -1)))
}

func (d dice) window() (from, until time.Time) {
	from, until = d.instant(), d.instant()
	if !from.IsZero() && !until.IsZero() && !from.Before(until) {
		until = from.Add(time.Duration(1+d.IntN(4)) * time.Second)
	}
	return from, until
}

var (
	channels = []string{"curling-a", "curling-b", "luge", "x"}
	askers   = []string{"alpine-tv", "nordic", "nobody"}
	patterns = []string{"*", "*", "curling-*", "curling-*", "curling-?", "*-a", "lug?", "luge", "x", "?", "*u*", "c*-b", "ski-*"}
	networks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8::/32")}
	origins  = []netip.Addr{{}, netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("10.9.9.9"), netip.MustParseAddr("::ffff:10.1.2.3"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.1")}
	groups   = map[string][]string{"DACH": {"AT", "CH", "DE"}, "EU": {"AT", "DE", "FR"}}
)

// territories never has exceptions of nothing, nor takes away all there is.
func (d dice) territories() []string {
	return one(d, nil, nil, []string{"CH"}, []string{"DACH", "US"}, []string{"!CH", "DACH"}, []string{"world"}, []string{"world", "!EU"},
		[]string{"world", "!US", "!LI"}, []string{"FR", "FR"}, []string{"EU", "DACH", "!DE"})
}

func (d dice) rule() rights.Rule {
	r := rights.Rule{
		Channels: append(few(d, 1, patterns...), one(d, patterns...)), Territories: d.territories(),
		MaxHeight: one(d, 0, 0, 360, 720, 1080), Delay: time.Duration(one(d, 0, 0, 0, 2, 5)) * time.Second, Tokens: d.IntN(4), Mode: one(d, "", rights.Viewer, rights.Contract),
	}
	r.From, r.Until = d.window()
	if d.IntN(3) == 0 {
		r.Actions = few(d, 3, rights.Actions...)
	}
	if d.IntN(3) == 0 {
		r.Open, r.Close = d.window()
	}
	if d.IntN(4) == 0 {
		r.Networks = few(d, 2, networks...)
	}
	return r
}

func (d dice) blackout() rights.Blackout {
	b := rights.Blackout{Channels: few(d, 1, patterns...), Territories: d.territories(), Broadcasters: few(d, 1, askers[:2]...)}
	b.From, b.Until = d.window()
	return b
}

func (d dice) config() rights.Config {
	c := rights.Config{Groups: groups}
	for _, id := range askers[:2] {
		b := rights.Broadcaster{ID: id}
		for range d.IntN(6) {
			b.Rules = append(b.Rules, d.rule())
		}
		if d.IntN(8) == 0 {
			b.Revoked = d.instant()
		}
		c.Broadcasters = append(c.Broadcasters, b)
	}
	for range d.IntN(4) {
		c.Blackouts = append(c.Blackouts, d.blackout())
	}
	return c
}

func (d dice) question() question {
	a := rights.Asker{Broadcaster: one(d, askers[0], askers[0], askers[0], askers[0], askers[1], askers[1], askers[1], askers[2]), Territory: one(d, append(slices.Clone(testWorld), "", "XX", "dach")...), Address: one(d, origins...)}
	if d.IntN(3) == 0 {
		a.Limits = rights.Limits{Channels: few(d, 1, patterns...), Actions: few(d, 2, rights.Actions...), MaxHeight: one(d, 0, 360, 720)}
		a.Limits.From, a.Limits.Until = d.instant(), d.instant()
	}
	return question{a, one(d, append(slices.Clone(channels), "curling-a", "curling-b")...), one(d, rights.Actions...), at(d.IntN(16))}
}

// piece is some media, and where the edge of its channel is.
type piece struct {
	start, end, edge time.Time
	height           int
}

func (d dice) piece() piece {
	p := piece{start: at(d.IntN(18) - 1).Add(time.Duration(one(d, 0, 0, 0, 1, -1))), edge: at(d.IntN(24)), height: one(d, 0, 360, 720, 1080)}
	p.end = p.start.Add(one(d, 0, 1, time.Second, time.Second, 2*time.Second, 4*time.Second, 9*time.Second))
	return p
}
