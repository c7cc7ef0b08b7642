package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flambeau/ingest"
	"flambeau/ingest/file"
	"flambeau/ingest/mpegts"
	"flambeau/origin"
	"flambeau/origin/hls"
	"flambeau/origin/rights"
	"flambeau/packager"
	"flambeau/packager/audit"
	"flambeau/packager/cmaf"
	"flambeau/packager/media"
	"flambeau/packager/timeline"
	"flambeau/storage"
	"flambeau/storage/memory"
)

// witness is a Source that writes down what its feed told.
type witness struct {
	ingest.Source
	stats ingest.Stats
	told  map[int][]string   // hashes of each track's samples, in order
	units map[lossKind]int64 // what the feed says is missing
	kinds map[int]media.Kind
}

// lossKind is a track, or 0, and why something of it is missing.
type lossKind struct {
	track  int
	reason string
}

func watch(s ingest.Source) *witness {
	return &witness{Source: s, told: map[int][]string{}, units: map[lossKind]int64{}, kinds: map[int]media.Kind{}}
}

func (w *witness) Patient() bool  { return true }
func (w *witness) String() string { return fmt.Sprint(w.Source) }

func (w *witness) Open(ctx context.Context) (ingest.Feed, error) {
	f, err := w.Source.Open(ctx)
	return &witnessed{f, w}, err
}

type witnessed struct {
	ingest.Feed
	w *witness
}

func (f *witnessed) Next(ctx context.Context) (media.Event, error) {
	e, err := f.Feed.Next(ctx)
	switch e := e.(type) {
	case media.Begin:
		for _, t := range e.Tracks {
			f.w.kinds[t.ID] = t.Kind
		}
	case *media.Sample:
		f.w.told[e.Track] = append(f.w.told[e.Track], hashed(e.Data))
	case media.Lost:
		f.w.units[lossKind{e.Track, e.Reason}] += int64(e.Count)
	}
	return e, err
}

func (f *witnessed) Close() error {
	f.w.stats = f.Stats()
	return f.Feed.Close()
}

func hashed(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// played is a feed that went through everything between its bytes and the store.
type played struct {
	*witness
	store  storage.Store
	tl     timeline.Timeline
	aired  bool // a channel appeared
	losses []timeline.LossEntry
	report audit.Report
}

// playLimit is how long playing may wait in all, on a clock that stands while anybody works.
const playLimit = 30 * time.Second

// play packages bytes as serve does, as fast as they are taken, in a bubble: the clock stands, and equal bytes have equal ends.
func play(t *testing.T, name string, ts []byte) *played {
	t.Helper()
	p := &played{store: memory.New()}
	p.witness = watch(file.New(file.Config{Open: file.FromBytes(ts), Name: name, Unpaced: true}))
	synctest.Test(t, func(t *testing.T) {
		p.run(t)
		p.read(t)
	})
	return p
}

func (p *played) run(t *testing.T) {
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, nil))
	process := &process{
		log: log, store: p.store, metrics: newMetrics(log), role: "ingest", followers: origin.Channels{},
		config: Config{Worker: "a"}, inputs: map[string][]ingest.Source{"c": {p.witness}},
	}
	ctx, cancel := context.WithTimeout(t.Context(), playLimit)
	defer cancel()
	err := process.writeOnce(ctx, ChannelConfig{ID: "c", Segment: 2 * time.Second, Part: 500 * time.Millisecond})
	if err != nil || ctx.Err() != nil || strings.Contains(said.String(), "panic") || strings.Contains(said.String(), "divergence") {
		t.Fatalf("%v, %v:\n%s", err, ctx.Err(), said.String())
	}
}

