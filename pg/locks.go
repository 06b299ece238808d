package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// LockHeld is a lock that is held.
type LockHeld struct {
	Key     string
	Token   int64 // greater than that of any attempt that held a lock before
	Since   time.Time
	Task    dag.Key // who took it
	ID      string  // its id
	Name    string
	Attempt int32
	State   dag.State
	Span    dag.Key // for which task it is held, since who took it has succeeded; 0: for the attempt
	SpanID  string
	Above   string // the name of that task
	RootID  string
	Waiters int64 // tasks that wait for it, counted up to 10000
}

// Locks are up to limit locks that are held in a namespace, by key, after the key given.
func (s *Store) Locks(ctx context.Context, namespace dag.NamespaceKey, after string, limit int) ([]*LockHeld, error) {
	return s.locks(ctx, namespace, after, limit, false)
}

// Lock is a lock that is held in a namespace. [ErrNotFound].
func (s *Store) Lock(ctx context.Context, namespace dag.NamespaceKey, key string) (*LockHeld, error) {
	list, err := s.locks(ctx, namespace, key, 1, true)
	if err == nil && (len(list) == 0 || list[0].Key != key) {
		err = ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

func (s *Store) locks(ctx context.Context, namespace dag.NamespaceKey, from string, limit int, with bool) ([]*LockHeld, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("Locks"), namespace, from, limit, with)
	if err != nil {
		return nil, fmt.Errorf("list locks: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (*LockHeld, error) {
		l := &LockHeld{}
		var span *dag.Key
		var id, name *string
		err := row.Scan(&l.Key, &l.Token, &l.Since, &l.Task, &l.ID, &l.Name, &l.Attempt, &l.State, &span, &id, &name, &l.RootID, &l.Waiters)
		if span != nil {
			l.Span = *span
		}
		if id != nil && name != nil {
			l.SpanID, l.Above = *id, *name
		}
		return l, err
	})
}

// BreakLock takes a lock that an attempt holds from it, and cancels its task, in one transaction: whoever gets the lock next has a greater token, and what the attempt still comes to does
// not count. did: the attempt held it with the token that was seen; else nothing changed.
func (s *Store) BreakLock(ctx context.Context, namespace dag.NamespaceKey, l *LockHeld, message string, room Room) (did bool, eff *Effects, err error) {
	keys := []dag.Key{l.Task}
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		did, eff = false, nil
		d, view, err := load{keys: keys, policies: keys, dependents: true}.lock(ctx, c, s.resident)
		if err != nil {
			return err
		}
		tag, err := c.Exec(ctx, sql("BreakHold"), namespace, l.Key, l.Task, l.Token)
		if err != nil {
			return err
		}
		if did = tag.RowsAffected() > 0; !did {
			_, err := c.Exec(ctx, "rollback")
			return err
		}
		d.Cancel(l.Task, message, false) // else it is cancelled already, and its worker has not stopped
		if eff, err = s.apply(ctx, c, &pgx.Batch{}, d, view, room); err == nil {
			eff.Freed = append(eff.Freed, dag.LimitKey{Namespace: namespace, Kind: dag.KindLock, Key: l.Key})
		}
		return err
	})
	if err != nil {
		return false, nil, fmt.Errorf("break a lock: %w", err)
	}
	return did, eff, nil
}
