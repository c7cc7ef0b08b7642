package rights

import (
	"path"
	"strings"
	"testing"
	"time"
)

func TestAPatternOfStarsTakesNoTime(t *testing.T) {
	began := time.Now()
	if match(strings.Repeat("*a", 31)+"b", strings.Repeat("a", 63)) || time.Since(began) > time.Second {
		t.Error("matched, or took its time")
	}
}

// FuzzPattern compares with the standard library's patterns, which are the same where there are no brackets, slashes and letters beyond ASCII.
func FuzzPattern(f *testing.F) {
	for _, p := range []string{"*", "curling-*", "?*", "*-a*", "a?c", ""} {
		f.Add(p, "curling-a")
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 20 || len(name) > 40 || strings.ContainsAny(pattern, `[]\`) || strings.Contains(name, "/") ||
			strings.ContainsFunc(pattern+name, func(r rune) bool { return r >= 0x80 }) {
			return
		}
		want, err := path.Match(pattern, name)
		if got := match(pattern, name); err != nil || got != want {
			t.Errorf("%q of %q: %v, want %v (%v)", pattern, name, got, want, err)
		}
	})
}
