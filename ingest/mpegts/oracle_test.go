package mpegts

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"flambeau/packager/media"
)

// What the feeds hold is said by ffprobe: every packet's times, flags and bytes, taken apart here by other code than ours.
// Where it honestly differs, the table says by how much, and why.
var oracle = []struct {
	feed   string
	pid    int
	before int // ffmpeg's frames before our first
	after  int // and behind our last
	why    string
}{
	{"h264-aac-12s.ts", 100, 0, 0, ""}, // AAC, announced as MPEG-2 audio
	{"h264-aac-12s.ts", 101, 0, 0, ""},
	{"avsync-h264-aac-30s.ts", 256, 0, 0, ""},
	{"avsync-h264-aac-30s.ts", 257, 0, 0, ""},
	{"bframes-720p25.ts", 258, 0, 0, ""},
	{"portrait.ts", 256, 0, 0, ""},
	{"gst-test.ts", 65, 0, 0, ""},
	{"gst-test.ts", 66, 1, 0, "its first frame has no ADTS header"},
	{"rollover-1fps.ts", 256, 0, 0, ""},
	{"no-aud.ts", 256, 0, 0, ""},
	{"middle-pat-pmt.ts", 256, 15, 0, "the parameter sets came before the PMT; ffprobe reads a file twice"},
	{"middle-pat-pmt.ts", 257, 24, 0, "they came before the PMT; ffprobe reads a file twice"},
	{"pts-ne-dts.ts", 256, 0, 0, ""},
	{"scte35-x264-20s.ts", 257, 0, 0, ""},
	{"scte35-x264-20s.ts", 258, 0, 0, ""},
	{"cea608-multichannel.ts", 256, 0, 0, ""},
	{"1080i-eac3x3-dvbsub.ts", 120, 17, 0, "they came before the parameter sets"},
	{"ac3-muxed-576-0.ts", 256, 0, 0, ""},
	{"id3-metadata.ts", 256, 0, 0, ""},
	{"hevc-aac-obs.ts", 257, 0, 0, ""},
	{"hevc-640-12s.ts", 256, 0, 0, ""},
	{"hevc-aac-obs.ts", 256, 0, 0, ""},
	{"1080i-eac3x3-dvbsub.ts", 130, 0, 1, "its last frame is cut off, and ffprobe gives what there is"},
	{"1080i-eac3x3-dvbsub.ts", 131, 0, 1, "its last frame is cut off, and ffprobe gives what there is"},
	{"1080i-eac3x3-dvbsub.ts", 132, 0, 1, "its last frame is cut off, and ffprobe gives what there is"},
	{"ac3-muxed-576-0.ts", 257, 0, 0, ""},
	{"ac3-muxed-576-1.ts", 257, 3, 0, "they came before the PMT; ffprobe reads a file twice"},
	{"ac3-ts-only.ts", 257, 0, 0, ""},
	{"eac3-joc.ts", 1900, 0, 0, ""},
	{"mp3-in-ts.ts", 257, 0, 0, ""},
	{"pcr-jitter-1080p30.ts", 257, 0, 0, ""},
	{"mpeg2-mp2-720x576i.ts", 0x1001, 3, 1, "three came before the PMT; the last is cut off"},
	{"scte35-exo.ts", 257, 0, 0, ""},
}

func TestEveryFrameIsWhatFFmpegSaysItIs(t *testing.T) {
	probed := map[string]map[int][]packet{}
	for _, o := range oracle {
		t.Run(fmt.Sprint(o.feed, " ", o.pid), func(t *testing.T) {
			events, _ := demux(feed(t, o.feed), Options{})
			if probed[o.feed] == nil {
				probed[o.feed] = probe(t, feedPath(t, o.feed))
			}
			want := probed[o.feed][o.pid]
			if len(want) == 0 || len(want) < o.before+o.after {
				t.Fatalf("ffprobe saw %d frames", len(want))
			}
			compare(t, samples(events, o.pid), want[o.before:len(want)-o.after])
		})
	}
}

// A judge that says yes to everything is none.
func TestTheComparisonNoticesOneBitOneTickAndOneFrame(t *testing.T) {
	at := func(v int64) *int64 { return &v }
	want := []packet{{pts: at(1), dts: at(1), data: []byte{1}}, {pts: at(2), dts: at(2), data: []byte{2}}}
	good := func() []*media.Sample {
		return []*media.Sample{{PTS: 1, DTS: 1, Data: []byte{1}}, {PTS: 2, DTS: 2, Data: []byte{2}}}
	}
	if d := differences(good(), want); len(d) != 0 {
		t.Fatal(d)
	}
	for _, spoil := range []func(s []*media.Sample) []*media.Sample{
		func(s []*media.Sample) []*media.Sample { s[1].Data[0] ^= 1; return s },
		func(s []*media.Sample) []*media.Sample { s[1].DTS++; return s },
		func(s []*media.Sample) []*media.Sample { s[0].Key = true; return s },
		func(s []*media.Sample) []*media.Sample { return s[:1] },
	} {
		if len(differences(spoil(good()), want)) == 0 {
			t.Error("a fault was not noticed")
		}
	}
}

