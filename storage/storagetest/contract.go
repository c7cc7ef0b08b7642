// Package storagetest is the contract that every place must keep, and faults to put around one.
package storagetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"flambeau/storage"
)

const (
	racers = 24
	rounds = 8
	large  = 8 << 20
)

// Broken is a promise that a place is known not to keep. It is skipped, and why is said; all others are still tried.
type Broken struct{ Promise, Why string }

// Run tries every promise of storage.Store on places that open makes; each is empty and stays until its test ends. What we
// wrote ourselves has nothing known to be broken.
func Run(t *testing.T, open func(t *testing.T) storage.Store, known ...Broken) {
	for _, promise := range []struct {
		name string
		try  func(*testing.T, storage.Store)
	}{
		{"what was put is read", readAfterWrite},
		{"an empty body is a body", emptyBody},
		{"eight megabytes go in and come out", largeBody},
		{"the body stays the caller's", bodyStaysTheCallers},
		{"of 24 creates at once exactly one wins", oneCreateWins},
		{"a create does not touch what exists", createKeepsWhatExists},
		{"of 24 swaps at once exactly one wins, every round", oneSwapWins},
		{"a stale swap is refused", staleSwap},
		{"a swap of nothing is refused", swapOfNothing},
		{"a swap and a create at once are refused", bothConditions},
		{"a version comes back only with its bytes", versionsDiffer},
		{"ranges", ranges},
		{"only if changed", onlyIfChanged},
		{"keys are listed in byte order", listOrder},
		{"a list begins and ends where it is told", listPrefixAndAfter},
		{"a list may be left", listLeft},
		{"deleted is gone, and deleting again is no error", deleted},
		{"a deleted name can be created", createdAgain},
		{"what is no key is refused everywhere", badKeys},
		{"the longest keys", longestKeys},
		{"keys that share a beginning do not meet", sharedBeginnings},
		{"an ended context ends everything", endedContext},
		{"a reader sees old bytes to their end", readerOutlivesChange},
		{"no write is seen half", noHalves},
		{"a version is that of the bytes beside it", versionsFit},
	} {
		i := slices.IndexFunc(known, func(b Broken) bool { return b.Promise == promise.name })
		t.Run(promise.name, func(t *testing.T) {
			if i >= 0 {
				t.Skip("known to be broken:", known[i].Why)
			}
			promise.try(t, open(t))
		})
		if i >= 0 {
			known = slices.Delete(slices.Clone(known), i, i+1)
		}
	}
	for _, b := range known {
		t.Errorf("there is no promise %q that could be broken", b.Promise)
	}
}

func readAfterWrite(t *testing.T, s storage.Store) {
	for i, how := range []storage.Put{{}, {IfAbsent: true}} {
		key := fmt.Sprintf("ch/seg/v1080/%d.m4s", i)
		if _, err := s.Get(t.Context(), key, storage.Get{}); !errors.Is(err, storage.ErrNotExist) {
			t.Fatalf("get before put: %v", err)
		}
		v := put(t, s, key, "one", how)
		o := get(t, s, key, storage.Get{})
		if o.text != "one" || o.Size != 3 || o.Version != v || v == "" || o.Modified.IsZero() {
			t.Fatalf("got %q %+v, put version %q", o.text, o.Object, v)
		}
	}
	put(t, s, "ch/seg/v1080/0.m4s", "two!", storage.Put{})
	if o := get(t, s, "ch/seg/v1080/0.m4s", storage.Get{}); o.text != "two!" || o.Size != 4 {
		t.Fatalf("after overwriting: %q %+v", o.text, o.Object)
	}
}

func emptyBody(t *testing.T, s storage.Store) {
	put(t, s, "empty", "", storage.Put{IfAbsent: true})
	if o := get(t, s, "empty", storage.Get{}); o.text != "" || o.Size != 0 {
		t.Fatalf("got %q %+v", o.text, o.Object)
	}
	refused(t, s, "empty", storage.Get{Length: 1}, storage.ErrRange)
	if keys := list(t, s, "", ""); !slices.Equal(keys, []string{"empty"}) {
		t.Fatalf("listed %q", keys)
	}
}

