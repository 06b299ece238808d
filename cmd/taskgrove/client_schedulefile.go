package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
	"github.com/taskgrove/taskgrove/flows"
	"github.com/taskgrove/taskgrove/internal/rawjson"
	"github.com/taskgrove/taskgrove/internal/schedulefile"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

// scheduleFileHelp says what a file of schedules is.
const scheduleFileHelp = "FILE is YAML or JSON: taskgrove: 1, and schedules, a list; - is standard input. All faults of the file are told at once, by line and column, and nothing is\nstored then."

// written is a schedule that a command has stored, or found as the file has it.
type written struct {
	ID     string
	Change string // created, changed or unchanged
	Next   *client.ScheduleInfo
}

func scheduleCreateCommand() *cobra.Command {
	return clientCommand("create FILE|-", "Make the schedules of a file", "Makes the schedules of a file. One whose id is there already is refused; \"apply\" changes it. The file is read as a whole before.\n"+scheduleFileHelp,
		cobra.ExactArgs(1), func(ctx context.Context, s *session, args []string) error {
			name, text, err := s.scheduleText(args[0])
			if err != nil {
				return err
			}
			return s.schedulesOf(ctx, name, text, false, func(client.Schedule) (*client.ScheduleInfo, error) { return nil, nil })
		})
}

func scheduleApplyCommand() *cobra.Command {
	var timetable, dry bool
	var bundles bundleFlags
	cmd := clientCommand("apply FILE|-", "Make or change schedules, so that they are as a file says",
		"Makes the schedules of a file that are not there, and changes those that are otherwise. What has run stays. A schedule that the file does not name stays as it is.\n"+
			"Without \"paused\" in the file a schedule stays paused or not, as it is.\n"+scheduleFileHelp+"\n\n"+
			"FILE may be a scheduler file of AetherFlow, too, which has items: the flows that it names by flow_yaml, relative to it, are registered, and each item is a schedule of its flow. All\n"+
			"faults of all files are told as by \"flow validate\", with codes, and nothing is stored then. Bundles that it names by bundle_manifest are fetched and pushed, as by \"bundle sync --push\",\n"+
			"when this command runs. Names of the environment in the resources of their manifests have their values from this process's environment.", cobra.ExactArgs(1), nil)
	cmd.Flags().BoolVar(&timetable, "timetable", false, "FILE is a scheduler file of AetherFlow, whatever it looks like")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only look what is wrong, and what would change")
	bundles.bindDir(cmd)
	run(cmd, func(ctx context.Context, s *session, args []string) error {
		name, text, err := s.scheduleText(args[0])
		if err != nil {
			return err
		}
		if timetable || isTimetable(name, text) {
			return s.applyTimetable(ctx, cmd, &bundles, name, text, dry)
		}
		return s.schedulesOf(ctx, name, text, dry, func(want client.Schedule) (*client.ScheduleInfo, error) {
			is, err := s.Schedule(ctx, want.ID)
			if errors.Is(err, client.ErrNotFound) || errors.Is(err, client.ErrDenied) { // who may see their own only is not told whether it is there
				return nil, nil
			}
			return is, err
		})
	})
	return cmd
}

// sameSchedule reports whether two schedules say the same.
func sameSchedule(a, b client.Schedule) bool {
	x, xErr := json.Marshal(plainSchedule(a))
	y, yErr := json.Marshal(plainSchedule(b))
	return xErr == nil && yErr == nil && bytes.Equal(x, y)
}

// plainSchedule is a schedule whose times and documents are written in one way.
func plainSchedule(s client.Schedule) client.Schedule {
	for _, at := range []**time.Time{&s.StartAt, &s.EndAt} {
		if *at != nil {
			utc := (*at).UTC()
			*at = &utc
		}
	}
	texts := []*json.RawMessage{&s.Tree, &s.Parameters}
	if s.Flow != nil {
		flow := *s.Flow
		s.Flow, texts = &flow, append(texts, &flow.Params)
		if len(flow.Env) == 0 {
			flow.Env = nil
		}
	}
	for _, raw := range texts {
		var b bytes.Buffer
		if json.Compact(&b, *raw) == nil {
			*raw = b.Bytes()
		}
	}
	return s
}

