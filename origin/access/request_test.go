package access_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"net/netip"
	"testing"

	"flambeau/origin/access"
)

func TestWhatATokenSaysOfRequestsIsHeldAgainstEachOne(t *testing.T) {
	uri := func(p access.Part, m access.Match, v string) access.Identity {
		return access.Identity{URI: []access.Condition{{Part: p, Match: m, Value: v}}}
	}
	header := func(name string, m access.Match, v string) access.Identity {
		return access.Identity{Headers: []access.HeaderCondition{{Name: name, Match: m, Value: v}}}
	}
	h256, h512 := sha256.Sum256([]byte("/live/curling-a/index.m3u8")), sha512.Sum512_256([]byte("/live/curling-a/index.m3u8"))
	nets := func(s ...string) (id access.Identity) {
		for _, n := range s {
			id.Networks = append(id.Networks, netip.MustParsePrefix(n))
		}
		return id
	}
	for name, c := range map[string]struct {
		id     access.Identity
		change func(*access.Request)
		want   access.Reason
	}{
		"nothing":                         {access.Identity{}, nil, ""},
		"its method":                      {access.Identity{Methods: []string{"HEAD", "GET"}}, nil, ""},
		"another method":                  {access.Identity{Methods: []string{"HEAD"}}, nil, access.WrongMethod},
		"its network":                     {nets("198.51.100.0/24", "192.0.2.0/24"), nil, ""},
		"another network":                 {nets("198.51.100.0/24", "2001:db8::/32"), nil, access.WrongNetwork},
		"an address that nobody knows":    {nets("0.0.0.0/0", "::/0"), func(r *access.Request) { r.Address = netip.Addr{} }, access.WrongNetwork},
		"its territory":                   {access.Identity{Territories: []string{"AT", "CH"}}, nil, ""},
		"another territory":               {access.Identity{Territories: []string{"AT"}}, nil, access.WrongTerritory},
		"a canton of its country":         {access.Identity{Territories: []string{"CH"}}, func(r *access.Request) { r.Territory = "CH-ZH" }, ""},
		"a country around its canton":     {access.Identity{Territories: []string{"CH-ZH"}}, nil, access.WrongTerritory},
		"a territory that nobody knows":   {access.Identity{Territories: []string{"CH"}}, func(r *access.Request) { r.Territory = "" }, access.WrongTerritory},
		"its protocol":                    {access.Identity{ALPN: []string{"h2"}}, nil, ""},
		"another protocol":                {access.Identity{ALPN: []string{"h3"}}, nil, access.WrongProtocol},
		"no protocol":                     {access.Identity{ALPN: []string{"h2"}}, func(r *access.Request) { r.Protocol = "" }, access.WrongProtocol},
		"its scheme":                      {uri(access.Scheme, access.Exact, "https"), nil, ""},
		"another scheme":                  {uri(access.Scheme, access.Exact, "http"), nil, access.WrongURL},
		"its host":                        {uri(access.Host, access.Suffix, ".example"), nil, ""},
		"its host in capitals":            {uri(access.Host, access.Exact, "media.example"), func(r *access.Request) { r.Host = "Media.Example:8443" }, ""},
		"another host":                    {uri(access.Host, access.Exact, "example"), nil, access.WrongURL},
		"the scheme's port":               {uri(access.Port, access.Exact, "443"), nil, ""},
		"a port that is said":             {uri(access.Port, access.Exact, "8443"), func(r *access.Request) { r.Host = "media.example:8443" }, ""},
		"its path":                        {uri(access.Path, access.Prefix, "/live/curling-a/"), nil, ""},
		"another path":                    {uri(access.Path, access.Prefix, "/live/curling-b/"), nil, access.WrongURL},
		"another by way of its own":       {uri(access.Path, access.Prefix, "/live/curling-a/"), func(r *access.Request) { r.Path = "/live/curling-a/../curling-b/index.m3u8" }, access.WrongURL},
		"another by way of a dot":         {uri(access.Path, access.Suffix, "index.m3u8"), func(r *access.Request) { r.Path = "/live/./index.m3u8" }, access.WrongURL},
		"another by way of two slashes":   {uri(access.Path, access.Prefix, "/live/"), func(r *access.Request) { r.Path = "/live//x" }, access.WrongURL},
		"up at the end":                   {uri(access.Path, access.Prefix, "/live/"), func(r *access.Request) { r.Path = "/live/a/.." }, access.WrongURL},
		"a path with a hash":              {uri(access.Path, access.SHA256, string(h256[:])), nil, ""},
		"a path with another hash":        {uri(access.Path, access.SHA256, string(h512[:])), nil, access.WrongURL},
		"a path with a long hash":         {uri(access.Path, access.SHA512, string(h512[:])), nil, ""},
		"no query":                        {uri(access.Query, access.Exact, ""), nil, ""},
		"a query":                         {uri(access.Query, access.Exact, ""), func(r *access.Request) { r.Query = "start=1" }, access.WrongURL},
		"its folder":                      {uri(access.ParentPath, access.Exact, "/live/curling-a"), nil, ""},
		"its file":                        {uri(access.Filename, access.Contains, "dex.m"), nil, ""},
		"its stem":                        {uri(access.Stem, access.Exact, "index"), nil, ""},
		"its extension":                   {uri(access.Extension, access.Exact, ".m3u8"), nil, ""},
		"another extension":               {uri(access.Extension, access.Exact, ".mpd"), nil, access.WrongURL},
		"its header":                      {header("X-Device", access.Prefix, "set-"), nil, ""},
		"another value of its header":     {header("X-Device", access.Exact, "phone"), nil, access.WrongHeader},
		"a header that is not there":      {header("X-Other", access.Prefix, ""), nil, access.WrongHeader},
		"its header twice":                {header("X-Device", access.Exact, "set-top-4"), func(r *access.Request) { r.Header.Add("X-Device", "phone") }, access.WrongHeader},
		"a match that nobody knows":       {uri(access.Path, 4, ".*"), nil, access.WrongURL},
		"all that is good and one is not": {access.Identity{Methods: []string{"GET"}, Territories: []string{"CH"}, URI: []access.Condition{{Part: access.Path, Match: access.Prefix, Value: "/live/"}, {Part: access.Extension, Value: ".mpd"}}}, nil, access.WrongURL},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := access.New(access.Options{Audience: "x"})
			if err != nil {
				t.Fatal(err)
			}
			r := asked()
			if c.change != nil {
				c.change(&r)
			}
			is(t, v.Request(c.id, r), c.want)
		})
	}
}

func TestOnlyWhatStandsInAURLMayBeShared(t *testing.T) {
	for name, c := range map[string]struct {
		id   access.Identity
		want bool
	}{
		"nothing":     {access.Identity{}, true},
		"methods":     {access.Identity{Methods: []string{"GET"}}, true},
		"a URL":       {access.Identity{URI: []access.Condition{{}}}, true},
		"territories": {access.Identity{Territories: []string{"CH"}}, false},
		"networks":    {access.Identity{Networks: []netip.Prefix{{}}}, false},
		"protocols":   {access.Identity{ALPN: []string{"h2"}}, false},
		"headers":     {access.Identity{Headers: []access.HeaderCondition{{}}}, false},
	} {
		if got := c.id.InURL(); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
