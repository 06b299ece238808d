package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/flows"
	"github.com/taskgrove/taskgrove/internal/treefile"
	"github.com/taskgrove/taskgrove/node"
)

const flowRefHelp = "A flow is a file, - for stdin, or, where there is no such file, the id of a registered flow."

const runRefHelp = "A run is named by its id, or as FLOW/RUN where several flows have such a run."

// flowIDOf is the id of a registered flow that an argument is; empty: it is a file.
func flowIDOf(arg string) string {
	if arg == "-" || !flows.ValidID(arg) || slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(arg)) {
		return ""
	}
	if _, err := os.Stat(arg); err == nil {
		return ""
	}
	return arg
}

// givenFlow is a flow that an argument names.
type givenFlow struct {
	id      string // of a registered one; empty: it is a file
	version int    // of it
	name    string // what faults call it
	text    []byte
}

// flow reads the flow that an argument names.
func (s *session) flow(ctx context.Context, cmd *cobra.Command, arg string, version int) (*givenFlow, error) {
	if id := flowIDOf(arg); id != "" {
		f, err := s.Flow(ctx, id, version)
		switch {
		case errors.Is(err, client.ErrNotFound) && version == 0:
			return nil, fmt.Errorf("%w: there is neither a file nor a registered flow %s (\"taskgrove flow list\")", err, id)
		case errors.Is(err, client.ErrNotFound):
			return nil, fmt.Errorf("%w: there is no version %d of a registered flow %s (\"taskgrove flow list\")", err, version, id)
		case err != nil:
			return nil, err
		}
		return &givenFlow{id: id, version: f.Version, name: id, text: []byte(f.Text)}, nil
	}
	if version != 0 {
		return nil, usage("--version: is that of a registered flow, and %s is a file", arg)
	}
	name, text, err := readFlow(cmd, arg)
	return &givenFlow{name: name, text: text}, err
}

// sent is the text that goes to the coordinator; empty: it has the flow.
func (f *givenFlow) sent() []byte {
	if f.id != "" {
		return nil
	}
	return f.text
}

// faults tells what is wrong with a flow of a bundle as its report does, if that is why it was refused.
func (s *session) faults(err error, f *givenFlow, runID string, given flows.Options) error {
	if !errors.Is(err, client.ErrInvalid) {
		return err
	}
	opts := node.FlowOptions()
	opts.Env, opts.Set, opts.Profiles, opts.Job, opts.Priority = given.Env, given.Set, given.Profiles, given.Job, given.Priority
	opts.NoDeps, opts.JobOutputs = given.NoDeps, given.JobOutputs
	opts.Bundle, opts.Secrets, opts.Public, opts.Archives, opts.Plugins = given.Bundle, given.Secrets, given.Public, given.Archives, given.Plugins
	if tree, report := flows.Compile(f.name, f.text, runID, opts); tree == nil {
		return s.refuseFlow(report)
	}
	return err
}

// refused tells the report of a flow, if faults are why it was refused.
func (s *session) refused(ctx context.Context, err error, check client.FlowCheck, text []byte) error {
	if !errors.Is(err, client.ErrInvalid) {
		return err
	}
	if report := s.reportOn(ctx, check, text); report != nil {
		return s.refuseFlow(report)
	}
	return err
}

// reportOn is the report of a flow that was refused: the coordinator's, or this program's if that can't be had; nil: nothing is wrong with it by that.
func (s *session) reportOn(ctx context.Context, check client.FlowCheck, text []byte) *flows.Report {
	var report *flows.Report
	if got, err := s.ValidateFlow(ctx, check); err == nil {
		report = reportOf(got)
	} else {
		_, report = flows.Read(check.Name, text, node.FlowOptions())
	}
	if report.OK {
		return nil
	}
	return report
}

// noRun says of a run that is not there where the others are listed.
func noRun(err error, name string) error {
	if !errors.Is(err, client.ErrNotFound) {
		return err
	}
	return fmt.Errorf("%w: there is no run %s (\"taskgrove run list\")", err, oneLine(name))
}

