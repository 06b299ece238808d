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
	Tasks map[string]map[string]any `json:"tasks"` // by id; every task of the tree
}

func TestExamplesGiveWhatTheyMust(t *testing.T) {
	server := httptest.NewServer(sources.Handler())
	defer server.Close()
	c := cluster.Start(t, cluster.Options{Worker: func(s *config.Worker) { s.CommandAllow = true }})
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
			want := expect(t, expected)
			text := strings.ReplaceAll(string(read(t, tree)), sourcesURL, server.URL)
			if filepath.Ext(tree) == ".yaml" {
				document, err := yaml.YAMLToJSON([]byte(text))
				if err != nil {
					t.Fatal(err)
				}
				text = string(document)
			}
			out, err := c.Service().Submit(t.Context(), coordinator.SubmitOptions{},
				treedoc.Read(strings.NewReader(text), treedoc.Options{Executors: node.Known()}))
			if err != nil {
				t.Fatal(err)
			}
			st := c.Settled(out.TreeID)
			contains(t, "tree", want.Tree, plain(t, map[string]any{"status": st.Status, "total": st.Tasks,
				"completed": st.Completed, "failed": st.Failed, "blocked": st.Blocked}))
			tasks := c.Tasks(out.TreeID)
			for id, task := range tasks {
				facts, ok := want.Tasks[id]
				if !ok {
					t.Errorf("%s says nothing of task %s", expected, id)
					continue
				}
				contains(t, id, facts, plain(t, map[string]any{"status": task.State.Status(), "state": task.State.String(),
					"result": task.Result, "error": task.Error, "attempt": task.Attempt, "pool": task.Pool,
					"blocked_by": task.BlockedBy}))
			}
			for id := range want.Tasks {
				if tasks[id] == nil {
					t.Errorf("there is no task %s", id)
				}
			}
		})
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
