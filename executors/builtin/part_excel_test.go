//go:build etl

package builtin_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/excel"
)

func init() {
	for _, id := range excel.IDs {
		parts[id] = func(t *testing.T, cfg *builtin.Config) conformance.Features {
			return excelFeatures(t, id, cfg.FileRoot)
		}
	}
}

// excelFeatures uses a small template. Nothing is slow enough to be stopped midway in a test; package fill has one of that.
func excelFeatures(t *testing.T, id, root string) conformance.Features {
	f := excelize.NewFile()
	if err := f.SetCellValue("Sheet1", "A1", "#ORDERS"); err != nil {
		t.Fatal(err)
	}
	template := filepath.Join(root, "excel.xlsx")
	if err := f.SaveAs(template); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "excel.csv"), []byte("a,b\n1,2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	in := strings.NewReplacer("@", root+"/").Replace
	switch id {
	case excel.ValidateTemplate:
		return conformance.Features{
			Quick: in(`{"template_path": "@excel.xlsx", "required_names": "#orders"}`), Instant: true,
			Missing: map[string]string{`{"required_names": ["x"]}`: "[excel_validate_template] template_path is required in inputs", in(`{"template_path": "@excel.xlsx"}`): "[excel_validate_template] required_names is required in inputs"},
			Demo:    map[string][]string{`{"template_path": "x.xlsx", "required_names": ["x"]}`: {"template_ok", "found_named_ranges", "found_anchor_cells"}},
		}
	case excel.FillSmall:
		return conformance.Features{
			Quick: in(`{"template_path": "@excel.xlsx", "output": "o.xlsx", "targets": [{"anchor": "#ORDERS", "rows_json": "[[1, \"x\"]]"}]}`), Instant: true,
			Missing: map[string]string{`{}`: "[excel_fill_small] template_path is required in inputs"},
			Demo:    map[string][]string{`{"output": "o.xlsx"}`: {"output", "written"}},
		}
	}
	return conformance.Features{
		Quick: in(`{"template_path": "@excel.xlsx", "output": "o.xlsx", "targets": [{"source_path": "@excel.csv"}]}`), Instant: true,
		Missing: map[string]string{`{}`: "[excel_fill_from_file] template_path is required in inputs"},
		Demo:    map[string][]string{`{"output": "o.xlsx"}`: {"output", "written"}},
	}
}
