package pg

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Pooler says whether a pooler such as PgBouncer stands between us and Postgres. Through one, each transaction may run on
// another of its connections, so nothing may be left on a connection: statements are described but not prepared, and each
// transaction brings its own settings.
type Pooler int

// The values of [Pooler].
const (
	PoolerUnknown Pooler = iota // Open and Migrate find out
	PoolerBetween
	PoolerNone
)

// PoolerError reports a pooler, or a setting, through which this package can't work safely. Its text is safe to show.
type PoolerError struct{ Reason string }

// Error gives the reason.
func (e *PoolerError) Error() string { return e.Reason }

const isolationParam = "default_transaction_isolation"

// kept are the parameters of a connection that poolers track for each client; options is one that some refuse.
var kept = []string{"application_name", "client_encoding", "options"}

// throughPooler changes a configuration so that it works through a pooler: what would be set for a connection is set for each
// transaction, by the statement that it returns.
func throughPooler(c *pgx.ConnConfig) (settings string) {
	c.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	delete(c.RuntimeParams, isolationParam) // here every statement is in a transaction, which says it
	var set []string
	for _, name := range slices.Sorted(maps.Keys(c.RuntimeParams)) {
		if slices.Contains(kept, name) {
			continue
		}
		set = append(set, fmt.Sprintf("set_config(%s, %s, true)", literal(name), literal(c.RuntimeParams[name])))
		delete(c.RuntimeParams, name)
	}
	if len(set) == 0 {
		return ""
	}
	return "select " + strings.Join(set, ", ")
}

// literal quotes a text whatever standard_conforming_strings says.
func literal(text string) string {
	return "E'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(text) + "'"
}

// checkMode refuses the modes of pgx that would be wrong anywhere, or through some pooler.
func checkMode(mode pgx.QueryExecMode) error {
	switch mode {
	case pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe:
		return nil
	case pgx.QueryExecModeDescribeExec:
		return &PoolerError{"postgres url: default_query_exec_mode=describe_exec mixes up the statements of different clients of a pooler: leave it out"}
	}
	return &PoolerError{fmt.Sprintf("postgres url: default_query_exec_mode=%s is not supported, as values must not travel as text: leave it out", mode)}
}

// behindPooler finds out whether the server that a connection reaches is a pooler: those give their clients numbers of their own
// for the process that serves them, and refuse settings that they do not know.
func behindPooler(ctx context.Context, pool *pgxpool.Pool) (bool, error) {
	c, err := pool.Acquire(ctx)
	if refusesSettings(err) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer c.Release()
	return otherBackend(ctx, c.Conn())
}

// refusesSettings recognises a pooler by its refusal of settings of the connection.
func refusesSettings(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == "08P01" && strings.Contains(e.Message, "unsupported startup parameter")
}

// otherBackend reports whether statements are run by another process than the one that the connection was promised.
func otherBackend(ctx context.Context, c *pgx.Conn) (bool, error) {
	var pid uint32
	err := c.QueryRow(ctx, "select pg_backend_pid()", pgx.QueryExecModeSimpleProtocol).Scan(&pid)
	return err == nil && pid != c.PgConn().PID(), err
}

// checkPooler says what is wrong with a pooler that refuses what is asked through it.
func checkPooler(err error, told Pooler) error {
	e, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case refusesSettings(err) && told == PoolerNone:
		return &PoolerError{"a pooler stands before Postgres, though the settings say that none does: it answers " + e.Message}
	case refusesSettings(err):
		return &PoolerError{"postgres url: the pooler answers " + e.Message + ": write each setting as a parameter of its own, such as search_path=name"}
	case ok && strings.Contains(e.Message, "transaction blocks not allowed"):
		return &PoolerError{"the pooler is in statement mode, in which there are no transactions: set pool_mode = transaction"}
	}
	return err
}
