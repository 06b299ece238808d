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

// ExecutionStatus says what became of a request to execute.
type ExecutionStatus int

// The answers to Execute.
const (
	ExecutionStarted    ExecutionStatus = iota
	ExecutionRunning                    // the set overlaps with what is unfinished
	ExecutionNothing                    // all that the call covers is settled and stays so
	ExecutionStopping                   // a cancelled attempt has not stopped yet, or a cancellation is being carried out
	ExecutionCancelled                  // the task was cancelled, or what it depends on
	executionUntold                     // follow-up work of the set is on its way; shown as running when it takes too long
	executionCancelling                 // the tree's cancellation is on its way; shown as stopping when it takes too long
	executionMoved                      // the tree changed between plan and write; shown as running when it never rests
	executionClosed                     // a pool that it needs is closed
)

// executionTries and executionPause are how often an execution is planned, and how long it waits for follow-up work, or for
// others that change the tree, in between.
const (
	executionTries = 100
	executionPause = 50 * time.Millisecond
)

// Execution is the answer to Execute.
type Execution struct {
	Status    ExecutionStatus
	Tasks     int     // started
	Number    int32   // of the execution that was started, within its tree
	Cancelled dag.Key // with ExecutionCancelled: what was
	Effects   *Effects
	Planned   []dag.Key // of [Store.PlanExecution]: what would start, in order

	closed []int32 // pools that it needs
	user   string  // whose tree it is
}

// Execute starts a held tree, or runs again what a user asks for (spec 3.1, 3.7), in one transaction over the tree's
// tasks: some seconds for a million. The webhooks are stored with what starts. [ErrNotFound], also for a tree that is being deleted; [ErrReplaced];
// *[dag.InvalidTreeError]: rules of pools forbid tasks that would start.
func (s *Store) Execute(ctx context.Context, target dag.Key, opts dag.ExecutionOptions, hooks ...*Webhook) (*Execution, error) {
	return s.executeOrPlan(ctx, target, opts, hooks, false)
}

// PlanExecution says what [Store.Execute] would start, and changes nothing. Errors as of Execute, but for those of what is written.
func (s *Store) PlanExecution(ctx context.Context, target dag.Key, opts dag.ExecutionOptions) (*Execution, error) {
	return s.executeOrPlan(ctx, target, opts, nil, true)
}

