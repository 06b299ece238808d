package main

import (
	"cmp"
	"os"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/internal/treefile"
	"github.com/taskgrove/taskgrove/node"
)

// valueFlags give a tree file's parameters their values.
type valueFlags struct{ set, files []string }

func (v *valueFlags) bind(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&v.set, "set", nil, "NAME=VALUE for a parameter of the file, which says its type: 5, true and [1, 2] are text, unless it says otherwise; may be repeated")
	cmd.Flags().StringArrayVar(&v.files, "values", nil, "a file, in YAML or JSON, with values for parameters; --set goes before it; may be repeated, the last counts")
}

// read reads the values that they give.
func (v *valueFlags) read() (*treefile.Arguments, error) {
	given := &treefile.Arguments{}
	for _, name := range v.files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, codedError{err, exitUsage}
		}
		if err := given.Read(name, text); err != nil {
			return nil, codedError{err, exitUsage}
		}
	}
	for _, one := range v.set {
		if err := given.Set("--set", one); err != nil {
			return nil, usage("--set: %w", err)
		}
	}
	return given, nil
}

func renderCommand() *cobra.Command {
	var values valueFlags
	var allowUnknown bool
	cmd := &cobra.Command{
		Use: "render FILE|-", Short: "Print the tree that a tree file makes, and run nothing", GroupID: groupClient,
		Long: "Prints the tree of a tree file as the task-tree protocol has it: what \"submit\" would submit, and tasks.create takes. No cluster is asked, so that what\n" +
			"only a cluster knows, such as its limits, is not looked at. If the file has faults, all are told, and the exit code is 2.",
		Args: cobra.ExactArgs(1),
	}
	out := outputFlag(cmd, formatJSON, formatYAML)
	values.bind(cmd)
	cmd.Flags().BoolVar(&allowUnknown, "allow-unknown", false, "print a tree with inputs that have no effect and are nearly one that has, too")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		given, err := values.read()
		if err != nil {
			return err
		}
		var f *treefile.File
		bad, err := unlessEnded(cmd.Context(), func() (err error) {
			f, err = treefile.Read(args[0], treefile.Options{Stdin: cmd.InOrStdin(), AllowUnknown: allowUnknown, Arguments: given, Executors: node.Known(), Inputs: node.InputKeys()})
			return err
		})
		if err := cmp.Or(err, bad); err != nil {
			return codedError{err, exitUsage}
		}
		text := append(indented(f.JSON), '\n')
		if out.format == formatYAML {
			text = yamlOf(f.JSON)
		}
		_, err = cmd.OutOrStdout().Write(text)
		return err
	}
	return cmd
}