func compare(t *testing.T, got []*media.Sample, want []packet) {
	t.Helper()
	for i, d := range differences(got, want) {
		if i == 6 {
			return
		}
		t.Error(d)
	}
}

func differences(got []*media.Sample, want []packet) (list []string) {
	if len(got) != len(want) {
		list = append(list, fmt.Sprintf("%d samples, ffprobe has %d", len(got), len(want)))
	}
	for i := range min(len(got), len(want)) {
		g, w := got[i], want[i]
		switch {
		case !bytes.Equal(g.Data, w.data):
			list = append(list, fmt.Sprintf("sample %d: %d other bytes than ffprobe's %d", i, len(g.Data), len(w.data)))
		case !w.near(w.pts, g.PTS) || !w.near(w.dts, g.DTS):
			list = append(list, fmt.Sprintf("sample %d: at %d, %d; ffprobe says %v, %v", i, g.PTS, g.DTS, str(w.pts), str(w.dts)))
		case g.Key != w.key:
			list = append(list, fmt.Sprintf("sample %d: key %v", i, g.Key))
		}
	}
	return list
}

func str(p *int64) string {
	if p == nil {
		return "N/A"
	}
	return fmt.Sprint(*p)
}

// packet is what ffprobe tells of one.
type packet struct {
	pts, dts *int64
	key      bool
	audio    bool
	data     []byte
}

// near compares modulo 2^33. ffmpeg adds rounded durations up within a PES packet; we don't.
func (p packet) near(want *int64, got media.Ticks) bool {
	if want == nil {
		return true
	}
	d := (int64(got) - *want) & (wrap - 1)
	if p.audio {
		return d < 16 || d > wrap-16
	}
	return d == 0
}

// probe asks ffprobe for all packets, by PID. Fields of one frame, of which ffmpeg gives the second no time, become one.
func probe(t *testing.T, path string) map[int][]packet {
	t.Helper()
	out, err := exec.Command("ffprobe", "-v", "quiet", "-show_streams", "-show_packets", "-show_data", "-of", "json", path).Output()
	if err != nil {
		t.Fatalf("ffprobe: %v", err)
	}
	var doc struct {
		Streams []struct{ ID, Codec_type, Codec_name string }
		Packets []struct {
			Stream_index int
			PTS, DTS     *int64
			Flags, Data  string
		}
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		t.Fatal(err)
	}
	byPID := map[int][]packet{}
	for _, p := range doc.Packets {
		s := doc.Streams[p.Stream_index]
		pid, err := strconv.ParseInt(s.ID, 0, 32)
		if err != nil {
			t.Fatal(err)
		}
		raw, list := unhex(t, p.Data), byPID[int(pid)]
		switch {
		case s.Codec_name == "aac":
			list = append(list, packet{p.PTS, p.DTS, true, true, raw[adtsLength(raw):]})
		case s.Codec_type == "audio":
			list = append(list, packet{p.PTS, p.DTS, true, true, raw})
		case p.PTS == nil && p.DTS == nil && len(list) > 0:
			list[len(list)-1].data = append(list[len(list)-1].data, lengths(raw)...)
		case s.Codec_name == "hevc":
			list = append(list, packet{p.PTS, p.DTS, strings.HasPrefix(p.Flags, "K"), false, lengths265(raw)})
		default:
			list = append(list, packet{p.PTS, p.DTS, strings.HasPrefix(p.Flags, "K"), false, lengths(raw)})
		}
		byPID[int(pid)] = list
	}
	return byPID
}

// unhex reads ffprobe's dump: an address, eight groups of two bytes, the same as text.
func unhex(t *testing.T, dump string) (b []byte) {
	for line := range strings.Lines(dump) {
		_, rest, ok := strings.Cut(line, ": ")
		if !ok {
			continue
		}
		x, err := hex.DecodeString(strings.ReplaceAll(rest[:40], " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, x...)
	}
	return b
}

func adtsLength(b []byte) int {
	if len(b) < 2 || b[1]&1 == 1 {
		return min(7, len(b))
	}
	return min(9, len(b))
}

// lengths turns a byte stream into what a CMAF track holds, the slow and plain way.
func lengths(b []byte) []byte {
	return lengthsBut(b, func(first byte) bool { return first&0x1f >= 7 && first&0x1f <= 12 })
}

func lengths265(b []byte) []byte {
	return lengthsBut(b, func(first byte) bool { return first>>1 >= 32 && first>>1 <= 38 })
}

func lengthsBut(b []byte, drop func(first byte) bool) (out []byte) {
	for _, n := range bytes.Split(b, []byte{0, 0, 1})[1:] {
		n = bytes.TrimRight(n, "\x00")
		if len(n) == 0 || drop(n[0]) {
			continue
		}
		out = append(out, byte(len(n)>>24), byte(len(n)>>16), byte(len(n)>>8), byte(len(n)))
		out = append(out, n...)
	}
	return out
}
