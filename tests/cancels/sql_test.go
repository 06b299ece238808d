//go:build !nosql

package cancels

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/taskgrove/taskgrove/pg/pgtest"
)

func init() { builders = append(builders, sqlKind) }

func sqlKind(t *testing.T, _ *site) ([]kind, error) {
	url := pgtest.Database(t)
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return []kind{{executor: "sql_executor", inputs: func(id string, _ int, seconds float64) object {
		return object{"url": url, "query": fmt.Sprintf("SELECT '%s' AS id FROM pg_sleep(%v)", id, seconds), "timeout": long}
	}, left: func(id string) error {
		var n int
		err := pool.QueryRow(context.WithoutCancel(t.Context()), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle' AND position($1 in query) > 0`, id).Scan(&n)
		if n > 0 {
			return fmt.Errorf("%d statements", n)
		}
		return err
	}}}, nil
}
