package dag_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
)

// build is what the builder says of tasks: their faults by field, or nothing.
func build(t *testing.T, tasks ...*dag.Task) (faults []string) {
	t.Helper()
	b := dag.NewBuilder(dag.Limits{}, func() string { return "new" })
	for i, task := range tasks {
		if task.Name == "" {
			task.Name = task.ID
		}
		if i > 0 {
			task.ParentRef = tasks[0].ID
			if task.ParentRef == "" {
				task.ParentRef = tasks[0].Name
			}
		}
		if _, err := b.Add(task); err != nil {
			t.Fatal(err)
		}
	}
	_, err := b.Build()
	if bad, ok := errors.AsType[*dag.InvalidTreeError](err); ok {
		for _, p := range bad.Problems {
			if !strings.HasPrefix(p.Reason, fmt.Sprintf("tasks[%d].%s: ", p.Index, p.Field)) {
				t.Errorf("%s of task %d: %s", p.Field, p.Index, p.Reason)
			}
			_, reason, _ := strings.Cut(p.Reason, ": ")
			faults = append(faults, p.Field+" | "+reason)
		}
		if bad.More != 0 {
			t.Errorf("%d more", bad.More)
		}
	} else if err != nil {
		t.Fatal(err)
	}
	return faults
}

// templated is a task with templates that depends on others.
func templated(inputs string, outputs string, deps ...string) *dag.Task {
	c := &dag.Control{Template: inputs != ""}
	if outputs != "" {
		c.Outputs = json.RawMessage(outputs)
	}
	t := &dag.Task{ID: "root", Name: "root", Executor: "e", Control: c}
	if inputs != "" {
		t.Inputs = json.RawMessage(inputs)
	}
	for _, d := range deps {
		t.Dependencies = append(t.Dependencies, dag.Dependency{Ref: d})
	}
	return t
}