func (s *Store) executeOrPlan(ctx context.Context, target dag.Key, opts dag.ExecutionOptions, hooks []*Webhook, dry bool) (*Execution, error) {
	for tries := 1; ; tries++ {
		out, err := s.tryExecute(ctx, target, opts, hooks, dry)
		switch {
		case isRefused(err): // somebody cancelled meanwhile
			out, err = &Execution{Status: executionMoved}, nil
		case err != nil:
			return nil, err
		case out.Status == executionClosed:
			if err := s.pools.reopen(ctx, out.closed, out.user); err != nil {
				return nil, err
			}
			if tries <= maxRetries {
				continue
			}
			return nil, errPoolClosed
		case out.Status != executionUntold && out.Status != executionCancelling:
			return out, nil
		}
		if tries == executionTries {
			if out.Status == executionCancelling {
				return &Execution{Status: ExecutionStopping}, nil
			}
			return &Execution{Status: ExecutionRunning}, nil
		}
		select {
		case <-time.After(executionPause):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// tryExecute is one attempt at it, in a transaction that is tried again when Postgres asks for it.
func (s *Store) tryExecute(ctx context.Context, target dag.Key, opts dag.ExecutionOptions, hooks []*Webhook, dry bool) (*Execution, error) {
	var out *Execution
	err := retry(ctx, func() error {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
		defer cancel()
		c, err := s.pool.Acquire(ctx)
		if err != nil {
			return err
		}
		defer c.Release()
		out, err = s.execute(ctx, c.Conn(), target, opts, hooks, dry)
		rollback(ctx, c.Conn())
		return err
	})
	return out, err
}

// execute reads the whole tree, lets package dag plan, and writes the plan and commits, or answers why there is none. Others
// that start or re-run the tree wait for it. If dry, it ends with the plan.
func (s *Store) execute(ctx context.Context, c *pgx.Conn, target dag.Key, opts dag.ExecutionOptions, hooks []*Webhook, dry bool) (*Execution, error) {
	tree := target.Tree()
	first, end := tree.Range()
	p := planner{hooks: hooks, anew: opts.Force}
	var of treeFacts
	b := &pgx.Batch{}
	begin(b, c)
	b.Queue("set local statement_timeout = 0")
	b.Queue(sql("LockExecution"), tree)
	b.Queue(sql("TreeToExecute"), tree).QueryRow(of.scan)
	b.Queue(sql("PlanRows"), first, end).Query(p.scan)
	b.Queue(sql("FollowupsOf"), first, end).Query(p.scanFollowups) // after the rows: an end that they show is told, or its followup is here
	if opts.KeepCompleted {
		b.Queue(sql("SkipsThatStay"), first, end, dag.SkipWhenFalse, dag.SkipDependency).Query(p.scanStays)
	}
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, ErrNotFound
		}
		return nil, fmt.Errorf("read tree %d: %w", tree, err)
	}
	switch {
	case p.tasks < of.tasks: // the rest is deleted (see Expire)
		return nil, ErrNotFound
	case of.replaced:
		return nil, ErrReplaced
	case p.tasks > of.tasks: // some were found in between
		return &Execution{Status: executionUntold}, nil
	case p.cancelling:
		return &Execution{Status: executionCancelling}, nil
	}
	if err := p.findExpansions(ctx, c, tree); err != nil {
		return nil, err
	}
	if i := target.Index(); i >= len(p.nodes) || p.nodes[i].Gone {
		return nil, ErrNotFound
	}
	opts.First = of.execution == 0
	plan := dag.PlanExecution(p.nodes, p.dependencies, target.Index(), target == of.root, opts)
	switch {
	case plan.Busy >= 0:
		return &Execution{Status: ExecutionRunning}, nil
	case plan.Untold >= 0:
		return &Execution{Status: executionUntold}, nil
	case plan.Stopping >= 0:
		return &Execution{Status: ExecutionStopping}, nil
	case plan.Cancelled >= 0:
		return &Execution{Status: ExecutionCancelled, Cancelled: tree.Key(plan.Cancelled)}, nil
	case len(plan.Restarts) == 0:
		return &Execution{Status: ExecutionNothing}, nil
	}
	if err := p.allowed(ctx, s, c, tree, plan.Restarts); err != nil {
		return nil, err
	}
	if dry {
		out := &Execution{Status: ExecutionStarted, Tasks: len(plan.Restarts)}
		for _, r := range plan.Restarts {
			out.Planned = append(out.Planned, tree.Key(r.Index))
		}
		return out, nil
	}
	if closed, user, err := p.keepPools(ctx, c, tree, plan.Restarts); err != nil || len(closed) > 0 {
		return &Execution{Status: executionClosed, closed: closed, user: user}, err
	}
	if err := p.goOn(ctx, c, tree, &plan); err != nil {
		return nil, err
	}
	eff, err := p.write(ctx, c, tree, of, plan.Restarts, neededLevel{s.levels.Needed(&dag.Task{Demo: opts.Demo, Keyed: opts.Keyed}), s})
	if err != nil {
		return nil, err
	}
	return &Execution{Status: ExecutionStarted, Tasks: len(plan.Restarts), Number: of.execution + 1, Effects: eff}, nil
}

// treeFacts are what an execution is planned by, and what the write must find: another execution, or a cancellation, makes the plan void.
type treeFacts struct {
	root      dag.Key
	tasks     int
	execution int32
	cancelled *time.Time
	namespace dag.NamespaceKey
	replaced  bool // it is a revision of a run of a flow, and not the last one
}

func (f *treeFacts) scan(row pgx.Row) error {
	return row.Scan(&f.root, &f.tasks, &f.execution, &f.cancelled, &f.namespace, &f.replaced)
}

// planner holds a tree while an execution is planned.
type planner struct {
	cancelling bool       // the tree's cancellation has not reached all its tasks
	anew       bool       // what restarts does not go on from where it was
	hooks      []*Webhook // of the execution

	tasks int        // that there are
	nodes []dag.Node // by index
	lanes []dag.Lane
	start []int32
	edges []dag.Edge
	expansions
}

// scan takes the tasks in, which come by index.
func (p *planner) scan(rows pgx.Rows) error {
	var key dag.Key
	var n dag.Node
	var lane dag.Lane
	var deps []int32
	var modes []int16
	p.start = append(p.start, 0)
	_, err := pgx.ForEachRow(rows, []any{&key, &n.State, &n.Flags, &n.Attempt, &n.Open, &lane.Priority, &lane.Pool, &n.Above, &deps, &modes}, func() error {
		for len(p.nodes) < key.Index() { // deleted
			p.nodes, p.lanes = append(p.nodes, dag.Node{Gone: true}), append(p.lanes, dag.Lane{})
			p.start = append(p.start, int32(len(p.edges)))
		}
		p.nodes, p.lanes, p.tasks = append(p.nodes, n), append(p.lanes, lane), p.tasks+1
		for i, d := range deps {
			p.edges = append(p.edges, dag.Edge{Task: max(d, -d) - 1, Required: d > 0, Mode: modeAt(modes, i)})
		}
		p.start = append(p.start, int32(len(p.edges)))
		deps, modes = nil, nil
		return nil
	})
	return err
}

// scanStays notes which skipped tasks stay.
func (p *planner) scanStays(rows pgx.Rows) error {
	var task dag.Key
	_, err := pgx.ForEachRow(rows, []any{&task}, func() error {
		if i := task.Index(); i < len(p.nodes) {
			p.nodes[i].Stays = true
		}
		return nil
	})
	return err
}

// scanFollowups notes whose ends are yet to be told.
func (p *planner) scanFollowups(rows pgx.Rows) error {
	var kind FollowupKind
	var task dag.Key
	_, err := pgx.ForEachRow(rows, []any{&kind, &task}, func() error {
		if kind == FollowupCancel {
			p.cancelling = true
		} else if i := task.Index(); i < len(p.nodes) {
			p.nodes[i].Untold = true
		}
		return nil
	})
	return err
}

func (p *planner) dependencies(i int) []dag.Edge {
	if edges, ok := p.finders[i]; ok {
		return edges
	}
	return p.edges[p.start[i]:p.start[i+1]]
}

// allowed is a *[dag.InvalidTreeError] of the restarted tasks that the rules of their pools forbid.
func (p *planner) allowed(ctx context.Context, s *Store, c *pgx.Conn, tree dag.TreeKey, restarts []dag.Restart) error {
	if s.KnownPoolRules() == nil {
		return nil
	}
	keys := make([]dag.Key, len(restarts))
	for i, r := range restarts {
		keys[i] = tree.Key(r.Index)
	}
	return s.allowed(ctx, c, keys, func(k dag.Key) int32 { return p.lanes[k.Index()].Pool })
}

// keepPools keeps open until the transaction ends what the restarted tasks need, and gives those that are closed.
func (p *planner) keepPools(ctx context.Context, c *pgx.Conn, tree dag.TreeKey, restarts []dag.Restart) (closed []int32, user string, err error) {
	needed := map[int32]bool{}
	for _, r := range restarts {
		if pool := p.lanes[r.Index].Pool; pool > 0 {
			needed[pool] = true
		}
	}
	ids, open := slices.Sorted(maps.Keys(needed)), map[int32]bool{}
	b := &pgx.Batch{}
	queuePoolLocks(b, ids, open)
	b.Queue("select coalesce(user_id, '') from tree where key = $1", tree).QueryRow(func(row pgx.Row) error { return row.Scan(&user) })
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return nil, "", fmt.Errorf("keep the pools of tree %d open: %w", tree, err)
	}
	return closedAmong(ids, open), user, nil
}

