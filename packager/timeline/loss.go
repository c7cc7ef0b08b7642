package timeline

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
)

// Loss is a record of what was received, or should have been, and is not in the archive.
type Loss struct {
	Format  int         `json:"format"`
	Channel string      `json:"channel"`
	Worker  string      `json:"worker"`
	Slot    int64       `json:"slot"` // the slot that was open
	Entries []LossEntry `json:"entries"`
}

// LossEntry names one kind of loss on one track within the record's slot.
type LossEntry struct {
	Track     int    `json:"track"`               // of the feed; 0: all of it
	Rendition string `json:"rendition,omitempty"` // "" where the track never became one
	Reason    string `json:"reason"`
	Frames    int64  `json:"frames"` // samples that were received and are not in the archive
	Units     int64  `json:"units"`  // packets and the like that were missed or unusable
	// First and Last are the presentation times of the first and last of them: media time in ticks of Timescale if Rendition
	// is named, else source ticks.
	First     int64  `json:"first"`
	Last      int64  `json:"last"`
	Timescale uint32 `json:"timescale"`
	// Duration is how much media time is missing for it, ticks; 0 where that is not known.
	Duration int64 `json:"duration"`
}

// Add counts one more loss into the record, in the entry of its track and reason.
func (l *Loss) Add(e LossEntry) {
	i := slices.IndexFunc(l.Entries, func(o LossEntry) bool {
		return o.Track == e.Track && o.Reason == e.Reason && o.Rendition == e.Rendition
	})
	if i < 0 {
		l.Entries = append(l.Entries, e)
		return
	}
	o := &l.Entries[i]
	o.Frames += e.Frames
	o.Units += e.Units
	o.Duration += e.Duration
	o.First, o.Last = min(o.First, e.First), max(o.Last, e.Last)
}

// Encode gives the record's bytes and their hash.
func (l Loss) Encode() ([]byte, Hash) {
	slices.SortFunc(l.Entries, func(a, b LossEntry) int {
		return cmp.Or(cmp.Compare(a.Track, b.Track), cmp.Compare(a.Rendition, b.Rendition), cmp.Compare(a.Reason, b.Reason))
	})
	return encodeJSON(l)
}

// DecodeLoss reads what Encode wrote.
func DecodeLoss(b []byte) (l Loss, err error) {
	if err := json.Unmarshal(b, &l); err != nil {
		return l, fmt.Errorf("timeline: loss record: %w", err)
	}
	if l.Format != Format {
		return l, fmt.Errorf("timeline: loss record: format %d, this is %d", l.Format, Format)
	}
	return l, nil
}
