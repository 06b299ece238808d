package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/flows"
	"github.com/taskgrove/taskgrove/node"
)

func flowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "flow", Short: "Check flows: YAML files of jobs and steps", GroupID: groupClient,
		Long: "Flows are YAML files of jobs and steps with strict templates, as AetherFlow has them. They compile to task trees.",
		Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(flowValidateCommand())
	return cmd
}

// envFlags give a flow's environment its values.
type envFlags struct {
	env    []string
	strict bool
}

func (e *envFlags) bind(cmd *cobra.Command, strict bool) {
	cmd.Flags().StringArrayVar(&e.env, "env", nil, "NAME=VALUE for the flow's environment, or NAME alone for this process's own value; may be repeated, the last counts")
	cmd.Flags().BoolVar(&e.strict, "strict-env", strict, "a name that the flow uses and that has no value, and no default, is an error")
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
	cmd := &cobra.Command{
		Use: "validate FILE|-...", Short: "Tell all that is wrong with flows",
		Long: "Tells all that is wrong with flows, with line and column, and asks no cluster. Each file has its line, OK or INVALID, and one for each fault: errors begin with -, warnings\n" +
			"with !. The exit code is 2 if there is an error. As JSON it is a report, or a list of reports if there are several files.",
		Args: cobra.MinimumNArgs(1),
	}
	out := outputFlag(cmd, formatText, formatJSON)
	alsoJSON(cmd, out)
	env.bind(cmd, false)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		values, err := env.read()
		if err != nil {
			return err
		}
		opts := flows.Options{Executors: node.Known(), Inputs: node.InputKeys(), Env: values, StrictEnv: env.strict}
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
