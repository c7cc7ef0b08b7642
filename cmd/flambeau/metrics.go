package main

import (
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"flambeau/ingest"
	"flambeau/origin"
	"flambeau/storage"
)

// metrics is everything that /metrics shows. Labels are only: channel rendition track kind code result reason broadcaster op, and
// those of build_info; never an address, a session or a URL.
type metrics struct {
	registry *prometheus.Registry
	log      *slog.Logger

	up          *prometheus.GaugeVec
	bytes       *prometheus.CounterVec
	errors      *prometheus.CounterVec
	lastSample  *prometheus.GaugeVec
	drift       *prometheus.GaugeVec
	segments    *prometheus.CounterVec
	publish     *prometheus.HistogramVec
	loss        *prometheus.CounterVec
	divergence  *prometheus.CounterVec
	store       *prometheus.HistogramVec
	cache       *prometheus.CounterVec
	requests    *prometheus.CounterVec
	requestTime *prometheus.HistogramVec
	responses   *prometheus.CounterVec
	blocked     prometheus.Gauge
	edge        *asked
	waiting     *asked
}

// asked is a gauge of each channel that is looked up when it is scraped: what stands still has nobody who would set it.
type asked struct {
	desc *prometheus.Desc
	mu   sync.Mutex
	of   map[string]func() float64
}

func (a *asked) set(channel string, value func() float64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.of[channel] = value
}

func (a *asked) Describe(ds chan<- *prometheus.Desc) { ds <- a.desc }

func (a *asked) Collect(ms chan<- prometheus.Metric) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for channel, value := range a.of {
		ms <- prometheus.MustNewConstMetric(a.desc, prometheus.GaugeValue, value(), channel)
	}
}

// kinds of answers on the media listener.
var kinds = []string{"multivariant", "playlist", "iframes", "mpd", "init", "segment", "time", "other"}

func newMetrics(log *slog.Logger) *metrics {
	m := &metrics{registry: prometheus.NewRegistry(), log: log}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "flambeau", Name: name, Help: help}, labels)
		m.registry.MustRegister(v)
		return v
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "flambeau", Name: name, Help: help}, labels)
		m.registry.MustRegister(v)
		return v
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "flambeau", Name: name, Help: help, Buckets: buckets}, labels)
		m.registry.MustRegister(v)
		return v
	}
	ask := func(name, help string) *asked {
		a := &asked{desc: prometheus.NewDesc("flambeau_"+name, help, []string{"channel"}, nil), of: map[string]func() float64{}}
		m.registry.MustRegister(a)
		return a
	}
	m.up = gauge("ingest_up", "1 while samples arrive, 0 while the feed is dark.", "channel")
	m.bytes = counter("ingest_bytes_total", "Bytes received from feeds.", "channel")
	m.errors = counter("ingest_errors_total", "What was wrong with what was received, by kind.", "channel", "reason")
	m.lastSample = gauge("ingest_last_sample_timestamp_seconds", "When the last sample arrived, Unix time.", "channel")
	m.drift = gauge("channel_drift_seconds", "Media time less UTC by this worker's clock; positive: media time is ahead.", "channel")
	m.segments = counter("segments_total", "Slots closed: stored, gap, divergent.", "channel", "rendition", "result")
	m.publish = histogram("segment_publish_seconds", "From the last frame of a segment in to the segment readable.",
		[]float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}, "channel")
	m.waiting = ask("segment_waiting_seconds", "For how long the oldest closed segment has waited for the store. 0: none waits.")
	m.edge = ask("edge_timestamp_seconds", "Media time at the end of what this origin lists, Unix time. 0: it lists nothing yet.")
	m.loss = counter("loss_seconds_total", "Media time that was received, or missed, and is not in the archive.", "channel")
	m.divergence = counter("divergence_total", "Objects whose name was taken by other bytes.", "channel")
	m.store = histogram("store_request_duration_seconds", "Requests to the store.",
		[]float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5}, "op", "result")
	m.cache = counter("cache_requests_total", "Reads of objects that never change: hit, in memory; wait, on its way for another; miss, read from the store; pass, not kept.", "result")
	m.requests = counter("http_requests_total", "Answers on the media listener.", "kind", "code")
	m.requestTime = histogram("http_request_duration_seconds", "From request to last byte written, waiting for the live edge included.",
		[]float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}, "kind")
	m.responses = counter("http_response_bytes_total", "Bytes of bodies sent.", "kind", "broadcaster")
	m.blocked = prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "flambeau", Name: "http_blocked_requests", Help: "Requests held until the live edge has what they ask for."})
	m.registry.MustRegister(m.blocked, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.build()
	m.closedSets()
	return m
}

