package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// exitViolations: verify found something.
const exitViolations = 6

func verifyCommand() *cobra.Command {
	var tree string
	cmd := clientCommand("verify", "Check what the cluster stores against its rules",
		"Makes a coordinator derive the rules of the system anew from what it stores, of one tree or of everything, while the\n"+
			"cluster runs. Prints one line, or with -o json one object a line, for each violation: its kind, the tree, the task, and\n"+
			"what is stored. Exit code 0: none was found; 6: some were.", cobra.NoArgs,
		func(ctx context.Context, s *session, _ []string) error {
			n := 0
			if tree != "" {
				id, err := s.id(ctx, tree)
				if err != nil {
					return err
				}
				tree = id
			}
			for v, err := range s.Verify(ctx, tree) {
				if err != nil {
					return err
				}
				n++
				if err := s.print(v, func(w io.Writer) {
					place := "cluster"
					switch {
					case v.TaskID != "":
						place = "task " + v.TaskID
					case v.TreeID != "":
						place = "tree " + v.TreeID
					}
					fmt.Fprintln(w, oneLine(v.Kind+"  "+place+"  "+v.Text))
				}); err != nil {
					return err
				}
			}
			if n > 0 {
				return codedError{fmt.Errorf("violations found: %d", n), exitViolations}
			}
			return s.note("no violations found")
		})
	cmd.Flags().StringVar(&tree, "tree", "", "only the tree that this task belongs to")
	mustComplete(cmd, "tree", completeTasks(1))
	return cmd
}
