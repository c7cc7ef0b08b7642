package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

const (
	// maxConfig is the longest configuration, in bytes: some thousand channels. A longer one is refused unread.
	maxConfig = 256 << 10
	// maxDepth is how deep brackets and dashes may nest; ours need three. The parser's work grows with the square of it.
	maxDepth = 16
	// maxProblems are told; of the rest, how many there are.
	maxProblems = 100
)

// place is where something stands: in the file, or in the environment.
type place struct {
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`
	Column   int    `json:"column,omitempty"`
	Variable string `json:"variable,omitempty"`
}

// Problem is one thing that is wrong, and where.
type Problem struct {
	place
	Text string `json:"text"`
}

func (p Problem) String() string {
	switch {
	case p.Variable != "":
		return fmt.Sprintf("%s: %s", p.Variable, p.Text)
	case p.Line == 0:
		return fmt.Sprintf("%s: %s", p.File, p.Text)
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Text)
}

// loaded is what came of reading a configuration. Config holds only if there are no Problems.
type loaded struct {
	File     string
	Config   Config
	Problems []Problem // by line; those of the environment last
	Warnings []Problem
}

// err is every problem in one error, or nil.
func (l loaded) err() error {
	if len(l.Problems) == 0 {
		return nil
	}
	return configError(l.Problems)
}

func (l loaded) warnings() (out []string) {
	for _, w := range l.Warnings {
		out = append(out, w.String())
	}
	return out
}

// loadConfig reads a file, lets the environment override it, and finds everything that is wrong with either.
func loadConfig(file string, environ []string) loaded {
	r := &reader{file: file, places: map[string]place{}, fromEnv: map[string]bool{}}
	d := &draft{Config: defaultConfig(), defaults: builtIn}
	over, warnings := overrides(d.schema(), environ)
	for path := range over {
		r.fromEnv[path] = true
	}
	if root, ok := r.parse(); ok {
		if root != nil {
			d.schema().read(r, "", root)
		}
		r.override(d.schema(), over)
		if _, ok := mapping(root); ok || root == nil {
			r.rules(d)
		}
	}
	for i := range d.Channels {
		d.Channels[i].fill(d.defaults)
		for j := range d.Channels[i].Inputs {
			in := &d.Channels[i].Inputs[j]
			in.SecretFile, in.CAFile = beside(file, in.SecretFile), beside(file, in.CAFile)
		}
	}
	return loaded{file, d.Config, few(ordered(r.problems)), append(warnings, r.idle(d.Store)...)}
}

// beside finds a file that the configuration names.
func beside(file, name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(file), name)
}

// idle are the keys that change nothing where they stand.
func (r *reader) idle(s StoreConfig) (ws []Problem) {
	for _, key := range []string{"spool", "cache"} {
		if at, ok := r.places[key]; ok && s.Kind == "file" {
			ws = append(ws, Problem{at, key + ": not used, a file store needs none"})
		}
	}
	return ws
}

// parse gives the file's one document; nil if it is empty.
func (r *reader) parse() (ast.Node, bool) {
	b, err := readSome(r.file)
	if err != nil {
		r.note(place{File: r.file}, "%v", err)
		return nil, false
	}
	if at, ok := badByte(b); ok {
		r.note(place{File: r.file, Line: 1 + bytes.Count(b[:at], []byte("\n")), Column: 1}, "byte %#02x: the file is not UTF-8 text", b[at])
		return nil, false
	}
	tree, err := parseYAML(string(bytes.TrimPrefix(b, []byte("\ufeff"))))
	if err != nil {
		r.syntax(err)
		return nil, false
	}
	var docs []ast.Node
	for _, d := range tree.Docs {
		if d.Body != nil {
			docs = append(docs, d.Body)
		}
	}
	if len(docs) == 0 {
		return nil, true
	}
	if len(docs) > 1 {
		r.note(r.at(docs[1]), "a second document: want one")
	}
	return docs[0], true
}

func readSome(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, bare(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return nil, bare(err)
	}
	if len(b) > maxConfig {
		return nil, fmt.Errorf("longer than %d KiB", maxConfig>>10)
	}
	return b, nil
}

// bare takes the path out of an error that is told after the path.
func bare(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func badByte(b []byte) (int, bool) {
	for i := 0; i < len(b); {
		c, n := utf8.DecodeRune(b[i:])
		if c == utf8.RuneError && n == 1 || c == 0 {
			return i, true
		}
		i += n
	}
	return 0, false
}

// parseYAML reads a text into a tree, duplicate keys and all: those we tell ourselves, every one. A reload must outlive
// whatever the parser does with a file, so its panics are errors.
func parseYAML(text string) (f *ast.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the YAML parser gave up: %v", p)
		}
	}()
	tokens := lexer.Tokenize(text)
	if t := tooDeep(tokens); t != nil {
		return nil, &yaml.SyntaxError{Message: fmt.Sprintf("nested more than %d deep", maxDepth), Token: t}
	}
	return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
}

// tooDeep finds the first token that nests deeper than any file of ours: brackets within brackets, or dashes and question
// marks on one line.
func tooDeep(tokens token.Tokens) *token.Token {
	brackets, dashes, line := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			dashes, line = 0, t.Position.Line
		}
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			brackets++
		case token.MappingEndType, token.SequenceEndType:
			brackets--
		case token.SequenceEntryType, token.MappingKeyType:
			dashes++
		}
		if brackets > maxDepth || dashes > maxDepth {
			return t
		}
	}
	return nil
}

// syntax tells a parser's error in our form.
func (r *reader) syntax(err error) {
	var y yaml.Error
	if !errors.As(err, &y) || y.GetToken() == nil {
		r.note(place{File: r.file}, "%s", firstLine(err.Error()))
		return
	}
	r.note(r.placeOf(y.GetToken()), "%s", y.GetMessage())
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

func (r *reader) placeOf(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{File: r.file}
	}
	return place{File: r.file, Line: t.Position.Line, Column: t.Position.Column}
}

// ordered sorts problems by where they stand and tells none twice.
func ordered(ps []Problem) []Problem {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Variable, b.Variable), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(ps)
}

func few(ps []Problem) []Problem {
	if len(ps) <= maxProblems {
		return ps
	}
	rest := Problem{place{File: ps[0].File}, fmt.Sprintf("and %d more problems", len(ps)-maxProblems)}
	return append(ps[:maxProblems:maxProblems], rest)
}
