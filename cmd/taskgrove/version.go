package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/node"
)

func versionCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show the version of this program",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			format, err := parseFormat(output, formatText, formatJSON, formatYAML)
			if err != nil {
				return err
			}
			if format != formatText {
				return format.write(cmd.OutOrStdout(), map[string]string{
					"version": node.Version(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH,
				})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "taskgrove %s %s %s/%s\n", node.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text, json or yaml")
	return cmd
}
