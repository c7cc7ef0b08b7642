package access

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// methodOf is who signs and verifies, in a JWT and in a CAT: the signatures are the same bytes (RFC 7518, 3; RFC 9053, 2 and 3).
func (k *Key) methodOf() (m jwt.SigningMethod, public, private any) {
	switch k.Algorithm {
	case HS256:
		return jwt.SigningMethodHS256, k.secret, k.secret
	case ES256:
		return jwt.SigningMethodES256, k.public, k.private
	}
	return jwt.SigningMethodEdDSA, k.public, k.private
}

func (k *Key) verify(signed string, signature []byte) error {
	m, public, _ := k.methodOf()
	if m.Verify(signed, signature, public) != nil {
		return errSignature
	}
	return nil
}

func (k *Key) sign(signed string) ([]byte, error) {
	if !k.CanSign() {
		return nil, errors.New(k.String() + " has no private half here: it can't sign")
	}
	m, _, private := k.methodOf()
	return m.Sign(signed, private)
}

// strict refuses padding, and the bits beyond the last byte: a token can be written in one way only.
var strict = base64.RawURLEncoding.Strict()

// parsed is a token taken apart, before anybody believed it.
type parsed struct {
	format    string // "JWT", "CAT"
	algorithm string // one of ours, or ""
	kid       string
	signed    string // what the signature is over
	signature []byte
	claims    func(ignore []string) (*Claims, error)
	said      func() []Said
}

// parseJWT reads a JWS in compact form (RFC 7515, 3.1) with the claims of a JWT (RFC 7519).
func parseJWT(token string) (p parsed, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return p, errMalformed
	}
	var raw [3][]byte
	for i, part := range parts {
		if raw[i], err = strict.DecodeString(part); err != nil {
			return p, errMalformed
		}
	}
	header, err := object(raw[0])
	if err != nil {
		return p, err
	}
	p = parsed{format: "JWT", signed: token[:len(parts[0])+1+len(parts[1])], signature: raw[2]}
	p.claims = func(ignore []string) (*Claims, error) { return jwtClaims(raw[1], ignore) }
	p.said = func() []Said { return jwtSaid(raw[1]) }
	return p, p.readHeader(header)
}

// readHeader takes what we know of a header. Of the rest only what can't matter is passed over: a key that the token brings along or points at
// (jwk, jku, x5c, x5u), and what must be understood (crit, b64; RFC 7515, 4.1.11), are refused.
func (p *parsed) readHeader(header map[string]json.RawMessage) error {
	for name, v := range header {
		var s string
		isText := json.Unmarshal(v, &s) == nil && string(v) != "null"
		switch name {
		case "alg":
			if slices.Contains(Algorithms(), s) {
				p.algorithm = s
			}
		case "kid":
			p.kid = s
		case "typ", "cty", "x5t", "x5t#S256":
		default:
			return why(ClaimNotSupported, name)
		}
		if !isText {
			return errMalformed
		}
	}
	return nil
}

// jwtNames are the claims that we enforce. Those after jti are this project's own; from and until are NumericDates of media time.
var jwtNames = map[string]func(c *Claims, v json.RawMessage) bool{
	"iss": func(c *Claims, v json.RawMessage) bool { return jsonText(v, &c.Issuer) },
	"sub": func(c *Claims, v json.RawMessage) bool {
		var s string
		ok := jsonText(v, &s)
		if c.Broadcaster == "" {
			c.Broadcaster = s
		}
		return ok
	},
	"aud": func(c *Claims, v json.RawMessage) bool {
		var one string
		if jsonText(v, &one) {
			c.Audience = []string{one}
			return true
		}
		return jsonTexts(v, &c.Audience)
	},
	"exp": func(c *Claims, v json.RawMessage) bool { return jsonTime(v, &c.Expires) },
	"nbf": func(c *Claims, v json.RawMessage) bool { return jsonTime(v, &c.NotBefore) },
	"iat": func(c *Claims, v json.RawMessage) bool { return jsonTime(v, &c.Issued) },
	"jti": func(c *Claims, v json.RawMessage) bool { return jsonText(v, &c.ID) },

	"broadcaster": func(c *Claims, v json.RawMessage) bool { return jsonText(v, &c.Broadcaster) }, // for issuers whose sub is somebody else
	"channels":    func(c *Claims, v json.RawMessage) bool { return jsonTexts(v, &c.Channels) },
	"actions":     func(c *Claims, v json.RawMessage) bool { return jsonTexts(v, &c.Actions) },
	"max_height": func(c *Claims, v json.RawMessage) bool {
		return json.Unmarshal(v, &c.MaxHeight) == nil && c.MaxHeight > 0
	},
	"from":        func(c *Claims, v json.RawMessage) bool { return jsonTime(v, &c.From) },
	"until":       func(c *Claims, v json.RawMessage) bool { return jsonTime(v, &c.Until) },
	"territories": func(c *Claims, v json.RawMessage) bool { return jsonTexts(v, &c.Territories) },
	"networks": func(c *Claims, v json.RawMessage) bool {
		var list []string
		if !jsonTexts(v, &list) {
			return false
		}
		return prefixes(list, &c.Networks)
	},
	"methods": func(c *Claims, v json.RawMessage) bool { return jsonTexts(v, &c.Methods) },
}

