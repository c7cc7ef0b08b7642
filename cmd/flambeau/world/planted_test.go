package world

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// planted is a bug that is planted on purpose: one text of a file instead of another.
type planted struct {
	name     string
	file     string // of the module
	old, bug string
	seed     string // that catches it
	says     string // of the judge
}

// bugs are what the world has to catch. One that can no longer be planted, its text being another now, has to be written anew.
var bugs = []planted{
	{"an index before what it names is put", "packager/putting.go",
		"	var stored []object\n	for _, b := range batches {\n",
		"	var stored []object\n	for _, b := range batches {\n		if err := p.settle(ctx, b); err != nil {\n			return err\n		}\n		for _, o := range b.Objects {\n			if o.isSegment() {\n				if err := p.enter(ctx, o); err != nil {\n					return err\n				}\n			}\n		}\n	}\n	if err := p.putRoot(ctx); err != nil {\n		return err\n	}\n	for _, b := range batches {\n",
		"0", "before it is there"},
	{"a slot that is opened again", "packager/join.go",
		"		case slot > c.slot:\n			return can", "		case slot >= c.slot:\n			c.slot = slot - 1\n			return can",
		"1", "are not in the archive"},
	{"wall clock in a name", "packager/opening.go",
		"g.Number, g.S0 = c.gen.Number+1, c.slot+1",
		"g.Number, g.S0 = c.gen.Number+1, max(c.slot+1, c.shape.Slot.Count(timeline.Rescale(zero.Arrived.UnixMilli(), 1000, g.Timescale), g.Timescale))",
		"1", "nothing to show yet"},
	{"wall clock in the length of a silence", "packager/opening.go",
		"zero.Arrived.Sub(c.arrived).Microseconds()", "zero.Arrived.Round(0).Sub(c.arrived.Round(0)).Microseconds()",
		"1", "after a silence of"},
	{"wall clock after a jump", "packager/opening.go",
		"	case o.why == \"restart\", o.why == \"rival\":\n", "	case o.why == \"restart\", o.why == \"rival\", o.why == \"jump\":\n",
		"1", "nothing but the clock has jumped"},
	{"a wrap seen as a jump", "packager/standing.go",
		"	if timescale != 90000 {\n		return 0\n	}\n	return (off", "	if timescale > 0 {\n		return 0\n	}\n	return (off",
		"61", "generations began, it justifies"},
	{"a 412 taken for success", "packager/putting.go",
		"		if err == nil && bytes.Equal(there, body) {\n			return nil\n		}\n		return &DivergenceError{key}", "		_ = there\n		return nil",
		"0", "is in no index"},
	{"a lost answer taken for failure", "packager/putting.go",
		"		if err == nil && bytes.Equal(there, body) {\n			return nil\n		}\n		return &DivergenceError{key}", "		_ = there\n		return &DivergenceError{key}",
		"0", "behind the air"},
	{"a root's lost answer taken for another worker", "packager/putting.go",
		"			if !bytes.Equal(there, body) {\n				return fmt.Errorf(\"%s", "			if len(there) > 0 {\n				return fmt.Errorf(\"%s",
		"0", "behind the air"},
	{"a frame dropped and not named", "packager/channel.go",
		"	case bad:\n		c.lose(s, \"timestamp\")\n", "	case bad:\n",
		"3", "are not in the archive"},
	{"a generation's number used again", "packager/opening.go",
		"g.Number, g.S0 = c.gen.Number+1, c.slot+1", "g.Number, g.S0 = max(1, c.gen.Number), c.slot+1",
		"0", "behind the air"},
	{"a tombstone before the feed is back", "packager/channel.go",
		"		c.closeAll(-1)\n		c.opening = newOpening(why)\n",
		"		lanes := c.lanes\n		c.closeAll(-1)\n		c.slot++\n		for _, l := range lanes {\n			e := tombstone(*c.shape, c.gen, l.r, c.slot)\n			c.out = append(c.out, &Closed{Rendition: l.r.ID, Of: c.name, Row: e.Row, Body: e.body})\n		}\n		c.opening = newOpening(why)\n",
		"0", "is shown as a gap"},
	{"a discontinuity sequence that forgets", "origin/hls/playlist.go",
		"p.number(\"#EXT-X-DISCONTINUITY-SEQUENCE:\", int64(p.generation))", "p.number(\"#EXT-X-DISCONTINUITY-SEQUENCE:\", 0)",
		"0", "was listed as"},
	{"an end that drops what is open", "packager/channel.go",
		"		c.doubtAll()\n		c.closeAll(-1)\n", "		c.doubtAll()\n		c.lanes, c.ref, c.cuts, c.running = nil, nil, nil, nil\n",
		"0", "goes back from"},
	{"what waits is put in reverse", "packager/queue.go",
		"		closed := q.closed\n		q.mu.Unlock()\n		if len(oldest)", "		closed := q.closed\n		q.mu.Unlock()\n		slices.Reverse(oldest)\n		if len(oldest)",
		"0", "it is false"},
	{"one wrong timestamp believed", "packager/clock.go",
		"	return max(ticks(leap, l.r.SourceTimescale), 3*", "	return max(ticks(jump, l.r.SourceTimescale), 3*",
		"1", "from where it belongs"},
	{"sound on a lattice of its own after a restart", "packager/opening.go",
		"		r.Zero, r.FirstSource = r.Zero-shift, r.FirstSource-shift\n", "		r.Zero, r.FirstSource, r.First = r.Zero-shift, r.FirstSource-shift+shift%7, r.First+shift%11\n",
		"10", "beside the lattice"},
	{"a Period that is named by where the window begins", "origin/dash/dash.go",
		"		p.begins = begins(w, lanes, head)\n", "		p.begins = max(p.begins, begins(w, lanes, head))\n",
		"0", "comes after a later one"},
}

