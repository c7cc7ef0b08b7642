package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"flambeau/storage"
	"flambeau/storage/storagetest"
)

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func put(t testing.TB, s storage.Store, key, body string, how storage.Put) storage.Version {
	t.Helper()
	v, err := s.Put(t.Context(), key, []byte(body), how)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func text(t testing.TB, s storage.Store, key string) string {
	t.Helper()
	b, _, err := storage.ReadAll(t.Context(), s, key, storage.Get{}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func keys(t testing.TB, s storage.Store) (keys []string) {
	t.Helper()
	for info, err := range s.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

func unnamed(t testing.TB, dir string) int {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, temporary))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestAFolderKeepsTheContract(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.Store { return open(t, filepath.Join(t.TempDir(), "new", "folder")) })
}

// twins sends every other request through another Store on the same folder.
type twins struct {
	storage.Store
	other *Store
	turn  func() bool
}

func (s twins) Put(ctx context.Context, key string, body []byte, how storage.Put) (storage.Version, error) {
	if s.turn() {
		return s.other.Put(ctx, key, body, how)
	}
	return s.Store.Put(ctx, key, body, how)
}

func TestTwoStoresOnOneFolderKeepTheContractTogether(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.Store {
		dir := t.TempDir()
		return twins{open(t, dir), open(t, dir), func() bool { return rand.IntN(2) == 0 }}
	})
}

func TestAReopenedFolderHasEverything(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	v := put(t, first, "a/b", "kept", storage.Put{IfAbsent: true})
	put(t, first, "a.b", "too", storage.Put{})
	first.Close()
	again := open(t, dir)
	if got := keys(t, again); !slices.Equal(got, []string{"a.b", "a/b"}) {
		t.Fatalf("%q", got)
	}
	if text(t, again, "a/b") != "kept" {
		t.Fatal("other bytes")
	}
	if _, err := again.Get(t.Context(), "a/b", storage.Get{IfChanged: v}); !errors.Is(err, storage.ErrUnchanged) {
		t.Fatalf("versions do not outlive the process: %v", err)
	}
	put(t, again, "a/b", "swapped", storage.Put{IfVersion: v})
}

// TestMain lets this binary be one of the processes of the race below.
func TestMain(m *testing.M) {
	if dir := os.Getenv("FLAMBEAU_TEST_RACER"); dir != "" {
		os.Exit(racer(dir))
	}
	os.Exit(m.Run())
}

const raceKeys, raceSwaps, raceProcesses = 40, 60, 4

// racer creates every key, as all others try to, and counts up one object by swaps. It prints what it won.
func racer(dir string) int {
	s, err := Open(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx, me := context.Background(), fmt.Sprint(os.Getpid())
	for i := range raceKeys {
		key := fmt.Sprintf("folder%d/key", i)
		switch _, err := s.Put(ctx, key, []byte(me), storage.Put{IfAbsent: true}); {
		case err == nil:
			fmt.Println(key)
		case !errors.Is(err, storage.ErrExists):
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	for done := 0; done < raceSwaps; {
		count, v, err := storage.ReadAll(ctx, s, "count", storage.Get{}, 1<<20)
		if err == nil {
			_, err = s.Put(ctx, "count", append(count, '.'), storage.Put{IfVersion: v})
		}
		switch {
		case err == nil:
			done++
		case !errors.Is(err, storage.ErrChanged):
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return 0
}

func TestOfManyProcessesOneCreatesAndNoSwapIsLost(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	put(t, s, "count", "", storage.Put{})
	outs := make([]bytes.Buffer, raceProcesses)
	pids := make([]string, raceProcesses)
	var all sync.WaitGroup
	for i := range raceProcesses {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), "FLAMBEAU_TEST_RACER="+dir)
		cmd.Stdout, cmd.Stderr = &outs[i], os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		pids[i] = fmt.Sprint(cmd.Process.Pid)
		all.Go(func() {
			if err := cmd.Wait(); err != nil {
				t.Errorf("racer %d: %v", i, err)
			}
		})
	}
	all.Wait()
	winner := map[string]string{}
	for i := range outs {
		for key := range strings.FieldsSeq(outs[i].String()) {
			if other, twice := winner[key]; twice {
				t.Errorf("%s was created by %s and %s", key, other, pids[i])
			}
			winner[key] = pids[i]
		}
	}
	if len(winner) != raceKeys {
		t.Errorf("%d of %d keys were created", len(winner), raceKeys)
	}
	for key, pid := range winner {
		if got := text(t, s, key); got != pid {
			t.Errorf("%s won %s, and it holds %q", pid, key, got)
		}
	}
	if got := len(text(t, s, "count")); got != raceProcesses*raceSwaps {
		t.Errorf("%d swaps went through, %d are left", raceProcesses*raceSwaps, got)
	}
	if n := unnamed(t, dir); n != 0 {
		t.Errorf("%d temporary files are left", n)
	}
}

func TestASwapWaitsForTheLockOnlyAsLongAsItsContext(t *testing.T) {
	dir := t.TempDir()
	s, stopped := open(t, dir), open(t, dir)
	held, release := make(chan struct{}), make(chan struct{})
	var holder sync.WaitGroup
	holder.Go(func() {
		stopped.lock.with(t.Context(), func() error { close(held); <-release; return nil })
	})
	<-held
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := s.Put(ctx, "k", []byte("x"), storage.Put{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("overwrote under a lock: %v", err)
	}
	put(t, s, "created", "creates need no lock", storage.Put{IfAbsent: true})
	close(release)
	holder.Wait()
	put(t, s, "k", "x", storage.Put{})
	if n := unnamed(t, dir); n != 0 {
		t.Errorf("%d temporary files are left", n)
	}
}

func TestLeftoversOfTheDeadAreSweptAndThoseOfTheLivingStay(t *testing.T) {
	dir := t.TempDir()
	open(t, dir).Close()
	now := time.Now()
	for name, age := range map[string]time.Duration{"put-dead": 2 * leftover, "put-alive": leftover / 2} {
		path := filepath.Join(dir, temporary, name)
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now, now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, dir)
	if _, err := os.Stat(filepath.Join(dir, temporary, "put-dead")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the dead one's: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, temporary, "put-alive")); err != nil {
		t.Errorf("the living one's: %v", err)
	}
	if got := keys(t, s); len(got) != 0 {
		t.Errorf("listed: %q", got)
	}
}

func TestAClockSetBackMakesNoVersionTwice(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	put(t, s, "k", "from tomorrow", storage.Put{})
	tomorrow := time.Now().Add(24 * time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "k"), tomorrow, tomorrow); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		before, err := os.Stat(filepath.Join(dir, "k"))
		if err != nil {
			t.Fatal(err)
		}
		v := put(t, s, "k", fmt.Sprint("from today", i), storage.Put{})
		after, err := os.Stat(filepath.Join(dir, "k"))
		if err != nil || !after.ModTime().After(before.ModTime()) || versionOf(after) != v {
			t.Fatalf("replaced %v by %v, %q, %v", before.ModTime(), after.ModTime(), v, err)
		}
	}
}

func TestAFullDiskSaysSoAndLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("NOT TESTED: a small tmpfs can't be mounted here (needs root): %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	s := open(t, dir)
	put(t, s, "small", "fits", storage.Put{IfAbsent: true})
	for _, how := range []storage.Put{{IfAbsent: true}, {}} {
		if _, err := s.Put(t.Context(), "ch/large", make([]byte, 2<<20), how); !errors.Is(err, storage.ErrFull) {
			t.Fatalf("2 MiB into 1 MiB: %v", err)
		}
	}
	if n := unnamed(t, dir); n != 0 {
		t.Errorf("%d temporary files take up room", n)
	}
	put(t, s, "ch/large", "still takes what fits", storage.Put{IfAbsent: true})
	if text(t, s, "small") != "fits" {
		t.Error("what was there is harmed")
	}
}

func TestErrorsOfTheSystemGetTheirNames(t *testing.T) {
	for errno, want := range map[syscall.Errno]error{syscall.ENOSPC: storage.ErrFull, syscall.EDQUOT: storage.ErrFull, syscall.ENOTDIR: storage.ErrKey, syscall.ENAMETOOLONG: storage.ErrKey} {
		if err := named(&fs.PathError{Op: "write", Path: "p", Err: errno}); !errors.Is(err, want) || !errors.Is(err, errno) {
			t.Errorf("%v: %v", errno, err)
		}
	}
	if err := named(syscall.EIO); err != syscall.EIO {
		t.Errorf("%v", err)
	}
}

// sink takes what a response of net/http takes: it tells a file only in these shapes.
type sink struct {
	bytes.Buffer
	file *os.File
}

func (s *sink) ReadFrom(r io.Reader) (int64, error) {
	if l, ok := r.(*io.LimitedReader); ok {
		s.file, _ = l.R.(*os.File)
	}
	return s.Buffer.ReadFrom(r)
}

func TestABodyReachesTheSocketAsAFile(t *testing.T) {
	s := open(t, t.TempDir())
	put(t, s, "k", "0123456789", storage.Put{})
	for _, what := range []storage.Get{{}, {Offset: 4}, {Offset: 4, Length: 6}, {Offset: 4, Length: 60}} {
		o, err := s.Get(t.Context(), "k", what)
		if err != nil {
			t.Fatal(err)
		}
		f, ok := o.Body.(*os.File)
		if !ok {
			t.Fatalf("%+v: the body is a %T", what, o.Body)
		}
		if rest, err := io.ReadAll(f); err != nil || string(rest) != "0123456789"[what.Offset:] {
			t.Errorf("%+v: %q, %v", what, rest, err)
		}
		f.Close()
	}
	o, err := s.Get(t.Context(), "k", storage.Get{Offset: 2, Length: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Body.Close()
	var w sink
	if n, err := io.Copy(&w, o.Body); n != 3 || err != nil || w.String() != "234" {
		t.Errorf("copied %d, %q, %v", n, w.String(), err)
	}
	if w.file == nil {
		t.Error("a range reaches the writer as something else than a limited file")
	}
}

func TestAFolderWithMoreNamesThanAreHeldIsListedWhole(t *testing.T) {
	s := open(t, t.TempDir())
	var want []string
	for i := range 40 {
		for _, key := range []string{fmt.Sprintf("f/%02d", i), fmt.Sprintf("f/%02d.d/x", i), fmt.Sprintf("f/%02d-d/x", i)} {
			path := s.path(key)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o644)); err != nil {
				t.Fatal(err)
			}
			want = append(want, key)
		}
	}
	slices.Sort(want)
	for _, atOnce := range []int{1, 2, 7, 60, 119, 120, 121} {
		for _, after := range []string{"", "f/10", "f/10.d/", "f/10.d/x", "f/39.d/x"} {
			var got []string
			l := lister{s, t.Context(), "", after, atOnce, func(i storage.Info, err error) bool { got = append(got, i.Key); return true }}
			if _, err := l.walk(""); err != nil {
				t.Fatal(err)
			}
			rest := want[len(want)-len(slices.DeleteFunc(slices.Clone(want), func(k string) bool { return k <= after })):]
			if !slices.Equal(got, rest) {
				t.Errorf("%d at once after %q:\n got %q\nwant %q", atOnce, after, got, rest)
			}
		}
	}
}

func TestWhatIsNoObjectIsNotSeen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := errors.Join(syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o644), os.Symlink("/etc", filepath.Join(dir, "etc")), os.Mkdir(filepath.Join(dir, "lost+found"), 0o755)); err != nil {
		t.Fatal(err)
	}
	if got := keys(t, s); len(got) != 0 {
		t.Errorf("listed: %q", got)
	}
	if _, err := s.Get(t.Context(), "fifo", storage.Get{}); !errors.Is(err, storage.ErrNotExist) {
		t.Errorf("get of a FIFO: %v", err)
	}
	if _, err := s.Put(t.Context(), "fifo", nil, storage.Put{}); !errors.Is(err, storage.ErrKey) {
		t.Errorf("put over a FIFO: %v", err)
	}
	if err := s.Delete(t.Context(), "fifo"); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "fifo")); err != nil {
		t.Errorf("a FIFO was deleted: %v", err)
	}
}

