package rights

import (
	"sort"
	"strconv"
	"time"
)

// Grant is what one asker may see of one channel. The zero Grant sees nothing. It is a value that nobody writes to, and may be kept until
// it expires.
type Grant struct {
	Spans   []Span
	Tokens  int       // of this broadcaster in use at once: the most that any rule which grants something allows; 0: no limit
	Expires time.Time // request time at which the answer may change by itself; zero: never
	Reason  Reason    // OK, or why there are no spans

	// Personal: the asker's territory or address had a say. Then the answer is not to be given to anybody else, whatever token he shows.
	Personal bool

	dark []Span // blackouts that cut into it
	key  string // of Spans
}

// Span is a stretch of media time, [From, Until), whose pictures up to a height are seen once they are Delay old.
//
// Spans are sorted and disjoint, and what differs in nothing is one. Only where rules grant more to who waits longer, spans have equal times:
// each later one has a longer delay and a higher picture. No pair of rules is read as a third that has the best of both.
type Span struct {
	From, Until time.Time // zero: from the beginning, without end
	MaxHeight   int       // 0: any
	Delay       time.Duration
}

var everything = []Span{{}}

// Open is the grant of a service without rights: everything.
func Open() Grant { return Grant{Spans: everything, Reason: OK, key: "*"} }

// Everything tells whether nothing is hidden.
func (g Grant) Everything() bool { return len(g.Spans) == 1 && g.Spans[0] == Span{} }

// Empty tells whether nothing will ever be seen.
func (g Grant) Empty() bool { return len(g.Spans) == 0 }

// Covers tells whether all of [start, end) may be seen, in some rendition.
func (g Grant) Covers(start, end time.Time) bool { return g.AllowsAt(0, start, end) }

// Allows tells whether pictures of that height may be seen at some time; sound has height 0.
func (g Grant) Allows(height int) bool {
	for i := range g.Spans {
		if s := &g.Spans[i]; s.Delay == 0 && s.allows(height) {
			return true
		}
	}
	return false
}

// AllowsAt tells whether pictures of that height may be seen in all of [start, end).
func (g Grant) AllowsAt(height int, start, end time.Time) bool {
	edge, ok := g.Ready(height, start, end)
	return ok && edge.IsZero()
}

// Judge is AllowsAt for a channel that is at edge, with the reason. It needs no At.
func (g Grant) Judge(height int, start, end, edge time.Time) Reason {
	if g.Empty() {
		return g.Reason
	}
	if ready, ok := g.Ready(height, start, end); ok && !edge.Before(ready) {
		return OK
	} else if ok {
		return Delayed
	}
	if _, ok := g.Ready(0, start, end); ok {
		return TooHigh
	}
	for i := range g.dark {
		if d := &g.dark[i]; before(start, d.Until) && d.From.Before(end) {
			return BlackedOut
		}
	}
	return OutOfWindow
}

// Ready finds where the edge of the channel must be for pictures of that height to be seen in all of [start, end); zero: anywhere. It is
// not ok if they never are. A stretch without length is an instant.
func (g Grant) Ready(height int, start, end time.Time) (edge time.Time, ok bool) {
	if !end.After(start) {
		end = start.Add(1)
	}
	for i := g.reaches(start); i < len(g.Spans) && !g.Spans[i].From.After(start); {
		s, next := g.best(i, height)
		if s == nil {
			return time.Time{}, false
		}
		last := before(end, s.Until) || end.Equal(s.Until)
		if last {
			start = end
		} else {
			start = s.Until
		}
		if at := start.Add(s.Delay); s.Delay > 0 && at.After(edge) {
			edge = at
		}
		if last {
			return edge, true
		}
		i = next
	}
	return time.Time{}, false
}

// reaches finds the first span that ends after an instant.
func (g Grant) reaches(at time.Time) int {
	return sort.Search(len(g.Spans), func(i int) bool { return before(at, g.Spans[i].Until) })
}

// best finds, of the spans that have the times of the i-th, the one that shows the height soonest, and where the next times begin.
func (g Grant) best(i, height int) (best *Span, next int) {
	for next = i; next < len(g.Spans) && g.Spans[next].From.Equal(g.Spans[i].From); next++ {
		if s := &g.Spans[next]; best == nil && s.allows(height) {
			best = s
		}
	}
	return best, next
}

// Since is since when pictures of that height have been shown, or hidden, as they are at an instant; zero: always.
func (g Grant) Since(height int, at time.Time) time.Time {
	var shown, hidden time.Time // since when, at the end of the spans so far
	for i := range g.Spans {
		s := &g.Spans[i]
		if s.Delay > 0 || !s.allows(height) {
			continue
		}
		if at.Before(s.From) {
			break
		}
		if !s.From.Equal(hidden) {
			shown = s.From
		}
		if before(at, s.Until) {
			return shown
		}
		hidden = s.Until
	}
	return hidden
}

// At is the grant for a channel that is at edge: what is younger than its delay is not seen, and no span has a delay any more. It allocates
// only where there was one.
func (g Grant) At(edge time.Time) Grant {
	if !g.delayed() {
		return g
	}
	spans := make([]Span, 0, len(g.Spans)+1)
	for i := 0; i < len(g.Spans); {
		from := g.Spans[i].From
		_, next := g.best(i, 0)
		for j := next - 1; j >= i; j-- { // the highest pictures are the oldest
			s := g.Spans[j]
			if seen := edge.Add(-s.Delay); s.Delay > 0 && before(seen, s.Until) {
				s.Until = seen
			}
			if s.From, s.Delay = from, 0; before(from, s.Until) {
				spans, from = follow(spans, s), s.Until
			}
		}
		i = next
	}
	g.Spans, g.key = spans, ""
	if len(spans) == 0 {
		g.Reason = Delayed
	}
	return g
}

// follow appends a span, or makes the last one longer.
func follow(spans []Span, s Span) []Span {
	if n := len(spans) - 1; n >= 0 && spans[n].Until.Equal(s.From) && spans[n].MaxHeight == s.MaxHeight {
		spans[n].Until = s.Until
		return spans
	}
	return append(spans, s)
}

func (g Grant) delayed() bool {
	for i := range g.Spans {
		if g.Spans[i].Delay > 0 {
			return true
		}
	}
	return false
}

// Key is equal for grants that see the same, and for no others. It is made once: asking a Grant of a Book costs nothing.
func (g Grant) Key() string {
	if g.key != "" {
		return g.key
	}
	return keyOf(g.Spans)
}

func keyOf(spans []Span) string {
	b := make([]byte, 0, 128)
	for i := range spans {
		s := &spans[i]
		if *s == (Span{}) {
			b = append(b, '*')
			continue
		}
		b = appendInstant(append(b, '['), s.From)
		b = appendInstant(append(b, ','), s.Until)
		b = strconv.AppendInt(append(b, ';'), int64(s.MaxHeight), 10)
		b = strconv.AppendInt(append(b, ';'), int64(s.Delay), 10)
		b = append(b, ')')
	}
	if len(b) == 0 {
		return "-"
	}
	return string(b)
}

func appendInstant(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	b = strconv.AppendInt(b, t.Unix(), 36)
	return strconv.AppendInt(append(b, '.'), int64(t.Nanosecond()), 36)
}

func (s *Span) allows(height int) bool { return s.MaxHeight == 0 || height <= s.MaxHeight }

func (s *Span) holds(at time.Time) bool { return !at.Before(s.From) && before(at, s.Until) }

// before tells whether an instant comes before an end, which may be none.
func before(at, until time.Time) bool { return until.IsZero() || at.Before(until) }
