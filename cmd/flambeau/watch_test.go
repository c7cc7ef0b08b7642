package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

const (
	rulesFile      = "../../deploy/prometheus/rules.yml"
	rulesTestFile  = "../../deploy/prometheus/rules_test.yml"
	dashboardsGlob = "../../deploy/grafana/*.json"
)

// rulesOf is a file of alerts as Prometheus reads it.
type rulesOf struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert, Expr         string
			Labels, Annotations map[string]string
		}
	}
}

func readRules(t *testing.T) (x rulesOf, text string) {
	t.Helper()
	b, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(b, &x); err != nil {
		t.Fatal(err)
	}
	return x, string(b)
}

// TestWhatOperatorsWatchIsThere: promtool takes what /metrics says, and every metric that an alert or a dashboard names is in it, from the
// start and with the labels that are asked for.
func TestWhatOperatorsWatchIsThere(t *testing.T) {
	t.Parallel()
	r := start(t, "demo")
	get(t, r.media+"/live/demo/v360/index.m3u8", 10*time.Second)
	text := string(get(t, r.metrics+"/metrics", time.Second))
	r.stop()

	cmd := exec.Command("promtool", "check", "metrics")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	series := map[string]string{} // what is said of a name, all its labels together
	for _, line := range strings.Split(text, "\n") {
		if name := regexp.MustCompile(`^[a-z_]+`).FindString(line); name != "" {
			series[name] += line
		}
	}
	asked := map[string]int{}
	for where, expr := range expressions(t) {
		for _, m := range regexp.MustCompile(`\b((?:flambeau|process|go)_[a-z_]+)(\{[^}]*\})?`).FindAllStringSubmatch(expr, -1) {
			asked[m[1]]++
			if series[m[1]] == "" {
				t.Errorf("%s asks for %s, which is not in /metrics", where, m[1])
			}
			for _, l := range regexp.MustCompile(`([a-z_]+)(?:=~|=|!=|!~)"`).FindAllStringSubmatch(m[2], -1) {
				// These two are put there by Prometheus.
				if l[1] != "instance" && l[1] != "job" && !strings.Contains(series[m[1]], l[1]+`="`) {
					t.Errorf("%s asks for %s by %s, a label that it has not", where, m[1], l[1])
				}
			}
		}
	}
	if len(asked) < 15 {
		t.Fatalf("only %d metrics are asked for: this test looks at nothing", len(asked))
	}
}

// expressions are those of all alerts and all panels, by where they stand. promtool has parsed each.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	rules, _ := readRules(t)
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			all[r.Alert] = r.Expr
		}
	}
	files, err := filepath.Glob(dashboardsGlob)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v %v", dashboardsGlob, files, err)
	}
	type rule struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var parsed []rule
	for _, file := range files {
		var d struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &d); err != nil {
			t.Fatal(err)
		}
		for _, p := range d.Panels {
			for i, target := range p.Targets {
				expr := strings.ReplaceAll(target.Expr, "$__rate_interval", "1m")
				all[filepath.Base(file)+": "+p.Title+string(rune('A'+i))] = expr
				parsed = append(parsed, rule{"panel", expr})
			}
		}
	}
	// promtool parses what stands in rules only. Equal rules are refused, and these are told apart by nothing but what they ask for.
	b, err := json.Marshal(map[string]any{"groups": []any{map[string]any{"name": "panels", "rules": slices.CompactFunc(parsed, func(a, b rule) bool { return a == b })}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "panels.yml") // JSON is YAML
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("promtool", "check", "rules", "--lint=none", file).CombinedOutput(); err != nil {
		t.Errorf("panels: promtool check rules: %v\n%s", err, out)
	}
	return all
}

// TestEachAlertFiresWhenItShould runs the stories of rules_test.yml, and again with each alert silenced: then one must fail.
func TestEachAlertFiresWhenItShould(t *testing.T) {
	t.Parallel()
	rules, text := readRules(t)
	b, err := os.ReadFile(rulesTestFile)
	if err != nil {
		t.Fatal(err)
	}
	head, stories, _ := strings.Cut(string(b), "  - name: ")
	tool(t, time.Minute, "promtool", "check", "rules", rulesFile)
	tool(t, time.Minute, "promtool", "test", "rules", rulesTestFile)
	count := 0
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			count++
			if s := r.Labels["severity"]; s != "page" && s != "ticket" {
				t.Errorf("%s: severity %q", r.Alert, s)
			}
			if r.Annotations["summary"] == "" || r.Annotations["runbook"] == "" {
				t.Errorf("%s has no summary or no runbook", r.Alert)
			}
			var its string // of its stories alone: each costs a database
			for _, story := range strings.Split(stories, "  - name: ") {
				if strings.Contains(story, "alertname: "+r.Alert+"\n") {
					its += "  - name: " + story
				}
			}
			if !strings.Contains(its, "{ alertname: "+r.Alert+", eval_time:") {
				t.Errorf("%s has no story in which it does not fire yet", r.Alert)
			}
			silenced := strings.Replace(text, "- alert: "+r.Alert+"\n", "- alert: "+r.Alert+"Silenced\n", 1)
			dir := t.TempDir()
			for name, content := range map[string]string{"rules.yml": silenced, "rules_test.yml": head + its} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if out, err := exec.Command("promtool", "test", "rules", filepath.Join(dir, "rules_test.yml")).CombinedOutput(); err == nil {
				t.Errorf("with %s silenced no story fails: %s", r.Alert, out)
			}
		}
	}
	if count < 10 {
		t.Fatalf("only %d alerts were seen: this test looks at nothing", count)
	}
}
