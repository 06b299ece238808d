package pg

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// Shown is a task as it is shown: one row of the view of that name.
type Shown struct {
	Key        dag.Key
	ID         string
	Ref        string
	TreeID     string `db:"tree_id"`
	ParentID   *string
	UserID     *string
	Name       string
	State      dag.State
	Priority   dag.Priority
	Flags      dag.Flags
	Deps       []int32
	DepTypes   []string
	DepModes   []int16
	Inputs     []byte // as submitted
	Params     []byte
	Schemas    []byte
	Custom     []byte
	Control    []byte // dag.Control
	Result     []byte
	Outputs    []byte
	Kind       *string // of the error
	Error      *string
	Progress   *float32
	Executor   string
	Pool       string
	Worker     *string
	Attempt    int32
	BlockedBy  *string
	Parent     int32
	CreatedAt  time.Time
	ReadyAt    *time.Time `db:"ready_at"` // of the newest attempt
	StartedAt  *time.Time
	FinishedAt *time.Time
	DueAt      *time.Time
	Original   *string           // the task that it was copied from
	HasCopy    bool              // it was copied
	Labels     map[string]string // of a root; nil: none
	Namespace  dag.NamespaceKey

	SealedPayload []byte `db:"sealed_payload"` // until they are opened
	SealedAttempt []byte `db:"sealed_attempt"`

	Dependencies []ShownDependency      `db:"-"`
	Results      []dag.DependencyResult `db:"-"` // of completed dependencies, once started
	Policy       dag.Policy             `db:"-"` // with [Filter.AsSubmitted]
	TreeTimeout  time.Duration          `db:"-"` // with [Filter.AsSubmitted]: of the root
	Retention    time.Duration          `db:"-"` // likewise, of its tree
	Waiting      *Waiting               `db:"-"` // awaiting: for what
	Expansion    *Expansion             `db:"-"` // expanded: what it found
	SubtreeID    string                 `db:"-"` // the root of the tree that its attempt has submitted; empty: none
	Repeats      int32                  `db:"-"` // how often it ran and was run once more
	CachedFrom   *dag.CachedFrom        `db:"-"` // whose success ended it; nil: it ran, or has not ended
	Submitted    bool                   `db:"-"` // with [Filter.AsSubmitted]: Policy and TreeTimeout are there
	Limiting     *dag.Limiting          `db:"-"` // what it asks for, as it is stored; nil: nothing
	Used         []dag.Used             `db:"-"` // of models, by all attempts; lists don't tell
}

// ShownDependency is an edge as it is shown.
type ShownDependency struct {
	ID, Type string
	Required bool
	Mode     dag.EdgeMode
}

// KeyOf is the key of the namespace's task with the id. [ErrNotFound].
func (s *Store) KeyOf(ctx context.Context, namespace dag.NamespaceKey, id string) (k dag.Key, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	err = s.pool.QueryRow(ctx, sql("KeyOf"), id, namespace).Scan(&k)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, ErrNotFound
	}
	return k, err
}

// OwnerOf is whose a task is; empty: nobody's. [ErrNotFound].
func (s *Store) OwnerOf(ctx context.Context, namespace dag.NamespaceKey, id string) (string, error) {
	return s.owner(ctx, namespace, "OwnerOf", id)
}

// OwnerOfWebhook is whose the tree of a webhook is; empty: nobody's, or it is of no tree. [ErrNotFound].
func (s *Store) OwnerOfWebhook(ctx context.Context, namespace dag.NamespaceKey, id string) (string, error) {
	return s.owner(ctx, namespace, "OwnerOfWebhook", id)
}

// OwnerOfAgentTask is whose the tree of a task of the A2A protocol is; empty: nobody's. [ErrNotFound].
func (s *Store) OwnerOfAgentTask(ctx context.Context, namespace dag.NamespaceKey, id string) (string, error) {
	return s.owner(ctx, namespace, "OwnerOfAgentTask", id)
}

