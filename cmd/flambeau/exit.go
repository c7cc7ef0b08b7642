package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"flambeau/packager"
)

// What the process says when it ends; others script against it.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitUnreachable = 75 // EX_TEMPFAIL: start again later
	exitConfig      = 78 // EX_CONFIG: starting again won't help
)

// usageError is a command line that can't be meant.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// storeUnreachable is a store that did not answer at start.
type storeUnreachable struct{ error }

func (e storeUnreachable) Unwrap() error { return e.error }

// configError is every problem of a configuration. It has at least one.
type configError []Problem

func (e configError) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// reported is an error that the command has already told in its output: it counts for the exit code only.
type reported struct{ error }

func (e reported) Unwrap() error { return e.error }

// exitCode is the one place where an error becomes a number.
func exitCode(err error) int {
	var usage usageError
	var config configError
	var store storeUnreachable
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &config), errors.Is(err, packager.ErrSpoolTaken):
		return exitConfig
	case errors.As(err, &store):
		return exitUnreachable
	}
	return exitFailed
}

// complain tells an error on stderr, once. Problems of a file stand alone on their lines, as editors want them.
func complain(stderr io.Writer, err error) {
	var config configError
	var already reported
	switch {
	case err == nil || errors.As(err, &already):
	case errors.As(err, &config):
		fmt.Fprintln(stderr, config)
	default:
		fmt.Fprintf(stderr, "flambeau: %v\n", err)
	}
}

func oneOf(flag, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return usageError{fmt.Errorf("%s %q: want %s", flag, value, either(allowed))}
}
