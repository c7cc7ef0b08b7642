package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flambeau/storage/s3"
)

// load reads a text as f.yml, and gives the problems as a person reads them.
func load(t *testing.T, text string, environ ...string) (loaded, string) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile("f.yml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l := loadConfig("f.yml", environ)
	var told []string
	for _, p := range l.Problems {
		told = append(told, p.String())
	}
	return l, strings.Join(told, "\n")
}

func TestASoundFileBecomesPlainValuesWithTheDefaultsFilledIn(t *testing.T) {
	l, problems := load(t, `
worker: venue-2
store: "file:///srv//live/"
listen: { media: "[::1]:80", metrics: "metrics.local:9000" }
defaults: { segment: 6s, archive: 24h }
channels:
  - id: curling-a
    title: "Curling, sheet A"
    inputs:
      - url: udp://239.10.0.1:5000?interface=eth0&source=10.0.0.1
      - { url: "rtp://[ff3e::1]:5004?program=3" }
  - id: loop
    segment: 2s
    part: 1s
    window: 60s
    archive: 1h
    inputs: [ { url: "file:///srv/a%20b.ts?loop=1&ahead=8s&pace=on" } ]
`)
	if problems != "" {
		t.Fatal(problems)
	}
	want := Config{
		Worker: "venue-2",
		Store:  StoreConfig{Kind: "file", Dir: "/srv/live"},
		Spool:  SpoolConfig{Dir: "./flambeau-spool", Size: 10 << 30},
		Cache:  CacheConfig{Size: 256 << 20},
		Listen: ListenConfig{Media: "[::1]:80", Admin: "127.0.0.1:8081", Metrics: "metrics.local:9000"},
		Channels: []ChannelConfig{
			{ID: "curling-a", Title: "Curling, sheet A", Segment: 6 * time.Second, Part: 500 * time.Millisecond, Window: 15 * time.Minute, Archive: 24 * time.Hour,
				Inputs: []InputConfig{{URL: "udp://239.10.0.1:5000?interface=eth0&source=10.0.0.1"}, {URL: "rtp://[ff3e::1]:5004?program=3"}}},
			{ID: "loop", Segment: 2 * time.Second, Part: time.Second, Window: time.Minute, Archive: time.Hour,
				Inputs: []InputConfig{{URL: "file:///srv/a%20b.ts?loop=1&ahead=8s&pace=on"}}},
		},
	}
	if diff := cmp.Diff(want, l.Config); diff != "" {
		t.Error(diff)
	}
	if len(l.Warnings) != 0 {
		t.Error(l.Warnings)
	}
}

// with puts lines in place of others of the smallest sound file.
func with(old, new string) string {
	if !strings.Contains(sound, old) {
		panic("no such line: " + old)
	}
	return strings.Replace(sound, old, new, 1)
}