func (s *Store) owner(ctx context.Context, namespace dag.NamespaceKey, statement, id string) (owner string, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	var there bool
	if err := s.pool.QueryRow(ctx, sql(statement), id, namespace).Scan(&there, &owner); err != nil {
		return "", fmt.Errorf("%s: %w", statement, err)
	}
	if !there {
		return "", ErrNotFound
	}
	return owner, nil
}

// Task shows the namespace's task with the id. [ErrNotFound].
func (s *Store) Task(ctx context.Context, namespace dag.NamespaceKey, id string) (*Shown, error) {
	list, err := s.shown(ctx, dag.MaxTreeTasks, "TaskByID", id, namespace)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, ErrNotFound
	}
	if t := list[0]; t.FinishedAt != nil || t.Attempt > 1 { // else no attempt has ended
		b := &pgx.Batch{}
		queueUsageOf(b, t.Key, t.Key+1, &t.Used)
		if err := s.pool.Send(ctx, b); err != nil {
			return nil, fmt.Errorf("read usage: %w", err)
		}
	}
	return list[0], nil
}

// Label is how a task is called.
type Label struct{ ID, Name string }

// Labels are the ids and names of tasks; keys that do not exist are missing.
func (s *Store) Labels(ctx context.Context, keys []dag.Key) (map[dag.Key]Label, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("LabelsOf"), keys)
	if err != nil {
		return nil, fmt.Errorf("read ids: %w", err)
	}
	out := make(map[dag.Key]Label, len(keys))
	var k dag.Key
	var l Label
	if _, err := pgx.ForEachRow(rows, []any{&k, &l.ID, &l.Name}, func() error {
		out[k] = l
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read ids: %w", err)
	}
	return out, nil
}

// LabelsIn are the ids and names of a tree's tasks, of the first limit.
func (s *Store) LabelsIn(ctx context.Context, tree dag.TreeKey, limit int) (keys []dag.Key, labels map[dag.Key]Label, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	first, end := tree.Range()
	rows, err := s.pool.Query(ctx, sql("LabelsIn"), first, end, limit)
	if err != nil {
		return nil, nil, fmt.Errorf("read ids: %w", err)
	}
	labels = map[dag.Key]Label{}
	var k dag.Key
	var l Label
	if _, err := pgx.ForEachRow(rows, []any{&k, &l.ID, &l.Name}, func() error {
		keys, labels[k] = append(keys, k), l
		return nil
	}); err != nil {
		return nil, nil, fmt.Errorf("read ids: %w", err)
	}
	return keys, labels, nil
}

// RunningAttempts are the attempts that run of these tasks; tasks that don't run are missing.
func (s *Store) RunningAttempts(ctx context.Context, keys []dag.Key) (map[dag.Key]int32, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("RunningAttempts"), keys)
	if err != nil {
		return nil, fmt.Errorf("read running attempts: %w", err)
	}
	out := make(map[dag.Key]int32, len(keys))
	var k dag.Key
	var attempt int32
	if _, err := pgx.ForEachRow(rows, []any{&k, &attempt}, func() error {
		out[k] = attempt
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read running attempts: %w", err)
	}
	return out, nil
}

// Filter narrows a list of tasks; zero fields don't.
type Filter struct {
	States      dag.StateSet // empty: all
	Name        string
	Executor    string
	UserID      string
	Original    string            // copies of this task
	Error       string            // that their errors have, whatever the case; only of [Store.TreeTasks]
	Own         map[string]string // keys of their own that they have, with the texts of their values
	AsSubmitted bool              // with what each was submitted with, and without results among its inputs
	Limit       int               // at least 1
	Offset      int
}

// states are the numbers of States; nil: all.
func (f Filter) states() (out []int16) {
	for _, st := range f.States.States() {
		out = append(out, int16(st))
	}
	return out
}

// own are the keys and texts of Own; nil: all.
func (f Filter) own() (keys, texts []string) {
	for _, key := range slices.Sorted(maps.Keys(f.Own)) {
		keys, texts = append(keys, key), append(texts, f.Own[key])
	}
	return keys, texts
}

