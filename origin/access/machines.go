package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// apiKeyPrefix begins every API key, so that those who look for leaked secrets find it. No token begins so: as base64url it is no CBOR array or tag.
const apiKeyPrefix = "fk_"

// APIKey is a machine's password. It is long and random: its hash needs no salt and no slowness, and gives nothing away.
type APIKey struct {
	ID          string // [a-z0-9][a-z0-9-]{0,62}; it stands in the key
	Hash        Hash   // of the whole key
	Broadcaster string
	NotAfter    time.Time      // zero: never ends
	Networks    []netip.Prefix // from where it may be used; nil: from everywhere
}

// Hash is a SHA-256, written as "sha256:" and 64 hex digits.
type Hash [sha256.Size]byte

func (h Hash) String() string { return "sha256:" + hex.EncodeToString(h[:]) }

// ParseHash reads one.
func ParseHash(s string) (h Hash, err error) {
	digits, ok := strings.CutPrefix(s, "sha256:")
	b, err := hex.DecodeString(strings.ReplaceAll(digits, ":", ""))
	if !ok || err != nil || len(b) != len(h) {
		return h, errors.New("want sha256: and 64 hex digits")
	}
	return Hash(b), nil
}

// NewAPIKey makes a key and its hash. The key is shown once, and kept by nobody here.
func NewAPIKey(id string) (key string, hash Hash, err error) {
	if !name.MatchString(id) {
		return "", hash, errors.New("an API key's id is [a-z0-9][a-z0-9-]{0,62}")
	}
	var secret [32]byte
	rand.Read(secret[:]) // never fails
	key = apiKeyPrefix + id + "_" + base64.RawURLEncoding.EncodeToString(secret[:])
	return key, sha256.Sum256([]byte(key)), nil
}

func (b *book) apiKey(key string, now time.Time) (Identity, error) {
	id, _, ok := strings.Cut(key[len(apiKeyPrefix):], "_")
	k, known := b.apiKeys[id]
	hash := sha256.Sum256([]byte(key))
	switch {
	case !ok:
		return Identity{}, errMalformed
	case !known:
		return Identity{}, errUnknown
	case subtle.ConstantTimeCompare(hash[:], k.Hash[:]) != 1:
		return Identity{}, errSignature
	}
	i := Identity{Broadcaster: k.Broadcaster, Token: "k-" + k.ID, Key: k.ID, Expires: k.NotAfter, Networks: k.Networks}
	return i.orNot(b.stands(&i, now))
}

func (id Identity) orNot(err error) (Identity, error) {
	if err != nil {
		return Identity{}, err
	}
	return id, nil
}

// Certificate binds a client's certificate to a broadcaster: this one, or any with this name that the client CAs vouch for.
type Certificate struct {
	Fingerprint Hash   // of the whole certificate, in DER; zero: by name
	Name        string // a DNS name or URI among its subject alternative names, as it stands there
	Broadcaster string
}

// Certificate tells whose connection it is, by what the client showed in the TLS handshake.
func (v *Verifier) Certificate(state *tls.ConnectionState, now time.Time) (Identity, error) {
	if state == nil || len(state.PeerCertificates) == 0 {
		return Identity{}, errMissing
	}
	b, leaf := v.book.Load(), state.PeerCertificates[0]
	hash := Hash(sha256.Sum256(leaf.Raw))
	for _, c := range b.certs {
		// A name proves nothing unless somebody whom we trust has signed it; the fingerprint is the proof itself.
		if c.Fingerprint != hash && (c.Name == "" || len(state.VerifiedChains) == 0 || !named(leaf, c.Name)) {
			continue
		}
		i := Identity{Broadcaster: c.Broadcaster, Token: "c-" + strict.EncodeToString(hash[:12]), Key: hash.String(), Expires: leaf.NotAfter, NotBefore: leaf.NotBefore}
		return i.orNot(b.stands(&i, now))
	}
	return Identity{}, errUnknown
}

func named(leaf *x509.Certificate, want string) bool {
	return slices.Contains(leaf.DNSNames, want) || slices.ContainsFunc(leaf.URIs, func(u *url.URL) bool { return u.String() == want })
}
