package packager

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"flambeau/packager/timeline"
	"flambeau/storage"
)

const (
	// rootRows is how much media a root keeps as rows of its own; older ones are in pages. It keeps a root small enough to be
	// written once a slot.
	rootRows = 2 * time.Minute
	// putRetryFirst and putRetryMost bound the wait between two tries of one put. It is tried until the store takes it.
	putRetryFirst = 100 * time.Millisecond
	putRetryMost  = 5 * time.Second
	// putLeast and putTimeout bound what one try may take.
	putLeast   = 4 * time.Second
	putTimeout = 15 * time.Second
)

// Observer is told what a publisher did. Its methods must not block.
type Observer interface {
	Segment(rendition string, result string, wait time.Duration) // result: stored, gap, divergent; wait: last frame in → readable
	Lost(seconds float64)
	Divergence()
	Visible() // something more can be read
}

// PublisherConfig is what a Publisher is told.
type PublisherConfig struct {
	Channel string
	Worker  string
	Store   storage.Store
	Spool   *Spool // nil: what the store has not taken yet waits in memory
	Edge    *Edge  // where spooled media is shown at once; nil: nowhere
	Pair    bool   // another worker packages the same feed
	Observe Observer
	Log     *slog.Logger
}

// Publisher makes cuts durable, then visible. It is the only writer of its worker's index.
//
//	Cut ─► batch ─► spool ─► put objects (create-only) ─► acknowledged ─► rows into the index ─► put root (compare-and-swap)
//	                  └────► edge
//
// If the power fails after an object and before the root, the object stands unseen under a name that the same bytes will
// claim again; nothing that a viewer was told of is missing.
type Publisher struct {
	PublisherConfig
	past Past // that the machine goes on after

	// Owned by the spooling loop of Run.
	composer composer
	shelf    *shelf // nil without a spool

	queue queue

	// What this process's origin is shown of the channel; both loops change it.
	showing sync.Mutex
	base    timeline.Index // the newest root in the store

	// Of a paired channel.
	chain *chain
	stale bool // what is proposed was proposed before the machine heard that its generation is void

	// Owned by the putting loop of Run.
	opened  bool // the store was asked where the channel stands
	index   timeline.Index
	version storage.Version
	shape   *timeline.Shape
	line    timeline.Generation // of the rows listed last
	lines   map[string]int64    // the last slot listed of each of its renditions
	names   map[int]timeline.GenerationName
	gens    map[int]timeline.Generation
	begun   map[timeline.GenerationName]timeline.Generation // own proposals
}

// openPatience is how long a worker waits for the store to say where the channel stands. Then it goes on from what it has of the channel in its
// spool, or fails, and is begun again.
const openPatience = 10 * time.Second

// openTries is how often it asks a store that answers with an error, openAgain apart at first: an opening takes a request for every generation
// that is still listed, and one that fails is no reason to begin the process again.
const (
	openTries = 4
	openAgain = 100 * time.Millisecond
)

// OpenPublisher finds out where the channel stands: from the store, and from what is spooled and on its way there.
func OpenPublisher(ctx context.Context, c PublisherConfig) (*Publisher, error) {
	p := &Publisher{
		PublisherConfig: c, queue: newQueue(), lines: map[string]int64{}, names: map[int]timeline.GenerationName{}, gens: map[int]timeline.Generation{},
		begun: map[timeline.GenerationName]timeline.Generation{}, chain: newChain(),
	}
	if c.Edge == nil || c.Pair {
		p.Edge = NewEdge(c.Store) // shows what nobody looks at
	}
	if c.Spool == nil {
		if err := p.openSoon(ctx, false); err != nil {
			return nil, err
		}
	} else if err := p.takeUp(ctx); err != nil {
		return nil, err
	}
	p.composer = composer{channel: c.Channel, worker: c.Worker, past: p.past.clone(), alone: !p.opened}
	return p, nil
}

// Standing is what is known of the store; changed is closed when there is more to be known. Of a channel that is not paired it says nothing.
func (p *Publisher) Standing() (s Standing, changed <-chan struct{}) {
	if !p.Pair {
		return s, nil
	}
	_, _, changed = p.chain.at("", 0)
	return p.chain.standing(), changed
}

