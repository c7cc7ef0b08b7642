// Package rights says who may take what, where and when. It is pure: time, territory and address are arguments, and nothing here asks
// anybody.
//
//	Config ─► New ─► Book          who holds which rules; it never changes, whoever changes a rule makes a new one
//	                  │
//	Asker, channel, action, now
//	                  ├─► Grant    what that one may see of that channel: spans of media time, each up to a height ─► manifests, objects
//	                  ├─► Explain  the same for one instant, and why                                                ─► people
//	                  └─► Channels what of many channels there is to take                                          ─► the catalogue
//
// What is not granted is denied. A rule grants when everything that it says holds; several rules unite, so that one more never takes
// away. Blackouts, revocation and what a token itself narrows take away, whatever rules say.
//
// There are two clocks. `now`, by which rules open and close and revocation comes, is the wall clock's: the clock of a channel whose feed has
// ended stands where the feed was, and what has expired would open again. `edge`, by which a delay is counted, is channel time:
//
//	rule      from ├──────────────────────────────────────┤ until       media time: never changes, a Grant may be kept
//	delay          │                     edge-delay ┆◄───►┆ edge
//	seen      from ├────────────────────────────────┤                   Grant.At(edge): what is younger waits
//
// A Grant before At sees nothing of what is delayed: who forgets it denies.
package rights

import (
	"net/netip"
	"time"
)

// Action is what somebody does with a channel.
type Action string

const (
	Live      Action = "live"
	StartOver Action = "startover"
	Archive   Action = "archive"
	Clip      Action = "clip"
	Download  Action = "download"
)

// Actions are all that there are.
var Actions = []Action{Live, StartOver, Archive, Clip, Download}

// Mode is who stands behind the address that asks.
type Mode string

const (
	// Viewer is the mode of a rule that says none: whoever asks looks, and has to be in one of the territories.
	Viewer Mode = "viewer"
	// Contract is a server that pulls: its address is not its viewers'. Where they are is the broadcaster's to keep, and the territories
	// are what the contract says of them.
	Contract Mode = "contract"
)

// Rule is one grant as an operator writes it.
type Rule struct {
	ID          string         // "": it is called by its place, grants[0]
	Channels    []string       // patterns: * is any letters, ? is one
	Territories []string       // ISO 3166-1 alpha-2, names of groups, "world", and with ! in front what is taken out; empty: everywhere
	Actions     []Action       // empty: all
	From, Until time.Time      // media time, [from, until); zero: without that end, here and below
	Open, Close time.Time      // request time, [open, close)
	MaxHeight   int            // of pictures, lines; 0: any
	Delay       time.Duration  // media is seen once it is this old
	Tokens      int            // in use at once; 0: no limit
	Networks    []netip.Prefix // of the address that asks; empty: any
	Mode        Mode           // "": viewer
}

// Broadcaster is who holds rules.
type Broadcaster struct {
	ID      string
	Rules   []Rule
	Revoked time.Time // from then on nothing is granted; zero: not revoked
}

// Blackout cuts a stretch of media time out of every rule that it meets, for as long as it stands in the book.
//
// It meets a viewer whose territory is listed, and one of whom nobody knows where he is. It meets a rule in mode contract whose own
// territories touch the list, since some of that broadcaster's viewers are there.
type Blackout struct {
	ID           string
	Channels     []string // patterns; empty: all, here and below
	Territories  []string // as in a Rule
	Broadcasters []string
	From, Until  time.Time // media time, [from, until); zero: without that end
	Reason       string    // for people
}

// Config is all that a Book is made of.
type Config struct {
	Broadcasters []Broadcaster
	Blackouts    []Blackout
	Groups       map[string][]string // of territories, by name: DACH is AT, CH, DE
}

// Asker is who asks, as far as somebody else has found out.
type Asker struct {
	Broadcaster string     // to whom the token belongs
	Territory   string     // ISO 3166-1 alpha-2; anything else is unknown
	Address     netip.Addr // zero: unknown
	Limits      Limits     // what the token itself narrows
}

// Limits narrow what rules grant. Zero narrows nothing.
type Limits struct {
	Channels    []string // patterns; empty: all
	Actions     []Action // empty: all
	MaxHeight   int      // 0: any
	From, Until time.Time
}
