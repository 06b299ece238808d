package excel

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/executors/table"
)

// Bounds of one task.
const (
	maxTargets = 100
	maxNames   = 1000
)

// The words that some keys of a target may be.
const (
	DataSheet, ReportRegion    = "data_sheet", "report_region"
	Replace, Below             = "replace", "below"
	TemplateHeader             = "template" // of header_mode and header_style
	Override, Append           = "override", "append"
	StyleRow                   = "style_row"
	CastNone, Schema, Basic    = "none", "schema", "basic"
	StyleNone, CopyRow         = "none", "copy_row"
	Fast, CSVParse             = "fast", "csv_parse"
	CSV, TSV, Parquet          = "csv", "tsv", "parquet"
	QuoteNone, QuoteNonnumeric = "none", "nonnumeric"
)

// Target is what is written into one place of a workbook. Words that a task leaves out are empty, unless their default depends on nothing.
type Target struct {
	Field               string // targets[0], for errors
	Name                string
	Sheet, Anchor, Cell string
	Mode                string // of files
	Insert              string // never empty
	Marker, HasHeader   *bool  // nil: as the anchor is
	HeaderMode          string // never empty
	HeaderStyle         string
	HeaderClear         bool
	HeaderClearWidth    int // 0: the header's
	AnchorClear         int // cells
	TypeCast            string
	Types               map[string]string // string, int, float, bool, date or datetime, by the column's name
	StyleMode           string
	StyleRowOffset      int
	StyleHeader         bool
	StyleData           bool
	ClearStyleRow       bool
	Columns             []string // nil: unknown
	RowCount            int      // -1: unknown

	Rows                           [][]json.RawMessage // of small tables
	MaxRows, MaxTotalRows, MaxCols int                 // -1: any number

	Source               string // a path
	Format               string
	ReadHeader           bool
	CSV                  Dialect
	RowsThreshold        int // -1: none
	CountMode            string
	Freeze, Filter, Bold bool
}

// Dialect says how a text file is written.
type Dialect struct {
	Encoding    string
	Delimiter   byte
	Quote       byte // 0: none
	Escape      byte // 0: none
	DoubleQuote bool
	Nonnumeric  bool // what is not quoted is a number
	Linefeed    byte // that count_mode fast counts
}

// Inputs are the inputs of filling, checked as far as they can be without the template.
type Inputs struct {
	Template, Output string
	Targets          []Target
}

// reader reads inputs and collects what is wrong with them.
type reader struct {
	faults []string
	at     string // begins the name of a field
	values map[string]json.RawMessage
	known  map[string]bool
}

func (r *reader) fault(format string, args ...any) {
	r.faults = append(r.faults, fmt.Sprintf(format, args...))
}

// raw is a value of which null and the empty text, which the defaults of templates give, count as none.
func (r *reader) raw(key string) (json.RawMessage, bool) {
	r.known[key] = true
	v := bytes.TrimSpace(r.values[key])
	return v, len(v) > 0 && string(v) != "null" && string(v) != `""`
}

func (r *reader) text(key, otherwise string) string {
	v, ok := r.raw(key)
	if !ok {
		return otherwise
	}
	var s string
	if json.Unmarshal(v, &s) != nil {
		r.fault("%s%s must be a text", r.at, key)
		return otherwise
	}
	return s
}

func (r *reader) word(key, otherwise string, allowed ...string) string {
	s := strings.ToLower(strings.TrimSpace(r.text(key, otherwise)))
	if !slices.Contains(allowed, s) && s != otherwise {
		r.fault("%s%s must be %s, not %.100q", r.at, key, strings.Join(allowed, " or "), s)
		return otherwise
	}
	return s
}

func (r *reader) flag(key string) (value, ok bool) {
	v, ok := r.raw(key)
	if !ok {
		return false, false
	}
	var s string
	if json.Unmarshal(v, &s) != nil {
		s = string(v)
	}
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "true", "yes", "on", "1":
		return true, true
	case "false", "no", "off", "0":
		return false, true
	}
	r.fault("%s%s must be true or false", r.at, key)
	return false, false
}

