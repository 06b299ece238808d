package pg

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// asksFor is a task that asks for a limit under a key.
func asksFor(name, parent, key string, max, cost int32) *dag.Task {
	return &dag.Task{Name: name, ParentRef: parent, Executor: "e", Inputs: []byte(`{"customer":"acme","name":"` + name + `"}`),
		Limiting: &dag.Limiting{Limits: []dag.Limit{{Key: key, Max: max, Cost: cost}}}}
}

// storedLimits are the texts of what tasks ask for, by their names.
func storedLimits(t *testing.T, admin *pgx.Conn) map[string]string {
	t.Helper()
	rows, err := admin.Query(t.Context(), "select name, limits::text from spec where limits is not null")
	must(t, err)
	out := map[string]string{}
	var name, text string
	_, err = pgx.ForEachRow(rows, []any{&name, &text}, func() error {
		out[name] = text
		return nil
	})
	must(t, err)
	return out
}

// TestLimitsAreStoredRendered, by each way that trees are stored, with ids that were replaced; what asks for nothing has nothing.
func TestLimitsAreStoredRendered(t *testing.T) {
	s, admin := openBatches(t)
	for _, n := range []int{1, smallTasks + 1} {
		name := fmt.Sprintf("of %d", n)
		var ids []string
		for try := range 2 { // the second time the ids are taken
			tasks := []*dag.Task{{ID: name, Name: name, Executor: "e", Limiting: &dag.Limiting{Limits: []dag.Limit{{Key: "c-{{inputs.customer}}", Max: 5}, {Key: "plain", Max: 1, Cost: 1}},
				Lock:  &dag.Lock{Key: "{{tree.id}}/{{task.id}}/{{tree.user_id}}", OnContention: dag.FailOnContention},
				Rates: []dag.Rate{{Key: "{{task.name}}", Per: time.Minute, Max: 100, Burst: 3}}}, Inputs: []byte(`{"customer":"acme"}`)}}
			for i := 1; i < n; i++ {
				tasks = append(tasks, &dag.Task{ID: fmt.Sprintf("%s-%d", name, i), Name: "other", ParentRef: name, Executor: "e"})
			}
			out, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, treeOf(tasks...))
			must(t, err)
			if ids = append(ids, out.RootID); try == 1 && ids[0] == ids[1] {
				t.Error("the id was not replaced")
			}
			shown, err := s.Task(t.Context(), dag.DefaultNamespaceKey, out.RootID)
			must(t, err)
			want := fmt.Sprintf(`{"limits":[{"key":"c-acme","max":5,"from":"c-{{inputs.customer}}"},{"key":"plain","max":1,"cost":1}],`+
				`"lock":{"key":"%[1]s/%[1]s/u","on_contention":1,"from":"{{tree.id}}/{{task.id}}/{{tree.user_id}}"},`+
				`"rates":[{"key":"%[2]s","per":60000000000,"max":100,"burst":3,"from":"{{task.name}}"}]}`, out.RootID, name)
			if got := string(shown.Limiting.Stored()); got != want || shown.Flags&dag.FlagLimited == 0 {
				t.Errorf("%s: stored\n%s\nwant\n%s", name, got, want)
			}
		}
	}
	if got := storedLimits(t, admin); len(got) != 2 {
		t.Errorf("stored %q", got)
	}
}

