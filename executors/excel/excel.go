// Package excel says what the steps are that fill workbooks (flows 5.3 and 6.3): excel_validate_template, excel_fill_small and excel_fill_from_file.
//
// It owns their ids, schemas and targets, which every program knows. It must not link what reads and writes workbooks: package fill does, in the
// builds that have it.
package excel

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// The executors' ids: the names of the steps in flows.
const (
	ValidateTemplate = "excel_validate_template"
	FillSmall        = "excel_fill_small"
	FillFromFile     = "excel_fill_from_file"
)

// IDs are all of them, in the order of the specification.
var IDs = []string{ValidateTemplate, FillSmall, FillFromFile}

// Kinds of errors.
const (
	KindTooLarge = "report.too_large"
	KindTemplate = "report.template"
	KindSource   = "report.source"
)

var kinds = []executors.ErrorKind{
	{Word: KindTemplate, Text: "The template is no workbook, lacks a name, a sheet or an anchor, or does not take a target where it would go"},
	{Word: workdir.KindEscape, Text: "A path leads out of the directories that the task may use"},
}

// Describe describes one of them.
func Describe(id string) executors.Description {
	d := executors.Description{
		ID: id, Type: "excel", Tags: []string{"excel", "flows"},
		Cancelable: true, Workspace: true, Concurrency: executors.PerCore(),
	}
	switch id {
	case ValidateTemplate:
		d.Name, d.Description = "Validate Excel Template", "Looks whether an Excel template has the names and anchors that a report needs"
		d.Inputs, d.Output, d.Kinds, d.Examples = validateInputs, validateOutput, kinds, validateExamples
		d.Repeatable = true
	case FillSmall:
		d.Name, d.Description = "Fill Excel Regions", "Writes small tables into regions of a copy of an Excel template"
		d.Inputs, d.Output, d.Examples = smallInputs, fillOutput, smallExamples
		d.Kinds = append([]executors.ErrorKind{{Word: KindTooLarge, Text: "A target has more rows or columns than it may, or than a sheet has"}}, kinds...)
	case FillFromFile:
		d.Name, d.Description = "Fill Excel From Files", "Writes CSV, TSV and Parquet files into sheets and regions of a copy of an Excel template"
		d.Inputs, d.Output, d.Examples = fileInputs, fillOutput, fileExamples
		d.Kinds = append([]executors.ErrorKind{
			{Word: KindTooLarge, Text: "A file has more rows than `rows_threshold`, or than a sheet or workbook has"},
			{Word: KindSource, Text: "A file can't be read as what `source_format`, `encoding` and the other options say"},
		}, kinds...)
	}
	return d
}

// Written says what was written for a target.
type Written struct {
	Name              string `json:"name"`
	Sheet             string `json:"sheet"`
	Rows              int    `json:"rows"` // with the header if one was written
	Cols              int    `json:"cols"`
	Mode              string `json:"mode,omitempty"`
	Insert            string `json:"insert"`
	HeaderMode        string `json:"header_mode"`
	HeaderStyle       string `json:"header_style"`
	TypeCast          string `json:"type_cast"`
	StyleMode         string `json:"style_mode"`
	StartCell         string `json:"start_cell"`
	TemplateHasHeader bool   `json:"template_has_header"`
}

// Filled is the result of filling.
type Filled struct {
	Output  string    `json:"output"`
	Written []Written `json:"written"`
}

// Valid is the result of a validation.
type Valid struct {
	OK    bool     `json:"template_ok"`
	Names []string `json:"found_named_ranges"`
	Cells []Anchor `json:"found_anchor_cells"`
}

// Anchor is a cell whose text is a name that was asked for.
type Anchor struct {
	Name  string `json:"name"`
	Sheet string `json:"sheet"`
	Cell  string `json:"cell"`
}

// Demo is the result of a demonstration.
func Demo(id string, call *executors.Call) any {
	var in struct {
		Output string   `json:"output"`
		Names  []string `json:"required_names"`
	}
	_ = json.Unmarshal(call.Inputs, &in) // a demonstration fails for nothing
	if id == ValidateTemplate {
		return &Valid{OK: true, Names: append([]string{}, in.Names...), Cells: []Anchor{}}
	}
	return &Filled{Output: in.Output, Written: []Written{}}
}

// absent is an executor that this program has only the description of.
type absent struct{ id string }

// Absent describes the executors in a program that can't run them.
func Absent() (all []executors.Executor) {
	for _, id := range IDs {
		all = append(all, absent{id})
	}
	return all
}

const why = "this program was built without Excel; programs and images that are built with the tag etl have it"

// Describe implements [executors.Executor].
func (a absent) Describe() executors.Description { return Describe(a.id) }

// Disabled implements [executors.Disabler].
func (absent) Disabled() string { return why }

// Run implements [executors.Executor].
func (a absent) Run(context.Context, *executors.Call) (*executors.Outcome, error) {
	return nil, executors.Permanent(errors.New("[" + a.id + "] " + why))
}

// Demo implements [executors.Demonstrator].
func (a absent) Demo(call *executors.Call) (result any, takes time.Duration) {
	return Demo(a.id, call), 0
}
