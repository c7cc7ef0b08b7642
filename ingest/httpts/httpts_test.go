package httpts

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"flambeau/ingest"
	"flambeau/packager/media"
)

// clip is two seconds of H.264 and AAC.
var clip = sync.OnceValues(func() ([]byte, error) {
	return exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=2", "-f", "lavfi", "-i", "sine=duration=2:sample_rate=48000",
		"-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-c:a", "aac", "-f", "mpegts", "-").Output()
})

func theClip(t *testing.T) []byte {
	t.Helper()
	b, err := clip()
	if err != nil {
		t.Fatalf("ffmpeg makes no clip: %v", err)
	}
	return b
}

func source(t *testing.T, rawURL string) *Source {
	t.Helper()
	c, err := Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	return New(c)
}

// heard is what a feed gives until it ends, or for five seconds.
func heard(t *testing.T, f ingest.Feed) (samples int, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 5*time.Second, ingest.ErrSilent)
	defer cancel()
	for {
		e, err := f.Next(ctx)
		if err != nil {
			return samples, err
		}
		if _, ok := e.(*media.Sample); ok {
			samples++
		}
	}
}

func pull(t *testing.T, s *Source) (samples int, err error) {
	t.Helper()
	f, err := s.Open(t.Context())
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return heard(t, f)
}

const frames = 50 + 95 // of the clip: AAC has a frame or two more

func whole(t *testing.T, s *Source) {
	t.Helper()
	if n, err := pull(t, s); n < frames || n > frames+2 || !errors.Is(err, io.EOF) {
		t.Errorf("%d frames, %v", n, err)
	}
}

// serve answers with what a handler writes.
func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	s.Config.ErrorLog = nil
	t.Cleanup(s.Close)
	return s
}

func TestABodyIsTakenChunkedOrCountedWithAPasswordAndAQuery(t *testing.T) {
	ts := theClip(t)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != "me" || password != "s3cret" || r.URL.RawQuery != "key=1" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		if r.URL.Path == "/counted" {
			w.Header().Set("Content-Length", fmt.Sprint(len(ts)))
		}
		for at := 0; at < len(ts); at += 1000 {
			_, _ = w.Write(ts[at:min(at+1000, len(ts))])
			if r.URL.Path == "/chunked" {
				w.(http.Flusher).Flush()
			}
		}
	})
	at := strings.Replace(s.URL, "http://", "http://me:s3cret@", 1)
	for _, path := range []string{"/counted", "/chunked"} {
		whole(t, source(t, at+path+"?key=1"))
	}
	if _, err := pull(t, source(t, s.URL+"/counted?key=1")); err == nil || err.Error() != s.URL+"/counted: the server answers 401 Unauthorized" {
		t.Error(err)
	}
}

// TestFfmpegServes takes what ffmpeg's own server gives.
func TestFfmpegServes(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := "http://" + l.Addr().String() + "/feed.ts"
	l.Close()
	cmd := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-f", "mpegts", "-i", "-", "-c", "copy", "-f", "mpegts", "-listen", "1", at)
	cmd.Stdin, cmd.WaitDelay = strings.NewReader(string(theClip(t))), time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	for range 100 {
		n, err := pull(t, source(t, at))
		if errors.Is(err, io.EOF) {
			if n < frames || n > frames+2 {
				t.Errorf("%d frames", n)
			}
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Error("it never served")
}

func TestRedirectsAreFollowedNotTooOftenAndTakeNoPasswordAlong(t *testing.T) {
	ts := theClip(t)
	var told string
	other := serve(t, func(w http.ResponseWriter, r *http.Request) {
		told = r.Header.Get("Authorization") + r.Header.Get("Referer")
		_, _ = w.Write(ts)
	})
	here := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if _, _, ok := r.BasicAuth(); !ok {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		switch r.URL.Path {
		case "/here":
			_, _ = w.Write(ts)
		case "/hop":
			http.Redirect(w, r, "/here", http.StatusFound)
		case "/away":
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		case "/round":
			http.Redirect(w, r, "/round", http.StatusFound)
		default:
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		}
	})
	at := strings.Replace(here.URL, "http://", "http://me:s3cret@", 1)
	whole(t, source(t, at+"/hop"))
	whole(t, source(t, at+"/away?key=1"))
	if told != "" {
		t.Errorf("another host was told %q", told)
	}
	for path, want := range map[string]string{"/round": "redirected more than 5 times", "/file": `redirected to scheme "file"`} {
		if _, err := pull(t, source(t, at+path)); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestTLSIsVerifiedAndNeverLeft(t *testing.T) {
	ts := theClip(t)
	bare := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(ts) })
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/out" {
			http.Redirect(w, r, bare.URL, http.StatusFound)
			return
		}
		_, _ = w.Write(ts)
	}))
	defer s.Close()
	if _, err := pull(t, source(t, s.URL)); err == nil || !strings.Contains(err.Error(), "certificate signed by unknown authority") {
		t.Errorf("unknown authority: %v", err)
	}
	known := func(path string) *Source {
		src := source(t, s.URL+path)
		src.config.Roots = x509.NewCertPool()
		src.config.Roots.AddCert(s.Certificate())
		return src
	}
	whole(t, known("/in"))
	if _, err := pull(t, known("/out")); err == nil || !strings.HasSuffix(err.Error(), "redirected from https to http") {
		t.Errorf("out of TLS: %v", err)
	}
	if _, err := pull(t, source(t, strings.Replace(bare.URL, "http:", "https:", 1))); err == nil || !strings.Contains(err.Error(), "HTTP response to HTTPS client") {
		t.Errorf("no TLS: %v", err)
	}
}

