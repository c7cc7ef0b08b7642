// Package audit checks what a bucket shows of a channel against the promises: it walks the store and believes nothing.
//
//	shape, roots, pages ─► rows ─► each object: there? its bytes? its boxes? ─► each rendition: gapless? ─► Finding
//	                       names in seg/ that no row has ──────────────────────────────────────────────►
package audit

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"flambeau/packager/cmaf"
	"flambeau/packager/timeline"
	"flambeau/storage"
)

const (
	// maxObject is the longest segment that is read.
	maxObject = 1 << 30
	// inFlight is how many slots after the last row may have objects that no index names yet.
	inFlight = 3
)

// Finding is one promise that does not hold.
type Finding struct {
	Object string `json:"object"` // key
	What   string `json:"what"`
}

func (f Finding) String() string { return f.Object + ": " + f.What }

// Report is what a walk saw.
type Report struct {
	Channel     string    `json:"channel"`
	Generations int       `json:"generations"`
	Renditions  int       `json:"renditions"`
	Segments    int       `json:"segments"`
	Gaps        int       `json:"gaps"`
	Bytes       int64     `json:"bytes"`
	First       time.Time `json:"first"`
	Last        time.Time `json:"last"`
	Losses      int       `json:"losses"`
	Findings    []Finding `json:"findings"`
}

// Span is the media time that is looked at; zero times are open ends.
type Span struct{ From, To time.Time }

func (s Span) has(t time.Time) bool {
	return (s.From.IsZero() || !t.Before(s.From)) && (s.To.IsZero() || t.Before(s.To))
}

// ErrNoChannel says that the store has no shape of that name.
var ErrNoChannel = errors.New("audit: no such channel")

// Run walks a channel. Findings are in the report; the error is of the walk itself.
func Run(ctx context.Context, s storage.Store, channel string, span Span) (Report, error) {
	w := &walk{ctx: ctx, store: s, channel: channel, span: span, losses: map[string][]timeline.LossEntry{}, records: map[int]string{}}
	w.report.Channel = channel
	if err := w.readIndex(); err != nil {
		return w.report, err
	}
	if err := w.readLosses(); err != nil {
		return w.report, err
	}
	for _, step := range []func() error{w.inits, w.rows, w.strays, w.alts} {
		if err := step(); err != nil {
			return w.report, err
		}
	}
	w.borders()
	w.slots()
	return w.report, nil
}

type walk struct {
	ctx     context.Context
	store   storage.Store
	channel string
	span    Span
	report  Report
	tl      timeline.Timeline
	records map[int]string                  // short hash of each generation's record
	losses  map[string][]timeline.LossEntry // of each rendition
}

func (w *walk) find(key, format string, args ...any) {
	w.report.Findings = append(w.report.Findings, Finding{key, fmt.Sprintf(format, args...)})
}

func (w *walk) read(key string, limit int64) ([]byte, error) {
	b, _, err := storage.ReadAll(w.ctx, w.store, key, storage.Get{}, limit)
	return b, err
}

// readIndex reads shape, roots, pages and generation records. What is broken in them is a finding, not the end.
func (w *walk) readIndex() error {
	key := timeline.ShapeKey(w.channel)
	b, err := w.read(key, timeline.MaxRecord)
	if errors.Is(err, storage.ErrNotExist) {
		return fmt.Errorf("%w: %s", ErrNoChannel, w.channel)
	}
	if err != nil {
		return err
	}
	shape, err := timeline.DecodeShape(b)
	if err != nil {
		w.find(key, "%v", err)
		return nil
	}
	w.tl = timeline.New(shape)
	for info, err := range w.store.List(w.ctx, timeline.RootPrefix(w.channel), "") {
		if err != nil {
			return err
		}
		if err := w.readRoot(info.Key); err != nil {
			return err
		}
	}
	for _, g := range w.tl.Generations {
		_, hash := g.Encode()
		w.records[g.Number] = hash.Short()
	}
	w.report.Generations = len(w.tl.Generations)
	for _, c := range w.tl.Conflicts {
		w.find(timeline.SegmentKey(w.channel, c.Rendition, c.Slot), "two rows claim it")
	}
	return nil
}

