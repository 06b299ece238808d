package dag

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// counter makes ids id-1, id-2 and so on.
func counter() func() string {
	n := 0
	return func() string { n++; return fmt.Sprintf("id-%d", n) }
}

func build(limits Limits, tasks ...*Task) (*Graph, error) {
	b := NewBuilder(limits, counter())
	for _, t := range tasks {
		if _, err := b.Add(t); err != nil {
			break // Build reports it too
		}
	}
	return b.Build()
}

// node is a task by id; deps are ids, optional ones with a ? behind.
func node(id, parent string, deps ...string) *Task {
	t := &Task{ID: id, Name: strings.ToUpper(id), ParentRef: parent, Priority: Normal}
	for _, d := range deps {
		ref, optional := strings.CutSuffix(d, "?")
		t.Dependencies = append(t.Dependencies, Dependency{Ref: ref, Optional: optional})
	}
	return t
}

// unnamed is a task by name alone.
func unnamed(name, parent string, deps ...string) *Task {
	t := node(name, parent, deps...)
	t.ID, t.Name = "", name
	return t
}

func with(t *Task, change func(*Task)) *Task {
	change(t)
	return t
}

func TestBuildRefuses(t *testing.T) {
	const many = 150
	chain := []*Task{node("t0", "", fmt.Sprintf("t%d", many-1))}
	for i := 1; i < many; i++ {
		chain = append(chain, node(fmt.Sprintf("t%d", i), "t0", fmt.Sprintf("t%d", i-1)))
	}
	for name, c := range map[string]struct {
		tasks []*Task
		want  []string // beginnings of the reasons, in order
	}{
		"2.2: several owners": {
			[]*Task{with(node("a", ""), func(t *Task) { t.UserID = "u1" }), node("b", "a"), with(node("c", "a"), func(t *Task) { t.UserID = "u2" })},
			[]string{"All tasks must have the same user_id. Found multiple user_ids: {'u1', 'u2'}"},
		},
		"1: nothing": {nil, []string{"Tasks array cannot be empty"}},
		"2: no name": {
			[]*Task{node("a", ""), {ID: "b", ParentRef: "a"}, {ID: "c", ParentRef: "a"}},
			[]string{"Task at index 1 must have a 'name' field", "Task at index 2 must have a 'name' field"},
		},
		"2: neither name nor id": {[]*Task{{}}, []string{"Task at index 0 must have a 'name' field"}},
		"3: some ids": {
			[]*Task{node("a", ""), unnamed("b", "a"), node("c", "a")},
			[]string{"Mixed mode not supported: either all tasks must have 'id', or all tasks must not have 'id'. Found 2 tasks with id and 1 tasks without id."},
		},
		"3: an id that is another's name is no duplicate": {
			[]*Task{node("a", ""), unnamed("a", "a")},
			[]string{"Mixed mode not supported"},
		},
		"4: ids repeated": {
			[]*Task{node("a", ""), node("b", "a"), node("b", "a"), node("b", "a")},
			[]string{"Duplicate task id 'b' at index 2", "Duplicate task id 'b' at index 3"},
		},
		"5: names repeated, without ids": {
			[]*Task{unnamed("a", ""), unnamed("b", "a"), unnamed("b", "a")},
			[]string{"Task at index 2 has no 'id' but name 'b' is not unique. "},
		},
		"6: parent unknown": {
			[]*Task{node("a", ""), node("b", "x")},
			[]string{"Task 'B' at index 1 has parent_id 'x' which is not in the tasks array (not found as id or name). "},
		},
		"6: with ids, a name is no parent": {
			[]*Task{node("a", ""), node("b", "A")},
			[]string{"Task 'B' at index 1 has parent_id 'A' which is not in the tasks array (not found as id or name). "},
		},
		"7: dependency without reference": {
			[]*Task{with(node("a", ""), func(t *Task) { t.Dependencies = []Dependency{{}} })},
			[]string{"Task 'A' dependency must have 'id' or 'name' field"},
		},
		"8: dependency unknown, object form": {
			[]*Task{node("a", ""), node("b", "a", "x")},
			[]string{"Task 'B' at index 1 has dependency reference 'x' which is not in the tasks array (not found as id or name)"},
		},
		"8: dependency unknown, string form": {
			[]*Task{with(node("a", ""), func(t *Task) { t.Dependencies = []Dependency{{Ref: "x", Legacy: true}} })},
			[]string{"Task 'A' at index 0 has dependency 'x' which is not in the tasks array (not found as id or name)"},
		},
		"8: with ids, a name is no dependency": {
			[]*Task{with(node("a", ""), func(t *Task) { t.Dependencies = []Dependency{{Ref: "B", ByName: true}} }), node("b", "a")},
			[]string{"Task 'A' at index 0 has dependency reference 'B' which"},
		},
		"9: itself":   {[]*Task{node("a", "", "a")}, []string{"Circular dependency detected: A -> A. "}},
		"9: two":      {[]*Task{node("a", "", "b"), node("b", "a", "a")}, []string{"Circular dependency detected: A -> B -> A. "}},
		"9: optional": {[]*Task{node("a", "", "b?"), node("b", "a", "a?")}, []string{"Circular dependency detected: A -> B -> A. "}},
		"9: from the earliest task on": {
			[]*Task{node("a", "", "d"), node("b", "a", "c"), node("c", "a", "d"), node("d", "a", "b")},
			[]string{"Circular dependency detected: B -> C -> D -> B. "},
		},
		"9: each cycle once": {
			[]*Task{node("a", "", "b"), node("b", "a", "a"), node("c", "a", "d"), node("d", "a", "c")},
			[]string{"Circular dependency detected: A -> B -> A. ", "Circular dependency detected: C -> D -> C. "},
		},
		"9: in names":                       {[]*Task{unnamed("x", "", "y"), unnamed("y", "x", "x")}, []string{"Circular dependency detected: x -> y -> x. "}},
		"9: a long one, shortened":          {chain, []string{"Circular dependency detected: T0 -> T149 -> T148 -> "}},
		"11: no root":                       {[]*Task{node("a", "b"), node("b", "a")}, []string{"No root task found (task with no parent_id). "}},
		"11: its own parent":                {[]*Task{node("a", "a")}, []string{"No root task found (task with no parent_id). "}},
		"12: several roots":                 {[]*Task{node("a", ""), node("b", "")}, []string{"Multiple root tasks found: ['A', 'B']. All tasks must be in a single task tree. "}},
		"13: parents in a ring":             {[]*Task{node("a", ""), node("b", "c"), node("c", "b"), node("d", "c")}, []string{"Tasks not in the same tree: ['B', 'C', 'D']. "}},
		"13: its own parent, beside a root": {[]*Task{node("a", ""), node("b", "b")}, []string{"Tasks not in the same tree: ['B']. "}},
		"everything at once, in the order of the spec": {
			[]*Task{
				with(node("b", "", "z", "b"), func(t *Task) { t.UserID = "u"; t.Priority = 9 }),
				{ID: "a", UserID: "v", ParentRef: "x", Dependencies: []Dependency{{}}},
				node("a", ""), unnamed("n", "b"), unnamed("n", "b"),
			},
			[]string{
				"All tasks must have the same user_id. ", "Task at index 1 must have a 'name' field", "tasks[0].priority: must be 0 to 3, got 9",
				"Mixed mode not supported", "Duplicate task id 'a' at index 2", "Task at index 4 has no 'id' but name 'n'",
				"Task 'a' at index 1 has parent_id 'x'", "Task 'a' dependency must have", "Task 'B' at index 0 has dependency reference 'z'",
				"Circular dependency detected: B -> B", "Multiple root tasks found: ['B', 'A']",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := build(Limits{}, c.tasks...)
			bad, ok := errors.AsType[*InvalidTreeError](err)
			if !ok || g != nil {
				t.Fatalf("Build = %v, %v, want an *InvalidTreeError", g, err)
			}
			var got []string
			for i, p := range bad.Problems {
				got = append(got, p.Reason)
				if i < len(c.want) && !strings.HasPrefix(p.Reason, c.want[i]) {
					t.Errorf("problem %d = %q, want it to begin with %q", i, p.Reason, c.want[i])
				}
			}
			if len(got) != len(c.want) || bad.More != 0 {
				t.Errorf("%d problems and %d more, want %d:\n%s", len(got), bad.More, len(c.want), strings.Join(got, "\n"))
			}
		})
	}
}

