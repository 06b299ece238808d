package db

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/sql"
	"github.com/taskgrove/taskgrove/executors/table"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// The ids of the executors: the names of the steps in flows.
const (
	StreamID  = "db_extract_stream"
	ExtractID = "db_extract"
)

// Stream is db_extract_stream.
type Stream struct{ step }

// Extract is db_extract.
type Extract struct{ step }

var fileKinds = []executors.ErrorKind{
	{Word: KindValue, Text: "The file can't hold a value: its encoding lacks a character, a character needs an `escapechar`, a Parquet column is of another type"},
	{Word: workdir.KindEscape, Text: "The path leads out of the directories that the task may use"},
}

// Describe implements [executors.Executor].
func (*Stream) Describe() executors.Description {
	return describe(executors.Description{
		ID: StreamID, Name: "Extract Stream", Description: "Writes the result of a query into a file, whatever its size: CSV, TSV, JSON lines or Parquet",
		Inputs: streamSchema, Output: streamOutput, Examples: streamExamples,
	}, fileKinds...)
}

// Describe implements [executors.Executor].
func (*Extract) Describe() executors.Description {
	return describe(executors.Description{
		ID: ExtractID, Name: "Extract", Description: "Writes the result of a query into a file of text: TSV, CSV or JSON lines",
		Inputs: extractSchema, Output: extractOutput, Examples: extractExamples,
	}, fileKinds...)
}

// streamed is the result of db_extract_stream.
type streamed struct {
	Path       string            `json:"artifact_path"`
	Format     string            `json:"format"`
	Columns    []string          `json:"columns"`
	RowCount   int64             `json:"row_count"`
	SHA256     string            `json:"sha256"`
	Dtypes     map[string]string `json:"dtypes,omitempty"`
	DtypesJSON string            `json:"dtypes_json,omitempty"`
}

// extracted is the result of db_extract.
type extracted struct {
	Output string `json:"output"`
	Format string `json:"format"`
	Rows   int64  `json:"rows"`
}

// Demo implements [executors.Demonstrator].
func (*Stream) Demo(*executors.Call) (any, time.Duration) {
	empty := strings.Repeat("0", 64)
	return &streamed{Path: "demo.csv", Format: "csv", Columns: []string{"id", "name"}, RowCount: 1, SHA256: empty}, time.Second
}

// Demo implements [executors.Demonstrator].
func (*Extract) Demo(*executors.Call) (any, time.Duration) {
	return &extracted{Output: "demo.tsv", Format: "tsv", Rows: 1}, time.Second
}

// fileOptions are the options of a file, as db_extract_stream has them, beside its other inputs or under file.
type fileOptions struct {
	Encoding  *string      `json:"encoding"`
	Delimiter *string      `json:"delimiter"`
	Quote     *string      `json:"quotechar"`
	Escape    *string      `json:"escapechar"`
	Double    *inputs.Flag `json:"doublequote"`
	Quoting   *string      `json:"quoting"`
	Linefeed  *string      `json:"linefeed"`
}

// extractInput are the inputs of both.
type extractInput struct {
	common
	Output string `json:"output"`
	Format string `json:"format"`

	Header     *inputs.Flag    `json:"include_header"`
	EmitDtypes *inputs.Flag    `json:"emit_dtypes"`
	Dtypes     json.RawMessage `json:"dtypes"`
	DtypesJSON json.RawMessage `json:"dtypes_json"`
	fileOptions
	File *fileOptions `json:"file"`
}

// Run implements [executors.Executor].
func (s *Stream) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	return s.extract(ctx, call, StreamID, []string{"tsv", "csv", "jsonl", "parquet"}, func(e *extraction) any {
		r := &streamed{Path: e.out.at.Shown(), Format: e.in.Format, Columns: names(e.columns), RowCount: e.rows, SHA256: e.out.sum()}
		if e.in.EmitDtypes.Or(false) {
			r.Dtypes = dtypes(e.columns)
			r.DtypesJSON = asText(r.Dtypes)
		}
		return r
	})
}