func (r *reader) flagOr(key string, otherwise bool) bool {
	if v, ok := r.flag(key); ok {
		return v
	}
	return otherwise
}

func (r *reader) maybe(key string) *bool {
	if v, ok := r.flag(key); ok {
		return &v
	}
	return nil
}

func (r *reader) number(key string, otherwise, least, most int) int {
	v, ok := r.raw(key)
	if !ok {
		return otherwise
	}
	var s string
	if json.Unmarshal(v, &s) != nil {
		s = string(v)
	}
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || n < least || n > most {
		r.fault("%s%s must be a whole number from %d to %d", r.at, key, least, most)
		return otherwise
	}
	return n
}

// structure reads a value that may be the JSON of it as a text.
func (r *reader) structure(key string, to any, want string) bool {
	v, ok := r.raw(key)
	if !ok {
		return false
	}
	if v[0] == '"' {
		var s string
		if json.Unmarshal(v, &s) == nil {
			v = json.RawMessage(s)
		}
	}
	if err := json.Unmarshal(v, to); err != nil {
		r.fault("%s%s must be %s, or its JSON as a text", r.at, key, want)
		return false
	}
	return true
}

func (r *reader) char(key string, otherwise byte) byte {
	s := r.text(key, "")
	if s == "" {
		return otherwise
	}
	if len(s) != 1 || s[0] >= utf8.RuneSelf || s[0] == '\n' || s[0] == '\r' || s[0] == 0 {
		r.fault("%s%s must be one ASCII character, and no line break", r.at, key)
		return otherwise
	}
	return s[0]
}

// end notes the keys that nobody asked for.
func (r *reader) end() {
	for _, key := range slices.Sorted(maps.Keys(r.values)) {
		if !r.known[key] {
			r.fault("%s%.100s is no key of a target", r.at, key)
		}
	}
}

// Sheets and their bounds.
const (
	MaxRow       = 1_048_576
	MaxCol       = 16_384
	MaxCellUnits = 32_767 // UTF-16 units of a cell's text
)

// Read reads the inputs of [FillSmall] or [FillFromFile]; faults are what is wrong with them, all at once.
func Read(id string, inputs json.RawMessage) (in *Inputs, faults []string) {
	in = &Inputs{}
	top := &reader{known: map[string]bool{}}
	if json.Unmarshal(inputs, &top.values) != nil {
		return in, []string{"inputs are not a JSON object"}
	}
	required := func(key string) string {
		if _, ok := top.raw(key); !ok {
			top.fault("%s is required in inputs", key)
			return ""
		}
		return top.text(key, "")
	}
	in.Template, in.Output = required("template_path"), required("output")
	threshold := 50_000
	if id == FillFromFile {
		threshold = top.number("rows_threshold", threshold, 0, MaxRow)
	}
	if ext := strings.ToLower(path.Ext(in.Output)); in.Output != "" && ext != ".xlsx" && ext != ".xlsm" {
		top.fault("output must end in .xlsx or .xlsm")
	}
	var targets []map[string]json.RawMessage
	if _, ok := top.raw("targets"); !ok {
		top.fault("targets is required in inputs")
	} else if top.structure("targets", &targets, "a list of objects") {
		switch {
		case len(targets) == 0:
			top.fault("targets must have one at least")
		case len(targets) > maxTargets:
			top.fault("targets must not be more than %d", maxTargets)
			targets = nil
		}
	}
	for i, values := range targets {
		r := &reader{at: fmt.Sprintf("targets[%d].", i), values: values, known: map[string]bool{}}
		t := r.common(i)
		if id == FillSmall {
			r.small(&t)
		} else {
			r.file(&t, threshold)
		}
		r.end()
		in.Targets = append(in.Targets, t)
		top.faults = append(top.faults, r.faults...)
	}
	if len(top.faults) > 20 {
		top.faults = append(top.faults[:20:20], fmt.Sprintf("and %d more", len(top.faults)-20))
	}
	return in, top.faults
}

