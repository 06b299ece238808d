package grpcserver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"math"
	"reflect"
	"slices"
	"testing"

	"google.golang.org/grpc"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/api/grpcserver"
	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/columns"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	apitest.Run(t, apitest.Surface{
		Name: coordinator.SurfaceGRPC,
		Open: func(t testing.TB, access *coordinator.Access) coordinator.Service {
			addr := listen(t, access, grpcserver.Config{}).addr
			c, err := client.New(addr, client.WithDialOptions(grpc.WithDisableRetry())) // so that a fault is told as it comes
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			return &remote{c: c}
		},
		Fault: faultOf,
		Lacks: []string{"Demand", "WatchDemand", "Running"},
	}, func(testing.TB) apitest.Backend { return apitest.New() })
}

// faultOf is what the client's errors tell of a fault.
func faultOf(err error) *api.Fault {
	f := &api.Fault{Kind: api.Internal, Text: err.Error()}
	for sentinel, kind := range map[error]api.Kind{
		client.ErrNotFound: api.NotFound, client.ErrInvalid: api.Invalid, client.ErrConflict: api.Conflict, client.ErrUnavailable: api.Unavailable,
	} {
		if errors.Is(err, sentinel) {
			f.Kind = kind
		}
	}
	if invalid, ok := errors.AsType[*client.InvalidError](err); ok {
		for _, fault := range invalid.Faults {
			f.Problems = append(f.Problems, &dag.InvalidTaskError{Field: fault.Field, Reason: fault.Reason})
		}
	}
	return f
}

// remote is the Go client, in the service's words.
type remote struct {
	coordinator.Service // for what it has no call for
	c                   *client.Client
}

// Client is the Go client in its own words, for calls that need no others.
func (r *remote) Client() any { return r.c }

func (r *remote) Submit(ctx context.Context, opts coordinator.SubmitOptions, tasks iter.Seq2[*dag.Task, error]) (*coordinator.Submitted, error) {
	var given []*dag.Task
	for t := range tasks {
		given = append(given, t)
	}
	options := []client.SubmitOption{client.WithUser(opts.UserID), client.WithIdempotencyKey(opts.IdempotencyKey)}
	if opts.Hold {
		options = append(options, client.Hold())
	}
	if opts.Demo {
		options = append(options, client.WithDemo())
	}
	if opts.RequireExisting {
		options = append(options, client.RequireExisting())
	}
	if w := opts.Webhook; w != nil {
		options = append(options, client.WithWebhook(client.Webhook(*w)))
	}
	if opts.Labels != nil {
		options = append(options, client.WithLabels(opts.Labels))
	}
	for _, t := range given {
		if t.Retention != 0 {
			options = append(options, client.WithRetention(dag.RetentionText(t.Retention)))
		}
		if t.Due != nil {
			options = append(options, client.WithDue(t.Due.String()))
		}
	}
	got, err := r.c.SubmitJSON(ctx, bytes.NewReader(apitest.Document(given, "")), options...)
	if err != nil {
		return nil, err
	}
	return submittedOf(got), nil
}

func submittedOf(got *client.Submitted) *coordinator.Submitted {
	sub := &coordinator.Submitted{TreeID: got.TreeID, Tasks: got.Tasks, Replayed: got.Replayed, IDMap: got.IDMap, Existing: got.Existing}
	for _, w := range got.Warnings {
		sub.Warnings = append(sub.Warnings, dag.Warning(w))
	}
	return sub
}

func (r *remote) Update(ctx context.Context, id string, c coordinator.TaskChange) (*coordinator.Task, error) {
	change := client.Change{Name: c.Name, Error: c.Error, Result: c.Result, Progress: c.Progress, StartedAt: c.StartedAt, CompletedAt: c.CompletedAt}
	set(&change.Status, c.Status)
	if c.Priority != nil {
		change.Priority = new(client.Normal + client.Priority(*c.Priority-dag.Normal))
	}
	if c.HasDependencies {
		list := []client.Dependency{}
		for _, d := range c.Dependencies {
			list = append(list, client.Dependency{Ref: d.Ref, Optional: d.Optional, Type: d.Type})
		}
		change.Dependencies = &list
	}
	for to, value := range map[*any]json.RawMessage{&change.Inputs: c.Inputs, &change.Params: c.Params, &change.Schemas: c.Schemas} {
		if value != nil {
			*to = value
		}
	}
	got, err := r.c.Update(ctx, id, change)
	if err != nil {
		return nil, err
	}
	return taskOf(got), nil
}