// orNull is a value, or null when it is the zero one.
func orNull[T comparable](v T) any {
	var zero T
	if v == zero {
		return nil
	}
	return v
}

// TreeTasks lists a tree's tasks in submission order, with keys in [from, end). User is not looked at.
func (s *Store) TreeTasks(ctx context.Context, from, end dag.Key, f Filter) (Page, error) {
	return s.pageOf(ctx, f, "TasksUp", f.up(from, end)...)
}

// up are the arguments of the statement TasksUp.
func (f Filter) up(from, end dag.Key) []any {
	keys, texts := f.own()
	return []any{from, end, f.states(), orNull(f.Name), orNull(f.Executor), f.Limit, f.Offset, orNull(f.Original), keys, texts, orNull(f.Error)}
}

// TasksAt lists those of the tasks that are there, by key, f.Limit at most.
func (s *Store) TasksAt(ctx context.Context, keys []dag.Key, f Filter) (Page, error) {
	return s.pageOf(ctx, f, "TasksAt", keys, f.Limit)
}

// Tasks lists tasks of all trees of a namespace, newest tree first, with keys in [from, below). It looks at so many at most; see [Store.TaskBelow].
func (s *Store) Tasks(ctx context.Context, namespace dag.NamespaceKey, below, from dag.Key, looks int, f Filter) (Page, error) {
	keys, texts := f.own()
	return s.pageOf(ctx, f, in(namespace, "TasksDown"), below, from, f.states(), orNull(f.Name), orNull(f.Executor), orNull(f.UserID), f.Limit, f.Offset, looks,
		orNull(f.Original), keys, texts, namespace)
}

// Roots lists root tasks of a namespace, newest first, of trees with keys in [from, below). It looks at so many trees at most; see [Store.TreeBelow].
func (s *Store) Roots(ctx context.Context, namespace dag.NamespaceKey, below, from dag.TreeKey, looks int, f Filter) (Page, error) {
	keys, texts := f.own()
	return s.pageOf(ctx, f, in(namespace, "RootsDown"), below, from, f.states(), orNull(f.Name), orNull(f.Executor), orNull(f.UserID), f.Limit, f.Offset,
		orNull(f.Original), keys, texts, namespace, looks)
}

// LabelledRoots lists root tasks of a namespace, newest first, of trees below a key that have the labels, in so many steps at most; see
// [Store.LabelledTrees].
func (s *Store) LabelledRoots(ctx context.Context, namespace dag.NamespaceKey, below dag.TreeKey, labels map[string]string, steps int, f Filter) (page Page, at dag.TreeKey, err error) {
	trees, at, err := s.labelled(ctx, orNewest(below), labels, f.Limit, steps)
	if err != nil || len(trees) == 0 {
		return page, at, err
	}
	keys, texts := f.own()
	page, err = s.pageOf(ctx, f, "RootsOf", trees, f.states(), orNull(f.Name), orNull(f.Executor), orNull(f.UserID), f.Limit, f.Offset,
		orNull(f.Original), keys, texts, namespace)
	return page, at, err
}

// Copies lists the namespace's copies of f.Original with keys in [from, below), newest first, or the roots among them.
func (s *Store) Copies(ctx context.Context, namespace dag.NamespaceKey, below, from dag.Key, roots bool, f Filter) (Page, error) {
	keys, texts := f.own()
	return s.pageOf(ctx, f, "CopiesDown", f.Original, below, from, roots, f.states(), orNull(f.Name), orNull(f.Executor), orNull(f.UserID), f.Limit, f.Offset,
		keys, texts, namespace)
}

