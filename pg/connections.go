package pg

import (
	"cmp"
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// connections are those of a process. What runs on them is the same through a pooler and without: there, single statements and
// batches get a transaction around them, which brings the settings.
type connections struct {
	pool     *pgxpool.Pool
	settings string // what a transaction begins with; empty without a pooler
	faults   *faultTracer
}

// connect opens the connections, through a pooler if one is found. Without a fence, nothing is refused, and no epoch is begun.
func connect(ctx context.Context, cfg Config) (*connections, error) {
	if cfg.Pooler == PoolerBetween {
		return connectThrough(ctx, cfg)
	}
	pc, err := cfg.parse()
	if err != nil {
		return nil, err
	}
	faults := &faultTracer{}
	pc.ConnConfig.Tracer = faults
	boundConnect(pc.ConnConfig, connectWithin)
	cfg.Fence.guardPool(pc, "")
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	if cfg.Pooler == PoolerUnknown {
		found, err := behindPooler(ctx, pool)
		if err != nil || found {
			pool.Close()
		}
		if err != nil {
			return nil, fmt.Errorf("postgres: %w", err)
		}
		if found {
			return connectThrough(ctx, cfg)
		}
	}
	return &connections{pool: pool, faults: faults}, nil
}

func connectThrough(ctx context.Context, cfg Config) (*connections, error) {
	pc, err := cfg.parse()
	if err != nil {
		return nil, err
	}
	faults := &faultTracer{}
	pc.ConnConfig.Tracer = faults
	boundConnect(pc.ConnConfig, connectWithin)
	settings := throughPooler(pc.ConnConfig)
	afterConnect := pc.AfterConnect
	pc.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		c.PgConn().CustomData()[settingsKey] = settings
		return afterConnect(ctx, c)
	}
	cfg.Fence.guardPool(pc, settings)
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	cs := &connections{pool: pool, settings: settings, faults: faults}
	if err := cs.snapshot(ctx, func(pgx.Tx) error { return nil }); err != nil { // begins alone: not every pooler lets it
		pool.Close()
		return nil, fmt.Errorf("postgres: %w", checkPooler(err, cfg.Pooler))
	}
	return cs, nil
}

// settingsKey is where a connection through a pooler keeps the statement that each transaction begins with.
const settingsKey = "settings"

// beginning is how transactions that write begin. They count on row locks, and on what others commit being seen.
const beginning = "begin isolation level read committed"

// begin queues the begin of a transaction on c.
func begin(b *pgx.Batch, c *pgx.Conn) { beginAs(b, c, beginning) }

// beginAs queues the begin of a transaction as the statement has it.
func beginAs(b *pgx.Batch, c *pgx.Conn, statement string) {
	b.Queue(statement)
	if settings, ok := c.PgConn().CustomData()[settingsKey].(string); ok && settings != "" {
		b.Queue(settings)
	}
}

// Acquire is for a transaction on one connection. The caller queues [begin] first, and releases.
func (cs *connections) Acquire(ctx context.Context) (*pgxpool.Conn, error) {
	return cs.pool.Acquire(ctx)
}

// Send runs a batch in a transaction of its own.
func (cs *connections) Send(ctx context.Context, b *pgx.Batch) error {
	if cs.settings == "" {
		return cs.pool.SendBatch(ctx, b).Close()
	}
	c, err := cs.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer c.Release()
	err = c.SendBatch(ctx, enclose(b, c.Conn())).Close()
	rollback(ctx, c.Conn())
	return err
}

// enclose puts a batch into a transaction.
func enclose(b *pgx.Batch, c *pgx.Conn) *pgx.Batch {
	out := &pgx.Batch{}
	begin(out, c)
	out.QueuedQueries = append(out.QueuedQueries, b.QueuedQueries...)
	out.Queue("commit")
	return out
}

// Exec runs a statement in a transaction of its own.
func (cs *connections) Exec(ctx context.Context, statement string, args ...any) (tag pgconn.CommandTag, err error) {
	if cs.settings == "" {
		return cs.pool.Exec(ctx, statement, args...)
	}
	b := &pgx.Batch{}
	b.Queue(statement, args...).Exec(func(ct pgconn.CommandTag) error {
		tag = ct
		return nil
	})
	return tag, cs.Send(ctx, b)
}

// Query runs a statement in a transaction of its own. The rows must be closed, or read to their end.
func (cs *connections) Query(ctx context.Context, statement string, args ...any) (pgx.Rows, error) {
	if cs.settings == "" {
		return cs.pool.Query(ctx, statement, args...)
	}
	c, err := cs.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	b := &pgx.Batch{}
	b.Queue(statement, args...)
	results := c.SendBatch(ctx, enclose(b, c.Conn()))
	r := &enclosed{ctx: ctx, conn: c, results: results}
	for range 2 { // begin, settings
		if _, err := results.Exec(); err != nil {
			r.end(err)
			return nil, err
		}
	}
	if r.Rows, err = results.Query(); err != nil {
		r.end(err)
		return nil, err
	}
	return r, nil
}

// QueryRow runs a statement that gives one row, in a transaction of its own.
func (cs *connections) QueryRow(ctx context.Context, statement string, args ...any) pgx.Row {
	if cs.settings == "" {
		return cs.pool.QueryRow(ctx, statement, args...)
	}
	rows, err := cs.Query(ctx, statement, args...)
	return firstRow{rows, err}
}

// enclosed are the rows of a statement within a transaction, which ends with them.
type enclosed struct {
	pgx.Rows
	ctx     context.Context
	conn    *pgxpool.Conn // nil: given back
	results pgx.BatchResults
	err     error
}

// Next implements pgx.Rows: after the last row the transaction ends.
func (r *enclosed) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

// Close implements pgx.Rows.
func (r *enclosed) Close() {
	r.Rows.Close()
	r.end(r.Rows.Err())
}

// Err implements pgx.Rows; the end of the transaction may fail, too.
func (r *enclosed) Err() error { return cmp.Or(r.Rows.Err(), r.err) }

func (r *enclosed) end(err error) {
	if r.conn == nil {
		return
	}
	r.err = cmp.Or(err, r.results.Close())
	rollback(r.ctx, r.conn.Conn())
	r.conn.Release()
	r.conn = nil
}

// firstRow is the first of the rows, as pgx.Row.
type firstRow struct {
	rows pgx.Rows
	err  error
}

// Scan implements pgx.Row.
func (r firstRow) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		return cmp.Or(r.rows.Err(), pgx.ErrNoRows)
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	r.rows.Close()
	return r.rows.Err()
}

// snapshot runs f in a transaction that reads one state of the database.
func (cs *connections) snapshot(ctx context.Context, f func(pgx.Tx) error) error {
	opts := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	return pgx.BeginTxFunc(ctx, cs.pool, opts, func(tx pgx.Tx) error {
		if cs.settings != "" {
			if _, err := tx.Exec(ctx, cs.settings); err != nil {
				return err
			}
		}
		return f(tx)
	})
}

func (cs *connections) ping(ctx context.Context) error { return cs.pool.Ping(ctx) }

func (cs *connections) close() { cs.pool.Close() }
