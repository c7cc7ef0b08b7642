// Package memory is a storage.Store in a map: for tests, and as the model of what the others must do. It has no goroutine and
// waits for nothing, so it may be used in a testing/synctest bubble. Nothing bounds what it holds.
package memory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"flambeau/storage"
)

// Store is safe for use from anywhere at once.
type Store struct {
	mu      sync.Mutex
	objects map[string]object
	folders map[string]int             // how many objects are below it
	within  map[string]map[string]bool // the keys of each folder itself, so that List looks at no other
	puts    uint64                     // numbers the versions
}

type object struct {
	body     []byte // never changed once here
	version  storage.Version
	modified time.Time
}

func New() *Store {
	return &Store{objects: map[string]object{}, folders: map[string]int{}, within: map[string]map[string]bool{}}
}

func (s *Store) Put(ctx context.Context, key string, body []byte, how storage.Put) (storage.Version, error) {
	v, err := s.put(ctx, key, body, how)
	if err != nil {
		return "", fmt.Errorf("put %s: %w", key, err)
	}
	return v, nil
}

func (s *Store) put(ctx context.Context, key string, body []byte, how storage.Put) (storage.Version, error) {
	if err := check(ctx, key); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, there := s.objects[key]
	switch {
	case how.IfAbsent && how.IfVersion != "":
		return "", errors.New("both IfAbsent and IfVersion")
	case how.IfAbsent && there:
		return "", storage.ErrExists
	case how.IfVersion != "" && old.version != how.IfVersion:
		return "", storage.ErrChanged
	case !there && s.blocked(key):
		return "", fmt.Errorf("%w: a folder and an object of one name", storage.ErrKey)
	}
	s.puts++
	o := object{bytes.Clone(body), storage.Version(strconv.FormatUint(s.puts, 10)), time.Now()}
	s.objects[key] = o
	if !there {
		s.countFolders(key, 1)
		s.enter(key)
	}
	return o.version, nil
}

func (s *Store) enter(key string) {
	folder := folderOf(key)
	if s.within[folder] == nil {
		s.within[folder] = map[string]bool{}
	}
	s.within[folder][key] = true
}

// folderOf is the folder of a key, with the slash that ends it; "" at the top.
func folderOf(key string) string { return key[:strings.LastIndexByte(key, '/')+1] }

// blocked tells whether key is a folder, or has an object among its folders.
func (s *Store) blocked(key string) bool {
	if s.folders[key] > 0 {
		return true
	}
	for folder := range foldersOf(key) {
		if _, there := s.objects[folder]; there {
			return true
		}
	}
	return false
}

func (s *Store) countFolders(key string, by int) {
	for folder := range foldersOf(key) {
		s.folders[folder] += by
		if s.folders[folder] == 0 {
			delete(s.folders, folder)
		}
	}
}

func foldersOf(key string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range len(key) {
			if key[i] == '/' && !yield(key[:i]) {
				return
			}
		}
	}
}

func (s *Store) Get(ctx context.Context, key string, what storage.Get) (storage.Object, error) {
	o, err := s.get(ctx, key, what)
	if err != nil {
		return storage.Object{}, fmt.Errorf("get %s: %w", key, err)
	}
	return o, nil
}

func (s *Store) get(ctx context.Context, key string, what storage.Get) (storage.Object, error) {
	if err := check(ctx, key); err != nil {
		return storage.Object{}, err
	}
	s.mu.Lock()
	o, there := s.objects[key]
	s.mu.Unlock()
	size := int64(len(o.body))
	switch {
	case !there:
		return storage.Object{}, storage.ErrNotExist
	case what.IfChanged != "" && what.IfChanged == o.version:
		return storage.Object{}, storage.ErrUnchanged
	case what.Offset < 0 || what.Length < 0 || what.Offset >= size && (what.Offset > 0 || what.Length > 0):
		return storage.Object{}, fmt.Errorf("%w: %d bytes from %d, of %d", storage.ErrRange, what.Length, what.Offset, size)
	}
	part := o.body[what.Offset:]
	if what.Length > 0 && what.Length < int64(len(part)) {
		part = part[:what.Length]
	}
	return storage.Object{Body: body{bytes.NewReader(part)}, Size: size, Version: o.version, Modified: o.modified}, nil
}

type body struct{ *bytes.Reader }

func (body) Close() error { return nil }

func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		for _, info := range s.snapshot(prefix, after) {
			if err := ctx.Err(); err != nil {
				yield(storage.Info{}, fmt.Errorf("list %s: %w", prefix, err))
				return
			}
			if !yield(info, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(storage.Info{}, fmt.Errorf("list %s: %w", prefix, err))
		}
	}
}

func (s *Store) snapshot(prefix, after string) []storage.Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	var infos []storage.Info
	for folder, keys := range s.within {
		if !strings.HasPrefix(folder, prefix) && !strings.HasPrefix(prefix, folder) {
			continue
		}
		for key := range keys {
			if strings.HasPrefix(key, prefix) && key > after {
				o := s.objects[key]
				infos = append(infos, storage.Info{Key: key, Size: int64(len(o.body)), Modified: o.modified})
			}
		}
	}
	slices.SortFunc(infos, func(a, b storage.Info) int { return strings.Compare(a.Key, b.Key) })
	return infos
}

func (s *Store) Delete(ctx context.Context, key string) error {
	if err := check(ctx, key); err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.objects[key]; there {
		delete(s.objects, key)
		s.countFolders(key, -1)
		folder := folderOf(key)
		if delete(s.within[folder], key); len(s.within[folder]) == 0 {
			delete(s.within, folder)
		}
	}
	return nil
}

func check(ctx context.Context, key string) error {
	if err := storage.CheckKey(key); err != nil {
		return err
	}
	return ctx.Err()
}
