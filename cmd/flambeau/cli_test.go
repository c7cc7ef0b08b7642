package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const sound = "store: file:///var/lib/flambeau\nchannels:\n  - id: curling-a\n    inputs:\n      - url: udp://239.10.0.1:5000\n"

// flambeau runs the program as a shell would.
func flambeau(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(context.Background(), args, &out, &err)
	return code, out.String(), err.String()
}

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "flambeau.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestEveryCommandLineEndsWithItsCode(t *testing.T) {
	good, bad := write(t, sound), write(t, "stroe: x\n")
	for _, c := range []struct {
		args   string
		code   int
		stdout string // a part of it
		stderr string // a part of it; "": nothing
	}{
		{"version", 0, "revision ", ""},
		{"version --json", 0, `"version":`, ""},
		{"version --format json", 0, `"go": "go1`, ""},
		{"--version", 0, "flambeau version", ""},
		{"--help", 0, "flambeau serve -c flambeau.yml", ""},
		{"serve --help", 0, "Examples:", ""},
		{"completion bash", 0, "__start_flambeau", ""},
		{"check -c " + good, 0, good + ": ok, 1 channel\n", ""},
		{"check --json -c " + good, 0, `"ok": true`, ""},

		{"check -c " + bad, 78, "", bad + `:1:1: unknown key "stroe", did you mean "store"?`},
		{"check --json -c " + bad, 78, `"text": "unknown key \"stroe\", did you mean \"store\"?"`, ""},
		{"check -c /nowhere/flambeau.yml", 78, "", "/nowhere/flambeau.yml: no such file or directory"},
		{"serve -c " + bad, 78, "", bad + ":1:1: "},
		{"verify curling-a -c " + bad, 78, "", bad + ":1:1: "},
		{"doctor -c " + bad, 78, "", bad + ":1:1: "},

		{"", 2, "", "which command?"},
		{"srve", 2, "", `unknown command "srve", did you mean "serve"?`},
		{"frobnicate", 2, "", `unknown command "frobnicate": want `},
		{"check", 2, "", "-c FILE is missing"},
		{"check --nope", 2, "", "unknown flag: --nope"},
		{"check x -c " + good, 2, "", `"x"`},
		{"check --format xml -c " + good, 2, "", `--format "xml": want table or json`},
		{"serve --role leader -c " + good, 2, "", `--role "leader": want all, ingest or origin`},
		{"verify -c " + good, 2, "", "CHANNEL is missing"},
		{"verify curling-a curling-b -c " + good, 2, "", "curling-b"},
		{"verify curling-b -c " + good, 2, "", `unknown channel "curling-b", did you mean "curling-a"?`},
		{"verify curling-a --from yesterday -c " + good, 2, "", "want RFC 3339 such as"},
		{"verify curling-a --from 200 --to 100 -c " + good, 2, "", "--to is not after --from"},
		{"completion klingon", 2, "", "klingon"},
		{"man", 2, "", "DIR is missing"},

		{"version -o /nowhere/version", 1, "", "output: open /nowhere/version: no such file or directory"},
	} {
		t.Run(c.args, func(t *testing.T) {
			code, stdout, stderr := flambeau(strings.Fields(c.args)...)
			if code != c.code {
				t.Errorf("exit %d, want %d", code, c.code)
			}
			if !strings.Contains(stdout, c.stdout) || c.stdout == "" && stdout != "" {
				t.Errorf("stdout: %q, want %q", stdout, c.stdout)
			}
			if !strings.Contains(stderr, c.stderr) || c.stderr == "" && stderr != "" {
				t.Errorf("stderr: %q, want %q", stderr, c.stderr)
			}
		})
	}
}

func TestAnErrorBecomesOneCodeHoweverDeepItLies(t *testing.T) {
	cause := errors.New("cause")
	for _, c := range []struct {
		err  error
		code int
		told string
	}{
		{nil, 0, ""},
		{cause, 1, "flambeau: cause\n"},
		{usageError{cause}, 2, "flambeau: cause\n"},
		{storeUnreachable{cause}, 75, "flambeau: cause\n"},
		{fmt.Errorf("serve: %w", storeUnreachable{cause}), 75, "flambeau: serve: cause\n"},
		{configError{{place{File: "f", Line: 1, Column: 2}, "bad"}, {place{Variable: "V"}, "worse"}}, 78, "f:1:2: bad\nV: worse\n"},
		{reported{cause}, 1, ""},
		{reported{configError{{place{File: "f"}, "bad"}}}, 78, ""},
	} {
		var told bytes.Buffer
		complain(&told, c.err)
		if code := exitCode(c.err); code != c.code || told.String() != c.told {
			t.Errorf("%#v: exit %d, told %q; want %d, %q", c.err, code, told.String(), c.code, c.told)
		}
	}
}

func TestOutputGoesToTheFileThatOWants(t *testing.T) {
	file := filepath.Join(t.TempDir(), "version.json")
	if code, stdout, stderr := flambeau("version", "--json", "-o", file); code != 0 || stdout != "" || stderr != "" {
		t.Fatalf("exit %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	if b, err := os.ReadFile(file); err != nil || !bytes.Contains(b, []byte(`"revision"`)) {
		t.Fatalf("%q, %v", b, err)
	}
}

func TestManPagesAreWrittenOneACommand(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man1")
	if code, _, stderr := flambeau("man", dir); code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	for _, page := range []string{"flambeau", "flambeau-demo", "flambeau-serve", "flambeau-check", "flambeau-verify", "flambeau-doctor", "flambeau-version", "flambeau-completion-bash"} {
		if b, err := os.ReadFile(filepath.Join(dir, page+".1")); err != nil || !bytes.Contains(b, []byte(".SH SYNOPSIS")) {
			t.Errorf("%s: %v", page, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "flambeau-man.1")); err == nil {
		t.Error("a hidden command has a page")
	}
}

func TestEveryCommandHasItsHelpAndExamples(t *testing.T) {
	for _, c := range commands() {
		if c.short == "" || c.example == "" || !strings.Contains(c.example, "flambeau "+strings.Fields(c.use)[0]) {
			t.Errorf("%s: short %q, example %q", c.use, c.short, c.example)
		}
	}
}

func TestAnInstantIsADateOrUnixSeconds(t *testing.T) {
	want := time.Date(2026, 2, 6, 19, 0, 0, 0, time.UTC)
	for _, s := range []string{"2026-02-06T19:00:00Z", "2026-02-06T20:00:00+01:00", "1770404400"} {
		var got instant
		if err := got.Set(s); err != nil || !time.Time(got).Equal(want) {
			t.Errorf("%s: %v, %v", s, time.Time(got), err)
		}
	}
	for _, s := range []string{"", "now", "-1", "1770404400000", "2026-02-06", "99999999999999999999"} {
		var got instant
		if err := got.Set(s); err == nil {
			t.Errorf("%q was taken as %v", s, time.Time(got))
		}
	}
}
