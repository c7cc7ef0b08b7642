package srt

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Parse reads srt://HOST:PORT, or srt://ADDRESS:PORT?mode=listener and srt://:PORT, and the parameters passphrase=TEXT,
// pbkeylen=16|24|32, streamid=TEXT, latency=MILLISECONDS and program=NUMBER. Its errors repeat no passphrase.
//
// A latency without a unit is in milliseconds, as libsrt, srt-live-transmit and the panels of encoders have it; ffmpeg alone writes
// microseconds. What can only be meant so is refused. 200ms and 1s are taken as well.
func Parse(rawURL string) (Config, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return Config{}, errors.New("not a URL") // its own text repeats it
	}
	return parse(u)
}

func parse(u *url.URL) (c Config, err error) {
	switch {
	case u.Scheme != "srt":
		return c, fmt.Errorf("scheme %q: want srt", u.Scheme)
	case u.Fragment != "":
		return c, errors.New("want no fragment: a # in a stream id is written %23")
	case u.User != nil || u.Opaque != "" || u.Path != "" && u.Path != "/":
		return c, errors.New("want srt://HOST:PORT and parameters only")
	}
	host, port, err := net.SplitHostPort(u.Host)
	if err != nil {
		return c, errors.New("want srt://HOST:PORT to call, or srt://:PORT to be called")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return c, fmt.Errorf("port %q: want 1 to 65535", port)
	}
	c.Address, c.Listen = u.Host, host == ""
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return c, errors.New("parameters: a % that is no escape, or a semicolon")
	}
	return c, c.parameters(query, host)
}

var known = []string{"latency", "mode", "passphrase", "pbkeylen", "program", "streamid"}

func (c *Config) parameters(query url.Values, host string) error {
	for key, values := range query {
		switch {
		case !slices.Contains(known, key):
			return fmt.Errorf("unknown parameter %q: there are %s", key, strings.Join(known, ", "))
		case len(values) > 1:
			return fmt.Errorf("parameter %q is given twice", key)
		}
	}
	for _, key := range known {
		if !query.Has(key) {
			continue
		}
		if err := c.set(key, query.Get(key), host); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) set(key, v, host string) (err error) {
	switch key {
	case "mode":
		return c.mode(v, host)
	case "latency":
		c.Latency, err = latency(v)
	case "passphrase":
		c.Passphrase, err = v, CheckPassphrase(v)
	case "pbkeylen":
		n, _ := strconv.Atoi(v)
		if !slices.Contains(keyLengths, n) {
			return fmt.Errorf("pbkeylen %q: want 16, 24 or 32", v)
		}
		c.KeyLength = n
	case "streamid":
		if c.StreamID = v; len(v) > maxStreamID {
			return fmt.Errorf("streamid has %d bytes: at most %d", len(v), maxStreamID)
		}
	case "program":
		n, err := strconv.ParseUint(v, 10, 16)
		if err != nil || n == 0 { // 0 is the network's: ISO/IEC 13818-1, 2.4.4.4
			return fmt.Errorf("program %q: want 1 to 65535", v)
		}
		c.Program = int(n)
	}
	return err
}

func (c *Config) mode(v, host string) error {
	switch v {
	case "caller":
		if host == "" {
			return errors.New("mode caller: whom to call is missing")
		}
		return nil
	case "listener":
		if _, err := netip.ParseAddr(host); host != "" && err != nil {
			return fmt.Errorf("mode listener: %q is no address of this machine", host)
		}
		c.Listen = true
		return nil
	}
	return fmt.Errorf("mode %q: want caller or listener", v)
}

func latency(v string) (d time.Duration, err error) {
	if n, e := strconv.ParseInt(v, 10, 32); e == nil {
		if d = time.Duration(n) * time.Millisecond; d > MaxLatency {
			return 0, fmt.Errorf("latency %s is in milliseconds, at most %d: ffmpeg alone writes microseconds", v, MaxLatency.Milliseconds())
		}
	} else if d, err = time.ParseDuration(v); err != nil {
		return 0, fmt.Errorf("latency %q: want milliseconds, such as 200, or 200ms", v)
	}
	if d < MinLatency || d > MaxLatency {
		return 0, fmt.Errorf("latency %s: want %v to %v", v, MinLatency, MaxLatency)
	}
	return d.Truncate(time.Millisecond), nil
}

// CheckPassphrase judges a passphrase without repeating it.
func CheckPassphrase(s string) error {
	if len(s) < 10 || len(s) > 80 { // SRTO_PASSPHRASE
		return fmt.Errorf("passphrase has %d bytes: want 10 to 80", len(s))
	}
	return nil
}
