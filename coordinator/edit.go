package coordinator

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/policy"
)

// Editor changes what is stored of trees: their tasks, not their course. Where an id names a task that is not there, the error is [ErrNotFound].
type Editor interface {
	// Update changes fields of a stored task, all or none (spec 2.3). *[UpdateError] names every fault.
	Update(ctx context.Context, taskID string, change TaskChange) (*Task, error)
	// Delete takes a task and all below it out of the store; of a root, the tree (spec 2.4). *[DeleteError].
	Delete(ctx context.Context, taskID string, opts DeleteOptions) (*Deletion, error)
	// Add stores tasks below a stored one (spec 12.5), as if the whole tree had been sent at once, while no task of it has started. Each task
	// without a parent goes below parentID, and references are to ids, or what the submission calls tasks. *[ParentError] when one has started.
	// Of opts it takes IdempotencyKey and Show: the answer shows the new tasks.
	Add(ctx context.Context, parentID string, opts SubmitOptions, tasks iter.Seq2[*dag.Task, error]) (*Submitted, error)
	// Copy copies a task with what belongs to it as a tree of its own, or shows what it would store (spec 4).
	Copy(ctx context.Context, taskID string, opts CopyOptions) (*Copied, error)
}

func (g *guarded) Update(ctx context.Context, taskID string, change TaskChange) (*Task, error) {
	return ask(ctx, g, Call{Method: "Update", ID: taskID, Details: detail("fields", changedFields(change))}, func() (*Task, error) {
		return g.next.Update(g.seesFlows(ctx), taskID, change)
	})
}

func (g *guarded) Delete(ctx context.Context, taskID string, opts DeleteOptions) (*Deletion, error) {
	return ask(ctx, g, Call{Method: "Delete", ID: taskID, Details: detail("force", opts.Force, "alone", opts.Alone)}, func() (*Deletion, error) { return g.next.Delete(ctx, taskID, opts) })
}

func (g *guarded) Add(ctx context.Context, parentID string, opts SubmitOptions, tasks iter.Seq2[*dag.Task, error]) (*Submitted, error) {
	call := Call{Method: "Add", ID: parentID, Details: opts.asked()}
	to, end, err := g.allow(ctx, call)
	if err != nil {
		return nil, err
	}
	if to.UserID != "" { // the tree has its owner
		opts.IdempotencyKey = keyOfOwner(to.UserID, opts.IdempotencyKey)
		opts.UserID, tasks = "", g.owned(ctx, Call{Method: "Add"}, "", tasks)
	}
	ctx = g.seesFlows(ctx)
	out, err := g.next.Add(ctx, parentID, opts, ofSeenFlows(ctx, tasks))
	end(madeBy(out, err), err)
	return out, err
}

// Copy asks for the start of a copy, too.
func (g *guarded) Copy(ctx context.Context, taskID string, opts CopyOptions) (*Copied, error) {
	to, end, err := g.allow(ctx, Call{Method: "Copy", ID: taskID, Details: opts.asked()},
		part{there: opts.Execute != nil, permission: policy.TreesExecute}, part{there: opts.Execute != nil && opts.Execute.hooked(), permission: policy.WebhooksWrite})
	if err != nil {
		return nil, err
	}
	if to.UserID != "" { // the copy has the owner of what it is of
		opts.IdempotencyKey = keyOfOwner(to.UserID, opts.IdempotencyKey)
	}
	out, err := g.next.Copy(ctx, taskID, opts)
	end(madeBy(out, err), err)
	return out, err
}

// TaskChange is what an update changes of a stored task (spec 2.3); nil fields stay as they are. Status changes go through the state table, and
// unlock or block what depends on the task.
type TaskChange = dag.Change

// UpdateError are all faults of an update, in the words of spec 2.3. Its text is safe to show.
type UpdateError struct {
	Faults []string
	// Transition is set if one of the faults is a change of status that the state table has not.
	Transition bool
}

// Error lists the faults, a line each (spec 2.3).
func (e *UpdateError) Error() string {
	text := "Update failed:"
	for _, fault := range e.Faults {
		text += "\n- " + fault
	}
	return text
}

// DeleteOptions steer a deletion.
type DeleteOptions struct {
	// Force deletes whatever state the tasks are in, also what others depend on, unless an attempt is open: then the whole tree is cancelled first by
	// who asks.
	Force bool
	// Alone refuses a task that has children (spec 12.5).
	Alone bool
}

// Deletion is the answer to Delete.
type Deletion struct {
	Tasks int // how many were deleted, the task itself too
}

// DeleteError says why a task can't be deleted, in the words of spec 2.4. It is an [ErrConflict]. Its text is safe to show.
type DeleteError struct {
	Reasons []string
}

// Error joins the reasons (spec 2.4).
func (e *DeleteError) Error() string { return "Cannot delete task: " + strings.Join(e.Reasons, "; ") }

// Unwrap makes it an [ErrConflict].
func (e *DeleteError) Unwrap() error { return ErrConflict }

// ParentError says that nothing can be added to a tree any more (spec 12.5). It is an [ErrConflict]. Its text is safe to show.
type ParentError struct {
	ParentID, TreeID string
}

// Error names the parent.
func (e *ParentError) Error() string {
	return fmt.Sprintf("Cannot add to task '%s': a task of its tree '%s' has started, or was cancelled", e.ParentID, e.TreeID)
}

// Unwrap makes it an [ErrConflict].
func (e *ParentError) Unwrap() error { return ErrConflict }

// CopyMode says which tasks a copy takes (spec 4.2).
type CopyMode string

// The modes of a copy.
const (
	CopyMinimal CopyMode = "minimal" // the task, all below it, and what depends on them
	CopyFull    CopyMode = "full"    // the whole tree
	CopyCustom  CopyMode = "custom"  // named tasks and what they depend on
)

// CopyOptions steer a copy (spec 4.1).
type CopyOptions struct {
	Mode            CopyMode // empty: CopyMinimal
	Children        bool
	TaskIDs         []string // with CopyCustom
	IncludeChildren bool     // with CopyCustom: all below the named tasks, too
	ResetFields     []string
	Preview         bool // stores nothing
	// IdempotencyKey makes a repeated copy of the same task in the same way get the first answer; as that of a submission, at most 255
	// characters. Not with Preview.
	IdempotencyKey string
	// Execute starts the copy once it is stored (spec 5.4, copy_execution); nil: it is held. Who dies in between leaves it held: a repeated copy
	// with the same key starts it. Not with Preview.
	Execute *ExecuteOptions
}

// Copied is the answer to Copy.
type Copied struct {
	TreeID  string  // of the copy; with Preview, that which the tasks name
	Tasks   []*Task // parents first; a preview has all, a saved copy as many as one answer may hold: read the rest by TreeID
	Omitted int     // how many of a saved copy are not in Tasks
	// Replayed: the idempotency key was known, and this is the first copy.
	Replayed  bool
	Execution *Execution // with Execute
}
