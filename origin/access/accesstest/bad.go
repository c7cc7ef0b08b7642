package accesstest

import (
	"fmt"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"

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

// coseHeaders are CATs whose headers are not to be trusted.
func (k Kit) coseHeaders(b *bad) {
	c := k.claims()
	for _, kid := range kids {
		s := k.signers[kid]
		for _, h := range []struct {
			reason    access.Reason
			name      string
			protected any
			loose     any
		}{
			{access.UnknownKey, "no kid", labels{1: s.cose}, labels{}},
			{access.UnknownKey, "an empty kid", labels{1: s.cose}, labels{4: []byte{}}},
			{access.UnknownKey, "a kid that is a path", labels{1: s.cose}, labels{4: []byte("../" + kid)}},
			{access.UnknownKey, "a kid with a NUL", labels{1: s.cose}, labels{4: []byte(kid + "\x00")}},
			{access.Malformed, "a kid of text", labels{1: s.cose}, labels{4: kid}},
			{access.Malformed, "a kid of a number", labels{1: s.cose}, labels{4: 1}},
			{access.Malformed, "a kid in both", labels{1: s.cose, 4: []byte(kid)}, labels{4: []byte(kid)}},
			{access.Malformed, "an alg in both", labels{1: s.cose}, labels{1: s.cose, 4: []byte(kid)}},
			{access.Malformed, "an alg that is not protected", labels{}, labels{1: s.cose, 4: []byte(kid)}},
			{access.Algorithm, "no alg", labels{}, labels{4: []byte(kid)}},
			{access.Algorithm, "an alg of text", labels{1: s.jwt}, labels{4: []byte(kid)}},
			{access.ClaimNotSupported, "crit with an unknown", labels{1: s.cose, 2: []any{99}, 99: 1}, labels{4: []byte(kid)}},
			{access.ClaimNotSupported, "crit with an unknown text", labels{1: s.cose, 2: []any{"x"}}, labels{4: []byte(kid)}},
			{access.Malformed, "crit with what isn't there", labels{1: s.cose, 2: []any{4}}, labels{4: []byte(kid)}},
			{access.Malformed, "an empty crit", labels{1: s.cose, 2: []any{}}, labels{4: []byte(kid)}},
			{access.Malformed, "a crit that is not protected", labels{1: s.cose}, labels{2: []any{1}, 4: []byte(kid)}},
			{access.ClaimNotSupported, "a certificate chain", labels{1: s.cose, 33: []byte{1}}, labels{4: []byte(kid)}},
			{access.ClaimNotSupported, "a URL of a certificate", labels{1: s.cose, 35: "https://evil.example"}, labels{4: []byte(kid)}},
			{access.ClaimNotSupported, "a key of its own", labels{1: s.cose}, labels{4: []byte(kid), -1: labels{1: 4}}},
			{access.ClaimNotSupported, "claims in the header", labels{1: s.cose, 15: labels{2: "x"}}, labels{4: []byte(kid)}},
			{access.ClaimNotSupported, "a text label", labels{1: s.cose, "jku": "https://evil.example"}, labels{4: []byte(kid)}},
			{access.ClaimNotSupported, "a counter signature", labels{1: s.cose}, labels{4: []byte(kid), 7: []byte{1}}},
			{access.Malformed, "a header that is a list", []any{1, s.cose}, labels{4: []byte(kid)}},
			{access.Malformed, "a loose header that is a list", labels{1: s.cose}, []any{4, []byte(kid)}},
			{access.Malformed, "a loose header that is null", labels{1: s.cose}, nil},
		} {
			m := k.message(kid, c)
			m.protected, m.loose = cborOf(h.protected), h.loose
			b.add(h.reason, "CAT of "+kid+" with "+h.name, m.token(s))
		}
		alg := cborOf(s.cose)
		m := k.message(kid, c)
		m.protected = append(append([]byte{0xa2, 1}, alg...), append([]byte{1}, alg...)...)
		b.add(access.Malformed, "CAT of "+kid+" that says alg twice", m.token(s))
		m.protected = append([]byte{0xa2, 1}, append(append([]byte{}, alg...), append([]byte{0x18, 1}, alg...)...)...)
		b.add(access.Malformed, "CAT of "+kid+" that says alg twice in disguise", m.token(s))
		m.protected = append(append([]byte{0xbf, 1}, alg...), 0xff)
		b.add(access.Malformed, "CAT of "+kid+" whose header has no length", m.token(s))
		m.protected = nil
		b.add(access.Malformed, "CAT of "+kid+" whose header is null", m.token(s))
		m.protected = []byte{}
		b.add(access.Algorithm, "CAT of "+kid+" whose header is empty", m.token(s))
		m = k.message(kid, c)
		m.loose = cbor.RawMessage(append(append([]byte{0xa2, 4}, cborOf([]byte(kid))...), append([]byte{4}, cborOf([]byte(kid))...)...))
		b.add(access.Malformed, "CAT of "+kid+" that says kid twice", m.token(s))
	}
}

// coseShapes are CATs that are no COSE_Mac0 and no COSE_Sign1, or not the one that they say.
func (k Kit) coseShapes(b *bad) {
	c := k.claims()
	for _, kid := range kids {
		s := k.signers[kid]
		for _, tags := range [][]uint64{{61, 61, 17}, {61, 16}, {61, 96}, {61, 98}, {61, 97}, {16}, {98}, {17, 61}, {55799}, {61, 17, 17}, {61, 18, 18}, {24}} {
			m := k.message(kid, c)
			m.tags = tags
			b.add(access.Malformed, fmt.Sprintf("CAT of %s with tags %v", kid, tags), m.token(s))
		}
		m := k.message(kid, c)
		m.tags = []uint64{61, 35 - m.tags[1]}
		b.add(access.Algorithm, "CAT of "+kid+" with the other's tag", m.token(s))
		m = k.message(kid, c)
		m.kind = map[string]string{"MAC0": "Signature1", "Signature1": "MAC0"}[m.kind]
		b.add(access.Signature, "CAT of "+kid+" signed as the other", m.token(s))
		for _, kind := range []string{"MAC", "Signature", "CounterSignature", ""} {
			m.kind = kind
			b.add(access.Signature, "CAT of "+kid+" signed as a "+kind, m.token(s))
		}
		m = k.message(kid, c)
		m.payload = nil
		b.add(access.Malformed, "CAT of "+kid+" with a detached payload", m.token(s))
		m.payload = string(cborOf(labels{2: "x"}))
		b.add(access.Malformed, "CAT of "+kid+" whose payload is text", m.token(s))
		m = k.message(kid, c)
		m.signature = "text"
		b.add(access.Malformed, "CAT of "+kid+" whose signature is text", m.token(s))
		m = k.message(kid, c)
		sig := s.sign(cborOf([]any{m.kind, m.protected, []byte{}, m.payload}))
		for name, v := range map[string]any{"three fields": []any{m.protected, m.loose, m.payload}, "five fields": []any{m.protected, m.loose, m.payload, sig, sig}, "no fields": []any{},
			"a map": labels{0: m.protected}, "text": "text", "a number": 1, "bytes": []byte{1, 2}, "null": nil, "several signers": []any{m.protected, m.loose, m.payload, []any{[]any{m.protected, m.loose, sig}}}} {
			b.add(access.Malformed, "CAT of "+kid+" that is "+name, b64.EncodeToString(m.tagged(cborOf(v))))
		}
		fields := append(append(append(append([]byte{0x9f}, cborOf(m.protected)...), cborOf(m.loose)...), cborOf(m.payload)...), cborOf(sig)...)
		b.add(access.Malformed, "CAT of "+kid+" without a length", b64.EncodeToString(m.tagged(append(fields, 0xff))))
		m = k.message(kid, c)
		m.payload = append(cborOf(c), 0)
		b.add(access.Malformed, "CAT of "+kid+" with a byte behind its claims", m.token(s))
	}
	b.add(access.Malformed, "CBOR that nests on and on", b64.EncodeToString([]byte(strings.Repeat("\x81", 2000)+"\x00")))
	b.add(access.Malformed, "CBOR that promises a great array", b64.EncodeToString([]byte("\x9b\x7f\xff\xff\xff\xff\xff\xff\xff")))
	b.add(access.Malformed, "CBOR that promises great bytes", b64.EncodeToString([]byte("\x84\x5b\x7f\xff\xff\xff\xff\xff\xff\xff")))
	b.add(access.TooLong, "CAT that goes on and on", k.cat("k1", c.with(-70001, []string{strings.Repeat("x", access.MaxToken)})))
}

// coseClaims are CATs that are signed as they should be, and say what they should not.
func (k Kit) coseClaims(b *bad) {
	c := k.claims()
	now := k.Now.Unix()
	var many labels = labels{}
	for i := range 100 {
		many[1000+i] = i
	}
	for _, kid := range kids {
		for _, v := range []struct {
			reason access.Reason
			name   string
			claims labels
		}{
			{access.Expired, "expired", c.with(4, now-1)},
			{access.Expired, "expired now", c.with(4, now)},
			{access.Expired, "expired now, as a double", c.with(4, float64(now))},
			{access.NotYetValid, "not yet valid", c.with(5, now+1)},
			{access.Lifetime, "for ever", c.with(4, 253402300799)},
			{access.ClaimMissing, "without exp", c.with(4, nil)},
			{access.ClaimMissing, "without aud", c.with(3, nil)},
			{access.ClaimMissing, "without iss", c.with(1, nil)},
			{access.ClaimMissing, "without sub", c.with(2, nil)},
			{access.Audience, "for another audience", c.with(3, "x")},
			{access.Issuer, "of another issuer", c.with(1, "x")},
			{access.Malformed, "for a path", c.with(2, "../alpine-tv")},
			{access.Malformed, "with exp in a tag", c.with(4, cbor.Tag{Number: 1, Content: now + 60})},
			{access.Malformed, "with exp beyond time", c.with(4, uint64(1<<63))},
			{access.Malformed, "with exp that is no number", c.with(4, nan())},
			{access.Malformed, "with a cti of text", c.with(7, "7f3a")},
			{access.Malformed, "with claims without end", many},
			{access.ClaimNotSupported, "that may be used once", c.with(308, 1)},
			{access.ClaimNotSupported, "whose second use is to be found", c.with(308, 2)},
			{access.ClaimNotSupported, "of version 2", c.with(310, 2)},
			{access.ClaimNotSupported, "of version 0", c.with(310, 0)},
			{access.Malformed, "of version text", c.with(310, "1")},
			{access.ClaimNotSupported, "with catpor", c.with(309, []any{50})},
			{access.ClaimNotSupported, "with an autonomous system", c.with(311, []any{64512})},
			{access.ClaimNotSupported, "with a net and a system", c.with(311, []any{cbor.Tag{Number: 52, Content: []byte{192, 0, 2, 1}}, 64512})},
			{access.ClaimNotSupported, "with a regular expression", c.with(312, labels{3: labels{4: []any{".*"}}})},
			{access.ClaimNotSupported, "with an unknown match", c.with(312, labels{3: labels{5: "x"}})},
			{access.ClaimNotSupported, "with an unknown hash", c.with(312, labels{3: labels{-3: []byte("x")}})},
			{access.ClaimNotSupported, "with an unknown part", c.with(312, labels{9: labels{0: "x"}})},
			{access.ClaimNotSupported, "with a header's expression", c.with(315, labels{"x-a": labels{4: []any{".*"}}})},
			{access.ClaimNotSupported, "with catgeocoord", c.with(317, []any{1.0, 2.0, 3})},
			{access.ClaimNotSupported, "with catgeoalt", c.with(318, []any{1, 2})},
			{access.ClaimNotSupported, "with cattpk", c.with(319, []byte{1})},
			{access.ClaimNotSupported, "with catifdata", c.with(320, "x")},
			{access.ClaimNotSupported, "with catdpop", c.with(321, labels{0: 1})},
			{access.ClaimNotSupported, "with catif", c.with(322, labels{4: []any{302}})},
			{access.ClaimNotSupported, "to be renewed", c.with(323, labels{0: 0, 1: 3600})},
			{access.ClaimNotSupported, "with cattprint", c.with(324, labels{0: "JA4", 1: "x"})},
			{access.ClaimNotSupported, "with geohash", c.with(282, "u0q")},
			{access.ClaimNotSupported, "with cnf", c.with(8, labels{1: labels{}})},
			{access.ClaimNotSupported, "with an unknown label", c.with(99999, 1)},
			{access.ClaimNotSupported, "with a private label", c.with(-70006, 1)},
			{access.ClaimNotSupported, "with a text label", c.with("channels", []string{"*"})},
			{access.ClaimNotSupported, "with a label of bytes", c.with(cbor.ByteString("x"), 1)},
			{access.ClaimNotSupported, "with a label of a fraction", c.with(4.5, 1)},
			{access.Malformed, "without networks", c.with(311, []any{})},
			{access.Malformed, "with a network of text", c.with(311, []any{"192.0.2.0/24"})},
			{access.Malformed, "with a network of bytes", c.with(311, []any{[]byte{192, 0, 2, 1}})},
			{access.Malformed, "with a short address", c.with(311, []any{cbor.Tag{Number: 52, Content: []byte{192, 0, 2}}})},
			{access.Malformed, "with a long network", c.with(311, []any{cbor.Tag{Number: 52, Content: []any{33, []byte{192, 0, 2, 0}}}})},
			{access.Malformed, "with host bits", c.with(311, []any{cbor.Tag{Number: 52, Content: []any{24, []byte{192, 0, 2, 1}}}})},
			{access.Malformed, "with another tag", c.with(311, []any{cbor.Tag{Number: 53, Content: []byte{192, 0, 2, 1}}})},
			{access.Malformed, "with a mapped address", c.with(311, []any{cbor.Tag{Number: 54, Content: []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 1}}})},
			{access.Malformed, "with an empty catu", c.with(312, labels{})},
			{access.Malformed, "with an empty part", c.with(312, labels{3: labels{}})},
			{access.Malformed, "with a part of text", c.with(312, labels{"path": labels{0: "x"}})},
			{access.Malformed, "with a part of undefined", c.with(312, labels{cbor.SimpleValue(23): labels{0: "https"}})},
			{access.Malformed, "with a match of undefined", c.with(312, labels{3: labels{cbor.SimpleValue(23): "/live/curling-a/index.m3u8"}})},
			{access.Malformed, "with a match of bytes", c.with(312, labels{3: labels{0: []byte("x")}})},
			{access.Malformed, "with a short hash", c.with(312, labels{3: labels{-1: []byte("x")}})},
			{access.Malformed, "with an empty cath", c.with(315, labels{})},
			{access.Malformed, "with no methods", c.with(313, []any{})},
			{access.Malformed, "with methods of text", c.with(313, "GET")},
			{access.Malformed, "with no protocols", c.with(314, []any{})},
			{access.Malformed, "with no territories", c.with(316, []any{})},
			{access.Malformed, "with a territory of one letter", c.with(316, []any{"C"})},
			{access.Malformed, "with no channels", c.with(-70001, []any{})},
			{access.Malformed, "of no height", c.with(-70003, 0)},
			{access.Malformed, "of a height of text", c.with(-70003, "720")},
		} {
			b.add(v.reason, "CAT of "+kid+" "+v.name, k.cat(kid, v.claims))
		}
		s := k.signers[kid]
		for label, v := range c {
			m := k.message(kid, labels{})
			all := append([]byte{0xa0 + byte(len(c)+1)}, cborOf(c)[1:]...)
			m.payload = append(append(all, cborOf(label)...), cborOf(v)...)
			b.add(access.Malformed, fmt.Sprintf("CAT of %s that says %v twice", kid, label), m.token(s))
		}
		m := k.message(kid, labels{})
		m.payload = append(append([]byte{0xbf}, cborOf(c)[1:]...), 0xff)
		b.add(access.Malformed, "CAT of "+kid+" whose claims have no length", m.token(s))
		m.payload = append(append([]byte{0xa0 + byte(len(c)+1)}, cborOf(c)[1:]...), []byte("\x19\x01\x38\xa2\x03\xa1\x01\x61a\x03\xa1\x01\x61b")...)
		b.add(access.Malformed, "CAT of "+kid+" with a part twice", m.token(s))
		m.payload = cborOf([]any{1, 2})
		b.add(access.Malformed, "CAT of "+kid+" whose claims are a list", m.token(s))
		m.payload = []byte{}
		b.add(access.Malformed, "CAT of "+kid+" whose claims are nothing", m.token(s))
		m.payload = []byte{0xf6}
		b.add(access.Malformed, "CAT of "+kid+" whose claims are null", m.token(s))
	}
}

func nan() float64 { zero := 0.0; return zero / zero }

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
