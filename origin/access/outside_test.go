package access_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"

	"flambeau/origin/access"
	"flambeau/origin/access/accesstest"
)

// answer is what testdata/tokens/peer.js says of one job.
type answer struct {
	Token   string         `json:"token"`
	Claims  map[string]any `json:"claims"`
	Refused string         `json:"refused"`
}

// peer has other libraries do all the jobs in one process.
func peer(t *testing.T, jobs []map[string]any) []answer {
	t.Helper()
	dir := filepath.Join("..", "..", "testdata", "tokens")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "jose")); err != nil {
		t.Skipf("SKIPPED, no other token library is here: %v: make test installs them (npm ci in testdata/tokens)", err)
	}
	asked, err := json.Marshal(jobs)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "peer.js")
	cmd.Dir, cmd.Stdin, cmd.Stderr = dir, strings.NewReader(string(asked)), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v", err)
	}
	var answers []answer
	if err := json.Unmarshal(out, &answers); err != nil || len(answers) != len(jobs) {
		t.Fatalf("%d answers to %d jobs: %v", len(answers), len(jobs), err)
	}
	return answers
}

// known is a key that both sides have.
type known struct {
	key  *access.Key
	jwk  map[string]any // with its private half
	kid  string
	raw  []byte // of a secret
	cose cose.Signer
}

func everybodysKeys(t *testing.T) map[string]known {
	t.Helper()
	b64 := base64.RawURLEncoding.EncodeToString
	secret := make([]byte, 32)
	rand.Read(secret)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := ec.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	d, err := ec.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	file := func(private any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	all := map[string]known{
		access.HS256: {kid: "h", raw: secret, jwk: map[string]any{"kty": "oct", "k": b64(secret)}},
		access.ES256: {kid: "e", jwk: map[string]any{"kty": "EC", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:]), "d": b64(d)}},
		access.EdDSA: {kid: "o", jwk: map[string]any{"kty": "OKP", "crv": "Ed25519", "x": b64(public), "d": b64(private.Seed())}},
	}
	for algorithm, content := range map[string][]byte{access.HS256: secret, access.ES256: file(ec), access.EdDSA: file(private)} {
		k := all[algorithm]
		if k.key, err = access.NewKey(k.kid, algorithm, content); err != nil {
			t.Fatal(err)
		}
		switch algorithm {
		case access.ES256:
			k.cose, err = cose.NewSigner(cose.AlgorithmES256, ec)
		case access.EdDSA:
			k.cose, err = cose.NewSigner(cose.AlgorithmEdDSA, private)
		}
		if err != nil {
			t.Fatal(err)
		}
		all[algorithm] = k
	}
	return all
}