func (w *walk) readRoot(key string) error {
	x, ok, err := w.readIndexObject(key)
	if err != nil || !ok {
		return err
	}
	w.merge(x)
	for _, name := range x.Generations {
		if name.Hash != "" {
			if err := w.readGeneration(name); err != nil {
				return err
			}
		}
	}
	for _, p := range x.Pages {
		page, ok, err := w.readIndexObject(p.Key)
		if err != nil {
			return err
		}
		if ok {
			w.merge(page)
		}
	}
	return nil
}

func (w *walk) readIndexObject(key string) (x timeline.Index, ok bool, err error) {
	b, err := w.read(key, timeline.MaxIndex)
	if errors.Is(err, storage.ErrNotExist) {
		w.find(key, "named by an index, and not there")
		return x, false, nil
	}
	if err != nil {
		return x, false, err
	}
	if x, err = timeline.DecodeIndex(b); err != nil {
		w.find(key, "%v", err)
		return x, false, nil
	}
	return x, true, nil
}

func (w *walk) merge(x timeline.Index) {
	lines := map[string][]timeline.Row{}
	for _, r := range x.Rows {
		lines[r.Rendition] = append(lines[r.Rendition], r.Row)
	}
	for id, rows := range lines {
		w.tl = w.tl.Append(id, rows...)
	}
}

func (w *walk) readGeneration(name timeline.GenerationName) error {
	key := timeline.AnchorKeyNamed(w.channel, name)
	b, err := w.read(key, timeline.MaxRecord)
	if errors.Is(err, storage.ErrNotExist) {
		w.find(key, "named by an index, and not there")
		return nil
	}
	if err != nil {
		return err
	}
	g, err := timeline.DecodeGeneration(b)
	if err != nil {
		w.find(key, "%v", err)
		return nil
	}
	if hash := timeline.Hash(sha256.Sum256(b)); hash.Short() != name.Hash || g.Number != name.Number {
		w.find(key, "holds generation %d of hash %s", g.Number, hash.Short())
	}
	w.tl = w.tl.With(g)
	return nil
}

func (w *walk) readLosses() error {
	for info, err := range w.store.List(w.ctx, timeline.LossPrefix(w.channel), "") {
		if err != nil {
			return err
		}
		b, err := w.read(info.Key, timeline.MaxRecord)
		if err != nil {
			return err
		}
		l, err := timeline.DecodeLoss(b)
		if err != nil {
			w.find(info.Key, "%v", err)
			continue
		}
		for _, e := range l.Entries {
			if e.Timescale == 0 {
				w.find(info.Key, "an entry without timescale")
				continue
			}
			w.losses[e.Rendition] = append(w.losses[e.Rendition], e)
		}
		w.report.Losses += len(l.Entries)
	}
	return nil
}

// named tells whether a loss record of the rendition speaks of the time between two instants, to a second.
func (w *walk) named(r timeline.Rendition, from, to int64) bool {
	for _, e := range w.losses[r.ID] {
		margin := int64(e.Timescale)
		if timeline.Rescale(e.First-margin, e.Timescale, r.Timescale) <= max(from, to) && timeline.Rescale(e.Last+margin, e.Timescale, r.Timescale) >= min(from, to) {
			return true
		}
	}
	return false
}

func (w *walk) inits() error {
	seen := map[string]bool{}
	for _, g := range w.tl.Generations {
		for _, r := range g.Renditions {
			key := timeline.InitKey(w.channel, r.ID, r.Init)
			if seen[key] {
				continue
			}
			seen[key] = true
			b, err := w.read(key, maxObject)
			if errors.Is(err, storage.ErrNotExist) {
				w.find(key, "initialization segment of generation %d is not there", g.Number)
				continue
			}
			if err != nil {
				return err
			}
			if timeline.Hash(sha256.Sum256(b)) != r.Init {
				w.find(key, "bytes are not those of its name")
			}
		}
	}
	return nil
}

