// Package file keeps objects as files in one folder, for all processes of one machine.
//
//	create     temporary file ─► fsync ─► link(2) to the name        ─► fsync of the folder
//	overwrite  temporary file ─► fsync ─► lock ─► rename             ─► fsync of the folder
//	swap       temporary file ─► fsync ─► lock ─► compare ─► rename  ─► fsync of the folder
//
// A key is a path below the folder. Our own names in it hold a "~", which no key may, so they can be neither read nor listed.
// If the power fails before the last fsync, the object is there whole, or as it was before.
//
// Versions are a file's inode, time of modification and size, so that Get and IfChanged cost a stat and never a hash. This
// keeps their promise: a new object's file exists beside the one that it replaces, hence has another inode; inodes are used
// again, hence the time is that of the wall clock in nanoseconds, and one that replaces is made later than what it replaces
// if the clock is not. An object deleted and made again can have its old version only if the clock was set back and the same
// nanosecond met. Open refuses file systems that keep no nanoseconds, or have no link(2).
//
// Methods look at their context between system calls; one that hangs in the kernel, as on a dead disk, can't be ended.
package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"flambeau/storage"
)

const (
	temporary = "~tmp"  // the folder of files that have no name yet
	lockName  = "~lock" // the file whose flock(2) guards every change of what exists

	// leftover is the age at which a temporary file has lost its process: Open deletes it.
	leftover = time.Hour

	// maxSettled is how many folders are remembered as durable. Beyond it all are forgotten, which costs an fsync each.
	maxSettled = 4096
)

// Store is a folder. It is safe for use from anywhere at once, also beside other Stores, of this or other processes, on the
// same folder.
type Store struct {
	root string
	lock *lock

	mu      sync.Mutex
	settled map[string]bool // folders whose entry in their parent is durable
}

// Open makes the folder if need be, and tries whether its file system can keep the promises.
func Open(dir string) (*Store, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("file store %s: %w", dir, err)
	}
	s := &Store{root: root, settled: map[string]bool{}}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("file store %s: %w", dir, err)
	}
	return s, nil
}

func (s *Store) open() error {
	if err := s.makeRoot(s.root); err != nil {
		return err
	}
	if err := s.settle(filepath.Join(s.root, temporary)); err != nil {
		return err
	}
	if err := s.sweep(time.Now().Add(-leftover)); err != nil {
		return err
	}
	if err := s.tryFileSystem(); err != nil {
		return err
	}
	var err error
	s.lock, err = openLock(filepath.Join(s.root, lockName))
	return err
}

// Close frees the lock's descriptor. Overwriting and Delete fail afterwards.
func (s *Store) Close() error { return s.lock.file.Close() }

// makeRoot makes the folders that are missing, and makes their names last. Those that were there are not ours to sync, and
// may lie on a read-only file system.
func (s *Store) makeRoot(dir string) error {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return &fs.PathError{Op: "open", Path: dir, Err: syscall.ENOTDIR}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.makeRoot(filepath.Dir(dir)); err != nil {
		return err
	}
	return makeFolder(dir)
}

// sweep deletes what processes that died left half written.
func (s *Store) sweep(before time.Time) error {
	entries, err := os.ReadDir(filepath.Join(s.root, temporary))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.ModTime().Before(before) {
			// One that can't be deleted costs its bytes, and the next Open tries again.
			_ = os.Remove(filepath.Join(s.root, temporary, e.Name()))
		}
	}
	return nil
}

// tryFileSystem looks for what the versions and create-only stand on.
func (s *Store) tryFileSystem() error {
	t, err := s.write(context.Background(), nil)
	if err != nil {
		return err
	}
	defer t.remove()
	if t.info.ModTime().Nanosecond() != t.stamp.Nanosecond() {
		return errors.New("its file system keeps no nanoseconds, which versions need")
	}
	twin := t.path + "-twin"
	if err := os.Link(t.path, twin); err != nil {
		return fmt.Errorf("its file system has no links, which create-only needs: %w", err)
	}
	return os.Remove(twin)
}

func (s *Store) path(key string) string { return filepath.Join(s.root, key) }

// settle makes a folder below the root, and those between, and sees that their names last.
func (s *Store) settle(dir string) error {
	if s.isSettled(dir) {
		return nil
	}
	if err := s.settle(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := makeFolder(dir); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.settled) >= maxSettled {
		clear(s.settled)
	}
	s.settled[dir] = true
	return nil
}

// makeFolder syncs the parent also when somebody else made the folder: that is not yet to say that its name would survive a
// power cut.
func makeFolder(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncFolder(filepath.Dir(dir))
}

func (s *Store) isSettled(dir string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return dir == s.root || s.settled[dir]
}

// unsettle forgets what is known of folders: somebody removed one under our feet.
func (s *Store) unsettle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.settled)
}

// syncFolder makes durable which names a folder has.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// versionOf is compared between processes, and these may be of different builds: it stays what it is.
func versionOf(info fs.FileInfo) storage.Version {
	inode := info.Sys().(*syscall.Stat_t).Ino
	return storage.Version(fmt.Sprintf("%x-%x-%x", inode, info.ModTime().UnixNano(), info.Size()))
}

// named gives what the system says the name that our callers know.
func named(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: %w", storage.ErrFull, err)
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR):
		return fmt.Errorf("%w: a folder and an object of one name: %w", storage.ErrKey, err)
	case errors.Is(err, syscall.ENAMETOOLONG):
		return fmt.Errorf("%w: %w", storage.ErrKey, err)
	}
	return err
}
