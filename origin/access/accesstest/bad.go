package accesstest

import (
	"fmt"
	"strings"
	"time"

	"flambeau/origin/access"
)

// Bad are tokens that must be refused at k.Now, each for its reason.
func (k Kit) Bad() []Case {
	var b bad
	for _, kid := range kids {
		k.mangled(&b, kid)
	}
	k.forged(&b)
	k.headers(&b)
	k.payloads(&b)
	k.coseHeaders(&b)
	k.coseShapes(&b)
	k.coseClaims(&b)
	k.keys(&b)
	return b
}

type bad []Case

func (b *bad) add(reason access.Reason, name, token string) {
	*b = append(*b, Case{name, token, reason})
}

// mangled are good tokens that something happened to on the way: cut anywhere, any bit of the signature turned, something added.
func (k Kit) mangled(b *bad, kid string) {
	s := k.signers[kid]
	jwt, cat := k.jwt(kid, k.header(kid), k.payload()), k.cat(kid, k.claims())
	for format, token := range map[string]string{"JWT": jwt, "CAT": cat} {
		for i := range len(token) {
			reason := access.Malformed
			if i == 0 {
				reason = access.Missing
			} else if format == "JWT" && i > strings.LastIndex(token, ".") {
				reason = "" // malformed or signature, as it falls on a byte
			}
			b.add(reason, fmt.Sprintf("%s of %s cut to %d", format, kid, i), token[:i])
		}
		for name, t := range map[string]string{"padding": token + "=", "a dot": token + ".", "a space": token + " ", "a line": token + "\n", "a percent": token + "%41",
			"a letter": token + "A", "a NUL": token + "\x00", "itself": token + token, "a slash": token + "/", "an accent": token + "é"} {
			b.add("", fmt.Sprintf("%s of %s and %s", format, kid, name), t)
		}
		b.add("", fmt.Sprintf("%s of %s after a space", format, kid), " "+token)
		if len(token[strings.LastIndex(token, ".")+1:])%4 != 0 { // its last letter has bits that belong to no byte
			const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
			end := len(token) - 1
			b.add(access.Malformed, fmt.Sprintf("%s of %s with a bit behind", format, kid), token[:end]+string(letters[strings.IndexByte(letters, token[end])^1]))
		}
		b.add("", fmt.Sprintf("%s of %s in capitals", format, kid), strings.ToUpper(token))
	}
	i := strings.LastIndex(jwt, ".")
	sig, _ := b64.DecodeString(jwt[i+1:])
	m := k.message(kid, k.claims())
	good := s.sign(cborOf([]any{m.kind, m.protected, []byte{}, m.payload}))
	for bit := range 8 * len(sig) {
		b.add(access.Signature, fmt.Sprintf("JWT of %s, bit %d", kid, bit), jwt[:i+1]+b64.EncodeToString(turned(sig, bit)))
		m.signature = turned(good, bit)
		b.add(access.Signature, fmt.Sprintf("CAT of %s, bit %d", kid, bit), m.token(s))
	}
	m.signature = []byte{}
	b.add(access.Signature, "CAT of "+kid+" without its signature", m.token(s))
	m.signature = append(good[:len(good):len(good)], 0)
	b.add(access.Signature, "CAT of "+kid+" with a longer signature", m.token(s))
	m.signature = make([]byte, len(good))
	b.add(access.Signature, "CAT of "+kid+" with a signature of zeros", m.token(s))
	b.add(access.Signature, "JWT of "+kid+" with a signature of zeros", jwt[:i+1]+b64.EncodeToString(make([]byte, len(sig))))
	b.add(access.Malformed, "CAT of "+kid+" with a byte behind", b64.EncodeToString(append(k.message(kid, k.claims()).bytes(s), 0)))
}

func turned(b []byte, bit int) []byte {
	out := append([]byte(nil), b...)
	out[bit/8] ^= 1 << (bit % 8)
	return out
}

