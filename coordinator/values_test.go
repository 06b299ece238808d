package coordinator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// valueEcho returns its inputs, or what they say: an error, or a value.
func valueEcho() executors.Executor {
	return executors.Func("echo", func(_ context.Context, in map[string]json.RawMessage) (any, error) {
		if text, fails := in["fail"]; fails {
			return nil, executors.Permanent(fmt.Errorf("%s", strings.Trim(string(text), `"`)))
		}
		if v, has := in["return"]; has {
			return v, nil
		}
		return in, nil
	})
}

// valued is a task of echo's.
func valued(id, parent, inputs, outputs string, deps ...string) *dag.Task {
	t := noop(id, parent, deps...)
	t.Executor, t.Inputs = "echo", json.RawMessage(inputs)
	if strings.Contains(inputs, "{{") {
		t.Control = &dag.Control{Template: true}
	}
	if outputs != "" {
		if t.Control == nil {
			t.Control = &dag.Control{}
		}
		t.Control.Outputs = json.RawMessage(outputs)
	}
	return t
}

// same compares two values of JSON.
func same(t *testing.T, what string, got json.RawMessage, want string) {
	t.Helper()
	if string(dag.AppendCanonical(nil, got)) != string(dag.AppendCanonical(nil, json.RawMessage(want))) {
		t.Errorf("%s: got %.600s, want %.600s", what, got, want)
	}
}

// TestTemplatesAreRendered: what a task's templates name is put in their place, whether it goes along with the message or is asked for, also where the
// results of hundreds of dependencies are merged into the inputs.
func TestTemplatesAreRendered(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]struct {
		inline int
		wide   int
		seal   bool
	}{"along with the message": {64 << 10, 0, false}, "asked for": {1 << 10, 0, false}, "many dependencies": {64 << 10, 300, false}, "sealed": {64 << 10, 0, true}, "sealed, asked for": {1 << 10, 0, true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := cluster.Start(t, cluster.Options{Executors: func() []executors.Executor { return []executors.Executor{valueEcho()} },
				Coordinator: func(s *config.Coordinator) {
					s.InlineBytes = config.Size(settings.inline)
					if settings.seal {
						s.SealKey, s.SealValues = "c2VhbGVkIGluIGFsbCB0ZXN0cyBvZiBhIGNsdXN0ZXI=", true
					}
				}})
			root := valued("root", "", `{"plain":"{a} ${b}","kept":{"n":1.0,"b":9007199254740993},
				"text":"{{deps.a.result.n}} of {{deps.a.result.list}}; {{deps.a.outputs.what}}","number":"{{deps.a.result.n}}","list":["{{deps.a.result.list}}"],
				"none":"{{deps.b.result.x:no}} {{deps.b.outcome}}","mine":"{{task.id}} {{task.attempt}} {{tree.user_id}}","own":"{{inputs.plain}}","a":"shown {{deps.a.result.n}}"}`,
				`{"sum":"{{result.number}}","why":"{{deps.b.outcome}}","of":{"task":"{{task.name}}"}}`, "a", "b")
			root.UserID = "ann"
			tasks := []*dag.Task{root,
				valued("a", "root", `{"return":{"n":7,"list":[1,"x"],"filler":"`+strings.Repeat("f", 5000)+`"}}`, `{"what":"{{result.n}}!"}`),
				valued("b", "root", `{"return":null}`, "")}
			merged := map[string]string{}
			for i := range settings.wide {
				id := fmt.Sprint("w", i)
				tasks = append(tasks, valued(id, "root", `{"return":1}`, ""))
				root.Dependencies = append(root.Dependencies, dag.Dependency{Ref: id})
				merged[id] = "1"
			}
			for _, task := range tasks {
				task.UserID = "ann"
			}
			out := c.Submit(coordinator.SubmitOptions{}, tasks...)
			st := c.Settled(out.TreeID)
			shown := c.Tasks("root")["root"]
			if st.Status != dag.StatusCompleted {
				t.Fatalf("%s: %s", st.Status, shown.Error)
			}
			var got map[string]json.RawMessage
			if err := json.Unmarshal(shown.Result, &got); err != nil {
				t.Fatal(err)
			}
			for key, want := range map[string]string{
				"plain": `"{a} ${b}"`, "kept": `{"n":1.0,"b":9007199254740993}`, "text": `"7 of [1,\"x\"]; 7!"`, "number": `7`, "list": `[[1,"x"]]`, "none": `"no success"`,
				"mine": `"root 1 ann"`, "own": `"{a} ${b}"`, "a": `{"n":7,"list":[1,"x"],"filler":"` + strings.Repeat("f", 5000) + `"}`,
			} {
				same(t, key, got[key], want)
			}
			for key, want := range merged {
				same(t, key, got[key], want)
			}
			same(t, "outputs", shown.Outputs, `{"sum":7,"why":"success","of":{"task":"root"}}`)
			if !strings.Contains(string(shown.Inputs), `{{deps.a.result.n}} of`) {
				t.Errorf("it is shown with %.300s", shown.Inputs)
			}
			attempts, err := c.Service().Attempts(t.Context(), "root")
			if err != nil || len(attempts) != 1 {
				t.Fatal(err, attempts)
			}
			same(t, "outputs of the attempt", attempts[0].Outputs, string(shown.Outputs))
		})
	}
}

