package excel

import (
	"encoding/json"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
)

var validateInputs = json.RawMessage(`{
  "type": "object",
  "properties": {
    "template_path": {"type": "string", "description": "The workbook: .xlsx, .xlsm, .xltx or .xltm"},
    "required_names": {"type": ["array", "string"], "items": {"type": "string"}, "description": "Names that must be defined names or texts of cells: a list, its JSON as a text, or a text with commas"},
    "sheet": {"type": ["string", "null"], "description": "Where texts of cells are looked for; default: in all sheets"}
  },
  "required": ["template_path", "required_names"]
}`)

var validateOutput = json.RawMessage(`{
  "type": "object",
  "properties": {
    "template_ok": {"type": "boolean", "description": "All names are there: otherwise the task fails"},
    "found_named_ranges": {"type": "array", "items": {"type": "string"}, "description": "Those that are defined names"},
    "found_anchor_cells": {"type": "array", "description": "Those that are texts of cells", "items": {"type": "object", "properties": {
      "name": {"type": "string", "description": "As it was asked for"}, "sheet": {"type": "string", "description": "The cell's sheet"}, "cell": {"type": "string", "description": "Such as B7"}}}}
  },
  "required": ["template_ok", "found_named_ranges", "found_anchor_cells"]
}`)

const targetCommon = `
    "name": {"type": "string", "default": "target", "description": "What the target is called in results and errors"},
    "sheet": {"type": ["string", "null"], "description": "The sheet that cell or anchor is in"},
    "anchor": {"type": ["string", "null"], "description": "A defined name, a cell such as Sheet!A1, or the text of a cell"},
    "cell": {"type": ["string", "null"], "description": "A cell: A1 where sheet is given, or Sheet!A1"},
    "insert": {"enum": ["replace", "below", "", null], "description": "Write over what is there, or make room by inserting rows"},
    "anchor_is_marker": {"type": ["boolean", "string", "null"], "description": "The anchor is in a row of its own, above header and data"},
    "template_has_header": {"type": ["boolean", "string", "null"], "description": "The template has the header, so data begin a row further down"},
    "header_mode": {"enum": ["template", "override", "append", "", null], "description": "Leave the header as the template has it, or write it"},
    "header_style": {"enum": ["template", "style_row", "", null], "default": "template", "description": "Where a header that is written has its format from"},
    "header_clear": {"type": ["boolean", "string", "null"], "default": true, "description": "Empty old headers first; formats stay"},
    "header_clear_width": {"type": ["integer", "string", "null"], "description": "How many cells of them; default: as many as the new header has"},
    "anchor_clear": {"type": ["boolean", "string", "null"], "default": false, "description": "Empty the anchor's cell"},
    "anchor_clear_mode": {"enum": ["cell", "row", "", null], "default": "cell", "description": "That cell, or anchor_clear_width cells from it on"},
    "anchor_clear_width": {"type": ["integer", "string", "null"], "default": 1, "description": "How many cells mode row empties"},
    "columns": {"type": ["array", "string", "null"], "description": "Names of the columns, or their JSON as a text"},
    "columns_json": {"type": ["array", "string", "null"], "description": "The same"},
    "type_cast": {"enum": ["none", "schema", "basic", "", null], "description": "How texts become numbers and dates; default: schema where dtypes are given, else none"},
    "dtypes": {"type": ["object", "string", "null"], "description": "The type of each column by its name: string, int, float, bool, date or datetime; or its JSON as a text"},
    "dtypes_json": {"type": ["object", "string", "null"], "description": "The same"},
    "style_mode": {"enum": ["none", "copy_row", "", null], "default": "none", "description": "Whether cells get the formats of the style row"},
    "style_row_offset": {"type": ["integer", "string", "null"], "default": 2, "description": "How far the style row is below a marker, or else below the first row"},
    "style_apply": {"enum": ["data", "header", "both", "", null], "default": "data", "description": "Which cells get them; of a header only with header_style style_row"},
    "clear_style_row": {"type": ["boolean", "string", "null"], "default": false, "description": "Empty the style row afterwards; formats stay"},
    "row_count": {"type": ["integer", "string", "null"], "description": "How many rows of data there are, as an earlier step says"}`

const targetSmall = `,
    "rows_json": {"type": ["array", "string"], "description": "The rows, a list of lists, or its JSON as a text"},
    "rows": {"type": ["array", "string"], "description": "The same"},
    "max_rows": {"type": ["integer", "string", "null"], "description": "How many rows of data there may be"},
    "max_total_rows": {"type": ["integer", "string", "null"], "description": "How many there may be with the header"},
    "max_cols": {"type": ["integer", "string", "null"], "description": "How many columns"}`