// Run implements [executors.Executor].
func (x *Extract) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	return x.extract(ctx, call, ExtractID, []string{"tsv", "csv", "jsonl"}, func(e *extraction) any {
		return &extracted{Output: e.out.at.Shown(), Format: e.in.Format, Rows: e.rows}
	})
}

// extract writes the file and gives its result.
func (s *step) extract(ctx context.Context, call *executors.Call, id string, formats []string, result func(*extraction) any) (*executors.Outcome, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	w, err := workdir.OpenWorkspace(ctx, call, s.cfg.Place(call.Pool))
	if err != nil {
		return nil, err
	}
	defer w.Close()
	e := &extraction{}
	if err := inputs.Decode(id, call, &e.in); err != nil {
		return nil, err
	}
	q, err := e.check(s.cfg.Databases, call, id, formats)
	if err != nil {
		return nil, err
	}
	if e.out, err = newOutput(w, call, e.in.Output); err != nil {
		return nil, err
	}
	defer e.out.discard()
	limited, cancel, err := e.in.limit(ctx, id)
	if err != nil {
		return nil, err
	}
	defer cancel()
	e.ctx, e.reporter = limited, call.Reporter
	if err := q.Run(limited, e); err != nil {
		return nil, explain(err)
	}
	if err := e.end(); err != nil {
		return nil, executors.Ended(limited, explain(err))
	}
	if limited.Err() != nil {
		return nil, context.Cause(limited)
	}
	if err := e.out.publish(); err != nil {
		return nil, err
	}
	kept, err := w.Keep(ctx, result(e))
	if err != nil {
		return nil, executors.Ended(ctx, err)
	}
	return executors.Completed(kept), nil
}

// explain marks what is wrong with a value.
func explain(err error) error {
	if _, ok := errors.AsType[*table.CellError](err); ok {
		return executors.WithKind(executors.Permanent(err), KindValue)
	}
	return err
}

// check checks all inputs.
func (e *extraction) check(d *sql.Databases, call *executors.Call, id string, formats []string) (*sql.Query, error) {
	in := &e.in
	var faults []string
	q := in.query(d, call, &faults)
	if in.Output == "" {
		faults = append(faults, "output is required in inputs")
	}
	if in.Format = strings.ToLower(in.Format); in.Format == "" {
		in.Format = formats[0]
	}
	switch {
	case !slices.Contains(formats, in.Format):
		last := len(formats) - 1
		faults = append(faults, fmt.Sprintf("format must be %s or %s", strings.Join(formats[:last], ", "), formats[last]))
	case in.Format == "parquet" && table.NewParquet == nil:
		faults = append(faults, "format: this worker writes no parquet: it needs the image taskgrove-worker-etl, or a build with the tag etl")
	}
	e.dtypes = readDtypes(in.Dtypes, in.DtypesJSON, &faults)
	e.layout(&faults)
	return q, faulty(id, faults)
}

// layout is how the file looks that the options describe. It adds to the faults.
func (e *extraction) layout(faults *[]string) {
	in := &e.in
	delimiter := ","
	if in.Format == "tsv" {
		delimiter = "\t"
	}
	l := table.Separated(delimiter)
	take := func(name string, beside, under *string, to *string) {
		if beside != nil && under != nil && *beside != *under {
			*faults = append(*faults, fmt.Sprintf("%s and file.%s say different things", name, name))
		}
		for _, given := range []*string{under, beside} {
			if given != nil {
				*to = *given
			}
		}
	}
	file := in.File
	if file == nil {
		file = &fileOptions{}
	}
	take("encoding", in.Encoding, file.Encoding, &l.Encoding)
	take("delimiter", in.Delimiter, file.Delimiter, &l.Delimiter)
	take("quotechar", in.Quote, file.Quote, &l.Quote)
	take("escapechar", in.Escape, file.Escape, &l.Escape)
	take("quoting", in.Quoting, file.Quoting, &l.Quoting)
	take("linefeed", in.Linefeed, file.Linefeed, &l.Linefeed)
	if in.Double != nil && file.Double != nil && *in.Double != *file.Double {
		*faults = append(*faults, "doublequote and file.doublequote say different things")
	}
	l.Double = in.Double.Or(file.Double.Or(true))
	l.Header = in.Header.Or(true)
	l.Quoting = strings.TrimPrefix(strings.ToLower(l.Quoting), "quote_")
	written := strings.NewReplacer(`\r`, "\r", `\n`, "\n", `\t`, "\t") // as YAML without quotes, or with single ones, leaves them
	l.Linefeed = written.Replace(l.Linefeed)
	if l.Delimiter == `\t` {
		l.Delimiter = "\t"
	}
	if in.Format == "tsv" || in.Format == "csv" {
		*faults = append(*faults, l.Faults()...)
	} else if word := strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(l.Encoding)); word != "utf8" {
		*faults = append(*faults, fmt.Sprintf("encoding: a file of format %s is always utf-8", in.Format))
	}
	e.look = l
}

