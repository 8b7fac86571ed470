package admin

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gitlab-sysbox-executor/executor/accounting"
)

// observeFolder has the dashboard and the alert rules.
const observeFolder = "../../docs/observe"

// metricNames are the names of all series.
func metricNames() map[string]bool {
	names := map[string]bool{}
	for _, f := range families(hostOfTwo, metricsOptions{perJob: true, sizes: true}) {
		names[f.GetName()] = true
	}
	for _, d := range accounting.Definitions() {
		names[metricsPrefix+d.Name] = d.Buckets == nil
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			names[metricsPrefix+d.Name+suffix] = d.Buckets != nil
		}
	}
	maps.DeleteFunc(names, func(_ string, is bool) bool { return !is })
	return names
}

// The dashboard and the rules name only metrics that exist. No two panels overlap or have the same ID.
func TestDashboardAndRules(t *testing.T) {
	known := metricNames()
	for _, file := range []string{"dashboard.json", "alerts.yml", "alerts_test.yml"} {
		text, err := os.ReadFile(filepath.Join(observeFolder, file))
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(metricsPrefix+`[a-z_]+`).FindAllString(string(text), -1)
		if len(found) < 10 {
			t.Errorf("%s: only %q", file, found)
		}
		for _, name := range found {
			if !known[name] {
				t.Errorf("%s: there is no metric %s", file, name)
			}
		}
	}
	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	text, err := os.ReadFile(filepath.Join(observeFolder, "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	cells, ids := map[[2]int]string{}, map[int]bool{}
	for _, p := range dashboard.Panels {
		if ids[p.ID] {
			t.Errorf("two panels have the ID %d", p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := cells[[2]int{x, y}]; other != "" || x > 23 {
					t.Fatalf("%q overlaps %q, or is too wide", p.Title, other)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
	}
	// The page explains each metric.
	page, err := os.ReadFile(filepath.Join(observeFolder, "..", "observe.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range accounting.Definitions() {
		if !strings.Contains(string(page), "`"+d.Name+"`") {
			t.Errorf("docs/observe.md does not have %s", d.Name)
		}
	}
	for _, c := range accounting.Classes() {
		if !strings.Contains(string(page), "`"+string(c)+"`") {
			t.Errorf("docs/observe.md does not have the class %s", c)
		}
	}
}
