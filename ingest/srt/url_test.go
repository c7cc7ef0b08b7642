package srt

import (
	"strings"
	"testing"
	"time"
)

func TestURLsAreReadAsTheyAreMeant(t *testing.T) {
	for raw, want := range map[string]Config{
		"srt://encoder.example:9000":                          {Address: "encoder.example:9000"},
		"srt://:9000":                                         {Address: ":9000", Listen: true},
		"srt://[::1]:9000?mode=listener":                      {Address: "[::1]:9000", Listen: true},
		"srt://10.0.0.1:9000?mode=caller&latency=200":         {Address: "10.0.0.1:9000", Latency: 200 * time.Millisecond},
		"srt://10.0.0.1:9000?latency=1.5s&program=3":          {Address: "10.0.0.1:9000", Latency: 1500 * time.Millisecond, Program: 3},
		"srt://h:1?passphrase=correct+horse&pbkeylen=32":      {Address: "h:1", Passphrase: "correct horse", KeyLength: 32},
		"srt://h:1/?streamid=%23!::r=a,m=request&mode=caller": {Address: "h:1", StreamID: "#!::r=a,m=request"},
		"srt://0.0.0.0:9000?mode=listener&streamid=publish/a": {Address: "0.0.0.0:9000", Listen: true, StreamID: "publish/a"},
	} {
		if got, err := Parse(raw); err != nil || got != want {
			t.Errorf("%s: %+v, %v", raw, got, err)
		}
	}
}

func TestBadURLsAreRefusedWithoutTheirPassphrase(t *testing.T) {
	for raw, want := range map[string]string{
		"udp://h:1":                                      `scheme "udp"`,
		"srt://h":                                        "want srt://HOST:PORT to call",
		"srt://h:0":                                      `port "0"`,
		"srt://h:1/live":                                 "parameters only",
		"srt://u:secret@h:1":                             "parameters only",
		"srt://h:1?streamid=#!::r=a":                     "%23",
		"srt://h:1?mode=rendezvous":                      `mode "rendezvous"`,
		"srt://:1?mode=caller":                           "whom to call is missing",
		"srt://h:1?mode=listener":                        "no address of this machine",
		"srt://h:1?latency=200000":                       "ffmpeg alone writes microseconds",
		"srt://h:1?latency=1":                            "want 20ms to 8s",
		"srt://h:1?latency=soon":                         "want milliseconds",
		"srt://h:1?passphrase=secret":                    "passphrase has 6 bytes",
		"srt://h:1?passphrase=secret%zz":                 "no escape",
		"srt://h:1?pbkeylen=20":                          "16, 24 or 32",
		"srt://h:1?maxbw=0":                              `unknown parameter "maxbw"`,
		"srt://h:1?latency=200&latency=300":              "given twice",
		"srt://h:1?program=0":                            "1 to 65535",
		"srt://h:1?passphrase=secret\x7f0000":            "not a URL",
		"srt://h:1?streamid=" + strings.Repeat("x", 513): "at most 512",
	} {
		if _, err := Parse(raw); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", raw, err, want)
		}
	}
}

func TestASourcesNameHasNoSecret(t *testing.T) {
	c, err := Parse("srt://:9000?passphrase=correct+horse&streamid=u%3dme,p%3dsecret")
	if err != nil {
		t.Fatal(err)
	}
	if got := New(c).String(); got != "srt://:9000?mode=listener" {
		t.Error(got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("srt://h:1?latency=200&mode=caller&passphrase=correct+horse&streamid=a&pbkeylen=16&program=1")
	f.Add("srt://:9000")
	f.Fuzz(func(t *testing.T, raw string) {
		c, err := Parse(raw)
		if err == nil && (c.Address == "" || c.Latency != 0 && (c.Latency < MinLatency || c.Latency > MaxLatency)) {
			t.Errorf("%q: %+v", raw, c)
		}
	})
}
