package main

import (
	"bytes"
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

	uuids "github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/flows"
	"github.com/taskgrove/taskgrove/node"
)

func flowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "flow", Short: "Check and run flows: YAML files of jobs and steps", GroupID: groupClient,
		Long: "Flows are YAML files of jobs and steps with strict templates, as AetherFlow has them. They compile to task trees.",
		Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(flowValidateCommand(), flowRunCommand(), flowExplainCommand(), flowDoctorCommand())
	for _, below := range cmd.Commands() {
		below.GroupID = ""
	}
	return cmd
}

// alsoJSON gives a command --json, which means the same as -o json.
func alsoJSON(cmd *cobra.Command, out *formatFlag) {
	cmd.Flags().BoolFunc("json", "the same as -o json", func(string) error { return out.Set(string(formatJSON)) })
}

// readFlow reads the text of a flow; "-" is stdin.
func readFlow(cmd *cobra.Command, name string) (shown string, text []byte, err error) {
	if name == "-" {
		text, err = io.ReadAll(io.LimitReader(cmd.InOrStdin(), flows.MaxBytes+1))
		return "<stdin>", text, err
	}
	f, err := os.Open(filepath.Clean(name))
	if err != nil {
		return name, nil, codedError{err, exitUsage}
	}
	defer f.Close()
	text, err = io.ReadAll(io.LimitReader(f, flows.MaxBytes+1))
	if err != nil {
		err = codedError{err, exitUsage}
	}
	return name, text, err
}

func flowValidateCommand() *cobra.Command {
	var env envFlags
	var profiles profilesFlag
	var strict, compat bool
	cmd := &cobra.Command{
		Use: "validate FILE|-...", Short: "Tell all that is wrong with flows",
		Long: "Tells all that is wrong with flows, with line and column, and asks no cluster. Each file has its line, OK or INVALID, and one for each fault: errors begin with -, warnings\n" +
			"with !. The exit code is 2 if there is an error. As JSON it is a report, or a list of reports if there are several files.",
		Args: cobra.MinimumNArgs(1),
	}
	out := outputFlag(cmd, formatText, formatJSON)
	alsoJSON(cmd, out)
	env.bind(cmd)
	profiles.bind(cmd)
	cmd.Flags().BoolVar(&compat, "compat", false, "warn of each place where the flow does otherwise than in AetherFlow")
	cmd.Flags().BoolVar(&strict, "strict-env", false, "a name that the flow uses and that has no value, and no default, is an error")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		values, err := env.read(cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		opts := node.FlowOptions()
		opts.StrictEnv, opts.Compat = strict, compat
		var reports []*flows.Report
		invalid, what := 0, "flow"
		all, uses, bad, err := profiles.read()
		if err != nil {
			return err
		}
		if opts.Profiles = all; bad != nil {
			reports, invalid, what = append(reports, bad), 1, "file"
		}
		for _, name := range args {
			shown, text, err := readFlow(cmd, name)
			if err != nil {
				return err
			}
			opts.Env = values.of(text, uses)
			_, report := flows.Read(shown, text, opts)
			if reports = append(reports, report); !report.OK {
				invalid++
			}
		}
		if err := printReports(cmd.OutOrStdout(), reports, out.format); err != nil {
			return err
		}
		if invalid > 0 {
			return codedError{fmt.Errorf("%d of %s invalid", invalid, counted(len(reports), what)), exitUsage}
		}
		return nil
	}
	return cmd
}

func printReports(w io.Writer, reports []*flows.Report, f format) error {
	if f == formatText {
		for _, r := range reports {
			if err := r.Text(w); err != nil {
				return err
			}
		}
		return nil
	}
	var all any = reports
	if len(reports) == 1 {
		all = reports[0]
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	_, err = w.Write(append(indented(text), '\n'))
	return err
}

func flowRunCommand() *cobra.Command {
	var env envFlags
	var profiles profilesFlag
	var values valueFlags
	var runID, user, job string
	var dry, wait, failOnBlocked bool
	cmd := clientCommand("run FILE|-", "Run a flow, or show the tree that a run is",
		"Submits the task tree that a run of the flow is, waits for its end, and prints what each job and step has come to. The exit code is 0 if no job has failed, skipped and blocked\n"+
			"ones included, 1 if one has, 2 if the flow has faults, all of which are told as by \"flow validate\", 3 with --fail-on-blocked if a job was blocked, 4 if no cluster could be reached,\n"+
			"and 130 if the command was interrupted: the run goes on.\n\n"+
			"A name of the environment without a value, and without a default, is a fault. The same flow, values and --run-id are the same run. With --dry-run the tree is printed as tasks.create\n"+
			"takes it, and no cluster is asked.",
		cobra.ExactArgs(1), nil)
	alsoJSON(cmd, cmd.Flag("output").Value.(*formatFlag))
	env.bind(cmd)
	profiles.bind(cmd)
	values.bind(cmd)
	cmd.Flags().StringVar(&runID, "run-id", "", "the id of the run, letters, digits, '.', '_' and '-'; a new one if it is left out")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "print the tree, and run nothing")
	cmd.Flags().BoolVar(&wait, "wait", true, "wait for the end of the run; without, print the id of its tree")
	cmd.Flags().StringVar(&job, "job", "", "run this job only, with all jobs that it needs or names; the others are skipped, with the reason not_selected")
	cmd.Flags().BoolVar(&failOnBlocked, "fail-on-blocked", false, "exit with 3 if no job failed and one was blocked")
	cmd.Flags().StringVar(&user, "user", "", "owner of the run")
	run(cmd, func(ctx context.Context, s *session, args []string) error {
		given, err := env.read(s.notes)
		if err != nil {
			return err
		}
		set, err := values.read()
		if err != nil {
			return err
		}
		name, text, err := readFlow(cmd, args[0])
		if err != nil {
			return err
		}
		id := runID
		if id == "" {
			made, err := uuids.NewV7()
			if err != nil {
				return err
			}
			id = made.String()
		}
		all, uses, bad, err := profiles.read()
		if err != nil {
			return err
		}
		if bad != nil {
			return s.refuseFlow(bad)
		}
		opts := node.FlowOptions()
		opts.Env, opts.Set, opts.Profiles, opts.Job = given.of(text, uses), set, all, job
		tree, report := flows.Compile(name, text, id, opts)
		if tree == nil {
			return s.refuseFlow(report)
		}
		if dry {
			return s.printTree(tree)
		}
		var options []client.SubmitOption
		if runID != "" {
			options = append(options, client.WithIdempotencyKey("flow/"+tree.FlowID+"/"+tree.RunID))
		}
		if user != "" {
			options = append(options, client.WithUser(user))
		}
		return unreachable(s.explain(ctx, s.runFlow(ctx, tree, options, wait, failOnBlocked)))
	})
	alsoLocal(cmd)
	return cmd
}

