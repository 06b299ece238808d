// Package db has the steps of flows that read databases (flows 5.3).
//
// It owns db_fetch_small, which gives a small result back, and db_extract_stream and db_extract, which write a result of any size into a file. It must not know how a
// database is reached and asked (package sql does), how a table becomes a file (package table does), or where a job's files are (package workdir does).
package db

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/sql"
	"github.com/taskgrove/taskgrove/executors/table"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// Kinds of errors beside those of package sql.
const (
	KindRows  = "too_many_rows"    // there are more rows than max_rows
	KindLarge = "result.too_large" // the rows are too many bytes for a result
	KindValue = "file_value"       // the file can't hold a value
)

// Config configures the executors of a worker.
type Config struct {
	// Databases reaches them. The executors close it.
	Databases *sql.Databases
	// Place is the directory that the tasks of a pool may use beside their own; nil: none.
	Place func(pool string) workdir.Place
	// MaxBytes is how large the rows of db_fetch_small may be, as JSON. 0: 1 MiB.
	MaxBytes int
}

// New makes the executors.
func New(cfg Config) []executors.Executor {
	if cfg.Place == nil {
		cfg.Place = func(string) workdir.Place { return workdir.Place{} }
	}
	cfg.MaxBytes = cmp.Or(cfg.MaxBytes, executors.DefaultOutputBytes)
	return []executors.Executor{&Extract{step{cfg}}, &Fetch{step{cfg}}, &Stream{step{cfg}}}
}

// step is what the executors have in common.
type step struct{ cfg Config }

// Close closes idle connections.
func (s *step) Close() error { return s.cfg.Databases.Close() }

// describe completes a description.
func describe(d executors.Description, kinds ...executors.ErrorKind) executors.Description {
	d.Type = "db"
	d.Tags = []string{"database", "sql", "flows"}
	d.Kinds = append(sql.Kinds(), kinds...)
	d.Connection = sql.Connection()
	d.Cancelable, d.Secrets, d.Workspace = true, true, true
	return d
}

// common are the inputs that all have.
type common struct {
	sql.Where
	SQL       string          `json:"sql"`
	Params    json.RawMessage `json:"params"`
	FetchSize *inputs.Integer `json:"fetch_size"`
	Timeout   json.Number     `json:"timeout"`
}

// defaultFetchSize is how many rows are looked at together.
const defaultFetchSize = 5000

// query checks the inputs, and makes a query of them. It adds to the faults.
func (c *common) query(d *sql.Databases, call *executors.Call, faults *[]string) *sql.Query {
	q, wrong := d.Query(call, &c.Where, c.SQL, c.Params)
	*faults = append(*faults, wrong...)
	if c.FetchSize != nil && (*c.FetchSize < 1 || *c.FetchSize > 1_000_000) {
		*faults = append(*faults, "fetch_size must be from 1 to 1000000")
	}
	return q
}

// fetchSize is the input, or what is taken for it.
func (c *common) fetchSize() int { return int(c.FetchSize.Or(defaultFetchSize)) }

// limit gives an attempt the time that its inputs say. Where they say nothing, the task's own limit counts alone: nobody knows how large a table is.
func (c *common) limit(ctx context.Context, id string) (context.Context, context.CancelFunc, error) {
	if c.Timeout == "" {
		ctx, cancel := context.WithCancel(ctx)
		return ctx, cancel, nil
	}
	return executors.LimitTime(ctx, id, c.Timeout, "Database timeout")
}

// faulty is the error of inputs with these faults; nil: there are none.
func faulty(id string, faults []string) error {
	if len(faults) == 0 {
		return nil
	}
	return executors.Invalid(id, strings.Join(faults, "; "))
}

// readDtypes reads dtypes and dtypes_json: the classes of columns by their names. It adds to the faults.
func readDtypes(object, text json.RawMessage, faults *[]string) map[string]table.Class {
	const form = "%s must be an object of columns and their types, or its JSON as a text"
	words := map[string]string{}
	read := func(field string, raw []byte) {
		if len(raw) > 0 && raw[0] == '"' {
			var inner string
			_ = json.Unmarshal(raw, &inner) // it is valid: it was part of valid JSON
			raw = []byte(inner)
		}
		if len(strings.TrimSpace(string(raw))) == 0 {
			return
		}
		if json.Unmarshal(raw, &words) != nil {
			*faults = append(*faults, fmt.Sprintf(form, field))
		}
	}
	read("dtypes_json", text)
	read("dtypes", object)
	classes := map[string]table.Class{}
	for _, name := range sorted(words) {
		class, ok := table.ClassOf(words[name])
		if !ok {
			*faults = append(*faults, fmt.Sprintf("dtypes: the type %.40q of %.100q is not known: int, float, bool, date, datetime and string are", words[name], name))
			continue
		}
		classes[name] = class
	}
	return classes
}

// names are those of columns.
func names(columns []table.Column) []string {
	all := make([]string, len(columns))
	for i, c := range columns {
		all[i] = c.Name
	}
	return all
}

// dtypes are the words for the types of columns, by their names.
func dtypes(columns []table.Column) map[string]string {
	words := make(map[string]string, len(columns))
	for _, c := range columns {
		words[c.Name] = c.Class.Dtype()
	}
	return words
}

// asText is a value's JSON.
func asText(v any) string {
	text, _ := json.Marshal(v) // of texts in lists and maps
	return string(text)
}

func sorted(words map[string]string) []string {
	keys := make([]string, 0, len(words))
	for k := range words {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