func largeBody(t *testing.T, s storage.Store) {
	body := make([]byte, large)
	for i := range body {
		body[i] = byte(i * 7 >> 8)
	}
	if _, err := s.Put(t.Context(), "large", body, storage.Put{IfAbsent: true}); err != nil {
		t.Fatal(err)
	}
	got, _, err := storage.ReadAll(t.Context(), s, "large", storage.Get{}, large)
	if err != nil || sha256.Sum256(got) != sha256.Sum256(body) {
		t.Fatalf("%d bytes came out, %v", len(got), err)
	}
	o := get(t, s, "large", storage.Get{Offset: large/2 - 3, Length: 7})
	if o.text != string(body[large/2-3:large/2+4]) || o.Size != large {
		t.Fatalf("the middle: % x of %d", o.text, o.Size)
	}
}

func bodyStaysTheCallers(t *testing.T, s storage.Store) {
	body := []byte("as it was put")
	if _, err := s.Put(t.Context(), "k", body, storage.Put{}); err != nil {
		t.Fatal(err)
	}
	if string(body) != "as it was put" {
		t.Fatalf("Put changed the body: %q", body)
	}
	copy(body, "overwritten!!")
	if o := get(t, s, "k", storage.Get{}); o.text != "as it was put" {
		t.Fatalf("the store kept our slice: %q", o.text)
	}
}

// race lets everybody put at once, and returns who won. Losing must look like lost.
func race(t *testing.T, lost error, try func(racer int) error) int {
	t.Helper()
	start, results := make(chan struct{}), make([]error, racers)
	var all sync.WaitGroup
	for i := range racers {
		all.Go(func() { <-start; results[i] = try(i) })
	}
	close(start)
	all.Wait()
	winner := -1
	for i, err := range results {
		switch {
		case err == nil && winner < 0:
			winner = i
		case err == nil:
			t.Fatalf("%d and %d both won", winner, i)
		case !errors.Is(err, lost):
			t.Fatalf("%d lost with: %v", i, err)
		}
	}
	if winner < 0 {
		t.Fatal("nobody won")
	}
	return winner
}

func oneCreateWins(t *testing.T, s storage.Store) {
	for round := range rounds {
		key := fmt.Sprintf("fresh/folder%d/key", round)
		winner := race(t, storage.ErrExists, func(i int) error {
			_, err := s.Put(t.Context(), key, fmt.Append(nil, "racer ", i), storage.Put{IfAbsent: true})
			return err
		})
		if o := get(t, s, key, storage.Get{}); o.text != fmt.Sprint("racer ", winner) {
			t.Fatalf("%d won, and %q is there", winner, o.text)
		}
	}
}

func createKeepsWhatExists(t *testing.T, s storage.Store) {
	v := put(t, s, "k", "first", storage.Put{IfAbsent: true})
	for _, body := range []string{"second", "first"} { // equal bytes too: comparing is the caller's
		if _, err := s.Put(t.Context(), "k", []byte(body), storage.Put{IfAbsent: true}); !errors.Is(err, storage.ErrExists) {
			t.Fatalf("second create: %v", err)
		}
	}
	if o := get(t, s, "k", storage.Get{}); o.text != "first" || o.Version != v {
		t.Fatalf("%q %+v", o.text, o.Object)
	}
}

func oneSwapWins(t *testing.T, s storage.Store) {
	v := put(t, s, "root", "round -1", storage.Put{})
	for round := range rounds {
		versions := make([]storage.Version, racers)
		winner := race(t, storage.ErrChanged, func(i int) (err error) {
			versions[i], err = s.Put(t.Context(), "root", fmt.Appendf(nil, "round %d of %d", round, i), storage.Put{IfVersion: v})
			return err
		})
		o := get(t, s, "root", storage.Get{})
		if o.text != fmt.Sprintf("round %d of %d", round, winner) || o.Version != versions[winner] || o.Version == v {
			t.Fatalf("%d won with %q, and %q %q is there", winner, versions[winner], o.text, o.Version)
		}
		v = o.Version
	}
}