// namedRun is the run that an argument names.
func (s *session) namedRun(ctx context.Context, name string) (*client.FlowRun, error) {
	r, err := s.FlowRun(ctx, name)
	return r, noRun(err, name)
}

// noFlow says of a registered flow that is not there where the others are listed.
func noFlow(err error, id string) error {
	if !errors.Is(err, client.ErrNotFound) {
		return err
	}
	return fmt.Errorf("%w: there is no registered flow %s, or none of that version (\"taskgrove flow list\")", err, oneLine(id))
}

// raw are the values of files as one object, and those of --set as they were typed.
func (v *valueFlags) raw() (params json.RawMessage, set []string, err error) {
	all := map[string]json.RawMessage{}
	for _, name := range v.files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, nil, codedError{err, exitUsage}
		}
		f, err := treefile.Decode(name, text)
		if err != nil {
			return nil, nil, codedError{err, exitUsage}
		}
		if err := json.Unmarshal(f.JSON, &all); err != nil {
			return nil, nil, codedError{fmt.Errorf("%s: must be an object of values", name), exitUsage}
		}
	}
	if len(all) == 0 {
		return nil, v.set, nil
	}
	params, err = json.Marshal(all)
	return params, v.set, err
}

// runFollow is how a command waits for a run.
type runFollow struct{ wait, follow, cancel, failOnBlocked bool }

func (f *runFollow) bind(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.wait, "wait", true, "wait for the end of the run; without, print the id of its tree")
	f.bindWaiting(cmd)
}

// bindWaiting binds the flags of a command that waits anyway.
func (f *runFollow) bindWaiting(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&f.follow, "follow", "f", false, "print a line to stderr for each event while the run goes on")
	cmd.Flags().BoolVar(&f.cancel, "cancel-on-interrupt", false, "cancel the run if the command is interrupted")
	cmd.Flags().BoolVar(&f.failOnBlocked, "fail-on-blocked", false, "exit with 3 if no job failed and one was blocked")
}

// interrupted is how long a run may take to be cancelled by a command that ends.
const interrupted = 10 * time.Second

// await waits for a run that has begun, and says what it has come to.
func (s *session) await(ctx context.Context, run *client.FlowRun, f *runFollow) error {
	for _, w := range run.Warnings {
		if err := s.note("warning: %s", w); err != nil {
			return err
		}
	}
	if !f.wait {
		if s.forPeople() {
			if err := s.note("run %s of %s: \"taskgrove run get %[2]s/%[1]s\" shows it", run.RunID, run.FlowID); err != nil {
				return err
			}
		}
		return s.print(run, func(w io.Writer) { fmt.Fprintln(w, run.TreeID) })
	}
	if err := s.waitRun(ctx, run, f); err != nil {
		switch {
		case ctx.Err() == nil:
			return err
		case !f.cancel:
			return codedError{fmt.Errorf("interrupted; run %s of %s goes on: \"taskgrove run wait %[2]s/%[1]s\" waits for it, \"taskgrove run cancel %[2]s/%[1]s\" ends it", run.RunID, run.FlowID), exitInterrupted}
		}
		ending, stop := context.WithTimeout(context.WithoutCancel(ctx), interrupted)
		defer stop()
		if _, failed := s.CancelFlowRun(ending, run.FlowID+"/"+run.RunID, "the command was interrupted"); failed != nil {
			return codedError{fmt.Errorf("interrupted; the run could not be cancelled, and goes on: %w", failed), exitInterrupted}
		}
		return codedError{errors.New("interrupted; the run was cancelled"), exitInterrupted}
	}
	ended, err := s.FlowRun(ctx, run.FlowID+"/"+run.RunID)
	if err != nil {
		return err
	}
	result := s.printRun(ended, f.failOnBlocked)
	if ended.Outcome == runFailed && s.forPeople() {
		if err := s.noteFailed(ctx, ended); err != nil {
			return err
		}
	}
	return result
}

// noteExisting notes that a run was there, and that it was not begun.
func (s *session) noteExisting(r *client.FlowRun) error {
	if !r.Existing {
		return nil
	}
	return s.note("run %s of %s is there already, and was not begun again", r.RunID, r.FlowID)
}

