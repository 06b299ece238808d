package main

import (
	"cmp"
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
)

// lockCommand looks after locks.
func lockCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "lock", Short: "Look after the locks that tasks hold", GroupID: groupClient,
		Long: "Locks are keys that at most one task holds at a time. Whoever gets one has a token that is greater than all before.",
		Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(lockListCommand(), lockBreakCommand())
	for _, below := range cmd.Commands() {
		below.GroupID = ""
	}
	belowAlsoJSON(cmd)
	return cmd
}

func lockListCommand() *cobra.Command {
	return clientCommand("list", "List the locks that are held", "Lists the locks that are held, by key: who holds each, since when, with which token, and how many tasks wait for it. FOR is the task for which a lock is held,\n"+
		"where it is around several tasks.", cobra.NoArgs, func(ctx context.Context, s *session, _ []string) error {
		list := []*client.Lock{}
		for l, err := range s.Locks(ctx, client.LockFilter{}) {
			if err != nil {
				return err
			}
			list = append(list, l)
		}
		if err := s.print(list, func(w io.Writer) {
			table(w, func(w io.Writer) {
				fmt.Fprintln(w, "KEY\tTOKEN\tTASK\tID\tATTEMPT\tFOR\tSINCE\tWAITING\tTREE")
				for _, l := range list {
					fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%d\t%s\t%s\t%d\t%s\n", oneLine(l.Key), l.Token, oneLine(l.TaskName), oneLine(l.TaskID), l.Attempt, cmp.Or(oneLine(l.ForName), "-"), shownTime(l.Since), l.Waiters, oneLine(l.TreeID))
				}
			})
		}); err != nil {
			return err
		}
		return s.noteNone(len(list), "lock")
	})
}

func lockBreakCommand() *cobra.Command {
	var b client.LockBreak
	cmd := clientCommand("break KEY", "Take a lock from who holds it", "Takes a lock from who holds it, and cancels that task; where the lock is around several tasks, all of these. Whoever waits for the lock gets it, with a greater\n"+
		"token. What the former holder still does can't be taken back, and what it comes to does not count. Who broke which lock, and why, is on record.", cobra.ExactArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			b.Key = args[0]
			l, err := s.BreakLock(ctx, b)
			if err != nil {
				return err
			}
			return s.print(l, func(w io.Writer) {
				fmt.Fprintf(w, "%s: taken from %s (%s), which had token %d, and is cancelled\n", oneLine(l.Key), oneLine(cmp.Or(l.ForName, l.TaskName)), oneLine(cmp.Or(l.ForID, l.TaskID)), l.Token)
			})
		})
	cmd.Flags().StringVar(&b.Reason, "reason", "", "why, for people")
	cmd.Flags().Int64Var(&b.Token, "token", 0, "of who holds it, so that nobody else loses it; 0: whoever it is")
	return cmd
}
