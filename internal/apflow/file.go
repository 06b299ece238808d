package apflow

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
)

// file is a table that DuckDB exported, in memory.
type file []*Row

// Close implements [Source].
func (file) Close() error { return nil }

// Rows implements [Source].
func (f file) Rows(context.Context) (int, error) { return len(f), nil }

// Trees implements [Source].
func (f file) Trees(context.Context) iter.Seq2[Tree, error] {
	return func(yield func(Tree, error) bool) {
		for _, tree := range grouped(f) {
			if len(tree) > MaxTreeRows {
				yield(nil, fmt.Errorf("tree %q has over %d tasks", tree[0].ID, MaxTreeRows))
				return
			}
			if !yield(tree, nil) {
				return
			}
		}
	}
}

func openFile(path string) (Source, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if info.Size() > maxFileBytes {
		return nil, fmt.Errorf("%s has over %d bytes", path, int64(maxFileBytes))
	}
	read := readJSON
	if filepath.Ext(path) == ".csv" {
		read = readCSV
	}
	rows, err := read(bufio.NewReader(f))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return file(rows), nil
}

// readJSON reads an object a line, or one array of objects: both are what DuckDB calls json.
func readJSON(r *bufio.Reader) (rows []*Row, err error) {
	d := json.NewDecoder(r)
	if first, err := firstByte(r); err != nil {
		return nil, err
	} else if first == '[' {
		if _, err := d.Token(); err != nil {
			return nil, err
		}
	}
	for d.More() {
		var columns map[string]json.RawMessage
		if err := d.Decode(&columns); err != nil {
			return nil, fmt.Errorf("row %d: %w", len(rows)+1, err)
		}
		row, err := rowOf(columns)
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", len(rows)+1, err)
		}
		rows = append(rows, row)
	}
	if t, err := d.Token(); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	} else if err == nil && t != json.Delim(']') {
		return nil, fmt.Errorf("unexpected %v", t)
	}
	return rows, nil
}

// firstByte is the first one that is no white space; 0 at the end.
func firstByte(r *bufio.Reader) (byte, error) {
	for {
		b, err := r.ReadByte()
		if errors.Is(err, io.EOF) {
			return 0, nil
		}
		if err != nil || !bytes.ContainsRune([]byte(" \t\r\n"), rune(b)) {
			return b, errors.Join(err, r.UnreadByte())
		}
	}
}

// jsonColumns are those that hold documents; the texts of other columns are in quotes.
var jsonColumns = []string{"dependencies", "inputs", "params", "schemas", "result"}

func rowOf(columns map[string]json.RawMessage) (*Row, error) {
	row := &Row{}
	if id, ok := columns["id"]; !ok || json.Unmarshal(id, &row.ID) != nil {
		return nil, errors.New("has no id")
	}
	for column, raw := range columns {
		var value any
		switch {
		case string(raw) == "null":
			continue
		case slices.Contains(jsonColumns, column):
			value = raw
		default:
			if err := json.Unmarshal(raw, &value); err != nil {
				return nil, err
			}
		}
		if err := row.set(column, value); err != nil {
			return nil, err
		}
	}
	return row, nil
}

// readCSV reads what DuckDB writes by default: names of columns first, nulls empty.
func readCSV(r *bufio.Reader) (rows []*Row, err error) {
	c := csv.NewReader(r)
	columns, err := c.Read()
	if err != nil {
		return nil, err
	}
	columns = slices.Clone(columns)
	if !slices.Contains(columns, "id") {
		return nil, errors.New("the first line names no column id: export with the header")
	}
	c.ReuseRecord = true
	for {
		values, err := c.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
		row := &Row{}
		for i, column := range columns {
			if values[i] == "" {
				continue
			}
			if err := row.set(column, values[i]); err != nil {
				line, _ := c.FieldPos(i)
				return nil, fmt.Errorf("line %d: %w", line, err)
			}
		}
		rows = append(rows, row)
	}
}
