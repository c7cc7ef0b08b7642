package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestDemoPlays starts the demo and plays it in a browser with three players, one after the other, and asks ffprobe.
func TestDemoPlays(t *testing.T) {
	began := time.Now()
	r := start(t, "demo", "--data", filepath.Join(t.TempDir(), "data"))
	if said := r.stdout.find(t, `HLS\s+(\S+)`, 10*time.Second); !strings.HasPrefix(said[1], r.media) {
		t.Errorf("it prints %s, and listens on %s", said[1], r.media)
	}
	get(t, r.media+"/live/demo/index.m3u8", 10*time.Second)
	get(t, r.media+"/live/demo/manifest.mpd", 10*time.Second)
	t.Logf("HLS and DASH answer %v after the start", time.Since(began).Round(time.Millisecond))
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v until HLS and DASH answer", took)
	}
	probed(t, r.media+"/live/demo/index.m3u8", "HLS")
	probed(t, r.media+"/live/demo/manifest.mpd", "DASH")
	for _, p := range []struct{ player, manifest string }{{"hls", "index.m3u8"}, {"dash", "manifest.mpd"}, {"shaka", "manifest.mpd"}, {"shaka", "index.m3u8"}} {
		t.Run(p.player+"_"+p.manifest, func(t *testing.T) {
			plays(t, p.player, r.media+"/live/demo/"+p.manifest, func(s seen) (wrong []string) {
				if s.Width != 640 || s.Audio == 0 || s.Frames < 20*(playSeconds()-5) {
					wrong = append(wrong, fmt.Sprintf("%d frames of %dx%d, %d bytes of sound", s.Frames, s.Width, s.Height, s.Audio))
				}
				if langs := strings.Join(slices.Sorted(slices.Values(s.Tracks)), " "); langs != "en fr" {
					wrong = append(wrong, fmt.Sprintf("it sees the languages %q", langs))
				}
				return wrong
			})
		})
	}
	metrics := string(get(t, r.metrics+"/metrics", time.Second))
	for _, want := range []string{`flambeau_ingest_up{channel="demo"} 1`, `flambeau_segments_total{channel="demo",rendition="v360",result="stored"}`, `flambeau_build_info{`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics has no %s", want)
		}
	}
	if took := r.stop(); took > 5*time.Second {
		t.Errorf("it took %v to stop", took)
	}
}

// probed asks ffprobe what it sees: one picture, two sounds, and their languages.
func probed(t *testing.T, url, protocol string) {
	t.Helper()
	out := tool(t, 30*time.Second, "ffprobe", "-v", "error", "-show_entries", "stream=codec_type,codec_name:stream_tags=language", "-of", "json", url)
	var seen struct {
		Streams []struct {
			Kind  string            `json:"codec_type"`
			Codec string            `json:"codec_name"`
			Tags  map[string]string `json:"tags"`
		} `json:"streams"`
	}
	if err := json.Unmarshal([]byte(out), &seen); err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, s := range seen.Streams {
		said = append(said, strings.TrimSpace(s.Kind+" "+s.Codec+" "+s.Tags["language"]))
	}
	slices.Sort(said)
	// ffprobe reads HLS languages off EXT-X-MEDIA; off DASH it passes @lang on as it stands there too.
	want := []string{"audio aac en", "audio aac fr", "video h264"}
	for i := range said {
		said[i] = strings.TrimSuffix(said[i], " und")
	}
	if !slices.Equal(said, want) {
		t.Errorf("%s: ffprobe sees %q, want %q", protocol, said, want)
	}
}
