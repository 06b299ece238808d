package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// copyIDs is what a unique text id costs in the plain COPY: the same rows into a table that only has the key, and into
// one that has the id's index besides.
func copyIDs(ctx context.Context, c *cluster, o options) (out []figure, err error) {
	if _, err := c.count(ctx, "select 1"); err != nil {
		return nil, err
	}
	body := strings.Repeat("x", 230)
	for _, table := range []struct{ name, what, index string }{
		{"bench_keyed", "without the unique text id", ""},
		{"bench_named", "with the unique text id", "create unique index on bench_named (id)"},
	} {
		for _, statement := range []string{"create table " + table.name + " (key bigint primary key, id text not null, body text not null)", table.index, "checkpoint"} {
			if _, err := c.asking.Exec(ctx, statement); err != nil {
				return out, err
			}
		}
		begin := time.Now()
		if _, err := c.asking.CopyFrom(ctx, pgx.Identifier{table.name}, []string{"key", "id", "body"}, pgx.CopyFromSlice(o.tasks, func(i int) ([]any, error) {
			return []any{int64(i), "task-" + strconv.Itoa(i), body}, nil
		})); err != nil {
			return out, err
		}
		out = append(out, figure{fmt.Sprintf("copy %d rows, %s", o.tasks, table.what), "rows/s", float64(o.tasks) / time.Since(begin).Seconds()})
	}
	return out, nil
}
