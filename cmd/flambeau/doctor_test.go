package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"flambeau/storage"
	"flambeau/storage/memory"
)

// healthy is a machine that lacks nothing.
func healthy(t *testing.T) machine {
	limit := filepath.Join(t.TempDir(), "rmem_max")
	if err := os.WriteFile(limit, []byte("8388608\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return machine{
		receiveLimit: limit,
		clock:        func() (bool, error) { return true, nil },
		files:        func() (uint64, error) { return 1 << 20, nil },
		open:         openStore,
	}
}

// patient is a configuration of which nothing is wrong on any machine.
func patient(t *testing.T) Config {
	dir := t.TempDir()
	feed := filepath.Join(dir, "feed.ts")
	if err := os.WriteFile(feed, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return Config{
		Store:  StoreConfig{Kind: "file", Dir: filepath.Join(dir, "store")},
		Listen: ListenConfig{Media: "127.0.0.1:0", Admin: "127.0.0.1:0", Metrics: "127.0.0.1:0"},
		Channels: []ChannelConfig{{ID: "a", Archive: time.Second, Inputs: []InputConfig{
			{URL: "udp://127.0.0.1:0"}, {URL: "udp://239.1.1.1:5000?interface=lo"}, {URL: "file://" + feed},
		}}},
	}
}

func TestAHealthyMachineLacksNothing(t *testing.T) {
	c := patient(t)
	for _, f := range healthy(t).examine(t.Context(), c) {
		slow := f.Name == "disk fsync" && f.Level != levelFail || f.Name == "disk space" // what the disk under the test can do is its own affair
		if f.Level != levelOK && !slow {
			t.Errorf("%+v", f)
		}
	}
	if left, err := filepath.Glob(filepath.Join(c.Store.Dir, "~doctor-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestWhatIsMissingIsFoundWithWhatToDo(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	bound, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer bound.Close()
	input := func(url string) func(*machine, *Config) {
		return func(_ *machine, c *Config) { c.Channels[0].Inputs = []InputConfig{{URL: url}} }
	}
	for name, c := range map[string]struct {
		breaks func(*machine, *Config)
		name   string
		level  Level
		says   string
	}{
		"a clock that runs free":             {func(m *machine, _ *Config) { m.clock = func() (bool, error) { return false, nil } }, "clock", levelWarn, "not synchronised"},
		"a clock nobody may ask":             {func(m *machine, _ *Config) { m.clock = func() (bool, error) { return false, os.ErrPermission } }, "clock", levelWarn, "permission denied"},
		"few files":                          {func(m *machine, _ *Config) { m.files = func() (uint64, error) { return 4096, nil } }, "open files", levelWarn, "at most 4096"},
		"hardly any files":                   {func(m *machine, _ *Config) { m.files = func() (uint64, error) { return 256, nil } }, "open files", levelFail, "at most 256"},
		"files nobody knows":                 {func(m *machine, _ *Config) { m.files = func() (uint64, error) { return 0, os.ErrPermission } }, "open files", levelWarn, "permission denied"},
		"a small receive buffer":             {func(m *machine, _ *Config) { m.small(t, "212992") }, "receive buffer", levelWarn, "at most 208 KiB, inputs ask for 4.0 MiB"},
		"a receive buffer that is no number": {func(m *machine, _ *Config) { m.small(t, "much") }, "receive buffer", levelWarn, "not known"},
		"no receive buffer":                  {func(m *machine, _ *Config) { m.receiveLimit = "/nowhere" }, "receive buffer", levelWarn, "not known"},
		"a port that is taken":               {func(_ *machine, c *Config) { c.Listen.Media = taken.Addr().String() }, "listen media", levelFail, "address already in use"},
		"an input that is bound":             {input("udp://" + bound.LocalAddr().String()), "input a", levelFail, "address already in use"},
		"an input from a file that is not":   {input("file:///nowhere.ts"), "input a", levelFail, "file:///nowhere.ts: no such file"},
		"an interface that is not":           {input("udp://239.1.1.1:5000?interface=none0"), "input a", levelFail, "no such network interface"},
		"a store that can't be made":         {func(_ *machine, c *Config) { c.Store.Dir = "/proc/flambeau" }, "store", levelFail, "/proc/flambeau"},
		"a store that breaks a promise": {func(m *machine, _ *Config) {
			m.open = func(context.Context, StoreConfig) (storage.Store, error) {
				return faulty{Store: memory.New(), blind: true}, nil
			}
		}, "store probe", levelFail, "not listed"},
		"a store that does not answer": {func(m *machine, _ *Config) {
			m.open = func(context.Context, StoreConfig) (storage.Store, error) {
				return faulty{Store: memory.New(), put: func(context.Context, string, []byte, storage.Put) (storage.Version, error) {
					return "", errors.New("connection refused")
				}}, nil
			}
		}, "store probe", levelFail, "connection refused"},
		"an archive beyond the disk": {func(_ *machine, c *Config) { c.Channels[0].Archive = 1e6 * time.Hour }, "disk space", levelWarn, "archives come to about 3.2 PiB"},
	} {
		t.Run(name, func(t *testing.T) {
			m, config := healthy(t), patient(t)
			c.breaks(&m, &config)
			found := m.examine(t.Context(), config)
			i := slices.IndexFunc(found, func(f Finding) bool { return f.Name == c.name && f.Level == c.level })
			if i < 0 || !strings.Contains(found[i].Says, c.says) || found[i].Do == "" {
				t.Errorf("want %s %s %q, found %+v", c.level, c.name, c.says, found)
			}
			if (worst(found) != nil) != (c.level == levelFail) && !slices.ContainsFunc(found, diskFails) {
				t.Errorf("as a whole: %v", worst(found))
			}
		})
	}
}

func diskFails(f Finding) bool { return strings.HasPrefix(f.Name, "disk ") && f.Level == levelFail }

func (m *machine) small(t *testing.T, limit string) {
	m.receiveLimit = filepath.Join(t.TempDir(), "rmem_max")
	if err := os.WriteFile(m.receiveLimit, []byte(limit), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestASlowDiskIsJudgedByItsFsync(t *testing.T) {
	for took, want := range map[time.Duration]Level{
		5 * time.Millisecond: levelOK, 50 * time.Millisecond: levelOK, 51 * time.Millisecond: levelWarn, 501 * time.Millisecond: levelFail,
	} {
		if f := judgeFsync(took); f.Level != want || (f.Do == "") != (want == levelOK) {
			t.Errorf("%v: %+v", took, f)
		}
	}
}

func TestAFileAloneNeedsNoReceiveBuffer(t *testing.T) {
	c := patient(t)
	c.Channels[0].Inputs = c.Channels[0].Inputs[2:]
	for _, f := range healthy(t).examine(t.Context(), c) {
		if f.Name == "receive buffer" {
			t.Errorf("%+v", f)
		}
	}
}

func TestDoctorPrintsItsFindingsAndEndsWithOneWhenSomethingFails(t *testing.T) {
	dir := t.TempDir()
	text := func(media string) string {
		return "store: file://" + dir + "/store\nlisten: { media: \"" + media + "\", admin: \"127.0.0.1:0\", metrics: \"127.0.0.1:0\" }\n" +
			"channels: [ { id: a, inputs: [ { url: \"udp://239.1.1.1:5000\" } ] } ]\n"
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	code, stdout, stderr := flambeau("doctor", "-c", write(t, text(taken.Addr().String())))
	if code != 1 || stderr != "" || !strings.Contains(stdout, "fail  listen media") || !strings.Contains(stdout, "→ stop what listens there") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
	_, stdout, _ = flambeau("doctor", "--json", "-c", write(t, text("127.0.0.1:0")))
	var found []Finding
	if err := json.Unmarshal([]byte(stdout), &found); err != nil || len(found) < 8 {
		t.Fatalf("%d findings, %v", len(found), err)
	}
	for _, f := range found {
		if f.Name == "" || f.Level == "" || f.Says == "" || f.Level == levelFail && !diskFails(f) {
			t.Errorf("%+v", f)
		}
	}
}

func TestBytesAreWrittenAsPeopleDo(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 212992: "208 KiB", 4 << 20: "4.0 MiB", 1 << 30: "1.0 GiB", 1 << 62: "4096 PiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
