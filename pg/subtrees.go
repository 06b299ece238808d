package pg

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/expansion"
)

// Waiter is the attempt for which a tree is submitted. The tree is stored only if the attempt waits for one and has none, so exactly once.
type Waiter struct {
	Task    dag.Key
	Attempt int32
	Depth   int16 // of the tree
	Detach  bool  // it does not wait for the tree's end
}

// ErrNoWaiter says that no tree is to be submitted for an attempt any more: it has one, or does not wait.
var ErrNoWaiter = errors.New("the attempt waits for no tree that is to be submitted")

// hold locks the task for which the tree is submitted. [ErrNoWaiter].
func (w *Waiter) hold(ctx context.Context, c *pgx.Conn) error {
	rows, err := c.Query(ctx, sql("HoldWaiter"), w.Task, w.Attempt)
	if err != nil {
		return err
	}
	there := rows.Next()
	rows.Close()
	if err := rows.Err(); err != nil {
		return fmt.Errorf("lock the task of a tree: %w", err)
	}
	if !there {
		return ErrNoWaiter
	}
	return nil
}

// queue writes whose the tree is.
func (w *Waiter) queue(b *pgx.Batch, tree dag.TreeKey, rootID string) {
	b.Queue(sql("InsertSubtree"), w.Task, w.Attempt, tree, rootID, w.Depth, !w.Detach)
	if !w.Detach { // else the task is to be ended
		b.Queue(sql("DeleteFollowup"), FollowupSubtree, w.Task)
	}
}

// SubtreeWork is a task whose tree is to be submitted, or cancelled.
type SubtreeWork struct {
	Task      dag.Key
	Turns     dag.Key // that others had before it
	State     dag.State
	Attempt   int32
	Namespace dag.NamespaceKey
	UserID    string // owner of its tree; empty: nobody
	Depth     int16  // of its tree
	Cancelled bool   // its tree is
	Flags     dag.Flags
	RootID    string // of the tree that its attempt has submitted; empty: none
	ID, Name  string
	TreeID    string // of its tree
	Wait      *Waiting
}

// SubtreeWork lists tasks whose trees are to be submitted or cancelled, at most limit. Wait is nil if the task waits for no tree.
func (s *Store) SubtreeWork(ctx context.Context, limit int) (all []SubtreeWork, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("SubtreeWork"), limit)
	if err != nil {
		return nil, fmt.Errorf("look for trees to submit: %w", err)
	}
	var w SubtreeWork
	var keys []dag.Key
	if _, err := pgx.ForEachRow(rows, []any{&w.Task, &w.Turns, &w.State, &w.Attempt, &w.Namespace, &w.UserID, &w.Depth, &w.Cancelled, &w.RootID, &w.Flags, &w.ID, &w.Name, &w.TreeID}, func() error {
		all = append(all, w)
		if w.State == dag.Awaiting {
			keys = append(keys, w.Task)
		}
		return nil
	}); err != nil || len(keys) == 0 {
		return all, err
	}
	waits, err := s.awaitsOf(ctx, s.pool, keys, math.MaxInt64, true)
	if err != nil {
		return nil, err
	}
	for i := range all {
		w := &all[i]
		if wait := waits[w.Task]; w.State == dag.Awaiting && wait != nil && wait.Attempt == w.Attempt && wait.Kind == dag.AwaitTree {
			w.Wait = wait
		}
	}
	return all, nil
}

// FlowsAbove are the flows of whose runs a task is: of that of its tree, of that whose step waits for this, and so on, the nearest first.
func (s *Store) FlowsAbove(ctx context.Context, task dag.Key) ([]string, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("FlowsAbove"), task, dag.MaxSubtreeDepth+1)
	if err != nil {
		return nil, fmt.Errorf("look for the runs above a task: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look for the runs above a task: %w", err)
	}
	return list, nil
}

// PostponeSubtree lets others go first.
func (s *Store) PostponeSubtree(ctx context.Context, w *SubtreeWork) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	_, err := s.pool.Exec(ctx, sql("MoveFollowup"), FollowupSubtree, w.Task, w.Turns+1)
	return err
}