func TestTokensOfOtherLibrariesAreTakenAndOursByThem(t *testing.T) {
	keys := everybodysKeys(t)
	here := time.Now().Truncate(time.Second) // they have no other time
	o := options()
	for _, k := range keys {
		o.Keys = append(o.Keys, k.key)
	}
	v, err := access.New(o)
	if err != nil {
		t.Fatal(err)
	}
	type job struct {
		name   string
		ask    map[string]any
		answer func(t *testing.T, a answer)
	}
	var jobs []job
	refuse := func(t *testing.T, a answer) {
		if a.Refused == "" {
			t.Errorf("they took it: %v", a.Claims)
		}
	}
	// theirs: taken as the claims say
	theirs := func(want access.Reason, also func(t *testing.T, id access.Identity)) func(*testing.T, answer) {
		return func(t *testing.T, a answer) {
			if a.Token == "" {
				t.Fatalf("they made nothing: %s", a.Refused)
			}
			id, err := v.Verify(a.Token, here)
			is(t, err, want)
			if err == nil && id.Broadcaster != accesstest.Broadcaster {
				t.Errorf("%+v", id)
			}
			if err == nil && also != nil {
				also(t, id)
			}
		}
	}
	base := map[string]any{"iss": accesstest.Issuer, "sub": accesstest.Broadcaster, "aud": accesstest.Audience, "exp": here.Add(time.Hour).Unix(), "nbf": here.Unix(), "iat": here.Unix()}
	with := func(name string, value any) map[string]any {
		out := map[string]any{}
		for n, x := range base {
			out[n] = x
		}
		out[name] = value
		return out
	}
	ours := claims()
	ours.Expires, ours.Issued, ours.NotBefore = here.Add(time.Hour), here, here
	ended := ours
	ended.Expires = here.Add(-time.Second)
	for algorithm, k := range keys {
		public := map[string]any{}
		for n, x := range k.jwk {
			if n != "d" {
				public[n] = x
			}
		}
		header := map[string]any{"alg": algorithm, "kid": k.kid}
		for name, c := range map[string]struct {
			claims map[string]any
			want   access.Reason
		}{
			"good":             {base, ""},
			"with channels":    {with("channels", []string{"curling-*"}), ""},
			"expired":          {with("exp", here.Unix()-1), access.Expired},
			"for another":      {with("aud", "x"), access.Audience},
			"with cnf":         {with("cnf", map[string]any{}), access.ClaimNotSupported},
			"not valid so far": {with("nbf", here.Unix()+60), access.NotYetValid},
		} {
			jobs = append(jobs, job{"jose makes " + algorithm + " " + name, map[string]any{"do": "jose sign", "header": header, "claims": c.claims, "key": k.jwk}, theirs(c.want, nil)})
		}
		for name, c := range map[string]access.Claims{"good": ours, "expired": ended} {
			token, err := k.key.SignJWT(c)
			if err != nil {
				t.Fatal(err)
			}
			ask := map[string]any{"do": "jose verify", "token": token, "key": public, "alg": algorithm, "audience": accesstest.Audience, "issuer": accesstest.Issuer}
			judge := refuse
			if name == "good" {
				judge = func(t *testing.T, a answer) {
					if a.Claims["sub"] != accesstest.Broadcaster {
						t.Errorf("%+v", a)
					}
				}
			}
			jobs = append(jobs, job{"jose reads our " + algorithm + " " + name, ask, judge})
		}
	}
	h, e := keys[access.HS256], keys[access.ES256]
	secret := base64.RawURLEncoding.EncodeToString(h.raw)
	cat := func(name string, claims map[string]any, want access.Reason, also func(*testing.T, access.Identity)) {
		jobs = append(jobs, job{"node-cat makes " + name, map[string]any{"do": "cat make", "claims": claims, "kid": h.kid, "secret": secret}, theirs(want, also)})
	}
	request := func(want access.Reason) func(*testing.T, access.Identity) {
		return func(t *testing.T, id access.Identity) { is(t, v.Request(id, asked()), want) }
	}
	cat("a good one", base, "", request(""))
	cat("one with a cti", with("cti", "7f3a"), "", func(t *testing.T, id access.Identity) {
		if id.ID != "7f3a" {
			t.Errorf("%q", id.ID)
		}
	})
	cat("one for a path", with("catu", map[string]any{"path": map[string]any{"prefix-match": "/live/"}}), "", request(""))
	cat("one for another path", with("catu", map[string]any{"path": map[string]any{"prefix-match": "/vod/"}}), "", request(access.WrongURL))
	cat("one for an expression", with("catu", map[string]any{"path": map[string]any{"regex-match": []string{".*"}}}), access.ClaimNotSupported, nil)
	cat("one for methods", with("catm", []string{"GET"}), "", request(""))
	cat("one for another method", with("catm", []string{"PUT"}), "", request(access.WrongMethod))
	cat("one for a country", with("catgeoiso3166", []string{"CH"}), "", request(""))
	cat("one for another country", with("catgeoiso3166", []string{"US"}), "", request(access.WrongTerritory))
	cat("one for a network", with("catnip", []any{"192.0.2.0/24"}), "", request(""))
	cat("one for another network", with("catnip", []any{"2001:db8::/32"}), "", request(access.WrongNetwork))
	cat("one for an autonomous system", with("catnip", []any{64512}), access.ClaimNotSupported, nil)
	cat("one for a header", with("cath", map[string]any{"x-device": map[string]any{"prefix-match": "set"}}), "", request(""))
	cat("one for another header", with("cath", map[string]any{"x-device": map[string]any{"exact-match": "phone"}}), "", request(access.WrongHeader))
	cat("one to be renewed", with("catr", map[string]any{"type": "automatic", "expadd": 60}), access.ClaimNotSupported, nil)
	cat("one to be used once", with("catreplay", 1), access.ClaimNotSupported, nil)
	cat("an expired one", with("exp", here.Unix()-1), access.Expired, nil)
	cat("one for somebody else", with("aud", "x"), access.Audience, nil)

	narrowed := ours
	narrowed.Channels, narrowed.MaxHeight, narrowed.Methods = []string{"curling-*"}, 720, []string{"GET"}
	narrowed.Networks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	narrowed.URI = []access.Condition{{Part: access.Path, Match: access.Prefix, Value: "/live/"}}
	elsewhere := ours
	elsewhere.URI = []access.Condition{{Part: access.Path, Match: access.Prefix, Value: "/vod/"}}
	for name, c := range map[string]struct {
		claims access.Claims
		good   bool
	}{"good": {ours, true}, "narrowed": {narrowed, true}, "expired": {ended, false}, "for another path": {elsewhere, false}} {
		token, err := h.key.SignCAT(c.claims)
		if err != nil {
			t.Fatal(err)
		}
		judge := refuse
		if c.good {
			judge = func(t *testing.T, a answer) {
				if a.Claims["sub"] != accesstest.Broadcaster {
					t.Errorf("%+v", a)
				}
			}
		}
		jobs = append(jobs, job{"node-cat reads ours, " + name, map[string]any{"do": "cat verify", "token": token, "kid": h.kid, "secret": secret, "audience": accesstest.Audience,
			"issuer": accesstest.Issuer, "url": "https://media.example/live/curling-a/index.m3u8", "ip": "192.0.2.1"}, judge})
	}
	pairs := []any{[]any{1, accesstest.Issuer}, []any{2, accesstest.Broadcaster}, []any{3, accesstest.Audience}, []any{4, here.Add(time.Hour).Unix()}}
	jobs = append(jobs, job{"cose-js signs", map[string]any{"do": "cose sign", "claims": pairs, "kid": e.kid, "key": e.jwk}, theirs("", nil)})
	token, err := e.key.SignCAT(ours)
	if err != nil {
		t.Fatal(err)
	}
	jobs = append(jobs, job{"cose-js reads ours", map[string]any{"do": "cose verify", "token": token, "key": e.jwk}, func(t *testing.T, a answer) {
		if a.Claims["2"] != accesstest.Broadcaster {
			t.Errorf("%+v", a)
		}
	}})
	var asks []map[string]any
	for _, j := range jobs {
		asks = append(asks, j.ask)
	}
	for i, a := range peer(t, asks) {
		t.Run(jobs[i].name, func(t *testing.T) { jobs[i].answer(t, a) })
	}
}

