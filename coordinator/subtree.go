package coordinator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/pg"
)

// Bounds of trees that tasks submit, and of one look for them.
const (
	subtreesAtOnce   = 20
	subtreeCopyTasks = 10_000   // of a tree that is copied
	subtreeCopyBytes = 16 << 20 // that they carry
	subtreeTime      = time.Minute
	subtreeFaults    = 16 << 10 // of the text that says what is wrong with a tree
)

// The reasons of cancellations that go down.
const (
	subtreeCancelled = "the task that waits for this tree was cancelled"
	subtreeLeft      = "the task that waited for this tree waits no more"
)

// submitSubtrees submits trees for which tasks wait, and cancels those for which they wait no more.
func (c *Coordinator) submitSubtrees(ctx context.Context) (more bool, err error) {
	work, err := c.store.SubtreeWork(ctx, subtreesAtOnce)
	if err != nil {
		return false, err
	}
	failed := 0
	for i := range work {
		w := &work[i]
		if err := c.subtree(ctx, w); err != nil {
			if ctx.Err() != nil {
				return false, err
			}
			if !errors.Is(err, errTreeCancelled) {
				c.log.Warn("the tree of a task could not be submitted or cancelled, which is tried again", "task_key", int64(w.Task), "attempt", w.Attempt, "error", err)
			}
			failed++
			if err := c.store.PostponeSubtree(ctx, w); err != nil {
				return false, err
			}
		}
	}
	return len(work) > failed, nil
}

// subtree does for one task what is next.
func (c *Coordinator) subtree(ctx context.Context, w *pg.SubtreeWork) error {
	if w.Wait == nil || w.Attempt > 1 { // earlier attempts may have left some
		reason := subtreeLeft
		if w.State == dag.Cancelled {
			reason = subtreeCancelled
		}
		failpoint.Hit("coordinator.before-subtree-leave")
		left, err := c.store.LeaveSubtrees(ctx, w.Task, reason)
		if err != nil {
			return err
		}
		if left > 0 {
			failpoint.Hit("coordinator.after-subtree-leave")
			wake(c.wakeFollowups)
		}
	}
	switch {
	case w.Wait == nil:
		return nil
	case w.Cancelled:
		return errTreeCancelled
	case w.RootID == "":
		return c.submitSubtree(ctx, w)
	}
	answer, err := begun(w)
	if err != nil {
		return err
	}
	return c.endSubtreeWait(ctx, w, answer)
}

// errTreeCancelled: the task is about to be cancelled, too.
var errTreeCancelled = errors.New("the tree of the task is being cancelled")

func (c *Coordinator) endSubtreeWait(ctx context.Context, w *pg.SubtreeWork, a dag.Answer) error {
	eff, err := c.store.EndSubtreeWait(ctx, w.Task, w.Attempt, a, c.lanes.room)
	if err != nil {
		return err
	}
	failpoint.Hit("coordinator.after-subtree-end")
	c.after(ctx, eff)
	return nil
}

// submitSubtree submits the tree that a task asks for, as its user would. What is wrong with it fails the attempt.
func (c *Coordinator) submitSubtree(ctx context.Context, w *pg.SubtreeWork) error {
	fail := func(kind dag.Kind, text string) error {
		return c.endSubtreeWait(ctx, w, dag.Answer{Outcome: dag.OutcomeFailed, Kind: kind, Error: clean(cutBytes(text, subtreeFaults))})
	}
	sub, err := w.Wait.Subtree()
	if err != nil {
		return fail(dag.KindInput, err.Error())
	}
	if w.Depth >= dag.MaxSubtreeDepth {
		return fail(dag.KindInput, fmt.Sprintf("trees that tasks submit may be nested %d deep, and the tree of this task is", dag.MaxSubtreeDepth))
	}
	ctx, cancel := context.WithTimeout(ctx, subtreeTime)
	defer cancel()
	in := &Coordinator{engine: c.engine, namespace: c.NamespaceName(ctx, w.Namespace)}
	var tasks iter.Seq2[*dag.Task, error]
	var row *pg.FlowRun
	if sub.Flow != "" {
		tasks, row, err = in.subtreeRun(ctx, w, &sub)
	} else {
		tasks, err = in.subtreeTasks(ctx, w, &sub)
	}
	if err == nil {
		failpoint.Hit("coordinator.before-subtree-submit")
		_, err = in.submit(ctx, SubmitOptions{UserID: w.UserID, NoCache: w.Flags&dag.FlagFresh != 0, run: row,
			waiter: &pg.Waiter{Task: w.Task, Attempt: w.Attempt, Depth: w.Depth + 1, Detach: sub.Detach}}, tasks)
	}
	if err == nil {
		failpoint.Hit("coordinator.after-subtree-submit")
		return nil
	}
	if errors.Is(err, pg.ErrNoWaiter) { // another coordinator was quicker, or the task waits no more
		return nil
	}
	if errors.Is(err, pg.ErrTaken) {
		if _, list, err := in.flowRun(ctx, sub.Flow+"/"+childRun(w)); err == nil && list[0].CreatedBy == "task "+w.ID { // another coordinator was quicker
			return nil
		}
		return fail(dag.KindInput, fmt.Sprintf("a run of %s with the id %s is there", sub.Flow, childRun(w)))
	}
	if bad, ok := errors.AsType[*FlowFaultsError](err); ok {
		return fail(dag.KindInput, bad.Error())
	}
	if kind, text := subtreeRefusal(err); kind != "" {
		return fail(kind, text)
	}
	return err
}

