package main

import (
	"bytes"
	"crypto/sha256"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// relay stands between a worker and its store. It can answer badly, and remembers what was put.
type relay struct {
	*httptest.Server
	mode atomic.Value // of weather
	puts atomic.Int64
	gets atomic.Int64

	mu     sync.Mutex
	bodies map[string]map[[32]byte]int // of each object that was put: its bodies, and how often
	read   map[string]int              // how often each object was asked for
	gaps   map[[32]byte]bool           // bodies without media
}

// weather is how the relay answers.
type weather string

const (
	fair       weather = "fair"
	away       weather = "away"        // connections are cut before anything is done
	half503    weather = "half503"     // every second request is refused
	cutAnswers weather = "cut answers" // every second answer to a put is cut off after the store has done it
	secondsToo weather = "seconds too" // who comes second is told that it has created: create-only is broken
)

func newRelay(t *testing.T, endpoint string) *relay {
	t.Helper()
	to, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{bodies: map[string]map[[32]byte]int{}, read: map[string]int{}, gaps: map[[32]byte]bool{}}
	r.mode.Store(fair)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host, p.Out.Host = to.Scheme, to.Host, p.In.Host // what was signed is what is sent
		},
		ModifyResponse: func(resp *http.Response) error {
			if r.mode.Load() == secondsToo && resp.StatusCode == http.StatusPreconditionFailed {
				resp.StatusCode, resp.Status = http.StatusOK, "200 OK"
				resp.Header.Set("ETag", `"00000000000000000000000000000000"`)
				resp.Header.Set("Content-Length", "0")
				resp.Body, resp.ContentLength = http.NoBody, 0
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { cut(w) },
	}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { r.pass(proxy, w, req) }))
	t.Cleanup(r.Close)
	return r
}

func cut(w http.ResponseWriter) {
	if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
		c.Close()
	}
}

func (r *relay) pass(proxy http.Handler, w http.ResponseWriter, req *http.Request) {
	n := r.gets.Add(1)
	if req.Method == http.MethodPut {
		n = r.puts.Add(1)
	}
	switch r.mode.Load() {
	case away:
		cut(w)
		return
	case half503:
		if n%2 == 0 {
			io.Copy(io.Discard, req.Body)
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
	case cutAnswers:
		if req.Method == http.MethodPut && n%2 == 0 {
			r.note(req)
			proxy.ServeHTTP(httptest.NewRecorder(), req)
			cut(w)
			return
		}
	}
	r.note(req)
	proxy.ServeHTTP(w, req)
}

// note remembers what is put and what is asked for.
func (r *relay) note(req *http.Request) {
	if req.Method != http.MethodPut {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.read[req.URL.Path]++
		return
	}
	body, _ := io.ReadAll(req.Body)
	req.Body = io.NopCloser(bytes.NewReader(body))
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bodies[req.URL.Path] == nil {
		r.bodies[req.URL.Path] = map[[32]byte]int{}
	}
	hash := sha256.Sum256(body)
	r.bodies[req.URL.Path][hash]++
	r.gaps[hash] = !bytes.Contains(body, []byte("mdat"))
}

// put is what was put below a folder, by name.
func (r *relay) put(folder string) map[string]map[[32]byte]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := map[string]map[[32]byte]int{}
	for name, bodies := range r.bodies {
		if strings.Contains(name, folder) {
			found[name] = bodies
		}
	}
	return found
}

// oneContentAName says which names were put with more than one content.
func (r *relay) oneContentAName(t *testing.T, folder string) {
	t.Helper()
	for name, bodies := range r.put(folder) {
		if len(bodies) > 1 {
			t.Errorf("%s was put with %d contents", name, len(bodies))
		}
	}
}
