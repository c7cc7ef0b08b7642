package access

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// What a key can do, by the names of RFC 7518, 3.1 and RFC 8037, 3.1. Nothing else is ever taken.
const (
	HS256 = "HS256"
	ES256 = "ES256"
	EdDSA = "EdDSA" // Ed25519
)

// Algorithms are all there are.
func Algorithms() []string { return []string{HS256, ES256, EdDSA} }

const (
	// maxKeyFile is the longest file of a key, in bytes.
	maxKeyFile = 16 << 10
	// minSecret is the shortest secret: as long as the hash (RFC 7518, 3.2).
	minSecret = 32
	// maxKeyID is the longest name of a key, in bytes.
	maxKeyID = 128
)

// Key signs tokens, or knows those who were signed by it. Which algorithm it is for is the key's own property, never the token's.
type Key struct {
	ID           string // kid: a name, in a map, and nothing else
	Algorithm    string
	Broadcasters []string  // whom it may speak for; nil: anybody
	Issuer       string    // that its tokens must name; "": that of the Options
	NotAfter     time.Time // from then on nothing that it signed is taken; zero: never

	secret  []byte
	public  crypto.PublicKey
	private crypto.Signer // nil: it can verify only
}

// String keeps a key out of logs.
func (k *Key) String() string { return "key " + k.ID + " (" + k.Algorithm + ")" }

// GoString keeps a key out of %#v.
func (k *Key) GoString() string { return k.String() }

// CanSign tells whether its private half is here.
func (k *Key) CanSign() bool { return k.secret != nil || k.private != nil }

// NewKey reads what a file of a key holds.
//
//	HS256          the secret itself, at least 32 bytes; where that is text, without the line's end
//	ES256, EdDSA   PEM: a public key (SubjectPublicKeyInfo), or a private one (PKCS #8, SEC 1)
func NewKey(id, algorithm string, file []byte) (*Key, error) {
	if err := checkKeyID(id); err != nil {
		return nil, err
	}
	k := &Key{ID: id, Algorithm: algorithm}
	switch {
	case len(file) > maxKeyFile:
		return nil, fmt.Errorf("longer than %d KiB", maxKeyFile>>10)
	case algorithm == HS256:
		k.secret = bytes.Clone(secretOf(file))
		if len(k.secret) < minSecret {
			return nil, fmt.Errorf("a secret of %d bytes: want at least %d", len(k.secret), minSecret)
		}
		if bytes.HasPrefix(k.secret, []byte("-----BEGIN ")) {
			return nil, errors.New("a PEM file, which is no secret: want the secret itself")
		}
		return k, nil
	case algorithm == ES256 || algorithm == EdDSA:
		return k, k.readPEM(file)
	}
	return nil, fmt.Errorf("algorithm %q: want %s", algorithm, strings.Join(Algorithms(), ", "))
}

func checkKeyID(id string) error {
	if id == "" || len(id) > maxKeyID || !utf8.ValidString(id) || strings.ContainsFunc(id, unicode.IsControl) {
		return fmt.Errorf("a key needs a name of 1 to %d bytes of text", maxKeyID)
	}
	return nil
}

// secretOf leaves out the end of a line that an editor put there. A secret that is not text is taken as it is: its last byte may look like one.
func secretOf(file []byte) []byte {
	for _, c := range file {
		if (c < ' ' || c > '~') && c != '\r' && c != '\n' {
			return file
		}
	}
	return bytes.TrimSuffix(bytes.TrimSuffix(file, []byte("\n")), []byte("\r"))
}

func (k *Key) readPEM(file []byte) error {
	block, rest := pem.Decode(file)
	if block == nil || len(bytes.TrimSpace(rest)) > 0 {
		return errors.New("want one PEM block")
	}
	var found any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		found, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "PRIVATE KEY":
		found, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		found, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		return errors.New("want a PEM block PUBLIC KEY or PRIVATE KEY")
	}
	if err != nil {
		return errors.New("its PEM block can't be read") // the library's words may repeat bytes
	}
	if s, ok := found.(crypto.Signer); ok {
		k.private, found = s, s.Public()
	}
	return k.take(found)
}

// take makes a public key this key's, if it is of its algorithm.
func (k *Key) take(public any) error {
	switch p := public.(type) {
	case *ecdsa.PublicKey:
		if k.Algorithm == ES256 && p.Curve == elliptic.P256() {
			k.public = p
			return nil
		}
	case ed25519.PublicKey:
		if k.Algorithm == EdDSA {
			k.public = p
			return nil
		}
	}
	return fmt.Errorf("it is no key for %s", k.Algorithm)
}

// same tells whether two keys take the same tokens. Whoever cached under one may go on under the other.
func (k *Key) same(o *Key) bool {
	if k.ID != o.ID || k.Algorithm != o.Algorithm || k.Issuer != o.Issuer || !k.NotAfter.Equal(o.NotAfter) || !slices.Equal(k.Broadcasters, o.Broadcasters) {
		return false
	}
	if k.secret != nil || o.secret != nil {
		return bytes.Equal(k.secret, o.secret)
	}
	p, ok := k.public.(interface{ Equal(crypto.PublicKey) bool })
	return ok && p.Equal(o.public)
}