// Of so many steps that failed, so many last lines are shown.
const (
	shownFailed = 3
	shownLines  = 20
)

// noteFailed shows what the first steps that failed wrote last, and how to go on.
func (s *session) noteFailed(ctx context.Context, r *client.FlowRun) error {
	page, err := s.TasksPage(ctx, client.TaskFilter{TreeOf: r.TreeID, Status: client.StatusFailed, PageSize: wholeTree})
	if err != nil {
		return err
	}
	shown := 0
	for _, t := range page.Items {
		if t.Executor == "" || shown == shownFailed {
			continue
		}
		shown++
		said := false
		for line, err := range s.Logs(ctx, t.ID, client.LogFilter{Attempt: t.Attempt, Tail: shownLines}) {
			if err != nil {
				break // it may be that the caller may not see logs: the table says what failed
			}
			if !said {
				said = true
				if err := s.note("%s wrote last:", oneLine(t.Name)); err != nil {
					return err
				}
			}
			if err := s.note("  %s", oneLine(line.Text)); err != nil {
				return err
			}
		}
	}
	if _, local := localSettings(ctx); local {
		return nil
	}
	return s.note("\"taskgrove run logs %[2]s/%[1]s\" shows all that its steps wrote, \"taskgrove run resume %[2]s/%[1]s [FILE]\" has it go on", r.RunID, r.FlowID)
}

func (s *session) waitRun(ctx context.Context, run *client.FlowRun, f *runFollow) error {
	if f.follow {
		beside := *s
		beside.out, beside.format = s.notes, formatText
		if _, err := beside.printEvents(ctx, run.TreeID); err != nil {
			return err
		}
	} else {
		defer s.sayWhenStill(ctx, run.TreeID, nil)()
	}
	_, err := s.Wait(ctx, run.TreeID)
	return err
}

// printRun prints a run with its jobs. The error has the code that the run's end has.
func (s *session) printRun(run *client.FlowRun, failOnBlocked bool) error {
	o := &flows.Outcome{RunID: run.RunID, FlowID: run.FlowID, TreeID: run.TreeID, Revision: run.Revision, Outcome: run.Outcome}
	if err := json.Unmarshal(run.Jobs, &o.Jobs); err != nil {
		return err
	}
	if err := s.print(run, func(w io.Writer) {
		flowTable(w, o)
		if len(run.RegisteredProfiles) > 0 {
			fmt.Fprintf(w, "registered profiles: %s\n", strings.Join(run.RegisteredProfiles, ", "))
		}
	}); err != nil {
		return err
	}
	switch {
	case o.Outcome == runRunning:
		return nil
	case o.Failed():
		return codedError{fmt.Errorf("run %s of %s: %s", o.RunID, o.FlowID, o.Outcome), exitError}
	case failOnBlocked && len(o.Blocked()) > 0:
		return codedError{fmt.Errorf("blocked: %s", strings.Join(o.Blocked(), ", ")), exitFlowBlocked}
	}
	return nil
}

const (
	runRunning = "RUNNING"
	runFailed  = "FAILED"
)