func TestAFolderRemovedUnderOurFeetIsMadeAgain(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for _, how := range []storage.Put{{IfAbsent: true}, {}} {
		put(t, s, "a/b/c", "x", how)
		if err := os.RemoveAll(filepath.Join(dir, "a")); err != nil {
			t.Fatal(err)
		}
	}
	put(t, s, "a/b/c", "x", storage.Put{IfAbsent: true})
}

func TestAFileIsNoFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{path, filepath.Join(path, "below")} {
		if _, err := Open(dir); !errors.Is(err, syscall.ENOTDIR) {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

func BenchmarkCreate1MB(b *testing.B) {
	s, body, i := open(b, b.TempDir()), make([]byte, 1<<20), 0
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		i++
		if _, err := s.Put(b.Context(), fmt.Sprintf("ch/seg/v1080/%012d.m4s", i), body, storage.Put{IfAbsent: true}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGet1MB(b *testing.B) {
	s := open(b, b.TempDir())
	if _, err := s.Put(b.Context(), "ch/seg/v1080/1.m4s", make([]byte, 1<<20), storage.Put{}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		o, err := s.Get(b.Context(), "ch/seg/v1080/1.m4s", storage.Get{})
		if err != nil {
			b.Fatal(err)
		}
		o.Body.Close()
	}
}
