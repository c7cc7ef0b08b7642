package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Parse reads udp://GROUP:PORT, udp://ADDRESS:PORT or udp://:PORT, and the same with rtp://, and the parameters interface=NAME,
// source=ADDRESS and program=NUMBER.
func Parse(rawURL string) (Config, error) {
	c, err := parse(rawURL)
	if err != nil {
		return Config{}, fmt.Errorf("input %q: %w", rawURL, err)
	}
	return c, nil
}

func parse(rawURL string) (c Config, err error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return c, errors.Unwrap(err) // its own text repeats the URL
	}
	switch {
	case u.Scheme != "udp" && u.Scheme != "rtp":
		return c, fmt.Errorf("scheme %q: want udp or rtp", u.Scheme)
	case u.User != nil || u.Opaque != "" || u.Fragment != "" || u.Path != "" && u.Path != "/":
		return c, fmt.Errorf("want %s://ADDRESS:PORT and parameters only", u.Scheme)
	}
	c.RTP = u.Scheme == "rtp"
	if c.Address, err = address(u.Host); err != nil {
		return c, err
	}
	return c, c.parameters(u.RawQuery)
}

func address(hostport string) (a netip.AddrPort, err error) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return a, fmt.Errorf("want ADDRESS:PORT, or :PORT for every address of this machine, not %q", hostport)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return a, fmt.Errorf("port %q: want 1 to 65535", port)
	}
	if host == "" {
		return netip.AddrPortFrom(netip.Addr{}, uint16(n)), nil
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return a, fmt.Errorf("%q is no IP address", host)
	}
	if zone := ip.Zone(); zone != "" && !linkName(zone) {
		return a, fmt.Errorf("zone %q is no interface", zone)
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(n)), nil
}

// linkName tells whether an interface can be called so: Linux allows 15 bytes, none of them a slash, colon or space; we, ASCII only.
func linkName(s string) bool {
	odd := func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '/' || r == ':' }
	return s != "" && len(s) <= 15 && strings.IndexFunc(s, odd) < 0
}

var known = []string{"interface", "program", "source"}

func (c *Config) parameters(raw string) error {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return fmt.Errorf("parameters: %w", err)
	}
	for key, values := range query {
		switch {
		case !slices.Contains(known, key):
			return fmt.Errorf("unknown parameter %q: there are %s", key, strings.Join(known, ", "))
		case len(values) > 1:
			return fmt.Errorf("parameter %q is given twice", key)
		}
	}
	if query.Has("interface") {
		if c.Interface = query.Get("interface"); !linkName(c.Interface) {
			return fmt.Errorf("interface: %q is no name of one", c.Interface)
		}
	}
	if query.Has("program") {
		n, err := strconv.ParseUint(query.Get("program"), 10, 16)
		if err != nil || n == 0 { // 0 is the network's: ISO/IEC 13818-1, 2.4.4.4
			return fmt.Errorf("program %q: want 1 to 65535", query.Get("program"))
		}
		c.Program = int(n)
	}
	if query.Has("source") {
		ip, err := netip.ParseAddr(query.Get("source"))
		if err != nil {
			return fmt.Errorf("source: %q is no IP address", query.Get("source"))
		}
		if c.Source = ip.Unmap(); c.Address.Addr().IsValid() && c.Source.Is4() != c.Address.Addr().Is4() {
			return fmt.Errorf("source %s and address %s are not of one family", c.Source, c.Address.Addr())
		}
	}
	return nil
}
