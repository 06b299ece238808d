package fill_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/excel"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// Whatever a value looks like, it is written as what it is, or refused: no formula, no markup, nothing lost.
func TestHostileCells(t *testing.T) {
	d := newDesk(t)
	d.template("t.xlsx", report)
	values := []string{
		"=cmd|' /C calc'!A0", "=1+1", "+1", "-1", "@x", "=HYPERLINK(\"http://x\")", "{=1}", "\t=1", "'=1", "<f>1+1</f>", "</t></is></c><c><f>1</f></c>", "]]>", "<![CDATA[x]]>", "&amp;&lt;&#0;",
		"\x00\x01\x08\x1f", "_x0041_", "_x005F_x0041_", "_x000", "\ufffe\uffff", "\u202e\u200f", "\r\n\n\r", "  spaces  ", "\U0001F600 é ß", strings.Repeat("y", excel.MaxCellUnits), "\u00a0", "\"',;", "true", "1e5", "2026-01-01",
	}
	for _, value := range values {
		rows, _ := json.Marshal([][]string{{value, value}})
		columns, _ := json.Marshal([]string{value, value})
		rows, columns = bytes.ReplaceAll(rows, []byte("@"), []byte(`\u0040`)), bytes.ReplaceAll(columns, []byte("@"), []byte(`\u0040`)) // which is no path
		f, _ := d.fill(excel.FillSmall, `[{"cell": "Report!H1", "header_mode": "append", "columns": `+string(columns)+`, "rows": `+string(rows)+`}]`)
		for _, cell := range []string{"H1", "I1", "H2", "I2"} {
			got, err := f.GetCellValue("Report", cell, excelize.Options{RawCellValue: true})
			formula, _ := f.GetCellFormula("Report", cell)
			typ, _ := f.GetCellType("Report", cell)
			if want := value; err != nil || got != want && len(want) < 100 && !strings.ContainsAny(want, "\x00\r\ufffe") || formula != "" || typ != excelize.CellTypeInlineString {
				t.Errorf("%.60q: %s is %.60q, formula %q, type %v, %v", value, cell, got, formula, typ, err)
			}
		}
		raw := part(t, d.path("out/o.xlsx"), "Report", f)
		if n := strings.Count(raw, "<f>"); n != 1 || strings.ContainsAny(raw, "\x00\x01\x08") {
			t.Errorf("%.60q: %d formulas", value, n)
		}
	}
	long, _ := json.Marshal(strings.Repeat("x", excel.MaxCellUnits+1))
	astral, _ := json.Marshal(strings.Repeat("\U0001F600", excel.MaxCellUnits/2+1))
	for _, value := range []string{string(long), string(astral)} {
		for _, target := range []string{`"rows": [[1, 2], [3, ` + value + `]]`, `"header_mode": "append", "rows": [[1]], "columns": ["a", ` + value + `]`} {
			if _, err := d.run(excel.FillSmall, `{"template_path": "@t.xlsx", "output": "@o.xlsx", "targets": [{"cell": "Report!H1", `+target+`}]}`); err == nil ||
				!strings.Contains(err.Error(), "column 2 has more than 32767 characters") || !executors.IsPermanent(err) || len(err.Error()) > 1000 {
				t.Errorf("got %.300v", err)
			}
		}
	}
}

// Names of sheets that Excel refuses are refused here, too.
func TestHostileNames(t *testing.T) {
	d := newDesk(t)
	d.template("t.xlsx", report)
	d.write("s.csv", "a\n1\n")
	for _, name := range []string{
		strings.Repeat("x", 32), strings.Repeat("\U0001F600", 16), "a:b", `a\b`, "a/b", "a?b", "a*b", "a[b", "a]b", "'a", "a'", "history", "a\x00b", "a\nb", "a\ufffeb", "../../etc/passwd", "a\x1bb", "*", "[1]x", "C:\\x",
	} {
		quoted, _ := json.Marshal(name)
		_, err := d.run(excel.FillFromFile, `{"template_path": "@t.xlsx", "output": "@o.xlsx", "targets": [{"sheet": `+string(quoted)+`, "source_path": "@s.csv"}]}`)
		if err == nil || !strings.Contains(err.Error(), "[excel_fill_from_file] targets[0].sheet ") || !executors.IsPermanent(err) {
			t.Errorf("%q: got %v", name, err)
		}
	}
	for _, name := range []string{strings.Repeat("x", 31), strings.Repeat("\U0001F600", 15), "=1+1", "a!b", "it's", "ä & <b>", "  ", "#REF!", "1", "A1"} {
		quoted, _ := json.Marshal(name)
		f, _ := d.fill(excel.FillFromFile, `[{"sheet": `+string(quoted)+`, "source_path": "@s.csv"}]`)
		if got := grid(t, f, name); got != "a\n1" {
			t.Errorf("%q: got %q", name, got)
		}
	}
	if _, err := d.run(excel.FillFromFile, `{"template_path": "@t.xlsx", "output": "@o.xlsx", "targets": [{"name": "with a long name that does not fit", "source_path": "@s.csv"}]}`); err == nil || !strings.Contains(err.Error(), "Excel allows 31") {
		t.Errorf("got %v", err)
	}
}

