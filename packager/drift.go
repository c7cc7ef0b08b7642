package packager

import (
	"time"

	"flambeau/packager/timeline"
)

// DriftObserver is an Observer that wants to know how far a channel's media time is from UTC, by this worker's clock. Positive: media
// time is ahead. It is measured and told, and nothing follows from it: timestamps are never bent.
type DriftObserver interface{ Drift(ahead time.Duration) }

// drift is the largest that was measured since it was last told: on its way a frame can only be late, so the one that was least is nearest
// to the truth.
type drift struct {
	ahead time.Duration
	known bool
}

func (d *drift) saw(t timed, timescale uint32) {
	if t.Arrived.IsZero() {
		return
	}
	ahead := timeline.UTC(t.at, timescale).Sub(t.Arrived) // by the wall: media time has no monotonic reading
	if !d.known || ahead > d.ahead {
		*d = drift{ahead, true}
	}
}

// told gives what was measured, and begins anew.
func (d *drift) told() (was drift) {
	was, *d = *d, drift{}
	return was
}

// drifted tells whoever wants to know.
func (p *Publisher) drifted(c *Closed) {
	if o, ok := p.Observe.(DriftObserver); ok && c.Drift.known {
		o.Drift(c.Drift.ahead)
	}
}
