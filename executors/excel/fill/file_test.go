package fill_test

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/xuri/excelize/v2"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/excel"
)

// Modes, headers and their defaults.
func TestFromFile(t *testing.T) {
	const top = "|Orders\n\n|#ORDERS|||beside\n|Id|What|Price\n"
	for name, test := range map[string]struct {
		source, target, sheet, want, written string
	}{
		"a data sheet": {
			"a,b\n1,x\n2,y\n", `{"name": "o", "source_path": "@s.csv"}`, "DATA_o", "a|b\n1|x\n2|y", "DATA_o A1 3x2 false",
		},
		"with another prefix": {
			"a,b\n1,x\n", `{"name": "o", "data_sheet_prefix": "RAW ", "source_path": "@s.csv"}`, "RAW o", "a|b\n1|x", "RAW o A1 2x2 false",
		},
		"in a sheet that is there": {
			"a,b\n1,x\n", `{"sheet": "report", "cell": "B3", "source_path": "@s.csv"}`, "Report", "|Orders\n\n|a|b||beside\n|1|x|Price\n|sample\n\n\n|Total", "Report B3 2x2 false",
		},
		"without a header": {
			"1,x\n2,y", `{"name": "o", "read_header": false, "source_path": "@s.csv"}`, "DATA_o", "1|x\n2|y", "DATA_o A1 2x2 false",
		},
		"with a header from elsewhere": {
			"1,x\n2,y", `{"name": "o", "read_header": "no", "columns_json": "[\"p\", \"q\"]", "source_path": "@s.csv"}`, "DATA_o", "p|q\n1|x\n2|y", "DATA_o A1 3x2 false",
		},
		"the older include_header": {
			"1,x\n2,y", `{"name": "o", "include_header": false, "source_path": "@s.csv"}`, "DATA_o", "1|x\n2|y", "DATA_o A1 2x2 false",
		},
		"a header that is read and not written": {
			"a,b\n1,x\n", `{"name": "o", "header_mode": "template", "source_path": "@s.csv"}`, "DATA_o", "1|x", "DATA_o A1 1x2 false",
		},
		"a region": {
			"a,b\n1,x\n2,y\n", `{"mode": "report_region", "anchor": "#ORDERS", "source_path": "@s.csv"}`, "Report", top + "|1|x\n|2|y\n|sample\n\n\n|Total", "Report B4 2x2 true",
		},
		"a region of a cell": {
			"a,b\n1,x\n", `{"mode": "report_region", "sheet": "Report", "cell": "B5", "source_path": "@s.csv"}`, "Report", top + "|1|x\n|sample\n\n\n|Total", "Report B5 1x2 false",
		},
		"a region that has as many rows as it may": {
			"a,b\n1,x\n2,y\n", `{"mode": "report_region", "anchor": "#ORDERS", "rows_threshold": 2, "source_path": "@s.csv"}`, "Report", top + "|1|x\n|2|y\n|sample\n\n\n|Total", "Report B4 2x2 true",
		},
		"or more": {
			"a,b\n1,x\n2,y\n", `{"mode": "report_region", "anchor": "#ORDERS", "rows_threshold": 1, "fail_on_threshold": false, "insert": "replace", "source_path": "@s.csv"}`, "Report", top + "|1|x\n|2|y\n\n|Total", "Report B4 2x2 true",
		},
		"counted exactly": {
			"a,b\n1,\"x\n\n\n\"\n", `{"mode": "report_region", "anchor": "#ORDERS", "rows_threshold": 1, "count_mode": "csv_parse", "source_path": "@s.csv"}`, "Report", top + "|1|x\n\n\n\n|sample\n\n\n|Total", "Report B4 1x2 true",
		},
		"tab separated": {
			"a\tb\n1\t\"x\ty\"\n", `{"name": "o", "source_path": "@s.tsv"}`, "DATA_o", "a|b\n1|x\ty", "DATA_o A1 2x2 false",
		},
		"another suffix is tab separated": {
			"a\tb\n1\tx,y\n", `{"name": "o", "source_path": "@s.dat"}`, "DATA_o", "a|b\n1|x,y", "DATA_o A1 2x2 false",
		},
		"a dialect": {
			"a;b\r\n'1;''2';x\\;y\r\n", `{"name": "o", "source_path": "@s.csv", "delimiter": ";", "file": {"quotechar": "'", "escapechar": "\\"}}`, "DATA_o", "a|b\n1;'2|x;y", "DATA_o A1 2x2 false",
		},
		"no quotes": {
			"a,b\n\"1,2\"\n", `{"name": "o", "source_path": "@s.csv", "quoting": "none"}`, "DATA_o", "a|b\n\"1|2\"", "DATA_o A1 2x2 false",
		},
		"numbers are what is not quoted": {
			"\"a\",b\n1.50,\"2\"\n", `{"name": "o", "source_path": "@s.csv", "quoting": "nonnumeric"}`, "DATA_o", "a|b\n1.5|2", "DATA_o A1 2x2 false",
		},
		"quotes are not doubled": {
			"a,b\n\"1\"\"2\",x\n", `{"name": "o", "source_path": "@s.csv", "doublequote": false}`, "DATA_o", "a|b\n1\"2\"|x", "DATA_o A1 2x2 false",
		},
		"a mark at the beginning": {
			"\ufeffa,b\n1,x\n", `{"name": "o", "source_path": "@s.csv"}`, "DATA_o", "a|b\n1|x", "DATA_o A1 2x2 false",
		},
		"UTF-16": {
			"\xff\xfea\x00,\x00\xe9\x00\n\x001\x00,\x002\x00", `{"name": "o", "source_path": "@s.csv", "encoding": "utf-16"}`, "DATA_o", "a|é\n1|2", "DATA_o A1 2x2 false",
		},
		"Windows": {
			"a,\xe9\n1,\x80\n", `{"name": "o", "source_path": "@s.csv", "encoding": "cp1252"}`, "DATA_o", "a|é\n1|€", "DATA_o A1 2x2 false",
		},
		"Macintosh's line breaks": {
			"a,b\r1,x\r2,y\r", `{"mode": "report_region", "linefeed": "\r", "anchor": "#ORDERS", "rows_threshold": 2, "source_path": "@s.csv"}`, "Report", top + "|1|x\n|2|y\n|sample\n\n\n|Total", "Report B4 2x2 true",
		},
		"blank lines are rows": {
			"a,b\n\n1,x\n\n", `{"name": "o", "source_path": "@s.csv"}`, "DATA_o", "a|b\n\n1|x", "DATA_o A1 4x2 false",
		},
		"an empty file":        {"", `{"name": "o", "source_path": "@s.csv"}`, "DATA_o", "", "DATA_o A1 0x0 false"},
		"a header and no rows": {"a,b", `{"name": "o", "source_path": "@s.csv"}`, "DATA_o", "a|b", "DATA_o A1 1x2 false"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.template("t.xlsx", report)
			for _, suffix := range []string{"csv", "tsv", "dat"} {
				d.write("s."+suffix, test.source)
			}
			f, result := d.fill(excel.FillFromFile, "["+test.target+"]")
			if got := grid(t, f, test.sheet); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
			if got := written(t, result, 0); got != test.written {
				t.Errorf("got %s, want %s", got, test.written)
			}
		})
	}
}

