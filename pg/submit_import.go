package pg

import (
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// maxImported bounds what the tasks of one tree bring along that have ended before they are submitted: it is kept in memory until they are written.
const maxImported = 64 << 20

// takeImported keeps how a task has ended that is submitted as settled.
func (in *intake) takeImported(i int, t *dag.Task) error {
	imported := *t.Imported
	in.imported += 1 + len(imported.Result) + len(imported.Error) + len(imported.Outputs)
	if in.imported > maxImported {
		return &dag.InvalidTreeError{Problems: []*dag.InvalidTaskError{{Code: dag.InvalidField, Index: i, Task: t.ID, Field: "result",
			Reason: fmt.Sprintf("tasks[%d].result: what tasks ended with before they were submitted has more than %d MiB together", i, maxImported>>20)}}}
	}
	in.tasks[i].imported = &imported
	return nil
}

// born says how the tasks begin, if some of them are settled already; nil: none is.
func (t *stagedTree) born() []dag.Restart {
	if t.in.imported == 0 || t.births != nil {
		return t.births
	}
	t.births = t.g.Births(func(i int) dag.State {
		if imported := t.in.tasks[i].imported; imported != nil {
			return imported.State
		}
		return dag.Held
	}, t.flags)
	return t.births
}

// checkImported is a *[dag.InvalidTreeError] of the tasks that are said to be blocked and that nothing blocks.
func (t *stagedTree) checkImported() error {
	faults := &dag.InvalidTreeError{}
	for i, r := range t.born() {
		switch {
		case r.State != dag.Blocked || r.BlockedBy >= 0:
		case len(faults.Problems) == dag.MaxProblems:
			faults.More++
		default:
			faults.Problems = append(faults.Problems, &dag.InvalidTaskError{Code: dag.InvalidField, Index: i, Task: t.g.Refs[i], Field: "outcome",
				Reason: fmt.Sprintf("tasks[%d].outcome: it is blocked, and none of its dependencies has ended in a way that blocks it", i)})
		}
	}
	if len(faults.Problems) > 0 {
		return faults
	}
	return nil
}

// queueImported writes what is settled as the tree begins, after its rows: the attempts, which task is blocked by which, and its aggregate. A tree of which all is
// settled ends at once.
func (t *stagedTree) queueImported(b *pgx.Batch, z *sealer) error {
	births := t.born()
	if births == nil {
		return nil
	}
	t.imported = &Effects{}
	from := dag.Waiting
	if t.sub.Hold {
		from = dag.Held
	}
	var ended []dag.Ended
	var keys, causes []int64
	var attempts []int32
	delta := &dag.TreeDelta{}
	for i, r := range births {
		imported, k := t.in.tasks[i].imported, t.key(i)
		if !r.State.Settled() || imported == nil && t.sub.Hold {
			continue
		}
		flags := t.flags(i)
		delta.Count(from, flags, -1)
		delta.Count(r.State, flags, 1)
		attempt, cause := int32(1), int64(0)
		if imported != nil {
			if e, ok := imported.Ended(k); ok {
				ended, attempt = append(ended, e), e.Attempt
			}
		}
		if r.State == dag.Blocked && r.BlockedBy >= 0 {
			cause = int64(t.key(r.BlockedBy))
		}
		keys, attempts, causes = append(keys, int64(k)), append(attempts, attempt), append(causes, cause)
	}
	b.Queue(sql("ImportTasks"), keys, attempts, causes)
	if err := queueEnded(b, z, ended, t.created); err != nil {
		return err
	}
	queueTrees(b, map[dag.TreeKey]*dag.TreeDelta{t.tree: delta}, t.imported)
	return nil
}
