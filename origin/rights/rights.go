// Package rights says who may see what, where and when. It is pure: time is an argument, and nothing here asks anybody.
package rights

import "time"

// Grant is what one holder may see of one channel: a span of media time and a highest picture.
type Grant struct {
	From      time.Time // media time, included; zero: from the beginning
	Until     time.Time // media time, excluded; zero: without end
	MaxHeight int       // of pictures, lines; 0: any
}

// Open is the grant of a service without rights: everything.
func Open() Grant { return Grant{} }

// Covers tells whether all of [start, end) may be seen.
func (g Grant) Covers(start, end time.Time) bool {
	return !start.Before(g.From) && (g.Until.IsZero() || !end.After(g.Until))
}

// Allows tells whether a picture of that height may be seen; sound has height 0.
func (g Grant) Allows(height int) bool {
	return g.MaxHeight == 0 || height <= g.MaxHeight
}

// AllowsAt tells whether a picture of that height may be seen in all of [start, end).
func (g Grant) AllowsAt(height int, start, end time.Time) bool {
	return g.Allows(height) && g.Covers(start, end)
}

// Everything tells whether nothing is hidden.
func (g Grant) Everything() bool { return g == Grant{} }

// Since is since when pictures of that height have been shown, or hidden, as they are at an instant; zero: always.
func (g Grant) Since(height int, at time.Time) time.Time {
	switch {
	case !g.Allows(height) || at.Before(g.From):
		return time.Time{}
	case !g.Until.IsZero() && !at.Before(g.Until):
		return g.Until
	}
	return g.From
}
