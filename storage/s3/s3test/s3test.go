// Package s3test starts S3 stores for tests: real ones, as processes, on a loopback port of their own, with keys that nobody
// else knows and a folder that goes with the test.
package s3test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

const (
	Region = "us-east-1"

	startLimit = 60 * time.Second // for a store to answer; on a busy machine it takes a while
	asksEvery  = 50 * time.Millisecond
	maxStarts  = 3 // tries: somebody may take the port between our finding it free and the store's binding it
)

// Server is a running store.
type Server struct {
	Endpoint    string // http://host:port
	Key, Secret string // of its owner

	t       testing.TB
	name    string
	command func(address string) *exec.Cmd
	process *process
}

// MinIO starts the store that is held to be nearest to AWS.
func MinIO(t testing.TB) *Server {
	dir, home := t.TempDir(), t.TempDir()
	s := &Server{t: t, name: "minio", Key: rand.Text(), Secret: rand.Text()}
	s.command = func(address string) *exec.Cmd {
		cmd := exec.Command(program(t, "minio"), "server", "--quiet", "--address", address, "--certs-dir", home, dir)
		cmd.Env = []string{"HOME=" + home, "MINIO_ROOT_USER=" + s.Key, "MINIO_ROOT_PASSWORD=" + s.Secret, "MINIO_BROWSER=off", "MINIO_UPDATE=off"}
		return cmd
	}
	return s.begin()
}

// Versity starts another, by other people, over files. Its folder must be on a file system that has attributes.
func Versity(t testing.TB) *Server {
	dir := t.TempDir()
	s := &Server{t: t, name: "versitygw", Key: rand.Text(), Secret: rand.Text()}
	s.command = func(address string) *exec.Cmd {
		cmd := exec.Command(program(t, "versitygw"), "--port", address, "--region", Region, "--keep-alive", "--quiet", "posix", dir)
		cmd.Env = []string{"ROOT_ACCESS_KEY_ID=" + s.Key, "ROOT_SECRET_ACCESS_KEY=" + s.Secret}
		return cmd
	}
	return s.begin()
}

// program finds what testdata/tools.sh installs.
func program(t testing.TB, name string) string {
	t.Helper()
	if out, err := exec.Command("go", "env", "GOPATH").Output(); err == nil {
		path := filepath.Join(strings.TrimSpace(string(out)), "bin", name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not installed; make tools does it", name)
	}
	return path
}

// begin starts the store for the first time, and ends it with the test.
func (s *Server) begin() *Server {
	s.t.Helper()
	s.t.Cleanup(func() {
		s.Kill()
		if s.t.Failed() && s.process != nil {
			s.t.Logf("%s said:\n%s", s.name, s.process.output.String())
		}
	})
	var err error
	for range maxStarts {
		address := freeAddress(s.t)
		s.Endpoint = "http://" + address
		if err = s.start(address); err == nil {
			return s
		}
		s.Kill()
	}
	s.t.Fatal(err)
	return nil
}

// Start begins a store that was killed again, with what it holds, where it was.
func (s *Server) Start() {
	s.t.Helper()
	if err := s.start(strings.TrimPrefix(s.Endpoint, "http://")); err != nil {
		s.t.Fatal(err)
	}
}

// Kill ends the store as a power cut would.
func (s *Server) Kill() {
	if s.process != nil {
		s.process.cmd.Process.Kill()
		<-s.process.ended
	}
}

// Signal stops it, or lets it go on.
func (s *Server) Signal(sig os.Signal) {
	if err := s.process.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// process is one life of a store.
type process struct {
	cmd    *exec.Cmd
	output output
	ended  chan struct{}
}

type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (s *Server) start(address string) error {
	p := &process{cmd: s.command(address), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a test that is killed takes its store along
	if err := p.cmd.Start(); err != nil {
		return err
	}
	s.process = p
	go func() {
		p.cmd.Wait()
		close(p.ended)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	for {
		_, err := s.client().ListBuckets(ctx, &s3.ListBucketsInput{})
		if err == nil {
			return nil
		}
		select {
		case <-time.After(asksEvery):
		case <-p.ended:
			return fmt.Errorf("%s ended: %s", s.name, p.output.String())
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer after %v: %w\n%s", s.name, startLimit, err, p.output.String())
		}
	}
}

func (s *Server) client() *s3.Client {
	return s3.New(s3.Options{Region: Region, BaseEndpoint: &s.Endpoint, UsePathStyle: true, Credentials: s.Credentials(), RetryMaxAttempts: 1})
}

// Credentials are the owner's.
func (s *Server) Credentials() aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(s.Key, s.Secret, "")
}

// Bucket makes a bucket, and gives its name.
func (s *Server) Bucket() string {
	s.t.Helper()
	name := "test-" + strings.ToLower(rand.Text())
	if _, err := s.client().CreateBucket(context.Background(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		s.t.Fatal(err)
	}
	return name
}

// URL is what a configuration says to mean a bucket, or what is below a prefix in it.
func (s *Server) URL(bucket, prefix string) string {
	u := url.URL{Scheme: "s3", Host: bucket, Path: "/" + prefix, RawQuery: "endpoint=" + s.Endpoint + "&region=" + Region}
	return u.String()
}

// Env is what a process needs in its environment to come in, and to look for no credentials elsewhere.
func (s *Server) Env() []string {
	return []string{
		"AWS_ACCESS_KEY_ID=" + s.Key, "AWS_SECRET_ACCESS_KEY=" + s.Secret, "AWS_SESSION_TOKEN=", "AWS_PROFILE=",
		"AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull, "AWS_EC2_METADATA_DISABLED=true",
	}
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