// subtreeRefusal is why a tree is refused for good; empty: it may be accepted later.
func subtreeRefusal(err error) (dag.Kind, string) {
	if bad, ok := errors.AsType[*dag.InvalidTreeError](err); ok {
		return dag.KindInput, "the tree is invalid: " + faultsOf(bad)
	}
	if bad, ok := errors.AsType[*dag.InvalidTaskError](err); ok {
		return dag.KindInput, "the tree is invalid: " + faultsOf(&dag.InvalidTreeError{Problems: []*dag.InvalidTaskError{bad}})
	}
	if bad, ok := errors.AsType[*InvalidArgumentError](err); ok {
		return dag.KindInput, fmt.Sprintf("%s: %s", bad.Field, bad.Reason)
	}
	if _, ok := errors.AsType[*QuotaError](err); ok {
		return dag.KindTreeFull, err.Error()
	}
	if below, ok := errors.AsType[*dag.LevelError](err); ok {
		return dag.KindTreeFull, below.Error()
	}
	if errors.Is(err, ErrNotFound) {
		return dag.KindInput, "the namespace is being deleted"
	}
	return "", ""
}

// faultsOf are all faults of a tree, each with its path.
func faultsOf(bad *dag.InvalidTreeError) string {
	var all []string
	for _, p := range bad.Problems {
		at := ""
		switch {
		case p.Index >= 0 && p.Field != "":
			at = fmt.Sprintf("tree[%d].%s: ", p.Index, treedoc.Short(p.Field))
		case p.Index >= 0:
			at = fmt.Sprintf("tree[%d]: ", p.Index)
		case p.Field != "":
			at = p.Field + ": "
		}
		all = append(all, at+p.Reason)
	}
	if bad.More > 0 {
		all = append(all, fmt.Sprintf("and %d more", bad.More))
	}
	return strings.Join(all, "; ")
}

// cutBytes is the beginning of a text that may be long.
func cutBytes(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// subtreeTasks are the tasks that a task submits.
func (c *Coordinator) subtreeTasks(ctx context.Context, w *pg.SubtreeWork, sub *dag.Subtree) (iter.Seq2[*dag.Task, error], error) {
	if sub.CopyOf == "" {
		tree, err := c.renderTree(sub.Tree)
		if err != nil {
			return nil, err
		}
		index := -1
		return marked(treedoc.Parse(tree, treedoc.Options{Limits: c.cfg.Limits, Executors: c.cfg.Known}), func(t *dag.Task) {
			index++
			if t.Unique != nil {
				t.Faults = append(t.Faults, &dag.InvalidTaskError{Code: dag.InvalidField, Index: index, Task: t.ID, Field: "unique",
					Reason: "is of trees that users submit: a task waits for the tree that is its own"})
			}
			if t.UserID != "" && t.UserID != w.UserID {
				t.Faults = append(t.Faults, &dag.InvalidTaskError{Code: dag.WrongOwner, Index: index, Task: t.ID, Field: "user_id",
					Reason: "the tree belongs to the user whose task submits it, and names another one"})
			}
		}), nil
	}
	tasks, err := c.subtreeCopy(ctx, w, sub.CopyOf)
	if err != nil {
		return nil, err
	}
	if faults := replaceInputs(tasks, sub.Inputs); len(faults) > 0 {
		return nil, &dag.InvalidTreeError{Problems: faults[:min(len(faults), dag.MaxProblems)], More: max(0, len(faults)-dag.MaxProblems)}
	}
	return func(yield func(*dag.Task, error) bool) {
		for _, t := range tasks {
			if !yield(t, nil) {
				return
			}
		}
	}, nil
}

// replaceInputs puts inputs into tasks, which are named by their references or names.
func replaceInputs(tasks []*dag.Task, inputs map[string]map[string]json.RawMessage) (faults []*dag.InvalidTaskError) {
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		field := "inputs." + name
		fault := func(field, reason string) {
			faults = append(faults, &dag.InvalidTaskError{Index: -1, Field: field, Reason: reason})
		}
		var named []*dag.Task
		for _, t := range tasks {
			if t.ID == name {
				named = []*dag.Task{t}
				break
			}
			if t.Name == name {
				named = append(named, t)
			}
		}
		switch len(named) {
		case 0:
			fault(field, "the tree has no task of that id or name")
		case 1:
			for _, f := range named[0].Replace(inputs[name]) {
				fault(field+"."+f.Name, f.Reason)
			}
		default:
			fault(field, fmt.Sprintf("the tree has %d tasks of that name: say its id", len(named)))
		}
	}
	return faults
}

