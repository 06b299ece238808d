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
	"strconv"
	"strings"

	uuids "github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/flows"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/node"
)

func flowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "flow", Short: "Check, keep and run flows: YAML files of jobs and steps", GroupID: groupClient,
		Long: "Flows are YAML files of jobs and steps with strict templates, as AetherFlow has them. They compile to task trees. \"taskgrove run\" looks after their runs.",
		Example: "  taskgrove flow validate orders.yaml\n" +
			"  taskgrove flow run --local orders.yaml --set day=2026-11-30   # without a cluster\n" +
			"  taskgrove flow run orders.yaml --set day=2026-11-30 --run-id monday\n" +
			"  taskgrove run resume monday                                   # once what failed is mended",
	}
	cmd.AddCommand(flowValidateCommand(), flowApplyCommand(), flowListCommand(), flowGetCommand(), flowDeleteCommand(), flowRunCommand(), flowExplainCommand(), flowDoctorCommand(), flowStepsCommand(), flowConnectorsCommand())
	for _, below := range cmd.Commands() {
		below.GroupID = ""
	}
	return cmd
}

// alsoJSON gives a command --json, which means the same as -o json.
func alsoJSON(cmd *cobra.Command, out *formatFlag) {
	cmd.Flags().BoolFunc("json", "the same as -o json", func(string) error { return out.Set(string(formatJSON)) })
}

// belowAlsoJSON does so for a command and all below it that have -o.
func belowAlsoJSON(cmd *cobra.Command) {
	for _, one := range append(cmd.Commands(), cmd) {
		if out := one.Flags().Lookup("output"); out != nil && one.Flags().Lookup("json") == nil {
			alsoJSON(one, out.Value.(*formatFlag))
		}
	}
}

// flowClientCommand makes a command about flows or runs that has a connection.
func flowClientCommand(use, short, long string, args cobra.PositionalArgs, do func(ctx context.Context, s *session, args []string) error) *cobra.Command {
	cmd := clientCommand(use, short, long, args, nil)
	alsoJSON(cmd, cmd.Flag("output").Value.(*formatFlag))
	if do != nil {
		runOnFlows(cmd, do)
	}
	return cmd
}

