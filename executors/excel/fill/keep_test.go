package fill_test

import (
	"archive/zip"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"github.com/taskgrove/taskgrove/executors/excel"
)

// parts are those of a workbook.
func parts(t *testing.T, path string) map[string]string {
	t.Helper()
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = z.Close() }()
	all := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all[f.Name] = string(content)
	}
	return all
}

// part is the XML of a sheet.
func part(t *testing.T, path, sheet string, f *excelize.File) string {
	t.Helper()
	i, err := f.GetSheetIndex(sheet)
	if err != nil {
		t.Fatal(err)
	}
	return parts(t, path)[fmt.Sprintf("xl/worksheets/sheet%d.xml", i+1)]
}

// What other sheets hold stays: formulas, formats, names, charts, comments, pictures, rules, links, pivots.
func TestKeeps(t *testing.T) {
	d := newDesk(t)
	d.template("t.xlsx", func(f *excelize.File) {
		report(f)
		_, _ = f.NewSheet("Chart")
		_, _ = f.NewSheet("DATA_o")
		for i, v := range []int{3, 1, 2} {
			_ = f.SetCellValue("Chart", fmt.Sprintf("A%d", i+1), v)
		}
		_ = f.SetCellFormula("Chart", "B1", "SUM(DATA_o!A2:A1000)")
		format := "0.0%"
		style, _ := f.NewStyle(&excelize.Style{CustomNumFmt: &format, Border: []excelize.Border{{Type: "top", Style: 2, Color: "00AA00"}}})
		_ = f.SetCellStyle("Chart", "B1", "C2", style)
		if err := f.AddChart("Chart", "D1", &excelize.Chart{Type: excelize.Col, Series: []excelize.ChartSeries{{Name: "x", Values: "DATA_o!$A$2:$A$3"}}}); err != nil {
			t.Fatal(err)
		}
		_ = f.AddComment("Chart", excelize.Comment{Cell: "A1", Author: "me", Text: "a note"})
		_ = f.SetConditionalFormat("Chart", "A1:A3", []excelize.ConditionalFormatOptions{{Type: "data_bar", Criteria: "=", MinType: "min", MaxType: "max", BarColor: "#638EC6"}})
		list := excelize.NewDataValidation(true)
		list.Sqref = "C1:C3"
		_ = list.SetDropList([]string{"a", "b"})
		_ = f.AddDataValidation("Chart", list)
		_ = f.SetCellHyperLink("Chart", "A3", "https://example.com/", "External")
		_ = f.MergeCell("Chart", "A5", "B6")
		_ = f.SetDefinedName(&excelize.DefinedName{Name: "SERIES", RefersTo: "Chart!$A$1:$A$3"})
		_ = f.SetDefinedName(&excelize.DefinedName{Name: "LOCAL", RefersTo: "Chart!$A$1", Scope: "Chart"})
		_ = f.AddTable("Chart", &excelize.Table{Range: "F1:G3", Name: "Things"})
	})
	d.write("s.csv", "n,m\n5,6\n7,8\n")
	before := parts(t, d.path("t.xlsx"))
	f, _ := d.fill(excel.FillFromFile, `[{"name": "o", "type_cast": "basic", "source_path": "@s.csv"}]`)
	after := parts(t, d.path("out/o.xlsx"))
	for name, content := range before {
		switch {
		case strings.HasSuffix(name, "calcChain.xml"):
			if _, ok := after[name]; ok || strings.Contains(after["[Content_Types].xml"]+after["xl/_rels/workbook.xml.rels"], "calcChain") {
				t.Error("the chain of calculation is still there")
			}
		case name == "xl/worksheets/sheet3.xml", name == "xl/styles.xml", name == "xl/workbook.xml", name == "[Content_Types].xml", name == "xl/_rels/workbook.xml.rels":
		case after[name] != content:
			t.Errorf("%s changed:\n%.600s\n%.600s", name, content, after[name])
		}
	}
	if len(after) < len(before)-1 {
		t.Errorf("%d parts, of %d", len(after), len(before))
	}
	if got, _ := f.CalcCellValue("Chart", "B1", excelize.Options{RawCellValue: true}); got != "12" {
		t.Errorf("the formula gives %s", got)
	}
	if names := f.GetDefinedName(); !slices.ContainsFunc(names, func(n excelize.DefinedName) bool { return n.Name == "SERIES" }) ||
		!slices.ContainsFunc(names, func(n excelize.DefinedName) bool { return n.Name == "LOCAL" && n.Scope == "Chart" }) {
		t.Errorf("got %+v", names)
	}
	if !strings.Contains(after["xl/workbook.xml"], `fullCalcOnLoad="1"`) && !strings.Contains(after["xl/workbook.xml"], `fullCalcOnLoad="true"`) {
		t.Error("formulas are not calculated when it is opened")
	}
}

