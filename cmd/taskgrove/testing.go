package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/internal/treefile"
	"github.com/taskgrove/taskgrove/internal/treetest"
	"github.com/taskgrove/taskgrove/node"
)

func testCommand() *cobra.Command {
	var values valueFlags
	var mocks, junit string
	var steps, allowUnknown bool
	cmd := &cobra.Command{
		Use: "test FILE|-", Short: "Run a tree in this process, by mocks, and check what it comes to", GroupID: groupClient,
		Long: "Runs a tree without a cluster: what attempts come to, a mocks file says, and time passes as soon as nothing else is left to do, so that a night takes\n" +
			"milliseconds. Nothing that tasks would do is done. The mocks file has cases, and says what is expected of each: outcomes, inputs and order.\n\n" +
			"The exit code is 0 if all cases pass, 1 if one does not, and 2 if the tree or the mocks file has faults, all of which are told.",
		Args: cobra.ExactArgs(1),
	}
	out := outputFlag(cmd, formatText, formatJSON)
	cmd.Flags().StringVarP(&mocks, "mocks", "m", "", "the mocks file, in YAML or JSON")
	cmd.Flags().StringVar(&junit, "junit", "", "write a report to this file, too, as programs of continuous integration read it")
	cmd.Flags().BoolVar(&steps, "steps", false, "tell what happened when, also of cases that passed")
	values.bind(cmd)
	cmd.Flags().BoolVar(&allowUnknown, "allow-unknown", false, "test a tree with inputs that have no effect and are nearly one that has, too")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if mocks == "" {
			return usage("--mocks FILE says what the tasks come to")
		}
		given, err := values.read()
		if err != nil {
			return err
		}
		text, err := os.ReadFile(mocks)
		if err != nil {
			return codedError{err, exitUsage}
		}
		tree, err := treeOf(cmd, args[0], allowUnknown)
		if err != nil {
			return codedError{err, exitUsage}
		}
		suite, err := treetest.Load(mocks, text, treetest.Options{Tree: tree, Given: given, Executors: node.Known(), Described: node.Described()})
		if err != nil {
			return codedError{err, exitUsage}
		}
		report := suite.Run()
		if err := printReport(cmd.OutOrStdout(), report, out.format, steps); err != nil {
			return err
		}
		if junit != "" {
			var b bytes.Buffer
			if err := report.JUnit(&b); err != nil {
				return err
			}
			if err := os.WriteFile(junit, b.Bytes(), 0o644); err != nil {
				return err
			}
		}
		if report.Failed > 0 {
			return codedError{fmt.Errorf("%d of %s failed", report.Failed, counted(len(report.Cases), "case")), exitError}
		}
		return nil
	}
	return cmd
}

// treeOf reads the tree of a file for one case after the other.
func treeOf(cmd *cobra.Command, name string, allowUnknown bool) (func(*treefile.Arguments) (*treefile.File, error), error) {
	var stdin []byte
	if name == "-" {
		var err error
		if stdin, err = io.ReadAll(cmd.InOrStdin()); err != nil {
			return nil, err
		}
	}
	inputs, known := node.InputKeys(), node.Known()
	return func(given *treefile.Arguments) (*treefile.File, error) {
		return treefile.Read(name, treefile.Options{Stdin: bytes.NewReader(stdin), AllowUnknown: allowUnknown, Arguments: given, Executors: known, Inputs: inputs})
	}, nil
}

func printReport(w io.Writer, r *treetest.Report, f format, steps bool) error {
	if f == formatText {
		r.Text(w, steps)
		return nil
	}
	if !steps {
		for _, c := range r.Cases {
			if c.Status == treetest.Passed {
				c.Steps = nil
			}
		}
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = w.Write(append(indented(text), '\n'))
	return err
}
