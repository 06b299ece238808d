package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/node"
)

func versionCommand() *cobra.Command {
	var output *formatFlag
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show the version of this program",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output.format != formatText {
				return output.format.write(cmd.OutOrStdout(), map[string]string{
					"version": node.Version(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH,
				})
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "taskgrove %s %s %s/%s\n", node.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
	output = outputFlag(cmd, formatText, formatJSON, formatYAML)
	return cmd
}
