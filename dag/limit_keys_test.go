package dag_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// limitKeys are the keys of what a task asks for, in their order.
func limitKeys(l *dag.Limiting) (keys []string) {
	for _, k := range l.Keys() {
		keys = append(keys, *k)
	}
	return keys
}

// TestKeysAreRendered over inputs as they are submitted, the task and its tree; what they put there is no template, and what was submitted is kept.
func TestKeysAreRendered(t *testing.T) {
	task := &dag.Task{Name: "n", Executor: "e", Inputs: json.RawMessage(`{"customer":"acme","n":7,"b":true,"data":"{{inputs.n}}","deep":{"x":["y"],"z":1.50}}`)}
	id := dag.Identity{Task: "t", Tree: "r", User: "u"}
	for key, want := range map[string]string{
		"plain":                            "plain",
		"} {":                              "} {",
		"c-{{inputs.customer}}":            "c-acme",
		"{{inputs.n}}/{{inputs.b}}":        "7/true",
		"{{ inputs.deep.z }}":              "1.50",
		"{{inputs.data}}":                  "{{inputs.n}}",
		"{{inputs.missing:none}}":          "none",
		"{{task.id}}-{{task.name}}":        "t-n",
		"{{tree.id}}{{tree.user_id}}":      "ru",
		"{{task.user_id}}@{{inputs.n}}":    "u@7",
		"{{tree.user_id:nobody}}":          "u",
		"a{{task.id}}b{{inputs.customer}}": "atbacme",
	} {
		submitted := &dag.Limiting{Limits: []dag.Limit{{Key: key, Max: 3, Cost: 2}}, Lock: &dag.Lock{Key: key, OnContention: dag.SkipOnContention},
			Rates: []dag.Rate{{Key: key, Per: time.Minute, Max: 5}}}
		task.Limiting = submitted
		got, faults := task.LimitFaults(id)
		if len(faults) > 0 || !slices.Equal(limitKeys(got), []string{want, want, want}) {
			t.Errorf("%s: got %q, %q, want %q", key, limitKeys(got), faults, want)
			continue
		}
		if !slices.Equal(limitKeys(submitted), []string{key, key, key}) {
			t.Errorf("%s: what was submitted has changed: %q", key, limitKeys(submitted))
		}
		stored, err := dag.ReadLimiting(got.Stored())
		if err != nil || string(stored.Stored()) != string(got.Stored()) {
			t.Errorf("%s: stored as %s, read as %s, %v", key, got.Stored(), stored.Stored(), err)
		}
		if again := stored.AsSubmitted(); string(again.Stored()) != string(submitted.Stored()) {
			t.Errorf("%s: submitted %s, shown as %s", key, submitted.Stored(), again.Stored())
		}
		if want := strings.Contains(key, "id}}") || strings.Contains(key, "tree."); stored.NamesIdentity() != want {
			t.Errorf("%s: names the task or its tree: %t", key, stored.NamesIdentity())
		}
	}
}

