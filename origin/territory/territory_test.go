package territory

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// database writes a file as others write them.
func database(t *testing.T, kind string, countries map[string]string) string {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: kind, RecordSize: 24, IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	for network, code := range countries {
		_, n, err := net.ParseCIDR(network)
		if err == nil {
			err = tree.Insert(n, mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String(code)}})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "countries.mmdb")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := tree.WriteTo(f); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWhereARequestComesFrom(t *testing.T) {
	db, err := Open(database(t, "GeoLite2-Country", map[string]string{"192.0.2.0/24": "CH", "2001:db8::/32": "AT", "203.0.113.0/24": "Switzerland"}))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	cdn := &CDN{Proof: "X-Proof", Secret: []byte("0123456789abcdef"), Territory: "X-Country", Address: "X-Forwarded-For"}
	proof := "X-Proof: 0123456789abcdef"
	for name, c := range map[string]struct {
		peer    string
		headers string // a line each
		code    string
		address string
	}{
		"a known address":                          {"192.0.2.7:5000", "", "CH", "192.0.2.7"},
		"one of IPv6":                              {"[2001:db8::7]:5000", "", "AT", "2001:db8::7"},
		"one of IPv4 written in IPv6":              {"[::ffff:192.0.2.7]:5000", "", "CH", "192.0.2.7"},
		"an unknown address":                       {"198.51.100.1:5000", "", "", "198.51.100.1"},
		"one of which the database says nonsense":  {"203.0.113.1:5000", "", "", "203.0.113.1"},
		"no address at all":                        {"pipe", "", "", "invalid IP"},
		"a stranger who says where he is":          {"198.51.100.1:5000", "X-Country: CH\nX-Forwarded-For: 192.0.2.7", "", "198.51.100.1"},
		"a stranger who guesses the proof":         {"198.51.100.1:5000", "X-Proof: 0123456789abcdee\nX-Country: CH", "", "198.51.100.1"},
		"a proof that is only begun":               {"198.51.100.1:5000", "X-Proof: 0123456789\nX-Country: CH", "", "198.51.100.1"},
		"two proofs":                               {"198.51.100.1:5000", proof + "\n" + proof + "\nX-Country: CH", "", "198.51.100.1"},
		"a CDN that has proved itself":             {"198.51.100.1:5000", proof + "\nX-Country: LI\nX-Forwarded-For: 192.0.2.7", "LI", "192.0.2.7"},
		"a CDN that says the address only":         {"198.51.100.1:5000", proof + "\nX-Forwarded-For: 10.0.0.1, 192.0.2.7", "CH", "192.0.2.7"},
		"a CDN that says the address with a port":  {"198.51.100.1:5000", proof + "\nX-Forwarded-For: [2001:db8::7]:443", "AT", "2001:db8::7"},
		"a CDN that says nothing":                  {"192.0.2.7:5000", proof, "", "invalid IP"},
		"a CDN that passes on a second one's word": {"198.51.100.1:5000", proof + "\nX-Country: LI\nX-Country: CH\nX-Forwarded-For: 192.0.2.7", "CH", "192.0.2.7"},
		"a CDN that does not know":                 {"198.51.100.1:5000", proof + "\nX-Country: T1\nX-Forwarded-For: 198.51.100.9", "", "198.51.100.9"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.peer
		for line := range strings.Lines(c.headers) {
			k, v, _ := strings.Cut(strings.TrimSpace(line), ": ")
			r.Header.Add(k, v)
		}
		if code, address := (&Locator{cdn, db}).Where(r); code != c.code || address.String() != c.address {
			t.Errorf("%s: %q, %v; want %q, %s", name, code, address, c.code, c.address)
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	for name, l := range map[string]*Locator{"none": nil, "empty": {}} {
		if code, address := l.Where(r); code != "" || address != netip.MustParseAddr("192.0.2.1") {
			t.Errorf("%s: %q, %v", name, code, address)
		}
	}
}

func TestADatabaseOfSomethingElseIsRefused(t *testing.T) {
	garbage := filepath.Join(t.TempDir(), "garbage")
	if err := os.WriteFile(garbage, []byte("no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{database(t, "GeoLite2-ASN", nil), garbage, filepath.Join(t.TempDir(), "none")} {
		if _, err := Open(file); err == nil {
			t.Errorf("%s was opened", file)
		}
	}
}

func BenchmarkWhere(b *testing.B) {
	l := &Locator{CDN: &CDN{Proof: "X-Proof", Secret: []byte("0123456789abcdef"), Territory: "X-Country", Address: "X-Forwarded-For"}}
	r := &http.Request{RemoteAddr: "198.51.100.1:5000", Header: http.Header{"X-Proof": {"0123456789abcdef"}, "X-Country": {"CH"}, "X-Forwarded-For": {"192.0.2.7"}}}
	b.ReportAllocs()
	for b.Loop() {
		if code, _ := l.Where(r); code != "CH" {
			b.Fatal(code)
		}
	}
}
