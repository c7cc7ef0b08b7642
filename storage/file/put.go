package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"flambeau/storage"
)

// writePiece is how much is written between two looks at the context.
const writePiece = 4 << 20

func (s *Store) Put(ctx context.Context, key string, body []byte, how storage.Put) (storage.Version, error) {
	v, err := s.put(ctx, key, body, how)
	if err != nil {
		return "", fmt.Errorf("put %s: %w", key, named(err))
	}
	return v, nil
}

func (s *Store) put(ctx context.Context, key string, body []byte, how storage.Put) (storage.Version, error) {
	if err := check(ctx, key); err != nil {
		return "", err
	}
	if how.IfAbsent && how.IfVersion != "" {
		return "", errors.New("both IfAbsent and IfVersion")
	}
	path := s.path(key)
	if err := s.allows(path, how); err != nil { // before any byte is written
		return "", err
	}
	t, err := s.write(ctx, body)
	if err != nil {
		return "", err
	}
	defer t.remove()
	if err := s.place(ctx, t, path, how); err != nil {
		return "", err
	}
	return versionOf(t.info), syncFolder(filepath.Dir(path))
}

// place gives the file its name, in folders that last.
func (s *Store) place(ctx context.Context, t *temp, path string, how storage.Put) error {
	if err := s.settle(filepath.Dir(path)); err != nil {
		return err
	}
	err := s.name(ctx, t, path, how)
	if errors.Is(err, fs.ErrNotExist) {
		s.unsettle()
		if err := s.settle(filepath.Dir(path)); err != nil {
			return err
		}
		err = s.name(ctx, t, path, how)
	}
	return err
}

func (s *Store) name(ctx context.Context, t *temp, path string, how storage.Put) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if how.IfAbsent {
		err := os.Link(t.path, path)
		if errors.Is(err, fs.ErrExist) {
			return s.allows(path, how)
		}
		return err
	}
	return s.lock.with(ctx, func() error {
		if err := s.allows(path, how); err != nil {
			return err
		}
		if err := t.outlive(path); err != nil {
			return err
		}
		return t.rename(path)
	})
}

// allows tells whether what is there now fulfils the condition.
func (s *Store) allows(path string, how storage.Put) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if how.IfVersion != "" {
			return storage.ErrChanged
		}
		return nil
	}
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%w: there is a %s of that name", storage.ErrKey, kind(info))
	case how.IfAbsent:
		// Who is told that it exists will tell others: the name must last, even if its creator has not come so far.
		if err := syncFolder(filepath.Dir(path)); err != nil {
			return err
		}
		return storage.ErrExists
	case how.IfVersion != "" && versionOf(info) != how.IfVersion:
		return storage.ErrChanged
	}
	return nil
}

func kind(info fs.FileInfo) string {
	if info.IsDir() {
		return "folder"
	}
	return info.Mode().Type().String()
}

// temp is a durable file that has no name yet.
type temp struct {
	path  string
	stamp time.Time   // its time of modification, as we set it
	info  fs.FileInfo // as the file system keeps it
}

func (t *temp) rename(path string) error {
	err := os.Rename(t.path, path)
	if err == nil {
		t.path = ""
	}
	return err
}

func (t *temp) remove() {
	if t.path != "" { // after a rename the old name may be somebody else's
		_ = os.Remove(t.path) // what stays is swept by a later Open
	}
}

func (s *Store) write(ctx context.Context, body []byte) (*temp, error) {
	f, err := os.CreateTemp(filepath.Join(s.root, temporary), "put-")
	if err != nil {
		return nil, err
	}
	t := &temp{path: f.Name()}
	err = t.fill(ctx, f, body)
	if err = errors.Join(err, f.Close()); err != nil {
		t.remove()
		return nil, err
	}
	return t, nil
}

func (t *temp) fill(ctx context.Context, f *os.File, body []byte) error {
	for len(body) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := f.Write(body[:min(len(body), writePiece)])
		if err != nil {
			return err
		}
		body = body[n:]
	}
	if err := f.Chmod(0o644); err != nil { // CreateTemp gives 0600, and an origin may run as somebody else
		return err
	}
	return t.date(f, time.Now())
}

// date sets the time that is part of the version, and makes the file durable.
func (t *temp) date(f *os.File, at time.Time) (err error) {
	if err := os.Chtimes(t.path, at, at); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	t.stamp = at
	t.info, err = f.Stat()
	return err
}

// outlive makes the file younger than what it will replace, where the clock did not.
func (t *temp) outlive(path string) error {
	old, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && t.info.ModTime().After(old.ModTime()) {
		return nil
	}
	if err != nil {
		return err
	}
	f, err := os.OpenFile(t.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return t.date(f, old.ModTime().Add(time.Nanosecond))
}

func (s *Store) Delete(ctx context.Context, key string) error {
	if err := s.delete(ctx, key); err != nil {
		return fmt.Errorf("delete %s: %w", key, named(err))
	}
	return nil
}

// delete leaves the folders: an empty one costs nothing, and to remove it would race with whoever puts something there.
func (s *Store) delete(ctx context.Context, key string) error {
	if err := check(ctx, key); err != nil {
		return err
	}
	path := s.path(key)
	gone := false
	err := s.lock.with(ctx, func() error {
		info, err := os.Lstat(path)
		if err == nil && info.Mode().IsRegular() {
			err, gone = os.Remove(path), true
		}
		return err
	})
	if err == nil && gone {
		err = syncFolder(filepath.Dir(path))
	}
	if missing(err) {
		return nil
	}
	return err
}

func check(ctx context.Context, key string) error {
	if err := storage.CheckKey(key); err != nil {
		return err
	}
	return ctx.Err()
}