// TestLimitsWithoutAMax are refused unless an operator has set one, all at once with what else is wrong, and nothing is stored; so are those that cost
// more than that.
func TestLimitsWithoutAMax(t *testing.T) {
	s, admin := openBatches(t)
	_, err := admin.Exec(t.Context(), `insert into limit_rule (namespace, kind, key, max, set_by) values (0, 1, 'c-acme', 3, 'op'), (0, 3, 'rate', 3, 'op'), (5, 1, 'elsewhere', 3, 'op')`)
	must(t, err)
	for name, n := range map[string]int{"small": 0, "large": smallTasks} {
		tasks := []*dag.Task{asksFor("root", "", "c-{{inputs.customer}}", 0, 3), asksFor("none", "root", "c-{{inputs.name}}", 0, 0), asksFor("own", "root", "own", 4, 4),
			asksFor("dear", "root", "c-acme", 0, 4), asksFor("dearer", "root", "c-acme", 9, 5), asksFor("of a rate", "root", "rate", 0, 0), asksFor("elsewhere", "root", "elsewhere", 0, 0),
			asksFor("of the tree", "root", "{{tree.id}}", 0, 0), {Name: "wrong", ParentRef: "root", Executor: "e", Priority: 9}}
		for i := range n {
			tasks = append(tasks, asksFor(fmt.Sprint("more", i), "root", "c-acme", 0, 0))
		}
		_, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, treeOf(tasks...))
		bad, ok := errors.AsType[*dag.InvalidTreeError](err)
		if !ok {
			t.Fatalf("%s: got %v", name, err)
		}
		var got []string
		for _, p := range bad.Problems {
			path, _, _ := strings.Cut(p.Reason, ": ")
			got = append(got, path)
		}
		slices.Sort(got)
		want := []string{"tasks[1].limits[0].max", "tasks[3].limits[0].cost", "tasks[4].limits[0].cost", "tasks[5].limits[0].max", "tasks[6].limits[0].max", "tasks[7].limits[0].max", "tasks[8].priority"}
		if !slices.Equal(got, want) {
			t.Errorf("%s: faults of %q, want %q", name, got, want)
		}
	}
	if got := storedLimits(t, admin); len(got) != 0 {
		t.Errorf("stored %q", got)
	}
	out, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, treeOf(asksFor("root", "", "c-{{inputs.customer}}", 0, 3)))
	must(t, err)
	if out.Tasks != 1 {
		t.Errorf("got %+v", out)
	}
	if faults, err := s.LimitFaults(t.Context(), dag.DefaultNamespaceKey, []UnboundedLimit{{"items[1].limits[0]", dag.Limit{Key: "c-acme"}}, {"items[2].limits[0]", dag.Limit{Key: "x"}}}); err != nil ||
		!slices.Equal(faults, []string{`items[2].limits[0].max: is required, as no operator has set one for the key "x"`}) {
		t.Errorf("got %q, %v", faults, err)
	}
}

// TestLimitsOfOneSubmission: what tasks ask for is part of what an idempotency key stands for.
func TestLimitsOfOneSubmission(t *testing.T) {
	s, _ := openBatches(t)
	_, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, keyed("k", treeOf(asksFor("root", "", "a", 1, 0))))
	must(t, err)
	for _, cost := range []int32{0, 1} { // without one it is 1
		if out, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, keyed("k", treeOf(asksFor("root", "", "a", 1, cost)))); err != nil || !out.Replayed {
			t.Errorf("the same, cost %d: got %+v, %v", cost, out, err)
		}
	}
	for name, task := range map[string]*dag.Task{"another key": asksFor("root", "", "b", 1, 0), "another max": asksFor("root", "", "a", 2, 0), "none": {Name: "root", Executor: "e", Inputs: asksFor("root", "", "", 0, 0).Inputs}} {
		if _, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, keyed("k", treeOf(task))); !errors.Is(err, ErrDigest) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestLimitsOfCopies: a copy asks for what its original does, but under keys that name it or its tree, where those do.
