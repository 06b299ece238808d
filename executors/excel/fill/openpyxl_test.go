package fill_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"github.com/taskgrove/taskgrove/executors/excel"
)

// look shows a workbook as openpyxl reads it, which is strict where Excel would offer a repair.
const look = `
import sys, openpyxl
book = openpyxl.load_workbook(sys.argv[1])
for sheet in book.worksheets:
    print(sheet.title, sheet.dimensions, sheet.freeze_panes, sheet.auto_filter.ref, len(sheet._charts), sorted(str(m) for m in sheet.merged_cells.ranges))
    for row in sheet.iter_rows():
        print("|".join("" if c.value is None else c.data_type + " " + str(c.value).replace("\n", "/") for c in row))
print(sorted((name, n.attr_text) for name, n in book.defined_names.items()))
print(book["DATA_o"]["A1"].font.b, book["DATA_o"]["A2"].font.b, book["DATA_o"]["C2"].number_format, book["DATA_o"]["C2"].is_date)
for sheet in openpyxl.load_workbook(sys.argv[1], read_only=True).worksheets:
    print(sheet.title, sum(1 for row in sheet.iter_rows() for c in row if c.value is not None))
`

// TestInteropOpenpyxl reads what was written with another library. It leaves _x005F_ in
// cells whose text is in them, which Excel reads as an underscore. "make interop" runs it.
func TestInteropOpenpyxl(t *testing.T) {
	python := os.Getenv("TASKGROVE_INTEROP_OPENPYXL")
	if python == "" {
		t.Skip("TASKGROVE_INTEROP_OPENPYXL is not set to a python3 that has openpyxl")
	}
	d := newDesk(t)
	d.template("t.xlsx", func(f *excelize.File) {
		report(f)
		_ = f.MergeCell("Report", "F1", "G2")
		if err := f.AddChart("Report", "H1", &excelize.Chart{Type: excelize.Col, Series: []excelize.ChartSeries{{Name: "x", Values: "DATA_o!$A$2:$A$3"}}}); err != nil {
			t.Fatal(err)
		}
	})
	d.write("s.csv", "n,what,day\n1,=1+1,2026-05-01\n2,\"a\nb <&> _x0041_ \",2026-05-02\n")
	d.fill(excel.FillFromFile, `[{"name": "o", "type_cast": "schema", "dtypes": {"n": "int", "day": "date"}, "source_path": "@s.csv"}, {"mode": "report_region", "anchor": "#ORDERS", "style_mode": "copy_row", "source_path": "@s.csv"}]`)
	out, err := exec.CommandContext(t.Context(), python, "-c", look, d.path("out/o.xlsx")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := `Report B1:G10 None None 1 ['F1:G2']
|s Orders|||||

|s #ORDERS|||s beside||
|s Id|s What|s Price|||
|s 1|s =1+1|s 2026-05-01|||
|s 2|s a/b <&> _x005F_x0041_ |s 2026-05-02|||
|s sample|||||


|s Total||f =SUM(D7:D8)|||
DATA_o A1:C3 A2 A1:C3 0 []
s n|s what|s day
n 1|s =1+1|d 2026-05-01 00:00:00
n 2|s a/b <&> _x005F_x0041_ |d 2026-05-02 00:00:00
[('NOWHERE', '1+1'), ('TOTALS', 'Report!$B$10:$D$11')]
True False yyyy-mm-dd True
Report 15
DATA_o 9
`
	trim := func(s string) string {
		lines := strings.Split(s, "\n")
		for i := range lines {
			lines[i] = strings.TrimRight(lines[i], "|")
		}
		return strings.Join(lines, "\n")
	}
	if got := trim(string(out)); got != trim(want) {
		t.Errorf("got\n%s\nwant\n%s", got, trim(want))
	}
}