// spool shows how much is in it, and how much there may be.
func (m *metrics) spool(used func() int64, size int64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "flambeau", Name: "spool_bytes", Help: "What is spooled and not in the store yet.",
	}, func() float64 { return float64(used()) }))
	limit := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "flambeau", Name: "spool_size_bytes", Help: "What the spool may hold. 0: there is none, the store needs none.",
	})
	limit.Set(float64(size))
	m.registry.MustRegister(limit)
}

// cacheBytes shows how much is in memory.
func (m *metrics) cacheBytes(held func() int64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "flambeau", Name: "cache_bytes", Help: "Objects of the store that are held in memory, those that are being sent included.",
	}, func() float64 { return float64(held()) }))
}

func (m *metrics) build() {
	v := readBuild()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "flambeau", Name: "build_info", Help: "1, and which build this is.",
		ConstLabels: prometheus.Labels{"version": v.Version, "revision": v.Revision, "goversion": v.Go},
	})
	info.Set(1)
	m.registry.MustRegister(info)
}

// closedSets makes every series whose labels are known beforehand exist from the start: a rate over what appears with its first
// event misses that event.
func (m *metrics) closedSets() {
	for _, op := range storage.Ops {
		m.store.WithLabelValues(op, "ok")
		m.store.WithLabelValues(op, "error")
	}
	for _, result := range storage.CacheResults {
		m.cache.WithLabelValues(result)
	}
	for _, kind := range kinds {
		m.requestTime.WithLabelValues(kind)
		m.responses.WithLabelValues(kind, "")
		for _, code := range []string{"200", "404", "503"} {
			m.requests.WithLabelValues(kind, code)
		}
	}
}

// Answered and Blocked make metrics an origin.Observer.
func (m *metrics) Answered(kind string, code int, took time.Duration, bytes int64) {
	m.requests.WithLabelValues(kind, strconv.Itoa(code)).Inc()
	m.requestTime.WithLabelValues(kind).Observe(took.Seconds())
	m.responses.WithLabelValues(kind, "").Add(float64(bytes))
}

func (m *metrics) Blocked(delta int) { m.blocked.Add(float64(delta)) }

func (m *metrics) storeRequest(op, result string, took time.Duration) {
	m.store.WithLabelValues(op, result).Observe(took.Seconds())
}

func (m *metrics) cacheRequest(result string) { m.cache.WithLabelValues(result).Inc() }

// channelMetrics is one channel's share: a packager.Observer.
type channelMetrics struct {
	m         *metrics
	id        string
	published func()                 // when something more can be read
	named     map[ingest.Stream]bool // owned by the worker that calls feed
	series    map[string]bool        // renditions that have series; owned by the publisher
	alarm     driftAlarm             // owned by the publisher
}

const (
	// namedStreams is how many streams that are not used are logged: a feed may call them something else with every table.
	namedStreams = 256
	// renditionSeries is how many renditions of a channel have series of their own; those after them share one.
	renditionSeries = 24
	otherRenditions = "other"
)

// channel makes the channel's series exist.
func (m *metrics) channel(id string, reasons []string, published func()) *channelMetrics {
	m.up.WithLabelValues(id)
	m.bytes.WithLabelValues(id)
	m.lastSample.WithLabelValues(id)
	m.drift.WithLabelValues(id)
	m.publish.WithLabelValues(id)
	m.loss.WithLabelValues(id)
	m.divergence.WithLabelValues(id)
	m.waiting.set(id, func() float64 { return 0 })
	for _, r := range reasons {
		m.errors.WithLabelValues(id, r)
	}
	return &channelMetrics{m: m, id: id, published: published, named: map[ingest.Stream]bool{}, series: map[string]bool{}}
}

