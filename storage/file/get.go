package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"flambeau/storage"
)

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
	path := s.path(key)
	if what.IfChanged != "" {
		if info, err := os.Lstat(path); err == nil && versionOf(info) == what.IfChanged {
			return storage.Object{}, storage.ErrUnchanged
		}
	}
	// Nobody puts a FIFO here, but one must not hold us up: O_NONBLOCK, without effect on files.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		if missing(err) || errors.Is(err, syscall.ENXIO) {
			return storage.Object{}, storage.ErrNotExist
		}
		return storage.Object{}, err
	}
	o, err := object(f, what)
	if err != nil {
		f.Close()
	}
	return o, err
}

// object is what an open file is to a caller.
func object(f *os.File, what storage.Get) (o storage.Object, err error) {
	info, err := f.Stat()
	if err != nil {
		return o, err
	}
	size, version := info.Size(), versionOf(info)
	switch {
	case !info.Mode().IsRegular():
		return o, storage.ErrNotExist
	case what.IfChanged != "" && what.IfChanged == version: // swapped back between stat and open: can't be, but costs nothing
		return o, storage.ErrUnchanged
	case what.Offset < 0 || what.Length < 0 || what.Offset >= size && (what.Offset > 0 || what.Length > 0):
		return o, fmt.Errorf("%w: %d bytes from %d, of %d", storage.ErrRange, what.Length, what.Offset, size)
	}
	o = storage.Object{Body: f, Size: size, Version: version, Modified: info.ModTime()}
	if what.Offset > 0 {
		if _, err := f.Seek(what.Offset, io.SeekStart); err != nil {
			return o, err
		}
	}
	if what.Length > 0 && what.Length < size-what.Offset {
		o.Body = &section{io.LimitedReader{R: f, N: what.Length}, f}
	}
	return o, nil
}

// section is a file's bytes from where it stands, up to a limit.
type section struct {
	limited io.LimitedReader
	file    *os.File
}

func (s *section) Read(p []byte) (int, error) { return s.limited.Read(p) }
func (s *section) Close() error               { return s.file.Close() }

// WriteTo shows io.Copy the one shape besides *os.File that net/http and net take as a file, and so send by sendfile(2).
func (s *section) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, &s.limited) }

// missing tells that there is no object, also where a folder of its key is an object itself.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}
