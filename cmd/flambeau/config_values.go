package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"flambeau/packager/timeline"
)

// How the text of each kind of value is read. None of them touches the machine: a file is good or bad wherever it is checked.

func parseName(s string) (string, error) { return s, timeline.CheckName(s) }

// maxTitle is the longest title in letters; a longer one is refused.
const maxTitle = 200

func parseTitle(s string) (string, error) {
	if n := len([]rune(s)); n > maxTitle {
		return "", fmt.Errorf("%d letters, at most %d", n, maxTitle)
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		return "", fmt.Errorf("%q has control characters", s)
	}
	return s, nil
}

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration: want one such as 4s, 500ms or 408h", s)
	}
	return d, nil
}

func between(low, high time.Duration) func(string) (time.Duration, error) {
	return func(s string) (time.Duration, error) {
		d, err := parseDuration(s)
		if err != nil {
			return 0, err
		}
		if d < low || d > high {
			return 0, fmt.Errorf("%s is outside %s to %s", s, short(low), short(high))
		}
		return d, nil
	}
}

// short writes a duration as people do: 15m, not 15m0s.
func short(d time.Duration) string {
	s := d.String()
	s = strings.TrimSuffix(s, "0s")
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	if s == "" || !unicode.IsLetter(rune(s[len(s)-1])) {
		return d.String()
	}
	return s
}

var sizePattern = regexp.MustCompile(`^([1-9][0-9]{0,6})(MiB|GiB|TiB)$`)

func parseSize(s string) (int64, error) {
	m := sizePattern.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("%q is not a size: want one such as 512MiB or 10GiB", s)
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	return n << map[string]int{"MiB": 20, "GiB": 30, "TiB": 40}[m[2]], err // 9999999 TiB still fit 63 bits
}

// minCache is the smallest cache. An object of more than an eighth of a cache is not kept: 8 MiB are four seconds at 16 Mb/s.
const minCache = 64 << 20

func parseCache(s string) (int64, error) {
	n, err := parseSize(s)
	if err == nil && n < minCache {
		return 0, fmt.Errorf("%s is too little: want at least %d MiB", s, minCache>>20)
	}
	return n, err
}

func parseFolder(s string) (string, error) {
	if s == "" || strings.ContainsFunc(s, unicode.IsControl) {
		return "", fmt.Errorf("%q is not a folder", s)
	}
	return s, nil
}

func parseListen(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", fmt.Errorf(`%q is not an address: want one such as ":8080" or "127.0.0.1:8081"`, s)
	}
	if host != "" && net.ParseIP(host) == nil && !hostname.MatchString(host) {
		return "", fmt.Errorf("%q: %q is no host", s, host)
	}
	return s, checkPort(s, port, 0)
}

func parsePeer(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" {
		return "", fmt.Errorf("%q is not an address: want host:port", s)
	}
	return s, checkPort(s, port, 1)
}

var hostname = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,252})$`)

func checkPort(s, port string, low int) error {
	n, err := strconv.Atoi(port)
	if err != nil || n < low || n > 65535 {
		return fmt.Errorf("%q: port %q, want %d to 65535", s, port, low)
	}
	return nil
}

// optional lets a value be "".
func optional(parse func(string) (string, error)) func(string) (string, error) {
	return func(s string) (string, error) {
		if s == "" {
			return s, nil
		}
		return parse(s)
	}
}

// parseURL reads a URL without repeating it whole: one may hold a password.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		var why *url.Error
		if errors.As(err, &why) {
			err = why.Err
		}
		return nil, fmt.Errorf("not a URL: %w", err)
	}
	if u.Scheme == "" {
		return nil, errors.New("not a URL: it has no scheme such as udp:// or file://")
	}
	return u, nil
}

// filePath is the path of a file URL (RFC 8089): absolute, on this machine.
func filePath(u *url.URL) (string, error) {
	switch {
	case u.Host != "" || u.Opaque != "" || !strings.HasPrefix(u.Path, "/"):
		return "", fmt.Errorf("a file URL has three slashes and an absolute path: file:///var/lib/flambeau")
	case path.Clean(u.Path) == "/":
		return "", errors.New("a file URL that names the root of the file system")
	case u.Fragment != "":
		return "", fmt.Errorf("a file URL has no fragment: write # as %%23")
	case strings.ContainsFunc(u.Path, unicode.IsControl):
		return "", fmt.Errorf("%q has control characters", u.Path)
	}
	return u.Path, nil
}

func parseInput(s string) (string, error) {
	u, err := parseURL(s)
	if err != nil {
		return "", err
	}
	w, ok := wayOf(s)
	if !ok {
		return "", fmt.Errorf("unsupported input scheme %q in this version: want %s", u.Scheme, either(waySchemes()))
	}
	if w.check != nil {
		if err := w.check(s); err != nil {
			return s, err
		}
	}
	_, err = openInput(InputConfig{URL: s}, slog.New(slog.DiscardHandler)) // what is accepted here is what serve opens
	return s, err
}

func parseFile(s string) (string, error) {
	if s == "" || strings.ContainsFunc(s, unicode.IsControl) {
		return "", fmt.Errorf("%q is not a file", s)
	}
	return s, nil
}
