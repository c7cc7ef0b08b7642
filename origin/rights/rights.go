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
