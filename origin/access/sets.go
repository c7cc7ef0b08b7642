package access

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

const (
	// fileEvery and fetchEvery are how old a key set may be before it is read again.
	fileEvery  = 5 * time.Second
	fetchEvery = 5 * time.Minute
	// askedEvery is how soon one is fetched again because a token named a key that nobody knows, or because it failed.
	askedEvery = 10 * time.Second
	// fetchTakes is how long fetching one may take; longer, and it failed.
	fetchTakes = 5 * time.Second
	// keepsGood is how long a set that can't be read any more stands as it last was; then its keys are gone, for nobody can have taken one back meanwhile.
	keepsGood = 24 * time.Hour
)

// Set is a JWKS (RFC 7517): keys that somebody else adds and takes away.
type Set struct {
	ID           string // for people
	File, URL    string // one of them
	Broadcasters []string
	Issuer       string
	NotAfter     time.Time // these three as in Key, of every key in it
}

// keySet is a set and what it was when it was last good. Its fields are guarded by Verifier.mu; fetching happens outside.
type keySet struct {
	Set
	keys    []*Key
	good    time.Time // when it was
	tried   time.Time
	fetches bool   // at the moment
	failed  string // why, the last time
}

// inherit goes on with what a set of the same place held before a reload.
func (s *keySet) inherit(old []*keySet) {
	for _, o := range old {
		if o.File == s.File && o.URL == s.URL {
			s.good, s.tried = o.good, o.tried
			for _, k := range o.keys {
				s.keys = append(s.keys, s.of(k))
			}
			return
		}
	}
}

// of makes a key one of this set.
func (s *keySet) of(k *Key) *Key {
	own := *k
	own.Broadcasters, own.Issuer, own.NotAfter = s.Broadcasters, s.Issuer, s.NotAfter
	return &own
}

func (s *keySet) take(b []byte) error {
	keys, err := parseJWKS(b, s.File != "")
	if err != nil {
		return err
	}
	s.keys = nil
	for _, k := range keys {
		s.keys = append(s.keys, s.of(k))
	}
	s.good = time.Now()
	return nil
}

func (s *keySet) readFile() error {
	b, err := readFile(s.File)
	if err != nil {
		return err
	}
	return s.take(b)
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxJWKS+1))
}

// due tells whether it is time to read it again.
func (s *keySet) due(now time.Time, wanted bool) bool {
	every := fetchEvery
	switch {
	case s.fetches:
		return false
	case s.File != "":
		every = fileEvery
	case wanted || s.failed != "":
		every = askedEvery
	}
	return s.tried.IsZero() || now.Sub(s.tried) >= every
}

// Run keeps the key sets fresh until ctx ends. No request waits for it: a set that can't be read stays as it was.
func (v *Verifier) Run(ctx context.Context) error {
	var fetching sync.WaitGroup
	defer fetching.Wait()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		v.mu.Lock()
		wanted := v.wanted.Swap(false)
		for _, s := range v.sets {
			switch {
			case s.due(time.Now(), wanted):
				s.fetches, s.tried = true, time.Now()
				fetching.Go(func() { v.refresh(ctx, s) })
			case wanted && s.URL != "":
				v.wanted.Store(true) // its turn comes
			}
		}
		v.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// refresh reads one set and puts its keys into force.
func (v *Verifier) refresh(ctx context.Context, s *keySet) {
	var b []byte
	var err error
	if s.File != "" {
		b, err = readFile(s.File)
	} else {
		b, err = v.fetch(ctx, s.URL)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	s.fetches = false
	if err == nil {
		err = s.take(b)
	}
	if err != nil && ctx.Err() == nil {
		if s.failed != err.Error() {
			v.log.Warn("key set not read", "set", s.ID, "err", err, "good_since", s.good)
		}
		s.failed = err.Error()
		if s.keys != nil && time.Since(s.good) > keepsGood {
			s.keys = nil
			v.log.Error("key set given up", "set", s.ID, "good_since", s.good)
			v.replace(func(*book) {})
		}
		return
	}
	if s.failed != "" {
		v.log.Info("key set read again", "set", s.ID, "keys", len(s.keys))
	}
	s.failed = ""
	v.replace(func(*book) {})
}

func (v *Verifier) fetch(ctx context.Context, address string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTakes)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("not a URL") // the library's words repeat it
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	answer, err := v.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", answer.StatusCode)
	}
	return io.ReadAll(io.LimitReader(answer.Body, maxJWKS+1))
}