func flowApplyCommand() *cobra.Command {
	var user, bundle string
	var preview bool
	cmd := flowClientCommand("apply FILE|-...", "Register flows under their own ids",
		"Registers flows: each is a new version of the flow of its id, unless its text is that of the newest version. If one has faults, all of all files are told as by \"flow validate\",\n"+
			"nothing is stored, and the exit code is 2. With --preview nothing is stored.", cobra.MinimumNArgs(1), nil)
	cmd.Flags().StringVar(&user, "user", "", "whose the flow is to be, if it is new")
	cmd.Flags().BoolVar(&preview, "preview", false, "only look what is wrong")
	cmd.Flags().StringVar(&bundle, "bundle", "", "id of a bundle that the cluster has: each run keeps the version that is the latest when it begins")
	runOnFlows(cmd, func(ctx context.Context, s *session, args []string) error {
		list, given := []*client.Flow{}, []*givenFlow{}
		var bad []*flows.Report
		for _, arg := range args {
			name, text, err := readFlow(cmd, arg)
			if err != nil {
				return err
			}
			given = append(given, &givenFlow{name: name, text: text})
			if _, err := s.ApplyFlow(ctx, client.FlowApply{Name: name, Text: text, UserID: user, Preview: true, Bundle: bundle}); errors.Is(err, client.ErrInvalid) {
				report := s.reportOn(ctx, client.FlowCheck{FlowStart: client.FlowStart{Name: name, Text: text}}, text)
				if report == nil || bundle != "" { // what is in that bundle, the coordinator knows
					return err
				}
				bad = append(bad, report)
			} else if err != nil {
				return err
			}
		}
		if len(bad) > 0 {
			return s.refuseFlows(bad)
		}
		for _, one := range given {
			f, err := s.ApplyFlow(ctx, client.FlowApply{Name: one.name, Text: one.text, UserID: user, Preview: preview, Bundle: bundle})
			if err != nil {
				return err
			}
			list = append(list, f)
		}
		return s.print(list, func(w io.Writer) {
			for _, f := range list {
				for _, warning := range f.Warnings {
					fmt.Fprintf(w, "! %s\n", oneLine(warning))
				}
				switch {
				case preview:
					fmt.Fprintf(w, "%s: nothing is wrong\n", f.ID)
				case f.Fresh:
					fmt.Fprintf(w, "%s: version %d\n", f.ID, f.Version)
				default:
					fmt.Fprintf(w, "%s: unchanged, version %d\n", f.ID, f.Version)
				}
			}
		})
	})
	return cmd
}

func flowListCommand() *cobra.Command {
	var f client.FlowFilter
	cmd := flowClientCommand("list", "List registered flows", "Lists the newest version of each registered flow.", cobra.NoArgs, func(ctx context.Context, s *session, _ []string) error {
		list := []*client.Flow{}
		for one, err := range s.Flows(ctx, f) {
			if err != nil {
				return err
			}
			list = append(list, one)
		}
		if err := s.print(list, func(w io.Writer) {
			table(w, func(w io.Writer) {
				fmt.Fprintln(w, "ID\tVERSION\tSTORED\tBY\tUSER")
				for _, one := range list {
					fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\n", one.ID, one.Version, shownTime(one.CreatedAt), cmp.Or(oneLine(one.CreatedBy), "-"), cmp.Or(oneLine(one.UserID), "-"))
				}
			})
		}); err != nil {
			return err
		}
		return s.noteNone(len(list), "flow")
	})
	cmd.Flags().StringVar(&f.UserID, "user", "", "those of this user")
	return cmd
}

func flowGetCommand() *cobra.Command {
	var version int
	cmd := flowClientCommand("get ID", "Print the text of a registered flow", "Prints the text of a registered flow; in JSON and YAML also whose it is, and when it was stored.", cobra.ExactArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			f, err := s.Flow(ctx, args[0], version)
			if err != nil {
				return noFlow(err, args[0])
			}
			return s.print(f, func(w io.Writer) { fmt.Fprint(w, f.Text) })
		})
	cmd.Flags().IntVar(&version, "version", 0, "of this version; 0: the newest")
	return cmd
}

func flowDeleteCommand() *cobra.Command {
	return flowClientCommand("delete ID", "Delete a registered flow", "Deletes a registered flow with all its versions. Its runs stay.", cobra.ExactArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			if err := s.DeleteFlow(ctx, args[0]); err != nil {
				return noFlow(err, args[0])
			}
			return s.print(map[string]any{"id": args[0], "deleted": true}, func(w io.Writer) { fmt.Fprintf(w, "%s deleted\n", args[0]) })
		})
}

