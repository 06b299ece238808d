package pg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// Errors of what operators set.
var (
	// ErrTooManyLimits: there are as many limits, or users with a weight of their own, as may be.
	ErrTooManyLimits = fmt.Errorf("there are %d already, and no room for more", dag.MaxLimitRules)
	// ErrTooManyPauses: there are as many pauses as may be.
	ErrTooManyPauses = fmt.Errorf("there are %d pauses, and no room for more", dag.MaxPauses)
	// ErrChanged: what was to be changed is not as it was read any more.
	ErrChanged = errors.New("it was changed meanwhile")
)

// ShownLimit is a limit, and how things stand.
type ShownLimit struct {
	dag.LimitRule // of a key that no operator has set one for: Kind and Key only
	Weight        float32
	Held, Waiters int64
}

// Pause is a row.
type Pause struct {
	ID     int64
	Scope  dag.PauseScope
	Tree   dag.TreeKey // of [dag.PauseTree]
	Name   string      // of the pool; id of the tree
	SetBy  string
	SetAt  time.Time
	Reason string
}

// changeLimits runs f in a transaction that no grant runs beside. *[dag.LevelError] while a live process knows no limits.
func (s *Store) changeLimits(ctx context.Context, f func(ctx context.Context, c *pgx.Conn) error) error {
	return s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		b := &pgx.Batch{}
		begin(b, c)
		queueLevel(b, dag.LimitsLevel, s.version)
		b.Queue(sql("LockGrants"))
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return levelRefusal(err, s.editLevels(), dag.LimitsLevel)
		}
		if err := f(ctx, c); err != nil {
			return err
		}
		_, err := c.Exec(ctx, "commit")
		return err
	})
}

// spaceOf is the namespace of a rule's row: pools are of none.
func spaceOf(namespace dag.NamespaceKey, kind dag.LimitKind) dag.NamespaceKey {
	if kind == dag.KindPool {
		return dag.DefaultNamespaceKey
	}
	return namespace
}

// RuleChange is how a rule is to be stored, beside what it says. The zero value stores it whatever there is, and lets its owner be.
type RuleChange struct {
	Owner    *string // nil: as it is; empty: nobody
	Revision *int32  // that the rule has; 0: there is none
}

// SetLimitRule stores a rule, in the place of the one that its key has, which it gives (nil: none); r gets its SetAt, its owner and its revision, and says
// whether all that runs is counted. While that is not so, nothing starts that it is for: see [Store.CountLimits]. *[dag.LevelError]; [ErrTooManyLimits];
// [ErrChanged].
func (s *Store) SetLimitRule(ctx context.Context, namespace dag.NamespaceKey, r *dag.LimitRule, change RuleChange) (before *dag.LimitRule, err error) {
	space := spaceOf(namespace, r.Kind)
	err = s.changeLimits(ctx, func(ctx context.Context, c *pgx.Conn) (err error) {
		var pool, share, burst *int32
		var per *int64
		switch r.Kind {
		case dag.KindPool:
			err = c.QueryRow(ctx, sql("NamePool"), r.Key).Scan(&pool)
		case dag.KindUser:
			err = c.QueryRow(ctx, sql("NameShare"), namespace, r.Key).Scan(&share)
		case dag.KindRate:
			ms := r.Per.Milliseconds()
			per, burst = &ms, &r.Burst
		}
		if err != nil {
			return err
		}
		rows, err := c.Query(ctx, sql("LimitRule"), space, r.Kind, r.Key)
		if err != nil {
			return err
		}
		if before, err = pgx.CollectExactlyOneRow(rows, scanLimitRule); err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if change.Revision != nil && *change.Revision != revisionOf(before) {
			return ErrChanged
		}
		if r.Counted = counted(r, before); !r.Counted {
			if err := barrier(ctx, c); err != nil {
				return err
			}
		}
		err = c.QueryRow(ctx, sql("SetLimitRule"), space, r.Kind, r.Key, r.Max, r.Waiting, per, burst, pool, share, r.SetBy, r.Reason, r.Counted, dag.MaxLimitRules, change.Owner).
			Scan(&r.SetAt, &r.Owner, &r.Revision)
		return orNone(err, ErrTooManyLimits)
	})
	if err != nil {
		return nil, fmt.Errorf("store a limit: %w", err)
	}
	return before, nil
}

