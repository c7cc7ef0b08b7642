package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"flambeau/storage"
)

// Level is how much a finding matters.
type Level string

const (
	levelOK   Level = "ok"
	levelWarn Level = "warn" // it runs, and something will hurt
	levelFail Level = "fail" // it will not run, or will lose
)

// Finding is one thing that doctor looked at.
type Finding struct {
	Name  string `json:"name"`
	Level Level  `json:"level"`
	Says  string `json:"says"`
	Do    string `json:"do,omitempty"` // about it
}

const (
	wantReceive = 4 << 20 // bytes of receive buffer an input asks for; less loses packets of a 6 Mb/s feed while we are busy
	wantFiles   = 8192    // open files: an input, two files and some viewers a channel
	minFiles    = 1024
	minFree     = 1 << 30 // bytes: below, a disk counts as full
	assumedRate = 8e6     // bits a second of a channel, all renditions, where nothing is known
	slowFsync   = 50 * time.Millisecond
	deadFsync   = 500 * time.Millisecond // two fsyncs a segment and rendition: this disk can't follow a channel
	slowPut     = time.Second            // of fsyncBytes: a channel of two renditions begins to feel it
	deadPut     = 4 * time.Second
	fsyncBytes  = 1 << 20
	fsyncRuns   = 7
)

// machine is where doctor looks; tests look elsewhere.
type machine struct {
	receiveLimit string // a file that holds net.core.rmem_max
	clock        func() (synchronised bool, err error)
	files        func() (uint64, error)
	open         func(context.Context, StoreConfig) (storage.Store, error)
}

var thisMachine = machine{"/proc/sys/net/core/rmem_max", clockState, openFiles, openStore}

// doctor says what this machine lacks.
func doctor(ctx context.Context, e env, l loaded, p printing) error {
	found := append(thisMachine.examine(ctx, l.Config), keyFindings(l.Config)...)
	err := p.print(e, found, func(w io.Writer) error { return printFindings(w, found) })
	if bad := worst(found); err == nil && bad != nil {
		return reported{bad}
	}
	return err
}

func (m machine) examine(ctx context.Context, c Config) (found []Finding) {
	found = append(found, m.openFiles(), m.clockSet())
	if pullsDatagrams(c) {
		found = append(found, m.receiveBuffer())
	}
	found = append(found, freePorts(ctx, c.Listen)...)
	found = append(found, seeInputs(c)...)
	return append(found, m.store(ctx, c)...)
}

// worst is an error if something fails.
func worst(found []Finding) error {
	for _, f := range found {
		if f.Level == levelFail {
			return fmt.Errorf("%s: %s", f.Name, f.Says)
		}
	}
	return nil
}

func printFindings(w io.Writer, found []Finding) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range found {
		fmt.Fprintf(t, "%s\t%s\t%s\n", f.Level, f.Name, f.Says)
		if f.Do != "" {
			fmt.Fprintf(t, "\t\t→ %s\n", f.Do)
		}
	}
	return t.Flush()
}

func (m machine) openFiles() Finding {
	n, err := m.files()
	f := Finding{"open files", levelOK, fmt.Sprintf("at most %d", n), ""}
	switch {
	case err != nil:
		f.Level, f.Says = levelWarn, "limit not known: "+err.Error()
	case n < minFiles:
		f.Level = levelFail
	case n < wantFiles:
		f.Level = levelWarn
	}
	if f.Level != levelOK {
		f.Do = fmt.Sprintf("raise it to %d or more: LimitNOFILE= in the unit, or ulimit -n", wantFiles)
	}
	return f
}

func openFiles() (uint64, error) {
	var l unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l) // Go has raised the soft limit to the hard one
	return l.Cur, err
}

func (m machine) clockSet() Finding {
	synchronised, err := m.clock()
	switch {
	case err != nil:
		return Finding{"clock", levelWarn, "state not known: " + err.Error(), "make sure that the host runs chrony or another NTP client"}
	case !synchronised:
		return Finding{"clock", levelWarn, "not synchronised: times in playlists will be as wrong as it is", "run chrony or another NTP client on the host"}
	}
	return Finding{"clock", levelOK, "synchronised", ""}
}

