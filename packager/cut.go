package packager

import (
	"time"

	"flambeau/packager/timeline"
)

// Cut is one thing that a Channel has decided. It is one of *Opened, *Joined, *Adopted, *Closed and *Lost. Whoever gets it owns it.
type Cut interface{ cut() }

// Opened is a generation that begins: its record, and the initialization segments that its renditions need. Everything that
// follows it, up to the next Opened, is of this generation.
type Opened struct {
	Shape      *timeline.Shape // the channel begins too; nil: its shape is known already
	Generation timeline.Generation
	Inits      []Init
}

// Joined says that what follows goes on in the newest generation, after a silence or a restart. Its initialization segments are those that the
// generation began with.
type Joined struct {
	Inits []Init
}

// Adopted says that what follows goes on where the store stands, in its newest generation, whoever began it.
type Adopted struct {
	Past
}

// Init is an initialization segment.
type Init struct {
	Rendition string
	Hash      timeline.Hash
	Body      []byte
}

// Closed is the one entry of a slot in a rendition: a segment, or a tombstone if the row says Gap.
type Closed struct {
	Rendition string
	Row       timeline.Row
	Body      []byte
	Frames    int64 // in it
	Whole     bool  // its worker saw every track without loss, from before it could be cut up to what closed it
	Of        timeline.GenerationName
	Arrived   time.Time // when the last frame of it came in; zero for a tombstone
	Drift     drift     // of the reference, while the slot was open
}

// Lost names what is not in the archive.
type Lost struct {
	timeline.Loss
}

func (*Opened) cut()  {}
func (*Joined) cut()  {}
func (*Adopted) cut() {}
func (*Closed) cut()  {}
func (*Lost) cut()    {}