func staleSwap(t *testing.T, s storage.Store) {
	old := put(t, s, "k", "aaaa", storage.Put{})
	now := put(t, s, "k", "bbbb", storage.Put{IfVersion: old})
	for _, stale := range []storage.Version{old, "no such version"} {
		if _, err := s.Put(t.Context(), "k", []byte("cccc"), storage.Put{IfVersion: stale}); !errors.Is(err, storage.ErrChanged) {
			t.Fatalf("swap over %q: %v", stale, err)
		}
	}
	if o := get(t, s, "k", storage.Get{}); o.text != "bbbb" || o.Version != now {
		t.Fatalf("%q %+v", o.text, o.Object)
	}
}

func swapOfNothing(t *testing.T, s storage.Store) {
	v := put(t, s, "k", "was here", storage.Put{})
	if err := s.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"k", "never", "never/was"} {
		if _, err := s.Put(t.Context(), key, []byte("x"), storage.Put{IfVersion: v}); !errors.Is(err, storage.ErrChanged) {
			t.Fatalf("swap of %s: %v", key, err)
		}
		refused(t, s, key, storage.Get{}, storage.ErrNotExist)
	}
}

func bothConditions(t *testing.T, s storage.Store) {
	v := put(t, s, "k", "x", storage.Put{})
	for _, key := range []string{"k", "other"} {
		if _, err := s.Put(t.Context(), key, []byte("y"), storage.Put{IfAbsent: true, IfVersion: v}); err == nil {
			t.Fatalf("put %s with both conditions went through", key)
		}
	}
	if o := get(t, s, "k", storage.Get{}); o.text != "x" {
		t.Fatalf("%q", o.text)
	}
	refused(t, s, "other", storage.Get{}, storage.ErrNotExist)
}

