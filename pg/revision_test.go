package pg

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// revise changes a stored tree by hand, as an edit of it will: task 0 has another payload, and waits for nobody any more if so
// said.
func (h *twoStores) revise(tree dag.TreeKey, cut bool) {
	h.t.Helper()
	changes := []string{"update tree set revision = revision + 1 where key = $1",
		`update payload set inputs = '{"n": 3}', sealed = null where key = $1 << 24`}
	if cut {
		changes = append(changes, "delete from edge where dependency >> 24 = $1")
	}
	for _, change := range changes {
		if _, err := h.s.pool.Exec(h.t.Context(), change, pgx.QueryExecModeSimpleProtocol, tree); err != nil {
			h.t.Fatal(err)
		}
	}
}

// TestARevisedTree: nothing is unlocked, and nothing published, by what is remembered of an earlier revision of the tree.
func TestARevisedTree(t *testing.T) {
	t.Parallel()
	room := func(int32, dag.Priority, int32) bool { return true }
	for _, optimistic := range []bool{true, false} {
		for _, large := range []bool{true, false} {
			for _, cut := range []bool{true, false} {
				t.Run(fmt.Sprintf("optimistic %t, large %t, cut %t", optimistic, large, cut), func(t *testing.T) {
					h := newTwoStores(t, 1)
					submit := h.s.submissions.submit
					if large { // as if it were
						submit = h.s.submissions.submitLarge
					}
					out, err := submit(t.Context(), chainOfTwo("t"))
					if err != nil {
						t.Fatal(err)
					}
					first := out.Effects.Publish[0]
					if verdicts, _, err := h.s.Claim(t.Context(), []dag.Claim{{Task: first.Key, Attempt: 1, Worker: h.worker, Facts: first.Facts()}}); err != nil || verdicts[0] != dag.Yes {
						t.Fatal(verdicts, err)
					}
					if large { // of a large tree, a task that waits is remembered only after a transaction that left it so
						last := dag.Row{Key: out.Tree.Key(0), State: dag.Waiting, Priority: first.Priority, Pool: first.Pool, Attempt: 1, Remaining: 1}
						h.s.resident.each([]*dag.Row{dag.NewDecision(time.Time{}, nil).Add(last, false)}, (*residentTree).remember)
					}
					h.revise(out.Tree, cut)
					result := dag.Result{Task: first.Key, Attempt: 1, Worker: h.worker, Outcome: dag.OutcomeCompleted, Value: []byte(`{"r":1}`)}
					if optimistic {
						result.Facts = first.Facts()
					}
					before, _ := h.s.OptimisticTransactions()
					_, eff, err := h.s.Settle(t.Context(), []dag.Result{result}, room)
					if err != nil {
						t.Fatal(err)
					}
					if tried, refused := h.s.OptimisticTransactions(); tried-before != refused || (refused == 1) != optimistic {
						t.Errorf("%d transactions were optimistic, %d refused", tried-before, refused)
					}
					got := h.states(out.Tree)
					switch {
					case cut && (got != "completed 1, waiting 1" || len(eff.Publish) > 0):
						t.Errorf("the tasks are %s, and %d are published, though nothing waits for the first one", got, len(eff.Publish))
					case !cut && (got != "completed 1, ready 1" || len(eff.Publish) != 1 || string(eff.Publish[0].Inputs) != `{"n": 3}`):
						t.Errorf("the tasks are %s; published is %+v, want the payload of the revision", got, eff.Publish)
					}
					if h.s.resident.trees[out.Tree] != nil {
						t.Error("the earlier revision is still resident")
					}
				})
			}
		}
	}
}

// TestARevisedTreeIsDispatched: what waited in Postgres is published as the tree's revision has it.
func TestARevisedTreeIsDispatched(t *testing.T) {
	t.Parallel()
	h := newTwoStores(t, 1)
	sub := treeOf(&dag.Task{ID: "a", Name: "a", Executor: "e", Inputs: []byte(`{"n": 1}`)})
	sub.Room = nil
	out, err := h.s.Submit(t.Context(), dag.DefaultNamespaceKey, sub)
	if err != nil {
		t.Fatal(err)
	}
	h.revise(out.Tree, false)
	h.dispatch()
	if len(h.waiting) != 1 || string(h.waiting[0].Inputs) != `{"n": 3}` {
		t.Errorf("published is %+v, want the payload of the revision", h.waiting)
	}
}
