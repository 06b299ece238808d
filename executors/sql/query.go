package sql

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
)

// Query is one statement that only reads, with its values and its target. It is for one attempt.
type Query struct {
	job  *job
	pool *pool
}

// Query checks a statement that only reads. params are an object, its JSON as a text, or nothing; each value has its :name in the statement, and each :name its value. The
// faults are all that there are, in texts for users, which call the statement sql.
func (d *Databases) Query(call *executors.Call, where *Where, text string, params json.RawMessage) (*Query, []string) {
	j := &job{readOnly: true, transaction: true, key: call.IdempotencyKey, attempt: call.Attempt, lock: call.Lock, reporter: call.Reporter}
	var faults []string
	if err := where.aim(call, &d.cfg, &j.target); err != nil {
		faults = append(faults, err.Error())
	}
	driver := j.target.driver
	if driver == "" { // so that the rest is looked at
		driver = postgres
	}
	switch {
	case strings.TrimSpace(text) == "":
		return nil, append(faults, "sql is required in inputs")
	case strings.IndexByte(text, 0) >= 0:
		return nil, append(faults, "sql has a NUL byte")
	}
	tokens := lex(driver, text)
	kind, wrong := examine(driver, text, tokens, true, false)
	if wrong != "" {
		faults = append(faults, "sql "+ofReader(wrong))
	}
	s, more := j.bindStrictly(text, tokens, params)
	for _, fault := range more {
		if !strings.HasPrefix(fault, "params ") {
			fault = "sql " + fault
		}
		faults = append(faults, fault)
	}
	if len(faults) > 0 {
		return nil, faults
	}
	s.kind = kind
	j.statements = []statement{*s}
	return &Query{j, d.pool}, nil
}

// advice is what texts for sql_executor say of its input read_only.
var advice = regexp.MustCompile(` \(set read_only to false to [a-z ]+(; [a-z ]+)?\)| with read_only$`)

// ofReader is a text about a statement, for executors that only read.
func ofReader(text string) string {
	return advice.ReplaceAllString(text, "") + "; sql_executor writes, with read_only: false"
}

// Run runs the statement and gives its rows away, as they come. The database has ended the statement when Run returns. Errors of rows come back as they are, others as
// users see them.
func (q *Query) Run(ctx context.Context, rows Rows) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	out := &sink{to: rows, mayStop: true}
	err := q.run(ctx, out)
	if out.failed != nil && ctx.Err() == nil {
		return out.failed
	}
	return executors.Ended(ctx, q.job.explain(err))
}

func (q *Query) run(ctx context.Context, out *sink) error {
	s, err := q.pool.session(ctx, q.job)
	if err != nil {
		return err
	}
	healthy := false
	defer func() { q.pool.release(&q.job.target, s, healthy) }()
	st := &q.job.statements[0]
	if err := s.run(ctx, st, out); err != nil {
		return &statementError{number: 1, of: 1, statement: st, err: err}
	}
	if out.failed != nil {
		return nil
	}
	if err := s.commit(ctx); err != nil {
		return err
	}
	healthy = true
	return nil
}