// LeaveSubtrees cancels the trees for which a task waited and waits no more, in one transaction. left is how many; what their cancellations are to do is
// done by followups.
func (s *Store) LeaveSubtrees(ctx context.Context, task dag.Key, message string) (left int, err error) {
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		var trees []dag.TreeKey
		b := &pgx.Batch{}
		begin(b, c)
		b.Queue(sql("LockTask"), task)
		b.Queue(sql("LeftTrees"), task).Query(func(rows pgx.Rows) (err error) {
			trees, err = pgx.CollectRows(rows, pgx.RowTo[dag.TreeKey])
			return err
		})
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return fmt.Errorf("look for trees of task %d: %w", task, err)
		}
		left = len(trees)
		b = &pgx.Batch{}
		if left > 0 {
			b.Queue(sql("ExpectCancellations"), trees)
			for _, tree := range trees {
				b.Queue(sql("CancelTree"), tree, message, 0)
			}
			b.Queue(sql("DropVoidCancellations"), trees)
			b.Queue(sql("LeaveTrees"), task, trees)
		}
		b.Queue(sql("LeaveFollowup"), task)
		b.Queue("commit")
		return c.SendBatch(ctx, b).Close()
	})
	return left, err
}

// EndSubtreeWait ends the wait of a task whose tree can't be submitted, or for whose end it does not wait. An attempt that does not wait any more stays as it is.
func (s *Store) EndSubtreeWait(ctx context.Context, task dag.Key, attempt int32, answer dag.Answer, room Room) (eff *Effects, err error) {
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		eff = nil
		d, view, err := load{keys: []dag.Key{task}, policies: []dag.Key{task}, dependents: true}.lock(ctx, c, s.resident)
		if err != nil {
			return err
		}
		if r := d.Row(task); r == nil || r.State != dag.Awaiting || !d.Answer(task, attempt, answer) {
			_, err := c.Exec(ctx, "rollback")
			return err
		}
		b := &pgx.Batch{}
		b.Queue(sql("DeleteFollowup"), FollowupSubtree, task)
		eff, err = s.apply(ctx, c, b, d, view, room)
		return err
	})
	return eff, err
}

// endsAtOnce is how many ends of trees one transaction tells.
const endsAtOnce = 100

// subtreeEnd is how a tree ended that a task waits for.
type subtreeEnd struct {
	root           dag.Key
	task           dag.Key
	attempt        int32
	rootID         string
	there          bool
	unfinished     int
	ended          End
	message        string // of its cancellation
	ref            string // of its root
	state          dag.State
	bytes          int64 // of the root's result
	result, sealed []byte
	failure        *string
	run            SubtreeRun    // that the tree is; empty: none
	of             dag.Rendering // of that: what the task is called
}

// SubtreeRun is the run of a flow for which a task waits.
type SubtreeRun struct {
	Namespace     dag.NamespaceKey
	FlowID, RunID string
}

// runsAtOnce is how many ends of runs one transaction tells: what their jobs have come to is read for each.
const runsAtOnce = 10

// ofRuns completes the ends of trees that are runs of flows.
func (s *Store) ofRuns(ctx context.Context, c *pgx.Conn, ends []subtreeEnd, told []*dag.SubtreeEnd, runs func(context.Context, *SubtreeRun) ([]byte, string, error)) error {
	var tasks []dag.Key
	for i, end := range told {
		if ends[i].run.RunID != "" && end != nil && end.Kind == "" && end.Status == dag.StatusCompleted {
			tasks = append(tasks, ends[i].task)
		}
	}
	if len(tasks) == 0 {
		return nil
	}
	waits, err := s.awaitsOf(ctx, c, tasks, math.MaxInt64, true)
	if err != nil {
		return err
	}
	for i, end := range told {
		e := &ends[i]
		w := waits[e.task]
		if !slices.Contains(tasks, e.task) || end == nil || w == nil || w.Kind != dag.AwaitTree || w.Attempt != e.attempt {
			continue
		}
		sub, err := w.Subtree()
		if err != nil || sub.Flow == "" {
			continue // it is as any tree
		}
		result, problem, err := runs(ctx, &e.run)
		switch {
		case err != nil:
			return err
		case problem != "":
			end.Kind, end.Failure = dag.KindOutput, problem
			continue
		}
		e.of.Attempt = int64(e.attempt)
		a := expansion.RenderOutputs(sub.Outputs, sub.Values, &e.of, dag.Answer{Outcome: dag.OutcomeCompleted, Result: result})
		if a.Outcome == dag.OutcomeFailed {
			end.Kind, end.Failure = a.Kind, a.Error
			continue
		}
		end.Root, end.Result, end.Outputs = dag.Completed, result, a.Outputs
	}
	return nil
}

