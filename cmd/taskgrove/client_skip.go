package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
)

func skipCommand() *cobra.Command {
	cmd := clientCommand("skip TASK...", "Skip tasks that have not begun",
		"Ends tasks that have not begun, with the outcome skipped and the reason user. What depends on them goes on as after any skip.\n"+
			"A task that has begun, also one that waits for its next attempt, has ended or is held is left as it is; so is one that is\n"+
			"unknown. The others are skipped all the same, and the exit code is 1.\n"+taskRefHelp,
		cobra.MinimumNArgs(1), func(ctx context.Context, s *session, args []string) error {
			ids, err := s.ids(ctx, args)
			if err != nil {
				return err
			}
			var failed error
			for _, id := range ids {
				task, err := s.Skip(ctx, id)
				switch {
				case errors.Is(err, client.ErrNotFound), errors.Is(err, client.ErrConflict):
					failed = errors.Join(failed, err)
					continue
				case err != nil:
					return errors.Join(failed, err)
				}
				if err := s.print(task, func(w io.Writer) { fmt.Fprintf(w, "%s: skipped\n", oneLine(id)) }); err != nil {
					return err
				}
			}
			return failed
		})
	cmd.ValidArgsFunction = completeTasks(1000)
	return cmd
}
