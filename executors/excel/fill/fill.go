// Package fill fills workbooks: the executors that package excel describes, for programs that link what it takes.
//
// It owns reading templates and source files, the rules by which targets find their places (flows 6.3), and writing. It must not know where a
// task's files are (package workdir does). A workbook is saved by a library without the values of the targets, and these are put into the XML of
// its sheets while it is copied: so memory depends on the template, and not on how many rows there are.
package fill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/xuri/excelize/v2"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/excel"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// Config says what the executors may do.
type Config struct {
	// Place is the directory that the tasks of a pool may use beside their own; nil: none.
	Place func(pool string) workdir.Place
	// Enterprise reports whether anchors of a pool that are texts need a sheet (flows 4.7); nil: they never do.
	Enterprise func(pool string) bool
}

// New makes the executors, in the order of [excel.IDs].
func New(cfg Config) (all []executors.Executor) {
	if cfg.Place == nil {
		cfg.Place = func(string) workdir.Place { return workdir.Place{} }
	}
	if cfg.Enterprise == nil {
		cfg.Enterprise = func(string) bool { return false }
	}
	for _, id := range excel.IDs {
		all = append(all, &executor{cfg, id})
	}
	return all
}

type executor struct {
	cfg Config
	id  string
}

// Describe implements [executors.Executor].
func (e *executor) Describe() executors.Description { return excel.Describe(e.id) }

// Demo implements [executors.Demonstrator].
func (e *executor) Demo(call *executors.Call) (result any, takes time.Duration) {
	return excel.Demo(e.id, call), 0
}

// Run implements [executors.Executor].
func (e *executor) Run(ctx context.Context, call *executors.Call) (out *executors.Outcome, err error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}()
	w, err := workdir.OpenWorkspaceWith(ctx, call, []string{"targets"}, e.cfg.Place(call.Pool))
	if err != nil {
		return nil, err
	}
	defer w.Close()
	var result any
	if e.id == excel.ValidateTemplate {
		result, err = e.validate(ctx, call, w)
	} else {
		result, err = e.fill(ctx, call, w)
	}
	if err == nil {
		result, err = w.Keep(ctx, result)
	}
	if err != nil {
		return nil, err
	}
	return executors.Completed(result), nil
}

func (e *executor) open(ctx context.Context, w *workdir.Workspace, given string) (*template, workdir.Spot, error) {
	spot, err := w.At("template_path", given)
	if err != nil {
		return nil, spot, err
	}
	scratch, err := w.Scratch("excel")
	if err != nil {
		return nil, spot, err
	}
	t, err := readTemplate(ctx, spot, scratch)
	return t, spot, err
}

func (e *executor) validate(ctx context.Context, call *executors.Call, w *workdir.Workspace) (any, error) {
	in, faults := excel.ReadWanted(w.Inputs)
	if len(faults) > 0 {
		return nil, executors.Invalid(e.id, strings.Join(faults, "; "))
	}
	t, _, err := e.open(ctx, w, in.Template)
	if err != nil {
		return nil, err
	}
	defer t.Close() //nolint:errcheck // it was only read
	return guarded(func() (any, error) { return t.validate(in, e.cfg.Enterprise(call.Pool)) })
}

// guarded makes an error of a panic of the library, which may come of a template that somebody made for that.
func guarded[T any](do func() (T, error)) (got T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = badTemplate("is no sound workbook: %.200v", p)
		}
	}()
	return do()
}