const targetFile = `,
    "mode": {"enum": ["data_sheet", "report_region", "", null], "default": "data_sheet", "description": "A sheet for the data alone, or a region of a report"},
    "source_path": {"type": "string", "description": "The file"},
    "source_format": {"enum": ["csv", "tsv", "parquet", "", null], "description": "What it is; default: as its name ends, else tsv"},
    "read_header": {"type": ["boolean", "string", "null"], "default": true, "description": "Its first line names the columns"},
    "include_header": {"type": ["boolean", "string", "null"], "description": "Older: stands for read_header, and header_mode append or template"},
    "file": {"type": ["object", "null"], "description": "The options encoding to linefeed may be in here instead"},
    "encoding": {"type": ["string", "null"], "default": "utf-8", "description": "Of text files: utf-8, utf-16, utf-32, latin-1, cp1252 or another name of the web's encodings"},
    "delimiter": {"type": ["string", "null"], "description": "Default: a comma, in tsv a tab"},
    "quotechar": {"type": ["string", "null"], "default": "\"", "description": "What fields may be between"},
    "escapechar": {"type": ["string", "null"], "description": "What takes its meaning from the character after it; default: none"},
    "doublequote": {"type": ["boolean", "string", "null"], "default": true, "description": "Two quotes within quotes are one"},
    "quoting": {"enum": ["minimal", "all", "none", "nonnumeric", "", null], "default": "minimal", "description": "none: quotes mean nothing; nonnumeric: what is not between quotes is a number"},
    "linefeed": {"type": ["string", "null"], "default": "\n", "description": "What count_mode fast counts"},
    "data_sheet_prefix": {"type": ["string", "null"], "default": "DATA_", "description": "What a data sheet's name begins with, before name, where sheet is not given"},
    "rows_threshold": {"type": ["integer", "string", "null"], "default": 50000, "description": "How many rows of data a region may have"},
    "fail_on_threshold": {"type": ["boolean", "string", "null"], "default": true, "description": "Fail where there are more"},
    "count_mode": {"enum": ["fast", "csv_parse", "", null], "default": "fast", "description": "How the rows are counted for that: by line feeds, or exactly"},
    "freeze_panes": {"type": ["boolean", "string", "null"], "default": true, "description": "Of a data sheet: the header stays in view"},
    "autofilter": {"type": ["boolean", "string", "null"], "default": true, "description": "Of a data sheet: the header has a filter"},
    "header_bold": {"type": ["boolean", "string", "null"], "default": true, "description": "Of a data sheet: the header is bold"}`

func fillInputs(target, more string) json.RawMessage {
	return json.RawMessage(`{
  "type": "object",
  "properties": {
    "template_path": {"type": "string", "description": "The workbook to copy: .xlsx, .xlsm, .xltx or .xltm. It is never changed"},
    "output": {"type": "string", "description": "The workbook that is written: .xlsx, or .xlsm"},
    "targets": {"type": ["array", "string"], "description": "What is written where: a list of objects, or its JSON as a text", "items": {"type": "object", "properties": {` +
		strings.ReplaceAll(target, "\n", "\n  ") + `
    }}}` + more + `
  },
  "required": ["template_path", "output", "targets"]
}`)
}

var (
	smallInputs = fillInputs(targetCommon+targetSmall, "")
	fileInputs  = fillInputs(targetCommon+targetFile, `,
    "rows_threshold": {"type": ["integer", "string", "null"], "default": 50000, "description": "Of targets that give none"}`)
)

var fillOutput = json.RawMessage(`{
  "type": "object",
  "properties": {
    "output": {"type": "string", "description": "The path of the workbook"},
    "written": {"type": "array", "description": "What was written, of each target", "items": {"type": "object", "properties": {
      "name": {"type": "string", "description": "The target's"}, "sheet": {"type": "string", "description": "Where it went"},
      "rows": {"type": "integer", "description": "With the header, where one was written"},
      "cols": {"type": "integer", "description": "Of the widest row"},
      "mode": {"type": "string", "description": "Of a file: data_sheet or report_region"},
      "insert": {"type": "string", "description": "What counted, as for the following"},
      "header_mode": {"type": "string", "description": "The target's or its default"}, "header_style": {"type": "string", "description": "The same"},
      "type_cast": {"type": "string", "description": "The same; none where the names of the columns are unknown"}, "style_mode": {"type": "string", "description": "The target's or its default"},
      "start_cell": {"type": "string", "description": "Where header or data begin, such as B7"},
      "template_has_header": {"type": "boolean", "description": "The template has the header"}}}}
  },
  "required": ["output", "written"]
}`)

var validateExamples = []executors.Example{
	{Title: "Look whether a template has what the report needs", Inputs: json.RawMessage(`{"template_path": "report.xlsx", "required_names": ["ORDERS", "TOTALS"]}`)},
}

var smallExamples = []executors.Example{
	{Title: "Write the rows of a query below a marker", Inputs: json.RawMessage(`{"template_path": "report.xlsx", "output": "orders.xlsx",
  "targets": [{"name": "orders", "sheet": "Report", "anchor": "#ORDERS", "rows_json": "[[1, \"pears\", 2.5]]", "columns_json": "[\"id\", \"what\", \"price\"]"}]}`)},
	{Title: "Make room for them, in the format of the row below the header", Inputs: json.RawMessage(`{"template_path": "report.xlsx", "output": "orders.xlsx",
  "targets": [{"sheet": "Report", "anchor": "#ORDERS", "insert": "below", "style_mode": "copy_row", "rows_json": [[1, "pears", 2.5], [2, "plums", 3]]}]}`)},
}

var fileExamples = []executors.Example{
	{Title: "Write a file into a sheet for the report's formulas", Inputs: json.RawMessage(`{"template_path": "report.xlsx", "output": "orders.xlsx",
  "targets": [{"name": "orders", "source_path": "orders.csv", "type_cast": "basic"}]}`)},
	{Title: "Write a file into a region, by the types of its columns", Inputs: json.RawMessage(`{"template_path": "report.xlsx", "output": "orders.xlsx",
  "targets": [{"mode": "report_region", "sheet": "Report", "anchor": "#ORDERS", "source_path": "orders.csv", "dtypes": {"id": "int", "price": "float"}}]}`)},
}
