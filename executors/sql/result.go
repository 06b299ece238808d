package sql

import (
	"encoding/json"
	"strconv"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/table"
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
	to                Rows // takes the rows instead, without bounds; nil: the sink does
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
	cut       bool  // to less than the task asked for
	failed    error // why to wants no more

	cells []byte // scratch
	ends  []int  // of the cells
}

// Rows takes what a statement gives, a row at a time. Its errors end the statement.
type Rows interface {
	// Columns comes first, and once, also where there are no rows.
	Columns(columns []table.Column) error
	// Row takes the values of a row, which are good until it returns.
	Row(values []table.Value) error
}

// describe says what columns the rows have. The second column of a name gets a number: "id_2".
func (s *sink) describe(names, types []string, classes []table.Class) {
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
	if s.to != nil {
		columns := make([]table.Column, len(names))
		for i, c := range s.columns {
			columns[i] = table.Column{Name: c.Name, Type: c.Type, Class: classes[i]}
		}
		s.failed = s.to.Columns(columns)
	}
}

// add takes a row, unless it is over the bounds. It reports whether another row would be taken.
func (s *sink) add(values []table.Value) bool {
	s.seen++
	if s.to != nil {
		if s.failed == nil {
			s.failed = s.to.Row(values)
		}
		return s.failed == nil
	}
	if s.truncated {
		return false
	}
	s.cells, s.ends = s.cells[:0], s.ends[:0]
	for _, v := range values {
		s.cells = v.AppendJSON(s.cells, false)
		s.ends = append(s.ends, len(s.cells))
	}
	size := len(values) + 2 + len(s.cells)
	for i := range values {
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
	begin := 0
	for i, end := range s.ends {
		if i > 0 {
			row = append(row, ',')
		}
		if !s.arrays {
			row = append(row, s.keys[i]...)
		}
		row = append(row, s.cells[begin:end]...)
		begin = end
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