func (r *remote) Delete(ctx context.Context, id string, o coordinator.DeleteOptions) (*coordinator.Deletion, error) {
	var options []client.DeleteOption
	if o.Force {
		options = append(options, client.ForceDelete())
	}
	if o.Alone {
		options = append(options, client.DeleteAlone())
	}
	tasks, err := r.c.Delete(ctx, id, options...)
	if err != nil {
		return nil, err
	}
	return &coordinator.Deletion{Tasks: tasks}, nil
}

func (r *remote) Add(ctx context.Context, parentID string, opts coordinator.SubmitOptions, tasks iter.Seq2[*dag.Task, error]) (*coordinator.Submitted, error) {
	var given []*dag.Task
	for t := range tasks {
		given = append(given, t)
	}
	got, err := r.c.AddJSON(ctx, parentID, bytes.NewReader(apitest.Document(given, "")), client.WithUser(opts.UserID))
	if err != nil {
		return nil, err
	}
	return submittedOf(got), nil
}

func (r *remote) Copy(ctx context.Context, id string, o coordinator.CopyOptions) (*coordinator.Copied, error) {
	options := client.CopyOptions{Mode: client.CopyMode(o.Mode), Children: o.Children, TaskIDs: o.TaskIDs,
		IncludeChildren: o.IncludeChildren, ResetFields: o.ResetFields, Preview: o.Preview, IdempotencyKey: o.IdempotencyKey}
	if o.Execute != nil {
		options.Execute = executeOptions(*o.Execute)
	}
	got, err := r.c.Copy(ctx, id, options)
	if err != nil {
		return nil, err
	}
	out := &coordinator.Copied{TreeID: got.TreeID, Omitted: got.Omitted, Replayed: got.Replayed}
	if got.Execution != nil {
		out.Execution = executionOf(got.Execution)
	}
	for _, t := range got.Tasks {
		out.Tasks = append(out.Tasks, taskOf(t))
	}
	return out, nil
}

func (r *remote) Generate(ctx context.Context, o coordinator.GenerateOptions) (*coordinator.Generated, error) {
	got, err := r.c.Generate(ctx, client.Requirement{Text: o.Requirement, UserID: o.UserID, Provider: o.Provider, Model: o.Model, Temperature: o.Temperature,
		MaxTokens: o.MaxTokens, MaxTasks: o.MaxTasks, Executors: o.Executors, AllowCommands: o.AllowCommands, Budget: o.Budget, OnExhausted: o.OnExhausted,
		Timeout: o.Timeout, Save: o.Save})
	if err != nil {
		return nil, err
	}
	return new(coordinator.Generated(*got)), nil
}

func (r *remote) Execute(ctx context.Context, id string, opts coordinator.ExecuteOptions) (*coordinator.Execution, error) {
	got, err := r.c.Execute(ctx, id, executeOptions(opts)...)
	if err != nil {
		return nil, err
	}
	return executionOf(got), nil
}

func executeOptions(opts coordinator.ExecuteOptions) []client.ExecuteOption {
	options := []client.ExecuteOption{}
	if opts.Force {
		options = append(options, client.Force())
	}
	if opts.DryRun {
		options = append(options, client.DryRun())
	}
	if opts.Demo {
		options = append(options, client.Demo())
	}
	if opts.RerunCancelled {
		options = append(options, client.RerunCancelled())
	}
	if opts.RerunDependencies {
		options = append(options, client.RerunDependencies())
	}
	if w := opts.Webhook; w != nil {
		options = append(options, client.ToWebhook(client.Webhook(*w)))
	}
	return options
}

