// Package apflow reads the task table of the reference, the Python package aipartnerupflow: from Postgres, from SQLite, and from a file that DuckDB
// exported.
//
// It owns where the table is and what a row is. It must not know what becomes of the rows.
package apflow

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// DefaultTable is what the reference calls its table (spec 10, AIPARTNERUPFLOW_TASK_TABLE_NAME).
const DefaultTable = "apflow_tasks"

// Row is one task as the reference stored it (spec 1.1). JSON is nil where it stored null.
type Row struct {
	ID, ParentID, UserID, Name, Status      string // ParentID is empty for a root
	Priority                                *int64 // nil: null
	Dependencies, Inputs, Params, Schemas   json.RawMessage
	Result                                  json.RawMessage
	Error                                   string
	Progress                                float64
	CreatedAt, StartedAt, UpdatedAt, EndsAt time.Time // EndsAt is its completed_at; zero: null. Times without a zone are UTC
	OriginalID                              string
	HasCopy                                 bool
	Extra                                   map[string]json.RawMessage // columns of a table that its user extended
}

// Tree are the rows of one tree, the root first, then by creation and id.
type Tree []*Row

// Source is a table. Close it.
type Source interface {
	// Trees yields the trees, oldest root first, and ends after the first error. A row whose root is not there is in no tree.
	Trees(ctx context.Context) iter.Seq2[Tree, error]
	// Rows is how many rows the table has, so that rows of no tree can be told.
	Rows(ctx context.Context) (int, error)
	Close() error
}

// Bounds of what is read.
const (
	MaxTreeRows  = 1_000_000
	maxFileBytes = 4 << 30
)

var tableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}(\.[A-Za-z_][A-Za-z0-9_]{0,62})?$`)

// Open opens the table at a URL: postgresql://… (postgresql+asyncpg:// too), sqlite:PATH, or the path of a file that DuckDB exported, .json, .jsonl,
// .ndjson or .csv. Errors name what is wrong with the URL, without its password.
func Open(ctx context.Context, from, table string) (Source, error) {
	table = cmp.Or(table, DefaultTable)
	if !tableName.MatchString(table) {
		return nil, fmt.Errorf("%q is no name of a table", table)
	}
	scheme, rest, _ := strings.Cut(from, ":")
	switch scheme {
	case "postgresql", "postgres", "postgresql+asyncpg", "postgresql+psycopg", "postgresql+psycopg2":
		return openPostgres(ctx, "postgresql:"+rest, table)
	case "sqlite", "sqlite+aiosqlite", "sqlite3":
		return openSQLite(sqlitePath(rest), table)
	case "duckdb":
		path := strings.TrimPrefix(rest, "//")
		return nil, fmt.Errorf("a DuckDB file is read by its own program only. Export the table with it, and import that file:\n"+
			"  duckdb %[1]s \"COPY %[2]s TO '%[2]s.jsonl' (FORMAT json)\"\n"+
			"or, where only Python has DuckDB:\n"+
			"  python3 -c \"import duckdb; duckdb.connect('%[1]s', read_only=True).execute(\\\"COPY %[2]s TO '%[2]s.jsonl' (FORMAT json)\\\")\"",
			cmp.Or(path, "FILE"), table)
	case "file":
		u, err := url.Parse(from)
		if err != nil {
			return nil, errors.New("the URL of the file can't be read")
		}
		return openFile(cmp.Or(u.Path, u.Opaque))
	}
	switch filepath.Ext(from) {
	case ".json", ".jsonl", ".ndjson", ".csv":
		return openFile(from)
	case ".db", ".sqlite", ".sqlite3":
		return openSQLite(from, table)
	case ".duckdb":
		return Open(ctx, "duckdb:"+from, table)
	}
	return nil, errors.New("must be postgresql://…, sqlite:PATH, or a file that DuckDB exported: .json, .jsonl, .ndjson or .csv")
}

// sqlitePath: sqlite:path, sqlite:///relative and sqlite:////absolute, as SQLAlchemy has them.
func sqlitePath(rest string) string {
	if path, ok := strings.CutPrefix(rest, "///"); ok {
		return path
	}
	return rest
}

// set puts a column's value into the row. Values are those of the drivers: text, bytes, numbers, bool, time.Time, decoded or raw JSON.
func (r *Row) set(column string, value any) error {
	if value == nil {
		return nil
	}
	var err error
	switch column {
	case "id":
		r.ID = text(value)
	case "parent_id":
		r.ParentID = text(value)
	case "user_id":
		r.UserID = text(value)
	case "name":
		r.Name = text(value)
	case "status":
		r.Status = text(value)
	case "error":
		r.Error = text(value)
	case "original_task_id":
		r.OriginalID = text(value)
	case "priority":
		var n float64
		if n, err = number(value); err == nil {
			whole := int64(n)
			r.Priority = &whole
		}
	case "progress":
		r.Progress, err = number(value)
	case "has_copy":
		r.HasCopy = truth(value)
	case "has_children": // is seen from the others
	case "created_at":
		r.CreatedAt, err = moment(value)
	case "started_at":
		r.StartedAt, err = moment(value)
	case "updated_at":
		r.UpdatedAt, err = moment(value)
	case "completed_at":
		r.EndsAt, err = moment(value)
	case "dependencies":
		r.Dependencies, err = document(value)
	case "inputs":
		r.Inputs, err = document(value)
	case "params":
		r.Params, err = document(value)
	case "schemas":
		r.Schemas, err = document(value)
	case "result":
		r.Result, err = document(value)
	default:
		err = r.setExtra(column, value)
	}
	if err != nil {
		return fmt.Errorf("task %q: column %s: %w", r.ID, column, err)
	}
	return nil
}

func (r *Row) setExtra(column string, value any) error {
	raw, err := json.Marshal(plain(value))
	if err != nil {
		return err
	}
	if r.Extra == nil {
		r.Extra = map[string]json.RawMessage{}
	}
	r.Extra[column] = raw
	return nil
}

// plain is a driver's value as JSON has it.
func plain(value any) any {
	switch v := value.(type) {
	case []byte:
		return string(v)
	case time.Time:
		return v.Format(time.RFC3339Nano)
	}
	return value
}

func text(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case []byte:
		return string(v)
	case [16]byte: // Postgres's uuid
		return fmt.Sprintf("%x-%x-%x-%x-%x", v[:4], v[4:6], v[6:8], v[8:10], v[10:])
	}
	return fmt.Sprint(value)
}

func number(value any) (float64, error) {
	var n float64
	switch v := value.(type) {
	case int64:
		n = float64(v)
	case int32:
		n = float64(v)
	case int16:
		n = float64(v)
	case float64:
		n = v
	default:
		var err error
		if n, err = strconv.ParseFloat(text(value), 64); err != nil {
			return 0, errors.New("is no number")
		}
	}
	if math.IsNaN(n) || math.IsInf(n, 0) {
		return 0, errors.New("is no number")
	}
	return n, nil
}

func truth(value any) bool {
	switch v := value.(type) {
	case bool:
		return v
	case int64:
		return v != 0
	}
	return slices.Contains([]string{"true", "t", "1"}, strings.ToLower(text(value)))
}

// layouts are how the databases write times.
var layouts = []string{
	time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999Z07", "2006-01-02 15:04:05.999999999 -0700 MST",
	"2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999",
}

func moment(value any) (time.Time, error) {
	if t, ok := value.(time.Time); ok {
		return t, nil
	}
	written := text(value)
	for _, layout := range layouts {
		if t, err := time.Parse(layout, written); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errors.New("is no time")
}

// document is a JSON column: text in SQLite and CSV, decoded or raw elsewhere. JSON's null is null.
func document(value any) (json.RawMessage, error) {
	var raw json.RawMessage
	switch v := value.(type) {
	case string:
		raw = json.RawMessage(v)
	case []byte:
		raw = slices.Clone(v)
	case json.RawMessage:
		raw = v
	default:
		var err error
		if raw, err = json.Marshal(value); err != nil {
			return nil, err
		}
	}
	if !json.Valid(raw) {
		return nil, errors.New("is no JSON")
	}
	if string(raw) == "null" {
		return nil, nil
	}
	return raw, nil
}

// grouped makes trees of rows in any order: those of a root, oldest root first. Rows that lead to no root are left out.
func grouped(rows []*Row) []Tree {
	below := map[string][]*Row{}
	var roots []*Row
	for _, r := range rows {
		if r.ParentID == "" {
			roots = append(roots, r)
		} else {
			below[r.ParentID] = append(below[r.ParentID], r)
		}
	}
	byAge := func(a, b *Row) int { return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.ID, b.ID)) }
	slices.SortFunc(roots, byAge)
	trees := make([]Tree, 0, len(roots))
	for _, root := range roots {
		tree := Tree{root}
		for i := 0; i < len(tree); i++ {
			tree = append(tree, below[tree[i].ID]...)
		}
		slices.SortFunc(tree[1:], byAge)
		trees = append(trees, tree)
	}
	return trees
}