// runOnFlows is [run], with the exit code that flows have for a cluster that can't be reached.
func runOnFlows(cmd *cobra.Command, do func(ctx context.Context, s *session, args []string) error) {
	run(cmd, func(ctx context.Context, s *session, args []string) error {
		return unreachable(s.explain(ctx, do(ctx, s, args)))
	})
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
	var strict, compat, asks bool
	cmd := &cobra.Command{
		Use: "validate FILE|-...", Short: "Tell all that is wrong with flows",
		Long: "Tells all that is wrong with flows, with line and column. Each file has its line, OK or INVALID, and one for each fault: errors begin with -, warnings with !. The exit code is 2 if\n" +
			"there is an error. As JSON it is a report, or a list of reports if there are several files.\n\n" +
			"It asks no cluster, and knows the executors of this program. With --cluster a coordinator judges the flows, by the executors that the cluster's workers have, those of plugins too.",
		Args: cobra.MinimumNArgs(1),
	}
	out := outputFlag(cmd, formatText, formatJSON)
	alsoJSON(cmd, out)
	env.bind(cmd)
	profiles.bind(cmd)
	cmd.Flags().BoolVar(&compat, "compat", false, "warn of each place where the flow does otherwise than in AetherFlow")
	bind(cmd, config.Variables(&config.Client{}))
	cmd.Flags().BoolVar(&asks, "cluster", false, "have the cluster judge, by the executors that its workers have")
	cmd.Flags().BoolVar(&strict, "strict-env", false, "a name that the flow uses and that has no value, and no default, is an error")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		values, err := env.read(cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		judge := func(name string, text []byte, opts flows.Options, _ []byte) (*flows.Report, error) {
			return unlessEnded(cmd.Context(), func() *flows.Report {
				_, report := flows.Read(name, text, opts)
				return report
			})
		}
		if asks {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			defer s.Close() //nolint:errcheck // nothing is left to be sent
			judge = func(name string, text []byte, opts flows.Options, uses []byte) (*flows.Report, error) {
				report, err := s.ValidateFlow(cmd.Context(), client.FlowCheck{FlowStart: client.FlowStart{Name: name, Text: text, Env: opts.Env, Profiles: string(uses)}, StrictEnv: strict, Compat: compat})
				if err != nil {
					return nil, unreachable(s.explain(cmd.Context(), err))
				}
				return reportOf(report), nil
			}
		} else if flag := clientFlagOf(cmd); flag != "" {
			return usage("--%s: goes with --cluster", flag)
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
			report, err := judge(shown, text, opts, uses)
			if err != nil {
				return err
			}
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

// clientFlagOf is a flag of the connection that the command line has; empty: it has none.
func clientFlagOf(cmd *cobra.Command) string {
	for _, v := range config.Variables(&config.Client{}) {
		if v.Flag != "" && cmd.Flags().Changed(v.Flag) {
			return v.Flag
		}
	}
	return ""
}

// reportOf is a coordinator's report.
func reportOf(r *client.FlowReport) *flows.Report {
	faults := func(list []client.FlowFault) []flows.Fault {
		out := []flows.Fault{}
		for _, f := range list {
			out = append(out, flows.Fault{Code: flows.Code(f.Code), Alias: f.Alias, Loc: f.Loc, Line: f.Line, Column: f.Column, Msg: f.Msg})
		}
		return out
	}
	return &flows.Report{OK: r.OK, FlowYAML: r.FlowYAML, Errors: faults(r.Errors), Warnings: faults(r.Warnings), More: r.More}
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
	var follow runFollow
	var runID, user string
	var only jobFlags
	var version int
	var priority priorityFlag
	var dry, resume bool
	var inBundle runBundleFlags
	cmd := flowClientCommand("run [FILE|ID|-]", "Run a flow, or show the tree that a run is",
		"Begins a run of a flow, waits for its end, and prints what each job and step has come to. "+flowRefHelp+"\n"+
			"The exit code is 0 if no job has failed, skipped and blocked ones included, 1 if one has, 2 if the flow has faults, all of which are told as by \"flow validate\", 3 with\n"+
			"--fail-on-blocked if a job was blocked, 4 if no cluster could be reached, and 130 if the command was interrupted: the run goes on.\n\n"+
			"A name of the environment without a value, and without a default, is a fault. The same flow, values and --run-id are the same run. With --resume a run that has ended goes on, and an\n"+
			"edited flow becomes its next revision. With --dry-run the tree of a file is printed as tasks.create takes it, and no cluster is asked.\n\n"+
			"With --bundle-manifest the bundle is fetched, and its entry flow runs, or the flow that is named by its path in the bundle. The run keeps that version, whatever is fetched later.",
		cobra.MaximumNArgs(1), nil)
	cmd.Example = "  taskgrove flow run --local orders.yaml --set day=2026-11-30\n" +
		"  taskgrove flow run orders.yaml --set day=2026-11-30 --env REGION=eu --run-id monday --follow\n" +
		"  taskgrove flow run orders --job export --wait=false"
	env.bind(cmd)
	profiles.bind(cmd)
	inBundle.bind(cmd)
	values.bind(cmd)
	follow.bind(cmd)
	cmd.Flags().StringVar(&runID, "run-id", "", "the id of the run, letters, digits, '.', '_' and '-'; a new one if it is left out")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "print the tree, and run nothing")
	only.bind(cmd)
	cmd.Flags().BoolVar(&resume, "resume", false, "have the run of --run-id go on, if there is one: with this flow, and the values that it began with")
	cmd.Flags().IntVar(&version, "version", 0, "of the registered flow; 0: the newest")
	cmd.Flags().StringVar(&user, "user", "", "owner of the run")
	cmd.Flags().Var(&priority, "priority", "of all steps that the flow gives none of their own, in place of flow.priority: from 0, which goes first, to 3")
	runOnFlows(cmd, func(ctx context.Context, s *session, args []string) error {
		switch of := inBundle.manifest != ""; {
		case !of && len(args) == 0:
			return usage("give a flow, or --bundle-manifest")
		case !of && inBundle.stale:
			return usage("--allow-stale-bundle goes with --bundle-manifest")
		case of && profiles.path != "":
			return usage("--profiles-file can't go with --bundle-manifest: the bundle has the profiles")
		case of && version != 0:
			return usage("--version: is that of a registered flow, and the bundle has the flow")
		}
		given, err := env.read(s.notes)
		if err != nil {
			return err
		}
		set, err := values.read()
		if err != nil {
			return err
		}
		if resume && runID == "" {
			return usage("--resume: needs --run-id")
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
		opts := only.options(flows.Options{Set: set, Profiles: all, Priority: priority.value})
		var fetched *fetchedBundle
		if inBundle.manifest != "" {
			if fetched, bad, err = inBundle.fetch(ctx, cmd, args, given); err != nil {
				return err
			}
			if bad != nil {
				return s.refuseFlow(bad)
			}
			given, opts, uses = fetched.given, fetched.options(opts), fetched.uses
		}
		if dry && fetched != nil {
			opts.Env = given.of(fetched.flow.text, uses)
			return s.dryRun(ctx, fetched.flow, id, opts)
		}
		if dry && flowIDOf(args[0]) == "" {
			name, text, err := readFlow(cmd, args[0])
			if err != nil {
				return err
			}
			opts.Env = given.of(text, uses)
			return s.dryRun(ctx, &givenFlow{name: name, text: text}, id, opts)
		}
		var f *givenFlow
		if fetched != nil {
			f = fetched.flow
		} else if f, err = s.flow(ctx, cmd, args[0], version); err != nil {
			return err
		}
		opts.Env = given.of(f.text, uses)
		if dry {
			return s.dryRun(ctx, f, id, opts)
		}
		start := client.FlowStart{Flow: f.id, Version: f.version, Name: f.name, Text: f.sent(), RunID: id, UserID: user, Env: opts.Env, Profiles: string(uses), Job: only.job, NoDeps: only.alone, JobOutputs: only.outputs, Priority: priority.value}
		if fetched != nil {
			pushed, err := s.pushBundle(ctx, fetched.m, fetched.result, user)
			if err != nil {
				return err
			}
			start.Text, start.Profiles = nil, ""
			start.Bundle = &client.RunBundle{ID: pushed.ID, Fingerprint: pushed.Fingerprint, Digest: pushed.Digest, Stale: fetched.result.Stale, Flow: fetched.path}
		}
		if start.Params, start.Set, err = values.raw(); err != nil {
			return err
		}
		if flowID := flows.IDOf(f.text); resume && flowID != "" {
			err := s.resume(ctx, client.FlowResume{Run: flowID + "/" + id, Flow: f.id, Version: f.version, Name: f.name, Text: f.sent()}, f, &follow)
			if !errors.Is(err, client.ErrNotFound) {
				return err
			}
		}
		began, err := s.RunFlow(ctx, start)
		if err != nil {
			if fetched != nil {
				return s.faults(err, f, id, opts)
			}
			return s.refused(ctx, err, client.FlowCheck{FlowStart: start, AsRun: true}, f.text)
		}
		if err := s.noteExisting(began); err != nil {
			return err
		}
		return s.await(ctx, began, &follow)
	})
	alsoLocal(cmd)
	return cmd
}

// priorityFlag is a priority that may be given.
type priorityFlag struct{ value *int }

// String implements [pflag.Value].
func (p *priorityFlag) String() string {
	if p.value == nil {
		return ""
	}
	return strconv.Itoa(*p.value)
}

// Type implements [pflag.Value].
func (p *priorityFlag) Type() string { return "int" }

// Set implements [pflag.Value].
func (p *priorityFlag) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 3 {
		return errors.New("must be 0, 1, 2 or 3")
	}
	p.value = &n
	return nil
}

// jobFlags say which job a run is for.
type jobFlags struct {
	job     string
	alone   bool
	outputs []string
}

func (f *jobFlags) bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.job, "job", "", "run this job only, with all jobs that it needs or names; the others are skipped, with the reason not_selected")
	cmd.Flags().BoolVar(&f.alone, "no-deps", false, "with --job: run it alone; the jobs that it needs count as if they had run with success")
	cmd.Flags().StringArrayVar(&f.outputs, "job-output", nil, "with --no-deps, JOB.KEY=VALUE: what a job that does not run has given, as JSON, else text; may be repeated")
}

