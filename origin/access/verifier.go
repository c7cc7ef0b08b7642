package access

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// MaxToken is the longest token, in bytes. A longer one is refused before anything of it is read.
const MaxToken = 4096

// Options are what a configuration says of keys and tokens.
type Options struct {
	Audience     string        // that every token must name
	Issuer       string        // that every token must name, unless its key says another; "": any
	MaxAge       time.Duration // that a token may live; 0: for ever
	Ignore       []string      // claims of JWTs that may be passed over
	Keys         []*Key
	Sets         []Set
	APIKeys      []APIKey
	Certificates []Certificate

	Log    *slog.Logger // of key sets that come and go; nil: nobody's
	Client *http.Client // for key sets; nil: one that follows no redirect
}

// rules are those of the Options that a token is held against.
type rules struct {
	audience, issuer string
	maxAge           time.Duration
	ignore           []string
}

// Verifier knows the keys, and who was revoked. All of its methods may be called at once; none of them but Run waits for anything.
type Verifier struct {
	book  atomic.Pointer[book]
	cache cache

	mu     sync.Mutex // who writes a new book
	sets   []*keySet
	wanted atomic.Bool // a token named a key that is not here
	log    *slog.Logger
	client *http.Client
}

// book is everything that Verify decides by. It is never changed, only replaced.
type book struct {
	rules   *rules
	own     []*Key          // of the configuration
	keys    map[string]*Key // those and the sets', by kid; the configuration's win, then the first set's
	apiKeys map[string]APIKey
	certs   []Certificate
	revoked revoked
}

