// Command flambeau is a live-video distribution origin: feeds in, CMAF segments in a store, HLS and DASH out.
//
//	arguments ─► run ─► commands ─► demo, serve        the process that serve.go draws
//	                       │        check, doctor      what is wrong with the file, with the machine
//	                       │        verify             what is wrong with the store
//	                       └─ error ─► exitCode
//
// Data goes to stdout, everything else to stderr.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// env is the world as a command sees it.
type env struct {
	stdout, stderr io.Writer
	environ        []string // NAME=value
}

// run is the whole program but for the signals.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	e := env{stdout, stderr, os.Environ()}
	began := false
	root := rootCommand(e, &began)
	root.SetArgs(append([]string{}, args...)) // nil would mean os.Args
	err := root.ExecuteContext(ctx)
	if err != nil && !began {
		err = usageError{err} // whatever cobra refuses before a command has begun
	}
	complain(stderr, err)
	return exitCode(err)
}

// An action is a command with its flags read.
type action func(ctx context.Context, e env, args []string) error

// command is one line of the table: its words, and the wiring that declares its flags and says what they lead to.
type command struct {
	use     string
	short   string
	long    string
	example string
	hidden  bool
	args    cobra.PositionalArgs
	wire    func(c *cobra.Command) action
}

// commands is everything that flambeau does; completion and help are cobra's.
func commands() []command {
	return []command{
		{
			use:   "demo",
			short: "Serve a test feed: one process, no configuration",
			long: "Serves a looping test feed with 2 s segments out of a file store, on the loopback only, and prints the URLs.\n" +
				"The first 8 s are there at once, so that it plays at once.",
			example: "  flambeau demo\n  flambeau demo --data /tmp/flambeau",
			args:    cobra.NoArgs,
			wire:    wireDemo,
		},
		{
			use:   "serve -c FILE",
			short: "Run what the configuration says",
			long: "Runs until SIGTERM or SIGINT, which drain: no longer ready, what is open is closed and stored, exit 0 within 25 s.\n" +
				"A second signal ends it at once.",
			example: "  flambeau serve -c /etc/flambeau.yml\n  FLAMBEAU_LISTEN_MEDIA=:9080 flambeau serve -c flambeau.yml",
			args:    cobra.NoArgs,
			wire:    wireServe,
		},
		{
			use:   "check -c FILE",
			short: "Say everything that is wrong with a configuration",
			long: "Reads the file and the environment as serve would, and prints every problem with its line and column. Exit 78 if\n" +
				"there is any.",
			example: "  flambeau check -c flambeau.yml\n  flambeau check -c flambeau.yml --json",
			args:    cobra.NoArgs,
			wire:    wireCheck,
		},
		{
			use:   "verify CHANNEL -c FILE",
			short: "Walk a channel's store and print every promise that does not hold",
			long: "Reads what the store holds of a channel and names every object that breaks a promise. Exit 1 if any does,\n" +
				"75 if the store does not answer.",
			example: "  flambeau verify curling-a -c flambeau.yml\n" +
				"  flambeau verify curling-a -c flambeau.yml --from 2026-02-06T19:00:00Z --to 2026-02-06T23:00:00Z",
			args: exactly("CHANNEL"),
			wire: wireVerify,
		},
		{
			use:   "doctor -c FILE",
			short: "Say what this machine lacks, and probe the store",
			long: "Looks at receive buffers, open files, ports, the clock, the inputs, the disk and the cost of an fsync there (or of a\n" +
				"put into the bucket), and tries the promises of the store on objects below probe/, which it deletes. Exit 1 if\n" +
				"something fails.",
			example: "  flambeau doctor -c flambeau.yml\n  flambeau doctor -c flambeau.yml --json",
			args:    cobra.NoArgs,
			wire:    wireDoctor,
		},
		{
			use:     "version",
			short:   "Print version, revision and Go version",
			example: "  flambeau version\n  flambeau version --json",
			args:    cobra.NoArgs,
			wire:    wireVersion,
		},
		{
			use:     "man DIR",
			short:   "Write man pages into a folder",
			example: "  flambeau man /usr/local/share/man/man1",
			hidden:  true,
			args:    exactly("DIR"),
			wire:    wireMan,
		},
	}
}

func rootCommand(e env, began *bool) *cobra.Command {
	root := &cobra.Command{
		Use:           "flambeau",
		Short:         "A live-video distribution origin: MPEG-TS feeds in, HLS and DASH out",
		Example:       "  flambeau demo\n  flambeau check -c flambeau.yml\n  flambeau serve -c flambeau.yml",
		Version:       readBuild().Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs, // so that an unknown command comes to us
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{fmt.Errorf("which command? See 'flambeau --help'")}
			}
			return usageError{unknown("command", args[0], commandNames(c))}
		},
		PersistentPreRun: func(*cobra.Command, []string) { *began = true },
	}
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	for _, c := range commands() {
		root.AddCommand(c.cobra(e))
	}
	completionWants(root)
	return root
}

// completionWants makes cobra's completion refuse a shell that it does not know: by itself it prints its help and succeeds.
func completionWants(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() != "completion" {
			continue
		}
		c.Args = cobra.ArbitraryArgs
		c.RunE = func(c *cobra.Command, args []string) error {
			return usageError{unknown("shell", strings.Join(args, " "), commandNames(c))}
		}
	}
}