// options are those of a flow, for that job.
func (f *jobFlags) options(opts flows.Options) flows.Options {
	opts.Job, opts.NoDeps, opts.JobOutputs = f.job, f.alone, f.outputs
	return opts
}

// dryRun prints the tree that a run would be.
func (s *session) dryRun(ctx context.Context, f *givenFlow, runID string, given flows.Options) error {
	opts := node.FlowOptions()
	opts.Env, opts.Set, opts.Profiles, opts.Priority = given.Env, given.Set, given.Profiles, given.Priority
	opts.Job, opts.NoDeps, opts.JobOutputs = given.Job, given.NoDeps, given.JobOutputs
	opts.Bundle, opts.Secrets, opts.Public, opts.Archives, opts.Plugins = given.Bundle, given.Secrets, given.Public, given.Archives, given.Plugins
	tree, report, err := compiled(ctx, f.name, f.text, runID, opts)
	if err != nil {
		return err
	}
	if tree == nil {
		return s.refuseFlow(report)
	}
	return s.printTree(tree)
}

// compiled is the tree of a flow, or what is wrong with it, unless ctx ends.
func compiled(ctx context.Context, name string, text []byte, runID string, opts flows.Options) (tree *flows.Tree, report *flows.Report, err error) {
	type answer struct {
		tree   *flows.Tree
		report *flows.Report
	}
	a, err := unlessEnded(ctx, func() (a answer) {
		a.tree, a.report = flows.Compile(name, text, runID, opts)
		return a
	})
	return a.tree, a.report, err
}

// refuseFlow tells the faults of a flow; see refuseFlows.
func (s *session) refuseFlow(report *flows.Report) error {
	return s.refuseFlows([]*flows.Report{report})
}

// refuseFlows tells the faults of flows: as JSON on stdout, if that is asked for.
func (s *session) refuseFlows(reports []*flows.Report) error {
	err := printReports(s.notes, reports, formatText)
	if s.format == formatJSON {
		err = printReports(s.out, reports, formatJSON)
	}
	if err != nil {
		return err
	}
	if len(reports) > 1 {
		return codedError{fmt.Errorf("%d flows are invalid", len(reports)), exitUsage}
	}
	if s.forPeople() && slices.ContainsFunc(reports[0].Errors, func(f flows.Fault) bool {
		return f.Code == flows.CodeParameter && strings.HasSuffix(f.Msg, "no value is given")
	}) {
		return codedError{errors.New("the flow is invalid; --set NAME=VALUE gives a parameter its value"), exitUsage}
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