// Paths stay in the directories that the task may use.
func TestPaths(t *testing.T) {
	d := newDesk(t)
	d.template("t.xlsx", report)
	d.write("s.csv", "a\n1\n")
	outside := newDesk(t)
	outside.template("t.xlsx", report)
	outside.write("s.csv", "a\n1\n")
	for link, to := range map[string]string{"out.xlsx": outside.path("t.xlsx"), "outside": outside.dir, "loop": d.path("loop"), "same.xlsx": d.path("t.xlsx")} {
		if err := os.Symlink(to, d.path(link)); err != nil {
			t.Fatal(err)
		}
	}
	_ = os.Mkdir(d.path("dir.xlsx"), 0o700)
	_ = os.Link(d.path("t.xlsx"), d.path("hard.xlsx"))
	before, _ := os.ReadFile(outside.path("t.xlsx"))
	for _, paths := range [][3]string{
		{"../t.xlsx", "@o.xlsx", "@s.csv"}, {outside.path("t.xlsx"), "@o.xlsx", "@s.csv"}, {"@out.xlsx", "@o.xlsx", "@s.csv"}, {"@outside/t.xlsx", "@o.xlsx", "@s.csv"},
		{"@t.xlsx", "../o.xlsx", "@s.csv"}, {"@t.xlsx", outside.path("o.xlsx"), "@s.csv"}, {"@t.xlsx", "@outside/o.xlsx", "@s.csv"}, {"@t.xlsx", "/etc/o.xlsx", "@s.csv"},
		{"@t.xlsx", "@o.xlsx", "/etc/passwd"}, {"@t.xlsx", "@o.xlsx", "@outside/s.csv"}, {"@t.xlsx", "@o.xlsx", "../../s.csv"}, {"@t.xlsx", "@o.xlsx", "@nothing.csv"},
		{"@loop", "@o.xlsx", "@s.csv"}, {"@t.xlsx", "@loop/o.xlsx", "@s.csv"}, {"@.", "@o.xlsx", "@s.csv"}, {"/dev/zero", "@o.xlsx", "@s.csv"}, {"@t.xlsx", "@dir.xlsx", "@s.csv"},
		{"@t.xlsx", "@t.xlsx", "@s.csv"}, {"@t.xlsx", "@./t.xlsx", "@s.csv"}, {"@same.xlsx", "@t.xlsx", "@s.csv"}, {"@t.xlsx", "@hard.xlsx", "@s.csv"}, {"@t.xlsx", "@o.csv", "@s.csv"}, {"@t.xlsx", "", "@s.csv"}, {"@t.xlsx", "@o.xlsx", "@s.csv/x"},
	} {
		in, _ := json.Marshal(map[string]any{"template_path": paths[0], "output": paths[1], "targets": []any{map[string]any{"name": "x", "source_path": paths[2]}}})
		if _, err := d.run(excel.FillFromFile, string(in)); err == nil || !executors.IsPermanent(err) {
			t.Errorf("%q: got %v", paths, err)
		}
	}
	if err := os.Symlink(outside.path("t.xlsx"), d.path("o2.xlsx.tmp")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.run(excel.FillFromFile, `{"template_path": "@t.xlsx", "output": "@o2.xlsx", "targets": [{"source_path": "@s.csv"}]}`); err != nil {
		t.Error(err)
	}
	if after, _ := os.ReadFile(outside.path("t.xlsx")); !bytes.Equal(before, after) {
		t.Error("a file outside was changed")
	}
	if left, _ := filepath.Glob(outside.path("*o.xlsx*")); len(left) > 0 {
		t.Errorf("%v is outside", left)
	}
	_, err := d.run(excel.FillFromFile, `{"template_path": "../t.xlsx", "output": "@o.xlsx", "targets": [{"source_path": "@s.csv"}]}`)
	if executors.KindOf(err) != workdir.KindEscape {
		t.Errorf("got %v", err)
	}
}

// zipped makes a zip file.
func zipped(parts map[string]string) string {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, content := range parts {
		f, _ := w.Create(name)
		_, _ = f.Write([]byte(content))
	}
	_ = w.Close()
	return b.String()
}

// Templates that are none, or that somebody made to do harm.
func TestHostileTemplates(t *testing.T) {
	d := newDesk(t)
	d.template("t.xlsx", report)
	d.write("s.csv", "a\n1\n")
	good := parts(t, d.path("t.xlsx"))
	with := func(changed map[string]string) string {
		all := map[string]string{}
		for name, content := range good {
			all[name] = content
		}
		for name, content := range changed {
			all[name] = content
		}
		return zipped(all)
	}
	sheet := func(rows string) string {
		return with(map[string]string{"xl/worksheets/sheet1.xml": `<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>` + rows + `</sheetData></worksheet>`})
	}
	wide := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `<row r="%d"><c r="XFD%d"><v>1</v></c></row>`, i+1, i+1)
		}
		return b.String()
	}
	var twice bytes.Buffer
	w := zip.NewWriter(&twice)
	for range 2 {
		f, _ := w.Create("xl/workbook.xml")
		_, _ = f.Write([]byte(good["xl/workbook.xml"]))
	}
	_ = w.Close()
	whole, _ := os.ReadFile(d.path("t.xlsx"))
	for name, content := range map[string]string{
		"empty": "", "text": "id,name\n1,x\n", "html": "<html>", "PDF": "%PDF-1.7", "an older Excel's": "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + strings.Repeat("\x00", 1000),
		"half": string(whole[:len(whole)/2]), "a zip of nothing": zipped(nil), "a zip of something": zipped(map[string]string{"a.txt": "x"}),
		"a bomb of zeros":        with(map[string]string{"xl/media/image1.png": strings.Repeat("\x00", 300<<20)}),
		"a bomb of XML":          with(map[string]string{"xl/x.xml": "<a>" + strings.Repeat(" ", 100<<20) + "</a>"}),
		"too many elements":      with(map[string]string{"xl/sharedStrings.xml": "<sst>" + strings.Repeat("<si/>", 3_000_001) + "</sst>"}),
		"nested deeply":          with(map[string]string{"xl/x.xml": strings.Repeat("<a>", 2000)}),
		"entities":               with(map[string]string{"xl/workbook.xml": `<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><workbook>&b;</workbook>`}),
		"an entity of a file":    with(map[string]string{"xl/styles.xml": `<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><styleSheet>&a;</styleSheet>`}),
		"cells far to the right": sheet(wide(300)),
		"a row that is none":     sheet(`<row r="1048577"><c r="A1048577"><v>1</v></c></row>`),
		"a row below zero":       sheet(`<row r="-5"/>`),
		"a cell that is none":    sheet(`<row r="1"><c r="1A"><v>1</v></c></row>`),
		"a column that is none":  sheet(`<row r="1"><c r="ZZZ1"><v>1</v></c></row>`),
		"a part outside":         with(map[string]string{"../../evil.xml": "<a/>"}),
		"an absolute part":       with(map[string]string{"/etc/evil.xml": "<a/>"}),
		"a part of Windows":      with(map[string]string{`..\evil.xml`: "<a/>"}),
		"two parts of one name":  twice.String(),
		"broken XML":             with(map[string]string{"xl/workbook.xml": "<workbook"}),
		"UTF-16":                 with(map[string]string{"xl/workbook.xml": "\xff\xfe<\x00w\x00>\x00"}),
		"no sheets":              with(map[string]string{"xl/workbook.xml": `<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheets/></workbook>`}),
	} {
		d.write("bad.xlsx", content)
		for _, id := range []string{excel.ValidateTemplate, excel.FillFromFile} {
			in := `{"template_path": "@bad.xlsx", "output": "@o.xlsx", "required_names": ["x"], "targets": [{"source_path": "@s.csv"}]}`
			if _, err := d.run(id, in); err == nil || executors.KindOf(err) != excel.KindTemplate || !executors.IsPermanent(err) {
				t.Errorf("%s: %s: got %v", name, id, err)
			}
		}
	}
	if _, err := os.Stat(d.path("o.xlsx")); err == nil {
		t.Error("there is an output")
	}
	for i := 0; i < len(whole); i += 397 { // whatever else is wrong, it is an error and no panic
		bad := append([]byte(nil), whole...)
		bad[i] ^= 0xff
		d.write("bad.xlsx", string(bad))
		_, err := d.run(excel.FillFromFile, `{"template_path": "@bad.xlsx", "output": "@flipped.xlsx", "targets": [{"source_path": "@s.csv"}]}`)
		if err != nil && !executors.IsPermanent(err) {
			t.Errorf("byte %d: %v", i, err)
		}
	}
	// Parts that this does not read are kept: links to other workbooks, macros.
	d.write("odd.xlsm", with(map[string]string{"xl/vbaProject.bin": "macros", "xl/externalLinks/externalLink1.xml": `<externalLink xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"/>`}))
	if _, err := d.run(excel.FillFromFile, `{"template_path": "@odd.xlsm", "output": "@odd.xlsx", "targets": [{"source_path": "@s.csv"}]}`); err == nil || !strings.Contains(err.Error(), "output must end in .xlsm, as the template has macros") {
		t.Errorf("got %v", err)
	}
	if _, err := d.run(excel.FillFromFile, `{"template_path": "@odd.xlsm", "output": "@kept.xlsm", "targets": [{"source_path": "@s.csv"}]}`); err != nil {
		t.Fatal(err)
	}
	kept := parts(t, d.path("kept.xlsm"))
	if kept["xl/vbaProject.bin"] != "macros" || kept["xl/externalLinks/externalLink1.xml"] == "" || !strings.Contains(kept["[Content_Types].xml"], "application/vnd.ms-excel.sheet.macroEnabled.main+xml") {
		t.Errorf("got %.1000s", kept["[Content_Types].xml"])
	}
}

