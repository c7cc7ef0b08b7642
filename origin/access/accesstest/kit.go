// Package accesstest makes good and bad tokens for tests, with other code than the one that it tries: from bytes up, and without asking package access
// how a token looks.
//
//	New(now) ─► Kit ─► Options for access.New
//	                ├─► Good: tokens that must be taken
//	                └─► Bad:  tokens that must be refused, and why
package accesstest

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"

	"flambeau/origin/access"
)

// Who the good tokens are for and from.
const (
	Broadcaster = "alpine-tv"
	Audience    = "flambeau"
	Issuer      = "https://rights.example"
)

// Case is one token. Reason is why it must be refused, "" if it must not.
type Case struct {
	Name   string
	Token  string
	Reason access.Reason
}

// Kit is a set of keys, and the instant that its tokens are made for.
type Kit struct {
	Now     time.Time
	Options access.Options
	APIKey  string
	signers map[string]signer // by kid
}

// signer signs bytes. Public is what an attacker may know of it.
type signer struct {
	jwt    string // its algorithm in a JWT
	cose   int
	sign   func([]byte) []byte
	public [][]byte
}

// New makes keys: k1 (HS256), k2 (ES256), k3 (EdDSA), and p1, a partner's (ES256), which may speak for nordic-tv alone.
func New(now time.Time) Kit {
	k := Kit{Now: now.Truncate(time.Second), signers: map[string]signer{}}
	k.Options = access.Options{Audience: Audience, Issuer: Issuer, MaxAge: 31 * 24 * time.Hour, Ignore: []string{"azp"}}
	secret := make([]byte, 32)
	rand.Read(secret)
	k.add("k1", hmacSigner(secret), secret)
	_, k2 := ecdsaSigner()
	k.add("k2", k2, k2.public[0])
	k3, file := ed25519Signer()
	k.add("k3", k3, file)
	_, p1 := ecdsaSigner()
	k.add("p1", p1, p1.public[0]).Broadcasters = []string{"nordic-tv"}
	key, hash, err := access.NewAPIKey("robot")
	if err != nil {
		panic(err) // the name is ours
	}
	k.APIKey = key
	k.Options.APIKeys = []access.APIKey{{ID: "robot", Hash: hash, Broadcaster: Broadcaster}}
	return k
}

func (k *Kit) add(kid string, s signer, file []byte) *access.Key {
	key, err := access.NewKey(kid, s.jwt, file)
	if err != nil {
		panic(err) // the key was just made
	}
	k.signers[kid] = s
	k.Options.Keys = append(k.Options.Keys, key)
	return key
}

func hmacSigner(secret []byte) signer {
	return signer{jwt: "HS256", cose: 5, sign: func(b []byte) []byte {
		m := hmac.New(sha256.New, secret)
		m.Write(b)
		return m.Sum(nil)
	}}
}

func ecdsaSigner() (*ecdsa.PrivateKey, signer) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // P-256 is always there
	}
	file, der := publicFile(&key.PublicKey)
	point, err := key.PublicKey.Bytes()
	if err != nil {
		panic(err) // the key was just made
	}
	return key, signer{jwt: "ES256", cose: -7, public: [][]byte{file, der, point}, sign: func(b []byte) []byte {
		h := sha256.Sum256(b)
		r, s, err := ecdsa.Sign(rand.Reader, key, h[:])
		if err != nil {
			panic(err) // the key was just made
		}
		out := make([]byte, 64)
		r.FillBytes(out[:32])
		s.FillBytes(out[32:])
		return out
	}}
}

func ed25519Signer() (signer, []byte) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err) // the source never fails
	}
	file, der := publicFile(public)
	return signer{jwt: "EdDSA", cose: -8, public: [][]byte{file, der, public}, sign: func(b []byte) []byte { return ed25519.Sign(private, b) }}, file
}

func publicFile(public any) (file, der []byte) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		panic(err) // the key was just made
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), der
}

var b64 = base64.RawURLEncoding

func jsonOf(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // the tests' own values
	}
	return b
}

func cborOf(v any) []byte {
	m, err := cbor.CanonicalEncOptions().EncMode()
	if err != nil {
		panic(err) // the library's own options
	}
	b, err := m.Marshal(v)
	if err != nil {
		panic(err) // the tests' own values
	}
	return b
}

// object is a JSON object or a claims set, to be changed from case to case.
type object map[string]any

func (o object) with(pairs ...any) object {
	out := object{}
	for name, v := range o {
		out[name] = v
	}
	for i := 0; i < len(pairs); i += 2 {
		name := pairs[i].(string)
		if pairs[i+1] == nil {
			delete(out, name)
			continue
		}
		out[name] = pairs[i+1]
	}
	return out
}