// TestTemplatesFail: a template that can't be rendered fails its task for good, with a kind of its own; what depends on the task is blocked, and nothing else.
func TestTemplatesFail(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Executors: func() []executors.Executor { return []executors.Executor{valueEcho()} }})
	retried := func(task *dag.Task) *dag.Task {
		task.Retry = dag.RetryPolicy{MaxAttempts: 5, NoDelay: true}
		return task
	}
	out := c.Submit(coordinator.SubmitOptions{}, noop("root", "", "fine"),
		valued("a", "root", `{"return":{"s":"","part":"beg","truncated_fields":["part"],"big":"`+strings.Repeat("x", 40<<10)+`"}}`, ""), valued("fine", "root", `{"x":"{{deps.a.result.s:d}}"}`, "", "a"),
		retried(valued("missing", "root", `{"x":{"y":["{{deps.a.result.no}}"]}}`, "", "a")), retried(valued("empty", "root", `{"x":"{{deps.a.result.s}}"}`, "", "a")),
		retried(valued("cut", "root", `{"x":"{{deps.a.result.part:d}}"}`, "", "a")), retried(valued("output", "root", `{"return":{"x":1}}`, `{"y":"{{result.y}}"}`, "a")),
		retried(valued("large", "root", `{"return":1}`, `{"y":["`+strings.Repeat(`{{deps.a.result.big}}`, 10)+`"]}`, "a")))
	if st := c.Settled(out.TreeID); st.Status != dag.StatusFailed || st.Failed != 5 {
		t.Errorf("got %+v", st)
	}
	tasks := c.Tasks("root")
	for id, want := range map[string]string{
		"missing": `inputs.x.y[0]: "{{deps.a.result.no}}": nothing is there (template.missing_key)`,
		"empty":   `inputs.x: "{{deps.a.result.s}}": nothing is there (template.missing_key)`,
		"cut":     `inputs.x: "{{deps.a.result.part:d}}": is not whole: its executor has kept a part only (output.truncated)`,
		"output":  `outputs.y: "{{result.y}}": nothing is there (template.missing_key)`,
		"large":   `outputs.y[0]: "{{deps.a.result.big}}": makes the document too large (template.too_large)`,
	} {
		if got := tasks[id]; got.Error != want || got.State != dag.Failed || got.Attempt != 1 || got.Outputs != nil || got.Result != nil {
			t.Errorf("%s: %s in attempt %d, %s, outputs %s; want %s", id, got.State, got.Attempt, got.Error, got.Outputs, want)
		}
		attempts, err := c.Service().Attempts(t.Context(), id)
		if err != nil || len(attempts) != 1 {
			t.Errorf("%s has %d attempts, %v", id, len(attempts), err)
		}
	}
	same(t, "fine", tasks["fine"].Result, `{"x":"d","a":`+string(tasks["a"].Result)+`}`)
}

