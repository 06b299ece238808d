// Package examples holds the examples' test: each tree runs on a real cluster and must give what its expected file says.
//
// It owns how an expected file is read (see README.md). It must not know how any one example works.
package examples

import (
	"bytes"
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
	"github.com/taskgrove/taskgrove/executors/model/modeltest"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/node"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// sourcesURL is where the ETL tree looks for its sources; the test and the demo put a free port in its place.
const sourcesURL = "http://127.0.0.1:8099"

// volatile in an expected file stands for any value but null: one that differs between machines or runs.
const volatile = "*"

// expectation is an expected file.
type expectation struct {
	Tree  map[string]any            `json:"tree"`
	Tasks map[string]map[string]any `json:"tasks"` // by what the document calls it; every task of the tree
}

// TestExamplesGiveWhatTheyMust submits each several times: ids are taken then, and all else is the same.
func TestExamplesGiveWhatTheyMust(t *testing.T) {
	files := t.TempDir()
	c := cluster.Start(t, cluster.Options{Worker: func(s *config.Worker) { s.CommandAllow, s.FileRoot = true, files }})
	for tree, expected := range map[string]string{
		"etl/tree.json":          "etl/expected.json",
		"inventory/tree.json":    "inventory/expected.json",
		"patterns/pipeline.json": "patterns/pipeline.expected.json",
		"patterns/fan-out.json":  "patterns/fan-out.expected.json",
		"patterns/fan-in.json":   "patterns/fan-in.expected.json",
		"patterns/complex.json":  "patterns/complex.expected.json",
		"patterns/fallback.yaml": "patterns/fallback.expected.json",
		"patterns/map.yaml":      "patterns/map.expected.json",
		"patterns/poll.yaml":     "patterns/poll.expected.json",
		"patterns/handlers.yaml": "patterns/handlers.expected.json",
		"patterns/gate.yaml":     "patterns/gate.expected.json",
		"patterns/approval.yaml": "patterns/approval.expected.json",
		"patterns/limits.yaml":   "patterns/limits.expected.json",
		"patterns/lock.yaml":     "patterns/lock.expected.json",
		"patterns/rates.yaml":    "patterns/rates.expected.json",
	} {
		t.Run(tree, func(t *testing.T) {
			c := c.For(t)
			for range 3 {
				runs(t, c, document(t, tree), expected)
			}
		})
	}
}

// TestAgents plays the models that examples/agents/models has.
func TestAgents(t *testing.T) {
	models := modeltest.Start(t)
	scripts, err := modeltest.Load(os.DirFS("agents/models"))
	if err != nil {
		t.Fatal(err)
	}
	for _, script := range scripts {
		for _, model := range script.PlayedBy() {
			models.Play(model, script)
		}
	}
	t.Setenv("OPENAI_BASE_URL", models.OpenAI())
	t.Setenv("OPENAI_API_KEY", models.Key())
	c := cluster.Start(t, cluster.Options{Worker: func(s *config.Worker) { s.CommandAllow = true }})
	for range 3 {
		runs(t, c, document(t, "agents/tree.yaml"), "agents/expected.json")
	}
	if requests := models.Requests(); len(requests) != 9 {
		t.Errorf("the models were asked %d times, want 9", len(requests))
	}
}

// document is a tree's file as JSON.
func document(t *testing.T, tree string) string {
	t.Helper()
	text := read(t, tree)
	if filepath.Ext(tree) != ".yaml" {
		return string(text)
	}
	text, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// runs submits a document, and compares what becomes of it.
func runs(t *testing.T, c *cluster.Cluster, text, expected string) {
	t.Helper()
	server := httptest.NewServer(sources.Handler()) // it counts requests
	defer server.Close()
	text = strings.ReplaceAll(text, sourcesURL, server.URL)
	want := expect(t, expected)
	out, err := c.Service().Submit(t.Context(), coordinator.SubmitOptions{},
		treedoc.Read(strings.NewReader(text), treedoc.Options{Executors: node.Known()}))
	if err != nil {
		t.Fatal(err)
	}
	st := c.Settled(out.TreeID)
	contains(t, "tree", want.Tree, plain(t, map[string]any{"status": st.Status, "total": st.Tasks,
		"completed": st.Completed, "failed": st.Failed, "blocked": st.Blocked}))
	tasks := c.Tasks(out.TreeID)
	found := map[string]bool{}
	for _, task := range tasks {
		found[task.Ref] = true
		facts, ok := want.Tasks[task.Ref]
		if !ok {
			t.Errorf("%s says nothing of task %s", expected, task.Ref)
			continue
		}
		for i, id := range task.BlockedBy {
			task.BlockedBy[i] = tasks[id].Ref
		}
		contains(t, task.Ref, facts, plain(t, map[string]any{"status": task.State.Status(), "state": task.State.String(),
			"result": task.Result, "error": task.Error, "attempt": task.Attempt, "pool": task.Pool,
			"blocked_by": task.BlockedBy}))
	}
	for ref := range want.Tasks {
		if !found[ref] {
			t.Errorf("there is no task %s", ref)
		}
	}
}

// expect reads an expected file. A key that it does not know is a mistake, not something to pass over.
func expect(t *testing.T, name string) (want expectation) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(read(t, name)))
	d.DisallowUnknownFields()
	if err := d.Decode(&want); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return want
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// plain is v as JSON has it, so that it can be compared with what an expected file says.
func plain(t *testing.T, v any) (out map[string]any) {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// contains checks that got has everything that want has; objects may have more.
func contains(t *testing.T, path string, want, got any) {
	t.Helper()
	if want == volatile {
		if got == nil || got == "" {
			t.Errorf("%s: got nothing, want any value", path)
		}
		return
	}
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
