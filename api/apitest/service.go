// Package apitest holds the tests that every surface must pass, see [Run], and a small coordinator.Service in memory, for these
// and other tests.
//
// It owns what all surfaces must do alike, and true answers to every call, without a store, a bus or workers: tests start,
// finish and fail tasks by hand. It must not have rules of its own: dag validates, and the test decides what is ready.
package apitest

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/internal/modelkey"
)

// Service keeps trees in memory. Safe for concurrent use.
type Service struct {
	mu      sync.Mutex
	trees   []*tree
	tasks   map[string]*task
	byKey   map[string]keyed // by idempotency key
	unique  map[string]*tree // that have keys, by owner and key
	faults  map[string][]error
	changed chan struct{} // closed and replaced whenever an event is added
	options coordinator.SubmitOptions

	violations  []*coordinator.Violation
	waits       map[string][]coordinator.Wait
	keys        map[string]map[string]modelkey.Key // of models: by user, then provider
	agents      []coordinator.AgentTask
	webhooks    []*webhook
	apiKeys     []*coordinator.APIKey
	namespaces  map[string]*coordinator.NamespaceInfo // but for default
	poolRules   []*dag.PoolRule
	limits      []*coordinator.LimitInfo
	weights     map[string]float64 // of users
	pauses      []*coordinator.PauseInfo
	schedules   map[string]*keptSchedule
	flows       map[string][]*coordinator.FlowInfo // their versions
	bundles     []*coordinator.BundleInfo
	bundleFiles map[string]bool // by their digests
	runs        []*keptRun
	profiles    map[string][]*coordinator.ProfileInfo // their versions
	holds       []*tree                               // that are held
	erasures    []*coordinator.ErasureInfo
	bindings    []*coordinator.StoredBinding
	sealKeys    []coordinator.SealKey
	generation  int // of the secret of tokens
	secrets     int // of API keys that were made
	delivered   int // deliveries, of all webhooks

	demand       map[string]coordinator.Demand // by pool
	demandChange chan struct{}                 // closed and replaced with each SetDemand
}

// keyed is the answer to a submission with a key, and what was submitted.
type keyed struct {
	answer   *coordinator.Submitted
	document string
}

type tree struct {
	status coordinator.TreeStatus
	tasks  []*task
	events []*coordinator.Event
	told   []*coordinator.Event // live
	begun  int64                // sequence before the current execution's first event
}

type task struct {
	coordinator.Task
	tree  *tree
	lines []*coordinator.LogLine

	artifacts []kept
	returned  []coordinator.Attempt // that were handed back
	signals   []sentSignal

	using, used  []dag.Used         // by the attempt that runs; by those that ended
	attemptUsage *coordinator.Usage // of the last that ended
}

var _ coordinator.Service = (*Service)(nil)

// New makes an empty one.
func New() *Service {
	return &Service{
		tasks: map[string]*task{}, byKey: map[string]keyed{}, unique: map[string]*tree{}, faults: map[string][]error{},
		changed: make(chan struct{}), demand: map[string]coordinator.Demand{}, demandChange: make(chan struct{}),
	}
}

// FailNext makes the next call of the operation ("Submit", "Watch") end with err, one call for each FailNext.
func (s *Service) FailNext(operation string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[operation] = append(s.faults[operation], err)
}

// fault takes the next fault of the operation. The caller holds mu.
func (s *Service) fault(operation string) error {
	list := s.faults[operation]
	if len(list) == 0 {
		return nil
	}
	s.faults[operation] = list[1:]
	return list[0]
}

// LastSubmit are the options of the last submission.
func (s *Service) LastSubmit() coordinator.SubmitOptions {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.options
}