func runListCommand() *cobra.Command {
	var f client.FlowRunFilter
	var since timeFlag
	var most int
	cmd := flowClientCommand("list", "List runs of flows", "Lists runs of flows, the newest first, each by its newest revision.", cobra.NoArgs, func(ctx context.Context, s *session, _ []string) error {
		f.Since, f.Limit, f.Outcome = since.at, min(most, 1000), strings.ToUpper(f.Outcome)
		list := []*client.FlowRun{}
		for one, err := range s.FlowRuns(ctx, f) {
			if err != nil {
				return err
			}
			if list = append(list, one); len(list) == most {
				break
			}
		}
		if err := s.print(list, func(w io.Writer) {
			table(w, func(w io.Writer) {
				fmt.Fprintln(w, "RUN\tFLOW\tREVISION\tOUTCOME\tBEGUN\tTREE\tUSER")
				for _, r := range list {
					fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\t%s\n", r.RunID, r.FlowID, r.Revision, r.Outcome, shownTime(r.CreatedAt), oneLine(r.TreeID), cmp.Or(oneLine(r.UserID), "-"))
				}
			})
		}); err != nil {
			return err
		}
		return s.noteNone(len(list), "run")
	})
	cmd.Flags().StringVar(&f.Flow, "flow", "", "those of this flow")
	cmd.Flags().StringVar(&f.Outcome, "outcome", "", "those that are RUNNING, or ended so: SUCCESS, FAILED, CANCELLED")
	cmd.Flags().StringVar(&f.UserID, "user", "", "those of this user")
	cmd.Flags().Var(&since, "since", "those that began since then: a time, or a duration before now, such as 10m")
	cmd.Flags().IntVar(&most, "limit", 20, "how many at most; 0: all")
	mustComplete(cmd, "outcome", cobra.FixedCompletions([]string{runRunning, "SUCCESS", "FAILED", "CANCELLED"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func runGetCommand() *cobra.Command {
	cmd := flowClientCommand("get RUN", "Show what a run has come to", "Shows a run of a flow, with what each job and step has come to so far. JSON and YAML have its results, what it was given, and its revisions.\n"+runRefHelp,
		cobra.ExactArgs(1), func(ctx context.Context, s *session, args []string) error {
			r, err := s.namedRun(ctx, args[0])
			if err != nil {
				return err
			}
			if err := s.printRun(r, false); err != nil && !errors.As(err, new(codedError)) {
				return err
			}
			return nil
		})
	return cmd
}

func runCancelCommand() *cobra.Command {
	var reason string
	cmd := flowClientCommand("cancel RUN", "Cancel a run", "Cancels what has not ended of a run.\n"+runRefHelp, cobra.ExactArgs(1), func(ctx context.Context, s *session, args []string) error {
		did, err := s.CancelFlowRun(ctx, args[0], reason)
		if err != nil {
			return noRun(err, args[0])
		}
		return s.print(map[string]any{"run": args[0], "cancelled": did}, func(w io.Writer) {
			fmt.Fprintf(w, "%s: %s\n", oneLine(args[0]), map[bool]string{true: "cancelled", false: "had ended"}[did])
		})
	})
	cmd.Flags().StringVar(&reason, "reason", "", "why, for people")
	return cmd
}

func runResumeCommand() *cobra.Command {
	var follow runFollow
	var version int
	cmd := flowClientCommand("resume RUN [FILE|ID|-]", "Have a run go on that has ended",
		"Runs again what failed, was blocked or cancelled. With a flow, which may be edited, the run gets a new revision: steps that ended with success, or were skipped by themselves, stay as\n"+
			"they are, and the others run as the flow says now.\n"+runRefHelp+" "+flowRefHelp+"\nThe exit code is that of \"flow run\".", cobra.RangeArgs(1, 2), nil)
	follow.bind(cmd)
	cmd.Flags().IntVar(&version, "version", 0, "of the registered flow; 0: the newest")
	runOnFlows(cmd, func(ctx context.Context, s *session, args []string) error {
		resume := client.FlowResume{Run: args[0]}
		var f *givenFlow
		if len(args) > 1 {
			var err error
			if f, err = s.flow(ctx, cmd, args[1], version); err != nil {
				return err
			}
			resume.Flow, resume.Version, resume.Name, resume.Text = f.id, f.version, f.name, f.sent()
		}
		return noRun(s.resume(ctx, resume, f, &follow), args[0])
	})
	return cmd
}

// resume has a run go on; f is its edited flow, nil: it is as it was.
func (s *session) resume(ctx context.Context, r client.FlowResume, f *givenFlow, follow *runFollow) error {
	run, err := s.ResumeFlowRun(ctx, r)
	if err != nil && f != nil {
		return s.refused(ctx, err, client.FlowCheck{FlowStart: client.FlowStart{Flow: r.Flow, Version: r.Version, Name: f.name, Text: r.Text}}, f.text)
	}
	if err != nil {
		return err
	}
	if run.Existing {
		what := "has nothing to run again"
		if run.Outcome == runRunning {
			what = "has not ended"
		}
		if err := s.note("nothing was begun: run %s of %s %s", run.RunID, run.FlowID, what); err != nil {
			return err
		}
	}
	return s.await(ctx, run, follow)
}

func runRestartCommand() *cobra.Command {
	var follow runFollow
	var runID string
	cmd := flowClientCommand("restart RUN", "Begin another run like one", "Begins another run of the flow of a run, as its newest revision has it, with the same values. The exit code is that of \"flow run\".\n"+runRefHelp,
		cobra.ExactArgs(1), nil)
	follow.bind(cmd)
	cmd.Flags().StringVar(&runID, "run-id", "", "the id of the new run; a new one if it is left out")
	runOnFlows(cmd, func(ctx context.Context, s *session, args []string) error {
		began, err := s.RestartFlowRun(ctx, args[0], runID)
		if err != nil {
			return noRun(err, args[0])
		}
		if err := s.noteExisting(began); err != nil {
			return err
		}
		return s.await(ctx, began, &follow)
	})
	return cmd
}

func runWaitCommand() *cobra.Command {
	follow := runFollow{wait: true}
	cmd := flowClientCommand("wait RUN", "Wait for the end of a run", "Waits for the end of a run, and shows what it has come to. The exit code is that of \"flow run\".\n"+runRefHelp, cobra.ExactArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			r, err := s.namedRun(ctx, args[0])
			if err != nil {
				return err
			}
			return s.await(ctx, r, &follow)
		})
	follow.bindWaiting(cmd)
	return cmd
}

func runArtifactsCommand() *cobra.Command {
	return flowClientCommand("artifacts RUN", "List the files that the steps of a run made",
		"Lists the files of a run, of its first revision first, by the steps that made or changed them. \"taskgrove artifacts TASK NAME\" fetches one: TASK is the id in brackets.\n"+runRefHelp, cobra.ExactArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			r, err := s.namedRun(ctx, args[0])
			if err != nil {
				return err
			}
			list := []*client.Artifact{}
			for _, revision := range slices.Backward(r.Revisions) { // steps that a revision keeps have left theirs in one before it
				some, err := s.Artifacts(ctx, revision.TreeID, client.ArtifactFilter{Tree: true})
				if err != nil && !errors.Is(err, client.ErrNotFound) { // that one was deleted
					return err
				}
				list = append(list, some...)
			}
			return s.printArtifacts(list)
		})
}

func runLogsCommand() *cobra.Command {
	var f client.LogFilter
	cmd := flowClientCommand("logs RUN", "Show what the steps of a run wrote", "Shows what the steps of the newest revision of a run wrote, each line with its task's name. With -o json: one object a line.\n"+runRefHelp, cobra.ExactArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			r, err := s.namedRun(ctx, args[0])
			if err != nil {
				return err
			}
			width := 0
			if f.Tree = true; s.forPeople() {
				if width, err = s.nameWidth(ctx, r.TreeID); err != nil {
					return err
				}
			}
			return s.logs(ctx, r.TreeID, f, width)
		})
	cmd.Flags().BoolVarP(&f.Follow, "follow", "f", false, "go on until the run has ended")
	return cmd
}

func runEventsCommand() *cobra.Command {
	return flowClientCommand("events RUN", "Print the events of a run until it ends", "Prints a line for each event of the newest revision of a run, from its beginning until it ends.\n"+runRefHelp, cobra.ExactArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			r, err := s.namedRun(ctx, args[0])
			if err != nil {
				return err
			}
			_, err = s.printEvents(ctx, r.TreeID)
			return err
		})
}
