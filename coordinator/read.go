package coordinator

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
)

// Reader shows what is stored. Where an id names a task or a tree that is not there, the error is [ErrNotFound].
type Reader interface {
	Task(ctx context.Context, id string) (*Task, error)
	Tasks(ctx context.Context, f TaskFilter) (Page[*Task], error)
	// Resolve finds the tasks that a text may stand for: an id, the beginning of an id, or TREE/name, where TREE is an id or its
	// beginning, too, and name may also be what the submission calls the task. An id or a name as it is comes before what merely begins so.
	// With an owner only that user's tasks count.
	Resolve(ctx context.Context, ref, owner string) (*Matches, error)
	// Attempts lists a task's attempts, oldest first.
	Attempts(ctx context.Context, taskID string) ([]Attempt, error)
	// Why says what a task that is not running waits for, as of one moment.
	Why(ctx context.Context, taskID string) (*Explanation, error)
	// Tree shows the tree of a task.
	Tree(ctx context.Context, id string) (*TreeStatus, error)
	Trees(ctx context.Context, f TreeFilter) (Page[*TreeStatus], error)
	// Running counts trees with an execution in progress; userID may be empty.
	Running(ctx context.Context, userID string) (int, error)
	// Usage sums up what attempts that ended used of models, a page of groups by their keys, trees newest first. Trees that retention deleted
	// are not in it.
	Usage(ctx context.Context, f UsageFilter) (Page[UsageGroup], error)
	// Artifacts lists a page of the files that the attempts of a task, or of all tasks of its tree, made, by task and attempt.
	Artifacts(ctx context.Context, f ArtifactFilter) (Page[*Artifact], error)
	// OpenArtifact reads one of them. The caller closes it. [ErrNotFound]: there is none of that name.
	OpenArtifact(ctx context.Context, q ArtifactQuery) (*OpenedArtifact, error)
	// Executors shows a page of the executors that tasks may name, by id: the built-in ones, and those that workers describe.
	Executors(ctx context.Context, cursor string) (Page[*Executor], error)
	// Executor shows one of them; _executor at the end of its id may be left out. [ErrNotFound].
	Executor(ctx context.Context, id string) (*Executor, error)
}

func (g *guarded) Executors(ctx context.Context, cursor string) (Page[*Executor], error) {
	return ask(ctx, g, Call{Method: "Executors"}, func() (Page[*Executor], error) { return g.next.Executors(ctx, cursor) })
}

func (g *guarded) Executor(ctx context.Context, id string) (*Executor, error) {
	return ask(ctx, g, Call{Method: "Executor"}, func() (*Executor, error) { return g.next.Executor(ctx, id) })
}

func (g *guarded) Task(ctx context.Context, id string) (*Task, error) {
	return ask(ctx, g, Call{Method: "Task", ID: id}, func() (*Task, error) { return g.next.Task(ctx, id) })
}

// Tasks names the parent or the tree that it lists, if any; of both, both.
func (g *guarded) Tasks(ctx context.Context, f TaskFilter) (Page[*Task], error) {
	call := Call{Method: "Tasks", ID: cmp.Or(f.ParentID, f.TreeOf), UserID: f.UserID}
	if f.ParentID != "" && f.TreeOf != "" {
		tree := call
		tree.ID = f.TreeOf
		if _, _, err := g.allow(ctx, tree); err != nil {
			return Page[*Task]{}, err
		}
	}
	return askFor(ctx, g, call, func(owner string) (Page[*Task], error) {
		f.UserID = owner
		page, err := g.next.Tasks(ctx, f)
		if err == nil && f.Approvals {
			err = g.mayAnswer(ctx, page.Items)
		}
		return page, err
	})
}

// mayAnswer tells of tasks that wait for approvals whether the caller may answer, by what is known of them: nothing is looked up for each.
func (g *guarded) mayAnswer(ctx context.Context, tasks []*Task) error {
	for _, t := range tasks {
		known := &knownTask{owner: t.UserID}
		if t.Waiting != nil && len(t.Waiting.Data) > 0 {
			a := dag.WaitRules{}
			if err := json.Unmarshal(t.Waiting.Data, &a); err != nil {
				continue
			}
			known.approvers = a.Approvers
		}
		switch _, err := g.policy(ctx, g.caller, Call{Method: "Approve", ID: t.ID, known: known}); {
		case err == nil:
			t.MayAnswer = true
		case !errors.Is(err, ErrDenied) && !errors.Is(err, ErrUnauthenticated) && !errors.Is(err, ErrNotFound):
			return err
		}
	}
	return nil
}

