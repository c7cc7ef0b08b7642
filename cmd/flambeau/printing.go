package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// printing is where and how a command prints its data.
type printing struct {
	Format string // "table" or "json"
	File   string // "": stdout
	json   bool
}

func (p *printing) flags(c *cobra.Command) {
	c.Flags().StringVar(&p.Format, "format", "table", "how to print: table or json")
	c.Flags().BoolVar(&p.json, "json", false, "short for --format json")
	c.Flags().StringVarP(&p.File, "output", "o", "", "write to this `FILE` instead of stdout")
}

// JSON tells whether a program will read it.
func (p printing) JSON() bool { return p.json || p.Format == "json" }

// print writes either form of the data: value as JSON, or what table writes.
func (p printing) print(e env, value any, table func(io.Writer) error) (err error) {
	if err := oneOf("--format", p.Format, "table", "json"); err != nil {
		return err
	}
	w, closeFile, err := p.open(e)
	if err != nil {
		return err
	}
	defer func() {
		if e := closeFile(); err == nil {
			err = e
		}
	}()
	if !p.JSON() {
		return table(w)
	}
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	return out.Encode(value)
}

func (p printing) open(e env) (io.Writer, func() error, error) {
	if p.File == "" {
		return e.stdout, func() error { return nil }, nil
	}
	f, err := os.Create(p.File)
	if err != nil {
		return nil, nil, fmt.Errorf("output: %w", err)
	}
	return f, f.Close, nil
}
