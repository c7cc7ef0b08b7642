package main

import (
	"fmt"
	"log/slog"
	"strings"

	"flambeau/ingest"
	"flambeau/ingest/file"
	"flambeau/ingest/udp"
)

// openInput makes the source that a URL of the configuration names.
func openInput(rawURL string, log *slog.Logger) (ingest.Source, error) {
	scheme, _, _ := strings.Cut(rawURL, ":")
	switch scheme {
	case "udp", "rtp":
		c, err := udp.Parse(rawURL)
		c.Log = log
		return udp.New(c), err
	case "file":
		c, err := file.Parse(rawURL)
		return file.New(c), err
	}
	return nil, fmt.Errorf("unsupported input scheme %q in this version", scheme)
}
