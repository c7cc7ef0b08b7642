package s3

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"flambeau/storage"
)

// Get begins to read. The body comes as the bucket sends it, as long as ctx lives, and one that ends early is an error.
func (s *Store) Get(ctx context.Context, key string, what storage.Get) (storage.Object, error) {
	o, err := s.get(ctx, key, what)
	if err != nil {
		return storage.Object{}, fmt.Errorf("get %s: %w", key, err)
	}
	return o, nil
}

func (s *Store) get(ctx context.Context, key string, what storage.Get) (storage.Object, error) {
	name, err := s.name(ctx, key)
	if err != nil {
		return storage.Object{}, err
	}
	if what.Offset < 0 || what.Length < 0 {
		return storage.Object{}, fmt.Errorf("%w: %d bytes from %d", storage.ErrRange, what.Length, what.Offset)
	}
	in := &s3.GetObjectInput{Bucket: &s.bucket, Key: name, Range: bytesRange(what)}
	if what.IfChanged != "" {
		in.IfNoneMatch = etag(what.IfChanged)
	}
	out, err := s.reads.GetObject(ctx, in)
	if err != nil {
		err = said(ctx, err)
		switch {
		case errors.Is(err, errNotModified) && what.IfChanged != "":
			return storage.Object{}, storage.ErrUnchanged
		case errors.Is(err, storage.ErrRange):
			return storage.Object{}, fmt.Errorf("%w: %d bytes from %d", storage.ErrRange, what.Length, what.Offset)
		case errors.Is(err, storage.ErrNotExist):
			return storage.Object{}, storage.ErrNotExist
		}
		return storage.Object{}, err
	}
	o, err := object(out, what)
	if err != nil {
		out.Body.Close()
	}
	return o, err
}

// object is what an answer is to a caller. net/http holds the body against its Content-Length; what has none could end
// early unseen, so it is refused.
func object(out *s3.GetObjectOutput, what storage.Get) (o storage.Object, err error) {
	o = storage.Object{Body: out.Body, Modified: aws.ToTime(out.LastModified)}
	if o.Version, err = versionOf(out.ETag); err != nil {
		return o, err
	}
	if out.ContentLength == nil || *out.ContentLength < 0 {
		return o, errors.New("an answer without Content-Length")
	}
	if bytesRange(what) == nil {
		o.Size = *out.ContentLength
		return o, nil
	}
	first, length, size, ok := parseContentRange(aws.ToString(out.ContentRange))
	if !ok || first != what.Offset || length != *out.ContentLength || what.Length > 0 && length > what.Length {
		return o, fmt.Errorf("asked for %s, answered %d bytes with Content-Range %q", aws.ToString(bytesRange(what)), *out.ContentLength, aws.ToString(out.ContentRange))
	}
	o.Size = size
	return o, nil
}

// bytesRange is the Range header (RFC 9110, 14.1.2) of what is wanted; nil: everything.
func bytesRange(what storage.Get) *string {
	switch {
	case what.Offset == 0 && what.Length == 0:
		return nil
	case what.Length == 0 || what.Length-1 > math.MaxInt64-what.Offset:
		return aws.String(fmt.Sprintf("bytes=%d-", what.Offset))
	}
	return aws.String(fmt.Sprintf("bytes=%d-%d", what.Offset, what.Offset+what.Length-1))
}

// parseContentRange reads "bytes 3-6/10" (RFC 9110, 14.4).
func parseContentRange(s string) (first, length, size int64, ok bool) {
	s, ok = strings.CutPrefix(s, "bytes ")
	span, whole, slash := strings.Cut(s, "/")
	from, to, dash := strings.Cut(span, "-")
	first, err1 := strconv.ParseInt(from, 10, 64)
	last, err2 := strconv.ParseInt(to, 10, 64)
	size, err3 := strconv.ParseInt(whole, 10, 64)
	ok = ok && slash && dash && errors.Join(err1, err2, err3) == nil && 0 <= first && first <= last && last < size
	return first, last - first + 1, size, ok
}