// TellSubtreeEnds tells tasks that the trees have ended for which they wait, in one transaction. It reports whether there may be more.
//
// runs gives what the jobs of a run of a flow have come to; a problem with that fails the task.
func (s *Store) TellSubtreeEnds(ctx context.Context, room Room, runs func(ctx context.Context, of *SubtreeRun) (result []byte, problem string, err error)) (eff *Effects, more bool, err error) {
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		eff, more = nil, false
		var roots []dag.Key
		b := &pgx.Batch{}
		begin(b, c)
		b.Queue(sql("TakeExpanding"), FollowupTree, endsAtOnce).Query(func(rows pgx.Rows) error {
			var root, cursor dag.Key
			_, err := pgx.ForEachRow(rows, []any{&root, &cursor}, func() error {
				roots = append(roots, root)
				return nil
			})
			return err
		})
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return fmt.Errorf("take ends of trees: %w", err)
		}
		if len(roots) == 0 {
			_, err := c.Exec(ctx, "rollback")
			return err
		}
		more = true
		ends, roots, err := readSubtreeEnds(ctx, c, roots)
		if err != nil {
			return err
		}
		told := make([]*dag.SubtreeEnd, len(ends))
		var keys []dag.Key
		for i := range ends {
			if ends[i].unfinished > 0 { // it runs again, and its end will be told
				continue
			}
			if told[i], err = s.subtreeEnd(ctx, c, &ends[i]); err != nil {
				return err
			}
			keys = append(keys, ends[i].task)
		}
		if err := s.ofRuns(ctx, c, ends, told, runs); err != nil {
			return err
		}
		b = &pgx.Batch{}
		for _, root := range roots {
			b.Queue(sql("DeleteFollowup"), FollowupTree, root)
		}
		if len(keys) == 0 {
			b.Queue("commit")
			return c.SendBatch(ctx, b).Close()
		}
		d, view, err := load{keys: keys, policies: keys, dependents: true, begun: true}.lock(ctx, c, s.resident)
		if err != nil {
			return err
		}
		for i := range ends {
			e := &ends[i]
			r := d.Row(e.task)
			if e.unfinished > 0 || r == nil || r.State != dag.Awaiting || r.Attempt != e.attempt {
				continue // a followup of the task cancels what it waits for no more
			}
			b.Queue(sql("LeaveTrees"), e.task, []dag.TreeKey{e.root.Tree()})
			d.SubtreeEnded(e.task, e.attempt, told[i])
		}
		eff, err = s.apply(ctx, c, b, d, view, room)
		return err
	})
	return eff, more, err
}

// readSubtreeEnds reads how the trees with the roots have ended which tasks wait for, as many as have results of a bounded size together; read are their
// roots, and those that nobody waits for.
func readSubtreeEnds(ctx context.Context, c *pgx.Conn, roots []dag.Key) (ends []subtreeEnd, read []dag.Key, err error) {
	runs := 0
	for n, size := 0, 0; n < len(roots) && size < MaxCollected && runs < runsAtOnce; n++ { // one by one: few are large, and none is to be read in vain
		rows, err := c.Query(ctx, sql("EndsOfSubtrees"), roots[n:n+1], MaxCollected)
		if err != nil {
			return nil, nil, fmt.Errorf("read ends of trees: %w", err)
		}
		var e subtreeEnd
		if _, err := pgx.ForEachRow(rows, []any{&e.root, &e.task, &e.attempt, &e.rootID, &e.there, &e.unfinished, &e.ended, &e.message, &e.ref, &e.state, &e.bytes, &e.result, &e.sealed, &e.failure, &e.run.Namespace, &e.run.FlowID, &e.run.RunID,
			&e.of.TaskID, &e.of.Name, &e.of.TreeID, &e.of.UserID}, func() error {
			if size += len(e.result) + len(e.sealed); e.run.RunID != "" {
				runs++
			}
			ends = append(ends, e)
			e = subtreeEnd{}
			return nil
		}); err != nil {
			return nil, nil, fmt.Errorf("read ends of trees: %w", err)
		}
		read = append(read, roots[n])
	}
	return ends, read, nil
}

