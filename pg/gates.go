package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// barrierWait is how long a transaction waits for those that publish, or hand over. Others wait behind it meanwhile.
const barrierWait = 5 * time.Second

// barrier waits for all transactions that may have asked before whether anything is held back. Those that ask later see what this one commits.
func barrier(ctx context.Context, c *pgx.Conn) error {
	b := &pgx.Batch{}
	b.Queue(fmt.Sprintf("set local lock_timeout = %d", barrierWait.Milliseconds()))
	b.Queue(sql("LockHandovers"))
	b.Queue(sql("LockStarts"))
	return c.SendBatch(ctx, b).Close()
}

// UnsettledPause is a pause of which something may still be on its way to workers.
type UnsettledPause struct {
	ID    int64
	Scope dag.PauseScope
	Pool  int32       // of scope pool
	Tree  dag.TreeKey // of scope tree
}

// UnsettledPauses are some of those, the oldest first, or the one of the ID.
func (s *Store) UnsettledPauses(ctx context.Context, id int64) ([]UnsettledPause, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("UnsettledPauses"), id)
	if err != nil {
		return nil, fmt.Errorf("read pauses: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[UnsettledPause])
}

// PausesOf are the pauses that hold back tasks of a pool and a tree, the widest first.
func (s *Store) PausesOf(ctx context.Context, pool int32, tree dag.TreeKey) ([]*Pause, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("PausesOf"), pool, tree)
	if err != nil {
		return nil, fmt.Errorf("read pauses: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (*Pause, error) {
		p := &Pause{}
		return p, row.Scan(p.columns()...)
	})
}

// SettlePause notes that all that was published before the pause has been called back.
func (s *Store) SettlePause(ctx context.Context, id int64) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	_, err := s.pool.Exec(ctx, sql("SettlePause"), id)
	return err
}

// Held says what is called back: what was published of a pool, of a tree, of a share; 0: of any. With a pause, only while that is there.
type Held struct {
	Pool  int32
	Tree  dag.TreeKey
	Share int32
	Pause int64
}

// Of is what a pause holds back.
func (p *UnsettledPause) Of() Held { return Held{Pool: p.Pool, Tree: p.Tree, Pause: p.ID} }

// recalled is the error of attempts that were called back.
const recalled = "called back before it started: its pool, its user or its tree was held back"

// recallStep is how many tasks one transaction calls back.
const recallStep = 1000

// RecallAll calls back all that was published and has not started, and gives what is left to do after each commit to after.
func (s *Store) RecallAll(ctx context.Context, of Held, after func(*Effects)) error {
	for {
		attempts, err := s.publishedOf(ctx, of)
		if err != nil || len(attempts) == 0 {
			return err
		}
		n, eff, err := s.Recall(ctx, attempts, recalled, nil)
		if err != nil {
			return err
		}
		if n > 0 {
			after(eff)
		}
	}
}

func (s *Store) publishedOf(ctx context.Context, of Held) (attempts []ReadyAttempt, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("PublishedOf"), of.Pool, of.Tree, of.Share, of.Pause, recallStep)
	if err != nil {
		return nil, fmt.Errorf("look for what was published: %w", err)
	}
	return attempts, eachRow(rows, func(v *values) { attempts = append(attempts, ReadyAttempt{v.key(), v.integer()}) })
}

// gates are what this process knows of what is held back. Statements ask anew: it only keeps them from being tried in vain.
type gates struct {
	all   bool
	pools map[int32]bool
	trees bool // some tree is paused
}

// RefreshGates reads what is held back.
func (s *Store) RefreshGates(ctx context.Context) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("Gates"))
	if err != nil {
		return fmt.Errorf("read what is held back: %w", err)
	}
	g, waiting := &gates{pools: map[int32]bool{}}, false
	if err := eachRow(rows, func(v *values) {
		pool, tree, waits := v.integer(), v.boolean(), v.boolean()
		switch {
		case waits:
			waiting = true
		case tree:
			g.trees = true
		case pool == 0:
			g.all = true
		default:
			g.pools[pool] = true
		}
	}); err != nil {
		return fmt.Errorf("read what is held back: %w", err)
	}
	if !g.all && !g.trees && len(g.pools) == 0 {
		g = nil
	}
	s.gates.Store(g)
	s.counted.waiting.Store(waiting)
	return nil
}

// Gated reports whether a pool is held back, as far as this process knows.
func (s *Store) Gated(pool int32) bool {
	g := s.gates.Load()
	return g != nil && (g.all || g.pools[pool])
}

// mayHandOver reports whether a task of a pool may be handed over, as far as this process knows.
func (s *Store) mayHandOver(pool int32) bool {
	g := s.gates.Load()
	return (g == nil || !g.all && !g.trees && !g.pools[pool]) && !s.Ruled(pool)
}

// AnyGates reports whether anything is held back, as far as this process knows.
func (s *Store) AnyGates() bool { return s.gates.Load() != nil }
