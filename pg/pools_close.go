package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// MarkServed notes that live workers serve the pools, and returns those that are not open.
func (s *Store) MarkServed(ctx context.Context, names []string) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	if _, err := s.pool.Exec(ctx, sql("MarkServed"), names); err != nil {
		return fmt.Errorf("note which pools are served: %w", err)
	}
	return nil
}

// describedAtOnce is how many trees of older coordinators one pass looks at.
const describedAtOnce = 200

// ClosePools closes pools that have been open for a while, that no worker has served for that long or serves, and whose trees have
// all ended. It returns how many. Closed ones that tasks wait in, as an older coordinator put them there, are opened again.
//
// A submission that needs a pool keeps it open until its commit (see queuePoolLocks), so it is seen here, or sees that
// the pool is closed.
func (s *Store) ClosePools(ctx context.Context, idle time.Duration) (closed int, err error) {
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		var idles []int32
		b := &pgx.Batch{}
		begin(b, c)
		b.Queue(sql("DescribeTrees"), describedAtOnce)
		b.Queue(sql("ReopenNeededPools"))
		b.Queue(sql("LockIdlePools"), idle.Seconds()).Query(func(rows pgx.Rows) error {
			return eachRow(rows, func(v *values) { idles = append(idles, v.integer()) })
		})
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return fmt.Errorf("look for idle pools: %w", err)
		}
		b = &pgx.Batch{}
		if len(idles) > 0 { // a statement of its own: it sees what was committed before the locks were had
			b.Queue(sql("ClosePools"), idles).QueryRow(func(row pgx.Row) error { return row.Scan(&closed) })
		}
		b.Queue("commit")
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return fmt.Errorf("close pools: %w", err)
		}
		return nil
	})
	return closed, err
}

// RemovePools calls remove with those of the pools, by name, that are closed since age or have no row, while none of them can be opened.
// What remove takes away of them, nobody needs.
func (s *Store) RemovePools(ctx context.Context, names []string, age time.Duration, remove func(ctx context.Context, names []string) error) error {
	return s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		var gone []string
		b := &pgx.Batch{}
		begin(b, c)
		b.Queue(sql("LockPools"))
		b.Queue(sql("GonePools"), names, age.Seconds()).Query(func(rows pgx.Rows) error {
			return eachRow(rows, func(v *values) { gone = append(gone, v.text()) })
		})
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return fmt.Errorf("look for closed pools: %w", err)
		}
		if len(gone) > 0 {
			if err := remove(ctx, gone); err != nil {
				return err
			}
		}
		_, err := c.Exec(ctx, "commit")
		return err
	})
}

// ForgetPools deletes the rows of pools that were closed over age ago and that no stored tree names. It reads the rows of all trees if
// there are such pools, so it is for once in a long while.
func (s *Store) ForgetPools(ctx context.Context, age time.Duration) error {
	return s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		b := &pgx.Batch{}
		begin(b, c)
		b.Queue(sql("LockPools"))
		b.Queue(sql("ForgetPools"), age.Seconds())
		b.Queue("commit")
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return fmt.Errorf("forget pools: %w", err)
		}
		return nil
	})
}