// forged are tokens that somebody else signed.
func (k Kit) forged(b *bad) {
	p, c := k.payload(), k.claims()
	_, stranger := ecdsaSigner()
	for _, kid := range kids {
		s := k.signers[kid]
		for other, o := range k.signers {
			if other == kid {
				continue
			}
			reason := access.Signature
			if o.jwt != s.jwt {
				reason = access.Algorithm
			}
			b.add(reason, "JWT by "+other+" in the name of "+kid, o.token(jsonOf(k.header(kid).with("alg", o.jwt)), jsonOf(p)))
			m := k.message(other, c)
			m.loose = labels{4: []byte(kid)}
			b.add(reason, "CAT by "+other+" in the name of "+kid, m.token(o))
		}
		// HMAC with what everybody knows of the key as secret, and with nothing.
		for i, public := range append([][]byte{{}, []byte(kid), []byte("secret")}, s.public...) {
			reason := access.Algorithm
			if kid == "k1" {
				reason = access.Signature
			}
			b.add(reason, fmt.Sprintf("JWT by HMAC with public %d of %s", i, kid), hmacSigner(public).token(jsonOf(k.header(kid).with("alg", "HS256")), jsonOf(p)))
			m := k.message("k1", c)
			m.loose = labels{4: []byte(kid)}
			b.add(reason, fmt.Sprintf("CAT by HMAC with public %d of %s", i, kid), m.token(hmacSigner(public)))
		}
		for _, alg := range []string{"none", "None", "NONE", "nOnE", "", "RS256", "RS384", "RS512", "PS256", "ES384", "ES512", "ES256K", "HS384", "HS512", "HS1", "hs256", "Ed25519", "dir", "A256KW"} {
			header := jsonOf(k.header(kid).with("alg", alg))
			b.add(access.Algorithm, "JWT of "+kid+" that says "+alg, s.token(header, jsonOf(p)))
			b.add(access.Algorithm, "JWT of "+kid+" that says "+alg+", unsigned", b64.EncodeToString(header)+"."+b64.EncodeToString(jsonOf(p))+".")
		}
		for _, alg := range []any{0, 1, 4, 6, 7, -35, -36, -37, -39, -257, -47, -9, -19, 1 << 40, -1 << 40} {
			m := k.message(kid, c)
			m.protected = cborOf(labels{1: alg})
			b.add(access.Algorithm, fmt.Sprintf("CAT of %s that says %v", kid, alg), m.token(s))
		}
	}
	b.add(access.UnknownKey, "JWT by a stranger", stranger.token(jsonOf(object{"alg": "ES256", "kid": "k9"}), jsonOf(p)))
	b.add(access.NotItsBroadcaster, "JWT of a partner for another", k.jwt("p1", k.header("p1"), p))
	b.add(access.NotItsBroadcaster, "CAT of a partner for another", k.cat("p1", c))
}

