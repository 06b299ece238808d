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

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/flows"
	"github.com/taskgrove/taskgrove/flows/env"
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
	of    map[int]*timetableFlow    // by item
	env   map[int]map[string]string // of flows of bundles, by item: what the manifest and the item give

	cmd     *cobra.Command
	dirs    *bundleFlags
	bundles map[string]*timetableBundle // by the path of the manifest
	pushed  []*fetchedBundle            // what is to be, in the order of the items
}

// timetableBundle is a bundle that a scheduler file names.
type timetableBundle struct {
	*fetchedBundle       // nil: it has faults
	reason         error // why it can't be fetched; nil: it is fetched, or its faults are told
}

// timetableFlow is a flow that a scheduler file names.
type timetableFlow struct {
	path string
	text []byte
	id   string // empty: it has faults

	bundle *fetchedBundle // nil: it is of none
}

// bundleID is that of the bundle that its runs are of; empty: they are of none.
func (f *timetableFlow) bundleID() string {
	if f.bundle == nil {
		return ""
	}
	return f.bundle.m.ID
}

// applyTimetable registers the flows of a scheduler file, and makes its items schedules. All is looked at before the first is stored. dry: nothing is stored.
func (s *session) applyTimetable(ctx context.Context, cmd *cobra.Command, dirs *bundleFlags, name string, text []byte, dry bool) error {
	read, report := flows.ReadTimetable(name, text)
	if read == nil {
		return s.refuseTimetable(report)
	}
	t := &timetable{session: s, Timetable: read, dir: filepath.Dir(name), files: map[string]*timetableFlow{}, of: map[int]*timetableFlow{}, env: map[int]map[string]string{},
		cmd: cmd, dirs: dirs, bundles: map[string]*timetableBundle{}}
	for i := range t.Items {
		if err := t.flow(ctx, i); err != nil {
			return err
		}
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

// flow reads the flow of an item, and tells what is wrong with it and with what the item gives it. An error is none of the files'.
func (t *timetable) flow(ctx context.Context, i int) error {
	item := t.Items[i]
	var b *fetchedBundle
	if item.Flow.Manifest != "" && item.Flow.ID == "" {
		var err error
		if b, err = t.bundle(ctx, i); b == nil {
			return err // nil: it is told
		}
	} else if item.Flow.YAML == "" {
		return nil
	}
	f := t.file(i, b)
	if f == nil {
		return nil // it is told
	}
	t.of[i] = f
	opts := node.FlowOptions()
	opts.Env = item.Flow.Env
	if b != nil {
		opts = b.options(opts)
		named := env.Values{}
		for name, value := range item.Flow.Env {
			named[name] = env.Value{Text: value}
		}
		opts.Env = (&envGiven{files: b.given.files, named: named}).of(f.text, b.uses)
		t.env[i] = opts.Env
	}
	opts.Job, opts.Priority, opts.Timeout = item.Flow.Job, item.Flow.Priority, item.Flow.Timeout
	opts.NoDeps, opts.JobOutputs = item.Flow.NoDeps, item.Flow.JobOutputs
	opts.Schedule = &flows.Schedule{ID: item.ID, FireTime: time.Now()}
	tree, report, err := compiled(ctx, f.path, f.text, "run", opts)
	if err != nil {
		return err
	}
	if tree == nil {
		for _, fault := range report.Errors {
			t.Tell(i, keyOfItem(fault), fault.Code, "%s", fault.Text(f.path))
		}
	}
	return nil
}

// file reads the file of an item's flow, once; nil: it has faults, which are told. b: what it is a file of.
func (t *timetable) file(i int, b *fetchedBundle) *timetableFlow {
	item := t.Items[i]
	path, key, at := filepath.FromSlash(item.Flow.YAML), "", "flow_yaml"
	switch {
	case b == nil:
		path = t.path(path)
		key = path
	case path == "":
		path, at = b.m.EntryFlow, "bundle_manifest"
		fallthrough
	default:
		path = filepath.ToSlash(path)
		key = b.m.ID + "\x00" + path
	}
	if f, known := t.files[key]; known {
		if f == nil || f.id == "" {
			return nil
		}
		return f
	}
	t.files[key] = nil
	f := &timetableFlow{path: path, bundle: b}
	opts := node.FlowOptions()
	if b == nil {
		text, err := readBounded(path, flows.MaxBytes)
		if err != nil {
			t.Tell(i, at, flows.CodeFlowFile, "%s", reasonOfFile(err))
			return nil
		}
		f.text = text
	} else {
		text, bad := bundleFile(os.DirFS(b.result.Root), path)
		if bad != nil {
			t.Tell(i, at, flows.CodeBundleFile, "%s: %s", path, bad.Errors[0].Msg)
			return nil
		}
		f.text, opts = text, b.options(opts)
	}
	t.files[key] = f
	id, report := flows.Register(path, f.text, opts)
	report.Warnings = slices.DeleteFunc(report.Warnings, func(f flows.Fault) bool { return f.Code == flows.CodeUnsetEnv }) // items give it
	t.Add(path, report)
	for _, other := range t.order {
		if id != "" && other.id == id && (string(other.text) != string(f.text) || other.bundleID() != f.bundleID()) {
			t.Tell(i, at, flows.CodeFlowTwice, "is the flow %s, and so is %s, which says something else, or is of another bundle", id, other.path)
		}
	}
	if f.id = id; id == "" {
		return nil
	}
	t.order = append(t.order, f)
	return f
}

// path is a path that the file has.
func (t *timetable) path(of string) string {
	if of = filepath.FromSlash(of); filepath.IsAbs(of) {
		return of
	}
	return filepath.Join(t.dir, of)
}

// bundle fetches the bundle of an item, once for all items that name its manifest; nil: it has faults, which are told. An error is none of the files'.
func (t *timetable) bundle(ctx context.Context, i int) (*fetchedBundle, error) {
	name := t.Items[i].Flow.Manifest
	path := t.path(name)
	b, known := t.bundles[path]
	if !known {
		b = &timetableBundle{}
		t.bundles[path] = b
		from := &runBundleFlags{bundleFlags: *t.dirs, manifest: path, stale: slices.ContainsFunc(t.Items, func(other *flows.TimetableItem) bool { return other.AllowStale && t.path(other.Flow.Manifest) == path })}
		got, bad, err := from.fetchAll(ctx, t.cmd, &envGiven{})
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			b.reason = err
		case bad != nil:
			t.Add(bad.FlowYAML, bad)
		default:
			if at := slices.IndexFunc(t.pushed, func(other *fetchedBundle) bool { return other.m.ID == got.m.ID }); at >= 0 {
				b.reason = fmt.Errorf("the bundle is %s, and so is that of another manifest of this file", got.m.ID)
				break
			}
			b.fetchedBundle = got
			t.pushed = append(t.pushed, got)
			if got.result.Stale {
				if err := t.note("the source of %s fails, and the version that was fetched last counts: %s", got.m.ID, oneLine(got.result.Reason)); err != nil {
					return nil, err
				}
			}
		}
	}
	switch {
	case b.reason != nil:
		t.Tell(i, "bundle_manifest", flows.CodeBundleFetch, "%s", oneLine(b.reason.Error()))
	case b.fetchedBundle != nil && b.result.Stale && !t.Items[i].AllowStale:
		t.Tell(i, "bundle_manifest", flows.CodeBundleFetch, "the source fails, and allow_stale_bundle is not true: %s", oneLine(b.result.Reason))
	default:
		return b.fetchedBundle, nil
	}
	return nil, nil
}

// keyOfItem is the key of an item that a fault of its run comes from.
func keyOfItem(f flows.Fault) string {
	switch {
	case f.Loc == "job":
		return "flow_job"
	case f.Loc == "no_deps":
		return "no_deps"
	case strings.HasPrefix(f.Loc, "job_outputs"):
		return "job_outputs"
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
		Flow: &client.ScheduleFlow{ID: item.Flow.ID, Job: item.Flow.Job, Env: item.Flow.Env, Priority: item.Flow.Priority, Timeout: item.Flow.Timeout, NoDeps: item.Flow.NoDeps, JobOutputs: item.Flow.JobOutputs}}
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
		if f.bundle != nil {
			out.Flow.Env = t.env[i]
		}
	}
	return out
}

