package access

import (
	"slices"

	"github.com/fxamacker/cbor/v2"
)

// CBOR tags of a CWT and of what it lies in (RFC 8392, 6; RFC 9052, 2).
const (
	tagCWT   = 61
	tagMac0  = 17
	tagSign1 = 18
)

// COSE header labels (RFC 9052, 3.1; typ: RFC 9596).
const (
	headerAlgorithm = 1
	headerCritical  = 2
	headerType      = 3
	headerKid       = 4
	headerTyp       = 16
)

// coseAlgorithms are ours by their numbers in COSE (RFC 9053, 2.1, 2.2 and 3.1). The MAC of 64 bits, 4, is too short for what anybody can try.
var coseAlgorithms = map[int64]string{5: HS256, -7: ES256, -8: EdDSA}

// reading refuses what a decoder can be fooled with: keys given twice, lengths that come later, depth and width beyond any token.
var reading = func() cbor.DecMode {
	m, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden,
		MaxNestedLevels: 8, MaxArrayElements: maxList, MaxMapPairs: maxList,
	}.DecMode()
	if err != nil {
		panic(err) // only these options could be wrong
	}
	return m
}()

var writing = func() cbor.EncMode {
	m, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		panic(err) // only these options could be wrong
	}
	return m
}()

// cose is a COSE_Mac0 or COSE_Sign1 (RFC 9052, 4.2 and 6.2): the two have the same four fields.
type cose struct {
	protected, payload, signature []byte
	unprotected                   map[any]cbor.RawMessage
}

func (m *cose) read(b []byte) bool {
	var fields []cbor.RawMessage
	if len(b) == 0 || b[0]>>5 != 4 || reading.Unmarshal(b, &fields) != nil || len(fields) != 4 {
		return false
	}
	for i, to := range map[int]*[]byte{0: &m.protected, 2: &m.payload, 3: &m.signature} {
		if fields[i][0]>>5 != 2 || reading.Unmarshal(fields[i], to) != nil {
			return false
		}
	}
	return fields[1][0]>>5 == 5 && reading.Unmarshal(fields[1], &m.unprotected) == nil
}

// parseCAT reads a Common Access Token: a CWT in base64url without padding (CTA-5007). Its tags may be missing.
func parseCAT(token string) (p parsed, err error) {
	b, err := strict.DecodeString(token)
	if err != nil {
		return p, errMalformed
	}
	b, tag, err := untag(b)
	if err != nil {
		return p, err
	}
	var m cose
	if !m.read(b) {
		return p, errMalformed
	}
	p = parsed{format: "CAT", signature: m.signature}
	if err := p.readLabels(m); err != nil {
		return p, err
	}
	if tag != 0 && (tag == tagMac0) != (p.algorithm == HS256) {
		return p, errAlgorithm
	}
	p.signed = toBeSigned(p.algorithm, m.protected, m.payload)
	p.claims = func([]string) (*Claims, error) { return catClaims(m.payload) }
	p.said = func() []Said { return catSaid(m.payload) }
	return p, nil
}

// untag takes off the tags that may stand before a token: that of a CWT, then that of its kind.
func untag(b []byte) (rest []byte, kind uint64, err error) {
	for _, want := range [][]uint64{{tagCWT}, {tagMac0, tagSign1}} {
		if len(b) == 0 || b[0]>>5 != 6 {
			continue
		}
		var t cbor.RawTag
		if reading.Unmarshal(b, &t) != nil {
			return nil, 0, errMalformed
		}
		if !slices.Contains(want, t.Number) {
			continue
		}
		b, kind = t.Content, t.Number
	}
	if kind == tagCWT {
		kind = 0
	}
	return b, kind, nil
}

// readLabels takes what we know of both headers. The algorithm must be protected; a kid may stand in either (RFC 9052, 3.1), for it only finds a key. Whatever
// else a header brings, keys and certificates first of all, is refused, and so is a label in both.
func (p *parsed) readLabels(m cose) error {
	protected := map[any]cbor.RawMessage{}
	if len(m.protected) > 0 && reading.Unmarshal(m.protected, &protected) != nil {
		return errMalformed
	}
	for label := range m.unprotected {
		if _, twice := protected[label]; twice {
			return errMalformed
		}
	}
	for label, v := range protected {
		if err := p.readLabel(label, v, protected); err != nil {
			return err
		}
	}
	for label, v := range m.unprotected {
		if label == uint64(headerAlgorithm) || label == uint64(headerCritical) {
			return errMalformed
		}
		if err := p.readLabel(label, v, nil); err != nil {
			return err
		}
	}
	return nil
}

func (p *parsed) readLabel(label any, v cbor.RawMessage, protected map[any]cbor.RawMessage) error {
	switch label {
	case uint64(headerAlgorithm):
		var n int64
		if reading.Unmarshal(v, &n) == nil {
			p.algorithm = coseAlgorithms[n]
		}
	case uint64(headerKid):
		var kid []byte
		if reading.Unmarshal(v, &kid) != nil || v[0]>>5 != 2 {
			return errMalformed
		}
		p.kid = string(kid)
	case uint64(headerCritical):
		return critical(v, protected)
	case uint64(headerType), uint64(headerTyp):
	default:
		return why(ClaimNotSupported, "header")
	}
	return nil
}

// critical: every label that must be understood is there, and is one that we understand.
func critical(v cbor.RawMessage, protected map[any]cbor.RawMessage) error {
	var labels []any
	if reading.Unmarshal(v, &labels) != nil || len(labels) == 0 {
		return errMalformed
	}
	for _, l := range labels {
		if !slices.Contains([]any{uint64(headerAlgorithm), uint64(headerType), uint64(headerKid), uint64(headerTyp)}, l) {
			return why(ClaimNotSupported, "crit")
		}
		if _, ok := protected[l]; !ok {
			return errMalformed
		}
	}
	return nil
}

// toBeSigned is what a MAC or a signature is over (RFC 9052, 4.4 and 6.3), with no data from outside.
func toBeSigned(algorithm string, protected, payload []byte) string {
	kind := "Signature1"
	if algorithm == HS256 {
		kind = "MAC0"
	}
	b, err := writing.Marshal([]any{kind, protected, []byte{}, payload})
	if err != nil {
		panic(err) // text and bytes can't be refused
	}
	return string(b)
}

// SignCAT writes the claims as a Common Access Token, with both its tags.
func (k *Key) SignCAT(c Claims) (string, error) {
	if err := c.sound(); err != nil {
		return "", err
	}
	payload, err := writing.Marshal(c.labelled())
	if err != nil {
		return "", err
	}
	var algorithm int64
	for n, a := range coseAlgorithms {
		if a == k.Algorithm {
			algorithm = n
		}
	}
	protected, err := writing.Marshal(map[int64]any{headerAlgorithm: algorithm})
	if err != nil {
		return "", err
	}
	signature, err := k.sign(toBeSigned(k.Algorithm, protected, payload))
	if err != nil {
		return "", err
	}
	kind := uint64(tagSign1)
	if k.Algorithm == HS256 {
		kind = tagMac0
	}
	b, err := writing.Marshal(cbor.Tag{Number: tagCWT, Content: cbor.Tag{Number: kind, Content: []any{protected, map[int64]any{headerKid: []byte(k.ID)}, payload, signature}}})
	return strict.EncodeToString(b), err
}
