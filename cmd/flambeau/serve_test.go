package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"flambeau/origin"
	"flambeau/storage/memory"
	"flambeau/storage/storagetest"
)

func TestAStoreThatStopsAnsweringMakesTheProcessUnready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		var fault atomic.Pointer[storagetest.Fault]
		fault.Store(&storagetest.Fault{})
		store := &storagetest.Faulty{Store: memory.New(), Decide: func(storagetest.Op) storagetest.Fault {
			asked.Add(1)
			return *fault.Load()
		}}
		p := &process{store: store, draining: make(chan struct{}), followers: origin.Channels{}}
		say := func() (int, string) {
			w := httptest.NewRecorder()
			p.metrics = newMetrics(nil)
			p.health().ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
			return w.Code, w.Body.String()
		}
		for range 100 {
			if code, why := say(); code != 200 {
				t.Fatalf("an empty store that answers: %s", why)
			}
		}
		if asked.Load() != 1 {
			t.Errorf("the store was asked %d times in one instant", asked.Load())
		}
		for _, f := range []storagetest.Fault{{Err: errors.New("no")}, {Hang: true}} {
			fault.Store(&f)
			time.Sleep(askEvery)
			if code, why := say(); code != 200 {
				t.Errorf("one answer lost: %s", why)
			}
			time.Sleep(silenceLimit)
			if code, why := say(); code != 503 || !strings.Contains(why, "the store has not answered for") {
				t.Errorf("silent: %d %s", code, why)
			}
			fault.Store(&storagetest.Fault{})
			time.Sleep(askEvery)
			if code, why := say(); code != 200 {
				t.Errorf("it answers again: %s", why)
			}
		}
	})
}

func TestConnectionsBeyondTheLimitWaitAndArePassedOnAsTheyAre(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := limit(inner, 2)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }), ConnState: ln.state}
	go srv.Serve(ln)
	defer srv.Close()
	open := func() net.Conn {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		return c
	}
	answered := func(c net.Conn, within time.Duration) bool {
		c.SetReadDeadline(time.Now().Add(within))
		r, err := http.ReadResponse(bufio.NewReader(c), nil)
		return err == nil && r.StatusCode == 200
	}
	a, b := open(), open()
	if !answered(a, 5*time.Second) || !answered(b, 5*time.Second) {
		t.Fatal("those within the limit are not answered")
	}
	c := open()
	defer b.Close()
	defer c.Close()
	if answered(c, 200*time.Millisecond) {
		t.Fatal("one too many is answered")
	}
	a.Close()
	if !answered(c, 5*time.Second) {
		t.Fatal("nobody is answered in the place of who has gone")
	}
}

func TestALimitedListenerHandsOutBareConnectionsAndCloses(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := limit(inner, 1)
	client, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, bare := c.(*net.TCPConn); !bare {
		t.Errorf("a %T has no sendfile", c)
	}
	full := make(chan error)
	go func() {
		_, err := ln.Accept()
		full <- err
	}()
	ln.Close()
	if err := <-full; !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed while full: %v", err)
	}
}