func wholeSeconds(n float64) string { return strconv.FormatInt(int64(n), 10) }

// keysOfItems are the keys of items by those of schedules.
var keysOfItems = map[string]string{"every": "every_seconds", "misfire_grace": "misfire_grace_time", "jitter": "jitter_seconds", "flow": "flow_yaml", "flow.id": "flow_id", "flow.job": "flow_job", "flow.no_deps": "no_deps", "flow.job_outputs": "job_outputs", "flow.env": "env",
	"flow.priority": "priority", "flow.timeout_seconds": "run_timeout_seconds", "flow.params": "flow_yaml"}

// preview asks the cluster what would become of the flows and the items, and tells what it refuses.
func (t *timetable) preview(ctx context.Context) ([]scheduleChange, error) {
	var ids []string
	for _, f := range t.order {
		ids = append(ids, f.id)
		if f.bundle != nil { // the cluster can judge it once it has the bundle
			continue
		}
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

// store pushes the bundles, registers the flows, and makes or changes the schedules. What one needs is there before it.
func (t *timetable) store(ctx context.Context, changes []scheduleChange) error {
	for _, b := range t.pushed {
		got, err := t.pushBundle(ctx, b.m, b.result, "")
		if err != nil {
			return fmt.Errorf("bundle %s: %w", b.m.ID, err)
		}
		if got.Fresh {
			if err := t.note("bundle %s: %.12s", got.ID, got.Fingerprint); err != nil {
				return err
			}
		}
	}
	for _, f := range t.order {
		got, err := t.ApplyFlow(ctx, client.FlowApply{Name: f.path, Text: f.text, Bundle: f.bundleID()})
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
