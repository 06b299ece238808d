package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func whyCommand() *cobra.Command {
	return clientCommand("why ID", "Say what a task waits for",
		"Says what a task that is not running waits for: the first line where it stands, then a line for each cause.\n"+
			"Exit code 0 whatever the answer is. With -o json: one object.", cobra.ExactArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			e, err := s.Why(ctx, args[0])
			if err != nil {
				return err
			}
			return s.print(e, func(w io.Writer) {
				fmt.Fprintf(w, "%s: %s\n", oneLine(e.TaskID), oneLine(e.Summary))
				for _, wait := range e.Waits {
					fmt.Fprintf(w, "  waits for %s\n", oneLine(wait.Text))
				}
			})
		})
}