func TestTemplatesAreCheckedAtSubmission(t *testing.T) {
	t.Parallel()
	const missing, syntax, not = " (template.missing_key)", " (template.syntax)", " (template.not_allowed_here)"
	a := func() *dag.Task { return &dag.Task{ID: "a", Name: "first one", Executor: "e"} }
	b := func() *dag.Task {
		return &dag.Task{ID: "b-1", Name: "b", Executor: "e", Control: &dag.Control{Outputs: json.RawMessage(`{"n":1,"m":"{{result}}"}`)}}
	}
	for fact, row := range map[string]struct {
		task *dag.Task
		want []string
	}{
		"by id and by name":     {templated(`{"x":"{{deps.a.result.x.y}}{{deps.b.outputs.n}}{{deps.b.outputs}}{{deps.a.error:}}{{deps.a.outcome}}"}`, ``, "a", "b-1"), nil},
		"all roots":             {templated(`{"x":"{{inputs}}{{inputs.y}}{{task.id}}{{task.name}}{{task.attempt}}{{task.user_id}}{{tree.id}}{{tree.user_id}}{{parameters.p:}}{{schedule.id:}}{{schedule.fire_time:}}"}`, ``), nil},
		"result is for outputs": {templated(``, `{"a":"{{result}}","b":{"c":["{{result.x}}"]},"d":7}`), nil},
		"plain text":            {templated(`{"x":"${X} {} {% x %} }}","{{":1}`, ``), nil},
		"not a template":        {&dag.Task{ID: "root", Name: "root", Executor: "e", Inputs: json.RawMessage(`{"x":"{{deps.no.result}}"}`)}, nil},
		"a dependency that is none": {templated(`{"x":"{{deps.a.result}}","y":["{{deps.aa.result}}"]}`, `{"z":"{{deps.b.result:x}}"}`, "a"), []string{
			`inputs.y[0] | "{{deps.aa.result}}": the task does not depend on 'aa'; is 'a' meant?` + missing,
			`outputs.z | "{{deps.b.result:x}}": the task does not depend on 'b'` + missing,
		}},
		"wherever it is": {templated(`{"x":["{{deps.b.result}}","{{deps.b.result.x}}"],"y":"{{deps.b.result}}"}`, ``, "a"), []string{
			`inputs.x[0] | "{{deps.b.result}}": the task does not depend on 'b'` + missing,
			`inputs.x[1] | "{{deps.b.result.x}}": the task does not depend on 'b'` + missing,
			`inputs.y | "{{deps.b.result}}": the task does not depend on 'b'` + missing,
		}},
		"no dependencies": {templated(`{"x":"{{deps.a.result}}"}`, ``), []string{`inputs.x | "{{deps.a.result}}": the task does not depend on 'a': it has no dependencies` + missing}},
		"outputs": {templated(`{"x":"{{deps.a.outputs.n}}","y":"{{deps.b.outputs.k}}","z":"{{deps.a.outputs}}"}`, ``, "a", "b-1"), []string{
			`inputs.x | "{{deps.a.outputs.n}}": 'a' has no outputs` + missing,
			`inputs.y | "{{deps.b.outputs.k}}": the outputs of 'b' are m, n` + missing,
			`inputs.z | "{{deps.a.outputs}}": 'a' has no outputs` + missing,
		}},
		"all at once": {templated(`{"a":"{{","b":"{{deps}} {{deps.a}} {{task}} {{tree.x}}","c":{"{{deps.a.result}}":"{{env.X}}"},"d":"{{result}}","e":"{{deps.a.results}}{{deps.a.error.x}}"}`, `{"0":1,"a-b":"{{x}}"}`, "a"), []string{
			`inputs.a | "{{": has no }} after it` + syntax,
			`inputs.b | "{{deps}}": is no value: name one of its members` + syntax,
			`inputs.b | "{{deps.a}}": is no value: name one of its members` + syntax,
			`inputs.b | "{{task}}": is no value: task has id, name, attempt, user_id` + syntax,
			`inputs.b | "{{tree.x}}": tree has id, user_id` + missing,
			`inputs.c.{{deps.a.result}} | "{{deps.a.result}}": is a key, and keys are never templates` + not,
			`inputs.c.{{deps.a.result}} | "{{env.X}}": begins with none of deps, inputs, parameters, schedule, task, tree (template.unknown_root)`,
			`inputs.d | "{{result}}": begins with none of deps, inputs, parameters, schedule, task, tree (template.unknown_root)`,
			`inputs.e | "{{deps.a.results}}": a dependency has result, outputs, outcome, error` + missing,
			`inputs.e | "{{deps.a.error.x}}": error is a text, and has no members` + missing,
			`outputs | '0' must be letters, digits and _, with no digit first, so that templates can name it`,
			`outputs | 'a-b' must be letters, digits and _, with no digit first, so that templates can name it`,
			`outputs.a-b | "{{x}}": begins with none of deps, inputs, parameters, result, schedule, task, tree (template.unknown_root)`,
		}},
		"secrets": {templated(`{"headers":{"a":{"secret":"{{deps.a.result}}"},"b":{"secret":"x"},"c":[{"secret":"x{{task.id}}"}]},"connection":"{{inputs.c}}","allow_commands":"{{inputs.c}}",
			"executors":["{{inputs.c}}"],"secret":"{{task.id}}","d":{"secret":"{{task.id}}","x":1}}`, ``, "a"), []string{
			`inputs.allow_commands | "{{inputs.c}}": allow_commands allows what no value from elsewhere may: write it out` + not,
			`inputs.connection | "{{inputs.c}}": connection allows what no value from elsewhere may: write it out` + not,
			`inputs.executors[0] | "{{inputs.c}}": executors allows what no value from elsewhere may: write it out` + not,
			`inputs.headers.a.secret | "{{deps.a.result}}": a value from elsewhere can't name a secret: write its name out` + not,
			`inputs.headers.c[0].secret | "{{task.id}}": a value from elsewhere can't name a secret: write its name out` + not,
		}},
	} {
		got := build(t, row.task, a(), b())
		slices.Sort(row.want)
		sorted := slices.Sorted(slices.Values(got))
		if !slices.Equal(sorted, row.want) {
			t.Errorf("%s: got\n%s\nwant\n%s", fact, strings.Join(sorted, "\n"), strings.Join(row.want, "\n"))
		}
	}
}

