package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/node"
)

// exitBlocked is the exit code of a preflight that found something to mend first.
const exitBlocked = 3

// upgradeCommand holds what is done around an upgrade.
func upgradeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "upgrade",
		Short:   "Look whether a cluster can be upgraded to this version",
		Long:    "Looks at a running cluster before it is upgraded (docs/upgrades.md).",
		GroupID: groupServe,
		Args:    cobra.NoArgs,
	}
	cmd.AddCommand(preflightCommand())
	return cmd
}

func preflightCommand() *cobra.Command {
	var output *formatFlag
	cmd := &cobra.Command{
		Use:   "preflight",
		Short: "Say what stands in the way of an upgrade to this version, and how to mend it",
		Long: "Run it with the new version's program, in the environment of a coordinator, before anything is upgraded. It changes nothing.\n\n" +
			"It looks at the settings; at the migrations that would be made, whether older coordinators go on beside each, what it locks, and how\n" +
			"large those tables are; at the versions and feature levels of all live coordinators and workers; at long transactions, replicas that\n" +
			"are behind, pools without workers and work in the background; and whether NATS answers.\n\n" +
			"The exit code is 3 if something has to be mended first, else 0.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := config.ReadEnvFiles(); err != nil {
				return err
			}
			r := preflightReport{Version: node.Version(), Findings: node.Preflight(cmd.Context())}
			r.Ready = !slices.ContainsFunc(r.Findings, func(f node.Finding) bool { return f.Weight == node.Blocks })
			if err := r.print(cmd, output.format); err != nil {
				return err
			}
			if !r.Ready {
				return errBlocked{}
			}
			return nil
		},
	}
	output = outputFlag(cmd, formatText, formatJSON, formatYAML)
	return cmd
}

// errBlocked ends a preflight that found something to mend, which is said already.
type errBlocked struct{}

func (errBlocked) Error() string { return "" }

// ExitCode is that of a cluster that can't be upgraded yet.
func (errBlocked) ExitCode() int { return exitBlocked }

// preflightReport is what preflight prints.
type preflightReport struct {
	Version  string         `json:"version"` // to which the cluster would be upgraded
	Ready    bool           `json:"ready"`   // nothing stands in the way
	Findings []node.Finding `json:"findings"`
}

func (r preflightReport) print(cmd *cobra.Command, as format) error {
	if as != formatText {
		return as.write(cmd.OutOrStdout(), r)
	}
	w := &firstError{Writer: harmlessWriter{cmd.OutOrStdout()}}
	for _, f := range r.Findings {
		fmt.Fprintf(w, "%-8s %-12s %s\n", f.Weight, f.Check, oneLine(f.Text))
		if f.Mend != "" {
			fmt.Fprintf(w, "%-21s   → %s\n", "", f.Mend)
		}
	}
	if r.Ready {
		fmt.Fprintf(w, "nothing stands in the way of version %s\n", r.Version)
	} else {
		fmt.Fprintf(w, "mend what blocks before you upgrade to version %s\n", r.Version)
	}
	return w.err
}
