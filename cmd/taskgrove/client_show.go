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

	"github.com/taskgrove/taskgrove/client"
)

// shownTask is a task with its history, when that was asked for.
type shownTask struct {
	Task     *client.Task
	Attempts []client.Attempt
}

// printTask prints one task; attempts may be nil.
func (s *session) printTask(t *client.Task, attempts []client.Attempt) error {
	value := any(t)
	if attempts != nil {
		value = shownTask{t, attempts}
	}
	return s.print(value, func(w io.Writer) {
		table(w, func(w io.Writer) {
			line := func(name, value string) {
				if value != "" {
					fmt.Fprintf(w, "%s\t%s\n", name, oneLine(value))
				}
			}
			line("id", t.ID)
			line("name", t.Name)
			if t.Ref != t.ID && t.Ref != t.Name {
				line("ref", t.Ref)
			}
			line("status", describe(t))
			if t.TreeID != t.ID {
				line("tree", t.TreeID)
			}
			line("executor", t.Executor)
			line("pool", t.Pool)
			line("worker", t.Worker)
			if t.Repeatable {
				line("repeatable", "yes")
			}
			line("attempt", attemptOf(t))
			line("blocked by", strings.Join(t.BlockedBy, ", "))
			line("took", took(t.StartedAt, t.CompletedAt, time.Now()))
			line("error", t.Error)
		})
		for _, a := range attempts {
			fmt.Fprintf(w, "attempt %d: %s %s %s\n", a.Number, a.Outcome, took(a.StartedAt, a.FinishedAt, time.Now()), oneLine(a.Error))
		}
		if len(t.Result) > 0 {
			fmt.Fprintf(w, "%s\n", indented(t.Result))
		}
	})
}

// attemptOf is a task's attempt, "-" before the first has begun.
func attemptOf(t *client.Task) string {
	if t.StartedAt.IsZero() && t.Attempt <= 1 {
		return "-"
	}
	return fmt.Sprint(t.Attempt)
}

// describe is a task's status, with its finer state where that says more.
func describe(t *client.Task) string {
	status := string(t.Status)
	if t.Status == client.StatusPending {
		status = "pending (" + string(t.State) + ")"
	}
	if t.State == client.StateDelayed && !t.DueAt.IsZero() {
		status += " until " + t.DueAt.Local().Format(time.DateTime)
	}
	if exit := exitOf(t.Result); exit != "" && t.Status == client.StatusCompleted {
		status += "  " + exit
	}
	return status
}

func getCommand() *cobra.Command {
	var attempts bool
	cmd := clientCommand("get ID", "Show a task", "Shows a task: where it stands, and its result.", cobra.ExactArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			t, err := s.Task(ctx, args[0])
			if err != nil {
				return err
			}
			var history []client.Attempt
			if attempts {
				if history, err = s.Attempts(ctx, args[0]); err != nil {
					return err
				}
			}
			return s.printTask(t, history)
		})
	cmd.Flags().BoolVar(&attempts, "attempts", false, "with its history")
	return cmd
}

// allTasks reads a tree's tasks.
func (s *session) allTasks(ctx context.Context, id string) (all []*client.Task, err error) {
	for t, err := range s.Tasks(ctx, client.TaskFilter{TreeOf: id}) {
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

func treeCommand() *cobra.Command {
	return clientCommand("tree ID", "Show a tree with all its tasks",
		"Shows all tasks of the tree that the task belongs to. With -o json: one object, the tree and its tasks.", cobra.ExactArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			tree, err := s.Tree(ctx, args[0])
			if err != nil {
				return err
			}
			tasks, err := s.allTasks(ctx, args[0])
			if err != nil {
				return err
			}
			return s.print(struct {
				Tree  *client.Tree
				Tasks []*client.Task
			}{tree, tasks}, func(w io.Writer) {
				fmt.Fprintln(w, oneLine(summary(tree, time.Now())))
				table(w, func(w io.Writer) { writeBranches(w, tasks, time.Now()) })
			})
		})
}

// summary is a tree in one line.
func summary(t *client.Tree, now time.Time) string {
	status := string(t.Status)
	if t.OnlyOptionalFailed { // what the protocol calls failed
		status = fmt.Sprintf("all but %d optional completed", t.Failed)
	}
	parts := []string{fmt.Sprintf("%s  %s  %.0f%%", t.ID, status, 100*t.Progress)}
	for _, c := range []struct {
		n    int
		what string
	}{{t.Completed, "completed"}, {t.Running, "running"}, {t.Failed, "failed"}, {t.Cancelled, "cancelled"}, {t.Blocked, "blocked"}, {t.Held, "held"}} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	parts = append(parts, fmt.Sprintf("of %d tasks", t.Tasks))
	if lasted := took(t.StartedAt, t.FinishedAt, now); lasted != "" {
		parts = append(parts, lasted)
	}
	return strings.Join(parts, "  ")
}

// writeBranches writes tasks below their parents.
func writeBranches(w io.Writer, tasks []*client.Task, now time.Time) {
	for _, b := range branches(tasks) {
		fmt.Fprintf(w, "%s%s\t%s\t%s\t%s\n", strings.Repeat("  ", b.indent), oneLine(b.task.Name), describe(b.task),
			took(b.task.StartedAt, b.task.CompletedAt, now), oneLine(b.task.Error))
	}
}

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

func logsCommand() *cobra.Command {
	var attempt int
	var follow bool
	cmd := clientCommand("logs ID", "Show what a task's executor wrote", "Shows what a task's executor wrote. With -o json: one object a line.",
		cobra.ExactArgs(1), func(ctx context.Context, s *session, args []string) error {
			for line, err := range s.Logs(ctx, args[0], client.LogFilter{Attempt: attempt, Follow: follow}) {
				if err != nil {
					return err
				}
				if err := s.print(line, func(w io.Writer) { fmt.Fprintln(w, line.Text) }); err != nil {
					return err
				}
			}
			return nil
		})
	cmd.Flags().IntVar(&attempt, "attempt", 0, "only this attempt; 0: all")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the task is settled")
	return cmd
}
