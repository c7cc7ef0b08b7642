package rights_test

import (
	"os"
	"strconv"
	"testing"
	"time"

	"flambeau/origin/rights"
)

func book(t testing.TB, c rights.Config) *rights.Book {
	t.Helper()
	b, err := rights.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (q question) of(b *rights.Book) rights.Grant {
	return b.Grant(q.asker, q.channel, q.action, q.now)
}

func (g piece) seen(by rights.Grant) bool {
	return by.Judge(g.height, g.start, g.end, g.edge) == rights.OK
}

// decisions is how many the property test compares; FLAMBEAU_TEST_RIGHTS_DECISIONS says otherwise.
func decisions(t *testing.T) int {
	s := os.Getenv("FLAMBEAU_TEST_RIGHTS_DECISIONS")
	if s == "" {
		return 300_000
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestEveryDecisionIsTheOneThatTheSentencesOfTheIssueMake(t *testing.T) {
	total, allowed, empty, reasons := decisions(t), 0, 0, map[rights.Reason]int{}
	began := time.Now()
	for n, seed := 0, uint64(0); n < total; seed++ {
		d := roll(seed)
		c := d.config()
		b := book(t, c)
		for range 12 {
			q := d.question()
			g, want := q.of(b), evaluate(c, q)
			if g.Empty() {
				empty++
			}
			for range 40 {
				p := d.piece()
				got := g.Judge(p.height, p.start, p.end, p.edge)
				reasons[got]++
				yes := want.stretch(c, q, p.start.UnixNano(), p.end.UnixNano(), p.edge.UnixNano(), p.height)
				if yes != (got == rights.OK) {
					t.Fatalf("seed %d: %+v\nasked %+v\nof %+v: %s, the sentences say %v\ngrant %+v", seed, c, q, p, got, yes, g)
				}
				if yes {
					allowed++
				}
				n++
			}
			d.asManifestsDo(t, seed, g)
		}
	}
	t.Logf("%d decisions in %v, %d allowed, %d grants empty, 0 differences: %v", total, time.Since(began).Round(time.Millisecond), allowed, empty, reasons)
	if allowed < total/20 || allowed > total/2 {
		t.Errorf("%d of %d allowed: this world shows little", allowed, total)
	}
}

// asManifestsDo holds that a manifest, which asks a grant at an edge, lists what an object's request is granted at the same edge; and that spans
// are as they say.
func (d dice) asManifestsDo(t *testing.T, seed uint64, g rights.Grant) {
	t.Helper()
	tidy(t, seed, g)
	for range 4 {
		p := d.piece()
		m := g.At(p.edge)
		tidy(t, seed, m)
		yes := p.seen(g)
		if m.AllowsAt(p.height, p.start, p.end) != yes || p.height == 0 && m.Covers(p.start, p.end) != yes || yes && !m.Allows(p.height) {
			t.Fatalf("seed %d: %+v: seen %v, not so at the edge\n%+v\n%+v", seed, p, yes, g, m)
		}
		if g.AllowsAt(p.height, p.start, p.end) && !yes {
			t.Fatalf("seed %d: %+v: before At more is seen", seed, p)
		}
		since(t, seed, m, p)
	}
}

// since holds that nothing changes between Since and the instant, and that something changes at Since.
func since(t *testing.T, seed uint64, g rights.Grant, p piece) {
	t.Helper()
	sees := func(at time.Time) bool { return g.AllowsAt(p.height, at, at) }
	from, here := g.Since(p.height, p.start), sees(p.start)
	for x := p.start; !x.Before(at(-4)) && !x.Before(from); x = x.Add(-time.Second / 2) {
		if sees(x) != here {
			t.Fatalf("seed %d: %+v: %v since %v, but not at %v\n%+v", seed, p, here, from, x, g)
		}
	}
	if !from.IsZero() && (sees(from) != here || sees(from.Add(-1)) == here || from.After(p.start)) {
		t.Fatalf("seed %d: %+v: nothing changed at %v\n%+v", seed, p, from, g)
	}
}

// tidy holds what Span promises.
func tidy(t *testing.T, seed uint64, g rights.Grant) {
	t.Helper()
	high := func(s rights.Span) int {
		if s.MaxHeight == 0 {
			return 1 << 30
		}
		return s.MaxHeight
	}
	for i := 1; i < len(g.Spans); i++ {
		a, b := g.Spans[i-1], g.Spans[i]
		if a.From.Equal(b.From) && a.Until.Equal(b.Until) && a.Delay < b.Delay && high(a) < high(b) {
			continue
		}
		if a.Until.IsZero() || a.Until.After(b.From) {
			t.Fatalf("seed %d: spans %d and %d are out of order: %+v", seed, i-1, i, g.Spans)
		}
	}
	for _, s := range g.Spans {
		if !s.Until.IsZero() && !s.From.Before(s.Until) {
			t.Fatalf("seed %d: an empty span: %+v", seed, g.Spans)
		}
	}
	if g.Empty() == (g.Reason == rights.OK) {
		t.Fatalf("seed %d: reason %s of %+v", seed, g.Reason, g.Spans)
	}
}

const rounds = 4_000

// never holds that what is seen by more is never less than what is seen by less, and that somewhere there is a difference.
func never(t *testing.T, change func(d dice, c rights.Config, q question) (less, more rights.Grant)) {
	t.Helper()
	differ := 0
	for seed := range uint64(rounds) {
		d := roll(seed)
		less, more := change(d, d.config(), d.question())
		if less.Key() != more.Key() {
			differ++
		}
		for range 60 {
			if p := d.piece(); p.seen(less) && !p.seen(more) {
				t.Fatalf("seed %d: %+v\nless %+v\nmore %+v", seed, p, less, more)
			}
		}
	}
	if differ < rounds/50 {
		t.Errorf("only %d of %d changes changed anything", differ, rounds)
	}
}

func TestOneMoreBlackoutNeverAllowsMore(t *testing.T) {
	never(t, func(d dice, c rights.Config, q question) (less, more rights.Grant) {
		more = q.of(book(t, c))
		c.Blackouts = append(c.Blackouts, d.blackout())
		return q.of(book(t, c)), more
	})
}

func TestOneMoreRuleNeverAllowsLess(t *testing.T) {
	never(t, func(d dice, c rights.Config, q question) (less, more rights.Grant) {
		less = q.of(book(t, c))
		c.Broadcasters[0].Rules = append(c.Broadcasters[0].Rules, d.rule())
		more = q.of(book(t, c))
		if !less.Empty() && less.Tokens < more.Tokens && less.Tokens == 0 || !less.Empty() && more.Tokens > 0 && more.Tokens < less.Tokens {
			t.Fatalf("%d tokens became %d", less.Tokens, more.Tokens)
		}
		return less, more
	})
}

func TestANarrowerTokenNeverAllowsMore(t *testing.T) {
	never(t, func(d dice, c rights.Config, q question) (less, more rights.Grant) {
		q.asker.Limits = rights.Limits{}
		b := book(t, c)
		more = q.of(b)
		q.asker.Limits = rights.Limits{Channels: few(d, 1, "curling-*", q.channel), Actions: few(d, 1, q.action, rights.Live), MaxHeight: one(d, 0, 360, 720)}
		q.asker.Limits.From, q.asker.Limits.Until = d.instant(), d.instant()
		return q.of(b), more
	})
}

func TestTheOrderOfRulesAndBlackoutsDoesNotMatter(t *testing.T) {
	for seed := range uint64(rounds) {
		d := roll(seed)
		c, q := d.config(), d.question()
		a := q.of(book(t, c))
		for _, b := range c.Broadcasters {
			d.Shuffle(len(b.Rules), func(i, j int) { b.Rules[i], b.Rules[j] = b.Rules[j], b.Rules[i] })
		}
		d.Shuffle(len(c.Blackouts), func(i, j int) { c.Blackouts[i], c.Blackouts[j] = c.Blackouts[j], c.Blackouts[i] })
		if b := q.of(book(t, c)); a.Key() != b.Key() || a.Reason != b.Reason || a.Tokens != b.Tokens || !a.Expires.Equal(b.Expires) {
			t.Fatalf("seed %d:\n%+v\n%+v", seed, a, b)
		}
	}
}

func TestUntilAGrantExpiresTheAnswerStays(t *testing.T) {
	changed := 0
	for seed := range uint64(rounds) {
		d := roll(seed)
		c, q := d.config(), d.question()
		b := book(t, c)
		first := q.of(b)
		for s := range 20 {
			later := q
			if later.now = at(s).Add(time.Duration(d.IntN(3) - 1)); later.now.Before(q.now) {
				continue
			}
			g := later.of(b)
			same := g.Key() == first.Key() && g.Reason == first.Reason && g.Tokens == first.Tokens
			if !same {
				changed++
			}
			if !same && (first.Expires.IsZero() || later.now.Before(first.Expires)) {
				t.Fatalf("seed %d: from %v to %v, expires %v:\n%+v\n%+v", seed, q.now, later.now, first.Expires, first, g)
			}
		}
		if !first.Expires.IsZero() && !first.Expires.After(q.now) {
			t.Fatalf("seed %d: expired at %v before it was asked for at %v", seed, first.Expires, q.now)
		}
	}
	if changed < 100 {
		t.Errorf("only %d answers changed", changed)
	}
}

func TestKeysAreEqualWhereTheSameIsSeenAndOnlyThere(t *testing.T) {
	equal := 0
	for seed := range uint64(rounds) {
		d := roll(seed)
		b := book(t, d.config())
		p, q := d.question().of(b), d.question().of(b)
		key, sight := p.Key() == q.Key(), sight(p) == sight(q)
		if key != sight {
			t.Fatalf("seed %d: equal keys %v, equal sights %v:\n%+v\n%+v", seed, key, sight, p, q)
		}
		if key && !p.Empty() {
			equal++
		}
	}
	if equal < 20 {
		t.Errorf("only %d pairs had one key", equal)
	}
}

// sight is all that there is to be seen in this small world.
func sight(g rights.Grant) string {
	var b []byte
	for s := -2; s < 20; s++ {
		for _, nano := range []time.Duration{-1, 0, 1} {
			x := at(s).Add(nano)
			for _, delay := range []time.Duration{1, time.Second, 2 * time.Second, 4 * time.Second, 5*time.Second + 1} {
				for _, height := range []int{0, 360, 720, 1080, 2160} {
					b = append(b, bit(g.Judge(height, x, x, x.Add(delay)) == rights.OK))
				}
			}
		}
	}
	return string(b)
}

func bit(b bool) byte {
	if b {
		return '1'
	}
	return '0'
}

func TestWhatIsExplainedIsWhatIsGranted(t *testing.T) {
	allowed := 0
	for seed := range uint64(rounds) {
		d := roll(seed)
		c, q := d.config(), d.question()
		b := book(t, c)
		g := q.of(b)
		for range 8 {
			p := d.piece()
			e := b.Explain(q.asker, q.channel, q.action, p.start, q.now)
			why := g.Judge(0, p.start, p.start, q.now)
			if e.Allowed != (why == rights.OK) || e.Allowed != (e.Reason == rights.OK) {
				t.Fatalf("seed %d: judged %s\n%v", seed, why, e)
			}
			if e.Allowed {
				allowed++
				higher := e.MaxHeight + 1
				if e.MaxHeight == 0 {
					continue
				}
				if g.Judge(e.MaxHeight, p.start, p.start, q.now) != rights.OK || g.Judge(higher, p.start, p.start, q.now) == rights.OK {
					t.Fatalf("seed %d: not %d lines: %+v\n%v", seed, e.MaxHeight, g, e)
				}
			}
			if e.String() == "" || e.Change == "" || !e.Allowed && g.Empty() && e.Reason != g.Reason && e.Reason != rights.OutOfWindow && e.Reason != rights.Token {
				t.Fatalf("seed %d: the grant says %s\n%v", seed, g.Reason, e)
			}
		}
	}
	if allowed < 1000 {
		t.Errorf("only %d were allowed", allowed)
	}
}

func TestTheCatalogueHasWhatIsGrantedAndNothingElse(t *testing.T) {
	for seed := range uint64(rounds / 4) {
		d := roll(seed)
		b, q := book(t, d.config()), d.question()
		offered := map[string]map[rights.Action]string{}
		for _, o := range b.Channels(q.asker, channels, q.now) {
			offered[o.Channel] = map[rights.Action]string{}
			for _, g := range o.Grants {
				offered[o.Channel][g.Action] = g.Grant.Key()
			}
		}
		for _, channel := range channels {
			for _, action := range rights.Actions {
				g := b.Grant(q.asker, channel, action, q.now)
				if key, ok := offered[channel][action]; ok == g.Empty() || ok && key != g.Key() {
					t.Fatalf("seed %d: %s of %s: offered %v, granted %+v", seed, action, channel, ok, g)
				}
			}
			if o, ok := offered[channel]; ok && len(o) == 0 {
				t.Fatalf("seed %d: an empty offer of %s", seed, channel)
			}
		}
	}
}