func executionOf(got *client.Execution) *coordinator.Execution {
	var planned []coordinator.Match
	for _, m := range got.Planned {
		planned = append(planned, coordinator.Match{ID: m.ID, TreeID: m.TreeID, Name: m.Name, Status: dag.Status(m.Status)})
	}
	return &coordinator.Execution{TreeID: got.TreeID, Tasks: got.Tasks, Cancelled: got.CancelledID, Planned: planned, Outcome: map[string]coordinator.ExecuteOutcome{
		"started": coordinator.Started, "already_running": coordinator.AlreadyRunning, "completed": coordinator.NothingToDo,
		"cancelled": coordinator.WasCancelled, "planned": coordinator.Planned,
	}[got.Status]}
}

func (r *remote) Cancel(ctx context.Context, id string, opts coordinator.CancelOptions) (*coordinator.Cancellation, error) {
	options := []client.CancelOption{client.WithMessage(opts.Reason)}
	if opts.Cascade != nil {
		options = append(options, client.WithCascade(*opts.Cascade))
	}
	got, err := r.c.Cancel(ctx, id, options...)
	switch {
	case err != nil:
		return nil, err
	case got.Done:
		return &coordinator.Cancellation{Outcome: coordinator.Cancelled, Reason: got.Message}, nil
	}
	return &coordinator.Cancellation{Outcome: coordinator.AlreadyEnded, Status: dag.Status(got.Status)}, nil
}

func (r *remote) Executors(ctx context.Context, cursor string) (page coordinator.Page[*coordinator.Executor], err error) {
	got, err := r.c.ExecutorsPage(ctx, cursor)
	if err != nil {
		return page, err
	}
	for _, e := range got.Items {
		page.Items = append(page.Items, executorOf(e))
	}
	page.Next = got.Next
	return page, nil
}

func (r *remote) Executor(ctx context.Context, id string) (*coordinator.Executor, error) {
	got, err := r.c.Executor(ctx, id)
	if err != nil {
		return nil, err
	}
	return executorOf(got), nil
}

func executorOf(e *client.Executor) *coordinator.Executor {
	out := &coordinator.Executor{ID: e.ID, Type: e.Type, Name: e.Name, Description: e.Description, Tags: e.Tags, Inputs: e.Inputs, Output: e.Output,
		Cancelable: e.Cancelable, Repeatable: e.Repeatable, Secrets: e.Secrets, Timeout: e.Timeout, BuiltIn: e.BuiltIn, Pools: e.Pools,
		Workers: e.Workers, Differs: e.Differs}
	if c := e.Connection; c != nil {
		out.Connection = &coordinator.ConnectionUse{Types: c.Types, Fields: c.Fields}
	}
	for _, x := range e.Examples {
		out.Examples = append(out.Examples, coordinator.ExecutorExample(x))
	}
	return out
}

// named is the value whose name is given.
func named[T interface{ String() string }, N ~string](name N, values ...T) (none T) {
	if i := slices.IndexFunc(values, func(v T) bool { return v.String() == string(name) }); i >= 0 {
		return values[i]
	}
	return none
}

// askedBy is what a task asks for before it starts.
func askedBy(t *client.Task) *dag.Limiting {
	out := &dag.Limiting{}
	for _, l := range t.Limits {
		out.Limits = append(out.Limits, dag.Limit{Key: l.Key, Max: int32(l.Max), Cost: int32(l.Cost)})
	}
	if l := t.Lock; l != nil {
		contention, _ := dag.ParseOnContention(l.OnContention)
		hold, _ := dag.ParseLockHold(l.Hold)
		out.Lock = &dag.Lock{Key: l.Key, OnContention: contention, WaitTimeout: l.WaitTimeout, Hold: hold}
	}
	for _, r := range t.Rates {
		out.Rates = append(out.Rates, dag.Rate{Key: r.Key, Per: dag.RatePeriods[r.Per], Max: int32(r.Max), Burst: int32(r.Burst)})
	}
	return out
}