// submitTogether stores several trees, all or none.
func (s *Service) submitTogether(ctx context.Context, opts coordinator.SubmitOptions, first iter.Seq2[*dag.Task, error]) (*coordinator.Submitted, error) {
	bad := &coordinator.TreesError{}
	trees := append([]coordinator.NewTree{{IdempotencyKey: opts.IdempotencyKey, Timeout: opts.Timeout, Retention: opts.Retention, Due: opts.Due, Tasks: first}}, opts.More...)
	for i := range trees {
		builder := dag.NewBuilder(dag.Limits{}, uuid.NewString)
		var given []*dag.Task
		err := error(nil)
		for t, fault := range trees[i].Tasks {
			if err = fault; err != nil {
				break
			}
			one := *t
			given = append(given, &one)
			if _, err = builder.Add(t); err != nil {
				break
			}
		}
		if err == nil {
			_, err = builder.Build()
		}
		if err != nil {
			bad.Faults = append(bad.Faults, coordinator.TreeFault{Tree: i, Err: err})
		}
		trees[i].Tasks = func(yield func(*dag.Task, error) bool) {
			for _, t := range given {
				if !yield(t, nil) {
					return
				}
			}
		}
	}
	if len(bad.Faults) > 0 {
		return nil, bad
	}
	opts.More = nil
	var out *coordinator.Submitted
	for _, t := range trees {
		opts.IdempotencyKey, opts.Timeout, opts.Retention, opts.Due = t.IdempotencyKey, t.Timeout, t.Retention, t.Due
		one, err := s.Submit(ctx, opts, t.Tasks)
		switch {
		case err != nil:
			return nil, err
		case out == nil:
			answer := *one // which is kept, and answers others later
			out = &answer
		default:
			out.More = append(out.More, one)
		}
	}
	return out, nil
}

// Submit stores a tree, or several.
func (s *Service) Submit(ctx context.Context, opts coordinator.SubmitOptions, tasks iter.Seq2[*dag.Task, error]) (*coordinator.Submitted, error) {
	if len(opts.More) > 0 {
		return s.submitTogether(ctx, opts, tasks)
	}
	if len(opts.IdempotencyKey) > 255 {
		return nil, &coordinator.InvalidArgumentError{Field: "idempotency_key", Reason: "must be at most 255 characters of UTF-8 without NUL"}
	}
	if err := (coordinator.TreeFilter{Labels: opts.Labels}).Check(); err != nil {
		return nil, err
	}
	builder := dag.NewBuilder(dag.Limits{}, uuid.NewString)
	var given []*dag.Task
	unique := opts.Unique
	warnings := &treedoc.Warnings{}
	for t, err := range warnings.See(tasks) {
		if err != nil {
			return nil, err
		}
		if t.ParentRef == "" && len(opts.Labels) > 0 {
			t.Labels = maps.Clone(t.Labels)
			if t.Labels == nil {
				t.Labels = map[string]string{}
			}
			maps.Copy(t.Labels, opts.Labels)
		}
		if t.ParentRef == "" && opts.Retention != 0 {
			t.Retention = opts.Retention
		}
		if t.ParentRef == "" && opts.Due != nil {
			t.Due = opts.Due
		}
		if _, err := builder.Add(t); err != nil {
			return nil, err
		}
		given = append(given, t)
		if unique == nil {
			unique = t.Unique
		}
	}
	s.judge(builder, given)
	graph, err := builder.Build()
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.options = opts
	if err := s.fault("Submit"); err != nil {
		return nil, err
	}
	if first, ok := s.byKey[opts.IdempotencyKey]; ok && opts.IdempotencyKey != "" {
		if first.document != canonical(given) {
			return nil, &coordinator.InvalidArgumentError{Field: "idempotency_key", Reason: "was used for a different submission"}
		}
		again := *first.answer
		again.Replayed, again.Shown = true, nil
		return &again, nil
	}
	if opts.RequireExisting {
		faults := &dag.InvalidTreeError{}
		for i, t := range given {
			if s.tasks[t.ID] == nil && t.ID != "" {
				faults.Problems = append(faults.Problems, &dag.InvalidTaskError{Index: i, Task: t.ID, Field: "id", Reason: fmt.Sprintf("Task %s not found in database", t.ID)})
			}
		}
		if len(faults.Problems) > 0 {
			return nil, faults
		}
	}
	owner := graph.UserID
	if owner == "" {
		owner = opts.UserID
	}
	if there, err := s.hasKey(owner, unique); there != nil || err != nil {
		return there, err
	}
	sub := s.store(graph, given, opts)
	if unique != nil {
		s.unique[owner+" "+unique.Key] = s.trees[len(s.trees)-1]
	}
	sub.Warnings = warnings.All()
	if opts.IdempotencyKey != "" {
		s.byKey[opts.IdempotencyKey] = keyed{sub, canonical(given)}
	}
	if !opts.Hold {
		s.execute(s.tasks[sub.TreeID], coordinator.ExecuteOptions{Demo: opts.Demo})
	}
	return sub, nil
}

