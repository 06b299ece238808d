package coordinator

import (
	"context"
	"iter"

	"github.com/taskgrove/taskgrove/dag"
)

// Role is the part of the service that a call belongs to, one for each of its interfaces.
type Role uint8

// The roles.
const (
	RoleSubmit  Role = iota + 1 // [Submitter]
	RoleRead                    // [Reader]
	RoleSteer                   // [Steerer]
	RoleWatch                   // [Watcher]
	RoleOperate                 // [Operator]
)

// Call is what a caller asks for.
type Call struct {
	Role   Role
	Method string // as in [Service]: "Submit"
	ID     string // the task or tree that it names; empty when it names none
}

// Policy decides whether a call may be made: nil, or why not. It is asked before the service is, once for each call, at
// the first step of those that give an iterator.
type Policy func(ctx context.Context, caller Caller, call Call) error

// AllowAll is the policy without access control.
func AllowAll(context.Context, Caller, Call) error { return nil }

// Access is how surfaces reach a service: they are given an Access and never the service itself, so that each call has
// a caller and has passed the policy. A caller is bound once, by [Access.For], rather than passed with each call: one
// request makes several calls on behalf of the same caller, and can't mix it up with another's.
type Access struct {
	service Service
	policy  Policy
}

// NewAccess gives access to the service under the policy.
func NewAccess(service Service, policy Policy) *Access {
	return &Access{service: service, policy: policy}
}

// For is the service on behalf of a caller.
func (a *Access) For(caller Caller) Service {
	return &guarded{next: a.service, policy: a.policy, caller: caller}
}

// guarded asks the policy before each call. It embeds nothing, so that a method which is added to [Service] does not
// compile until it is guarded, too.
type guarded struct {
	next   Service
	policy Policy
	caller Caller
}

// ask makes a call that has one answer, if the policy allows it.
func ask[T any](ctx context.Context, g *guarded, call Call, do func() (T, error)) (T, error) {
	if err := g.policy(ctx, g.caller, call); err != nil {
		var none T
		return none, err
	}
	return do()
}

// follow makes a call that has an iterator of answers, if the policy allows it.
func follow[T any](ctx context.Context, g *guarded, call Call, do func() iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		if err := g.policy(ctx, g.caller, call); err != nil {
			var none T
			yield(none, err)
			return
		}
		do()(yield)
	}
}

// Submit is [Submitter]'s.
func (g *guarded) Submit(ctx context.Context, opts SubmitOptions, tasks iter.Seq2[*dag.Task, error]) (*Submitted, error) {
	return ask(ctx, g, Call{RoleSubmit, "Submit", ""}, func() (*Submitted, error) { return g.next.Submit(ctx, opts, tasks) })
}

// Task is [Reader]'s, as are those that follow.
func (g *guarded) Task(ctx context.Context, id string) (*Task, error) {
	return ask(ctx, g, Call{RoleRead, "Task", id}, func() (*Task, error) { return g.next.Task(ctx, id) })
}

// Tasks names the tree or the parent that it lists, if any.
func (g *guarded) Tasks(ctx context.Context, f TaskFilter) (Page[*Task], error) {
	id := f.ParentID
	if id == "" {
		id = f.TreeOf
	}
	return ask(ctx, g, Call{RoleRead, "Tasks", id}, func() (Page[*Task], error) { return g.next.Tasks(ctx, f) })
}

func (g *guarded) Attempts(ctx context.Context, taskID string) ([]Attempt, error) {
	return ask(ctx, g, Call{RoleRead, "Attempts", taskID}, func() ([]Attempt, error) { return g.next.Attempts(ctx, taskID) })
}

func (g *guarded) Why(ctx context.Context, taskID string) (*Explanation, error) {
	return ask(ctx, g, Call{RoleRead, "Why", taskID}, func() (*Explanation, error) { return g.next.Why(ctx, taskID) })
}

func (g *guarded) Tree(ctx context.Context, id string) (*TreeStatus, error) {
	return ask(ctx, g, Call{RoleRead, "Tree", id}, func() (*TreeStatus, error) { return g.next.Tree(ctx, id) })
}

func (g *guarded) Trees(ctx context.Context, f TreeFilter) (Page[*TreeStatus], error) {
	return ask(ctx, g, Call{RoleRead, "Trees", ""}, func() (Page[*TreeStatus], error) { return g.next.Trees(ctx, f) })
}

func (g *guarded) Running(ctx context.Context, userID string) (int, error) {
	return ask(ctx, g, Call{RoleRead, "Running", ""}, func() (int, error) { return g.next.Running(ctx, userID) })
}

// Execute is [Steerer]'s, as is Cancel.
func (g *guarded) Execute(ctx context.Context, taskID string, opts ExecuteOptions) (*Execution, error) {
	return ask(ctx, g, Call{RoleSteer, "Execute", taskID}, func() (*Execution, error) { return g.next.Execute(ctx, taskID, opts) })
}

func (g *guarded) Cancel(ctx context.Context, id string, opts CancelOptions) (*Cancellation, error) {
	return ask(ctx, g, Call{RoleSteer, "Cancel", id}, func() (*Cancellation, error) { return g.next.Cancel(ctx, id, opts) })
}

// Watch is [Watcher]'s, as is Logs.
func (g *guarded) Watch(ctx context.Context, id string, after int64) iter.Seq2[*Event, error] {
	return follow(ctx, g, Call{RoleWatch, "Watch", id}, func() iter.Seq2[*Event, error] { return g.next.Watch(ctx, id, after) })
}

func (g *guarded) Logs(ctx context.Context, taskID string, attempt int, more bool) iter.Seq2[*LogLine, error] {
	return follow(ctx, g, Call{RoleWatch, "Logs", taskID}, func() iter.Seq2[*LogLine, error] {
		return g.next.Logs(ctx, taskID, attempt, more)
	})
}

// Workers is [Operator]'s, as are those that follow.
func (g *guarded) Workers(ctx context.Context) ([]Worker, error) {
	return ask(ctx, g, Call{RoleOperate, "Workers", ""}, func() ([]Worker, error) { return g.next.Workers(ctx) })
}

func (g *guarded) Pools(ctx context.Context) ([]Pool, error) {
	return ask(ctx, g, Call{RoleOperate, "Pools", ""}, func() ([]Pool, error) { return g.next.Pools(ctx) })
}

func (g *guarded) Verify(ctx context.Context, treeOf string) iter.Seq2[*Violation, error] {
	return follow(ctx, g, Call{RoleOperate, "Verify", treeOf}, func() iter.Seq2[*Violation, error] { return g.next.Verify(ctx, treeOf) })
}

func (g *guarded) Ready(ctx context.Context) error {
	_, err := ask(ctx, g, Call{RoleOperate, "Ready", ""}, func() (struct{}, error) { return struct{}{}, g.next.Ready(ctx) })
	return err
}