// go-cose judges what cose-js can't: EdDSA, and that ours are COSE_Sign1 to the letter.
func TestGoCoseSignsWhatWeTakeAndTakesWhatWeSign(t *testing.T) {
	for algorithm, k := range everybodysKeys(t) {
		if k.cose == nil {
			continue // it has no COSE_Mac0
		}
		v, err := access.New(options(k.key))
		if err != nil {
			t.Fatal(err)
		}
		payload, err := cbor.Marshal(map[int]any{1: accesstest.Issuer, 2: accesstest.Broadcaster, 3: accesstest.Audience, 4: now.Add(time.Hour).Unix()})
		if err != nil {
			t.Fatal(err)
		}
		m := cose.NewSign1Message()
		m.Headers.Protected.SetAlgorithm(k.cose.Algorithm())
		m.Headers.Unprotected[cose.HeaderLabelKeyID] = []byte(k.kid)
		m.Payload = payload
		if err := m.Sign(rand.Reader, nil, k.cose); err != nil {
			t.Fatal(err)
		}
		b, err := m.MarshalCBOR()
		if err != nil {
			t.Fatal(err)
		}
		if id, err := v.Verify(base64.RawURLEncoding.EncodeToString(b), now); err != nil || id.Broadcaster != accesstest.Broadcaster {
			t.Errorf("%s: %+v, %v", algorithm, id, err)
		}

		token, err := k.key.SignCAT(claims())
		if err != nil {
			t.Fatal(err)
		}
		b, err = base64.RawURLEncoding.DecodeString(token)
		if err != nil || !slices.Equal(b[:2], []byte{0xd8, 61}) {
			t.Fatal(err, b[:2])
		}
		var ours cose.Sign1Message
		if err := ours.UnmarshalCBOR(b[2:]); err != nil {
			t.Fatal(err)
		}
		verifier, err := cose.NewVerifier(k.cose.Algorithm(), access.Public(k.key))
		if err != nil {
			t.Fatal(err)
		}
		if err := ours.Verify(nil, verifier); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
		ours.Payload[0] ^= 1
		if err := ours.Verify(nil, verifier); err == nil {
			t.Errorf("%s: go-cose takes anything", algorithm)
		}
	}
}
