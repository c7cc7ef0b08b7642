package storage

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	// largeShare: what is larger than this part of a cache's limit is not kept. It passes, and ranges of it are ranges to the store.
	largeShare = 8
	// oftenShare: so many quarters of the limit belong to what was asked for more than once. Who reads through the archive, each object
	// once, drives the live edge out of no cache.
	oftenShare = 3
	// fetchLimit is what reading one object may take, however many wait; then it has failed for all of them.
	fetchLimit = 30 * time.Second
	// fetchTries is how often a body that breaks off is gone on with, the first time included.
	fetchTries = 3
	// fetchStep is after how many bytes those who wait are told that there are more.
	fetchStep = 128 << 10
	// maxLarge is of how many objects it is remembered that they are too large; then all of it is forgotten.
	maxLarge = 4096
)

// Cache reads what never changes from a slow place once, and keeps it.
//
//	       ┌ held? ──────────────────────────── hit  ┐
//	Get ─► ┼ on its way for another? ────────── wait ┼─► one []byte, shared and read-only ─► any number of bodies
//	       ├ neither: one read, for all ─────── miss ┘         ▲ sent while it is filled
//	       └ too large, no room, may change ─── pass ─► the place
//
// A read is nobody's own: it goes on while one of those who wait is left, and a body that breaks off is gone on with by a range. What
// failed, and what is not there, is not remembered. Of files use none: they go out by sendfile, and the kernel keeps them.
//
// At most limit bytes are held. What was dropped and is still being sent may come to as much again; beyond that objects pass.
//
// It is not made of a cache library, for there are only some thousand large entries: one lock and two lists do. What counts is that
// room is made before the bytes come, and that an entry is known to be in use; neither is to be had where eviction is somebody else's.
type Cache struct {
	Store
	limit     int64
	immutable func(key string) bool
	observe   func(result string)

	mu         sync.Mutex
	held       map[string]*whole // by key: all there, or on its way
	once       list.List         // of *whole, the newest in front
	often      list.List         // that were asked for again
	kept       int64             // bytes of both lists
	oftenBytes int64             // of which in often
	lent       int64             // bytes that were dropped and are in use
	large      map[string]bool   // keys that pass
}

// CacheResults are all that a cache observes.
var CacheResults = []string{"hit", "wait", "miss", "pass"}

// Cached makes a cache of limit bytes before a store. immutable tells which objects never change: only those are kept, and observe is
// told of those requests only. What is put or deleted through the cache is forgotten.
func Cached(s Store, limit int64, immutable func(key string) bool, observe func(result string)) *Cache {
	return &Cache{Store: s, limit: limit, immutable: immutable, observe: observe, held: map[string]*whole{}, large: map[string]bool{}}
}

// whole is one object, there or on its way. bytes[:ready] never change.
type whole struct {
	key    string
	stop   context.CancelFunc // ends the read
	opened chan struct{}      // closed when the three below are set
	object Object             // without Body
	bytes  []byte             // as long as the object
	err    error

	// These belong to Cache.mu.
	readers int
	filling bool
	again   bool          // it was asked for more than once
	element *list.Element // nil: in no list
	lent    bool

	mu     sync.Mutex
	ready  int
	failed error
	more   chan struct{} // closed when there are more; nil: nobody waits
}

// errPasses tells those who wait that each has to ask for itself.
var errPasses = errors.New("storage: not cached")

// Bytes is how much is held, what is being sent included.
func (c *Cache) Bytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept + c.lent
}

// Get answers out of memory what it can. Of what is on its way it returns as soon as the size is known.
func (c *Cache) Get(ctx context.Context, key string, what Get) (Object, error) {
	if !c.immutable(key) {
		return c.Store.Get(ctx, key, what)
	}
	if err := ctx.Err(); err != nil {
		return Object{}, fmt.Errorf("get %s: %w", key, err)
	}
	w, result := c.take(ctx, key)
	if w == nil {
		c.observe(result)
		return c.Store.Get(ctx, key, what)
	}
	o, err := c.answer(ctx, w, what)
	if err != nil {
		c.release(w)
	}
	if err == errPasses {
		c.observe("pass")
		return c.Store.Get(ctx, key, what)
	}
	c.observe(result)
	return o, err
}

