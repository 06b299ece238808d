package db

import (
	"encoding/json"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/sql"
)

// Parts of the schemas.
const (
	statement = `
    "sql": {"type": "string", "description": "One statement that only reads. Templates may be in it; values belong in params"},
    "params": {"type": ["object", "string", "null"], "description": "A value for each :name of the statement, or the JSON of such an object as a text. A name without a value is an error, and so is a value without its name. Lists and objects are sent as JSON, in Postgres lists for array types as arrays. :taskgrove_key and :taskgrove_attempt are always there"},`
	whole = `"type": ["integer", "string", "null"], "pattern": "^ *[+-]?[0-9]{1,18} *$"`
	rest  = `
    "fetch_size": {` + whole + `, "default": 5000, "description": "After how many rows progress is told, and by how many the types of columns are found that the database says nothing of; a text holds a number"},
    "timeout": {"type": ["number", "null"], "exclusiveMinimum": 0, "description": "Seconds, for everything from connecting to the last row, also kept by the server; by default the task's own timeout alone"},`
	yesNo  = `"type": ["boolean", "string", "null"]`
	layout = `
      "encoding": {"type": ["string", "null"], "default": "utf-8", "description": "Encoding of the file: utf-8, utf-8-sig, utf-16, ascii, latin-1, iso-8859-1 to 16, cp1250 to 1258 and more. A character that it lacks is an error"},
      "delimiter": {"type": ["string", "null"], "description": "Between values: one character, by default a comma in csv and a tab in tsv (also written \\t)"},
      "quotechar": {"type": ["string", "null"], "default": "\"", "description": "Around values: one character"},
      "escapechar": {"type": ["string", "null"], "description": "Before characters that mean something else: one character; by default there is none"},
      "doublequote": {` + yesNo + `, "default": true, "description": "Quotes in a value are doubled; false: escapechar is before them"},
      "quoting": {"type": ["string", "null"], "default": "minimal", "description": "Which values have quotes: minimal (those that need them), all, nonnumeric, none"},
      "linefeed": {"type": ["string", "null"], "default": "\n", "description": "At the end of a line: \\n, \\r\\n or \\r"}`
	types = `
    "include_header": {` + yesNo + `, "default": true, "description": "csv and tsv: the first line has the names of the columns"},
    "emit_dtypes": {` + yesNo + `, "default": false, "description": "The result has the types of the columns, for steps that read the file"},
    "dtypes": {"type": ["object", "string", "null"], "description": "Types of columns, by their names: int, float, bool, date, datetime, string. They are those of the columns of a Parquet file, and go before what the database says"},
    "dtypes_json": {"type": ["object", "string", "null"], "description": "The same as a JSON text"},`
)

var fetchSchema = json.RawMessage(`{
  "type": "object",
  "properties": {` + statement + `
    "max_rows": {` + whole + `, "default": 50000, "description": "How many rows there may be; one more is an error. A text holds a number"},` + rest + `
` + sql.WhereSchema + `
  },
  "required": ["sql"]
}`)

var streamSchema = json.RawMessage(`{
  "type": "object",
  "properties": {` + statement + `
    "output": {"type": "string", "description": "Path of the file, below the job's artifacts. It is there whole or not at all"},
    "format": {"type": ["string", "null"], "enum": ["tsv", "csv", "jsonl", "parquet", null], "default": "tsv", "description": "Form of the file. parquet needs a worker that was built with the tag etl"},` + rest + types + `
    "file": {"type": ["object", "null"], "description": "The options of the file that follow, in an object", "properties": {` + layout + `
    }},` + layout + `,
` + sql.WhereSchema + `
  },
  "required": ["sql", "output"]
}`)

var extractSchema = json.RawMessage(`{
  "type": "object",
  "properties": {` + statement + `
    "output": {"type": "string", "description": "Path of the file, below the job's artifacts. It is there whole or not at all"},
    "format": {"type": ["string", "null"], "enum": ["tsv", "csv", "jsonl", null], "default": "tsv", "description": "Form of the file"},` + rest + `
` + sql.WhereSchema + `
  },
  "required": ["sql", "output"]
}`)

const dtypesOutput = `
    "dtypes": {"type": "object", "description": "Types of the columns, by their names: int, float (of decimals, too), bool, date, datetime, string"},
    "dtypes_json": {"type": "string", "description": "The same as a JSON text"}`

var fetchOutput = json.RawMessage(`{
  "type": "object",
  "properties": {
    "columns": {"type": "array", "items": {"type": "string"}, "description": "Names of the columns; a second one of the same name is called name_2"},
    "rows": {"type": "array", "items": {"type": "array"}, "description": "A list for each row"},
    "row_count": {"type": "integer", "description": "How many rows there are"},
    "columns_json": {"type": "string", "description": "columns as a JSON text"},
    "rows_json": {"type": "string", "description": "rows as a JSON text"},` + dtypesOutput + `
  },
  "required": ["columns", "rows", "row_count", "columns_json", "rows_json", "dtypes", "dtypes_json"]
}`)

var streamOutput = json.RawMessage(`{
  "type": "object",
  "properties": {
    "artifact_path": {"type": "string", "description": "Path of the file"},
    "format": {"type": "string", "description": "Its form"},
    "columns": {"type": "array", "items": {"type": "string"}, "description": "Names of the columns; a second one of the same name is called name_2"},
    "row_count": {"type": "integer", "description": "How many rows it has, without the header"},
    "sha256": {"type": "string", "description": "Digest of the file, in hex"},` + dtypesOutput + `
  },
  "required": ["artifact_path", "format", "columns", "row_count", "sha256"]
}`)

var extractOutput = json.RawMessage(`{
  "type": "object",
  "properties": {
    "output": {"type": "string", "description": "Path of the file"},
    "format": {"type": "string", "description": "Its form"},
    "rows": {"type": "integer", "description": "How many rows it has, without the header"}
  },
  "required": ["output", "format", "rows"]
}`)

var fetchExamples = []executors.Example{
	{Title: "Count the new orders", Inputs: json.RawMessage(`{
  "connection": "shop",
  "sql": "SELECT count(*) AS n, max(placed_at) AS last FROM orders WHERE placed_at >= :since",
  "params": {"since": "2026-01-01"}
}`)},
}

var streamExamples = []executors.Example{
	{Title: "Write a table into a file for a spreadsheet", Inputs: json.RawMessage(`{
  "connection": "shop",
  "sql": "SELECT * FROM orders ORDER BY id",
  "output": "orders.csv",
  "format": "csv",
  "file": {"delimiter": ";", "encoding": "utf-8-sig", "linefeed": "\\r\\n"},
  "emit_dtypes": true
}`)},
	{Title: "Write lines of JSON", Inputs: json.RawMessage(`{
  "connection": "shop",
  "sql": "SELECT id, total FROM orders WHERE paid = :paid",
  "params": {"paid": false},
  "output": "unpaid.jsonl",
  "format": "jsonl"
}`)},
}

var extractExamples = []executors.Example{
	{Title: "Write a table into a file, with tabs", Inputs: json.RawMessage(`{
  "connection": "shop",
  "sql": "SELECT id, total FROM orders ORDER BY id",
  "output": "orders.tsv"
}`)},
}