func (e *executor) fill(ctx context.Context, call *executors.Call, w *workdir.Workspace) (any, error) {
	in, faults := excel.Read(e.id, w.Inputs)
	if len(faults) > 0 {
		return nil, executors.Invalid(e.id, strings.Join(faults, "; "))
	}
	output, err := w.At("output", in.Output)
	if err == nil {
		err = output.Writable("output")
	}
	if err != nil {
		return nil, err
	}
	sources := make([]workdir.Spot, len(in.Targets))
	for i, t := range in.Targets {
		if t.Source == "" {
			continue
		}
		field := t.Field + ".source_path"
		if sources[i], err = w.At(field, t.Source); err == nil {
			err = same(output, sources[i], field)
		}
		if err != nil {
			return nil, err
		}
	}
	t, from, err := e.open(ctx, w, in.Template)
	if err != nil {
		return nil, err
	}
	defer t.Close() //nolint:errcheck // it was only read
	if err := same(output, from, "template_path"); err != nil {
		return nil, err
	}
	if t.macros && !strings.EqualFold(path.Ext(in.Output), ".xlsm") {
		return nil, executors.Invalid(e.id, "output must end in .xlsm, as the template has macros")
	}
	t.Path = "output" + strings.ToLower(path.Ext(in.Output)) // of which the library takes what kind of workbook it is
	return guarded(func() (any, error) {
		jobs, err := e.place(ctx, call, t, in, sources)
		defer func() {
			for _, j := range jobs {
				j.close()
			}
		}()
		if err != nil {
			return nil, err
		}
		b, err := t.save(ctx, jobs)
		if err != nil {
			return nil, err
		}
		err = store(output, func(file io.Writer) error {
			return b.copyTo(ctx, file, func(done float64) { call.Reporter.Progress(done, "writing "+path.Base(in.Output)) })
		})
		if err != nil {
			return nil, err
		}
		filled := &excel.Filled{Output: output.Shown(), Written: []excel.Written{}}
		for _, j := range jobs {
			filled.Written = append(filled.Written, j.report())
		}
		return filled, nil
	})
}

// place reads all sources, finds all places and gives the workbook its structure. The jobs must be closed even where there is an error.
func (e *executor) place(ctx context.Context, call *executors.Call, t *template, in *excel.Inputs, sources []workdir.Spot) (jobs []*job, err error) {
	var problems []error
	for i := range in.Targets {
		target := &in.Targets[i]
		var tab *table
		if e.id == excel.FillSmall {
			tab = small(target, t.dates)
		} else if tab, err = fromFile(target, sources[i], t.dates); err != nil {
			problems = append(problems, err)
			continue
		}
		j, err := t.locate(tab, e.cfg.Enterprise(call.Pool))
		if err != nil {
			tab.close()
			problems = append(problems, err)
			continue
		}
		jobs = append(jobs, j)
	}
	if len(problems) > 0 {
		return jobs, joined(problems)
	}
	budget := int64(maxCells)
	for _, j := range jobs {
		if err := j.survey(ctx, &budget); err != nil {
			if ctx.Err() != nil {
				return jobs, err
			}
			problems = append(problems, err)
		} else if err := j.measure(); err != nil {
			problems = append(problems, err)
		}
	}
	if len(problems) > 0 {
		return jobs, joined(problems)
	}
	inserts, err := arrange(jobs)
	if err != nil {
		return jobs, err
	}
	return jobs, t.shape(ctx, jobs, inserts)
}

// joined is several errors as one of the first's kind, which may be retried if one of them may.
func joined(errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	texts := make([]string, 0, len(errs))
	permanent := true
	for _, err := range errs {
		texts = append(texts, err.Error())
		permanent = permanent && executors.IsPermanent(err)
	}
	if len(texts) > 20 {
		texts = append(texts[:20:20], fmt.Sprintf("and %d more", len(texts)-20))
	}
	err := errors.New(strings.Join(texts, "; "))
	if permanent {
		err = executors.Permanent(err)
	}
	return executors.WithKind(err, executors.KindOf(errs[0]))
}

// report says what the job has written.
func (j *job) report() excel.Written {
	start, _ := excelize.CoordinatesToCellName(j.col, j.first)
	t := j.target
	return excel.Written{
		Name: t.Name, Sheet: j.sheet, Rows: j.rowsWritten(), Cols: j.cols(), Mode: t.Mode, Insert: t.Insert, HeaderMode: t.HeaderMode,
		HeaderStyle: t.HeaderStyle, TypeCast: j.cast.cast, StyleMode: t.StyleMode, StartCell: start, TemplateHasHeader: j.hasHeader,
	}
}