// take finds a whole, or has it read. nil: this one passes.
func (c *Cache) take(ctx context.Context, key string) (w *whole, result string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.held[key]; w != nil {
		w.readers++
		c.used(w)
		if w.filling {
			return w, "wait"
		}
		return w, "hit"
	}
	if c.large[key] || c.lent >= c.limit {
		return nil, "pass"
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), fetchLimit)
	w = &whole{key: key, stop: stop, opened: make(chan struct{}), readers: 1, filling: true}
	c.held[key] = w
	go c.fetch(ctx, w)
	return w, "miss"
}

// answer waits until the object is open and cuts out what is wanted.
func (c *Cache) answer(ctx context.Context, w *whole, what Get) (Object, error) {
	select {
	case <-w.opened:
	case <-ctx.Done():
		return Object{}, fmt.Errorf("get %s: %w", w.key, ctx.Err())
	}
	if w.err != nil {
		return Object{}, w.err
	}
	o := w.object
	switch {
	case what.IfChanged != "" && what.IfChanged == o.Version:
		return Object{}, fmt.Errorf("get %s: %w", w.key, ErrUnchanged)
	case what.Offset < 0 || what.Length < 0 || what.Offset >= o.Size && (what.Offset > 0 || what.Length > 0):
		return Object{}, fmt.Errorf("get %s: %w: %d bytes from %d, of %d", w.key, ErrRange, what.Length, what.Offset, o.Size)
	}
	end := o.Size
	if what.Length > 0 && what.Length < end-what.Offset {
		end = what.Offset + what.Length
	}
	o.Body = &lending{cache: c, whole: w, ctx: ctx, at: int(what.Offset), end: int(end)}
	return o, nil
}

// fetch reads an object for all who wait for it.
func (c *Cache) fetch(ctx context.Context, w *whole) {
	defer w.stop()
	o, err := c.Store.Get(ctx, w.key, Get{})
	if err == nil && !c.admit(w, Object{Size: o.Size, Version: o.Version, Modified: o.Modified}) {
		o.Body.Close()
		err = errPasses
	}
	if err != nil {
		c.filled(w, err) // first: whoever asks from now on asks anew
		w.err = err
		close(w.opened)
		return
	}
	w.bytes = make([]byte, o.Size)
	close(w.opened)
	err = c.fill(ctx, w, o.Body)
	c.filled(w, err)
	if err != nil {
		w.grow(0, err)
	}
}

// fill reads a body to its end, going on behind where it breaks off.
func (c *Cache) fill(ctx context.Context, w *whole, body io.ReadCloser) error {
	for try := 1; ; try++ {
		err := w.read(body)
		body.Close()
		if err == nil {
			return nil
		}
		if err = fmt.Errorf("get %s: %w", w.key, err); try == fetchTries || ctx.Err() != nil {
			return err
		}
		o, again := c.Store.Get(ctx, w.key, Get{Offset: int64(w.ready)})
		if again != nil {
			return again
		}
		if body = o.Body; o.Version != w.object.Version || o.Size != w.object.Size {
			body.Close()
			return fmt.Errorf("get %s: %w it was begun", w.key, ErrChanged)
		}
	}
}

func (w *whole) read(body io.Reader) error {
	for w.ready < len(w.bytes) {
		n, err := io.ReadFull(body, w.bytes[w.ready:min(w.ready+fetchStep, len(w.bytes))])
		w.grow(n, nil)
		if err == io.EOF {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// grow tells those who wait that n bytes more are there, or that none will come. Only fetch calls it.
func (w *whole) grow(n int, failed error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ready, w.failed = w.ready+n, failed
	if w.more != nil {
		close(w.more)
		w.more = nil
	}
}

// await returns how much is there once that is more than at.
func (w *whole) await(ctx context.Context, at int) (int, error) {
	for {
		w.mu.Lock()
		ready, failed := w.ready, w.failed
		if ready <= at && failed == nil && w.more == nil {
			w.more = make(chan struct{})
		}
		more := w.more
		w.mu.Unlock()
		switch {
		case ready > at:
			return ready, nil
		case failed != nil:
			return 0, failed
		}
		select {
		case <-more:
		case <-ctx.Done():
			return 0, fmt.Errorf("get %s: %w", w.key, ctx.Err())
		}
	}
}

// lending is a Body: some of the bytes of a whole. It writes what is there without copying it, all in one if all is there.
type lending struct {
	cache *Cache
	whole *whole // nil: closed
	ctx   context.Context
	at    int
	end   int
}

// next is what is there and was not read yet, waiting for it.
func (l *lending) next() ([]byte, error) {
	if l.whole == nil {
		return nil, errors.New("storage: read of a closed body")
	}
	if l.at == l.end {
		return nil, io.EOF
	}
	ready, err := l.whole.await(l.ctx, l.at)
	if err != nil {
		return nil, err
	}
	return l.whole.bytes[l.at:min(ready, l.end)], nil
}

func (l *lending) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	b, err := l.next()
	n := copy(p, b)
	l.at += n
	return n, err
}

func (l *lending) WriteTo(to io.Writer) (sent int64, err error) {
	for {
		b, err := l.next()
		if err == io.EOF {
			return sent, nil
		}
		if err != nil {
			return sent, err
		}
		n, err := to.Write(b)
		l.at, sent = l.at+n, sent+int64(n)
		if err != nil {
			return sent, err
		}
	}
}

func (l *lending) Close() error {
	if l.whole != nil {
		l.cache.release(l.whole)
		l.whole = nil
	}
	return nil
}

// release ends one use. A read that nobody waits for any more is ended.
func (c *Cache) release(w *whole) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.readers--; w.readers == 0 && w.filling && !w.arrived() {
		c.drop(w)
		w.stop()
	}
	c.settle(w)
}

// arrived tells whether all is there, though its read may not have ended yet: whoever was quicker than that must not undo it.
func (w *whole) arrived() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	admitted := w.element != nil || w.lent
	return admitted && int64(w.ready) == w.object.Size
}

