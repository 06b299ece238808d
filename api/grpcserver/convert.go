package grpcserver

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

func convert[A, B any](all []A, one func(A) B) []B {
	out := make([]B, len(all))
	for i, a := range all {
		out[i] = one(a)
	}
	return out
}

// stamp is absent for the zero time.
func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func taskOf(t *coordinator.Task) *pb.Task {
	out := &pb.Task{
		Id: t.ID, Ref: t.Ref, TreeId: t.TreeID, ParentId: t.ParentID, UserId: t.UserID, Name: t.Name,
		Status: string(t.State.Status()), State: t.State.String(), Priority: int32(t.Priority),
		Inputs: t.Inputs, Params: t.Params, Schemas: t.Schemas, Custom: t.Custom, Result: t.Result, Outputs: t.Outputs, Error: t.Error,
		Progress: t.Progress, Executor: t.Executor, Pool: t.Pool, Worker: t.Worker, Attempt: int32(t.Attempt),
		BlockedBy: t.BlockedBy, HasChildren: t.HasChildren, MayAnswer: t.MayAnswer, Repeatable: t.Repeatable,
		OriginalTaskId: t.OriginalID, HasCopy: t.HasCopy,
		CreatedAt: stamp(t.CreatedAt), ReadyAt: stamp(t.ReadyAt), Place: int32(t.Key.Index() + 1), StartedAt: stamp(t.StartedAt), UpdatedAt: stamp(t.UpdatedAt),
		CompletedAt: stamp(t.CompletedAt), DueAt: stamp(t.DueAt), Usage: usageOf(t.Usage), Labels: t.Labels,
	}
	if o := t.Options; !o.IsZero() {
		out.Options = optionsOf(o)
	}
	for _, d := range t.Dependencies {
		required, kind := d.Required, d.Type
		if kind == "" {
			kind = "result"
		}
		out.Dependencies = append(out.Dependencies, &pb.Dependency{Id: d.ID, Required: &required, Type: kind})
		setMode(out.Dependencies[len(out.Dependencies)-1], d.Mode)
	}
	out.Outcome, out.SkipReason, out.ErrorKind = t.State.Outcome(), t.SkipReason, string(t.ErrorKind)
	if e := t.Expansion; e != nil {
		out.Expansion = &pb.Expansion{Tasks: int32(e.Tasks), Made: int32(e.Made), Unfinished: int32(e.Unfinished), Window: int32(e.Window)}
	}
	out.SubtreeId = t.SubtreeID
	out.When, out.Fold, out.AllowFailure, out.Template = t.When, t.Fold, t.AllowFailure, t.Template
	if r := t.Repeat; r != nil {
		out.Repeat = &pb.Repeat{Until: r.Until, Max: int32(r.Max), Delay: durationpb.New(r.Delay)}
		out.Repeats, out.RepeatExhausted = int32(t.Repeats), t.Exhausted
	}
	if c := t.Cache; c != nil {
		out.Cache = &pb.Cache{Key: c.Key, Version: c.Version, For: durationpb.New(c.For)}
	}
	if from := t.CachedFrom; from != nil {
		out.CachedFrom = &pb.CachedFrom{TaskId: from.TaskID, TreeId: from.TreeID}
	}
	showLimiting(out, t.Limiting)
	if w := t.Waiting; w != nil {
		out.Waiting = &pb.Waiting{Kind: w.Kind, Name: w.Name, Since: stamp(w.Since), Until: stamp(w.Until), Data: w.Data, TreeId: w.TreeID}
	}
	return out
}

func optionsOf(o coordinator.TaskOptions) *pb.TaskOptions {
	out := &pb.TaskOptions{Timeout: duration(o.Timeout), ScheduleToStart: duration(o.ScheduleToStart), NotBefore: stamp(o.NotBefore),
		TreeTimeout: duration(o.TreeTimeout), Retention: dag.RetentionText(o.Retention)}
	if o.OnLost == dag.FailLost {
		out.OnLost = "fail"
	}
	if r := o.Retry; !r.IsZero() {
		out.Retry = retryOf(r)
	}
	out.Outputs, out.Artifacts, out.FlowStep, out.Found = o.Outputs, o.Artifacts, o.FlowStep, o.Found
	if i := o.Imported; i != nil {
		out.Imported = &pb.Imported{Outcome: i.State.Outcome(), Result: i.Result, Error: i.Error, Attempts: i.Attempts}
	}
	return out
}

// duration is absent for no time.
func duration(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

func treeOf(t *coordinator.TreeStatus) *pb.Tree {
	if t == nil {
		return nil
	}
	return &pb.Tree{
		Skipped: int64(t.Skipped), FailuresAllowed: int64(t.Allowed),
		Id: t.ID, Name: t.Name, UserId: t.UserID, Status: string(t.Status), Progress: t.Progress,
		Tasks: int64(t.Tasks), Unfinished: int64(t.Unfinished), Running: int64(t.Running),
		Completed: int64(t.Completed), Failed: int64(t.Failed), Cancelled: int64(t.Cancelled),
		Blocked: int64(t.Blocked), Held: int64(t.Held), Sequence: t.Sequence,
		CreatedAt: stamp(t.CreatedAt), StartedAt: stamp(t.StartedAt), FinishedAt: stamp(t.FinishedAt),
		OnlyOptionalFailed: t.OnlyOptionalFailed, Usage: usageOf(t.Usage), Labels: t.Labels,
		Retention: dag.RetentionText(t.Retention), Hold: holdOf(t.Hold), Unique: uniqueKeyOf(t.Unique), Due: stamp(t.Due), Late: stamp(t.Late),
	}
}

func uniqueKeyOf(u *coordinator.UniqueKey) *pb.UniqueKey {
	if u == nil {
		return nil
	}
	return &pb.UniqueKey{Key: u.Key, Until: stamp(u.Until)}
}

func attemptOf(a coordinator.Attempt) *pb.TaskAttempt {
	outcome := a.Outcome.String()
	if a.Running {
		outcome = "running"
	}
	return &pb.TaskAttempt{
		Number: int32(a.Number), Outcome: outcome, Kind: string(a.Kind), Counted: a.Counted, Error: a.Error, Detail: a.Detail,
		Result: a.Result, Outputs: a.Outputs, Worker: a.Worker, StartedAt: stamp(a.StartedAt), FinishedAt: stamp(a.FinishedAt), CancelledAt: stamp(a.CancelledAt),
		Usage: usageOf(a.Usage),
	}
}

func eventOf(e *coordinator.Event) *pb.Event {
	out := &pb.Event{
		Sequence: e.Sequence, Type: api.EventWords[e.Type], TreeId: e.TreeID, TaskId: e.TaskID, Name: e.Name, Status: string(e.Status),
		Attempt: int32(e.Attempt), Place: int32(e.Place), Progress: e.Progress, Message: e.Message, Result: e.Result, Error: e.Error,
		At: stamp(e.At), Tree: treeOf(e.Tree), Usage: usageOf(e.Usage),
	}
	for _, p := range e.Pieces {
		out.Pieces = append(out.Pieces, &pb.Piece{Kind: p.Kind, Agent: p.Agent, Name: p.Name, Text: p.Text})
	}
	switch e.Type {
	case coordinator.EventExecution:
		out.Message = "Task tree execution started"
	case coordinator.EventFinal:
		out.Message = "Task tree execution " + string(e.Status)
	case coordinator.EventCancelled:
		if e.Error == "" {
			out.Error = "Task was cancelled"
		}
	}
	return out
}