func taskOf(t *client.Task) *coordinator.Task {
	out := &coordinator.Task{ID: t.ID, Ref: t.Ref, TreeID: t.TreeID, ParentID: t.ParentID, UserID: t.UserID, Name: t.Name, Priority: dag.Normal + dag.Priority(t.Priority), // the client counts from normal
		State:  named(t.State, dag.Held, dag.Waiting, dag.Delayed, dag.Ready, dag.Running, dag.Blocked, dag.Completed, dag.Failed, dag.Cancelled, dag.Skipped, dag.Expanded, dag.Awaiting),
		Inputs: t.Inputs, Result: t.Result, Error: t.Error, Progress: t.Progress, Attempt: t.Attempt,
		Params: t.Params, Schemas: t.Schemas, Custom: t.Custom, OriginalID: t.OriginalID, HasCopy: t.HasCopy, HasChildren: t.HasChildren,
		CreatedAt: t.CreatedAt, StartedAt: t.StartedAt, CompletedAt: t.CompletedAt, Usage: usageOf(t.Usage), Labels: t.Labels}
	if o := t.Options; o != nil {
		out.Options = coordinator.TaskOptions{TreeTimeout: o.TreeTimeout, Retention: retentionOf(o.Retention), Policy: dag.Policy{Retry: dag.RetryPolicy{MaxAttempts: o.Retry.MaxAttempts,
			Backoff: dag.Backoff(o.Retry.Backoff), InitialDelay: o.Retry.InitialDelay, MaxDelay: o.Retry.MaxDelay},
			Timeout: o.Timeout, ScheduleToStart: o.ScheduleToStart, NotBefore: o.NotBefore}}
		if o.FailLost {
			out.Options.OnLost = dag.FailLost
		}
	}
	if w := t.Waiting; w != nil {
		out.Waiting = &coordinator.Waiting{Kind: w.Kind, Name: w.Name, Since: w.Since, Until: w.Until, Data: w.Data, TreeID: w.TreeID}
	}
	out.Limiting = askedBy(t)
	for _, d := range t.Dependencies {
		out.Dependencies = append(out.Dependencies, coordinator.Dependency{ID: d.Ref, Required: !d.Optional, Type: d.Type})
	}
	return out
}

func (r *remote) Task(ctx context.Context, id string) (*coordinator.Task, error) {
	got, err := r.c.Task(ctx, id)
	if err != nil {
		return nil, err
	}
	return taskOf(got), nil
}

func (r *remote) Skip(ctx context.Context, id string) (*coordinator.Task, error) {
	got, err := r.c.Skip(ctx, id)
	if err != nil {
		return nil, err
	}
	return taskOf(got), nil
}

func (r *remote) Signal(ctx context.Context, id string, s coordinator.Signal) (*coordinator.Signalled, error) {
	signal := client.Signal{Name: s.Name, IdempotencyKey: s.IdempotencyKey}
	if len(s.Payload) > 0 {
		signal.Payload = s.Payload
	}
	got, err := r.c.Signal(ctx, id, signal)
	if err != nil {
		return nil, err
	}
	return &coordinator.Signalled{Status: coordinator.SignalStatus(got.Status), Task: taskOf(got.Task)}, nil
}

func (r *remote) Approve(ctx context.Context, id string, a coordinator.Approval) (*coordinator.Task, error) {
	got, err := r.c.Approve(ctx, id, client.Approval{Choice: a.Choice, Comment: a.Comment})
	if err != nil {
		return nil, err
	}
	return taskOf(got), nil
}

func (r *remote) ApprovalLink(ctx context.Context, id string, o coordinator.LinkOptions) (*coordinator.ApprovalLink, error) {
	got, err := r.c.LinkApproval(ctx, id, o.Name, o.Expires)
	if err != nil {
		return nil, err
	}
	return &coordinator.ApprovalLink{Token: got.Token, Path: got.Path, URL: got.URL, Expires: got.Expires}, nil
}

