package main

import (
	"errors"
	"slices"
	"strings"
)

// envPrefix begins the variables that are ours.
const envPrefix = "FLAMBEAU_"

// variable names the environment variable of a key outside of lists: listen.media is FLAMBEAU_LISTEN_MEDIA.
func variable(path string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// fixed gives every scalar outside of lists, by its path.
func (s section) fixed(path string, yield func(path string, k scalar)) {
	for _, k := range s {
		switch v := k.kind.(type) {
		case scalar:
			yield(join(path, k.name), v)
		case section:
			v.fixed(join(path, k.name), yield)
		}
	}
}

// overrides picks out of the environment what overrides the file, by path, and warns of what looks as if it did. An empty
// variable is none: that is how those who start us leave one out.
func overrides(s section, environ []string) (over map[string]string, warnings []Problem) {
	paths := map[string]string{}
	s.fixed("", func(path string, _ scalar) { paths[variable(path)] = path })
	var names []string
	for name := range paths {
		names = append(names, name)
	}
	slices.Sort(names)
	over = map[string]string{}
	for _, e := range environ {
		name, text, _ := strings.Cut(e, "=")
		path, known := paths[name]
		switch {
		case !strings.HasPrefix(name, envPrefix):
		case known && text != "":
			over[path] = text
		case !known:
			warnings = append(warnings, Problem{place{Variable: name}, unknownVariable(name, names).Error()})
		}
	}
	return over, ordered(warnings)
}

func unknownVariable(name string, names []string) error {
	if near := nearest(strings.ToLower(name), lower(names)); near != "" {
		return errors.New("no such key, did you mean " + strings.ToUpper(near) + "?")
	}
	return errors.New("no such key; lists come from the file only")
}

func lower(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = strings.ToLower(n)
	}
	return out
}

// override sets what the environment says, after the file had its say.
func (r *reader) override(s section, over map[string]string) {
	s.fixed("", func(path string, k scalar) {
		text, ok := over[path]
		if !ok {
			return
		}
		at := place{Variable: variable(path)}
		r.places[path] = at
		if no := refusal(path, value{text: text}); no != "" {
			r.note(at, "%s", no)
		} else if err := k.set(text); err != nil {
			r.note(at, "%v", err)
		}
	})
}
