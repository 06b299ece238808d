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
		if err != nil {
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

// faults tells what is wrong with a flow as its report does, if that is why it was refused.
func (s *session) faults(err error, f *givenFlow, runID string, given flows.Options) error {
	if !errors.Is(err, client.ErrInvalid) {
		return err
	}
	opts := node.FlowOptions()
	opts.Env, opts.Set, opts.Profiles, opts.Job = given.Env, given.Set, given.Profiles, given.Job
	if tree, report := flows.Compile(f.name, f.text, runID, opts); tree == nil {
		return s.refuseFlow(report)
	}
	return err
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
		return s.print(run, func(w io.Writer) { fmt.Fprintln(w, run.TreeID) })
	}
	if err := s.waitRun(ctx, run, f); err != nil {
		if ctx.Err() == nil || !f.cancel {
			return err
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
	return s.printRun(ended, f.failOnBlocked)
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
	if err := s.print(run, func(w io.Writer) { flowTable(w, o) }); err != nil {
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

const runRunning = "RUNNING"

func flowApplyCommand() *cobra.Command {
	var user string
	var preview bool
	cmd := clientCommand("apply FILE|-...", "Register flows under their own ids",
		"Registers flows: each is a new version of the flow of its id, unless its text is that of the newest version. If one has faults, all are told as by \"flow validate\", nothing of it is\n"+
			"stored, and the exit code is 2. With --preview nothing is stored.", cobra.MinimumNArgs(1), nil)
	alsoJSON(cmd, cmd.Flag("output").Value.(*formatFlag))
	cmd.Flags().StringVar(&user, "user", "", "whose the flow is to be, if it is new")
	cmd.Flags().BoolVar(&preview, "preview", false, "only look what is wrong")
	run(cmd, func(ctx context.Context, s *session, args []string) error {
		list := []*client.Flow{}
		for _, arg := range args {
			name, text, err := readFlow(cmd, arg)
			if err != nil {
				return err
			}
			f, err := s.ApplyFlow(ctx, client.FlowApply{Name: name, Text: text, UserID: user, Preview: preview})
			if errors.Is(err, client.ErrInvalid) {
				if _, report := flows.Register(name, text, node.FlowOptions()); !report.OK {
					return s.refuseFlow(report)
				}
			}
			if err != nil {
				return unreachable(s.explain(ctx, err))
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
	cmd := clientCommand("list", "List registered flows", "Lists the newest version of each registered flow.", cobra.NoArgs, func(ctx context.Context, s *session, _ []string) error {
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
	cmd := clientCommand("get ID", "Print the text of a registered flow", "Prints the text of a registered flow; in JSON and YAML also whose it is, and when it was stored.", cobra.ExactArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			f, err := s.Flow(ctx, args[0], version)
			if err != nil {
				return err
			}
			return s.print(f, func(w io.Writer) { fmt.Fprint(w, f.Text) })
		})
	cmd.Flags().IntVar(&version, "version", 0, "of this version; 0: the newest")
	return cmd
}

func flowDeleteCommand() *cobra.Command {
	return clientCommand("delete ID", "Delete a registered flow", "Deletes a registered flow with all its versions. Its runs stay.", cobra.ExactArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			if err := s.DeleteFlow(ctx, args[0]); err != nil {
				return err
			}
			return s.print(map[string]any{"id": args[0], "deleted": true}, func(w io.Writer) { fmt.Fprintf(w, "%s deleted\n", args[0]) })
		})
}

func runListCommand() *cobra.Command {
	var f client.FlowRunFilter
	var since timeFlag
	var most int
	cmd := clientCommand("list", "List runs of flows", "Lists runs of flows, the newest first, each by its newest revision.", cobra.NoArgs, func(ctx context.Context, s *session, _ []string) error {
		f.Since, f.Limit = since.at, min(most, 1000)
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
	cmd.Flags().IntVar(&most, "limit", 20, "how many at most")
	mustComplete(cmd, "outcome", cobra.FixedCompletions([]string{runRunning, "SUCCESS", "FAILED", "CANCELLED"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func runGetCommand() *cobra.Command {
	cmd := clientCommand("get RUN", "Show what a run has come to", "Shows a run of a flow, with what each job and step has come to so far. JSON and YAML have its results, what it was given, and its revisions.\n"+runRefHelp,
		cobra.ExactArgs(1), func(ctx context.Context, s *session, args []string) error {
			r, err := s.FlowRun(ctx, args[0])
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
	cmd := clientCommand("cancel RUN", "Cancel a run", "Cancels what has not ended of a run.\n"+runRefHelp, cobra.ExactArgs(1), func(ctx context.Context, s *session, args []string) error {
		did, err := s.CancelFlowRun(ctx, args[0], reason)
		if err != nil {
			return err
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
	cmd := clientCommand("resume RUN [FILE|ID|-]", "Have a run go on that has ended",
		"Runs again what failed, was blocked or cancelled. With a flow, which may be edited, the run gets a new revision: steps that ended with success, or were skipped by themselves, stay as\n"+
			"they are, and the others run as the flow says now.\n"+runRefHelp+" "+flowRefHelp+"\nThe exit code is that of \"flow run\".", cobra.RangeArgs(1, 2), nil)
	alsoJSON(cmd, cmd.Flag("output").Value.(*formatFlag))
	follow.bind(cmd)
	cmd.Flags().IntVar(&version, "version", 0, "of the registered flow; 0: the newest")
	run(cmd, func(ctx context.Context, s *session, args []string) error {
		return unreachable(s.explain(ctx, func() error {
			resume := client.FlowResume{Run: args[0]}
			var f *givenFlow
			if len(args) > 1 {
				var err error
				if f, err = s.flow(ctx, cmd, args[1], version); err != nil {
					return err
				}
				resume.Flow, resume.Version, resume.Name, resume.Text = f.id, f.version, f.name, f.sent()
			}
			return s.resume(ctx, resume, f, &follow)
		}()))
	})
	return cmd
}

// resume has a run go on; f is its edited flow, nil: it is as it was.
func (s *session) resume(ctx context.Context, r client.FlowResume, f *givenFlow, follow *runFollow) error {
	run, err := s.ResumeFlowRun(ctx, r)
	if err != nil && f != nil && errors.Is(err, client.ErrInvalid) {
		if _, report := flows.Read(f.name, f.text, node.FlowOptions()); !report.OK {
			return s.refuseFlow(report)
		}
	}
	if err != nil {
		return err
	}
	if run.Existing {
		if err := s.note("nothing was begun: the run goes on, or has nothing to run again"); err != nil {
			return err
		}
	}
	return s.await(ctx, run, follow)
}

func runRestartCommand() *cobra.Command {
	var follow runFollow
	var runID string
	cmd := clientCommand("restart RUN", "Begin another run like one", "Begins another run of the flow of a run, as its newest revision has it, with the same values. The exit code is that of \"flow run\".\n"+runRefHelp,
		cobra.ExactArgs(1), nil)
	alsoJSON(cmd, cmd.Flag("output").Value.(*formatFlag))
	follow.bind(cmd)
	cmd.Flags().StringVar(&runID, "run-id", "", "the id of the new run; a new one if it is left out")
	run(cmd, func(ctx context.Context, s *session, args []string) error {
		return unreachable(s.explain(ctx, func() error {
			began, err := s.RestartFlowRun(ctx, args[0], runID)
			if err != nil {
				return err
			}
			return s.await(ctx, began, &follow)
		}()))
	})
	return cmd
}

func runLogsCommand() *cobra.Command {
	var f client.LogFilter
	cmd := clientCommand("logs RUN", "Show what the steps of a run wrote", "Shows what the steps of the newest revision of a run wrote, each line with its task's name. With -o json: one object a line.\n"+runRefHelp, cobra.ExactArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			r, err := s.FlowRun(ctx, args[0])
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
	return clientCommand("events RUN", "Print the events of a run until it ends", "Prints a line for each event of the newest revision of a run, from its beginning until it ends.\n"+runRefHelp, cobra.ExactArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			r, err := s.FlowRun(ctx, args[0])
			if err != nil {
				return err
			}
			_, err = s.printEvents(ctx, r.TreeID)
			return err
		})
}
