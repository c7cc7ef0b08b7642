package dash_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flambeau/origin/dash"
	"flambeau/origin/rights"
	"flambeau/packager/timeline"
)

var open = rights.Open()

const quarter = 15 * time.Minute

func manifest(t *testing.T, x timeline.Timeline, g rights.Grant, window time.Duration) string {
	t.Helper()
	b, err := dash.Manifest(x, g, window)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestAManifestFromEndToEnd(t *testing.T) {
	k := p25
	k.slots, k.renditions = 4, []string{"v1080", "a-fr"}
	x := air(k)
	v, a, s0 := x.Shape.First.Renditions[0], x.Shape.First.Renditions[1], x.Shape.First.S0
	want := strings.NewReplacer("{v}", v.Init.Short(), "{a}", a.Init.Short(), "{s0}", fmt.Sprint(s0)).Replace(`<?xml version="1.0" encoding="UTF-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019" type="dynamic" availabilityStartTime="1970-01-01T00:00:00Z" publishTime="2026-02-16T09:36:15.137Z" minimumUpdatePeriod="PT2S" minBufferTime="PT2S" timeShiftBufferDepth="PT900S" suggestedPresentationDelay="PT6S" maxSegmentDuration="PT2.5S">
<Period id="0" start="PT1771234567.137167S">
<AdaptationSet id="1" contentType="video" mimeType="video/mp4" par="16:9" frameRate="25" segmentAlignment="true" startWithSAP="1">
<Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/>
<Representation id="v1080" codecs="avc1.640028" bandwidth="6000000" width="1920" height="1080" frameRate="25" sar="1:1">
<SegmentTemplate timescale="90000" presentationTimeOffset="159411111042345" startNumber="{s0}" initialization="v1080/init-{v}.mp4" media="v1080/$Number$.m4s">
<SegmentTimeline>
<S t="159411111042345" d="180000" r="3"/>
</SegmentTimeline>
</SegmentTemplate>
</Representation>
</AdaptationSet>
<AdaptationSet id="2" contentType="audio" mimeType="audio/mp4" lang="fr" segmentAlignment="true" startWithSAP="1">
<AudioChannelConfiguration schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" value="2"/>
<Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/>
<Representation id="a-fr" codecs="mp4a.40.2" bandwidth="140000" audioSamplingRate="48000">
<SegmentTemplate timescale="48000" presentationTimeOffset="85019259222584" startNumber="{s0}" initialization="a-fr/init-{a}.mp4" media="a-fr/$Number$.m4s">
<SegmentTimeline>
<S t="85019259222584" d="96256" r="2"/>
<S d="95232"/>
</SegmentTimeline>
</SegmentTemplate>
</Representation>
</AdaptationSet>
</Period>
<UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-xsdate:2014" value="time"/>
</MPD>
`)
	if diff := cmp.Diff(want, manifest(t, x, open, quarter)); diff != "" {
		t.Error(diff)
	}
}

// outline is a manifest in few words: each Period, and which slots of which renditions are in which of its sets.
func outline(t *testing.T, x timeline.Timeline, b string) string {
	t.Helper()
	s0 := x.Shape.First.S0
	var out strings.Builder
	for _, p := range parse(t, []byte(b)) {
		id := p.id
		if n, slot, ok := strings.Cut(id, "-"); ok {
			var k int64
			fmt.Sscan(slot, &k)
			id = fmt.Sprintf("%s-(%d)", n, k-s0)
		}
		fmt.Fprintf(&out, "%s at %.3f", id, p.start.Seconds()-1771234567)
		if p.duration > 0 {
			fmt.Fprintf(&out, " for %.3f", p.duration.Seconds())
		}
		out.WriteString(":")
		for _, r := range p.representations {
			fmt.Fprintf(&out, " %d/%s %d-%d", r.set, r.id, r.segments[0].slot-s0, r.segments[len(r.segments)-1].slot-s0)
		}
		out.WriteString("\n")
	}
	return out.String()
}

func TestWhereAPeriodEnds(t *testing.T) {
	few := func(slots int, silence int64, renditions ...string) take {
		return take{slots: slots, frame: 3600, frames: 50, silence: silence, renditions: renditions}
	}
	all := []string{"v1080", "v720", "a-fr", "a-en"}
	gaps := func(id string, slots ...int64) func(timeline.Timeline) timeline.Timeline {
		return func(x timeline.Timeline) timeline.Timeline {
			for _, s := range slots {
				x = with(x, id, x.Shape.First.S0+s, gap)
			}
			return x
		}
	}
	for _, c := range []struct {
		name    string
		channel timeline.Timeline
		change  func(timeline.Timeline) timeline.Timeline
		grant   rights.Grant
		window  time.Duration
		want    string
	}{
		{name: "at a generation, without a hole", channel: air(few(3, 0, all...), few(2, 0, "v1080", "a-en")), want: `
0 at 0.137: 1/v1080 0-2 1/v720 0-2 2/a-fr 0-2 3/a-en 0-2
1 at 6.137: 1/v1080 3-4 2/a-en 3-4
`},
		{name: "at a generation, after ten seconds of silence", channel: air(few(3, 0, "v1080"), few(2, 900000, "v1080")), want: `
0 at 0.137 for 6.000: 1/v1080 0-2
1 at 16.137: 1/v1080 3-4
`},
		{name: "at a gap in one rendition, and at its end", channel: air(few(7, 0, all...)), change: gaps("a-fr", 2, 3), want: `
0 at 0.137: 1/v1080 0-1 1/v720 0-1 2/a-fr 0-1 3/a-en 0-1
0-(2) at 4.137: 1/v1080 2-3 1/v720 2-3 3/a-en 2-3
0-(4) at 8.137: 1/v1080 4-6 1/v720 4-6 2/a-fr 4-6 3/a-en 4-6
`},
		{name: "at a gap in all", channel: air(few(7, 0, "v1080", "a-fr")), change: func(x timeline.Timeline) timeline.Timeline {
			return gaps("v1080", 2, 3)(gaps("a-fr", 2, 3)(x))
		}, want: `
0 at 0.137 for 4.011: 1/v1080 0-1 2/a-fr 0-1
0-(4) at 8.137: 1/v1080 4-6 2/a-fr 4-6
`},
		{name: "pictures stop, sound goes on, then there is silence", channel: air(few(3, 0, "v1080", "a-fr"), few(2, 900000, "v1080", "a-fr")), change: gaps("v1080", 2), want: `
0 at 0.137: 1/v1080 0-1 2/a-fr 0-1
0-(2) at 4.148 for 2.005: 2/a-fr 2-2
1 at 16.137: 1/v1080 3-4 2/a-fr 3-4
`},
		{name: "a generation's first slot is a gap in sound", channel: air(few(3, 0, "v1080", "a-fr")), change: gaps("a-fr", 0), want: `
0 at 0.137: 1/v1080 0-0
0-(1) at 2.137: 1/v1080 1-2 2/a-fr 1-2
`},
		{name: "the beginning of a generation's first Period has left the window", channel: air(few(30, 0, "v1080")), window: time.Second, want: `
0 at 0.137: 1/v1080 24-29
`},
		{name: "so has that of one after a gap", channel: air(few(30, 0, "v1080", "a-fr")), change: gaps("a-fr", 2), window: time.Second, want: `
0-(3) at 6.137: 1/v1080 24-29 2/a-fr 24-29
`},
		{name: "a gap that this viewer never had", channel: air(few(30, 0, "v720", "v1080")), change: gaps("v1080", 2, 25), grant: rights.Grant{MaxHeight: 720}, window: time.Second, want: `
0 at 0.137: 1/v720 24-29
`},
		{name: "one rendition is behind", channel: air(few(7, 0, "v1080", "a-fr")), change: func(x timeline.Timeline) timeline.Timeline {
			return until(x, x.Shape.First.S0+4, "a-fr")
		}, want: `
0 at 0.137: 1/v1080 0-4 2/a-fr 0-4
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.change != nil {
				c.channel = c.change(c.channel)
			}
			if c.window == 0 {
				c.window = quarter
			}
			got := outline(t, c.channel, manifest(t, c.channel, c.grant, c.window))
			if diff := cmp.Diff(strings.TrimPrefix(c.want, "\n"), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPublishTimeChangesWithWhatIsKnown(t *testing.T) {
	x := air(p25)
	s0 := x.Shape.First.S0
	published := func(x timeline.Timeline) string {
		_, after, _ := strings.Cut(manifest(t, x, open, quarter), `publishTime="`)
		before, _, _ := strings.Cut(after, `"`)
		return before
	}
	for _, c := range []struct {
		x    timeline.Timeline
		want string
	}{
		{until(x, s0+4), "2026-02-16T09:36:17.137Z"},
		{until(until(x, s0+5), s0+4, "a-fr"), "2026-02-16T09:36:19.136Z"}, // sound is one slot behind
		{until(x, s0+5), "2026-02-16T09:36:19.137Z"},
	} {
		if got := published(c.x); got != c.want {
			t.Errorf("published %s, want %s", got, c.want)
		}
	}
}

func TestWhatASetSays(t *testing.T) {
	k := p25
	k.renditions = []string{"v1080", "v720", "v576", "a-fr", "a-fr-2", "a-en"}
	x := air(k)
	rs := x.Generations[0].Renditions
	rs[2].Width, rs[2].Height, rs[2].SAR, rs[2].Codec = 720, 576, [2]int{16, 15}, "hvc1.2.4.L93"
	rs[2].Range, rs[2].Colour = "HLG", [3]int{9, 18, 9}
	rs[1].FrameRate = timeline.Seconds(30000, 1001)
	rs[4].Language, rs[4].Channels, rs[4].Codec, rs[4].JOC = "fr", 8, "ec-3", 16
	rs[5].Language, rs[5].Channels = `"><&`+"\x01", 0
	b := manifest(t, with(x, "v1080", x.Shape.First.S0, dependent), open, quarter)
	for _, want := range []string{
		`<AdaptationSet id="1" contentType="video" mimeType="video/mp4" par="16:9" segmentAlignment="true">`, // dependent; two frame rates
		`width="1280" height="720" frameRate="30000/1001" sar="1:1"`,
		`<AdaptationSet id="2" contentType="video" mimeType="video/mp4" par="4:3" frameRate="25" segmentAlignment="true" startWithSAP="1">`,
		`width="720" height="576" frameRate="25" sar="16:15"`,
		`<AdaptationSet id="3" contentType="audio" mimeType="audio/mp4" lang="fr" `,
		`<AdaptationSet id="4" contentType="audio" mimeType="audio/mp4" lang="fr" `,
		`audio_channel_configuration:2011" value="7"/>` + "\n" + `<SupplementalProperty schemeIdUri="tag:dolby.com,2018:dash:EC3_ExtensionType:2018" value="JOC"/>` + "\n" +
			`<SupplementalProperty schemeIdUri="tag:dolby.com,2018:dash:EC3_ExtensionComplexityIndex:2018" value="16"/>` + "\n" + `<Role schemeIdUri="urn:mpeg:dash:role:2011" value="alternate"/>`,
		`<SupplementalProperty schemeIdUri="urn:mpeg:mpegB:cicp:TransferCharacteristics" value="18"/>`,
		`lang="&quot;&gt;&lt;&amp;" segmentAlignment="true" startWithSAP="1">` + "\n<Role",
	} {
		if !strings.Contains(b, want) {
			t.Errorf("no %s in\n%s", want, b)
		}
	}
	for d := xml.NewDecoder(strings.NewReader(b)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// TestWhatWasLostOverABorderBelongsToTheSegmentBehindIt: a SegmentTimeline with a gap is one in which players find nothing (D3). What is
// listed once stays as it is, also when what came before it has left the window (D5).
func TestWhatWasLostOverABorderBelongsToTheSegmentBehindIt(t *testing.T) {
	k := p25
	k.slots, k.renditions = 9, []string{"v1080"}
	x := air(k)
	x = with(x, "v1080", x.Shape.First.S0+2, func(r *timeline.Row) { r.Start, r.Duration = r.Start+108000, r.Duration-108000 })
	b := manifest(t, x, open, quarter)
	if want := fmt.Sprintf("<SegmentTimeline>\n<S t=\"%d\" d=\"180000\" r=\"8\"/>\n</SegmentTimeline>", int64(t0)); !strings.Contains(b, want) {
		t.Errorf("no %s in\n%s", want, b)
	}
	b = manifest(t, x, open, 14*time.Second)
	if want := fmt.Sprintf("<SegmentTimeline>\n<S t=\"%d\" d=\"180000\" r=\"6\"/>\n</SegmentTimeline>", int64(t0+2*180000)); !strings.Contains(b, want) {
		t.Errorf("no %s in\n%s", want, b)
	}
}

// TestASlotEndsInAllRenditionsTogether: where the end of a slot's sound was lost, its segment is said to last as long as the picture's, so
// that the one behind the loss, which is said to begin there, is not longer than a segment may be.
func TestASlotEndsInAllRenditionsTogether(t *testing.T) {
	k := p25
	k.slots, k.renditions = 9, []string{"v1080", "a-en"}
	x := air(k)
	whole := manifest(t, x, open, quarter)
	s0 := x.Shape.First.S0
	x = with(x, "a-en", s0+2, func(r *timeline.Row) { r.Duration -= 60 * 1024 })
	x = with(x, "a-en", s0+3, func(r *timeline.Row) { r.Start, r.Duration = r.Start+20*1024, r.Duration-20*1024 })
	for _, s := range parse(t, []byte(manifest(t, x, open, quarter)))[0].representations[1].segments {
		if s.duration > 2*48000+1024 {
			t.Errorf("slot %d is said to last %d ticks", s.slot-s0, s.duration)
		}
	}
	if !strings.Contains(whole, "maxSegmentDuration=\"PT2.5S\"") {
		t.Errorf("no maxSegmentDuration of 2.5 s in\n%s", whole)
	}
}

func TestWhyThereIsNoManifest(t *testing.T) {
	x := air(p25)
	s0 := x.Shape.First.S0
	pictures := p25
	pictures.renditions = []string{"v1080"}
	for _, c := range []struct {
		name string
		x    timeline.Timeline
		g    rights.Grant
		want error
	}{
		{"nothing published", timeline.New(x.Shape), open, dash.ErrEmpty},
		{"sound not yet published", until(x, s0-1, "a-en"), open, dash.ErrEmpty},
		{"nothing but a gap", with(until(air(pictures), s0), "v1080", s0, gap), open, dash.ErrEmpty},
		{"before the grant", x, rights.Grant{From: time.Unix(1771299999, 0)}, dash.ErrEmpty},
		{"nothing low enough", air(pictures), rights.Grant{MaxHeight: 720}, dash.ErrNoRendition},
		{"generation 1 is missing", with(x, "v1080", s0+9, func(r *timeline.Row) { r.Generation = 2 }), open, timeline.ErrGenerations},
	} {
		if b, err := dash.Manifest(c.x, c.g, quarter); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v\n%s", c.name, err, b)
		}
	}
}

func BenchmarkManifest(b *testing.B) {
	for _, slots := range []int{450, 30_000} {
		k := p25
		k.slots = slots
		x := air(k)
		b.Run(fmt.Sprint(slots), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				out, err := dash.Manifest(x, open, 24*time.Hour)
				if err != nil || strings.Count(string(out[len(out)-20:]), "</MPD>") != 1 {
					b.Fatal(err)
				}
			}
		})
	}
}