// subtreeEnd is how a tree has ended that a task waits for.
func (s *Store) subtreeEnd(ctx context.Context, c *pgx.Conn, e *subtreeEnd) (*dag.SubtreeEnd, error) {
	end := &dag.SubtreeEnd{Ref: e.ref, Root: e.state}
	if !e.there {
		end.Kind, end.Failure = dag.KindChild, "the tree was deleted before it had ended"
		return end, nil
	}
	tree := e.root.Tree()
	result, failure := e.result, ""
	if e.failure != nil {
		failure = *e.failure
	}
	if err := s.seals.openText(ctx, tree, e.sealed, &result, &failure, nil); err != nil && !Unreadable(err) {
		return nil, err
	} else if err != nil {
		end.Kind, end.Failure = dag.KindOutput, "what it ended with can't be read"
		return end, nil
	}
	var err error
	switch {
	case e.ended == EndCancelled:
		end.Status, end.Failure = dag.StatusCancelled, e.message
	case e.ended == EndFailed && e.state == dag.Failed:
		end.Status, end.Failure = dag.StatusFailed, failure
	case e.ended == EndFailed:
		end.Status = dag.StatusFailed
		end.Failure, err = s.failedBelow(ctx, c, tree)
	case e.bytes > MaxCollected:
		end.Kind, end.Failure = dag.KindOutput, fmt.Sprintf("its result has over %d bytes: let the tree keep it elsewhere", MaxCollected)
	default:
		end.Status, end.Result = dag.StatusCompleted, result
	}
	return end, err
}

// failedBelow names the first task of a tree that failed; empty: there is none.
func (s *Store) failedBelow(ctx context.Context, c *pgx.Conn, tree dag.TreeKey) (string, error) {
	first, end := tree.Range()
	var key dag.Key
	var id, name, why string
	var failure *string
	var envelope, result []byte
	err := c.QueryRow(ctx, sql("FirstFailedOf"), first, end).Scan(&key, &id, &name, &failure, &envelope)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look for failures of tree %d: %w", tree, err)
	}
	if failure != nil {
		why = *failure
	}
	if err := s.seals.openText(ctx, tree, envelope, &result, &why, nil); err != nil && !Unreadable(err) {
		return "", err
	}
	return dag.FailedTask(name, id, why), nil
}

// addSubtrees adds to tasks that submit trees which one their attempt has submitted. Others cost nothing.
func (s *Store) addSubtrees(ctx context.Context, list []*Shown) error {
	var keys []dag.Key
	for _, t := range list {
		if t.Executor == dag.SubtreeExecutor || t.Waiting != nil && t.Waiting.Kind == dag.AwaitTree {
			keys = append(keys, t.Key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	rows, err := s.pool.Query(ctx, sql("SubtreesOf"), keys)
	if err != nil {
		return fmt.Errorf("read trees of %d tasks: %w", len(keys), err)
	}
	type attemptOf struct {
		task    dag.Key
		attempt int32
	}
	all := map[attemptOf]string{}
	var of attemptOf
	var root string
	if _, err := pgx.ForEachRow(rows, []any{&of.task, &of.attempt, &root}, func() error {
		all[of] = root
		return nil
	}); err != nil {
		return fmt.Errorf("read trees of %d tasks: %w", len(keys), err)
	}
	for _, t := range list {
		t.SubtreeID = all[attemptOf{t.Key, t.Attempt}]
	}
	return nil
}
