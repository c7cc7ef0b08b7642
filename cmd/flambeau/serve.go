package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"flambeau/ingest"
	"flambeau/origin"
	"flambeau/packager"
	"flambeau/packager/media"
	"flambeau/packager/timeline"
	"flambeau/storage"
)

const (
	// drainLimit is how long open segments may take to be closed and stored once the process is told to stop.
	drainLimit = 20 * time.Second
	// closeLimit is how long answers that are being written may take after that.
	closeLimit = 3 * time.Second
	// eventQueue is how many events may wait between a worker and its channel's machine; a live worker drops and counts what
	// comes beyond.
	eventQueue = 1024
	// headerLimit and headerBytes are what a client may take, in time and size, to say what it wants.
	headerLimit = 10 * time.Second
	headerBytes = 16 << 10
	// idleLimit is how long a connection is kept that asks for nothing.
	idleLimit = 2 * time.Minute
	// maxConnections is how many connections the media listener has open; further ones wait in the kernel's queue.
	maxConnections = 20_000
	// healthLimit is what a client of the metrics listener may take to read its answer; then its connection is closed.
	healthLimit = time.Minute
	// askEvery is how often /readyz asks the store at most, askLimit what an answer may take, and silenceLimit for how long there may
	// be none before the process is not ready: one lost answer sends nobody away.
	askEvery     = time.Second
	askLimit     = 2 * time.Second
	silenceLimit = 5 * time.Second
	// lookLimit is how long a follower may go without having looked before /livez says that its loop stands still.
	lookLimit = 30 * time.Second
	// againFirst and againMost bound the wait before a channel whose packaging failed is begun again.
	againFirst = time.Second
	againMost  = 30 * time.Second
)

// process is what serve and demo run.
//
//	             ┌─ per channel, role all or ingest ──────────────────────────────────┐
//	inputs ─────►│ worker ─► events ─► machine ─► cuts ─► spool ─► publisher ─► store │
//	             └─────────────────────────────────────────┬────────────────┬─────────┘
//	             ┌─ per channel, role all or origin ─────┐ │ poke           │
//	broadcaster ◄│ media listener ◄─ view ◄─ follower ◄──┼─┴─ edge ◄─ cache ┘
//	             └───────────────────────────────────────┘
//	operator ◄── admin, metrics listeners
type process struct {
	log      *slog.Logger
	config   Config
	store    storage.Store
	unproved *unproved       // the store, if it did not answer at start; else nil
	spool    *packager.Spool // nil: the store needs none
	cache    *storage.Cache  // before the store, for those who read; nil: the store needs none
	edge     *packager.Edge  // what readers see: the store, through its cache, and over it what is spooled here
	metrics  *metrics
	inputs   map[string][]ingest.Source // of each channel
	role     string
	draining chan struct{} // closed at the first sign of the end
	answers  answers

	followers origin.Channels
	addresses map[string]net.Addr // of the listeners, by name
}

func serve(ctx context.Context, e env, o serveOptions) error {
	log := slog.New(newQuiet(slog.NewTextHandler(e.stderr, nil)))
	for _, w := range o.Warnings {
		log.Warn("configuration", "warning", w)
	}
	inputs := map[string][]ingest.Source{}
	for _, ch := range o.Config.Channels {
		for _, in := range ch.Inputs {
			s, err := openInput(in, log)
			if err != nil {
				return fmt.Errorf("channel %s: input %s: %w", ch.ID, inputName(in), err)
			}
			inputs[ch.ID] = append(inputs[ch.ID], s)
		}
	}
	p, err := newProcess(ctx, log, o.Config, o.Role, inputs)
	if err != nil {
		return err
	}
	log.Warn("no broadcasters are configured: everything is open to everyone")
	return p.run(ctx, nil)
}