func (r *remote) ApproveByLink(ctx context.Context, token string, a coordinator.Approval) (*coordinator.LinkedApproval, error) {
	id, err := r.c.ApproveByLink(ctx, token, client.Approval{Choice: a.Choice, Comment: a.Comment})
	if err != nil {
		return nil, err
	}
	return &coordinator.LinkedApproval{TaskID: id, Choice: a.Choice}, nil
}

func (r *remote) Tasks(ctx context.Context, f coordinator.TaskFilter) (page coordinator.Page[*coordinator.Task], err error) {
	filter := client.TaskFilter{TreeOf: f.TreeOf, ParentID: f.ParentID, UserID: f.UserID, Name: f.Name, Executor: f.Executor, OriginalID: f.OriginalID, Custom: f.Custom,
		Since: f.Since, Before: f.Before, AsSubmitted: f.AsSubmitted, Approvals: f.Approvals, Labels: f.Labels, RootOnly: f.RootOnly, Offset: f.Offset, Places: f.Places, Error: f.Error,
		PageSize: f.Limit, Cursor: f.Cursor}
	set(&filter.Status, f.Status)
	for _, state := range f.States.States() {
		filter.State = client.State(state.String())
	}
	got, err := r.c.TasksPage(ctx, filter)
	if err != nil {
		return page, err
	}
	for _, t := range got.Items {
		page.Items = append(page.Items, taskOf(t))
	}
	page.Next = got.Next
	return page, nil
}

// set gives a field of any text type a status.
func set[T ~string](field *T, status dag.Status) { *field = T(status) }

func treeOf(t *client.Tree) *coordinator.TreeStatus {
	return &coordinator.TreeStatus{ID: t.ID, Name: t.Name, UserID: t.UserID, Status: dag.Status(t.Status), Progress: t.Progress,
		Tasks: t.Tasks, Unfinished: t.Unfinished, Labels: t.Labels, Sequence: t.Sequence, CreatedAt: t.CreatedAt, Usage: usageOf(t.Usage),
		Retention: retentionOf(t.Retention), Hold: holdInfo(t.Hold), Unique: (*coordinator.UniqueKey)(t.Unique), Due: t.Due, Late: t.Late}
}

// usageOf leaves out of how many calls the cost is not known: the client says only whether there are any.
func usageOf(u *client.Usage) *coordinator.Usage {
	if u == nil {
		return nil
	}
	t := u.TokenUsage
	out := &coordinator.Usage{Calls: t.SuccessfulRequests, Prompt: t.PromptTokens, Completion: t.CompletionTokens, Cached: t.CachedPromptTokens}
	if u.Cost != nil {
		for _, c := range append([]client.Cost{*u.Cost}, u.OtherCosts...) {
			out.Costs = append(out.Costs, coordinator.Cost{Nanos: int64(math.Round(c.Amount * 1e9)), Currency: c.Currency})
		}
	}
	if u.Cost == nil || !u.Cost.Complete {
		out.Unpriced = 1
	}
	for _, m := range u.Models {
		one := usageOf(&m.Usage)
		used := dag.Used{Model: m.Model, Calls: one.Calls, Prompt: one.Prompt, Completion: one.Completion, Cached: one.Cached, Unpriced: one.Unpriced}
		for _, c := range one.Costs {
			used.Currency, used.CostNanos = c.Currency, c.Nanos
		}
		out.Models = append(out.Models, used)
	}
	return out
}

func (r *remote) Usage(ctx context.Context, f coordinator.UsageFilter) (page coordinator.Page[coordinator.UsageGroup], err error) {
	got, err := r.c.UsagePage(ctx, client.UsageFilter{By: client.UsageBy(f.By), Since: f.Since, Before: f.Before, UserID: f.UserID, TreeOf: f.TreeOf,
		Model: f.Model, PageSize: f.Limit, Cursor: f.Cursor})
	if err != nil {
		return page, err
	}
	for _, g := range got.Items {
		page.Items = append(page.Items, coordinator.UsageGroup{Key: g.Key, Usage: *usageOf(&g.Usage)})
	}
	page.Next = got.Next
	return page, nil
}