func TestEachMistakeIsNamedWithItsPlace(t *testing.T) {
	id, url, store := "id: curling-a", "udp://239.10.0.1:5000", "store: file:///var/lib/flambeau"
	for name, c := range map[string]struct{ text, want string }{
		// keys
		"misspelt at the top":             {with("store:", "stroe:"), `f.yml:1:1: unknown key "stroe", did you mean "store"?`},
		"misspelt in a channel":           {with("inputs", "inptus"), `f.yml:4:5: unknown key "inptus", did you mean "inputs"?`},
		"misspelt in an input":            {with("url:", "ulr:"), `f.yml:5:9: unknown key "ulr", did you mean "url"?`},
		"misspelt in braces":              {sound + "listen: { metrcs: \":1\" }\n", `f.yml:6:11: unknown key "metrcs", did you mean "metrics"?`},
		"in capitals":                     {with("store:", "Store:"), `f.yml:1:1: unknown key "Store", did you mean "store"?`},
		"like nothing that is known":      {sound + "spool: { frobnicate: 1 }\n", `f.yml:6:10: unknown key "frobnicate": want dir or size`},
		"at the wrong level":              {sound + "segment: 4s\n", `f.yml:6:1: unknown key "segment": want worker, store, spool, cache, listen, workers, defaults, channels, broadcasters or keys`},
		"a number as key":                 {sound + "1: x\n", `f.yml:6:1: unknown key "1": want worker, store, spool, cache, listen, workers, defaults, channels, broadcasters or keys`},
		"given twice":                     {sound + store + "\n", `f.yml:6:1: key "store" is given twice, first on line 1`},
		"given twice in braces":           {sound + "listen: { media: \":1\", media: \":2\" }\n", `f.yml:6:24: key "media" is given twice, first on line 6`},
		"store missing":                   {with(store, ""), `f.yml:1:1: key "store" is missing`},
		"channels missing":                {store + "\n", `f.yml:1:1: key "channels" is missing`},
		"an empty file":                   {"", "f.yml:1:1: key \"store\" is missing\nf.yml:1:1: key \"channels\" is missing"},
		"only comments":                   {"# nothing\n", "f.yml:1:1: key \"store\" is missing\nf.yml:1:1: key \"channels\" is missing"},
		"a channel without id":            {with(id, "title: x"), `f.yml:3:5: channel without "id"`},
		"a channel without inputs":        {store + "\nchannels:\n  - id: a\n", `f.yml:3:5: channel without "inputs"`},
		"an input without url":            {with("- url: "+url, "- {}"), `f.yml:5:9: input without "url"`},
		"no channels":                     {store + "\nchannels: []\n", `f.yml:2:11: channels: want at least one`},
		"no inputs":                       {store + "\nchannels:\n  - id: a\n    inputs: []\n", `f.yml:4:13: inputs: want at least one`},
		"an id that is taken":             {sound + strings.TrimPrefix(sound, store+"\nchannels:\n"), `f.yml:6:9: channel "curling-a" is there already, on line 3`},
		"an address that is bound":        {with(url, "udp://:5000\n      - url: rtp://:5000"), `f.yml:6:14: address ":5000" is bound by another input, on line 5`},
		"a group that two inputs join":    {with(url, url+"\n      - url: "+url), ``},
		"two listeners on one address":    {sound + "listen: { media: \":8082\" }\n", `f.yml:6:18: listen: media and metrics are both ":8082"`},
		"two listeners on port 0":         {sound + "listen: { media: \":0\", metrics: \":0\" }\n", ``},
		"a byte order mark and CRLF":      {"\ufeff" + strings.ReplaceAll(sound, "\n", "\r\n"), ``},
		"a spool that is not used":        {sound + "spool: { dir: /x, size: 512MiB }\n", ``},
		"a cache that is not used":        {sound + "cache: { size: 64MiB }\n", ``},
		"empty lists of what is not done": {sound + "workers: []\nkeys: []\nlisten: { edge: \"\" }\n", ``},

		// types
		"a number for text":        {with(id, "id: 12"), `f.yml:3:9: id: want text, found the number 12: put it in quotes`},
		"a number for a duration":  {sound + "defaults: { segment: 4 }\n", `f.yml:6:22: segment: want a duration such as 4s, found the number 4`},
		"a number for a size":      {sound + "spool: { size: 1024 }\n", `f.yml:6:16: size: want a size such as 10GiB, found the number 1024`},
		"text for true":            {with(id, id+"\n    pair: yes"), `f.yml:4:11: pair: want true or false, found "yes"`},
		"true for text":            {with(id, id+"\n    title: true"), `f.yml:4:12: title: want text, found true`},
		"nothing for text":         {with(id, id+"\n    title:"), `f.yml:4:11: title: want text, found nothing`},
		"a block for text":         {with(id, id+"\n    title: |\n      a\n      b"), `f.yml:4:12: title: want text, found a block of text`},
		"text for a section":       {sound + "listen: x\n", `f.yml:6:9: listen: want a section with keys, found "x"`},
		"a list for a section":     {sound + "listen: [x]\n", `f.yml:6:9: listen: want a section with keys, found a list`},
		"a section for a list":     {store + "\nchannels:\n  id: a\n", `f.yml:3:3: channels: want a list, found a section`},
		"text for a channel":       {store + "\nchannels:\n  - curling-a\n", `f.yml:3:5: channels[0]: want a section with keys, found "curling-a"`},
		"text for an input":        {with("- url: "+url, "- "+url), `f.yml:5:9: inputs[0]: want a section with keys, found "udp://239.10.0.1:5000"`},
		"a list at the top":        {"- a\n", `f.yml:1:1: the file: want a section with keys, found a list`},
		"text at the top":          {"hello\n", `f.yml:1:1: the file: want a section with keys, found "hello"`},
		"an alias":                 {with(id, "id: &x curling-a"), `f.yml:3:9: id: want text, found an anchor or alias, which this file may not have`},
		"a merge":                  {sound + "listen:\n  <<: { media: x }\n", `f.yml:7:3: unknown key "<<": want media, admin, metrics or edge`},
		"a tag":                    {with(id, "id: !!str curling-a"), `f.yml:3:9: id: want text, found a tag, which this file may not have`},
		"a second document":        {sound + "---\nworker: b\n", `f.yml:7:1: a second document: want one`},
		"a bracket left open":      {sound + "workers: [\n", `f.yml:6:10: sequence end token ']' not found`},
		"a tab":                    {"\tstore: x\n", `f.yml:1:6: tab character cannot use as a map key directly`},
		"nested beyond all reason": {sound + "workers: " + strings.Repeat("[", 5000), `f.yml:6:26: nested more than 16 deep`},
		"dashes beyond all reason": {strings.Repeat("- ", 5000), `f.yml:1:33: nested more than 16 deep`},
		"not text":                 {sound + "worker: \"\xff\"\n", `f.yml:6:1: byte 0xff: the file is not UTF-8 text`},
		"a zero byte":              {sound + "\x00", `f.yml:6:1: byte 0x00: the file is not UTF-8 text`},
		"far too long":             {strings.Repeat("#", maxConfig+1), `f.yml: longer than 256 KiB`},

		// values
		"an id in capitals":        {with(id, "id: Curling"), `f.yml:3:9: id: "Curling": only a-z, 0-9 and, not first, -`},
		"an id too long":           {with(id, "id: "+strings.Repeat("a", 64)), `f.yml:3:9: id: "` + strings.Repeat("a", 64) + `": 1 to 63 characters`},
		"a worker with a dot":      {"worker: a.b\n" + sound, `f.yml:1:9: worker: "a.b": only a-z, 0-9 and, not first, -`},
		"a title without end":      {with(id, id+"\n    title: "+strings.Repeat("x", 201)), `f.yml:4:12: title: 201 letters, at most 200`},
		"a title that rings":       {with(id, id+"\n    title: \"a\\x07\""), `f.yml:4:12: title: "a\a" has control characters`},
		"a duration of words":      {sound + "defaults: { segment: four }\n", `f.yml:6:22: segment: "four" is not a duration: want one such as 4s, 500ms or 408h`},
		"a segment too long":       {sound + "defaults: { segment: 31s }\n", `f.yml:6:22: segment: 31s is outside 1s to 30s`},
		"a segment below nothing":  {sound + "defaults: { segment: -4s }\n", `f.yml:6:22: segment: -4s is outside 1s to 30s`},
		"a part too short":         {sound + "defaults: { part: 99ms }\n", `f.yml:6:19: part: 99ms is outside 100ms to 30s`},
		"a part beyond a segment":  {with(id, id+"\n    segment: 2s\n    part: 3s"), `f.yml:5:11: part 3s is longer than a segment of 2s`},
		"a window of 5 segments":   {with(id, id+"\n    window: 20s"), `f.yml:4:13: window 20s is less than 6 segments of 4s: want at least 24s`},
		"a segment for the window": {sound + "defaults: { window: 30s }\n" + "", ``},
		"a segment grown too long": {strings.Replace(with(id, id+"\n    segment: 10s"), "channels:", "defaults: { window: 30s }\nchannels:", 1), `f.yml:5:14: window 30s is less than 6 segments of 10s: want at least 1m`},
		"an archive below window":  {sound + "defaults: { archive: 10m }\n", `f.yml:6:22: archive 10m is less than the window of 15m`},
		"an archive of ages":       {sound + "defaults: { archive: 1000000h }\n", `f.yml:6:22: archive: 1000000h is outside 6s to 87840h`},
		"a cache for nothing":      {sound + "cache: { size: 63MiB }\n", `f.yml:6:16: size: 63MiB is too little: want at least 64 MiB`},
		"a size without unit":      {sound + "spool: { size: 10G }\n", `f.yml:6:16: size: "10G" is not a size: want one such as 512MiB or 10GiB`},
		"an address without port":  {sound + "listen: { media: localhost }\n", `f.yml:6:18: media: "localhost" is not an address: want one such as ":8080" or "127.0.0.1:8081"`},
		"a port too high":          {sound + "listen: { media: \":65536\" }\n", `f.yml:6:18: media: ":65536": port "65536", want 0 to 65535`},
		"no listener":              {sound + "listen: { media: \"\" }\n", `f.yml:6:18: media: "" is not an address: want one such as ":8080" or "127.0.0.1:8081"`},
		"a host with a slash":      {sound + "listen: { media: \"a/b:1\" }\n", `f.yml:6:18: media: "a/b:1": "a/b" is no host`},

		// URLs
		"a store without scheme":     {with(store, "store: /srv"), `f.yml:1:8: store: not a URL: it has no scheme such as udp:// or file://`},
		"a store of two slashes":     {with(store, "store: file://srv/live"), `f.yml:1:8: store: a file URL has three slashes and an absolute path: file:///var/lib/flambeau`},
		"a store that is the root":   {with(store, "store: file:///.."), `f.yml:1:8: store: a file URL that names the root of the file system`},
		"a store with parameters":    {with(store, "store: file:///srv?x=1"), `f.yml:1:8: store: a file store takes no parameters: "x=1"`},
		"a store on a tape":          {with(store, "store: tape:///srv"), `f.yml:1:8: store: unknown store scheme "tape": want file or s3`},
		"an input without port":      {with(url, "udp://239.10.0.1"), `f.yml:5:14: url: want udp://GROUP:PORT, or udp://:PORT for every address of this machine`},
		"an input by name":           {with(url, "udp://encoder:5000"), `f.yml:5:14: url: "encoder" is no IP address`},
		"an input on port 0":         {with(url, "udp://:0"), `f.yml:5:14: url: ":0": port "0", want 1 to 65535`},
		"an input with a path":       {with(url, "rtp://:5000/x"), `f.yml:5:14: url: rtp:// takes an address and parameters only`},
		"an unknown parameter":       {with(url, "udp://:5000?iface=eth0"), `f.yml:5:14: url: unknown parameter "iface": want interface, program or source`},
		"a misspelt parameter":       {with(url, "udp://:5000?interfaec=eth0"), `f.yml:5:14: url: unknown parameter "interfaec", did you mean "interface"?`},
		"a parameter twice":          {with(url, "udp://:5000?program=1&program=2"), `f.yml:5:14: url: parameter "program" is given twice`},
		"program 0":                  {with(url, "udp://:5000?program=0"), `f.yml:5:14: url: program: "0" is no program: want 1 to 65535`},
		"a source by name":           {with(url, "udp://232.1.1.1:5000?source=x"), `f.yml:5:14: url: source: "x" is no IP address`},
		"a file by a relative path":  {with(url, "file://loop.ts"), `f.yml:5:14: url: a file URL has three slashes and an absolute path: file:///var/lib/flambeau`},
		"a file without place":       {with(url, "file:///loop.ts#5"), `f.yml:5:14: url: a file URL has no fragment: write # as %23`},
		"a file that rings":          {with(url, "file:///loop%07.ts"), `f.yml:5:14: url: "/loop\a.ts" has control characters`},
		"an interface of great name": {with(url, "udp://:5000?interface=enp0s31f6np00000"), `f.yml:5:14: url: interface: "enp0s31f6np00000" is no interface`},
		"parameters that are none":   {with(url, "udp://:5000?interface=%zz"), `f.yml:5:14: url: parameters: invalid URL escape "%zz"`},
		"a spool nowhere":            {sound + "spool: { dir: \"\" }\n", `f.yml:6:15: dir: "" is not a folder`},
		"a loop that may be":         {with(url, "file:///loop.ts?loop=maybe"), `f.yml:5:14: url: loop: "maybe": want 0 or 1`},
		"ahead beyond reason":        {with(url, "file:///loop.ts?ahead=2h"), `f.yml:5:14: url: ahead: want 0s to 1h`},
		"a URL that is none":         {with(url, `"udp://%zz"`), `f.yml:5:14: url: not a URL: invalid URL escape "%zz"`},
		"a scheme that nobody knows": {with(url, "gopher://x"), `f.yml:5:14: url: unsupported input scheme "gopher" in this version: want udp, rtp, srt, http, https or file`},

		// secrets
		"a microsecond latency":    {with(url, "srt://10.0.0.1:9000?latency=200000"), `f.yml:5:14: url: latency 200000 is in milliseconds, at most 8000: ffmpeg alone writes microseconds`},
		"a short passphrase":       {with(url, "srt://10.0.0.1:9000?passphrase=short"), `f.yml:5:14: url: passphrase has 5 bytes: want 10 to 80`},
		"a secret of nothing":      {with(url, "udp://:5000\n        secret_file: a"), `f.yml:6:22: secret_file: udp:// has no secret`},
		"a secret in two places":   {with(url, "srt://h:1?passphrase=0123456789\n        secret_file: a"), `f.yml:6:22: secret_file: the passphrase is in the URL already`},
		"no authority for UDP":     {with(url, "udp://:5000\n        ca_file: a"), `f.yml:6:18: ca_file: udp:// has no TLS`},
		"an address bound by both": {with(url, "udp://:5000\n      - url: srt://:5000"), `f.yml:6:14: address ":5000" is bound by another input, on line 5`},

		// buckets
		"a bucket without name":     {with(store, "store: s3:///prefix"), `f.yml:1:8: store: an S3 URL names its bucket after two slashes: s3://bucket/prefix`},
		"a bucket after a colon":    {with(store, "store: s3:bucket"), `f.yml:1:8: store: an S3 URL names its bucket after two slashes: s3://bucket/prefix`},
		"a bucket in capitals":      {with(store, "store: s3://Bucket"), `f.yml:1:8: store: "Bucket" is no bucket: 3 to 63 of a-z, 0-9, - and ., first and last a letter or digit`},
		"a bucket with two dots":    {with(store, "store: s3://a..b"), `f.yml:1:8: store: "a..b" is no bucket: 3 to 63 of a-z, 0-9, - and ., first and last a letter or digit`},
		"a host for a bucket":       {with(store, "store: s3://127.0.0.1:9000/bucket"), `f.yml:1:8: store: "127.0.0.1:9000" is no bucket: a host and port are said by ?endpoint=http://host:port`},
		"keys in a URL":             {with(store, "store: s3://AKIA:secret@bucket"), `f.yml:1:8: store: credentials do not belong in the URL: they come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role`},
		"a bucket's fragment":       {with(store, "store: s3://bucket#live"), `f.yml:1:8: store: an S3 URL has no fragment`},
		"a prefix that climbs":      {with(store, "store: s3://bucket/a/../b"), `f.yml:1:8: store: prefix "a/../b": only a-z, A-Z, 0-9, ., _ and -, in elements that are not empty and not dots alone`},
		"a prefix with spaces":      {with(store, "store: s3://bucket/my%20tv"), `f.yml:1:8: store: prefix "my tv": only a-z, A-Z, 0-9, ., _ and -, in elements that are not empty and not dots alone`},
		"a prefix without end":      {with(store, "store: s3://bucket/"+strings.Repeat("p", 256)), `f.yml:1:8: store: prefix of 256 bytes, at most 255`},
		"a misspelt endpoint":       {with(store, "store: s3://bucket?endpiont=http://h"), `f.yml:1:8: store: unknown parameter "endpiont", did you mean "endpoint"?`},
		"keys as parameters":        {with(store, "store: s3://bucket?secret=x"), `f.yml:1:8: store: unknown parameter "secret": want endpoint or region`},
		"two endpoints":             {with(store, "store: s3://bucket?endpoint=http://a&endpoint=http://b"), `f.yml:1:8: store: parameter "endpoint" is given twice`},
		"an endpoint by host alone": {with(store, "store: s3://bucket?endpoint=minio:9000"), `f.yml:1:8: store: endpoint: "minio:9000": want http://host:port or https://host`},
		"an endpoint of nothing":    {with(store, "store: s3://bucket?endpoint="), `f.yml:1:8: store: endpoint: not a URL: it has no scheme such as udp:// or file://: want http://host:port or https://host`},
		"an endpoint with a bucket": {with(store, "store: s3://bucket?endpoint=http://h/bucket"), `f.yml:1:8: store: endpoint: "http://h/bucket": want http://host:port or https://host`},
		"an endpoint with keys":     {with(store, "store: s3://bucket?endpoint=http://k:s@h"), `f.yml:1:8: store: endpoint: credentials do not belong in the URL: want http://host:port or https://host`},
		"an endpoint on no port":    {with(store, "store: s3://bucket?endpoint=http://h:99999"), `f.yml:1:8: store: endpoint: "http://h:99999": port "99999", want 1 to 65535`},
		"a region that is none":     {with(store, "store: s3://bucket?region=eu%20central"), `f.yml:1:8: store: region: "eu central" is no region: want one such as eu-central-1`},

		// not yet
		"a pair":          {with(id, id+"\n    pair: true"), `f.yml:4:11: pair: key "worker" is missing: two workers need two names`},
		"a pair of files": {"worker: a\n" + with(url, "file:///loop.ts") + "    pair: true\n", `f.yml:6:14: url: a file has no clock that two workers share: a paired channel takes none`},
		"other workers":   {sound + "workers: [\"a:1\"]\n", `f.yml:6:1: workers: the live edge of other workers is not read in this version`},
		"an edge":         {sound + "listen: { edge: \":8083\" }\n", `f.yml:6:11: edge: the live edge is not served to other origins in this version`},
		"broadcasters":    {sound + "broadcasters:\n  - id: alpine-tv\n", `f.yml:6:1: broadcasters: rights are not built in this version: refusing to start open`},
		"nobody at all":   {sound + "broadcasters: []\n", `f.yml:6:1: broadcasters: rights are not built in this version: refusing to start open`},
		"keys for tokens": {sound + "keys: [ { id: k1 } ]\n", `f.yml:6:1: keys: rights are not built in this version: refusing to start open`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, got := load(t, c.text); got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestABucketIsReadFromItsURL(t *testing.T) {
	for text, want := range map[string]s3.Config{
		"s3://bucket":         {Bucket: "bucket"},
		"s3://bucket/":        {Bucket: "bucket"},
		"s3://my.tv-2/live/a": {Bucket: "my.tv-2", Prefix: "live/a"},
		"s3://bucket/prefix/?endpoint=http://127.0.0.1:9000&region=us-east-1": {Bucket: "bucket", Prefix: "prefix", Endpoint: "http://127.0.0.1:9000", Region: "us-east-1"},
		"s3://bucket?endpoint=https://s3.example.com/":                        {Bucket: "bucket", Endpoint: "https://s3.example.com"},
		"s3://bucket?region=auto&endpoint=http%3A%2F%2F%5B%3A%3A1%5D%3A9000":  {Bucket: "bucket", Endpoint: "http://[::1]:9000", Region: "auto"},
	} {
		l, problems := load(t, strings.Replace(sound, "file:///var/lib/flambeau", `"`+text+`"`, 1))
		if diff := cmp.Diff(StoreConfig{Kind: "s3", S3: want}, l.Config.Store); problems != "" || diff != "" {
			t.Errorf("%s: %s%s", text, problems, diff)
		}
	}
}

func TestAllMistakesAreToldAtOnceByLine(t *testing.T) {
	_, got := load(t, `worker: A
store: file:///srv
listen: { media: 8080, medai: x }
defaults: { segment: 1s, part: 2s }
channels:
  - id: a
    pair: true
  - id: a
    inputs: [ { url: "udp://:1" }, {} ]
keys: [ x ]
`)
	want := `f.yml:1:9: worker: "A": only a-z, 0-9 and, not first, -
f.yml:3:18: media: want text, found the number 8080: put it in quotes
f.yml:3:24: unknown key "medai", did you mean "media"?
f.yml:4:32: part 2s is longer than a segment of 1s
f.yml:6:5: channel without "inputs"
f.yml:8:9: channel "a" is there already, on line 6
f.yml:9:36: input without "url"
f.yml:10:1: keys: rights are not built in this version: refusing to start open`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAThousandMistakesAreCountedNotTold(t *testing.T) {
	l, _ := load(t, sound+strings.Repeat("x: y\n", 1000))
	if len(l.Problems) != maxProblems+1 || l.Problems[maxProblems].String() != "f.yml: and 900 more problems" {
		t.Errorf("%d problems, the last %q", len(l.Problems), l.Problems[len(l.Problems)-1])
	}
}

func TestTheEnvironmentWinsOverTheFile(t *testing.T) {
	l, problems := load(t, "store: s3://refused/otherwise\nlisten: { media: \":1\", admin: \"127.0.0.1:2\" }\n"+strings.TrimPrefix(sound, "store: file:///var/lib/flambeau\n"),
		"FLAMBEAU_STORE=file:///mnt", "FLAMBEAU_LISTEN_MEDIA=:9080", "FLAMBEAU_LISTEN_ADMIN=", "FLAMBEAU_DEFAULTS_SEGMENT=2s", "FLAMBEAU_WORKER=b", "PATH=/bin")
	if problems != "" {
		t.Fatal(problems)
	}
	c := l.Config
	got := []any{c.Store.Dir, c.Listen.Media, c.Listen.Admin, c.Channels[0].Segment, c.Worker}
	if diff := cmp.Diff([]any{"/mnt", ":9080", "127.0.0.1:2", 2 * time.Second, "b"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAMistakeInTheEnvironmentNamesTheVariable(t *testing.T) {
	for variable, want := range map[string]string{
		"FLAMBEAU_DEFAULTS_SEGMENT=4":    `FLAMBEAU_DEFAULTS_SEGMENT: "4" is not a duration: want one such as 4s, 500ms or 408h`,
		"FLAMBEAU_DEFAULTS_WINDOW=10s":   `FLAMBEAU_DEFAULTS_WINDOW: window 10s is less than 6 segments of 4s: want at least 24s`,
		"FLAMBEAU_STORE=s3://b":          `FLAMBEAU_STORE: "b" is no bucket: 3 to 63 of a-z, 0-9, - and ., first and last a letter or digit`,
		"FLAMBEAU_LISTEN_EDGE=:1":        `FLAMBEAU_LISTEN_EDGE: the live edge is not served to other origins in this version`,
		"FLAMBEAU_WORKER=Ä":              `FLAMBEAU_WORKER: "Ä": only a-z, 0-9 and, not first, -`,
		"FLAMBEAU_LISTEN_METRICS=:8080":  `FLAMBEAU_LISTEN_METRICS: listen: media and metrics are both ":8080"`,
		"FLAMBEAU_SPOOL_SIZE=everything": `FLAMBEAU_SPOOL_SIZE: "everything" is not a size: want one such as 512MiB or 10GiB`,
	} {
		t.Run(variable, func(t *testing.T) {
			if _, got := load(t, sound, variable); got != want {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
		})
	}
}

func TestWhatChangesNothingIsWarnedOf(t *testing.T) {
	l, problems := load(t, sound+"spool: { dir: /x }\ncache: { size: 1GiB }\n", "FLAMBEAU_STROE=x", "FLAMBEAU_CHANNELS=x", "FLAMBEAUX=x")
	if problems != "" {
		t.Fatal(problems)
	}
	want := []string{
		"FLAMBEAU_CHANNELS: no such key; lists come from the file only",
		"FLAMBEAU_STROE: no such key, did you mean FLAMBEAU_STORE?",
		"f.yml:6:8: spool: not used, a file store needs none",
		"f.yml:7:8: cache: not used, a file store needs none",
	}
	if diff := cmp.Diff(want, l.warnings()); diff != "" {
		t.Error(diff)
	}
}

func TestCheckTellsWarningsAndStillSaysYes(t *testing.T) {
	t.Setenv("FLAMBEAU_STROE", "x")
	file := write(t, sound)
	code, stdout, stderr := flambeau("check", "-c", file)
	if code != 0 || stdout != file+": ok, 1 channel\n" || stderr != "FLAMBEAU_STROE: no such key, did you mean FLAMBEAU_STORE? (warning)\n" {
		t.Errorf("exit %d\nstdout %s\nstderr %s", code, stdout, stderr)
	}
}

func TestANameIsMadeOfAnyHostName(t *testing.T) {
	for host, want := range map[string]string{
		"Encoder_1.venue.example":      "encoder-1-venue-example",
		"--":                           "worker",
		"":                             "worker",
		"ümlaut":                       "mlaut",
		"a" + strings.Repeat("-", 100): "a",
		strings.Repeat("x", 100):       strings.Repeat("x", 63),
	} {
		got := workerName(host, nil)
		if _, err := parseName(got); got != want || err != nil {
			t.Errorf("%q: %q, want %q; %v", host, got, want, err)
		}
	}
	if got := workerName("", os.ErrInvalid); got != "worker" {
		t.Error(got)
	}
}

func TestDurationsAreWrittenAsPeopleDo(t *testing.T) {
	for d, want := range map[time.Duration]string{
		10 * time.Second: "10s", 20 * time.Minute: "20m", 10 * time.Hour: "10h", 90 * time.Second: "1m30s", 500 * time.Millisecond: "500ms",
		70 * time.Minute: "1h10m", 0: "0s", time.Hour + time.Second: "1h0m1s",
	} {
		if got := short(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

func TestTheNearestWordIsTheOneThatWasMeant(t *testing.T) {
	known := []string{"id", "title", "pair", "inputs", "window", "url"}
	for word, want := range map[string]string{
		"inptus": "inputs", "input": "inputs", "titel": "title", "windows": "window", "ID": "id", "uri": "url", "": "",
		"ix": "id", "xx": "", "outputs": "", "frobnicate": "", strings.Repeat("i", 1<<20): "",
	} {
		if got := nearest(word, known); got != want {
			t.Errorf("%.20q: %q, want %q", word, got, want)
		}
	}
}

func TestWhatIsRefusedTodayIsReadOnceItsLineIsGone(t *testing.T) {
	lifted := notYet
	notYet = nil
	defer func() { notYet = lifted }()
	l, problems := load(t, sound+"listen: { edge: \":8083\" }\nworkers: [ \"a.example:8083\", \"[::1]:8083\" ]\n")
	if diff := cmp.Diff([]string{"a.example:8083", "[::1]:8083"}, l.Config.Workers); diff != "" || problems != "" || l.Config.Listen.Edge != ":8083" {
		t.Error(diff, problems)
	}
	_, problems = load(t, sound+"\nworkers: [ \":1\", a, 3 ]\n")
	want := `f.yml:7:12: workers[0]: ":1" is not an address: want host:port
f.yml:7:18: workers[1]: "a" is not an address: want host:port
f.yml:7:21: workers[2]: want text, found the number 3: put it in quotes`
	if diff := cmp.Diff(want, problems); diff != "" {
		t.Error(diff)
	}
	if _, problems = load(t, sound+"workers: a:1\n"); problems != `f.yml:6:10: workers: want a list, found "a:1"` {
		t.Error(problems)
	}
}

// example is the file that we ship.
func example(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "flambeau.example.yml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestTheExampleIsSoundAndGivesTheDefaults(t *testing.T) {
	l, problems := load(t, example(t))
	if problems != "" || len(l.Warnings) != 0 {
		t.Fatal(problems, l.Warnings)
	}
	l.Config.Channels = nil
	want := defaultConfig()
	want.Worker, want.Store = "a", StoreConfig{Kind: "file", Dir: "/var/lib/flambeau"}
	want.Workers = l.Config.Workers
	if diff := cmp.Diff(want, l.Config); diff != "" {
		t.Error(diff)
	}
}

func TestTheExampleShowsEveryKeyAndItsDefaults(t *testing.T) {
	commented := map[string]bool{"spool": true, "spool.dir": true, "spool.size": true, "cache": true, "cache.size": true, "broadcasters": true, "keys": true}
	text := example(t)
	r := &reader{file: "example", places: map[string]place{}, fromEnv: map[string]bool{}}
	tree, err := parseYAML(text)
	if err != nil {
		t.Fatal(err)
	}
	d := &draft{defaults: timing{}}
	d.schema().read(r, "", tree.Docs[0].Body)
	if d.defaults != builtIn {
		t.Errorf("defaults: %+v, want %+v", d.defaults, builtIn)
	}
	active := map[string]bool{}
	for path := range r.places {
		active[numbers(path)] = true
	}
	var keys []string
	(&draft{}).schema().walk("", func(path string) { keys = append(keys, path) })
	if len(keys) < 25 {
		t.Fatalf("only %d keys were found: %v", len(keys), keys)
	}
	for _, path := range keys {
		switch {
		case commented[path] && strings.Contains(text, "# "+strings.Repeat("  ", strings.Count(path, "."))+last(path)+":"):
		case !active[path]:
			t.Errorf("the example has no %s", path)
		}
	}
	for path := range maps.Keys(commented) {
		if !slices.Contains(keys, path) {
			t.Errorf("the schema has no %s", path)
		}
	}
}

// walk names every key, those within lists too.
func (s section) walk(path string, yield func(string)) {
	for _, k := range s {
		p := join(path, k.name)
		yield(p)
		switch v := k.kind.(type) {
		case section:
			v.walk(p, yield)
		case sections:
			v().walk(p+"[]", yield)
		}
	}
}

func numbers(path string) string { return pattern(path) }

func TestNumbersInAPathAreForgotten(t *testing.T) {
	for path, want := range map[string]string{"store": "store", "channels[12].inputs[3].url": "channels[].inputs[].url", "workers[0]": "workers[]"} {
		if got := pattern(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestEachLineOfWhatIsNotDoneYetNamesAKey(t *testing.T) {
	var keys []string
	(&draft{}).schema().walk("", func(path string) { keys = append(keys, path) })
	for _, n := range notYet {
		if !slices.Contains(keys, n.path) {
			t.Errorf("no key %s", n.path)
		}
	}
}

// FuzzConfig holds that no file ends the process, or is taken without being sound.
func FuzzConfig(f *testing.F) {
	f.Add(sound)
	f.Add("channels:\n  - &a\n    id: *a\n? [x]\n: {y: ~}\n")
	f.Add("store: \"\\x00\"\n<<: [1, .inf, 2020-01-01, !!binary x]\n--- |\n...\n")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4<<10 {
			return // the parser's time grows with the square: the limit is tested, not fuzzed
		}
		file := filepath.Join(dir, "f.yml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l := loadConfig(file, nil)
		if len(l.Problems) > 0 {
			return
		}
		if l.Config.Store.Kind == "" || len(l.Config.Channels) == 0 {
			t.Fatal("taken without store or channels")
		}
		for _, c := range l.Config.Channels {
			if len(c.Inputs) == 0 || c.ID == "" || c.Part > c.Segment || c.Window < minWindow*c.Segment || c.Archive < c.Window {
				t.Fatalf("taken: %+v", c)
			}
		}
	})
}
