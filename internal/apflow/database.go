package apflow

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5"
)

// database is a table in a server's or a file's database: it is read a tree at a time.
type database struct {
	// query runs a statement with one text argument, or none, and gives each row to scan by its columns.
	query func(ctx context.Context, statement, argument string, scan func(columns []string, values []any) error) error
	table string
	close func() error
}

// Close implements [Source].
func (d *database) Close() error { return d.close() }

// Rows implements [Source].
func (d *database) Rows(ctx context.Context) (n int, err error) {
	err = d.query(ctx, "select count(*) from "+d.table, "", func(_ []string, values []any) error {
		count, err := number(values[0])
		n = int(count)
		return err
	})
	return n, err
}

// Trees implements [Source].
func (d *database) Trees(ctx context.Context) iter.Seq2[Tree, error] {
	return func(yield func(Tree, error) bool) {
		var roots []string
		err := d.query(ctx, "select id from "+d.table+" where parent_id is null order by created_at, id", "", func(_ []string, values []any) error {
			roots = append(roots, text(values[0]))
			return nil
		})
		if err != nil {
			yield(nil, err)
			return
		}
		for _, root := range roots {
			tree, err := d.tree(ctx, root)
			if !yield(tree, err) || err != nil {
				return
			}
		}
	}
}

// tree reads one. A union, not a union all, ends also where parents go round in a circle.
func (d *database) tree(ctx context.Context, root string) (Tree, error) {
	var rows []*Row
	err := d.query(ctx, fmt.Sprintf("with recursive below(id) as (select cast($1 as varchar(255)) union select t.id from %[1]s t join below b on t.parent_id = b.id) "+
		"select t.* from %[1]s t join below b on b.id = t.id", d.table), root, func(columns []string, values []any) error {
		if len(rows) == MaxTreeRows {
			return fmt.Errorf("tree %q has over %d tasks", root, MaxTreeRows)
		}
		row := &Row{ID: root}
		for i, column := range columns {
			if err := row.set(column, values[i]); err != nil {
				return err
			}
		}
		rows = append(rows, row)
		return nil
	})
	if err != nil {
		return nil, err
	}
	trees := grouped(rows)
	if len(trees) != 1 {
		return nil, fmt.Errorf("tree %q changed while it was read", root)
	}
	return trees[0], nil
}

func openPostgres(ctx context.Context, url, table string) (Source, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, errors.New("the URL of the database can't be read") // the library's text shows it, password and all
	}
	cfg.RuntimeParams["default_transaction_read_only"] = "on"
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	return &database{
		table: table,
		close: func() error { return conn.Close(context.WithoutCancel(ctx)) },
		query: func(ctx context.Context, statement, argument string, scan func([]string, []any) error) error {
			var args []any
			if argument != "" {
				args = append(args, argument)
			}
			// As text, so that numbers and JSON are what the table has.
			rows, err := conn.Query(ctx, statement, append([]any{pgx.QueryExecModeSimpleProtocol}, args...)...)
			if err != nil {
				return err
			}
			defer rows.Close()
			var columns []string
			for _, f := range rows.FieldDescriptions() {
				columns = append(columns, f.Name)
			}
			for rows.Next() {
				values := make([]any, len(columns))
				for i, raw := range rows.RawValues() {
					if raw != nil {
						values[i] = string(raw)
					}
				}
				if err := scan(columns, values); err != nil {
					return err
				}
			}
			return rows.Err()
		},
	}, nil
}
