package s3_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"flambeau/storage"
	"flambeau/storage/s3"
)

var keys = config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("key", "secret", ""))

// against opens a store on a server that answers as the test wants.
func against(t testing.TB, answer http.HandlerFunc) *s3.Store {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return at(t, server.URL)
}

func at(t testing.TB, endpoint string) *s3.Store {
	t.Helper()
	s, err := s3.Open(t.Context(), s3.Config{Bucket: "bucket", Prefix: "live/tv", Endpoint: endpoint}, keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// refuse answers as S3 does.
func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("X-Amz-Request-Id", "R1")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>As %s says.</Message></Error>`, code, code)
}

// everything is each request that a store can make, by name.
var everything = map[string]func(ctx context.Context, s storage.Store) error{
	"put": func(ctx context.Context, s storage.Store) error {
		_, err := s.Put(ctx, "c/k", []byte("x"), storage.Put{})
		return err
	},
	"create": func(ctx context.Context, s storage.Store) error {
		_, err := s.Put(ctx, "c/k", []byte("x"), storage.Put{IfAbsent: true})
		return err
	},
	"swap": func(ctx context.Context, s storage.Store) error {
		_, err := s.Put(ctx, "c/k", []byte("x"), storage.Put{IfVersion: "v"})
		return err
	},
	"get": func(ctx context.Context, s storage.Store) error {
		o, err := s.Get(ctx, "c/k", storage.Get{})
		if err == nil {
			defer o.Body.Close()
			_, err = io.Copy(io.Discard, o.Body)
		}
		return err
	},
	"get if changed": func(ctx context.Context, s storage.Store) error {
		o, err := s.Get(ctx, "c/k", storage.Get{IfChanged: "v"})
		if err == nil {
			o.Body.Close()
		}
		return err
	},
	"list": func(ctx context.Context, s storage.Store) (failed error) {
		for _, err := range s.List(ctx, "c/", "") {
			failed = err
		}
		return failed
	},
	"delete": func(ctx context.Context, s storage.Store) error { return s.Delete(ctx, "c/k") },
}

// known tells whether an error says something that a caller acts upon. What is not known must not look so.
func known(err error) bool {
	return err == nil || slices.ContainsFunc([]error{
		storage.ErrNotExist, storage.ErrExists, storage.ErrChanged, storage.ErrUnchanged, storage.ErrKey, storage.ErrRange, storage.ErrFull,
	}, func(k error) bool { return errors.Is(err, k) })
}

func TestARefusalIsToldOnceWithItsCauseAndWhatToMend(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		code   string
		says   string
	}{
		"a missing bucket":         {404, "NoSuchBucket", "there is no such bucket, and none is ever created: 404 NoSuchBucket: As NoSuchBucket says. (request R1)"},
		"an unknown key":           {403, "InvalidAccessKeyId", "the credentials are wrong: 403 InvalidAccessKeyId: As InvalidAccessKeyId says. (request R1)"},
		"a wrong secret":           {403, "SignatureDoesNotMatch", "the credentials are wrong: 403"},
		"a token that has expired": {400, "ExpiredToken", "the credentials are wrong: 400"},
		"no right to this":         {403, "AccessDenied", "these credentials may not do this: 403"},
		"a clock that is off":      {403, "RequestTimeTooSkewed", "this machine's clock is wrong: 403"},
		"another region":           {301, "PermanentRedirect", "the bucket is elsewhere: the endpoint or the region is wrong: 301"},
		"too much at once":         {503, "SlowDown", ": 503 SlowDown: As SlowDown says. (request R1)"},
		"a broken server":          {500, "InternalError", ": 500 InternalError"},
		"a conflict of some kind":  {409, "OperationAborted", ": 409 OperationAborted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			s := against(t, func(w http.ResponseWriter, _ *http.Request) { asked.Add(1); refuse(w, c.status, c.code) })
			for op, do := range everything {
				asked.Store(0)
				err := do(t.Context(), s)
				if known(err) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%s: %v", op, err)
				}
				var a *s3.Answer
				if !errors.As(err, &a) || a.Status != c.status || a.Code != c.code {
					t.Errorf("%s: %+v", op, a)
				}
				if n := asked.Load(); n != 1 {
					t.Errorf("%s asked %d times: when to ask again is the caller's to say", op, n)
				}
			}
		})
	}
}

func TestWhatIsNoStoreIsNotTakenForOneThatLacksTheObject(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"a web server": func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) },
		"one with pages": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(404)
			io.WriteString(w, "<html><p>oh & no")
		},
		"one without a word": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) },
	} {
		t.Run(name, func(t *testing.T) {
			s := against(t, answer)
			for op, do := range everything {
				if err := do(t.Context(), s); known(err) {
					t.Errorf("%s: %v", op, err)
				}
			}
		})
	}
}

func TestWhatThePreconditionsMean(t *testing.T) {
	for name, c := range map[string]struct {
		op     string
		status int
		code   string
		want   error
	}{
		"a create of what exists":            {"create", 412, "PreconditionFailed", storage.ErrExists},
		"a stale swap":                       {"swap", 412, "PreconditionFailed", storage.ErrChanged},
		"a swap of nothing":                  {"swap", 404, "NoSuchKey", storage.ErrChanged},
		"a get of what is as it was":         {"get if changed", 304, "", storage.ErrUnchanged},
		"a get of nothing":                   {"get", 404, "NoSuchKey", storage.ErrNotExist},
		"a put on a full store":              {"put", 507, "XMinioStorageFull", storage.ErrFull},
		"a put below an object":              {"put", 400, "XMinioParentIsObject", storage.ErrKey},
		"a put without conditions: one fell": {"put", 412, "PreconditionFailed", nil},
		"a put: there is nothing":            {"put", 404, "NoSuchKey", nil},
		"a get: not changed since when":      {"get", 304, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := against(t, func(w http.ResponseWriter, _ *http.Request) {
				if c.code == "" {
					w.WriteHeader(c.status)
					return
				}
				refuse(w, c.status, c.code)
			})
			err := everything[c.op](t.Context(), s)
			if c.want == nil && known(err) || c.want != nil && !errors.Is(err, c.want) {
				t.Error(err)
			}
		})
	}
	s := against(t, func(w http.ResponseWriter, _ *http.Request) { refuse(w, 404, "NoSuchKey") })
	if err := s.Delete(t.Context(), "k"); err != nil {
		t.Errorf("delete of what is not there: %v", err)
	}
}

func TestAPutThatMetAnotherIsTriedAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		conflicts int64
		then      int // status
		want      error
	}{
		"and is done":                  {2, 200, nil},
		"and the other was first":      {1, 412, storage.ErrExists},
		"and never gets through":       {1 << 40, 0, errors.ErrUnsupported}, // any that is not known
		"until the caller has no time": {1 << 40, 0, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			s := against(t, func(w http.ResponseWriter, r *http.Request) {
				switch b, _ := io.ReadAll(r.Body); {
				case string(b) != "x" || r.Header.Get("If-None-Match") != "*":
					t.Errorf("try %d: body %q, If-None-Match %q", asked.Load(), b, r.Header.Get("If-None-Match"))
				case asked.Add(1) <= c.conflicts:
					refuse(w, 409, "ConditionalRequestConflict")
				case c.then == 200:
					w.Header().Set("ETag", `"v"`)
				default:
					refuse(w, c.then, "PreconditionFailed")
				}
			})
			ctx := t.Context()
			if c.want == context.DeadlineExceeded {
				soon, cancel := context.WithTimeout(ctx, 60*time.Millisecond)
				defer cancel()
				ctx = soon
			}
			err := everything["create"](ctx, s)
			switch {
			case c.want == errors.ErrUnsupported:
				if known(err) || asked.Load() != 8 {
					t.Errorf("after %d tries: %v", asked.Load(), err)
				}
			case !errors.Is(err, c.want):
				t.Error(err)
			}
		})
	}
}

func TestAPutWhoseAnswerIsLostIsNotKnownAndTheNextOneSaysThatItExists(t *testing.T) {
	var stored atomic.Pointer[string]
	s := against(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodGet:
			w.Header().Set("ETag", `"v"`)
			io.WriteString(w, *stored.Load())
		case stored.Load() != nil:
			refuse(w, 412, "PreconditionFailed")
		default:
			b, _ := io.ReadAll(r.Body)
			body := string(b)
			stored.Store(&body)
			panic(http.ErrAbortHandler) // it took effect; nobody hears of it
		}
	})
	if err := everything["create"](t.Context(), s); known(err) {
		t.Errorf("the lost answer: %v", err)
	}
	if err := everything["create"](t.Context(), s); !errors.Is(err, storage.ErrExists) {
		t.Errorf("the next: %v", err)
	}
	if b, _, err := storage.ReadAll(t.Context(), s, "c/k", storage.Get{}, 10); string(b) != "x" || err != nil {
		t.Errorf("what is there: %q, %v", b, err)
	}
}

func TestAHangEndsWithTheContext(t *testing.T) {
	over := make(chan struct{})
	s := against(t, func(http.ResponseWriter, *http.Request) { <-over })
	t.Cleanup(func() { close(over) }) // before the server's, which waits for its handlers
	var all sync.WaitGroup
	for op, do := range everything {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			began := time.Now()
			if err := do(ctx, s); !errors.Is(err, context.DeadlineExceeded) || known(err) || time.Since(began) > 5*time.Second {
				t.Errorf("%s: %v after %v", op, err, time.Since(began))
			}
		})
	}
	all.Wait()
}

func TestABodyThatHangsEndsWithTheContext(t *testing.T) {
	over := make(chan struct{})
	s := against(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"v"`)
		w.Header().Set("Content-Length", "10")
		io.WriteString(w, "01234")
		w.(http.Flusher).Flush()
		<-over
	})
	t.Cleanup(func() { close(over) })
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if b, _, err := storage.ReadAll(ctx, s, "k", storage.Get{}, 10); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%q, %v", b, err)
	}
}