// New checks the options, and reads the key sets that are files. Those behind a URL come when Run does.
func New(o Options) (*Verifier, error) {
	v := &Verifier{cache: cache{seed: maphash.MakeSeed()}, log: o.Log, client: o.Client}
	if v.log == nil {
		v.log = slog.New(slog.DiscardHandler)
	}
	if v.client == nil {
		v.client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	v.book.Store(&book{})
	return v, v.Reload(o)
}

// Reload puts other options in the place of the old, all of them or, where they are wrong, none. What was revoked stays so. A key that is still the same
// keeps what is cached under it.
func (v *Verifier) Reload(o Options) error {
	if o.Audience == "" {
		return errors.New("no audience")
	}
	own := map[string]*Key{}
	for _, k := range o.Keys {
		if own[k.ID] != nil {
			return fmt.Errorf("two keys %q", k.ID)
		}
		if k.secret == nil && k.public == nil {
			return fmt.Errorf("key %q holds nothing: NewKey makes one", k.ID)
		}
		own[k.ID] = k
	}
	apiKeys := map[string]APIKey{}
	for _, k := range o.APIKeys {
		if _, twice := apiKeys[k.ID]; twice {
			return fmt.Errorf("two API keys %q", k.ID)
		}
		apiKeys[k.ID] = k
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	sets := make([]*keySet, len(o.Sets))
	for i, s := range o.Sets {
		sets[i] = &keySet{Set: s}
		sets[i].inherit(v.sets)
		if s.File != "" {
			if err := sets[i].readFile(); err != nil {
				return fmt.Errorf("key set %s: %w", s.ID, err)
			}
		}
	}
	v.sets = sets
	v.replace(func(b *book) {
		b.rules = &rules{o.Audience, o.Issuer, o.MaxAge, o.Ignore}
		b.own, b.apiKeys, b.certs = o.Keys, apiKeys, o.Certificates
	})
	return nil
}

// replace writes the next book. mu is held.
func (v *Verifier) replace(change func(*book)) {
	old := v.book.Load()
	b := *old
	change(&b)
	b.keys = map[string]*Key{}
	all := [][]*Key{b.own}
	for _, s := range v.sets {
		all = append(all, s.keys)
	}
	for _, keys := range all {
		for _, k := range keys {
			if b.keys[k.ID] != nil {
				continue
			}
			if was := old.keys[k.ID]; was != nil && was.same(k) {
				k = was
			}
			b.keys[k.ID] = k
		}
	}
	v.book.Store(&b)
}

// Verify tells whose token it is. Verified once, it costs a look into a table until it or its key ends, the options change, or somebody revokes.
func (v *Verifier) Verify(token string, now time.Time) (Identity, error) {
	b := v.book.Load()
	if e := v.cache.get(token); e != nil && e.rules == b.rules && b.keys[e.id.Key] == e.key {
		if err := b.stands(&e.id, now); err != nil {
			return Identity{}, err
		}
		return e.id, nil
	}
	switch {
	case token == "":
		return Identity{}, errMissing
	case len(token) > MaxToken:
		return Identity{}, errTooLong
	case !unreserved(token):
		return Identity{}, errMalformed
	case strings.HasPrefix(token, apiKeyPrefix):
		return b.apiKey(token, now)
	}
	id, key, err := b.verify(token, now)
	if err != nil {
		if err == errUnknown {
			v.wanted.Store(true)
		}
		return Identity{}, err
	}
	v.cache.put(&entry{token: token, id: id, key: key, rules: b.rules})
	return id, nil
}

// verify goes from the outside in: nothing of a token is believed before its signature is, but for the name of the key to check it with.
func (b *book) verify(token string, now time.Time) (Identity, *Key, error) {
	p, err := parse(token)
	if err != nil {
		return Identity{}, nil, err
	}
	if p.algorithm == "" {
		return Identity{}, nil, errAlgorithm
	}
	k := b.keys[p.kid]
	switch {
	case k == nil || !k.NotAfter.IsZero() && !now.Before(k.NotAfter):
		return Identity{}, nil, errUnknown
	case k.Algorithm != p.algorithm:
		return Identity{}, nil, errAlgorithm
	}
	if err := k.verify(p.signed, p.signature); err != nil {
		return Identity{}, nil, err
	}
	c, err := p.claims(b.rules.ignore)
	if err != nil {
		return Identity{}, nil, err
	}
	if err := b.rules.admit(c, k, now); err != nil {
		return Identity{}, nil, err
	}
	id := c.Identity
	id.Key, id.Token = k.ID, tokenID(p.signed)
	if !k.NotAfter.IsZero() && k.NotAfter.Before(id.Expires) {
		id.Expires = k.NotAfter
	}
	return id, k, b.stands(&id, now)
}

func parse(token string) (parsed, error) {
	if strings.Contains(token, ".") {
		return parseJWT(token)
	}
	return parseCAT(token)
}

// stands tells whether what was verified is still good.
func (b *book) stands(id *Identity, now time.Time) error {
	if b.revoked.has(id) {
		return errRevoked
	}
	return id.valid(now)
}

func tokenID(signed string) string {
	h := sha256.Sum256([]byte(signed))
	return "t-" + strict.EncodeToString(h[:12])
}

// maxRevoked is how many tokens, keys and broadcasters may be revoked at a time. Those of tokens that have expired need not be kept.
const maxRevoked = 1 << 17

// Revocation takes something back: one of these.
type Revocation struct {
	Token       string // as its issuer calls it (jti, cti in hex), or as the books do (Identity.Token)
	Key         string // everything that it vouches for
	Broadcaster string // everything it has
}

type revoked struct{ tokens, keys, broadcasters map[string]bool }

func (r *revoked) has(id *Identity) bool {
	return r.tokens[id.Token] || id.ID != "" && r.tokens[id.ID] || r.keys[id.Key] || r.broadcasters[id.Broadcaster]
}

// Revoke takes back at once: a Verify that begins after it has returned refuses.
func (v *Verifier) Revoke(rs ...Revocation) error { return v.revoke(false, rs) }

// SetRevoked says all that is revoked, and nothing else is.
func (v *Verifier) SetRevoked(rs []Revocation) error { return v.revoke(true, rs) }

func (v *Verifier) revoke(only bool, rs []Revocation) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	next := revoked{map[string]bool{}, map[string]bool{}, map[string]bool{}}
	if !only {
		old := v.book.Load().revoked
		maps.Copy(next.tokens, old.tokens)
		maps.Copy(next.keys, old.keys)
		maps.Copy(next.broadcasters, old.broadcasters)
	}
	for _, r := range rs {
		for to, what := range map[*map[string]bool]string{&next.tokens: r.Token, &next.keys: r.Key, &next.broadcasters: r.Broadcaster} {
			if what != "" {
				(*to)[what] = true
			}
		}
	}
	if n := len(next.tokens) + len(next.keys) + len(next.broadcasters); n > maxRevoked {
		return fmt.Errorf("%d revocations, at most %d", n, maxRevoked)
	}
	v.replace(func(b *book) { b.revoked = next })
	return nil
}
