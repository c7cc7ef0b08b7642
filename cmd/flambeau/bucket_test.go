package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"

	"flambeau/storage"
	"flambeau/storage/s3"
	"flambeau/storage/s3/s3test"
)

// TestFramesGoThroughABucket is what a folder must do, with a bucket between the worker and the origin apart.
func TestFramesGoThroughABucket(t *testing.T) {
	t.Parallel()
	server := s3test.MinIO(t)
	metrics := frames(t, feedCases[1], home{server.URL(server.Bucket(), "live/tv"), server.Env()})
	for _, op := range []string{"put", "get", "list"} {
		series := regexp.MustCompile(`flambeau_store_request_duration_seconds_(?:sum|count)\{op="` + op + `",result="ok"\} ([1-9]\S*|0\.\d+)`)
		found := series.FindAllString(metrics, -1)
		if len(found) != 2 {
			t.Errorf("no %s of the store is in the metrics", op)
		}
		t.Log(found)
	}
}

// aBucket opens one of a real store's.
func aBucket(t *testing.T, server *s3test.Server) *s3.Store {
	t.Helper()
	s, err := s3.Open(t.Context(), s3.Config{Bucket: server.Bucket(), Endpoint: server.Endpoint}, config.WithCredentialsProvider(server.Credentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestRealBucketsPassTheProbeAndKeepNothingOfIt(t *testing.T) {
	for name, begin := range map[string]func(testing.TB) *s3test.Server{"minio": s3test.MinIO, "versitygw": s3test.Versity} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := aBucket(t, begin(t))
			for range 2 {
				if err := probe(t.Context(), s); err != nil {
					t.Fatal(err)
				}
			}
			if f := putSpeed(t.Context(), s); !strings.Contains(f.Says, "for 1.0 MiB, median of 7") {
				t.Errorf("%+v", f)
			}
			if keys := left(t, s); len(keys) > 0 {
				t.Errorf("left behind: %v", keys)
			}
		})
	}
}

// TestABucketThatCannotBeUsedIsToldAtStart: whoever starts us again later is told that it may help, and whoever reads the log what
// to mend.
func TestABucketThatCannotBeUsedIsToldAtStart(t *testing.T) {
	t.Parallel()
	server := s3test.MinIO(t)
	bucket := server.Bucket()
	wrong := append(server.Env(), "AWS_SECRET_ACCESS_KEY=wrong")
	nobody := server.URL(bucket, "")
	nobody = strings.Replace(nobody, server.Endpoint, "http://"+silentAddress(t), 1)
	for name, c := range map[string]struct {
		url     string
		environ []string
		says    string
	}{
		"nobody there":          {nobody, server.Env(), "connection refused"},
		"no such bucket":        {server.URL("no-such-bucket", ""), server.Env(), "there is no such bucket, and none is ever created: 404 NoSuchBucket"},
		"wrong credentials":     {server.URL(bucket, ""), wrong, "the credentials are wrong: 403 SignatureDoesNotMatch"},
		"no credentials":        {server.URL(bucket, ""), append(server.Env(), "AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY="), "no credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role)"},
		"no region to speak of": {"s3://" + bucket, append(server.Env(), "AWS_REGION=", "AWS_DEFAULT_REGION="), "no region: say region= in the store's URL, or AWS_REGION"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := configure(t, c.url, "udp://127.0.0.1:1")
			for _, command := range [][]string{{"serve", "-c", file}, {"serve", "-c", file, "--role", "origin"}, {"verify", "c", "-c", file}, {"doctor", "-c", file}} {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				cmd := exec.CommandContext(ctx, binary(t), command...)
				cmd.Env = append(os.Environ(), c.environ...)
				cmd.Dir = t.TempDir()
				out, err := cmd.CombinedOutput()
				cancel()
				want := exitUnreachable
				if command[0] == "doctor" {
					want = exitFailed
				}
				var exit *exec.ExitError
				if !errors.As(err, &exit) || exit.ExitCode() != want || !strings.Contains(string(out), c.says) {
					t.Errorf("%v: %v, want exit %d and %q:\n%s", command, err, want, c.says, out)
				}
				if strings.Contains(string(out), server.Secret) {
					t.Errorf("%v tells the secret", command)
				}
			}
		})
	}
}

func TestAStoreThatIsSlowToPutIsJudgedByIt(t *testing.T) {
	for took, want := range map[time.Duration]Level{slowPut: levelOK, slowPut + 1: levelWarn, deadPut + 1: levelFail} {
		if f := judgePut(took); f.Level != want || (f.Do == "") != (want == levelOK) {
			t.Errorf("%v: %+v", took, f)
		}
	}
	down := faulty{put: func(context.Context, string, []byte, storage.Put) (storage.Version, error) {
		return "", errors.New("down")
	},
		delete: func(context.Context, string) error { return nil }}
	if f := putSpeed(t.Context(), down); f.Level != levelFail || f.Says != "down" || f.Do == "" {
		t.Errorf("%+v", f)
	}
}

// silentAddress is one where nobody listens.
func silentAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return fmt.Sprint(l.Addr())
}
