package pg

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// editSite is a tree that two processes change and run. Its tasks have the executor e, whose pool there is.
type editSite struct {
	*twoStores
	tree dag.TreeKey
	ids  []string
}

// newEditSite submits tasks, each written as "id" or "id<dependency,dependency?" (required, and optional); all hang from the first.
func newEditSite(t *testing.T, held bool, tasks ...string) *editSite {
	h := newTwoStores(t, 1)
	e := &editSite{twoStores: h}
	var all []*dag.Task
	for i, text := range tasks {
		id, deps, _ := strings.Cut(text, "<")
		one := &dag.Task{ID: id, Name: "name of " + id, Executor: "e", Priority: dag.Normal, Inputs: []byte(`{"n":1}`)}
		if i > 0 {
			one.ParentRef = e.ids[0]
		}
		e.ids = append(e.ids, id)
		for _, ref := range strings.FieldsFunc(deps, func(r rune) bool { return r == ',' }) {
			one.Dependencies = append(one.Dependencies, dag.Dependency{Ref: strings.TrimSuffix(ref, "?"), Optional: strings.HasSuffix(ref, "?")})
		}
		all = append(all, one)
	}
	sub := treeOf(all...)
	sub.Hold, sub.Room = held, func(int32, dag.Priority, int32) bool { return true }
	out, err := h.s.Submit(t.Context(), dag.DefaultNamespaceKey, sub)
	if err != nil {
		t.Fatal(err)
	}
	e.tree = out.Tree
	t.Cleanup(e.audit)
	return e
}

func (e *editSite) key(id string) dag.Key { return e.tree.Key(slices.Index(e.ids, id)) }

func (e *editSite) audit() {
	e.t.Helper()
	if found, _, _, err := e.s.AuditAll(context.Background(), 0, AuditOptions{}); err != nil || len(found) > 0 {
		e.t.Errorf("the audit says %+v, %v", found, err)
	}
}

// states are those of all tasks that are there, by key: "root waiting 1".
func (e *editSite) states() string {
	e.t.Helper()
	rows, err := e.other.pool.Query(e.t.Context(), "select s.id, t.state, t.attempt, t.remaining, coalesce(b.id, '') from task t join spec s on s.key = t.key left join spec b on b.key = t.blocked_by order by t.key")
	if err != nil {
		e.t.Fatal(err)
	}
	var words []string
	var id, by string
	var state dag.State
	var attempt, remaining int32
	if _, err := pgx.ForEachRow(rows, []any{&id, &state, &attempt, &remaining, &by}, func() error {
		word := id + ":" + state.String()
		if state == dag.Waiting {
			word += fmt.Sprint(remaining)
		}
		if by != "" {
			word += "(" + by + ")"
		}
		if attempt > 1 {
			word += fmt.Sprint("#", attempt)
		}
		words = append(words, word)
		return nil
	}); err != nil {
		e.t.Fatal(err)
	}
	return strings.Join(words, " ")
}

func (e *editSite) want(states string) {
	e.t.Helper()
	if got := e.states(); got != states {
		e.t.Errorf("got  %s\nwant %s", got, states)
	}
	e.audit()
}

// update changes a task from the other process, and gives the faults.
func (e *editSite) update(id string, c dag.Change) []string {
	e.t.Helper()
	_, err := e.other.Update(e.t.Context(), e.key(id), Update{Change: c, Known: func(string) bool { return true }})
	if refused, ok := errors.AsType[*Refused](err); ok {
		return refused.Faults
	}
	if err != nil {
		e.t.Fatalf("update %s: %v", id, err)
	}
	return nil
}

// change is update, which must not be refused.
func (e *editSite) change(id string, c dag.Change) {
	e.t.Helper()
	if faults := e.update(id, c); len(faults) > 0 {
		e.t.Fatalf("update %s: %q", id, faults)
	}
}

// remove deletes from the other process.
func (e *editSite) remove(id string, opts DeleteOptions) (n int, reasons []string) {
	e.t.Helper()
	n, _, err := e.other.Delete(e.t.Context(), e.key(id), opts)
	if refused, ok := errors.AsType[*NotDeletable](err); ok {
		return 0, refused.Reasons
	}
	if err != nil {
		e.t.Fatalf("delete %s: %v", id, err)
	}
	return n, nil
}