func TestBuildTellsWhereTheFaultIs(t *testing.T) {
	_, err := build(Limits{}, node("a", "", "b"), node("b", "a", "a"), node("c", "x", "y"), node("c", "a"))
	bad, ok := errors.AsType[*InvalidTreeError](err)
	if !ok {
		t.Fatal(err)
	}
	type where struct {
		Code  Code
		Index int
		Task  string
		Field string
		Cycle []string
	}
	var got []where
	for _, p := range bad.Problems {
		got = append(got, where{p.Code, p.Index, p.Task, p.Field, p.Cycle})
	}
	want := []where{
		{DuplicateID, 3, "c", "id", nil},
		{InvalidParent, 2, "c", "parent_id", nil},
		{InvalidDependency, 2, "c", "dependencies", nil},
		{CircularDependency, 0, "a", "dependencies", []string{"A", "B", "A"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("problems = %+v\nwant %+v", got, want)
	}
}

func TestBuildRefusesFields(t *testing.T) {
	limits := Limits{Tasks: 3, Dependencies: 2, IDChars: 4, NameChars: 6, PayloadBytes: 8}
	for name, c := range map[string]struct {
		change func(*Task)
		want   string // empty: accepted
	}{
		"id at its bound":                       {func(t *Task) { t.ID = "1234" }, ""},
		"id too long":                           {func(t *Task) { t.ID = "12345" }, "tasks[0].id: must be at most 4 characters, got 5"},
		"id not UTF-8":                          {func(t *Task) { t.ID = "a\xff" }, "tasks[0].id: must be valid UTF-8"},
		"id of other letters at its bound":      {func(t *Task) { t.ID = "日本語の" }, ""},
		"id of other letters too long":          {func(t *Task) { t.ID = "日本語の木" }, "tasks[0].id: must be at most 4 characters, got 5"},
		"id with a line end":                    {func(t *Task) { t.ID = "a\nb" }, "tasks[0].id: must not hold control characters"},
		"id that is a folder":                   {func(t *Task) { t.ID = ".." }, `tasks[0].id: must not be "..", which a URL takes for a folder`},
		"id with DEL":                           {func(t *Task) { t.ID = "a\x7f" }, "tasks[0].id: must not hold control characters"},
		"user with an escape":                   {func(t *Task) { t.UserID = "a\x1b" }, "tasks[0].user_id: must not hold control characters"},
		"executor with a tab":                   {func(t *Task) { t.Executor = "a\t" }, "tasks[0].executor: must not hold control characters"},
		"name with a line end":                  {func(t *Task) { t.Name = "a\nb" }, ""},
		"timeout below a millisecond":           {func(t *Task) { t.Timeout = 999 * time.Microsecond }, "tasks[0].timeout: must be at least 0.001 seconds, or 0 for none"},
		"timeout of a millisecond":              {func(t *Task) { t.Timeout = time.Millisecond }, ""},
		"tree_timeout below a millisecond":      {func(t *Task) { t.TreeTimeout = 1 }, "tasks[0].tree_timeout: must be at least 0.001 seconds, or 0 for none"},
		"schedule_to_start below a millisecond": {func(t *Task) { t.ScheduleToStart = 1 }, "tasks[0].schedule_to_start: must be at least 0.001 seconds, or 0 for none"},
		"id with NUL":                           {func(t *Task) { t.ID = "a\x00" }, "tasks[0].id: must not hold a NUL character"},
		"name too long":                         {func(t *Task) { t.Name = "1234567" }, "tasks[0].name: must be at most 6 characters, got 7"},
		"name with NUL":                         {func(t *Task) { t.Name = "\x00" }, "tasks[0].name: must not hold a NUL character"},
		"user too long":                         {func(t *Task) { t.UserID = "12345" }, "tasks[0].user_id: must be at most 4 characters, got 5"},
		"parent too long":                       {func(t *Task) { t.ParentRef = "12345" }, "tasks[0].parent_id: must be at most 4 characters, got 5"},
		"reference too long":                    {func(t *Task) { t.Dependencies = []Dependency{{Ref: "12345"}} }, "tasks[0].dependencies[0]: must be at most 4 characters, got 5"},
		"reference not UTF-8":                   {func(t *Task) { t.Dependencies = []Dependency{{Ref: "\xff"}} }, "tasks[0].dependencies[0]: must be valid UTF-8"},
		"dependency type too long":              {func(t *Task) { t.Dependencies = []Dependency{{Ref: "x", Type: "12345"}} }, "tasks[0].dependencies[0].type: must be at most 4 characters, got 5"},
		"too many dependencies":                 {func(t *Task) { t.Dependencies = make([]Dependency, 3) }, "tasks[0].dependencies: must be at most 2, got 3"},
		"priority below":                        {func(t *Task) { t.Priority = -1 }, "tasks[0].priority: must be 0 to 3, got -1"},
		"priority urgent":                       {func(t *Task) { t.Priority = Urgent }, ""},
		"priority above":                        {func(t *Task) { t.Priority = 4 }, "tasks[0].priority: must be 0 to 3, got 4"},
		"inputs at their bound":                 {func(t *Task) { t.Inputs = json.RawMessage(`{"a":10}`) }, ""},
		"inputs too large":                      {func(t *Task) { t.Inputs = json.RawMessage(`{"a":100}`) }, "tasks[0].inputs: must be at most 8 bytes, got 9"},
		"params too large":                      {func(t *Task) { t.Params = json.RawMessage(`{"a":100}`) }, "tasks[0].params: must be at most 8 bytes, got 9"},
		"schemas too large":                     {func(t *Task) { t.Schemas = json.RawMessage(`{"a":100}`) }, "tasks[0].schemas: must be at most 8 bytes, got 9"},
		"custom too large":                      {func(t *Task) { t.Custom = json.RawMessage(`{"a":100}`) }, "tasks[0].custom: must be at most 8 bytes, got 9"},
		"inputs no object":                      {func(t *Task) { t.Inputs = json.RawMessage(`[1]`) }, "tasks[0].inputs: must be an object"},
		"executor too long":                     {func(t *Task) { t.Executor = "12345" }, "tasks[0].executor: must be at most 4 characters, got 5"},
		"pool":                                  {func(t *Task) { t.Pool = "eu-West_1" }, ""},
		"pool with a dot":                       {func(t *Task) { t.Pool = "eu.west" }, "tasks[0].pool: must be 1 to 64 letters, digits, - or _"},
		"pool with a wildcard":                  {func(t *Task) { t.Pool = "*" }, "tasks[0].pool: must be 1 to 64 letters, digits, - or _"},
		"pool too long":                         {func(t *Task) { t.Pool = strings.Repeat("a", 65) }, "tasks[0].pool: must be 1 to 64 letters, digits, - or _"},
		"attempts negative":                     {func(t *Task) { t.Retry.MaxAttempts = -1 }, "tasks[0].retry.max_attempts: must be 1 to 1000, got -1"},
		"attempts too many":                     {func(t *Task) { t.Retry.MaxAttempts = 1001 }, "tasks[0].retry.max_attempts: must be 1 to 1000, got 1001"},
		"back-off linear":                       {func(t *Task) { t.Retry.Backoff = Linear }, ""},
		"back-off unknown":                      {func(t *Task) { t.Retry.Backoff = "random" }, "tasks[0].retry.backoff: must be exponential, linear or fixed"},
		"initial delay negative":                {func(t *Task) { t.Retry.InitialDelay = -1 }, "tasks[0].retry.initial_delay: must be 0 to 315360000 seconds"},
		"delay too long":                        {func(t *Task) { t.Retry.MaxDelay = MaxDuration + 1 }, "tasks[0].retry.max_delay: must be 0 to 315360000 seconds"},
		"on_lost unknown":                       {func(t *Task) { t.OnLost = 2 }, "tasks[0].on_lost: must be retry or fail"},
		"timeout negative":                      {func(t *Task) { t.Timeout = -1 }, "tasks[0].timeout: must be 0 to 315360000 seconds"},
		"schedule_to_start negative":            {func(t *Task) { t.ScheduleToStart = -1 }, "tasks[0].schedule_to_start: must be 0 to 315360000 seconds"},
		"tree_timeout negative":                 {func(t *Task) { t.TreeTimeout = -1 }, "tasks[0].tree_timeout: must be 0 to 315360000 seconds"},
		"retention of the root":                 {func(t *Task) { t.Retention = time.Hour }, ""},
		"retention too short":                   {func(t *Task) { t.Retention = time.Second }, "tasks[0].retention: must be at least a minute"},
		"tree_timeout of the root":              {func(t *Task) { t.TreeTimeout = time.Hour }, ""},
		"not_before long ago":                   {func(t *Task) { t.NotBefore = time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC) }, "tasks[0].not_before: must be in the years 1970 to 9999"},
		"not_before in the far future":          {func(t *Task) { t.NotBefore = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, "tasks[0].not_before: must be in the years 1970 to 9999"},
	} {
		t.Run(name, func(t *testing.T) {
			root := node("a", "")
			c.change(root)
			_, err := build(limits, root)
			if c.want == "" {
				if err != nil {
					t.Errorf("Build: %v, want it accepted", err)
				}
				return
			}
			bad, ok := errors.AsType[*InvalidTreeError](err)
			if !ok || bad.Problems[0].Reason != c.want || bad.Problems[0].Code != InvalidField || bad.Problems[0].Index != 0 {
				t.Errorf("Build = %v, want %q", err, c.want)
			}
		})
	}
}

func TestBuildRefusesARetentionBelowTheRoot(t *testing.T) {
	_, err := build(Limits{}, node("a", ""), with(node("b", "a"), func(t *Task) { t.Retention = time.Hour }))
	if err == nil || !strings.Contains(err.Error(), "tasks[1].retention: only the root task may have one") {
		t.Errorf("got %v", err)
	}
}

func TestBuildRefusesTreeTimeoutBelowTheRoot(t *testing.T) {
	_, err := build(Limits{}, node("a", ""), with(node("b", "a"), func(t *Task) { t.TreeTimeout = time.Second }))
	if want := "tasks[1].tree_timeout: only the root task may have one"; err == nil || err.Error() != want {
		t.Errorf("Build = %v, want %q", err, want)
	}
}

func TestAFaultyNameDoesNotHideItsID(t *testing.T) {
	_, err := build(Limits{}, with(node("a", ""), func(t *Task) { t.Name = "\xff" }), node("b", "a", "a"))
	if want := "tasks[0].name: must be valid UTF-8"; err == nil || err.Error() != want {
		t.Errorf("Build = %v, want %q", err, want)
	}
}

func TestAddStopsAtTheBounds(t *testing.T) {
	b := NewBuilder(Limits{Tasks: 2, Edges: 2}, nil)
	for _, task := range []*Task{node("a", ""), node("b", "a", "a")} {
		if _, err := b.Add(task); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		_, err := b.Add(node("c", "a"))
		if bad, ok := errors.AsType[*InvalidTaskError](err); !ok || !strings.HasPrefix(bad.Reason, "tree has more than 2 tasks: submit it as several trees") || bad.Index != -1 {
			t.Errorf("Add = %v, want too many tasks", err)
		}
	}
	if _, err := b.Build(); err == nil || !strings.HasPrefix(err.Error(), "tree has more than 2 tasks: ") {
		t.Errorf("Build = %v, want too many tasks", err)
	}
	b = NewBuilder(Limits{Tasks: 2, Edges: 2}, nil)
	if _, err := b.Add(node("a", "", "b", "c", "d")); err == nil || !strings.HasPrefix(err.Error(), "tree has more than 2 dependencies: ") {
		t.Errorf("Add = %v, want too many dependencies", err)
	}
}

func TestBuildReportsABoundedNumberOfFaults(t *testing.T) {
	tasks := []*Task{node("root", "")}
	for i := range 3 * MaxProblems {
		tasks = append(tasks, with(node(fmt.Sprint(i), "root"), func(t *Task) { t.Priority = 7 }), node("x", "nowhere"))
	}
	_, err := build(Limits{}, tasks...)
	bad, ok := errors.AsType[*InvalidTreeError](err)
	if want := 3*MaxProblems*3 - 1 - MaxProblems; !ok || len(bad.Problems) != MaxProblems || bad.More != want {
		t.Fatalf("%d problems and %d more, want %d and %d", len(bad.Problems), bad.More, MaxProblems, want)
	}
	if got := err.Error(); !strings.HasSuffix(got, fmt.Sprintf("; and %d more", bad.More)) {
		t.Errorf("text ends with %q", got[len(got)-40:])
	}
}

func TestLongListsAndCyclesAreShortened(t *testing.T) {
	var roots, ring []*Task
	for i := range 300 {
		roots = append(roots, node(fmt.Sprint(i), ""))
		parent := "0"
		if i == 0 {
			parent = ""
		}
		ring = append(ring, node(fmt.Sprint(i), parent, fmt.Sprint((i+1)%300)))
	}
	_, err := build(Limits{}, roots...)
	if want := "'18', '19', …]. All tasks"; !strings.Contains(err.Error(), want) {
		t.Errorf("Build = %v, want it to hold %q", err, want)
	}
	_, err = build(Limits{}, ring...)
	bad, _ := errors.AsType[*InvalidTreeError](err)
	got := bad.Problems[0].Cycle
	if len(got) != maxCycle+1 || got[0] != "0" || got[49] != "49" || got[50] != "… 201 more …" || got[51] != "251" || got[99] != "299" || got[100] != "0" {
		t.Errorf("cycle of 300 = %d names: %q", len(got), got)
	}
}

func TestBuildAccepts(t *testing.T) {
	for name, c := range map[string]struct {
		tasks []*Task
		want  Graph // Refs: nil where they are the ids
	}{
		"one task": {
			[]*Task{node("a", "")},
			Graph{IDs: []string{"a"}, Parent: []int32{-1}, Leaf: []bool{true}, DepStart: []int32{0, 0}},
		},
		"names stand for ids": {
			[]*Task{unnamed("a", "", "b"), with(unnamed("b", "a", "c"), func(t *Task) { t.Dependencies[0].ByName = true }), unnamed("c", "a")},
			Graph{
				IDs: []string{"id-1", "id-2", "id-3"}, Refs: []string{"a", "b", "c"}, Parent: []int32{-1, 0, 0}, Leaf: []bool{false, true, true},
				DepStart: []int32{0, 1, 2, 2}, Dep: []Edge{{Task: 1, Required: true}, {Task: 2, Required: true}},
			},
		},
		"names may repeat beside ids": {
			[]*Task{with(node("a", ""), func(t *Task) { t.Name = "x" }), with(node("b", "a"), func(t *Task) { t.Name = "x" })},
			Graph{IDs: []string{"a", "b"}, Parent: []int32{-1, 0}, Leaf: []bool{false, true}, DepStart: []int32{0, 0, 0}},
		},
		"a root that comes last, parents that depend on children": {
			[]*Task{node("a", "r"), node("b", "r", "a"), node("r", "", "b", "a")},
			Graph{
				IDs: []string{"a", "b", "r"}, Root: 2, Parent: []int32{2, 2, -1}, Leaf: []bool{true, true, false},
				DepStart: []int32{0, 0, 1, 3}, Dep: []Edge{{Task: 0, Required: true}, {Task: 1, Required: true}, {Task: 0, Required: true}},
			},
		},
		"children that depend on their parent": {
			[]*Task{node("a", ""), node("b", "a", "a?")},
			Graph{IDs: []string{"a", "b"}, Parent: []int32{-1, 0}, Leaf: []bool{false, true}, DepStart: []int32{0, 0, 1}, Dep: []Edge{{Task: 0}}},
		},
		"a repeated dependency: first place, required if any is": {
			[]*Task{
				with(node("a", "", "c?", "b", "c", "b?"), func(t *Task) {
					t.Dependencies[0].Type, t.Dependencies[2].Type = "data", "other"
				}), node("b", "a", "c?", "c?"), node("c", "a"),
			},
			Graph{
				IDs: []string{"a", "b", "c"}, Parent: []int32{-1, 0, 0}, Leaf: []bool{false, true, true},
				DepStart: []int32{0, 2, 3, 3}, Dep: []Edge{{2, true, 0, "data"}, {1, true, 0, ""}, {2, false, 0, ""}},
			},
		},
		"one owner, named by some": {
			[]*Task{node("a", ""), with(node("b", "a"), func(t *Task) { t.UserID = "u" }), with(node("c", "a"), func(t *Task) { t.UserID = "u" })},
			Graph{IDs: []string{"a", "b", "c"}, UserID: "u", Parent: []int32{-1, 0, 0}, Leaf: []bool{false, true, true}, DepStart: []int32{0, 0, 0, 0}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := build(Limits{}, c.tasks...)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Dep) == 0 {
				got.Dep = nil
			}
			if c.want.Refs == nil {
				c.want.Refs = c.want.IDs
			}
			if !reflect.DeepEqual(*got, c.want) {
				t.Errorf("Build = %+v\nwant    %+v", *got, c.want)
			}
		})
	}
}