// jwt signs a header and a payload, whatever they are.
func (s signer) token(header, payload []byte) string {
	signed := b64.EncodeToString(header) + "." + b64.EncodeToString(payload)
	return signed + "." + b64.EncodeToString(s.sign([]byte(signed)))
}

func (k Kit) header(kid string) object {
	return object{"alg": k.signers[kid].jwt, "typ": "JWT", "kid": kid}
}

func (k Kit) payload() object {
	return object{"iss": Issuer, "sub": Broadcaster, "aud": Audience, "exp": k.Now.Add(time.Hour).Unix(), "iat": k.Now.Unix(), "jti": "7f3a"}
}

func (k Kit) jwt(kid string, header, payload object) string {
	return k.signers[kid].token(jsonOf(header), jsonOf(payload))
}

// labels is a CBOR map.
type labels map[any]any

func (l labels) with(pairs ...any) labels {
	out := labels{}
	for label, v := range l {
		out[label] = v
	}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == nil {
			delete(out, pairs[i])
			continue
		}
		out[pairs[i]] = pairs[i+1]
	}
	return out
}

func (k Kit) claims() labels {
	return labels{1: Issuer, 2: Broadcaster, 3: Audience, 4: k.Now.Add(time.Hour).Unix(), 6: k.Now.Unix(), 7: []byte{0x7f, 0x3a}, 310: 1}
}

// message is a COSE message before it is signed; what is nil is as it should be.
type message struct {
	kind      string // "MAC0", "Signature1"
	protected []byte
	loose     any // the unprotected header
	payload   any
	signature any
	tags      []uint64
}

func (k Kit) message(kid string, claims labels) message {
	m := message{kind: "Signature1", tags: []uint64{61, 18}, protected: cborOf(labels{1: k.signers[kid].cose}), loose: labels{4: []byte(kid)}, payload: cborOf(claims)}
	if k.signers[kid].cose == 5 {
		m.kind, m.tags = "MAC0", []uint64{61, 17}
	}
	return m
}

func (m message) bytes(s signer) []byte {
	signature := m.signature
	if signature == nil {
		signature = s.sign(cborOf([]any{m.kind, m.protected, []byte{}, m.payload}))
	}
	b := []byte{0x84} // an array of four
	for _, field := range []any{m.protected, m.loose, m.payload, signature} {
		if raw, ok := field.(cbor.RawMessage); ok {
			b = append(b, raw...) // as it is: the library would refuse what is wrong with it
			continue
		}
		b = append(b, cborOf(field)...)
	}
	return m.tagged(b)
}

// tagged puts the tags before b, whatever b is (RFC 8949, 3 and 3.4).
func (m message) tagged(b []byte) []byte {
	var head []byte
	for _, tag := range m.tags {
		switch {
		case tag < 24:
			head = append(head, 0xc0|byte(tag))
		case tag < 1<<8:
			head = append(head, 0xd8, byte(tag))
		default:
			head = append(head, 0xd9, byte(tag>>8), byte(tag))
		}
	}
	return append(head, b...)
}

func (m message) token(s signer) string { return b64.EncodeToString(m.bytes(s)) }

func (k Kit) cat(kid string, claims labels) string {
	return k.message(kid, claims).token(k.signers[kid])
}

// SignedJWT signs any payload as k1.
func (k Kit) SignedJWT(payload []byte) string {
	return k.signers["k1"].token(jsonOf(k.header("k1")), payload)
}

// SignedCAT signs any payload as k1.
func (k Kit) SignedCAT(payload []byte) string {
	m := k.message("k1", nil)
	m.payload = payload
	return m.token(k.signers["k1"])
}

// Payloads are the claims of a token as they stand in it, one of the two empty.
func Payloads(token string) (jwt, cat []byte) {
	if parts := strings.Split(token, "."); len(parts) == 3 {
		jwt, _ = b64.DecodeString(parts[1])
		return jwt, nil
	}
	b, _ := b64.DecodeString(token)
	for len(b) > 0 && b[0]>>5 == 6 {
		var t cbor.RawTag
		if cbor.Unmarshal(b, &t) != nil {
			return nil, nil
		}
		b = t.Content
	}
	var fields []cbor.RawMessage
	if cbor.Unmarshal(b, &fields) == nil && len(fields) == 4 {
		_ = cbor.Unmarshal(fields[2], &cat) // what it is not, is no seed
	}
	return nil, cat
}
