package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"

	"flambeau/storage"
)

// maxNames is how many names of one folder are held at once. Of a folder that has more, the first in order are yielded, then
// it is read again for the next: time instead of memory.
const maxNames = 1 << 16

// readNames is how many entries are asked of a folder at a time.
const readNames = 1024

func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		l := lister{s, ctx, prefix, after, maxNames, yield}
		folder := prefix[:strings.LastIndexByte(prefix, '/')+1] // nothing above it can match
		if folder != "" && storage.CheckKey(strings.TrimSuffix(folder, "/")) != nil {
			return // what is no key has nothing below it
		}
		if _, err := l.walk(folder); err != nil {
			yield(storage.Info{}, fmt.Errorf("list %s: %w", prefix, err))
		}
	}
}

type lister struct {
	store         *Store
	ctx           context.Context
	prefix, after string
	atOnce        int
	yield         func(storage.Info, error) bool
}

// walk lists what is below folder, which is "" or ends in a slash. Folders sort by their name with the slash: "a-b", "a.b",
// "a/b" is the order of keys, where the order of names alone would begin with "a".
func (l lister) walk(folder string) (more bool, err error) {
	after := l.after
	for {
		names, truncated, err := l.names(folder, after)
		if err != nil {
			return false, err
		}
		for _, name := range names {
			if more, err := l.entry(folder + name); !more || err != nil {
				return false, err
			}
		}
		if !truncated {
			return true, nil
		}
		after = folder + names[len(names)-1]
		if strings.HasSuffix(after, "/") {
			after += "\xff" // beyond everything in it
		}
	}
}

func (l lister) entry(key string) (more bool, err error) {
	if err := l.ctx.Err(); err != nil {
		return false, err
	}
	if strings.HasSuffix(key, "/") {
		return l.walk(key)
	}
	info, err := os.Lstat(l.store.path(key))
	if missing(err) {
		return true, nil // deleted meanwhile
	}
	if err != nil {
		return false, err
	}
	return l.yield(storage.Info{Key: key, Size: info.Size(), Modified: info.ModTime()}, nil), nil
}

// names are the first entries of a folder, in order, that may lead to something to list.
func (l lister) names(folder, after string) (names []string, truncated bool, err error) {
	f, err := os.Open(l.store.path(folder))
	if missing(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	for {
		entries, err := f.ReadDir(readNames)
		for _, e := range entries {
			if name, ok := l.wanted(folder, e, after); ok {
				names = append(names, name)
			}
		}
		if len(names) >= 2*l.atOnce || err != nil && len(names) > l.atOnce {
			slices.Sort(names)
			names, truncated = names[:l.atOnce], true
		}
		switch {
		case errors.Is(err, io.EOF):
			slices.Sort(names)
			return names, truncated, nil
		case missing(err):
			return nil, false, nil
		case err != nil:
			return nil, false, err
		}
		if err := l.ctx.Err(); err != nil {
			return nil, false, err
		}
	}
}

func (l lister) wanted(folder string, e fs.DirEntry, after string) (name string, ok bool) {
	name = e.Name()
	key := folder + name
	if storage.CheckKey(key) != nil {
		return "", false // ours, or nobody's
	}
	switch {
	case e.Type().IsRegular():
		return name, strings.HasPrefix(key, l.prefix) && key > after
	case e.IsDir():
		key += "/"
		matches := strings.HasPrefix(key, l.prefix) || strings.HasPrefix(l.prefix, key)
		return name + "/", matches && (key > after || strings.HasPrefix(after, key) && after != key+"\xff")
	}
	return "", false
}
