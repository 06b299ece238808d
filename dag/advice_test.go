package dag

import (
	"errors"
	"strings"
	"testing"
)

// TestEveryFaultOfATreeSaysWhatToDo has a tree for each place of a report.
func TestEveryFaultOfATreeSaysWhatToDo(t *testing.T) {
	many := []*Task{node("a", "")}
	for range 3 {
		many = append(many, node(string(rune('b'+len(many))), "a"))
	}
	trees := map[place]struct {
		tasks []*Task
		want  string
	}{
		atOwner:         {[]*Task{with(node("a", ""), func(t *Task) { t.UserID = "u1" }), with(node("b", "a"), func(t *Task) { t.UserID = "u2" })}, "Keep one of them, or submit a tree for each"},
		atLarge:         {many, "submit it as several trees"},
		atEmpty:         {nil, "Submit one task at least"},
		atName:          {[]*Task{{ID: "a"}}, "must have a 'name' field"},
		atField:         {[]*Task{with(node("a", ""), func(t *Task) { t.Priority = 9 })}, "must be 0 to 3"},
		atMixed:         {[]*Task{node("a", ""), unnamed("b", "a"), node("c", "a")}, "Give 'b' at index 1 an id"},
		atDuplicateID:   {[]*Task{node("a", ""), node("b", "a"), node("b", "a")}, "Give each task an id of its own (it is the id at index 1 too)"},
		atDuplicateName: {[]*Task{unnamed("a", ""), unnamed("b", "a"), unnamed("b", "a")}, "give it another name, or give all tasks ids"},
		atParent:        {[]*Task{node("a", ""), node("b", "x")}, "add that task, or name another parent"},
		atReference:     {[]*Task{with(node("a", ""), func(t *Task) { t.Dependencies = []Dependency{{}} })}, "must have 'id' or 'name' field"},
		atDependency:    {[]*Task{node("a", ""), node("b", "a", "x")}, "add that task, or remove the dependency"},
		atCycle:         {[]*Task{node("a", "", "b"), node("b", "a", "a")}, "remove one of these dependencies"},
		atNoRoot:        {[]*Task{node("a", "a")}, "remove it from the one that all others hang from"},
		atManyRoots:     {[]*Task{node("a", ""), node("b", "")}, `add a common root, {"id":"root","name":"root"}, and give each of these the parent_id 'root'`},
		atUnreachable:   {[]*Task{node("a", ""), node("b", "c"), node("c", "b")}, "let one of them name a task that hangs from the root"},
	}
	for at := range places {
		c, ok := trees[at]
		if !ok {
			t.Errorf("place %d has no tree here", at)
			continue
		}
		_, err := build(Limits{Tasks: 3}, c.tasks...)
		bad, ok := errors.AsType[*InvalidTreeError](err)
		if !ok || !strings.Contains(bad.Problems[0].Reason, c.want) {
			t.Errorf("place %d: %v, want it to say %q", at, err, c.want)
		}
	}
}

func TestAReferenceThatLeadsNowhereNamesWhatWasMeant(t *testing.T) {
	for name, c := range map[string]struct {
		tasks []*Task
		want  string
	}{
		"a misspelt dependency":          {[]*Task{node("root", ""), node("fetch-orders", "root"), node("c", "root", "fetch_order")}, "did you mean 'fetch-orders'?"},
		"a misspelt parent":              {[]*Task{node("parent", ""), node("b", "parnet")}, "did you mean 'parent'?"},
		"a name where tasks have ids":    {[]*Task{node("root", ""), node("b", "root", "ROOT")}, "'ROOT' is the name of a task with an id; refer to it by that, 'root'."},
		"names, two roots":               {[]*Task{unnamed("x", ""), unnamed("y", "")}, `add a common root, {"name":"root"},`},
		"ids that are few":               {[]*Task{node("a", ""), unnamed("b", "A"), unnamed("c", "A")}, "Remove the ids, such as that of 'A' at index 0"},
		"nothing is near a tree of many": {append(wideTree(maxCompared), node("c", "0", "fetch_order")), "add that task, or remove the dependency."},
	} {
		_, err := build(Limits{}, c.tasks...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want it to say %q", name, err, c.want)
		}
	}
}

func wideTree(n int) []*Task {
	tasks := []*Task{node("0", "")}
	for len(tasks) < n {
		tasks = append(tasks, node("fetch-order"+strings.Repeat("x", len(tasks)%50+5)+string(rune('一'+len(tasks))), "0"))
	}
	return tasks
}

func TestFaultsOfTheReaderAreReportedWithOthers(t *testing.T) {
	misread := func(t *Task, fields ...string) *Task {
		for _, field := range fields {
			t.Faults = append(t.Faults, &InvalidTaskError{Code: InvalidField, Field: field, Reason: field + ": is wrong"})
		}
		return t
	}
	for name, c := range map[string]struct {
		tasks []*Task
		want  []string
	}{
		"beside a fault of the graph":         {[]*Task{misread(node("a", "", "b"), "priority"), node("b", "a", "a")}, []string{"priority: is wrong", "Circular dependency"}},
		"a name is not missing, too":          {[]*Task{misread(&Task{ID: "a"}, "name")}, []string{"name: is wrong"}},
		"no shape without knowing who is who": {[]*Task{misread(&Task{Name: "a"}, "id"), node("b", "7"), node("c", "", "c")}, []string{"id: is wrong"}},
		"nor with unknown dependencies":       {[]*Task{misread(node("a", ""), "dependencies[3].id"), node("c", "", "c")}, []string{"dependencies[3].id: is wrong"}},
		"but all fields":                      {[]*Task{misread(node("a", ""), "parent_id"), with(node("c", "nowhere"), func(t *Task) { t.Pool = "?" })}, []string{"parent_id: is wrong", "tasks[1].pool: must be"}},
	} {
		_, err := build(Limits{}, c.tasks...)
		bad, ok := errors.AsType[*InvalidTreeError](err)
		if !ok || len(bad.Problems) != len(c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
			continue
		}
		for i, want := range c.want {
			if !strings.HasPrefix(bad.Problems[i].Reason, want) {
				t.Errorf("%s: fault %d is %q, want %q", name, i, bad.Problems[i].Reason, want)
			}
		}
	}
}
