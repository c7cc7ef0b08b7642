package rights

// Reason is why something is granted or denied. The list is closed: it is a label of metrics.
type Reason string

// In the order in which a rule is asked: of several that refuse, the one that came furthest says why.
const (
	NoBroadcaster Reason = "no_broadcaster" // there is none of that id
	Revoked       Reason = "revoked"        // the broadcaster is
	NoChannel     Reason = "channel"        // no rule names the channel, whether it exists or not
	NoAction      Reason = "action"
	NoTerritory   Reason = "territory"
	NoNetwork     Reason = "network"
	Closed        Reason = "closed"       // the rule's request time is over
	NotOpenYet    Reason = "not_open_yet" // the rule's request time has not begun
	Token         Reason = "token"        // the rule grants, the token itself does not
	BlackedOut    Reason = "blackout"
	OutOfWindow   Reason = "window" // of media time; this and what follows is said of one piece of media, never of a Grant
	TooHigh       Reason = "height" // pictures of that height are not granted then
	Delayed       Reason = "delay"  // it will be seen, and is too young
	OK            Reason = "ok"
)

// Reasons are all that there are, in that order.
var Reasons = []Reason{NoBroadcaster, Revoked, NoChannel, NoAction, NoTerritory, NoNetwork, Closed, NotOpenYet, Token, BlackedOut, OutOfWindow, TooHigh, Delayed, OK}

// Further is the reason of the rule that came further.
func Further(a, b Reason) Reason {
	for _, r := range Reasons {
		switch r {
		case a:
			return b
		case b:
			return a
		}
	}
	panic("rights: a reason that is not in the list: " + string(a) + " or " + string(b))
}
