package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// checkDatagrams judges udp:// and rtp://: where to bind, or which group to join.
func checkDatagrams(rawURL string) error {
	u, err := parseURL(rawURL)
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(u.Host)
	if err != nil {
		return fmt.Errorf("want %s://GROUP:PORT, or %s://:PORT for every address of this machine", u.Scheme, u.Scheme)
	}
	if err := checkPort(u.Host, port, 1); err != nil {
		return err
	}
	if host != "" {
		if _, err := netip.ParseAddr(host); err != nil {
			return fmt.Errorf("%q is no IP address", host)
		}
	}
	if u.User != nil || u.Fragment != "" || u.Opaque != "" || u.Path != "" && u.Path != "/" {
		return fmt.Errorf("%s:// takes an address and parameters only", u.Scheme)
	}
	return parameters(u, map[string]func(string) error{"interface": interfaceName, "source": ipAddress, "program": programNumber})
}

// checkFileInput judges file://: a transport stream on disk, played at its own pace.
func checkFileInput(rawURL string) error {
	u, err := parseURL(rawURL)
	if err != nil {
		return err
	}
	if _, err := filePath(u); err != nil {
		return err
	}
	return parameters(u, map[string]func(string) error{"loop": word("0", "1"), "pace": word("on", "off"), "ahead": ahead, "program": programNumber})
}

// parameters judges the query of an input's URL: known keys, each once.
func parameters(u *url.URL, known map[string]func(string) error) error {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return fmt.Errorf("parameters: %w", err)
	}
	for _, name := range sortedKeys(query) {
		check, ok := known[name]
		if !ok {
			return unknown("parameter", name, sortedKeys(known))
		}
		if len(query[name]) > 1 {
			return fmt.Errorf("parameter %q is given twice", name)
		}
		if err := check(query[name][0]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) (names []string) {
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func interfaceName(s string) error {
	if len(s) == 0 || len(s) > 15 { // IFNAMSIZ with its final zero
		return fmt.Errorf("%q is no interface", s)
	}
	return nil
}

func ipAddress(s string) error {
	if _, err := netip.ParseAddr(s); err != nil {
		return fmt.Errorf("%q is no IP address", s)
	}
	return nil
}

func programNumber(s string) error {
	if n, err := strconv.ParseUint(s, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%q is no program: want 1 to 65535", s) // 0 is the network's (ISO/IEC 13818-1, 2.4.4.4)
	}
	return nil
}

func ahead(s string) error {
	d, err := parseDuration(s)
	if err == nil && (d < 0 || d > time.Hour) {
		return errors.New("want 0s to 1h")
	}
	return err
}

func word(allowed ...string) func(string) error {
	return func(s string) error {
		if !slices.Contains(allowed, s) {
			return fmt.Errorf("%q: want %s", s, either(allowed))
		}
		return nil
	}
}

// boundAddress is the UDP address that an input alone may bind; "" where it binds none, or shares it, as a group's members do.
func boundAddress(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return ""
	}
	switch u.Scheme {
	case "udp", "rtp":
		if ip, err := netip.ParseAddr(u.Hostname()); err == nil && ip.IsMulticast() {
			return ""
		}
		return u.Host
	case "srt":
		if u.Hostname() == "" || u.Query().Get("mode") == "listener" {
			return u.Host
		}
	}
	return ""
}

// anyPort tells whether the machine chooses the port: two such addresses are never one.
func anyPort(address string) bool {
	_, port, err := net.SplitHostPort(address)
	return err == nil && port == "0"
}