// on is a change of dependencies, written as in newEditSite.
func on(deps ...string) dag.Change {
	c := dag.Change{HasDependencies: true}
	for _, ref := range deps {
		c.Dependencies = append(c.Dependencies, dag.Dependency{Ref: strings.TrimSuffix(ref, "?"), Optional: strings.HasSuffix(ref, "?")})
	}
	return c
}

// start publishes all that waits, and claims the current attempt of a task.
func (e *editSite) start(id string) dag.Claim {
	e.t.Helper()
	lanes, err := e.s.Backlog(e.t.Context())
	for _, lane := range lanes {
		_, err = takeReady(e.t.Context(), e.s, lane, 1000, false)
	}
	if err != nil {
		e.t.Fatal(err)
	}
	c := dag.Claim{Task: e.key(id), Attempt: e.attempt(id), Worker: e.worker}
	verdicts, _, err := e.s.Claim(e.t.Context(), []dag.Claim{c})
	if err != nil || verdicts[0] != dag.Yes {
		e.t.Fatalf("claim %s: %v, %v", id, verdicts, err)
	}
	return c
}

func (e *editSite) attempt(id string) (n int32) {
	e.t.Helper()
	if err := e.other.pool.QueryRow(e.t.Context(), "select attempt from task where key = $1", e.key(id)).Scan(&n); err != nil {
		e.t.Fatal(err)
	}
	return n
}

// end ends the attempt of a task that runs.
func (e *editSite) end(id string, o dag.Outcome) {
	e.t.Helper()
	_, _, err := e.s.Settle(e.t.Context(), []dag.Result{{Task: e.key(id), Attempt: e.attempt(id), Worker: e.worker, Outcome: o, Value: []byte(`{"of":"` + id + `"}`)}}, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	e.carryOut()
}

func (e *editSite) carryOut() {
	e.t.Helper()
	for more := true; more; {
		var err error
		if _, more, err = e.other.Followups(e.t.Context(), nil); err != nil {
			e.t.Fatal(err)
		}
	}
}

// TestPlainFieldsChange: of a held task all can be changed, and nothing of a running attempt.
func TestPlainFieldsChange(t *testing.T) {
	t.Parallel()
	e := newEditSite(t, true, "root", "a")
	e.change("a", dag.Change{Name: new("new"), Priority: new(dag.Urgent), Inputs: []byte(`{"n":2}`), Params: []byte(`{"executor_id":"e"}`), Progress: new(0.5)})
	shown, err := e.other.Task(t.Context(), dag.DefaultNamespaceKey, "a")
	if err != nil || shown.Name != "new" || shown.Priority != dag.Urgent || string(shown.Inputs) != `{"n":2}` || string(shown.Params) != `{"executor_id":"e"}` || *shown.Progress != 0.5 {
		t.Errorf("got %+v, %v", shown, err)
	}
	e.change("root", dag.Change{Name: new("the tree")})
	if tree, err := e.other.Tree(t.Context(), e.tree); err != nil || tree.Name != "the tree" {
		t.Errorf("got %+v, %v", tree, err)
	}
	e.want("root:held a:held")
}

// TestAPublishedAttemptIsTakenBack: a worker that has the message of a task which was changed since gets a no, and the next attempt has what
// was changed.
func TestAPublishedAttemptIsTakenBack(t *testing.T) {
	t.Parallel()
	for _, room := range []bool{true, false} {
		e := newEditSite(t, false, "root", "a")
		old := dag.Claim{Task: e.key("a"), Attempt: 1, Worker: e.worker, Facts: dag.FactsOf(1, dag.FlagLeaf, dag.Normal, 1)}
		eff, err := e.other.Update(t.Context(), e.key("a"), Update{Change: dag.Change{Inputs: []byte(`{"n":2}`), Priority: new(dag.Urgent)},
			Room: func(int32, dag.Priority, int32) bool { return room }})
		if err != nil {
			t.Fatal(err)
		}
		if verdicts, _, err := e.s.Claim(t.Context(), []dag.Claim{old}); err != nil || verdicts[0] != dag.No {
			t.Errorf("the old message: %v, %v", verdicts, err)
		}
		work := eff.Publish
		if !room {
			if work, err = takeReady(t.Context(), e.s, dag.Lane{Pool: 1, Priority: dag.Urgent}, 10, false); err != nil {
				t.Fatal(err)
			}
		}
		if len(work) != 1 || work[0].Attempt != 2 || string(work[0].Inputs) != `{"n":2}` || work[0].Priority != dag.Urgent {
			t.Fatalf("sent was %+v", work)
		}
		e.want("root:ready a:ready#2")
		e.start("a")
		e.end("a", dag.OutcomeCompleted)
		e.want("root:ready a:completed#2")
	}
}

// TestARunningAttemptKeepsWhatItWasSent: all parts of its inputs are of one piece, whatever is changed meanwhile; the next attempt gets the change.
func TestARunningAttemptKeepsWhatItWasSent(t *testing.T) {
	t.Parallel()
	e := newEditSite(t, false, "root", "a")
	e.start("a")
	for n := 2; n < 4; n++ {
		e.change("a", dag.Change{Inputs: fmt.Appendf(nil, `{"n":%d}`, n), Priority: new(dag.Low)})
		if w, err := e.s.Work(t.Context(), e.key("a"), 1, 1<<20); err != nil || string(w.Inputs) != `{"n":1}` {
			t.Errorf("got %+v, %v", w, err)
		}
	}
	if _, err := e.s.TakeBack(t.Context(), e.worker, []dag.Key{e.key("a")}, false, nil); err != nil {
		t.Fatal(err)
	}
	if w, err := e.s.Work(t.Context(), e.key("a"), 2, 1<<20); err != nil || string(w.Inputs) != `{"n":3}` || w.Priority != dag.Low {
		t.Errorf("got %+v, %v", w, err)
	}
	e.want("root:ready a:ready#2")
	if err := e.s.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := e.s.pool.QueryRow(t.Context(), "select count(*) from sent_payload").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d rows are left, %v", left, err)
	}
}