// newProcess opens the store and the spool, and probes the store.
func newProcess(ctx context.Context, log *slog.Logger, c Config, role string, inputs map[string][]ingest.Source) (*process, error) {
	s, err := openStore(ctx, c.Store)
	if err != nil {
		return nil, err
	}
	m := newMetrics(log)
	p := &process{
		log: log, config: c, role: role, inputs: inputs, metrics: m,
		draining: make(chan struct{}), followers: origin.Channels{}, addresses: map[string]net.Addr{},
	}
	if err := p.openSpool(); err != nil {
		return nil, err
	}
	if s, err = p.proved(ctx, s); err != nil {
		if p.spool != nil {
			p.spool.Close()
		}
		return nil, fmt.Errorf("store probe: %w", err)
	}
	p.store = storage.Observed(s, m.storeRequest)
	p.edge = packager.NewEdge(p.openCache())
	return p, nil
}

// proved probes the store. One that does not answer is the end, with exit 75, but for a worker that can go on from its spool: a store outage
// that loses nothing while a worker runs loses nothing when it is started again.
func (p *process) proved(ctx context.Context, s storage.Store) (storage.Store, error) {
	if p.role == "origin" {
		return s, answering(ctx, s) // it writes nothing, and may have no right to
	}
	stands := p.spool != nil && p.spool.Stands(p.config.Store.name(), p.config.channelIDs())
	if !stands {
		if err := probe(ctx, s); err != nil || p.spool == nil {
			return s, err
		}
		return s, p.spool.Before(p.config.Store.name())
	}
	short, cancel := context.WithTimeout(ctx, spoolPatience)
	defer cancel()
	err := probe(short, s)
	var unreachable storeUnreachable
	if !errors.As(err, &unreachable) {
		return s, err
	}
	p.log.Error("store does not answer: going on from the spool", "err", err)
	p.unproved = &unproved{Store: s}
	return p.unproved, nil
}

// openCache puts a cache before the store. A file store needs none: its files are sent by the kernel, which keeps them.
func (p *process) openCache() storage.Store {
	if !p.reads() || p.config.Store.Kind == "file" {
		p.metrics.cacheBytes(func() int64 { return 0 })
		return p.store
	}
	p.cache = storage.Cached(p.store, p.config.Cache.Size, timeline.Immutable, p.metrics.cacheRequest)
	p.metrics.cacheBytes(p.cache.Bytes)
	return p.cache
}

// openSpool takes the worker's spool. A file store needs none: its disk is the spool's.
func (p *process) openSpool() (err error) {
	used, size := func() int64 { return 0 }, int64(0)
	if p.writes() && p.config.Store.Kind != "file" {
		if p.spool, err = packager.OpenSpool(p.config.Spool.Dir, p.config.Spool.Size); err != nil {
			return err
		}
		used, size = p.spool.Used, p.config.Spool.Size
	}
	p.metrics.spool(used, size)
	return nil
}

func (p *process) writes() bool { return p.role != "origin" }
func (p *process) reads() bool  { return p.role != "ingest" }

