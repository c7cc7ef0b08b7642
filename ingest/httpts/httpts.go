// Package httpts is the way in for MPEG-TS that a server sends over HTTP or HTTPS: one GET, and a body without end.
//
//	GET ─► redirects, status, type ─► body ─► is it a transport stream? ─► mpegts.Demuxer ─► events
//
// It has no goroutine but those of net/http, which end with the feed.
package httpts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"flambeau/ingest"
	"flambeau/ingest/mpegts"
)

const (
	// maxRedirects are followed; a server that redirects once more is refused.
	maxRedirects = 5
	// maxHeader is the most that headers of an answer may have, in bytes.
	maxHeader = 64 << 10
	// dialWait, tlsWait and headerWait are how long each step may take. Together they are less than a worker waits.
	dialWait   = 3 * time.Second
	tlsWait    = 3 * time.Second
	headerWait = 5 * time.Second
	// readSize is how much is read at a time.
	readSize = 64 << 10
)

// Config says what to get.
type Config struct {
	URL      *url.URL       // http or https, without user
	User     string         // of basic authentication; "": none
	Password string         //
	Roots    *x509.CertPool // whom to believe who a server is; nil: those of the machine
	Program  int            // program_number; 0: the first that has something for us
}

// Source is an ingest.Source.
type Source struct{ config Config }

// New makes a source; Open asks for the feed.
func New(c Config) *Source { return &Source{c} }

// String has no query: that may be a key.
func (s *Source) String() string {
	if s.config.URL == nil {
		return "http:"
	}
	return plain(s.config.URL)
}

func plain(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// Open asks, and takes a good answer's headers. The feed begins with its body.
func (s *Source) Open(ctx context.Context) (ingest.Feed, error) {
	f, err := s.config.get(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s, err)
	}
	return f, nil
}

func (c Config) get(opening context.Context) (*feed, error) {
	// What reads the body outlives the opening.
	ctx, cancel := context.WithCancelCause(context.Background())
	defer context.AfterFunc(opening, func() { cancel(context.Cause(opening)) })()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL.String(), nil)
	if err != nil {
		cancel(nil)
		return nil, bare(err)
	}
	req.Header.Set("User-Agent", "flambeau")
	if c.User != "" || c.Password != "" {
		req.SetBasicAuth(c.User, c.Password)
	}
	resp, err := c.client().Do(req)
	if err != nil {
		if opening.Err() != nil {
			err = context.Cause(opening)
		}
		cancel(nil)
		return nil, bare(err)
	}
	if err := judge(resp); err != nil {
		resp.Body.Close()
		cancel(nil)
		return nil, err
	}
	return &feed{
		body: resp.Body, cancel: cancel, buffer: make([]byte, readSize), errors: map[string]uint64{},
		demux: mpegts.New(mpegts.Options{Program: c.Program}),
	}, nil
}

// client is made for one feed: no connection is kept for another.
func (c Config) client() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: dialWait}).DialContext,
			TLSClientConfig:        &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    tlsWait,
			ResponseHeaderTimeout:  headerWait,
			MaxResponseHeaderBytes: maxHeader,
			DisableKeepAlives:      true,
			DisableCompression:     true,
		},
		CheckRedirect: redirect,
	}
}

// redirect follows not too often, never out of TLS, and takes no password to another host.
func redirect(req *http.Request, via []*http.Request) error {
	first, last := via[0].URL, via[len(via)-1].URL
	switch {
	case len(via) > maxRedirects:
		return fmt.Errorf("redirected more than %d times", maxRedirects)
	case req.URL.Scheme != "http" && req.URL.Scheme != "https":
		return fmt.Errorf("redirected to scheme %q", req.URL.Scheme)
	case last.Scheme == "https" && req.URL.Scheme != "https":
		return errors.New("redirected from https to http")
	}
	if req.URL.Host != first.Host || req.URL.Scheme != first.Scheme {
		req.Header.Del("Authorization")
	}
	req.Header.Del("Referer") // it may hold a key
	return nil
}

// otherTypes are what a server may send instead of a transport stream, and what is thought of it.
var otherTypes = map[string]string{
	"text/html": "a web page", "application/xhtml+xml": "a web page", "application/json": "JSON", "application/xml": "XML", "text/xml": "XML",
	"application/vnd.apple.mpegurl": "an HLS playlist", "application/x-mpegurl": "an HLS playlist", "audio/mpegurl": "an HLS playlist",
	"audio/x-mpegurl": "an HLS playlist", "application/dash+xml": "a DASH manifest", "video/mp4": "MP4", "video/x-flv": "FLV", "video/webm": "WebM",
	"multipart/x-mixed-replace": "single pictures",
}

// judge says what is wrong with an answer's status and headers.
func judge(resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the server answers %s", strings.ToValidUTF8(resp.Status[:min(len(resp.Status), 100)], "?"))
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if is, ok := otherTypes[kind]; ok {
		return notTS(is)
	}
	if coding := resp.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return errors.New("the server compresses, unasked")
	}
	return nil
}

// notTS is what a server sends instead.
type notTS string

func (e notTS) Error() string { return "the server sends " + string(e) + ", no MPEG-TS" }

// bare leaves out the URL: it may hold a key.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// refusedContent counts bodies that are no transport stream.
const refusedContent = "http_content"

// Reasons is the closed list of what a feed counts in Stats.Errors.
var Reasons = slices.Concat([]string{refusedContent}, mpegts.Reasons)
