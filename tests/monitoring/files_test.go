package monitoring

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/taskgrove/taskgrove/internal/instrument"
)

const (
	files    = "../../charts/taskgrove/files"
	runbooks = "../../docs/runbooks.md"
)

// alert is one of the rules.
type alert struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

// alerts are all rules of the files.
func alerts(t *testing.T) (all []alert) {
	t.Helper()
	for _, name := range found(t, files+"/alerts/*.yaml") {
		var file struct {
			Groups []struct {
				Rules []alert `yaml:"rules"`
			} `yaml:"groups"`
		}
		text, err := os.ReadFile(name)
		if err == nil {
			err = yaml.Unmarshal(text, &file)
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, g := range file.Groups {
			all = append(all, g.Rules...)
		}
	}
	return all
}

// query is one of a dashboard, with the variables as they are.
type query struct{ dashboard, panel, expr string }

// queries are those of all dashboards.
func queries(t *testing.T) (all []query) {
	t.Helper()
	for _, name := range found(t, files+"/dashboards/*.json") {
		var board struct {
			UID, Title string
			Panels     []struct {
				ID      int
				Type    string
				Title   string
				GridPos struct{ H, W, X, Y int }
				Targets []struct{ Expr string }
			}
		}
		text, err := os.ReadFile(name)
		if err == nil {
			err = json.Unmarshal(text, &board)
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if board.UID+".json" != filepath.Base(name) || board.Title == "" {
			t.Errorf("%s: its uid is %q, its title %q", name, board.UID, board.Title)
		}
		ids := map[int]bool{}
		for _, p := range board.Panels {
			if ids[p.ID] || p.Title == "" || p.GridPos.X+p.GridPos.W > 24 || p.Type != "row" && len(p.Targets) == 0 {
				t.Errorf("%s: panel %d, %q, is not as it should be", name, p.ID, p.Title)
			}
			ids[p.ID] = true
			for _, target := range p.Targets {
				all = append(all, query{board.Title, p.Title, target.Expr})
			}
		}
	}
	return all
}

func found(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: %v, %v", pattern, names, err)
	}
	return names
}

// tool is a program of Prometheus. Where it is missing, the test is skipped.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	t.Skipf("%v: apt-get install prometheus", err)
	return ""
}

func TestRulesAreGood(t *testing.T) {
	args := append([]string{"check", "rules", "--lint=all", "--lint-fatal"}, found(t, files+"/alerts/*.yaml")...)
	if out, err := exec.CommandContext(t.Context(), tool(t, "promtool"), args...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	seen := map[string]bool{}
	for _, a := range alerts(t) {
		if seen[a.Alert] || !strings.HasPrefix(a.Alert, "Taskgrove") {
			t.Errorf("%s: want a name of its own that begins with Taskgrove", a.Alert)
		}
		seen[a.Alert] = true
		if !slices.Contains([]string{"critical", "warning", "info"}, a.Labels["severity"]) {
			t.Errorf("%s: its severity is %q", a.Alert, a.Labels["severity"])
		}
		for _, name := range []string{"summary", "description", "runbook_url"} {
			if a.Annotations[name] == "" {
				t.Errorf("%s has no %s", a.Alert, name)
			}
		}
	}
}

// TestEachAlertHasItsRunbook, each of them is an alert's, and says what it must.
func TestEachAlertHasItsRunbook(t *testing.T) {
	text, err := os.ReadFile(runbooks)
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, part := range strings.Split(string(text), "\n### ")[1:] {
		name, body, _ := strings.Cut(part, "\n")
		sections[name], _, _ = strings.Cut(body, "\n## ")
	}
	const page = "https://github.com/taskgrove/taskgrove/blob/main/docs/runbooks.md#"
	for _, a := range alerts(t) {
		body, ok := sections[a.Alert]
		if !ok {
			t.Errorf("%s has no section in %s", a.Alert, runbooks)
			continue
		}
		delete(sections, a.Alert)
		if want := page + strings.ToLower(a.Alert); a.Annotations["runbook_url"] != want {
			t.Errorf("the runbook of %s is at %s, want %s", a.Alert, a.Annotations["runbook_url"], want)
		}
		for _, part := range []string{"**Means:**", "**Look at:**", "**Mend:**"} {
			if !strings.Contains(body, "\n"+part+" ") {
				t.Errorf("the section of %s has no %s", a.Alert, part)
			}
		}
	}
	for name := range sections {
		t.Errorf("%s has a section for %s, which is no alert", runbooks, name)
	}
}

// selector is a metric with its matchers, and labelList what an aggregation is by.
var (
	selector  = regexp.MustCompile(`\b((?:taskgrove|process|go)_[a-z0-9_]+)(?:\{([^}]*)\})?`)
	matcher   = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)`)
	labelList = regexp.MustCompile(`\b(?:by|on)\s*\(([^)]*)\)`)
)

// TestQueriesNameWhatThereIs: metrics and labels of the tables.
func TestQueriesNameWhatThereIs(t *testing.T) {
	labels := map[string][]string{} // of each series' name
	for _, table := range []instrument.Table{instrument.Coordinator, instrument.Worker, instrument.Process} {
		for _, m := range table {
			shown := m.Shown()
			if m.Kind != instrument.Histogram {
				labels[shown] = m.Labels
				continue
			}
			labels[shown+"_bucket"] = append([]string{"le"}, m.Labels...)
			labels[shown+"_sum"], labels[shown+"_count"] = m.Labels, m.Labels
		}
	}
	of := []string{"namespace", "instance"} // that Prometheus adds
	check := func(where, expr string) {
		known := slices.Clone(of)
		for _, m := range selector.FindAllStringSubmatch(expr, -1) {
			own, ok := labels[m[1]]
			if strings.HasPrefix(m[1], "taskgrove_") && !ok {
				t.Errorf("%s: there is no metric %s", where, m[1])
			}
			known = append(known, own...)
			for _, label := range matcher.FindAllStringSubmatch(m[2], -1) {
				if !slices.Contains(append(own[:len(own):len(own)], of...), label[1]) {
					t.Errorf("%s: %s has no label %s", where, m[1], label[1])
				}
			}
		}
		for _, list := range labelList.FindAllStringSubmatch(expr, -1) {
			for label := range strings.SplitSeq(list[1], ",") {
				if label = strings.TrimSpace(label); !slices.Contains(known, label) {
					t.Errorf("%s: nothing in %s has the label %s", where, expr, label)
				}
			}
		}
	}
	for _, a := range alerts(t) {
		check(a.Alert, a.Expr)
		for _, text := range a.Annotations {
			for _, label := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(text, -1) {
				if by := labelList.FindStringSubmatch(a.Expr); by != nil && strings.Contains(a.Expr, " by (") && !strings.Contains(by[1], label[1]) {
					t.Errorf("%s tells of the label %s, which %s drops", a.Alert, label[1], a.Expr)
				}
			}
		}
	}
	all := queries(t)
	if len(all) < 50 {
		t.Errorf("only %d queries were found", len(all))
	}
	for _, q := range all {
		check(q.dashboard+", "+q.panel, q.expr)
	}
	// What is measured and never shown is of no use to whoever watches.
	text := ""
	for _, q := range all {
		text += q.expr + "\n"
	}
	for _, a := range alerts(t) {
		text += a.Expr + "\n"
	}
	for name := range labels {
		base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_sum"), "_count")
		if !strings.Contains(text, base) {
			t.Errorf("no dashboard and no alert shows %s", base)
		}
	}
}
