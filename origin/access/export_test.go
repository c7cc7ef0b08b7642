package access

import "crypto"

// Cached is how many tokens a verifier keeps.
func Cached(v *Verifier) (n int) {
	for i := range v.cache.shards {
		n += len(v.cache.shards[i].entries)
	}
	return n
}

// Forget empties a verifier's cache.
func Forget(v *Verifier) {
	for i := range v.cache.shards {
		v.cache.shards[i].entries, v.cache.shards[i].ring, v.cache.shards[i].hand = nil, nil, 0
	}
}

// ParseJWKS is parseJWKS.
var ParseJWKS = parseJWKS

// Public is a key's public half.
func Public(k *Key) crypto.PublicKey { return k.public }