// refuseFlow tells the faults of a flow: as JSON on stdout, if that is asked for.
func (s *session) refuseFlow(report *flows.Report) error {
	err := report.Text(s.notes)
	if s.format == formatJSON {
		err = printReports(s.out, []*flows.Report{report}, formatJSON)
	}
	if err != nil {
		return err
	}
	return codedError{errors.New("the flow is invalid"), exitUsage}
}

func (s *session) printTree(tree *flows.Tree) error {
	text := append(indented(tree.Document), '\n')
	if s.format == formatYAML {
		text = yamlOf(tree.Document)
	}
	_, err := s.out.Write(text)
	return err
}

// Exit codes of flow run, as AetherFlow's users know them.
const (
	exitFlowBlocked     = 3 // --fail-on-blocked: a job was blocked
	exitFlowUnreachable = 4 // no coordinator could be reached
)

// unreachable gives an error of the connection the code that it has for flows.
func unreachable(err error) error {
	if coded, is := errors.AsType[codedError](err); is && coded.code == exitUnreachable {
		coded.code = exitFlowUnreachable
		return coded
	}
	return err
}

// runFlow submits the tree of a run, and says what it has come to.
func (s *session) runFlow(ctx context.Context, tree *flows.Tree, options []client.SubmitOption, wait, failOnBlocked bool) error {
	out, err := s.SubmitJSON(ctx, bytes.NewReader(tree.Document), options...)
	if bad, is := errors.AsType[*client.InvalidError](err); is && slices.ContainsFunc(bad.Faults, func(f client.Fault) bool { return f.Field == "idempotency_key" }) {
		return usage("run %s of %s is there, and is of another flow or with other values: choose another --run-id", tree.RunID, tree.FlowID)
	}
	if err != nil {
		return err
	}
	if !wait {
		return s.print(map[string]any{"run_id": tree.RunID, "flow_id": tree.FlowID, "tree_id": out.TreeID}, func(w io.Writer) { fmt.Fprintln(w, out.TreeID) })
	}
	stop := s.sayWhenStill(ctx, out.TreeID, nil)
	_, err = s.Wait(ctx, out.TreeID)
	stop()
	if err != nil {
		return err
	}
	ends := map[string]flows.End{}
	for t, err := range s.Tasks(ctx, client.TaskFilter{TreeOf: out.TreeID, PageSize: 1000}) {
		if err != nil {
			return err
		}
		if t.Ref == "" {
			t.Ref = t.Name
		}
		ends[t.Ref] = flows.End{Outcome: t.Outcome, SkipReason: t.SkipReason, Error: t.Error, ErrorKind: t.ErrorKind, Attempts: t.Attempt, Result: t.Result, Outputs: t.Outputs, StartedAt: t.StartedAt, CompletedAt: t.CompletedAt}
	}
	outcome := tree.Outcome(ends)
	outcome.TreeID = out.TreeID
	if err := s.print(outcome, func(w io.Writer) { flowTable(w, outcome) }); err != nil {
		return err
	}
	switch {
	case outcome.Failed():
		return codedError{fmt.Errorf("run %s of %s: %s", outcome.RunID, outcome.FlowID, outcome.Outcome), exitError}
	case failOnBlocked && len(outcome.Blocked()) > 0:
		return codedError{fmt.Errorf("blocked: %s", strings.Join(outcome.Blocked(), ", ")), exitFlowBlocked}
	}
	return nil
}

// flowTable shows a run to people.
func flowTable(w io.Writer, o *flows.Outcome) {
	fmt.Fprintf(w, "run %s of %s, tree %s: %s\n", o.RunID, o.FlowID, o.TreeID, o.Outcome)
	table(w, func(w io.Writer) {
		fmt.Fprintln(w, "JOB\tSTEP\tSTATUS\tATTEMPTS\tREASON")
		for _, j := range o.Jobs {
			fmt.Fprintf(w, "%s\t\t%s\t\t%s\n", j.ID, j.Status, oneLine(cmp.Or(j.Reason, "-")))
			for _, one := range j.Steps {
				fmt.Fprintf(w, "\t%s\t%s\t%d\t%s\n", one.ID, one.Status, one.Attempts, oneLine(cmp.Or(one.Error, one.Reason, "-")))
			}
		}
	})
}