// schedulesOf makes the schedules of a file, or changes those that there gives, and prints what has become of them. All are looked at before the first is stored. dry: nothing is
// stored.
func (s *session) schedulesOf(ctx context.Context, name string, file []byte, dry bool, there func(want client.Schedule) (*client.ScheduleInfo, error)) error {
	f, err := schedulefile.Read(name, file)
	if err != nil {
		return codedError{err, exitUsage}
	}
	changes := make([]scheduleChange, len(f.Schedules))
	var faults faultsOfFile
	for i, spec := range f.Schedules {
		c := &changes[i]
		c.want = scheduleToSend(spec)
		if c.is, err = there(c.want); err == nil && !c.settle() {
			_, err = s.PreviewSchedule(ctx, c.want, c.is, f.IDs())
		}
		if err := faults.add(f, i, err); err != nil {
			return err
		}
	}
	circles, err := s.circles(ctx, f.Schedules)
	if err != nil {
		return err
	}
	for i, spec := range f.Schedules {
		if text := circles[spec.ID]; text != "" {
			faults.once(f.FaultOf(i, "on.schedule", text))
		}
	}
	if err := faults.err(); err != nil {
		return err
	}
	if dry {
		return s.printDry(&flows.Report{OK: true, FlowYAML: name, Errors: []flows.Fault{}, Warnings: []flows.Fault{}}, changes)
	}
	done := []written{}
	for _, i := range f.InOrder() {
		c := &changes[i]
		info := c.is
		switch {
		case c.is == nil:
			info, err = s.CreateSchedule(ctx, c.want)
		case !c.same:
			info, err = s.UpdateSchedule(ctx, c.want, c.is.Revision)
		}
		if err != nil {
			return errors.Join(s.printWritten(done), scheduleFaults(f, i, err))
		}
		done = append(done, written{c.want.ID, c.change(), info})
	}
	return s.printWritten(done)
}

// scheduleChange is what is to become of one schedule of a file.
type scheduleChange struct {
	want client.Schedule
	is   *client.ScheduleInfo // nil: it is to be made
	same bool                 // nothing is to be changed
}

// settle has what the file does not say be as it is there, and reports whether nothing is to be changed.
func (c *scheduleChange) settle() bool {
	if c.is == nil {
		return false
	}
	if c.want.Paused == nil {
		c.want.Paused = c.is.Paused
	}
	if c.want.UserID == "" {
		c.want.UserID = c.is.UserID
	}
	c.same = sameSchedule(c.want, c.is.Schedule)
	return c.same
}

// faultsOfFile collects what a server says about the schedules of a file.
type faultsOfFile struct {
	faults []treefile.Fault
	more   int
}

// add takes what is wrong with the i-th schedule; another error is given back.
func (l *faultsOfFile) add(f *schedulefile.File, i int, err error) error {
	bad, ok := errors.AsType[*client.InvalidError](err)
	switch {
	case err == nil:
		return nil
	case !ok || len(bad.Faults) == 0:
		return errors.Join(l.err(), fmt.Errorf("%s: %w", schedulefile.PathOf(i, ""), err))
	}
	for _, one := range bad.Faults {
		l.faults = append(l.faults, f.FaultOf(i, one.Field, strings.TrimPrefix(one.Reason, one.Field+": ")))
	}
	l.more += bad.More
	return nil
}

// once adds a fault that may be there already.
func (l *faultsOfFile) once(fault treefile.Fault) {
	if !slices.Contains(l.faults, fault) {
		l.faults = append(l.faults, fault)
	}
}

// circles says of schedules, by their ids, that their runs would begin with their own ends, by each other or by what is stored: once for each circle, of the first of them. What the caller
// may not see is not followed: the cluster refuses it.
func (s *session) circles(ctx context.Context, all []*scheduledoc.Spec) (told map[string]string, err error) {
	on := map[string]string{} // by the id of a schedule; empty: its runs begin with the ends of no other one
	for _, spec := range all {
		on[spec.ID] = ""
		if spec.On != nil {
			on[spec.ID] = spec.On.Schedule
		}
	}
	before := func(id string) (string, error) {
		if of, known := on[id]; known {
			return of, nil
		}
		on[id] = ""
		switch is, err := s.Schedule(ctx, id); {
		case errors.Is(err, client.ErrNotFound), errors.Is(err, client.ErrDenied):
		case err != nil:
			return "", err
		case is.On != nil:
			on[id] = is.On.Schedule
		}
		return on[id], nil
	}
	told = map[string]string{}
	within := map[string]bool{} // a circle that is told
	for _, spec := range all {
		passed := map[string]bool{}
		at := on[spec.ID]
		for at != "" && at != spec.ID && !passed[at] {
			passed[at] = true
			if at, err = before(at); err != nil {
				return nil, err
			}
		}
		if at != spec.ID || within[at] || on[at] == at { // it is in none, or in one that is told; what names itself is told elsewhere
			continue
		}
		told[at] = fmt.Sprintf("runs of %s begin, by others or at once, with ends of this schedule's", on[at])
		maps.Copy(within, passed)
	}
	return told, nil
}

// err are the faults; nil: there are none.
func (l *faultsOfFile) err() error {
	if len(l.faults) == 0 {
		return nil
	}
	return codedError{treefile.Refuse(l.faults, l.more), exitUsage}
}

func (s *session) printWritten(done []written) error {
	if len(done) == 0 && s.forPeople() {
		return nil
	}
	shown := []map[string]any{}
	for _, w := range done {
		one := map[string]any{"id": w.ID, "change": w.Change, "revision": w.Next.Revision}
		if !w.Next.Next.IsZero() {
			one["next"] = w.Next.Next
		}
		shown = append(shown, one)
	}
	if !s.forPeople() {
		return s.format.write(s.out, shown)
	}
	return s.print(nil, func(w io.Writer) {
		for _, one := range done {
			fmt.Fprintf(w, "%s %s, %s\n", oneLine(one.ID), one.Change, nextText(one.Next))
		}
	})
}

