package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"flambeau/storage"
)

const (
	probeWait   = 20 * time.Second // of one probe; a store that takes longer counts as unreachable
	probeSweep  = 5 * time.Second  // of deleting what a probe left; what stays is a few hundred bytes below probe/
	probeRacers = 16               // creates at once
	probeRead   = 1 << 10          // bytes read of an object of ours
)

// errBroken is a store that answers and does not keep its promises. No channel may be shared by workers on it.
var errBroken = errors.New("the store breaks a promise")

// probe tries on a store what everything else leans on, on objects of its own, which it deletes:
//
//	parallel creates ─► exactly one wins ─► it is read, and listed ─► no second create ─► swap, stale swap ─► delete
//
// An error is errBroken, or storeUnreachable where the store did not answer.
func probe(ctx context.Context, s storage.Store) error {
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	p := prober{s, "probe/" + rand.Text()}
	defer p.sweep(ctx)
	won, err := p.race(ctx)
	if err != nil {
		return err
	}
	for _, step := range []func(context.Context, []byte) error{p.reads, p.lists, p.createsOnce, p.swaps, p.deletes} {
		if err := step(ctx, won); err != nil {
			return err
		}
	}
	return nil
}

// answering tells whether a store answers at all: what a reader can try.
func answering(ctx context.Context, s storage.Store) error {
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	if err := reach(ctx, s); err != nil {
		return unanswered("read", err)
	}
	return nil
}

type prober struct {
	store storage.Store
	key   string
}

// race creates one name from many sides at once.
func (p prober) race(ctx context.Context) (won []byte, err error) {
	type result struct {
		body []byte
		err  error
	}
	results := make(chan result, probeRacers)
	for i := range probeRacers {
		go func() {
			body := fmt.Appendf(nil, "probe of racer %d\n", i)
			_, err := p.store.Put(ctx, p.key, body, storage.Put{IfAbsent: true})
			results <- result{body, err}
		}()
	}
	wins, failed := 0, error(nil)
	for range probeRacers {
		switch r := <-results; {
		case r.err == nil:
			wins, won = wins+1, r.body
		case !errors.Is(r.err, storage.ErrExists):
			failed = r.err
		}
	}
	if failed != nil {
		return nil, unanswered("create", failed)
	}
	if wins != 1 {
		return nil, broken("%d of %d parallel creates of one name won", wins, probeRacers)
	}
	return won, nil
}

func (p prober) reads(ctx context.Context, want []byte) error {
	got, _, err := storage.ReadAll(ctx, p.store, p.key, storage.Get{}, probeRead)
	if errors.Is(err, storage.ErrNotExist) {
		return broken("an object is not there after it was written")
	}
	if err != nil {
		return unanswered("read", err)
	}
	if !bytes.Equal(got, want) {
		return broken("an object reads otherwise than it was written")
	}
	return nil
}

func (p prober) lists(ctx context.Context, _ []byte) error {
	seen := false
	for info, err := range p.store.List(ctx, p.key, "") {
		if err != nil {
			return unanswered("list", err)
		}
		if info.Key == p.key {
			seen = true
			break
		}
	}
	if !seen {
		return broken("an object is not listed after it was written")
	}
	return nil
}

func (p prober) createsOnce(ctx context.Context, won []byte) error {
	_, err := p.store.Put(ctx, p.key, []byte("a second create\n"), storage.Put{IfAbsent: true})
	if err == nil {
		return broken("a second create overwrote the first")
	}
	if !errors.Is(err, storage.ErrExists) {
		return unanswered("create", err)
	}
	return p.reads(ctx, won)
}

func (p prober) swaps(ctx context.Context, _ []byte) error {
	_, old, err := storage.ReadAll(ctx, p.store, p.key, storage.Get{}, probeRead)
	if err != nil {
		return unanswered("read", err)
	}
	swapped := []byte("swapped\n")
	if _, err := p.store.Put(ctx, p.key, swapped, storage.Put{IfVersion: old}); errors.Is(err, storage.ErrChanged) {
		return broken("a swap over the current version was refused")
	} else if err != nil {
		return unanswered("swap", err)
	}
	if err := p.refusesSwap(ctx, p.key, old, "a swap over a stale version"); err != nil {
		return err
	}
	if err := p.refusesSwap(ctx, p.key+"-absent", old, "a swap over nothing"); err != nil {
		return err
	}
	return p.reads(ctx, swapped)
}

func (p prober) refusesSwap(ctx context.Context, key string, over storage.Version, what string) error {
	_, err := p.store.Put(ctx, key, []byte(what), storage.Put{IfVersion: over})
	if err == nil {
		return broken("%s was done", what)
	}
	if !errors.Is(err, storage.ErrChanged) {
		return unanswered("swap", err)
	}
	return nil
}

func (p prober) deletes(ctx context.Context, _ []byte) error {
	if err := p.store.Delete(ctx, p.key); err != nil {
		return unanswered("delete", err)
	}
	o, err := p.store.Get(ctx, p.key, storage.Get{})
	if err == nil {
		o.Body.Close()
		return broken("an object is there after it was deleted")
	}
	if !errors.Is(err, storage.ErrNotExist) {
		return unanswered("read", err)
	}
	return nil
}

// sweep deletes what is left, even where the probe was cut short. Whether it can is no finding.
func (p prober) sweep(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeSweep)
	defer cancel()
	for _, key := range []string{p.key, p.key + "-absent"} {
		_ = p.store.Delete(ctx, key)
	}
}

func broken(format string, args ...any) error {
	return fmt.Errorf("probe: %w: %s", errBroken, fmt.Sprintf(format, args...))
}

func unanswered(op string, err error) error {
	return storeUnreachable{fmt.Errorf("probe: %s: %w", op, err)}
}