// subtreeCopy are the tasks of a stored tree as they were submitted, without those that tasks have found since. Others' trees are not there.
func (c *Coordinator) subtreeCopy(ctx context.Context, w *pg.SubtreeWork, id string) ([]*dag.Task, error) {
	bad := func(format string, args ...any) error {
		return &InvalidArgumentError{Field: "copy_of", Reason: fmt.Sprintf(format, args...)}
	}
	missing := bad("there is no tree %q", cut(clean(id)))
	if !text(id) {
		return nil, missing
	}
	k, err := c.store.KeyOf(ctx, w.Namespace, id)
	var tree *pg.Tree
	if err == nil {
		tree, err = c.store.Tree(ctx, k.Tree())
	}
	switch {
	case errors.Is(err, pg.ErrNotFound):
		return nil, missing
	case err != nil:
		return nil, err
	case tree.UserID != "" && tree.UserID != w.UserID:
		return nil, missing
	case tree.ID != id:
		return nil, bad("%q is a task of the tree %q: name the tree", id, tree.ID)
	case tree.Tasks > subtreeCopyTasks:
		return nil, bad("the tree has %d tasks, and %d may be copied so", tree.Tasks, subtreeCopyTasks)
	}
	var list []*pg.Shown
	size := 0
	from, end := tree.Key.Range()
	for {
		page, err := c.store.TreeTasks(ctx, from, end, pg.Filter{AsSubmitted: true, Limit: 500})
		if err != nil {
			return nil, err
		}
		for _, t := range page.Tasks {
			if t.Flags&dag.FlagChild == 0 {
				list = append(list, t)
			}
			size += len(t.Inputs) + len(t.Params) + len(t.Schemas) + len(t.Custom)
		}
		if size > subtreeCopyBytes {
			return nil, bad("the tasks of the tree carry over %d bytes, the most that may be copied so", subtreeCopyBytes)
		}
		if !page.More || len(page.Tasks) == 0 {
			break
		}
		from = page.Last().Key + 1
	}
	return submittedTasks(list)
}

// submittedTasks are stored tasks as a submission has them. They are called as they were called there: by ids, or by names if none had one.
func submittedTasks(list []*pg.Shown) ([]*dag.Task, error) {
	byName := !slices.ContainsFunc(list, func(t *pg.Shown) bool { return t.Ref != t.Name })
	refs := make(map[string]string, len(list))
	for _, t := range list {
		refs[t.ID] = t.Ref
	}
	tasks := make([]*dag.Task, len(list))
	for i, t := range list {
		control, err := dag.ReadControl(t.Control)
		if err != nil {
			return nil, &InvalidArgumentError{Field: "copy_of", Reason: fmt.Sprintf("task %q was stored by a later version", t.ID)}
		}
		one := &dag.Task{Name: t.Name, ParentRef: refs[str(t.ParentID)], Priority: t.Priority, Inputs: t.Inputs, Params: t.Params, Schemas: t.Schemas, Custom: t.Custom,
			Executor: t.Executor, Retry: t.Policy.Retry, OnLost: t.Policy.OnLost, Timeout: t.Policy.Timeout, ScheduleToStart: t.Policy.ScheduleToStart, NotBefore: t.Policy.NotBefore,
			TreeTimeout: t.TreeTimeout, Labels: t.Labels, Repeatable: t.Flags&dag.FlagRepeatable != 0, Fold: t.Flags&dag.FlagFold != 0, AllowFailure: t.Flags&dag.FlagAllowed != 0, Control: control}
		if !byName {
			one.ID = t.Ref
		}
		if t.Pool != dag.PoolOf(t.Executor) {
			one.Pool = t.Pool
		}
		if t.Flags&dag.FlagImported != 0 && t.State.Settled() {
			one.Imported = &dag.Imported{State: t.State, Result: t.Result, Error: str(t.Error), Attempts: t.Attempt}
		}
		for _, d := range t.Dependencies {
			one.Dependencies = append(one.Dependencies, dag.Dependency{Ref: refs[d.ID], Optional: !d.Required, Type: d.Type, Mode: d.Mode.Shown(one.Fold)})
		}
		tasks[i] = one
	}
	return tasks, nil
}