func (r *remote) Tree(ctx context.Context, id string) (*coordinator.TreeStatus, error) {
	got, err := r.c.Tree(ctx, id)
	if err != nil {
		return nil, err
	}
	return treeOf(got), nil
}

func (r *remote) Trees(ctx context.Context, f coordinator.TreeFilter) (page coordinator.Page[*coordinator.TreeStatus], err error) {
	filter := client.TreeFilter{UserID: f.UserID, Name: f.Name, Part: f.Part, Since: f.Since, Before: f.Before, Running: f.Running, Labels: f.Labels, PageSize: f.Limit, Cursor: f.Cursor}
	set(&filter.Status, f.Status)
	got, err := r.c.TreesPage(ctx, filter)
	if err != nil {
		return page, err
	}
	for _, t := range got.Items {
		page.Items = append(page.Items, treeOf(t))
	}
	page.Next = got.Next
	return page, nil
}

func (r *remote) Resolve(ctx context.Context, ref, _ string) (*coordinator.Matches, error) {
	got, err := r.c.Resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	out := &coordinator.Matches{More: got.More}
	for _, m := range got.Tasks {
		out.Tasks = append(out.Tasks, coordinator.Match{ID: m.ID, TreeID: m.TreeID, Name: m.Name, Status: dag.Status(m.Status)})
	}
	return out, nil
}

func (r *remote) Attempts(ctx context.Context, id string) (out []coordinator.Attempt, err error) {
	got, err := r.c.Attempts(ctx, id)
	for _, a := range got {
		out = append(out, coordinator.Attempt{Usage: usageOf(a.Usage), Number: a.Number, Running: a.Outcome == "running", Counted: a.Counted, Error: a.Error,
			Outcome: named(a.Outcome, dag.OutcomeCompleted, dag.OutcomeFailed, dag.OutcomeCancelled, dag.OutcomeReturned, dag.OutcomeLost)})
	}
	return out, err
}

func (r *remote) Why(ctx context.Context, id string) (*coordinator.Explanation, error) {
	got, err := r.c.Why(ctx, id)
	if err != nil {
		return nil, err
	}
	out := &coordinator.Explanation{TaskID: got.TaskID, TreeID: got.TreeID, Summary: got.Summary}
	for _, w := range got.Waits {
		out.Waits = append(out.Waits, coordinator.Wait{Kind: named(w.Kind, coordinator.WaitExecute, coordinator.WaitPool), Text: w.Text})
	}
	return out, nil
}

var eventTypes = map[client.EventType]coordinator.EventType{
	client.EventStart: coordinator.EventStart, client.EventCompleted: coordinator.EventCompleted, client.EventFailed: coordinator.EventFailed,
	client.EventCancelled: coordinator.EventCancelled, client.EventRetry: coordinator.EventRetry, client.EventProgress: coordinator.EventProgress,
	client.EventFinal: coordinator.EventFinal,
}

func (r *remote) Watch(ctx context.Context, id string, after int64) iter.Seq2[*coordinator.Event, error] {
	return func(yield func(*coordinator.Event, error) bool) {
		for e, err := range r.c.Watch(ctx, id, after) {
			if err != nil {
				yield(nil, err)
				return
			}
			out := &coordinator.Event{Sequence: e.Sequence, Type: eventTypes[e.Type], TreeID: e.TreeID, TaskID: e.TaskID, Name: e.Name,
				Status: dag.Status(e.Status), Attempt: e.Attempt, Progress: e.Progress, Message: e.Message, Result: e.Result, Error: e.Error, At: e.At,
				Usage: usageOf(e.Usage)}
			for _, p := range e.Pieces {
				out.Pieces = append(out.Pieces, coordinator.Piece{Kind: string(p.Kind), Agent: p.Agent, Name: p.Name, Text: p.Text})
			}
			if out.Type == coordinator.EventProgress && e.Sequence > 0 {
				out.Type = coordinator.EventExecution
			}
			if !yield(out, nil) {
				return
			}
		}
	}
}

