//go:build !nosql

package apflow

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"

	_ "modernc.org/sqlite" // the driver
)

func openSQLite(path, table string) (Source, error) {
	if _, err := os.Stat(path); err != nil { // the driver would make one
		return nil, err
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?mode=ro")
	if err != nil {
		return nil, err
	}
	return &database{table: table, close: db.Close, query: func(ctx context.Context, statement, argument string, scan func([]string, []any) error) error {
		var args []any
		if argument != "" {
			args = append(args, argument)
		}
		rows, err := db.QueryContext(ctx, statement, args...)
		if err != nil {
			return err
		}
		defer rows.Close() //nolint:errcheck // rows.Err tells
		columns, err := rows.Columns()
		if err != nil {
			return fmt.Errorf("columns: %w", err)
		}
		for rows.Next() {
			values, into := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			if err := rows.Scan(into...); err != nil {
				return err
			}
			if err := scan(columns, values); err != nil {
				return err
			}
		}
		return rows.Err()
	}}, nil
}