func (p *played) get(t *testing.T, key string) []byte {
	t.Helper()
	b, _, err := storage.ReadAll(t.Context(), p.store, key, storage.Get{}, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decoded[T any](t *testing.T, decode func([]byte) (T, error), b []byte) T {
	t.Helper()
	v, err := decode(b)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// read takes the channel out of the store by its index.
func (p *played) read(t *testing.T) {
	t.Helper()
	for info, err := range p.store.List(t.Context(), timeline.LossPrefix("c"), "") {
		if err != nil {
			t.Fatal(err)
		}
		p.losses = append(p.losses, decoded(t, timeline.DecodeLoss, p.get(t, info.Key)).Entries...)
	}
	var err error
	if p.report, err = audit.Run(t.Context(), p.store, "c", audit.Span{}); errors.Is(err, audit.ErrNoChannel) {
		return
	} else if err != nil {
		t.Fatal(err)
	}
	p.aired = true
	p.tl = timeline.New(decoded(t, timeline.DecodeShape, p.get(t, timeline.ShapeKey("c"))))
	root := decoded(t, timeline.DecodeIndex, p.get(t, timeline.RootKey("c", "a")))
	rows := root.Rows
	for _, page := range root.Pages {
		rows = append(rows, decoded(t, timeline.DecodeIndex, p.get(t, page.Key)).Rows...)
	}
	for _, name := range root.Generations {
		g, err := packager.ReadGeneration(t.Context(), p.store, "c", p.tl.Shape, name)
		if err != nil {
			t.Fatal(err)
		}
		p.tl = p.tl.With(g)
	}
	for _, r := range rows {
		p.tl = p.tl.Append(r.Rendition, r.Row)
	}
}

// piece is what one generation has of one rendition.
type piece struct {
	timeline.Rendition
	generation int
	rows       []timeline.Row
	bodies     [][]byte
	init       []byte
}

func (p *played) pieces(t *testing.T) (all []piece) {
	t.Helper()
	for _, g := range p.tl.Generations {
		for _, r := range g.Renditions {
			x := piece{Rendition: r, generation: g.Number, init: p.get(t, timeline.InitKey("c", r.ID, r.Init))}
			for _, row := range p.tl.Line(r.ID) {
				if row.Generation == g.Number {
					x.rows = append(x.rows, row)
					x.bodies = append(x.bodies, p.get(t, timeline.SegmentKey("c", r.ID, row.Slot)))
				}
			}
			all = append(all, x)
		}
	}
	return all
}

// samples are the hashes of what our own parser finds.
func (x piece) samples(t *testing.T) (all []string) {
	t.Helper()
	for _, b := range x.bodies {
		parsed := decoded(t, cmaf.Parse, b)
		for _, f := range parsed.Fragments {
			for i := range f.Samples {
				all = append(all, hashed(f.SampleData(b, i)))
			}
		}
	}
	return all
}

// balance holds what the feed told against what is stored and what is named as lost: nothing is in neither, nothing in both, and
// everything is in order.
func (p *played) balance(t *testing.T) {
	t.Helper()
	stored, lost, units := map[int][]string{}, map[int]int64{}, map[lossKind]int64{}
	for _, x := range p.pieces(t) {
		stored[x.Track] = append(stored[x.Track], x.samples(t)...)
	}
	for _, e := range p.losses {
		lost[e.Track] += e.Frames
		if e.Units > 0 && slices.Contains(mpegts.Reasons, e.Reason) {
			units[lossKind{e.Track, e.Reason}] += e.Units
		}
	}
	for _, track := range slices.Sorted(maps.Keys(p.told)) {
		told := p.told[track]
		if _, strange := missing(told, stored[track]); strange > 0 {
			t.Errorf("track %d: %d stored samples are not what the feed told, or not in its order", track, strange)
		}
		if int64(len(told)) != int64(len(stored[track]))+lost[track] {
			t.Errorf("track %d: the feed told %d samples, %d are stored, the loss records name %d", track, len(told), len(stored[track]), lost[track])
		}
	}
	if !maps.Equal(units, p.units) {
		t.Errorf("the feed misses %v, the loss records say %v", p.units, units)
	}
}

// missing is how many of all are not in some, and how many of some are not where all has them.
func missing(all, some []string) (gone, strange int) {
	i := 0
	for _, s := range some {
		n := slices.Index(all[i:], s)
		if n < 0 {
			strange++
			continue
		}
		gone += n
		i += n + 1
	}
	return gone + len(all) - i, strange
}

// listed holds what the playlists of a channel say against its rows.
func (p *played) listed(t *testing.T) {
	t.Helper()
	for _, line := range p.tl.Lines {
		list, err := hls.Media(p.tl, rights.Open(), time.Hour, line.Rendition)
		if err != nil {
			t.Errorf("%s: %v", line.Rendition, err)
			continue
		}
		if says := strings.Contains(string(list), "#EXT-X-INDEPENDENT-SEGMENTS"); says == dependent(line.Rows) {
			t.Errorf("%s: independent segments are claimed: %v\n%s", line.Rendition, says, list)
		}
	}
}

func dependent(rows []timeline.Row) bool {
	return slices.ContainsFunc(rows, func(r timeline.Row) bool { return r.Flags.Has(timeline.Dependent) })
}

// packet is one that ffmpeg gives.
type packet struct {
	hash     string
	size     int
	pts, dts int64 // 90 kHz
	timed    bool  // pts is known
	pictures int   // coded pictures in it: two fields, or one
}

// packets asks ffmpeg for the packets of a stream, and their bytes.
func packets(t *testing.T, name, pick string) (ps []packet, data []byte) {
	t.Helper()
	dir := t.TempDir()
	hashes, raw := filepath.Join(dir, "hashes"), filepath.Join(dir, "raw")
	// -copyinkf: what comes before the first key frame too. -copytb: the time base of the input, else frames of doubtful rate share a
	// tick and ffmpeg drops them. What more it has to say of a broken feed is of no interest.
	copied := func(format ...string) []string {
		return append([]string{"-map", "0:" + pick, "-c", "copy", "-copyinkf"}, format...)
	}
	args := slices.Concat([]string{"-v", "fatal", "-y", "-copyts", "-copytb", "1", "-i", name}, copied("-f", "data", raw), copied("-f", "framehash", "-hash", "sha256", hashes))
	tool(t, time.Minute, "ffmpeg", args...)
	text, err := os.ReadFile(hashes)
	if err != nil {
		t.Fatal(err)
	}
	num, den, size := int64(1), int64(1), 0
	for line := range strings.Lines(string(text)) {
		fmt.Sscanf(line, "#tb 0: %d/%d", &num, &den)
		f := strings.Split(strings.TrimSpace(line), ",")
		if strings.HasPrefix(line, "#") || len(f) < 6 {
			continue
		}
		pts, _ := strconv.ParseInt(strings.TrimSpace(f[2]), 10, 64)
		n, _ := strconv.Atoi(strings.TrimSpace(f[4]))
		p := packet{hash: strings.TrimSpace(f[5]), size: n, timed: pts != -1<<63, pictures: 1}
		if dts, err := strconv.ParseInt(strings.TrimSpace(f[1]), 10, 64); err == nil {
			p.dts = timeline.Rescale(dts*num, uint32(den), 90000)
		}
		if p.timed {
			p.pts = timeline.Rescale(pts*num, uint32(den), 90000)
		}
		ps, size = append(ps, p), size+n
	}
	if data, err = os.ReadFile(raw); err != nil || len(data) != size {
		t.Fatalf("%s %s: ffmpeg wrote %d bytes of %d: %v", name, pick, len(data), size, err)
	}
	return ps, data
}

// sourcePackets are the packets of a transport stream as they stand in a CMAF track: NAL units behind their lengths, without parameter
// sets, delimiters and filler; AAC without ADTS header. ffmpeg gives the second field of a frame, which has no time of its own, as a
// packet of its own: fields says that they belong together.
func sourcePackets(t *testing.T, name string, track int, coding string, fields bool) (ps []packet) {
	t.Helper()
	raw, data := packets(t, name, fmt.Sprintf("i:%#x", track))
	for _, p := range raw {
		if n := len(ps); fields && n > 0 && !p.timed && ps[n-1].pictures == 1 {
			ps[n-1].size, ps[n-1].pictures = ps[n-1].size+p.size, 2
			continue
		}
		ps = append(ps, p)
	}
	for i := range ps {
		unit := data[:ps[i].size]
		data = data[ps[i].size:]
		switch coding {
		case "H.264":
			unit = lengths(unit, func(nal byte) bool { return nal&0x1f >= 7 && nal&0x1f <= 12 })
		case "H.265":
			unit = lengths(unit, func(nal byte) bool { return nal>>1 >= 32 && nal>>1 <= 38 })
		default:
			unit = withoutADTS(unit)
		}
		ps[i].hash = hashed(unit)
	}
	return ps
}

// empty asks ffprobe whether a stream that is announced has nothing in it: ffmpeg refuses to copy that.
func empty(t *testing.T, name string, track int) bool {
	t.Helper()
	return strings.TrimSpace(tool(t, time.Minute, "ffprobe", "-v", "fatal", "-select_streams", fmt.Sprintf("i:%#x", track), "-read_intervals", "%+#1", "-show_entries", "packet=size", "-of", "csv=p=0", name)) == ""
}

// lengths turns an Annex B access unit into the sample of a track, without what stands in the sample entry or nowhere.
func lengths(unit []byte, useless func(nal byte) bool) (sample []byte) {
	for i, nal := range bytes.Split(unit, []byte{0, 0, 1}) {
		nal = bytes.TrimRight(nal, "\x00")
		if n := len(nal); i > 0 && n > 0 && !useless(nal[0]) {
			sample = append(append(sample, byte(n>>24), byte(n>>16), byte(n>>8), byte(n)), nal...)
		}
	}
	return sample
}

// withoutADTS leaves what is no ADTS frame as it is.
func withoutADTS(unit []byte) []byte {
	switch {
	case len(unit) < 9 || unit[0] != 0xff || unit[1]&0xf6 != 0xf0:
		return unit
	case unit[1]&1 == 0:
		return unit[9:]
	}
	return unit[7:]
}

// comparison is how what came out differs from what went in.
type comparison struct {
	gone     int   // packets of the source that did not come out
	pictures int   // in them
	behind   int   // of gone, those that are not in front of everything that came out
	strange  int   // packets that came out and were not in the source, or not there
	offset   int64 // from source time to media time, of the first
	apart    int64 // by how much it differs among packets, 90 kHz
}

func compare(source, got []packet) (c comparison) {
	i, least, most, any := 0, int64(0), int64(0), false
	for n, g := range got {
		at := slices.IndexFunc(source[i:], func(s packet) bool { return s.hash == g.hash })
		if at < 0 {
			c.strange++
			continue
		}
		if n > 0 {
			c.behind += at
		}
		c.miss(source[i : i+at])
		s := source[i+at]
		i += at + 1
		if !s.timed || !g.timed {
			continue
		}
		d := g.pts - s.pts
		if !any {
			// By its decoding time, which is that of presentation in the key frame that comes first: to the latter ffmpeg adds the
			// largest negative composition offset of the track.
			c.offset, least, most, any = g.dts-s.pts, d, d, true
		}
		least, most = min(least, d), max(most, d)
	}
	if len(got) > 0 {
		c.behind += len(source) - i
	}
	c.miss(source[i:])
	c.apart = most - least
	return c
}

func (c *comparison) miss(gone []packet) {
	for _, s := range gone {
		c.gone, c.pictures = c.gone+1, c.pictures+s.pictures
	}
}

// unannounced counts the frames in PES packets that begin before the first PMT: no receiver knows of them. Of sounds other than AAC all
// frames have one size.
func unannounced(ts []byte, pid int, video bool, size int) (frames int) {
	pmt, late, es := -1, false, []byte(nil)
	for ; len(ts) >= 188; ts = ts[188:] {
		number, start, payload := int(ts[1]&0x1f)<<8|int(ts[2]), ts[1]&0x40 != 0, ts[4:188]
		if ts[3]&0x20 != 0 {
			payload = payload[1+int(payload[0]):]
		}
		switch {
		case number == 0 && start && pmt < 0:
			section := payload[1+int(payload[0]):]
			pmt = int(section[10]&0x1f)<<8 | int(section[11]) // of the only programme
		case number == pmt:
			late = true
		case number == pid && start && late:
			return frames + framesIn(es, size)
		case number == pid && start && video:
			frames++
		case number == pid && start:
			es = append(es, payload[9+int(payload[8]):]...)
		case number == pid && len(es) > 0:
			es = append(es, payload...)
		}
	}
	return frames + framesIn(es, size)
}

func framesIn(es []byte, size int) (n int) {
	if len(es) < 2 || es[0] != 0xff || es[1]&0xf6 != 0xf0 {
		return len(es) / size
	}
	for len(es) >= 7 && es[0] == 0xff {
		es = es[min(len(es), max(7, int(es[3]&3)<<11|int(es[4])<<3|int(es[5]>>5))):]
		n++
	}
	return n
}

// feeds finds the folder of real feeds beside the project.
func feeds(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for dir != filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	dir = filepath.Join(dir, "..", "shared", "feeds")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no real feeds, nothing was tested: %v", err)
	}
	return dir
}

func realFeed(t *testing.T, name string) (path string, ts []byte) {
	t.Helper()
	path = filepath.Join(feeds(t), name+".ts")
	ts, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, ts
}

// realFeeds says what comes of each feed: of every stream that is supported how many of its frames are there, and where the others
// are; every other stream and why it is not used; what the demuxer counted.
var realFeeds = map[string]string{
	// Two fields a frame; 17 frames, of 27 pictures, stand before the first parameter sets. No IDR: recovery points are the key frames.
	"1080i-eac3x3-dvbsub": `
v1080 avc1.640028 1920x1080: 12 of 29 frames, 1 segments, 0 dependent; no_parameters 27
nothing of 0x82 E-AC-3: 0 of 33 frames; damaged 1; no_rendition 32; pes_short 1
nothing of 0x83 E-AC-3: 0 of 32 frames; damaged 1; no_rendition 31; pes_short 1
nothing of 0x84 E-AC-3: 0 of 32 frames; damaged 1; no_rendition 31; pes_short 1
unused 0x8c DVB subtitles fra: not supported
unused 0x8e DVB subtitles fra: not supported
counted damaged 3
counted no_parameters 27
counted pes_short 3
counted unannounced 1
`,
	"ac3-muxed-576-0": `
v576 avc1.64001e 720x576: 52 of 52 frames, 1 segments, 0 dependent
a-de ac-3 48000 Hz 2 ch de: 64 of 81 frames, 1 segments, 0 dependent; before_first_cut 17
counted unannounced 1
`,
	// Two frames stand before the first PMT, six more before the first parameter sets.
	"ac3-muxed-576-1": `
v576 avc1.64001e 720x576: 64 of 72 frames, 2 segments, 0 dependent; no_parameters 6; unannounced 2
a-de ac-3 48000 Hz 2 ch de: 79 of 90 frames, 2 segments, 0 dependent; before_first_cut 8; unannounced 3
counted no_parameters 6
counted unannounced 124
`,
	"ac3-muxed-576-2": `
v576 avc1.64001e 720x576: 72 of 80 frames, 2 segments, 0 dependent; no_parameters 6; unannounced 2
a-de ac-3 48000 Hz 2 ch de: 89 of 100 frames, 2 segments, 0 dependent; before_first_cut 8; unannounced 3
counted no_parameters 6
counted unannounced 185
`,
	"ac3-ts-only": `
a-und ac-3 48000 Hz 6 ch: 188 of 188 frames, 3 segments, 0 dependent
`,
	// The sound begins one frame before the picture.
	"avsync-h264-aac-30s": `
v720 avc1.64001f 1280x720: 900 of 900 frames, 15 segments, 0 dependent
a-und mp4a.40.2 44100 Hz 2 ch: 1292 of 1293 frames, 15 segments, 0 dependent; before_first_cut 1
counted unannounced 1
`,
	"bframes-720p25": `
v720 avc1.64001f 1280x720: 144 of 144 frames, 3 segments, 0 dependent
`,
	"cea608-multichannel": `
v240 avc1.42000d 360x240: 181 of 181 frames, 4 segments, 0 dependent
counted unannounced 1
`,
	"damaged-tiny-broken": `
v1080 avc1.640028 1920x1080: 6 of 6 frames, 1 segments, 0 dependent
a-und mp4a.6B 48000 Hz 2 ch: 1 of 4 frames, 1 segments, 0 dependent; before_first_cut 2; damaged 1; pes_short 1
counted damaged 1
counted pes_short 1
counted unannounced 1
`,
	"eac3-joc": `
a-und ec-3 48000 Hz 6 ch, 16/JOC: 64 of 64 frames, 2 segments, 0 dependent
`,
	// The first frame of sound has no ADTS header.
	"gst-test": `
v100 avc1.640014 160x100: 187 of 187 frames, 1 segments, 0 dependent
a-und mp4a.40.2 44100 Hz 1 ch: 315 of 316 frames, 1 segments, 0 dependent; syntax 1
counted syntax 1
`,
	// Behind its last frame the sound has 1840 bytes of zeros.
	"h264-aac-12s": `
a-und mp4a.40.2 48000 Hz 2 ch: 559 of 559 frames, 6 segments, 0 dependent; syntax 1
v576 avc1.64001f 1024x576: 300 of 300 frames, 6 segments, 0 dependent
counted syntax 1
`,
	"hevc-640-12s": `
v360 hvc1.2.4.L123.B0 640x360: 360 of 360 frames, 5 segments, 0 dependent
counted unannounced 1
`,
	// Neither PAT nor PMT.
	"hevc-8k-pq": `
counted unannounced 11
`,
	"hevc-aac-obs": `
v360 hvc1.1.6.L120.B0 640x360: 60 of 60 frames, 1 segments, 0 dependent
a-und mp4a.40.2 48000 Hz 2 ch: 94 of 95 frames, 1 segments, 0 dependent; before_first_cut 1
counted unannounced 1
`,
	"id3-metadata": `
a-und mp4a.40.2 24000 Hz 1 ch: 117 of 117 frames, 3 segments, 0 dependent
unused 0x101 ID3: not supported
`,
	"largeoffset-audio": `
a-und mp4a.40.2 48000 Hz 2 ch: 6 of 6 frames, 1 segments, 0 dependent
counted unannounced 1
`,
	// PAT and PMT stand in the middle; after them no picture has parameter sets.
	"middle-pat-pmt": `
nothing of 0x100 H.264: 0 of 15 frames; no_parameters 1; unannounced 14
a-und mp4a.40.2 44100 Hz 2 ch: 4 of 28 frames, 1 segments, 0 dependent; unannounced 24
counted no_parameters 1
counted unannounced 41
`,
	"missing-sei-and-pes": `
v90 avc1.640009 160x90: 12 of 12 frames, 1 segments, 0 dependent
`,
	"mp3-in-ts": `
v720 avc1.64001f 1280x720: 73 of 73 frames, 2 segments, 0 dependent
a-und mp4a.6B 44100 Hz 2 ch: 91 of 94 frames, 2 segments, 0 dependent; before_first_cut 3
unused 0x102 ID3: not supported
`,
	"mpeg2-mp2-720x576i": `
unused 0x1000 MPEG-2 video: not supported
a-und mp4a.40.33 48000 Hz 2 ch: 119 of 123 frames, 2 segments, 0 dependent; damaged 1; pes_short 1; unannounced 3
counted damaged 1
counted pes_short 1
counted unannounced 258
`,
	"no-aud": `
v426 avc1.64001e 640x426: 3 of 3 frames, 1 segments, 0 dependent
counted unannounced 1
`,
	"pcr-jitter-1080p30": `
v1080 avc1.42c028 1920x1080: 299 of 299 frames, 2 segments, 0 dependent
a-und mp4a.40.33 48000 Hz 2 ch: 415 of 417 frames, 2 segments, 0 dependent; before_first_cut 2
counted unannounced 1
`,
	"portrait": `
v1280 avc1.4d001f 720x1280: 30 of 30 frames, 1 segments, 0 dependent
`,
	"pts-ne-dts": `
v150 avc1.64000c 450x150: 40 of 40 frames, 1 segments, 0 dependent
counted unannounced 1
`,
	// The clock wraps in the middle, and nobody sees it.
	"rollover-1fps": `
v72 avc1.64000b 128x72: 20 of 20 frames, 2 segments, 1 dependent
counted unannounced 1
`,
	"scte35-exo": `
unused 0x100 MPEG-2 video: not supported
a-und mp4a.40.33 44100 Hz 1 ch: 4 of 4 frames, 1 segments, 0 dependent
cues 0x258
`,
	// The sound begins 1.47 s before the first picture.
	"scte35-x264-20s": `
cues 0x100
v360 avc1.64001e 640x360: 465 of 465 frames, 10 segments, 0 dependent
a-und mp4a.40.2 48000 Hz 2 ch: 868 of 937 frames, 10 segments, 0 dependent; before_first_cut 69
counted unannounced 1
`,
	// A picture and four sounds are announced, and nothing of them comes.
	"teletext-fra": `
nothing of 0x424 H.264: 0 of 0 frames
nothing of 0x425 MPEG-2 audio: 0 of 0 frames
nothing of 0x426 MPEG-2 audio: 0 of 0 frames
nothing of 0x427 MPEG-2 audio: 0 of 0 frames
nothing of 0x42b MPEG-2 audio: 0 of 0 frames
unused 0x42c teletext fra: not supported
counted unannounced 15
`,
	// The picture is announced, and never begins.
	"truncated-pes-zero-frame": `
a-und mp4a.40.2 44100 Hz 2 ch: 72 of 72 frames, 1 segments, 0 dependent
nothing of 0x100 H.264: 0 of 0 frames
`,
}

// TestRealFeedsComeOutAsWhatTheyAre plays feeds that nobody here made, and holds every frame against ffmpeg.
func TestRealFeedsComeOutAsWhatTheyAre(t *testing.T) {
	names, err := filepath.Glob(filepath.Join(feeds(t), "*.ts"))
	if err != nil || len(names) != len(realFeeds) {
		t.Errorf("%d feeds are there, %d are described, %v", len(names), len(realFeeds), err)
	}
	for name, want := range realFeeds {
		t.Run(name, func(t *testing.T) {
			path, ts := realFeed(t, name)
			p := play(t, name, ts)
			for _, f := range p.report.Findings {
				t.Error(f)
			}
			p.balance(t)
			p.listed(t)
			p.gapless(t)
			if got := p.describe(t, path, ts); got != strings.TrimLeft(want, "\n") {
				t.Errorf("came out as\n%s, want\n%s", got, want)
			}
		})
	}
}

// TestWhatIsBrokenOnPurposeIsNoticed: were these comparisons blind, the ones above would say nothing.
func TestWhatIsBrokenOnPurposeIsNoticed(t *testing.T) {
	path, ts := realFeed(t, "scte35-x264-20s")
	p := play(t, "control", ts)
	x := p.pieces(t)[0]
	source := sourcePackets(t, path, x.Track, "H.264", false)
	if c := compare(source, x.packets(t)); c.gone+c.strange > 0 || c.apart != 0 {
		t.Fatalf("unbroken: %+v", c)
	}
	flipped, shifted := slices.Clone(x.bodies[1]), slices.Clone(x.bodies[1])
	flipped[len(flipped)/2] ^= 1
	shifted[bytes.Index(shifted, []byte("tfdt"))+15]++ // the last of its 64 bits (ISO/IEC 14496-12, 8.8.12)
	for name, bodies := range map[string][][]byte{
		"flipped bit":  append([][]byte{x.bodies[0], flipped}, x.bodies[2:]...),
		"shifted tfdt": append([][]byte{x.bodies[0], shifted}, x.bodies[2:]...),
		"dropped":      append([][]byte{x.bodies[0]}, x.bodies[2:]...),
		"swapped":      append([][]byte{x.bodies[1], x.bodies[0]}, x.bodies[2:]...),
		"duplicated":   append([][]byte{x.bodies[0]}, x.bodies...),
	} {
		broken := x
		broken.bodies = bodies
		if c := compare(source, broken.packets(t)); c.gone+c.strange == 0 && c.apart == 0 {
			t.Errorf("%s: not noticed: %+v", name, c)
		}
	}
}

// gapless: these feeds have one clock and no holes, so they are one generation, and media time has no holes either.
func (p *played) gapless(t *testing.T) {
	t.Helper()
	if p.aired && len(p.tl.Generations) != 1 {
		t.Errorf("%d generations", len(p.tl.Generations))
	}
	for _, line := range p.tl.Lines {
		for i, r := range line.Rows[1:] {
			if before := line.Rows[i]; r.Start != before.End() || r.Slot != before.Slot+1 {
				t.Errorf("%s: slot %d ends at %d, slot %d begins at %d", line.Rendition, before.Slot, before.End(), r.Slot, r.Start)
			}
		}
	}
}

// describe says what became of a feed.
func (p *played) describe(t *testing.T, path string, ts []byte) string {
	t.Helper()
	var b strings.Builder
	pieces, offsets := p.pieces(t), map[int]int64{}
	for _, s := range p.stats.Streams {
		if s.Ignored != "" {
			fmt.Fprintf(&b, "unused %#x %s: %s\n", s.ID, strings.TrimSpace(s.Name+" "+s.Language), s.Ignored)
			continue
		}
		if s.Name == "SCTE-35" {
			fmt.Fprintf(&b, "cues %#x\n", s.ID)
			continue
		}
		var source []packet
		if !empty(t, path, s.ID) {
			source = sourcePackets(t, path, s.ID, s.Name, strings.Contains(path, "1080i"))
		}
		i := slices.IndexFunc(pieces, func(x piece) bool { return x.Track == s.ID })
		if i < 0 {
			c := compare(source, nil)
			fmt.Fprintf(&b, "nothing of %#x %s: 0 of %d frames%s\n", s.ID, s.Name, len(source), p.explain(t, s, ts, source, c))
			continue
		}
		x := pieces[i]
		c := compare(source, x.packets(t))
		// Behind the first frame that came out only those are missing whose bytes are, which ffmpeg gives as far as they go.
		if c.strange > 0 || int64(c.behind) > p.units[lossKind{s.ID, "damaged"}] {
			t.Errorf("%s: %+v", x.ID, c)
		}
		if limit := x.Frame * 90000 / int64(x.Timescale); c.apart > limit {
			t.Errorf("%s: frames are shown up to %d ticks from where they should be", x.ID, c.apart)
		}
		offsets[s.ID] = c.offset
		fmt.Fprintf(&b, "%s %s: %d of %d frames, %s%s\n", x.ID, x.describe(), len(source)-c.gone, len(source), x.starts(), p.explain(t, s, ts, source, c))
	}
	p.together(t, pieces, offsets)
	for _, r := range slices.Sorted(maps.Keys(p.stats.Errors)) {
		if n := p.stats.Errors[r]; n > 0 {
			fmt.Fprintf(&b, "counted %s %d\n", r, n)
		}
	}
	return b.String()
}

// together: what was shown and heard together still is, to one audio frame.
func (p *played) together(t *testing.T, pieces []piece, offsets map[int]int64) {
	t.Helper()
	for _, x := range pieces {
		first := pieces[0]
		limit := max(x.Frame*90000/int64(x.Timescale), first.Frame*90000/int64(first.Timescale))
		if d := offsets[x.Track] - offsets[first.Track]; d < -limit || d > limit {
			t.Errorf("%s is %d ticks of 90 kHz from where it was beside %s", x.ID, d, first.ID)
		}
	}
}

// explain names where missing frames are, and holds that the sum is right.
func (p *played) explain(t *testing.T, s ingest.Stream, ts []byte, source []packet, c comparison) (why string) {
	t.Helper()
	reasons := map[string]int64{}
	for _, e := range p.losses {
		if e.Track == s.ID && e.Frames > 0 {
			reasons[e.Reason] += e.Frames
		}
	}
	for k, n := range p.units {
		if k.track == s.ID {
			reasons[k.reason] += n
		}
	}
	size := 1
	if len(source) > 0 {
		size = source[0].size
	}
	if n := unannounced(ts, s.ID, strings.HasPrefix(s.Name, "H."), size); n > 0 {
		reasons["unannounced"] = int64(n)
	}
	sum := int64(0)
	for _, r := range slices.Sorted(maps.Keys(reasons)) {
		sum += reasons[r]
		why += fmt.Sprintf("; %s %d", r, reasons[r])
	}
	// "syntax" counts stretches of what is no frame; there may have been one. "pes_short" counts PES packets, whose frames have reasons
	// of their own.
	sum -= reasons["pes_short"]
	if n := int64(c.pictures); n != sum && n != sum-reasons["syntax"] {
		t.Errorf("track %#x: %d frames (%d pictures) are missing, %d are accounted for", s.ID, c.gone, c.pictures, sum)
	}
	return why
}

// packets is the piece as ffmpeg reads it.
func (x piece) packets(t *testing.T) []packet {
	t.Helper()
	file := filepath.Join(t.TempDir(), "out.mp4")
	if err := os.WriteFile(file, slices.Concat(append([][]byte{x.init}, x.bodies...)...), 0o644); err != nil {
		t.Fatal(err)
	}
	got, _ := packets(t, file, "0")
	return got
}

func (x piece) describe() string {
	if x.IsVideo() {
		return fmt.Sprintf("%s %dx%d", x.Codec, x.Width, x.Height)
	}
	if x.JOC > 0 {
		return fmt.Sprintf("%s %d Hz %d ch, %d/JOC", x.Codec, x.SampleRate, x.Channels, x.JOC)
	}
	return strings.TrimSpace(fmt.Sprintf("%s %d Hz %d ch %s", x.Codec, x.SampleRate, x.Channels, x.Language))
}

func (x piece) starts() string {
	n := 0
	for _, r := range x.rows {
		if r.Flags.Has(timeline.Dependent) {
			n++
		}
	}
	return fmt.Sprintf("%d segments, %d dependent", len(x.rows), n)
}

// mutations is how many broken copies of each feed are played; with FLAMBEAU_TEST_LONG=1, mutationsLong.
const (
	mutations     = 30
	mutationsLong = 1000
)

// feedLength is how long, in seconds, no distance of key frames can be longer than in these feeds.
const feedLength = 20

// mutationGrowth is what memory may have grown by after all of them.
const mutationGrowth = 50 << 20

// TestABrokenFeedBreaksNothing flips, drops, doubles and shuffles bytes and packets of real feeds. Whatever comes of it: what is stored
// keeps every promise, and everything that was received is stored or named as lost.
func TestABrokenFeedBreaksNothing(t *testing.T) {
	count := mutations
	if os.Getenv("FLAMBEAU_TEST_LONG") == "1" {
		count = mutationsLong
	}
	before := heap()
	var sum struct{ aired, generations, dependent, losses int }
	for _, name := range []string{"h264-aac-12s", "scte35-x264-20s"} {
		_, ts := realFeed(t, name)
		for seed := range uint64(count) {
			t.Run(fmt.Sprintf("%s_%d", name, seed), func(t *testing.T) {
				p := play(t, name, mutated(ts, rand.New(rand.NewPCG(seed, 11))))
				for _, f := range p.report.Findings {
					t.Error(f)
				}
				p.balance(t)
				p.listed(t)
				if p.aired {
					sum.aired++
					if limit := int64(2 * feedLength); p.tl.Shape.TargetDuration > limit {
						t.Errorf("a target duration of %d s for the life of the channel", p.tl.Shape.TargetDuration)
					}
				}
				sum.generations += len(p.tl.Generations)
				sum.losses += len(p.losses)
				for _, line := range p.tl.Lines {
					if dependent(line.Rows) {
						sum.dependent++
					}
				}
			})
		}
	}
	t.Logf("of %d: %+v", 2*count, sum)
	if sum.aired < count || sum.generations < sum.aired || sum.dependent == 0 || sum.losses == 0 {
		t.Errorf("too little was broken, or too much, to show anything: %+v", sum)
	}
	if after := heap(); after > before+mutationGrowth {
		t.Errorf("memory grew by %d bytes", after-before)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// mutated is a broken copy: one to eight kinds of damage, here and there, or everywhere.
func mutated(ts []byte, dice *rand.Rand) []byte {
	b := slices.Clone(ts)
	for range 1 + dice.IntN(8) {
		damage := damages[dice.IntN(len(damages))]
		for range 1 + dice.IntN(1<<dice.IntN(9)) {
			if len(b) < 20*188 {
				return b // too little is left to be broken
			}
			b = damage(b, dice)
		}
	}
	return b
}

// damages take bytes of about a packet or a few, at any place.
var damages = []func(b []byte, dice *rand.Rand) []byte{
	func(b []byte, dice *rand.Rand) []byte { // a flipped bit
		b[dice.IntN(len(b))] ^= 1 << dice.IntN(8)
		return b
	},
	func(b []byte, dice *rand.Rand) []byte { // a flipped bit in a header
		b[dice.IntN(len(b)/188)*188+dice.IntN(20)] ^= 1 << dice.IntN(8)
		return b
	},
	func(b []byte, dice *rand.Rand) []byte { // packets dropped
		from, to := stretch(b, dice)
		return slices.Delete(b, from, to)
	},
	func(b []byte, dice *rand.Rand) []byte { // packets doubled
		from, to := stretch(b, dice)
		return slices.Insert(b, to, slices.Clone(b[from:to])...)[:len(b)]
	},
	func(b []byte, dice *rand.Rand) []byte { // a packet late
		from, to := stretch(b, dice)
		copy(b[from:to], slices.Concat(b[from+188:to], b[from:from+188]))
		return b
	},
	func(b []byte, dice *rand.Rand) []byte { // bytes dropped: sync is lost
		from := dice.IntN(len(b) - 400)
		return slices.Delete(b, from, from+1+dice.IntN(400))
	},
	func(b []byte, dice *rand.Rand) []byte { // noise
		from, to := stretch(b, dice)
		for i := from; i < to; i++ {
			b[i] = byte(dice.Uint32())
		}
		return b
	},
	func(b []byte, dice *rand.Rand) []byte { // null-flooded
		from, to := stretch(b, dice)
		clear(b[from:to])
		return b
	},
	func(b []byte, dice *rand.Rand) []byte { // another time, or none: the bytes of a PES header
		from := dice.IntN(len(b) - 188)
		if i := bytes.Index(b[from:len(b)-20], []byte{0, 0, 1, 0xe0}); i >= 0 {
			b[from+i+9+dice.IntN(5)] ^= byte(2 << dice.IntN(7))
		}
		return b
	},
}

// stretch is one to four packets.
func stretch(b []byte, dice *rand.Rand) (from, to int) {
	n := 1 + dice.IntN(4)
	from = dice.IntN(len(b)/188-n) * 188
	return from, from + n*188
}