// Whoever is meant by a name that two dependencies have, nobody can tell.
func TestAmbiguousNames(t *testing.T) {
	t.Parallel()
	root := templated(`{"x":"{{deps.same.result}}","y":"{{deps.c.result}}"}`, ``, "a", "b", "c")
	got := build(t, root, &dag.Task{ID: "a", Name: "same"}, &dag.Task{ID: "b", Name: "same"}, &dag.Task{ID: "c", Name: "x"}, &dag.Task{ID: "d", Name: "c"})
	if want := []string{`inputs.x | "{{deps.same.result}}": several dependencies have the name 'same': call the one that is meant by its id (template.missing_key)`}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	// without ids, names are what tasks are called by; a task that comes later, too
	root = templated(`{"x":"{{deps.later.result}}"}`, ``, "later", "later")
	root.ID = ""
	if got := build(t, root, &dag.Task{Name: "later"}); got != nil {
		t.Errorf("got %q", got)
	}
}

func TestTemplatesAreBounded(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	var deps []string
	tasks := []*dag.Task{nil}
	for i := range dag.MaxNamed + 1 {
		name := fmt.Sprintf("t%d", i)
		deps, tasks = append(deps, name), append(tasks, &dag.Task{ID: name})
		fmt.Fprintf(&text, "{{deps.%s.result}}{{deps.%s.result.x}}{{deps.%s.error:}}", name, name, name)
	}
	inputs, _ := json.Marshal(map[string]string{"x": text.String()})
	tasks[0] = templated(string(inputs), ``, deps...)
	if got := build(t, tasks...); len(got) != 1 || !strings.Contains(got[0], "256 dependencies") {
		t.Errorf("got %q", got)
	}
	tasks[0].Inputs = json.RawMessage(strings.ReplaceAll(string(inputs), "t256.", "t255."))
	if got := build(t, tasks...); got != nil {
		t.Errorf("got %q", got)
	}
}

// What results have written into inputs is data, and so is what templates have.
func TestTemplatedKeys(t *testing.T) {
	t.Parallel()
	submitted := `{"a":"{{x}}","b":{"c":["\u007b\u007bx}}"]},"d":"plain","e":"{{x}}","f":"{{x}}","task":"{{x}}"}`
	merged := `{"a":"{{x}}","b":{"c":["\u007b\u007bx}}"]},"d":"{{x}}","e":"{{y}}","f":7,"g":"{{x}}","task":"{{x}}"}`
	for executor, want := range map[string][]string{"e": {"a", "b", "task"}, "map_executor": {"a", "b"}} {
		if got := dag.Templated(executor, json.RawMessage(submitted), json.RawMessage(merged)); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", executor, got, want)
		}
	}
}

