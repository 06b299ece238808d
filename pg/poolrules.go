package pg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/taskgrove/taskgrove/dag"
)

// ErrTooManyRules: there are as many rules of pools as may be.
var ErrTooManyRules = errors.New("too many rules of pools")

// SetPoolRules lets the store go by these rules from now on; nobody changes them any more. It asks for none by itself: nil, or none, costs nothing.
func (s *Store) SetPoolRules(rules dag.PoolRules) {
	if len(rules) == 0 {
		s.rules.Store(nil)
		return
	}
	s.rules.Store(&rules)
}

// KnownPoolRules are the rules that the store goes by; nil: none. They must not be changed.
func (s *Store) KnownPoolRules() dag.PoolRules {
	if rules := s.rules.Load(); rules != nil {
		return *rules
	}
	return nil
}

// PoolRules reads all rules, by the names of their pools.
func (s *Store) PoolRules(ctx context.Context) ([]*dag.PoolRule, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("PoolRules"), dag.MaxPoolRules)
	if err != nil {
		return nil, fmt.Errorf("read rules of pools: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToAddrOfStructByPos[dag.PoolRule])
}

// SetPoolRule stores a rule, in the place of the one that its pool has. *[dag.LevelError] while a live process knows no rules; [ErrTooManyRules].
func (s *Store) SetPoolRule(ctx context.Context, r *dag.PoolRule) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	stored := false
	b := &pgx.Batch{}
	queueLevel(b, dag.AccessLevel, s.version)
	b.Queue(sql("SetPoolRule"), r.Pool, texts(r.Namespaces), texts(r.Executors), texts(r.Connections), texts(r.Secrets), dag.MaxPoolRules).Exec(func(tag pgconn.CommandTag) error {
		stored = tag.RowsAffected() > 0
		return nil
	})
	if err := s.pool.Send(ctx, b); err != nil {
		return levelRefusal(fmt.Errorf("store the rule of pool %s: %w", r.Pool, err), s.editLevels(), dag.AccessLevel)
	}
	if !stored {
		return ErrTooManyRules
	}
	return nil
}

// DeletePoolRule deletes a pool's rule. [ErrNotFound].
func (s *Store) DeletePoolRule(ctx context.Context, pool string) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	tag, err := s.pool.Exec(ctx, sql("DeletePoolRule"), pool)
	if err == nil && tag.RowsAffected() == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("delete the rule of pool %s: %w", pool, err)
	}
	return nil
}

// Ruled reports whether a pool has a rule, as far as this process knows. A pool that it does not know may have one, if any has.
func (s *Store) Ruled(pool int32) bool {
	rules := s.KnownPoolRules()
	if rules == nil {
		return false
	}
	all, _ := s.pools.known()
	is, known := all[pool]
	return !known || rules[is.Name] != nil
}

// ruledClaims reports whether one of the claims is, by its facts, of a pool with a rule.
func (s *Store) ruledClaims(claims []dag.Claim) bool {
	return s.KnownPoolRules() != nil && slices.ContainsFunc(claims, func(c dag.Claim) bool {
		r, ok := c.Facts.Row(c.Task, c.Attempt, dag.Ready, c.Worker)
		return !ok || s.Ruled(r.Pool)
	})
}

// judged is a stored task as the rule of its pool looks at it.
type judged struct {
	key       dag.Key
	pool      string
	namespace string
	dag.Task  // ID, Name, Executor, Inputs, Params
}

// judge calls f with each of the tasks and the rule of its pool. Of tasks whose pool has none it reads nothing but that.
func (s *Store) judge(ctx context.Context, c *pgx.Conn, keys []dag.Key, f func(*dag.PoolRule, *judged)) error {
	rules := s.KnownPoolRules()
	for from := 0; from < len(keys); from += judgeStep {
		rows, err := c.Query(ctx, sql("TasksToJudge"), keys[from:min(from+judgeStep, len(keys))])
		var away error
		if err == nil {
			err = eachRow(rows, func(v *values) {
				t := judged{key: v.key(), pool: v.text(), namespace: v.text()}
				t.ID, t.Name, t.Executor, t.Inputs, t.Params = v.text(), v.text(), v.text(), v.json(), v.json()
				envelope := v.bytea()
				rule := rules[cmp.Or(t.pool, dag.PoolOf(t.Executor))] // without a pool: nobody had its executor when it was stored
				if rule == nil || away != nil {
					return
				}
				if away = s.open(ctx, &t, envelope); away == nil {
					f(rule, &t)
				}
			})
			err = cmp.Or(err, away)
		}
		if err != nil {
			return fmt.Errorf("look at tasks of pools with rules: %w", err)
		}
	}
	return nil
}

// open opens what a task says. What nobody can open names nothing: no worker gets it, either.
func (s *Store) open(ctx context.Context, t *judged, envelope []byte) error {
	err := s.seals.open(ctx, t.key.Tree(), kindPayload, envelope, (*[]byte)(&t.Inputs), (*[]byte)(&t.Params))
	if Unreadable(err) {
		return nil
	}
	return err
}

// judgeStep is how many tasks one statement reads.
const judgeStep = 10_000

// forbid marks those of the rows that are about to start and may not, by the rules of their pools.
func (s *Store) forbid(ctx context.Context, c *pgx.Conn, d *dag.Decision, starting []dag.Key) error {
	var ruled []dag.Key
	for _, k := range starting {
		if r := d.Row(k); r != nil && r.State == dag.Ready && s.Ruled(r.Pool) {
			ruled = append(ruled, k)
		}
	}
	if len(ruled) == 0 {
		return nil
	}
	return s.judge(ctx, c, ruled, func(rule *dag.PoolRule, t *judged) {
		if why := rule.Forbids(t.namespace, &t.Task); why != "" {
			d.Forbid(t.key, why)
		}
	})
}

// allowed is a *[dag.InvalidTreeError] of those of the tasks that the rules of their pools forbid; nil: all are allowed. pool gives a task's.
func (s *Store) allowed(ctx context.Context, c *pgx.Conn, keys []dag.Key, pool func(dag.Key) int32) error {
	if s.KnownPoolRules() == nil {
		return nil
	}
	var ruled []dag.Key
	for _, k := range keys {
		if s.Ruled(pool(k)) {
			ruled = append(ruled, k)
		}
	}
	var faults dag.InvalidTreeError
	err := s.judge(ctx, c, ruled, func(rule *dag.PoolRule, t *judged) {
		for _, f := range rule.OfTask(t.key.Index(), t.namespace, &t.Task) {
			if len(faults.Problems) < dag.MaxProblems {
				faults.Problems = append(faults.Problems, f)
			} else {
				faults.More++
			}
		}
	})
	if err == nil && len(faults.Problems) > 0 {
		err = &faults
	}
	return err
}

// ForbiddenBy says in one sentence what the rule of its pool has against a task; empty: nothing.
func (s *Store) ForbiddenBy(ctx context.Context, k dag.Key) (why string, err error) {
	if s.KnownPoolRules() == nil {
		return "", nil
	}
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return "", err
	}
	defer c.Release()
	err = s.judge(ctx, c.Conn(), []dag.Key{k}, func(rule *dag.PoolRule, t *judged) { why = rule.Forbids(t.namespace, &t.Task) })
	return why, err
}
