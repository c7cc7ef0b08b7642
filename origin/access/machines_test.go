package access_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"flambeau/origin/access"
)

func TestAnAPIKeyIsKnownByItsHashAlone(t *testing.T) {
	key, hash, err := access.NewAPIKey("robot-1")
	if err != nil || !strings.HasPrefix(key, "fk_robot-1_") {
		t.Fatal(key, err)
	}
	if other, _, _ := access.NewAPIKey("robot-1"); other == key {
		t.Error("two keys are equal")
	}
	if again, err := access.ParseHash(hash.String()); err != nil || again != hash {
		t.Errorf("%v, %v", again, err)
	}
	v, err := access.New(access.Options{Audience: "x", APIKeys: []access.APIKey{{ID: "robot-1", Hash: hash, Broadcaster: "alpine-tv", NotAfter: now.Add(time.Hour),
		Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}}})
	if err != nil {
		t.Fatal(err)
	}
	id, err := v.Verify(key, now)
	if err != nil || id.Broadcaster != "alpine-tv" || id.Token != "k-robot-1" || id.InURL() || !id.Expires.Equal(now.Add(time.Hour)) {
		t.Errorf("%+v, %v", id, err)
	}
	_, err = v.Verify(key, now.Add(time.Hour))
	is(t, err, access.Expired)
	_, err = v.Verify(hash.String(), now)
	is(t, err, access.Malformed)
	for _, r := range []access.Revocation{{Token: "k-robot-1"}, {Key: "robot-1"}, {Broadcaster: "alpine-tv"}} {
		if err := v.SetRevoked([]access.Revocation{r}); err != nil {
			t.Fatal(err)
		}
		_, err = v.Verify(key, now)
		is(t, err, access.Revoked)
	}
	if _, _, err := access.NewAPIKey("a_b"); err == nil {
		t.Error("an id that would end early was taken")
	}
}

func TestACertificateIsKnownByItsPrintOrByANameThatSomebodySigned(t *testing.T) {
	u, err := url.Parse("spiffe://alpine.example/puller")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now, NotAfter: now.Add(time.Hour), DNSNames: []string{"puller.alpine.example"}, URIs: []*url.URL{u}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	hash := access.Hash(sha256.Sum256(der))
	chain := [][]*x509.Certificate{{leaf}}
	for name, c := range map[string]struct {
		bound access.Certificate
		chain [][]*x509.Certificate
		at    time.Time
		want  access.Reason
	}{
		"its print":                     {access.Certificate{Fingerprint: hash}, nil, now, ""},
		"another print":                 {access.Certificate{Fingerprint: access.Hash{1}}, chain, now, access.UnknownKey},
		"its DNS name":                  {access.Certificate{Name: "puller.alpine.example"}, chain, now, ""},
		"its URI":                       {access.Certificate{Name: u.String()}, chain, now, ""},
		"a name that nobody signed":     {access.Certificate{Name: "puller.alpine.example"}, nil, now, access.UnknownKey},
		"a part of its name":            {access.Certificate{Name: "alpine.example"}, chain, now, access.UnknownKey},
		"no name and no print":          {access.Certificate{}, chain, now, access.UnknownKey},
		"its print, after it has ended": {access.Certificate{Fingerprint: hash}, nil, now.Add(time.Hour), access.Expired},
		"its print, before it begins":   {access.Certificate{Fingerprint: hash}, nil, now.Add(-time.Second), access.NotYetValid},
	} {
		t.Run(name, func(t *testing.T) {
			c.bound.Broadcaster = "alpine-tv"
			v, err := access.New(access.Options{Audience: "x", Certificates: []access.Certificate{c.bound}})
			if err != nil {
				t.Fatal(err)
			}
			state := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: c.chain}
			id, err := v.Certificate(state, c.at)
			is(t, err, c.want)
			if err == nil && id.Broadcaster != "alpine-tv" {
				t.Errorf("%+v", id)
			}
			if err := v.Revoke(access.Revocation{Broadcaster: "alpine-tv"}); err != nil {
				t.Fatal(err)
			}
			if _, err := v.Certificate(state, c.at); err == nil {
				t.Error("taken after its broadcaster was revoked")
			}
			for _, none := range []*tls.ConnectionState{nil, {}} {
				_, err := v.Certificate(none, c.at)
				is(t, err, access.Missing)
			}
		})
	}
}
