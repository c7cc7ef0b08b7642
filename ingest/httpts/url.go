package httpts

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Parse reads http://USER:PASSWORD@HOST:PORT/PATH?QUERY, and the same with https. The query is the server's; what is ours stands
// behind a #: program=NUMBER. Its errors repeat no password.
func Parse(rawURL string) (Config, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return Config{}, errors.New("not a URL") // its own text repeats it
	}
	return parse(u)
}

func parse(u *url.URL) (c Config, err error) {
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return c, fmt.Errorf("scheme %q: want http or https", u.Scheme)
	case u.Opaque != "" || u.Hostname() == "":
		return c, fmt.Errorf("want %s://HOST/PATH", u.Scheme)
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return c, fmt.Errorf("port %q: want 1 to 65535", p)
		}
	}
	if u.Fragment != "" {
		v, is := strings.CutPrefix(u.Fragment, "program=")
		n, err := strconv.ParseUint(v, 10, 16)
		if !is || err != nil || n == 0 { // 0 is the network's: ISO/IEC 13818-1, 2.4.4.4
			return c, errors.New("behind a # stands nothing but program=1 to program=65535")
		}
		c.Program = int(n)
	}
	c.User = u.User.Username()
	c.Password, _ = u.User.Password()
	bare := *u
	bare.User, bare.Fragment, bare.RawFragment = nil, "", ""
	c.URL = &bare
	return c, nil
}
