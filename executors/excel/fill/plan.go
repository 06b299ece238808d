package fill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/xuri/excelize/v2"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/excel"
)

// job is a target with its place in the workbook.
type job struct {
	*table
	sheet        string
	created      bool // the sheet is new
	col          int  // of the first column
	anchor       int  // rows, from 1: of the anchor,
	first        int  // of header or data,
	data         int  // of data
	style        int  // and of the style row; 0: there is none
	marker       bool
	hasHeader    bool
	writesHeader bool
}

func (j *job) fault(format string, args ...any) error {
	return executors.WithKind(j.table.fault(format, args...), excel.KindTemplate)
}

// last is the last row that the job writes or leaves as its header.
func (j *job) last() int { return max(j.first, j.data+j.n-1) }

func (j *job) cols() int {
	if j.writesHeader {
		return j.width
	}
	return j.wide
}

// rowsWritten counts the header only if one is written.
func (j *job) rowsWritten() int {
	if j.writesHeader {
		return j.n + 1
	}
	return j.n
}

// area is a rectangle of a sheet, with both ends.
type area struct{ top, left, bottom, right int }

func (a area) meets(b area) bool {
	return a.top <= b.bottom && b.top <= a.bottom && a.left <= b.right && b.left <= a.right
}

func (a area) holds(b area) bool {
	return a.top <= b.top && b.bottom <= a.bottom && a.left <= b.left && b.right <= a.right
}

// String is the area as Excel writes it.
func (a area) String() string {
	from, _ := excelize.CoordinatesToCellName(a.left, a.top)
	to, _ := excelize.CoordinatesToCellName(a.right, a.bottom)
	return from + ":" + to
}

// taken is what the job needs for itself: what it writes, a header that it leaves, and its marker.
func (j *job) taken() area {
	return area{min(j.anchor, j.first), j.col, j.last(), j.col + max(1, j.cols()) - 1}
}

// written is what gets values; ok is false of nothing.
func (j *job) written() (a area, ok bool) {
	top := j.data
	if j.writesHeader {
		top = j.first
	}
	return area{top, j.col, j.data + j.n - 1, j.col + j.cols() - 1}, j.rowsWritten() > 0 && j.cols() > 0
}

// locate finds a job's place in the template, and makes its sheet if it has none.
func (t *template) locate(tab *table, enterprise bool) (*job, error) {
	j := &job{table: tab}
	if tab.target.Mode == excel.DataSheet {
		if _, ok := t.sheetCalled(tab.target.Sheet); !ok {
			if _, err := t.NewSheet(tab.target.Sheet); err != nil {
				return nil, j.fault("sheet %.100q: %w", tab.target.Sheet, err)
			}
			j.created = true
		}
	}
	p, err := t.anchor(tab.target, enterprise)
	if err != nil {
		return nil, j.fault("%w", err)
	}
	if _, err := t.GetSheetProps(p.sheet); err != nil {
		return nil, j.fault("sheet %.100q can't be written: %w", p.sheet, err)
	}
	j.sheet, j.anchor, j.col = p.sheet, p.row, p.col
	j.marker = tab.target.Anchor != "" && !p.named && tab.target.Mode != excel.DataSheet
	if m := tab.target.Marker; m != nil {
		j.marker = *m
	}
	j.hasHeader = tab.target.Anchor != "" && j.marker && tab.target.Mode != excel.DataSheet
	if h := tab.target.HasHeader; h != nil {
		j.hasHeader = *h
	}
	return j, nil
}

// measure gives the job its rows, once its table is surveyed, and checks what bounds it.
func (j *job) measure() error {
	t := j.target
	j.first = j.anchor
	if j.marker {
		j.first++
	}
	j.writesHeader = t.HeaderMode != excel.TemplateHeader && len(j.columns) > 0 && (t.ReadHeader || t.Format != excel.Parquet)
	if j.data = j.first; j.writesHeader || j.hasHeader {
		j.data++
	}
	if t.StyleMode == excel.CopyRow {
		from := j.first
		if j.marker {
			from = j.anchor
		}
		if j.style = from + t.StyleRowOffset; j.style < 1 || j.style > excel.MaxRow {
			return j.fault("the style row would be row %d", j.style)
		}
	}
	for _, bound := range []struct {
		name      string
		got, most int
	}{
		{"max_rows", max(j.n, t.RowCount), t.MaxRows}, {"max_total_rows", max(j.rowsWritten(), t.RowCount), t.MaxTotalRows}, {"max_cols", j.cols(), t.MaxCols},
	} {
		if t.Mode == "" && bound.most >= 0 && bound.got > bound.most {
			return j.tooLarge("%s is %d, and there are %d", bound.name, bound.most, bound.got)
		}
	}
	return nil
}

