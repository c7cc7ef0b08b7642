package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"flambeau/storage"
)

// conflictFirst and conflictMost bound the waits after which a put that met another's is tried again: seven times, within
// about two seconds. If it still meets one, that is the answer.
const (
	conflictFirst = 10 * time.Millisecond
	conflictMost  = time.Second
)

// Put tries again by itself what the bucket refused with ConditionalRequestConflict, which says that another's write of that
// name was under way and that this one had no effect.
func (s *Store) Put(ctx context.Context, key string, body []byte, how storage.Put) (storage.Version, error) {
	v, err := s.put(ctx, key, body, how)
	if err != nil {
		return "", fmt.Errorf("put %s: %w", key, err)
	}
	return v, nil
}

func (s *Store) put(ctx context.Context, key string, body []byte, how storage.Put) (storage.Version, error) {
	name, err := s.name(ctx, key)
	if err != nil {
		return "", err
	}
	if how.IfAbsent && how.IfVersion != "" {
		return "", errors.New("both IfAbsent and IfVersion")
	}
	for wait := conflictFirst; ; wait *= 2 {
		v, err := s.putOnce(ctx, name, body, how)
		if !conflict(err) || wait > conflictMost {
			return v, err
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(wait/2 + rand.N(wait)):
		}
	}
}

func (s *Store) putOnce(ctx context.Context, name *string, body []byte, how storage.Put) (storage.Version, error) {
	in := &s3.PutObjectInput{Bucket: &s.bucket, Key: name, Body: bytes.NewReader(body), ContentLength: aws.Int64(int64(len(body)))}
	if how.IfAbsent {
		in.IfNoneMatch = aws.String("*")
	}
	if how.IfVersion != "" {
		in.IfMatch = etag(how.IfVersion)
	}
	out, err := s.writes.PutObject(ctx, in)
	if err == nil {
		return versionOf(out.ETag)
	}
	err = said(ctx, err)
	switch {
	case how.IfAbsent && errors.Is(err, errPrecondition):
		return "", storage.ErrExists
	case how.IfVersion != "" && (errors.Is(err, errPrecondition) || errors.Is(err, storage.ErrNotExist)):
		return "", storage.ErrChanged
	case errors.Is(err, storage.ErrNotExist):
		return "", fmt.Errorf("a put was told that its object is not there: %v", err) // not ErrNotExist: that would mean something
	}
	return "", err
}
