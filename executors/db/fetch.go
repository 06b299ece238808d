package db

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/table"
)

// FetchID is the id of db_fetch_small: the name of the step in flows.
const FetchID = "db_fetch_small"

// Fetch is db_fetch_small.
type Fetch struct{ step }

// Describe implements [executors.Executor].
func (*Fetch) Describe() executors.Description {
	return describe(executors.Description{
		ID: FetchID, Name: "Fetch Small", Description: "Reads a small result from a database and gives it back: as lists, and as JSON texts for other steps",
		Inputs: fetchSchema, Output: fetchOutput, Examples: fetchExamples,
	}, executors.ErrorKind{Word: KindRows, Text: "There are more rows than `max_rows`"},
		executors.ErrorKind{Word: KindLarge, Text: "The rows are larger than the worker keeps of a result"})
}

// fetched is the result.
type fetched struct {
	Columns     []string          `json:"columns"`
	Rows        json.RawMessage   `json:"rows"`
	RowCount    int               `json:"row_count"`
	ColumnsJSON string            `json:"columns_json"`
	RowsJSON    string            `json:"rows_json"`
	Dtypes      map[string]string `json:"dtypes"`
	DtypesJSON  string            `json:"dtypes_json"`
}

// Demo implements [executors.Demonstrator].
func (*Fetch) Demo(*executors.Call) (any, time.Duration) {
	c := &collector{most: 2, maxBytes: 100}
	_ = c.Columns([]table.Column{{Name: "id", Class: table.Integer}, {Name: "name", Class: table.Text}})
	_ = c.Row([]table.Value{{Class: table.Integer, Text: []byte("1")}, {Class: table.Text, Text: []byte("demo")}})
	return c.result(), 200 * time.Millisecond
}

// defaultMaxRows is how many rows are small.
const defaultMaxRows = 50_000

// Run implements [executors.Executor].
func (f *Fetch) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	var in struct {
		common
		MaxRows *inputs.Integer `json:"max_rows"`
	}
	if err := inputs.Decode(FetchID, call, &in); err != nil {
		return nil, err
	}
	var faults []string
	c := &collector{most: defaultMaxRows, maxBytes: f.cfg.MaxBytes}
	if in.MaxRows != nil {
		if *in.MaxRows < 0 || *in.MaxRows > 1_000_000 {
			faults = append(faults, "max_rows must be from 0 to 1000000")
		}
		c.most = int(*in.MaxRows)
	}
	q := in.query(f.cfg.Databases, call, &faults)
	if err := faulty(FetchID, faults); err != nil {
		return nil, err
	}
	ctx, cancel, err := in.limit(ctx, FetchID)
	if err != nil {
		return nil, err
	}
	defer cancel()
	if err := q.Run(ctx, c); err != nil {
		return nil, err
	}
	return executors.Completed(c.result()), nil
}

// collector keeps rows.
type collector struct {
	most, maxBytes int
	columns        []table.Column
	seen           []table.Class // of the values
	rows           []byte        // JSON, but for the last bracket
	n              int
}

// Columns implements [sql.Rows].
func (c *collector) Columns(columns []table.Column) error {
	c.columns, c.seen = columns, make([]table.Class, len(columns))
	return nil
}

// Row implements [sql.Rows].
func (c *collector) Row(values []table.Value) error {
	if c.n == c.most {
		return executors.WithKind(executors.Permanent(fmt.Errorf("there are more than %d rows, which max_rows allows: db_extract_stream writes them into a file", c.most)), KindRows)
	}
	mark := byte(',')
	if c.n == 0 {
		mark = '['
	}
	c.n++
	c.rows = append(c.rows, mark)
	mark = '['
	for i, v := range values {
		c.rows = append(c.rows, mark)
		c.rows = v.AppendJSON(c.rows, true)
		mark = ','
		if !v.Null {
			c.seen[i] = table.Common(c.seen[i], v.Class)
		}
	}
	c.rows = append(c.rows, ']')
	if len(c.rows) > c.maxBytes {
		return executors.WithKind(executors.Permanent(fmt.Errorf("the rows are larger than %d bytes, which the worker keeps of a result (TASKGROVE_MAX_OUTPUT_BYTES): "+
			"db_extract_stream writes them into a file", c.maxBytes)), KindLarge)
	}
	return nil
}

func (c *collector) result() *fetched {
	for i := range c.columns {
		if c.columns[i].Class == table.Unknown {
			c.columns[i].Class = c.seen[i]
		}
	}
	rows := append(c.rows, ']')
	if c.n == 0 {
		rows = []byte("[]")
	}
	r := &fetched{Columns: names(c.columns), Rows: rows, RowCount: c.n, RowsJSON: string(rows), Dtypes: dtypes(c.columns)}
	r.ColumnsJSON, r.DtypesJSON = asText(r.Columns), asText(r.Dtypes)
	return r
}