// insertion makes room for a job.
type insertion struct {
	sheet     string
	row, rows int
}

// arrange finds out where all jobs end up once rows are inserted, and whether they are in each other's way.
func arrange(jobs []*job) (inserts []insertion, err error) {
	for i, j := range jobs {
		if j.target.Insert == excel.Below {
			in := insertion{j.sheet, j.first, j.rowsWritten()}
			if j.hasHeader {
				in.row, in.rows = j.data, j.n
			}
			if in.rows > 0 {
				if err := j.makeRoom(in, jobs, i); err != nil {
					return nil, err
				}
				inserts = append(inserts, in)
			}
		}
		if bottom, right := j.last(), j.col+j.cols()-1; bottom > excel.MaxRow || right > excel.MaxCol {
			return nil, j.tooLarge("it would end in row %d and column %d, and a sheet has %d and %d", bottom, right, excel.MaxRow, excel.MaxCol)
		}
		for _, other := range jobs[:i] {
			if other.sheet != j.sheet || free(other) || free(j) || !j.taken().meets(other.taken()) {
				continue
			}
			return nil, j.fault("overlaps %s (%.200s) on sheet %.100q: %s and %s", other.target.Field, other.target.Name, j.sheet, j.taken(), other.taken())
		}
	}
	for _, j := range jobs {
		if bottom := j.last(); bottom > excel.MaxRow {
			return nil, j.tooLarge("it would end in row %d, and a sheet has %d", bottom, excel.MaxRow)
		}
	}
	return inserts, nil
}

// free reports whether a job may be written over by others: later targets win.
func free(j *job) bool { return j.target.Mode == excel.DataSheet && j.target.Insert == excel.Replace }

// makeRoom shifts what is below an insertion of jobs[i].
func (j *job) makeRoom(in insertion, jobs []*job, i int) error {
	shift := func(row *int) {
		if *row >= in.row {
			*row += in.rows
		}
	}
	for k, other := range jobs {
		if other.sheet != j.sheet {
			continue
		}
		if k == i {
			shift(&j.anchor)
			shift(&j.style)
			continue
		}
		if a := other.taken(); k < i && a.top < in.row && in.row <= a.bottom {
			return j.fault("inserts rows at row %d of sheet %.100q, within %s (%.200s)", in.row, j.sheet, other.target.Field, other.target.Name)
		}
		for _, row := range []*int{&other.anchor, &other.first, &other.data} {
			shift(row)
		}
		if other.style > 0 {
			shift(&other.style)
		}
	}
	return nil
}

// shape changes the workbook's structure as the jobs need it, but for values.
func (t *template) shape(ctx context.Context, jobs []*job, inserts []insertion) (err error) {
	for _, in := range inserts {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := t.InsertRows(in.sheet, in.row, in.rows); err != nil {
			return badTemplate("%d rows can't be inserted at row %d of sheet %.100q: %w", in.rows, in.row, in.sheet, err)
		}
	}
	for _, j := range jobs {
		a, some := j.written()
		if !some {
			continue
		}
		if err := t.inTheWay(j, a); err != nil {
			return err
		}
		if j.target.Freeze {
			if err := t.freeze(j); err != nil {
				return j.fault("freeze_panes: %w", err)
			}
		}
		if j.target.Filter && j.writesHeader {
			if err := t.filter(j, a); err != nil {
				return j.fault("autofilter: %w", err)
			}
		}
	}
	full := true
	return t.SetCalcProps(&excelize.CalcPropsOptions{FullCalcOnLoad: &full}) // what formulas showed is of the template
}

