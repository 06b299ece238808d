package main

import (
	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/flows"
	"github.com/taskgrove/taskgrove/internal/schedulefile"
	"github.com/taskgrove/taskgrove/internal/treetest"
	"github.com/taskgrove/taskgrove/node"
)

func schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema [document|tree|mocks|schedules|flow|bundle]",
		Short: "Print the JSON Schema of a tree's document, of tree files, of mocks files, of files of schedules, of flows, or of manifests of bundles",
		Long: "Prints the JSON Schema of what \"submit\" takes, for editors to complete and check it: of the document of the task-tree protocol, or with \"tree\"\n" +
			"of tree files, which begin with \"taskgrove: 1\", with \"mocks\" of what \"test\" takes, with\n" +
			"\"schedules\" of what \"schedule apply\" takes, with \"flow\" of flows, or with \"bundle\" of manifests of bundles. Write it into a file, and name that in the first line of a YAML document:\n\n" +
			"  # yaml-language-server: $schema=tree.schema.json\n\n" +
			"or in JSON: {\"$schema\": \"tree.schema.json\", \"tasks\": [...]}.",
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"document", "tree", "mocks", "schedules", "flow", "bundle"},
		RunE: func(cmd *cobra.Command, args []string) error {
			make := node.TreeSchema
			switch {
			case len(args) == 0:
			case args[0] == "tree":
				make = node.TreeFileSchema
			case args[0] == "mocks":
				make = treetest.Schema
			case args[0] == "schedules":
				make = scheduleFileSchema
			case args[0] == "flow":
				make = node.FlowSchema
			case args[0] == "bundle":
				make = flows.ManifestSchema
			}
			schema, err := make()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(schema)
			return err
		},
	}
}

func scheduleFileSchema() ([]byte, error) {
	tree, err := node.TreeFileSchema()
	if err != nil {
		return nil, err
	}
	return schedulefile.Schema(tree)
}