// rows holds each row against its object, and against the row before it.
func (w *walk) rows() error {
	w.report.Renditions = len(w.tl.Lines)
	for _, line := range w.tl.Lines {
		var before *timeline.Row
		for i := range line.Rows {
			row := &line.Rows[i]
			g, ok := w.tl.Generation(row.Generation)
			r, known := g.Rendition(line.Rendition)
			key := timeline.SegmentKey(w.channel, line.Rendition, row.Slot)
			if !ok || !known {
				w.find(key, "is of generation %d, of which there is no record with it", row.Generation)
				continue
			}
			at := timeline.UTC(row.Start, r.Timescale)
			if !w.span.has(at) {
				before = nil
				continue
			}
			w.count(*row, at, timeline.UTC(row.End(), r.Timescale))
			if err := w.object(key, r, *row); err != nil {
				return err
			}
			w.place(key, g, r, *row)
			if before != nil {
				w.follows(key, r, *before, *row)
			}
			if row.Flags.Has(timeline.Gap) && before != nil && i+1 < len(line.Rows) {
				w.gap(key, *before, *row, line.Rows[i+1])
			}
			before = row
		}
	}
	return nil
}

func (w *walk) count(row timeline.Row, start, end time.Time) {
	p := &w.report
	p.Bytes += row.Size
	if row.Flags.Has(timeline.Gap) {
		p.Gaps++
	} else {
		p.Segments++
	}
	if p.First.IsZero() || start.Before(p.First) {
		p.First = start
	}
	if end.After(p.Last) {
		p.Last = end
	}
}

// follows: slots go up by one, generations never down, and within one media time has neither hole nor overlap.
func (w *walk) follows(key string, r timeline.Rendition, before, row timeline.Row) {
	if row.Generation < before.Generation {
		w.find(key, "is of generation %d, after one of %d", row.Generation, before.Generation)
	}
	gap := before.Flags.Has(timeline.Gap) || row.Flags.Has(timeline.Gap)
	if row.Generation != before.Generation || gap || row.Slot != before.Slot+1 {
		return
	}
	if d := row.Start - before.End(); d != 0 && !w.named(r, before.End(), row.Start) {
		w.find(key, "starts %d ticks after slot %d ends, and no loss record says why", d, before.Slot)
	}
}

func (w *walk) object(key string, r timeline.Rendition, row timeline.Row) error {
	b, err := w.read(key, maxObject)
	if errors.Is(err, storage.ErrNotExist) {
		w.find(key, "is indexed, and not there")
		return nil
	}
	if err != nil {
		return err
	}
	if int64(len(b)) != row.Size {
		w.find(key, "has %d bytes, its row says %d", len(b), row.Size)
	}
	if hash := timeline.Hash(sha256.Sum256(b)); hash != row.Hash {
		w.find(key, "has hash %s, its row says %s", hash.Short(), row.Hash.Short())
	}
	parsed, err := cmaf.Parse(b)
	if err != nil {
		w.find(key, "%v", err)
		return nil
	}
	for _, what := range w.segment(parsed, b, r, row) {
		w.find(key, "%s", what)
	}
	return nil
}

// sparse tells whether a rendition has so few frames that slots of this shape can't be cut near where they should be: the channel was shaped by
// a feed with more, and to refuse this one would be worse than segments of a frame or two too many.
func (w *walk) sparse(r timeline.Rendition) bool {
	return r.IsVideo() && r.FrameRate.Num > 0 && r.FrameRate.Float()*w.tl.Shape.Slot.Float() <= 4
}

