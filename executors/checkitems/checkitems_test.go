package checkitems_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/checkitems"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// what runs an attempt and shows its outcome.
func what(t *testing.T, in string) string {
	t.Helper()
	call, _ := conformance.Call(t, in)
	out, err := checkitems.New().Run(t.Context(), call)
	if err != nil {
		if !executors.IsPermanent(err) {
			t.Errorf("%s: %v may be retried", in, err)
		}
		return "!" + err.Error()
	}
	text, err := json.Marshal(out.Value())
	if err != nil {
		t.Fatal(err)
	}
	return out.Reason() + string(text)
}

func TestRun(t *testing.T) {
	few := func(n, least string) string {
		return `no_data{"has_data":false,"count":` + n + `,"reason_text":"count(` + n + `) \u003c min_count(` + least + `)"}`
	}
	for in, want := range map[string]string{
		`{"items": [1, null, {"a": []}]}`:                  `{"has_data":true,"count":3}`,
		`{"items": []}`:                                    few("0", "1"),
		`{"items": ""}`:                                    few("0", "1"),
		`{"items": " , ,\t"}`:                              few("0", "1"),
		`{"items": "a"}`:                                   `{"has_data":true,"count":1}`,
		`{"items": " a, b ,,c "}`:                          `{"has_data":true,"count":3}`,
		`{"items": "[]"}`:                                  few("0", "1"),
		`{"items": " [\"a,b\", 2] "}`:                      `{"has_data":true,"count":2}`,
		`{"items": "[a, b"}`:                               `{"has_data":true,"count":2}`,
		`{"items": "[1,2] x"}`:                             `{"has_data":true,"count":2}`,
		`{"items": ["a"], "min_count": 2}`:                 few("1", "2"),
		`{"items": ["a", "b"], "min_count": 2}`:            `{"has_data":true,"count":2}`,
		`{"items": ["a"], "min_count": "2"}`:               few("1", "2"),
		`{"items": ["a"], "min_count": " 1 "}`:             `{"has_data":true,"count":1}`,
		`{"items": [], "min_count": 0}`:                    `{"has_data":true,"count":0}`,
		`{"items": [], "min_count": -3}`:                   `{"has_data":true,"count":0}`,
		`{"items": [], "min_count": null}`:                 few("0", "1"),
		`{"items": [1], "min_count": 9223372036854775807}`: few("1", "9223372036854775807"),
	} {
		if got := what(t, in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
		call, _ := conformance.Call(t, in)
		if err := inputs.NewChecker(0).Check(checkitems.New().Describe(), call); err != nil {
			t.Errorf("%s: %v", in, err)
		}
	}
}

func TestWrongInputs(t *testing.T) {
	for in, want := range map[string]string{
		`{}`:                                               "items is required in inputs",
		`{"items": null}`:                                  "items is required in inputs",
		`{"items": 5}`:                                     "items must be a list, or a text with commas between the items",
		`{"items": {"a": 1}}`:                              "items must be a list, or a text with commas between the items",
		`{"items": true}`:                                  "items must be a list, or a text with commas between the items",
		`{"items": [], "min_count": 1.5}`:                  "min_count has a value that can't be read",
		`{"items": [], "min_count": 1e3}`:                  "min_count has a value that can't be read",
		`{"items": [], "min_count": "one"}`:                "min_count has a value that can't be read",
		`{"items": [], "min_count": ""}`:                   "min_count has a value that can't be read",
		`{"items": [], "min_count": true}`:                 "min_count has a value that can't be read",
		`{"items": [], "min_count": [1]}`:                  "min_count has a value that can't be read",
		`{"items": [], "min_count": 99999999999999999999}`: "min_count has a value that can't be read",
	} {
		if got := what(t, in); got != "![check_items] "+want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
	deep := `{"items": "` + strings.Repeat("[", 100_000) + `"}`
	if got := what(t, deep); got != `{"has_data":true,"count":1}` {
		t.Errorf("deep: got %s", got)
	}
}

// In a cluster, too few items skip the task and what accepts success alone; what accepts all runs.
func TestACluster(t *testing.T) {
	c := cluster.Start(t, cluster.Options{})
	task := func(id, executor, inputs string, deps ...dag.Dependency) *dag.Task {
		schemas, _ := json.Marshal(map[string]string{"method": executor})
		return &dag.Task{ID: id, Name: id, ParentRef: "root", Executor: executor, Schemas: schemas, Inputs: json.RawMessage(inputs), Dependencies: deps}
	}
	mode, ok := dag.EdgeOf([]string{"success"}, "", false, false)
	if !ok {
		t.Fatal("no mode")
	}
	strict := dag.Dependency{Ref: "few", Mode: mode}
	c.Submit(coordinator.SubmitOptions{}, &dag.Task{ID: "root", Name: "root"},
		task("few", checkitems.ID, `{"items": "a, b", "min_count": 3}`), task("enough", checkitems.ID, `{"items": "a, b"}`),
		task("any", "noop_executor", `{"value": 1}`, dag.Dependency{Ref: "few"}), task("strict", "noop_executor", `{"value": 1}`, strict))
	if tree := c.Settled("root"); tree.Status != "completed" {
		t.Errorf("the tree is %s", tree.Status)
	}
	for id, want := range map[string]struct {
		state  dag.State
		result string
	}{
		"few":    {dag.Skipped, `{"count":2,"has_data":false,"reason":"no_data","reason_text":"count(2) \u003c min_count(3)","skipped":true}`},
		"enough": {dag.Completed, `{"count":2,"has_data":true}`},
		"any":    {dag.Completed, `1`},
		"strict": {dag.Skipped, `{"reason":"dependency_skipped","skipped":true}`},
	} {
		got := c.Tasks("root")[id]
		var result any
		_ = json.Unmarshal(got.Result, &result)
		text, _ := json.Marshal(result)
		if got.State != want.state || string(text) != want.result {
			t.Errorf("%s: got %s, %s, want %s, %s", id, got.State, text, want.state, want.result)
		}
	}
}
