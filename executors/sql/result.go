package sql

import (
	"encoding/json"
	"strconv"

	"github.com/taskgrove/taskgrove/executors"
)

// Column is one of a statement's rows.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"` // as the database calls it, in lower case
}

// Result is what one statement gave.
type Result struct {
	Columns         []Column          `json:"columns"`
	Rows            []json.RawMessage `json:"rows"` // objects, or arrays
	RowCount        int               `json:"row_count"`
	RowsAffected    int64             `json:"rows_affected"`
	LastInsertID    *int64            `json:"last_insert_id,omitempty"`
	Truncated       bool              `json:"truncated,omitempty"`
	TruncatedFields []string          `json:"truncated_fields,omitempty"`
}

// Results is what a list of statements gave.
type Results struct {
	Results      []*Result `json:"results"`
	RowsAffected int64     `json:"rows_affected"`
}

// sink takes the rows of one statement, within bounds. One goroutine.
type sink struct {
	maxRows, maxBytes int
	askedRows         bool // maxRows is what the task asked for
	askedBytes        bool // likewise
	arrays            bool // rows are arrays
	mayStop           bool // nothing is lost if the rest of the rows is never read

	columns   []Column
	keys      [][]byte // of the objects' members, with quotes and colon
	rows      []json.RawMessage
	bytes     int
	seen      int64 // rows, also those that are not kept
	affected  int64
	lastID    *int64
	truncated bool
	cut       bool // to less than the task asked for
}

// describe says what columns the rows have. The second column of a name gets a number: "id_2".
func (s *sink) describe(names, types []string) {
	used := map[string]bool{}
	for _, name := range names {
		used[name] = true
	}
	seen := map[string]bool{}
	for i, name := range names {
		name = executors.Text([]byte(name))
		for n := 2; seen[name]; n++ {
			if other := names[i] + "_" + strconv.Itoa(n); !used[other] && !seen[other] {
				name = other
			}
		}
		seen[name] = true
		s.columns = append(s.columns, Column{name, types[i]})
		s.keys = append(s.keys, append(quote(name), ':'))
	}
}

// add takes a row, each value as JSON, unless it is over the bounds. It reports whether another row would be taken.
func (s *sink) add(values [][]byte) bool {
	s.seen++
	if s.truncated {
		return false
	}
	size := len(values) + 2
	for i, v := range values {
		size += len(v)
		if !s.arrays {
			size += len(s.keys[i])
		}
	}
	if len(s.rows) == s.maxRows || s.bytes+size > s.maxBytes {
		s.truncated = true
		s.cut = !s.askedBytes
		if len(s.rows) == s.maxRows {
			s.cut = !s.askedRows
		}
		return false
	}
	row := make([]byte, 0, size)
	open, end := byte('{'), byte('}')
	if s.arrays {
		open, end = '[', ']'
	}
	row = append(row, open)
	for i, v := range values {
		if i > 0 {
			row = append(row, ',')
		}
		if !s.arrays {
			row = append(row, s.keys[i]...)
		}
		row = append(row, v...)
	}
	s.rows = append(s.rows, append(row, end))
	s.bytes += size
	return true
}

func (s *sink) result() *Result {
	r := &Result{Columns: s.columns, Rows: s.rows, RowCount: len(s.rows), RowsAffected: s.affected, LastInsertID: s.lastID, Truncated: s.truncated,
		TruncatedFields: executors.TruncatedFields(map[string]bool{"rows": s.cut})}
	if r.Columns == nil {
		r.Columns = []Column{}
	}
	if r.Rows == nil {
		r.Rows = []json.RawMessage{}
	}
	return r
}

// quote is a text as JSON.
func quote(text string) []byte {
	b, _ := json.Marshal(text) // a string always can be
	return b
}
