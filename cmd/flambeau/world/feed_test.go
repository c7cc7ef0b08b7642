package world

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"time"

	"flambeau/packager/media"
)

// programme is what a broadcaster makes of a feed, and never changes while a seed runs.
type programme struct {
	num, den int64         // pictures a second
	gops     []int         // pictures from one key frame to the next: always the one, or one of them each time
	b        int           // pictures between two references
	rates    []int         // of the sounds, hertz
	start    int64         // 33-bit timestamp of its first picture
	lead     time.Duration // how much later than its time a sound is sent
}

// longestGOP is the longest distance of two key frames.
func (p programme) longestGOP() time.Duration {
	most := 0
	for _, g := range p.gops {
		most = max(most, g)
	}
	return time.Duration(int64(most) * p.den * int64(time.Second) / p.num)
}

func (p programme) regular() bool { return len(p.gops) == 1 }

// wrap is where timestamps begin again (ISO/IEC 13818-1, 2.4.3.7).
const wrap = int64(1) << 33

// The tracks of the feed, as the feed calls them.
const (
	pictureTrack = 256
	soundTrack   = 257 // the first of them
)

// frame is one access unit on its way, before any receiver has read its timestamps.
type frame struct {
	number   int64         // of all that were ever sent, in order
	due      time.Duration // when it is sent, from the beginning of the air
	track    int
	key      bool
	dts, pts int64 // of the programme: they go on for ever, whatever the feed's clock does
	clock    int   // how often the feed's clock has jumped
	raw      int64 // the decoding time that stands in the feed, 33 bits
	table    *table
	picture  int // which parameter sets the pictures have
}

// frameBytes is how long the body of a frame is: it says of itself which it is.
const frameBytes = 20

func (f frame) body(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(f.number))
	b = binary.BigEndian.AppendUint64(b, uint64(f.pts))
	b = binary.BigEndian.AppendUint16(b, uint16(f.track))
	return binary.BigEndian.AppendUint16(b, uint16(f.clock))
}

// parseFrame reads what body wrote.
func parseFrame(b []byte) (f frame, ok bool) {
	if len(b) != frameBytes {
		return f, false
	}
	f.number, f.pts = int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint64(b[8:]))
	f.track, f.clock = int(binary.BigEndian.Uint16(b[16:])), int(binary.BigEndian.Uint16(b[18:]))
	return f, true
}

// table is which sounds the feed has, and in which languages: what a programme map says.
type table struct {
	sounds []spoken
}

// spoken is a sound in a table. One without language is not there.
type spoken struct {
	language string
	rate     int
}

// with is the table with another language at one place.
func (t *table) with(i int, language string) *table {
	sounds := slices.Clone(t.sounds)
	sounds[i].language = language
	return &table{sounds}
}

// transmitter sends a programme.
type transmitter struct {
	programme
	dice *rand.Rand

	number  int64
	coded   int64 // pictures so far
	gop, at int   // length of the running group of pictures, and how many of it are out
	sounds  []int64
	clock   int
	shift   int64 // what the jumps of the clock come to
	table   *table
	sets    int  // which parameter sets the pictures have
	next    int  // which they have from the next key frame on
	rogue   bool // the next frame's timestamp is wrong
	rogueBy int64
	rogues  map[int64]int64 // all that were, and by how much
}

func newTransmitter(p programme, dice *rand.Rand) *transmitter {
	x := &transmitter{programme: p, dice: dice, sounds: make([]int64, len(p.rates)), table: &table{}, rogues: map[int64]int64{}}
	for i, rate := range p.rates {
		x.table.sounds = append(x.table.sounds, spoken{[]string{"eng", "fra", "deu"}[i%3], rate})
	}
	return x
}

// until gives the frames that are due before an instant, in order.
func (x *transmitter) until(end time.Duration, out []frame) []frame {
	for {
		best, at := -1, x.pictureDue()
		for i := range x.sounds {
			if d := x.soundDue(i); d < at {
				best, at = i, d
			}
		}
		if at >= end {
			return out
		}
		f := frame{due: at, clock: x.clock, table: x.table}
		if best < 0 {
			x.drawPicture(&f)
		} else if x.drawSound(&f, best); x.table.sounds[best].language == "" {
			continue
		}
		x.number++
		f.number, f.picture = x.number, x.sets
		f.raw = x.start + f.dts + x.shift
		if x.rogue {
			f.raw, x.rogue, x.rogues[f.number] = f.raw+x.rogueBy, false, x.rogueBy
		}
		f.raw &= wrap - 1
		out = append(out, f)
	}
}

func (x *transmitter) ticksOf(picture int64) int64 { return picture * 90000 * x.den / x.num }

func (x *transmitter) pictureDue() time.Duration { return airOf(x.ticksOf(x.coded)) }

