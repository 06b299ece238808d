package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// NewTask is a task to submit. Either all tasks of a tree have an ID, or none has; then names must differ and stand for
// them. Exactly one task, the root, has no Parent.
type NewTask struct {
	ID, Name, Parent, UserID string
	Executor                 string   // id of the executor that runs it; empty: none, it completes as soon as its dependencies allow
	Needs                    []string // ids or names of tasks that must complete before this one starts; their results become inputs
	Wants                    []string // tasks that must end, successfully or not, before this one starts; their results are merged after those of Needs
	Priority                 Priority
	// Inputs, Params and Schemas are encoded as JSON objects: maps, structs, json.RawMessage, or nil.
	Inputs, Params, Schemas any
	Pool                    string // empty: named like the executor
	Retry                   RetryPolicy
	FailLost                bool              // fail when the worker is lost, instead of being tried again
	Repeatable              bool              // may run twice at once without harm
	Timeout                 time.Duration     // start to close, of one attempt; 0: the executor's own
	ScheduleToStart         time.Duration     // ready to started; 0: none
	NotBefore               time.Time         // zero: none
	Custom                  any               // a JSON object of keys of your own, shown with the task
	Labels                  map[string]string // of the root: texts that its tree is found by
	// Dependencies are waited for beside Needs and Wants: those that accept other outcomes than the usual.
	Dependencies []Dependency
	When         string      // a condition in CEL, evaluated when the dependencies have ended: if it is false, the task is skipped; empty: none
	Fold         bool        // of a task without executor: takes the worst outcome of its dependencies as its own
	AllowFailure bool        // its failure does not make its tree fail
	Template     bool        // strings of Inputs are templates
	Outputs      any         // a JSON object of templates, by the names of the values
	Repeat       *Repeat     // nil: it runs once
	Artifacts    []string    // patterns of the files that it makes
	Imported     *Imported   // it has ended already; nil: it has not
	Limits       []TaskLimit // what it asks for before it starts: all of it, or it waits
	Lock         *TaskLock   // likewise; nil: none
	Rates        []TaskRate  // likewise
	Cache        *Cache      // by which earlier successes it may end; nil: by none
	Unique       *Unique     // of the root; see [WithUnique]; nil: none
}

// Cache ends a task by an earlier success of the same executor with the same rendered inputs, of the same user in the same namespace.
type Cache struct {
	Key     string        // a template that stands for the inputs; empty: they count as they are rendered
	Version string        // of what the executor does: successes with another one do not count
	For     time.Duration // how old a success may be
}

func (c *Cache) message() *pb.Cache {
	if c == nil {
		return nil
	}
	return &pb.Cache{Key: c.Key, Version: c.Version, For: spanOf(c.For)}
}

// Unique lets one tree at a time have a key, of those of its user in its namespace.
type Unique struct {
	Key    string        // at most 255 characters
	For    time.Duration // how long the key is taken from when the tree is stored, as long as the tree is there; 0: until it has ended
	Return bool          // a further tree is not refused: the answer names the one that is there, see [Submitted.Existing]
}

func (u *Unique) message() *pb.Unique {
	if u == nil {
		return nil
	}
	out := &pb.Unique{Key: u.Key, For: spanOf(u.For)}
	if u.Return {
		out.OnConflict = "return"
	}
	return out
}

// TaskLimit lets at most Max be held under a key in the whole cluster while a task runs.
type TaskLimit struct {
	Key  string // may be a template over inputs, task and tree
	Max  int    // sum of costs; 0: what an operator has set
	Cost int    // 0: 1
}

// TaskLock lets one task at a time hold a key, with a token that is greater than any given before.
type TaskLock struct {
	Key          string
	OnContention string        // wait, fail or skip; empty: wait
	WaitTimeout  time.Duration // 0: none
	Hold         string        // attempt, or parent: once the task has succeeded, until its parent has ended; empty: attempt
}

// TaskRate lets at most Max tasks start in a time.
type TaskRate struct {
	Key   string
	Per   string // second, minute or hour
	Max   int
	Burst int // starts at once after a pause; 0: Max
}

// Repeat has a task run until a condition holds of its result.
type Repeat struct {
	Until string        // in CEL, over result and attempt
	Max   int           // runs in all; 0: 100 000
	Delay time.Duration // between two runs; 0: 1 s
}

