// Package origin answers broadcasters: who asks for what, at which instant, and what of it there is.
//
//	request ─► gate ─► route ─► follower's view ─► hls, dash (pure) ─► cache header ─► written
//	            who               └─► object in the store ───────► cache header ─► sent (sendfile)
//
// It reads what any other process would read: the index and the objects in the store. No answer is made for one viewer.
package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"flambeau/origin/dash"
	"flambeau/origin/hls"
	"flambeau/origin/rights"
	"flambeau/packager/timeline"
	"flambeau/storage"
)

const (
	// holdSlots is how long a request for the next segment is held, in slots; then it is a 404.
	holdSlots = 3
	// maxObjectAge is the longest max-age of an object (design: 14 days), less if retention leaves less.
	maxObjectAge = 14 * 24 * time.Hour
	// firstWait is how long a manifest of a channel that has not published anything yet is held.
	firstWait = 3 * time.Second
	// maxHeld is how many requests are held at once; further ones are told at once to come again (503).
	maxHeld = 20_000
	// writeLimit and leastRate are what a client may take to read an answer: writeLimit, and a second more for each leastRate
	// bytes. Whoever reads more slowly, or not at all, loses its connection: it costs a goroutine, a socket and an open file.
	writeLimit = 15 * time.Second
	leastRate  = 16 << 10
	// maxTombstone is above the size of any tombstone: an object that is smaller is looked into before it is sent.
	maxTombstone = 1 << 10
	// maxPath is the longest path that is looked at.
	maxPath = 512
)

// Observer is told of each answer. Its methods must not block.
type Observer interface {
	// Answered: broadcaster is "" where nobody is asked, or who asks is nobody's.
	Answered(kind, broadcaster string, code int, took time.Duration, bytes int64)
	Denied(reason string) // one of access.Reasons, rights.Reasons, "tokens"
	Blocked(delta int)
}

// Server answers on the media listener.
type Server struct {
	Channels Channels
	Store    storage.Store
	Gate     *Gate         // nil: everything is open
	Archive  time.Duration // how long objects are kept
	Observe  Observer
	Log      *slog.Logger
	Draining <-chan struct{} // closed when the process stops: held requests are answered at once

	held atomic.Int64
}

// A refusal is an answer other than 200, and what it says.
type refusal struct {
	code  int
	text  string
	cache string // "" is no-store
	retry int    // seconds; 0: none
}

func (r *refusal) Error() string { return r.text }

func notFound(format string, args ...any) error {
	return &refusal{code: http.StatusNotFound, text: fmt.Sprintf(format, args...), cache: "public, max-age=1"}
}

func notYet(format string, args ...any) error {
	return &refusal{code: http.StatusNotFound, text: fmt.Sprintf(format, args...), cache: "public, max-age=1", retry: 1}
}

// unknown is said alike of every channel and path that there is not.
func unknown() error { return notFound("no such resource") }

// request is what a URL asks for.
type request struct {
	kind      string // multivariant playlist iframes mpd init segment time
	channel   string
	rendition string
	name      string // last element
	slot      int64
	hash      string

	who         visitor
	may         *entitlement
	broadcaster string // for books: "" where nobody is asked
}

// ServeHTTP is the one place where a request comes in and an error becomes a status.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	q, err := s.admit(r, start)
	code, n := http.StatusOK, int64(0)
	if err == nil {
		code, n, err = s.answer(w, r, q)
	}
	if err != nil {
		code, n = s.refuse(w, r, q, err)
	}
	s.Observe.Answered(q.kind, q.broadcaster, code, time.Since(start), n)
}

// admit finds out who asks, and for what.
func (s *Server) admit(r *http.Request, now time.Time) (q request, err error) {
	q.kind = "other"
	path := r.URL.Path
	if s.Gate != nil {
		if q.who, path, err = s.Gate.enter(r, now); err != nil {
			return q, err
		}
	}
	if len(path) > maxPath || r.URL.RawPath != "" {
		return q, unknown()
	}
	return q, s.route(&q, path, r.URL)
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, q request) (int, int64, error) {
	allowEveryone(w.Header())
	switch {
	case r.Method == http.MethodOptions:
		w.Header().Set("Access-Control-Max-Age", "86400")
		begin(w, http.StatusNoContent, 0)
		return http.StatusNoContent, 0, nil
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD, OPTIONS")
		return 0, 0, &refusal{code: http.StatusMethodNotAllowed, text: "GET, HEAD and OPTIONS are answered"}
	}
	switch q.kind {
	case "time":
		return s.time(w, r, q)
	case "init", "segment":
		return s.object(w, r, q)
	}
	return s.manifest(w, r, q)
}

