package access_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"flambeau/origin/access"
)

func TestATokenIsFoundWhereItMayStandAndNowhereElse(t *testing.T) {
	long := strings.Repeat("A", access.MaxToken+1)
	for name, c := range map[string]struct {
		url     string
		headers [][2]string
		token   string
		rest    string
		where   access.Place
		want    access.Reason
	}{
		"nowhere":                    {"/live/a/index.m3u8", nil, "", "/live/a/index.m3u8", access.Nowhere, ""},
		"in the path":                {"/t/abc.d-e_f/live/a/index.m3u8", nil, "abc.d-e_f", "/live/a/index.m3u8", access.InPath, ""},
		"in the path, alone":         {"/t/abc", nil, "abc", "/", access.InPath, ""},
		"in the path, with a slash":  {"/t/abc/", nil, "abc", "/", access.InPath, ""},
		"with an escape behind":      {"/t/abc/live/a%2Fb", nil, "abc", "/live/a/b", access.InPath, ""},
		"as bearer":                  {"/live", [][2]string{{"Authorization", "Bearer abc"}}, "abc", "/live", access.Bearer, ""},
		"as bearer in small letters": {"/live", [][2]string{{"Authorization", "bearer  abc"}}, "abc", "/live", access.Bearer, ""},
		"in its header":              {"/live", [][2]string{{"CTA-Common-Access-Token", "abc"}}, "abc", "/live", access.Header, ""},
		"thrice the same":            {"/t/abc/x", [][2]string{{"Authorization", "Bearer abc"}, {"CTA-Common-Access-Token", "abc"}}, "abc", "/x", access.InPath, ""},
		"an API key as bearer":       {"/live", [][2]string{{"Authorization", "Bearer fk_a_b"}}, "fk_a_b", "/live", access.Bearer, ""},
		"in the query":               {"/live?token=abc&access_token=abc&CAT=abc", nil, "", "/live", access.Nowhere, ""},
		"in a cookie":                {"/live", [][2]string{{"Cookie", "token=abc"}}, "", "/live", access.Nowhere, ""},
		"later in the path":          {"/live/t/abc/x", nil, "", "/live/t/abc/x", access.Nowhere, ""},
		"two in two places":          {"/t/abc/x", [][2]string{{"Authorization", "Bearer abd"}}, "", "", "", access.Ambiguous},
		"two in two headers":         {"/x", [][2]string{{"Authorization", "Bearer abd"}, {"CTA-Common-Access-Token", "abc"}}, "", "", "", access.Ambiguous},
		"two bearers":                {"/x", [][2]string{{"Authorization", "Bearer abc"}, {"Authorization", "Bearer abc"}}, "", "", "", access.Malformed},
		"two of its header":          {"/x", [][2]string{{"CTA-Common-Access-Token", "abc"}, {"CTA-Common-Access-Token", "abc"}}, "", "", "", access.Malformed},
		"none in the path":           {"/t//live", nil, "", "", "", access.Malformed},
		"nothing at all in the path": {"/t/", nil, "", "", "", access.Malformed},
		"dots in the path":           {"/t/../live", nil, "", "", "", access.Malformed},
		"a dot in the path":          {"/t/./live", nil, "", "", "", access.Malformed},
		"an escape in it":            {"/t/ab%63/live", nil, "", "", "", access.Malformed},
		"an escaped slash in it":     {"/t/a%2Fb/live", nil, "", "", "", access.Malformed},
		"an escaped t":               {"/%74/abc/live", nil, "", "", "", access.Malformed},
		"an escaped slash before it": {"/t%2Fabc/live", nil, "", "", "", access.Malformed},
		"a tilde in it":              {"/t/a~b/live", nil, "", "", "", access.Malformed},
		"padding in it":              {"/t/ab==/live", nil, "", "", "", access.Malformed},
		"a semicolon in it":          {"/t/ab;x/live", nil, "", "", "", access.Malformed},
		"an API key in the path":     {"/t/fk_a_b/live", nil, "", "", "", access.Malformed},
		"basic":                      {"/x", [][2]string{{"Authorization", "Basic abc"}}, "", "", "", access.Malformed},
		"bearer of nothing":          {"/x", [][2]string{{"Authorization", "Bearer "}}, "", "", "", access.Malformed},
		"bearer alone":               {"/x", [][2]string{{"Authorization", "Bearer"}}, "", "", "", access.Malformed},
		"an empty authorization":     {"/x", [][2]string{{"Authorization", ""}}, "", "", "", access.Malformed},
		"bearer of two":              {"/x", [][2]string{{"Authorization", "Bearer a b"}}, "", "", "", access.Malformed},
		"its header with a list":     {"/x", [][2]string{{"CTA-Common-Access-Token", "a, b"}}, "", "", "", access.Malformed},
		"too long in the path":       {"/t/" + long + "/live", nil, "", "", "", access.TooLong},
		"too long as bearer":         {"/x", [][2]string{{"Authorization", "Bearer " + long}}, "", "", "", access.TooLong},
		"too long in its header":     {"/x", [][2]string{{"CTA-Common-Access-Token", long}}, "", "", "", access.TooLong},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, c.url, nil)
			for _, h := range c.headers {
				r.Header.Add(h[0], h[1])
			}
			token, rest, where, err := access.FromRequest(r)
			is(t, err, c.want)
			if token != c.token || where != c.where || err == nil && rest != c.rest {
				t.Errorf("%q, %q, %q", token, rest, where)
			}
		})
	}
}