// Inserting rows moves what is below, and what refers to it.
func TestInsertionsMoveReferences(t *testing.T) {
	d := newDesk(t)
	d.template("t.xlsx", func(f *excelize.File) {
		report(f)
		_, _ = f.NewSheet("Other")
		_ = f.SetCellFormula("Other", "A1", "Report!D8+1")
		_ = f.MergeCell("Report", "B10", "C10")
	})
	f, _ := d.fill(excel.FillSmall, `[{"anchor": "#ORDERS", "insert": "below", "rows": [[1, 2, 3], [4, 5, 6]]}]`)
	if got, _ := f.GetCellFormula("Other", "A1"); got != "Report!D10+1" {
		t.Errorf("got %s", got)
	}
	merged, _ := f.GetMergeCells("Report")
	if len(merged) != 1 || merged[0].GetStartAxis() != "B12" {
		t.Errorf("got %v", merged)
	}
	for _, n := range f.GetDefinedName() {
		if n.Name == "TOTALS" && n.RefersTo != "Report!$B$10:$D$11" {
			t.Errorf("got %s", n.RefersTo)
		}
	}
}

// A formula that cells share goes on in those that are not written over.
func TestSharedFormulas(t *testing.T) {
	d := newDesk(t)
	shared, array := excelize.STCellFormulaTypeShared, excelize.STCellFormulaTypeArray
	ref, arrayRef := "C1:C5", "E1:E3"
	d.template("t.xlsx", func(f *excelize.File) {
		_ = f.SetCellFormula("Sheet1", "C1", "A1*2", excelize.FormulaOpts{Ref: &ref, Type: &shared})
		_ = f.SetCellFormula("Sheet1", "E1", "A1:A3*2", excelize.FormulaOpts{Ref: &arrayRef, Type: &array})
	})
	f, _ := d.fill(excel.FillSmall, `[{"cell": "Sheet1!C1", "rows": [["x"], ["y"]]}]`)
	for cell, want := range map[string]string{"C1": "", "C2": "", "C3": "A3*2", "C5": "A5*2", "E1": "A1:A3*2"} {
		if got, _ := f.GetCellFormula("Sheet1", cell); got != want {
			t.Errorf("%s: got %q, want %q", cell, got, want)
		}
	}
	if _, err := d.run(excel.FillSmall, `{"template_path": "@t.xlsx", "output": "@o.xlsx", "targets": [{"cell": "Sheet1!E1", "rows": [[1]]}]}`); err == nil || !strings.Contains(err.Error(), "E1:E3") {
		t.Errorf("got %v", err)
	}
}

// Merged cells and headers of tables take no values of their own.
func TestInTheWay(t *testing.T) {
	d := newDesk(t)
	d.template("t.xlsx", func(f *excelize.File) {
		_ = f.MergeCell("Sheet1", "B2", "C3")
		_ = f.AddTable("Sheet1", &excelize.Table{Range: "F1:G3", Name: "Things"})
	})
	for cell, want := range map[string]string{"A2": "", "A3": "cells B2:C3 of sheet \"Sheet1\" are merged", "C3": "are merged", "E1": "the header of the table \"Things\"", "A4": "", "F2": "", "B5": "", "A1": "", "B2": "are merged"} {
		_, err := d.run(excel.FillSmall, `{"template_path": "@t.xlsx", "output": "@o.xlsx", "targets": [{"cell": "Sheet1!`+cell+`", "rows": [[1, 2]]}]}`)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", cell, err, want)
		}
	}
	if _, err := d.run(excel.FillSmall, `{"template_path": "@t.xlsx", "output": "@o.xlsx", "targets": [{"cell": "Sheet1!B2", "rows": [[1]]}]}`); err != nil {
		t.Error(err)
	}
}
