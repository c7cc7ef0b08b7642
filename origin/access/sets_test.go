package access_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"flambeau/origin/access"
	"flambeau/origin/access/accesstest"
)

// pair is an EdDSA key that signs, and its entry in a set.
func pair(t testing.TB, kid string) (*access.Key, map[string]any) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	k, err := access.NewKey(kid, access.EdDSA, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err != nil {
		t.Fatal(err)
	}
	return k, map[string]any{"kty": "OKP", "crv": "Ed25519", "kid": kid, "use": "sig", "x": base64.RawURLEncoding.EncodeToString(public)}
}

func setOf(keys ...map[string]any) []byte {
	b, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		panic(err) // the tests' own values
	}
	return b
}

// issuer serves a key set, as well as it can.
type issuer struct {
	mu     sync.Mutex
	body   []byte
	status int
	hangs  bool
	asked  int
}

func (i *issuer) set(change func(*issuer)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	change(i)
}

func (i *issuer) times() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked
}

func (i *issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	i.mu.Lock()
	i.asked++
	body, status, hangs := i.body, i.status, i.hangs
	i.mu.Unlock()
	if hangs {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
}

// served runs a verifier with one fetched set in a bubble of its own time.
func served(t *testing.T, i *issuer, story func(v *access.Verifier)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := options()
		o.Client = &http.Client{Transport: i}
		o.Sets = []access.Set{{ID: "partner", URL: "https://partner.example/jwks.json", Broadcasters: []string{accesstest.Broadcaster}}}
		v, err := access.New(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- v.Run(ctx) }()
		story(v)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// fresh is a token that lives an hour from the bubble's now.
func fresh(t testing.TB, k *access.Key) string {
	c := claims()
	c.Expires = time.Now().Add(time.Hour)
	return signed(t, k, c)
}

func verify(t *testing.T, v *access.Verifier, token string, want access.Reason) {
	t.Helper()
	_, err := v.Verify(token, time.Now())
	is(t, err, want)
}

func TestAKeyThatAnIssuerAddsIsKnownSoonAndOneThatHeTakesAwayIsGone(t *testing.T) {
	a, ja := pair(t, "a")
	b, jb := pair(t, "b")
	i := &issuer{body: setOf(ja), status: 200}
	served(t, i, func(v *access.Verifier) {
		synctest.Wait()
		verify(t, v, fresh(t, a), "")
		verify(t, v, fresh(t, b), access.UnknownKey)
		i.set(func(i *issuer) { i.body = setOf(ja, jb) })
		time.Sleep(11 * time.Second) // somebody asked for it, so the five minutes are not waited for
		verify(t, v, fresh(t, b), "")
		verify(t, v, fresh(t, a), "")
		i.set(func(i *issuer) { i.body = setOf(jb) })
		time.Sleep(5*time.Minute + time.Second)
		verify(t, v, fresh(t, a), access.UnknownKey)
		verify(t, v, fresh(t, b), "")
	})
}

func TestTokensThatNameUnknownKeysMakeNobodyFetchWithoutEnd(t *testing.T) {
	_, ja := pair(t, "a")
	b, _ := pair(t, "b")
	i := &issuer{body: setOf(ja), status: 200}
	served(t, i, func(v *access.Verifier) {
		for range 1000 {
			verify(t, v, fresh(t, b), access.UnknownKey)
			time.Sleep(100 * time.Millisecond)
		}
		if n := i.times(); n < 5 || n > 12 { // 100 s
			t.Errorf("fetched %d times", n)
		}
	})
}

func TestAnIssuerWhoIsAwayTakesNothingAwayForADay(t *testing.T) {
	a, ja := pair(t, "a")
	for name, broken := range map[string]func(*issuer){
		"503":      func(i *issuer) { i.status = 503 },
		"302":      func(i *issuer) { i.status = 302 },
		"hangs":    func(i *issuer) { i.hangs = true },
		"nonsense": func(i *issuer) { i.body = []byte("<html>") },
		"half":     func(i *issuer) { i.body = i.body[:len(i.body)/2] },
		"too much": func(i *issuer) { i.body = append(setOf(ja), bytes.Repeat([]byte(" "), 64<<10)...) },
		"a secret": func(i *issuer) {
			i.body = setOf(map[string]any{"kty": "oct", "kid": "a", "k": strings.Repeat("A", 64)})
		},
		"one broken": func(i *issuer) {
			i.body = setOf(map[string]any{"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "AAAA"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			i := &issuer{body: setOf(ja), status: 200}
			served(t, i, func(v *access.Verifier) {
				synctest.Wait()
				i.set(broken)
				for range 23 {
					time.Sleep(time.Hour)
					verify(t, v, fresh(t, a), "")
				}
				time.Sleep(2 * time.Hour)
				verify(t, v, fresh(t, a), access.UnknownKey)
				i.set(func(i *issuer) { i.body, i.status, i.hangs = setOf(ja), 200, false })
				time.Sleep(20 * time.Second)
				verify(t, v, fresh(t, a), "")
			})
		})
	}
}

func TestAnIssuerSpeaksForHisOwnBroadcastersOnly(t *testing.T) {
	a, ja := pair(t, "a")
	i := &issuer{body: setOf(ja), status: 200}
	served(t, i, func(v *access.Verifier) {
		synctest.Wait()
		c := claims()
		c.Broadcaster, c.Expires = "nordic-tv", time.Now().Add(time.Hour)
		verify(t, v, signed(t, a, c), access.NotItsBroadcaster)
	})
}

func TestAKeyOfTheConfigurationIsNotReplacedByAnIssuers(t *testing.T) {
	a, ja := pair(t, "k1")
	own := secretKey(t, "k1")
	i := &issuer{body: setOf(ja), status: 200}
	served(t, i, func(v *access.Verifier) {
		o := options(own)
		o.Sets = []access.Set{{ID: "partner", URL: "https://partner.example/jwks.json"}}
		if err := v.Reload(o); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Minute)
		verify(t, v, fresh(t, own), "")
		verify(t, v, fresh(t, a), access.Algorithm)
	})
}

func TestAReloadKeepsWhatWasFetched(t *testing.T) {
	a, ja := pair(t, "a")
	i := &issuer{body: setOf(ja), status: 200}
	served(t, i, func(v *access.Verifier) {
		synctest.Wait()
		i.set(func(i *issuer) { i.status = 503 })
		o := options()
		o.Sets = []access.Set{{ID: "renamed", URL: "https://partner.example/jwks.json"}}
		if err := v.Reload(o); err != nil {
			t.Fatal(err)
		}
		verify(t, v, fresh(t, a), "")
	})
}

func TestAKeySetInAFileIsReadAgainWhenItChanges(t *testing.T) {
	a, ja := pair(t, "a")
	b, jb := pair(t, "b")
	file := filepath.Join(t.TempDir(), "jwks.json")
	write := func(body []byte) {
		if err := os.WriteFile(file, body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(setOf(ja))
	synctest.Test(t, func(t *testing.T) {
		o := options()
		o.Sets = []access.Set{{ID: "file", File: file}}
		v, err := access.New(o)
		if err != nil {
			t.Fatal(err)
		}
		verify(t, v, fresh(t, a), "") // before Run
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- v.Run(ctx) }()
		write(setOf(jb))
		time.Sleep(7 * time.Second)
		verify(t, v, fresh(t, a), access.UnknownKey)
		verify(t, v, fresh(t, b), "")
		write([]byte("half"))
		time.Sleep(time.Minute)
		verify(t, v, fresh(t, b), "")
		stop()
		<-done
	})
}

func TestAKeySetIsReadOrRefusedAsAWhole(t *testing.T) {
	_, ed := pair(t, "ed")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	ec := map[string]any{"kty": "EC", "crv": "P-256", "kid": "ec", "alg": "ES256", "key_ops": []string{"verify"}, "x": b64(point[1:33]), "y": b64(point[33:])}
	with := func(m map[string]any, name string, v any) map[string]any {
		out := map[string]any{}
		for n, x := range m {
			out[n] = x
		}
		out[name] = v
		return out
	}
	var many []map[string]any
	for n := range 65 {
		many = append(many, with(ed, "kid", fmt.Sprint(n)))
	}
	for name, c := range map[string]struct {
		body []byte
		keys int // -1: refused
	}{
		"two keys":             {setOf(ed, ec), 2},
		"none":                 {setOf(), -1},
		"an empty list":        {[]byte(`{"keys":[]}`), 0},
		"one for encryption":   {setOf(ed, with(ec, "use", "enc")), 1},
		"one for signing only": {setOf(ed, with(ec, "key_ops", []string{"sign"})), 1},
		"one of RSA":           {setOf(ed, map[string]any{"kty": "RSA", "kid": "r", "n": "x", "e": "AQAB"}), 1},
		"one without a name":   {setOf(ed, with(ec, "kid", "")), 1},
		"another algorithm":    {setOf(ed, with(ec, "alg", "ES384")), 1},
		"a secret":             {setOf(ed, map[string]any{"kty": "oct", "kid": "s", "k": b64(make([]byte, 32))}), 2},
		"a short secret":       {setOf(ed, map[string]any{"kty": "oct", "kid": "s", "k": b64(make([]byte, 31))}), -1},
		"a name twice":         {setOf(ed, with(ec, "kid", "ed")), -1},
		"a point that is none": {setOf(with(ec, "x", b64(make([]byte, 32)))), -1},
		"a short point":        {setOf(with(ec, "x", b64(make([]byte, 31)))), -1},
		"no base64":            {setOf(with(ed, "x", "***")), -1},
		"a member twice":       {[]byte(`{"keys":[{"kty":"OKP","kid":"a","kid":"b"}]}`), -1},
		"two lists":            {[]byte(`{"keys":[],"keys":[]}`), -1},
		"no object":            {[]byte(`[]`), -1},
		"nothing":              {nil, -1},
		"too many":             {setOf(many...), -1},
	} {
		t.Run(name, func(t *testing.T) {
			keys, err := access.ParseJWKS(c.body, true)
			if (err != nil) != (c.keys < 0) || err == nil && len(keys) != c.keys {
				t.Errorf("%d keys, %v", len(keys), err)
			}
		})
	}
}

func TestAFileOfAKeyIsReadOrSaysWhatItIsNot(t *testing.T) {
	ed, _ := pair(t, "x")
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	file := func(kind string, der []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	p384 := file("PUBLIC KEY", der, err)
	small, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err = x509.MarshalECPrivateKey(small)
	sec1 := file("EC PRIVATE KEY", der, err)
	der, err = x509.MarshalPKIXPublicKey(&small.PublicKey)
	p256 := file("PUBLIC KEY", der, err)
	text := strings.Repeat("s", 32)
	for name, c := range map[string]struct {
		algorithm string
		file      string
		signs     bool
		want      string // of the error; "": none
	}{
		"a secret":                {access.HS256, text, true, ""},
		"a secret with its line":  {access.HS256, text + "\n", true, ""},
		"a short secret":          {access.HS256, text[:31] + "\n", false, "a secret of 31 bytes: want at least 32"},
		"a secret of bytes":       {access.HS256, strings.Repeat("\x01", 31) + "\n", true, ""},
		"a private EC key":        {access.ES256, string(sec1), true, ""},
		"a public EC key":         {access.ES256, string(p256), false, ""},
		"a key on another curve":  {access.ES256, string(p384), false, "it is no key for ES256"},
		"a key of another kind":   {access.EdDSA, string(p256), false, "it is no key for EdDSA"},
		"a public key as secret":  {access.HS256, string(p256), false, "a PEM file, which is no secret: want the secret itself"},
		"two blocks":              {access.ES256, string(p256) + string(p256), false, "want one PEM block"},
		"no block":                {access.ES256, text, false, "want one PEM block"},
		"a broken block":          {access.ES256, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", false, "its PEM block can't be read"},
		"a certificate":           {access.ES256, string(file("CERTIFICATE", []byte{1}, nil)), false, "want a PEM block PUBLIC KEY or PRIVATE KEY"},
		"another algorithm":       {"RS256", text, false, `algorithm "RS256": want HS256, ES256, EdDSA`},
		"an algorithm of nothing": {"none", text, false, `algorithm "none": want HS256, ES256, EdDSA`},
		"far too long":            {access.HS256, strings.Repeat("s", 17<<10), false, "longer than 16 KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := access.NewKey("x", c.algorithm, []byte(c.file))
			if c.want != "" {
				if err == nil || err.Error() != c.want {
					t.Errorf("%v, want %s", err, c.want)
				}
				return
			}
			if err != nil || k.CanSign() != c.signs {
				t.Errorf("%v, %v", k, err)
			}
		})
	}
	if s := fmt.Sprintf("%v %+v %#v %s", ed, ed, ed, []*access.Key{ed}); strings.Contains(s, "0x") || strings.Contains(s, "private") {
		t.Errorf("a key prints itself: %s", s)
	}
	if _, err := access.NewKey("", access.HS256, []byte(text)); err == nil {
		t.Error("a key without a name was taken")
	}
	if _, err := secretless(t, p256).SignJWT(claims()); err == nil || errors.Is(err, &access.Error{}) {
		t.Errorf("a public key signed: %v", err)
	}
}

func secretless(t *testing.T, file []byte) *access.Key {
	k, err := access.NewKey("x", access.ES256, file)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