func (c command) cobra(e env) *cobra.Command {
	out := &cobra.Command{
		Use: c.use, Short: c.short, Long: c.long, Example: c.example, Hidden: c.hidden, Args: c.args,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	do := c.wire(out)
	out.RunE = func(cc *cobra.Command, args []string) error { return do(cc.Context(), e, args) }
	return out
}

func commandNames(root *cobra.Command) (names []string) {
	for _, c := range root.Commands() {
		if !c.Hidden {
			names = append(names, c.Name())
		}
	}
	return names
}

// exactly wants one positional argument and calls it by its name when it is missing.
func exactly(name string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch len(args) {
		case 0:
			return fmt.Errorf("%s is missing", name)
		case 1:
			return nil
		}
		return fmt.Errorf("one %s only, not also %q", name, args[1])
	}
}

type demoOptions struct {
	Data string // folder of the store
}

func wireDemo(c *cobra.Command) action {
	var o demoOptions
	c.Flags().StringVar(&o.Data, "data", "./flambeau-data", "folder of the file `DIR` store")
	return func(ctx context.Context, e env, _ []string) error { return demo(ctx, e, o) }
}

type serveOptions struct {
	File     string   // that Config was read from
	Config   Config   //
	Warnings []string // to be logged once
	Role     string   // "all", "ingest" or "origin"
}

func wireServe(c *cobra.Command) action {
	var o serveOptions
	file := configFlag(c)
	c.Flags().StringVar(&o.Role, "role", "all", "what this process does: all, ingest or origin")
	return func(ctx context.Context, e env, _ []string) error {
		if err := oneOf("--role", o.Role, "all", "ingest", "origin"); err != nil {
			return err
		}
		l, err := file.load(e)
		if err != nil {
			return err
		}
		o.File, o.Config, o.Warnings = l.File, l.Config, l.warnings()
		return serve(ctx, e, o)
	}
}

type verifyOptions struct {
	Config   Config
	Channel  string
	From, To time.Time // of media time; zero: from the beginning, to the end
	printing           // --format, -o
}

func wireVerify(c *cobra.Command) action {
	var o verifyOptions
	file := configFlag(c)
	o.printing.flags(c)
	c.Flags().Var((*instant)(&o.From), "from", "look at nothing before this `TIME` (RFC 3339 or Unix seconds)")
	c.Flags().Var((*instant)(&o.To), "to", "look at nothing from this `TIME` on")
	return func(ctx context.Context, e env, args []string) error {
		l, err := file.load(e)
		if err != nil {
			return err
		}
		o.Config, o.Channel = l.Config, args[0]
		if _, ok := o.Config.Channel(o.Channel); !ok {
			return usageError{unknown("channel", o.Channel, o.Config.channelIDs())}
		}
		if !o.From.IsZero() && !o.To.IsZero() && !o.To.After(o.From) {
			return usageError{fmt.Errorf("--to is not after --from")}
		}
		return verify(ctx, e, o)
	}
}

func wireCheck(c *cobra.Command) action {
	var p printing
	file := configFlag(c)
	p.flags(c)
	return func(_ context.Context, e env, _ []string) error {
		name, err := file.name()
		if err != nil {
			return err
		}
		return check(e, name, p)
	}
}

func wireDoctor(c *cobra.Command) action {
	var p printing
	file := configFlag(c)
	p.flags(c)
	return func(ctx context.Context, e env, _ []string) error {
		l, err := file.load(e)
		if err != nil {
			return err
		}
		return doctor(ctx, e, l.Config, p)
	}
}

func wireVersion(c *cobra.Command) action {
	var p printing
	p.flags(c)
	return func(_ context.Context, e env, _ []string) error { return printVersion(e, p) }
}

func wireMan(*cobra.Command) action {
	return func(_ context.Context, e env, args []string) error { return writeMan(e, args[0]) }
}

// configFile is the value of -c.
type configFile string

func configFlag(c *cobra.Command) *configFile {
	var f configFile
	c.Flags().StringVarP((*string)(&f), "config", "c", "", "the configuration `FILE`")
	_ = c.MarkFlagFilename("config", "yml", "yaml") // fails only for a flag that is not there
	return &f
}

func (f configFile) name() (string, error) {
	if f == "" {
		return "", usageError{fmt.Errorf("-c FILE is missing")}
	}
	return string(f), nil
}

func (f configFile) load(e env) (loaded, error) {
	name, err := f.name()
	if err != nil {
		return loaded{}, err
	}
	l := loadConfig(name, e.environ)
	return l, l.err()
}

// instant is a point of media time on the command line.
type instant time.Time

func (t *instant) Type() string { return "TIME" }

func (t *instant) String() string {
	if time.Time(*t).IsZero() {
		return ""
	}
	return time.Time(*t).Format(time.RFC3339Nano)
}

func (t *instant) Set(s string) error {
	if at, err := time.Parse(time.RFC3339Nano, s); err == nil {
		*t = instant(at)
		return nil
	}
	seconds, err := strconv.ParseInt(s, 10, 64)
	if err != nil || seconds < 0 || seconds > 1<<33 { // the year 2242: milliseconds would land beyond it
		return fmt.Errorf("want RFC 3339 such as 2026-02-06T19:00:00Z, or Unix seconds")
	}
	*t = instant(time.Unix(seconds, 0).UTC())
	return nil
}
