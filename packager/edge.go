package packager

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"flambeau/packager/timeline"
	"flambeau/storage"
)

// Edge shows what a worker of this process has in its spool to the origin of this process, as if the store had it already:
//
//	origin ─► Edge ─┬─► spooled: objects, and a root that names them     durable here
//	                └─► the store                                        durable everywhere
//
// While the store does not answer, live goes on for whoever is served from here. What is only in memory is not shown, for it may still
// be lost; nor what a paired worker has spooled, for the store may decide otherwise.
type Edge struct {
	storage.Store

	mu      sync.RWMutex
	objects map[string]shown
	roots   map[string]shown
	count   int64 // numbers the versions
}

// shown is an object that the store need not have.
type shown struct {
	b        *batch // where it is read from
	o        object
	body     []byte // of a root
	version  storage.Version
	modified time.Time
}

// NewEdge makes an Edge over a store. It writes nothing: its Put and Delete are the store's.
func NewEdge(s storage.Store) *Edge {
	return &Edge{Store: s, objects: map[string]shown{}, roots: map[string]shown{}}
}

// show makes a spooled batch readable.
func (e *Edge) show(b *batch) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, o := range b.Objects {
		o.body = nil // it is read from the file, which stays until the store has it
		e.objects[o.Key] = shown{b: b, o: o, version: versionOf(o), modified: time.Now()}
	}
}

// versionOf is by content: an object that never changes has the same version here for ever.
func versionOf(o object) storage.Version { return storage.Version("edge-" + o.hash.Short()) }

// hide gives a batch back to the store, which has it.
func (e *Edge) hide(b *batch) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, o := range b.Objects {
		if e.objects[o.Key].b == b {
			delete(e.objects, o.Key)
		}
	}
}

// root shows an index that names spooled rows under a worker's name; nil gives the name back to the store.
func (e *Edge) root(channel, worker string, x *timeline.Index) {
	e.mu.Lock()
	defer e.mu.Unlock()
	key := timeline.RootKey(channel, worker)
	if x == nil {
		delete(e.roots, key)
		return
	}
	e.count++
	e.roots[key] = shown{body: x.Encode(), version: storage.Version("edge-" + strconv.FormatInt(e.count, 10)), modified: time.Now()}
}

func (e *Edge) find(key string) (shown, bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if s, ok := e.roots[key]; ok {
		return s, true
	}
	s, ok := e.objects[key]
	return s, ok
}

// Get answers from the spool what is there, and asks the store for the rest.
func (e *Edge) Get(ctx context.Context, key string, what storage.Get) (storage.Object, error) {
	s, ok := e.find(key)
	if !ok {
		return e.Store.Get(ctx, key, what)
	}
	o, err := s.get(what)
	if err != nil {
		if errors.Is(err, storage.ErrUnchanged) || errors.Is(err, storage.ErrRange) {
			return o, fmt.Errorf("get %s: %w", key, err)
		}
		return e.Store.Get(ctx, key, what) // the store has taken it meanwhile, or will be asked again
	}
	return o, nil
}

func (s shown) get(what storage.Get) (o storage.Object, err error) {
	if what.IfChanged != "" && what.IfChanged == s.version {
		return o, storage.ErrUnchanged
	}
	body := s.body
	if s.b != nil {
		if body, err = s.b.load(s.o); err != nil {
			return o, err
		}
	}
	o = storage.Object{Size: int64(len(body)), Version: s.version, Modified: s.modified}
	if what.Offset < 0 || what.Length < 0 || what.Offset >= o.Size && (what.Offset > 0 || what.Length > 0) {
		return storage.Object{}, storage.ErrRange
	}
	body = body[what.Offset:]
	if what.Length > 0 && what.Length < int64(len(body)) {
		body = body[:what.Length]
	}
	o.Body = io.NopCloser(bytes.NewReader(body))
	return o, nil
}

// List yields what the store lists and the roots that are shown here. When the store does not answer, these come before its error.
func (e *Edge) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		mine := e.list(prefix, after)
		for info, err := range e.Store.List(ctx, prefix, after) {
			for len(mine) > 0 && (err != nil || mine[0].Key <= info.Key) {
				if mine[0].Key != info.Key && !yield(mine[0], nil) {
					return
				}
				mine = mine[1:]
			}
			if !yield(info, err) || err != nil {
				return
			}
		}
		for _, info := range mine {
			if !yield(info, nil) {
				return
			}
		}
	}
}

func (e *Edge) list(prefix, after string) (all []storage.Info) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	for _, m := range []map[string]shown{e.objects, e.roots} {
		for key, s := range m {
			if strings.HasPrefix(key, prefix) && key > after {
				all = append(all, storage.Info{Key: key, Size: max(s.o.size, int64(len(s.body))), Modified: s.modified})
			}
		}
	}
	slices.SortFunc(all, func(a, b storage.Info) int { return strings.Compare(a.Key, b.Key) })
	return all
}
