package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func coordinatorsCommand() *cobra.Command {
	return clientCommand("coordinators", "List coordinators",
		"Lists the coordinators that are alive, oldest first: version, feature level, since when each runs, and until when it counts as\n"+
			"alive if it is not heard of again.", cobra.NoArgs,
		func(ctx context.Context, s *session, _ []string) error {
			coordinators, err := s.Coordinators(ctx)
			if err != nil {
				return err
			}
			return s.print(coordinators, func(w io.Writer) {
				table(w, func(w io.Writer) {
					fmt.Fprintln(w, "NAME\tVERSION\tLEVEL\tSINCE\tLEASE UNTIL")
					for _, c := range coordinators {
						fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", oneLine(c.Name), oneLine(c.Version), c.Level,
							shownTime(c.StartedAt), shownTime(c.LeaseUntil))
					}
				})
			})
		})
}
