package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
)

func holdCommand() *cobra.Command {
	var reason string
	cmd := clientCommand("hold TREE --reason WHY", "Keep a tree from being deleted",
		"Keeps a tree from being deleted, and its tasks from being changed, by anybody and by retention, until it is released. What is held already\n"+
			"stays so, by who held it first.\n"+taskRefHelp, cobra.ExactArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			id, err := s.id(ctx, args[0])
			if err != nil {
				return err
			}
			h, err := s.Hold(ctx, client.HoldSpec{TreeID: id, Reason: reason})
			if err != nil {
				return err
			}
			return s.print(h, func(w io.Writer) { fmt.Fprintf(w, "%s: %s\n", oneLine(h.TreeID), heldText(h, time.Now())) })
		})
	cmd.Flags().StringVar(&reason, "reason", "", "why, for people: whoever would delete the tree is told")
	_ = cmd.MarkFlagRequired("reason") // it is there
	cmd.ValidArgsFunction = completeTasks(1)
	return cmd
}

func releaseCommand() *cobra.Command {
	cmd := clientCommand("release TREE", "Let a tree that is held be deleted again",
		"Ends the hold of a tree. It is kept as it was before: what is older than its retention is deleted soon.\n"+taskRefHelp, cobra.ExactArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			id, err := s.id(ctx, args[0])
			if err != nil {
				return err
			}
			if err := s.Release(ctx, id); err != nil {
				return err
			}
			return s.print(struct {
				TreeID   string
				Released bool
			}{id, true}, func(w io.Writer) { fmt.Fprintf(w, "%s: released\n", oneLine(id)) })
		})
	cmd.ValidArgsFunction = completeTasks(1)
	return cmd
}

func holdsCommand() *cobra.Command {
	var user string
	cmd := clientCommand("holds", "List the trees that are held", "Lists the trees that are held and that you may see, the oldest trees first.", cobra.NoArgs,
		func(ctx context.Context, s *session, _ []string) error {
			list := []*client.TreeHold{}
			for h, err := range s.Holds(ctx, client.HoldFilter{UserID: user}) {
				if err != nil {
					return err
				}
				list = append(list, h)
			}
			if err := s.print(list, func(w io.Writer) {
				table(w, func(w io.Writer) {
					fmt.Fprintln(w, "TREE\tHELD BY\tSINCE\tREASON")
					for _, h := range list {
						fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", oneLine(h.TreeID), cmp.Or(oneLine(h.SetBy), "-"), shownTime(h.SetAt), oneLine(h.Reason))
					}
				})
			}); err != nil {
				return err
			}
			return s.noteNone(len(list), "hold")
		})
	cmd.Flags().StringVar(&user, "user", "", "only of this owner's trees")
	return cmd
}

// heldText is a hold in one line, behind the tree that it is of.
func heldText(h *client.TreeHold, now time.Time) string {
	text := "held since " + age(h.SetAt, now) + " ago"
	if h.SetBy != "" {
		text += " by " + oneLine(h.SetBy)
	}
	return text + ": " + oneLine(h.Reason)
}

// dueText says by when a tree is to have ended, and whether it was late; empty: it is never late.
func dueText(t *client.Tree) string {
	switch {
	case t.Due.IsZero():
		return ""
	case t.Late.IsZero():
		return shownTime(t.Due)
	}
	return shownTime(t.Due) + ", late"
}

// keptText says how a tree is kept; empty: as the operator says.
func keptText(t *client.Tree, now time.Time) string {
	text := ""
	switch t.Retention {
	case "":
	case "keep":
		text = "until it is deleted"
	default:
		text = "for " + t.Retention + " after its end"
	}
	if t.Hold != nil {
		if text != "" {
			text += "; "
		}
		text += heldText(t.Hold, now)
	}
	return text
}

