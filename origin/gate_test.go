package origin

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flambeau/origin/access"
	"flambeau/origin/rights"
	"flambeau/origin/territory"
	"flambeau/packager/timeline"
	"flambeau/storage"
	"flambeau/storage/memory"
)

const testSecret = "a secret of thirty-two bytes, at least"

// gated is a channel of ten slots behind a gate, and one who signs for it.
type gated struct {
	t      *testing.T
	key    *access.Key
	gate   *Gate
	server *Server
	denied map[string]int
	booked map[string]int64
	st     *station
}

func (g *gated) Answered(_, broadcaster string, _ int, _ time.Duration, n int64) {
	g.booked[broadcaster] += n
}
func (g *gated) Denied(reason string) { g.denied[reason]++ }
func (g *gated) Blocked(int)          {}

// testBook has one broadcaster for each thing that a rule can say.
func testBook(t *testing.T) *rights.Book {
	t.Helper()
	at := func(d time.Duration) time.Time { return air.Add(d) }
	all := []string{"c", "dark", "none"}
	one := func(id string, r rights.Rule) rights.Broadcaster {
		if r.Channels == nil {
			r.Channels = all
		}
		return rights.Broadcaster{ID: id, Rules: []rights.Rule{r}}
	}
	b, err := rights.New(rights.Config{
		Broadcasters: []rights.Broadcaster{
			one("all", rights.Rule{Mode: rights.Contract}),
			one("low", rights.Rule{Mode: rights.Contract, MaxHeight: 240}),
			one("swiss", rights.Rule{Territories: []string{"CH"}}),
			one("late", rights.Rule{Mode: rights.Contract, From: at(10 * time.Second)}),
			one("early", rights.Rule{Mode: rights.Contract, Until: at(10 * time.Second)}),
			one("over", rights.Rule{Mode: rights.Contract, Until: at(-time.Hour)}),
			one("slow", rights.Rule{Mode: rights.Contract, Delay: 6 * time.Second}),
			one("other", rights.Rule{Mode: rights.Contract, Channels: []string{"curling-*"}}),
			one("archive", rights.Rule{Mode: rights.Contract, Actions: []rights.Action{rights.Archive}}),
			one("home", rights.Rule{Mode: rights.Contract, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}),
			one("two", rights.Rule{Mode: rights.Contract, Tokens: 2}),
			one("hidden", rights.Rule{Mode: rights.Contract}),
			{ID: "nothing"},
		},
		Blackouts: []rights.Blackout{{ID: "x", Channels: []string{"c"}, Broadcasters: []string{"hidden"}, From: at(6 * time.Second), Until: at(10 * time.Second)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newGated(t *testing.T) *gated {
	t.Helper()
	key, err := access.NewKey("k1", access.HS256, []byte(testSecret))
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := access.New(access.Options{Audience: "flambeau", Keys: []*access.Key{key}})
	if err != nil {
		t.Fatal(err)
	}
	s := memory.New()
	g := &gated{t: t, key: key, denied: map[string]int{}, booked: map[string]int64{}, st: newStation(t, s)}
	g.st.air(10)
	book := testBook(t)
	srv, f := newTestServer(s, 15*time.Minute)
	g.gate = &Gate{Verifier: verifier, Book: func() *rights.Book { return book },
		Where: &territory.Locator{CDN: &territory.CDN{Proof: "X-Proof", Secret: []byte("0123456789abcdef"), Territory: "X-Country"}}}
	srv.Gate, srv.Observe = g.gate, g
	g.server = srv
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	go f.Run(ctx)
	synctest.Wait()
	return g
}

func (g *gated) token(broadcaster string, change func(*access.Claims)) string {
	g.t.Helper()
	c := access.Claims{Audience: []string{"flambeau"}, Issued: time.Now()}
	c.Broadcaster, c.Expires = broadcaster, time.Now().Add(time.Hour)
	if change != nil {
		change(&c)
	}
	token, err := g.key.SignJWT(c)
	if err != nil {
		g.t.Fatal(err)
	}
	return token
}

func (g *gated) ask(path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", path, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	g.server.ServeHTTP(w, r)
	return w
}

// gates runs a story behind a gate, in fake time.
func gates(t *testing.T, story func(g *gated)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(air.Add(20 * time.Second)))
		story(newGated(t))
	})
}

func segmentPath(rendition string, n int64) string {
	return fmt.Sprintf("live/c/%s/%d.m4s", rendition, firstSlot+n)
}

func initOf(rendition string) string {
	for _, r := range testShape().First.Renditions {
		if r.ID == rendition {
			return "live/c/" + rendition + "/init-" + r.Init.Short() + ".mp4"
		}
	}
	return ""
}

// TestWhatEachMayTake cites the sentences by what a broadcaster's engineer would pull.
func TestWhatEachMayTake(t *testing.T) {
	gates(t, func(g *gated) {
		for _, c := range []struct {
			who, path string
			code      int
			reason    string
		}{
			{"all", "live/c/index.m3u8", 200, ""},
			{"all", "live/c/v360/index.m3u8", 200, ""},
			{"all", "live/c/v360/iframes.m3u8", 200, ""},
			{"all", "live/c/manifest.mpd", 200, ""},
			{"all", "live/c/time", 200, ""},
			{"all", initOf("v360"), 200, ""},
			{"all", segmentPath("v360", 9), 200, ""},
			{"all", segmentPath("v360", 900), 404, ""},
			{"all", "live/none/index.m3u8", 403, "channel"}, // granted, and not there
			{"low", "live/c/index.m3u8", 200, ""},
			{"low", "live/c/v360/index.m3u8", 403, "height"},
			{"low", "live/c/a-en/index.m3u8", 200, ""},
			{"low", initOf("v360"), 403, "height"},
			{"low", segmentPath("v360", 9), 403, "height"},
			{"low", segmentPath("a-en", 9), 200, ""},
			{"swiss", "live/c/index.m3u8", 451, "territory"},
			{"swiss", segmentPath("v360", 9), 451, "territory"},
			{"late", "live/c/v360/index.m3u8", 200, ""},
			{"late", segmentPath("v360", 4), 403, "window"},
			{"late", segmentPath("v360", 5), 200, ""},
			{"early", segmentPath("v360", 4), 200, ""},
			{"early", segmentPath("v360", 5), 403, "window"},
			{"over", "live/c/index.m3u8", 403, "window"},
			{"over", initOf("v360"), 200, ""}, // it says what was to be seen, and shows nothing
			{"slow", segmentPath("v360", 6), 200, ""},
			{"slow", segmentPath("v360", 7), 403, "delay"},
			{"other", "live/c/index.m3u8", 403, "channel"},
			{"archive", "live/c/index.m3u8", 403, "action"},
			{"archive", segmentPath("v360", 1), 200, ""},
			{"home", "live/c/index.m3u8", 200, ""}, // the test's address is 192.0.2.1
			{"hidden", segmentPath("v360", 2), 200, ""},
			{"hidden", segmentPath("v360", 3), 403, "blackout"},
			{"hidden", segmentPath("a-fr", 4), 403, "blackout"},
			{"hidden", segmentPath("v360", 5), 200, ""},
			{"nothing", "live/c/index.m3u8", 403, "channel"},
			{"nobody", "live/c/index.m3u8", 403, "no_broadcaster"},
		} {
			clear(g.denied)
			w := g.ask("/t/" + g.token(c.who, nil) + "/" + c.path)
			if w.Code != c.code || c.reason != "" && g.denied[c.reason] != 1 || c.reason == "" && len(g.denied) > 0 {
				t.Errorf("%s, %s: %d %v %s, want %d %s", c.who, c.path, w.Code, g.denied, strings.TrimSpace(w.Body.String()), c.code, c.reason)
			}
		}
	})
}

// TestATokenNarrowsWhatItsBroadcasterHolds: what it leaves of the past alone shows nothing of now but the time.
func TestATokenNarrowsWhatItsBroadcasterHolds(t *testing.T) {
	gates(t, func(g *gated) {
		past := g.token("all", func(c *access.Claims) { c.Until = air.Add(4 * time.Second) })
		low := g.token("all", func(c *access.Claims) { c.MaxHeight = 240 })
		archive := g.token("all", func(c *access.Claims) { c.Actions = []string{"archive"} })
		for path, want := range map[string][3]int{
			segmentPath("v360", 1): {200, 403, 200}, segmentPath("a-en", 2): {403, 200, 200},
			"live/c/v360/index.m3u8": {200, 403, 403}, "live/c/time": {200, 200, 200},
		} {
			for i, token := range []string{past, low, archive} {
				if w := g.ask("/t/" + token + "/" + path); w.Code != want[i] {
					t.Errorf("%s with the %s token: %d, want %d", path, []string{"past", "low", "archive"}[i], w.Code, want[i])
				}
			}
		}
	})
}

func TestManifestsListOnlyWhatIsGranted(t *testing.T) {
	gates(t, func(g *gated) {
		list := func(who, path string) string {
			w := g.ask("/t/" + g.token(who, nil) + "/live/c/" + path)
			if w.Code != 200 {
				t.Fatalf("%s %s: %d %s", who, path, w.Code, w.Body)
			}
			return w.Body.String()
		}
		slots := func(who string) (s string) {
			gap := false
			for line := range strings.Lines(list(who, "a-en/index.m3u8")) {
				var n int64
				switch {
				case line == "#EXT-X-GAP\n":
					gap = true
				case line[0] != '#':
					fmt.Sscanf(line, "%d.m4s", &n)
					if gap {
						s += "."
					} else {
						s += fmt.Sprint(n - firstSlot)
					}
					gap = false
				}
			}
			return s
		}
		for who, want := range map[string]string{"all": "0123456789", "late": "56789", "early": "01234", "slow": "0123456", "hidden": "012..56789"} {
			if got := slots(who); got != want {
				t.Errorf("%s sees %s, want %s", who, got, want)
			}
		}
		if m := list("low", "index.m3u8"); strings.Contains(m, "v360") || !strings.Contains(m, "a-en/index.m3u8") {
			t.Errorf("who may not see 360 lines is told of them:\n%s", m)
		}
		if m := list("low", "manifest.mpd"); strings.Contains(m, "v360") || !strings.Contains(m, "a-en") {
			t.Errorf("who may not see 360 lines is told of them:\n%s", m)
		}
		if m := list("hidden", "manifest.mpd"); strings.Count(m, "<Period ") != 2 || !strings.Contains(m, fmt.Sprintf(`<Period id="0-%d"`, firstSlot+5)) {
			t.Errorf("a blackout ends no Period:\n%s", m)
		}
		g.st.air(1)
		time.Sleep(time.Second)
		if got := slots("slow"); got != "01234567" {
			t.Errorf("a slot later %s is seen", got)
		}
	})
}

// TestNobodyElseGetsAByte: bad tokens of every kind, on every route, in every place.
func TestNobodyElseGetsAByte(t *testing.T) {
	gates(t, func(g *gated) {
		good := g.token("all", nil)
		parts := strings.Split(good, ".")
		other, err := access.NewKey("k1", access.HS256, []byte("another secret of thirty-two bytes or more"))
		if err != nil {
			t.Fatal(err)
		}
		c := access.Claims{Audience: []string{"flambeau"}, Issued: time.Now()}
		c.Broadcaster, c.Expires = "all", time.Now().Add(time.Hour)
		forged, err := other.SignJWT(c)
		if err != nil {
			t.Fatal(err)
		}
		bad := map[string]string{
			"none at all": "", "nonsense": "x", "a forged one": forged, "without a signature": parts[0] + "." + parts[1] + ".",
			"alg none": "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0." + parts[1] + ".", "another's payload": parts[0] + "." + strings.Split(g.token("low", nil), ".")[1] + "." + parts[2],
			"cut off": good[:len(good)-1], "endless": strings.Repeat("a", 5000),
			"expired":        g.token("all", func(c *access.Claims) { c.Expires = time.Now().Add(-time.Hour) }),
			"not yet valid":  g.token("all", func(c *access.Claims) { c.NotBefore = time.Now().Add(time.Hour) }),
			"for another":    g.token("all", func(c *access.Claims) { c.Audience = []string{"other"} }),
			"another method": g.token("all", func(c *access.Claims) { c.Methods = []string{"HEAD"} }),
			"another network": g.token("all", func(c *access.Claims) {
				c.Networks = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
			}),
			"another channel": g.token("all", func(c *access.Claims) { c.Channels = []string{"curling-*"} }),
			"elsewhere":       g.token("all", func(c *access.Claims) { c.Territories = []string{"AT"} }),
			"nobody's":        g.token("nobody", nil), "who has nothing": g.token("nothing", nil), "of another channel": g.token("other", nil), "outside": g.token("swiss", nil),
		}
		paths := []string{"live/c/index.m3u8", "live/c/v360/index.m3u8", "live/c/v360/iframes.m3u8", "live/c/a-fr/index.m3u8", "live/c/manifest.mpd", "live/c/time",
			segmentPath("v360", 0), segmentPath("v360", 9), segmentPath("a-en", 5), segmentPath("v360", 10), "live/dark/index.m3u8", "live/none/manifest.mpd"}
		asked := 0
		for name, token := range bad {
			for _, path := range paths {
				for place, w := range map[string]*httptest.ResponseRecorder{
					"path":   g.ask("/t/" + token + "/" + path),
					"bearer": g.ask("/"+path, "Authorization", "Bearer "+token),
					"header": g.ask("/"+path, "CTA-Common-Access-Token", token),
					"query":  g.ask("/" + path + "?token=" + good),
				} {
					asked++
					if w.Code != 401 && w.Code != 403 && w.Code != 451 && w.Code != 404 || w.Code == 404 && place != "path" {
						t.Errorf("%s in %s, %s: %d", name, place, path, w.Code)
					}
					if h := w.Header(); h.Get("Cache-Control") != "no-store" || h.Get("ETag") != "" || w.Body.Len() > 100 || token != "" && len(token) > 8 && strings.Contains(w.Body.String(), token) {
						t.Errorf("%s in %s, %s: %v %s", name, place, path, h, w.Body)
					}
				}
			}
		}
		for _, path := range append(paths[:9:9], initOf("v360")) { // and the mirror
			for place, w := range map[string]*httptest.ResponseRecorder{
				"path": g.ask("/t/" + good + "/" + path), "bearer": g.ask("/"+path, "Authorization", "Bearer "+good), "header": g.ask("/"+path, "CTA-Common-Access-Token", good),
			} {
				if w.Code != 200 {
					t.Errorf("a good one in %s, %s: %d %s", place, path, w.Code, w.Body)
				}
			}
		}
		if asked < 900 {
			t.Errorf("only %d were asked", asked)
		}
	})
}

// TestAChannelThatIsNotThereAndOneThatIsNotHisLookAlike also holds that an answer does not repeat what was asked.
func TestAChannelThatIsNotThereAndOneThatIsNotHisLookAlike(t *testing.T) {
	gates(t, func(g *gated) {
		token := g.token("other", nil)
		his, none, granted := g.ask("/t/"+token+"/live/c/index.m3u8"), g.ask("/t/"+token+"/live/nowhere/index.m3u8"), g.ask("/t/"+token+"/live/curling-9/index.m3u8")
		for _, w := range []*httptest.ResponseRecorder{none, granted} {
			if w.Code != his.Code || w.Body.String() != his.Body.String() || fmt.Sprint(w.Header()) != fmt.Sprint(his.Header()) {
				t.Errorf("%d %v %s, and of one that is there %d %v %s", w.Code, w.Header(), w.Body, his.Code, his.Header(), his.Body)
			}
		}
	})
}

func TestHowLongAnAnswerMayBeKeptAndByWhom(t *testing.T) {
	gates(t, func(g *gated) {
		soon := func(c *access.Claims) { c.Expires = time.Now().Add(90 * time.Second) }
		path := "/" + segmentPath("v360", 1)
		swiss := []string{"X-Proof", "0123456789abcdef", "X-Country", "CH"}
		for name, c := range map[string]struct {
			w    *httptest.ResponseRecorder
			want string
		}{
			"a token in the path, for an hour": {g.ask("/t/" + g.token("all", nil) + path), "public, max-age=3600, immutable"},
			"one that ends soon":               {g.ask("/t/" + g.token("all", soon) + path), "public, max-age=90, immutable"},
			"a manifest":                       {g.ask("/t/" + g.token("all", soon) + "/live/c/index.m3u8"), "public, max-age=1"},
			"a token in a header":              {g.ask(path, "Authorization", "Bearer "+g.token("all", nil)), "private, no-store"},
			"where the territory had a say":    {g.ask("/t/"+g.token("swiss", nil)+path, swiss...), "private, no-store"},
			"where the address had a say":      {g.ask("/t/" + g.token("home", nil) + path), "private, no-store"},
			"where the token says an address":  {g.ask("/t/" + g.token("all", func(c *access.Claims) { c.Networks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} }) + path), "private, no-store"},
		} {
			if got := c.w.Header().Get("Cache-Control"); c.w.Code != 200 || got != c.want {
				t.Errorf("%s: %d %q, want %q", name, c.w.Code, got, c.want)
			}
		}
		if a, b := g.ask("/t/"+g.token("all", nil)+path).Body.String(), g.ask("/t/"+g.token("late", nil)+"/"+segmentPath("v360", 5)).Body.String(); a == "" || b == "" {
			t.Error("no bytes")
		}
	})
}

func TestSoManyTokensAreInUseAtOnce(t *testing.T) {
	gates(t, func(g *gated) {
		var tokens []string
		for i := range 3 {
			tokens = append(tokens, g.token("two", func(c *access.Claims) { c.ID = fmt.Sprint(i) }))
		}
		ask := func(i int) int { return g.ask("/t/" + tokens[i] + "/live/c/index.m3u8").Code }
		if a, b, c, again := ask(0), ask(1), ask(2), ask(0); a != 200 || b != 200 || c != 429 || again != 200 {
			t.Errorf("%d %d %d %d", a, b, c, again)
		}
		time.Sleep(20 * time.Second)
		ask(0)
		time.Sleep(20 * time.Second) // the second has not been seen for 40 s
		if c := ask(2); c != 200 {
			t.Errorf("a seat that nobody sits on is not given on: %d", c)
		}
		if b := ask(1); b != 429 {
			t.Errorf("%d", b)
		}
	})
}

func TestARevokedTokenGetsNothingAtOnce(t *testing.T) {
	gates(t, func(g *gated) {
		token := g.token("all", func(c *access.Claims) { c.ID = "stolen" })
		if w := g.ask("/t/" + token + "/" + segmentPath("v360", 1)); w.Code != 200 {
			t.Fatal(w.Code)
		}
		if err := g.gate.Verifier.Revoke(access.Revocation{Token: "stolen"}); err != nil {
			t.Fatal(err)
		}
		if w := g.ask("/t/" + token + "/" + segmentPath("v360", 1)); w.Code != 401 || g.denied["revoked"] != 1 {
			t.Errorf("%d %v", w.Code, g.denied)
		}
	})
}

// TestABlackoutHoldsForWhatHasLeftTheView: the segment of the reference says when the slot is.
func TestABlackoutHoldsForWhatHasLeftTheView(t *testing.T) {
	gates(t, func(g *gated) {
		old := func(n int64) { // as a segment is, with its row at its end
			for _, r := range []string{"v360", "a-en"} {
				row := timeline.Row{Slot: firstSlot + n, Start: air.Unix()*90000 + n*180000, Duration: 180000}
				text := append([]byte("generation 0 0a1b2c3d\n"), timeline.RenditionRow{Rendition: r, Row: row}.Carried()...)
				box := binary.BigEndian.AppendUint32([]byte("media"), uint32(24+len(text)))
				box = append(box, "uuid\x27\x6d\xa8\x21\x34\x80\x5d\x93\x87\xa5\x24\x60\xf0\x87\x6f\x5b"...)
				g.st.put(timeline.SegmentKey("c", r, firstSlot+n), string(append(box, text...)))
			}
		}
		old(-400)
		old(-300)
		book, err := rights.New(rights.Config{
			Broadcasters: []rights.Broadcaster{{ID: "all", Rules: []rights.Rule{{Channels: []string{"*"}, Mode: rights.Contract}}}},
			Blackouts:    []rights.Blackout{{From: air.Add(-601 * time.Second), Until: air.Add(-599 * time.Second)}},
		})
		if err != nil {
			t.Fatal(err)
		}
		g.gate.Book = func() *rights.Book { return book }
		for n, want := range map[int64]int{-400: 200, -300: 403, -200: 404} {
			for _, r := range []string{"v360", "a-en"} {
				if w := g.ask("/t/" + g.token("all", nil) + "/" + segmentPath(r, n)); w.Code != want {
					t.Errorf("%s, slot %d: %d %s, want %d", r, n, w.Code, w.Body, want)
				}
			}
		}
	})
}

func TestABrowserMayAskWhetherItMayAsk(t *testing.T) {
	gates(t, func(g *gated) {
		for _, path := range []string{"/live/c/index.m3u8", "/t/" + g.token("all", nil) + "/live/c/index.m3u8"} {
			r := httptest.NewRequest(http.MethodOptions, path, nil)
			w := httptest.NewRecorder()
			g.server.ServeHTTP(w, r)
			if w.Code != 204 || !strings.Contains(w.Header().Get("Access-Control-Allow-Headers"), "Authorization") {
				t.Errorf("%s: %d %v", path, w.Code, w.Header())
			}
		}
		if w := g.ask("/time"); w.Code != 200 {
			t.Errorf("/time: %d", w.Code)
		}
	})
}

func TestNoTokenIsInALog(t *testing.T) {
	gates(t, func(g *gated) {
		var said strings.Builder
		g.server.Log = slog.New(slog.NewTextHandler(&said, nil))
		g.server.Store = broken{g.server.Store}
		token := g.token("all", nil)
		w := g.ask("/t/" + token + "/" + segmentPath("v360", 1))
		if b, _ := io.ReadAll(w.Body); w.Code != 503 || said.Len() == 0 || strings.Contains(said.String()+string(b), token) || strings.Contains(said.String(), strings.Split(token, ".")[2]) {
			t.Errorf("%d, %s", w.Code, said.String())
		}
	})
}

// broken is a store that does not answer.
type broken struct{ storage.Store }

func (broken) Get(context.Context, string, storage.Get) (storage.Object, error) {
	return storage.Object{}, errors.New("no answer")
}