// TestDeletions: what is deleted leaves nothing but a gap.
func TestDeletions(t *testing.T) {
	t.Parallel()
	e := newEditSite(t, false, "root<b", "a", "b<a", "c", "d<c?")
	if n, reasons := e.remove("a", DeleteOptions{}); n != 0 || fmt.Sprint(reasons) != "[1 tasks depend on this task: [b]]" {
		t.Errorf("got %d, %q", n, reasons)
	}
	if n, _ := e.remove("d", DeleteOptions{Alone: true}); n != 1 {
		t.Errorf("%d were deleted", n)
	}
	e.want("root:waiting1 a:ready b:waiting1 c:ready")
	if n, reasons := e.remove("root", DeleteOptions{Alone: true}); n != 0 || fmt.Sprint(reasons) != "[task has 3 children]" {
		t.Errorf("got %d, %q", n, reasons)
	}
	e.remove("c", DeleteOptions{})
	e.start("a")
	if _, reasons := e.remove("root", DeleteOptions{}); fmt.Sprint(reasons) != "[task has 1 non-pending children: [a: in_progress]]" {
		t.Errorf("got %q", reasons)
	}
	if _, reasons := e.remove("a", DeleteOptions{}); fmt.Sprint(reasons) != "[task status is 'in_progress' (must be 'pending') 1 tasks depend on this task: [b]]" {
		t.Errorf("got %q", reasons)
	}
	if _, reasons := e.remove("a", DeleteOptions{Force: true}); fmt.Sprint(reasons) != "[1 tasks have not stopped: [a: in_progress]; cancel them first]" {
		t.Errorf("got %q", reasons)
	}
	e.end("a", dag.OutcomeCompleted)
	e.remove("a", DeleteOptions{Force: true})
	e.want("root:waiting1 b:ready#2")
	e.start("b")
	e.end("b", dag.OutcomeCompleted)
	e.start("root")
	e.end("root", dag.OutcomeCompleted)
	e.want("root:completed b:completed#2")
	if out, err := e.s.Execute(t.Context(), e.key("root"), dag.ExecutionOptions{Force: true}); err != nil || out.Tasks != 2 {
		t.Errorf("got %+v, %v", out, err)
	}
	e.want("root:waiting1#2 b:ready#3")
	if n, _ := e.remove("root", DeleteOptions{}); n != 2 {
		t.Errorf("%d were deleted", n)
	}
	e.want("")
	for _, table := range []string{"task", "spec", "payload", "edge", "attempt", "tree", "event", "timer", "model_usage", "chunk", "sent_payload"} {
		var n int
		if err := e.s.pool.QueryRow(t.Context(), "select count(*) from "+table).Scan(&n); err != nil || n != 0 {
			t.Errorf("%s has %d rows, %v", table, n, err)
		}
	}
}