// hasKey is the answer, or the error, to a tree whose key another one has; neither: none has it. The caller holds mu.
func (s *Service) hasKey(owner string, u *dag.Unique) (*coordinator.Submitted, error) {
	if u == nil {
		return nil, nil
	}
	there := s.unique[owner+" "+u.Key]
	switch {
	case there == nil || u.For == 0 && there.begun > 0 && there.show().Unfinished == 0:
		return nil, nil
	case u.Return:
		return &coordinator.Submitted{TreeID: there.status.ID, Tasks: len(there.tasks), Existing: true}, nil
	}
	return nil, &coordinator.UniqueError{Key: u.Key, TreeID: there.status.ID}
}

// canonical is the same for all spellings of a document.
func canonical(given []*dag.Task) string {
	return string(dag.AppendCanonical(nil, Document(given, "")))
}

// store keeps a valid tree, all held. The caller holds mu.
func (s *Service) store(graph *dag.Graph, given []*dag.Task, opts coordinator.SubmitOptions) *coordinator.Submitted {
	ids := slices.Clone(graph.IDs)
	sub := &coordinator.Submitted{Tasks: len(ids)}
	for i, id := range ids {
		if _, taken := s.tasks[id]; taken {
			if sub.IDMap == nil {
				sub.IDMap = map[string]string{}
			}
			ids[i] = uuid.NewString()
			sub.IDMap[id] = ids[i]
		}
	}
	user := graph.UserID
	if user == "" {
		user = opts.UserID
	}
	key := dag.TreeKey(len(s.trees) + 1)
	at := time.Now()
	root := given[graph.Root]
	tr := &tree{status: coordinator.TreeStatus{Key: key, ID: ids[graph.Root], Name: root.Name, UserID: user, CreatedAt: at, Labels: root.Labels, Retention: root.Retention}}
	if root.Due != nil {
		tr.status.Due = root.Due.Moment(at)
	}
	sub.TreeID = tr.status.ID
	for i, g := range given {
		t := &task{tree: tr, Task: coordinator.Task{
			Key: key.Key(i), ID: ids[i], Ref: graph.Refs[i], TreeID: sub.TreeID, UserID: user, Name: g.Name, Priority: g.Priority,
			Inputs: g.Inputs, Params: g.Params, Schemas: g.Schemas, Custom: g.Custom,
			Executor: g.Executor, Pool: g.QueueName(), HasChildren: !graph.Leaf[i], Repeatable: g.Repeatable, CreatedAt: at, UpdatedAt: at,
			Labels: g.Labels, Options: optionsOf(g, opts),
		}}
		t.Limiting = g.ReadKeys().Of(dag.Identity{Task: ids[i], Tree: sub.TreeID, User: user})
		if p := graph.Parent[i]; p >= 0 {
			t.ParentID = ids[p]
		}
		for _, e := range graph.Dependencies(i) {
			t.Dependencies = append(t.Dependencies, coordinator.Dependency{ID: ids[e.Task], Required: e.Required, Type: e.Type})
		}
		tr.tasks = append(tr.tasks, t)
		s.tasks[t.ID] = t
	}
	s.trees = append(s.trees, tr)
	sub.Shown = tr.shownWithin(opts)
	return sub
}

