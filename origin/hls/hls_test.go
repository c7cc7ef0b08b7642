package hls_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flambeau/origin/hls"
	"flambeau/origin/rights"
	"flambeau/packager/timeline"
)

var open = rights.Open()

const quarter = 15 * time.Minute

func media(t *testing.T, x timeline.Timeline, g rights.Grant, rendition string) string {
	t.Helper()
	b, err := hls.Media(x, g, quarter, rendition)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// fill puts a channel's own numbers into what is expected of it: {+3} is the fourth slot, {init v 0} an initialization segment.
func fill(x timeline.Timeline, s string) string {
	var pairs []string
	for i := range int64(40) {
		pairs = append(pairs, fmt.Sprintf("{+%d}", i), fmt.Sprint(x.Shape.First.S0+i))
	}
	for _, g := range x.Generations {
		for _, r := range g.Renditions {
			pairs = append(pairs, fmt.Sprintf("{init %s %d}", r.ID, g.Number), "init-"+r.Init.Short()+".mp4")
		}
	}
	return strings.NewReplacer(pairs...).Replace(strings.TrimPrefix(s, "\n"))
}

func TestMediaPlaylists(t *testing.T) {
	short := func(k take, slots int) take { k.slots = slots; return k }
	without := func(k take, ids ...string) take { k.renditions = ids; return k }
	for _, c := range []struct {
		name      string
		channel   timeline.Timeline
		change    func(timeline.Timeline) timeline.Timeline
		rendition string
		want      string
	}{{
		name: "pictures", channel: air(short(p25, 3)), rendition: "v1080",
		want: `
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:{+0}
#EXT-X-DISCONTINUITY-SEQUENCE:0
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MAP:URI="{init v1080 0}"
#EXT-X-PROGRAM-DATE-TIME:2026-02-16T09:36:07.137Z
#EXTINF:2.000000,
{+0}.m4s
#EXTINF:2.000000,
{+1}.m4s
#EXTINF:2.000000,
{+2}.m4s
`,
	}, {
		name: "sound of 93 and 94 frames a slot", channel: air(short(p25, 3)), rendition: "a-fr",
		want: `
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:{+0}
#EXT-X-DISCONTINUITY-SEQUENCE:0
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MAP:URI="{init a-fr 0}"
#EXT-X-PROGRAM-DATE-TIME:2026-02-16T09:36:07.137Z
#EXTINF:2.005333,
{+0}.m4s
#EXTINF:2.005333,
{+1}.m4s
#EXTINF:2.005334,
{+2}.m4s
`,
	}, {
		name: "a generation begins after ten seconds of silence", channel: air(short(p2997, 2), take{2, 3003, 74, p2997.renditions, 900000}), rendition: "v720",
		want: `
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:3
#EXT-X-MEDIA-SEQUENCE:{+0}
#EXT-X-DISCONTINUITY-SEQUENCE:0
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MAP:URI="{init v720 0}"
#EXT-X-PROGRAM-DATE-TIME:2026-02-16T09:36:07.137Z
#EXTINF:2.469133,
{+0}.m4s
#EXTINF:2.469133,
{+1}.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="{init v720 1}"
#EXT-X-PROGRAM-DATE-TIME:2026-02-16T09:36:22.075Z
#EXTINF:2.469134,
{+2}.m4s
#EXTINF:2.469133,
{+3}.m4s
`,
	}, {
		name: "a gap in sound, in the reference's time, and a dependent segment", channel: air(short(p25, 4)), rendition: "a-fr",
		change: func(x timeline.Timeline) timeline.Timeline {
			x = with(x, "a-fr", x.Shape.First.S0+1, gap)
			return with(x, "a-fr", x.Shape.First.S0+2, dependent)
		},
		want: `
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:{+0}
#EXT-X-DISCONTINUITY-SEQUENCE:0
#EXT-X-MAP:URI="{init a-fr 0}"
#EXT-X-PROGRAM-DATE-TIME:2026-02-16T09:36:07.137Z
#EXTINF:2.005333,
{+0}.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-02-16T09:36:09.137Z
#EXT-X-GAP
#EXTINF:2.000000,
{+1}.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-02-16T09:36:11.148Z
#EXTINF:2.005334,
{+2}.m4s
#EXTINF:1.984000,
{+3}.m4s
`,
	}, {
		name: "a rendition that one generation does not have", channel: air(without(short(p25, 1), "v1080"), short(p25, 1), without(short(p25, 1), "v1080")), rendition: "v720",
		want: `
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:{+0}
#EXT-X-DISCONTINUITY-SEQUENCE:0
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-PROGRAM-DATE-TIME:2026-02-16T09:36:07.137Z
#EXT-X-GAP
#EXTINF:2.000000,
{+0}.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="{init v720 1}"
#EXT-X-PROGRAM-DATE-TIME:2026-02-16T09:36:09.137Z
#EXTINF:2.000000,
{+1}.m4s
#EXT-X-DISCONTINUITY
#EXT-X-PROGRAM-DATE-TIME:2026-02-16T09:36:11.137Z
#EXT-X-GAP
#EXTINF:2.000000,
{+2}.m4s
`,
	}, {
		name: "a segment too long for the target duration, and time after it", channel: air(short(p25, 2)), rendition: "v720",
		change: func(x timeline.Timeline) timeline.Timeline {
			return with(with(x, "v720", x.Shape.First.S0, func(r *timeline.Row) { r.Duration += 45000 }), "v720", x.Shape.First.S0+1,
				func(r *timeline.Row) { r.Start, r.Duration = r.Start+45000, r.Duration-45000 })
		},
		want: `
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:{+0}
#EXT-X-DISCONTINUITY-SEQUENCE:0
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MAP:URI="{init v720 0}"
#EXT-X-PROGRAM-DATE-TIME:2026-02-16T09:36:07.137Z
#EXTINF:2.499999,
{+0}.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-02-16T09:36:09.637Z
#EXTINF:1.500000,
{+1}.m4s
`,
	}} {
		t.Run(c.name, func(t *testing.T) {
			if c.change != nil {
				c.channel = c.change(c.channel)
			}
			if diff := cmp.Diff(fill(c.channel, c.want), media(t, c.channel, open, c.rendition)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestIFramePlaylistListsTheFirstKeyFrameOfEachSlot(t *testing.T) {
	k := p25
	k.slots = 6
	x := air(k)
	s0 := x.Shape.First.S0
	x = with(x, "v1080", s0+1, dependent)
	x = with(x, "v1080", s0+2, gap)
	x = with(x, "v1080", s0+3, func(r *timeline.Row) { r.Keys[0].Size = 0 })
	x = with(x, "v1080", s0+4, func(r *timeline.Row) { r.Keys[0].Size = r.Size })
	want := `
#EXTM3U
#EXT-X-VERSION:5
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:{+0}
#EXT-X-DISCONTINUITY-SEQUENCE:0
#EXT-X-I-FRAMES-ONLY
#EXT-X-MAP:URI="{init v1080 0}"
#EXT-X-PROGRAM-DATE-TIME:2026-02-16T09:36:07.137Z
#EXT-X-BYTERANGE:20000@120
#EXTINF:2.000000,
{+0}.m4s
#EXT-X-GAP
#EXTINF:2.000000,
{+1}.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-02-16T09:36:11.137Z
#EXT-X-GAP
#EXTINF:2.000000,
{+2}.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-02-16T09:36:13.137Z
#EXT-X-GAP
#EXTINF:2.000000,
{+3}.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-02-16T09:36:15.137Z
#EXT-X-GAP
#EXTINF:2.000000,
{+4}.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-02-16T09:36:17.137Z
#EXT-X-BYTERANGE:20000@120
#EXTINF:2.000000,
{+5}.m4s
`
	got, err := hls.IFrames(x, open, quarter, "v1080")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fill(x, want), string(got)); diff != "" {
		t.Error(diff)
	}
	if _, err := hls.IFrames(x, open, quarter, "a-fr"); !errors.Is(err, hls.ErrNoRendition) {
		t.Errorf("key frames of sound: error %v", err)
	}
}

func TestMultivariantPlaylists(t *testing.T) {
	k := p25
	for _, c := range []struct {
		name       string
		renditions []string
		change     func([]timeline.Rendition)
		grant      rights.Grant
		want       string
	}{{
		name: "two pictures, two languages", renditions: []string{"v720", "v1080", "a-fr", "a-en"},
		want: `
#EXTM3U
#EXT-X-VERSION:4
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio-mp4a.40.2",NAME="fr",LANGUAGE="fr",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="a-fr/index.m3u8"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio-mp4a.40.2",NAME="en",LANGUAGE="en",DEFAULT=NO,AUTOSELECT=YES,CHANNELS="2",URI="a-en/index.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=6140000,AVERAGE-BANDWIDTH=5128000,CODECS="avc1.640028,mp4a.40.2",RESOLUTION=1920x1080,VIDEO-RANGE=SDR,FRAME-RATE=25.000,AUDIO="audio-mp4a.40.2",CLOSED-CAPTIONS=NONE
v1080/index.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=3140000,AVERAGE-BANDWIDTH=2628000,CODECS="avc1.640028,mp4a.40.2",RESOLUTION=1280x720,VIDEO-RANGE=SDR,FRAME-RATE=25.000,AUDIO="audio-mp4a.40.2",CLOSED-CAPTIONS=NONE
v720/index.m3u8
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1500000,AVERAGE-BANDWIDTH=1250000,CODECS="avc1.640028",RESOLUTION=1920x1080,VIDEO-RANGE=SDR,URI="v1080/iframes.m3u8"
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=750000,AVERAGE-BANDWIDTH=625000,CODECS="avc1.640028",RESOLUTION=1280x720,VIDEO-RANGE=SDR,URI="v720/iframes.m3u8"
`,
	}, {
		name: "a grant of 720 lines", renditions: []string{"v1080", "v720", "a-fr"}, grant: rights.Grant{MaxHeight: 720},
		want: `
#EXTM3U
#EXT-X-VERSION:4
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio-mp4a.40.2",NAME="fr",LANGUAGE="fr",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="a-fr/index.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=3140000,AVERAGE-BANDWIDTH=2628000,CODECS="avc1.640028,mp4a.40.2",RESOLUTION=1280x720,VIDEO-RANGE=SDR,FRAME-RATE=25.000,AUDIO="audio-mp4a.40.2",CLOSED-CAPTIONS=NONE
v720/index.m3u8
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=750000,AVERAGE-BANDWIDTH=625000,CODECS="avc1.640028",RESOLUTION=1280x720,VIDEO-RANGE=SDR,URI="v720/iframes.m3u8"
`,
	}, {
		name: "two codecs of sound, one language twice, none known once", renditions: []string{"v720", "a-fr", "a-fr-2", "a-und", "a-en"},
		change: func(rs []timeline.Rendition) {
			rs[2].Language, rs[3].Language, rs[3].Channels = "fr", "", 0
			rs[4].Codec, rs[4].Channels, rs[4].Bandwidth, rs[4].Average = "ec-3", 6, 448000, 448000
			rs[4].JOC = 16
			rs[0].FrameRate, rs[0].Range = timeline.Seconds(30000, 1001), ""
		},
		want: `
#EXTM3U
#EXT-X-VERSION:4
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio-mp4a.40.2",NAME="fr",LANGUAGE="fr",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="a-fr/index.m3u8"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio-mp4a.40.2",NAME="fr (2)",LANGUAGE="fr",DEFAULT=NO,AUTOSELECT=NO,CHANNELS="2",URI="a-fr-2/index.m3u8"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio-mp4a.40.2",NAME="Audio 3",DEFAULT=NO,AUTOSELECT=YES,URI="a-und/index.m3u8"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio-ec-3",NAME="en",LANGUAGE="en",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="16/JOC",URI="a-en/index.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=3140000,AVERAGE-BANDWIDTH=2628000,CODECS="avc1.640028,mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=29.970,AUDIO="audio-mp4a.40.2",CLOSED-CAPTIONS=NONE
v720/index.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=3448000,AVERAGE-BANDWIDTH=2948000,CODECS="avc1.640028,ec-3",RESOLUTION=1280x720,FRAME-RATE=29.970,AUDIO="audio-ec-3",CLOSED-CAPTIONS=NONE
v720/index.m3u8
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=750000,AVERAGE-BANDWIDTH=625000,CODECS="avc1.640028",RESOLUTION=1280x720,URI="v720/iframes.m3u8"
`,
	}, {
		name: "pictures alone", renditions: []string{"v720"},
		want: `
#EXTM3U
#EXT-X-VERSION:4
#EXT-X-STREAM-INF:BANDWIDTH=3000000,AVERAGE-BANDWIDTH=2500000,CODECS="avc1.640028",RESOLUTION=1280x720,VIDEO-RANGE=SDR,FRAME-RATE=25.000,CLOSED-CAPTIONS=NONE
v720/index.m3u8
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=750000,AVERAGE-BANDWIDTH=625000,CODECS="avc1.640028",RESOLUTION=1280x720,VIDEO-RANGE=SDR,URI="v720/iframes.m3u8"
`,
	}, {
		name: "sound alone", renditions: []string{"a-fr", "a-en"},
		want: `
#EXTM3U
#EXT-X-VERSION:4
#EXT-X-STREAM-INF:BANDWIDTH=140000,AVERAGE-BANDWIDTH=128000,CODECS="mp4a.40.2"
a-fr/index.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=140000,AVERAGE-BANDWIDTH=128000,CODECS="mp4a.40.2"
a-en/index.m3u8
`,
	}, {
		name: "what a record must not smuggle in", renditions: []string{"v720"},
		change: func(rs []timeline.Rendition) { rs[0].Codec, rs[0].Range = "avc1\"\n#EXT-X-ENDLIST\n\u0085", "SDR\n#X" },
		want: `
#EXTM3U
#EXT-X-VERSION:4
#EXT-X-STREAM-INF:BANDWIDTH=3000000,AVERAGE-BANDWIDTH=2500000,CODECS="avc1#EXT-X-ENDLIST",RESOLUTION=1280x720,FRAME-RATE=25.000,CLOSED-CAPTIONS=NONE
v720/index.m3u8
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=750000,AVERAGE-BANDWIDTH=625000,CODECS="avc1#EXT-X-ENDLIST",RESOLUTION=1280x720,URI="v720/iframes.m3u8"
`,
	}} {
		t.Run(c.name, func(t *testing.T) {
			k.renditions = c.renditions
			x := air(k)
			if c.change != nil {
				c.change(x.Generations[0].Renditions)
			}
			got, err := hls.Multivariant(x, c.grant)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.TrimPrefix(c.want, "\n"), string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAMultivariantPlaylistNamesOnlyWhatCanBeFetched(t *testing.T) {
	x := air(p25)
	s0 := x.Shape.First.S0
	early := until(x, s0)
	early = until(early, s0-1, "a-en")
	if _, err := hls.Multivariant(early, open); !errors.Is(err, hls.ErrEmpty) {
		t.Errorf("one sound has not come yet: error %v", err)
	}
	if _, err := hls.Multivariant(until(x, s0), open); err != nil {
		t.Errorf("all have come: %v", err)
	}

	// A generation of which only the record is known, and maybe void, changes nothing.
	before, _ := hls.Multivariant(x, open)
	after, err := hls.Multivariant(x.With(timeline.Generation{Number: 1, Timescale: 90000, S0: s0 + 10}), open)
	if err != nil || string(before) != string(after) {
		t.Errorf("a proposal is shown: %v\n%s", err, after)
	}
}

func TestWhyThereIsNoPlaylist(t *testing.T) {
	x := air(p25)
	empty := timeline.New(x.Shape)
	for _, c := range []struct {
		name, rendition string
		x               timeline.Timeline
		g               rights.Grant
		want            error
	}{
		{"nothing published", "v1080", empty, open, hls.ErrEmpty},
		{"sound not yet published", "a-fr", until(x, x.Shape.First.S0-1, "a-fr"), open, hls.ErrEmpty},
		{"unknown", "v2160", x, open, hls.ErrNoRendition},
		{"too high for the grant", "v1080", x, rights.Grant{MaxHeight: 720}, hls.ErrNoRendition},
		{"after the grant", "v1080", x, rights.Grant{Until: time.Unix(1771234560, 0)}, hls.ErrEmpty},
		{"generation 1 is missing", "v1080", with(x, "v1080", x.Shape.First.S0+9, func(r *timeline.Row) { r.Generation = 2 }), open, timeline.ErrGenerations},
	} {
		if _, err := hls.Media(c.x, c.g, quarter, c.rendition); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v", c.name, err)
		}
		if _, err := hls.IFrames(c.x, c.g, quarter, c.rendition); !errors.Is(err, c.want) {
			t.Errorf("%s: key frames: error %v", c.name, err)
		}
	}
	if _, err := hls.Multivariant(empty, open); !errors.Is(err, hls.ErrEmpty) {
		t.Errorf("multivariant of nothing: error %v", err)
	}
	k := p25
	k.renditions = []string{"v1080"}
	if _, err := hls.Multivariant(air(k), rights.Grant{MaxHeight: 720}); !errors.Is(err, hls.ErrNoRendition) {
		t.Errorf("nothing low enough: error %v", err)
	}
}

func BenchmarkMedia(b *testing.B) {
	for _, slots := range []int{450, 30_000} {
		k := p25
		k.slots = slots
		x := air(k)
		for _, id := range []string{"v1080", "a-fr"} {
			b.Run(fmt.Sprintf("%s/%d", id, slots), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					out, err := hls.Media(x, open, 24*time.Hour, id)
					if err != nil || strings.Count(string(out[len(out)-20:]), "m4s") != 1 {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
