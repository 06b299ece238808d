package pg

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// whileEditing makes a call begin when the next edit of the other process holds all its locks, and gives what waits for the end of the call. The
// edit goes on when the call waits for a lock.
func (e *editSite) whileEditing(call func() error) (wait func()) {
	done := make(chan error, 1)
	e.other.interrupt(e.t, "EditTree", func() {
		go func() { done <- call() }()
		for range 2000 {
			var blocked bool
			if err := e.s.pool.QueryRow(e.t.Context(), "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')").Scan(&blocked); err != nil {
				e.t.Error(err)
			}
			if blocked {
				return
			}
			time.Sleep(time.Millisecond)
		}
		e.t.Error("the call did not wait for the edit")
	})
	return func() {
		if err := <-done; err != nil {
			e.t.Error(err)
		}
	}
}

// TestResultsMeetEdits: a result whose transaction begins while an edit holds its locks unlocks by the edges as they are after the edit,
// whether its rows are assumed or read, by a process that remembers the tree or by one that does not.
func TestResultsMeetEdits(t *testing.T) {
	t.Parallel()
	edits := map[string]struct {
		edit  func(e *editSite)
		after string
	}{
		"an edge more":         {func(e *editSite) { e.change("d", on("a", "c")) }, "root:waiting2 a:completed b:ready c:ready d:waiting1#2"},
		"an edge less":         {func(e *editSite) { e.change("b", on("c")) }, "root:waiting2 a:completed b:waiting1 c:ready d:ready"},
		"another inputs":       {func(e *editSite) { e.change("b", dag.Change{Inputs: []byte(`{"n":9}`)}) }, "root:waiting2 a:completed b:ready c:ready d:ready"},
		"a dependent is ended": {func(e *editSite) { e.change("b", dag.Change{Status: dag.StatusCompleted}) }, "root:waiting1 a:completed b:completed c:ready d:ready"},
	}
	for name, tc := range edits {
		for _, how := range []string{"assumed", "read", "not remembered"} {
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				e := newEditSite(t, false, "root<b,d,a", "a", "b<a", "c", "d")
				e.start("a")
				res := dag.Result{Task: e.key("a"), Attempt: 1, Worker: e.worker, Outcome: dag.OutcomeCompleted, Value: []byte(`{}`)}
				switch how {
				case "assumed":
					res.Facts = dag.FactsOf(1, dag.FlagLeaf|dag.FlagDependents, dag.Normal, 1)
				case "not remembered":
					e.s.resident.drop(e.tree)
				}
				var sent []*Work
				settle := func() error {
					_, eff, err := e.s.Settle(t.Context(), []dag.Result{res}, func(int32, dag.Priority, int32) bool { return true })
					if err == nil {
						sent = eff.Publish
					}
					return err
				}
				wait := e.whileEditing(settle)
				tc.edit(e)
				wait()
				e.carryOut()
				e.want(tc.after)
				for _, w := range sent {
					if w.Key == e.key("b") && name == "another inputs" && string(w.Inputs) != `{"n":9}` {
						t.Errorf("sent was %s", w.Inputs)
					}
				}
			})
		}
	}
}

// TestClaimsMeetEdits: a claim that begins while an edit holds its locks gets a no, assumed or read.
func TestClaimsMeetEdits(t *testing.T) {
	t.Parallel()
	for _, facts := range []dag.Facts{0, dag.FactsOf(1, dag.FlagLeaf, dag.Normal, 1)} {
		e := newEditSite(t, false, "root", "a")
		wait := e.whileEditing(func() error {
			verdicts, _, err := e.s.Claim(t.Context(), []dag.Claim{{Task: e.key("a"), Attempt: 1, Worker: e.worker, Facts: facts}})
			if err == nil && verdicts[0] != dag.No {
				err = fmt.Errorf("got %v", verdicts)
			}
			return err
		})
		e.change("a", dag.Change{Inputs: []byte(`{"n":2}`)})
		wait()
		e.want("root:ready a:ready#2")
	}
}

// TestExecutionsMeetEdits: an execution that begins meanwhile is planned by the edges as they are afterwards.
func TestExecutionsMeetEdits(t *testing.T) {
	t.Parallel()
	e := newEditSite(t, true, "root<a", "a", "b<a")
	wait := e.whileEditing(func() error {
		_, err := e.s.Execute(t.Context(), e.key("root"), dag.ExecutionOptions{})
		return err
	})
	e.change("b", on("root"))
	wait()
	e.want("root:waiting1 a:ready b:waiting1")
}

// TestCancellationsMeetEdits: a tree that is cancelled meanwhile is cancelled as a whole.
func TestCancellationsMeetEdits(t *testing.T) {
	t.Parallel()
	e := newEditSite(t, false, "root<a", "a", "b")
	e.other.interrupt(t, "EditTree", func() {
		if _, err := e.s.CancelTree(t.Context(), e.tree, "enough"); err != nil {
			t.Error(err)
		}
	})
	e.change("b", on("a"))
	e.carryOut()
	e.want("root:cancelled a:cancelled b:cancelled#2")
}

// TestTwoEditsMeet: the second sees what the first has left.
func TestTwoEditsMeet(t *testing.T) {
	t.Parallel()
	e := newEditSite(t, false, "root", "a", "b")
	wait := e.whileEditing(func() error {
		_, err := e.s.Update(t.Context(), e.key("a"), Update{Change: on("b")})
		if err == nil || !strings.Contains(err.Error(), "Circular dependency") {
			return fmt.Errorf("got %v", err)
		}
		return nil
	})
	e.change("b", on("a"))
	wait()
	e.want("root:ready a:ready b:waiting1#2")
}

// TestAnAdditionMeetsAClaim: whichever comes first holds.
func TestAnAdditionMeetsAClaim(t *testing.T) {
	t.Parallel()
	add := func(e *editSite) error {
		_, _, err := e.other.Add(t.Context(), e.key("root"), "root", treeOf(&dag.Task{ID: "n", Name: "n", Executor: "e", Dependencies: []dag.Dependency{{Ref: "a"}}}))
		return err
	}
	e := newEditSite(t, false, "root", "a", "b")
	e.other.interrupt(t, "EditTree", func() { e.start("b") }) // which the addition does not lock
	if err := add(e); err == nil || err.Error() != ErrStarted.Error() {
		t.Errorf("got %v", err)
	}
	e.want("root:ready a:ready b:running")
	e = newEditSite(t, false, "root", "a")
	wait := e.whileEditing(func() error {
		_, _, err := e.s.Claim(t.Context(), []dag.Claim{{Task: e.key("a"), Attempt: 1, Worker: e.worker, Facts: dag.FactsOf(1, dag.FlagLeaf, dag.Normal, 1)}})
		return err
	})
	if err := add(e); err != nil {
		t.Fatal(err)
	}
	wait()
	e.end("a", dag.OutcomeCompleted)
	e.want("root:ready a:completed n:ready")
}