// shownWithin are the tasks of a tree that is held, if an answer may show them.
func (tr *tree) shownWithin(opts coordinator.SubmitOptions) (all []*coordinator.Task) {
	bytes := 0
	for _, t := range tr.tasks {
		shown := t.Task
		shown.Options = coordinator.TaskOptions{}
		all = append(all, &shown)
		bytes += len(t.Inputs) + len(t.Params) + len(t.Schemas) + len(t.Custom)
	}
	if !opts.Hold || len(all) > opts.Show.Tasks || bytes > opts.Show.Bytes {
		return nil
	}
	return all
}

// optionsOf are what a task was submitted with.
func optionsOf(t *dag.Task, opts coordinator.SubmitOptions) coordinator.TaskOptions {
	o := coordinator.TaskOptions{Policy: dag.Policy{Executor: t.Executor, Retry: t.Retry, OnLost: t.OnLost, Timeout: t.Timeout,
		ScheduleToStart: t.ScheduleToStart, NotBefore: t.NotBefore}}
	if t.ParentRef == "" {
		o.TreeTimeout = opts.Timeout
	}
	return o
}

// Execute starts what is held, and again what failed; with force, all; what was cancelled when that is asked for.
func (s *Service) Execute(_ context.Context, id string, opts coordinator.ExecuteOptions) (*coordinator.Execution, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("Execute"); err != nil {
		return nil, err
	}
	t, ok := s.tasks[id]
	if !ok {
		return nil, fmt.Errorf("execute %s: %w", id, coordinator.ErrNotFound)
	}
	if t.tree.show().Unfinished > 0 {
		return &coordinator.Execution{TreeID: t.TreeID, Outcome: coordinator.AlreadyRunning}, nil
	}
	if opts.DryRun {
		return s.plan(t, opts), nil
	}
	started := s.execute(t, opts)
	if started == 0 && t.State == dag.Cancelled {
		return &coordinator.Execution{TreeID: t.TreeID, Outcome: coordinator.WasCancelled, Cancelled: t.ID}, nil
	}
	if started == 0 {
		return &coordinator.Execution{TreeID: t.TreeID, Outcome: coordinator.NothingToDo}, nil
	}
	return &coordinator.Execution{TreeID: t.TreeID, Outcome: coordinator.Started, Tasks: started}, nil
}

// plan is what execute would start. The caller holds mu.
func (s *Service) plan(t *task, opts coordinator.ExecuteOptions) *coordinator.Execution {
	out := &coordinator.Execution{TreeID: t.TreeID, Outcome: coordinator.NothingToDo}
	for _, t := range t.tree.tasks {
		if restarts(t, opts) {
			out.Planned = append(out.Planned, coordinator.Match{ID: t.ID, TreeID: t.TreeID, Name: t.Name, Status: dag.StatusPending})
			out.Tasks, out.Outcome = out.Tasks+1, coordinator.Planned
		}
	}
	return out
}

// restarts reports whether an execution starts a task, or runs it again.
func restarts(t *task, opts coordinator.ExecuteOptions) bool {
	return (t.State != dag.Completed || opts.Force) && (t.State != dag.Cancelled || opts.Force || opts.RerunCancelled)
}

// execute makes tasks ready. The caller holds mu.
func (s *Service) execute(t *task, opts coordinator.ExecuteOptions) (started int) {
	tr := t.tree
	tr.begun = tr.status.Sequence
	for _, t := range tr.tasks {
		if !restarts(t, opts) {
			continue
		}
		t.State, t.Error, t.Result, t.CompletedAt = dag.Ready, "", nil, time.Time{}
		t.Attempt++
		started++
	}
	if started > 0 {
		tr.status.StartedAt, tr.status.FinishedAt = time.Now(), time.Time{}
		s.add(tr, coordinator.Event{Type: coordinator.EventExecution, Status: dag.StatusInProgress})
		if opts.Demo {
			s.demonstrate(tr)
		}
	}
	return started
}