// Approvals lists tasks of a namespace that wait for approvals, with keys in [from, below), newest tree first. It looks at so many at most. Of the filter,
// User, Limit and AsSubmitted count. at is where the next page begins; 0: there is none.
func (s *Store) Approvals(ctx context.Context, namespace dag.NamespaceKey, below, from dag.Key, looks int, f Filter) (page Page, at dag.Key, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("ApprovalsDown"), below, from, f.Limit, looks, orNull(f.UserID), namespace)
	if err != nil {
		return page, 0, fmt.Errorf("list approvals: %w", err)
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[dag.Key])
	if err != nil {
		return page, 0, fmt.Errorf("list approvals: %w", err)
	}
	if len(keys) == f.Limit {
		at = keys[len(keys)-1]
	} else if err := s.pool.QueryRow(ctx, sql("ApprovalsBelow"), below, from, looks).Scan(&at); err != nil {
		return page, 0, fmt.Errorf("list approvals: %w", err)
	}
	if len(keys) == 0 {
		return page, at, nil
	}
	if page, err = s.pageOf(ctx, f, "AwaitingOf", keys, f.Limit); err != nil {
		return page, 0, err
	}
	if n := len(page.Tasks); n > 0 && page.More && page.Last().Key > keys[len(keys)-1] { // the rest would be too large
		at = page.Last().Key
	}
	return page, at, nil
}

// Children lists the direct children of a task by priority, then submission order, after a place in that order (nil:
// from the start). User is not looked at.
func (s *Store) Children(ctx context.Context, parent dag.Key, after *Shown, f Filter) (Page, error) {
	first, end := parent.Tree().Range()
	priority, key := int16(-1), dag.Key(0)
	if after != nil {
		priority, key = int16(after.Priority), after.Key
	}
	keys, texts := f.own()
	return s.pageOf(ctx, f, "Children", first, end, parent.Index(), priority, key, f.states(), orNull(f.Name), orNull(f.Executor), f.Limit, f.Offset,
		orNull(f.Original), keys, texts)
}

// shown runs a query over the view, for few tasks, and adds what the view has only by key. Results of dependencies are added for
// started tasks with at most maxDeps of them.
func (s *Store) shown(ctx context.Context, maxDeps int, statement string, args ...any) ([]*Shown, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql(statement), args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", statement, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToAddrOfStructByName[Shown])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", statement, err)
	}
	for _, t := range list {
		if err := t.open(ctx, s.seals); err != nil {
			return nil, err
		}
	}
	if err := s.addDependencies(ctx, list); err != nil {
		return nil, err
	}
	if err := s.addWaiting(ctx, list); err != nil {
		return nil, err
	}
	if err := s.addExpansions(ctx, list); err != nil {
		return nil, err
	}
	if err := s.addSubtrees(ctx, list); err != nil {
		return nil, err
	}
	if err := s.addRepeats(ctx, list); err != nil {
		return nil, err
	}
	if err := s.addCachedFrom(ctx, list); err != nil {
		return nil, err
	}
	if err := s.addLimits(ctx, list); err != nil {
		return nil, err
	}
	return list, s.addShownResults(ctx, list, maxDeps)
}

// open opens what is sealed of it.
func (t *Shown) open(ctx context.Context, x *seals) error {
	if err := x.open(ctx, t.Key.Tree(), kindPayload, t.SealedPayload, &t.Inputs, &t.Params, &t.Schemas, &t.Custom, &t.Control); err != nil {
		return err
	}
	var message []byte
	if err := x.open(ctx, t.Key.Tree(), kindAttempt, t.SealedAttempt, &t.Result, &message, new([]byte), &t.Outputs); err != nil {
		return err
	}
	if message != nil {
		text := string(message)
		t.Error = &text
	}
	t.SealedPayload, t.SealedAttempt = nil, nil
	return nil
}

// addDependencies names the tasks that each depends on: those of the list at once, the others by one look-up for all.
func (s *Store) addDependencies(ctx context.Context, list []*Shown) error {
	wanted := map[dag.Key]string{}
	for _, t := range list {
		wanted[t.Key] = t.ID
	}
	var missing []dag.Key
	for _, t := range list {
		for _, d := range t.Deps {
			k := t.Key.Tree().Key(int(max(d, -d) - 1))
			if _, ok := wanted[k]; !ok {
				wanted[k] = ""
				missing = append(missing, k)
			}
		}
	}
	if len(missing) > 0 {
		labels, err := s.Labels(ctx, missing)
		if err != nil {
			return err
		}
		for k, l := range labels {
			wanted[k] = l.ID
		}
	}
	for _, t := range list {
		for i, d := range t.Deps {
			dep := ShownDependency{ID: wanted[t.Key.Tree().Key(int(max(d, -d)-1))], Required: d > 0, Type: "result", Mode: modeAt(t.DepModes, i)}
			if i < len(t.DepTypes) && t.DepTypes[i] != "" {
				dep.Type = t.DepTypes[i]
			}
			t.Dependencies = append(t.Dependencies, dep)
		}
	}
	return nil
}

