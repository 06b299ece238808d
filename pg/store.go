package pg

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Config says how to reach Postgres.
type Config struct {
	URL string
	// MaxConns bounds the connections of this process. Default 16.
	MaxConns int
	// StatementTimeout bounds every statement but those of large submissions, re-runs and migrations. Default 30 s.
	StatementTimeout time.Duration
}

// Store is one process's access to the database. Safe for concurrent use.
type Store struct {
	pool     *pgxpool.Pool
	timeout  time.Duration
	secret   []byte
	group    group
	resident *residentTrees

	settles, claims caution
	tried, refused  atomic.Int64 // see OptimisticTransactions

	mu    sync.RWMutex
	pools poolNames
}

// Errors that callers branch on.
var (
	// ErrNotFound: no such task, tree or worker.
	ErrNotFound = errors.New("not found")
	// ErrDigest: the idempotency key was used for another submission.
	ErrDigest = errors.New("idempotency key was used for a different submission")
)

// Open connects to a migrated database and reads what does not change.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.MaxConns == 0 {
		cfg.MaxConns = 16
	}
	if cfg.StatementTimeout == 0 {
		cfg.StatementTimeout = 30 * time.Second
	}
	pc, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("postgres url: %w", err)
	}
	switch mode := pc.ConnConfig.DefaultQueryExecMode; mode {
	case pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec:
	default: // values would come as text, see binary.go
		return nil, fmt.Errorf("postgres url: default_query_exec_mode is %s: want cache_statement, cache_describe or describe_exec", mode)
	}
	pc.MaxConns = int32(cfg.MaxConns)
	pc.MaxConnIdleTime = 5 * time.Minute
	params := pc.ConnConfig.RuntimeParams
	// Young tables have no statistics, and without them the planner may scan all to join a batch. Every statement here
	// is written for nested loops over primary keys.
	params["enable_hashjoin"] = "off"
	params["enable_mergejoin"] = "off"
	params["enable_seqscan"] = "off"
	params["enable_bitmapscan"] = "off" // it reads all that matches, and sorts it, where a walk in order ends at the limit
	params["jit"] = "off"
	params["plan_cache_mode"] = "force_generic_plan"
	params["application_name"] = "taskgrove"
	params["idle_in_transaction_session_timeout"] = "60000"
	params["statement_timeout"] = fmt.Sprint(cfg.StatementTimeout.Milliseconds())
	pc.AfterConnect = func(_ context.Context, c *pgx.Conn) error {
		registerArrays(c.TypeMap())
		return nil
	}
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	s := &Store{pool: pool, timeout: cfg.StatementTimeout, pools: newPoolNames(), resident: newResidentTrees()}
	if err := pool.QueryRow(ctx, sql("ClusterSecret"), randomSecret()).Scan(&s.secret); err != nil {
		pool.Close()
		return nil, fmt.Errorf("read cluster row: %w", err)
	}
	return s, nil
}

func randomSecret() []byte {
	b := make([]byte, 32)
	_, _ = crand.Read(b) // never fails
	return b
}

// Close ends all connections, after those in use are given back.
func (s *Store) Close() { s.pool.Close() }

// Ping is nil when the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.pool.Ping(ctx) }

// Secret is the cluster's key for attempt tokens. It must not be logged or sent.
func (s *Store) Secret() []byte { return s.secret }

// maxRetries bounds how often a transaction is tried again after a deadlock or serialization failure.
const maxRetries = 10

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

func transient(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == "40001" || e.Code == "40P01")
}

// Lasting reports whether the same write will fail again however often it is tried: Postgres rejected the data
// (SQLSTATE classes 22 and 23, and 54: too large). The batch that holds it is to be halved.
func Lasting(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (strings.HasPrefix(e.Code, "22") || strings.HasPrefix(e.Code, "23") || strings.HasPrefix(e.Code, "54"))
}

// deadline gives every database call one.
func (s *Store) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.timeout+5*time.Second)
}

// transaction runs f on one connection, in a transaction that f begins and commits as part of its own batches, and
// rolls back whatever f leaves open. It is tried again when Postgres asks for it.
func (s *Store) transaction(ctx context.Context, f func(ctx context.Context, c *pgx.Conn) error) error {
	return retry(ctx, func() error {
		ctx, cancel := s.deadline(ctx)
		defer cancel()
		c, err := s.pool.Acquire(ctx)
		if err != nil {
			return err
		}
		defer c.Release() // destroys a connection that is left inside a transaction
		if err := f(ctx, c.Conn()); err != nil {
			if c.Conn().PgConn().TxStatus() != 'I' {
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
				defer cancel()
				_, _ = c.Exec(ctx, "rollback")
			}
			return err
		}
		return nil
	})
}

// Unreachable reports whether an error says that the database can't be reached now, or refuses to work for the time
// being (SQLSTATE classes 08, 53, 57), so that the same call may well succeed later.
func Unreachable(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return strings.HasPrefix(e.Code, "08") || strings.HasPrefix(e.Code, "53") || strings.HasPrefix(e.Code, "57P")
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}
