package pg

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/expansion"
)

// Expanding is what the tasks that a task finds are made with.
type Expanding struct {
	Name, UserID string
	Namespace    dag.NamespaceKey
	State        dag.State
	Attempt      int32
	Above        int     // how many found what it is below of, at most [dag.MaxNestedExpansions]
	pools        []int32 // of its tree
}

// Expanding reads of a task what the tasks that it finds are made with. [ErrNotFound].
func (s *Store) Expanding(ctx context.Context, k dag.Key) (*Expanding, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	e := &Expanding{}
	err := s.pool.QueryRow(ctx, sql("ExpandingTask"), k, dag.MaxNestedExpansions).Scan(&e.Name, &e.UserID, &e.Namespace, &e.pools, &e.State, &e.Attempt, &e.Above)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read expanding task %d: %w", k, err)
	}
	return e, nil
}

// ResultParts is the result of an attempt that came in parts, put together. An error is [Lasting] if a part is missing.
func (s *Store) ResultParts(ctx context.Context, k dag.Key, attempt int32) (text []byte, err error) {
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		text, err = s.joinChunks(ctx, c, k, attempt)
		return err
	})
	return text, err
}

// Expand settles an attempt that found tasks: it reserves their keys and stores of what they are made, in one transaction. The tasks are made later, by
// [Store.Grow]. A result that counts no more changes nothing. Errors: *[PoolLimitError], *[dag.LevelError], *[QuotaError]: the attempt is to fail.
func (s *Store) Expand(ctx context.Context, of *Expanding, res dag.Result, plan *expansion.Plan, room Room) (changed bool, eff *Effects, err error) {
	tree := res.Task.Tree()
	names := map[string]bool{}
	for _, name := range plan.Pools {
		names[name] = true
	}
	ids, _, err := s.pools.ensure(ctx, names, &of.UserID)
	if err != nil {
		return false, nil, err
	}
	pools := poolIDsOf(ids)
	all := slices.Concat(of.pools, pools)
	slices.Sort(all)
	if n := len(slices.Compact(all)); n > MaxTreePools {
		return false, nil, &PoolLimitError{fmt.Sprintf("the tasks of this tree would name %d pools, the most is %d", n, MaxTreePools)}
	}
	needed := dag.ControlLevel
	switch {
	case plan.Bounded:
		needed = dag.SpansLevel
	case plan.Limited:
		needed = dag.LimitsLevel
	}
	l, _, early := loadResults([]dag.Result{res})
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		z, err := s.seals.sealer(ctx, tree)
		if err != nil {
			return err
		}
		d, view, err := l.lock(ctx, c, s.resident)
		if err != nil {
			return err
		}
		results := []dag.Result{res}
		early.bound(results)
		r := d.Row(res.Task)
		if r == nil || r.Attempt != res.Attempt || r.State != dag.Running && r.State != dag.Ready {
			results[0].Value, results[0].Chunked = nil, false
			changed = d.SettleAll(results)[0]
			eff, err = s.apply(ctx, c, &pgx.Batch{}, d, view, room)
			return err
		}
		first, full := int32(0), false
		err = c.QueryRow(ctx, sql("ReserveKeys"), tree, plan.Tasks, s.most(), pools, dag.TreeKeys).Scan(&first)
		if errors.Is(err, pgx.ErrNoRows) {
			full, err = true, nil
		}
		if err != nil {
			return fmt.Errorf("reserve %d keys of tree %d: %w", plan.Tasks, tree, err)
		}
		b := &pgx.Batch{}
		if full {
			results[0] = fullTree(res, plan.Tasks, s.most())
		} else {
			results[0].Chunked, results[0].Value = false, nil
			results[0].After = dag.After{Children: int32(plan.Tasks), First: first}
			queueLevel(b, needed, s.version)
			s.queueExpansion(b, res, plan, first)
			if s.counted.counts(of.Namespace) {
				b.Queue(sql("RequireRoom"), of.Namespace, int64(plan.Tasks), plan.Bytes)
			}
		}
		b.Queue(sql("DeleteChunks"), []dag.Key{res.Task}, []int32{res.Attempt})
		if changed = d.Settle(results[0]); !changed {
			_, err := c.Exec(ctx, "rollback")
			return err
		}
		if !full {
			if err := copyParts(ctx, c, z, res.Task, plan); err != nil {
				return err
			}
		}
		eff, err = s.apply(ctx, c, b, d, view, room)
		if err == nil && !full {
			eff.Followups++
		}
		return err
	})
	s.resident.drop(tree)
	return changed, eff, levelRefusal(quotaRefusal(err), s.editLevels(), needed)
}

