package storage

import (
	"context"
	"errors"
	"iter"
	"time"
)

// Observed tells observe of every request to a store: which (put, get, list, delete), how it ended (ok, exists, changed, missing,
// unchanged, error) and how long it took; of a Get, until the body can be read.
func Observed(s Store, observe func(op, result string, took time.Duration)) Store {
	return observed{s, observe}
}

// Ops and Results are all that Observed says.
var (
	Ops     = []string{"put", "get", "list", "delete"}
	Results = []string{"ok", "exists", "changed", "missing", "unchanged", "error"}
)

type observed struct {
	Store
	observe func(op, result string, took time.Duration)
}

func result(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, ErrExists):
		return "exists"
	case errors.Is(err, ErrChanged):
		return "changed"
	case errors.Is(err, ErrNotExist):
		return "missing"
	case errors.Is(err, ErrUnchanged):
		return "unchanged"
	}
	return "error"
}

func (o observed) Put(ctx context.Context, key string, body []byte, how Put) (Version, error) {
	start := time.Now()
	v, err := o.Store.Put(ctx, key, body, how)
	o.observe("put", result(err), time.Since(start))
	return v, err
}

func (o observed) Get(ctx context.Context, key string, what Get) (Object, error) {
	start := time.Now()
	obj, err := o.Store.Get(ctx, key, what)
	o.observe("get", result(err), time.Since(start))
	return obj, err
}

func (o observed) List(ctx context.Context, prefix, after string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		start, failed := time.Now(), error(nil)
		for info, err := range o.Store.List(ctx, prefix, after) {
			failed = err
			if !yield(info, err) {
				break
			}
		}
		o.observe("list", result(failed), time.Since(start))
	}
}

func (o observed) Delete(ctx context.Context, key string) error {
	start := time.Now()
	err := o.Store.Delete(ctx, key)
	o.observe("delete", result(err), time.Since(start))
	return err
}