// versionsDiffer writes fast, same sizes, so that a place which leans on clocks or inodes is caught.
func versionsDiffer(t *testing.T, s storage.Store) {
	seen := map[storage.Version]string{}
	for i := range 100 {
		body := fmt.Sprintf("%03d", i)
		v := put(t, s, "k", body, storage.Put{})
		if other, again := seen[v]; again {
			t.Fatalf("version %q of %q came again for %q", v, other, body)
		}
		seen[v] = body
		if i%10 == 9 {
			if err := s.Delete(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func ranges(t *testing.T, s storage.Store) {
	put(t, s, "k", "0123456789", storage.Put{})
	for _, c := range []struct {
		offset, length int64
		want           string
	}{{0, 0, "0123456789"}, {0, 10, "0123456789"}, {0, 1, "0"}, {3, 0, "3456789"}, {3, 4, "3456"}, {9, 1, "9"}, {9, 0, "9"},
		{8, 5, "89"}, {0, 1 << 40, "0123456789"}, {9, 1<<63 - 1, "9"}} {
		o := get(t, s, "k", storage.Get{Offset: c.offset, Length: c.length})
		if o.text != c.want || o.Size != 10 {
			t.Errorf("from %d, %d bytes: %q of %d, want %q", c.offset, c.length, o.text, o.Size, c.want)
		}
	}
	for _, what := range []storage.Get{{Offset: 10}, {Offset: 10, Length: 1}, {Offset: 11}, {Offset: 1<<63 - 1, Length: 1<<63 - 1}, {Offset: -1}, {Length: -1}} {
		refused(t, s, "k", what, storage.ErrRange)
	}
	refused(t, s, "none", storage.Get{Offset: 99}, storage.ErrNotExist)
}

func onlyIfChanged(t *testing.T, s storage.Store) {
	refused(t, s, "k", storage.Get{IfChanged: "any"}, storage.ErrNotExist)
	one := put(t, s, "k", "one", storage.Put{})
	refused(t, s, "k", storage.Get{IfChanged: one}, storage.ErrUnchanged)
	two := put(t, s, "k", "two", storage.Put{})
	if o := get(t, s, "k", storage.Get{IfChanged: one}); o.text != "two" || o.Version != two {
		t.Fatalf("%q %+v", o.text, o.Object)
	}
	refused(t, s, "k", storage.Get{IfChanged: two}, storage.ErrUnchanged)
}

var awkward = []string{
	"a-b", "a-c/d", "a.b", "a.c/d", "a/b/c-d", "a/b/c/d", "a/b/c0", "a/b-c", "a/b.c", "a0", "aa", "A/b", "_", "-", "0/1", "z/y/x/w/v",
	"ch/index/live/a.json", "ch/index/live/b.json", "ch-2/shape.json", "ch/shape.json", "...", "a..b", "--/.-", ".tmp/x", ".hidden",
}

func sorted(keys []string) []string { return slices.Sorted(slices.Values(keys)) }

func fill(t *testing.T, s storage.Store) []string {
	t.Helper()
	for _, key := range awkward {
		put(t, s, key, key, storage.Put{IfAbsent: true})
	}
	return sorted(awkward)
}

func listOrder(t *testing.T, s storage.Store) {
	if keys := list(t, s, "", ""); len(keys) != 0 {
		t.Fatalf("an empty place lists %q", keys)
	}
	want := fill(t, s)
	if keys := list(t, s, "", ""); !slices.Equal(keys, want) {
		t.Fatalf("got  %q\nwant %q", keys, want)
	}
	for info, err := range s.List(t.Context(), "", "") {
		if err != nil || info.Size != int64(len(info.Key)) || info.Modified.IsZero() {
			t.Fatalf("%+v, %v", info, err)
		}
	}
}

func listPrefixAndAfter(t *testing.T, s storage.Store) {
	all := fill(t, s)
	odd := []string{"", "a", "a/", "a/b", "a/b/", "a/b/c", "a/b/c/d", "a/b/c/d/", "ch", "ch/", "ch/i", "no/such", "~", "/", "//", "..", "../", "a/../", "a\xff", "zz", strings.Repeat("x", 5000)}
	for _, prefix := range append(odd, all...) {
		for _, after := range append(odd, all...) {
			want := slices.DeleteFunc(slices.Clone(all), func(key string) bool {
				return !strings.HasPrefix(key, prefix) || key <= after
			})
			if keys := list(t, s, prefix, after); !slices.Equal(keys, want) {
				t.Errorf("prefix %.20q after %.20q: got %q, want %q", prefix, after, keys, want)
			}
		}
	}
}

func listLeft(t *testing.T, s storage.Store) {
	want := fill(t, s)
	for n := 1; n <= len(want); n++ {
		var keys []string
		for info, err := range s.List(t.Context(), "", "") {
			if err != nil {
				t.Fatal(err)
			}
			if keys = append(keys, info.Key); len(keys) == n {
				break
			}
		}
		if !slices.Equal(keys, want[:n]) {
			t.Fatalf("left after %d: %q", n, keys)
		}
	}
}

func deleted(t *testing.T, s storage.Store) {
	put(t, s, "a/k", "x", storage.Put{})
	put(t, s, "a/kk", "y", storage.Put{})
	for range 2 {
		if err := s.Delete(t.Context(), "a/k"); err != nil {
			t.Fatal(err)
		}
		refused(t, s, "a/k", storage.Get{}, storage.ErrNotExist)
	}
	for _, never := range []string{"never", "never/was", "a", "a/kk/below"} {
		if err := s.Delete(t.Context(), never); err != nil {
			t.Fatalf("delete %s: %v", never, err)
		}
	}
	if keys := list(t, s, "", ""); !slices.Equal(keys, []string{"a/kk"}) {
		t.Fatalf("left: %q", keys)
	}
}

func createdAgain(t *testing.T, s storage.Store) {
	put(t, s, "k", "one", storage.Put{IfAbsent: true})
	if err := s.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	put(t, s, "k", "two", storage.Put{IfAbsent: true})
	if o := get(t, s, "k", storage.Get{}); o.text != "two" {
		t.Fatalf("%q", o.text)
	}
}

// BadKeys are what comes out of URLs and hostile names. None may come near a file system.
var BadKeys = []string{
	"", "/", ".", "..", "/a", "a/", "a//b", "./a", "a/.", "a/./b", "../a", "a/..", "a/../b", "a/../../etc/passwd", "/etc/passwd",
	"..\\a", "a\\b", "a\x00b", "a b", "a\n", "a%2fb", "a%2e%2e/b", "%2e%2e", "ü", "a/\xff", "~tmp", "~lock", "~tmp/put-1", "a:b", "a?b", "a#b", "a+b", "a*", "C:/a",
	strings.Repeat("x", storage.MaxElement+1), "a/" + strings.Repeat("x", storage.MaxElement+1) + "/b", strings.Repeat("x/", storage.MaxKey/2) + "x",
}

func badKeys(t *testing.T, s storage.Store) {
	put(t, s, "a", "x", storage.Put{})
	for _, key := range BadKeys {
		for _, how := range []storage.Put{{}, {IfAbsent: true}, {IfVersion: "v"}} {
			if _, err := s.Put(t.Context(), key, []byte("x"), how); !errors.Is(err, storage.ErrKey) {
				t.Errorf("put %.40q %+v: %v", key, how, err)
			}
		}
		refused(t, s, key, storage.Get{}, storage.ErrKey)
		refused(t, s, key, storage.Get{IfChanged: "v", Offset: 1}, storage.ErrKey)
		if err := s.Delete(t.Context(), key); !errors.Is(err, storage.ErrKey) {
			t.Errorf("delete %.40q: %v", key, err)
		}
	}
	if keys := list(t, s, "", ""); !slices.Equal(keys, []string{"a"}) {
		t.Fatalf("something went through: %q", keys)
	}
}

func longestKeys(t *testing.T, s storage.Store) {
	element := strings.Repeat("x", storage.MaxElement)
	keys := []string{
		"z" + element[1:],
		element + "/" + element + "/" + element + "/" + element, // 4 × 255 + 3 = 1023
		strings.Repeat("y/", storage.MaxKey/2-1) + "yy",
	}
	for _, key := range keys {
		put(t, s, key, "x", storage.Put{IfAbsent: true})
		if o := get(t, s, key, storage.Get{}); o.text != "x" {
			t.Errorf("%d bytes: %q", len(key), o.text)
		}
	}
	if got := list(t, s, "", ""); !slices.Equal(got, sorted(keys)) {
		t.Errorf("listed %.80q", got)
	}
}

func sharedBeginnings(t *testing.T, s storage.Store) {
	keys := []string{"a-b", "a/b", "a.b", "a/bb", "ab", "a0b"}
	for _, key := range keys {
		put(t, s, key, "of "+key, storage.Put{IfAbsent: true})
	}
	for _, key := range keys {
		if o := get(t, s, key, storage.Get{}); o.text != "of "+key {
			t.Errorf("%s: %q", key, o.text)
		}
	}
	refused(t, s, "a", storage.Get{}, storage.ErrNotExist)
	refused(t, s, "a-b/c", storage.Get{}, storage.ErrNotExist)
	// One name as object and folder: both or ErrKey, and the older is unharmed.
	for _, c := range [][2]string{{"a", "a/b"}, {"a-b/c", "a-b"}} {
		for _, how := range []storage.Put{{}, {IfAbsent: true}} {
			if _, err := s.Put(t.Context(), c[0], []byte("x"), how); err != nil && !errors.Is(err, storage.ErrKey) && !errors.Is(err, storage.ErrExists) {
				t.Errorf("put %s beside %s: %v", c[0], c[1], err)
			}
		}
		if o := get(t, s, c[1], storage.Get{}); o.text != "of "+c[1] {
			t.Errorf("%s after put of %s: %q", c[1], c[0], o.text)
		}
	}
}

func endedContext(t *testing.T, s storage.Store) {
	v := put(t, s, "k", "old", storage.Put{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ended := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, how := range []storage.Put{{}, {IfAbsent: true}, {IfVersion: v}} {
		for _, key := range []string{"k", "new"} {
			_, err := s.Put(ctx, key, []byte("new"), how)
			ended("put", err)
		}
	}
	_, err := s.Get(ctx, "k", storage.Get{})
	ended("get", err)
	ended("delete", s.Delete(ctx, "k"))
	err = nil
	for _, err = range s.List(ctx, "", "") {
		break
	}
	ended("list", err)
	if o := get(t, s, "k", storage.Get{}); o.text != "old" {
		t.Errorf("an ended put took effect: %q", o.text)
	}
	refused(t, s, "new", storage.Get{}, storage.ErrNotExist)
}

func readerOutlivesChange(t *testing.T, s storage.Store) {
	old := strings.Repeat("old bytes ", 100_000)
	for name, change := range map[string]func(v storage.Version) error{
		"overwritten": func(storage.Version) error {
			_, err := s.Put(t.Context(), "k", []byte("new"), storage.Put{})
			return err
		},
		"swapped": func(v storage.Version) error {
			_, err := s.Put(t.Context(), "k", []byte("new"), storage.Put{IfVersion: v})
			return err
		},
		"deleted": func(storage.Version) error { return s.Delete(t.Context(), "k") },
	} {
		v := put(t, s, "k", old, storage.Put{})
		o, err := s.Get(t.Context(), "k", storage.Get{})
		if err != nil {
			t.Fatal(err)
		}
		first := make([]byte, 1000)
		if _, err := io.ReadFull(o.Body, first); err != nil {
			t.Fatal(err)
		}
		if err := change(v); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(o.Body)
		o.Body.Close()
		if err != nil || string(first)+string(rest) != old {
			t.Errorf("%s: a reader got %d bytes, %v", name, len(first)+len(rest), err)
		}
	}
}

// noHalves reads while others overwrite: every answer is one whole body.
func noHalves(t *testing.T, s storage.Store) {
	readUnderWrites(t, s, func(storage.Version, byte) {})
}

// versionsFit reads while others overwrite: every version goes with one body.
func versionsFit(t *testing.T, s storage.Store) {
	seen := map[storage.Version]byte{}
	readUnderWrites(t, s, func(v storage.Version, body byte) {
		if first, again := seen[v]; again && first != body {
			t.Errorf("version %q came with two bodies", v)
		}
		seen[v] = body
	})
}

// readUnderWrites tells each of the versions that it read, and of which letter that body was.
func readUnderWrites(t *testing.T, s storage.Store, tell func(v storage.Version, body byte)) {
	bodies := [][]byte{bytes.Repeat([]byte("a"), 300_000), bytes.Repeat([]byte("b"), 200_001)}
	put(t, s, "k", string(bodies[0]), storage.Put{})
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := s.Put(t.Context(), "k", bodies[i%2], storage.Put{}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 100 {
		got, v, err := storage.ReadAll(t.Context(), s, "k", storage.Get{}, large)
		if err != nil || !bytes.Equal(got, bodies[0]) && !bytes.Equal(got, bodies[1]) {
			t.Errorf("read %d bytes, %v", len(got), err)
			break
		}
		tell(v, got[0])
	}
	close(stop)
	writer.Wait()
}

func put(t *testing.T, s storage.Store, key, body string, how storage.Put) storage.Version {
	t.Helper()
	v, err := s.Put(t.Context(), key, []byte(body), how)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

type read struct {
	storage.Object
	text string
}

func get(t *testing.T, s storage.Store, key string, what storage.Get) read {
	t.Helper()
	o, err := s.Get(t.Context(), key, what)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Body.Close()
	body, err := io.ReadAll(o.Body)
	if err != nil {
		t.Fatal(err)
	}
	return read{o, string(body)}
}

func refused(t *testing.T, s storage.Store, key string, what storage.Get, want error) {
	t.Helper()
	o, err := s.Get(t.Context(), key, what)
	if err == nil {
		o.Body.Close()
	}
	if !errors.Is(err, want) {
		t.Errorf("get %.40q %+v: %v, want %v", key, what, err, want)
	}
}

func list(t *testing.T, s storage.Store, prefix, after string) (keys []string) {
	t.Helper()
	for info, err := range s.List(t.Context(), prefix, after) {
		if err != nil {
			t.Fatalf("list %.40q after %.40q: %v", prefix, after, err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}
