package sql

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
)

// maxStatements bounds a list of statements.
const maxStatements = 1000

// input is what a task says. Pointers are nil where it says nothing.
type input struct {
	Where
	Query       json.RawMessage `json:"query"`
	Params      json.RawMessage `json:"params"`
	ReadOnly    *bool           `json:"read_only"`
	Transaction *bool           `json:"transaction"`
	Isolation   string          `json:"isolation"`
	Fence       json.RawMessage `json:"fence"`
	Once        bool            `json:"once"`
	Rows        string          `json:"rows"`
	MaxRows     *int            `json:"max_rows"`
	MaxBytes    *int            `json:"max_bytes"`
	Timeout     json.Number     `json:"timeout"`
}

// job is what an attempt does.
type job struct {
	target      target
	statements  []statement
	list        bool // the task gave a list
	readOnly    bool
	transaction bool
	isolation   string // as in SQL; empty: the database's
	maxRows     int
	maxBytes    int
	askedRows   bool // maxRows is the task's own
	askedBytes  bool // likewise
	arrays      bool
	fence       *fence
	key         string
	attempt     int
	lock        *executors.Lock
	reporter    executors.Reporter
}

func decode(call *executors.Call) (*input, error) {
	var in input
	if err := inputs.Decode(ID, call, &in); err != nil {
		return nil, err
	}
	if q := bytes.TrimSpace(in.Query); len(q) == 0 || string(q) == "null" || string(q) == `""` {
		return nil, invalid("query is required in inputs")
	}
	return &in, nil
}

// plan checks everything that can be checked before anything runs. The error names all faults.
func (in *input) plan(call *executors.Call, cfg *Config) (*job, error) {
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	j := &job{
		readOnly:    in.ReadOnly == nil || *in.ReadOnly,
		transaction: in.Transaction == nil || *in.Transaction,
		maxRows:     1000, maxBytes: cfg.MaxBytes,
		arrays: in.Rows == "arrays",
		key:    call.IdempotencyKey, attempt: call.Attempt, lock: call.Lock, reporter: call.Reporter,
	}
	if err := in.aim(call, cfg, &j.target); err != nil {
		fault("%v", err)
	}
	if in.Rows != "" && in.Rows != "arrays" && in.Rows != "objects" {
		fault("rows must be objects or arrays")
	}
	if j.askedRows = in.MaxRows != nil; j.askedRows {
		if j.maxRows = *in.MaxRows; j.maxRows < 0 || j.maxRows > 1_000_000 {
			fault("max_rows must be from 0 to 1000000")
		}
	}
	if j.askedBytes = in.MaxBytes != nil; j.askedBytes {
		if j.maxBytes = *in.MaxBytes; j.maxBytes < 0 || j.maxBytes > cfg.MaxBytes {
			fault("max_bytes must be from 0 to %d, which the worker allows", cfg.MaxBytes)
		}
	}
	if in.Isolation != "" {
		if !slices.Contains([]string{"read_uncommitted", "read_committed", "repeatable_read", "serializable"}, in.Isolation) {
			fault("isolation must be read_uncommitted, read_committed, repeatable_read or serializable")
		}
		j.isolation = strings.ToUpper(strings.ReplaceAll(in.Isolation, "_", " "))
	}
	if err := in.planFence(j); err != nil {
		fault("%v", err)
	}
	if !j.transaction && (j.readOnly || j.fence != nil || j.isolation != "") {
		fault("transaction false needs read_only false, and neither fence, once nor isolation")
	}
	if j.target.driver == sqlite && j.target.database != memory && j.target.filesReadOnly && !j.readOnly {
		fault("read_only: tasks of this pool may only read files of the worker")
	}
	if j.fence != nil && openers[j.target.driver] != nil {
		fault("fence and once: they are not there for %s", j.target.driver)
	}
	if j.fence != nil && j.readOnly {
		fault("fence and once write into the database: they need read_only false")
	}
	if j.target.driver != "" {
		faults = append(faults, in.planStatements(j)...)
	}
	if len(faults) > 0 {
		return nil, invalid(strings.Join(faults, "; "))
	}
	return j, nil
}

// planStatements reads the query, and says what is wrong with its statements.
func (in *input) planStatements(j *job) (faults []string) {
	type part struct {
		Query  string          `json:"query"`
		Params json.RawMessage `json:"params"`
	}
	var parts []part
	if q := bytes.TrimSpace(in.Query); q[0] == '[' {
		j.list = true
		var list []json.RawMessage
		if json.Unmarshal(q, &list) != nil || len(list) == 0 || len(list) > maxStatements {
			return []string{fmt.Sprintf("query must have 1 to %d statements", maxStatements)}
		}
		for i, raw := range list {
			p := part{Params: in.Params}
			if json.Unmarshal(raw, &p.Query) != nil && json.Unmarshal(raw, &p) != nil {
				return []string{fmt.Sprintf("query.%d must be a text, or an object with query and params", i)}
			}
			parts = append(parts, p)
		}
	} else {
		p := part{Params: in.Params}
		if json.Unmarshal(q, &p.Query) != nil {
			return []string{"query must be a text or a list"}
		}
		parts = []part{p}
	}
	for i, p := range parts {
		where := "query"
		if j.list {
			where = fmt.Sprintf("query.%d", i)
		}
		if strings.IndexByte(p.Query, 0) >= 0 {
			faults = append(faults, where+" has a NUL byte")
			continue
		}
		tokens := lex(j.target.driver, p.Query)
		kind, wrong := examine(j.target.driver, p.Query, tokens, j.readOnly, j.fence != nil)
		if wrong != "" {
			faults = append(faults, where+" "+wrong)
			continue
		}
		s, err := j.bind(p.Query, tokens, p.Params)
		if err != nil {
			faults = append(faults, where+": "+err.Error())
			continue
		}
		s.kind = kind
		j.statements = append(j.statements, *s)
	}
	if len(faults) > 5 {
		faults = append(faults[:5], fmt.Sprintf("and %d more", len(faults)-5))
	}
	return faults
}

// tableName is a name with an optional schema.
var tableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}(\.[A-Za-z_][A-Za-z0-9_]{0,62})?$`)

// planFence reads fence and once.
func (in *input) planFence(j *job) error {
	raw := bytes.TrimSpace(in.Fence)
	f := &fence{table: "taskgrove_fence", key: j.key, once: in.Once, number: int64(j.attempt), of: "attempt"}
	if l := j.lock; l != nil && !in.Once { // an outcome is of one task
		f.key, f.number, f.of = l.Key, l.Token, "token"
	}
	switch {
	case len(raw) == 0, string(raw) == "null", string(raw) == "false":
		if in.Once {
			j.fence = f
		}
		return nil
	case string(raw) == "true":
		j.fence = f
		return nil
	}
	var own struct {
		Table string `json:"table"`
		Key   string `json:"key"`
	}
	if json.Unmarshal(raw, &own) != nil {
		return errors.New("fence must be true, or an object with table and key")
	}
	if own.Table != "" {
		f.table = own.Table
	}
	if own.Key != "" {
		f.key = own.Key
	}
	if !tableName.MatchString(f.table) {
		return errors.New("fence.table must be a name of letters, digits and _, with a schema before it or not")
	}
	if len(f.key) > 255 {
		return errors.New("fence.key must have at most 255 bytes")
	}
	j.fence = f
	return nil
}