// run runs until ctx ends, and then stops well: not ready, held requests answered, open segments closed and stored, listeners
// closed. began is told when the listeners listen.
func (p *process) run(ctx context.Context, began func()) error {
	var servers []*http.Server
	var serving sync.WaitGroup
	failed := make(chan error, 4)
	for _, l := range p.listeners() {
		ln, err := net.Listen("tcp", l.address)
		if err != nil {
			return fmt.Errorf("listen for %s: %w", l.name, err)
		}
		p.addresses[l.name] = ln.Addr()
		p.log.Info("listening", "for", l.name, "address", ln.Addr().String())
		srv := &http.Server{
			Handler: l.handler, ReadHeaderTimeout: headerLimit, MaxHeaderBytes: headerBytes, IdleTimeout: idleLimit,
			WriteTimeout: l.writing, ErrorLog: slog.NewLogLogger(p.log.Handler(), slog.LevelWarn),
		}
		if l.connections > 0 {
			limited := limit(ln, l.connections)
			ln, srv.ConnState = limited, limited.state
		}
		servers = append(servers, srv)
		serving.Go(func() {
			if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		})
	}
	follow, stopFollowing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopFollowing()
	var following, writing sync.WaitGroup
	for _, f := range p.followers {
		following.Go(func() { f.Run(follow) })
	}
	pull, stopPulling := context.WithCancel(ctx)
	defer stopPulling()
	if p.unproved != nil {
		writing.Go(func() {
			if err := p.unproved.prove(pull, p.log); err != nil {
				failed <- fmt.Errorf("store probe: %w", err)
			}
		})
	}
	if p.writes() {
		for _, ch := range p.config.Channels {
			writing.Go(func() { p.write(pull, ch) })
		}
	}
	if began != nil {
		began()
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	p.log.Info("stopping")
	close(p.draining)
	stopPulling()
	writing.Wait()
	stopFollowing()
	following.Wait()
	bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
	defer cancel()
	for _, srv := range servers {
		if srv.Shutdown(bye) != nil {
			srv.Close()
		}
	}
	serving.Wait()
	p.log.Info("stopped")
	return err
}

// write packages one channel until ctx ends; what fails is begun again.
func (p *process) write(ctx context.Context, ch ChannelConfig) {
	for wait := againFirst; ; wait = min(2*wait, againMost) {
		start := time.Now()
		err := p.writeOnce(ctx, ch)
		if ctx.Err() != nil {
			if err != nil {
				p.log.Error("channel not closed", "channel", ch.ID, "err", err)
			}
			return
		}
		if err == nil {
			// Every input has ended by itself, and what they gave is stored: a file without loop.
			p.log.Info("feed ended", "channel", ch.ID)
			<-ctx.Done()
			return
		}
		if time.Since(start) > againMost {
			wait = againFirst
		}
		p.log.Error("channel failed", "channel", ch.ID, "err", err, "retry_in", wait)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// writeOnce draws a channel: worker ─► events ─► machine ─► publisher.
func (p *process) writeOnce(ctx context.Context, ch ChannelConfig) (err error) {
	observe := p.metrics.channel(ch.ID, feedReasons(), func() {
		if f := p.followers[ch.ID]; f != nil {
			f.Poke()
		}
	})
	pub, err := packager.OpenPublisher(ctx, packager.PublisherConfig{
		Channel: ch.ID, Worker: p.config.Worker, Store: p.store, Spool: p.spool, Edge: p.edge, Pair: ch.Pair, Observe: observe, Log: p.log,
	})
	if err != nil {
		return err
	}
	observe.waits(pub.Waiting)
	machine := packager.NewChannel(packager.Config{
		Channel: ch.ID, Worker: p.config.Worker, Segment: ch.Segment, Part: ch.Part, Pair: ch.Pair,
	}, pub.Past())

	pull, stop := context.WithCancel(ctx)
	defer stop()
	events := make(chan media.Event, eventQueue)
	worker := ingest.New(ingest.Config{Channel: ch.ID, Inputs: p.inputs[ch.ID], Log: p.log, Observe: observe.feed})
	var pulling sync.WaitGroup
	pulling.Go(func() {
		defer close(events)
		if err := worker.Run(pull, events); err != nil && pull.Err() == nil {
			p.log.Error("worker failed", "channel", ch.ID, "err", err)
		}
	})
	// The drain outlives ctx: what is open when the process is told to stop is still closed and stored.
	drain, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(drainLimit, cancel) })()
	err = packager.Run(drain, events, machine, pub)
	stop()
	for range events {
		// What the worker still says after a failure has nowhere to go; the machine that would name it is gone.
	}
	pulling.Wait()
	return err
}

type listener struct {
	name, address string
	handler       http.Handler
	writing       time.Duration // for a whole answer; 0: the handler sees to it
	connections   int           // at once; 0: no limit
}

// limited accepts a connection when it has a place for it. It hands them out as they are, and learns from the server when one has
// ended: a wrapper round a connection loses sendfile.
type limited struct {
	net.Listener
	places chan struct{}
	closed chan struct{}
	once   sync.Once
}

func limit(ln net.Listener, n int) *limited {
	return &limited{Listener: ln, places: make(chan struct{}, n), closed: make(chan struct{})}
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.places
	}
	return c, err
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// state is the server's ConnState: every connection ends once, in one of two ways.
func (l *limited) state(_ net.Conn, s http.ConnState) {
	if s == http.StateClosed || s == http.StateHijacked {
		<-l.places
	}
}

func (p *process) listeners() (ls []listener) {
	if p.reads() {
		archive := time.Duration(0)
		for _, ch := range p.config.Channels {
			p.followers[ch.ID] = origin.NewFollower(p.edge, ch.ID, ch.Window, p.log)
			p.metrics.follows(ch.ID, p.followers[ch.ID])
			archive = max(archive, ch.Archive)
		}
		media := &origin.Server{Channels: p.followers, Store: p.edge, Archive: archive, Observe: p.metrics, Log: p.log, Draining: p.draining}
		ls = append(ls, listener{name: "media", address: p.config.Listen.Media, handler: media, connections: maxConnections})
	}
	return append(ls,
		listener{name: "admin", address: p.config.Listen.Admin, handler: p.admin()},
		listener{name: "metrics", address: p.config.Listen.Metrics, handler: p.health(), writing: healthLimit})
}

func (p *process) admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// health answers machines. A dark feed makes nothing unready.
func (p *process) health() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(p.metrics.registry, promhttp.HandlerOpts{}))
	say := func(why func() []string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", "no-store")
			if not := why(); len(not) > 0 {
				w.WriteHeader(http.StatusServiceUnavailable)
				fmt.Fprintln(w, strings.Join(not, "\n"))
				return
			}
			fmt.Fprintln(w, "ok")
		}
	}
	mux.HandleFunc("GET /startupz", say(func() []string { return nil })) // it listens, so the store was probed, or the spool stands in for it
	mux.HandleFunc("GET /livez", say(p.stuck))
	mux.HandleFunc("GET /readyz", say(p.unready))
	return mux
}

