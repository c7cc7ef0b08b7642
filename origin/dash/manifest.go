package dash

import (
	"strconv"
	"time"

	"flambeau/packager/timeline"
)

const (
	profiles = "urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019"
	utc      = "urn:mpeg:dash:utc:http-xsdate:2014"
)

// manifest writes the MPD. availabilityStartTime is 1970, so that a segment is there when its media time is over; UTCTiming, relative
// to the manifest, tells players the channel's time.
func (x *writer) manifest(s timeline.Shape, w timeline.Window, window time.Duration, last int64, periods []period) {
	slot := micros(s.Slot)
	x.text(`<?xml version="1.0" encoding="UTF-8"?>` + "\n")
	x.text(`<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"`)
	x.attr("profiles", profiles)
	x.attr("type", "dynamic")
	x.attr("availabilityStartTime", "1970-01-01T00:00:00Z")
	x.attr("publishTime", published(w, last))
	x.duration("minimumUpdatePeriod", slot)
	x.duration("minBufferTime", slot)
	x.duration("timeShiftBufferDepth", max(window.Microseconds(), timeline.MinShown*slot))
	x.duration("suggestedPresentationDelay", delaySlots*slot)
	x.duration("maxSegmentDuration", min(s.TargetDuration, 1<<32)*1_000_000+500_000) // what rounds to the target duration
	x.text(">\n")
	for i := range periods {
		x.period(periods, i)
	}
	x.text("<UTCTiming")
	x.attr("schemeIdUri", utc)
	x.attr("value", "time")
	x.text("/>\n</MPD>\n")
}

// published is when the reference's edge ends, less a millisecond for each slot that some rendition is behind it: the manifest is
// a function of the two, so this changes whenever it does (DASH-IF, timing model; D5). It never goes back, since the distance
// grows by one slot at a time and a slot is longer than a millisecond.
func published(w timeline.Window, last int64) string {
	ms := timeline.Micros(w.Edge.End(), w.Edge.Timescale)/1000 - (w.Edge.Slot - last)
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
}

// period writes one. One that is followed by a hole in time says when it ends; otherwise the next one's start does.
func (x *writer) period(periods []period, i int) {
	p := &periods[i]
	x.text("<Period")
	x.attr("id", p.id())
	x.duration("start", p.start)
	if i+1 < len(periods) && p.end < periods[i+1].start {
		x.duration("duration", p.end-p.start)
	}
	x.text(">\n")
	for _, set := range p.sets() {
		x.set(p, set)
	}
	x.text("</Period>\n")
}

func (p *period) id() string {
	n := strconv.Itoa(p.generation.Number)
	if p.begins == p.generation.S0 {
		return n
	}
	return n + "-" + strconv.FormatInt(p.begins, 10)
}

// micros is a rational number of seconds, rounded up: an update that comes early finds nothing.
func micros(r timeline.Rational) int64 { return r.CeilTicks(1, 1_000_000) }

// writer appends XML.
type writer struct{ b []byte }

func (x *writer) text(s string) { x.b = append(x.b, s...) }

// attr writes an attribute unless it is empty.
func (x *writer) attr(name, value string) {
	if value == "" {
		return
	}
	x.b = append(append(append(x.b, ' '), name...), `="`...)
	x.b = append(appendEscaped(x.b, value), '"')
}

func (x *writer) number(name string, n int64) {
	x.b = append(append(append(x.b, ' '), name...), `="`...)
	x.b = append(strconv.AppendInt(x.b, n, 10), '"')
}

// duration writes microseconds as seconds, exactly (ISO 8601, 5.5.2.2: any number of seconds).
func (x *writer) duration(name string, micros int64) {
	x.b = append(append(append(x.b, ' '), name...), `="PT`...)
	x.b = append(appendSeconds(x.b, max(micros, 0)), `S"`...)
}

func appendSeconds(b []byte, micros int64) []byte {
	b = strconv.AppendInt(b, micros/1_000_000, 10)
	micros %= 1_000_000
	if micros == 0 {
		return b
	}
	b = append(b, '.')
	for unit := int64(100_000); micros > 0; unit /= 10 {
		b = append(b, byte('0'+micros/unit))
		micros %= unit
	}
	return b
}

// appendEscaped writes what may stand in an attribute (XML 1.0, 2.2 and 2.3). Control characters are left out.
func appendEscaped(b []byte, s string) []byte {
	for _, r := range s {
		switch {
		case r == '&':
			b = append(b, "&amp;"...)
		case r == '<':
			b = append(b, "&lt;"...)
		case r == '>':
			b = append(b, "&gt;"...)
		case r == '"':
			b = append(b, "&quot;"...)
		case r < ' ', r == 0xFFFE, r == 0xFFFF:
		default:
			b = append(b, string(r)...)
		}
	}
	return b
}
