package pg

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

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
	out, err := h.s.Submit(t.Context(), sub)
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
	if found, _, _, err := e.other.AuditAll(context.Background(), 0, AuditOptions{}); err != nil || len(found) > 0 {
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
		_, err = e.s.Dispatch(e.t.Context(), lane, 1000, false)
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
	shown, err := e.other.Task(t.Context(), "a")
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
			if work, err = e.s.Dispatch(t.Context(), dag.Lane{Pool: 1, Priority: dag.Urgent}, 10, false); err != nil {
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

var _ = time.Second
