package storagetest_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"flambeau/storage"
	"flambeau/storage/memory"
	"flambeau/storage/storagetest"
)

var errDown = errors.New("down")

func TestAStoreWithoutFaultsKeepsTheContract(t *testing.T) {
	storagetest.Run(t, func(*testing.T) storage.Store { return &storagetest.Faulty{Store: memory.New()} })
}

func TestAPutThatFailsBeforeItTookEffectLeavesNothing(t *testing.T) {
	m := memory.New()
	s := &storagetest.Faulty{Store: m, Decide: storagetest.Script(storagetest.Fault{Err: errDown})}
	if v, err := s.Put(t.Context(), "k", []byte("x"), storage.Put{}); !errors.Is(err, errDown) || v != "" {
		t.Fatalf("%q %v", v, err)
	}
	if _, err := m.Get(t.Context(), "k", storage.Get{}); !errors.Is(err, storage.ErrNotExist) {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), "k", []byte("x"), storage.Put{IfAbsent: true}); err != nil {
		t.Fatalf("behind the script: %v", err)
	}
}

func TestAPutWhoseAnswerIsLostTookEffect(t *testing.T) {
	s := &storagetest.Faulty{Store: memory.New(), Decide: storagetest.On("put", storagetest.Script(storagetest.Fault{Err: errDown, After: true}))}
	if v, err := s.Put(t.Context(), "k", []byte("x"), storage.Put{IfAbsent: true}); !errors.Is(err, errDown) || v != "" {
		t.Fatalf("%q %v", v, err)
	}
	if _, err := s.Put(t.Context(), "k", []byte("x"), storage.Put{IfAbsent: true}); !errors.Is(err, storage.ErrExists) {
		t.Fatalf("its retry: %v", err)
	}
}

func TestAHangEndsWithTheContextAndLatencyTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := storagetest.Fault{Hang: true, After: true}
		s := &storagetest.Faulty{Store: memory.New(), Decide: storagetest.Script(hang, storagetest.Fault{Latency: time.Second}, storagetest.Fault{Latency: time.Hour})}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		_, err := s.Put(ctx, "k", []byte("x"), storage.Put{})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Minute {
			t.Fatalf("%v after %v", err, time.Since(start))
		}
		start = time.Now()
		if got, _, err := storage.ReadAll(t.Context(), s, "k", storage.Get{}, 10); string(got) != "x" || err != nil || time.Since(start) != time.Second {
			t.Fatalf("%q %v after %v: the hung put took effect, and a get takes a second", got, err, time.Since(start))
		}
		if err := s.Delete(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	})
}

func TestABodyBreaksOffInTheMiddle(t *testing.T) {
	s := &storagetest.Faulty{Store: memory.New(), Decide: storagetest.On("get", storagetest.Script(storagetest.Fault{Half: true}))}
	if _, err := s.Put(t.Context(), "k", []byte("0123456789"), storage.Put{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := storage.ReadAll(t.Context(), s, "k", storage.Get{}, 100); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
}

func TestAListBreaksOffBehindItsLastKey(t *testing.T) {
	s := &storagetest.Faulty{Store: memory.New(), Decide: storagetest.On("list", storagetest.Script(storagetest.Fault{Err: errDown, After: true}))}
	if _, err := s.Put(t.Context(), "k", nil, storage.Put{}); err != nil {
		t.Fatal(err)
	}
	var keys []string
	var failed error
	for info, err := range s.List(t.Context(), "", "") {
		if failed = err; err == nil {
			keys = append(keys, info.Key)
		}
	}
	if len(keys) != 1 || !errors.Is(failed, errDown) {
		t.Fatalf("%q %v", keys, failed)
	}
}
