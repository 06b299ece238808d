package pg

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// database is how every part of this package reaches Postgres: a connection each call, a deadline for it, and the rules when
// to try again.
type database struct {
	pool    *connections
	timeout time.Duration // of a statement
}

// maxRetries bounds how often a transaction is tried again after a deadlock or serialization failure.
const maxRetries = 10

// deadline gives every database call one: a little more than Postgres's own for a statement, which says more when it ends.
func (db database) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, db.timeout+5*time.Second)
}

// transaction runs f on one connection, in a transaction that f begins and commits as part of its own batches, and
// rolls back whatever f leaves open. It is tried again when Postgres asks for it.
func (db database) transaction(ctx context.Context, f func(ctx context.Context, c *pgx.Conn) error) error {
	return retry(ctx, func() error {
		ctx, cancel := db.deadline(ctx)
		defer cancel()
		c, err := db.pool.Acquire(ctx)
		if err != nil {
			return err
		}
		defer c.Release() // destroys a connection that is left inside a transaction
		err = f(ctx, c.Conn())
		if err != nil {
			rollback(ctx, c.Conn())
		}
		return err
	})
}

// rollback ends a transaction that failed, if it is open; a connection that can't is destroyed when it is released.
func rollback(ctx context.Context, c *pgx.Conn) {
	if c.PgConn().TxStatus() == 'I' {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, _ = c.Exec(ctx, "rollback")
}

// retry runs f again, after a growing pause with jitter, while Postgres asks for it (40001, 40P01).
func retry(ctx context.Context, f func() error) error {
	for n := 0; ; n++ {
		err := f()
		if err == nil || n == maxRetries || !transient(err) {
			return err
		}
		pause := time.Duration(1+rand.IntN(5<<min(n, 6))) * time.Millisecond
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
	}
}

// isUnique reports whether a row was refused because the constraint has its values already (SQLSTATE 23505).
func isUnique(err error, constraint string) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == "23505" && e.ConstraintName == constraint
}