// most is how many tasks a tree may have that grows.
func (s *Store) most() int {
	if s.grownTasks > 0 {
		return s.grownTasks
	}
	return dag.MaxExpandedTasks
}

// fullTree is the failure of an attempt that found more tasks than its tree has room for.
func fullTree(res dag.Result, n, most int) dag.Result {
	return dag.Result{Task: res.Task, Attempt: res.Attempt, Worker: res.Worker, Before: res.Before, Early: res.Early, Used: res.Used, Ran: res.Ran, NotBefore: res.NotBefore, Waited: res.Waited,
		Outcome: dag.OutcomeFailed, Permanent: true, Kind: dag.KindTreeFull,
		Error: fmt.Sprintf("%s: it found %d tasks, and its tree may have %d in all", dag.KindTreeFull, n, most)}
}

// queueExpansion writes what is known of an expansion before its first task is made, and has them made.
func (s *Store) queueExpansion(b *pgx.Batch, res dag.Result, plan *expansion.Plan, first int32) {
	b.Queue(sql("InsertExpansion"), res.Task, res.Attempt, first, plan.Tasks, plan.PerItem, len(plan.Parts), int16(plan.Collect), plan.Window, plan.Stop, plan.Alone)
	if plan.Tasks > 0 {
		queueFollowups(b, FollowupGrow, []dag.Key{res.Task})
	}
}

// templatePart is the number of the part that has what is made of each item.
const templatePart = -1

// copyParts stores of what the tasks are made.
func copyParts(ctx context.Context, c *pgx.Conn, z *sealer, k dag.Key, plan *expansion.Plan) error {
	if _, err := c.Exec(ctx, sql("ForgetExpansion"), k); err != nil {
		return fmt.Errorf("forget an earlier expansion of task %d: %w", k, err)
	}
	parts, number := plan.Parts, int32(0)
	if plan.Template != nil {
		parts, number = append([]expansion.Part{{Body: plan.Template}}, parts...), templatePart
	}
	i := 0
	err := copyRows(ctx, c, sql("CopyExpansionParts"), func(w *rowWriter) (bool, error) {
		if i == len(parts) {
			return false, nil
		}
		body := parts[i].Body
		if z != nil {
			body = z.seal(k.Tree(), kindChunk, body)
		}
		w.row(5)
		w.key(k)
		w.integer(number)
		w.integer(int32(parts[i].Tasks))
		w.json(body)
		w.boolean(z != nil)
		i, number = i+1, number+1
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("store what the tasks of task %d are made of: %w", k, err)
	}
	return nil
}

// queueWindows has items made where one has ended, of expanded tasks that make so many at a time. Few decisions have such tasks.
func queueWindows(b *pgx.Batch, changed []*dag.Row, eff *Effects) {
	var keys []dag.Key
	for _, r := range changed {
		if r.State == dag.Expanded && r.Remaining > 0 && r.Expected().State == dag.Expanded {
			keys = append(keys, r.Key)
		}
	}
	if len(keys) > 0 {
		b.Queue(sql("GrowWindows"), keys).Exec(func(ct pgconn.CommandTag) error {
			eff.Followups += int(ct.RowsAffected())
			return nil
		})
	}
}

// ExpansionWork tells which kinds of followups of expansions there are.
func (s *Store) ExpansionWork(ctx context.Context) (kinds []FollowupKind, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("ExpansionWork"))
	if err != nil {
		return nil, fmt.Errorf("look for expansions: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[FollowupKind])
}
