package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// output collects what a process says while others read it.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// TestTheRigComesUpIsWatchedAndLeavesNothing runs the real one: each URL that it prints answers, Prometheus has loaded the rules and finds
// something for every panel of the dashboard, and SIGTERM ends it with 0 and no child left.
func TestTheRigComesUpIsWatchedAndLeavesNothing(t *testing.T) {
	bin := t.TempDir()
	for name, pkg := range map[string]string{"rig": ".", "flambeau": "../../cmd/flambeau"} {
		if out, err := exec.Command("go", "build", "-o", filepath.Join(bin, name), pkg).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	shift := 0
	for range 20 {
		if shift = 10_000 + rand.IntN(14_000); free(shift) == nil {
			break
		}
	}
	said, complaints, data := &output{}, &output{}, filepath.Join(t.TempDir(), "data")
	cmd := exec.Command(filepath.Join(bin, "rig"), "-deploy", "..", "-flambeau", filepath.Join(bin, "flambeau"), "-data", data, "-shift", fmt.Sprint(shift))
	cmd.Stdout, cmd.Stderr = said, complaints
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
		}
		if t.Failed() {
			t.Logf("rig said:\n%s%s", said, complaints)
		}
	})
	soon(t, "the rig is up", func() error {
		if strings.Contains(said.String(), "Ctrl-C ends it all.") {
			return nil
		}
		return fmt.Errorf("%s%s", said, complaints)
	})
	for _, u := range regexp.MustCompile(`http://\S+`).FindAllString(said.String(), -1) {
		if _, err := fetch(u); err != nil {
			t.Error(err)
		}
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid))
	if pids := strings.Fields(string(children)); err != nil || len(pids) != 4 {
		t.Errorf("children %q, %v; want four", children, err)
	}
	prom := "http://" + address(prometheus+shift)
	if b, err := fetch(prom + "/api/v1/rules"); err != nil || !strings.Contains(b, "FlambeauFeedDark") {
		t.Errorf("the rules are not loaded: %s %v", b, err)
	}
	for title, expr := range panels(t) {
		soon(t, title, func() error { return finds(prom, expr) })
	}
	if b, err := fetch(prom + "/api/v1/alerts"); err != nil || strings.Contains(b, `"state":"firing"`) {
		t.Errorf("something is wrong with a rig that is well: %s %v", b, err)
	}

	cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("SIGTERM: %v", err)
		}
	case <-time.After(40 * time.Second):
		t.Fatal("it is still there 40 s after SIGTERM")
	}
	for _, pid := range strings.Fields(string(children)) {
		if _, err := os.Stat("/proc/" + pid); err == nil {
			t.Errorf("child %s is left", pid)
		}
	}
	if stored, err := filepath.Glob(filepath.Join(data, "minio", bucket, "rig", "rig", "seg", "v360", "*.m4s")); err != nil || len(stored) == 0 {
		t.Errorf("no segment is in the bucket: %v", err)
	}
	if log, err := os.ReadFile(filepath.Join(data, "flambeau.log")); err != nil || !strings.Contains(string(log), "msg=stopped") {
		t.Errorf("flambeau did not stop well: %s %v", log, err)
	}
}

// soon asks until something is so.
func soon(t *testing.T, what string, is func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(90 * time.Second); time.Now().Before(deadline); {
		if err = is(); err == nil {
			return
		}
		<-time.After(200 * time.Millisecond)
	}
	t.Fatalf("%s: not within 90 s: %v", what, err)
}

func fetch(u string) (string, error) {
	resp, err := http.Get(u)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != 200 {
		err = fmt.Errorf("%s: %d %s", u, resp.StatusCode, b)
	}
	return string(b), err
}

// finds tells whether Prometheus has an answer that is not empty.
func finds(prom, expr string) error {
	b, err := fetch(prom + "/api/v1/query?query=" + url.QueryEscape(expr))
	if err != nil {
		return err
	}
	if strings.Contains(b, `"result":[]`) {
		return fmt.Errorf("%s: %s", expr, b)
	}
	return nil
}

// panels are the queries of the dashboard, with all chosen.
func panels(t *testing.T) map[string]string {
	t.Helper()
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ RefID, Expr string }
		}
	}
	b, err := os.ReadFile("../grafana/flambeau.json")
	if err == nil {
		err = json.Unmarshal(b, &d)
	}
	if err != nil {
		t.Fatal(err)
	}
	all, chosen := map[string]string{}, strings.NewReplacer("$__rate_interval", "30s", "$instance", ".*", "$channel", ".*")
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			// Of what there is none of in a rig that is well, the filter would leave nothing.
			all[p.Title+" "+q.RefID] = strings.TrimSuffix(chosen.Replace(q.Expr), " > 0")
		}
	}
	if len(all) < 20 {
		t.Fatalf("only %d queries: this test looks at nothing", len(all))
	}
	return all
}

func TestAChildThatDiesEndsTheRigWithItsLastWords(t *testing.T) {
	var f family
	var brothers []*child
	for name, script := range map[string]string{"well": "exec sleep 60", "ill": "echo disk on fire; exit 3"} {
		c := &child{name: name, log: filepath.Join(t.TempDir(), name), cmd: exec.Command("/bin/sh", "-c", script), ended: make(chan struct{})}
		if err := f.start(c); err != nil {
			t.Fatal(err)
		}
		brothers = append(brothers, c)
	}
	if err := f.wait(t.Context()); err == nil || !strings.Contains(err.Error(), "ill ended by itself: exit status 3. The end of ") || !strings.Contains(err.Error(), "disk on fire") {
		t.Errorf("%v", err)
	}
	if err := f.stop(); err != nil {
		t.Error(err)
	}
	for _, c := range brothers {
		if c.cmd.ProcessState == nil {
			t.Errorf("%s still runs", c.name)
		}
	}
}

func TestAPortThatIsTakenIsNamed(t *testing.T) {
	for shift := 10_000; shift < 24_000; shift += 100 {
		if free(shift) != nil {
			continue
		}
		pc, err := net.ListenPacket("udp", address(feed+shift))
		if err != nil {
			continue // somebody was faster
		}
		defer pc.Close()
		if err := free(shift); err == nil || !strings.Contains(err.Error(), address(feed+shift)+" (UDP) is taken") {
			t.Errorf("%v", err)
		}
		return
	}
	t.Fatal("no ports are free")
}

// TestTheContainersAreTheProcesses: what compose.yml mounts is there, and its MinIO is the one that is installed for tests.
func TestTheContainersAreTheProcesses(t *testing.T) {
	read := func(name string) string {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	compose := read("compose.yml")
	mounts := regexp.MustCompile(`[" ](\.\.?/[^:" ]+):/`).FindAllStringSubmatch(compose, -1)
	for _, m := range mounts {
		if _, err := os.Stat(m[1]); err != nil {
			t.Error(err)
		}
	}
	if len(mounts) < 6 {
		t.Errorf("only %d mounts were seen: this test looks at nothing", len(mounts))
	}
	version := regexp.MustCompile(`minio/minio[@ ](v0\S+)`)
	built, installed := version.FindStringSubmatch(read("minio.Dockerfile")), version.FindStringSubmatch(read("../../testdata/tools.sh"))
	if len(built) != 2 || len(installed) != 2 || built[1] != installed[1] {
		t.Errorf("MinIO is built as %q, and installed as %q", built, installed)
	}
}