func (x *transmitter) soundDue(i int) time.Duration { return airOf(x.soundTicks(i)) + x.lead }

// soundTicks is where the next frame of a sound lies: beside the pictures, and never on their ticks.
func (x *transmitter) soundTicks(i int) int64 {
	return x.sounds[i]*1024*90000/int64(x.rates[i]) + x.ticksOf(int64(x.b)) + 700
}

// airOf is how long after the beginning of the air something of a programme's time is.
func airOf(ticks int64) time.Duration { return time.Duration(ticks * 100_000 / 9) }

func (x *transmitter) drawPicture(f *frame) {
	if x.at == x.gop {
		x.gop, x.at = x.gops[x.dice.IntN(len(x.gops))], 0
	}
	f.track, f.key = pictureTrack, x.at == 0
	f.dts = x.ticksOf(x.coded)
	f.pts = x.ticksOf(x.coded + int64(shownLater(x.at, x.gop, x.b)))
	if f.key {
		x.sets = x.next
	}
	x.coded, x.at = x.coded+1, x.at+1
}

// shownLater is by how many pictures presentation is after decoding: I0 P3 B1 B2 P6 … is decoded one b early, and the last of a closed
// group are references only.
func shownLater(n, gop, b int) int {
	switch {
	case b == 0:
		return 0
	case n == 0 || n > (gop-1)/(b+1)*(b+1):
		return b
	case (n-1)%(b+1) == 0:
		return 2 * b
	}
	return b - 1
}

func (x *transmitter) drawSound(f *frame, i int) {
	f.track, f.key, f.dts = soundTrack+i, true, x.soundTicks(i)
	f.pts = f.dts
	x.sounds[i]++
}

// alone tells whether there is nothing but the picture.
func (x *transmitter) alone() bool {
	return !slices.ContainsFunc(x.table.sounds, func(s spoken) bool { return s.language != "" })
}

// jump moves the feed's clock.
func (x *transmitter) jump(by int64) { x.clock, x.shift = x.clock+1, x.shift+by }

// toZero makes the feed's clock begin again, as an encoder does that starts.
func (x *transmitter) toZero() int64 {
	by := 90000 - (x.start + x.ticksOf(x.coded) + x.shift)
	x.jump(by)
	return by
}

// receiver reads a feed's timestamps as a demultiplexer does that has just been opened: 33 bits, unwrapped from the first on.
type receiver struct {
	began bool
	last  int64
	table *table
	known int // parameter sets that have come; negative: none yet
	said  int
}

func newReceiver() *receiver { return &receiver{known: -1, said: -2} }

// hear makes events of a frame: what the feed's tables now say, if that is news, and the sample. buffer has room for the body.
func (r *receiver) hear(f *frame, s *media.Sample, buffer []byte, arrived time.Time, events []media.Event) []media.Event {
	if !r.began {
		r.began, r.last = true, f.raw
	}
	d := (f.raw - r.last) & (wrap - 1)
	if d >= wrap/2 {
		d -= wrap
	}
	r.last += d
	if f.key && f.track == pictureTrack {
		r.known = f.picture
	}
	if r.table != f.table || r.said != r.known {
		r.table, r.said = f.table, r.known
		events = append(events, f.table.begin(r.known))
	}
	*s = media.Sample{Track: f.track, PTS: media.Ticks(r.last + f.pts - f.dts), DTS: media.Ticks(r.last), Key: f.key, Data: f.body(buffer), Arrived: arrived}
	return append(events, s)
}

// begin is the event that tells of the tracks.
func (t *table) begin(known int) media.Begin {
	b := media.Begin{Tracks: []media.Track{{ID: pictureTrack, Kind: media.Video, Codec: media.H264, Timescale: 90000}}}
	if known >= 0 {
		b.Tracks[0].Parameters = pictureSets[known%len(pictureSets)]
	}
	for i, s := range t.sounds {
		if s.language != "" {
			b.Tracks = append(b.Tracks, media.Track{ID: soundTrack + i, Kind: media.Audio, Codec: media.AAC, Timescale: 90000, Language: s.language, Parameters: [][]byte{soundConfigs[s.rate]}})
		}
	}
	return b
}

// pictureSets are H.264 High, 640 × 360 and 720 × 576.
var pictureSets = [][][]byte{
	{unhex("6764001eacd980a02ff97016a02020280000030008000003019078b16cd0"), unhex("68e97b2c8b")},
	{unhex("6764001facd9405005bb011000000300100000030320f1831960"), unhex("68ebe3cb22c0")},
}

// soundConfigs are AudioSpecificConfigs: AAC LC, stereo.
var soundConfigs = map[int][]byte{48000: unhex("1190"), 44100: unhex("1210"), 8000: unhex("1590")}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}
