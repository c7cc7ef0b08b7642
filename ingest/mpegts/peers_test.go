package mpegts

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"flambeau/packager/media"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
	peers "github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/codecs"
)

// A second parser, that others have written, is asked about what it can read.
func TestMediacommonReadsTheSame(t *testing.T) {
	for _, name := range []string{"avsync-h264-aac-30s.ts", "bframes-720p25.ts", "scte35-x264-20s.ts", "cea608-multichannel.ts", "portrait.ts"} {
		b := feed(t, name)
		events, _ := demux(b, Options{})
		for pid, want := range peer(t, b) {
			got := samples(events, pid)
			if len(got) < len(want) || len(got) > len(want)+1 || len(want) == 0 { // it keeps the last unit to itself
				t.Errorf("%s: %d samples of %d, %d at the peer", name, len(got), pid, len(want))
				continue
			}
			for i, w := range want {
				d := int64(got[i].PTS-w.PTS) & (wrap - 1)
				if !bytes.Equal(got[i].Data, w.Data) || d > 16 && d < wrap-16 {
					t.Errorf("%s: sample %d of %d differs: %d bytes at %d, %d bytes at %d", name, i, pid, len(got[i].Data), got[i].PTS, len(w.Data), w.PTS)
					break
				}
			}
		}
	}
}

func peer(t *testing.T, b []byte) map[int][]*media.Sample {
	t.Helper()
	r := &mpegts.Reader{R: bytes.NewReader(b)}
	if err := r.Initialize(); err != nil {
		t.Fatal(err)
	}
	all := map[int][]*media.Sample{}
	for _, track := range r.Tracks() {
		pid := int(track.PID)
		switch track.Codec.(type) {
		case *peers.H264:
			all[pid] = nil
			r.OnDataH264(track, func(pts, _ int64, au [][]byte) error {
				if data := lengths(annexB(au...)); len(data) > 0 {
					all[pid] = append(all[pid], &media.Sample{PTS: media.Ticks(pts), Data: data})
				}
				return nil
			})
		case *peers.MPEG4Audio:
			all[pid] = nil
			r.OnDataMPEG4Audio(track, func(pts int64, aus [][]byte) error {
				for i, au := range aus {
					at := pts + int64(i)*1024*90000/int64(track.Codec.(*peers.MPEG4Audio).SampleRate)
					all[pid] = append(all[pid], &media.Sample{PTS: media.Ticks(at), Data: au})
				}
				return nil
			})
		}
	}
	for {
		if err := r.Read(); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
