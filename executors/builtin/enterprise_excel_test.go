//go:build etl

package builtin_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/excel"
)

// TestEnterpriseAnchors: in a pool of the mode enterprise an anchor that is a text is looked for in one sheet.
func TestEnterpriseAnchors(t *testing.T) {
	_, all := strictPool(t)
	bundle := t.TempDir()
	f := excelize.NewFile()
	if err := f.SetCellValue("Sheet1", "A1", "#ORDERS"); err != nil {
		t.Fatal(err)
	}
	if err := f.SaveAs(filepath.Join(bundle, "t.xlsx")); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ id, in string }{
		{excel.ValidateTemplate, `{"template_path": "@/t.xlsx", "required_names": ["#ORDERS"]%}`},
		{excel.FillSmall, `{"template_path": "@/t.xlsx", "output": "o.xlsx", "targets": [{"anchor": "#ORDERS", "rows_json": "[[1]]"%}]}`},
	} {
		for _, pool := range []string{"other", "strict"} {
			for _, sheet := range []string{"", `, "sheet": "Sheet1"`} {
				call, _ := conformance.Call(t, strings.NewReplacer("@", bundle, "%", sheet).Replace(row.in))
				call.Pool, call.Bundle = pool, &executors.Bundle{Dir: bundle}
				_, err := all[row.id].Run(t.Context(), call)
				if refused := err != nil && strings.Contains(err.Error(), "sheet is required"); refused != (pool == "strict" && sheet == "") || !refused && err != nil {
					t.Errorf("%s, %s%s: %v", pool, row.id, sheet, err)
				}
			}
		}
	}
}
