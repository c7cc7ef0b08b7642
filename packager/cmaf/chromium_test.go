package cmaf_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"flambeau/packager/codec"
)

// page appends init and segments of both tracks to a MediaSource, one after the other, plays to the end, and says what it saw.
const page = `<video muted></video><script>
const say = what => fetch('/said', {method: 'POST', body: what});
const video = document.querySelector('video'), source = new MediaSource();
addEventListener('error', e => say('error ' + e.message));
addEventListener('unhandledrejection', e => say('error ' + e.reason));
video.onerror = () => say('error ' + video.error.code + ' ' + video.error.message);
async function append(type, name, count) {
  const buffer = source.addSourceBuffer(type);
  for (let i = -1; i < count; i++) {
    const bytes = await (await fetch('/' + name + '/' + i)).arrayBuffer();
    await new Promise((done, fail) => { buffer.onupdateend = done; buffer.onerror = fail; buffer.appendBuffer(bytes); });
  }
  return buffer;
}
source.onsourceopen = async () => {
  const [v, a] = await Promise.all(TRACKS.map(t => append(...t)));
  source.endOfStream();
  video.onended = () => say(['ended', video.videoWidth, video.videoHeight, v.buffered.length, v.buffered.end(0).toFixed(2), a.buffered.length,
    a.buffered.end(0).toFixed(1), video.getVideoPlaybackQuality().totalVideoFrames > 10].join(' '));
  video.playbackRate = 2;
  await video.play();
};
video.src = URL.createObjectURL(source);
</script>`

func TestChromiumPlaysThroughMediaSource(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skipf("no browser to play in: %v", err)
	}
	_, tracks := source(t, slices.Concat(picturesAndSound, tests[0].args)...)
	said := make(chan string, 16)
	server := httptest.NewServer(player(t, tracks, said))
	defer server.Close()

	profile, err := os.MkdirTemp("", "chromium")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(profile) // not t.TempDir: a last write of a dying child would fail the test
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--autoplay-policy=no-user-gesture-required", "--user-data-dir="+profile, "--remote-debugging-port=0", server.URL)
	cmd.WaitDelay = 5 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its children end with it
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cancel()
	select {
	case got := <-said:
		if want := "ended 320 180 1 2.00 1 2.0 true"; got != want {
			t.Errorf("the page says %q, want %q", got, want)
		}
	case <-ctx.Done():
		t.Error("the page has said nothing in 30 s")
	}
}

// player serves the page, and each track's init as segment -1.
func player(t *testing.T, tracks []track, said chan<- string) http.Handler {
	var list []string
	mux := http.NewServeMux()
	for i, tr := range tracks {
		d, err := codec.Describe(tr.Track)
		if err != nil {
			t.Fatal(err)
		}
		parts := append([][]byte{tr.init(t)}, tr.segments()...)
		list = append(list, fmt.Sprintf(`['%v/mp4; codecs="%s"', '%d', %d]`, tr.Kind, d.Codec, i, len(parts)-1))
		for n, b := range parts {
			mux.HandleFunc(fmt.Sprintf("GET /%d/%d", i, n-1), func(w http.ResponseWriter, _ *http.Request) { w.Write(b) })
		}
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, strings.Replace(page, "TRACKS", "["+strings.Join(list, ", ")+"]", 1))
	})
	mux.HandleFunc("POST /said", func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(io.LimitReader(r.Body, 4096))
		select {
		case said <- string(b):
		default: // the first sixteen say enough
		}
	})
	return mux
}