// revisionOf is 0 if there is no rule.
func revisionOf(r *dag.LimitRule) int32 {
	if r == nil {
		return 0
	}
	return r.Revision
}

// counted reports whether all that the rule is for is counted, as the one before has counted it: that of a pool or a user counts what runs first, and calls back
// what it may not let start.
func counted(r, before *dag.LimitRule) bool {
	if r.Kind != dag.KindPool && r.Kind != dag.KindUser || r.Max == nil {
		return true
	}
	return before != nil && before.Counted && before.Max != nil && *r.Max >= *before.Max
}

// orNone gives an error its meaning if it is that there is no row.
func orNone(err, meaning error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return meaning
	}
	return err
}

// limitColumns are where the columns of a rule go.
type limitColumns struct {
	perMS *int64
	burst *int32
	setBy *string
	setAt *time.Time
}

func (l *limitColumns) of(r *dag.LimitRule) []any {
	return []any{&r.Kind, &r.Key, &r.Max, &r.Waiting, &l.perMS, &l.burst, &l.setBy, &l.setAt, &r.Reason, &r.Counted, &r.Owner, &r.Revision}
}

func (l *limitColumns) take(r *dag.LimitRule) {
	if l.perMS != nil {
		r.Per = time.Duration(*l.perMS) * time.Millisecond
	}
	if l.burst != nil {
		r.Burst = *l.burst
	}
	if l.setAt != nil {
		r.SetBy, r.SetAt = *l.setBy, *l.setAt
	}
}

func scanLimitRule(row pgx.CollectableRow) (*dag.LimitRule, error) {
	r, l := &dag.LimitRule{}, limitColumns{}
	err := row.Scan(l.of(r)...)
	l.take(r)
	return r, err
}

// LimitRules lists limits by kind and key, after one: those of keys and users of the namespace, pools' too if they are asked for, and with all also the keys
// that tasks hold or wait for and that no operator has set one for. Of users those too that have a weight of their own.
func (s *Store) LimitRules(ctx context.Context, namespace dag.NamespaceKey, after dag.LimitKind, key string, limit int, pools, all bool) ([]*ShownLimit, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("LimitRules"), namespace, after, key, limit, pools, all)
	if err != nil {
		return nil, fmt.Errorf("read limits: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (*ShownLimit, error) {
		r, l := &ShownLimit{}, limitColumns{}
		err := row.Scan(append(l.of(&r.LimitRule), &r.Weight, &r.Held, &r.Waiters)...)
		l.take(&r.LimitRule)
		return r, err
	})
}

// DeleteLimitRule deletes a rule that has a revision, or whatever it has (0). [ErrNotFound]; [ErrChanged].
func (s *Store) DeleteLimitRule(ctx context.Context, namespace dag.NamespaceKey, kind dag.LimitKind, key string, revision int32) error {
	space := spaceOf(namespace, kind)
	err := s.changeLimits(ctx, func(ctx context.Context, c *pgx.Conn) error {
		tag, err := c.Exec(ctx, sql("DeleteLimitRule"), space, kind, key, orNull(revision))
		if err != nil || tag.RowsAffected() > 0 {
			return err
		}
		rows, err := c.Query(ctx, sql("LimitRule"), space, kind, key)
		if err != nil {
			return err
		}
		if _, err := pgx.CollectExactlyOneRow(rows, scanLimitRule); err != nil {
			return orNone(err, ErrNotFound)
		}
		return ErrChanged
	})
	if err != nil {
		return fmt.Errorf("delete a limit: %w", err)
	}
	return nil
}

// SetShareWeight says how many slots a user gets beside others: twice as many with twice the weight. *[dag.LevelError]; [ErrTooManyLimits].
func (s *Store) SetShareWeight(ctx context.Context, namespace dag.NamespaceKey, user string, weight float32) error {
	err := s.changeLimits(ctx, func(ctx context.Context, c *pgx.Conn) error {
		var share int32
		return orNone(c.QueryRow(ctx, sql("SetShareWeight"), namespace, user, weight, dag.MaxLimitRules).Scan(&share), ErrTooManyLimits)
	})
	if err != nil {
		return fmt.Errorf("store a weight: %w", err)
	}
	return nil
}