func (r *reader) common(i int) Target {
	t := Target{
		Field: fmt.Sprintf("targets[%d]", i),
		Name:  r.text("name", "target"),
		Sheet: r.text("sheet", ""), Anchor: r.text("anchor", ""), Cell: r.text("cell", ""),
		Marker: r.maybe("anchor_is_marker"), HasHeader: r.maybe("template_has_header"),
		HeaderStyle:      r.word("header_style", TemplateHeader, TemplateHeader, StyleRow),
		HeaderClear:      r.flagOr("header_clear", true),
		HeaderClearWidth: r.number("header_clear_width", 0, 0, MaxCol),
		StyleMode:        r.word("style_mode", StyleNone, StyleNone, CopyRow),
		StyleRowOffset:   r.number("style_row_offset", 2, -MaxRow, MaxRow),
		ClearStyleRow:    r.flagOr("clear_style_row", false),
		RowCount:         r.number("row_count", -1, 0, 1<<40),
	}
	if utf8.RuneCountInString(t.Name) > 200 {
		r.fault("%sname must not be longer than 200 characters", r.at)
	}
	apply := r.word("style_apply", "data", "data", "header", "both")
	t.StyleData, t.StyleHeader = apply != "header", apply != "data" && t.HeaderStyle == StyleRow
	if clearing, width := r.word("anchor_clear_mode", "cell", "cell", "row"), r.number("anchor_clear_width", 1, 0, MaxCol); r.flagOr("anchor_clear", false) && t.Anchor != "" {
		t.AnchorClear = 1
		if clearing == "row" {
			t.AnchorClear = width
		}
	}
	if t.Anchor != "" && t.Cell != "" {
		r.fault("%sanchor and cell must not both be there", r.at)
	}
	for _, key := range []string{"columns", "columns_json"} {
		var columns []any
		if r.structure(key, &columns, "a list of names") && t.Columns == nil {
			t.Columns = r.columns(key, columns)
		}
	}
	for _, key := range []string{"dtypes", "dtypes_json"} {
		var types map[string]string
		if r.structure(key, &types, "an object of texts") && len(t.Types) == 0 {
			t.Types = r.types(key, types)
		}
	}
	cast := CastNone
	if len(t.Types) > 0 {
		cast = Schema
	}
	t.TypeCast = r.word("type_cast", cast, CastNone, Schema, Basic)
	return t
}

func (r *reader) columns(key string, values []any) []string {
	names := []string{}
	if len(values) > MaxCol {
		r.fault("%s%s must not be more than %d", r.at, key, MaxCol)
		return names
	}
	for i, v := range values {
		switch v := v.(type) {
		case string:
			names = append(names, v)
		case float64, bool:
			text, _ := json.Marshal(v)
			names = append(names, string(text))
		case nil:
			names = append(names, "")
		default:
			r.fault("%s%s[%d] must be a text", r.at, key, i)
		}
	}
	return names
}

func (r *reader) types(key string, given map[string]string) map[string]string {
	types := map[string]string{}
	for _, column := range slices.Sorted(maps.Keys(given)) {
		class, ok := table.ClassOf(given[column])
		if !ok {
			r.fault("%s%s: the type of %.100q must be string, int, float, bool, date or datetime, not %.100q", r.at, key, column, given[column])
		}
		types[column] = class.Dtype()
	}
	return types
}

