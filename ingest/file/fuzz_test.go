package file

import (
	"path"
	"strings"
	"testing"
)

// FuzzURL: what is taken for a file's URL names a file, and asks for nothing that can't be.
func FuzzURL(f *testing.F) {
	for _, u := range []string{"file:///loop.ts?loop=1&pace=on&ahead=8s", "file:///a/../b%23c.ts?program=7", "file:///x.ts?pace=off&loop=0", "file:///.."} {
		f.Add(u)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		c, err := Parse(raw)
		if err != nil {
			return
		}
		if !strings.HasPrefix(c.Name, "/") || path.Clean(c.Name) == "/" || c.Open == nil || c.Ahead < 0 || c.Ahead > MaxAhead ||
			c.Ahead > 0 && c.Unpaced || c.Program < 0 || c.Program > 65535 {
			t.Fatalf("%q: %+v", raw, c)
		}
	})
}
