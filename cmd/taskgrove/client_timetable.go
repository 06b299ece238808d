package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/flows"
	"github.com/taskgrove/taskgrove/internal/treefile"
	"github.com/taskgrove/taskgrove/node"
)

// isTimetable reports whether a text is a scheduler file of AetherFlow: a map with items, and without what files of schedules have.
func isTimetable(name string, text []byte) bool {
	f, err := treefile.Decode(name, text)
	var top map[string]json.RawMessage
	if err != nil || json.Unmarshal(f.JSON, &top) != nil {
		return false
	}
	return top["items"] != nil && top["taskgrove"] == nil && top["schedules"] == nil
}

// timetable is a scheduler file that is to be applied.
type timetable struct {
	*session
	*flows.Timetable
	dir   string // that paths are relative to
	files map[string]*timetableFlow
	order []*timetableFlow
	of    map[int]*timetableFlow // by item
}

// timetableFlow is a flow that a scheduler file names.
type timetableFlow struct {
	path string
	text []byte
	id   string // empty: it has faults
}

// applyTimetable registers the flows of a scheduler file, and makes its items schedules. All is looked at before the first is stored. dry: nothing is stored.
func (s *session) applyTimetable(ctx context.Context, name string, text []byte, dry bool) error {
	read, report := flows.ReadTimetable(name, text)
	if read == nil {
		return s.refuseTimetable(report)
	}
	t := &timetable{session: s, Timetable: read, dir: filepath.Dir(name), files: map[string]*timetableFlow{}, of: map[int]*timetableFlow{}}
	for i := range t.Items {
		t.flow(i)
	}
	if report := t.Report(); !report.OK {
		return s.refuseTimetable(report)
	}
	changes, err := t.preview(ctx)
	if err != nil {
		return err
	}
	report = t.Report()
	if !report.OK {
		return s.refuseTimetable(report)
	}
	if dry {
		return s.printDry(report, changes)
	}
	for _, w := range report.Warnings {
		if err := s.note("warning: %s", w.Text(name)); err != nil {
			return err
		}
	}
	return t.store(ctx, changes)
}

// refuseTimetable prints all that is wrong.
func (s *session) refuseTimetable(report *flows.Report) error {
	if err := s.refuseFlow(report); !errors.As(err, new(codedError)) {
		return err
	}
	return codedError{errors.New("the scheduler file is invalid, and nothing is stored"), exitUsage}
}

// flow reads the flow of an item, and tells what is wrong with it and with what the item gives it.
func (t *timetable) flow(i int) {
	item := t.Items[i]
	if item.Flow.Manifest != "" {
		t.Tell(i, "bundle_manifest", flows.CodeNoBundles, "schedules can't run flows of bundles yet: register the flow, and name it by flow_id, or its file by flow_yaml")
		return
	}
	if item.Flow.YAML == "" {
		return
	}
	path := filepath.FromSlash(item.Flow.YAML)
	if !filepath.IsAbs(path) {
		path = filepath.Join(t.dir, path)
	}
	f, known := t.files[path]
	if !known {
		f = &timetableFlow{path: path}
		t.files[path] = f
		text, err := readBounded(path, flows.MaxBytes)
		if err != nil {
			f = nil
			t.files[path] = nil
			t.Tell(i, "flow_yaml", flows.CodeFlowFile, "%s", reasonOfFile(err))
			return
		}
		f.text = text
		id, report := flows.Register(path, text, node.FlowOptions())
		report.Warnings = slices.DeleteFunc(report.Warnings, func(f flows.Fault) bool { return f.Code == flows.CodeUnsetEnv }) // items give it
		t.Add(path, report)
		for _, other := range t.order {
			if id != "" && other.id == id && string(other.text) != string(text) {
				t.Tell(i, "flow_yaml", flows.CodeFlowTwice, "is the flow %s, and so is %s, which says something else", id, other.path)
			}
		}
		if f.id = id; id != "" {
			t.order = append(t.order, f)
		}
	}
	if f == nil || f.id == "" {
		return // it is told
	}
	t.of[i] = f
	opts := node.FlowOptions()
	opts.Env, opts.Job, opts.Priority, opts.Timeout = item.Flow.Env, item.Flow.Job, item.Flow.Priority, item.Flow.Timeout
	opts.Schedule = &flows.Schedule{ID: item.ID, FireTime: time.Now()}
	if tree, report := flows.Compile(path, f.text, "run", opts); tree == nil {
		for _, fault := range report.Errors {
			t.Tell(i, keyOfItem(fault), fault.Code, "%s", fault.Text(path))
		}
	}
}

// keyOfItem is the key of an item that a fault of its run comes from.
func keyOfItem(f flows.Fault) string {
	switch {
	case f.Loc == "job":
		return "flow_job"
	case f.Code == flows.CodeMissingEnv, f.Code == flows.CodeSecretValue && f.Line == 0:
		return "env"
	}
	return "flow_yaml"
}

func reasonOfFile(err error) string {
	if bad, ok := errors.AsType[*os.PathError](err); ok {
		return fmt.Sprintf("%s: %v", bad.Path, bad.Err)
	}
	return err.Error()
}

// readBounded reads a file, of which one byte more than the most is enough to refuse it.
func readBounded(path string, most int64) ([]byte, error) {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: is no file", path)
	}
	return io.ReadAll(io.LimitReader(f, most+1))
}