// allowEveryone lets pages of any site read the answer: links carry what is needed, and there are no cookies.
func allowEveryone(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
	h.Set("Access-Control-Allow-Headers", "Authorization, CTA-Common-Access-Token, Range, If-None-Match, CMCD-Object, CMCD-Request, CMCD-Session, CMCD-Status")
	h.Set("Access-Control-Expose-Headers", "Date, Age, ETag, Content-Length, Content-Range, Accept-Ranges, Retry-After")
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, q request, err error) (int, int64) {
	var no *refusal
	var why *denial
	if errors.As(err, &why) {
		s.Observe.Denied(why.reason)
	}
	if !errors.As(err, &no) {
		if r.Context().Err() != nil {
			return 499, 0 // the client has gone; nobody reads an answer
		}
		s.Log.Error("request failed", "channel", q.channel, "rendition", q.rendition, "name", q.name, "err", err) // never the path: it may hold a token
		no = &refusal{code: http.StatusServiceUnavailable, text: "the store does not answer", retry: 1}
	}
	h := w.Header()
	allowEveryone(h)
	for _, of := range []string{"ETag", "Content-Encoding", "Vary"} {
		h.Del(of) // they were of what is not sent now
	}
	if no.code != http.StatusRequestedRangeNotSatisfiable {
		h.Del("Accept-Ranges")
		h.Del("Content-Range")
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	if no.cache == "" {
		no.cache = "no-store"
	}
	if s.Gate != nil {
		no.cache = "no-store"
	}
	h.Set("Cache-Control", no.cache)
	if no.code == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if no.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(no.retry))
	}
	h.Set("Content-Length", strconv.Itoa(len(no.text)+1))
	begin(w, no.code, int64(len(no.text)+1))
	if r.Method != http.MethodHead {
		io.WriteString(w, no.text+"\n")
	}
	return no.code, int64(len(no.text) + 1)
}

// unbuilt are query parameters of the contract that are not answered yet: silence would give live where a span was asked for.
var unbuilt = []string{"start", "end", "delay", "max_height", "min_height", "lang"}

// route reads a URL. Only the exact forms of the contract are known; nothing is cleaned, decoded twice or redirected. Whoever has no right to a
// channel does not learn whether there is one.
func (s *Server) route(q *request, path string, u *url.URL) error {
	if path == "/time" {
		q.kind = "time"
		return nil
	}
	p := strings.Split(strings.TrimPrefix(path, "/"), "/")
	if len(p) < 3 || len(p) > 4 || p[0] != "live" || timeline.CheckName(p[1]) != nil {
		return unknown()
	}
	q.channel, q.name = p[1], p[len(p)-1]
	q.may = q.who.entitled(q.channel)
	if q.may.reason != rights.NoBroadcaster {
		q.broadcaster = q.who.id.Broadcaster
	}
	switch {
	case len(q.may.all) == 0:
		return denied(q.may.reason)
	case s.Channels[q.channel] == nil && q.who.open():
		return unknown()
	case s.Channels[q.channel] == nil:
		return denied(rights.NoChannel)
	}
	if err := q.who.sit(q.may.live); err != nil {
		return err
	}
	if u.RawQuery != "" {
		for _, k := range unbuilt {
			if u.Query().Has(k) {
				return &refusal{code: http.StatusBadRequest, text: k + ": not supported by this version"}
			}
		}
	}
	if len(p) == 3 {
		switch q.name {
		case "index.m3u8":
			q.kind = "multivariant"
		case "manifest.mpd":
			q.kind = "mpd"
		case "time":
			q.kind = "time"
		default:
			return unknown()
		}
		return nil
	}
	if q.rendition = p[2]; timeline.CheckName(q.rendition) != nil {
		return unknown()
	}
	return q.object()
}

