package srt

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"slices"
)

var (
	errPassphrase = errors.New("wrong passphrase")
	errKeyMessage = errors.New("key message that makes no sense")
)

// keys decrypt. The two are used in turn: one may be replaced while the other is in use.
type keys [2]struct {
	block cipher.Block // nil: not there
	salt  [16]byte
}

// keyMessage is draft-sharabayko-srt-01, 3.2.2.
//
//	0x12 0x2029 which │ 0 │ cipher 0 2 0 │ 0 0 salt/4 key/4 │ salt │ wrapped
type keyMessage struct {
	which   byte // 1: even, 2: odd, 3: both
	length  int  // of one key
	salt    [16]byte
	wrapped []byte
}

const (
	keyHead  = 16
	saltSize = 16
	wrapMore = 8 // bytes that wrapping adds
)

func parseKeyMessage(b []byte) (m keyMessage, ok bool) {
	if len(b) < keyHead+saltSize || b[0] != 0x12 || b[1] != 0x20 || b[2] != 0x29 || b[8] != 2 || b[14] != saltSize/4 {
		return m, false
	}
	m = keyMessage{which: b[3] & 3, length: 4 * int(b[15]), salt: [16]byte(b[keyHead:]), wrapped: b[keyHead+saltSize:]}
	count := 1
	if m.which == 3 {
		count = 2
	}
	return m, m.which != 0 && slices.Contains(keyLengths, m.length) && len(m.wrapped) == count*m.length+wrapMore
}

func (m keyMessage) bytes() []byte {
	b := []byte{0x12, 0x20, 0x29, m.which, 0, 0, 0, 0, 2, 0, 2, 0, 0, 0, saltSize / 4, byte(m.length / 4)}
	return append(append(b, m.salt[:]...), m.wrapped...)
}

var keyLengths = []int{16, 24, 32}

// kek is the key that wraps keys, 6.1.4.
func kek(passphrase string, salt []byte, length int) cipher.Block {
	k, err := pbkdf2.Key(sha1.New, passphrase, salt[8:], 2048, length)
	if err != nil {
		panic("srt: pbkdf2 refuses what it is always given: " + err.Error())
	}
	return newAES(k)
}

func newAES(key []byte) cipher.Block {
	b, err := aes.NewCipher(key)
	if err != nil {
		panic("srt: a key of a length that is not in keyLengths: " + err.Error())
	}
	return b
}

// take puts the keys of a message in.
func (k *keys) take(message []byte, passphrase string) error {
	m, ok := parseKeyMessage(message)
	if !ok {
		return errKeyMessage
	}
	plain, ok := unwrap(kek(passphrase, m.salt[:], m.length), m.wrapped)
	if !ok {
		return errPassphrase
	}
	for i := range k {
		if m.which&(1<<i) != 0 {
			k[i].block, k[i].salt = newAES(plain[:m.length]), m.salt
			plain = plain[m.length:]
		}
	}
	return nil
}

// make chooses an even key, and gives the message that tells the peer.
func (k *keys) make(passphrase string, length int) (message []byte) {
	m := keyMessage{which: 1, length: length}
	plain := make([]byte, length)
	_, _ = rand.Read(m.salt[:]) // never fails: crypto/rand
	_, _ = rand.Read(plain)
	m.wrapped = wrap(kek(passphrase, m.salt[:], length), plain)
	k[0].block, k[0].salt = newAES(plain), m.salt
	return m.bytes()
}

// open decrypts in place, 6.3.2: AES in counter mode. It fails where the key is not there.
func (k *keys) open(p packet) bool {
	if p.key != 1 && p.key != 2 {
		return false
	}
	key := &k[p.key-1]
	if key.block == nil {
		return false
	}
	var counter [16]byte
	binary.BigEndian.PutUint32(counter[10:], uint32(p.number))
	subtle.XORBytes(counter[:14], counter[:14], key.salt[:14])
	cipher.NewCTR(key.block, counter[:]).XORKeyStream(p.body, p.body)
	return true
}

var wrapCheck = [8]byte{0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6}

// wrap is RFC 3394, 2.2.1.
func wrap(kek cipher.Block, plain []byte) []byte {
	n := len(plain) / 8
	out := append(wrapCheck[:8:8], plain...)
	var b [16]byte
	copy(b[:8], wrapCheck[:])
	for j := range 6 {
		for i := 1; i <= n; i++ {
			copy(b[8:], out[8*i:])
			kek.Encrypt(b[:], b[:])
			binary.BigEndian.PutUint64(b[:], binary.BigEndian.Uint64(b[:])^uint64(n*j+i))
			copy(out[8*i:], b[8:])
		}
	}
	copy(out, b[:8])
	return out
}

// unwrap is RFC 3394, 2.2.2. It fails where another key wrapped.
func unwrap(kek cipher.Block, wrapped []byte) (plain []byte, ok bool) {
	n := len(wrapped)/8 - 1
	out := slices.Clone(wrapped)
	var b [16]byte
	copy(b[:8], out)
	for j := 5; j >= 0; j-- {
		for i := n; i >= 1; i-- {
			binary.BigEndian.PutUint64(b[:], binary.BigEndian.Uint64(b[:])^uint64(n*j+i))
			copy(b[8:], out[8*i:8*i+8])
			kek.Decrypt(b[:], b[:])
			copy(out[8*i:], b[8:])
		}
	}
	return out[8:], subtle.ConstantTimeCompare(b[:8], wrapCheck[:]) == 1
}