func (r *reader) small(t *Target) {
	t.HeaderMode = r.word("header_mode", TemplateHeader, TemplateHeader, Override, Append)
	t.Insert = r.word("insert", Replace, Replace, Below)
	t.RowsThreshold = -1
	t.MaxRows = r.number("max_rows", -1, 0, MaxRow)
	t.MaxTotalRows = r.number("max_total_rows", -1, 0, MaxRow)
	t.MaxCols = r.number("max_cols", -1, 0, MaxCol)
	for _, key := range []string{"rows_json", "rows"} {
		var rows [][]json.RawMessage
		if r.structure(key, &rows, "a list of lists") && t.Rows == nil {
			t.Rows = append([][]json.RawMessage{}, rows...)
		}
	}
	if _, ok := r.values["rows_json"]; !ok && r.values["rows"] == nil {
		r.fault("%srows_json is required", r.at)
	}
	if t.Anchor == "" && t.Cell == "" {
		r.fault("%sanchor or cell is required", r.at)
	}
	if cell := t.Cell; cell != "" && t.Sheet == "" && !strings.Contains(cell, "!") {
		r.fault("%ssheet is required, or cell as Sheet!A1", r.at)
	}
	if t.TypeCast == Schema && len(t.Columns) == 0 {
		t.TypeCast = CastNone
	}
}

