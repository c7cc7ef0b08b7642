package main

import (
	"context"
	"errors"
	"iter"
	"testing"
	"testing/synctest"

	"flambeau/storage"
	"flambeau/storage/file"
	"flambeau/storage/memory"
)

// faulty is a store with one promise broken, or that does not answer.
type faulty struct {
	storage.Store
	put    func(ctx context.Context, key string, body []byte, how storage.Put) (storage.Version, error)
	get    func(ctx context.Context, key string, what storage.Get) (storage.Object, error)
	delete func(ctx context.Context, key string) error
	blind  bool // lists nothing
}

func (f faulty) Put(ctx context.Context, key string, body []byte, how storage.Put) (storage.Version, error) {
	if f.put != nil {
		return f.put(ctx, key, body, how)
	}
	return f.Store.Put(ctx, key, body, how)
}

func (f faulty) Get(ctx context.Context, key string, what storage.Get) (storage.Object, error) {
	if f.get != nil {
		return f.get(ctx, key, what)
	}
	return f.Store.Get(ctx, key, what)
}

func (f faulty) Delete(ctx context.Context, key string) error {
	if f.delete != nil {
		return f.delete(ctx, key)
	}
	return f.Store.Delete(ctx, key)
}

func (f faulty) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Info, error] {
	if f.blind {
		return func(func(storage.Info, error) bool) {}
	}
	return f.Store.List(ctx, prefix, after)
}

func left(t *testing.T, s storage.Store) (keys []string) {
	t.Helper()
	for info, err := range s.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

func TestASoundStorePassesTheProbeAndKeepsNothingOfIt(t *testing.T) {
	disk, err := file.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]storage.Store{"memory": memory.New(), "file": disk} {
		t.Run(name, func(t *testing.T) {
			for range 2 {
				if err := probe(t.Context(), s); err != nil {
					t.Fatal(err)
				}
			}
			if keys := left(t, s); len(keys) > 0 {
				t.Errorf("left behind: %v", keys)
			}
		})
	}
}

func TestABrokenPromiseFailsTheProbe(t *testing.T) {
	m := memory.New()
	for name, c := range map[string]struct {
		broken faulty
		want   string
	}{
		"create-only overwrites": {faulty{put: func(ctx context.Context, key string, body []byte, how storage.Put) (storage.Version, error) {
			return m.Put(ctx, key, body, storage.Put{IfVersion: how.IfVersion})
		}}, "probe: the store breaks a promise: 16 of 16 parallel creates of one name won"},
		"create-only says no and nobody has won": {faulty{put: func(context.Context, string, []byte, storage.Put) (storage.Version, error) {
			return "", storage.ErrExists
		}}, "probe: the store breaks a promise: 0 of 16 parallel creates of one name won"},
		"swap never looks at the version": {faulty{put: func(ctx context.Context, key string, body []byte, how storage.Put) (storage.Version, error) {
			return m.Put(ctx, key, body, storage.Put{IfAbsent: how.IfAbsent})
		}}, "probe: the store breaks a promise: a swap over a stale version was done"},
		"swap over nothing creates": {faulty{put: func(ctx context.Context, key string, body []byte, how storage.Put) (storage.Version, error) {
			v, err := m.Put(ctx, key, body, how)
			if how.IfVersion != "" && errors.Is(err, storage.ErrChanged) {
				if o, err := m.Get(ctx, key, storage.Get{}); err == nil {
					o.Body.Close()
					return "", storage.ErrChanged
				}
				return m.Put(ctx, key, body, storage.Put{})
			}
			return v, err
		}}, "probe: the store breaks a promise: a swap over nothing was done"},
		"swap always refuses": {faulty{put: func(ctx context.Context, key string, body []byte, how storage.Put) (storage.Version, error) {
			if how.IfVersion != "" {
				return "", storage.ErrChanged
			}
			return m.Put(ctx, key, body, how)
		}}, "probe: the store breaks a promise: a swap over the current version was refused"},
		"what was written is not there": {faulty{get: func(context.Context, string, storage.Get) (storage.Object, error) {
			return storage.Object{}, storage.ErrNotExist
		}}, "probe: the store breaks a promise: an object is not there after it was written"},
		"another's bytes are there": {faulty{put: func(ctx context.Context, key string, _ []byte, how storage.Put) (storage.Version, error) {
			return m.Put(ctx, key, []byte("other"), how)
		}}, "probe: the store breaks a promise: an object reads otherwise than it was written"},
		"it lists nothing":             {faulty{blind: true}, "probe: the store breaks a promise: an object is not listed after it was written"},
		"what was deleted stays there": {faulty{delete: func(context.Context, string) error { return nil }}, "probe: the store breaks a promise: an object is there after it was deleted"},
	} {
		t.Run(name, func(t *testing.T) {
			c.broken.Store = m
			err := probe(t.Context(), c.broken)
			if !errors.Is(err, errBroken) || err.Error() != c.want {
				t.Errorf("%v", err)
			}
			if code := exitCode(err); code != exitFailed {
				t.Errorf("exit %d: starting again won't mend it", code)
			}
		})
	}
}

func TestAStoreThatDoesNotAnswerIsUnreachable(t *testing.T) {
	down := errors.New("connection refused")
	err := probe(t.Context(), faulty{Store: memory.New(), put: func(context.Context, string, []byte, storage.Put) (storage.Version, error) { return "", down }})
	if exitCode(err) != exitUnreachable || !errors.Is(err, down) || errors.Is(err, errBroken) {
		t.Error(err)
	}
}

func TestAStoreThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		err := probe(t.Context(), faulty{
			Store: memory.New(),
			put: func(ctx context.Context, _ string, _ []byte, _ storage.Put) (storage.Version, error) {
				return "", hang(ctx)
			},
			delete: func(ctx context.Context, _ string) error { return hang(ctx) },
		})
		if exitCode(err) != exitUnreachable || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

func TestAProbeThatIsCutShortStillSweeps(t *testing.T) {
	m := memory.New()
	ctx, cancel := context.WithCancel(t.Context())
	err := probe(ctx, faulty{Store: m, get: func(context.Context, string, storage.Get) (storage.Object, error) {
		cancel()
		return storage.Object{}, ctx.Err()
	}})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if keys := left(t, m); len(keys) > 0 {
		t.Errorf("left behind: %v", keys)
	}
}

func TestAStoreThatCannotBeOpenedIsUnreachable(t *testing.T) {
	_, err := openStore(t.Context(), StoreConfig{Kind: "file", Dir: "/proc/flambeau"})
	if exitCode(err) != exitUnreachable {
		t.Errorf("exit %d: %v", exitCode(err), err)
	}
}
