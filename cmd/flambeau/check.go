package main

import (
	"fmt"
	"io"
)

// checked is what check tells a program.
type checked struct {
	File     string    `json:"file"`
	OK       bool      `json:"ok"`
	Channels int       `json:"channels"`
	Problems []Problem `json:"problems"`
	Warnings []Problem `json:"warnings"`
}

// check reads the file as serve would, and tells everything that it finds. For a person the problems go to stderr; for a
// program they are the data.
func check(e env, file string, p printing) error {
	l := loadConfig(file, e.environ)
	found := checked{file, len(l.Problems) == 0, len(l.Config.Channels), append([]Problem{}, l.Problems...), append([]Problem{}, l.Warnings...)}
	err := p.print(e, found, func(w io.Writer) error {
		for _, warning := range l.Warnings {
			fmt.Fprintf(e.stderr, "%v (warning)\n", warning)
		}
		if !found.OK {
			return l.err()
		}
		_, err := fmt.Fprintf(w, "%s: ok, %s\n", file, count(found.Channels, "channel"))
		return err
	})
	if err == nil && !found.OK {
		return reported{l.err()}
	}
	return err
}

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
