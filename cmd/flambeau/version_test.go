package main

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestABuildNamesItselfAsFarAsItIsKnown(t *testing.T) {
	vcs := func(main string, modified string) *debug.BuildInfo {
		return &debug.BuildInfo{
			Main:     debug.Module{Version: main},
			Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: modified}},
		}
	}
	for name, c := range map[string]struct {
		info              *debug.BuildInfo
		version, revision string // of the linker
		want              Build
	}{
		"without anything":       {nil, "", "", Build{"unknown", "unknown", runtime.Version()}},
		"-buildvcs=false":        {&debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, "", "", Build{"unknown", "unknown", runtime.Version()}},
		"a clean checkout":       {vcs("v1.2.3", "false"), "", "", Build{"v1.2.3", "abc", runtime.Version()}},
		"a changed checkout":     {vcs("v1.2.3+dirty", "true"), "", "", Build{"v1.2.3+dirty", "abc+dirty", runtime.Version()}},
		"the linker knows best":  {vcs("v1.2.3", "true"), "2.0", "def", Build{"2.0", "def", runtime.Version()}},
		"the linker knows a bit": {nil, "2.0", "", Build{"2.0", "unknown", runtime.Version()}},
	} {
		if got := buildOf(c.info, c.version, c.revision); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
