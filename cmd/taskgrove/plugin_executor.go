package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/external"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/internal/workerfile"
)

// pluginProgram is the program of a plugin's command, as a worker's file would name it.
type pluginProgram struct {
	workerfile.Executor
	log io.Writer
}

func (p *pluginProgram) bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.Dir, "dir", "", "working directory of the program")
	cmd.Flags().StringToStringVar(&p.Env, "env", nil, "variables of the program, NAME=VALUE")
	cmd.Flags().DurationVar(&p.StartWithin, "start-within", 0, "until the program has said hello, and until it has described itself; 0: 10s")
	cmd.Flags().DurationVar(&p.Grace, "grace", 0, "from cancel, or the end of its input, until it is killed; 0: 2s")
}

// open starts the program and asks what it is. The executor must be closed.
func (p *pluginProgram) open(ctx context.Context) (*external.Executor, error) {
	log := slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	e := external.Open(ctx, external.Config{Programs: []workerfile.Executor{p.Executor}, Log: log})[0].(*external.Executor)
	if off := e.Disabled(); off != "" {
		return nil, errors.Join(errors.New(off), e.Close())
	}
	return e, nil
}

func pluginDescribeCommand() *cobra.Command {
	var p pluginProgram
	cmd := &cobra.Command{
		Use: "describe -- COMMAND [ARGUMENT...]", Short: "Show what a program says of itself as an executor",
		Long: "Starts a program that is an external executor, as a worker does, asks it to describe itself, and shows the answer.",
		Args: cobra.MinimumNArgs(1),
	}
	p.bind(cmd)
	output := outputFlag(cmd, formatText, formatJSON, formatYAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		p.Command, p.log = args, cmd.ErrOrStderr()
		e, err := p.open(cmd.Context())
		if err != nil {
			return err
		}
		described := describedExecutor(e.Describe())
		if err := e.Close(); err != nil {
			return err
		}
		if output.format != formatText {
			return output.format.write(cmd.OutOrStdout(), described)
		}
		w := &firstError{Writer: harmlessWriter{cmd.OutOrStdout()}}
		writeSelf(w, described)
		return w.err
	}
	return cmd
}

// describedExecutor is what an executor says of itself, as a cluster shows it.
func describedExecutor(d executors.Description) *client.Executor {
	e := &client.Executor{
		ID: d.ID, Name: d.Name, Type: d.Type, Description: d.Description, Tags: d.Tags, Inputs: d.Inputs, Output: d.Output,
		Cancelable: d.Cancelable, Repeatable: d.Repeatable, Timeout: d.Timeout, Secrets: d.Secrets,
	}
	if c := d.Connection; c != nil {
		e.Connection = &client.ConnectionUse{Types: c.Types, Fields: c.Fields}
	}
	for _, x := range d.Examples {
		e.Examples = append(e.Examples, client.ExecutorExample{Title: x.Title, Inputs: x.Inputs, Params: x.Params, Schemas: x.Schemas})
	}
	return e
}

// checkedPlugin looks at inputs before its program sees them, as a worker does.
type checkedPlugin struct {
	*external.Executor
	checker *inputs.Checker
}

func (c *checkedPlugin) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	if err := c.checker.Check(c.Describe(), call); err != nil {
		return nil, err
	}
	return c.Executor.Run(ctx, call)
}

