package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra/doc"
)

// version and revision may be set by the linker: -ldflags "-X main.version=1.2.3 -X main.revision=abc".
var version, revision string

// Build is what this binary was made of; flambeau_build_info carries the same.
type Build struct {
	Version  string `json:"version"`
	Revision string `json:"revision"` // of git, "+dirty" where it was changed; "unknown" without -buildvcs
	Go       string `json:"go"`
}

func readBuild() Build {
	info, _ := debug.ReadBuildInfo()
	return buildOf(info, version, revision)
}

// buildOf prefers what the linker was told to what the Go command wrote down.
func buildOf(info *debug.BuildInfo, version, revision string) Build {
	if info == nil {
		info = &debug.BuildInfo{}
	}
	stamp := map[string]string{}
	for _, s := range info.Settings {
		stamp[s.Key] = s.Value
	}
	if version == "" && info.Main.Version != "(devel)" {
		version = info.Main.Version
	}
	if revision == "" {
		revision = stamp["vcs.revision"]
		if revision != "" && stamp["vcs.modified"] == "true" {
			revision += "+dirty"
		}
	}
	return Build{known(version), known(revision), runtime.Version()}
}

func known(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func printVersion(e env, p printing) error {
	b := readBuild()
	return p.print(e, b, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "flambeau %s\nrevision %s\n%s\n", b.Version, b.Revision, b.Go)
		return err
	})
}

// writeMan writes one page a command.
func writeMan(e env, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root := rootCommand(e, new(bool))
	root.DisableAutoGenTag = true // equal sources, equal pages; the date is SOURCE_DATE_EPOCH's where it is set
	return doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "flambeau", Manual: "flambeau"}, dir)
}
