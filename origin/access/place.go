package access

import (
	"net/http"
	"strings"
)

// Place is where in a request a token stood.
type Place string

const (
	Nowhere Place = ""
	InPath  Place = "path"   // /t/{token}/…
	Bearer  Place = "bearer" // Authorization: Bearer {token} (RFC 6750, 2.1)
	Header  Place = "header" // CTA-Common-Access-Token: {token} (CTA-5007)
)

// pathPrefix begins a path with a token.
const pathPrefix = "/t/"

// FromRequest takes the token out of a request: it, and the path without it, decoded. Nothing in a query is a token, for that is what logs and
// referrers keep. Without a token there is no error: whether one is needed is not decided here.
func FromRequest(r *http.Request) (token, rest string, where Place, err error) {
	inPath, rest, err := fromPath(r)
	if err != nil {
		return "", rest, Nowhere, err
	}
	bearer, err := fromAuthorization(r.Header["Authorization"])
	if err != nil {
		return "", rest, Nowhere, err
	}
	header, err := fromHeader(r.Header["Cta-Common-Access-Token"])
	if err != nil {
		return "", rest, Nowhere, err
	}
	for _, found := range []struct {
		token string
		place Place
	}{{inPath, InPath}, {bearer, Bearer}, {header, Header}} {
		switch {
		case found.token == "":
		case token != "" && token != found.token:
			return "", rest, Nowhere, errAmbiguous
		case token == "":
			token, where = found.token, found.place
		}
	}
	return token, rest, where, nil
}

// fromPath looks at the path as it was sent: a token needs no escapes, so one with escapes is another's writing of it.
func fromPath(r *http.Request) (token, rest string, err error) {
	sent := r.URL.EscapedPath()
	after, ok := strings.CutPrefix(sent, pathPrefix)
	if !ok {
		if strings.HasPrefix(r.URL.Path, pathPrefix) {
			return "", r.URL.Path, errMalformed
		}
		return "", r.URL.Path, nil
	}
	token, _, _ = strings.Cut(after, "/")
	if err := written(token); err != nil {
		return "", "", err
	}
	if strings.HasPrefix(token, apiKeyPrefix) {
		return "", "", errMalformed // it lives too long to stand in URLs
	}
	rest = r.URL.Path[len(pathPrefix)+len(token):]
	if rest == "" {
		rest = "/"
	}
	return token, rest, nil
}

func fromAuthorization(values []string) (string, error) {
	if len(values) == 0 {
		return "", nil
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if len(values) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", errMalformed
	}
	token = strings.TrimLeft(token, " ")
	return token, written(token)
}

func fromHeader(values []string) (string, error) {
	switch {
	case len(values) == 0:
		return "", nil
	case len(values) > 1:
		return "", errMalformed
	}
	return values[0], written(values[0])
}

// written tells whether a token could be one, by its length and its letters.
func written(token string) error {
	switch {
	case len(token) > MaxToken:
		return errTooLong
	case token == "" || !unreserved(token):
		return errMalformed
	}
	return nil
}

// unreserved: base64url and dots, which every part of a URL may hold as they are (RFC 3986, 2.3). Two dots alone, and one, are path segments of their own.
func unreserved(token string) bool {
	for i := 0; i < len(token); i++ {
		switch c := token[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return token != "." && token != ".."
}