func (r *remote) Snapshot(ctx context.Context, id string, opts coordinator.SnapshotOptions) iter.Seq2[*coordinator.SnapshotPart, error] {
	return func(yield func(*coordinator.SnapshotPart, error) bool) {
		var w *columns.Writer
		err := r.c.Snapshot(ctx, id, client.SnapshotOptions(opts), func(t *client.Tree) error {
			w = columns.NewWriter(t.CreatedAt)
			yield(&coordinator.SnapshotPart{Tree: treeOf(t), Part: &columns.Part{}}, nil)
			return nil
		}, func(tasks []client.SnapshotTask) error {
			for _, t := range tasks {
				state, _ := dag.ParseState(string(t.State))
				one := &columns.Task{Place: t.Place, ID: t.ID, Name: t.Name, Parent: t.Parent, State: state, Executor: t.Executor, Pool: t.Pool, Attempt: t.Attempt,
					ReadyAt: t.ReadyAt, StartedAt: t.StartedAt, CompletedAt: t.CompletedAt}
				for _, d := range t.Dependencies {
					one.Dependencies = append(one.Dependencies, columns.Dependency(d))
				}
				w.Add(one)
			}
			yield(&coordinator.SnapshotPart{Part: w.Cut()}, nil)
			return nil
		})
		if err != nil {
			yield(nil, err)
		}
	}
}

func (r *remote) Logs(ctx context.Context, f coordinator.LogFilter) iter.Seq2[*coordinator.LogLine, error] {
	return func(yield func(*coordinator.LogLine, error) bool) {
		filter := client.LogFilter{Tree: f.Tree, Attempt: f.Attempt, Tail: f.Tail, Since: f.Since, Follow: f.Follow}
		for l, err := range r.c.Logs(ctx, f.TaskID, filter) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(&coordinator.LogLine{TaskID: l.TaskID, Name: l.Name, Attempt: l.Attempt, Number: l.Number, Stream: l.Stream, Text: l.Text, At: l.At}, nil) {
				return
			}
		}
	}
}

func (r *remote) Artifacts(ctx context.Context, f coordinator.ArtifactFilter) (page coordinator.Page[*coordinator.Artifact], err error) {
	got, err := r.c.ArtifactsPage(ctx, f.TaskID, client.ArtifactFilter{Tree: f.Tree, PageSize: f.Limit, Cursor: f.Cursor})
	if err != nil {
		return page, err
	}
	for _, a := range got.Items {
		page.Items = append(page.Items, shownArtifact(a))
	}
	page.Next = got.Next
	return page, nil
}

func (r *remote) OpenArtifact(ctx context.Context, q coordinator.ArtifactQuery) (*coordinator.OpenedArtifact, error) {
	got, err := r.c.OpenArtifact(ctx, q.TaskID, q.Name, client.ArtifactQuery{Attempt: q.Attempt, Offset: q.Offset})
	if err != nil {
		return nil, err
	}
	return &coordinator.OpenedArtifact{Artifact: *shownArtifact(&got.Artifact), ReadCloser: got}, nil
}

func shownArtifact(a *client.Artifact) *coordinator.Artifact {
	return &coordinator.Artifact{Name: a.Name, TaskID: a.TaskID, TaskName: a.TaskName, Attempt: a.Attempt, Kind: coordinator.ArtifactKind(a.Kind), SHA256: a.SHA256,
		Size: a.Size, MediaType: a.MediaType, Created: a.CreatedAt}
}

func (r *remote) Verify(ctx context.Context, treeOf string) iter.Seq2[*coordinator.Violation, error] {
	return func(yield func(*coordinator.Violation, error) bool) {
		for v, err := range r.c.Verify(ctx, treeOf) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(&coordinator.Violation{Kind: v.Kind, TreeID: v.TreeID, TaskID: v.TaskID, Text: v.Text}, nil) {
				return
			}
		}
	}
}

