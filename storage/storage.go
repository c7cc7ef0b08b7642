// Package storage is bytes under names, and nothing of media: the smallest set of promises on which a channel can
// stand.
//
//	                    Put   create-only, compare-and-swap
//	packager, origin ─► Get   whole, a range, or only if changed    ─► file, memory, S3
//	                    List  names in order
//	                    Delete
//
// Keys are slash-separated, relative, at most MaxKey bytes, and made of [a-zA-Z0-9._-] with no empty, "." or ".." element and
// none of more than MaxElement bytes (see CheckKey): what every place can hold without escaping. A name is an object or a
// folder, never both: beside "a/b" a place may refuse "a" with ErrKey, and the reverse.
//
// Every place runs the same contract, storagetest.Run.
package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
)

// What a caller may act upon. Every other error means: it is not known what happened, ask again.
var (
	ErrNotExist  = errors.New("storage: no such object")
	ErrExists    = errors.New("storage: exists")            // create-only Put on a name that is taken
	ErrChanged   = errors.New("storage: changed since")     // compare-and-swap Put on another version, or on nothing
	ErrUnchanged = errors.New("storage: not changed since") // Get with IfChanged on that very version
	ErrKey       = errors.New("storage: not a key")
	ErrRange     = errors.New("storage: range outside the object")
	ErrFull      = errors.New("storage: no space left")
	ErrLarge     = errors.New("storage: larger than is read") // ReadAll, beyond its limit
)

// The longest key, and the longest element of one, in bytes: what S3, and what a file system takes.
const (
	MaxKey     = 1024
	MaxElement = 255
)

// Version names one state of one object. Two Puts never give one name the same version unless their bytes are equal.
type Version string

// Put says under which condition an object is written. The zero value overwrites. Both conditions at once are refused.
type Put struct {
	IfAbsent  bool    // only where nothing is: else ErrExists
	IfVersion Version // only over this version: else ErrChanged
}

// Get says what of an object is wanted. The zero value is all of it. What reaches beyond the end is cut there (RFC 9110,
// 14.1.2); what begins at the end or beyond, or is negative, is ErrRange.
type Get struct {
	IfChanged Version // answer ErrUnchanged while the object has this version
	Offset    int64   // first byte
	Length    int64   // 0: to the end
}

// Object is what Get found. Whoever gets it closes Body, which goes on to read the state that Get found when the object is
// overwritten or deleted. Copy it with io.Copy: where the place has a file, Body is the *os.File, placed at Offset, or, ended
// early by Length, an io.WriterTo that hands the writer an *io.LimitedReader over the file; both reach sendfile.
type Object struct {
	Body     io.ReadCloser
	Size     int64 // of the whole object
	Version  Version
	Modified time.Time
}

// Info is what List tells of an object.
type Info struct {
	Key      string
	Size     int64
	Modified time.Time
}

// Store keeps objects. All methods may be called at once from anywhere; all end when their context does.
//
// When Put returns nil, the object is durable and every later Get, of any process, sees it. When it returns ErrExists, what
// exists is durable. When it returns an error that is not one of the above, it may or may not have taken effect. A Put is
// never seen half: there are the old bytes or the new.
// The body still belongs to the caller after Put returns, and is not changed by it.
type Store interface {
	Put(ctx context.Context, key string, body []byte, how Put) (Version, error)
	Get(ctx context.Context, key string, what Get) (Object, error)
	// List yields the keys that begin with prefix and are greater than after, in byte order. An error ends it. Neither need be
	// a key. An object that comes or goes meanwhile may be listed or not; every other is listed once.
	List(ctx context.Context, prefix, after string) iter.Seq2[Info, error]
	// Delete of what is not there is no error.
	Delete(ctx context.Context, key string) error
}

// ReadAll gets a whole object of at most limit bytes.
func ReadAll(ctx context.Context, s Store, key string, what Get, limit int64) ([]byte, Version, error) {
	o, err := s.Get(ctx, key, what)
	if err != nil {
		return nil, "", err
	}
	defer o.Body.Close()
	if o.Size > limit {
		return nil, "", fmt.Errorf("get %s: %w: %d bytes, at most %d", key, ErrLarge, o.Size, limit)
	}
	b := make([]byte, 0, o.Size+1)
	for {
		n, err := o.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, o.Version, nil
		}
		if err != nil {
			return nil, "", fmt.Errorf("get %s: %w", key, err)
		}
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
	}
}

// CheckKey refuses what is not a key, before it comes near a file system or a URL.
func CheckKey(key string) error {
	if key == "" || len(key) > MaxKey {
		return fmt.Errorf("%w: %d bytes", ErrKey, len(key))
	}
	start := 0
	for i := 0; i <= len(key); i++ {
		if i < len(key) && key[i] != '/' {
			if !keyByte(key[i]) {
				return fmt.Errorf("%w: byte %#02x in %q", ErrKey, key[i], key)
			}
			continue
		}
		switch element := key[start:i]; {
		case element == "", element == ".", element == "..":
			return fmt.Errorf("%w: element %q in %q", ErrKey, element, key)
		case len(element) > MaxElement:
			return fmt.Errorf("%w: element of %d bytes", ErrKey, len(element))
		}
		start = i + 1
	}
	return nil
}

func keyByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
}