func TestAnAnswerThatIsNotWhatWasAskedForIsAnError(t *testing.T) {
	whole := func(h map[string]string, status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for k, v := range h {
				w.Header().Set(k, v)
			}
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		what   storage.Get
		want   error // nil: any
	}{
		"a body that is cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `"v"`)
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "01234")
		}, storage.Get{}, io.ErrUnexpectedEOF},
		"a range that is cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `"v"`)
			w.Header().Set("Content-Length", "5")
			w.Header().Set("Content-Range", "bytes 2-6/10")
			w.WriteHeader(206)
			io.WriteString(w, "234")
		}, storage.Get{Offset: 2, Length: 5}, io.ErrUnexpectedEOF},
		"a body whose length nobody knows": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `"v"`)
			w.(http.Flusher).Flush()
			io.WriteString(w, "01234")
		}, storage.Get{}, nil},
		"no version":                {whole(map[string]string{"Content-Length": "1"}, 200, "0"), storage.Get{}, nil},
		"everything, not the range": {whole(map[string]string{"ETag": `"v"`}, 200, "0123456789"), storage.Get{Offset: 2, Length: 5}, nil},
		"another range":             {whole(map[string]string{"ETag": `"v"`, "Content-Range": "bytes 0-4/10"}, 206, "01234"), storage.Get{Offset: 2, Length: 5}, nil},
		"a longer range":            {whole(map[string]string{"ETag": `"v"`, "Content-Range": "bytes 2-9/10"}, 206, "23456789"), storage.Get{Offset: 2, Length: 5}, nil},
		"a range that lies":         {whole(map[string]string{"ETag": `"v"`, "Content-Range": "bytes 2-6/10"}, 206, "2345"), storage.Get{Offset: 2, Length: 5}, nil},
		"a range of no size":        {whole(map[string]string{"ETag": `"v"`, "Content-Range": "bytes 2-6/*"}, 206, "23456"), storage.Get{Offset: 2, Length: 5}, nil},
		"a range of nonsense":       {whole(map[string]string{"ETag": `"v"`, "Content-Range": "bytes 6-2/10"}, 206, "23456"), storage.Get{Offset: 2, Length: 5}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := against(t, c.answer)
			b, _, err := storage.ReadAll(t.Context(), s, "k", c.what, 100)
			if err == nil || known(err) || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("%q, %v", b, err)
			}
		})
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked elsewhere: %s", r.URL) }))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		s := against(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL+r.URL.Path, status) })
		for op, do := range everything {
			if err := do(t.Context(), s); known(err) || !strings.Contains(err.Error(), "the bucket is elsewhere") {
				t.Errorf("%d %s: %v", status, op, err)
			}
		}
	}
}