// TestTemplatesOfFailures: a task that runs after a failure sees why, and no result.
func TestTemplatesOfFailures(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Executors: func() []executors.Executor { return []executors.Executor{valueEcho()} }})
	root := valued("root", "", `{"x":"{{deps.bad.outcome}}: {{deps.bad.error}} {{deps.bad.result.x:none}} {{deps.bad.outputs.o:none}}"}`, "")
	root.Dependencies = []dag.Dependency{{Ref: "bad", Optional: true}}
	bad := valued("bad", "root", `{"fail":"it {{broke}}"}`, `{"o":"{{result}}"}`)
	bad.Control.Template = false
	out := c.Submit(coordinator.SubmitOptions{}, root, bad)
	if st := c.Settled(out.TreeID); st.Completed != 1 || st.Failed != 1 {
		t.Errorf("got %+v", st)
	}
	same(t, "root", c.Tasks("root")["root"].Result, `{"x":"failed: it {{broke}} none none"}`)
}

// TestEachRunRendersAnew: a task that runs again sees the results of that run, and the outputs are those of the last one.
func TestEachRunRendersAnew(t *testing.T) {
	t.Parallel()
	runs := 0
	counter := executors.Func("counter", func(context.Context, struct{}) (map[string]int, error) { runs++; return map[string]int{"n": runs}, nil })
	c := cluster.Start(t, cluster.Options{Coordinators: 2, Executors: func() []executors.Executor { return []executors.Executor{valueEcho(), counter} }})
	count := noop("count", "root")
	count.Executor, count.Control = "counter", &dag.Control{Outputs: json.RawMessage(`{"n":"{{result.n}}"}`)}
	out := c.Submit(coordinator.SubmitOptions{}, valued("root", "", `{"x":"{{deps.count.outputs.n}}"}`, `{"x":"{{result.x}}"}`, "count"), count)
	for run := 1; run <= 3; run++ {
		if run > 1 {
			if _, err := c.Service().Execute(t.Context(), out.TreeID, coordinator.ExecuteOptions{Force: true}); err != nil {
				t.Fatal(err)
			}
		}
		c.Settled(out.TreeID)
		same(t, fmt.Sprint("outputs of run ", run), c.Tasks("root")["root"].Outputs, fmt.Sprintf(`{"x":%d}`, run))
	}
}

