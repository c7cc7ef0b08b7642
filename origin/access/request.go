package access

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/fxamacker/cbor/v2"
)

// Part is a part of a URL that catu may speak of (CTA-5007, catu). A path's parts are those after the token was taken out.
type Part int64

const (
	Scheme     Part = iota // https
	Host                   // media.example
	Port                   // the scheme's own where the URL has none
	Path                   // /live/curling-a/index.m3u8
	Query                  // without the question mark
	ParentPath             // /live/curling-a
	Filename               // index.m3u8
	Stem                   // index
	Extension              // .m3u8
)

// Match is how a condition compares (CTA-5007, match types). Regular expressions, 4, are refused: whoever wrote one had another engine in mind.
type Match int64

const (
	Exact    Match = 0
	Prefix   Match = 1
	Suffix   Match = 2
	Contains Match = 3
	SHA256   Match = -1
	SHA512   Match = -2 // SHA-512/256
)

// Condition is one thing that must hold of a part of a URL.
type Condition struct {
	Part  Part
	Match Match
	Value string // of a hash: its bytes
}

// HeaderCondition is one thing that must hold of a header; it must be there.
type HeaderCondition struct {
	Name  string // in canonical form
	Match Match
	Value string
}

// Request is what a token's claims can ask of a request.
type Request struct {
	Method    string
	Scheme    string // "http", "https"
	Host      string // as the client named it, perhaps with a port
	Path      string // without the token, decoded: what the route goes by
	Query     string // as it was sent
	Protocol  string // that TLS negotiated; "": none was
	Address   netip.Addr
	Territory string // ISO 3166-1 alpha-2 or 3166-2; "": nobody knows
	Header    http.Header
}

// Asked is what a request asks, but for its territory. rest is what FromRequest left of the path; address is the peer's, or what a proved CDN says it is.
func Asked(r *http.Request, rest string, address netip.Addr) Request {
	q := Request{Method: r.Method, Scheme: "http", Host: r.Host, Path: rest, Query: r.URL.RawQuery, Address: address.Unmap(), Header: r.Header}
	if r.TLS != nil {
		q.Scheme, q.Protocol = "https", r.TLS.NegotiatedProtocol
	}
	return q
}

// Request tells whether what an identity's token says of requests holds of this one.
func (v *Verifier) Request(id Identity, r Request) error {
	switch {
	case id.Methods != nil && !slices.Contains(id.Methods, r.Method):
		return &Error{Reason: WrongMethod}
	case id.Networks != nil && !slices.ContainsFunc(id.Networks, func(p netip.Prefix) bool { return p.Contains(r.Address) }):
		return &Error{Reason: WrongNetwork}
	case id.Territories != nil && !slices.ContainsFunc(id.Territories, func(t string) bool { return within(r.Territory, t) }):
		return &Error{Reason: WrongTerritory}
	case id.ALPN != nil && (r.Protocol == "" || !slices.Contains(id.ALPN, r.Protocol)):
		return &Error{Reason: WrongProtocol}
	}
	if id.URI != nil && crooked(r.Path) {
		return &Error{Reason: WrongURL}
	}
	for _, c := range id.URI {
		if !c.Match.holds(r.part(c.Part), c.Value) {
			return &Error{Reason: WrongURL}
		}
	}
	for _, h := range id.Headers {
		values := r.Header.Values(h.Name)
		if len(values) == 0 || !h.Match.holds(strings.Join(values, ", "), h.Value) {
			return &Error{Reason: WrongHeader}
		}
	}
	return nil
}

// crooked paths mean another than they say: whoever was let to /live/a/ must not come to /live/b by /live/a/../b.
func crooked(path string) bool {
	path += "/"
	return strings.Contains(path, "/../") || strings.Contains(path, "/./") || strings.Contains(path[:len(path)-1], "//")
}

// within: CH-ZH is within CH-ZH and CH; of CH alone nobody knows whether it is within CH-ZH.
func within(where, territory string) bool {
	return where == territory || len(territory) == 2 && strings.HasPrefix(where, territory+"-")
}

func (m Match) holds(s, value string) bool {
	switch m {
	case Exact:
		return s == value
	case Prefix:
		return strings.HasPrefix(s, value)
	case Suffix:
		return strings.HasSuffix(s, value)
	case Contains:
		return strings.Contains(s, value)
	case SHA256:
		h := sha256.Sum256([]byte(s))
		return string(h[:]) == value
	case SHA512:
		h := sha512.Sum512_256([]byte(s))
		return string(h[:]) == value
	}
	return false
}