// Imported is how a task has ended before it is submitted: it never runs.
type Imported struct {
	Outcome  string // success, skipped, failed, cancelled or blocked
	Result   any    // encoded as JSON
	Error    string
	Attempts int // that it took; 0: 1
}

// SubmitOption is a setting of a submission.
type SubmitOption func(*submission)

type submission struct {
	options  pb.SubmitOptions
	modelKey string
	maxBytes int
}

// WithIdempotencyKey makes a repeated submission with the key get the first answer. When the cluster can't be reached,
// [Client.Submit] is retried automatically only if it has a key.
func WithIdempotencyKey(key string) SubmitOption {
	return func(s *submission) { s.options.IdempotencyKey = key }
}

// WithUser names the owner of tasks that name none.
func WithUser(id string) SubmitOption { return func(s *submission) { s.options.UserId = id } }

// WithLabels gives the tree labels, texts that it is found by; they win over those of its root.
func WithLabels(labels map[string]string) SubmitOption {
	return func(s *submission) { s.options.Labels = labels }
}

// WithoutCache has all tasks run: none is ended by an earlier success. For trees that start at once or are held; to one that was held give [NoCache], too, when
// it is executed.
func WithoutCache() SubmitOption { return func(s *submission) { s.options.NoCache = true } }

// WithUnique gives the tree a key that no other one has at the same time; it wins over that of its root. If another one has it, nothing is stored: the error is
// a *[ConflictError] with the reason NOT_UNIQUE, whose facts name the tree that is there, or the answer does.
func WithUnique(u Unique) SubmitOption {
	return func(s *submission) { s.options.Unique = u.message() }
}

// Hold stores the tree without starting it; [Client.Execute] does that.
func Hold() SubmitOption { return func(s *submission) { s.options.Hold = true } }

// WithDemo has nothing run: workers make up results, which have demo_mode, in a time as real ones might take. For trees that start at
// once; to a held one give [Demo] when it is executed.
func WithDemo() SubmitOption { return func(s *submission) { s.options.Demo = true } }

// WithModelKey sends the key of a language model along, which the tree's tasks use in place of the workers' own: "<key>", or "<provider>:<key>" for
// models of that provider alone. Coordinators keep it in memory only, until the execution has ended. Not together with [Hold]: give [ModelKey] to
// the execution.
func WithModelKey(key string) SubmitOption { return func(s *submission) { s.modelKey = key } }

// WithTreeTimeout cancels what is unfinished when the tree has run for this long.
func WithTreeTimeout(d time.Duration) SubmitOption {
	return func(s *submission) { s.options.Timeout = durationpb.New(d) }
}

// WithRetention says how long the tree is kept once it has ended, such as "30d", "36h" or "keep", until it is deleted; it wins over what the root says. Without, the
// operator's retention counts.
func WithRetention(retention string) SubmitOption {
	return func(s *submission) { s.options.Retention = retention }
}

// WithDue says by when the tree is to have ended: a time after it is stored, such as "2h", a time of the day in UTC, such as "06:00", or an instant with its zone; it wins
// over what the root says. What has not ended then raises [EventLate], once, and goes on. Without, the tree is never late.
func WithDue(due string) SubmitOption {
	return func(s *submission) { s.options.Due = due }
}

// Submitted is the answer to a submission.
type Submitted struct {
	TreeID   string // the root's id
	Tasks    int
	Replayed bool              // the idempotency key was known: this is the first answer
	IDMap    map[string]string // of ids that other tasks had already: from the one given to the actual one; nil if there are none
	Warnings []Warning         // what was accepted and is likely a mistake; at most 20
	Existing bool              // nothing was stored: the tree has the key that this one asked for, see [WithUnique]
}

// Warning is about something in a tree that was accepted and is likely a mistake, such as a key that is spelt nearly as one that
// has an effect.
type Warning struct {
	Field  string // "tasks[3].dependecies"
	Reason string
}

// ID returns the actual id of the task that was submitted with the given one. An id that another task has already, such as that
// of an earlier run of the same program, is replaced, so ask here before you look a task up. Tasks without given ids are found by [Client.Tasks].
func (s *Submitted) ID(given string) string {
	if actual, replaced := s.IDMap[given]; replaced {
		return actual
	}
	return given
}

