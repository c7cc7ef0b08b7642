package s3

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"flambeau/storage"
)

// List takes a request for a thousand keys. What lies in the bucket and is no key of ours is passed over.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		if !beginsKey(prefix) {
			return // what is no key has nothing below it
		}
		if err := s.list(ctx, prefix, after, yield); err != nil {
			yield(storage.Info{}, fmt.Errorf("list %s: %w", prefix, err))
		}
	}
}

// list returns nil also where it was left.
func (s *Store) list(ctx context.Context, prefix, after string, yield func(storage.Info, error) bool) error {
	ask := askable(prefix)
	in := &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: aws.String(s.prefix + ask), MaxKeys: &s.page}
	switch start := startAfter(after); {
	case strings.HasPrefix(start, ask) && start != "":
		in.StartAfter = aws.String(s.prefix + start)
	case start > ask:
		return ctx.Err() // beyond everything that begins with prefix. Some refuse a start that has not the prefix
	}
	for last := ""; ; {
		out, err := s.reads.ListObjectsV2(ctx, in)
		if err != nil {
			return said(ctx, err)
		}
		for _, o := range out.Contents {
			name := aws.ToString(o.Key)
			if name <= last {
				return fmt.Errorf("the bucket does not list in byte order: %q after %q", name, last)
			}
			last = name
			key, ours := strings.CutPrefix(name, s.prefix)
			if !ours || !strings.HasPrefix(key, prefix) || key <= after || storage.CheckKey(key) != nil {
				continue
			}
			if !yield(storage.Info{Key: key, Size: aws.ToInt64(o.Size), Modified: aws.ToTime(o.LastModified)}, nil) {
				return nil
			}
		}
		if !aws.ToBool(out.IsTruncated) {
			return nil
		}
		next := aws.ToString(out.NextContinuationToken)
		if next == "" || next == aws.ToString(in.ContinuationToken) {
			return errors.New("the bucket lists more than it tells how to ask for")
		}
		in.ContinuationToken = &next
	}
}

func beginsKey(prefix string) bool {
	return storage.CheckKey(prefix) == nil || storage.CheckKey(prefix+"x") == nil
}

// askable is prefix without a last element of dots alone, which could go on as a key does and which MinIO refuses as a path.
func askable(prefix string) string {
	if folder := strings.LastIndexByte(prefix, '/') + 1; prefix[folder:] == "." || prefix[folder:] == ".." {
		return prefix[:folder]
	}
	return prefix
}

// startAfter is a name at or before after that every bucket takes: a key, or one and a slash. What it gives too much, list drops.
func startAfter(after string) string {
	for n := min(len(after), storage.MaxKey); n > 0; n-- {
		if storage.CheckKey(strings.TrimSuffix(after[:n], "/")) != nil {
			continue
		}
		if n < len(after) && after[n] > 'z' {
			return after[:n] + "~" // beyond all keys that begin so, as after is
		}
		return after[:n]
	}
	return ""
}