func TestStaysSubmitted(t *testing.T) {
	t.Parallel()
	value := func(text string) (v any) {
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, row := range []struct {
		name, before, after string
		want                bool
	}{
		{"h", `{"a":{"secret":"s"},"b":"x{{y}}"}`, `{"a":{"secret":"s"},"b":"xz"}`, true},
		{"h", `{"a":{"secret":"s"},"b":"{{y}}"}`, `{"a":{"secret":"s"},"b":{"n":[1]}}`, true},
		{"h", `{"a":{"secret":"s"},"b":"{{y}}"}`, `{"a":{"secret":"s"},"b":{"secret":"other"}}`, false},
		{"h", `{"a":{"secret":"s"},"b":["{{y}}"]}`, `{"a":{"secret":"s"},"b":[[{"x":{"secret":"other"}}]]}`, false},
		{"h", `{"a":{"secret":"{{y}}"}}`, `{"a":{"secret":"s"}}`, false},
		{"h", `"{{y}}"`, `{"secret":"s"}`, false},
		{"connection", `"{{y}}"`, `"shop"`, false},
		{"connection", `"shop"`, `"shop"`, true},
		{"allow_commands", `["{{y}}"]`, `["rm"]`, false},
	} {
		if got := dag.StaysSubmitted(row.name, value(row.before), value(row.after)); got != row.want {
			t.Errorf("%s from %s to %s: got %v", row.name, row.before, row.after, got)
		}
	}
}

// A worker is sent what is named, and nothing else.
func TestScope(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 10000)
	c := &dag.Control{Template: true, Outputs: json.RawMessage(`{"o":"{{deps.a.result.list}} {{deps.b.outcome}}"}`)}
	inputs := `{"x":"{{deps.a.result.in.n}} {{deps.a.result.stdout}} {{deps.first.error:}}","y":["{{deps.f.result.x:d}}{{deps.f.error}}{{deps.f.outcome}}"],"z":"{{deps.b.outputs.k}}{{deps.s.result.reason:}}{{deps.n.result}}"}`
	paths := c.ValuePaths("e", json.RawMessage(inputs))
	if want := []string{"a", "b", "f", "first", "n", "s"}; !slices.Equal(paths.Names(), want) {
		t.Fatalf("got %q, want %q", paths.Names(), want)
	}
	got := paths.Scope([]dag.DependencyValue{
		{Ref: "a", Name: "first", State: dag.Completed, Result: json.RawMessage(`{ "big":"` + big + `","in":{"n":1.50,"m":2}, "list" : [1, 2],"stdout":"s","truncated_fields":["stdout"]}`)},
		{Ref: "b-1", Name: "b", State: dag.Completed, Result: json.RawMessage(`1`), Outputs: json.RawMessage(`{"k":"v","l":"w"}`)},
		{Ref: "f", Name: "f", State: dag.Failed, Error: "it broke", Result: json.RawMessage(`{"x":1}`)},
		{Ref: "s", Name: "s", State: dag.Skipped, Result: json.RawMessage(`{"skipped":true,"reason":"r"}`)},
		{Ref: "n", Name: "n", State: dag.Completed},
	})
	want := `{"deps":{"a":{"result":{"in":{"n":1.50},"list":[1, 2],"stdout":"s","truncated_fields":["stdout"]}},"b":{"outcome":"success","outputs":{"k":"v"}},` +
		`"f":{"outcome":"failed","error":"it broke"},"first":{"error":""},"n":{"result":null},"s":{}}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if none := (&dag.Control{Template: true}).ValuePaths("e", json.RawMessage(`{"x":"{{inputs.y}}"}`)); none != nil {
		t.Errorf("got %q", none.Names())
	}
}

// FuzzScope: whatever a result holds, what is picked of it is JSON, and as it was.
func FuzzScope(f *testing.F) {
	f.Add(`{"a":{"b":[1,{"c":"}"}]},"truncated_fields":["a"],"d":"\"{"}`, "a.b")
	f.Fuzz(func(t *testing.T, result, path string) {
		if !json.Valid([]byte(result)) {
			return
		}
		c := &dag.Control{Template: true}
		inputs, _ := json.Marshal(map[string]string{"x": "{{deps.d.result." + path + "}}{{deps.d.outcome}}"})
		paths := c.ValuePaths("e", inputs)
		if paths == nil {
			return
		}
		scope := paths.Scope([]dag.DependencyValue{{Ref: "d", State: dag.Completed, Result: json.RawMessage(result)}})
		var whole struct {
			Deps struct {
				D struct {
					Outcome string
					Result  any
				}
			}
		}
		if err := json.Unmarshal(scope, &whole); err != nil || whole.Deps.D.Outcome != "success" {
			t.Fatalf("%s of %s: %s, %v", path, result, scope, err)
		}
	})
}

// TestItemsAreNamedWhereThereAreSome: item and index are names in what is made for items, and nowhere else.
func TestItemsAreNamedWhereThereAreSome(t *testing.T) {
	task := func() *dag.Task {
		return &dag.Task{ID: "a", Name: "a", Executor: "noop", Inputs: json.RawMessage(`{"x":"{{item.y}} {{index}}"}`), Control: &dag.Control{Template: true, Outputs: json.RawMessage(`{"o":"{{item}}"}`)}}
	}
	want := []string{
		`inputs.x | "{{item.y}}": begins with none of deps, inputs, parameters, schedule, task, tree (template.unknown_root)`,
		`inputs.x | "{{index}}": begins with none of deps, inputs, parameters, schedule, task, tree (template.unknown_root)`,
		`outputs.o | "{{item}}": begins with none of deps, inputs, parameters, result, schedule, task, tree (template.unknown_root)`,
	}
	slices.Sort(want)
	got := build(t, task())
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	made := task()
	made.Control.Item = json.RawMessage(`{"y":1}`)
	b := dag.NewBuilder(dag.Limits{}, func() string { return "new" }).ForItems()
	if _, err := b.Add(task()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Build(); err != nil {
		t.Errorf("for items: %v", err)
	}
	if got := build(t, made); len(got) > 0 {
		t.Errorf("of an item: %q", got)
	}
}