// headers are JWTs whose header is not to be trusted.
func (k Kit) headers(b *bad) {
	p := jsonOf(k.payload())
	s := k.signers["k1"]
	for _, kid := range []string{"", "K1", "k1 ", " k1", "k1\x00", "k1/../k1", "../../../../etc/passwd", "/dev/null", "k1' OR '1'='1", "https://evil.example/jwks.json", "k1;id", "k1?x", "%6b1",
		strings.Repeat("k", 1000), "k1\n", "*", "k?", "0", "null"} {
		b.add(access.UnknownKey, fmt.Sprintf("JWT whose kid is %.20q", kid), s.token(jsonOf(object{"alg": "HS256", "kid": kid}), p))
		b.add(access.UnknownKey, fmt.Sprintf("JWT whose kid is %.20q, by nothing", kid), hmacSigner(nil).token(jsonOf(object{"alg": "HS256", "kid": kid}), p))
	}
	b.add(access.UnknownKey, "JWT without kid", s.token(jsonOf(object{"alg": "HS256"}), p))
	b.add(access.Algorithm, "JWT without alg", s.token(jsonOf(object{"kid": "k1"}), p))
	for _, kid := range []any{1, true, []string{"k1"}, object{"k": "k1"}} {
		b.add(access.Malformed, fmt.Sprintf("JWT whose kid is %v", kid), s.token(jsonOf(object{"alg": "HS256", "kid": kid}), p))
	}
	key := object{"kty": "oct", "k": "AAAA", "kid": "k1"}
	for name, v := range map[string]any{"jwk": key, "jku": "https://evil.example/jwks", "x5u": "https://evil.example/cert", "x5c": []string{"MIIB"}, "crit": []string{"exp"}, "b64": false,
		"zip": "DEF", "enc": "A256GCM", "epk": key, "apu": "x", "url": "https://evil.example", "nonce": "1", "exp": 1, "p2c": 100000000} {
		h := k.header("k1").with(name, v)
		b.add(access.ClaimNotSupported, "JWT with a "+name, s.token(jsonOf(h), p))
		b.add(access.ClaimNotSupported, "JWT with a "+name+", by nothing", hmacSigner([]byte{0, 0, 0}).token(jsonOf(h), p))
	}
	for name, header := range map[string]string{"no object": `"HS256"`, "null": `null`, "a list": `[]`, "nothing": ``, "two": `{"alg":"HS256","kid":"k1"}{}`,
		"a key twice": `{"alg":"HS256","kid":"k1","kid":"k1"}`, "an alg twice": `{"alg":"none","alg":"HS256","kid":"k1"}`, "a key twice in disguise": `{"alg":"HS256","kid":"k1","k\u0069d":"k1"}`,
		"no text": "{\"alg\":\"HS256\",\"kid\":\"k1\xff\"}", "null for alg": `{"alg":null,"kid":"k1"}`, "depth": `{"alg":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`, "a comma": `{"alg":"HS256","kid":"k1",}`} {
		b.add(access.Malformed, "JWT whose header has "+name, s.token([]byte(header), p))
	}
	b.add(access.Malformed, "JWT in five parts", "a.b.c.d.e")
	b.add(access.Malformed, "JWT in two parts", b64.EncodeToString(jsonOf(k.header("k1")))+"."+b64.EncodeToString(p))
}

