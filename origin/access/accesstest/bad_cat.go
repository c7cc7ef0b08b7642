package accesstest

import (
	"fmt"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"flambeau/origin/access"
)

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