// Task shows one task.
func (s *Service) Task(_ context.Context, id string) (*coordinator.Task, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("Task"); err != nil {
		return nil, err
	}
	t, ok := s.tasks[id]
	if !ok {
		return nil, fmt.Errorf("task %s: %w", id, coordinator.ErrNotFound)
	}
	shown := t.Task
	shown.Options = coordinator.TaskOptions{}
	return &shown, nil
}

// Tasks lists tasks; its cursor is the number of tasks before.
func (s *Service) Tasks(_ context.Context, f coordinator.TaskFilter) (coordinator.Page[*coordinator.Task], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var page coordinator.Page[*coordinator.Task]
	if err := s.fault("Tasks"); err != nil {
		return page, err
	}
	if err := f.Check(); err != nil {
		return page, err
	}
	if _, ok := s.tasks[f.ParentID]; f.ParentID != "" && !ok {
		return page, fmt.Errorf("children of %s: %w", f.ParentID, coordinator.ErrNotFound)
	}
	trees := slices.Clone(s.trees)
	slices.Reverse(trees)
	if f.TreeOf != "" {
		t, ok := s.tasks[f.TreeOf]
		if !ok {
			return page, fmt.Errorf("tasks of %s: %w", f.TreeOf, coordinator.ErrNotFound)
		}
		trees = []*tree{t.tree}
	}
	var all []*coordinator.Task
	for _, tr := range trees {
		for _, t := range tr.tasks {
			if selects(f, t) {
				shown := t.Task
				if !f.AsSubmitted {
					shown.Options = coordinator.TaskOptions{}
				}
				all = append(all, &shown)
			}
		}
	}
	if f.ParentID != "" {
		slices.SortStableFunc(all, func(a, b *coordinator.Task) int { return int(a.Priority - b.Priority) })
	}
	var err error
	page.Items, page.Next, err = cut(all, f.Limit, f.Offset, f.Cursor)
	return page, err
}

// selects reports whether the filter lets the task through.
func selects(f coordinator.TaskFilter, t *task) bool {
	created := t.tree.status.CreatedAt
	return (f.ParentID == "" || t.ParentID == f.ParentID) && (f.UserID == "" || t.UserID == f.UserID) && (f.Name == "" || t.Name == f.Name) &&
		(f.Status == "" || t.State.Status() == f.Status) && (f.States == 0 || f.States.Has(t.State)) && (f.Executor == "" || t.Executor == f.Executor) &&
		(!f.RootOnly || t.ParentID == "") && coordinator.Labelled(t.tree.status.Labels, f.Labels) && (f.OriginalID == "" || t.OriginalID == f.OriginalID) &&
		(len(f.Places) == 0 || slices.Contains(f.Places, slices.Index(t.tree.tasks, t)+1)) && (f.Error == "" || strings.Contains(strings.ToLower(t.Error), strings.ToLower(f.Error))) &&
		(!f.Approvals || t.Waiting != nil && t.Waiting.Kind == "approval") && hasOwn(t.Custom, f.Custom) && within(created, f.Since, f.Before)
}

// hasOwn reports whether own keys have the texts.
func hasOwn(custom json.RawMessage, texts map[string]string) bool {
	var own map[string]json.RawMessage
	if len(texts) > 0 && json.Unmarshal(custom, &own) != nil {
		return false
	}
	for key, want := range texts {
		got := string(own[key])
		if s, err := strconv.Unquote(got); err == nil {
			got = s
		}
		if got != want || got == "" {
			return false
		}
	}
	return true
}