// Submit stores a tree and starts it, unless [Hold] is given. When it returns without an error, the tree is accepted.
// Faults in the tree are an [InvalidError]. Ids that other tasks have already are replaced: see [Submitted.ID].
func (c *Client) Submit(ctx context.Context, tasks []NewTask, options ...SubmitOption) (*Submitted, error) {
	s := newSubmission(options)
	for try := 0; ; try++ {
		sub, err := c.submit(ctx, s, fromSlice(tasks))
		if err == nil || s.options.IdempotencyKey == "" || !lost(err) || try == 10 {
			return sub, wrap(ctx, err, "submit %d tasks", len(tasks))
		}
		if err := c.pause(ctx, try, err); err != nil {
			return nil, fmt.Errorf("submit %d tasks: %w", len(tasks), err)
		}
	}
}

// SubmitSeq is Submit for a tree that is made while it is sent, so that it is never in memory as a whole. An error that
// tasks yields ends the submission and is returned. SubmitSeq is not retried automatically.
func (c *Client) SubmitSeq(ctx context.Context, tasks iter.Seq2[*NewTask, error], options ...SubmitOption) (*Submitted, error) {
	sub, err := c.submit(ctx, newSubmission(options), func(yield func(*pb.NewTask, error) bool) {
		for t, err := range tasks {
			var message *pb.NewTask
			if err == nil {
				message, err = t.message()
			}
			if !yield(message, err) || err != nil {
				return
			}
		}
	})
	return sub, wrap(ctx, err, "submit tasks")
}

// SubmitJSON is SubmitSeq for a tree in JSON: an array of tasks, one task, or {"tasks": [...]}, as tasks.create of the
// task-tree protocol takes them.
func (c *Client) SubmitJSON(ctx context.Context, r io.Reader, options ...SubmitOption) (*Submitted, error) {
	s := newSubmission(options)
	d := &document{timed: s.options.Timeout != nil, kept: s.options.Retention != "", due: s.options.Due != ""}
	sub, err := c.submit(ctx, s, d.messages(treedoc.Read(r, treedoc.Options{})))
	return sub, wrap(ctx, err, "submit tasks")
}

// SubmitFile is Submit for a tree file in one message, at most 16 MiB of YAML or JSON: the cluster makes the tree of it, with the values of its
// parameters, which are encoded as a JSON object; nil: none. Faults name the line and the column.
func (c *Client) SubmitFile(ctx context.Context, file []byte, parameters any, options ...SubmitOption) (*Submitted, error) {
	s := newSubmission(options)
	values, err := structOf(parameters)
	if err != nil {
		return nil, fmt.Errorf("submit a tree file: %w", err)
	}
	request := &pb.SubmitTreeRequest{Options: proto.CloneOf(&s.options), Document: structpb.NewStringValue(string(file)), Parameters: values}
	var got *pb.SubmitResponse
	err = c.repeated(ctx, s.options.IdempotencyKey != "", "submit a tree file", func() (err error) {
		got, err = c.rpc.SubmitTree(withKey(ctx, s.modelKey), request)
		return err
	})
	if err != nil {
		return nil, err
	}
	return submittedOf(got), nil
}

// structOf is a value as a JSON object; nil: none.
func structOf(value any) (*structpb.Struct, error) {
	if value == nil {
		return nil, nil
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode parameters: %w", err)
	}
	out := &structpb.Struct{}
	if err := protojson.Unmarshal(text, out); err != nil {
		return nil, errors.New("parameters must be encoded as an object")
	}
	return out, nil
}