var every = flag.Bool("planted", false, "plant every bug, try many seeds, and say which catches it")

// TestTheWorldCatchesWhatIsPlanted plants bugs in what the world is made of, and nowhere else: the compiler gets another file in the place of
// one (go build -overlay).
func TestTheWorldCatchesWhatIsPlanted(t *testing.T) {
	for _, b := range bugs {
		t.Run(strings.ReplaceAll(b.name, " ", "_"), func(t *testing.T) {
			there := plant(t, b)
			t.Parallel()
			b.caught(t, there)
		})
	}
}

// plant writes the file with the bug, and what tells the compiler to take it.
func plant(t *testing.T, b planted) (overlay string) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, filepath.FromSlash(b.file))
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), b.old); n != 1 {
		t.Fatalf("%s has %d times what is to be another text:\n%s", b.file, n, b.old)
	}
	dir := t.TempDir()
	there := filepath.Join(dir, filepath.Base(b.file))
	says, _ := json.Marshal(map[string]map[string]string{"Replace": {file: there}})
	overlay = filepath.Join(dir, "overlay.json")
	for name, text := range map[string][]byte{there: []byte(strings.Replace(string(source), b.old, b.bug, 1)), overlay: says} {
		if err := os.WriteFile(name, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return overlay
}

var judgeLine = regexp.MustCompile(`judge: (.*)`)

func (b planted) caught(t *testing.T, overlay string) {
	binary := filepath.Join(filepath.Dir(overlay), "world.test")
	if out, err := exec.Command("go", "test", "-c", "-overlay", overlay, "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	seeds := []string{b.seed}
	if *every {
		seeds = strings.Fields("0 1 2 3 4 5 6 7 8 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 29 30")
	}
	for _, seed := range seeds {
		cmd := exec.Command(binary, "-test.run", "^TestTheWorld$/^seeds$/^seed_"+seed+"$", "-test.timeout", "2m")
		out, err := cmd.CombinedOutput()
		line := judgeLine.FindStringSubmatch(string(out))
		if err == nil || line == nil {
			continue
		}
		if !*every && !strings.Contains(string(out), b.says) {
			t.Errorf("%s: caught in seed %s, but not for %q: %s", b.name, seed, b.says, line[1])
		}
		t.Logf("%s: caught in seed %s: %.200s", b.name, seed, line[1])
		return
	}
	t.Errorf("%s: seed %s does not catch it", b.name, b.seed)
}