func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	s := at(t, "http://"+l.Addr().String())
	for op, do := range everything {
		if err := do(t.Context(), s); known(err) || !strings.HasSuffix(err.Error(), "connect: connection refused") || strings.Contains(err.Error(), "operation error") {
			t.Errorf("%s: %v", op, err)
		}
	}
}

func TestWithoutCredentialsTheStoreSaysWhereTheyAreLookedFor(t *testing.T) {
	none := config.WithCredentialsProvider(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, errors.New("nobody has any")
	}))
	s, err := s3.Open(t.Context(), s3.Config{Bucket: "bucket", Endpoint: "http://127.0.0.1:1"}, none)
	if err != nil {
		t.Fatal(err)
	}
	for op, do := range everything {
		if err := do(t.Context(), s); known(err) || !strings.Contains(err.Error(), "no credentials (AWS_ACCESS_KEY_ID") || !strings.Contains(err.Error(), "nobody has any") {
			t.Errorf("%s: %v", op, err)
		}
	}
}

func TestHowAPutLooksOnTheWire(t *testing.T) {
	const size = 3 << 20 // where the SDK by itself begins to ask first
	s := against(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		h := r.Header
		if r.URL.Path != "/bucket/live/tv/c/seg/v1080/1.m4s" || r.Method != "PUT" || len(b) != size || r.ContentLength != size || err != nil {
			t.Errorf("%s %s, %d of %d bytes, %v", r.Method, r.URL, len(b), r.ContentLength, err)
		}
		if h.Get("Expect") != "" || h.Get("Content-Encoding") != "" || h.Get("X-Amz-Trailer") != "" || len(h.Get("X-Amz-Content-Sha256")) != 64 {
			t.Errorf("%v", h)
		}
		w.Header().Set("ETag", `"v1"`)
	})
	v, err := s.Put(t.Context(), "c/seg/v1080/1.m4s", make([]byte, size), storage.Put{IfAbsent: true})
	if v != "v1" || err != nil {
		t.Errorf("%q, %v", v, err)
	}
}

