package access

import (
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	// maxList is how many values a list in a token may have.
	maxList = 64
	// maxValue is the longest text in a token, in bytes.
	maxValue = 256
	// maxHeight is the highest picture that a token may speak of, in lines.
	maxHeight = 1 << 14
)

// Claims is everything that a token says, however it is written.
type Claims struct {
	Identity
	Issuer   string
	Audience []string
	Issued   time.Time
}

var (
	name      = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`) // as a channel's and a broadcaster's
	pattern   = regexp.MustCompile(`^[a-z0-9*?][a-z0-9*?-]{0,62}$`)
	territory = regexp.MustCompile(`^[A-Z]{2}(-[A-Z0-9]{1,3})?$`) // ISO 3166-1 alpha-2, ISO 3166-2
	method    = regexp.MustCompile(`^[A-Z]{1,16}$`)
	actions   = []string{"live", "startover", "archive", "clip", "download"}
)

// sound tells what is impossible in what a token says. Here "" and nil are what it doesn't say: what it says empty was refused where it was read.
func (c *Claims) sound() error {
	if !name.MatchString(c.Broadcaster) {
		if c.Broadcaster == "" {
			return why(ClaimMissing, "sub")
		}
		return why(Malformed, "sub")
	}
	for _, l := range []struct {
		claim string
		list  []string
		ok    func(string) bool
	}{
		{"channels", c.Channels, pattern.MatchString},
		{"actions", c.Actions, func(s string) bool { return slices.Contains(actions, s) }},
		{"territories", c.Territories, territory.MatchString},
		{"methods", c.Methods, method.MatchString},
	} {
		if slices.ContainsFunc(l.list, func(s string) bool { return !l.ok(s) }) {
			return why(Malformed, l.claim)
		}
	}
	switch {
	case c.Expires.IsZero():
		return why(ClaimMissing, "exp")
	case len(c.Audience) == 0:
		return why(ClaimMissing, "aud")
	case c.MaxHeight < 0 || c.MaxHeight > maxHeight:
		return why(Malformed, "max_height")
	case !c.From.IsZero() && !c.Until.IsZero() && !c.Until.After(c.From):
		return why(Malformed, "until")
	}
	return nil
}

// admit holds what a token says of itself against the rules and its key.
func (r *rules) admit(c *Claims, k *Key, now time.Time) error {
	if err := c.sound(); err != nil {
		return err
	}
	issuer := r.issuer
	if k.Issuer != "" {
		issuer = k.Issuer
	}
	switch {
	case !slices.Contains(c.Audience, r.audience):
		return why(Audience, "aud")
	case issuer != "" && c.Issuer == "":
		return why(ClaimMissing, "iss")
	case issuer != "" && c.Issuer != issuer:
		return why(Issuer, "iss")
	case k.Broadcasters != nil && !slices.Contains(k.Broadcasters, c.Broadcaster):
		return why(NotItsBroadcaster, "sub")
	}
	if err := c.valid(now); err != nil {
		return err
	}
	if r.maxAge > 0 && c.Expires.Sub(c.begins(now)) > r.maxAge {
		return why(Lifetime, "exp")
	}
	return nil
}

// begins is when a token's life begins, as far as it says.
func (c *Claims) begins(now time.Time) time.Time {
	for _, t := range []time.Time{c.Issued, c.NotBefore} {
		if !t.IsZero() {
			return t
		}
	}
	return now
}

// valid tells whether now is within [NotBefore, Expires).
func (id *Identity) valid(now time.Time) error {
	if !id.Expires.IsZero() && !now.Before(id.Expires) {
		return errExpired
	}
	if now.Before(id.NotBefore) {
		return errNotYet
	}
	return nil
}

// lastSecond is the last of the year 9999: no NumericDate is later (RFC 3339, 1).
const lastSecond = 253402300799

// numericDate is a NumericDate (RFC 7519, 2; RFC 8392, 2): seconds, perhaps with a fraction.
func numericDate(seconds float64) (time.Time, bool) {
	if math.IsNaN(seconds) || seconds < 1 || seconds > lastSecond {
		return time.Time{}, false
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)).UTC(), true
}

// prefix reads a network, or an address, which is a network of one.
func prefix(s string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" && !a.Is4In6() {
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	return p, err == nil && p == p.Masked() && !p.Addr().Is4In6()
}

func boundedText(s string) bool {
	return s != "" && len(s) <= maxValue && !strings.ContainsFunc(s, isControl)
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }
