package packager

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"flambeau/packager/timeline"
)

// ErrSpoolTaken says that another process has the spool.
var ErrSpoolTaken = errors.New("spool is in use by another process")

// errSpoolFull says that a batch has no room in the spool.
var errSpoolFull = errors.New("spool is full")

const (
	// spoolHead is the longest head of a spool file that is believed.
	spoolHead = 16 << 20
	// spoolEnding ends the names of spool files, brokenEnding those of files whose head could not be read, asideEnding a folder of files
	// that the store has no place for.
	spoolEnding, brokenEnding, asideEnding = ".spool", ".broken", ".aside"
	// keptName is the newest batch that the store has taken, without its bodies: where the channel stands, for a process that is started
	// while the store is away.
	keptName = "last.kept"
	// storeName is the file in which a spool says which store it is before.
	storeName = "store"
)

// Spool is a folder in which one worker keeps what the store has not taken yet. A batch is one file; its life is
//
//	composed ─► written, fsynced, renamed, folder fsynced ─► put ─► named by a root in the store ─► removed, the newest kept
//
// so that after a crash every closed segment is in the store or here. A file is
//
//	flambeau-spool 1 {length of head} {SHA-256 of head}   one line
//	head                                                   JSON: what is in it, with the hash of each body
//	bodies                                                 one after the other
//
// Its size is a limit. What has no room waits in memory, and beyond that gives way: its segments become gaps, and a loss record says so.
type Spool struct {
	dir  string
	size int64
	used atomic.Int64
	over atomic.Int64 // so many bytes the disk did not take, and has not taken since; 0: it takes what comes
	lock *os.File
}

// OpenSpool takes a folder, which it makes where it is missing, for this process.
func OpenSpool(dir string, size int64) (*Spool, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w", dir, ErrSpoolTaken)
		}
		return nil, fmt.Errorf("lock spool %s: %w", dir, err)
	}
	return &Spool{dir: dir, size: size, lock: lock}, nil
}

// Close lets another process have the folder.
func (s *Spool) Close() error { return s.lock.Close() }

// Used is how many bytes are in it.
func (s *Spool) Used() int64 { return s.used.Load() }

// Before says which store the spool is before, once that has answered.
func (s *Spool) Before(store string) error {
	path := filepath.Join(s.dir, storeName)
	if b, err := os.ReadFile(path); err == nil && string(b) == store+"\n" {
		return nil
	}
	if err := os.WriteFile(path, []byte(store+"\n"), 0o644); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return syncFolder(s.dir)
}

// Stands tells whether a worker of one of the channels can go on from here while that store is away: the spool is before it, and knows where
// the channel stands.
func (s *Spool) Stands(store string, channels []string) bool {
	b, err := os.ReadFile(filepath.Join(s.dir, storeName))
	if err != nil || string(b) != store+"\n" {
		return false
	}
	return slices.ContainsFunc(channels, func(channel string) bool {
		entries, _ := os.ReadDir(filepath.Join(s.dir, channel))
		return slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == keptName || strings.HasSuffix(e.Name(), spoolEnding) })
	})
}

// Room tells whether a tenth of it is free, and the disk takes what is written: enough to go on for a while without the store.
func (s *Spool) Room() bool { return s.used.Load() < s.size-s.size/10 && s.over.Load() == 0 }

// shelf is one channel's part of a spool. It is owned by the publisher's spooling loop; of what is written, remove and load may be called
// from elsewhere.
type shelf struct {
	spool *Spool
	dir   string
	next  int64 // number of the next file
	kept  Past  // after what the store has taken and an earlier process has kept
}

// head is what a spool file says of itself.
type head struct {
	Channel     string                    `json:"channel"`
	Objects     []headObject              `json:"objects"`
	Generations []timeline.GenerationName `json:"generations,omitempty"`
	Records     []timeline.Generation     `json:"records,omitempty"`
	Past        Past                      `json:"past"`
}

type headObject struct {
	object
	Size int64
	Hash timeline.Hash // of the body
}

// shelf opens a channel's part and reads the heads of what is in it, oldest first. broken is how many files could not be read: they are set
// aside, and what was in them is missing.
func (s *Spool) shelf(channel string) (h *shelf, waiting []*batch, broken int, err error) {
	h = &shelf{spool: s, dir: filepath.Join(s.dir, channel)}
	if err := os.MkdirAll(h.dir, 0o755); err != nil {
		return nil, nil, 0, fmt.Errorf("open spool of %s: %w", channel, err)
	}
	entries, err := os.ReadDir(h.dir)
	if err != nil {
		return nil, nil, 0, fmt.Errorf("open spool of %s: %w", channel, err)
	}
	for _, e := range entries {
		path := filepath.Join(h.dir, e.Name())
		if e.Name() == keptName {
			if b, _, err := readHead(path, channel); err == nil {
				h.kept = b.Past
			}
			continue
		}
		number, ok := strings.CutSuffix(e.Name(), spoolEnding)
		n, perr := strconv.ParseInt(number, 10, 64)
		if !ok || perr != nil {
			if strings.HasPrefix(e.Name(), "new-") {
				os.Remove(path) // it was being written when its process ended, and was promised to nobody
			}
			continue
		}
		h.next = max(h.next, n+1)
		b, size, err := readHead(path, channel)
		if err != nil {
			broken++
			if err := os.Rename(path, path+brokenEnding); err != nil {
				return nil, nil, 0, fmt.Errorf("set aside %s: %w", path, err)
			}
			continue
		}
		b.file, b.fileSize = path, size
		s.used.Add(size)
		waiting = append(waiting, b)
	}
	slices.SortFunc(waiting, func(a, b *batch) int { return cmp.Compare(a.file, b.file) })
	return h, waiting, broken, syncFolder(s.dir)
}