// payloads are JWTs that are signed as they should be, and say what they should not.
func (k Kit) payloads(b *bad) {
	p := k.payload()
	now := k.Now.Unix()
	for _, kid := range kids {
		h := k.header(kid)
		for _, c := range []struct {
			reason access.Reason
			name   string
			claims object
		}{
			{access.Expired, "expired", p.with("exp", now-1)},
			{access.Expired, "expired now", p.with("exp", now)},
			{access.Expired, "expired in 1970", p.with("exp", 1)},
			{access.NotYetValid, "not yet valid", p.with("nbf", now+1)},
			{access.NotYetValid, "never yet valid", p.with("nbf", now+3600, "exp", now+7200)},
			{access.Lifetime, "for longer than is allowed", p.with("exp", k.Now.Add(31*24*time.Hour).Unix()+1)},
			{access.Lifetime, "for ever", p.with("exp", 253402300799)},
			{access.Lifetime, "for ever, and nobody says since when", p.with("exp", 253402300799, "iat", nil)},
			{access.ClaimMissing, "without exp", p.with("exp", nil)},
			{access.ClaimMissing, "without aud", p.with("aud", nil)},
			{access.ClaimMissing, "without iss", p.with("iss", nil)},
			{access.ClaimMissing, "without sub", p.with("sub", nil)},
			{access.Audience, "for another audience", p.with("aud", "flambeau2")},
			{access.Audience, "for an audience in capitals", p.with("aud", "Flambeau")},
			{access.Audience, "for other audiences", p.with("aud", []string{"flamb", "eau"})},
			{access.Issuer, "of another issuer", p.with("iss", Issuer+"/")},
			{access.Malformed, "for a path", p.with("sub", "../alpine-tv")},
			{access.Malformed, "for capitals", p.with("sub", "Alpine-TV")},
			{access.Malformed, "for a long name", p.with("sub", strings.Repeat("a", 64))},
			{access.Malformed, "for a line", p.with("sub", "alpine-tv\n")},
			{access.Malformed, "until before it begins", p.with("from", 200, "until", 100)},
			{access.Malformed, "of no action", p.with("actions", []string{"rewind"})},
			{access.Malformed, "of no territory", p.with("territories", []string{"ch"})},
			{access.Malformed, "of no network", p.with("networks", []string{"192.0.2.1/24"})},
			{access.Malformed, "of a mapped network", p.with("networks", []string{"::ffff:192.0.2.1"})},
			{access.Malformed, "of no method", p.with("methods", []string{"get"})},
			{access.Malformed, "of no channel", p.with("channels", []string{"../x"})},
			{access.Malformed, "of no height", p.with("max_height", 0)},
			{access.Malformed, "of a negative height", p.with("max_height", -1)},
			{access.Malformed, "of half a height", p.with("max_height", 0.5)},
			{access.Malformed, "of a mile's height", p.with("max_height", 1<<20)},
		} {
			b.add(c.reason, "JWT of "+kid+" "+c.name, k.jwt(kid, h, c.claims))
		}
	}
	s, h := k.signers["k1"], k.header("k1")
	for _, name := range []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "broadcaster", "channels", "actions", "max_height", "from", "until", "territories", "networks", "methods"} {
		for _, v := range []string{`null`, `true`, `""`, `[]`, `{}`, `[""]`, `[1]`, `[null]`, `-1`, `0`, `1e999`, `"` + strings.Repeat("x", 300) + `"`, `["` + strings.Repeat(`x","`, 100) + `"]`, `[["flambeau"]]`} {
			payload := strings.TrimSuffix(string(jsonOf(p.with(name, nil))), "}") + `,"` + name + `":` + v + `}`
			b.add(access.Malformed, fmt.Sprintf("JWT whose %s is %.20s", name, v), s.token(jsonOf(h), []byte(payload)))
		}
		payload := strings.TrimSuffix(string(jsonOf(p.with(name, 1))), "}") + `,"` + name + `":1}`
		b.add(access.Malformed, "JWT that says "+name+" twice", s.token(jsonOf(h), []byte(payload)))
	}
	for _, name := range []string{"cnf", "scope", "catu", "catr", "channel", "Channels", "maxheight", "max-height", "EXP", "act", "may_act", "nonce", "312", "crit", "", "exp ", "\u0065xp2"} {
		b.add(access.ClaimNotSupported, "JWT with a claim "+name, k.jwt("k1", h, p.with(name, 1)))
	}
	for name, payload := range map[string]string{"no object": `[]`, "null": `null`, "nothing": ``, "a text": `"x"`, "two": `{}{}`, "no text": "{\"sub\":\"\xc0\"}", "no end": `{"sub":"alpine-tv"`} {
		b.add(access.Malformed, "JWT whose payload is "+name, s.token(jsonOf(h), []byte(payload)))
	}
	b.add(access.TooLong, "JWT that goes on and on", k.jwt("k1", h, p.with("azp", strings.Repeat("x", access.MaxToken))))
	b.add(access.TooLong, "letters that go on and on", strings.Repeat("A", access.MaxToken+1))
	b.add(access.Malformed, "dots that go on", strings.Repeat(".", access.MaxToken))
	b.add(access.Malformed, "a dot", ".")
	b.add(access.Malformed, "two dots", "..")
}

// keys are API keys that are none.
func (k Kit) keys(b *bad) {
	for i := 1; i < len(k.APIKey); i++ {
		b.add("", fmt.Sprintf("an API key cut to %d", i), k.APIKey[:i])
	}
	b.add(access.Signature, "an API key and a letter", k.APIKey+"A")
	b.add(access.Signature, "an API key without its secret", "fk_robot_")
	b.add(access.UnknownKey, "an API key of nobody", "fk_nobody"+strings.TrimPrefix(k.APIKey, "fk_robot"))
	b.add(access.Malformed, "an API key's beginning", "fk_")
	b.add("", "an API key in capitals", strings.ToUpper(k.APIKey))
}
