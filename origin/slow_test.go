package origin

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flambeau/packager/timeline"
	"flambeau/storage/memory"
)

// pipes is a listener of connections without a network, so that time is free.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// big is longer than what any buffer on the way takes.
const big = 20 * leastRate

// asks begins a server whose newest segment is big, and asks for it.
func asks(t *testing.T, path string) (net.Conn, func()) {
	s := memory.New()
	st := newStation(t, s)
	st.air(10)
	st.put(timeline.SegmentKey("c", "v360", firstSlot), strings.Repeat("x", big))
	handler, f := newTestServer(s, 15*time.Minute)
	look(t, f)
	srv, ln := &http.Server{Handler: handler}, make(pipes)
	go srv.Serve(ln)
	client, server := net.Pipe()
	ln <- server
	if _, err := io.WriteString(client, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	return client, func() { client.Close(); srv.Close() }
}

// over tells whether the other side has hung up: then what can be read ends.
func over(t *testing.T, c net.Conn) int64 {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(time.Millisecond))
	n, err := io.Copy(io.Discard, c)
	if err != nil {
		t.Errorf("the connection is there still: %v", err)
	}
	return n
}

func TestAClientThatStopsReadingLosesItsConnection(t *testing.T) {
	for path, limit := range map[string]time.Duration{segment("v360", 0): writeLimit + 20*time.Second, "/live/c/index.m3u8": writeLimit, "/none": writeLimit} {
		synctest.Test(t, func(t *testing.T) {
			c, end := asks(t, path)
			defer end()
			<-time.After(limit + time.Second)
			synctest.Wait()
			if n := over(t, c); n >= big {
				t.Errorf("%s: it was sent after the limit", path)
			}
		})
	}
}

func TestAClientThatReadsSlowlyEnoughKeepsItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, end := asks(t, segment("v360", 0))
		defer end()
		r := bufio.NewReader(c)
		for range 2 { // and the second answer's time begins anew
			answer, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			for range big / leastRate {
				<-time.After(time.Second)
				if n, err := io.CopyN(io.Discard, answer.Body, leastRate); err != nil {
					t.Fatalf("after %d bytes: %v", n, err)
				}
			}
			<-time.After(time.Minute)
			if _, err := io.WriteString(c, "GET "+segment("v360", 0)+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
		}
	})
}