func TestWhatIsNoTransportStreamIsRefusedByName(t *testing.T) {
	for name, c := range map[string]struct{ kind, body, want string }{
		"a web page by its type": {"text/html; charset=utf-8", "", "the server sends a web page, no MPEG-TS"},
		"a web page that lies":   {"video/mp2t", "\n<!DOCTYPE html><title>Good Grief</title>" + strings.Repeat("G", 100), "the server sends a web page, no MPEG-TS"},
		"a long one":             {"", "<HTML>" + strings.Repeat("G web page ", 9000), "the server sends a web page, no MPEG-TS"},
		"a playlist":             {"", "#EXTM3U\n#EXTINF:4\na.ts\n", "the server sends an HLS playlist, no MPEG-TS"},
		"MP4":                    {"application/octet-stream", "\x00\x00\x00\x18ftypisom" + strings.Repeat("\x00", 9000), "the server sends MP4, no MPEG-TS"},
		"JSON":                   {"application/json", "{}", "the server sends JSON, no MPEG-TS"},
		"noise":                  {"", strings.Repeat("\x01\x02\x03", 9000), "the server sends something unknown, no MPEG-TS"},
		"nothing":                {"", "", "the server sends nothing, no MPEG-TS"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", c.kind)
				_, _ = io.WriteString(w, c.body)
			})
			if n, err := pull(t, source(t, s.URL)); n != 0 || err == nil || !strings.HasSuffix(err.Error(), c.want) {
				t.Errorf("%d samples, %v", n, err)
			}
		})
	}
}

func TestAnAnswerThatIsNoneSaysWhy(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"not found":   {func(w http.ResponseWriter, _ *http.Request) { http.NotFound(w, nil) }, "the server answers 404 Not Found"},
		"unavailable": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, "the server answers 503 Service Unavailable"},
		"no content":  {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, "the server answers 204 No Content"},
		"compressed":  {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Encoding", "gzip") }, "the server compresses, unasked"},
		"headers without end": {func(w http.ResponseWriter, _ *http.Request) {
			for i := range 100 {
				w.Header().Set(fmt.Sprint("X-", i), strings.Repeat("x", 1000))
			}
		}, "exceeded 65536 bytes; aborted"},
		"hung up": {func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, c.answer)
			if _, err := pull(t, source(t, s.URL+"/?key=s3cret")); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestAHungServerIsGivenUpAndNothingIsLeft hangs before the headers, and in the body; then breaks off.
func TestAHungServerIsGivenUpAndNothingIsLeft(t *testing.T) {
	ts := theClip(t)
	before := runtime.NumGoroutine()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/mute" {
			<-r.Context().Done()
			return
		}
		_, _ = w.Write(ts[:len(ts)/2])
		w.(http.Flusher).Flush()
		if r.URL.Path == "/broken" {
			panic(http.ErrAbortHandler)
		}
		<-r.Context().Done()
	}))
	ctx, cancel := context.WithTimeoutCause(t.Context(), 200*time.Millisecond, errors.New("enough"))
	defer cancel()
	if _, err := source(t, s.URL+"/mute").Open(ctx); err == nil || !strings.HasSuffix(err.Error(), "enough") {
		t.Errorf("mute: %v", err)
	}
	f, err := source(t, s.URL+"/half").Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	silence, silent := context.WithCancelCause(t.Context())
	time.AfterFunc(500*time.Millisecond, func() { silent(ingest.ErrSilent) })
	n := 0
	for ; err == nil; n++ {
		_, err = f.Next(silence)
	}
	if n < frames/3 || !errors.Is(err, ingest.ErrSilent) {
		t.Errorf("half: %d events, %v", n, err)
	}
	f.Close()
	if n, err := pull(t, source(t, s.URL+"/broken")); n < frames/3 || err == nil || !strings.Contains(err.Error(), "broke off") {
		t.Errorf("broken: %d samples, %v", n, err)
	}
	s.Close()
	for tries := 0; runtime.NumGoroutine() > before; tries++ {
		if tries == 200 {
			t.Fatalf("%d goroutines before, %d after", before, runtime.NumGoroutine())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestURLs(t *testing.T) {
	c, err := Parse("https://me:s3cret@h:8443/a%20b.ts?x=1#program=7")
	if err != nil || c.User != "me" || c.Password != "s3cret" || c.Program != 7 || c.URL.String() != "https://h:8443/a%20b.ts?x=1" || New(c).String() != "https://h:8443/a%20b.ts" {
		t.Errorf("%+v %v", c, err)
	}
	for raw, want := range map[string]string{
		"ftp://h":                "want http or https",
		"http:///x":              "want http://HOST/PATH",
		"http://h:0":             `port "0"`,
		"http://h/x#program=0":   "program=1 to program=65535",
		"http://h/x#top":         "program=1 to program=65535",
		"http://me:s3cret@h\x7f": "not a URL",
	} {
		if _, err := Parse(raw); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

func FuzzSniff(f *testing.F) {
	f.Add([]byte("<html>"))
	f.Add([]byte(strings.Repeat("\x47"+strings.Repeat("\x00", 187), 5)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if is, ok := sniff(b); ok == (is != "") {
			t.Errorf("%q, %v", is, ok)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("http://u:p@h:1/p?q#program=1")
	f.Fuzz(func(t *testing.T, raw string) {
		if c, err := Parse(raw); err == nil && (c.URL == nil || c.URL.User != nil || c.URL.Host == "") {
			t.Errorf("%q: %+v", raw, c)
		}
	})
}
