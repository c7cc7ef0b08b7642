package access_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"flambeau/origin/access"
	"flambeau/origin/access/accesstest"
)

// FuzzVerify holds that nothing but what the keys have signed is taken, and that every refusal has its reason.
func FuzzVerify(f *testing.F) {
	k := accesstest.New(now)
	v := verifier(f, k)
	signedByUs := map[string]bool{}
	for _, c := range k.Good() {
		id, err := v.Verify(c.Token, now)
		if err != nil {
			f.Fatal(err)
		}
		signedByUs[id.Token] = true
		f.Add(c.Token)
	}
	for i, c := range k.Bad() {
		if i%50 == 0 {
			f.Add(c.Token)
		}
	}
	f.Fuzz(func(t *testing.T, token string) {
		id, err := v.Verify(token, now)
		var why *access.Error
		if err != nil && !errors.As(err, &why) {
			t.Fatalf("%v has no reason", err)
		}
		if err == nil && !signedByUs[id.Token] {
			t.Fatalf("taken: %q", token)
		}
		_, _ = access.Inspect(token)
	})
}

// FuzzClaims holds that whatever a good key has signed is read or refused, and that what is taken is sound.
func FuzzClaims(f *testing.F) {
	k := accesstest.New(now)
	v := verifier(f, k)
	for _, c := range k.Good() {
		jwt, cat := accesstest.Payloads(c.Token)
		f.Add(jwt, cat)
	}
	f.Fuzz(func(t *testing.T, jwt, cat []byte) {
		for _, token := range []string{k.SignedJWT(jwt), k.SignedCAT(cat)} {
			id, err := v.Verify(token, now)
			if err == nil && (id.Broadcaster == "" || !id.Expires.After(now) || strings.ContainsAny(id.Broadcaster, "/.\n")) {
				t.Fatalf("%q: %+v", token, id)
			}
			if err == nil {
				_ = v.Request(id, asked())
			}
		}
	})
}

// FuzzFromRequest holds that a token which is found could be one, and that with its prefix the rest is the path again.
func FuzzFromRequest(f *testing.F) {
	f.Add("/t/abc/live", "Bearer abc", "abc")
	f.Add("/t/a%2fb/../x", "Basic", "")
	f.Fuzz(func(t *testing.T, path, authorization, header string) {
		u, err := url.ParseRequestURI(path)
		if err != nil {
			return
		}
		r := &http.Request{URL: u, Header: http.Header{"Authorization": {authorization}, "Cta-Common-Access-Token": {header}}}
		token, rest, where, err := access.FromRequest(r)
		if err != nil {
			return
		}
		if token == "" || len(token) > access.MaxToken || strings.ContainsAny(token, "/%?# ,;=\x00") {
			t.Fatalf("%q", token)
		}
		if where == access.InPath && u.Path != "/t/"+token+rest && u.Path+"/" != "/t/"+token+rest {
			t.Fatalf("%q: %q, %q", u.Path, token, rest)
		}
	})
}

// FuzzKeys holds that no file of a key, and no key set, ends the process, or makes a key that a secret too short would open.
func FuzzKeys(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"oct","kid":"a","k":"AAAA"}]}`))
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		for _, algorithm := range append(access.Algorithms(), "none") {
			k, err := access.NewKey("k1", algorithm, file)
			if err == nil && algorithm == access.HS256 && len(file) < 32 {
				t.Fatalf("%v of %d bytes", k, len(file))
			}
		}
		_, _ = access.ParseJWKS(file, true)
	})
}