// TestDependenciesChange: what a task waits for follows from its new dependencies, in each state that it may be in.
func TestDependenciesChange(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		held   bool
		tasks  []string
		before func(e *editSite)
		task   string
		change dag.Change
		after  string
		faults string
	}{
		"held":           {held: true, tasks: []string{"root", "a", "b"}, task: "b", change: on("a", "root"), after: "root:held a:held b:held"},
		"ready, to wait": {tasks: []string{"root", "a", "b"}, task: "b", change: on("a"), after: "root:ready a:ready b:waiting1#2"},
		"ready, on what completed": {tasks: []string{"root", "a", "b"}, before: func(e *editSite) { e.start("a"); e.end("a", dag.OutcomeCompleted) }, task: "b", change: on("a"),
			after: "root:ready a:completed b:ready#2"},
		"ready, on what failed": {tasks: []string{"root<b", "a", "b"}, before: func(e *editSite) { e.start("a"); e.end("a", dag.OutcomeFailed) }, task: "b", change: on("a"),
			after: "root:blocked(a) a:failed b:blocked(a)#2"},
		"ready, on what failed and is optional": {tasks: []string{"root<b", "a", "b"}, before: func(e *editSite) { e.start("a"); e.end("a", dag.OutcomeFailed) }, task: "b", change: on("a?"),
			after: "root:waiting1 a:failed b:ready#2"},
		"waiting, on fewer":   {tasks: []string{"root<a,b", "a", "b"}, task: "root", change: on("a"), after: "root:waiting1 a:ready b:ready"},
		"waiting, on nothing": {tasks: []string{"root<a,b", "a", "b"}, task: "root", change: on(), after: "root:ready a:ready b:ready"},
		"twice the same":      {tasks: []string{"root<a", "a", "b"}, task: "root", change: on("b?", "b", "a"), after: "root:waiting2 a:ready b:ready"},
		"by a name":           {held: true, tasks: []string{"root", "a"}, task: "root", change: dag.Change{HasDependencies: true, Dependencies: []dag.Dependency{{Ref: "a", ByName: true}}}, after: "root:held a:held"},
		"blocked, and no longer": {tasks: []string{"root<c", "a", "b<a", "c<b", "x", "y<x,b?"},
			before: func(e *editSite) { e.start("a"); e.end("a", dag.OutcomeFailed) }, task: "b", change: on("x"),
			after: "root:waiting1 a:failed b:waiting1 c:waiting1 x:ready y:waiting2"},
		"blocked, when the tree has ended": {tasks: []string{"root<c", "a", "b<a", "c<b"},
			before: func(e *editSite) { e.start("a"); e.end("a", dag.OutcomeFailed) }, task: "b", change: on(),
			after: "root:held a:failed b:held c:held"},
		"blocked by another": {tasks: []string{"root<b", "a", "b<a", "c", "x"},
			before: func(e *editSite) {
				e.start("a")
				e.end("a", dag.OutcomeFailed)
				e.start("c")
				e.end("c", dag.OutcomeFailed)
			}, task: "b", change: on("c"),
			after: "root:blocked(c) a:failed b:blocked(c) c:failed x:ready"},
		"of what runs": {tasks: []string{"root", "a"}, before: func(e *editSite) { e.start("a") }, task: "a", change: on("root"), after: "root:ready a:running",
			faults: "Cannot update 'dependencies': task status is 'in_progress' (must be 'pending')"},
		"all faults": {tasks: []string{"root<a", "a"}, task: "a", change: dag.Change{HasDependencies: true, Dependencies: []dag.Dependency{{Ref: "nope"}, {}, {Ref: "root"}}, Progress: new(2.0), Name: new("")},
			after:  "root:waiting1 a:ready",
			faults: "Dependency must have 'id' field or be a string task ID|Dependency reference 'nope' not found in task tree|Circular dependency detected: name of root -> name of a -> name of root. Each of these tasks waits for the next, so none could ever start: remove one of these dependencies.|Cannot update 'progress': must be 0 to 1, got 2|Cannot update 'name': must not be empty"},
		"on itself": {tasks: []string{"root", "a"}, task: "a", change: on("a"), after: "root:ready a:ready",
			faults: "Circular dependency detected: name of a -> name of a. Each of these tasks waits for the next, so none could ever start: remove one of these dependencies."},
		"of what one depends on that runs": {tasks: []string{"root<b?", "a", "b<a"}, before: func(e *editSite) {
			e.start("a")
			e.end("a", dag.OutcomeFailed)
			e.start("root")
		}, task: "b", change: on(), after: "root:running a:failed b:blocked(a)",
			faults: "Cannot update dependencies: task 'b' has dependent tasks that are executing: ['root']"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEditSite(t, tc.held, tc.tasks...)
			if tc.before != nil {
				tc.before(e)
			}
			faults := strings.Join(e.update(tc.task, tc.change), "|")
			if faults != tc.faults {
				t.Errorf("got  %s\nwant %s", faults, tc.faults)
			}
			e.carryOut()
			e.want(tc.after)
			for range 10 { // and all of it can end
				for _, id := range e.ids {
					if strings.Contains(e.states()+" ", id+":ready") {
						e.start(id)
						e.end(id, dag.OutcomeCompleted)
					}
				}
			}
			if got := e.states(); strings.Contains(got, "waiting") || strings.Contains(got, "ready") {
				t.Errorf("it ended as %s", got)
			}
		})
	}
}

