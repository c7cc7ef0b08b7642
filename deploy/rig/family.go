package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	// askEvery is how often a child that starts is asked whether it is there.
	askEvery = 100 * time.Millisecond
	// stopLimit is what a child may take to end when it is told to: flambeau promises 25 s. Then it is killed, and the rig says so.
	stopLimit = 30 * time.Second
	// lastLines is how much of the log of a child that died is shown.
	lastLines = 15
)

// child is a process of the rig.
type child struct {
	name  string
	ready string // URL that answers 200 once it does its work
	log   string // file that takes what it says
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has
}

// family is the children that run, the oldest first. It is owned by run.
type family struct {
	children []*child
	died     chan *child
}

func (f *family) start(c *child) error {
	if f.died == nil {
		f.died = make(chan *child, 16)
	}
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own
	c.cmd.Stdout, c.cmd.Stderr = log, log
	// A group of its own: Ctrl-C at a terminal is for the rig, which stops them in order. And none stays behind a rig that is killed.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := c.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	f.children = append(f.children, c)
	died := f.died
	go func() {
		c.cmd.Wait()
		close(c.ended)
		died <- c
	}()
	return nil
}

// answers waits until a child is ready. That ctx ends is not its fault: then it need not answer any more.
func (f *family) answers(ctx context.Context, c *child, limit time.Duration) error {
	late := time.After(limit)
	for {
		ask, cancel := context.WithTimeout(ctx, 2*time.Second)
		ok := ready(ask, c.ready)
		cancel()
		if ok {
			return nil
		}
		select {
		case <-time.After(askEvery):
		case <-late:
			return fmt.Errorf("%s does not answer at %s after %v: %s", c.name, c.ready, limit, c.lastWords())
		case died := <-f.died:
			return died.obituary()
		case <-ctx.Done():
			return nil
		}
	}
}

func ready(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// wait returns when ctx ends, or with the death of a child.
func (f *family) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case c := <-f.died:
		return c.obituary()
	}
}

// stop ends all that still run, the newest first, each by its own number.
func (f *family) stop() (err error) {
	for i := len(f.children) - 1; i >= 0; i-- {
		c := f.children[i]
		c.cmd.Process.Signal(syscall.SIGTERM) // fails if it has ended, which is all we want
		select {
		case <-c.ended:
		case <-time.After(stopLimit):
			c.cmd.Process.Kill()
			<-c.ended
			err = errors.Join(err, fmt.Errorf("%s did not end within %v, and was killed", c.name, stopLimit))
		}
	}
	return err
}

func (c *child) obituary() error {
	return fmt.Errorf("%s ended by itself: %v. %s", c.name, c.cmd.ProcessState, c.lastWords())
}

func (c *child) lastWords() string {
	b, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	lines = lines[max(0, len(lines)-lastLines):]
	return fmt.Sprintf("The end of %s:\n  %s", c.log, strings.Join(lines, "\n  "))
}
