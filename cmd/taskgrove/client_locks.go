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
	cmd := clientCommand("list [KEY]", "List the locks that are held", "Lists the locks that are held, by key, or the one with that key: who holds each, since when, with which token, and how many tasks wait for it. FOR is the task for which a lock is held,\n"+
		"where it is around several tasks.", cobra.MaximumNArgs(1), func(ctx context.Context, s *session, args []string) error {
		var f client.LockFilter
		if len(args) == 1 {
			f.Key = args[0]
		}
		list := []*client.Lock{}
		for l, err := range s.Locks(ctx, f) {
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
	cmd.ValidArgsFunction = completeLocks
	return cmd
}

// completeLocks offers the keys of locks that are held.
var completeLocks = completeFirst(func(ctx context.Context, s *session) (keys []string, err error) {
	page, err := s.LocksPage(ctx, client.LockFilter{Limit: 1000})
	if err != nil {
		return nil, err
	}
	for _, l := range page.Items {
		keys = append(keys, l.Key)
	}
	return keys, nil
})

// holderText says who holds a lock, or held it.
func holderText(l *client.Lock) string {
	return fmt.Sprintf("%s (%s)", oneLine(cmp.Or(l.ForName, l.TaskName)), oneLine(cmp.Or(l.ForID, l.TaskID)))
}

func lockBreakCommand() *cobra.Command {
	var b client.LockBreak
	var yes bool
	cmd := clientCommand("break KEY", "Take a lock from who holds it", "Takes a lock from who holds it, and cancels that task; where the lock is around several tasks, all of these. Whoever waits for the lock gets it, with a greater\n"+
		"token. What the former holder still does can't be taken back, and what it comes to does not count. Who broke which lock, and why, is on record.\n\n"+
		"--token or --holder name who is to lose it: a command that is given again takes it from nobody else. Without them the holder is shown and asked about, and only this one loses the lock.\n"+taskRefHelp, cobra.ExactArgs(1), nil)
	cmd.ValidArgsFunction = completeLocks
	cmd.Flags().StringVar(&b.Reason, "reason", "", "why, for people")
	cmd.Flags().Int64Var(&b.Token, "token", 0, "of who holds it, as \"lock list\" shows it")
	cmd.Flags().StringVar(&b.Holder, "holder", "", "the task that took it, or for which it is held")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask about who holds it now, whoever that is; what has no terminal to ask on needs it, or --token or --holder")
	mustComplete(cmd, "holder", completeTasks(1000))
	run(cmd, func(ctx context.Context, s *session, args []string) error {
		b.Key = args[0]
		named := cmd.Flags().Changed("token") || cmd.Flags().Changed("holder")
		if yes && named {
			return usage("--yes: --token and --holder name who is to lose the lock, and nobody is asked about")
		}
		if b.Holder != "" {
			id, err := s.id(ctx, b.Holder)
			if err != nil {
				return err
			}
			b.Holder = id
		}
		if !named {
			held, err := s.holder(ctx, b.Key)
			if err != nil {
				return err
			}
			if b.Token = held.Token; !yes {
				would := fmt.Sprintf("%s is held by %s, with token %d", oneLine(held.Key), holderText(held), held.Token)
				show := func(w io.Writer) {
					fmt.Fprintf(w, "%s, since %s; %s for it\n", would, shownTime(held.Since), map[bool]string{true: "a task waits", false: fmt.Sprintf("%s wait", counted(int(held.Waiters), "task"))}[held.Waiters == 1])
				}
				if err := s.confirm(would, fmt.Sprintf("--token %d takes it from this holder", held.Token), show, "take it from this holder, and cancel that"); err != nil {
					return err
				}
			}
		}
		l, err := s.BreakLock(ctx, b)
		if err != nil {
			return err
		}
		return s.print(l, func(w io.Writer) {
			fmt.Fprintf(w, "%s: taken from %s, which had token %d, and is cancelled\n", oneLine(l.Key), holderText(l), l.Token)
		})
	})
	return cmd
}

// holder is who holds a lock.
func (s *session) holder(ctx context.Context, key string) (*client.Lock, error) {
	page, err := s.LocksPage(ctx, client.LockFilter{Key: key})
	if err != nil {
		return nil, err
	}
	if len(page.Items) == 0 {
		return nil, fmt.Errorf("%w: nobody holds the lock %s (\"taskgrove lock list\")", client.ErrNotFound, cut(oneLine(key), descriptionWidth))
	}
	return page.Items[0], nil
}
