// Package territory says from where a request comes: as a CDN says that has proved itself, else as a database knows of the peer's address,
// else nobody knows. What a stranger writes into headers is not looked at.
package territory

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/oschwald/maxminddb-golang/v2"
)

// Locator finds out from where a request comes. It is safe for any number of goroutines.
type Locator struct {
	CDN      *CDN      // nil: there is none
	Database *Database // nil: there is none
}

// CDN is one that passes requests on, and says from where they came.
type CDN struct {
	Proof     string // header that holds the secret, in canonical form
	Secret    []byte // that only it and we know
	Territory string // header that holds ISO 3166-1 alpha-2; "": it says none
	Address   string // header that holds the client's address, of a list the last; "": it says none
}

// MinSecret is the shortest secret that is taken, in bytes.
const MinSecret = 16

// Where is the territory, ISO 3166-1 alpha-2, or "" if nobody knows; and the address of who asks, zero if nobody knows.
func (l *Locator) Where(r *http.Request) (code string, address netip.Addr) {
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		address = peer.Addr().Unmap().WithZone("")
	}
	if l == nil {
		return "", address
	}
	if l.CDN.proved(r) {
		said := l.CDN.address(r)
		if code = l.CDN.territory(r); code != "" {
			return code, said
		}
		address = said // the peer is the CDN: where that stands says nothing
	}
	return l.Database.code(address), address
}

func (c *CDN) proved(r *http.Request) bool {
	if c == nil {
		return false
	}
	said := r.Header[c.Proof]
	if len(said) != 1 {
		return false
	}
	// Of equal length, so that it does not tell how long the secret is.
	a, b := sha256.Sum256([]byte(said[0])), sha256.Sum256(c.Secret)
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// territory is what the CDN says. Said twice it is said by somebody else as well.
func (c *CDN) territory(r *http.Request) string {
	said := r.Header[c.Territory]
	if c.Territory == "" || len(said) != 1 || !isCode(said[0]) {
		return ""
	}
	return said[0]
}

func (c *CDN) address(r *http.Request) netip.Addr {
	said := r.Header[c.Address]
	if c.Address == "" || len(said) == 0 {
		return netip.Addr{}
	}
	last := said[len(said)-1]
	last = strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
	if a, err := netip.ParseAddr(last); err == nil {
		return a.Unmap().WithZone("")
	}
	if a, err := netip.ParseAddrPort(last); err == nil {
		return a.Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

func isCode(s string) bool {
	return len(s) == 2 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z'
}

// Database knows addresses: a file in MaxMind's format with country/iso_code, as GeoLite2-Country, GeoIP2-City and others have it.
type Database struct{ db *maxminddb.Reader }

// Open reads a database.
func Open(file string) (*Database, error) {
	db, err := maxminddb.Open(file)
	if err != nil {
		return nil, fmt.Errorf("territory database: %w", err)
	}
	d := &Database{db}
	if !strings.Contains(strings.ToLower(db.Metadata.DatabaseType), "country") && !strings.Contains(strings.ToLower(db.Metadata.DatabaseType), "city") &&
		!strings.Contains(strings.ToLower(db.Metadata.DatabaseType), "enterprise") {
		return nil, errors.Join(fmt.Errorf("territory database: %s is one of %s: want one of countries", file, db.Metadata.DatabaseType), d.Close())
	}
	return d, nil
}

// Close lets go of the file.
func (d *Database) Close() error { return d.db.Close() }

func (d *Database) code(a netip.Addr) (code string) {
	if d == nil || !a.IsValid() {
		return ""
	}
	if err := d.db.Lookup(a).DecodePath(&code, "country", "iso_code"); err != nil || !isCode(code) {
		return ""
	}
	return code
}
