package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// kind is what may stand under a key. Reading one never fails: it notes what is wrong in the reader, and goes on.
type kind interface {
	read(r *reader, path string, n ast.Node)
}

type key struct {
	name string
	kind kind
}

// section is a mapping with known keys.
type section []key

// sections is a list of them; each call makes room for one more.
type sections func() section

// anything is a key whose content nobody reads yet.
type anything struct{}

// scalar is one value. set reads its text.
type scalar struct {
	want string // "text", or what else YAML calls it
	is   func(ast.Node) (string, bool)
	set  func(string) error
}

// scalars is a list of scalars; each call makes room for one more.
type scalars func() scalar

func text[T any](to *T, parse func(string) (T, error)) scalar {
	return scalar{wanted(to), asText, func(s string) error {
		v, err := parse(s)
		if err == nil {
			*to = v
		}
		return err
	}}
}

// wanted says what a scalar of this type looks like, to whom wrote something else.
func wanted(to any) string {
	switch to.(type) {
	case *time.Duration:
		return "a duration such as 4s"
	case *int64:
		return "a size such as 10GiB"
	case *time.Time:
		return "an instant such as 2026-02-23T00:00:00+01:00"
	}
	return "text"
}

func texts(to *[]string, parse func(string) (string, error)) scalars {
	return func() scalar {
		*to = append(*to, "")
		return text(&(*to)[len(*to)-1], parse)
	}
}

func boolean(to *bool) scalar {
	return scalar{"true or false", asBool, func(s string) error {
		if s != "true" && s != "false" {
			return fmt.Errorf("want true or false, found %q", s)
		}
		*to = s == "true"
		return nil
	}}
}

func asText(n ast.Node) (string, bool) {
	s, ok := n.(*ast.StringNode)
	if !ok {
		return "", false
	}
	return s.Value, true
}

func asBool(n ast.Node) (string, bool) {
	b, ok := n.(*ast.BoolNode)
	if !ok {
		return "", false
	}
	return strconv.FormatBool(b.Value), true
}

// reader goes through the file once, and remembers where it saw what.
type reader struct {
	file     string
	places   map[string]place // of every value, by its path
	fromEnv  map[string]bool  // paths that the environment overrides
	problems []Problem
}

func (r *reader) note(at place, format string, args ...any) {
	r.problems = append(r.problems, Problem{at, fmt.Sprintf(format, args...)})
}

func (s section) read(r *reader, path string, n ast.Node) {
	pairs, ok := mapping(n)
	if !ok {
		r.wrong(path, n, "a section with keys")
		return
	}
	seen := map[string]place{}
	for _, p := range pairs {
		at, name := r.at(p.Key), p.Key.GetToken().Value
		k, known := s.find(name)
		first, twice := seen[name]
		switch {
		case twice:
			r.note(at, "key %q is given twice, first on line %d", name, first.Line)
		case !known:
			r.note(at, "%v", unknown("key", name, s.names()))
			r.meant(path, nearest(name, s.names()), at)
		default:
			seen[name] = at
			r.value(join(path, name), k.kind, at, p.Value)
		}
	}
}

// meant spares a misspelt key the complaint that the right one is missing.
func (r *reader) meant(path, name string, at place) {
	if _, ok := r.places[join(path, name)]; name != "" && !ok {
		r.places[join(path, name)] = at
	}
}

func (s section) find(name string) (key, bool) {
	for _, k := range s {
		if k.name == name {
			return k, true
		}
	}
	return key{}, false
}

func (s section) names() (names []string) {
	for _, k := range s {
		names = append(names, k.name)
	}
	return names
}

func (l sections) read(r *reader, path string, n ast.Node) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		r.wrong(path, n, "a list")
		return
	}
	for i, item := range seq.Values {
		p := fmt.Sprintf("%s[%d]", path, i)
		r.places[p] = r.at(item)
		l().read(r, p, item)
	}
}

func (l scalars) read(r *reader, path string, n ast.Node) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		r.wrong(path, n, "a list")
		return
	}
	for i, item := range seq.Values {
		p := fmt.Sprintf("%s[%d]", path, i)
		r.places[p] = r.at(item)
		l().read(r, p, item)
	}
}

func (anything) read(*reader, string, ast.Node) {}

func (s scalar) read(r *reader, path string, n ast.Node) {
	v, ok := s.is(n)
	if !ok {
		r.wrong(path, n, s.want)
		return
	}
	if err := s.set(v); err != nil {
		r.note(r.at(n), "%s: %v", last(path), err)
	}
}

// value reads what stands under a key, unless the environment has the last word on it or this version can't do it.
func (r *reader) value(path string, k kind, at place, n ast.Node) {
	r.places[path] = r.at(n)
	if r.fromEnv[path] {
		return
	}
	if no := refusal(path, valueOf(n)); no != "" {
		r.note(at, "%s: %s", last(path), no)
		return
	}
	k.read(r, path, n)
}

func valueOf(n ast.Node) (v value) {
	if pairs, ok := mapping(n); ok {
		v.items = len(pairs)
	}
	if seq, ok := n.(*ast.SequenceNode); ok {
		v.items = len(seq.Values)
	}
	if s, ok := asText(n); ok {
		v.text = s
	}
	if s, ok := asBool(n); ok {
		v.text = s
	}
	return v
}

func (r *reader) wrong(path string, n ast.Node, want string) {
	found := describe(n)
	if want == "text" && strings.HasPrefix(found, "the number") {
		found += ": put it in quotes"
	}
	r.note(r.at(n), "%s: want %s, found %s", last(path), want, found)
}

// mapping gives the pairs of a mapping, however the parser has wrapped them.
func mapping(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch m := n.(type) {
	case *ast.MappingNode:
		return m.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}, true
	}
	return nil, false
}

// at is where a node begins. The parser places a block mapping at its first colon: we want its first key.
func (r *reader) at(n ast.Node) place {
	if pairs, ok := mapping(n); ok && len(pairs) > 0 && n.GetToken().Value != "{" {
		n = pairs[0].Key
	}
	return r.placeOf(n.GetToken())
}

func describe(n ast.Node) string {
	switch n := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a section"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	case *ast.BoolNode:
		return strconv.FormatBool(n.Value)
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "the number " + n.GetToken().Value
	case *ast.LiteralNode:
		return "a block of text"
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		return "an anchor or alias, which this file may not have"
	case *ast.TagNode:
		return "a tag, which this file may not have"
	case *ast.StringNode:
		return strconv.Quote(n.Value)
	}
	return "something else"
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// last is the key at the end of a path: what a message calls its value.
func last(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '.' {
			return path[i+1:]
		}
	}
	if path == "" {
		return "the file"
	}
	return path
}