// segment holds what a segment's boxes say against its row.
func (w *walk) segment(p cmaf.Parsed, b []byte, r timeline.Rendition, row timeline.Row) (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	carried := string(timeline.RenditionRow{Rendition: r.ID, Row: row}.Carried())
	head, line, _ := strings.Cut(string(p.Row), "\n")
	if want := fmt.Sprintf("generation %d %s", row.Generation, w.records[row.Generation]); head != want {
		say("says %q, its row says %q", head, want)
	}
	if line != carried {
		say("carries another row than the index has: %q", strings.TrimSpace(line))
	}
	if row.Flags.Has(timeline.Gap) {
		if len(p.Fragments) > 0 {
			say("has media, and its row says that it is a gap")
		}
		return wrong
	}
	at := uint64(row.Start)
	for i, f := range p.Fragments {
		if f.Time != at {
			say("part %d begins at %d, %d ticks off", i, f.Time, int64(f.Time-at))
		}
		if want := uint32(row.Slot*256 + int64(i)); f.Sequence != want {
			say("part %d has sequence number %d, not %d", i, f.Sequence, want)
		}
		at = f.Time + f.Duration()
		if limit := uint64(w.tl.Shape.Part.Floor(1, r.Timescale)); f.Duration() > limit && len(f.Samples) > 1 {
			say("part %d lasts %d ticks, at most %d", i, f.Duration(), limit)
		}
	}
	if most := w.tl.Shape.TargetDuration*2 + 1; row.Duration*2 >= most*int64(r.Timescale) && !w.sparse(r) {
		say("lasts %d ticks, which is more than the target duration of %d s", row.Duration, w.tl.Shape.TargetDuration) // RFC 8216, 4.3.3.1
	}
	if at != uint64(row.End()) {
		say("ends at %d, its row says %d", at, row.End())
	}
	if len(p.Fragments) == 0 {
		say("has no media, and its row does not say that it is a gap")
	} else if key := p.Fragments[0].Samples[0].Key(); key == row.Flags.Has(timeline.Dependent) {
		say("begins with key frame: %v, dependent: %v", key, row.Flags.Has(timeline.Dependent))
	}
	return append(wrong, keyFrames(p, b, r, row)...)
}

// keyFrames holds the key frames of a row against the samples.
func keyFrames(p cmaf.Parsed, b []byte, r timeline.Rendition, row timeline.Row) (wrong []string) {
	want := map[[8]byte]bool{}
	for _, f := range p.Fragments {
		for i, s := range f.Samples {
			if s.Key() && (r.IsVideo() || len(want) == 0) {
				sum := sha256.Sum256(f.SampleData(b, i))
				want[[8]byte(sum[:8])] = true
			}
		}
	}
	got := map[[8]byte]bool{}
	for _, k := range row.Keys {
		got[k.Hash] = true
		if !want[k.Hash] {
			wrong = append(wrong, fmt.Sprintf("its row names a key frame %x that is not in it", k.Hash))
		}
	}
	if len(got) != len(want) && len(row.Keys) < timeline.MaxKeys {
		wrong = append(wrong, fmt.Sprintf("has %d key frames, its row names %d", len(want), len(got)))
	}
	return wrong
}

// strays: every name below seg/ is in an index, or newer than what one can know yet.
func (w *walk) strays() error {
	prefix := w.channel + "/seg/"
	for info, err := range w.store.List(w.ctx, prefix, "") {
		if err != nil {
			return err
		}
		rendition, slot, ok := timeline.ParseSegmentKey(w.channel, info.Key)
		if !ok {
			w.find(info.Key, "is no segment's name")
			continue
		}
		rows := w.tl.Line(rendition)
		if len(rows) == 0 {
			w.find(info.Key, "is of a rendition that no index names")
			continue
		}
		if _, known := w.tl.Row(rendition, slot); known {
			continue
		}
		if last := rows[len(rows)-1].Slot; slot <= last || slot > last+inFlight {
			w.find(info.Key, "is in no index")
		}
	}
	return nil
}

// slots: between the first and the last, every slot has one entry in every rendition of its generation.
func (w *walk) slots() {
	ref := w.tl.Line(w.tl.Shape.Reference)
	for i := 1; i < len(ref); i++ {
		for slot := ref[i-1].Slot + 1; slot < ref[i].Slot; slot++ {
			w.find(timeline.SegmentKey(w.channel, w.tl.Shape.Reference, slot), "slot has no entry, and later ones have")
		}
	}
	for _, line := range w.tl.Lines {
		if line.Rendition != w.tl.Shape.Reference && len(line.Rows) > 0 {
			w.against(ref, line)
			w.together(line)
		}
	}
	slices.SortStableFunc(w.report.Findings, func(a, b Finding) int { return cmp.Compare(a.Object, b.Object) })
}

func (w *walk) against(ref []timeline.Row, line timeline.Line) {
	last := line.Rows[len(line.Rows)-1].Slot
	for _, r := range ref {
		g, _ := w.tl.Generation(r.Generation)
		if _, has := g.Rendition(line.Rendition); !has || r.Slot > last {
			continue
		}
		if _, known := w.tl.Row(line.Rendition, r.Slot); !known {
			w.find(timeline.SegmentKey(w.channel, line.Rendition, r.Slot), "slot has no entry, and later ones have")
		}
	}
}