// repeated makes a call, and, if that does no harm, again while the cluster can't be reached.
func (c *Client) repeated(ctx context.Context, harmless bool, what string, call func() error) error {
	for try := 0; ; try++ {
		err := call()
		if err == nil || !harmless || !lost(err) || try == 10 {
			return wrap(ctx, err, "%s", what)
		}
		if err := c.pause(ctx, try, err); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}

// NewTree is one of several trees that are submitted together, in one of three forms.
type NewTree struct {
	Tasks      []NewTask
	JSON       []byte // instead: as [Client.SubmitJSON] takes it
	File       []byte // instead: a tree file, in YAML or JSON
	Parameters any    // of the file: an object; nil: none
	// IdempotencyKey makes a repeated submission of this tree get the first answer; empty: none.
	IdempotencyKey string
}

// SubmitTrees is Submit for up to 100 trees in one message of at most 16 MiB, with 10 000 tasks together: all are stored, or none. The options are those of all; idempotency keys, unique ones and webhooks are not among them. Faults are an [InvalidError] and name their trees: "trees[2].tasks[0].timeout". It is retried automatically only if each tree has a key.
func (c *Client) SubmitTrees(ctx context.Context, trees []NewTree, options ...SubmitOption) ([]*Submitted, error) {
	s := newSubmission(options)
	request := &pb.SubmitTreesRequest{Options: proto.CloneOf(&s.options)}
	harmless := true
	for i := range trees {
		one, err := trees[i].message(&s.options)
		if err != nil {
			return nil, wrap(ctx, err, "submit %d trees: tree %d", len(trees), i)
		}
		request.Trees = append(request.Trees, one)
		harmless = harmless && one.IdempotencyKey != ""
	}
	var got *pb.SubmitTreesResponse
	err := c.repeated(ctx, harmless, fmt.Sprintf("submit %d trees", len(trees)), func() (err error) {
		got, err = c.rpc.SubmitTrees(withKey(ctx, s.modelKey), request)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := make([]*Submitted, len(got.Trees))
	for i, one := range got.Trees {
		out[i] = submittedOf(one)
	}
	return out, nil
}

func (t *NewTree) message(all *pb.SubmitOptions) (out *pb.NewTree, err error) {
	out = &pb.NewTree{IdempotencyKey: t.IdempotencyKey}
	if t.File != nil {
		out.Document = structpb.NewStringValue(string(t.File))
		out.Parameters, err = structOf(t.Parameters)
		return out, err
	}
	tasks := fromSlice(t.Tasks)
	if t.JSON != nil {
		tasks = (&document{timed: true, kept: true, due: true}).messages(func(yield func(*dag.Task, error) bool) {
			for task, err := range treedoc.Read(bytes.NewReader(t.JSON), treedoc.Options{}) {
				if err == nil && task.TreeTimeout > 0 && all.Timeout == nil {
					out.Timeout = durationpb.New(task.TreeTimeout)
				}
				if err == nil && task.Retention != 0 && all.Retention == "" {
					out.Retention = dag.RetentionText(task.Retention)
				}
				if err == nil && task.Due != nil && all.Due == "" {
					out.Due = task.Due.String()
				}
				if !yield(task, err) {
					return
				}
			}
		})
	}
	for task, err := range tasks {
		if err != nil {
			return nil, err
		}
		out.Tasks = append(out.Tasks, task)
	}
	return out, nil
}

func newSubmission(options []SubmitOption) *submission {
	s := &submission{maxBytes: 1 << 20}
	for _, option := range options {
		option(s)
	}
	return s
}

func fromSlice(tasks []NewTask) iter.Seq2[*pb.NewTask, error] {
	return func(yield func(*pb.NewTask, error) bool) {
		for i := range tasks {
			message, err := tasks[i].message()
			if !yield(message, err) || err != nil {
				return
			}
		}
	}
}

// submit sends tasks in messages of about a megabyte. Its errors are gRPC's, or those of tasks.
func (c *Client) submit(ctx context.Context, s *submission, tasks iter.Seq2[*pb.NewTask, error]) (*Submitted, error) {
	ctx, cancel := context.WithCancel(ctx) // so that an error in between drops what was sent
	defer cancel()
	stream, err := c.rpc.Submit(withKey(ctx, s.modelKey))
	if err != nil {
		return nil, err
	}
	request := &pb.SubmitRequest{Options: proto.CloneOf(&s.options)}
	size := 0
	for t, err := range tasks {
		if err != nil {
			return nil, err
		}
		request.Tasks = append(request.Tasks, t)
		size += proto.Size(t) + 8
		if size < s.maxBytes {
			continue
		}
		if err := stream.Send(request); err == io.EOF {
			break // the server has decided already: CloseAndRecv says what
		} else if err != nil {
			return nil, err
		}
		request, size = &pb.SubmitRequest{}, 0
	}
	if len(request.Tasks) > 0 || request.Options != nil {
		if err := stream.Send(request); err != nil && err != io.EOF {
			return nil, err
		}
	}
	got, err := stream.CloseAndRecv()
	if err != nil {
		return nil, err
	}
	return submittedOf(got), nil
}

func submittedOf(got *pb.SubmitResponse) *Submitted {
	out := &Submitted{TreeID: got.TreeId, Tasks: int(got.Tasks), Replayed: got.Replayed, IDMap: got.IdMap, Existing: got.Existing}
	for _, w := range got.Warnings {
		out.Warnings = append(out.Warnings, Warning{w.Field, w.Reason})
	}
	return out
}

// message encodes a task.
func (t *NewTask) message() (*pb.NewTask, error) {
	out := &pb.NewTask{
		Id: t.ID, Name: t.Name, ParentId: t.Parent, UserId: t.UserID, Executor: t.Executor, Pool: t.Pool,
		Priority: proto.Int32(t.Priority.wire()), Retry: t.Retry.message(),
		Timeout: spanOf(t.Timeout), ScheduleToStart: spanOf(t.ScheduleToStart), NotBefore: stampOf(t.NotBefore), Labels: t.Labels,
	}
	for _, part := range []struct {
		name  string
		value any
		out   *[]byte
	}{{"inputs", t.Inputs, &out.Inputs}, {"params", t.Params, &out.Params}, {"schemas", t.Schemas, &out.Schemas}, {"custom", t.Custom, &out.Custom}, {"outputs", t.Outputs, &out.Outputs}} {
		if part.value == nil {
			continue
		}
		var err error
		if *part.out, err = json.Marshal(part.value); err != nil {
			return nil, fmt.Errorf("task %s: encode %s: %w", t.Name, part.name, err)
		}
	}
	if t.FailLost {
		out.OnLost = "fail"
	}
	if t.Repeatable {
		out.Repeatable = proto.Bool(true)
	}
	for _, ref := range t.Needs {
		out.Dependencies = append(out.Dependencies, &pb.Dependency{Id: ref})
	}
	for _, ref := range t.Wants {
		out.Dependencies = append(out.Dependencies, &pb.Dependency{Id: ref, Required: proto.Bool(false)})
	}
	for _, d := range t.Dependencies {
		out.Dependencies = append(out.Dependencies, d.message())
	}
	out.When, out.Fold, out.AllowFailure, out.Template, out.Artifacts = t.When, t.Fold, t.AllowFailure, t.Template, t.Artifacts
	if r := t.Repeat; r != nil {
		out.Repeat = &pb.Repeat{Until: r.Until, Max: int32(r.Max), Delay: spanOf(r.Delay)}
	}
	out.Limits, out.Lock, out.Rates = limitsOf(t.Limits), t.Lock.message(), ratesOf(t.Rates)
	out.Unique, out.Cache = t.Unique.message(), t.Cache.message()
	if i := t.Imported; i != nil {
		result, err := json.Marshal(i.Result)
		if err != nil {
			return nil, fmt.Errorf("task %s: encode result: %w", t.Name, err)
		}
		out.Imported = &pb.Imported{Outcome: i.Outcome, Result: result, Error: i.Error, Attempts: int32(i.Attempts)}
	}
	return out, nil
}

// messageOf encodes a task that was read from a document. Its executor is chosen anew by the server.
func messageOf(t *dag.Task) *pb.NewTask {
	out := &pb.NewTask{
		Id: t.ID, Name: t.Name, ParentId: t.ParentRef, UserId: t.UserID, Priority: proto.Int32(int32(t.Priority)),
		Inputs: slices.Clone(t.Inputs), Params: slices.Clone(t.Params), Schemas: slices.Clone(t.Schemas),
		Custom: slices.Clone(t.Custom), Pool: t.Pool, Timeout: spanOf(t.Timeout),
		ScheduleToStart: spanOf(t.ScheduleToStart), NotBefore: stampOf(t.NotBefore), Labels: t.Labels,
		Retry: retryFrom(t.Retry).message(), Fold: t.Fold, AllowFailure: t.AllowFailure,
	}
	if t.OnLost == dag.FailLost {
		out.OnLost = "fail"
	}
	if t.Repeatable {
		out.Repeatable = proto.Bool(true)
	}
	for _, d := range t.Dependencies {
		out.Dependencies = append(out.Dependencies, Dependency{d.Ref, d.Optional, d.Type, d.Mode.Accept(), d.Mode.Otherwise(), d.Mode.OrderOnly(), d.Mode.Skips()}.message())
	}
	if c := t.Control; c != nil {
		out.When, out.Template, out.Outputs, out.Artifacts, out.FlowStep = c.When, c.Template, slices.Clone(c.Outputs), c.Artifacts, c.FlowStep.Text()
		if r := c.Repeat; r != nil {
			out.Repeat = &pb.Repeat{Until: r.Until, Max: int32(r.Max), Delay: durationpb.New(r.Delay)}
		}
		if x := c.Cache; x != nil {
			out.Cache = (&Cache{x.Key, x.Version, x.For}).message()
		}
	}
	if l := t.Limiting; l != nil {
		for _, one := range l.Limits {
			out.Limits = append(out.Limits, &pb.Limit{Key: one.Key, Max: one.Max, Cost: one.Cost})
		}
		if k := l.Lock; k != nil {
			out.Lock = (&TaskLock{k.Key, k.OnContention.Word(), k.WaitTimeout, k.Hold.Word()}).message()
		}
		for _, one := range l.Rates {
			out.Rates = append(out.Rates, &pb.Rate{Key: one.Key, Per: dag.RateWord(one.Per), Max: one.Max, Burst: one.Burst})
		}
	}
	if u := t.Unique; u != nil {
		out.Unique = (&Unique{u.Key, u.For, u.Return}).message()
	}
	if i := t.Imported; i != nil {
		out.Imported = &pb.Imported{Outcome: i.State.Outcome(), Result: slices.Clone(i.Result), Error: i.Error, Attempts: i.Attempts}
	}
	return out
}

func (p RetryPolicy) message() *pb.RetryPolicy {
	if p.IsZero() {
		return nil
	}
	out := &pb.RetryPolicy{
		MaxAttempts: int32(p.MaxAttempts), Backoff: string(p.Backoff),
		InitialDelay: spanOf(p.InitialDelay), MaxDelay: spanOf(p.MaxDelay),
		Multiplier: p.Multiplier, RetryOn: p.RetryOn, NoRetryOn: p.NoRetryOn,
	}
	if p.NoDelay {
		out.InitialDelay = &durationpb.Duration{}
	}
	if p.NoJitter {
		out.Jitter = "none"
	}
	return out
}

// retryOf is the policy of a message.
func retryOf(r *pb.RetryPolicy) RetryPolicy {
	return RetryPolicy{MaxAttempts: int(r.MaxAttempts), Backoff: Backoff(r.Backoff), InitialDelay: r.InitialDelay.AsDuration(), MaxDelay: r.MaxDelay.AsDuration(),
		Multiplier: r.Multiplier, NoDelay: r.InitialDelay != nil && r.InitialDelay.AsDuration() == 0, NoJitter: r.Jitter == "none", RetryOn: r.RetryOn, NoRetryOn: r.NoRetryOn}
}

// retryFrom is the policy of a task that was read from a document.
func retryFrom(r dag.RetryPolicy) RetryPolicy {
	words := func(kinds []dag.Kind) (out []string) {
		for _, k := range kinds {
			out = append(out, string(k))
		}
		return out
	}
	return RetryPolicy{MaxAttempts: r.MaxAttempts, Backoff: Backoff(r.Backoff), InitialDelay: r.InitialDelay, MaxDelay: r.MaxDelay,
		Multiplier: r.Multiplier, NoDelay: r.NoDelay, NoJitter: r.NoJitter, RetryOn: words(r.RetryOn), NoRetryOn: words(r.NoRetryOn)}
}

func (d Dependency) message() *pb.Dependency {
	out := &pb.Dependency{Id: d.Ref, Required: proto.Bool(!d.Optional), Type: d.Type, Accept: d.Accept, Otherwise: d.Otherwise, Skips: d.Skips}
	if d.OrderOnly {
		out.Merge = proto.Bool(false)
	}
	return out
}

func dependencyOf(d *pb.Dependency) Dependency {
	return Dependency{d.Id, d.Required != nil && !*d.Required, d.Type, d.Accept, d.Otherwise, d.Merge != nil && !*d.Merge, d.Skips}
}

func limitsOf(limits []TaskLimit) (out []*pb.Limit) {
	for _, l := range limits {
		out = append(out, &pb.Limit{Key: l.Key, Max: count32(l.Max), Cost: count32(l.Cost)})
	}
	return out
}

func ratesOf(rates []TaskRate) (out []*pb.Rate) {
	for _, r := range rates {
		out = append(out, &pb.Rate{Key: r.Key, Per: r.Per, Max: count32(r.Max), Burst: count32(r.Burst)})
	}
	return out
}

// count32 is a number as messages have it; what is out of their range stays out of any bound.
func count32(n int) int32 { return int32(max(math.MinInt32, min(math.MaxInt32, n))) }

func (l *TaskLock) message() *pb.Lock {
	if l == nil {
		return nil
	}
	return &pb.Lock{Key: l.Key, OnContention: l.OnContention, WaitTimeout: spanOf(l.WaitTimeout), Hold: l.Hold}
}

func spanOf(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

func stampOf(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