// Resolve names no task: what the text stands for is found only where the caller may look.
func (g *guarded) Resolve(ctx context.Context, ref, owner string) (*Matches, error) {
	return askFor(ctx, g, Call{Method: "Resolve", UserID: owner}, func(owner string) (*Matches, error) { return g.next.Resolve(ctx, ref, owner) })
}

func (g *guarded) Attempts(ctx context.Context, taskID string) ([]Attempt, error) {
	return ask(ctx, g, Call{Method: "Attempts", ID: taskID}, func() ([]Attempt, error) { return g.next.Attempts(ctx, taskID) })
}

func (g *guarded) Why(ctx context.Context, taskID string) (*Explanation, error) {
	return ask(ctx, g, Call{Method: "Why", ID: taskID}, func() (*Explanation, error) { return g.next.Why(ctx, taskID) })
}

func (g *guarded) Tree(ctx context.Context, id string) (*TreeStatus, error) {
	return ask(ctx, g, Call{Method: "Tree", ID: id}, func() (*TreeStatus, error) { return g.next.Tree(ctx, id) })
}

func (g *guarded) Trees(ctx context.Context, f TreeFilter) (Page[*TreeStatus], error) {
	return askFor(ctx, g, Call{Method: "Trees", UserID: f.UserID}, func(owner string) (Page[*TreeStatus], error) {
		f.UserID = owner
		return g.next.Trees(ctx, f)
	})
}

func (g *guarded) Running(ctx context.Context, userID string) (int, error) {
	return askFor(ctx, g, Call{Method: "Running", UserID: userID}, func(owner string) (int, error) { return g.next.Running(ctx, owner) })
}

// Usage names the tree that it is of, if any.
func (g *guarded) Usage(ctx context.Context, f UsageFilter) (Page[UsageGroup], error) {
	return askFor(ctx, g, Call{Method: "Usage", ID: f.TreeOf, UserID: f.UserID}, func(owner string) (Page[UsageGroup], error) {
		f.UserID = owner
		return g.next.Usage(ctx, f)
	})
}

func (c *Coordinator) keyOf(ctx context.Context, id string) (dag.Key, error) {
	if !text(id) {
		return 0, ErrNotFound
	}
	here, err := c.here(ctx)
	if err != nil {
		return 0, err
	}
	k, err := c.store.KeyOf(ctx, here, id)
	if err != nil {
		return 0, c.internal("look up task", err)
	}
	return k, nil
}

// Task shows one task; see [Service].
func (c *Coordinator) Task(ctx context.Context, id string) (*Task, error) {
	if !text(id) {
		return nil, ErrNotFound
	}
	t, err := c.shownTask(ctx, id)
	if err != nil {
		return nil, c.internal("read task", err)
	}
	out := c.show(t)
	out.Usage = UsageOf(t.Used, true)
	return out, nil
}

// shownTask reads a task of the namespace. Errors are those of the store, and [ErrNotFound].
func (c *Coordinator) shownTask(ctx context.Context, id string) (*pg.Shown, error) {
	here, err := c.here(ctx)
	if err != nil {
		return nil, err
	}
	return c.store.Task(ctx, here, id)
}

// show is a task of the namespace as shown.
func (c *Coordinator) show(t *pg.Shown) *Task {
	out := show(t)
	out.Namespace = c.namespace
	return out
}