// inTheWay finds merged cells and headers of tables that can't take values of their own.
func (t *template) inTheWay(j *job, a area) error {
	merged, err := t.GetMergeCells(j.sheet, true)
	if err != nil {
		return j.fault("merged cells: %w", err)
	}
	for _, m := range merged {
		b, err := areaOf(m.GetStartAxis() + ":" + m.GetEndAxis())
		if err != nil {
			return j.fault("merged cells: %w", err)
		}
		corner := area{b.top, b.left, b.top, b.left}
		if rest := overlap(a, b); rest != nil && *rest != corner {
			return j.fault("cells %s of sheet %.100q are merged, and it would write into them", b, j.sheet)
		}
	}
	tables, err := t.GetTables(j.sheet)
	if err != nil {
		return j.fault("tables: %w", err)
	}
	for _, table := range tables {
		b, err := areaOf(table.Range)
		if err != nil {
			return j.fault("tables: %w", err)
		}
		if b.bottom = b.top; a.meets(b) && (table.ShowHeaderRow == nil || *table.ShowHeaderRow) {
			return j.fault("it would write into %s of sheet %.100q, the header of the table %.100q", b, j.sheet, table.Name)
		}
	}
	return nil
}

func areaOf(ref string) (a area, err error) {
	from, to, ok := strings.Cut(strings.ReplaceAll(ref, "$", ""), ":")
	if !ok {
		to = from
	}
	if a.left, a.top, err = excelize.CellNameToCoordinates(from); err != nil {
		return a, err
	}
	a.right, a.bottom, err = excelize.CellNameToCoordinates(to)
	return a, err
}

// overlap is what both areas have; nil: nothing.
func overlap(a, b area) *area {
	if !a.meets(b) {
		return nil
	}
	return &area{max(a.top, b.top), max(a.left, b.left), min(a.bottom, b.bottom), min(a.right, b.right)}
}

func (t *template) freeze(j *job) error {
	row := j.first
	if j.writesHeader {
		row++
	}
	p := excelize.Panes{Freeze: true, XSplit: j.col - 1, YSplit: row - 1}
	switch {
	case p.XSplit == 0 && p.YSplit == 0:
		return nil
	case p.XSplit == 0:
		p.ActivePane = "bottomLeft"
	case p.YSplit == 0:
		p.ActivePane = "topRight"
	default:
		p.ActivePane = "bottomRight"
	}
	p.TopLeftCell, _ = excelize.CoordinatesToCellName(j.col, row)
	p.Selection = []excelize.Selection{{SQRef: p.TopLeftCell, ActiveCell: p.TopLeftCell, Pane: p.ActivePane}}
	return t.SetPanes(j.sheet, &p)
}

func (t *template) filter(j *job, a area) error {
	tables, err := t.GetTables(j.sheet)
	if err != nil {
		return err
	}
	for _, table := range tables {
		if b, err := areaOf(table.Range); err == nil && a.meets(b) {
			return nil // the table has a filter of its own, and Excel takes no second one
		}
	}
	props, err := t.GetSheetProps(j.sheet)
	if err != nil {
		return err
	}
	if err := t.AutoFilter(j.sheet, a.String(), nil); err != nil {
		return err
	}
	return t.SetSheetProps(j.sheet, &props) // which AutoFilter forgets
}

// stream gives the rows that a job writes: the header, if it writes one, and its data as they are cast.
func (j *job) stream() (next func() ([]value, error), end func(), err error) {
	source, err := j.open()
	if err != nil {
		return nil, nil, j.unreadable(err)
	}
	var header []value
	if j.writesHeader {
		for _, name := range j.columns {
			header = append(header, textValue(name))
		}
	}
	left := j.n
	return func() ([]value, error) {
		if header != nil {
			row := header
			header = nil
			return row, nil
		}
		row, err := source.next()
		if left--; errors.Is(err, io.EOF) && len(row) == 0 || err == nil && (left < 0 || len(row) > j.wide) {
			return nil, executors.Permanent(fmt.Errorf("%s: %.200q changed while it was read", j.target.Field, j.target.Source))
		} else if err != nil && !errors.Is(err, io.EOF) {
			return nil, j.unreadable(err)
		}
		j.cast.row(row)
		return row, nil
	}, source.close, nil
}