// restartStep is how many rows one statement of a re-run changes.
const restartStep = 10_000

// write puts the tasks back to their beginning, begins the execution, and commits. All that is ready waits in Postgres at first.
func (p *planner) write(ctx context.Context, c *pgx.Conn, tree dag.TreeKey, of treeFacts, restarts []dag.Restart, needs neededLevel) (*Effects, error) {
	eff := &Effects{}
	b := &pgx.Batch{}
	queueLevel(b, needs.Level, needs.s.version)
	if of.cancelled != nil {
		first, end := tree.Range()
		b.Queue(sql("RecordCancellation"), tree, first, end)
	}
	var ready []*dag.Row
	var releasing, begun []dag.Key
	var again releases
	var delta dag.TreeDelta
	reflagged := false
	for from := 0; from < len(restarts); from += restartStep {
		part := restarts[from:min(from+restartStep, len(restarts))]
		queueRestarts(b, tree, part)
		if p.anew {
			keys := make([]dag.Key, len(part))
			for i, r := range part {
				keys[i] = tree.Key(r.Index)
			}
			b.Queue(sql("DropCheckpoints"), keys)
		}
	}
	for _, r := range restarts {
		node := p.nodes[r.Index]
		reflagged = reflagged || r.Flags != node.Flags
		delta.Count(node.State, node.Flags, -1)
		delta.Count(r.State, node.Flags, +1)
		k := tree.Key(r.Index)
		if node.Flags&dag.FlagKeeps != 0 {
			again.leaving = append(again.leaving, k)
		}
		if r.Release {
			releasing = append(releasing, k)
		}
		if r.Flags&dag.FlagBounded != 0 && (r.State == dag.Ready && r.Flags&dag.FlagLimited == 0 || r.State == dag.Expanded) {
			begun = append(begun, k)
		}
		if r.State == dag.Ready {
			ready = append(ready, &dag.Row{Key: k, Pool: p.lanes[r.Index].Pool, Priority: p.lanes[r.Index].Priority, Attempt: r.Attempt, Flags: r.Flags})
		}
	}
	if len(releasing) > 0 {
		queueFollowups(b, FollowupRelease, releasing)
	}
	eff.Followups = len(releasing) + p.queueExpansions(b, tree, &delta)
	again.queueHolds(b, eff)
	queueTimeLimits(b, begun, time.Time{}, eff)
	stretches, placed := Stretches(ready, nil), &placement{}
	if len(stretches) > 0 {
		queueStretches(b, stretches, placed)
	}
	queueTreesBeside(b, []dag.TreeKey{tree}, map[dag.TreeKey]*dag.TreeDelta{tree: &delta})
	b.Queue(sql("StartExecution"), tree, delta.Held, delta.Unfinished, delta.Completed, delta.Failed, delta.Cancelled, delta.Blocked, delta.LeavesCompleted,
		of.execution, of.cancelled, reflagged).
		QueryRow(func(row pgx.Row) error {
			t := TreeSequence{Tree: tree}
			var changed bool
			err := row.Scan(&changed, &t.Sequence, &t.Final, &t.Hooked, &t.Ended)
			t.Hooked = t.Hooked || len(p.hooks) > 0
			eff.Trees = append(eff.Trees, t)
			return err
		})
	if len(p.hooks) > 0 {
		for _, w := range p.hooks {
			w.Tree = tree
		}
		queueWebhooks(b, p.hooks)
	}
	if p.gone > 0 {
		b.Queue(sql("ShrinkTree"), tree, p.gone, p.goneLeaves, p.newLeaves)
	}
	if needs.s.counted.counts(of.namespace) {
		var begins storing
		begins.add(of.namespace, 0, 0, 0, true)
		begins.queue(b)
	}
	needs.s.counted.queueWaiting(b, []int64{int64(tree)}, 0)
	b.Queue("commit")
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("start execution of tree %d: %w", tree, levelRefusal(quotaRefusal(err), needs.s.levels, needs.Level))
	}
	eff.place(stretches, placed, nil)
	return eff, nil
}

