package access

import (
	"encoding/hex"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// Claim labels as IANA's registry of CWT claims has them: RFC 8392, 4, and from 308 on CTA-5007. Those below -65536 are private (RFC 8392, 9.1), and this
// project's own: what a JWT calls channels, actions, max_height, from and until.
const (
	labelIss           = 1
	labelSub           = 2
	labelAud           = 3
	labelExp           = 4
	labelNbf           = 5
	labelIat           = 6
	labelCti           = 7
	labelCatreplay     = 308
	labelCatv          = 310
	labelCatnip        = 311
	labelCatu          = 312
	labelCatm          = 313
	labelCatalpn       = 314
	labelCath          = 315
	labelCatgeoiso3166 = 316

	labelChannels  = -70001
	labelActions   = -70002
	labelMaxHeight = -70003
	labelFrom      = -70004
	labelUntil     = -70005
)

// Tags of an address or network (RFC 9164, 3).
const (
	tagIPv4 = 52
	tagIPv6 = 54
)

// catLabels are the claims that we enforce.
//
// Refused, for what they ask can't be kept here: catpor (309), catgeocoord (317), catgeoalt (318), cattpk (319), catifdata (320), catdpop (321), catif (322),
// cattprint (324), geohash (282), cnf (8), and composites. And catr (323): whoever asks for renewal counts on a longer life that a service without sessions,
// cookies and redirects never gives. Better refused at once than dark in the middle of a match.
var catLabels = map[int64]struct {
	name string
	read func(c *Claims, v cbor.RawMessage) error
}{
	labelIss: {"iss", reads(func(c *Claims, v cbor.RawMessage) bool { return cborText(v, &c.Issuer) })},
	labelSub: {"sub", reads(func(c *Claims, v cbor.RawMessage) bool { return cborText(v, &c.Broadcaster) })},
	labelAud: {"aud", reads(func(c *Claims, v cbor.RawMessage) bool {
		var one string
		if cborText(v, &one) {
			c.Audience = []string{one}
			return true
		}
		return cborTexts(v, &c.Audience)
	})},
	labelExp: {"exp", reads(func(c *Claims, v cbor.RawMessage) bool { return cborTime(v, &c.Expires) })},
	labelNbf: {"nbf", reads(func(c *Claims, v cbor.RawMessage) bool { return cborTime(v, &c.NotBefore) })},
	labelIat: {"iat", reads(func(c *Claims, v cbor.RawMessage) bool { return cborTime(v, &c.Issued) })},
	labelCti: {"cti", reads(func(c *Claims, v cbor.RawMessage) bool {
		var b []byte
		ok := cborBytes(v, &b)
		c.ID = hex.EncodeToString(b)
		return ok
	})},
	labelCatv: {"catv", func(_ *Claims, v cbor.RawMessage) error {
		return only(v, 1, "catv")
	}},
	labelCatreplay: {"catreplay", func(_ *Claims, v cbor.RawMessage) error {
		return only(v, 0, "catreplay") // 0: may be used again. To find a second use a service would have to remember the first
	}},
	labelCatnip: {"catnip", readNetworks},
	labelCatu: {"catu", func(c *Claims, v cbor.RawMessage) (err error) {
		c.URI, err = readURI(v)
		return err
	}},
	labelCatm:    {"catm", reads(func(c *Claims, v cbor.RawMessage) bool { return cborTexts(v, &c.Methods) })},
	labelCatalpn: {"catalpn", reads(readALPN)},
	labelCath: {"cath", func(c *Claims, v cbor.RawMessage) (err error) {
		c.Headers, err = readHeaders(v)
		return err
	}},
	labelCatgeoiso3166: {"catgeoiso3166", reads(func(c *Claims, v cbor.RawMessage) bool { return cborTexts(v, &c.Territories) })},

	labelChannels: {"channels", reads(func(c *Claims, v cbor.RawMessage) bool { return cborTexts(v, &c.Channels) })},
	labelActions:  {"actions", reads(func(c *Claims, v cbor.RawMessage) bool { return cborTexts(v, &c.Actions) })},
	labelMaxHeight: {"max_height", reads(func(c *Claims, v cbor.RawMessage) bool {
		return cborInt(v) && reading.Unmarshal(v, &c.MaxHeight) == nil && c.MaxHeight > 0
	})},
	labelFrom:  {"from", reads(func(c *Claims, v cbor.RawMessage) bool { return cborTime(v, &c.From) })},
	labelUntil: {"until", reads(func(c *Claims, v cbor.RawMessage) bool { return cborTime(v, &c.Until) })},
}

// reads makes a reader of a test: whoever calls it adds the name of the claim.
func reads(read func(c *Claims, v cbor.RawMessage) bool) func(*Claims, cbor.RawMessage) error {
	return func(c *Claims, v cbor.RawMessage) error {
		if !read(c, v) {
			return errMalformed
		}
		return nil
	}
}

func catClaims(payload []byte) (*Claims, error) {
	var members map[any]cbor.RawMessage
	if reading.Unmarshal(payload, &members) != nil || members == nil {
		return nil, errMalformed
	}
	c := &Claims{}
	for label, v := range members {
		n, ok := labelNumber(label)
		l, known := catLabels[n]
		if !ok || !known {
			return nil, why(ClaimNotSupported, labelText(label))
		}
		if err := l.read(c, v); err == errMalformed {
			return nil, why(Malformed, l.name)
		} else if err != nil {
			return nil, err
		}
	}
	return c, nil
}

func labelNumber(label any) (int64, bool) {
	switch l := label.(type) {
	case uint64:
		return int64(l), l <= math.MaxInt64
	case int64:
		return l, true
	}
	return 0, false
}

func labelText(label any) string {
	if n, ok := labelNumber(label); ok {
		return strconv.FormatInt(n, 10)
	}
	s, _ := label.(string)
	return s
}

// The first three bits of an item say what it is (RFC 8949, 3.1). The library converts kinds; a token must be what it should be.
func cborText(v cbor.RawMessage, to *string) bool {
	return len(v) > 0 && v[0]>>5 == 3 && reading.Unmarshal(v, to) == nil && boundedText(*to)
}

func cborBytes(v cbor.RawMessage, to *[]byte) bool {
	return len(v) > 0 && v[0]>>5 == 2 && reading.Unmarshal(v, to) == nil && len(*to) > 0 && len(*to) <= maxValue
}

func cborInt(v cbor.RawMessage) bool { return len(v) > 0 && v[0]>>5 <= 1 }

func cborTexts(v cbor.RawMessage, to *[]string) bool {
	return cborEach(v, func(item cbor.RawMessage) bool {
		var s string
		ok := cborText(item, &s)
		*to = append(*to, s)
		return ok
	})
}

// cborEach goes through an array that is not empty.
func cborEach(v cbor.RawMessage, read func(cbor.RawMessage) bool) bool {
	var items []cbor.RawMessage
	if len(v) == 0 || v[0]>>5 != 4 || reading.Unmarshal(v, &items) != nil || len(items) == 0 {
		return false
	}
	return !slices.ContainsFunc(items, func(item cbor.RawMessage) bool { return !read(item) })
}

// cborTime reads a NumericDate: a number without a tag (RFC 8392, 2).
func cborTime(v cbor.RawMessage, to *time.Time) (ok bool) {
	var n float64
	if len(v) == 0 || !cborInt(v) && v[0]>>5 != 7 || v[0] == 0xf6 || v[0] == 0xf7 || reading.Unmarshal(v, &n) != nil {
		return false
	}
	*to, ok = numericDate(n)
	return ok
}

func only(v cbor.RawMessage, want uint64, claim string) error {
	var n uint64
	switch {
	case len(v) == 0 || v[0]>>5 != 0 || reading.Unmarshal(v, &n) != nil:
		return errMalformed
	case n != want:
		return why(ClaimNotSupported, claim)
	}
	return nil
}

func readALPN(c *Claims, v cbor.RawMessage) bool {
	return cborEach(v, func(item cbor.RawMessage) bool {
		var s string
		var b []byte
		if !cborText(item, &s) {
			if !cborBytes(item, &b) {
				return false
			}
			s = string(b) // ALPN names are bytes (RFC 7301, 3.1)
		}
		c.ALPN = append(c.ALPN, s)
		return true
	})
}

// readNetworks reads addresses and networks (RFC 9164, 3.1). A list may name autonomous systems as well, by number: nobody here knows whose an address is.
func readNetworks(c *Claims, v cbor.RawMessage) (err error) {
	ok := cborEach(v, func(item cbor.RawMessage) bool {
		if cborInt(item) {
			err = why(ClaimNotSupported, "catnip")
			return false
		}
		p, ok := readNetwork(item)
		c.Networks = append(c.Networks, p)
		return ok
	})
	if err == nil && !ok {
		err = errMalformed
	}
	return err
}

func readNetwork(item cbor.RawMessage) (p netip.Prefix, ok bool) {
	var t cbor.RawTag
	if len(item) == 0 || item[0]>>5 != 6 || reading.Unmarshal(item, &t) != nil || t.Number != tagIPv4 && t.Number != tagIPv6 {
		return p, false
	}
	size := map[uint64]int{tagIPv4: 4, tagIPv6: 16}[t.Number]
	var b []byte
	if cborBytes(t.Content, &b) {
		a, ok := netip.AddrFromSlice(b)
		return netip.PrefixFrom(a, a.BitLen()), ok && len(b) == size && !a.Is4In6()
	}
	var parts []cbor.RawMessage
	var bits int
	if len(t.Content) == 0 || t.Content[0]>>5 != 4 || reading.Unmarshal(t.Content, &parts) != nil || len(parts) != 2 ||
		!cborInt(parts[0]) || reading.Unmarshal(parts[0], &bits) != nil {
		return p, false
	}
	// Trailing zero bytes of a network are left out (RFC 9164, 3.1.2); some write them.
	if len(parts[1]) == 0 || parts[1][0]>>5 != 2 || reading.Unmarshal(parts[1], &b) != nil || len(b) > size {
		return p, false
	}
	a, ok := netip.AddrFromSlice(append(slices.Clone(b), make([]byte, size-len(b))...))
	p = netip.PrefixFrom(a, bits)
	return p, ok && p.IsValid() && p == p.Masked() && !a.Is4In6()
}

// labelled is what SignCAT writes.
func (c *Claims) labelled() map[int64]any {
	m := map[int64]any{labelSub: c.Broadcaster, labelAud: c.Audience, labelExp: c.Expires.Unix(), labelCatv: 1}
	if len(c.Audience) == 1 {
		m[labelAud] = c.Audience[0]
	}
	for label, t := range map[int64]time.Time{labelNbf: c.NotBefore, labelIat: c.Issued, labelFrom: c.From, labelUntil: c.Until} {
		if !t.IsZero() {
			m[label] = t.Unix()
		}
	}
	for label, list := range map[int64][]string{labelCatm: c.Methods, labelCatgeoiso3166: c.Territories, labelChannels: c.Channels, labelActions: c.Actions} {
		if list != nil {
			m[label] = list
		}
	}
	if c.Issuer != "" {
		m[labelIss] = c.Issuer
	}
	if c.ID != "" {
		id, err := hex.DecodeString(c.ID)
		if err != nil {
			id = []byte(c.ID)
		}
		m[labelCti] = id
	}
	if c.MaxHeight > 0 {
		m[labelMaxHeight] = c.MaxHeight
	}
	maps.Copy(m, c.requestLabels())
	return m
}

// requestLabels are those of labelled that speak of a request.
func (c *Claims) requestLabels() map[int64]any {
	m := map[int64]any{}
	for _, p := range c.Networks {
		tag := uint64(tagIPv6)
		if p.Addr().Is4() {
			tag = tagIPv4
		}
		list, _ := m[labelCatnip].([]any)
		m[labelCatnip] = append(list, cbor.Tag{Number: tag, Content: []any{p.Bits(), p.Addr().AsSlice()}})
	}
	for _, s := range c.ALPN {
		list, _ := m[labelCatalpn].([]any)
		m[labelCatalpn] = append(list, []byte(s))
	}
	if c.URI != nil {
		m[labelCatu] = writeURI(c.URI)
	}
	if c.Headers != nil {
		m[labelCath] = writeHeaders(c.Headers)
	}
	return m
}
