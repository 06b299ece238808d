package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func workersCommand() *cobra.Command {
	return clientCommand("workers", "List workers", "Lists the workers that are alive, or left within the last hour.", cobra.NoArgs,
		func(ctx context.Context, s *session, _ []string) error {
			workers, err := s.Workers(ctx)
			if err != nil {
				return err
			}
			return s.print(workers, func(w io.Writer) {
				table(w, func(w io.Writer) {
					fmt.Fprintln(w, "ID\tSTATE\tHOST\tVERSION\tLEVEL\tIN HAND\tSINCE\tPOOLS")
					for _, x := range workers {
						var pools []string
						for _, name := range slices.Sorted(maps.Keys(x.Pools)) {
							pools = append(pools, fmt.Sprintf("%s=%d", name, x.Pools[name]))
						}
						fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\n", x.ID, x.State, x.Host, x.Build, x.Level, x.Running,
							x.StartedAt.Local().Format(time.DateTime), strings.Join(pools, ","))
					}
				})
				for _, x := range workers {
					for _, f := range x.Faults {
						fmt.Fprintf(w, "%s: %s\n", x.ID, oneLine(f))
					}
				}
			})
		})
}

func poolsCommand() *cobra.Command {
	return clientCommand("pools", "List pools", "Lists the pools: what waits in each, and the slots of its live workers.", cobra.NoArgs,
		func(ctx context.Context, s *session, _ []string) error {
			pools, err := s.Pools(ctx)
			if err != nil {
				return err
			}
			return s.print(pools, func(w io.Writer) {
				table(w, func(w io.Writer) {
					fmt.Fprintln(w, "POOL\tREADY\tQUEUED\tSLOTS\tWORKERS\tOLDEST")
					for _, p := range pools {
						fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%s\n", p.Name, p.Ready, p.Queued, p.Capacity, p.Workers, p.Oldest.Round(time.Millisecond))
					}
				})
			})
		})
}
