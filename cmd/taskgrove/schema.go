package main

import (
	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/node"
)

func schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of a tree's document",
		Long: "Prints the JSON Schema of the document that \"submit\" takes, for editors to complete and check it. Write it into a file, and name that\n" +
			"in the first line of a YAML document:\n\n" +
			"  # yaml-language-server: $schema=tree.schema.json\n\n" +
			"or in JSON: {\"$schema\": \"tree.schema.json\", \"tasks\": [...]}.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			schema, err := node.TreeSchema()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(schema)
			return err
		},
	}
}
