package accesstest

import (
	"time"

	"github.com/fxamacker/cbor/v2"
)

// kids are the keys that sign for everybody.
var kids = []string{"k1", "k2", "k3"}

// Good are tokens that must be taken at k.Now, by the request that Asked describes.
func (k Kit) Good() (cs []Case) {
	add := func(name, token string) { cs = append(cs, Case{Name: name, Token: token}) }
	p, c := k.payload(), k.claims()
	for _, kid := range kids {
		add("JWT of "+kid, k.jwt(kid, k.header(kid), p))
		add("CAT of "+kid, k.cat(kid, c))
		m := k.message(kid, c)
		m.tags = m.tags[1:]
		add("CAT of "+kid+" with its COSE tag alone", m.token(k.signers[kid]))
		m.tags = nil
		add("CAT of "+kid+" without tags", m.token(k.signers[kid]))
		m.tags = []uint64{61}
		add("CAT of "+kid+" with its CWT tag alone", m.token(k.signers[kid]))
		m = k.message(kid, c)
		m.protected, m.loose = cborOf(labels{1: k.signers[kid].cose, 4: []byte(kid), 16: "cwt"}), labels{}
		add("CAT of "+kid+" with a protected kid and a type", m.token(k.signers[kid]))
		m = k.message(kid, c)
		m.protected = cborOf(labels{1: k.signers[kid].cose, 2: []any{1}})
		add("CAT of "+kid+" with crit that we know", m.token(k.signers[kid]))
	}
	add("JWT of a partner for itself", k.jwt("p1", k.header("p1"), p.with("sub", "nordic-tv")))
	add("CAT of a partner for itself", k.cat("p1", c.with(2, "nordic-tv")))
	add("an API key", k.APIKey)
	for name, o := range map[string]object{
		"no iat, no jti":            p.with("iat", nil, "jti", nil),
		"an audience among others":  p.with("aud", []string{"x", Audience}),
		"an hour in fractions":      p.with("exp", float64(k.Now.Unix())+0.5),
		"one second left":           p.with("exp", k.Now.Unix()+1),
		"valid since now":           p.with("nbf", k.Now.Unix()),
		"as long as may be":         p.with("exp", k.Now.Add(31*24*time.Hour).Unix()),
		"a broadcaster beside sub":  p.with("sub", "user 17", "broadcaster", Broadcaster),
		"no sub but a broadcaster":  p.with("sub", nil, "broadcaster", Broadcaster),
		"a claim that is passed by": p.with("azp", "console"),
		"channels":                  p.with("channels", []string{"curling-*", "slate"}),
		"actions":                   p.with("actions", []string{"live", "startover", "archive", "clip", "download"}),
		"a height":                  p.with("max_height", 720),
		"a span of media time":      p.with("from", 1770000000, "until", 1770003600),
		"territories":               p.with("territories", []string{"CH", "AT-7"}),
		"networks":                  p.with("networks", []string{"192.0.2.0/24", "2001:db8::/32", "198.51.100.7"}),
		"methods":                   p.with("methods", []string{"GET", "HEAD"}),
	} {
		add("JWT with "+name, k.jwt("k1", k.header("k1"), o))
	}
	for name, h := range map[string]object{
		"no typ":             {"alg": "HS256", "kid": "k1"},
		"a typ of its own":   {"alg": "HS256", "kid": "k1", "typ": "at+jwt"},
		"a thumbprint":       {"alg": "HS256", "kid": "k1", "x5t": "abc"},
		"a type of contents": {"alg": "HS256", "kid": "k1", "cty": "JWT"},
	} {
		add("JWT with "+name+" in its header", k.jwt("k1", h, p))
	}
	v4, v6 := []byte{192, 0, 2, 0}, []byte{0x20, 1, 0xd, 0xb8}
	for name, l := range map[string]labels{
		"no iat, no cti, no catv": c.with(6, nil, 7, nil, 310, nil),
		"an audience among many":  c.with(3, []string{"x", Audience}),
		"exp as a double":         c.with(4, float64(k.Now.Unix())+0.5),
		"nbf":                     c.with(5, k.Now.Unix()),
		"catreplay that permits":  c.with(308, 0),
		"catnip of an IPv4 net":   c.with(311, []any{cbor.Tag{Number: 52, Content: []any{24, v4}}}),
		"catnip of a cut net":     c.with(311, []any{cbor.Tag{Number: 52, Content: []any{24, v4[:3]}}}),
		"catnip of an IPv6 net":   c.with(311, []any{cbor.Tag{Number: 54, Content: []any{32, v6}}, cbor.Tag{Number: 52, Content: []any{24, v4}}}),
		"catnip of an address":    c.with(311, []any{cbor.Tag{Number: 52, Content: []byte{192, 0, 2, 1}}}),
		"catu of a prefix":        c.with(312, labels{3: labels{1: "/live/"}}),
		"catu of every part": c.with(312, labels{0: labels{0: "https"}, 1: labels{2: ".example"}, 2: labels{0: "443"}, 3: labels{1: "/live/", 2: ".m3u8"},
			4: labels{0: ""}, 5: labels{0: "/live/curling-a"}, 6: labels{3: "dex"}, 7: labels{0: "index"}, 8: labels{0: ".m3u8"}}),
		"catm":                 c.with(313, []string{"GET", "HEAD"}),
		"catalpn":              c.with(314, []any{[]byte("h2")}),
		"cath":                 c.with(315, labels{"x-device": labels{1: "set-top-"}}),
		"catgeoiso3166":        c.with(316, []string{"CH", "LI"}),
		"our own claims":       c.with(-70001, []string{"curling-*"}, -70002, []string{"live"}, -70003, 720, -70004, 1770000000, -70005, 1770003600),
		"everything that fits": c.with(308, 0, 312, labels{3: labels{1: "/live/"}}, 313, []string{"GET"}, 316, []string{"CH"}),
	} {
		add("CAT with "+name, k.cat("k1", l))
	}
	return cs
}
