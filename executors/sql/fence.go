package sql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
)

// fence is a row of a table of the user's, which the transaction locks until it ends: so attempts of one task write one after the other,
// and none writes after a newer one has. Those that hold a lock do so by the tokens of it, whatever tasks they are of.
type fence struct {
	table, key string
	once       bool
	number     int64  // of the attempt, or the token of its lock
	of         string // what it is of, for errors: attempt or token
}

// definition makes the table that a fence needs.
func (f *fence) definition(driver string) string {
	outcome := "text"
	if driver == mysql {
		outcome = "longtext"
	}
	return fmt.Sprintf("CREATE TABLE %s (fence_key varchar(255) PRIMARY KEY, attempt bigint NOT NULL, outcome %s)", f.table, outcome)
}

// quoted is the table's name as the database takes it.
func (f *fence) quoted(driver string) string {
	q := `"`
	if driver == mysql {
		q = "`"
	}
	return q + strings.ReplaceAll(f.table, ".", q+"."+q) + q
}

// sql replaces the table's name and the placeholders.
func (f *fence) statement(driver, sql string, params ...any) *statement {
	sql = strings.ReplaceAll(sql, "{table}", f.quoted(driver))
	for i := range params {
		mark := "?"
		if driver == postgres {
			mark = "$" + strconv.Itoa(i+1)
		}
		sql = strings.Replace(sql, "{}", mark, 1)
	}
	return &statement{sql: sql, params: params}
}

// raise writes the attempt's number, unless a higher one is there.
func (f *fence) raise(driver string) *statement {
	sql := "INSERT INTO {table} AS f (fence_key, attempt) VALUES ({}, {}) ON CONFLICT (fence_key) DO UPDATE SET attempt = "
	switch driver {
	case postgres:
		sql += "GREATEST(f.attempt, EXCLUDED.attempt)"
	case sqlite:
		sql += "max(f.attempt, excluded.attempt)"
	default:
		sql = "INSERT INTO {table} (fence_key, attempt) VALUES ({}, {}) ON DUPLICATE KEY UPDATE attempt = GREATEST(attempt, VALUES(attempt))"
	}
	return f.statement(driver, sql, f.key, json.Number(strconv.FormatInt(f.number, 10)))
}

// pass goes through the fence. It returns the outcome that an earlier attempt has left, if once asks for it.
func (j *job) pass(ctx context.Context, s session) (any, error) {
	f := j.fence
	if f == nil {
		return nil, nil
	}
	if err := s.run(ctx, f.raise(j.target.driver), &sink{}); err != nil {
		return nil, f.explain(j.target.driver, err)
	}
	read := f.statement(j.target.driver, "SELECT attempt, outcome FROM {table} WHERE fence_key = {}", f.key)
	row := &sink{maxRows: 1, maxBytes: 1 << 30, arrays: true}
	if err := s.run(ctx, read, row); err != nil {
		return nil, f.explain(j.target.driver, err)
	}
	var number int64
	var outcome *string
	if len(row.rows) == 0 || json.Unmarshal(row.rows[0], &[]any{&number, &outcome}) != nil {
		return nil, executors.Permanent(fmt.Errorf("fence: the row in %s can't be read: its definition is %s", f.table, f.definition(j.target.driver)))
	}
	if number > f.number {
		return nil, executors.Permanent(fmt.Errorf("fence: %[1]s %[2]d has come after %[1]s %[3]d, so nothing was done", f.of, f.number, number))
	}
	if !f.once || outcome == nil {
		return nil, nil
	}
	var earlier map[string]json.RawMessage
	if json.Unmarshal([]byte(*outcome), &earlier) != nil {
		return nil, executors.Permanent(fmt.Errorf("once: the outcome in %s can't be read", f.table))
	}
	earlier["repeated"] = json.RawMessage("true")
	return earlier, nil
}

// remember keeps the outcome, if once asks for it.
func (j *job) remember(ctx context.Context, s session, result any) error {
	if j.fence == nil || !j.fence.once {
		return nil
	}
	text, err := json.Marshal(result)
	if err != nil {
		return err
	}
	keep := j.fence.statement(j.target.driver, "UPDATE {table} SET outcome = {} WHERE fence_key = {}", string(text), j.fence.key)
	return j.fence.explain(j.target.driver, s.run(ctx, keep, &sink{}))
}

// explain says what to do if the table is not there.
func (f *fence) explain(driver string, err error) error {
	if err == nil {
		return nil
	}
	if missingTable(err) {
		return executors.Permanent(fmt.Errorf("fence: there is no table %s: make it with %s", f.table, f.definition(driver)))
	}
	return fmt.Errorf("fence: %w", err)
}

var errEnded = errors.New("the statement has ended the transaction")
