package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// The ports as they stand in the configuration files beside this program.
const (
	media      = 8080
	admin      = 8081
	metrics    = 8082
	store      = 9000
	console    = 9001
	prometheus = 9090
	feed       = 5004 // UDP
)

// bucket is made by the rig as an operator would: flambeau makes none.
const bucket = "flambeau"

// tools are the programs that the rig runs, by name.
type tools map[string]string

// findTools looks for all of them, and names all that are missing with what brings each.
func findTools(o options) (tools, error) {
	found, missing := tools{}, []string{}
	for _, need := range []struct{ name, from string }{
		{"minio", "make tools"}, {"ffmpeg", "apt-get install ffmpeg"}, {"prometheus", "apt-get install prometheus"}, {o.flambeau, "make"},
	} {
		path, err := exec.LookPath(need.name)
		if err != nil && need.name == "minio" {
			path, err = installed(need.name)
		}
		if err == nil {
			path, err = filepath.Abs(path)
		}
		if err != nil {
			missing = append(missing, fmt.Sprintf("%s (%s)", need.name, need.from))
		}
		found[need.name] = path
	}
	if len(missing) > 0 {
		return nil, errors.New("not here: " + strings.Join(missing, ", "))
	}
	return found, nil
}

// installed is where go install puts a program.
func installed(name string) (string, error) {
	out, err := exec.Command("go", "env", "GOPATH").Output()
	if err != nil {
		return "", err
	}
	return exec.LookPath(filepath.Join(strings.TrimSpace(string(out)), "bin", name))
}

// free tells which port somebody else has, before that looks like a fault of ours.
func free(shift int) error {
	for _, port := range []int{media, admin, metrics, store, console, prometheus} {
		ln, err := net.Listen("tcp", address(port+shift))
		if err != nil {
			return fmt.Errorf("%s is taken: stop what has it, or move the rig with -shift", address(port+shift))
		}
		ln.Close()
	}
	pc, err := net.ListenPacket("udp", address(feed+shift))
	if err != nil {
		return fmt.Errorf("%s (UDP) is taken: stop what has it, or move the rig with -shift", address(feed+shift))
	}
	return pc.Close()
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func (r *rig) url(port int, path string) string { return "http://" + address(port+r.shift) + path }

// configure puts the files of the containers where the processes look for them, with ports shifted.
func (r *rig) configure() error {
	var shifts []string
	for _, port := range []int{media, admin, metrics, feed} {
		shifts = append(shifts, address(port), address(port+r.shift))
	}
	moved := strings.NewReplacer(shifts...)
	for _, name := range []string{"rig/flambeau.yml", "rig/prometheus.yml", "prometheus/rules.yml", "rig/feed.sh"} {
		b, err := os.ReadFile(filepath.Join(r.deploy, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(r.data, filepath.Base(name)), []byte(moved.Replace(string(b))), 0o644); err != nil {
			return err
		}
	}
	// MinIO takes a folder in its folder for a bucket.
	return os.MkdirAll(filepath.Join(r.data, "minio", bucket), 0o755)
}

// children are what the rig is made of, each after those it leans on.
func (r *rig) children() []*child {
	in := func(name string) string { return filepath.Join(r.data, name) }
	return []*child{
		r.child("minio", r.url(store, "/minio/health/cluster"), []string{"MINIO_ROOT_USER=" + r.key, "MINIO_ROOT_PASSWORD=" + r.secret, "MINIO_UPDATE=off"},
			r.tools["minio"], "server", "--address", address(store+r.shift), "--console-address", address(console+r.shift), "--certs-dir", in("certs"), in("minio")),
		r.child("flambeau", r.url(metrics, "/readyz"), []string{
			"AWS_ACCESS_KEY_ID=" + r.key, "AWS_SECRET_ACCESS_KEY=" + r.secret, "AWS_EC2_METADATA_DISABLED=true",
			"FLAMBEAU_STORE=s3://" + bucket + "/rig?endpoint=http://" + address(store+r.shift) + "&region=us-east-1",
		}, r.tools[r.flambeau], "serve", "-c", in("flambeau.yml")),
		r.child("prometheus", r.url(prometheus, "/-/ready"), nil,
			r.tools["prometheus"], "--config.file="+in("prometheus.yml"), "--storage.tsdb.path="+in("prometheus"), "--web.listen-address="+address(prometheus+r.shift)),
		// It answers when its first segment is readable: then there is something to open.
		r.child("feed", r.url(media, "/live/rig/index.m3u8"), nil, "/bin/sh", in("feed.sh"), "udp://"+address(feed+r.shift)),
	}
}

// child has an environment of its own: what this machine says of other stores is none of the rig's business.
func (r *rig) child(name, ready string, environ []string, program string, args ...string) *child {
	cmd := exec.Command(program, args...)
	cmd.Dir = r.data
	cmd.Env = append(environ, "PATH="+os.Getenv("PATH"), "HOME="+r.data)
	return &child{name: name, ready: ready, log: filepath.Join(r.data, name+".log"), cmd: cmd, ended: make(chan struct{})}
}