func (q *request) object() error {
	switch q.name {
	case "index.m3u8":
		q.kind = "playlist"
		return nil
	case "iframes.m3u8":
		q.kind = "iframes"
		return nil
	}
	if stem, ok := strings.CutSuffix(q.name, ".m4s"); ok {
		slot, err := strconv.ParseInt(stem, 10, 64)
		if err != nil || slot < 0 || strconv.FormatInt(slot, 10) != stem {
			return unknown()
		}
		q.kind, q.slot = "segment", slot
		return nil
	}
	stem, mp4 := strings.CutSuffix(q.name, ".mp4")
	hash, init := strings.CutPrefix(stem, "init-")
	if !mp4 || !init || len(hash) != 8 {
		return unknown()
	}
	q.kind, q.hash = "init", hash
	return nil
}

// time answers UTCTiming (ISO/IEC 23009-1, 5.8.4.11, http-xsdate): of a channel its own, by which its players find the edge.
func (s *Server) time(w http.ResponseWriter, r *http.Request, q request) (int, int64, error) {
	now := time.Now()
	if f := s.Channels[q.channel]; f != nil {
		now = f.Time()
	}
	body := now.UTC().Format("2006-01-02T15:04:05.000Z")
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	return s.write(w, r, http.StatusOK, body)
}

func (s *Server) write(w http.ResponseWriter, r *http.Request, code int, body string) (int, int64, error) {
	begin(w, code, int64(len(body)))
	if r.Method == http.MethodHead {
		return code, 0, nil
	}
	n, _ := io.WriteString(w, body)
	return code, int64(n), nil
}

// begin sends the status, and gives the client its time to read n bytes of body. A writer that has no deadline, as a test's, needs
// none; and the server lifts it once the answer is written.
func begin(w http.ResponseWriter, code int, n int64) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeLimit + time.Duration(n/leastRate)*time.Second))
	w.WriteHeader(code)
}

// hold waits for a view that is ok, for at most d, and returns the newest if none comes; a process that stops waits no longer.
func (s *Server) hold(r *http.Request, f *Follower, d time.Duration, ok func(*View) bool) (*View, error) {
	if v := f.Newest(); v != nil && ok(v) {
		return v, nil
	}
	defer s.held.Add(-1)
	if s.held.Add(1) > maxHeld {
		return nil, &refusal{code: http.StatusServiceUnavailable, text: "too many requests wait", retry: 1}
	}
	ctx, cancel := context.WithTimeout(r.Context(), d)
	defer cancel()
	if s.Draining != nil {
		stop := context.AfterFunc(drained{s.Draining}, cancel)
		defer stop()
	}
	s.Observe.Blocked(1)
	defer s.Observe.Blocked(-1)
	v, _ := f.Wait(ctx, ok)
	return v, nil
}

// drained is a context that is done when a channel is closed.
type drained struct{ c <-chan struct{} }

func (d drained) Deadline() (time.Time, bool) { return time.Time{}, false }
func (d drained) Done() <-chan struct{}       { return d.c }
func (d drained) Value(any) any               { return nil }
func (d drained) Err() error {
	select {
	case <-d.c:
		return context.Canceled
	default:
		return nil
	}
}

