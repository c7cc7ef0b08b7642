package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"flambeau/ingest"
	"flambeau/ingest/file"
	"flambeau/ingest/httpts"
	"flambeau/ingest/srt"
	"flambeau/ingest/udp"
)

// way is one way in.
type way struct {
	schemes []string
	check   func(rawURL string) error // beside open, where that alone would not say where a word is misspelt
	open    func(in InputConfig, secret string, log *slog.Logger) (ingest.Source, error)
	reasons []string
	secret  string // what secret_file holds; "": it has no secret
	roots   bool   // it may speak TLS, and take a ca_file
	alone   string // why two workers can't share it; "": they can
}

// ways are those that this version has.
var ways = []way{
	{
		schemes: []string{"udp", "rtp"}, check: checkDatagrams, reasons: udp.Reasons,
		open: func(in InputConfig, _ string, log *slog.Logger) (ingest.Source, error) {
			c, err := udp.Parse(in.URL)
			c.Log = log
			return udp.New(c), err
		},
	},
	{
		schemes: []string{"srt"}, reasons: srt.Reasons, secret: "the passphrase",
		open: func(in InputConfig, secret string, log *slog.Logger) (ingest.Source, error) {
			c, err := srt.Parse(in.URL)
			if err == nil && secret != "" {
				c.Passphrase, err = secret, srt.CheckPassphrase(secret)
			}
			c.Log = log
			return srt.New(c), err
		},
	},
	{
		schemes: []string{"http", "https"}, reasons: httpts.Reasons, secret: "the password", roots: true,
		open: func(in InputConfig, secret string, _ *slog.Logger) (ingest.Source, error) {
			c, err := httpts.Parse(in.URL)
			if err == nil && secret != "" {
				c.Password = secret
			}
			if err == nil {
				c.Roots, err = readRoots(in.CAFile)
			}
			return httpts.New(c), err
		},
	},
	{
		schemes: []string{"file"}, check: checkFileInput, reasons: file.Reasons,
		alone: "a file has no clock that two workers share",
		open: func(in InputConfig, _ string, _ *slog.Logger) (ingest.Source, error) {
			c, err := file.Parse(in.URL)
			return file.New(c), err
		},
	},
}

// wayOf is the way in that a URL names.
func wayOf(rawURL string) (way, bool) {
	scheme, _, _ := strings.Cut(rawURL, ":")
	for _, w := range ways {
		if slices.Contains(w.schemes, strings.ToLower(scheme)) {
			return w, true
		}
	}
	return way{}, false
}

func waySchemes() (names []string) {
	for _, w := range ways {
		names = append(names, w.schemes...)
	}
	return names
}

// openInput makes the source that an input of the configuration names.
func openInput(in InputConfig, log *slog.Logger) (ingest.Source, error) {
	w, ok := wayOf(in.URL)
	if !ok {
		return nil, errors.New("unsupported input scheme in this version")
	}
	secret, err := readSecret(in.SecretFile)
	if err != nil {
		return nil, err
	}
	return w.open(in, secret, log)
}

// maxSecret is the longest secret, in bytes. A longer file is refused.
const maxSecret = 1024

// readSecret reads a file that holds nothing but a secret, and perhaps a newline behind it.
func readSecret(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	f, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("secret_file: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	secret := strings.TrimRight(string(b), "\r\n")
	switch {
	case err != nil:
		return "", fmt.Errorf("secret_file: %w", err)
	case len(b) > maxSecret:
		return "", fmt.Errorf("secret_file: %s has more than %d bytes", name, maxSecret)
	case secret == "":
		return "", fmt.Errorf("secret_file: %s is empty", name)
	}
	return secret, nil
}

// readRoots reads the certificates that an input is to believe, in PEM; nil: those of the machine.
func readRoots(name string) (*x509.CertPool, error) {
	if name == "" {
		return nil, nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("ca_file: %s has no certificate in PEM", name)
	}
	return roots, nil
}

// inputName is what findings and errors call an input: its URL without secrets.
func inputName(in InputConfig) string {
	w, ok := wayOf(in.URL)
	if ok && w.secret == "" {
		return in.URL
	}
	if ok {
		if s, err := w.open(InputConfig{URL: in.URL}, "", slog.New(slog.DiscardHandler)); err == nil {
			return fmt.Sprint(s)
		}
	}
	return "of a URL that can't be read"
}