// Source files that are not what they should be.
func TestHostileSources(t *testing.T) {
	d := newDesk(t)
	d.template("t.xlsx", report)
	for name, test := range map[string]struct{ content, options, want string }{
		"not UTF-8":           {"a\n\xff\xfe\n", "", "line 2 is not text in the encoding"},
		"not UTF-8 above":     {"\xff\n", "", "line 1 is not text in the encoding"},
		"an open quote":       {"a\n1\n\"2\n3\n", "", "line 3 begins a quote that never ends"},
		"a field too long":    {"a\n" + strings.Repeat("x", 300_000), "", "line 2 has a field of more than"},
		"too many columns":    {"a\n" + strings.Repeat(",", 20_000), "", "line 2 has more than 16384 columns"},
		"no such encoding":    {"a\n", `, "encoding": "klingon"`, "encoding \"klingon\" is unknown"},
		"UTF-16 without mark": {"a\n1", `, "encoding": "utf-16"`, "is not text"},
		"no number":           {"\"a\"\nx\n", `, "quoting": "nonnumeric"`, "line 2 has \"x\" outside of quotes"},
		"no Parquet":          {"a\n1\n", `, "source_format": "parquet"`, "is no Parquet file"},
		"a cell too long":     {"a\n" + strings.Repeat("x", 32_768), "", "row 1, column 1 has more than 32767"},
	} {
		d.write("s.csv", test.content)
		_, err := d.run(excel.FillFromFile, `{"template_path": "@t.xlsx", "output": "@o.xlsx", "targets": [{"source_path": "@s.csv"`+test.options+`}]}`)
		if test.want == "is not text" { // without a mark the bytes are another text
			continue
		}
		if err == nil || !strings.Contains(err.Error(), test.want) || !executors.IsPermanent(err) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// All faults come at once, and name their fields.
func TestFaults(t *testing.T) {
	d := newDesk(t)
	d.template("t.xlsx", report)
	for in, wants := range map[string][]string{
		`{"template_path": "@t.xlsx", "output": "o.pdf", "targets": [{"cell": "A1", "anchor": "x", "rows": 5, "header_mode": "new", "insert": "above", "max_rows": -1, "dtypes": {"a": "blob"}, "type_cast": "guess", "achor": 1, "header_clear": "maybe"}, 5]}`: {"output must end in .xlsx or .xlsm", "targets must be a list of objects"},
		`{"template_path": "@t.xlsx", "output": "o.xlsx", "targets": [{"cell": "A1", "anchor": "x", "rows": 5, "header_mode": "new", "insert": "above", "max_rows": -1, "dtypes": {"a": "blob"}, "type_cast": "guess", "achor": 1, "header_clear": "maybe"}, {"rows_json": "[1]"}]}`: {
			"targets[0].anchor and cell must not both be there", "targets[0].rows must be a list of lists", `targets[0].header_mode must be template or override or append, not "new"`, "targets[0].insert must be replace or below", "targets[0].max_rows must be a whole number from 0 to",
			`targets[0].dtypes: the type of "a" must be string, int`, "targets[0].type_cast must be", "targets[0].achor is no key of a target", "targets[0].header_clear must be true or false", "targets[1].rows_json must be a list of lists", "targets[1].anchor or cell is required"},
		`{"template_path": "@t.xlsx", "output": "o.xlsx", "targets": []}`: {"targets must have one at least"},
		`{"template_path": "@t.xlsx", "output": "o.xlsx", "targets": [{"anchor": "nowhere", "rows": []}, {"cell": "None!A1", "rows": []}, {"anchor": "missing", "sheet": "Report", "rows": []}, {"cell": "Report!A0", "rows": []}]}`: {
			`targets[0] (target): the defined name "nowhere" stands for no cell`, `targets[1] (target): there is no sheet "None"`, `targets[2] (target): anchor "missing" is neither a defined name nor the text of a cell in sheet "Report"`, `targets[3] (target): cell "Report!A0" is none`},
	} {
		_, err := d.run(excel.FillSmall, in)
		for _, want := range wants {
			if err == nil || !strings.Contains(err.Error(), want) || !executors.IsPermanent(err) {
				t.Errorf("got %v, want %s", err, want)
			}
		}
	}
}

func TestValidate(t *testing.T) {
	d := newDesk(t)
	d.template("t.xlsx", report)
	for names, want := range map[string]string{
		`["TOTALS", " #orders"]`:   `{"found_anchor_cells":[{"cell":"B3","name":" #orders","sheet":"Report"}],"found_named_ranges":["TOTALS"],"template_ok":true}`,
		`"totals, Price"`:          `{"found_anchor_cells":[{"cell":"D4","name":"Price","sheet":"Report"}],"found_named_ranges":["totals"],"template_ok":true}`,
		`"[\"Price\"]"`:            `{"found_anchor_cells":[{"cell":"D4","name":"Price","sheet":"Report"}],"found_named_ranges":[],"template_ok":true}`,
		`["TOTALS", "no", "nor"]`:  `template_path: "no", "nor": neither a defined name nor the text of a cell`,
		`[]`:                       "required_names must be 1 to 1000",
		`["a", ""]`:                "required_names must be 1 to 1000",
		`5`:                        "required_names must be a list of texts",
		`["Price"], "sheet": "No"`: `there is no sheet "No"`,
	} {
		result, err := d.run(excel.ValidateTemplate, `{"template_path": "@t.xlsx", "required_names": `+names+`}`)
		got, _ := json.Marshal(result)
		if err != nil {
			got = []byte(err.Error())
		}
		if !strings.Contains(string(got), want) {
			t.Errorf("%s: got %s, want %s", names, got, want)
		}
	}
	d.enterprise = true
	for _, in := range []string{`"required_names": ["Price"]`, `"required_names": ["TOTALS", "Price"]`} {
		if _, err := d.run(excel.ValidateTemplate, `{"template_path": "@t.xlsx", `+in+`}`); err == nil || !strings.Contains(err.Error(), "sheet is required") {
			t.Errorf("got %v", err)
		}
	}
	for target, ok := range map[string]bool{`"anchor": "#ORDERS"`: false, `"anchor": "#ORDERS", "sheet": "Report"`: true, `"anchor": "TOTALS"`: true, `"anchor": "Report!A1"`: true} {
		if _, err := d.run(excel.FillSmall, `{"template_path": "@t.xlsx", "output": "@o.xlsx", "targets": [{"rows": [[1]], `+target+`}]}`); (err == nil) != ok {
			t.Errorf("%s: got %v", target, err)
		}
	}
}
