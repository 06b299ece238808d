package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	uuids "github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/flows"
	"github.com/taskgrove/taskgrove/node"
)

func flowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "flow", Short: "Check and compile flows: YAML files of jobs and steps", GroupID: groupClient,
		Long: "Flows are YAML files of jobs and steps with strict templates, as AetherFlow has them. They compile to task trees.",
		Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(flowValidateCommand(), flowRunCommand())
	return cmd
}

// envFlags give a flow's environment its values.
type envFlags struct{ env []string }

func (e *envFlags) bind(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&e.env, "env", nil, "NAME=VALUE for the flow's environment, or NAME alone for this process's own value; may be repeated, the last counts")
}

// read are the values that they give.
func (e *envFlags) read() (map[string]string, error) {
	out := map[string]string{}
	for _, one := range e.env {
		name, value, given := strings.Cut(one, "=")
		if name == "" {
			return nil, usage("--env: want NAME=VALUE or NAME, got %q", one)
		}
		if !given {
			if value, given = os.LookupEnv(name); !given {
				return nil, usage("--env: %s is not set here", name)
			}
		}
		out[name] = value
	}
	return out, nil
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
	var strict bool
	cmd := &cobra.Command{
		Use: "validate FILE|-...", Short: "Tell all that is wrong with flows",
		Long: "Tells all that is wrong with flows, with line and column, and asks no cluster. Each file has its line, OK or INVALID, and one for each fault: errors begin with -, warnings\n" +
			"with !. The exit code is 2 if there is an error. As JSON it is a report, or a list of reports if there are several files.",
		Args: cobra.MinimumNArgs(1),
	}
	out := outputFlag(cmd, formatText, formatJSON)
	alsoJSON(cmd, out)
	env.bind(cmd)
	cmd.Flags().BoolVar(&strict, "strict-env", false, "a name that the flow uses and that has no value, and no default, is an error")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		values, err := env.read()
		if err != nil {
			return err
		}
		opts := flows.Options{Executors: node.Known(), Inputs: node.InputKeys(), Env: values, StrictEnv: strict}
		var reports []*flows.Report
		invalid := 0
		for _, name := range args {
			shown, text, err := readFlow(cmd, name)
			if err != nil {
				return err
			}
			_, report := flows.Read(shown, text, opts)
			if reports = append(reports, report); !report.OK {
				invalid++
			}
		}
		if err := printReports(cmd.OutOrStdout(), reports, out.format); err != nil {
			return err
		}
		if invalid > 0 {
			return codedError{fmt.Errorf("%d of %s invalid", invalid, counted(len(args), "flow")), exitUsage}
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
	var values valueFlags
	var runID string
	var dry bool
	cmd := &cobra.Command{
		Use: "run FILE|-", Short: "Show the tree that a run of a flow is",
		Long: "With --dry-run, which must be there, prints the task tree of a run, as tasks.create takes it, and runs nothing. The same flow, values and id of a run give the same tree. If the flow\n" +
			"has faults, all are told as by \"flow validate\", and the exit code is 2. A name of the environment without a value, and without a default, is one.",
		Args: cobra.ExactArgs(1),
	}
	out := outputFlag(cmd, formatJSON, formatYAML)
	alsoJSON(cmd, out)
	env.bind(cmd)
	values.bind(cmd)
	cmd.Flags().StringVar(&runID, "run-id", "", "the id of the run, letters, digits, '.', '_' and '-'; a new one if it is left out")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "print the tree, and run nothing")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !dry {
			return usage("--dry-run must be there: it prints the tree, which \"taskgrove submit\" takes")
		}
		given, err := env.read()
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
		if runID == "" {
			id, err := uuids.NewV7()
			if err != nil {
				return err
			}
			runID = id.String()
		}
		tree, report := flows.Compile(name, text, runID, flows.Options{Executors: node.Known(), Inputs: node.InputKeys(), Env: given, Set: set})
		if tree == nil {
			if cmd.Flag("json").Changed || cmd.Flag("output").Changed && out.format == formatJSON {
				if err := printReports(cmd.OutOrStdout(), []*flows.Report{report}, formatJSON); err != nil {
					return err
				}
			} else if err := report.Text(cmd.ErrOrStderr()); err != nil {
				return err
			}
			return codedError{errors.New("the flow is invalid"), exitUsage}
		}
		text = append(indented(tree.Document), '\n')
		if out.format == formatYAML {
			text = yamlOf(tree.Document)
		}
		_, err = cmd.OutOrStdout().Write(text)
		return err
	}
	return cmd
}
