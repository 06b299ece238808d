// Package examples holds the examples' test: each tree runs on a real cluster and must give what its expected file says.
package examples

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/examples/etl/sources"
	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/executors/command"
	"github.com/taskgrove/taskgrove/testcluster"
)

// sourcesURL is where the ETL tree looks for its sources; the test and the demo put a free port in its place.
const sourcesURL = "http://127.0.0.1:8099"

func TestExamplesGiveWhatTheyMust(t *testing.T) {
	server := httptest.NewServer(sources.Handler())
	defer server.Close()
	c := testcluster.Start(t, testcluster.Options{Builtin: builtin.Config{Command: command.Config{Allow: true}}})
	for tree, expected := range map[string]string{
		"etl/tree.json":          "etl/expected.json",
		"inventory/tree.json":    "inventory/expected.json",
		"patterns/pipeline.json": "patterns/pipeline.expected.json",
		"patterns/fan-out.json":  "patterns/fan-out.expected.json",
		"patterns/fan-in.json":   "patterns/fan-in.expected.json",
		"patterns/complex.json":  "patterns/complex.expected.json",
		"patterns/fallback.yaml": "patterns/fallback.expected.json",
	} {
		t.Run(tree, func(t *testing.T) {
			c := c.For(t)
			text := strings.ReplaceAll(string(read(t, tree)), sourcesURL, server.URL)
			if filepath.Ext(tree) == ".yaml" {
				document, err := yaml.YAMLToJSON([]byte(text))
				if err != nil {
					t.Fatal(err)
				}
				text = string(document)
			}
			out, err := c.Service().Submit(t.Context(), coordinator.SubmitOptions{},
				treedoc.Read(strings.NewReader(text), treedoc.Options{Executors: testcluster.Known()}))
			if err != nil {
				t.Fatal(err)
			}
			c.Settled(out.TreeID)
			tasks := c.Tasks(out.TreeID)
			var want map[string]map[string]any
			if err := json.Unmarshal(read(t, expected), &want); err != nil {
				t.Fatal(err)
			}
			for id, facts := range want {
				task := tasks[id]
				if task == nil {
					t.Errorf("there is no task %s", id)
					continue
				}
				contains(t, id, facts, shown(t, task))
			}
		})
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// shown is what an expected file may speak of.
func shown(t *testing.T, task *coordinator.Task) map[string]any {
	t.Helper()
	data, err := json.Marshal(map[string]any{"status": task.State.Status(), "state": task.State.String(), "result": task.Result,
		"error": task.Error, "attempt": task.Attempt, "blocked_by": task.BlockedBy})
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// contains checks that got has everything that want has; objects may have more.
func contains(t *testing.T, path string, want, got any) {
	t.Helper()
	object, ok := want.(map[string]any)
	if !ok {
		w, _ := json.Marshal(want)
		g, _ := json.Marshal(got)
		if string(w) != string(g) {
			t.Errorf("%s: got %s, want %s", path, g, w)
		}
		return
	}
	has, ok := got.(map[string]any)
	if !ok {
		t.Errorf("%s: got %v, want an object", path, got)
		return
	}
	for key, value := range object {
		contains(t, path+"."+key, value, has[key])
	}
}
