package origin

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"flambeau/storage"
)

// bytes answers with a body that is in memory.
func (s *Server) bytes(w http.ResponseWriter, r *http.Request, body []byte, etag string) (int, int64, error) {
	if matches(r.Header.Get("If-None-Match"), etag) {
		return s.unchanged(w)
	}
	code, from, n, err := span(w, r, int64(len(body)), etag)
	if err != nil {
		return 0, 0, err
	}
	begin(w, code, n)
	if r.Method == http.MethodHead {
		return code, 0, nil
	}
	sent, _ := w.Write(body[from : from+n])
	return code, int64(sent), nil
}

// file answers with an object. Where the store has it in a file, the kernel sends it: w is given the file itself, and nothing
// between may wrap either. What is in memory writes itself, in one go and without a copy. So a part is asked of the store as a part.
func (s *Server) file(w http.ResponseWriter, r *http.Request, key string, o *storage.Object, etag string) (int, int64, error) {
	if matches(r.Header.Get("If-None-Match"), etag) {
		return s.unchanged(w)
	}
	code, from, n, err := span(w, r, o.Size, etag)
	if err != nil {
		return 0, 0, err
	}
	if n < o.Size && r.Method != http.MethodHead {
		part, err := s.Store.Get(r.Context(), key, storage.Get{Offset: from, Length: n})
		if err != nil {
			return 0, 0, err
		}
		o.Body.Close()
		*o = part
	}
	begin(w, code, n)
	if r.Method == http.MethodHead {
		return code, 0, nil
	}
	sent, _ := io.Copy(w, o.Body)
	return code, sent, nil
}

// head answers HEAD for an object of that size, which nobody has to open for it.
func (s *Server) head(w http.ResponseWriter, r *http.Request, size int64, etag string) (int, int64, error) {
	code, _, n, err := span(w, r, size, etag)
	if err != nil {
		return 0, 0, err
	}
	begin(w, code, n)
	return code, 0, nil
}

func (s *Server) unchanged(w http.ResponseWriter) (int, int64, error) {
	begin(w, http.StatusNotModified, 0)
	return http.StatusNotModified, 0, nil
}

// span reads the Range header (RFC 9110, 14.2: of GET alone) and sets what goes with it. Several ranges, and units other than
// bytes, are answered whole, as the RFC allows.
func span(w http.ResponseWriter, r *http.Request, size int64, etag string) (code int, from, n int64, err error) {
	h := w.Header()
	h.Set("Accept-Ranges", "bytes")
	from, n, ok := int64(0), size, true
	code = http.StatusOK
	spec := r.Header.Get("Range")
	if ir := r.Header.Get("If-Range"); r.Method != http.MethodGet || ir != "" && ir != etag {
		spec = ""
	}
	if one, is := strings.CutPrefix(spec, "bytes="); is && !strings.Contains(one, ",") {
		var whole bool
		from, n, whole, ok = parseRange(one, size)
		if !ok {
			h.Set("Content-Range", "bytes */"+strconv.FormatInt(size, 10))
			return 0, 0, 0, &refusal{code: http.StatusRequestedRangeNotSatisfiable, text: fmt.Sprintf("it has %d bytes", size)}
		}
		if !whole {
			code = http.StatusPartialContent
			h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, from+n-1, size))
		}
	}
	h.Set("Content-Length", strconv.FormatInt(n, 10))
	return code, from, n, nil
}

// parseRange reads one range. whole: it is no valid one, and is to be ignored. !ok: it can't be satisfied.
func parseRange(spec string, size int64) (from, n int64, whole, ok bool) {
	a, b, dash := strings.Cut(strings.TrimSpace(spec), "-")
	if !dash || a == "" && b == "" {
		return 0, size, true, true
	}
	if a == "" {
		last, err := strconv.ParseInt(b, 10, 64)
		if err != nil || last < 0 {
			return 0, size, true, true
		}
		if last = min(last, size); last == 0 {
			return 0, 0, false, false
		}
		return size - last, last, false, true
	}
	from, err := strconv.ParseInt(a, 10, 64)
	if err != nil || from < 0 {
		return 0, size, true, true
	}
	to := size - 1
	if b != "" {
		if to, err = strconv.ParseInt(b, 10, 64); err != nil || to < from {
			return 0, size, true, true
		}
		to = min(to, size-1)
	}
	if from >= size {
		return 0, 0, false, false
	}
	return from, to - from + 1, false, true
}

// matches reads If-None-Match (RFC 9110, 13.1.2).
func matches(header, etag string) bool {
	if header == "" {
		return false
	}
	for one := range strings.SplitSeq(header, ",") {
		one = strings.TrimPrefix(strings.TrimSpace(one), "W/")
		if one == "*" || one == etag {
			return true
		}
	}
	return false
}

// acceptsGzip reads Accept-Encoding (RFC 9110, 12.5.3).
func acceptsGzip(r *http.Request) bool {
	for one := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(one), ";")
		if name != "gzip" && name != "*" {
			continue
		}
		q = strings.TrimPrefix(strings.ReplaceAll(q, " ", ""), "q=")
		weight, err := strconv.ParseFloat(q, 64)
		return q == "" || err == nil && weight > 0
	}
	return false
}

// peek reads a small object whole and tells whether it is a tombstone: boxes (ISO/IEC 14496-12, 4.2), and no movie fragment among
// them. The view says so of newer slots; this is for those that have left it.
func peek(o *storage.Object) (gap bool, err error) {
	b, err := io.ReadAll(io.LimitReader(o.Body, maxTombstone))
	if err != nil {
		return false, err
	}
	if int64(len(b)) != o.Size {
		return false, io.ErrUnexpectedEOF
	}
	o.Body.Close()
	o.Body = io.NopCloser(bytes.NewReader(b))
	return tombstone(b), nil
}

func tombstone(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	for len(b) > 0 {
		if len(b) < 8 || string(b[4:8]) == "moof" || string(b[4:8]) == "mdat" {
			return false
		}
		n := binary.BigEndian.Uint32(b)
		if n < 8 || uint64(n) > uint64(len(b)) {
			return false
		}
		b = b[n:]
	}
	return true
}