// neededLevel is the feature level that an execution needs of all live processes.
type neededLevel struct {
	dag.Level
	s *Store
}

// queueRestarts writes the first states of the tasks given.
func queueRestarts(b *pgx.Batch, tree dag.TreeKey, restarts []dag.Restart) {
	n := len(restarts)
	keys, was, wasAttempt, flags := make([]int64, n), make([]int16, n), make([]int32, n), make([]int32, n)
	state, attempt, remaining, blocked := make([]int16, n), make([]int32, n), make([]int32, n), make([]int64, n)
	var again []int64 // that ran before
	for i, r := range restarts {
		keys[i], was[i], wasAttempt[i] = int64(tree.Key(r.Index)), int16(r.From), r.Was
		flags[i] = int32(r.Flags)
		state[i], attempt[i], remaining[i] = int16(r.State), r.Attempt, r.Remaining
		if r.State == dag.Blocked {
			blocked[i] = int64(tree.Key(r.BlockedBy))
		}
		if r.Attempt != r.Was {
			again = append(again, keys[i])
		}
	}
	if len(again) > 0 {
		b.Queue(sql("DeleteSignals"), again)
	}
	b.Queue(sql("RestartRows"), keys, was, wasAttempt, state, attempt, remaining, blocked, n, flags)
}

// Below are a task's descendants, and what depends on it or on them, transitively; the task itself first.
func (s *Store) Below(ctx context.Context, k dag.Key) ([]dag.Key, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	tree := k.Tree()
	first, end := tree.Range()
	rows, err := s.pool.Query(ctx, sql("Relations"), first, end)
	if err != nil {
		return nil, fmt.Errorf("read relations: %w", err)
	}
	var key dag.Key
	var parent int32
	var deps []int32
	after := map[int][]int{}
	if _, err := pgx.ForEachRow(rows, []any{&key, &parent, &deps}, func() error {
		if parent >= 0 {
			after[int(parent)] = append(after[int(parent)], key.Index())
		}
		for _, d := range deps {
			on := int(max(d, -d) - 1)
			after[on] = append(after[on], key.Index())
		}
		deps = nil
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read relations: %w", err)
	}
	seen := map[int]bool{k.Index(): true}
	out := []dag.Key{k}
	for i := 0; i < len(out); i++ {
		for _, next := range after[out[i].Index()] {
			if !seen[next] {
				seen[next] = true
				out = append(out, tree.Key(next))
			}
		}
	}
	return out, nil
}