// extraction is an attempt.
type extraction struct {
	in       extractInput
	dtypes   map[string]table.Class
	look     table.Layout
	out      *output
	ctx      context.Context //nolint:containedctx // of the attempt, as the rest
	reporter executors.Reporter

	columns []table.Column
	writer  table.Writer
	rows    int64

	waiting [][]table.Value // until the classes of all columns are known
	size    int             // bytes of waiting
}

// Columns implements [sql.Rows].
func (e *extraction) Columns(columns []table.Column) error {
	have := map[string]bool{}
	unknown := false
	for i := range columns {
		have[columns[i].Name] = true
		if class, ok := e.dtypes[columns[i].Name]; ok {
			columns[i].Class = class
		}
		unknown = unknown || columns[i].Class == table.Unknown
	}
	for name := range e.dtypes {
		if !have[name] {
			return executors.Permanent(fmt.Errorf("dtypes names %.100q, and the result has no such column: it has %.500s", name, strings.Join(names(columns), ", ")))
		}
	}
	e.columns = columns
	if !unknown {
		return e.begin()
	}
	return nil
}

// begin opens the file.
func (e *extraction) begin() error {
	to, err := e.out.open()
	if err != nil {
		return err
	}
	switch e.in.Format {
	case "jsonl":
		e.writer = table.NewLines(to)
	case "parquet":
		e.writer = table.NewParquet(to)
	default:
		e.writer = table.NewSeparated(to, e.look)
	}
	return e.out.err(e.writer.Begin(e.columns))
}

// maxWaiting bounds the bytes of rows that wait until the classes of all columns are known.
const maxWaiting = 8 << 20

// Row implements [sql.Rows].
func (e *extraction) Row(values []table.Value) error {
	if e.writer != nil {
		return e.write(values)
	}
	kept := make([]table.Value, len(values))
	for i, v := range values {
		kept[i] = table.Value{Class: v.Class, Null: v.Null, Text: slices.Clone(v.Text)}
		e.size += len(v.Text)
	}
	if e.waiting = append(e.waiting, kept); len(e.waiting) >= e.in.fetchSize() || e.size >= maxWaiting {
		return e.decide()
	}
	return nil
}

// decide gives the columns that nobody knows the classes of the values that they had so far.
func (e *extraction) decide() error {
	for i := range e.columns {
		if e.columns[i].Class != table.Unknown {
			continue
		}
		for _, row := range e.waiting {
			if !row[i].Null {
				e.columns[i].Class = table.Common(e.columns[i].Class, row[i].Class)
			}
		}
		if e.columns[i].Class == table.Unknown {
			e.columns[i].Class = table.Text
		}
	}
	if err := e.begin(); err != nil {
		return err
	}
	for _, row := range e.waiting {
		if err := e.write(row); err != nil {
			return err
		}
	}
	e.waiting = nil
	return nil
}

func (e *extraction) write(values []table.Value) error {
	if err := e.out.err(e.writer.Row(values)); err != nil {
		return err
	}
	if e.rows++; e.rows%int64(e.in.fetchSize()) == 0 {
		e.reporter.Progress(0, fmt.Sprintf("%d rows", e.rows))
		if e.ctx.Err() != nil {
			return context.Cause(e.ctx)
		}
	}
	return nil
}

// end writes what is left.
func (e *extraction) end() error {
	if e.writer == nil {
		if err := e.decide(); err != nil {
			return err
		}
	}
	return e.out.err(e.writer.End())
}
