package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// arrows says which of our packages a room may import: exact names, or a folder with "/*". Rooms without a line import none.
var arrows = map[string][]string{
	"ingest":                   {"packager/media"},
	"ingest/*":                 {"packager/media", "ingest", "ingest/mpegts"},
	"ingest/mpegts":            {"packager/media"},
	"packager":                 {"packager/*", "storage"},
	"packager/cmaf":            {"packager/media"},
	"packager/codec":           {"packager/media"},
	"packager/audit":           {"packager/timeline", "packager/cmaf", "storage"},
	"packager/media":           {},
	"packager/timeline":        {},
	"origin":                   {"origin/*", "packager/timeline", "storage"},
	"origin/hls":               {"packager/timeline", "origin/rights"},
	"origin/dash":              {"packager/timeline", "origin/rights"},
	"origin/rights":            {},
	"origin/access":            {},
	"origin/territory":         {},
	"origin/access/accesstest": {"origin/access"},
	"storage":                  {},
	"storage/*":                {"storage"},
	"storage/s3/s3test":        {},
	"storage/storagetest":      {"storage"},
	"testdata":                 {},
	"deploy/*":                 {},
	"cmd/flambeau":             {"*"},
	"cmd/flambeau/world":       {},
}

// standardOnly import the standard library and nothing else.
var standardOnly = []string{"packager/media", "packager/timeline"}

func TestRoomsImportOnlyWhereTheArrowsPoint(t *testing.T) {
	seen := 0
	for _, p := range list(t) {
		room, ours := strings.CutPrefix(p.ImportPath, "flambeau/")
		if !ours {
			continue
		}
		seen++
		allowed := rule(room)
		if allowed == nil {
			t.Errorf("package %s has no line in the table of arrows", room)
			continue
		}
		for _, imported := range p.Imports {
			to, ours := strings.CutPrefix(imported, "flambeau/")
			if ours && !matches(allowed, to) {
				t.Errorf("%s imports %s", room, to)
			}
			if !ours && strings.Contains(strings.Split(imported, "/")[0], ".") {
				for _, only := range standardOnly {
					if room == only {
						t.Errorf("%s imports %s: it lives on the standard library alone", room, imported)
					}
				}
			}
		}
	}
	if seen < 5 {
		t.Fatalf("only %d packages of ours were seen: this test looks at nothing", seen)
	}
}

func TestTheTableOfArrowsForbids(t *testing.T) {
	for _, wrong := range [][2]string{{"ingest/udp", "origin"}, {"origin", "ingest"}, {"origin/hls", "storage"}, {"storage/file", "packager/timeline"}, {"packager/timeline", "packager/media"}} {
		if matches(rule(wrong[0]), wrong[1]) {
			t.Errorf("%s may import %s", wrong[0], wrong[1])
		}
	}
}

type listed struct {
	ImportPath string
	Imports    []string
}

func list(t *testing.T) (ps []listed) {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "flambeau/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return ps
		} else if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
}

func rule(room string) []string {
	if r, ok := arrows[room]; ok {
		return r
	}
	if i := strings.LastIndex(room, "/"); i > 0 {
		return arrows[room[:i]+"/*"]
	}
	return nil
}

func matches(allowed []string, to string) bool {
	for _, a := range allowed {
		folder, any := strings.CutSuffix(a, "*")
		if a == to || any && strings.HasPrefix(to, folder) {
			return true
		}
	}
	return false
}