// leave forgets what a shelf holds, for whoever opens it next.
func (h *shelf) leave(waiting []*batch) {
	for _, b := range waiting {
		if b.file != "" {
			h.spool.used.Add(-b.fileSize)
		}
	}
}

func readHead(path, channel string) (*batch, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	var length int64
	var sum string
	first := make([]byte, 128)
	n, err := io.ReadFull(f, first)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, 0, err
	}
	line, _, ok := bytes.Cut(first[:n], []byte{'\n'})
	if _, err := fmt.Sscanf(string(line), "flambeau-spool 1 %d %s", &length, &sum); !ok || err != nil || length < 0 || length > spoolHead {
		return nil, 0, fmt.Errorf("%s: not a spool file", path)
	}
	body := make([]byte, length)
	if _, err := f.ReadAt(body, int64(len(line)+1)); err != nil {
		return nil, 0, fmt.Errorf("%s: %w", path, err)
	}
	if hash := timeline.Hash(sha256.Sum256(body)); hash.String() != sum {
		return nil, 0, fmt.Errorf("%s: its head is damaged", path)
	}
	var x head
	if err := json.Unmarshal(body, &x); err != nil || x.Channel != channel {
		return nil, 0, fmt.Errorf("%s: of channel %q: %w", path, x.Channel, err)
	}
	b := &batch{Generations: x.Generations, Records: x.Records, Past: x.Past, since: info.ModTime()}
	from := int64(len(line)+1) + length
	for _, o := range x.Objects {
		o.object.from, o.object.size, o.object.hash = from, o.Size, o.Hash
		from += o.Size
		b.Objects = append(b.Objects, o.object)
	}
	return b, info.Size(), nil
}

// write makes a batch durable.
func (h *shelf) write(channel string, b *batch) error {
	x := head{Channel: channel, Generations: b.Generations, Records: b.Records, Past: b.Past}
	for i := range b.Objects {
		o := &b.Objects[i]
		if o.hash = o.Row.Hash; !o.isSegment() {
			o.hash = sha256.Sum256(o.body)
		}
		x.Objects = append(x.Objects, headObject{*o, o.size, o.hash})
	}
	body, err := json.Marshal(x)
	if err != nil {
		return err
	}
	hash := timeline.Hash(sha256.Sum256(body))
	line := fmt.Appendf(nil, "flambeau-spool 1 %d %s\n", len(body), hash)
	at := int64(len(line) + len(body))
	size := at + b.weight()
	if h.spool.used.Add(size) > h.spool.size {
		h.spool.used.Add(-size)
		return errSpoolFull
	}
	path := filepath.Join(h.dir, fmt.Sprintf("%012d%s", h.next, spoolEnding))
	if err := h.place(path, line, body, b); err != nil {
		h.spool.used.Add(-size)
		h.spool.over.Store(max(size, h.spool.over.Load()))
		return fmt.Errorf("spool: %w", err)
	}
	if size >= h.spool.over.Load() {
		h.spool.over.Store(0)
	}
	h.next++
	b.file, b.fileSize = path, size
	for i := range b.Objects {
		b.Objects[i].from = at
		at += b.Objects[i].size
	}
	return nil
}

func (h *shelf) place(path string, line, head []byte, b *batch) (err error) {
	f, err := os.CreateTemp(h.dir, "new-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(append(line, head...))
	for i := 0; i < len(b.Objects) && err == nil; i++ {
		_, err = f.Write(b.Objects[i].body)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncFolder(h.dir)
}

// load gives an object's bytes, from memory or from its spool file, or says that they are not what was written.
func (b *batch) load(o object) ([]byte, error) {
	if o.body != nil || b.file == "" {
		return o.body, nil
	}
	f, err := os.Open(b.file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	body := make([]byte, o.size)
	if _, err := f.ReadAt(body, o.from); err != nil {
		return nil, fmt.Errorf("%s: %w", b.file, err)
	}
	if timeline.Hash(sha256.Sum256(body)) != o.hash {
		return nil, fmt.Errorf("%s: %s is damaged", b.file, o.Key)
	}
	return body, nil
}

// remove forgets a batch that the store has taken. That it is gone need not last: put again, it is found to be there.
func (h *shelf) remove(b *batch) error {
	if b.file == "" {
		return nil
	}
	h.spool.freed(b)
	return os.Remove(b.file)
}

// freed counts a batch out.
func (s *Spool) freed(b *batch) {
	s.used.Add(-b.fileSize)
	s.over.Store(0)
}

// keep forgets a batch that the store has taken, but for where the channel stands after it.
func (h *shelf) keep(b *batch) error {
	if b.file == "" {
		return nil
	}
	h.spool.freed(b)
	kept := filepath.Join(h.dir, keptName)
	if err := os.Rename(b.file, kept); err != nil {
		return err
	}
	return os.Truncate(kept, b.fileSize-b.weight())
}

// outdated forgets what was kept, before something that the spool does not hold comes after it.
func (h *shelf) outdated() error {
	if err := os.Remove(filepath.Join(h.dir, keptName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// setAside keeps batches that have no place in the store out of the way.
func (h *shelf) setAside(waiting []*batch) error {
	dir := h.dir + asideEnding
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, b := range waiting {
		if err := os.Rename(b.file, filepath.Join(dir, filepath.Base(b.file))); err != nil {
			return err
		}
		h.spool.used.Add(-b.fileSize)
	}
	return nil
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