// addLimits adds what tasks ask for. A text that can't be read shows nothing: it is the process of a later version that wrote it.
func (s *Store) addLimits(ctx context.Context, list []*Shown) error {
	byKey := map[dag.Key]*Shown{}
	var keys []dag.Key
	for _, t := range list {
		if t.Flags&dag.FlagLimited != 0 {
			byKey[t.Key], keys = t, append(keys, t.Key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	rows, err := s.pool.Query(ctx, sql("LimitsOf"), keys)
	if err == nil {
		err = eachRow(rows, func(v *values) {
			t := byKey[v.key()]
			if l, err := dag.ReadLimiting(v.json()); err == nil {
				t.Limiting = l
			}
		})
	}
	if err != nil {
		return fmt.Errorf("read limits of %d tasks: %w", len(keys), err)
	}
	return nil
}

// addShownResults adds what started tasks started from, where it is of no more than maxDeps dependencies.
func (s *Store) addShownResults(ctx context.Context, list []*Shown, maxDeps int) error {
	byKey := map[dag.Key]*Work{}
	var keys []dag.Key
	for _, t := range list {
		if t.StartedAt != nil && len(t.Deps) > 0 && len(t.Deps) <= maxDeps {
			byKey[t.Key] = &Work{Key: t.Key}
			keys = append(keys, t.Key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	rows, err := s.pool.Query(ctx, sql("LoadDependencyResults"), keys, maxDeps)
	if err != nil {
		return fmt.Errorf("read results of dependencies: %w", err)
	}
	if err := scanResults(rows, byKey); err != nil {
		return fmt.Errorf("read results of dependencies: %w", err)
	}
	for _, t := range list {
		if w := byKey[t.Key]; w != nil {
			if err := s.seals.openOne(ctx, w); err != nil {
				return err
			}
			t.Results = w.Results
		}
	}
	return nil
}

// Attempt is one ended try.
type Attempt struct {
	Number                int32
	Outcome               dag.Outcome
	Counted               bool
	Error, Detail, Kind   string
	Result, Outputs       []byte
	Worker                string
	StartedAt, FinishedAt *time.Time
	CancelledAt           *time.Time // when that was asked for, of a cancelled one whose work has stopped
	Used                  []dag.Used `db:"-"` // of models
	Sealed                []byte     // until it is opened
}

// Attempts is the history of a task, oldest first, at most 1000, with what each used of models.
func (s *Store) Attempts(ctx context.Context, k dag.Key) (list []Attempt, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	used := map[int32][]dag.Used{}
	b := &pgx.Batch{}
	b.Queue(sql("AttemptsOf"), k).Query(func(rows pgx.Rows) (err error) {
		list, err = pgx.CollectRows(rows, pgx.RowToStructByName[Attempt])
		return err
	})
	b.Queue(sql("UsageByAttempt"), k).Query(func(rows pgx.Rows) error {
		return eachRow(rows, func(v *values) {
			n := v.integer()
			used[n] = append(used[n], scanUsed(v))
		})
	})
	if err := s.pool.Send(ctx, b); err != nil {
		return nil, fmt.Errorf("read attempts: %w", err)
	}
	for i := range list {
		a := &list[i]
		if err := s.seals.openText(ctx, k.Tree(), a.Sealed, &a.Result, &a.Error, &a.Detail, &a.Outputs); err != nil {
			return nil, err
		}
		a.Sealed = nil
		list[i].Used = used[list[i].Number]
	}
	return list, nil
}