// clockState asks the kernel (adjtimex(2)): it knows whether somebody disciplines its clock.
func clockState() (bool, error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	return state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0, err
}

func (m machine) receiveBuffer() Finding {
	const do = "sysctl -w net.core.rmem_max=4194304, and the same in /etc/sysctl.d"
	b, err := os.ReadFile(m.receiveLimit)
	if err != nil {
		return Finding{"receive buffer", levelWarn, "limit not known: " + err.Error(), do}
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	switch {
	case err != nil:
		return Finding{"receive buffer", levelWarn, "limit not known: " + err.Error(), do}
	case n < wantReceive:
		return Finding{"receive buffer", levelWarn, fmt.Sprintf("at most %s, inputs ask for %s: packets may be lost", bytesText(int64(n)), bytesText(wantReceive)), do}
	}
	return Finding{"receive buffer", levelOK, "at most " + bytesText(int64(n)), ""}
}

func pullsDatagrams(c Config) bool {
	return slices.ContainsFunc(c.Channels, func(ch ChannelConfig) bool {
		return slices.ContainsFunc(ch.Inputs, func(in InputConfig) bool {
			return !strings.HasPrefix(in.URL, "file:") && !strings.HasPrefix(in.URL, "http")
		})
	})
}

func freePorts(ctx context.Context, l ListenConfig) (found []Finding) {
	for _, a := range []struct{ name, address string }{{"media", l.Media}, {"admin", l.Admin}, {"metrics", l.Metrics}, {"edge", l.Edge}} {
		if a.address == "" {
			continue
		}
		f := Finding{"listen " + a.name, levelOK, a.address + " is free", ""}
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", a.address)
		if err != nil {
			f.Level, f.Says, f.Do = levelFail, err.Error(), "stop what listens there (ss -ltnp), or change listen."+a.name
		} else {
			listener.Close()
		}
		found = append(found, f)
	}
	return found
}

// seeInputs looks at what can be seen of an input without pulling it: a file that can be read, an address that can be bound, a
// network interface that is there, a host that has an address, a secret that can be read.
func seeInputs(c Config) (found []Finding) {
	for _, ch := range c.Channels {
		for _, in := range ch.Inputs {
			f := Finding{"input " + ch.ID, levelOK, inputName(in), ""}
			if err := reachable(in); err != nil {
				f.Level, f.Says, f.Do = levelFail, fmt.Sprintf("%s: %v", inputName(in), err), "mend the input, or what keeps it"
			}
			found = append(found, f)
		}
	}
	return found
}

func reachable(in InputConfig) error {
	if _, err := readSecret(in.SecretFile); err != nil {
		return err
	}
	if _, err := readRoots(in.CAFile); err != nil {
		return err
	}
	u, err := url.Parse(in.URL)
	if err != nil {
		return errors.New("not a URL")
	}
	if u.Scheme == "file" {
		f, err := os.Open(u.Path)
		if err != nil {
			return bare(err)
		}
		return f.Close()
	}
	if name := u.Query().Get("interface"); name != "" {
		if _, err := net.InterfaceByName(name); err != nil {
			return err
		}
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && ip.IsMulticast() {
		return nil // whether anybody sends is seen when it is joined
	}
	if bound := boundAddress(in.URL); bound != "" {
		conn, err := net.ListenPacket("udp", bound)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookUpLimit)
	defer cancel()
	_, err = net.DefaultResolver.LookupHost(ctx, u.Hostname())
	return err
}

// lookUpLimit is how long the address of a host may take. Then it has none.
const lookUpLimit = 3 * time.Second

// store looks at the disk, or at the way to the bucket, then at the promises.
func (m machine) store(ctx context.Context, c Config) (found []Finding) {
	s, err := m.open(ctx, c.Store)
	switch {
	case err != nil && c.Store.Kind == "s3":
		return []Finding{{"store", levelFail, err.Error(), "see to the store's URL, and to AWS_REGION and the AWS profile"}}
	case err != nil:
		return []Finding{{"store", levelFail, err.Error(), "make the folder, and let this user write to it"}}
	case c.Store.Kind == "s3":
		found = append(found, putSpeed(ctx, s))
	default:
		found = append(found, diskSpace(c.Store.Dir, need(c)), diskSpeed(c.Store.Dir))
	}
	f := Finding{"store probe", levelOK, "create-only, swap, read after write and list hold", ""}
	if err := probe(ctx, s); err != nil {
		f.Level, f.Says, f.Do = levelFail, err.Error(), "see that the store is up and may be written"
		if errors.Is(err, errBroken) {
			f.Do = "use another store: on this one, what was published can change"
		}
	}
	return append(found, f)
}

// need estimates what the archives come to, in bytes.
func need(c Config) (sum int64) {
	for _, ch := range c.Channels {
		sum += int64(ch.Archive.Seconds() * assumedRate / 8)
	}
	return sum
}

func diskSpace(dir string, need int64) Finding {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return Finding{"disk space", levelWarn, "not known: " + err.Error(), ""}
	}
	free := int64(s.Bavail) * int64(s.Bsize)
	says := fmt.Sprintf("%s free in %s; the archives come to about %s at %g Mb/s a channel", bytesText(free), dir, bytesText(need), assumedRate/1e6)
	switch {
	case free < minFree:
		return Finding{"disk space", levelFail, says, "make room: the store is as good as full"}
	case free < need:
		return Finding{"disk space", levelWarn, says, "make room, or shorten archive"}
	}
	return Finding{"disk space", levelOK, says, ""}
}

func diskSpeed(dir string) Finding {
	took, err := fsyncCost(dir)
	if err != nil {
		return Finding{"disk fsync", levelFail, err.Error(), "see that this user can write to " + dir}
	}
	return judgeFsync(took)
}

func judgeFsync(took time.Duration) Finding {
	return judgeCost("disk fsync", took, slowFsync, deadFsync, "put the store on a faster disk: each segment waits for two of these")
}

// judgeCost says what it means that a segment's worth of bytes takes so long.
func judgeCost(what string, took, slow, dead time.Duration, do string) Finding {
	f := Finding{what, levelOK, fmt.Sprintf("%s for %s, median of %d", took.Round(10*time.Microsecond), bytesText(fsyncBytes), fsyncRuns), ""}
	switch {
	case took > dead:
		f.Level, f.Do = levelFail, do
	case took > slow:
		f.Level, f.Do = levelWarn, do
	}
	return f
}

// putSpeed puts a segment's worth of bytes some times, and takes the median.
func putSpeed(ctx context.Context, s storage.Store) Finding {
	took, err := putCost(ctx, s)
	if err != nil {
		return Finding{"store put", levelFail, err.Error(), "see that the bucket is there and the way to it, and that these credentials may write"}
	}
	return judgePut(took)
}

func judgePut(took time.Duration) Finding {
	return judgeCost("store put", took, slowPut, deadPut, "bring the bucket nearer, or give it more bandwidth: each segment waits for one of these")
}

func putCost(ctx context.Context, s storage.Store) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	p := prober{s, "probe/" + rand.Text()}
	defer p.sweep(ctx)
	body, took := make([]byte, fsyncBytes), make([]time.Duration, fsyncRuns)
	for i := range took {
		start := time.Now()
		if _, err := s.Put(ctx, p.key, body, storage.Put{}); err != nil {
			return 0, err
		}
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

// fsyncCost writes a segment's worth of bytes as the store does, and takes the median. The file's name is no key, so that
// nobody takes it for an object.
func fsyncCost(dir string) (time.Duration, error) {
	f, err := os.CreateTemp(dir, "~doctor-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	body, took := make([]byte, fsyncBytes), make([]time.Duration, fsyncRuns)
	for i := range took {
		start := time.Now()
		if _, err := f.WriteAt(body, 0); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, &fs.PathError{Op: "fsync", Path: filepath.Clean(dir), Err: err}
		}
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

// bytesText writes a number of bytes as people do.
func bytesText(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	v, i := float64(n), 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	if v < 10 && i > 0 {
		return fmt.Sprintf("%.1f %s", v, units[i])
	}
	return fmt.Sprintf("%.0f %s", v, units[i])
}