// admit makes room for an object that has been opened, unless it is too large or too much is in use.
func (c *Cache) admit(w *whole, o Object) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	size := o.Size
	if size > c.limit/largeShare {
		if len(c.large) == maxLarge {
			clear(c.large)
		}
		c.large[w.key] = true
	}
	if c.large[w.key] || c.lent >= c.limit {
		return false
	}
	w.object = o
	if c.held[w.key] != w {
		w.lent = true // it was forgotten while it was being opened: only those who wait get it
		c.lent += size
		return true
	}
	c.kept += size
	if w.again {
		w.element, c.oftenBytes = c.often.PushFront(w), c.oftenBytes+size
	} else {
		w.element = c.once.PushFront(w)
	}
	c.shrink()
	return true
}

// used notes that a whole was asked for again.
func (c *Cache) used(w *whole) {
	switch {
	case w.element == nil:
	case w.again:
		c.often.MoveToFront(w.element)
	default:
		c.once.Remove(w.element)
		w.element, c.oftenBytes = c.often.PushFront(w), c.oftenBytes+w.object.Size
	}
	w.again = true
	c.shrink()
}

// shrink keeps the limits. What was used often and is the longest unused becomes as what was used once, and of that the longest unused
// goes. It is never the newest: once has a quarter of the limit then, and nothing in it has more than an eighth.
func (c *Cache) shrink() {
	for c.oftenBytes > c.limit/4*oftenShare {
		w := c.often.Remove(c.often.Back()).(*whole)
		w.element, w.again, c.oftenBytes = c.once.PushFront(w), false, c.oftenBytes-w.object.Size
	}
	for c.kept > c.limit {
		c.drop(c.once.Back().Value.(*whole))
	}
}

// drop lets nobody find a whole any more. Those who have it keep it.
func (c *Cache) drop(w *whole) {
	if c.held[w.key] == w {
		delete(c.held, w.key)
	}
	if w.element == nil {
		return
	}
	if w.again {
		c.often.Remove(w.element)
		c.oftenBytes -= w.object.Size
	} else {
		c.once.Remove(w.element)
	}
	w.element, w.lent = nil, true
	c.kept -= w.object.Size
	c.lent += w.object.Size
	c.settle(w)
}

// settle takes what was dropped off the books once nobody has it.
func (c *Cache) settle(w *whole) {
	if w.lent && w.readers == 0 && !w.filling {
		w.lent = false
		c.lent -= w.object.Size
	}
}

// filled is how a read has ended.
func (c *Cache) filled(w *whole, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w.filling = false
	if err != nil {
		c.drop(w)
	}
	c.settle(w)
}

func (c *Cache) forget(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.large, key)
	if w := c.held[key]; w != nil {
		c.drop(w)
	}
}

func (c *Cache) Put(ctx context.Context, key string, body []byte, how Put) (Version, error) {
	defer c.forget(key) // whatever it says: it may have taken effect
	return c.Store.Put(ctx, key, body, how)
}

func (c *Cache) Delete(ctx context.Context, key string) error {
	defer c.forget(key)
	return c.Store.Delete(ctx, key)
}