func (r *remote) Workers(ctx context.Context) (out []coordinator.Worker, err error) {
	got, err := r.c.Workers(ctx)
	for _, w := range got {
		state := map[string]coordinator.WorkerState{"alive": coordinator.WorkerAlive, "lost": coordinator.WorkerLost}[w.State]
		counts := make(map[string]coordinator.PoolCounts, len(w.Counts))
		for pool, n := range w.Counts {
			counts[pool] = coordinator.PoolCounts(n)
		}
		out = append(out, coordinator.Worker{ID: w.ID, Instance: w.Instance, State: state, Pools: w.Pools, Running: w.Running, InLine: w.InLine, Counts: counts, Faults: w.Faults, Unasked: w.Unasked})
	}
	return out, err
}

func auditEntryOf(e client.AuditEntry) (out coordinator.RecordEntry) {
	out.Seq, out.At.Time, out.Of, out.Namespace, out.Method, out.Permission, out.Code, out.Error = e.Seq, e.At, e.Of, e.Namespace, e.Method, e.Permission, e.Code, e.Error
	out.Task, out.Trace, out.Count, out.Coordinator, out.Details, out.Key, out.Prev, out.Hash = e.Task, e.Trace, e.Count, e.Coordinator, e.Details, e.Key, e.Prev, e.Hash
	out.Outcome = coordinator.RecordOutcome(e.Outcome)
	reflect.ValueOf(&out.Kind).Elem().SetString(e.Kind)
	reflect.ValueOf(&out.Caller).Elem().Set(reflect.ValueOf(e.Caller).Convert(reflect.TypeOf(out.Caller)))
	return out
}

func (r *remote) Record(ctx context.Context, f coordinator.RecordFilter) (page coordinator.Page[*coordinator.RecordedCall], err error) {
	got, err := r.c.AuditPage(ctx, client.AuditFilter{Namespace: f.Namespace, Caller: f.Caller, Method: f.Method, Outcome: string(f.Outcome), Task: f.Task,
		Since: f.Since, Before: f.Before, PageSize: f.Limit, Cursor: f.Cursor})
	if err != nil {
		return page, err
	}
	for _, c := range got.Items {
		page.Items = append(page.Items, &coordinator.RecordedCall{RecordEntry: auditEntryOf(c.AuditEntry), EndedAt: c.EndedAt})
	}
	page.Next = got.Next
	return page, nil
}

func (r *remote) ReadRecord(ctx context.Context, g coordinator.RecordRange) iter.Seq2[*coordinator.RecordEntry, error] {
	return func(yield func(*coordinator.RecordEntry, error) bool) {
		for e, err := range r.c.AuditEntries(ctx, client.AuditRange{Namespace: g.Namespace, After: g.After, Since: g.Since, Before: g.Before, Follow: g.Follow}) {
			if err != nil {
				yield(nil, err)
				return
			}
			if entry := auditEntryOf(*e); !yield(&entry, nil) {
				return
			}
		}
	}
}

func (r *remote) VerifyRecord(ctx context.Context, heads []coordinator.RecordHead) iter.Seq2[*coordinator.RecordReport, error] {
	return func(yield func(*coordinator.RecordReport, error) bool) {
		noted := make([]client.AuditHead, len(heads))
		for i, h := range heads {
			noted[i] = client.AuditHead{Seq: h.Seq, Hash: h.Hash}
		}
		for report, err := range r.c.VerifyAudit(ctx, noted...) {
			if err != nil {
				yield(nil, err)
				return
			}
			out := &coordinator.RecordReport{Entries: report.Entries, Unchecked: report.Unchecked, Head: coordinator.RecordHead{Seq: report.Head.Seq, Hash: report.Head.Hash}, Done: report.Done}
			for _, f := range report.Faults {
				out.Faults = append(out.Faults, coordinator.RecordFault(f))
			}
			if !yield(out, nil) {
				return
			}
		}
	}
}
