package main

import (
	"slices"
	"strings"
	"time"
)

// draft is a configuration while it is being read.
type draft struct {
	Config
	defaults timing
}

// schema is every key that flambeau.yml may have, and where its value goes. The scalars outside of lists can come from the
// environment as well: store is FLAMBEAU_STORE, listen.media is FLAMBEAU_LISTEN_MEDIA.
func (d *draft) schema() section {
	return section{
		{"worker", text(&d.Worker, parseName)},
		{"store", text(&d.Store, parseStore)},
		{"spool", section{
			{"dir", text(&d.Spool.Dir, parseFolder)},
			{"size", text(&d.Spool.Size, parseSize)},
		}},
		{"cache", section{
			{"size", text(&d.Cache.Size, parseCache)},
		}},
		{"listen", section{
			{"media", text(&d.Listen.Media, parseListen)},
			{"admin", text(&d.Listen.Admin, parseListen)},
			{"metrics", text(&d.Listen.Metrics, parseListen)},
			{"edge", text(&d.Listen.Edge, optional(parseListen))},
		}},
		{"workers", texts(&d.Workers, parsePeer)},
		{"defaults", d.defaults.schema()},
		{"channels", sections(func() section {
			d.Channels = append(d.Channels, ChannelConfig{})
			return d.Channels[len(d.Channels)-1].schema()
		})},
		{"broadcasters", anything{}},
		{"keys", anything{}},
	}
}

func (t *timing) schema() section {
	return section{
		{"segment", text(&t.segment, between(time.Second, 30*time.Second))},
		{"part", text(&t.part, between(100*time.Millisecond, 30*time.Second))},
		{"window", text(&t.window, between(6*time.Second, maxArchive))},
		{"archive", text(&t.archive, between(6*time.Second, maxArchive))},
	}
}

func (c *ChannelConfig) schema() section {
	t := section{
		{"id", text(&c.ID, parseName)},
		{"title", text(&c.Title, parseTitle)},
		{"pair", boolean(&c.Pair)},
		{"segment", text(&c.Segment, between(time.Second, 30*time.Second))},
		{"part", text(&c.Part, between(100*time.Millisecond, 30*time.Second))},
		{"window", text(&c.Window, between(6*time.Second, maxArchive))},
		{"archive", text(&c.Archive, between(6*time.Second, maxArchive))},
	}
	return append(t, key{"inputs", sections(func() section {
		c.Inputs = append(c.Inputs, InputConfig{})
		in := &c.Inputs[len(c.Inputs)-1]
		return section{{"url", text(&in.URL, parseInput)}, {"secret_file", text(&in.SecretFile, parseFile)}, {"ca_file", text(&in.CAFile, parseFile)}}
	})})
}

// maxArchive is the longest window and archive: ten years. What is kept longer is kept by pins.
const maxArchive = 10 * 366 * 24 * time.Hour

// notYet is what the schema knows and this version cannot do. It is refused, never ignored: who asks for a pair must not
// believe that there is one. Whoever builds it deletes the line.
var notYet = []struct {
	path   string
	asked  func(value) bool
	refuse string
}{
	{"listen.edge", given, "the live edge is not served to other origins in this version"},
	{"workers", given, "the live edge of other workers is not read in this version"},
	{"broadcasters", always, "rights are not built in this version: refusing to start open"},
	{"keys", given, "rights are not built in this version: refusing to start open"},
}

// value is what stands under a key, as far as notYet asks.
type value struct {
	text  string // of a scalar
	items int    // of a list or section
}

func given(v value) bool { return v.text != "" || v.items > 0 }
func always(value) bool  { return true } // an empty list of broadcasters means nobody, not everybody

// refusal says why this version can't do what a value asks, or "".
func refusal(path string, v value) string {
	for _, n := range notYet {
		if n.path == pattern(path) && n.asked(v) {
			return n.refuse
		}
	}
	return ""
}

// pattern forgets the numbers in a path: channels[3].id is one of channels[].id.
func pattern(path string) string {
	return strings.Join(slices.Collect(func(yield func(string) bool) {
		for i, p := range strings.Split(path, "[") {
			if i > 0 {
				_, after, _ := strings.Cut(p, "]")
				p = "]" + after
			}
			if !yield(p) {
				return
			}
		}
	}), "[")
}