func (r *reader) file(t *Target, threshold int) {
	t.Mode = r.word("mode", DataSheet, DataSheet, ReportRegion)
	region := t.Mode == ReportRegion
	insert, header := Replace, Append
	if region {
		insert, header = Below, TemplateHeader
	}
	t.Insert = r.word("insert", insert, Replace, Below)
	t.HeaderMode = r.word("header_mode", header, TemplateHeader, Override, Append)
	t.ReadHeader = r.flagOr("read_header", true)
	if include, ok := r.flag("include_header"); ok {
		t.ReadHeader, t.HeaderMode = include, TemplateHeader
		if include {
			t.HeaderMode = Append
		}
	}
	prefix := r.text("data_sheet_prefix", "DATA_")
	switch {
	case !region && t.Sheet == "":
		t.Sheet = prefix + t.Name
		fallthrough
	case !region:
		if why := BadSheetName(t.Sheet); why != "" {
			r.fault("%ssheet %.100q %s", r.at, t.Sheet, why)
		}
		if t.Anchor == "" && t.Cell == "" {
			t.Cell = "A1"
		}
	case t.Anchor == "" && t.Cell == "":
		r.fault("%sanchor or cell is required", r.at)
	case t.Cell != "" && t.Sheet == "" && !strings.Contains(t.Cell, "!"):
		r.fault("%ssheet is required, or cell as Sheet!A1", r.at)
	}
	if t.Source = r.text("source_path", ""); t.Source == "" {
		r.fault("%ssource_path is required", r.at)
	}
	suffix := strings.ToLower(strings.TrimPrefix(path.Ext(strings.ReplaceAll(t.Source, `\`, "/")), "."))
	if !slices.Contains([]string{CSV, TSV, Parquet}, suffix) {
		suffix = TSV
	}
	t.Format = r.word("source_format", suffix, CSV, TSV, Parquet)
	r.dialect(t)
	t.RowsThreshold = r.number("rows_threshold", threshold, 0, MaxRow)
	if !r.flagOr("fail_on_threshold", true) || !region {
		t.RowsThreshold = -1
	}
	t.CountMode = r.word("count_mode", Fast, Fast, CSVParse)
	t.Freeze, t.Filter, t.Bold = r.flagOr("freeze_panes", true), r.flagOr("autofilter", true), r.flagOr("header_bold", true)
	if region {
		t.Freeze, t.Filter, t.Bold = false, false, false
	}
	t.MaxRows, t.MaxTotalRows, t.MaxCols = -1, -1, -1
	if wide := strings.HasPrefix(t.CSV.Encoding, "utf-16") || strings.HasPrefix(t.CSV.Encoding, "utf-32"); wide && t.RowsThreshold >= 0 && t.RowCount < 0 && t.Format != Parquet && t.CountMode == Fast {
		r.fault("%scount_mode must be csv_parse for %s: fast can't count its lines", r.at, t.CSV.Encoding)
	}
}

func (r *reader) dialect(t *Target) {
	own := r
	var inner map[string]json.RawMessage
	if r.structure("file", &inner, "an object") {
		own = &reader{at: r.at + "file.", values: inner, known: map[string]bool{}}
	}
	get := func(key string) *reader { // what is under file wins
		r.known[key], own.known[key] = true, true
		if _, ok := own.raw(key); ok {
			return own
		}
		return r
	}
	d := Dialect{Encoding: strings.ToLower(strings.TrimSpace(get("encoding").text("encoding", "utf-8"))), Delimiter: ',', Linefeed: '\n'}
	if t.Format == TSV {
		d.Delimiter = '\t'
	}
	d.Delimiter = get("delimiter").char("delimiter", d.Delimiter)
	d.Quote = get("quotechar").char("quotechar", '"')
	d.Escape = get("escapechar").char("escapechar", 0)
	d.DoubleQuote = get("doublequote").flagOr("doublequote", true)
	switch get("quoting").word("quoting", "minimal", "minimal", "all", QuoteNone, QuoteNonnumeric) {
	case QuoteNone:
		d.Quote = 0
	case QuoteNonnumeric:
		d.Nonnumeric = true
	}
	switch from := get("linefeed"); from.text("linefeed", "\n") {
	case "\n", "\r\n":
	case "\r":
		d.Linefeed = '\r'
	default:
		r.fault(`%slinefeed must be \n, \r\n or \r`, from.at)
	}
	if d.Delimiter == d.Quote || d.Delimiter == d.Escape || d.Quote != 0 && d.Quote == d.Escape {
		r.fault("%sdelimiter, quotechar and escapechar must differ", r.at)
	}
	if own != r {
		own.end()
		r.faults = append(r.faults, own.faults...)
	}
	t.CSV = d
}

// BadSheetName says why Excel takes no sheet of that name; empty: it does.
func BadSheetName(name string) string {
	units := 0
	for _, c := range name {
		units++
		if c > 0xffff {
			units++
		}
		if c < ' ' || c == 0xfffe || c == 0xffff || c == utf8.RuneError {
			return "must hold no control characters"
		}
	}
	switch {
	case name == "":
		return "is empty"
	case units > 31:
		return fmt.Sprintf("has %d characters, and Excel allows 31", units)
	case strings.ContainsAny(name, `:\/?*[]`):
		return `must hold none of : \ / ? * [ ]`
	case strings.HasPrefix(name, "'") || strings.HasSuffix(name, "'"):
		return "must not begin or end with an apostrophe"
	case strings.EqualFold(name, "History"):
		return "is a name that Excel keeps for itself"
	}
	return ""
}

// Wanted are the inputs of [ValidateTemplate].
type Wanted struct {
	Template, Sheet string
	Names           []string
}

// ReadWanted reads the inputs of [ValidateTemplate].
func ReadWanted(inputs json.RawMessage) (w *Wanted, faults []string) {
	w = &Wanted{}
	r := &reader{known: map[string]bool{}}
	if json.Unmarshal(inputs, &r.values) != nil {
		return w, []string{"inputs are not a JSON object"}
	}
	if w.Template = r.text("template_path", ""); w.Template == "" && len(r.faults) == 0 {
		r.fault("template_path is required in inputs")
	}
	w.Sheet = r.text("sheet", "")
	v, ok := r.raw("required_names")
	var text string
	switch {
	case !ok:
		if v == nil || string(v) == "null" {
			r.fault("required_names is required in inputs")
		} else {
			r.fault("required_names must have one at least")
		}
	case json.Unmarshal(v, &text) == nil && !strings.HasPrefix(strings.TrimSpace(text), "["):
		for name := range strings.SplitSeq(text, ",") {
			if name = strings.TrimSpace(name); name != "" {
				w.Names = append(w.Names, name)
			}
		}
	default:
		r.structure("required_names", &w.Names, "a list of texts")
	}
	if n := len(w.Names); ok && len(r.faults) == 0 && (n == 0 || n > maxNames || slices.Contains(w.Names, "")) {
		r.fault("required_names must be 1 to %d, none of them empty", maxNames)
	}
	return w, r.faults
}
