// Package access says who is asking: it turns what a request carries into an identity, or into the reason why not.
//
//	request ─► FromRequest ─► token, path without it
//	                            │
//	                            ▼             ┌─ cache: verified before, and nothing about it has changed
//	                          Verify ─────────┤
//	                            │             ├─ JWT      header ─► key ─► signature ─► claims
//	  client certificate ─► Certificate       ├─ CAT      COSE   ─► key ─► MAC or signature ─► claims
//	                            │             └─ API key  name   ─► hash
//	                            ▼
//	                         Identity ─► Request: the claims that speak of one request
//
// Whatever a token says is enforced, or the token is refused. What an identity may see is not decided here.
package access

import (
	"net/netip"
	"strings"
	"time"
)

// Identity is who asks, and what the token itself narrows. What it narrows is never more than what the broadcaster has.
type Identity struct {
	Broadcaster string
	// Token is for books and logs: it begins with what kind of proof it was, and holds nothing that opens anything. Of a token it is a hash
	// of what was signed: a token that somebody wrote in another way keeps it.
	Token     string
	ID        string    // as its issuer calls it: jti; cti in hex; "" if he doesn't
	Key       string    // the id of the key that vouched for it
	Expires   time.Time // zero: when its key is taken away
	NotBefore time.Time // zero: always was

	Channels    []string  // patterns; nil: all of the broadcaster's. So with every list here
	Actions     []string  // live, startover, archive, clip, download
	MaxHeight   int       // lines of picture; 0: any
	From, Until time.Time // of media time, [From, Until); zero: without end

	// These speak of a request. Verifier.Request holds them against one.
	Territories []string          // ISO 3166-1 alpha-2, or ISO 3166-2
	Networks    []netip.Prefix    // of the peer
	Methods     []string          // of HTTP
	ALPN        []string          // protocols of the connection
	URI         []Condition       // of parts of the URL without the token
	Headers     []HeaderCondition // of the request
}

// InURL tells whether a URL with the token in it says all that this token asks: nothing depends on who sends it, from where, and how. Only then
// may a shared cache keep an answer.
func (id Identity) InURL() bool {
	return id.Territories == nil && id.Networks == nil && id.ALPN == nil && id.Headers == nil
}

// Reason is why somebody was not let in. The list is closed: it is a label of metrics.
type Reason string

const (
	Missing           Reason = "missing"             // no token
	Ambiguous         Reason = "ambiguous"           // two places of the request hold two tokens
	TooLong           Reason = "too_long"            // longer than MaxToken
	Malformed         Reason = "malformed"           // it can't be read, or says the impossible
	Algorithm         Reason = "algorithm"           // none that we take, or not its key's
	UnknownKey        Reason = "unknown_key"         // no key of that name (any longer)
	Signature         Reason = "signature"           // it isn't what the key signed; of an API key: it isn't the key
	ClaimMissing      Reason = "claim_missing"       // exp, aud, iss or a broadcaster
	ClaimNotSupported Reason = "claim_not_supported" // it says what we can't enforce
	Expired           Reason = "expired"             //
	NotYetValid       Reason = "not_yet_valid"       //
	Lifetime          Reason = "lifetime"            // it lives longer than tokens.max_age
	Audience          Reason = "audience"            // it is meant for somebody else
	Issuer            Reason = "issuer"              // it is another's
	NotItsBroadcaster Reason = "not_its_broadcaster" // its key may not speak for this broadcaster
	Revoked           Reason = "revoked"             //
	WrongMethod       Reason = "method"              // from here on: good, but not for this request
	WrongURL          Reason = "url"                 //
	WrongNetwork      Reason = "network"             //
	WrongTerritory    Reason = "territory"           //
	WrongHeader       Reason = "header"              //
	WrongProtocol     Reason = "protocol"            //
)

// Reasons are all there are.
func Reasons() []Reason {
	return []Reason{Missing, Ambiguous, TooLong, Malformed, Algorithm, UnknownKey, Signature, ClaimMissing, ClaimNotSupported, Expired, NotYetValid, Lifetime,
		Audience, Issuer, NotItsBroadcaster, Revoked, WrongMethod, WrongURL, WrongNetwork, WrongTerritory, WrongHeader, WrongProtocol}
}

// Error is the only error of this package that a request can cause. It repeats nothing of a token but the name of a claim.
type Error struct {
	Reason Reason
	Claim  string // which one, where that is known
}

func (e *Error) Error() string {
	if e.Claim == "" {
		return "token: " + string(e.Reason)
	}
	return "token: " + string(e.Reason) + ": " + e.Claim
}

// Is lets errors.Is find a reason, whatever the claim.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Reason == e.Reason && (t.Claim == "" || t.Claim == e.Claim)
}

// why makes an Error. A claim's name may come from outside: only one that looks like a name is repeated.
func why(r Reason, claim string) *Error {
	if len(claim) > 24 || strings.Trim(claim, "abcdefghijklmnopqrstuvwxyz0123456789_-.#ST ") != "" {
		claim = "(a name that is none)"
	}
	return &Error{r, claim}
}

// Those that happen at every request are made once: refusing costs no memory.
var (
	errMissing   = &Error{Reason: Missing}
	errAmbiguous = &Error{Reason: Ambiguous}
	errTooLong   = &Error{Reason: TooLong}
	errMalformed = &Error{Reason: Malformed}
	errAlgorithm = &Error{Reason: Algorithm}
	errUnknown   = &Error{Reason: UnknownKey}
	errSignature = &Error{Reason: Signature}
	errExpired   = &Error{Reason: Expired}
	errNotYet    = &Error{Reason: NotYetValid}
	errRevoked   = &Error{Reason: Revoked}
)
