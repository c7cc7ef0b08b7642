package mpegts

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"flambeau/packager/media"
)

var noon = time.Date(2026, 2, 6, 12, 0, 0, 0, time.UTC)

// feed reads a real feed from beside the project.
func feed(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(feedPath(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func feedPath(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above this test")
		}
		dir = filepath.Dir(dir)
	}
	path := filepath.Join(dir, "..", "shared", "feeds", name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the real feed %s is not beside this checkout: %v", name, err)
	}
	return path
}

// drain gives all events that wait.
func drain(d *Demuxer) (events []media.Event) {
	for {
		e, ok := d.Next()
		if !ok {
			return events
		}
		events = append(events, e)
	}
}

// demux gives all events of a whole stream, and the demuxer.
func demux(b []byte, o Options) ([]media.Event, *Demuxer) {
	d := New(o)
	d.Write(b, noon)
	d.Flush()
	return drain(d), d
}

func samples(events []media.Event, track int) (list []*media.Sample) {
	for _, e := range events {
		if s, ok := e.(*media.Sample); ok && s.Track == track {
			list = append(list, s)
		}
	}
	return list
}

func lastBegin(t testing.TB, events []media.Event) (b media.Begin) {
	t.Helper()
	found := false
	for _, e := range events {
		if x, ok := e.(media.Begin); ok {
			b, found = x, true
		}
	}
	if !found {
		t.Fatal("no Begin")
	}
	return b
}

func losses(events []media.Event) (list []media.Lost) {
	for _, e := range events {
		if l, ok := e.(media.Lost); ok {
			list = append(list, l)
		}
	}
	return list
}

// wrong gives the errors that are not zero.
func wrong(d *Demuxer) map[string]uint64 {
	m := d.Errors()
	for r, n := range m {
		if n == 0 {
			delete(m, r)
		}
	}
	return m
}
