package fill_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/xuri/excelize/v2"
)

// TestThePage does what docs/flows/excel.md tells, with the steps of the flow that it is about, and compares the sheets that it shows.
func TestThePage(t *testing.T) {
	page, err := os.ReadFile("../../../docs/flows/excel.md")
	if err != nil {
		t.Fatal(err)
	}
	d := newDesk(t)
	shown := map[string]string{}
	for _, block := range strings.Split(string(page), "```")[1:] {
		head, text, _ := strings.Cut(block, "\n")
		switch kind, name, _ := strings.Cut(head, " "); kind {
		case "csv":
			d.write(name, text)
		case "text":
			shown[name] = strings.TrimSuffix(text, "\n")
		}
	}
	d.template("template.xlsx", func(f *excelize.File) {
		_ = f.SetSheetName("Sheet1", "Report")
		for cell, v := range map[string]any{"A1": "#TOP", "A2": "What", "B2": "Price", "A3": "(sample)", "B3": 0, "A4": "All"} {
			_ = f.SetCellValue("Report", cell, v)
		}
		_ = f.SetCellFormula("Report", "B4", "SUM(DATA_orders!B2:B1000)")
		style, _ := f.NewStyle(&excelize.Style{NumFmt: 2})
		_ = f.SetCellStyle("Report", "B3", "B3", style)
	})
	text, err := os.ReadFile("../../../examples/flows/report.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var flow struct {
		Jobs []struct {
			Steps []struct {
				ID, Type string
				Inputs   map[string]any
			}
		}
	}
	if err := yaml.Unmarshal(text, &flow); err != nil {
		t.Fatal(err)
	}
	for _, step := range flow.Jobs[0].Steps {
		in, _ := json.Marshal(step.Inputs)
		inputs := string(in)
		for _, name := range []string{"template.xlsx", "orders.csv", "raw.xlsx", "report.xlsx"} {
			inputs = strings.ReplaceAll(inputs, `"`+name+`"`, `"@`+name+`"`)
		}
		if _, err := d.run(step.Type, strings.ReplaceAll(inputs, "{{steps.raw.output}}", "@raw.xlsx")); err != nil {
			t.Fatalf("%s: %v", step.ID, err)
		}
	}
	f, err := excelize.OpenFile(d.path("report.xlsx"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for _, sheet := range []string{"DATA_orders", "Report"} {
		if got := grid(t, f, sheet); got != shown[sheet] {
			t.Errorf("%s: got\n%s\nwant\n%s", sheet, got, shown[sheet])
		}
	}
	if got, _ := f.GetCellFormula("Report", "B6"); strings.ReplaceAll(got, "'", "") != "SUM(DATA_orders!B2:B1000)" {
		t.Errorf("the formula is %q", got)
	}
	for cell, want := range map[string]string{"Report!B3": "7.50", "DATA_orders!C2": "2026-05-01"} {
		sheet, at, _ := strings.Cut(cell, "!")
		if got, _ := f.GetCellValue(sheet, at); got != want {
			t.Errorf("%s shows %q, want %q", cell, got, want)
		}
	}
}
