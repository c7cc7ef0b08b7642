package access_test

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"flambeau/origin/access"
	"flambeau/origin/access/accesstest"
)

func claims() access.Claims {
	return access.Claims{Identity: access.Identity{Broadcaster: accesstest.Broadcaster, ID: "7f3a", Expires: now.Add(time.Hour)}, Issuer: accesstest.Issuer, Audience: []string{accesstest.Audience}}
}

func is(t *testing.T, err error, want access.Reason) {
	t.Helper()
	if want == "" && err == nil {
		return
	}
	if !errors.Is(err, &access.Error{Reason: want}) {
		t.Errorf("%v, want %q", err, want)
	}
}

func secretKey(t testing.TB, id string) *access.Key {
	t.Helper()
	k, err := access.NewKey(id, access.HS256, fmt.Appendf(nil, "%s, and what makes it long enough to be one", id))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func signed(t testing.TB, k *access.Key, c access.Claims) string {
	t.Helper()
	token, err := k.SignJWT(c)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func options(keys ...*access.Key) access.Options {
	return access.Options{Audience: accesstest.Audience, Issuer: accesstest.Issuer, Keys: keys}
}

func TestACachedTokenEndsWhenItShould(t *testing.T) {
	k := secretKey(t, "k1")
	token := signed(t, k, claims())
	for name, c := range map[string]struct {
		change func(v *access.Verifier) error
		at     time.Time
		want   access.Reason
	}{
		"nothing happens":           {func(*access.Verifier) error { return nil }, now, ""},
		"one second before its end": {func(*access.Verifier) error { return nil }, now.Add(time.Hour - time.Second), ""},
		"its end":                   {func(*access.Verifier) error { return nil }, now.Add(time.Hour), access.Expired},
		"it is revoked":             {func(v *access.Verifier) error { return v.Revoke(access.Revocation{Token: "7f3a"}) }, now, access.Revoked},
		"another is revoked":        {func(v *access.Verifier) error { return v.Revoke(access.Revocation{Token: "7f3b"}) }, now, ""},
		"its key is revoked":        {func(v *access.Verifier) error { return v.Revoke(access.Revocation{Key: "k1"}) }, now, access.Revoked},
		"its broadcaster is revoked": {func(v *access.Verifier) error {
			return v.Revoke(access.Revocation{Broadcaster: accesstest.Broadcaster})
		}, now, access.Revoked},
		"its key goes": {func(v *access.Verifier) error { return v.Reload(options(secretKey(t, "k2"))) }, now, access.UnknownKey},
		"a key comes":  {func(v *access.Verifier) error { return v.Reload(options(k, secretKey(t, "k2"))) }, now, ""},
		"its key is another": {func(v *access.Verifier) error {
			o, _ := access.NewKey("k1", access.HS256, make([]byte, 40))
			return v.Reload(options(o))
		}, now, access.Signature},
		"the audience is another": {func(v *access.Verifier) error { o := options(k); o.Audience = "x"; return v.Reload(o) }, now, access.Audience},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := access.New(options(k))
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if _, err := v.Verify(token, now); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.change(v); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				_, err = v.Verify(token, c.at)
				is(t, err, c.want)
			}
		})
	}
}

func TestWhatTheBooksCallATokenRevokesIt(t *testing.T) {
	k := accesstest.New(now)
	v := verifier(t, k)
	for _, c := range k.Good() {
		id, err := v.Verify(c.Token, now)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.SetRevoked([]access.Revocation{{Token: id.Token}}); err != nil {
			t.Fatal(err)
		}
		_, err = v.Verify(c.Token, now)
		is(t, err, access.Revoked)
		if err := v.SetRevoked(nil); err != nil {
			t.Fatal(err)
		}
		_, err = v.Verify(c.Token, now)
		is(t, err, "")
	}
}

func TestWhatWasRevokedStaysSoOverAReload(t *testing.T) {
	k := secretKey(t, "k1")
	v, err := access.New(options(k))
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Revoke(access.Revocation{Key: "k1"}); err != nil {
		t.Fatal(err)
	}
	if err := v.Reload(options(k)); err != nil {
		t.Fatal(err)
	}
	_, err = v.Verify(signed(t, k, claims()), now)
	is(t, err, access.Revoked)
}

// Whoever can write a token in another way must not get another name in the books, nor past a revocation by it.
func TestATokenKeepsItsNameHoweverItIsWritten(t *testing.T) {
	k := accesstest.New(now)
	v := verifier(t, k)
	names := map[string]string{}
	for _, c := range k.Good() {
		switch c.Name {
		case "CAT of k1", "CAT of k1 without tags", "CAT of k1 with its COSE tag alone", "CAT of k1 with its CWT tag alone":
			id, err := v.Verify(c.Token, now)
			if err != nil {
				t.Fatal(err)
			}
			names[id.Token] = c.Name
		}
	}
	if len(names) != 1 {
		t.Errorf("%v", names)
	}
}