// want is an item as a schedule.
func (t *timetable) want(i int) client.Schedule {
	item := t.Items[i]
	spec := item.Spec
	out := client.Schedule{ID: item.ID, Cron: spec.Cron, Timezone: spec.Timezone, Overlap: spec.Overlap, MisfireGrace: wholeSeconds(spec.MisfireGrace), Coalesce: new(spec.Coalesce), Paused: spec.Paused,
		Flow: &client.ScheduleFlow{ID: item.Flow.ID, Job: item.Flow.Job, Env: item.Flow.Env, Priority: item.Flow.Priority, Timeout: item.Flow.Timeout}}
	if spec.Every != 0 {
		out.Every = wholeSeconds(spec.Every)
	}
	if spec.Jitter != 0 {
		out.Jitter = wholeSeconds(spec.Jitter)
	}
	if at, err := time.Parse(time.RFC3339, spec.StartAt); err == nil {
		out.StartAt = &at
	}
	if f := t.of[i]; f != nil {
		out.Flow.ID = f.id
	}
	return out
}

func wholeSeconds(n float64) string { return strconv.FormatInt(int64(n), 10) }

// keysOfItems are the keys of items by those of schedules.
var keysOfItems = map[string]string{"every": "every_seconds", "misfire_grace": "misfire_grace_time", "jitter": "jitter_seconds", "flow": "flow_yaml", "flow.id": "flow_id", "flow.job": "flow_job", "flow.env": "env",
	"flow.priority": "priority", "flow.timeout_seconds": "run_timeout_seconds", "flow.params": "flow_yaml"}

// preview asks the cluster what would become of the flows and the items, and tells what it refuses.
func (t *timetable) preview(ctx context.Context) ([]scheduleChange, error) {
	var ids []string
	for _, f := range t.order {
		ids = append(ids, f.id)
		_, err := t.ApplyFlow(ctx, client.FlowApply{Name: f.path, Text: f.text, Preview: true})
		if err := t.refused(t.itemOf(f), err, "flow_yaml"); err != nil {
			return nil, err
		}
	}
	changes := make([]scheduleChange, len(t.Items))
	for i := range t.Items {
		c := &changes[i]
		c.want = t.want(i)
		is, err := t.Schedule(ctx, c.want.ID)
		switch {
		case errors.Is(err, client.ErrNotFound), errors.Is(err, client.ErrDenied): // who may see their own only is not told whether it is there
		case err != nil:
			return nil, err
		default:
			c.is = is
		}
		if c.settle() {
			continue
		}
		_, err = t.PreviewSchedule(ctx, c.want, c.is, nil, ids...)
		if err := t.refused(i, err, ""); err != nil {
			return nil, err
		}
	}
	return changes, nil
}

// itemOf is the first item that names a flow.
func (t *timetable) itemOf(f *timetableFlow) int {
	for i := range t.Items {
		if t.of[i] == f {
			return i
		}
	}
	return 0
}

// refused tells what the cluster does not take of an item; another error is given back. key: of the item; empty: the faults say it.
func (t *timetable) refused(i int, err error, key string) error {
	bad, ok := errors.AsType[*client.InvalidError](err)
	switch {
	case err == nil:
		return nil
	case !ok || len(bad.Faults) == 0:
		return fmt.Errorf("%s: %w", t.Items[i].Loc, err)
	}
	for _, one := range bad.Faults {
		at := key
		if at == "" {
			at = one.Field
			if as := keysOfItems[at]; as != "" {
				at = as
			}
		}
		t.Tell(i, at, flows.CodeRefusedSchedule, "%s", strings.TrimPrefix(one.Reason, one.Field+": "))
	}
	return nil
}

// change is what becomes of a schedule.
func (c *scheduleChange) change() string {
	switch {
	case c.is == nil:
		return "created"
	case !c.same:
		return "changed"
	}
	return "unchanged"
}

// printDry prints what is wrong, which is no error, and what would be stored.
func (s *session) printDry(report *flows.Report, changes []scheduleChange) error {
	if !s.forPeople() {
		return printReports(s.out, []*flows.Report{report}, formatJSON)
	}
	return s.print(nil, func(w io.Writer) {
		_ = report.Text(w)
		for _, c := range changes {
			fmt.Fprintf(w, "%s would be %s\n", oneLine(c.want.ID), c.change())
		}
	})
}

// store registers the flows, and makes or changes the schedules.
func (t *timetable) store(ctx context.Context, changes []scheduleChange) error {
	for _, f := range t.order {
		got, err := t.ApplyFlow(ctx, client.FlowApply{Name: f.path, Text: f.text})
		if err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
		if got.Fresh {
			if err := t.note("%s: version %d", got.ID, got.Version); err != nil {
				return err
			}
		}
	}
	done := []written{}
	for i := range changes {
		c := &changes[i]
		info, err := c.is, error(nil)
		switch {
		case c.is == nil:
			info, err = t.CreateSchedule(ctx, c.want)
		case !c.same:
			info, err = t.UpdateSchedule(ctx, c.want, c.is.Revision)
		}
		if err != nil {
			return errors.Join(t.printWritten(done), fmt.Errorf("%s: %w", t.Items[i].Loc, err))
		}
		done = append(done, written{c.want.ID, c.change(), info})
	}
	return t.printWritten(done)
}
