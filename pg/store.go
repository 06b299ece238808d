package pg

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/taskgrove/taskgrove/dag"
)

// Config says how to reach Postgres.
type Config struct {
	// URL is read again for each connection, with the files that it names (sslcert, sslkey, sslrootcert, passfile).
	URL string
	// Password gives the password of each connection that is made, instead of the URL's; nil: the URL's. Calls may come at the same time.
	Password func(context.Context) (string, error)
	// MaxConns bounds the connections of this process, but [ConnsBeside] of them. Default 16.
	MaxConns int
	// StatementTimeout bounds every statement but those of large submissions, re-runs and migrations. Default 30 s.
	StatementTimeout time.Duration
	// Pooler says whether a pooler stands before Postgres. By default, Open finds out.
	Pooler Pooler
	// Fence keeps the store from servers that are not the newest. nil: one that knows nothing when the store is opened.
	Fence *Fence
}

// Store is one process's access to the database. Safe for concurrent use.
type Store struct {
	database
	pools       *poolCache
	submissions *submissions
	resident    *residentTrees
	seals       *seals
	counted     *countsDefault
	secret      []byte
	known       dag.Known
	levels      dag.Levels // see [Store.SetLevels]
	version     string
	keyConns    keyConnections
	watch       watch
	grownTasks  int // how many tasks a tree may have that grows; 0: [dag.MaxExpandedTasks]

	rules           atomic.Pointer[dag.PoolRules] // see [Store.SetPoolRules]
	gates           atomic.Pointer[gates]         // see [Store.RefreshGates]; nil: nothing is held back
	settles, claims caution
	tried, refused  atomic.Int64 // see OptimisticTransactions
	strayArtifacts  atomic.Int64 // the task from which on [Store.Tidy] looks at them next
	sweptShares     atomic.Int32 // the share after which it looks at them next

	sweptCache atomic.Pointer[cacheOwner] // after whom it looks at those whose successes others end by; nil: at the first
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
	if cfg.Fence == nil {
		cfg.Fence = &Fence{}
	}
	pool, err := connect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	db := database{pool, cfg.StatementTimeout}
	s := &Store{database: db, pools: newPoolCache(db), resident: newResidentTrees(), seals: &seals{}, counted: &countsDefault{}}
	s.submissions = &submissions{database: db, pools: s.pools, resident: s.resident, seals: s.seals, counted: s.counted}
	s.keyConns.cfg, s.watch.cfg = cfg, cfg
	s.seals.conns = &s.keyConns
	if err := pool.QueryRow(ctx, sql("ClusterSecret"), randomSecret()).Scan(&s.secret); err != nil {
		pool.close()
		return nil, fmt.Errorf("read cluster row: %w", checkPooler(err, cfg.Pooler))
	}
	if _, err := pool.Exec(ctx, sql("FirstTokenSecret")); err != nil {
		pool.close()
		return nil, fmt.Errorf("note the cluster's secret: %w", err)
	}
	return s, nil
}

// parse makes a configuration of connections that go to Postgres directly.
func (cfg Config) parse() (*pgxpool.Config, error) {
	pc, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("postgres url: %w", err)
	}
	if err := checkMode(pc.ConnConfig.DefaultQueryExecMode); err != nil {
		return nil, err
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
	params[isolationParam] = "read committed" // of single statements; transactions say theirs
	pc.BeforeConnect = cfg.refresh
	pc.AfterConnect = func(_ context.Context, c *pgx.Conn) error {
		registerArrays(c.TypeMap())
		return nil
	}
	return pc, nil
}

// randomSecret is what the first process of a cluster offers.
func randomSecret() []byte {
	b := make([]byte, 32)
	_, _ = crand.Read(b) // never fails
	return b
}

// Close ends all connections, after those in use are given back.
func (s *Store) Close() {
	s.pool.close()
	s.keyConns.close()
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	s.watch.close()
}

// ConnsBeside is how many connections of a process there may be besides those that [Config.MaxConns] bounds: one for the keys that seal values, and one of
// [Store.CheckServer].
const ConnsBeside = 2

// MaxConns is how many connections of the process there may be at most.
func (s *Store) MaxConns() int { return s.keyConns.cfg.MaxConns + ConnsBeside }

// Clock is Postgres's.
func (s *Store) Clock(ctx context.Context) (now time.Time, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	return now, s.pool.QueryRow(ctx, sql("Clock")).Scan(&now)
}

// Ping is nil when the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.pool.ping(ctx) }

// CheckWrite is nil if a write would work: it writes something that needs new space on the disk, and undoes it. That leaves
// a page for autovacuum to free.
func (s *Store) CheckWrite(ctx context.Context) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer c.Release()
	b := &pgx.Batch{}
	begin(b, c.Conn())
	b.Queue(sql("CheckWrite"))
	b.Queue("rollback")
	err = c.SendBatch(ctx, b).Close()
	rollback(ctx, c.Conn())
	return err
}

// Secret is the secret of attempts' tokens in generation 0; see [Store.TokenSecrets]. It must not be logged or sent.
func (s *Store) Secret() []byte { return s.secret }