func TestLimitsOfCopies(t *testing.T) {
	s, _ := openBatches(t)
	task := asksFor("root", "", "c-{{inputs.customer}}", 5, 0)
	task.Limiting.Lock = &dag.Lock{Key: "{{tree.id}}-{{inputs.customer}}"}
	sub := treeOf(task)
	sub.Hold = true
	out, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, sub)
	must(t, err)
	copied, err := s.Copy(t.Context(), Copying{Namespace: dag.DefaultNamespaceKey, Target: out.Tree.Key(0), Mode: dag.CopyFull})
	must(t, err)
	shown, err := s.Task(t.Context(), dag.DefaultNamespaceKey, copied.RootID)
	must(t, err)
	want := fmt.Sprintf(`{"limits":[{"key":"c-acme","max":5,"from":"c-{{inputs.customer}}"}],"lock":{"key":"%s-acme","from":"{{tree.id}}-{{inputs.customer}}"}}`, copied.RootID)
	if got := string(shown.Limiting.Stored()); got != want || shown.Flags&dag.FlagLimited == 0 {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestLimitsChange: an update gives a task other limits, or none, and renders keys anew of inputs and names that it changes; all its faults are told, and nothing
// changes then.
func TestLimitsChange(t *testing.T) {
	e := newEditSite(t, true, "root", "a")
	_, err := e.other.pool.Exec(t.Context(), "update worker set level = $1", dag.LimitsLevel)
	must(t, err)
	asks := func(want string) {
		t.Helper()
		shown, err := e.s.Task(t.Context(), dag.DefaultNamespaceKey, "a")
		must(t, err)
		if got := string(shown.Limiting.Stored()); got != want || (want != "") != (shown.Flags&dag.FlagLimited != 0) {
			t.Errorf("got %s, flags %b, want %s", got, shown.Flags, want)
		}
	}
	asks("")
	e.change("a", dag.Change{HasLimits: true, Limiting: &dag.Limiting{Limits: []dag.Limit{{Key: "n-{{inputs.n}}-{{task.name}}", Max: 5}}}})
	asks(`{"limits":[{"key":"n-1-name of a","max":5,"from":"n-{{inputs.n}}-{{task.name}}"}]}`)
	e.change("a", dag.Change{HasLock: true, Limiting: &dag.Limiting{Lock: &dag.Lock{Key: "{{tree.id}}"}}, Inputs: []byte(`{"n":2}`), Name: new("b")})
	asks(`{"limits":[{"key":"n-2-b","max":5,"from":"n-{{inputs.n}}-{{task.name}}"}],"lock":{"key":"root","from":"{{tree.id}}"}}`)
	for want, change := range map[string]dag.Change{
		"Cannot update 'limits[0].key': \"{{inputs.n}}\": the inputs have no such value": {Inputs: []byte(`{}`)},
		"Cannot update 'limits[0].max': is required, as no operator":                     {HasLimits: true, Limiting: &dag.Limiting{Limits: []dag.Limit{{Key: "k"}}}},
		"Cannot update 'limits[1].max': is required, as no operator":                     {HasLimits: true, Limiting: &dag.Limiting{Limits: []dag.Limit{{Key: "{{inputs.z}}", Max: 1}, {Key: "k"}}}},
		"Cannot update 'rates[0].per': must be second, minute or hour":                   {HasRates: true, Limiting: &dag.Limiting{Rates: []dag.Rate{{Key: "k", Max: 1}}}},
		"Cannot update 'limits': a group, which runs nothing, asks for nothing":          {Schemas: []byte(`{}`), Params: []byte(`{}`)},
	} {
		_, err := e.s.Update(t.Context(), e.key("a"), Update{Change: change})
		if refused, ok := errors.AsType[*Refused](err); !ok || !slices.ContainsFunc(refused.Faults, func(f string) bool { return strings.HasPrefix(f, want) }) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	asks(`{"limits":[{"key":"n-2-b","max":5,"from":"n-{{inputs.n}}-{{task.name}}"}],"lock":{"key":"root","from":"{{tree.id}}"}}`)
	e.change("a", dag.Change{HasLimits: true})
	asks(`{"lock":{"key":"root","from":"{{tree.id}}"}}`)
	e.change("a", dag.Change{HasLock: true, HasRates: true})
	asks("")
}