func show(t *pg.Shown) *Task {
	out := &Task{Key: t.Key, ID: t.ID, Ref: t.Ref, TreeID: t.TreeID, ParentID: str(t.ParentID), UserID: str(t.UserID), Name: t.Name,
		State: t.State, Priority: t.Priority, Inputs: t.Inputs, Params: t.Params, Schemas: t.Schemas, Custom: t.Custom,
		Result: t.Result, Outputs: t.Outputs, Error: str(t.Error), Executor: t.Executor, Pool: t.Pool, Worker: str(t.Worker), Attempt: int(t.Attempt),
		HasChildren: t.Flags&dag.FlagLeaf == 0, Repeatable: t.Flags&dag.FlagRepeatable != 0, CreatedAt: t.CreatedAt, UpdatedAt: t.CreatedAt,
		OriginalID: str(t.Original), HasCopy: t.HasCopy, Labels: t.Labels, Options: showOptions(t)}
	out.Beyond = showBeyond(t)
	out.Waiting, out.SubtreeID = showWaiting(t.Waiting), t.SubtreeID
	if out.Waiting != nil {
		out.Waiting.TreeID = t.SubtreeID
	}
	if e := t.Expansion; e != nil {
		out.Expansion = &Expansion{Tasks: int(e.Tasks), Made: int(e.Made), Unfinished: int(e.Unfinished), Window: int(e.Window)}
	}
	for _, d := range t.Dependencies {
		out.Dependencies = append(out.Dependencies, Dependency{ID: d.ID, Required: d.Required, Type: d.Type, Mode: d.Mode.Shown(out.Fold)})
	}
	switch {
	case dag.SuccessfulStates.Has(t.State):
		out.Progress = 1
	case t.Progress != nil:
		out.Progress = float64(*t.Progress)
	}
	if t.BlockedBy != nil {
		out.BlockedBy = []string{*t.BlockedBy}
	}
	if !dag.OutcomeStates.Has(t.State) { // what a settled attempt left behind counts only when it is the last word
		out.Result, out.Outputs, out.Error = nil, nil, ""
	}
	for _, at := range []struct {
		from *time.Time
		to   *time.Time
	}{{t.ReadyAt, &out.ReadyAt}, {t.StartedAt, &out.StartedAt}, {t.FinishedAt, &out.CompletedAt}, {t.DueAt, &out.DueAt}} {
		if at.from != nil {
			*at.to = *at.from
			if at.to != &out.DueAt && at.to != &out.ReadyAt && at.from.After(out.UpdatedAt) {
				out.UpdatedAt = *at.from
			}
		}
	}
	if len(t.Results) > 0 {
		if merged, err := dag.Merge(t.Inputs, t.Schemas, t.Results); err == nil {
			out.Inputs = merged
		}
	}
	return out
}

// showBeyond is what the task shows beyond the protocol. A control that can't be read shows nothing: it is the process of a later version that
// wrote it.
func showBeyond(t *pg.Shown) Beyond {
	out := Beyond{Fold: t.Flags&dag.FlagFold != 0, AllowFailure: t.Flags&dag.FlagAllowed != 0}
	if c := controlOfShown(t); c != nil {
		out.When, out.Template, out.Repeat, out.Repeats = c.When, c.Template, c.Repeat, int(t.Repeats)
		out.Cache, out.CachedFrom = c.Cache, t.CachedFrom
		out.Exhausted = c.Repeat != nil && t.State == dag.Completed && dag.Exhausted(t.Result)
	}
	if out.Limiting = t.Limiting; t.Submitted {
		out.Limiting = t.Limiting.AsSubmitted()
	}
	switch t.State {
	case dag.Skipped:
		out.SkipReason = dag.SkipReason(t.Result)
	case dag.Failed:
		out.ErrorKind = cmp.Or(dag.Kind(str(t.Kind)), dag.KindExecutor)
	}
	return out
}

// controlOfShown is what the task says beyond the protocol, as far as this process can read it; nil: nothing.
func controlOfShown(t *pg.Shown) *dag.Control {
	if t.Control == nil {
		return nil
	}
	c, err := dag.ReadControl(t.Control)
	if err != nil {
		return nil
	}
	return c
}

// showOptions are what the task was submitted with, if that was read.
func showOptions(t *pg.Shown) TaskOptions {
	out := TaskOptions{Policy: t.Policy, TreeTimeout: t.TreeTimeout, Retention: t.Retention}
	if !t.Submitted {
		return out
	}
	if c := controlOfShown(t); c != nil {
		out.Outputs, out.Artifacts, out.FlowStep = c.Outputs, c.Artifacts, c.FlowStep.Text()
	}
	if t.Flags&dag.FlagImported != 0 && t.State.Settled() {
		out.Imported = &dag.Imported{State: t.State, Attempts: t.Attempt}
		if dag.OutcomeStates.Has(t.State) {
			out.Imported.Result, out.Imported.Error = t.Result, str(t.Error)
		}
	}
	out.Found = t.Flags&dag.FlagChild != 0
	return out
}

