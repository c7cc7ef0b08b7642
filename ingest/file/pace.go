package file

import (
	"time"

	"flambeau/packager/media"
)

// maxStep is how far apart two samples may be due, one after the other. What is further is a jump of the file's clock: it is
// not waited for, and the pace goes on from there. It stays below ingest.DefaultSilence: else a hole in a file would be taken
// for a dark feed, and the file would begin again.
const maxStep = 2 * time.Second

// pace says when a sample is due. It counts from the start each time, on the monotonic clock: nothing adds up over days.
type pace struct {
	ahead time.Duration

	start time.Time // when zero was due; zero before the first sample
	zero  media.Ticks
	last  time.Time // when the last sample was due
}

func (p *pace) due(dts media.Ticks, now time.Time) time.Time {
	if p.start.IsZero() {
		p.start, p.zero = now.Add(-p.ahead), dts
		p.last = p.start
	}
	due := p.start.Add(duration(dts - p.zero))
	if step := due.Sub(p.last); step > maxStep || step < -maxStep {
		p.start, p.zero = p.last, dts
		due = p.last
	}
	p.last = due
	return due
}

// duration splits off the seconds, so that no product overflows.
func duration(t media.Ticks) time.Duration {
	return time.Duration(t/clock)*time.Second + time.Duration(t%clock)*time.Second/clock
}
