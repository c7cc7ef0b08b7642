package file

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// How often a lock that another process holds is tried for. It is held for a stat and a rename, and the kernel frees it when
// its holder dies; of a holder that was stopped, only the context ends the wait.
const (
	lockRetryMin = 200 * time.Microsecond
	lockRetryMax = 20 * time.Millisecond
)

// lock holds between the goroutines of a Store by a token, and between Stores and processes by flock(2), which belongs to an
// open file: one Store can't exclude itself with it.
type lock struct {
	file  *os.File
	token chan struct{}
}

func openLock(path string) (*lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	return &lock{f, make(chan struct{}, 1)}, nil
}

// with runs do while nobody else does.
func (l *lock) with(ctx context.Context, do func() error) error {
	select {
	case l.token <- struct{}{}:
		defer func() { <-l.token }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := l.wait(ctx); err != nil {
		return err
	}
	defer l.flock(syscall.LOCK_UN)
	return do()
}

func (l *lock) wait(ctx context.Context) error {
	for pause := lockRetryMin; ; pause = min(2*pause, lockRetryMax) {
		err := l.flock(syscall.LOCK_EX | syscall.LOCK_NB)
		if err == nil || !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *lock) flock(how int) error {
	conn, err := l.file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := conn.Control(func(fd uintptr) { failed = syscall.Flock(int(fd), how) }); err != nil {
		return err
	}
	return failed
}
