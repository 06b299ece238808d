package coordinator

import (
	"context"
	"encoding/base64"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

func (c *Coordinator) keyOf(ctx context.Context, id string) (dag.Key, error) {
	if !text(id) {
		return 0, ErrNotFound
	}
	k, err := c.store.KeyOf(ctx, id)
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
	t, err := c.store.Task(ctx, id)
	if err != nil {
		return nil, c.internal("read task", err)
	}
	return show(t), nil
}

func show(t *pg.Shown) *Task {
	out := &Task{Key: t.Key, ID: t.ID, TreeID: t.TreeID, ParentID: str(t.ParentID), UserID: str(t.UserID), Name: t.Name,
		State: t.State, Priority: t.Priority, Inputs: t.Inputs, Params: t.Params, Schemas: t.Schemas, Custom: t.Custom,
		Result: t.Result, Error: str(t.Error), Executor: t.Executor, Pool: t.Pool, Worker: str(t.Worker), Attempt: int(t.Attempt),
		HasChildren: t.Flags&dag.FlagLeaf == 0, Repeatable: t.Flags&dag.FlagRepeatable != 0, CreatedAt: t.CreatedAt, UpdatedAt: t.CreatedAt}
	for _, d := range t.Dependencies {
		out.Dependencies = append(out.Dependencies, Dependency{ID: d.ID, Required: d.Required, Type: d.Type})
	}
	switch {
	case t.State == dag.Completed:
		out.Progress = 1
	case t.Progress != nil:
		out.Progress = float64(*t.Progress)
	}
	if t.BlockedBy != nil {
		out.BlockedBy = []string{*t.BlockedBy}
	}
	if t.State < dag.Completed { // what a settled attempt left behind counts only when it is the last word
		out.Result, out.Error = nil, ""
	}
	for _, at := range []struct {
		from *time.Time
		to   *time.Time
	}{{t.StartedAt, &out.StartedAt}, {t.FinishedAt, &out.CompletedAt}, {t.DueAt, &out.DueAt}} {
		if at.from != nil {
			*at.to = *at.from
			if at.to != &out.DueAt && at.from.After(out.UpdatedAt) {
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

func str(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

const (
	defaultLimit = 100
	maxLimit     = 1000
	maxOffset    = 100_000
)

func limitOf(n int) (int, error) {
	switch {
	case n == 0:
		return defaultLimit, nil
	case n < 0 || n > maxLimit:
		return 0, &InvalidArgumentError{Field: "limit", Reason: fmt.Sprintf("must be 1 to %d", maxLimit)}
	}
	return n, nil
}

// Cursors are opaque to clients; within, the kind of list and the place of the last item.

func cursorTo(kind string, place ...int64) string {
	return base64.RawURLEncoding.EncodeToString([]byte(kind + strings.Trim(fmt.Sprint(place), "[]")))
}

func cursorFrom(kind, cursor string, place ...*int64) error {
	bad := &InvalidArgumentError{Field: "cursor", Reason: "is not a cursor of this list"}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || !strings.HasPrefix(string(raw), kind) {
		return bad
	}
	fields := strings.Split(string(raw[len(kind):]), " ")
	if len(fields) != len(place) {
		return bad
	}
	for i, f := range fields {
		if *place[i], err = strconv.ParseInt(f, 10, 64); err != nil {
			return bad
		}
	}
	return nil
}

// Tasks lists tasks; see [Service].
func (c *Coordinator) Tasks(ctx context.Context, f TaskFilter) (Page[*Task], error) {
	var page Page[*Task]
	limit, err := limitOf(f.Limit)
	if err != nil {
		return page, err
	}
	if f.Offset < 0 || f.Offset > maxOffset {
		return page, &InvalidArgumentError{Field: "offset", Reason: fmt.Sprintf("must be 0 to %d; use the cursor for more", maxOffset)}
	}
	if !text(f.Name) || !text(f.UserID) {
		return page, nil
	}
	filter := pg.Filter{Status: f.Status, Name: f.Name, UserID: f.UserID, Limit: limit, Offset: f.Offset}
	var list []*pg.Shown
	var next func(*pg.Shown) string
	switch {
	case f.ParentID != "":
		list, next, err = c.children(ctx, f, filter)
	case f.TreeOf != "":
		list, next, err = c.treeTasks(ctx, f, filter)
	default:
		list, next, err = c.allTasks(ctx, f, filter)
	}
	if err != nil {
		return page, err
	}
	for _, t := range list {
		page.Items = append(page.Items, show(t))
	}
	if len(list) == limit {
		page.Next = next(list[limit-1])
	}
	return page, nil
}

func (c *Coordinator) children(ctx context.Context, f TaskFilter, filter pg.Filter) ([]*pg.Shown, func(*pg.Shown) string, error) {
	parent, err := c.keyOf(ctx, f.ParentID)
	if err != nil {
		return nil, nil, err
	}
	var after *pg.Shown
	if f.Cursor != "" {
		var priority, key int64
		if err := cursorFrom("c", f.Cursor, &priority, &key); err != nil {
			return nil, nil, err
		}
		after = &pg.Shown{Priority: dag.Priority(priority), Key: dag.Key(key)}
	}
	list, err := c.store.Children(ctx, parent, after, filter)
	if err != nil {
		return nil, nil, c.internal("list children", err)
	}
	return list, func(t *pg.Shown) string { return cursorTo("c", int64(t.Priority), int64(t.Key)) }, nil
}

func (c *Coordinator) treeTasks(ctx context.Context, f TaskFilter, filter pg.Filter) ([]*pg.Shown, func(*pg.Shown) string, error) {
	k, err := c.keyOf(ctx, f.TreeOf)
	if err != nil {
		return nil, nil, err
	}
	from, _ := k.Tree().Range()
	if f.Cursor != "" {
		var last int64
		if err := cursorFrom("t", f.Cursor, &last); err != nil {
			return nil, nil, err
		}
		if dag.Key(last).Tree() != k.Tree() {
			return nil, nil, &InvalidArgumentError{Field: "cursor", Reason: "is of another tree"}
		}
		from = dag.Key(last) + 1
	}
	list, err := c.store.TreeTasks(ctx, from, filter)
	if err != nil {
		return nil, nil, c.internal("list tasks", err)
	}
	return list, func(t *pg.Shown) string { return cursorTo("t", int64(t.Key)) }, nil
}

func (c *Coordinator) allTasks(ctx context.Context, f TaskFilter, filter pg.Filter) ([]*pg.Shown, func(*pg.Shown) string, error) {
	var below int64
	if f.Cursor != "" {
		if err := cursorFrom("a", f.Cursor, &below); err != nil {
			return nil, nil, err
		}
	}
	var list []*pg.Shown
	var err error
	if f.RootOnly {
		list, err = c.store.Roots(ctx, dag.Key(below).Tree(), filter)
	} else {
		list, err = c.store.Tasks(ctx, dag.Key(below), filter)
	}
	if err != nil {
		return nil, nil, c.internal("list tasks", err)
	}
	return list, func(t *pg.Shown) string { return cursorTo("a", int64(t.Key)) }, nil
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
		one := Attempt{Number: int(a.Number), Outcome: a.Outcome, Counted: a.Counted, Error: a.Error, Detail: a.Detail,
			Worker: a.Worker, Result: a.Result}
		if a.StartedAt != nil {
			one.StartedAt = *a.StartedAt
		}
		if a.FinishedAt != nil {
			one.FinishedAt = *a.FinishedAt
		}
		out = append(out, one)
	}
	if t.State == dag.Running {
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
	t, err := c.store.Tree(ctx, k.Tree())
	if err != nil {
		return nil, c.internal("read tree", err)
	}
	return showTree(t), nil
}

func showTree(t *pg.Tree) *TreeStatus {
	counts := t.Counts()
	out := &TreeStatus{Key: t.Key, ID: t.ID, Name: t.Name, UserID: t.UserID, Status: counts.Status(), Progress: counts.Progress(),
		Tasks: t.Tasks, Held: t.Held, Unfinished: t.Unfinished, Running: t.Running, Completed: t.Completed, Failed: t.Failed,
		Cancelled: t.Cancelled, Blocked: t.Blocked, Sequence: t.Sequence, CreatedAt: t.CreatedAt}
	if t.StartedAt != nil {
		out.StartedAt = *t.StartedAt
	}
	if t.FinishedAt != nil {
		out.FinishedAt = *t.FinishedAt
	}
	return out
}

// treeScan is how many trees one call looks at to find those of a status.
const treeScan = 5000

// Trees lists trees; see [Service]. A filter by status looks at so many trees at most, and may give a short page with
// a cursor to go on from.
func (c *Coordinator) Trees(ctx context.Context, f TreeFilter) (Page[*TreeStatus], error) {
	var page Page[*TreeStatus]
	limit, err := limitOf(f.Limit)
	if err != nil {
		return page, err
	}
	if !text(f.UserID) {
		return page, nil
	}
	var below int64
	if f.Cursor != "" {
		if err := cursorFrom("r", f.Cursor, &below); err != nil {
			return page, err
		}
	}
	for scanned := 0; scanned < treeScan; scanned += limit {
		list, err := c.store.Trees(ctx, dag.TreeKey(below), f.UserID, f.Running, limit)
		if err != nil {
			return page, c.internal("list trees", err)
		}
		for _, t := range list {
			below = int64(t.Key)
			if st := showTree(t); f.Status == "" || st.Status == f.Status {
				page.Items = append(page.Items, st)
			}
			if len(page.Items) == limit {
				page.Next = cursorTo("r", below)
				return page, nil
			}
		}
		if len(list) < limit {
			return page, nil
		}
	}
	page.Next = cursorTo("r", below)
	return page, nil
}

// Running counts trees with an execution in progress; see [Service].
func (c *Coordinator) Running(ctx context.Context, userID string) (int, error) {
	if !text(userID) {
		return 0, nil
	}
	n, err := c.store.CountOpenTrees(ctx, userID)
	if err != nil {
		return 0, c.internal("count trees", err)
	}
	return n, nil
}

var workerStates = map[pg.WorkerState]WorkerState{
	pg.WorkerAlive: WorkerAlive, pg.WorkerDraining: WorkerDraining, pg.WorkerGone: WorkerGone, pg.WorkerLost: WorkerLost,
}

// Workers shows the workers; see [Service].
func (c *Coordinator) Workers(ctx context.Context) ([]Worker, error) {
	list, err := c.store.ListWorkers(ctx)
	if err != nil {
		return nil, c.internal("list workers", err)
	}
	var out []Worker
	for _, w := range list {
		state := workerStates[w.State]
		if (state == WorkerAlive || state == WorkerDraining) && w.LeaseUntil.Before(time.Now().Add(-time.Minute)) {
			state = WorkerLost // and about to be called so
		}
		out = append(out, Worker{ID: w.ID, Instance: w.Instance, Host: w.Host, State: state, Build: w.Build, Level: w.Level, Pools: w.Pools,
			Running: w.Attempts, StartedAt: w.StartedAt, LeaseUntil: w.LeaseUntil})
	}
	return out, nil
}

// Pools shows the pools; see [Service].
func (c *Coordinator) Pools(ctx context.Context) ([]Pool, error) {
	depths, err := c.store.PoolDepths(ctx)
	if err != nil {
		return nil, c.internal("list pools", err)
	}
	workers, err := c.store.LiveWorkers(ctx)
	if err != nil {
		return nil, c.internal("list pools", err)
	}
	names := make([]string, len(depths))
	for i, d := range depths {
		names[i] = d.Name
	}
	waits, err := c.queue.Waits(ctx, names)
	if err != nil {
		return nil, unavailable(err)
	}
	var out []Pool
	for _, d := range depths {
		p := Pool{Name: d.Name, Ready: d.Ready, Oldest: d.Oldest}
		for _, w := range workers {
			if n, ok := w.Pools[d.Name]; ok {
				p.Capacity, p.Workers = p.Capacity+n, p.Workers+1
			}
		}
		if w := waits[d.Name]; w.Messages > 0 {
			p.Queued, p.Oldest = w.Messages, max(p.Oldest, time.Since(w.Oldest))
		}
		out = append(out, p)
	}
	return out, nil
}

// Logs yields what a task's executors wrote; see [Service].
func (c *Coordinator) Logs(ctx context.Context, taskID string, attempt int, follow bool) iter.Seq2[*LogLine, error] {
	return func(yield func(*LogLine, error) bool) {
		k, err := c.keyOf(ctx, taskID)
		if err != nil {
			yield(nil, err)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		if follow {
			go c.cancelWhenSettled(ctx, taskID, cancel)
		}
		var left bool
		err = c.queue.ReadLogs(ctx, int64(k), follow, func(data []byte) error {
			b := &workerv1.LogBatch{}
			if err := proto.Unmarshal(data, b); err != nil {
				return nil // not ours
			}
			for _, l := range b.Lines {
				n := int(l.GetAttempt().GetNumber())
				if attempt != 0 && n != attempt {
					continue
				}
				if !yield(&LogLine{Attempt: n, Number: int64(l.Number), Stream: l.Stream, Text: l.Text, At: time.UnixMicro(l.UnixUs)}, nil) {
					left = true
					return context.Canceled
				}
			}
			return nil
		})
		if err != nil && !left && ctx.Err() == nil {
			yield(nil, unavailable(err))
		}
	}
}

// logsGrace is how long after its task settled the last lines of a log may arrive.
const logsGrace = 500 * time.Millisecond

// cancelWhenSettled ends a followed log once its task is settled. It ends with ctx.
func (c *Coordinator) cancelWhenSettled(ctx context.Context, taskID string, cancel context.CancelFunc) {
	for {
		t, err := c.store.Task(ctx, taskID)
		if err == nil && t.State.Settled() {
			sleep(ctx, logsGrace)
			cancel()
			return
		}
		if !sleep(ctx, logsGrace) {
			return
		}
	}
}
