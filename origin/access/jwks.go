package access

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

const (
	// maxJWKS is the longest key set, in bytes; a longer one is refused, and what was there stays.
	maxJWKS = 64 << 10
	// maxSetKeys is how many keys a set may have.
	maxSetKeys = 64
)

// jwk is one key of a set (RFC 7517, 4; RFC 7518, 6; RFC 8037, 2).
type jwk struct {
	Kty string   `json:"kty"`
	Crv string   `json:"crv"`
	Kid string   `json:"kid"`
	Alg string   `json:"alg"`
	Use string   `json:"use"`
	Ops []string `json:"key_ops"`
	X   string   `json:"x"`
	Y   string   `json:"y"`
	K   string   `json:"k"`
}

// parseJWKS reads a key set (RFC 7517, 5). Keys that are for something else are left out, as it says there; one that is for us and is broken breaks the
// set, so that a half-written file takes nothing away. secrets: a set that is served to the world may hold none.
func parseJWKS(b []byte, secrets bool) (keys []*Key, err error) {
	if len(b) > maxJWKS {
		return nil, fmt.Errorf("key set longer than %d KiB", maxJWKS>>10)
	}
	var set []json.RawMessage
	members, err := object(b)
	if err != nil || json.Unmarshal(members["keys"], &set) != nil || set == nil {
		return nil, errors.New("no key set: want {\"keys\": […]}") // the library's words may repeat bytes
	}
	if len(set) > maxSetKeys {
		return nil, fmt.Errorf("%d keys in the set, at most %d", len(set), maxSetKeys)
	}
	for i, raw := range set {
		var j jwk
		if _, err := object(raw); err != nil || json.Unmarshal(raw, &j) != nil {
			return nil, fmt.Errorf("key %d of the set can't be read", i+1)
		}
		k, err := j.key(secrets)
		if err != nil {
			return nil, fmt.Errorf("key %d of the set: %w", i+1, err)
		}
		if k == nil {
			continue
		}
		if slices.ContainsFunc(keys, func(o *Key) bool { return o.ID == k.ID }) {
			return nil, fmt.Errorf("key %d of the set has the kid of another", i+1)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// key is nil for one that is not for us.
func (j jwk) key(secrets bool) (*Key, error) {
	algorithm := map[string]string{"EC P-256": ES256, "OKP Ed25519": EdDSA, "oct ": HS256}[j.Kty+" "+j.Crv]
	switch {
	case algorithm == "" || j.Alg != "" && j.Alg != algorithm,
		j.Use != "" && j.Use != "sig",
		j.Ops != nil && !slices.Contains(j.Ops, "verify"),
		j.Kid == "":
		return nil, nil
	case algorithm == HS256 && !secrets:
		return nil, errors.New("a secret, which a set that is fetched may not hold")
	}
	if err := checkKeyID(j.Kid); err != nil {
		return nil, err
	}
	k := &Key{ID: j.Kid, Algorithm: algorithm}
	x, err := base64.RawURLEncoding.DecodeString(j.X + j.K)
	if err != nil {
		return nil, errors.New("its parameters are no base64url")
	}
	switch algorithm {
	case HS256:
		if len(x) < minSecret {
			return nil, fmt.Errorf("a secret of %d bytes: want at least %d", len(x), minSecret)
		}
		k.secret = x
	case EdDSA:
		if len(x) != ed25519.PublicKeySize {
			return nil, errors.New("it is no key for EdDSA")
		}
		k.public = ed25519.PublicKey(x)
	case ES256:
		y, err := base64.RawURLEncoding.DecodeString(j.Y)
		if err != nil || len(x) != 32 || len(y) != 32 {
			return nil, errors.New("it is no key for ES256")
		}
		p, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y)) // checks that it lies on the curve
		if err != nil {
			return nil, errors.New("it is no key for ES256")
		}
		k.public = p
	}
	return k, nil
}

// object reads a JSON object into its members, and refuses what encoding/json lets pass: a name given twice, bytes that are no text, and anything behind.
func object(b []byte) (map[string]json.RawMessage, error) {
	if !json.Valid(b) || !utf8.Valid(b) {
		return nil, errMalformed
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errMalformed
	}
	members := map[string]json.RawMessage{}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if _, twice := members[name]; err != nil || !ok || twice {
			return nil, errMalformed
		}
		var v json.RawMessage
		if d.Decode(&v) != nil {
			return nil, errMalformed
		}
		members[name] = v
	}
	return members, nil
}
