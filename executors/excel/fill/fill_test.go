package fill_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/excel"
	"github.com/taskgrove/taskgrove/executors/excel/fill"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// desk is a directory with a template, in which the executors work.
type desk struct {
	t          *testing.T
	dir        string
	enterprise bool
}

func newDesk(t *testing.T) *desk { return &desk{t: t, dir: t.TempDir()} }

func (d *desk) path(name string) string { return filepath.Join(d.dir, name) }

func (d *desk) write(name, content string) {
	d.t.Helper()
	if err := os.WriteFile(d.path(name), []byte(content), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// template makes a workbook.
func (d *desk) template(name string, make func(f *excelize.File)) {
	d.t.Helper()
	f := excelize.NewFile()
	make(f)
	if err := f.SaveAs(d.path(name)); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) executor(id string) executors.Executor {
	all := fill.New(fill.Config{
		Place:      func(string) workdir.Place { return workdir.Place{Dir: d.dir} },
		Enterprise: func(string) bool { return d.enterprise },
	})
	return all[slices.Index(excel.IDs, id)]
}

func (d *desk) call(inputs string) *executors.Call {
	call, _ := conformance.Call(d.t, strings.ReplaceAll(inputs, "@", d.dir+"/"))
	return call
}

// run runs an executor. @ in the inputs stands for the desk's directory.
func (d *desk) run(id, inputs string) (map[string]any, error) {
	d.t.Helper()
	out, err := d.executor(id).Run(d.t.Context(), d.call(inputs))
	if left, _ := filepath.Glob(d.path("*.tmp")); len(left) > 0 {
		d.t.Errorf("%v is left", left)
	}
	if err != nil {
		return nil, err
	}
	content, _ := json.Marshal(out.Value())
	var result map[string]any
	if err := json.Unmarshal(content, &result); err != nil {
		d.t.Fatal(err)
	}
	return result, nil
}

// fill runs an executor that must succeed: targets are its targets' JSON.
func (d *desk) fill(id, targets string) (*excelize.File, map[string]any) {
	d.t.Helper()
	result, err := d.run(id, `{"template_path": "@t.xlsx", "output": "@out/o.xlsx", "targets": `+targets+`}`)
	if err != nil {
		d.t.Fatal(err)
	}
	f, err := excelize.OpenFile(d.path("out/o.xlsx"))
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = f.Close() })
	return f, result
}