// scheduleText reads a file of schedules.
func (s *session) scheduleText(name string) (shown string, text []byte, err error) {
	if name == "-" {
		name = "<stdin>"
		text, err = io.ReadAll(io.LimitReader(s.in, schedulefile.MaxBytes+1))
	} else {
		text, err = os.ReadFile(filepath.Clean(name))
	}
	if err != nil {
		return name, nil, codedError{err, exitUsage}
	}
	return name, text, nil
}

// scheduleFaults gives what a server says about a schedule the places of its file.
func scheduleFaults(f *schedulefile.File, i int, err error) error {
	var faults faultsOfFile
	if err := faults.add(f, i, err); err != nil {
		return err
	}
	return faults.err()
}

// scheduleToSend is a schedule of a file as the client has it.
func scheduleToSend(s *scheduledoc.Spec) client.Schedule {
	out := client.Schedule{ID: s.ID, Description: s.Description, Cron: s.Cron, Every: s.Every, Timezone: s.Timezone, Tree: s.Tree, Parameters: s.Parameters, Overlap: s.Overlap,
		MisfireGrace: s.MisfireGrace, Coalesce: s.Coalesce, Jitter: s.Jitter, StartAt: s.StartAt, EndAt: s.EndAt, MaxRuns: s.MaxRuns, AfterSuccess: s.AfterSuccess, Due: s.Due,
		Paused: s.Paused, UserID: s.UserID, Labels: s.Labels, Retention: s.Retention}
	if f := s.Flow; f != nil {
		out.Flow = &client.ScheduleFlow{ID: f.ID, Version: f.Version, Job: f.Job, Params: f.Params, Env: f.Env, Priority: f.Priority, Timeout: f.Timeout, NoDeps: f.NoDeps, JobOutputs: f.JobOutputs}
	}
	if s.On != nil {
		out.On = &client.ScheduleOn{Schedule: s.On.Schedule, Outcome: s.On.Outcome}
		if hook := s.On.Webhook; hook != nil {
			out.On.Webhook = &client.ScheduleWebhook{Parameters: hook.Parameters, Tolerance: string(hook.Tolerance)}
		}
	}
	return out
}

// runParameters gives a command flags with parameters of a run.
func runParameters(cmd *cobra.Command) func(ctx context.Context, s *session, id string) (json.RawMessage, error) {
	var set, files []string
	cmd.Flags().StringArrayVar(&set, "set", nil, "NAME=VALUE for a parameter, laid over the schedule's; VALUE is JSON where the tree file says another type than string; may be repeated")
	cmd.Flags().StringArrayVar(&files, "values", nil, "a file, in YAML or JSON, with values for parameters; --set goes before it; may be repeated, the last counts")
	return func(ctx context.Context, s *session, id string) (json.RawMessage, error) {
		all := map[string]json.RawMessage{}
		for _, name := range files {
			text, err := os.ReadFile(filepath.Clean(name))
			if err != nil {
				return nil, codedError{err, exitUsage}
			}
			f, err := treefile.Decode(name, text)
			if err != nil {
				return nil, codedError{err, exitUsage}
			}
			if err := json.Unmarshal(f.JSON, &all); err != nil {
				return nil, usage("%s: must be an object: a value for each name", name)
			}
		}
		var types map[string]string
		for _, one := range set {
			name, value, ok := strings.Cut(one, "=")
			if !ok || name == "" {
				return nil, usage("--set: want NAME=VALUE, got %q", one)
			}
			if types == nil {
				info, err := s.Schedule(ctx, id)
				if err != nil {
					return nil, err
				}
				types = parameterTypes(info.Tree)
			}
			all[name] = typedValue(value, types[name])
		}
		if len(all) == 0 {
			return nil, nil
		}
		return json.Marshal(all)
	}
}

// typedValue is a value of the command line: JSON where another type than a string is asked for.
func typedValue(value, kind string) json.RawMessage {
	if kind != "" && kind != "string" && json.Valid([]byte(value)) {
		return json.RawMessage(value)
	}
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // it is a string
	}
	return text
}

// parameterTypes are the types that a tree file says of its parameters.
func parameterTypes(tree json.RawMessage) map[string]string {
	if len(tree) > 0 && tree[0] == '"' {
		if text, whole := rawjson.Unquote(tree); whole {
			if f, err := treefile.Decode("tree", []byte(text)); err == nil {
				tree = f.JSON
			}
		}
	}
	var file struct {
		Parameters map[string]struct {
			Type    string
			Default any
		}
	}
	types := map[string]string{}
	if json.Unmarshal(tree, &file) != nil {
		return types
	}
	for name, p := range file.Parameters {
		_, text := p.Default.(string)
		if types[name] = p.Type; p.Type == "" && p.Default != nil && !text {
			types[name] = "any"
		}
	}
	return types
}