// manifest answers playlists and MPDs out of the newest view.
func (s *Server) manifest(w http.ResponseWriter, r *http.Request, q request) (int, int64, error) {
	if q.may.live.Empty() {
		return 0, 0, denied(q.may.live.Reason)
	}
	v, err := s.hold(r, s.Channels[q.channel], firstWait, func(*View) bool { return true })
	if err != nil {
		return 0, 0, err
	}
	if v == nil {
		return 0, 0, notYet("%s has not published anything yet", q.channel)
	}
	if q.rendition != "" {
		if of, ok := v.rendition(q.rendition); !ok || q.kind == "iframes" && !of.IsVideo() {
			return 0, 0, unknown()
		}
	}
	m := v.manifest(q.may.live, q.rendition, q.name)
	switch {
	case errors.Is(m.err, hls.ErrEmpty), errors.Is(m.err, dash.ErrEmpty):
		if why := v.hides(q.may.live); why != rights.OK {
			return 0, 0, denied(why)
		}
		return 0, 0, notYet("%s has not published anything yet", q.channel)
	case errors.Is(m.err, hls.ErrNoRendition) && !q.who.open():
		return 0, 0, denied(rights.TooHigh)
	case errors.Is(m.err, hls.ErrNoRendition):
		return 0, 0, unknown()
	case m.err != nil:
		return 0, 0, m.err
	}
	h := w.Header()
	h.Set("Content-Type", contentType(q.kind, false))
	h.Set("Cache-Control", q.who.keep(q.may, time.Duration(manifestAge(q.kind, v.Timeline.Shape))*time.Second, ""))
	h.Set("Vary", "Accept-Encoding")
	body, etag := m.plain, `"`+m.etag+`"`
	if acceptsGzip(r) {
		body, etag = m.gzip, `"`+m.etag+`-gz"`
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", etag)
	return s.bytes(w, r, body, etag)
}

// manifestAge is half the target duration for playlists, half the update period for an MPD, at least a second.
func manifestAge(kind string, shape timeline.Shape) int64 {
	if kind == "mpd" {
		return max(1, shape.Slot.Num/shape.Slot.Den/2)
	}
	return max(1, shape.TargetDuration/2)
}

func contentType(kind string, audio bool) string {
	switch {
	case kind == "mpd":
		return "application/dash+xml"
	case kind != "init" && kind != "segment":
		return "application/vnd.apple.mpegurl"
	case audio:
		return "audio/mp4"
	}
	return "video/mp4"
}

// object answers initialization segments and segments out of the store.
func (s *Server) object(w http.ResponseWriter, r *http.Request, q request) (int, int64, error) {
	v := s.Channels[q.channel].Newest()
	if v == nil {
		return 0, 0, notYet("%s has not published anything yet", q.channel)
	}
	if !v.Whole && !v.names(q) {
		held, err := s.hold(r, s.Channels[q.channel], firstWait, func(v *View) bool { return v.Whole || v.names(q) })
		if err != nil {
			return 0, 0, err
		}
		v = held
	}
	kind, ok := v.kind(q.rendition)
	if !ok {
		return 0, 0, unknown()
	}
	at, err := s.locate(r, v, q)
	if err == nil {
		err = s.entitle(r, at, q)
	}
	if err != nil {
		return 0, 0, err
	}
	h := w.Header()
	h.Set("Content-Type", contentType(q.kind, kind == "audio"))
	h.Set("Cache-Control", q.who.keep(q.may, max(time.Second, at.age), ", immutable"))
	// A name stands for its bytes for ever, so the name is the tag.
	etag := `"` + q.rendition + "-" + strings.TrimSuffix(strings.TrimSuffix(q.name, ".m4s"), ".mp4") + `"`
	h.Set("ETag", etag)
	if at.indexed && matches(r.Header.Get("If-None-Match"), etag) {
		return s.unchanged(w)
	}
	if at.size > 0 && r.Method == http.MethodHead {
		return s.head(w, r, at.size, etag)
	}
	o, err := s.Store.Get(r.Context(), at.key, storage.Get{})
	if errors.Is(err, storage.ErrNotExist) {
		return 0, 0, notFound("no such segment")
	}
	if err != nil {
		return 0, 0, err
	}
	defer func() { o.Body.Close() }()
	if q.kind == "segment" && o.Size < maxTombstone {
		gap, err := peek(&o)
		if err != nil {
			return 0, 0, err
		}
		if gap {
			return 0, 0, isGap(q.slot)
		}
	}
	return s.file(w, r, at.key, &o, etag)
}

// location is where the object is that a URL names, and what the view knows of it.
type location struct {
	key     string
	age     time.Duration // how long its answer may be kept
	indexed bool          // an index names it, so it is there; of others only the store knows
	size    int64         // as the index says; 0: it does not
	view    *View         // by which it was found
}

// locate finds the object that a URL names.
func (s *Server) locate(r *http.Request, v *View, q request) (location, error) {
	if q.kind == "init" {
		hash, ok := v.initHash(q.rendition, q.hash)
		if !ok {
			return location{}, unknown()
		}
		return location{key: timeline.InitKey(q.channel, q.rendition, hash), age: min(maxObjectAge, s.Archive), indexed: true, view: v}, nil
	}
	v, start, row, err := s.segment(r, v, q)
	if err != nil {
		return location{}, err
	}
	return location{
		key: timeline.SegmentKey(q.channel, q.rendition, q.slot), age: min(maxObjectAge, s.Archive-time.Since(start)),
		indexed: row.Size > 0, size: row.Size, view: v,
	}, nil
}

// entitle tells whether the visitor may have an object: an initialization segment if it may see anything of its rendition, a segment by the
// media time of its slot.
func (s *Server) entitle(r *http.Request, at location, q request) error {
	if q.who.open() {
		return nil
	}
	height := at.view.height(q.rendition)
	if q.kind == "init" {
		if !q.may.allows(height) {
			return denied(rights.TooHigh)
		}
		return nil
	}
	start, end, ok := at.view.span(q.slot)
	if !ok {
		var err error
		if start, end, err = s.storedSpan(r, at.view, q); err != nil {
			return err
		}
	}
	if why := q.may.judge(height, start, end, at.view.End); why != rights.OK {
		return denied(why)
	}
	return nil
}

// storedSpan is when a slot is that has left the view: the segment of the reference says so itself.
func (s *Server) storedSpan(r *http.Request, v *View, q request) (start, end time.Time, err error) {
	key := timeline.SegmentKey(q.channel, v.Timeline.Shape.Reference, q.slot)
	tail, err := s.tail(r, key)
	if errors.Is(err, storage.ErrNotExist) {
		return start, end, notFound("no such segment")
	}
	if err != nil {
		return start, end, err
	}
	row, _, err := timeline.CarriedIn(tail)
	scale, known := v.scale(row.Generation)
	if err != nil || !known {
		return start, end, denied(rights.OutOfWindow) // what nobody can date nobody may see
	}
	return timeline.UTC(row.Start, scale), timeline.UTC(row.Start+row.Duration, scale), nil
}

// tail reads the end of an object, where a segment says what it is.
func (s *Server) tail(r *http.Request, key string) ([]byte, error) {
	o, err := s.Store.Get(r.Context(), key, storage.Get{Length: 1})
	if err != nil {
		return nil, err
	}
	o.Body.Close()
	o, err = s.Store.Get(r.Context(), key, storage.Get{Offset: max(0, o.Size-timeline.MaxCarried)})
	if err != nil {
		return nil, err
	}
	defer o.Body.Close()
	return io.ReadAll(io.LimitReader(o.Body, timeline.MaxCarried))
}

func isGap(slot int64) error { return notFound("slot %d is a gap", slot) }

// segment decides from arithmetic whether a slot can be there, and holds a request that is a little early. It returns the view by
// which it was found, the media time at which the slot begins, and its row if the view has it.
func (s *Server) segment(r *http.Request, v *View, q request) (_ *View, start time.Time, row timeline.Row, err error) {
	decided := func(v *View) bool { return v.knows(q.rendition, q.slot) != notThere }
	if !decided(v) {
		if q.slot > v.Edge.Slot+1 {
			return v, start, row, notYet("slot %d is %d slots early", q.slot, q.slot-v.Edge.Slot)
		}
		slot := time.Duration(v.Timeline.Shape.Slot.Float() * float64(time.Second))
		held, err := s.hold(r, s.Channels[q.channel], holdSlots*slot, decided)
		if err != nil {
			return v, start, row, err
		}
		v = held
	}
	switch v.knows(q.rendition, q.slot) {
	case notThere:
		return v, start, row, notYet("slot %d is not there yet", q.slot)
	case neverWill:
		return v, start, row, notFound("slot %d is none of %s", q.slot, q.rendition)
	case there:
		if row, _ = v.Timeline.Row(q.rendition, q.slot); row.Flags.Has(timeline.Gap) {
			return v, start, row, isGap(q.slot)
		}
	}
	g := v.Timeline.Newest()
	return v, timeline.UTC(g.Nominal(v.Timeline.Shape, q.slot, g.Timescale), g.Timescale), row, nil
}