func (p *process) stuck() (why []string) {
	for id, f := range p.followers {
		if since := time.Since(f.Looked()); since > lookLimit {
			why = append(why, fmt.Sprintf("follower of %s has not looked for %s", id, since.Round(time.Second)))
		}
	}
	slices.Sort(why)
	return why
}

// answers remembers whether the store answers.
type answers struct {
	mu     sync.Mutex
	asked  time.Time
	silent time.Time // since when it has not answered; zero: it has
	err    error
}

// ask asks the store, if nobody has just asked.
func (a *answers) ask(s storage.Store) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.asked.IsZero() || time.Since(a.asked) >= askEvery {
		ctx, cancel := context.WithTimeout(context.Background(), askLimit)
		defer cancel()
		began := time.Now()
		a.err = reach(ctx, s)
		if a.asked = time.Now(); a.err == nil {
			a.silent = time.Time{}
		} else if a.silent.IsZero() {
			a.silent = began
		}
	}
	if a.err == nil || time.Since(a.silent) < silenceLimit {
		return nil
	}
	return fmt.Errorf("the store has not answered for %s: %w", time.Since(a.silent).Round(time.Second), a.err)
}

func (p *process) unready() (why []string) {
	select {
	case <-p.draining:
		return []string{"draining"}
	default:
	}
	if err := p.answers.ask(p.store); err != nil && (p.spool == nil || !p.spool.Room()) {
		why = append(why, err.Error())
	}
	for id, f := range p.followers {
		if !f.Ready() && f.Newest() == nil { // what the spool shows of an index is enough
			why = append(why, "index of "+id+" was not read yet")
		}
	}
	slices.Sort(why)
	return why
}