// within reports whether a time is not before since, and before the other; zero ones are no bounds.
func within(at, since, before time.Time) bool {
	return !at.Before(since) && (before.IsZero() || at.Before(before))
}

func cut[T any](all []T, limit, offset int, cursor string) (items []T, next string, err error) {
	if limit == 0 {
		limit = 100
	}
	if limit < 0 || limit > 1000 {
		return nil, "", &coordinator.InvalidArgumentError{Field: "limit", Reason: "must be from 1 to 1000"}
	}
	if cursor != "" {
		if offset, err = strconv.Atoi(cursor); err != nil {
			return nil, "", &coordinator.InvalidArgumentError{Field: "cursor", Reason: "is not one of this list"}
		}
	}
	all = all[min(offset, len(all)):]
	if len(all) > limit {
		return all[:limit], strconv.Itoa(offset + limit), nil
	}
	return all, "", nil
}

var outcomes = map[dag.State]dag.Outcome{
	dag.Completed: dag.OutcomeCompleted, dag.Failed: dag.OutcomeFailed, dag.Cancelled: dag.OutcomeCancelled,
}

// Attempts shows those of a task's attempts that were handed back, and the one after them.
func (s *Service) Attempts(_ context.Context, id string) ([]coordinator.Attempt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.tasks[id]
	switch {
	case !ok:
		return nil, fmt.Errorf("attempts of %s: %w", id, coordinator.ErrNotFound)
	case t.Attempt == 0 || t.State == dag.Ready:
		return t.returned, nil
	}
	var told time.Time // to stop
	if t.State == dag.Cancelled {
		told = t.CompletedAt
	}
	return append(slices.Clone(t.returned), coordinator.Attempt{
		Number: t.Attempt, Running: t.State == dag.Running, Outcome: outcomes[t.State], Counted: true, Error: t.Error, Result: t.Result, Worker: t.Worker,
		StartedAt: t.StartedAt, FinishedAt: t.CompletedAt, CancelledAt: told, Usage: t.attemptUsage,
	}), nil
}

// Tree shows the tree of a task.
func (s *Service) Tree(_ context.Context, id string) (*coordinator.TreeStatus, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("Tree"); err != nil {
		return nil, err
	}
	t, ok := s.tasks[id]
	if !ok {
		return nil, fmt.Errorf("tree of %s: %w", id, coordinator.ErrNotFound)
	}
	shown := t.tree.show()
	for name, has := range s.unique {
		if _, key, _ := strings.Cut(name, " "); has == t.tree && (has.begun == 0 || shown.Unfinished > 0) { // no scenario has one for a time
			shown.Unique = &coordinator.UniqueKey{Key: key}
		}
	}
	return shown, nil
}

// Trees lists trees.
func (s *Service) Trees(_ context.Context, f coordinator.TreeFilter) (coordinator.Page[*coordinator.TreeStatus], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var page coordinator.Page[*coordinator.TreeStatus]
	if err := f.Check(); err != nil {
		return page, err
	}
	var all []*coordinator.TreeStatus
	for _, tr := range slices.Backward(s.trees) {
		shown := tr.show()
		if f.UserID != "" && shown.UserID != f.UserID || f.Status != "" && shown.Status != f.Status ||
			f.Running && shown.Unfinished == 0 || f.Name != "" && shown.Name != f.Name || !coordinator.HasPart(shown.Name, f.Part) || !coordinator.Labelled(shown.Labels, f.Labels) || !within(shown.CreatedAt, f.Since, f.Before) {
			continue
		}
		all = append(all, shown)
	}
	var err error
	page.Items, page.Next, err = cut(all, f.Limit, 0, f.Cursor)
	return page, err
}

// Running counts trees with an execution in progress.
func (s *Service) Running(ctx context.Context, userID string) (int, error) {
	page, err := s.Trees(ctx, coordinator.TreeFilter{UserID: userID, Running: true, Limit: 1000})
	return len(page.Items), err
}
