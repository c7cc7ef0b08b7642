package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The tests of this file and its neighbours run the real binary against real peers, as a user would.

var built struct {
	once sync.Once
	path string
	err  error
}

// binary builds flambeau once for all tests.
func binary(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		dir, err := os.MkdirTemp("", "flambeau-test-")
		if err != nil {
			built.err = err
			return
		}
		built.path = filepath.Join(dir, "flambeau")
		out, err := exec.Command("go", "build", "-o", built.path, ".").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("%v: %s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.path != "" {
		os.RemoveAll(filepath.Dir(built.path))
	}
	os.Exit(code)
}

// running is a flambeau process and where it listens.
type running struct {
	t       *testing.T
	cmd     *exec.Cmd
	media   string // http://host:port
	metrics string
	log     *tail
	stdout  *tail
}

// tail keeps what a process says, and finds words in it.
type tail struct {
	mu    sync.Mutex
	text  strings.Builder
	grown chan struct{}
}

func newTail(r io.Reader) *tail {
	l := &tail{grown: make(chan struct{}, 1)}
	go func() {
		for s := bufio.NewScanner(r); s.Scan(); {
			l.mu.Lock()
			l.text.WriteString(s.Text() + "\n")
			l.mu.Unlock()
			select {
			case l.grown <- struct{}{}:
			default:
			}
		}
	}()
	return l
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// find waits until the pattern was said.
func (l *tail) find(t *testing.T, pattern string, limit time.Duration) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	for deadline := time.After(limit); ; {
		if m := re.FindStringSubmatch(l.String()); m != nil {
			return m
		}
		select {
		case <-l.grown:
		case <-deadline:
			t.Fatalf("%q was not said within %v:\n%s", pattern, limit, l)
		}
	}
}

// start runs flambeau with any free ports.
func start(t *testing.T, args ...string) *running {
	t.Helper()
	return startIn(t, nil, args...)
}

// startAt runs flambeau with its media at one address, where players find it again.
func startAt(t *testing.T, media string, args ...string) *running {
	t.Helper()
	return startIn(t, []string{"FLAMBEAU_LISTEN_MEDIA=" + media}, args...)
}

// startIn does so with more in its environment.
func startIn(t *testing.T, environ []string, args ...string) *running {
	t.Helper()
	return startBinary(t, binary(t), environ, args...)
}

func startBinary(t *testing.T, path string, environ []string, args ...string) *running {
	t.Helper()
	r := &running{t: t, cmd: exec.Command(path, args...)}
	r.cmd.Env = append(os.Environ(), "FLAMBEAU_LISTEN_MEDIA=127.0.0.1:0", "FLAMBEAU_LISTEN_ADMIN=127.0.0.1:0", "FLAMBEAU_LISTEN_METRICS=127.0.0.1:0")
	r.cmd.Env = append(r.cmd.Env, environ...)
	r.cmd.Dir = t.TempDir()
	stderr, err := r.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if r.cmd.ProcessState == nil {
			r.cmd.Process.Kill()
			r.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("flambeau %s said:\n%s", strings.Join(args, " "), r.log)
		}
	})
	r.log, r.stdout = newTail(stderr), newTail(stdout)
	r.metrics = "http://" + r.log.find(t, `for=metrics address=(\S+)`, 10*time.Second)[1]
	if m := regexp.MustCompile(`for=media address=(\S+)`).FindStringSubmatch(r.log.String()); m != nil {
		r.media = "http://" + m[1]
	}
	return r
}

// stop ends the process as an operator would, and tells how long it took.
func (r *running) stop() time.Duration {
	r.t.Helper()
	began := time.Now()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		r.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- r.cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			r.t.Fatalf("SIGTERM: %v\n%s", err, r.log)
		}
	case <-time.After(25 * time.Second):
		r.cmd.Process.Kill()
		r.t.Fatalf("SIGTERM: still there after 25 s\n%s", r.log)
	}
	return time.Since(began)
}

// configure writes a configuration of one channel with 2 s segments. The store is a folder, or a URL.
func configure(t *testing.T, store, input string) string {
	t.Helper()
	if !strings.Contains(store, "://") {
		store = "file://" + store
	}
	file := filepath.Join(t.TempDir(), "flambeau.yml")
	text := fmt.Sprintf("worker: a\nstore: %s\ndefaults: { segment: 2s }\nchannels:\n  - id: c\n    inputs:\n      - url: %s\n", store, input)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// get asks until the answer is 200, for at most limit.
func get(t *testing.T, url string, limit time.Duration) []byte {
	t.Helper()
	var last string
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); {
		resp, err := http.Get(url)
		if err != nil {
			last = err.Error()
		} else {
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode == 200 && err == nil {
				return b
			}
			last = fmt.Sprintf("%d %s %v", resp.StatusCode, b, err)
		}
		wait(100 * time.Millisecond)
	}
	t.Fatalf("GET %s: not within %v: %s", url, limit, last)
	return nil
}

// wait lets real time pass: other processes do not live in a bubble.
func wait(d time.Duration) { <-time.After(d) }

// tool runs a program to its end and gives what it printed.
func tool(t *testing.T, limit time.Duration, name string, args ...string) string {
	t.Helper()
	return toolIn(t, nil, limit, name, args...)
}

// toolIn does so with more in its environment.
func toolIn(t *testing.T, environ []string, limit time.Duration, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), environ...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out)
}
