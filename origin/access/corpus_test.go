package access_test

import (
	"crypto/tls"
	"errors"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"flambeau/origin/access"
	"flambeau/origin/access/accesstest"
)

var now = time.Date(2026, 2, 6, 19, 0, 0, 0, time.UTC)

func verifier(t testing.TB, k accesstest.Kit) *access.Verifier {
	t.Helper()
	v, err := access.New(k.Options)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// asked is a request that every good token of the kit is good for.
func asked() access.Request {
	r := httptest.NewRequest("GET", "https://media.example/live/curling-a/index.m3u8", nil)
	r.TLS = &tls.ConnectionState{NegotiatedProtocol: "h2"}
	r.Header.Set("X-Device", "set-top-4")
	q := access.Asked(r, r.URL.Path, netip.MustParseAddr("192.0.2.1"))
	q.Territory = "CH"
	return q
}

func TestNoBadTokenIsTakenAndEachIsRefusedForItsReason(t *testing.T) {
	k := accesstest.New(now)
	v := verifier(t, k)
	bad := k.Bad()
	if len(bad) < 2000 {
		t.Fatalf("only %d bad tokens", len(bad))
	}
	for _, c := range bad {
		id, err := v.Verify(c.Token, now)
		var why *access.Error
		switch {
		case !errors.As(err, &why):
			t.Errorf("%s: taken (%v)", c.Name, err)
		case c.Reason != "" && why.Reason != c.Reason:
			t.Errorf("%s: refused as %v, want %s", c.Name, err, c.Reason)
		case id.Broadcaster != "":
			t.Errorf("%s: refused, and yet it is %s", c.Name, id.Broadcaster)
		}
	}
	t.Logf("%d bad tokens", len(bad))
}

func TestNoGoodTokenIsRefused(t *testing.T) {
	k := accesstest.New(now)
	v := verifier(t, k)
	good := k.Good()
	for _, c := range good {
		for range 2 { // the second time from the cache
			id, err := v.Verify(c.Token, now)
			if err != nil {
				t.Errorf("%s: %v", c.Name, err)
				continue
			}
			if want := accesstest.Broadcaster; id.Broadcaster != want && id.Broadcaster != "nordic-tv" {
				t.Errorf("%s: it is %q", c.Name, id.Broadcaster)
			}
			if err := v.Request(id, asked()); err != nil {
				t.Errorf("%s: %v", c.Name, err)
			}
		}
	}
	t.Logf("%d good tokens", len(good))
}

// No error holds anything of what was sent: errors end in logs.
func TestNoErrorRepeatsAToken(t *testing.T) {
	k := accesstest.New(now)
	v := verifier(t, k)
	for _, c := range append(k.Bad(), k.Good()...) {
		_, err := v.Verify(c.Token, now.Add(365*24*time.Hour))
		if err == nil && c.Token == k.APIKey {
			continue
		}
		if err == nil {
			t.Fatalf("%s: taken a year later", c.Name)
		}
		for i := 0; i+8 <= len(c.Token); i += 4 {
			if strings.Contains(err.Error(), c.Token[i:i+8]) {
				t.Errorf("%s: its error holds %q", c.Name, c.Token[i:i+8])
			}
		}
	}
}