func TestTooLarge(t *testing.T) {
	d := newDesk(t)
	d.template("t.xlsx", report)
	d.write("s.csv", "a,b\n1,\"x\ny\"\n2,z")
	d.write("long.csv", strings.Repeat("\n", excel.MaxRow+1))
	d.write("wide.csv", strings.Repeat(",", excel.MaxCol))
	for targets, want := range map[string]string{
		`"mode": "report_region", "rows_threshold": 2, "source_path": "@s.csv"`:                            `"@s.csv" has 3 rows of data, and the region's threshold is 2`,
		`"mode": "report_region", "rows_threshold": 1, "count_mode": "csv_parse", "source_path": "@s.csv"`: "has 2 rows of data, and the region's threshold is 1",
		`"mode": "report_region", "rows_threshold": 2, "row_count": "3", "source_path": "@s.csv"`:          "has 3 rows of data, and the region's threshold is 2",
		`"mode": "report_region", "rows_threshold": 1, "row_count": 1, "source_path": "@s.csv"`:            "has 2 rows of data, and the region's threshold is 1",
		`"read_header": false, "source_path": "@long.csv"`:                                                 "more than 1048576 rows",
		`"read_header": false, "cell": "A1048576", "source_path": "@s.csv"`:                                "it would end in row 1048578",
		`"read_header": false, "cell": "XFD1", "source_path": "@s.csv"`:                                    "it would end in row 3 and column 16385",
	} {
		cell := `"cell": "A1", `
		if strings.Contains(targets, "cell") {
			cell = ""
		}
		_, err := d.run(excel.FillFromFile, `{"template_path": "@t.xlsx", "output": "@o.xlsx", "targets": [{"sheet": "Report", `+cell+targets+`}]}`)
		if want = strings.ReplaceAll(want, "@", d.dir+"/"); err == nil || !strings.Contains(err.Error(), want) || executors.KindOf(err) != excel.KindTooLarge || !executors.IsPermanent(err) {
			t.Errorf("%s: got %v (%s)", targets, err, executors.KindOf(err))
		}
	}
	if _, err := d.run(excel.FillFromFile, `{"template_path": "@t.xlsx", "output": "@o.xlsx", "targets": [{"source_path": "@wide.csv"}]}`); executors.KindOf(err) != excel.KindSource {
		t.Errorf("got %v", err)
	}
	for targets, want := range map[string]string{
		`"max_rows": 1`:                 "max_rows is 1, and there are 2",
		`"max_rows": 5, "row_count": 6`: "max_rows is 5, and there are 6",
		`"max_total_rows": 2, "header_mode": "append", "columns": ["a"]`: "max_total_rows is 2, and there are 3",
		`"max_cols": "1"`: "max_cols is 1, and there are 2",
	} {
		_, err := d.run(excel.FillSmall, `{"template_path": "@t.xlsx", "output": "@o.xlsx", "targets": [{"cell": "Report!A1", "rows": [[1], [2, 3]], `+targets+`}]}`)
		if err == nil || !strings.Contains(err.Error(), want) || executors.KindOf(err) != excel.KindTooLarge {
			t.Errorf("%s: got %v", targets, err)
		}
	}
	if _, err := os.Stat(d.path("o.xlsx")); err == nil {
		t.Error("there is an output")
	}
}

