package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"flambeau/ingest"
	"flambeau/ingest/file"
	"flambeau/testdata"
)

// demoAhead is how much of the loop is there at once, with times in the past, so that it plays at once.
const demoAhead = 8 * time.Second

// demo serves the feed that the binary carries, on the loopback only.
func demo(ctx context.Context, e env, o demoOptions) error {
	dir, err := filepath.Abs(o.Data)
	if err != nil {
		return err
	}
	c := Config{
		Worker: "demo",
		Store:  StoreConfig{Kind: "file", Dir: dir},
		Listen: ListenConfig{
			Media: e.or("FLAMBEAU_LISTEN_MEDIA", "127.0.0.1:8080"), Admin: e.or("FLAMBEAU_LISTEN_ADMIN", "127.0.0.1:8081"), Metrics: e.or("FLAMBEAU_LISTEN_METRICS", "127.0.0.1:8082"),
		},
		Channels: []ChannelConfig{{
			ID: "demo", Title: "Demo", Segment: 2 * time.Second, Part: 500 * time.Millisecond,
			Window: 15 * time.Minute, Archive: 408 * time.Hour, Inputs: []InputConfig{{URL: "demo:"}},
		}},
	}
	log := slog.New(newQuiet(slog.NewTextHandler(e.stderr, nil)))
	feed := file.New(file.Config{Open: file.FromBytes(testdata.Demo), Name: "demo", Loop: true, Ahead: demoAhead})
	p, err := newProcess(ctx, log, c, "all", map[string][]ingest.Source{"demo": {feed}})
	if err != nil {
		return err
	}
	return p.run(ctx, func() {
		at := "http://" + p.addresses["media"].String() + "/live/demo"
		fmt.Fprintf(e.stdout, "HLS      %s/index.m3u8\nDASH     %s/manifest.mpd\nmetrics  http://%s/metrics\n", at, at, p.addresses["metrics"])
	})
}

// or is a variable of the environment, or what stands for it.
func (e env) or(name, otherwise string) string {
	for _, v := range e.environ {
		if value, ok := strings.CutPrefix(v, name+"="); ok && value != "" {
			return value
		}
	}
	return otherwise
}