func pluginTestCommand() *cobra.Command {
	var p pluginProgram
	var f conformance.Features
	var within time.Duration
	var missing, failing []string
	cmd := &cobra.Command{
		Use: "test -- COMMAND [ARGUMENT...]", Short: "Test a program against the contract of executors",
		Long: "Starts a program that is an external executor, as a worker does, and looks whether it does all that the contract of executors demands: its description and schemas, its results,\n" +
			"how it stops, what it shows of secrets, checkpoints. A check that lacks inputs to try is skipped, and says so. Each check has a line; faults begin with -.\n" +
			"The exit code is 1 if there is a fault.\n\n" +
			"Without --inputs those of the first example of its description are tried. Give --slow to an executor that is cancelable.",
		Example: "  taskgrove plugin test --slow '{\"text\": \"a b\", \"seconds_per_word\": 600}' -- python3 words.py",
		Args:    cobra.MinimumNArgs(1),
	}
	p.bind(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.Quick, "inputs", "", "inputs, as a JSON object, of a run that succeeds soon")
	flags.StringVar(&f.Slow, "slow", "", "inputs of a run that lasts over a minute unless it is stopped")
	flags.StringArrayVar(&missing, "missing", nil, "inputs that must be refused, such as {} where one is required; may be given several times")
	flags.StringArrayVar(&failing, "failing", nil, "inputs of a run that fails and that hold the --secret; may be given several times")
	flags.StringVar(&f.Secret, "secret", "", "a text in --failing that nothing may show")
	flags.StringVar(&f.Large, "large", "", "inputs of a run whose output has no natural bound")
	flags.StringVar(&f.Resumes, "resumes", "", "inputs of a run that notes checkpoints")
	flags.DurationVar(&within, "stop-within", 30*time.Second, "the longest time from the order to stop to the end of a run")
	output := outputFlag(cmd, formatText, formatJSON, formatYAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		p.Command, p.log = args, cmd.ErrOrStderr()
		f.StopWithin, f.Failing = within, failing
		f.Missing = map[string]string{}
		for _, in := range missing {
			f.Missing[in] = "["
		}
		if err := p.features(cmd.Context(), &f); err != nil {
			return err
		}
		all, faults := []conformance.Verdict{}, 0
		w := &firstError{Writer: harmlessWriter{cmd.OutOrStdout()}}
		conformance.Check(cmd.Context(), func() (executors.Executor, error) {
			e, err := p.open(cmd.Context())
			if err != nil {
				return nil, err
			}
			return &checkedPlugin{e, inputs.NewChecker(0)}, nil
		}, f, func(v conformance.Verdict) {
			all, faults = append(all, v), faults+len(v.Faults)
			if output.format == formatText {
				writeVerdict(w, v)
			}
		})
		if err := cmd.Context().Err(); err != nil {
			return context.Cause(cmd.Context())
		}
		if output.format != formatText {
			if err := output.format.write(cmd.OutOrStdout(), all); err != nil {
				return err
			}
		}
		if w.err == nil && faults > 0 {
			return codedError{fmt.Errorf("%s in %s", counted(faults, "fault"), strings.Join(args, " ")), exitError}
		}
		return w.err
	}
	return cmd
}

// features completes what is to be tried by what the program says of itself.
func (p *pluginProgram) features(ctx context.Context, f *conformance.Features) error {
	given := append([]string{f.Quick, f.Slow, f.Large, f.Resumes}, f.Failing...)
	for in := range f.Missing {
		given = append(given, in)
	}
	for _, in := range given {
		var object map[string]json.RawMessage
		if in != "" && (json.Unmarshal([]byte(in), &object) != nil || object == nil) {
			return usage("inputs must be a JSON object, and are %.100s", in)
		}
	}
	if len(f.Failing) > 0 && f.Secret == "" {
		return usage("--failing needs --secret: what in the inputs nothing may show")
	}
	e, err := p.open(ctx)
	if err != nil {
		return err
	}
	d := e.Describe()
	if err := e.Close(); err != nil {
		return err
	}
	if f.Quick == "" && len(d.Examples) > 0 {
		f.Quick = string(conformance.Resolved(d, d.Examples[0].Inputs))
	}
	if f.Quick == "" {
		return usage("the program's description has no example: give --inputs of a run that succeeds")
	}
	if d.Cancelable && f.Slow == "" {
		f.Instant = true
		fmt.Fprintln(p.log, "it is cancelable, and without --slow nobody looks whether it stops")
	}
	return nil
}

func writeVerdict(w io.Writer, v conformance.Verdict) {
	switch {
	case len(v.Faults) > 0:
		fmt.Fprintf(w, "FAIL  %s\n", v.Check)
	case v.Skipped != "":
		fmt.Fprintf(w, "skip  %s: %s\n", v.Check, oneLine(v.Skipped))
	default:
		fmt.Fprintf(w, "ok    %s\n", v.Check)
	}
	for _, fault := range v.Faults {
		fmt.Fprintf(w, "  - %s\n", oneLine(fault))
	}
}
