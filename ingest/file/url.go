package file

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaxAhead is the most that may be delivered at once at the start. More is refused.
const MaxAhead = time.Hour

// Parse reads file:///PATH and the parameters loop=0|1, pace=on|off, ahead=DURATION and program=NUMBER.
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
	case u.Scheme != "file":
		return c, fmt.Errorf("scheme %q: want file", u.Scheme)
	case u.Host != "" || u.Opaque != "" || u.User != nil || path.Clean(u.Path) == "/" || u.Path == "":
		return c, errors.New("want three slashes and an absolute path: file:///var/lib/feed.ts")
	case u.Fragment != "":
		return c, errors.New("a file URL has no fragment: write # as %23")
	}
	c.Name = u.Path
	c.Open = func() (io.ReadSeekCloser, error) { return os.Open(c.Name) }
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return c, fmt.Errorf("parameters: %w", err)
	}
	for key, values := range query {
		if len(values) > 1 {
			return c, fmt.Errorf("parameter %q is given twice", key)
		}
		if err := c.set(key, values[0]); err != nil {
			return c, err
		}
	}
	if c.Ahead > 0 && c.Unpaced {
		return c, errors.New("ahead: without pace everything is ahead")
	}
	return c, nil
}

var known = []string{"ahead", "loop", "pace", "program"}

func (c *Config) set(key, value string) (err error) {
	switch key {
	case "loop":
		c.Loop, err = oneOf(value, "0", "1")
	case "pace":
		c.Unpaced, err = oneOf(value, "on", "off")
	case "ahead":
		if c.Ahead, err = time.ParseDuration(value); err == nil && (c.Ahead < 0 || c.Ahead > MaxAhead) {
			err = fmt.Errorf("want 0s to %s", MaxAhead)
		}
	case "program":
		c.Program, err = strconv.Atoi(value)
		if err != nil || c.Program < 1 || c.Program > 65535 { // 0 is the network's: ISO/IEC 13818-1, 2.4.4.4
			err = fmt.Errorf("%q: want 1 to 65535", value)
		}
	default:
		return fmt.Errorf("unknown parameter %q: there are %s", key, strings.Join(known, ", "))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// oneOf tells whether value is the second of two words.
func oneOf(value string, words ...string) (second bool, err error) {
	i := slices.Index(words, value)
	if i < 0 {
		return false, fmt.Errorf("%q: want %s", value, strings.Join(words, " or "))
	}
	return i == 1, nil
}
