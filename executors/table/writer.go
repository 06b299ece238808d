package table

import "fmt"

// Writer writes a table. One goroutine.
type Writer interface {
	// Begin comes first, and once.
	Begin(columns []Column) error
	// Row writes a row, with a value for each column. A [CellError] says that it can't, and which value is to blame.
	Row(values []Value) error
	// End comes last, and writes what is left.
	End() error
}

// CellError says which value a file can't hold.
type CellError struct {
	Row    int64 // from 1, without the header; 0: it is the header
	Column string
	Reason string
}

// Error implements error.
func (e *CellError) Error() string {
	if e.Row == 0 {
		return fmt.Sprintf("the name of column %.100q %s", e.Column, e.Reason)
	}
	return fmt.Sprintf("row %d, column %.100q: %s", e.Row, e.Column, e.Reason)
}