// TestStatusesAreSet: a user's word ends a task as its worker's does, and what the state table has not is refused.
func TestStatusesAreSet(t *testing.T) {
	t.Parallel()
	completed, failed, cancelled := dag.Change{Status: dag.StatusCompleted, Result: []byte(`{"by":"hand"}`)}, dag.Change{Status: dag.StatusFailed, Error: new("no good")}, dag.Change{Status: dag.StatusCancelled}
	to := func(s dag.Status) dag.Change { return dag.Change{Status: s} }
	for name, tc := range map[string]struct {
		held   bool
		before func(e *editSite)
		task   string
		change dag.Change
		after  string
		faults string
	}{
		"ready to completed":   {task: "a", change: completed, after: "root:waiting1 a:completed b:ready c:ready"},
		"running to completed": {before: func(e *editSite) { e.start("a") }, task: "a", change: completed, after: "root:waiting1 a:completed b:ready c:ready"},
		"running to failed":    {before: func(e *editSite) { e.start("a") }, task: "a", change: failed, after: "root:blocked(a) a:failed b:blocked(a) c:ready"},
		"running to cancelled": {before: func(e *editSite) { e.start("a") }, task: "a", change: cancelled, after: "root:blocked(a) a:cancelled b:blocked(a) c:ready"},
		"waiting to completed": {task: "b", change: completed, after: "root:ready a:ready b:completed c:ready"},
		"held to completed":    {held: true, task: "a", change: completed, after: "root:held a:completed b:held c:held"},
		"held to failed":       {held: true, task: "a", change: failed, after: "root:held a:failed b:held c:held"},
		"blocked to completed": {before: func(e *editSite) { e.start("a"); e.end("a", dag.OutcomeFailed) }, task: "b", change: completed, after: "root:ready a:failed b:completed c:ready"},
		"blocked to failed":    {before: func(e *editSite) { e.start("a"); e.end("a", dag.OutcomeFailed) }, task: "b", change: failed, after: "root:blocked(b) a:failed b:failed c:ready"},
		"as it is":             {task: "a", change: to(dag.StatusPending), after: "root:waiting1 a:ready b:waiting1 c:ready"},
		"pending to in_progress": {task: "a", change: to(dag.StatusInProgress), after: "root:waiting1 a:ready b:waiting1 c:ready",
			faults: "Invalid state transition: cannot transition from 'pending' to 'in_progress'"},
		"completed to pending": {before: func(e *editSite) { e.start("a"); e.end("a", dag.OutcomeCompleted) }, task: "a", change: to(dag.StatusPending), after: "root:waiting1 a:completed b:ready c:ready",
			faults: "Invalid state transition: cannot transition from 'completed' to 'pending'"},
		"to what there is not": {task: "a", change: to("lost"), after: "root:waiting1 a:ready b:waiting1 c:ready",
			faults: "Cannot update 'status': must be pending, in_progress, completed, failed or cancelled"},
		"a result of what is pending": {task: "a", change: dag.Change{Result: []byte(`1`), Error: new("e")}, after: "root:waiting1 a:ready b:waiting1 c:ready",
			faults: "Cannot update 'result': task status is 'pending' (must be 'completed' or 'cancelled')|Cannot update 'error': task status is 'pending' (must be 'failed' or 'cancelled')"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEditSite(t, tc.held, "root<b", "a", "b<a", "c")
			if tc.before != nil {
				tc.before(e)
			}
			before, err := e.s.Task(t.Context(), dag.DefaultNamespaceKey, tc.task)
			if err != nil {
				t.Fatal(err)
			}
			if faults := strings.Join(e.update(tc.task, tc.change), "|"); faults != tc.faults {
				t.Errorf("got  %s\nwant %s", faults, tc.faults)
			}
			e.carryOut()
			if before.State == dag.Running && tc.change.Status == dag.StatusCancelled { // until its worker has stopped it
				_, _, err := e.s.Settle(t.Context(), []dag.Result{{Task: e.key(tc.task), Attempt: 1, Worker: e.worker, Outcome: dag.OutcomeCancelled}}, nil)
				if err != nil {
					t.Fatal(err)
				}
			}
			e.want(tc.after)
			shown, err := e.s.Task(t.Context(), dag.DefaultNamespaceKey, tc.task)
			if err != nil {
				t.Fatal(err)
			}
			if tc.change.Result != nil && tc.faults == "" && string(shown.Result) != `{"by":"hand"}` || tc.change.Status == dag.StatusFailed && *shown.Error != "no good" {
				t.Errorf("got %+v", shown)
			}
			changed, _, err := e.s.Settle(t.Context(), []dag.Result{{Task: e.key(tc.task), Attempt: 1, Worker: e.worker, Outcome: dag.OutcomeCompleted, Value: []byte(`{"late":1}`)}}, nil)
			if err != nil || changed[0] && shown.State != dag.Ready {
				t.Errorf("the worker's own result: %v, %v", changed, err)
			}
		})
	}
}