// TestTemplatesAreRefused: what is wrong with templates is told at submission, all of it, and nothing is stored.
func TestTemplatesAreRefused(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	rest := noop("a", "root")
	rest.Executor, rest.Control = "rest_executor", &dag.Control{Template: true}
	rest.Inputs = json.RawMessage(`{"url":"{{deps.b.result}}","timeout":"{{deps.b.result.t}}","method":7}`)
	_, err := c.Service().Submit(ctx, coordinator.SubmitOptions{}, cluster.Seq([]*dag.Task{noop("root", "", "a"), rest}))
	for _, want := range []string{"tasks[1].inputs.url: \"{{deps.b.result}}\": the task does not depend on 'b'", "tasks[1].inputs.timeout: \"{{deps.b.result.t}}\"", "tasks[1].inputs.method"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := c.Service().Task(ctx, "root"); err == nil {
		t.Error("something was stored")
	}
}

// TestTemplatesNameNoSecrets: whatever a dependency returns, a template that puts it into an input makes it name no secret; and the text that it returns is
// never a template, wherever it goes.
func TestTemplatesNameNoSecrets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"token", "other"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("value of "+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var seen sync.Map
	reveal := executors.Func("reveal", func(ctx context.Context, in map[string]json.RawMessage) (any, error) {
		text, err := json.Marshal(in)
		seen.Store(executors.FromContext(ctx).TaskID, string(text))
		return nil, err
	}, executors.WithSecrets())
	c := cluster.Start(t, cluster.Options{Executors: func() []executors.Executor { return []executors.Executor{valueEcho(), reveal} },
		Worker: func(s *config.Worker) { s.SecretsDir = dir }})
	task := func(id, inputs string) *dag.Task {
		t := valued(id, "root", inputs, "", "bad")
		t.Executor = "reveal"
		return t
	}
	bad := valued("bad", "root", `{"return":{"id":{"secret":"other"},"deep":[{"x":{"secret":"other"}}],"text":"{{task.id}}","escaped":{"\u0073ecret":"other"}}}`, `{"id":"{{result.id}}"}`)
	bad.Control.Template = false
	out := c.Submit(coordinator.SubmitOptions{}, noop("root", "", "fine", "direct", "deep", "whole", "escaped", "output"), bad,
		task("fine", `{"h":{"auth":{"secret":"token"},"x":"{{deps.bad.result.text}}"}}`),
		task("direct", `{"h":{"auth":{"secret":"token"},"x":"{{deps.bad.result.id}}"}}`),
		task("deep", `{"h":[{"secret":"token"},"{{deps.bad.result.deep}}"],"k":{"secret":"token"}}`),
		task("whole", `{"h":"{{deps.bad.result.id}}"}`),
		task("escaped", `{"h":[{"secret":"token"},"{{deps.bad.result.escaped}}"]}`),
		task("output", `{"h":[{"secret":"token"},"{{deps.bad.outputs.id}}"]}`))
	if st := c.Settled(out.TreeID); st.Status != dag.StatusCompleted {
		t.Fatalf("%+v", st)
	}
	merged := `"bad":` + string(c.Tasks("root")["bad"].Result)
	for id, want := range map[string]string{
		"fine":    `{"h":{"auth":"value of token","x":"{{task.id}}"},` + merged + `}`,
		"direct":  `{"h":{"auth":{"secret":"token"},"x":{"secret":"other"}},` + merged + `}`,
		"deep":    `{"h":[{"secret":"token"},[{"x":{"secret":"other"}}]],"k":"value of token",` + merged + `}`,
		"whole":   `{"h":{"secret":"other"},` + merged + `}`,
		"escaped": `{"h":[{"secret":"token"},{"secret":"other"}],` + merged + `}`,
		"output":  `{"h":[{"secret":"token"},{"secret":"other"}],` + merged + `}`,
	} {
		got, _ := seen.Load(id)
		text, _ := got.(string)
		same(t, id, json.RawMessage(text), want)
	}
}

// TestTemplatesOfChangedTasks: an update of a task with templates is checked like a submission, and keeps what else the task says.
func TestTemplatesOfChangedTasks(t *testing.T) {
	t.Parallel()
	for name, seal := range map[string]bool{"plain": false, "sealed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := cluster.Start(t, cluster.Options{Executors: func() []executors.Executor { return []executors.Executor{valueEcho()} },
				Coordinator: func(s *config.Coordinator) {
					if seal {
						s.SealKey, s.SealValues = "c2VhbGVkIGluIGFsbCB0ZXN0cyBvZiBhIGNsdXN0ZXI=", true
					}
				}})
			out := c.Submit(coordinator.SubmitOptions{Hold: true}, valued("root", "", `{"x":"{{deps.a.outputs.n}}"}`, `{"x":"{{result.x}}"}`, "a"),
				valued("a", "root", `{"return":{"n":1}}`, `{"n":"{{result.n}}"}`), valued("b", "root", `{"return":{"n":2}}`, ""))
			update := func(change coordinator.TaskChange) error {
				_, err := c.Service().Update(t.Context(), "root", change)
				return err
			}
			for inputs, want := range map[string]string{
				`{"x":"{{deps.a.outputs.m}}"}`: `the outputs of 'a' are n`, `{"x":"{{deps.b.result}}"}`: `does not depend on 'b'`, `{"x":"{{"}`: `has no }} after it`,
				`{"h":{"secret":"{{inputs.x}}"}}`: `can't name a secret`,
			} {
				if err := update(coordinator.TaskChange{Inputs: json.RawMessage(inputs)}); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: got %v, want %s", inputs, err, want)
				}
			}
			if err := update(coordinator.TaskChange{HasDependencies: true, Dependencies: []dag.Dependency{{Ref: "b"}}}); err == nil || !strings.Contains(err.Error(), "does not depend on 'a'") {
				t.Errorf("got %v", err)
			}
			if err := update(coordinator.TaskChange{HasDependencies: true, Dependencies: []dag.Dependency{{Ref: "b"}}, Inputs: json.RawMessage(`{"x":"{{deps.b.result.n}}"}`)}); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Service().Execute(t.Context(), out.TreeID, coordinator.ExecuteOptions{}); err != nil {
				t.Fatal(err)
			}
			c.Settled(out.TreeID)
			same(t, "outputs", c.Tasks("root")["root"].Outputs, `{"x":2}`)
		})
	}
}