func TestDeletesThatHangHoldUpNoPutAndNoGet(t *testing.T) {
	over := make(chan struct{})
	s := against(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			<-over
		}
		w.Header().Set("ETag", `"v"`)
		w.Header().Set("Content-Length", "0")
	})
	t.Cleanup(func() { close(over) })
	ctx, cancel := context.WithCancel(t.Context())
	var deletes sync.WaitGroup
	for i := range 20 {
		deletes.Go(func() { _ = s.Delete(ctx, fmt.Sprintf("old/%d", i)) })
	}
	for _, op := range []string{"put", "get"} {
		soon, stop := context.WithTimeout(t.Context(), 5*time.Second)
		if err := everything[op](soon, s); err != nil {
			t.Errorf("%s: %v", op, err)
		}
		stop()
	}
	cancel()
	deletes.Wait()
}

// page is an answer to a list.
func page(truncated bool, token string, names ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<ListBucketResult><IsTruncated>%t</IsTruncated>`, truncated)
	if token != "" {
		fmt.Fprintf(&b, `<NextContinuationToken>%s</NextContinuationToken>`, token)
	}
	for _, n := range names {
		fmt.Fprintf(&b, `<Contents><Key>%s</Key><Size>1</Size><LastModified>2026-02-06T19:00:00.000Z</LastModified></Contents>`, n)
	}
	return b.String() + `</ListBucketResult>`
}

func TestAListGoesFromPageToPage(t *testing.T) {
	for name, c := range map[string]struct {
		pages map[string]string // by token
		want  []string
		says  string
	}{
		"three":                     {map[string]string{"": page(true, "t1", "live/tv/a", "live/tv/b"), "t1": page(true, "t2"), "t2": page(false, "", "live/tv/c")}, []string{"a", "b", "c"}, ""},
		"with what is not ours":     {map[string]string{"": page(false, "", "live/tv/", "live/tv/a", "live/tv/a b", "live/tv/b/", "live/tv/b//c", "live/tv/c")}, []string{"a", "c"}, ""},
		"no order":                  {map[string]string{"": page(false, "", "live/tv/b", "live/tv/a")}, []string{"b"}, "does not list in byte order"},
		"no order over pages":       {map[string]string{"": page(true, "t1", "live/tv/b"), "t1": page(false, "", "live/tv/b")}, []string{"b"}, "does not list in byte order"},
		"round in a circle":         {map[string]string{"": page(true, "t1"), "t1": page(true, "t1")}, nil, "lists more than it tells"},
		"more, but not where":       {map[string]string{"": page(true, "", "live/tv/a")}, []string{"a"}, "lists more than it tells"},
		"an answer that breaks off": {map[string]string{"": page(false, "", "live/tv/a")[:60]}, nil, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			s := against(t, func(w http.ResponseWriter, r *http.Request) {
				if p := r.URL.Query().Get("prefix"); p != "live/tv/" {
					t.Errorf("prefix %q", p)
				}
				io.WriteString(w, c.pages[r.URL.Query().Get("continuation-token")])
			})
			var got []string
			var failed error
			for info, err := range s.List(t.Context(), "", "") {
				if failed = err; err == nil {
					got = append(got, info.Key)
				}
			}
			if !slices.Equal(got, c.want) || (failed != nil) != (c.says != "") || failed != nil && !strings.Contains(failed.Error(), c.says) {
				t.Errorf("%q, %v", got, failed)
			}
		})
	}
}