// uniqueText is the key that a tree has; empty: none.
func uniqueText(u *client.UniqueKey) string {
	switch {
	case u == nil:
		return ""
	case u.Until.IsZero():
		return fmt.Sprintf("%q, until it has ended", u.Key)
	}
	return fmt.Sprintf("%q, until %s", u.Key, shownTime(u.Until))
}

const erasurePoll = 200 * time.Millisecond // between two looks at an erasure that is waited for

func eraseCommand() *cobra.Command {
	var spec client.EraseSpec
	var noWait bool
	cmd := clientCommand("erase --user USER", "Erase all that is stored of a user",
		"Erases all that is stored of a user in the namespace: trees with all that belongs to them, messages, logs, files, keys of models. What is held stays. Coordinators\n"+
			"carry it out, whoever dies; the command waits for the end and prints the receipt, which \"erasures ID\" prints again.", cobra.NoArgs,
		func(ctx context.Context, s *session, _ []string) error {
			e, err := s.Erase(ctx, spec)
			if err != nil {
				return err
			}
			if !noWait && !spec.Preview {
				if err := s.note("erasure %s: erasing", oneLine(e.ID)); err != nil {
					return err
				}
			}
			for !noWait && !spec.Preview && e.FinishedAt.IsZero() {
				select {
				case <-ctx.Done():
					return context.Cause(ctx)
				case <-time.After(erasurePoll):
				}
				if e, err = s.Erasure(ctx, e.ID); err != nil {
					return err
				}
			}
			return s.printErasure(e)
		})
	cmd.Flags().StringVar(&spec.UserID, "user", "", "whose trees")
	_ = cmd.MarkFlagRequired("user") // it is there
	cmd.Flags().BoolVar(&spec.Cancel, "cancel", false, "cancel what runs; without, trees that run are a refusal")
	cmd.Flags().BoolVar(&spec.Preview, "dry-run", false, "erase nothing, and count what would go")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "don't wait for the end")
	return cmd
}

func erasuresCommand() *cobra.Command {
	return clientCommand("erasures [ID]", "List erasures, or print a receipt", "Lists what was erased of users, the newest first; with an ID, how far that erasure is, or its receipt.", cobra.MaximumNArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			if len(args) > 0 {
				e, err := s.Erasure(ctx, args[0])
				if err != nil {
					return err
				}
				return s.printErasure(e)
			}
			list := []*client.Erasure{}
			for e, err := range s.Erasures(ctx, client.ErasureFilter{}) {
				if err != nil {
					return err
				}
				list = append(list, e)
			}
			if err := s.print(list, func(w io.Writer) {
				table(w, func(w io.Writer) {
					fmt.Fprintln(w, "ID\tUSER\tASKED BY\tAT\tSTEP\tTREES\tHELD")
					for _, e := range list {
						fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%d\n", oneLine(e.ID), oneLine(e.UserID), cmp.Or(oneLine(e.AskedBy), "-"), shownTime(e.AskedAt), e.Step, e.Counts["trees"], e.Counts["held_trees"])
					}
				})
			}); err != nil {
				return err
			}
			return s.noteNone(len(list), "erasure")
		})
}

// printErasure prints an erasure: its receipt when it is done.
func (s *session) printErasure(e *client.Erasure) error {
	return s.print(e, func(w io.Writer) {
		table(w, func(w io.Writer) {
			if e.ID != "" {
				fmt.Fprintf(w, "erasure\t%s\n", oneLine(e.ID))
			}
			fmt.Fprintf(w, "user\t%s\nasked by\t%s\nasked at\t%s\nstep\t%s\n", oneLine(e.UserID), cmp.Or(oneLine(e.AskedBy), "-"), shownTime(e.AskedAt), e.Step)
			if !e.FinishedAt.IsZero() {
				fmt.Fprintf(w, "done at\t%s\n", shownTime(e.FinishedAt))
			}
			for _, kind := range slices.Sorted(maps.Keys(e.Counts)) {
				fmt.Fprintf(w, "%s\t%d\n", oneLine(strings.ReplaceAll(kind, "_", " ")), e.Counts[kind])
			}
		})
	})
}