func TestAKeysEndIsThatOfItsTokens(t *testing.T) {
	k := secretKey(t, "k1")
	k.NotAfter = now.Add(time.Minute)
	v, err := access.New(options(k))
	if err != nil {
		t.Fatal(err)
	}
	token := signed(t, k, claims())
	id, err := v.Verify(token, now)
	if err != nil || !id.Expires.Equal(k.NotAfter) {
		t.Errorf("%v, %v", id.Expires, err)
	}
	_, err = v.Verify(token, k.NotAfter)
	is(t, err, access.Expired)
	fresh, err := access.New(options(k))
	if err != nil {
		t.Fatal(err)
	}
	_, err = fresh.Verify(token, k.NotAfter)
	is(t, err, access.UnknownKey)
}

func TestRotationRefusesNoGoodTokenAndRevocationLetsNoneThrough(t *testing.T) {
	keys := []*access.Key{secretKey(t, "k1"), secretKey(t, "k2"), secretKey(t, "k3"), secretKey(t, "k4")}
	v, err := access.New(options(keys[:3]...))
	if err != nil {
		t.Fatal(err)
	}
	var asked, taken atomic.Int64
	var revoked atomic.Bool
	var workers sync.WaitGroup
	stop := make(chan struct{})
	for i := range 4 {
		token := signed(t, keys[1+i%2], claims()) // k2 and k3 are there all the time
		workers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				before := revoked.Load()
				_, err := v.Verify(token, now)
				asked.Add(1)
				if err == nil {
					taken.Add(1)
				}
				if before && err == nil {
					t.Error("taken after Revoke had returned")
					return
				}
				if err != nil && !errors.Is(err, &access.Error{Reason: access.Revoked}) {
					t.Errorf("a good token in rotation: %v", err)
					return
				}
			}
		})
	}
	for i := range 60 {
		if err := v.Reload(options(keys[i%2 : i%2+3]...)); err != nil {
			t.Fatal(err)
		}
		for seen := asked.Load(); asked.Load() < seen+20 && !t.Failed(); {
			runtime.Gosched()
		}
	}
	if err := v.Revoke(access.Revocation{Broadcaster: accesstest.Broadcaster}); err != nil {
		t.Fatal(err)
	}
	revoked.Store(true)
	after := asked.Load()
	for asked.Load() < after+1000 && !t.Failed() {
		runtime.Gosched()
	}
	close(stop)
	workers.Wait()
	if taken.Load() < 100 {
		t.Errorf("only %d of %d were taken: this test looks at nothing", taken.Load(), asked.Load())
	}
}

func TestTheCacheHasAnEndAndKeepsWhatIsAskedFor(t *testing.T) {
	k := secretKey(t, "k1")
	v, err := access.New(options(k))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20000 { // more than it keeps
		c := claims()
		c.ID = fmt.Sprint(i)
		if _, err := v.Verify(signed(t, k, c), now); err != nil {
			t.Fatal(err)
		}
	}
	if n := access.Cached(v); n < 10000 || n > 16*1024 {
		t.Errorf("%d tokens are kept", n)
	}
}

func TestAVerifiedTokenCostsNoMemory(t *testing.T) {
	k := accesstest.New(now)
	v := verifier(t, k)
	for _, c := range k.Good() {
		if c.Token == k.APIKey {
			continue
		}
		if n := testing.AllocsPerRun(100, func() {
			if _, err := v.Verify(c.Token, now); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", c.Name, n)
		}
	}
}

func TestOptionsThatAreWrongChangeNothing(t *testing.T) {
	k := secretKey(t, "k1")
	v, err := access.New(options(k))
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]access.Options{
		"no audience":      {Keys: []*access.Key{k}},
		"two keys of one":  options(k, k),
		"a key of nothing": options(&access.Key{ID: "k2", Algorithm: access.HS256}),
		"two API keys":     {Audience: "x", APIKeys: []access.APIKey{{ID: "a"}, {ID: "a"}}},
		"no file of a set": {Audience: "x", Sets: []access.Set{{ID: "s", File: "/nowhere/jwks.json"}}},
	} {
		if err := v.Reload(o); err == nil {
			t.Errorf("%s: taken", name)
		}
		if _, err := v.Verify(signed(t, k, claims()), now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func BenchmarkVerifyCached(b *testing.B) { benchmark(b, false) }
func BenchmarkVerifyAnew(b *testing.B)   { benchmark(b, true) }

func benchmark(b *testing.B, anew bool) {
	k := accesstest.New(now)
	for _, c := range k.Good() {
		switch c.Name {
		case "JWT of k1", "JWT of k2", "JWT of k3", "CAT of k1", "CAT of k2", "CAT of k3":
			b.Run(c.Name, func(b *testing.B) {
				b.ReportAllocs()
				v := verifier(b, k)
				for b.Loop() {
					if anew {
						access.Forget(v)
					}
					if _, err := v.Verify(c.Token, now); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
