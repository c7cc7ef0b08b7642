package main

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"flambeau/origin/access"
)

// TokensConfig is what every token is held against.
type TokensConfig struct {
	Audience string        // that it must name
	Issuer   string        // that it must name; "": any
	MaxAge   time.Duration // that it may live
	Ignore   []string      // claims of JWTs that may be passed over
}

// KeyConfig is a key that signs tokens, or a set of somebody else's.
type KeyConfig struct {
	ID           string
	Algorithm    string // of a key; a set says it itself
	SecretFile   string
	PublicFile   string
	PrivateFile  string
	JWKSFile     string
	JWKSURL      string
	Issuer       string    // that its tokens must name instead of tokens.issuer
	Broadcasters []string  // whom it may speak for; none: anybody
	NotAfter     time.Time // zero: never ends
}

// APIKeyConfig is a machine's password, by its hash.
type APIKeyConfig struct {
	ID          string
	Broadcaster string
	Hash        access.Hash
	Networks    []string
	NotAfter    time.Time
}

// CertificateConfig binds a client's certificate to a broadcaster.
type CertificateConfig struct {
	Broadcaster string
	Fingerprint access.Hash
	Name        string // among its subject alternative names
}

// maxTokenAge is the longest that tokens.max_age can be, and its default: the seventeen days of a Games, and what comes before and after.
const maxTokenAge = 31 * 24 * time.Hour

func (t *TokensConfig) schema() section {
	return section{
		{"audience", text(&t.Audience, parseClaim)},
		{"issuer", text(&t.Issuer, optional(parseClaim))},
		{"max_age", text(&t.MaxAge, between(time.Minute, maxTokenAge))},
		{"ignore", texts(&t.Ignore, parseClaim)},
	}
}

func (k *KeyConfig) schema() section {
	return section{
		{"id", text(&k.ID, parseKeyID)},
		{"algorithm", text(&k.Algorithm, parseAlgorithm)},
		{"secret_file", text(&k.SecretFile, parseFile)},
		{"public_file", text(&k.PublicFile, parseFile)},
		{"private_file", text(&k.PrivateFile, parseFile)},
		{"jwks_file", text(&k.JWKSFile, parseFile)},
		{"jwks_url", text(&k.JWKSURL, parseKeySetURL)},
		{"issuer", text(&k.Issuer, parseClaim)},
		{"broadcasters", texts(&k.Broadcasters, parseName)},
		{"not_after", text(&k.NotAfter, parseInstant)},
	}
}

func (k *APIKeyConfig) schema() section {
	return section{
		{"id", text(&k.ID, parseName)},
		{"broadcaster", text(&k.Broadcaster, parseName)},
		{"hash", text(&k.Hash, access.ParseHash)},
		{"networks", texts(&k.Networks, parseNetwork)},
		{"not_after", text(&k.NotAfter, parseInstant)},
	}
}

func (c *CertificateConfig) schema() section {
	return section{
		{"broadcaster", text(&c.Broadcaster, parseName)},
		{"fingerprint", text(&c.Fingerprint, access.ParseHash)},
		{"name", text(&c.Name, parseClaim)},
	}
}

// vouched are the sections of those who vouch for somebody.
func (c *Config) vouched() section {
	return section{
		{"tokens", c.Tokens.schema()},
		{"keys", sections(func() section {
			c.Keys = append(c.Keys, KeyConfig{})
			return c.Keys[len(c.Keys)-1].schema()
		})},
		{"api_keys", sections(func() section {
			c.APIKeys = append(c.APIKeys, APIKeyConfig{})
			return c.APIKeys[len(c.APIKeys)-1].schema()
		})},
		{"certificates", sections(func() section {
			c.Certificates = append(c.Certificates, CertificateConfig{})
			return c.Certificates[len(c.Certificates)-1].schema()
		})},
	}
}

// parseKeyID takes what can be a kid: text, but nothing that looks like a path or a URL.
func parseKeyID(s string) (string, error) {
	if s == "" || len(s) > 64 || strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.", r)
	}) {
		return "", fmt.Errorf("%q: 1 to 64 of a-z, A-Z, 0-9, ., - and _", s)
	}
	return s, nil
}

