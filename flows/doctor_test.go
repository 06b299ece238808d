package flows_test

import (
	"slices"
	"testing"

	"github.com/taskgrove/taskgrove/flows"
)

// TestReportGuards: regions of reports whose rows nobody bounds are warned of where a flow is examined, and nowhere else.
func TestReportGuards(t *testing.T) {
	const text = `
flow: {id: f}
jobs:
- id: a
  steps:
  - id: s
    type: excel_fill_from_file
    inputs:
      template_path: t.xlsx
      output: o.xlsx
      targets:
      - {mode: report_region, source_path: a.csv, sheet: A, cell: A1}
      - {mode: report_region, source_path: a.csv, sheet: B, cell: A1, rows_threshold: 10}
      - {mode: report_region, source_path: a.csv, sheet: C, cell: A1, rows_threshold: 10, fail_on_threshold: false}
      - {mode: data_sheet, source_path: a.csv, name: d, fail_on_threshold: false}
  - {id: t, type: excel_fill_from_file, inputs: {template_path: t.xlsx, output: o.xlsx, rows_threshold: 7, targets: [{mode: report_region, source_path: a.csv, sheet: A, cell: A1}]}}
`
	var got []string
	for _, f := range flows.Doctor("f", []byte(text), options(), nil).Warnings {
		if f.Code == flows.CodeReportGuard {
			got = append(got, f.Loc)
		}
	}
	if want := []string{"jobs[0].steps[0].inputs.targets[0].rows_threshold", "jobs[0].steps[0].inputs.targets[2].fail_on_threshold"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, report := flows.Read("f", []byte(text), options()); slices.ContainsFunc(report.Warnings, func(f flows.Fault) bool { return f.Code == flows.CodeReportGuard }) {
		t.Error("whoever reads the flow is warned, too")
	}
}
