package rights_test

import (
	"fmt"
	"testing"
	"time"

	"flambeau/origin/rights"
)

func benchBook(b *testing.B) (*rights.Book, rights.Asker) {
	var c rights.Config
	for i := range 50 {
		r := curling
		r.ID, r.Territories = "", []string{"world", "!US"}
		c.Broadcasters = append(c.Broadcasters, rights.Broadcaster{ID: fmt.Sprintf("b%d", i), Rules: []rights.Rule{{Channels: []string{"ski-*"}}, r, {Channels: []string{"luge"}}}})
	}
	c.Blackouts = []rights.Blackout{{Channels: []string{"curling-a"}, From: at(4), Until: at(6)}, {Channels: []string{"ski-*"}}}
	return book(b, c), rights.Asker{Broadcaster: "b7", Territory: "CH"}
}

func BenchmarkGrant(b *testing.B) {
	x, a := benchBook(b)
	b.ReportAllocs()
	for b.Loop() {
		x.Grant(a, "curling-a", rights.Live, at(50))
	}
}

func BenchmarkJudge(b *testing.B) {
	x, a := benchBook(b)
	g := x.Grant(a, "curling-a", rights.Live, at(50))
	b.ReportAllocs()
	for b.Loop() {
		if g.Judge(1080, at(7), at(9), at(50)) != rights.OK {
			b.Fatal("refused")
		}
	}
}

func TestADecisionAllocatesNothing(t *testing.T) {
	slow := curling
	slow.Delay = time.Second
	g := held(t, []rights.Rule{slow}, rights.Blackout{From: at(4), Until: at(6)}).Grant(rights.Asker{Broadcaster: "alpine-tv", Territory: "CH"}, "curling-a", rights.Live, at(50))
	open, m := rights.Open(), g.At(at(50))
	start, end, edge := at(7), at(9), at(50)
	n := testing.AllocsPerRun(100, func() {
		_ = m.Covers(start, end) && m.AllowsAt(1080, start, end) && m.Allows(1080) && m.At(edge).Empty()
		_ = rights.Open().AllowsAt(0, start, end) && open.Key() == g.Key()
		_ = g.Judge(2160, start, end, edge) == g.Judge(0, at(5), end, edge)
		_ = m.Since(720, start)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