func parseAlgorithm(s string) (string, error) {
	if !slices.Contains(access.Algorithms(), s) {
		return "", fmt.Errorf("%q: want %s", s, either(access.Algorithms()))
	}
	return s, nil
}

// maxClaim is the longest text of a claim, in bytes.
const maxClaim = 256

func parseClaim(s string) (string, error) {
	if s == "" || len(s) > maxClaim || strings.ContainsFunc(s, unicode.IsControl) {
		return "", fmt.Errorf("want text of 1 to %d bytes", maxClaim)
	}
	return s, nil
}

func parseNetwork(s string) (string, error) {
	if p, err := netip.ParsePrefix(s); err != nil || p != p.Masked() {
		return "", fmt.Errorf("%q is no network: want one such as 192.0.2.0/24", s)
	}
	return s, nil
}

func parseInstant(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, fmt.Errorf("%q is no instant: want one such as 2026-02-23T00:00:00+01:00", s)
	}
	return t, nil
}

// parseKeySetURL takes what nobody on the way can change: https, or this machine itself.
func parseKeySetURL(s string) (string, error) {
	u, err := parseURL(s)
	switch {
	case err != nil:
		return "", err
	case u.User != nil:
		return "", errors.New("credentials do not belong in the URL")
	case u.Hostname() == "" || u.Fragment != "" || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u)):
		return "", errors.New("want https://host/path: whoever can change a key set on its way can sign for everybody")
	}
	return s, nil
}

func loopback(u *url.URL) bool {
	a, err := netip.ParseAddr(u.Hostname())
	return err == nil && a.IsLoopback()
}

// vouchers finds what only several values of a key together can break.
func (r *reader) vouchers(c Config) {
	ids, robots := map[string]place{}, map[string]place{}
	for i, k := range c.Keys {
		path := fmt.Sprintf("keys[%d]", i)
		if r.blamed(r.places[path]) {
			continue
		}
		r.needs(path, "key", "id")
		r.unique(ids, path+".id", k.ID, "key %q is there already")
		r.key(path, k)
	}
	for i, k := range c.APIKeys {
		path := fmt.Sprintf("api_keys[%d]", i)
		if r.blamed(r.places[path]) {
			continue
		}
		r.needs(path, "API key", "id", "broadcaster", "hash")
		r.unique(robots, path+".id", k.ID, "API key %q is there already")
	}
	for i := range c.Certificates {
		path := fmt.Sprintf("certificates[%d]", i)
		if r.blamed(r.places[path]) {
			continue
		}
		r.needs(path, "certificate", "broadcaster")
		if len(r.given(path, "fingerprint", "name")) != 1 {
			r.note(r.places[path], "certificate: want either fingerprint or name")
		}
	}
}

// key: what it is read from must fit its algorithm, and there must be one of it.
func (r *reader) key(path string, k KeyConfig) {
	sources := r.given(path, "secret_file", "public_file", "private_file", "jwks_file", "jwks_url")
	if len(sources) != 1 {
		r.note(r.places[path], "key: want one of secret_file, public_file, private_file, jwks_file and jwks_url")
		return
	}
	_, said := r.places[path+".algorithm"]
	set, secret := strings.HasPrefix(sources[0], "jwks_"), sources[0] == "secret_file"
	switch {
	case set && said:
		r.note(r.places[path+".algorithm"], "algorithm: not of a key set, each key in it says its own")
	case !set && !said:
		r.note(r.places[path], `key without "algorithm"`)
	case !set && k.Algorithm != "" && secret != (k.Algorithm == access.HS256):
		r.note(r.places[path+".algorithm"], "algorithm: %s does not go with %s: HS256 has a secret_file, ES256 and EdDSA a public_file or private_file", k.Algorithm, sources[0])
	}
}

// given are those of the keys that a section has.
func (r *reader) given(path string, names ...string) (out []string) {
	for _, n := range names {
		if _, ok := r.places[join(path, n)]; ok {
			out = append(out, n)
		}
	}
	return out
}

func (r *reader) needs(path, thing string, names ...string) {
	for _, n := range names {
		if _, ok := r.places[join(path, n)]; !ok {
			r.note(r.places[path], "%s without %q", thing, n)
		}
	}
}
