package access

import (
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	// cacheShards are locked apart.
	cacheShards = 16
	// shardTokens is how many tokens one keeps: with MaxToken bytes each and what they say, all together some 100 MiB at the very worst, 10 MiB as they are.
	// One more, and the next that was not asked for since the hand last passed is forgotten, to be verified again.
	shardTokens = 1024
)

// cache holds what was verified. Only good tokens get in, so nobody can fill it with bad ones.
type cache struct {
	seed   maphash.Seed
	shards [cacheShards]shard
}

type shard struct {
	mu      sync.RWMutex
	entries map[string]*entry
	ring    []*entry // in the order of the clock's hand
	hand    int
}

// entry is a verified token and what it was verified by: it holds as long as they are still these.
type entry struct {
	token string
	id    Identity
	key   *Key
	rules *rules
	used  atomic.Bool // since the hand passed
}

func (c *cache) shard(token string) *shard {
	return &c.shards[maphash.String(c.seed, token)%cacheShards]
}

func (c *cache) get(token string) *entry {
	s := c.shard(token)
	s.mu.RLock()
	e := s.entries[token]
	s.mu.RUnlock()
	if e != nil && !e.used.Load() {
		e.used.Store(true)
	}
	return e
}

func (c *cache) put(e *entry) {
	e.token = strings.Clone(e.token) // it may be a part of a long URL
	s := c.shard(e.token)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries == nil {
		s.entries = map[string]*entry{}
	}
	if old := s.entries[e.token]; old != nil {
		for i := range s.ring {
			if s.ring[i] == old {
				s.ring[i] = e
			}
		}
		s.entries[e.token] = e
		return
	}
	s.entries[e.token] = e
	if len(s.ring) < shardTokens {
		s.ring = append(s.ring, e)
		return
	}
	for s.ring[s.hand].used.Swap(false) {
		s.hand = (s.hand + 1) % len(s.ring)
	}
	delete(s.entries, s.ring[s.hand].token)
	s.ring[s.hand] = e
	s.hand = (s.hand + 1) % len(s.ring)
}
