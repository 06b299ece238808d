package sql

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/network"
)

// ID is the executor's id.
const ID = "sql_executor"

// Config configures a worker's access to databases.
type Config struct {
	Network *network.Network
	// Place is the directory below which SQLite's files of a pool are, and whether tasks may only read them. An empty root: none is opened. nil
	// stands for that.
	Place func(pool string) (root string, readOnly bool)
	// MaxBytes is how much is kept of rows, as JSON; a task may ask for less. 0: 1 MiB.
	MaxBytes int
	// MaxSessions is how many connections attempts of one pool have at a time to one server as one user; more attempts wait. 0: 16.
	MaxSessions int
	// IdleTime is how long a connection stays open when no attempt wants it. 0: 1 min.
	IdleTime time.Duration
}

// Databases reaches databases for executors that share its connections, which it keeps open between attempts, until it is closed. Safe for concurrent use.
type Databases struct {
	cfg  Config
	pool *pool
}

// NewDatabases makes one.
func NewDatabases(cfg Config) *Databases {
	if cfg.Place == nil {
		cfg.Place = func(string) (string, bool) { return "", false }
	}
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = executors.DefaultOutputBytes
	}
	if cfg.MaxSessions <= 0 {
		cfg.MaxSessions = 16
	}
	if cfg.IdleTime <= 0 {
		cfg.IdleTime = time.Minute
	}
	return &Databases{cfg: cfg, pool: newPool(cfg.MaxSessions, cfg.IdleTime)}
}

// Close closes idle connections.
func (d *Databases) Close() error {
	d.pool.close()
	return nil
}

// Executor is sql_executor.
type Executor struct{ *Databases }

// New makes one, with connections of its own.
func New(cfg Config) *Executor { return NewOn(NewDatabases(cfg)) }

// NewOn makes one that shares the connections of others.
func NewOn(d *Databases) *Executor { return &Executor{d} }

// Describe implements [executors.Executor].
func (*Executor) Describe() executors.Description {
	return executors.Description{
		ID: ID, Name: "SQL Executor", Type: "sql",
		Description: "Runs SQL in Postgres, MySQL, MariaDB, SQLite, SQL Server or Oracle and returns the rows",
		Tags:        []string{"sql", "database", "postgres", "mysql", "mariadb", "sqlite", "sqlserver", "oracle"},
		Inputs:      inputSchema, Output: outputSchema,
		Kinds:      Kinds(),
		Cancelable: true, Secrets: true,
		Connection: Connection(),
		Examples:   examples,
	}
}

// Connection is what executors of databases take from a connection.
func Connection() *executors.Connection {
	return &executors.Connection{Types: []string{postgres, mysql, "mariadb", sqlite, sqlserver, oracle}, TypeField: "driver", Fields: slices.Clone(fields)}
}

// Kinds are those of the errors of [Databases].
func Kinds() []executors.ErrorKind {
	return []executors.ErrorKind{
		{Word: executors.KindConnect, Text: "There is no connection to the database, or it broke"},
		{Word: KindConflict, Text: "Another transaction was in the way: a deadlock, a lock that is held, a serialization failure"},
		{Word: KindStatement, Text: "The database refuses a statement or breaks it off for any other reason"},
	}
}

// Demo implements [executors.Demonstrator].
func (*Executor) Demo(*executors.Call) (any, time.Duration) {
	rows := []json.RawMessage{json.RawMessage(`{"id":1,"name":"demo"}`)}
	return &Result{Columns: []Column{{"id", "int8"}, {"name", "text"}}, Rows: rows, RowCount: 1, RowsAffected: 1}, 200 * time.Millisecond
}

// Run implements [executors.Executor].
func (e *Executor) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	in, err := decode(call)
	if err != nil {
		return nil, err
	}
	j, err := in.plan(call, &e.cfg)
	if err != nil {
		return nil, err
	}
	ctx, cancel, err := executors.LimitTime(ctx, ID, in.Timeout, "SQL timeout")
	if err != nil {
		return nil, err
	}
	defer cancel()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	result, err := e.execute(ctx, j)
	if err != nil {
		return nil, executors.Ended(ctx, j.explain(err))
	}
	return executors.Completed(result), nil
}

// execute runs the job in a session of its own.
func (e *Executor) execute(ctx context.Context, j *job) (any, error) {
	s, err := e.pool.session(ctx, j)
	if err != nil {
		return nil, err
	}
	healthy := false
	defer func() { e.pool.release(&j.target, s, healthy) }()
	earlier, err := j.pass(ctx, s)
	if err != nil {
		return nil, err
	}
	if earlier != nil {
		return earlier, s.commit(ctx) // it may have raised the attempt's number
	}
	results, err := j.run(ctx, s)
	if err != nil {
		return nil, err
	}
	result := j.result(results)
	if err := j.remember(ctx, s, result); err != nil {
		return nil, err
	}
	if err := s.commit(ctx); err != nil {
		return nil, err
	}
	healthy = true
	return result, nil
}

// run runs the statements in turn. Those after a failed one don't run.
func (j *job) run(ctx context.Context, s session) ([]*Result, error) {
	var results []*Result
	left := j.maxBytes
	for i := range j.statements {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		began := time.Now()
		sink := &sink{maxRows: j.maxRows, askedRows: j.askedRows, askedBytes: j.askedBytes, maxBytes: left, arrays: j.arrays, mayStop: j.readOnly && i == len(j.statements)-1}
		if err := s.run(ctx, &j.statements[i], sink); err != nil {
			return nil, &statementError{number: i + 1, of: len(j.statements), statement: &j.statements[i], err: err}
		}
		r := sink.result()
		left -= sink.bytes
		results = append(results, r)
		outcome := fmt.Sprintf("%d affected", r.RowsAffected)
		if len(r.Columns) > 0 { // what Postgres calls affected then are the rows themselves
			outcome = fmt.Sprintf("%d rows", r.RowCount)
		}
		j.reporter.Log("log", fmt.Sprintf("statement %d of %d: %s, %v", i+1, len(j.statements), outcome, time.Since(began).Round(time.Millisecond)))
		j.reporter.Progress(float64(i+1)/float64(len(j.statements)), fmt.Sprintf("statement %d of %d", i+1, len(j.statements)))
	}
	return results, nil
}

// result is that of the one statement, or of the list.
func (j *job) result(results []*Result) any {
	if !j.list {
		return results[0]
	}
	all := &Results{Results: results}
	for _, r := range results {
		all.RowsAffected += r.RowsAffected
	}
	return all
}

func invalid(reason string) error { return executors.Invalid(ID, reason) }
