package main

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"sync/atomic"
	"time"

	"flambeau/storage"
)

const (
	// spoolPatience is what the probe may take at start of a worker that can go on from its spool: its feed is not pulled meanwhile.
	spoolPatience = 5 * time.Second
	// probeEvery is how often a store that did not answer at start is probed again.
	probeEvery = time.Second
)

// unproved is a store that did not answer at start. Nobody gets through to it before it has passed its probe; a worker goes on from its spool
// meanwhile.
type unproved struct {
	storage.Store
	passed atomic.Bool
}

var errUnproved = errors.New("the store has not answered since start")

// prove probes until the store has passed, or breaks a promise, or ctx ends.
func (u *unproved) prove(ctx context.Context, log *slog.Logger) error {
	for {
		err := answering(ctx, u.Store)
		if err == nil {
			err = probe(ctx, u.Store)
		}
		switch {
		case err == nil:
			u.passed.Store(true)
			log.Info("store answers")
			return nil
		case errors.Is(err, errBroken):
			return err
		}
		select {
		case <-time.After(probeEvery):
		case <-ctx.Done():
			return nil
		}
	}
}

func (u *unproved) err() error {
	if u.passed.Load() {
		return nil
	}
	return errUnproved
}

func (u *unproved) Put(ctx context.Context, key string, body []byte, how storage.Put) (storage.Version, error) {
	if err := u.err(); err != nil {
		return "", err
	}
	return u.Store.Put(ctx, key, body, how)
}

func (u *unproved) Get(ctx context.Context, key string, what storage.Get) (storage.Object, error) {
	if err := u.err(); err != nil {
		return storage.Object{}, err
	}
	return u.Store.Get(ctx, key, what)
}

func (u *unproved) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Info, error] {
	if err := u.err(); err != nil {
		return func(yield func(storage.Info, error) bool) { yield(storage.Info{}, err) }
	}
	return u.Store.List(ctx, prefix, after)
}

func (u *unproved) Delete(ctx context.Context, key string) error {
	if err := u.err(); err != nil {
		return err
	}
	return u.Store.Delete(ctx, key)
}