// takeUp goes on with what an earlier process left in the spool.
func (p *Publisher) takeUp(ctx context.Context) error {
	shelf, waiting, broken, err := p.Spool.shelf(p.Channel)
	if err != nil {
		return err
	}
	if broken > 0 {
		p.Log.Error("spool files set aside", "channel", p.Channel, "files", broken, "reason", "their heads are damaged")
	}
	p.shelf = shelf
	for _, b := range waiting {
		p.queue.push(b)
	}
	spooled := shelf.kept
	if len(waiting) > 0 {
		spooled = waiting[len(waiting)-1].Past
	}
	if err := p.openSoon(ctx, len(waiting) > 0); err != nil {
		if spooled.Shape == nil || ctx.Err() != nil {
			p.Close()
			return err
		}
		p.Log.Warn("store does not say where the channel stands", "channel", p.Channel, "err", err, "spooled", len(waiting))
	}
	if p.opened && len(waiting) > 0 && p.otherShape(spooled, waiting) {
		p.Log.Error("spool set aside", "channel", p.Channel, "files", len(waiting), "reason", "the store has another shape for this channel")
		p.queue.drop(len(waiting))
		return p.shelf.setAside(waiting)
	}
	if !p.opened || len(waiting) > 0 && (ahead(spooled, p.past) || !p.Pair && !ahead(p.past, spooled)) {
		p.past = spooled
	}
	for _, b := range waiting {
		p.Edge.show(b)
	}
	p.showEdge()
	return nil
}

// otherShape tells whether what is spooled can't be of the channel that the store has, or has not.
func (p *Publisher) otherShape(spooled Past, waiting []*batch) bool {
	if p.past.Shape == nil {
		return !slices.ContainsFunc(waiting, func(b *batch) bool {
			return slices.ContainsFunc(b.Objects, func(o object) bool { return o.Key == timeline.ShapeKey(p.Channel) })
		})
	}
	return !sameShape(p.past.Shape, spooled.Shape)
}

// openSoon opens in a few tries, within openPatience.
func (p *Publisher) openSoon(ctx context.Context, waiting bool) (err error) {
	ctx, cancel := context.WithTimeout(ctx, openPatience)
	defer cancel()
	for n := range openTries {
		if err = p.open(ctx, waiting); err == nil || n == openTries-1 {
			break
		}
		select {
		case <-time.After(openAgain << n):
		case <-ctx.Done():
			return err
		}
	}
	return err
}

func sameShape(a, b *timeline.Shape) bool {
	if a == nil || b == nil {
		return a == b
	}
	_, x := a.Encode()
	_, y := b.Encode()
	return x == y
}

// ahead tells whether a is where the channel stands after b.
func ahead(a, b Past) bool {
	return a.Shape != nil && (b.Shape == nil || a.Last.Number > b.Last.Number || a.Last.Number == b.Last.Number && a.Slot > b.Slot)
}

// Close lets go of what was taken up: what waits in the spool, waits for the next who opens it.
func (p *Publisher) Close() {
	waiting := p.queue.all()
	if p.shelf != nil {
		p.shelf.leave(waiting)
	}
	for _, b := range waiting {
		p.Edge.hide(b)
	}
	p.Edge.root(p.Channel, p.Worker, nil)
}

// Waiting is for how long the oldest closed segment has waited for the store to take it; 0 when none waits. It may be called at any time.
func (p *Publisher) Waiting() time.Duration { return p.queue.oldest() }

// Past is what a Channel needs to go on.
func (p *Publisher) Past() Past { return p.past }

const (
	// batchCuts is how many cuts are spooled together.
	batchCuts = 32
	// rootBatches is how many batches one root makes visible at most, when they have piled up.
	rootBatches = 16
	// putsAtOnce is how many objects of a batch are put at the same time.
	putsAtOnce = 8
	// finishLimit is how long a publisher with a spool tries to bring everything to the store when it is to end; the rest stays in the spool.
	finishLimit = 8 * time.Second
)

// Run publishes cuts until the channel of them is closed. It ends early with its context, or if a name that it needs is taken. released is
// told of how many bytes of cuts are no longer held in memory.
//
//	cuts ─► compose ─► spool ─► queue ─► put ─► root
func (p *Publisher) Run(ctx context.Context, cuts <-chan Cut, released func(int64)) error {
	defer p.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var watching sync.WaitGroup
	if p.Pair {
		watch, stop := context.WithCancel(ctx)
		watching.Go(func() { p.watch(watch) })
		defer watching.Wait()
		defer stop()
	}
	put := make(chan error, 1)
	go func() {
		err := guarded(func() error { return p.putAll(ctx, released) })
		if err != nil {
			cancel(err)
		}
		put <- err
	}()
	err := p.spoolAll(ctx, cuts, released)
	p.queue.close()
	if err == nil && p.shelf != nil {
		defer time.AfterFunc(finishLimit, func() { cancel(errUnfinished) }).Stop()
	}
	failed := <-put
	if errors.Is(failed, errUnfinished) || errors.Is(context.Cause(ctx), errUnfinished) {
		p.Log.Warn("left in the spool", "channel", p.Channel, "batches", len(p.queue.all()))
		return nil
	}
	if err = cmp.Or(failed, err); err != nil {
		return fmt.Errorf("publish %s: %w", p.Channel, err)
	}
	return nil
}

var errUnfinished = errors.New("packager: the store did not take everything in time")
