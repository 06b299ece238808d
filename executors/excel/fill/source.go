package fill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/excel"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// rows are the rows of data of a target. next gives each once, and io.EOF; a row is the reader's until the call after.
type rows interface {
	next() ([]value, error)
	close()
}

// table is what a target writes: read once to see how large it is and that all of it can be written, and once more to write it.
type table struct {
	target  *excel.Target
	open    func() (rows, error) // after the header
	columns []string             // nil: unknown
	dates   calendar
	dated   bool     // there may be dates
	n       int      // rows of data
	width   int      // cells of the widest, and of the columns
	wide    int      // cells of the widest row of data
	file    *os.File // nil: none
	cast    *caster
}

func (t *table) close() {
	if t.file != nil {
		_ = t.file.Close()
	}
}

func (t *table) fault(format string, args ...any) error {
	return executors.Permanent(fmt.Errorf("%s (%.200s): %w", t.target.Field, t.target.Name, fmt.Errorf(format, args...)))
}

func (t *table) tooLarge(format string, args ...any) error {
	return executors.WithKind(t.fault(excel.KindTooLarge+": "+format, args...), excel.KindTooLarge)
}

func (t *table) unreadable(err error) error {
	return executors.WithKind(t.fault("source %.200q: %w", t.target.Source, err), excel.KindSource)
}

// memory are rows of JSON.
type memory struct {
	rows [][]json.RawMessage
	i    int
	row  []value
}

func (m *memory) next() ([]value, error) {
	if m.i == len(m.rows) {
		return nil, io.EOF
	}
	m.row = m.row[:0]
	for j, raw := range m.rows[m.i] {
		v, err := fromJSON(raw)
		if err != nil {
			return nil, fmt.Errorf("row %d, column %d can't be read", m.i+1, j+1)
		}
		m.row = append(m.row, v)
	}
	m.i++
	return m.row, nil
}

func (*memory) close() {}

func small(t *excel.Target, dates calendar) *table {
	return &table{target: t, columns: t.Columns, dates: dates, open: func() (rows, error) { return &memory{rows: t.Rows}, nil }}
}

// csvRows are those of a text file.
type csvRows struct{ *csvReader }

func (csvRows) close() {}

// openFile opens a plain file of a sandbox for reading.
func openFile(spot workdir.Spot, field string) (*os.File, error) {
	f, err := spot.Root.OpenFile(spot.Name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // of a pipe it does not wait for the other end
	if err != nil {
		return nil, spot.Err(field, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("is no plain file")
	}
	if err != nil {
		_ = f.Close()
		return nil, executors.Permanent(fmt.Errorf("%s: %w", field, err))
	}
	return f, nil
}

// fromFile opens a file and counts its rows quickly where there is a threshold.
func fromFile(t *excel.Target, spot workdir.Spot, dates calendar) (*table, error) {
	f, err := openFile(spot, t.Field+".source_path")
	if err != nil {
		return nil, err
	}
	tab := &table{target: t, dates: dates, file: f}
	if err := tab.begin(); err != nil {
		tab.close()
		return nil, err
	}
	return tab, nil
}

func (t *table) begin() error {
	info, err := t.file.Stat()
	if err != nil {
		return err
	}
	whole := func() io.Reader { return io.NewSectionReader(t.file, 0, info.Size()) }
	count := t.target.RowCount
	if t.target.Format == excel.Parquet {
		p, err := openParquet(t.file, info.Size(), t.dates)
		if err != nil {
			return t.unreadable(err)
		}
		t.columns, t.dated = p.names, p.dated
		t.open = func() (rows, error) { return openParquet(t.file, info.Size(), t.dates) }
		if count < 0 {
			count = p.total
		}
		return t.threshold(count)
	}
	t.columns = t.target.Columns
	header := func() (*csvReader, []value, error) {
		r, err := newCSVReader(whole(), t.target.CSV)
		if err != nil || !t.target.ReadHeader {
			return r, nil, err
		}
		r.d.Nonnumeric = false
		row, err := r.next()
		r.d.Nonnumeric = t.target.CSV.Nonnumeric
		if errors.Is(err, io.EOF) && len(row) == 0 {
			err = nil
		}
		return r, row, err
	}
	_, row, err := header()
	if err != nil && !errors.Is(err, io.EOF) {
		return t.unreadable(err)
	}
	if len(row) > 0 {
		t.columns = nil
		for _, v := range row {
			t.columns = append(t.columns, v.text)
		}
	}
	t.open = func() (rows, error) {
		r, _, err := header()
		return csvRows{r}, err
	}
	if count < 0 && t.target.RowsThreshold >= 0 && t.target.CountMode == excel.Fast {
		if count, err = countLines(whole(), t.target.CSV.Linefeed); err != nil {
			return err
		}
		if t.target.ReadHeader && count > 0 {
			count--
		}
	}
	return t.threshold(count)
}

// threshold is the error of a region that has too many rows; a count below 0 is unknown.
func (t *table) threshold(count int) error {
	if most := t.target.RowsThreshold; most >= 0 && count > most {
		return t.tooLarge("%.200q has %d rows of data, and the region's threshold is %d", t.target.Source, count, most)
	}
	return nil
}

// maxCells is how many cells a task may write.
const maxCells = 50_000_000

// survey reads all rows, and so finds what can't be written before anything is.
func (t *table) survey(ctx context.Context, budget *int64) error {
	t.cast = newCaster(t.target, t.columns, t.dates)
	t.dated = t.dated || t.cast.dated
	t.width = len(t.columns)
	for j, name := range t.columns {
		if err := textValue(name).check(); err != nil {
			return t.fault("the name of column %d %w", j+1, err)
		}
	}
	source, err := t.open()
	if err != nil {
		return t.unreadable(err)
	}
	defer source.close()
	for {
		row, err := source.next()
		if errors.Is(err, io.EOF) && len(row) == 0 {
			break
		} else if err != nil && !errors.Is(err, io.EOF) {
			return t.unreadable(err)
		}
		if t.n++; t.n%1000 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		for j, v := range row {
			if err := v.check(); err != nil {
				return t.fault("row %d, column %d %w", t.n, j+1, err)
			}
		}
		t.wide = max(t.wide, len(row))
		switch {
		case t.n > excel.MaxRow:
			return t.tooLarge("more than %d rows, which is all that a sheet has", excel.MaxRow)
		case t.wide > excel.MaxCol:
			return t.tooLarge("row %d has more than %d columns", t.n, excel.MaxCol)
		}
		if t.target.RowsThreshold >= 0 && t.n > t.target.RowsThreshold {
			return t.threshold(t.n)
		}
	}
	t.width = max(t.width, t.wide)
	if *budget -= int64(t.n+1) * int64(t.width); *budget < 0 {
		return t.tooLarge("the targets have more than %d cells", maxCells)
	}
	return nil
}