// TestTasksAreAdded: as if the whole tree had been sent at once, while nothing has started.
func TestTasksAreAdded(t *testing.T) {
	t.Parallel()
	for _, held := range []bool{true, false} {
		e := newEditSite(t, held, "root<a", "a", "gone")
		e.remove("gone", DeleteOptions{})
		add := func(key string, tasks ...*dag.Task) (*Added, error) {
			for _, t := range tasks {
				t.Executor, t.Priority = "e", dag.Normal
			}
			sub := treeOf(tasks...)
			sub.IdempotencyKey = key
			out, _, err := e.other.Add(t.Context(), e.key("a"), "a", sub)
			return out, err
		}
		new1 := func() []*dag.Task {
			return []*dag.Task{{ID: "n1", Name: "n1", Inputs: []byte(`{"x":1}`), Dependencies: []dag.Dependency{{Ref: "n2"}, {Ref: "a"}}}, {ID: "n2", Name: "n2", ParentRef: "n1"}}
		}
		out, err := add("k", new1()...)
		if err != nil || out.Tasks != 2 || out.First != e.tree.Key(3) {
			t.Fatalf("got %+v, %v", out, err)
		}
		if out, err := add("k", new1()...); err != nil || !out.Replayed {
			t.Errorf("got %+v, %v", out, err)
		}
		if out, err := add("", &dag.Task{Name: "unnamed", Dependencies: []dag.Dependency{{Ref: "n1", Optional: true}}}); err != nil || out.Tasks != 1 {
			t.Errorf("got %+v, %v", out, err)
		}
		for want, tasks := range map[string][]*dag.Task{
			"Circular dependency":         {{ID: "x", Name: "x", Dependencies: []dag.Dependency{{Ref: "y"}}}, {ID: "y", Name: "y", Dependencies: []dag.Dependency{{Ref: "x"}}}},
			"dependency reference 'nope'": {{ID: "x", Name: "x", Dependencies: []dag.Dependency{{Ref: "nope"}}}},
			"parent_id 'nope'":            {{ID: "x", Name: "x", ParentRef: "nope"}},
			"Tasks array cannot be empty": {},
		} {
			if _, err := add("", tasks...); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		}
		e.audit()
		if held {
			if got, err := e.s.Execute(t.Context(), e.key("root"), dag.ExecutionOptions{}); err != nil || got.Tasks != 5 {
				t.Errorf("got %+v, %v", got, err)
			}
		}
		e.start("a")
		if _, err := add("", &dag.Task{ID: "late", Name: "late"}); !errors.Is(err, ErrStarted) {
			t.Errorf("got %v", err)
		}
		e.end("a", dag.OutcomeCompleted)
		e.ids = append(e.ids, "n1", "n2", "unnamed")
		for _, id := range []string{"n2", "n1", "unnamed", "root"} {
			e.start(id)
			e.end(id, dag.OutcomeCompleted)
		}
		if tree, err := e.s.Tree(t.Context(), e.tree); err != nil || tree.Counts().Status() != dag.StatusCompleted || tree.Tasks != 5 || tree.Leaves != 2 {
			t.Errorf("got %+v, %v", tree, err)
		}
	}
}