func (r Request) part(p Part) string {
	parent, file := r.Path, ""
	if i := strings.LastIndexByte(r.Path, '/'); i >= 0 {
		parent, file = r.Path[:i], r.Path[i+1:]
	}
	stem, extension := file, ""
	if i := strings.IndexByte(file, '.'); i >= 0 {
		stem, extension = file[:i], file[i:]
	}
	switch p {
	case Scheme:
		return r.Scheme
	case Host:
		host, _ := r.hostPort()
		return host
	case Port:
		_, port := r.hostPort()
		return port
	case Path:
		return r.Path
	case Query:
		return r.Query
	case ParentPath:
		return parent
	case Filename:
		return file
	case Stem:
		return stem
	}
	return extension
}

func (r Request) hostPort() (host, port string) {
	host, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		host, port = r.Host, ""
	}
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[r.Scheme]
	}
	return strings.ToLower(host), port // RFC 3986, 3.2.2: a host has no case
}

// readURI reads catu: parts, and for each how to match what.
func readURI(v cbor.RawMessage) (cs []Condition, err error) {
	var parts map[uint64]cbor.RawMessage
	if reading.Unmarshal(v, &parts) != nil || len(parts) == 0 {
		return nil, errMalformed
	}
	for p, matches := range parts {
		if p > uint64(Extension) {
			return nil, why(ClaimNotSupported, "catu")
		}
		err := readMatches(matches, "catu", func(m Match, value string) {
			if Part(p) == Host && m >= 0 {
				value = strings.ToLower(value)
			}
			cs = append(cs, Condition{Part(p), m, value})
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(cs, func(a, b Condition) int {
		return bytes.Compare([]byte{byte(a.Part), byte(a.Match)}, []byte{byte(b.Part), byte(b.Match)})
	})
	return cs, nil
}

// readHeaders reads cath: names of headers, and for each how to match what.
func readHeaders(v cbor.RawMessage) (hs []HeaderCondition, err error) {
	var headers map[string]cbor.RawMessage
	if reading.Unmarshal(v, &headers) != nil || len(headers) == 0 {
		return nil, errMalformed
	}
	for name, matches := range headers {
		if !boundedText(name) {
			return nil, errMalformed
		}
		err := readMatches(matches, "cath", func(m Match, value string) {
			hs = append(hs, HeaderCondition{http.CanonicalHeaderKey(name), m, value})
		})
		if err != nil {
			return nil, err
		}
	}
	return hs, nil
}

// readMatches reads a map of match types. All of them must hold.
func readMatches(v cbor.RawMessage, claim string, yield func(Match, string)) error {
	var matches map[int64]cbor.RawMessage
	if reading.Unmarshal(v, &matches) != nil || len(matches) == 0 {
		return errMalformed
	}
	for m, raw := range matches {
		var text string
		var hash []byte
		switch Match(m) {
		case Exact, Prefix, Suffix, Contains:
			if len(raw) == 0 || raw[0]>>5 != 3 || reading.Unmarshal(raw, &text) != nil || len(text) > maxValue {
				return errMalformed
			}
			yield(Match(m), text) // an empty one may be meant: no query
		case SHA256, SHA512:
			if !cborBytes(raw, &hash) || len(hash) != sha256.Size {
				return errMalformed
			}
			yield(Match(m), string(hash))
		default:
			return why(ClaimNotSupported, claim)
		}
	}
	return nil
}

func (m Match) write(value string) any {
	if m < 0 {
		return []byte(value)
	}
	return value
}

func writeURI(cs []Condition) map[int64]map[int64]any {
	parts := map[int64]map[int64]any{}
	for _, c := range cs {
		if parts[int64(c.Part)] == nil {
			parts[int64(c.Part)] = map[int64]any{}
		}
		parts[int64(c.Part)][int64(c.Match)] = c.Match.write(c.Value)
	}
	return parts
}

func writeHeaders(hs []HeaderCondition) map[string]map[int64]any {
	headers := map[string]map[int64]any{}
	for _, h := range hs {
		if headers[h.Name] == nil {
			headers[h.Name] = map[int64]any{}
		}
		headers[h.Name][int64(h.Match)] = h.Match.write(h.Value)
	}
	return headers
}