func (c *channelMetrics) Segment(rendition, result string, wait time.Duration) {
	if !c.series[rendition] {
		if len(c.series) < renditionSeries {
			c.series[rendition] = true
		} else {
			rendition = otherRenditions
		}
	}
	c.m.segments.WithLabelValues(c.id, rendition, result).Inc()
	if result == "stored" {
		c.m.publish.WithLabelValues(c.id).Observe(wait.Seconds())
	}
}

// waits tells how long something has waited for the store.
func (c *channelMetrics) waits(since func() time.Duration) {
	c.m.waiting.set(c.id, func() float64 { return since().Seconds() })
}

// follows shows where an origin's edge is.
func (m *metrics) follows(id string, f *origin.Follower) {
	m.edge.set(id, func() float64 {
		v := f.Newest()
		if v == nil || v.End.IsZero() {
			return 0
		}
		return float64(v.End.UnixMilli()) / 1000
	})
}

func (c *channelMetrics) Visible() { c.published() }

// feed books what a worker says of its feed.
func (c *channelMetrics) feed(r ingest.Report) {
	up := 0.0
	if r.Up {
		up = 1
	}
	c.m.up.WithLabelValues(c.id).Set(up)
	c.m.bytes.WithLabelValues(c.id).Add(float64(r.Bytes))
	for reason, n := range r.Errors {
		c.m.errors.WithLabelValues(c.id, reason).Add(float64(n))
	}
	if !r.LastSample.IsZero() {
		c.m.lastSample.WithLabelValues(c.id).Set(float64(r.LastSample.UnixMilli()) / 1000)
	}
	c.name(r.Streams)
}

// name logs each stream of a feed that is not used, once.
func (c *channelMetrics) name(streams []ingest.Stream) {
	for _, s := range streams {
		if s.Ignored == "" || c.named[s] || len(c.named) >= namedStreams {
			continue
		}
		c.named[s] = true
		c.m.log.Warn("stream not used", "channel", c.id, "track", s.ID, "is", s.Name, "language", s.Language, "reason", s.Ignored)
	}
}

// feedReasons are all reasons that ingest_errors_total can have.
func feedReasons() []string {
	all := slices.Clone(ingest.Reasons)
	for _, w := range ways {
		all = append(all, w.reasons...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (c *channelMetrics) Lost(seconds float64) { c.m.loss.WithLabelValues(c.id).Add(max(0, seconds)) }
func (c *channelMetrics) Divergence()          { c.m.divergence.WithLabelValues(c.id).Inc() }

// Drift is packager.DriftObserver.
func (c *channelMetrics) Drift(ahead time.Duration) {
	c.m.drift.WithLabelValues(c.id).Set(ahead.Seconds())
	switch c.alarm.judge(ahead) {
	case driftRaised:
		c.m.log.Warn("media time has drifted from UTC", "channel", c.id, "ahead", ahead.Round(time.Millisecond))
	case driftOver:
		c.m.log.Info("media time is near UTC again", "channel", c.id, "ahead", ahead.Round(time.Millisecond))
	}
}

const (
	// driftRaise is the drift beyond which an operator is told, once; driftEnd the one below which that is over. Between them nothing is
	// said: a drift about a second is not told with every slot.
	driftRaise = time.Second
	driftEnd   = driftRaise / 2
)

// driftAlarm is whether an operator was told of a drift.
type driftAlarm struct{ on bool }

type driftNews int

const (
	driftSame driftNews = iota
	driftRaised
	driftOver
)

func (a *driftAlarm) judge(ahead time.Duration) driftNews {
	switch size := max(ahead, -ahead); {
	case !a.on && size > driftRaise:
		a.on = true
		return driftRaised
	case a.on && size < driftEnd:
		a.on = false
		return driftOver
	}
	return driftSame
}
