// Command rig runs flambeau with all that stands around it on one machine, as plain processes on the loopback, until it is told to stop:
//
//	feed (ffmpeg) ──udp──► flambeau ──s3──► MinIO
//	                          │  ▲
//	 broadcaster ◄────http────┘  └──scrape── Prometheus
//
// Files are in a temporary folder that goes with it, unless -data names one. A child that ends by itself ends the rig, with the last lines
// of its log; then the folder stays.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"text/tabwriter"
	"time"
)

// readyLimit is how long each child may take until it answers.
const readyLimit = time.Minute

func main() {
	// The children are told to die with the thread that starts them: with this one, which lives as long as the rig.
	runtime.LockOSThread()
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "rig:", err)
		os.Exit(1)
	}
}

// options are what the command line says.
type options struct {
	data     string
	deploy   string
	flambeau string
	shift    int
}

func run(args []string, stdout io.Writer) (err error) {
	var o options
	flags := flag.NewFlagSet("rig", flag.ContinueOnError)
	flags.StringVar(&o.data, "data", "", "folder to keep everything in; default: a temporary one")
	flags.StringVar(&o.deploy, "deploy", "deploy", "folder with rig and prometheus")
	flags.StringVar(&o.flambeau, "flambeau", "bin/flambeau", "the binary")
	flags.IntVar(&o.shift, "shift", 0, "is added to every port, where the usual ones are taken")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the rig at once, and its children with it
	r, err := newRig(o)
	if err != nil {
		return err
	}
	defer func() { err = r.end(err) }()
	if err := r.start(ctx); err != nil || ctx.Err() != nil {
		return err
	}
	r.tell(stdout)
	return r.family.wait(ctx)
}

// rig is a running one.
type rig struct {
	options
	temporary bool // data goes with the rig
	tools     tools
	key       string // MinIO's user and password: new each time
	secret    string
	family    family
}

func newRig(o options) (*rig, error) {
	r := &rig{options: o, key: rand.Text(), secret: rand.Text()}
	var err error
	if r.tools, err = findTools(o); err != nil {
		return nil, err
	}
	if err := free(o.shift); err != nil {
		return nil, err
	}
	if r.temporary = o.data == ""; r.temporary {
		r.data, err = os.MkdirTemp("", "flambeau-rig-")
	} else if r.data, err = filepath.Abs(o.data); err == nil {
		err = os.MkdirAll(r.data, 0o755)
	}
	return r, err
}

// start brings up one after the other, each when it can lean on those before it.
func (r *rig) start(ctx context.Context) error {
	if err := r.configure(); err != nil {
		return err
	}
	for _, c := range r.children() {
		if ctx.Err() != nil {
			return nil
		}
		fmt.Fprintln(os.Stderr, "rig: starting", c.name)
		if err := r.family.start(c); err != nil {
			return err
		}
		if err := r.family.answers(ctx, c, readyLimit); err != nil {
			return err
		}
	}
	return nil
}

// end stops what was started, the newest first: the feed before flambeau, flambeau before its store.
func (r *rig) end(err error) error {
	err = errors.Join(err, r.family.stop())
	if r.temporary && err == nil {
		return os.RemoveAll(r.data)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "rig: all logs are in", r.data)
	}
	return err
}

func (r *rig) tell(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer t.Flush()
	fmt.Fprintf(t, "HLS\t%s\n", r.url(media, "/live/rig/index.m3u8"))
	fmt.Fprintf(t, "DASH\t%s\n", r.url(media, "/live/rig/manifest.mpd"))
	fmt.Fprintf(t, "metrics\t%s\n", r.url(metrics, "/metrics"))
	fmt.Fprintf(t, "Prometheus\t%s\n", r.url(prometheus, "/"))
	fmt.Fprintf(t, "MinIO\t%s\tuser %s, password %s\n", r.url(console, "/browser/"+bucket), r.key, r.secret)
	fmt.Fprintf(t, "logs\t%s\n", r.data)
	fmt.Fprintln(t, "Ctrl-C ends it all.")
}