// SetPause pauses what p says, by its Scope and its Name (of a pool) or Tree, and makes of p what is stored: a pause that is there stays as it is. From its
// commit on nothing is published or handed over that it holds back; [Store.RecallAll] calls back what was published before.
// *[dag.LevelError]; [ErrTooManyPauses]; [ErrNotFound]: the tree is gone.
func (s *Store) SetPause(ctx context.Context, p *Pause) error {
	err := s.changeLimits(ctx, func(ctx context.Context, c *pgx.Conn) (err error) {
		var pool int32
		if err := barrier(ctx, c); err != nil { // before the tree's row: who waits for that hands over, or publishes
			return err
		}
		switch p.Scope {
		case dag.PausePool:
			err = c.QueryRow(ctx, sql("NamePool"), p.Name).Scan(&pool)
		case dag.PauseTree:
			if err = orNone(c.QueryRow(ctx, sql("PauseTree"), p.Tree).Scan(&p.Name), ErrNotFound); err == nil {
				_, err = c.Exec(ctx, sql("ParkTree"), p.Tree)
			}
		}
		if err != nil {
			return err
		}
		if _, err := c.Exec(ctx, sql("SetPause"), p.Scope, pool, p.Tree, p.Name, p.SetBy, p.Reason, dag.MaxPauses); err != nil {
			return err
		}
		return orNone(c.QueryRow(ctx, sql("Pause"), p.Scope, pool, p.Tree).Scan(p.columns()...), ErrTooManyPauses)
	})
	if err != nil {
		return fmt.Errorf("store a pause: %w", err)
	}
	return nil
}

func (p *Pause) columns() []any {
	return []any{&p.ID, &p.Scope, &p.Tree, &p.Name, &p.SetBy, &p.SetAt, &p.Reason}
}

// DeletePause ends the pause of what p says, as in [Store.SetPause]. What is parked of a tree goes back to its lanes. [ErrNotFound].
func (s *Store) DeletePause(ctx context.Context, p *Pause) error {
	err := s.changeLimits(ctx, func(ctx context.Context, c *pgx.Conn) error {
		if p.Scope == dag.PauseTree {
			if err := barrier(ctx, c); err != nil { // who parks now has parked
				return err
			}
			if _, err := c.Exec(ctx, sql("ResumeTree"), p.Tree); err != nil {
				return err
			}
			if _, err := c.Exec(ctx, sql("UnparkTree"), p.Tree); err != nil {
				return err
			}
		}
		tag, err := c.Exec(ctx, sql("DeletePause"), p.Scope, p.Name, p.Tree)
		if err == nil && tag.RowsAffected() == 0 {
			err = ErrNotFound
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("delete a pause: %w", err)
	}
	return nil
}

// Pauses lists pauses, the oldest first, after one by its ID: of everything, of pools, and of trees of the namespace, or of this owner of them.
func (s *Store) Pauses(ctx context.Context, namespace dag.NamespaceKey, owner string, after int64, limit int) ([]*Pause, error) {
	return s.pauses(ctx, "Pauses", namespace, owner, after, limit)
}

// AllPauses lists the first pauses, whatever namespace they are of.
func (s *Store) AllPauses(ctx context.Context, limit int) ([]*Pause, error) {
	return s.pauses(ctx, "AllPauses", limit)
}

func (s *Store) pauses(ctx context.Context, statement string, args ...any) ([]*Pause, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql(statement), args...)
	if err != nil {
		return nil, fmt.Errorf("read pauses: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (*Pause, error) {
		p := &Pause{}
		return p, row.Scan(p.columns()...)
	})
}

// ClosedLimit is a limit that lets nothing start.
type ClosedLimit struct {
	dag.LimitRule
	Namespace string // by its name; empty: a pool's
}

// ClosedLimits lists the first limits that let nothing start, whatever namespace they are of, the oldest first.
func (s *Store) ClosedLimits(ctx context.Context, limit int) ([]*ClosedLimit, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("ClosedLimits"), limit)
	if err != nil {
		return nil, fmt.Errorf("read limits: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (*ClosedLimit, error) {
		r, l := &ClosedLimit{}, limitColumns{}
		err := row.Scan(append(l.of(&r.LimitRule), &r.Namespace)...)
		l.take(&r.LimitRule)
		return r, err
	})
}
