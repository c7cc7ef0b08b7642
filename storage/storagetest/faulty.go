package storagetest

import (
	"context"
	"fmt"
	"io"
	"iter"
	"sync/atomic"
	"time"

	"flambeau/storage"
)

// Op is one request to a store.
type Op struct {
	N    int    // how many came before it, of any name
	Name string // "put", "get", "list" or "delete"
	Key  string // of List: the prefix
	How  storage.Put
	What storage.Get
}

// Fault is what befalls a request. The zero value: nothing.
type Fault struct {
	Latency time.Duration // before anything else; the context ends it
	Err     error         // the answer, instead of the store's
	Hang    bool          // no answer until the context ends
	After   bool          // Err or Hang come after the request took effect: only the answer is lost
	Half    bool          // of Get: the body breaks off in the middle, with io.ErrUnexpectedEOF
}

// Faulty is a store on which things go wrong: Decide says of each request how. It starts no goroutine, and its only clock is
// that of Latency, so it may be used in a testing/synctest bubble. Decide is called from wherever the request comes.
type Faulty struct {
	storage.Store
	Decide func(Op) Fault

	ops atomic.Int64
}

// Script is a Decide that deals out faults in order, one a request, and then none.
func Script(faults ...Fault) func(Op) Fault {
	var next atomic.Int64
	return func(Op) Fault {
		if n := next.Add(1) - 1; n < int64(len(faults)) {
			return faults[n]
		}
		return Fault{}
	}
}

// On restricts faults to the requests of one name.
func On(name string, decide func(Op) Fault) func(Op) Fault {
	return func(op Op) Fault {
		if op.Name != name {
			return Fault{}
		}
		return decide(op)
	}
}

func (f *Faulty) Put(ctx context.Context, key string, body []byte, how storage.Put) (v storage.Version, err error) {
	fault := f.decide(Op{Name: "put", Key: key, How: how})
	err = fault.around(ctx, func() error {
		v, err = f.Store.Put(ctx, key, body, how)
		return err
	})
	if err != nil {
		return "", err
	}
	return v, nil
}

func (f *Faulty) Get(ctx context.Context, key string, what storage.Get) (o storage.Object, err error) {
	fault := f.decide(Op{Name: "get", Key: key, What: what})
	err = fault.around(ctx, func() error {
		o, err = f.Store.Get(ctx, key, what)
		return err
	})
	if err != nil {
		if o.Body != nil {
			o.Body.Close()
		}
		return storage.Object{}, err
	}
	if fault.Half {
		o.Body = &halfBody{o.Body, o.Size / 2}
	}
	return o, nil
}

// List has its fault before the first key, or, After, behind the last.
func (f *Faulty) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		stopped := false
		fault := f.decide(Op{Name: "list", Key: prefix})
		err := fault.around(ctx, func() error {
			for info, err := range f.Store.List(ctx, prefix, after) {
				if stopped = !yield(info, err); stopped || err != nil {
					stopped = true
					return nil
				}
			}
			return nil
		})
		if err != nil && !stopped {
			yield(storage.Info{}, err)
		}
	}
}

func (f *Faulty) Delete(ctx context.Context, key string) error {
	fault := f.decide(Op{Name: "delete", Key: key})
	return fault.around(ctx, func() error { return f.Store.Delete(ctx, key) })
}

func (f *Faulty) decide(op Op) Fault {
	op.N = int(f.ops.Add(1) - 1)
	if f.Decide == nil {
		return Fault{}
	}
	return f.Decide(op)
}

func (f Fault) around(ctx context.Context, do func() error) error {
	if f.Latency > 0 {
		if err := wait(ctx, f.Latency); err != nil {
			return err
		}
	}
	if !f.breaks() {
		return do()
	}
	if f.After {
		_ = do() // whatever it said, nobody hears it
	}
	if f.Hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return fmt.Errorf("injected: %w", f.Err)
}

func (f Fault) breaks() bool { return f.Err != nil || f.Hang }

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// halfBody breaks off after left bytes. It hides what else the body can do, so that nobody reads past it.
type halfBody struct {
	io.ReadCloser
	left int64
}

func (b *halfBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