type record struct {
	I    int64     `parquet:"i"`
	Huge int64     `parquet:"huge"`
	F    float64   `parquet:"f"`
	G    float32   `parquet:"g"`
	B    bool      `parquet:"b"`
	S    *string   `parquet:"s,optional"`
	D    int32     `parquet:"d,date"`
	At   time.Time `parquet:"at,timestamp(millisecond)"`
	M    int64     `parquet:"m,decimal(2:10)"`
}

func TestParquet(t *testing.T) {
	d := newDesk(t)
	d.template("t.xlsx", report)
	x := "x"
	at := time.Date(2026, 1, 2, 6, 0, 0, 0, time.UTC)
	rows := []record{{1, 1 << 60, 1.5, 0.1, true, &x, 20455, at, 12345}, {-1, 2, math.NaN(), 2, false, nil, 20456, at, -5}}
	if err := parquet.WriteFile(d.path("s.parquet"), rows); err != nil {
		t.Fatal(err)
	}
	f, result := d.fill(excel.FillFromFile, `[{"name": "p", "source_path": "@s.parquet"}]`)
	// The columns come in the file's order.
	want := "i|huge|f|g|b|s|d|at|m\n1|1152921504606846976|1.5|0.1|1|x|46024|46024.25|123.45\n-1|2|NaN|2|0||46025|46024.25|-0.05"
	if got := grid(t, f, "DATA_p"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got, _ := f.GetCellValue("DATA_p", "G2"); got != "2026-01-02" {
		t.Errorf("a date is shown as %s", got)
	}
	if got := written(t, result, 0); got != "DATA_p A1 3x9 false" {
		t.Errorf("got %s", got)
	}
	content, _ := os.ReadFile(d.path("s.parquet"))
	for i := 0; i < len(content); i += 131 { // whatever is wrong with a file, it is an error and no panic
		bad := append([]byte(nil), content...)
		bad[i] ^= 0xff
		d.write("bad.parquet", string(bad))
		if _, err := d.run(excel.FillFromFile, `{"template_path": "@t.xlsx", "output": "@o.xlsx", "targets": [{"source_path": "@bad.parquet"}]}`); err != nil && executors.KindOf(err) != excel.KindSource {
			t.Errorf("byte %d: %v", i, err)
		}
	}
	for _, bad := range []string{"", "PAR1", "PAR1PAR1PAR1PAR1", string(content[:len(content)/2]), "PAR1\xff\xff\xff\xffPAR1", string(content[:len(content)-8]) + "\x00\x00\x00\x00PAR1"} {
		d.write("bad.parquet", bad)
		if _, err := d.run(excel.FillFromFile, `{"template_path": "@t.xlsx", "output": "@o.xlsx", "targets": [{"source_path": "@bad.parquet"}]}`); executors.KindOf(err) != excel.KindSource {
			t.Errorf("%q: %v", bad[:min(len(bad), 20)], err)
		}
	}
	type nested struct {
		L []int64 `parquet:"l,list"`
	}
	if err := parquet.WriteFile(d.path("bad.parquet"), []nested{{[]int64{1}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.run(excel.FillFromFile, `{"template_path": "@t.xlsx", "output": "@o.xlsx", "targets": [{"source_path": "@bad.parquet"}]}`); err == nil || !strings.Contains(err.Error(), `column "l" is nested`) {
		t.Errorf("got %v", err)
	}
}

// The extras of a data sheet: the header is bold, in view and has a filter; its font stays otherwise.
func TestDataSheetLooks(t *testing.T) {
	d := newDesk(t)
	d.template("t.xlsx", func(f *excelize.File) {
		report(f)
		_, _ = f.NewSheet("DATA_o")
		color := "FF8800"
		_ = f.SetSheetProps("DATA_o", &excelize.SheetPropsOptions{TabColorRGB: &color})
		style, _ := f.NewStyle(&excelize.Style{Font: &excelize.Font{Family: "Courier New", Size: 9, Italic: true}, Fill: excelize.Fill{Type: "pattern", Pattern: 1, Color: []string{"DDEEFF"}}})
		_ = f.SetCellStyle("DATA_o", "A1", "B1", style)
		_ = f.SetCellFormula("DATA_o", "D2", "A2*2")
		_ = f.SetColWidth("DATA_o", "A", "A", 33)
	})
	d.write("s.csv", "a,b,c\n1,x,y\n2,y,z\n")
	f, _ := d.fill(excel.FillFromFile, `[{"name": "o", "type_cast": "basic", "source_path": "@s.csv"}, {"name": "plain", "freeze_panes": false, "autofilter": false, "header_bold": false, "source_path": "@s.csv"}]`)
	font := func(sheet, cell string) string {
		id, _ := f.GetCellStyle(sheet, cell)
		s, _ := f.GetStyle(id)
		if s.Font == nil {
			return "none"
		}
		return fmt.Sprint(s.Font.Family, " ", s.Font.Size, " ", s.Font.Bold, " ", s.Font.Italic, " ", s.Fill.Color)
	}
	if got := font("DATA_o", "A1"); got != "Courier New 9 true true [DDEEFF]" {
		t.Errorf("got %s", got)
	}
	if got := font("DATA_o", "C1"); !strings.Contains(got, " true false ") {
		t.Errorf("got %s", got)
	}
	if a, b := font("DATA_o", "A2"), font("DATA_plain", "A1"); strings.Contains(a+b, "true") {
		t.Errorf("got %s and %s", a, b)
	}
	panes, _ := f.GetPanes("DATA_o")
	if !panes.Freeze || panes.YSplit != 1 || panes.XSplit != 0 || panes.TopLeftCell != "A2" {
		t.Errorf("got %+v", panes)
	}
	if panes, _ := f.GetPanes("DATA_plain"); panes.Freeze {
		t.Errorf("got %+v", panes)
	}
	props, _ := f.GetSheetProps("DATA_o")
	if props.TabColorRGB == nil || !strings.HasSuffix(*props.TabColorRGB, "FF8800") {
		t.Error("the tab has lost its colour")
	}
	if got, _ := f.GetCellFormula("DATA_o", "D2"); got != "A2*2" {
		t.Errorf("the formula beside is %q", got)
	}
	if got, _ := f.GetColWidth("DATA_o", "A"); got != 33 {
		t.Errorf("the column is %v wide", got)
	}
	xml := part(t, d.path("out/o.xlsx"), "DATA_o", f)
	if !strings.Contains(xml, `<autoFilter ref="A1:C3">`) {
		t.Errorf("no filter: %.2000s", xml)
	}
}