// grid shows a sheet: cells with | between them, rows with line breaks, without what is empty at the ends.
func grid(t *testing.T, f *excelize.File, sheet string) string {
	t.Helper()
	rows, err := f.GetRows(sheet, excelize.Options{RawCellValue: true})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, row := range rows {
		lines = append(lines, strings.TrimRight(strings.Join(row, "|"), "|"))
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

func written(t *testing.T, result map[string]any, i int) string {
	t.Helper()
	w := result["written"].([]any)[i].(map[string]any)
	return fmt.Sprintf("%s %s %.0fx%.0f %v", w["sheet"], w["start_cell"], w["rows"], w["cols"], w["template_has_header"])
}

// report is a template with a marker, a header, a row of formats and a total.
func report(f *excelize.File) {
	_ = f.SetSheetName("Sheet1", "Report")
	for cell, v := range map[string]any{"B1": "Orders", "B3": "#ORDERS", "B4": "Id", "C4": "What", "D4": "Price", "B5": "sample", "B8": "Total", "E3": "beside"} {
		_ = f.SetCellValue("Report", cell, v)
	}
	_ = f.SetCellFormula("Report", "D8", "SUM(D5:D6)")
	money := `#,##0.00`
	bold, _ := f.NewStyle(&excelize.Style{CustomNumFmt: &money, Font: &excelize.Font{Italic: true, Color: "FF0000"}})
	_ = f.SetCellStyle("Report", "B5", "D5", bold)
	_ = f.SetDefinedName(&excelize.DefinedName{Name: "TOTALS", RefersTo: "Report!$B$8:$D$9"})
	_ = f.SetDefinedName(&excelize.DefinedName{Name: "NOWHERE", RefersTo: "1+1"})
}

const rows2 = `"rows_json": "[[1, \"pears\", 2.5], [2, \"plums\", 3]]", "columns_json": "[\"id\", \"what\", \"price\"]"`

// Rules 1 to 6 of the specification, a line each.
func TestSmall(t *testing.T) {
	for name, test := range map[string]struct {
		target, want, written string
	}{
		"a marker: data below the template's header": {
			`{"sheet": "Report", "anchor": "#orders", ` + rows2 + `}`,
			"|Orders\n\n|#ORDERS|||beside\n|Id|What|Price\n|1|pears|2.5\n|2|plums|3\n\n|Total", "Report B4 2x3 true",
		},
		"white space and case of a marker do not count": {
			`{"anchor": " \u00a0#OrDers ", ` + rows2 + `}`,
			"|Orders\n\n|#ORDERS|||beside\n|Id|What|Price\n|1|pears|2.5\n|2|plums|3\n\n|Total", "Report B4 2x3 true",
		},
		"a defined name is no marker": {
			`{"anchor": "totals", ` + rows2 + `}`,
			"|Orders\n\n|#ORDERS|||beside\n|Id|What|Price\n|sample\n\n\n|1|pears|2.5\n|2|plums|3", "Report B8 2x3 false",
		},
		"an anchor that is a cell": {
			`{"anchor": "Report!B3", ` + rows2 + `}`,
			"|Orders\n\n|#ORDERS|||beside\n|Id|What|Price\n|1|pears|2.5\n|2|plums|3\n\n|Total", "Report B4 2x3 true",
		},
		"a cell": {
			`{"cell": "'report'!$A$10", ` + rows2 + `}`,
			"|Orders\n\n|#ORDERS|||beside\n|Id|What|Price\n|sample\n\n\n|Total\n\n1|pears|2.5\n2|plums|3", "Report A10 2x3 false",
		},
		"a cell of a sheet": {
			`{"sheet": "Report", "cell": "A10", "header_mode": "append", ` + rows2 + `}`,
			"|Orders\n\n|#ORDERS|||beside\n|Id|What|Price\n|sample\n\n\n|Total\n\nid|what|price\n1|pears|2.5\n2|plums|3", "Report A10 3x3 false",
		},
		"below: only data are inserted where the template has a header": {
			`{"sheet": "Report", "anchor": "#ORDERS", "insert": "below", "header_mode": "override", ` + rows2 + `}`,
			"|Orders\n\n|#ORDERS|||beside\n|id|what|price\n|1|pears|2.5\n|2|plums|3\n|sample\n\n\n|Total", "Report B4 3x3 true",
		},
		"below: header and data otherwise": {
			`{"sheet": "Report", "cell": "B5", "insert": "below", "header_mode": "append", ` + rows2 + `}`,
			"|Orders\n\n|#ORDERS|||beside\n|Id|What|Price\n|id|what|price\n|1|pears|2.5\n|2|plums|3\n|sample\n\n\n|Total", "Report B5 3x3 false",
		},
		"a header without columns is not written": {
			`{"sheet": "Report", "cell": "B10", "header_mode": "append", "rows_json": [[1]]}`,
			"|Orders\n\n|#ORDERS|||beside\n|Id|What|Price\n|sample\n\n\n|Total\n\n|1", "Report B10 1x1 false",
		},
		"an old header is emptied": {
			`{"sheet": "Report", "anchor": "#ORDERS", "header_mode": "override", "header_clear_width": 3, "columns": ["only"], "rows": [[7]]}`,
			"|Orders\n\n|#ORDERS|||beside\n|only\n|7\n\n\n|Total", "Report B4 2x1 true",
		},
		"or not": {
			`{"sheet": "Report", "anchor": "#ORDERS", "header_mode": "override", "header_clear": "false", "header_clear_width": 3, "columns": ["only"], "rows": [[7]]}`,
			"|Orders\n\n|#ORDERS|||beside\n|only|What|Price\n|7\n\n\n|Total", "Report B4 2x1 true",
		},
		"the anchor is emptied": {
			`{"sheet": "Report", "anchor": "#ORDERS", "anchor_clear": true, "rows": [[7]]}`,
			"|Orders\n\n||||beside\n|Id|What|Price\n|7\n\n\n|Total", "Report B4 1x1 true",
		},
		"and some cells of its row": {
			`{"sheet": "Report", "anchor": "#ORDERS", "anchor_clear": true, "anchor_clear_mode": "row", "anchor_clear_width": "4", "rows": [[7]]}`,
			"|Orders\n\n\n|Id|What|Price\n|7\n\n\n|Total", "Report B4 1x1 true",
		},
		"the row of formats is emptied, and pushed down by what is inserted": {
			`{"sheet": "Report", "anchor": "#ORDERS", "insert": "below", "style_mode": "copy_row", "clear_style_row": true, "rows": [[7, 8, 9]]}`,
			"|Orders\n\n|#ORDERS|||beside\n|Id|What|Price\n|7|8|9\n\n\n\n|Total", "Report B4 1x3 true",
		},
		"no rows": {
			`{"sheet": "Report", "anchor": "#ORDERS", "insert": "below", "rows_json": "[]"}`,
			"|Orders\n\n|#ORDERS|||beside\n|Id|What|Price\n|sample\n\n\n|Total", "Report B4 0x0 true",
		},
		"shorter rows leave nothing of what was there": {
			`{"sheet": "Report", "cell": "B4", "rows": [[1], [2, 3], [], [null, false]]}`,
			"|Orders\n\n|#ORDERS|||beside\n|1||Price\n|2|3\n\n||0\n|Total", "Report B4 4x2 false",
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.template("t.xlsx", report)
			before, _ := os.ReadFile(d.path("t.xlsx"))
			f, result := d.fill(excel.FillSmall, "["+test.target+"]")
			if got := grid(t, f, "Report"); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
			if got := written(t, result, 0); got != test.written {
				t.Errorf("got %s, want %s", got, test.written)
			}
			if after, _ := os.ReadFile(d.path("t.xlsx")); string(after) != string(before) {
				t.Error("the template was changed")
			}
		})
	}
}

// Rule 5: the style row's formats are those of before the insertion.
func TestStyles(t *testing.T) {
	d := newDesk(t)
	d.template("t.xlsx", report)
	f, _ := d.fill(excel.FillSmall, `[{"sheet": "Report", "anchor": "#ORDERS", "insert": "below", "style_mode": "copy_row", "header_mode": "override", "header_style": "style_row", "style_apply": "both", `+rows2+`}]`)
	source, _ := f.GetCellStyle("Report", "C7")
	for _, cell := range []string{"B4", "D4", "B5", "D5", "C6"} {
		if got, _ := f.GetCellStyle("Report", cell); got != source || got == 0 {
			t.Errorf("%s has style %d, want %d", cell, got, source)
		}
	}
	if got, _ := f.GetCellValue("Report", "D5"); got != "2.50" {
		t.Errorf("got %s", got)
	}
	if got, _ := f.GetCellFormula("Report", "D10"); got != "SUM(D7:D8)" { // rows were inserted above
		t.Errorf("got %s", got)
	}
}

// Dates get a format where the template has none.
func TestDates(t *testing.T) {
	d := newDesk(t)
	d.template("t.xlsx", func(f *excelize.File) {
		report(f)
		german := "dd.mm.yyyy"
		style, _ := f.NewStyle(&excelize.Style{CustomNumFmt: &german})
		_ = f.SetCellStyle("Report", "C12", "C12", style)
		fill, _ := f.NewStyle(&excelize.Style{Font: &excelize.Font{Family: "Courier New", Size: 9, Color: "00FF00"}})
		_ = f.SetColStyle("Report", "B", fill)
	})
	f, _ := d.fill(excel.FillSmall, `[{"sheet": "Report", "cell": "A12", "columns": ["a", "b", "c", "d"], "dtypes": {"a": "date", "b": "date", "c": "date", "d": "datetime"},
		"rows": [["2026-05-01", "2026-05-01", "2026-05-01", "2026-05-01T18:00:00+02:00"], ["1900-01-01", "no", "1899-12-31", "9999-12-31 23:59:59"]]}]`)
	for cell, want := range map[string]string{"A12": "2026-05-01", "B12": "2026-05-01", "C12": "01.05.2026", "D12": "2026-05-01 16:00:00", "A13": "1900-01-01", "B13": "no", "C13": "1899-12-31", "D13": "9999-12-31 23:59:59"} {
		if got, _ := f.GetCellValue("Report", cell); got != want {
			t.Errorf("%s: got %q, want %q", cell, got, want)
		}
	}
	id, _ := f.GetCellStyle("Report", "B12")
	style, _ := f.GetStyle(id)
	if style.Font == nil || style.Font.Family != "Courier New" || style.Font.Color != "00FF00" || style.Font.Size != 9 {
		t.Errorf("the column's font is lost: %+v", style.Font)
	}
}

// Rule 7.
func TestCasts(t *testing.T) {
	d := newDesk(t)
	d.template("t.xlsx", report)
	show := func(f *excelize.File, cell string) string {
		typ, _ := f.GetCellType("Report", cell)
		v, _ := f.GetCellValue("Report", cell, excelize.Options{RawCellValue: true})
		switch {
		case typ == excelize.CellTypeInlineString:
			return "text " + v
		case typ == excelize.CellTypeBool:
			return "bool " + v
		case v == "":
			return "blank"
		}
		return "number " + v
	}
	for key, wants := range map[string]map[string]string{
		`"type_cast": "none"`: {`"1"`: "text 1", `1`: "number 1", `1.50`: "number 1.5", `true`: "bool 1", `null`: "blank", `""`: "blank", `{"b": 1, "a": [2]}`: `text {"a":[2],"b":1}`,
			`123456789012345`: "number 123456789012345", `1234567890123456`: "text 1234567890123456", `1e400`: "text 1e400", `1e300`: "number 1e+300", `"=1+1"`: "text =1+1"},
		`"type_cast": "basic"`: {`"1"`: "bool 1", `"TRUE"`: "bool 1", `"0"`: "bool 0", `"false"`: "bool 0", `"12"`: "number 12", `"-12"`: "number -12", `"007"`: "text 007", `"1.5"`: "number 1.5",
			`"1e3"`: "number 1000", `"1.e"`: "text 1.e", `"+49 30"`: "text +49 30", `"+1"`: "text +1", `"NaN"`: "text NaN", `"inf"`: "text inf", `"0x10"`: "text 0x10", `"1_000"`: "text 1_000", `" "`: "blank",
			`"2026-01-02"`: "number 46024", `"2026-01-02T12:00:00Z"`: "number 46024.5", `"2026-13-02"`: "text 2026-13-02", `"12345678901234567890"`: "text 12345678901234567890", `"=A1"`: "text =A1", `5`: "number 5"},
		`"dtypes": {"c": "int"}`:             {`"12"`: "number 12", `" 12 "`: "number 12", `"+1"`: "number 1", `"1.5"`: "text 1.5", `""`: "blank", `"  "`: "blank", `"x"`: "text x", `"-00012"`: "number -12"},
		`"dtypes": {"c": "float"}`:           {`"12"`: "number 12", `".5"`: "number 0.5", `"NaN"`: "text NaN", `"1e400"`: "text 1e400", `"1,5"`: "text 1,5", `"-0"`: "number 0"},
		`"dtypes_json": "{\"c\": \"bool\"}"`: {`"true"`: "bool 1", `"0"`: "bool 0", `"yes"`: "text yes"},
		`"dtypes": {"c": "string"}`:          {`"12"`: "text 12", `12`: "text 12", `true`: "text true", `null`: "blank"},
		`"dtypes": {"c": "date"}`:            {`"2026-01-02"`: "number 46024", `"2026-01-02 10:00:00"`: "number 46024", `"02.01.2026"`: "text 02.01.2026"},
		`"dtypes": {"c": "timestamp"}`:       {`"2026-01-02"`: "number 46024", `"2026-01-02 06:00"`: "number 46024.25", `"2026-01-02T06:00:00.000+0000"`: "number 46024.25"},
		`"dtypes": {"other": "int"}`:         {`"12"`: "text 12"},
	} {
		var in []string
		for v := range wants {
			in = append(in, v)
		}
		slices.Sort(in)
		f, result := d.fill(excel.FillSmall, `[{"sheet": "Report", "cell": "H1", "columns": ["c"], `+key+`, "rows": [[`+strings.Join(in, "],[")+`]]}]`)
		for i, v := range in {
			if got := show(f, fmt.Sprintf("H%d", i+1)); got != wants[v] {
				t.Errorf("%s: %s: got %s, want %s", key, v, got, wants[v])
			}
		}
		_ = result
	}
	_, result := d.fill(excel.FillSmall, `[{"sheet": "Report", "cell": "H1", "dtypes": {"c": "int"}, "rows": [["1"]]}]`)
	if got := result["written"].([]any)[0].(map[string]any)["type_cast"]; got != "none" {
		t.Errorf("without columns the cast is %v", got)
	}
}

// Rule 6, and that of insertions: all is known before anything is written.
func TestOverlap(t *testing.T) {
	const orders, file = `{"name": "a", "sheet": "Report", "anchor": "#ORDERS", "rows": [[1, 2], [3, 4], [5, 6]]`, `"source_path": "@s.csv"`
	for name, test := range map[string]struct{ id, targets, want string }{
		"apart":              {excel.FillSmall, `[` + orders + `}, {"sheet": "Report", "cell": "D5", "rows": [[1]]}]`, ""},
		"over data":          {excel.FillSmall, `[` + orders + `}, {"sheet": "Report", "cell": "C7", "rows": [[1]]}]`, `report.template targets[1] (target): overlaps targets[0] (a) on sheet "Report": C7:C7 and B3:C7`},
		"over its header":    {excel.FillSmall, `[` + orders + `}, {"sheet": "Report", "cell": "B4", "rows": [[1]]}]`, "overlaps targets[0]"},
		"over its marker":    {excel.FillSmall, `[` + orders + `}, {"sheet": "Report", "cell": "B3", "rows": [[1]]}]`, "overlaps targets[0]"},
		"pushed apart":       {excel.FillSmall, `[` + orders + `, "insert": "below"}, {"sheet": "Report", "cell": "B6", "rows": [[1]]}]`, ""},
		"pushed from above":  {excel.FillSmall, `[{"sheet": "Report", "cell": "B8", "rows": [[1], [2]]}, ` + orders + `, "insert": "below"}]`, ""},
		"inserts within":     {excel.FillSmall, `[` + orders + `}, {"sheet": "Report", "cell": "F6", "insert": "below", "rows": [[1]]}]`, `inserts rows at row 6 of sheet "Report", within targets[0] (a)`},
		"data sheets":        {excel.FillFromFile, `[{"name": "x", ` + file + `}, {"name": "x", ` + file + `}]`, ""},
		"regions":            {excel.FillFromFile, `[{"mode": "report_region", "cell": "Report!A20", "insert": "replace", ` + file + `}, {"mode": "report_region", "cell": "Report!A21", "insert": "replace", ` + file + `}]`, "overlaps targets[0]"},
		"a data sheet below": {excel.FillFromFile, `[{"name": "x", "insert": "below", ` + file + `}, {"mode": "report_region", "cell": "DATA_x!A2", "insert": "replace", ` + file + `}]`, ""},
	} {
		d := newDesk(t)
		d.template("t.xlsx", report)
		d.write("s.csv", "a,b\n1,2\n3,4\n")
		_, err := d.run(test.id, `{"template_path": "@t.xlsx", "output": "@o.xlsx", "targets": `+test.targets+`}`)
		_, missing := os.Stat(d.path("o.xlsx"))
		switch {
		case test.want == "":
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		case err == nil || !strings.Contains(executors.KindOf(err)+" "+err.Error(), test.want) || !executors.IsPermanent(err):
			t.Errorf("%s: got %v", name, err)
		case missing == nil:
			t.Errorf("%s: there is an output", name)
		}
	}
}

func TestTwoInsertions(t *testing.T) {
	d := newDesk(t)
	d.template("t.xlsx", func(f *excelize.File) {
		report(f)
		_ = f.SetCellValue("Report", "B12", "#SECOND")
		_ = f.SetCellValue("Report", "B13", "Head")
		_ = f.SetCellValue("Report", "B15", "End")
	})
	f, result := d.fill(excel.FillSmall, `[{"anchor": "#SECOND", "insert": "below", "rows": [["x"], ["y"]]}, {"anchor": "#ORDERS", "insert": "below", "rows": [[1], [2], [3]]}]`)
	want := "|Orders\n\n|#ORDERS|||beside\n|Id|What|Price\n|1\n|2\n|3\n|sample\n\n\n|Total\n\n\n\n|#SECOND\n|Head\n|x\n|y\n\n|End"
	if got := grid(t, f, "Report"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if a, b := written(t, result, 0), written(t, result, 1); a != "Report B16 2x1 true" || b != "Report B4 3x1 true" {
		t.Errorf("got %s and %s", a, b)
	}
}

func TestCancel(t *testing.T) {
	d := newDesk(t)
	d.template("t.xlsx", report)
	d.write("s.csv", strings.Repeat("a,b,c\n", 100_000))
	ctx, cancel := context.WithCancelCause(t.Context())
	call := d.call(`{"template_path": "@t.xlsx", "output": "@o.xlsx", "targets": [{"source_path": "@s.csv"}]}`)
	call.Reporter = onProgress{call.Reporter, func() { cancel(executors.ErrCancelled) }}
	if _, err := d.executor(excel.FillFromFile).Run(ctx, call); err != executors.ErrCancelled {
		t.Errorf("got %v", err)
	}
	left, _ := filepath.Glob(d.path("o.xlsx*"))
	if len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

type onProgress struct {
	executors.Reporter
	do func()
}

func (p onProgress) Progress(float64, string) { p.do() }