func prefixes(list []string, to *[]netip.Prefix) bool {
	for _, s := range list {
		p, ok := prefix(s)
		if !ok {
			return false
		}
		*to = append(*to, p)
	}
	return true
}

// jwtClaims reads the claims. RFC 7519, 4, would have us pass over those that we don't know; one of them may be what its issuer relied on, so we do only
// where the configuration names it.
func jwtClaims(payload []byte, ignore []string) (*Claims, error) {
	members, err := object(payload)
	if err != nil {
		return nil, err
	}
	c := &Claims{}
	for name, v := range members {
		read, known := jwtNames[name]
		switch {
		case !known && slices.Contains(ignore, name):
		case !known:
			return nil, why(ClaimNotSupported, name)
		case !read(c, v):
			return nil, why(Malformed, name)
		}
	}
	return c, nil
}

func jsonText(v json.RawMessage, to *string) bool {
	return json.Unmarshal(v, to) == nil && boundedText(*to)
}

func jsonTexts(v json.RawMessage, to *[]string) bool {
	if json.Unmarshal(v, to) != nil || len(*to) == 0 || len(*to) > maxList {
		return false
	}
	return !slices.ContainsFunc(*to, func(s string) bool { return !boundedText(s) })
}

func jsonTime(v json.RawMessage, to *time.Time) (ok bool) {
	n, err := strconv.ParseFloat(string(v), 64)
	if err != nil {
		return false
	}
	*to, ok = numericDate(n)
	return ok
}

// SignJWT writes the claims as a JWT.
func (k *Key) SignJWT(c Claims) (string, error) {
	if c.URI != nil || c.Headers != nil || c.ALPN != nil {
		return "", errors.New("a JWT has no claims for URL, headers and protocol: want a CAT")
	}
	if err := c.sound(); err != nil {
		return "", err
	}
	m := jwt.MapClaims{"sub": c.Broadcaster, "aud": c.Audience, "exp": c.Expires.Unix()}
	if len(c.Audience) == 1 {
		m["aud"] = c.Audience[0]
	}
	for claim, t := range map[string]time.Time{"nbf": c.NotBefore, "iat": c.Issued, "from": c.From, "until": c.Until} {
		if !t.IsZero() {
			m[claim] = t.Unix()
		}
	}
	for claim, s := range map[string]string{"iss": c.Issuer, "jti": c.ID} {
		if s != "" {
			m[claim] = s
		}
	}
	for claim, list := range map[string][]string{"channels": c.Channels, "actions": c.Actions, "territories": c.Territories, "methods": c.Methods, "networks": texts(c.Networks)} {
		if list != nil {
			m[claim] = list
		}
	}
	if c.MaxHeight > 0 {
		m["max_height"] = c.MaxHeight
	}
	method, _, _ := k.methodOf()
	t := jwt.NewWithClaims(method, m)
	t.Header["kid"] = k.ID
	signed, err := t.SigningString()
	if err != nil {
		return "", err
	}
	signature, err := k.sign(signed)
	if err != nil {
		return "", err
	}
	return signed + "." + t.EncodeSegment(signature), nil
}

func texts(ps []netip.Prefix) (out []string) {
	for _, p := range ps {
		out = append(out, p.String())
	}
	return out
}