// kindOf is the kind of the error of an attempt that ended; empty: it did not fail.
func kindOf(a pg.Attempt) dag.Kind {
	switch a.Outcome {
	case dag.OutcomeFailed:
		return cmp.Or(dag.Kind(a.Kind), dag.KindExecutor)
	case dag.OutcomeTimedOut:
		return cmp.Or(dag.Kind(a.Kind), dag.KindTimeout)
	case dag.OutcomeLost:
		return cmp.Or(dag.Kind(a.Kind), dag.KindLost)
	}
	return ""
}

func str(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// Attempts shows a task's history; see [Service].
func (c *Coordinator) Attempts(ctx context.Context, taskID string) ([]Attempt, error) {
	t, err := c.Task(ctx, taskID)
	if err != nil {
		return nil, err
	}
	list, err := c.store.Attempts(ctx, t.Key)
	if err != nil {
		return nil, c.internal("read attempts", err)
	}
	var out []Attempt
	for _, a := range list {
		one := Attempt{Number: int(a.Number), Outcome: a.Outcome, Kind: kindOf(a), Counted: a.Counted, Error: a.Error, Detail: a.Detail,
			Worker: a.Worker, Result: a.Result, Outputs: a.Outputs, Usage: UsageOf(a.Used, true)}
		if a.StartedAt != nil {
			one.StartedAt = *a.StartedAt
		}
		if a.FinishedAt != nil {
			one.FinishedAt = *a.FinishedAt
		}
		if a.CancelledAt != nil {
			one.CancelledAt = *a.CancelledAt
		}
		out = append(out, one)
	}
	if t.State == dag.Running || t.State == dag.Awaiting {
		out = append(out, Attempt{Number: t.Attempt, Running: true, Worker: t.Worker, StartedAt: t.StartedAt})
	}
	return out, nil
}

// Tree shows a tree's aggregate; see [Service].
func (c *Coordinator) Tree(ctx context.Context, id string) (*TreeStatus, error) {
	k, err := c.keyOf(ctx, id)
	if err != nil {
		return nil, err
	}
	t, used, err := c.store.TreeWithUsage(ctx, k.Tree())
	if err != nil {
		return nil, c.internal("read tree", err)
	}
	out := c.showTree(t)
	out.Usage = UsageOf(used, true)
	if t.Unique != nil {
		out.Unique = &UniqueKey{Key: t.Unique.Key}
		if t.Unique.Until != nil {
			out.Unique.Until = *t.Unique.Until
		}
	}
	if t.Keeping {
		return out, c.addKeeping(ctx, out)
	}
	return out, nil
}

// showTree is a tree of the namespace as shown.
func (c *Coordinator) showTree(t *pg.Tree) *TreeStatus { return showTree(t, c.namespace) }

func showTree(t *pg.Tree, namespace string) *TreeStatus {
	counts := t.Counts()
	out := &TreeStatus{Key: t.Key, Namespace: namespace, ID: t.ID, Name: t.Name, UserID: t.UserID, Status: counts.Status(), Progress: counts.Progress(),
		Tasks: t.Tasks, Held: t.Held, Unfinished: t.Unfinished, Running: t.Running, Completed: t.Completed, Failed: t.Failed,
		Cancelled: t.Cancelled, Blocked: t.Blocked, Skipped: t.Skipped, Allowed: t.Allowed, Sequence: t.Sequence, CreatedAt: t.CreatedAt,
		OnlyOptionalFailed: t.OnlyOptionalFailed, Labels: t.Labels}
	if t.StartedAt != nil {
		out.StartedAt = *t.StartedAt
	}
	if t.FinishedAt != nil {
		out.FinishedAt = *t.FinishedAt
	}
	for into, at := range map[*time.Time]*time.Time{&out.Due: t.DueAt, &out.Late: t.LateAt} {
		if at != nil {
			*into = *at
		}
	}
	return out
}

// Running counts trees with an execution in progress; see [Service].
func (c *Coordinator) Running(ctx context.Context, userID string) (int, error) {
	if !text(userID) {
		return 0, nil
	}
	here, err := c.here(ctx)
	if err != nil {
		return 0, err
	}
	n, err := c.store.CountOpenTrees(ctx, here, userID)
	if err != nil {
		return 0, c.internal("count trees", err)
	}
	return n, nil
}
