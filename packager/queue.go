package packager

import (
	"context"
	"slices"
	"sync"
	"time"
)

// queue holds the batches that are on their way to the store, oldest first, until a root names them.
type queue struct {
	mu      sync.Mutex
	waiting []*batch
	closed  bool
	changed chan struct{} // has an element if something has changed since it was last looked at
}

func newQueue() queue { return queue{changed: make(chan struct{}, 1)} }

func (q *queue) push(b *batch) {
	q.mu.Lock()
	if b.since.IsZero() {
		b.since = time.Now()
	}
	q.waiting = append(q.waiting, b)
	q.mu.Unlock()
	q.tell()
}

// close says that nothing will be pushed any more.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.tell()
}

func (q *queue) tell() {
	select {
	case q.changed <- struct{}{}:
	default:
	}
}

// next waits for the oldest batches, at most n. None: the queue is closed and empty, or ctx has ended.
func (q *queue) next(ctx context.Context, n int) []*batch {
	for {
		q.mu.Lock()
		oldest := slices.Clone(q.waiting[:min(n, len(q.waiting))])
		closed := q.closed
		q.mu.Unlock()
		if len(oldest) > 0 || closed {
			return oldest
		}
		select {
		case <-q.changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// drop forgets the oldest n.
func (q *queue) drop(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = slices.Delete(q.waiting, 0, n)
}

// oldest is for how long the oldest has waited; 0 when none does.
func (q *queue) oldest() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return 0
	}
	return max(0, time.Since(q.waiting[0].since))
}

// all is what waits.
func (q *queue) all() []*batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.waiting)
}

// inMemory is how many bytes of cuts the batches hold in memory.
func (q *queue) inMemory() (n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, b := range q.waiting {
		n += b.held
	}
	return n
}