// TestOwnersOfKeys: a key may name the owner of a tree if it has one, by a task's word or the submission's.
func TestOwnersOfKeys(t *testing.T) {
	faults := func(owner string, known bool, tasks ...*dag.Task) string {
		b := dag.NewBuilder(dag.Limits{}, func() string { return "new" })
		if known {
			b.OwnedBy(owner)
		}
		for _, task := range tasks {
			if _, err := b.Add(task); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := b.Build(); err != nil {
			return err.Error()
		}
		return ""
	}
	root := func(user string) *dag.Task {
		return &dag.Task{Name: "root", Executor: "e", UserID: user, Limiting: &dag.Limiting{Limits: []dag.Limit{{Key: "u-{{tree.user_id}}", Max: 1}}}}
	}
	if got := faults("", true, root("")); !strings.Contains(got, `tasks[0].limits[0].key: "{{tree.user_id}}": nothing is there`) {
		t.Errorf("nobody's tree: %q", got)
	}
	for name, got := range map[string]string{"a task's word": faults("", true, root("u")), "the submission's": faults("u", true, root("")), "not known": faults("", false, root("")),
		"another task's": faults("", true, root(""), &dag.Task{Name: "a", ParentRef: "root", UserID: "u"})} {
		if got != "" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestLimitsNeedTheirLevel, and are part of what makes two tasks the same.
func TestLimitsNeedTheirLevel(t *testing.T) {
	task := &dag.Task{Name: "a", Executor: "e"}
	if got := dag.AllLevels.Needed(task); got != dag.BaseLevel {
		t.Errorf("a plain task needs level %d", got)
	}
	for _, l := range []*dag.Limiting{{Limits: []dag.Limit{{Key: "k", Max: 1}}}, {Lock: &dag.Lock{Key: "k"}}, {Rates: []dag.Rate{{Key: "k", Per: time.Second, Max: 1}}}} {
		task.Limiting = l
		if got := dag.AllLevels.Needed(task); got != dag.LimitsLevel {
			t.Errorf("%s needs level %d", l.Stored(), got)
		}
		if task.Beyond()&dag.FlagLimited == 0 || len(task.AppendBeyond(nil)) == 0 {
			t.Errorf("%s: flags %b, compared by %q", l.Stored(), task.Beyond(), task.AppendBeyond(nil))
		}
	}
	task.Limiting = &dag.Limiting{}
	if dag.AllLevels.Needed(task) != dag.BaseLevel || task.Beyond() != 0 || task.AppendBeyond(nil) != nil || task.Limiting.Stored() != nil {
		t.Error("what asks for nothing is no plain task")
	}
}

// TestRulesOfOperators: what is judged by them, and how.
func TestRulesOfOperators(t *testing.T) {
	for _, tc := range []struct {
		limit dag.Limit
		max   int32
		ruled bool
		want  string
	}{
		{dag.Limit{Key: "k", Max: 5}, 0, false, ""},
		{dag.Limit{Key: "k"}, 3, true, ""},
		{dag.Limit{Key: "k"}, 0, true, ""}, // paused
		{dag.Limit{Key: "k", Cost: 4}, 0, true, ""},
		{dag.Limit{Key: "k"}, 0, false, `max: is required, as no operator has set one for the key "k"`},
		{dag.Limit{Key: "u-amy", From: "u-{{tree.user_id}}"}, 3, true, ""},
		{dag.Limit{Key: "t-7", From: "t-{{task.id}}"}, 3, true, "max: is required, as the key names an id, which is known only when the tree is stored"},
		{dag.Limit{Key: "t-7", From: "t-{{tree.id}}", Max: 3}, 0, false, ""},
		{dag.Limit{Key: "{{inputs.x}}", From: "{{inputs.y}}"}, 0, false, `max: is required, as no operator has set one for the key "{{inputs.x}}"`},
		{dag.Limit{Key: "{{inputs.x}}"}, 0, false, ""}, // could not be rendered, which is told
		{dag.Limit{Key: "a\x00"}, 0, false, ""},
		{dag.Limit{Key: "k", Cost: 4}, 3, true, `cost: must be at most 3, which an operator has set for the key "k", got 4: it would wait for ever`},
		{dag.Limit{Key: "k", Max: 9, Cost: 4}, 3, true, `cost: must be at most 3, which an operator has set for the key "k", got 4: it would wait for ever`},
	} {
		field, reason := tc.limit.RuleFault(tc.max, tc.ruled)
		if got := strings.TrimSuffix(field+": "+reason, ": "); got != tc.want {
			t.Errorf("%+v by %d, %t: got %q, want %q", tc.limit, tc.max, tc.ruled, got, tc.want)
		}
		l := &dag.Limiting{Limits: []dag.Limit{{Key: "other", Max: 1}, tc.limit}}
		if got, want := l.Unbounded(), tc.limit.Max == 0 || tc.limit.Cost > 1; len(got) == 1 != want {
			t.Errorf("%+v: judged by rules: %v", tc.limit, got)
		}
	}
}
