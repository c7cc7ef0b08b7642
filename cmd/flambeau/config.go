package main

import (
	"os"
	"strings"
	"time"

	"flambeau/storage/s3"
)

// Config is what flambeau.yml and the environment say, complete and sound: whoever gets one checks nothing again.
//
//	file ─► parseYAML ─► reader ◄─ schema      config_schema.go: which keys there are, and what each takes
//	environment ────────►  │
//	                       ├─► rules           config_rules.go: what only several values together can break
//	                       └─► Config, or every Problem by line
type Config struct {
	Worker   string // this worker's name in its index
	Store    StoreConfig
	Spool    SpoolConfig
	Cache    CacheConfig
	Listen   ListenConfig
	Workers  []string // edge addresses, for origins apart
	Channels []ChannelConfig
}

// StoreConfig is where the objects are.
type StoreConfig struct {
	Kind string    // "file" or "s3"
	Dir  string    // of a file store, absolute
	S3   s3.Config // of a bucket
}

// SpoolConfig is where a worker keeps what the store has not taken yet. A file store needs none.
type SpoolConfig struct {
	Dir  string
	Size int64 // bytes
}

// CacheConfig is what an origin keeps in memory of what it has read. A file store needs none.
type CacheConfig struct {
	Size int64 // bytes
}

// ListenConfig is the address of each listener.
type ListenConfig struct {
	Media   string // broadcasters: HLS, DASH, objects
	Admin   string // operators: API, pprof
	Metrics string // machines: /metrics /livez /readyz /startupz
	Edge    string // origins apart; "": none
}

// ChannelConfig is one channel, the defaults filled in.
type ChannelConfig struct {
	ID      string
	Title   string
	Pair    bool
	Segment time.Duration // wanted length of a segment; the shape says what it came to
	Part    time.Duration // wanted length of a part
	Window  time.Duration // what a live playlist lists
	Archive time.Duration // what the store keeps
	Inputs  []InputConfig // first is preferred
}

// InputConfig is one place to pull a channel from.
type InputConfig struct {
	URL        string // of a known scheme, see ways
	SecretFile string // what its secret stands in, absolute or as the process sees it; "": in the URL, or there is none
	CAFile     string // the authorities that it believes who a server is; "": the machine's
}

// Channel finds one by its id.
func (c Config) Channel(id string) (ChannelConfig, bool) {
	for _, ch := range c.Channels {
		if ch.ID == id {
			return ch, true
		}
	}
	return ChannelConfig{}, false
}

func (c Config) channelIDs() (ids []string) {
	for _, ch := range c.Channels {
		ids = append(ids, ch.ID)
	}
	return ids
}

// timing is what defaults say and every channel may say otherwise. 0: not said.
type timing struct{ segment, part, window, archive time.Duration }

var builtIn = timing{segment: 4 * time.Second, part: 500 * time.Millisecond, window: 15 * time.Minute, archive: 408 * time.Hour}

func defaultConfig() Config {
	return Config{
		Worker: workerName(os.Hostname()),
		Spool:  SpoolConfig{Dir: "./flambeau-spool", Size: 10 << 30},
		Cache:  CacheConfig{Size: 256 << 20},
		Listen: ListenConfig{Media: ":8080", Admin: "127.0.0.1:8081", Metrics: ":8082"},
	}
}

// workerName makes a worker's name of a host's: "Encoder_1.venue.example" is encoder-1-venue-example.
func workerName(host string, err error) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(host))
	name = strings.Trim(name[:min(len(name), 63)], "-")
	if err != nil || name == "" {
		return "worker"
	}
	return name
}

// fill puts the defaults where a channel says nothing.
func (c *ChannelConfig) fill(d timing) {
	for _, f := range []struct {
		at   *time.Duration
		from time.Duration
	}{{&c.Segment, d.segment}, {&c.Part, d.part}, {&c.Window, d.window}, {&c.Archive, d.archive}} {
		if *f.at == 0 {
			*f.at = f.from
		}
	}
}
