package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
)

func treeCommand() *cobra.Command {
	cmd := clientCommand("tree TASK", "Show a tree with all its tasks",
		"Shows all tasks of the tree that the task belongs to. With -o json or yaml: one object, the tree and its tasks, their inputs\n"+
			"as they were submitted, and what has paused it; \"submit\" takes it again.\n"+taskRefHelp, cobra.ExactArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			id, err := s.id(ctx, args[0])
			if err != nil {
				return err
			}
			tree, err := s.Tree(ctx, id)
			if err != nil {
				return err
			}
			tasks, err := s.allTasks(ctx, client.TaskFilter{TreeOf: id, AsSubmitted: !s.forPeople()})
			if err != nil {
				return err
			}
			var pauses []*client.Pause
			if tree.Unfinished+tree.Held > 0 {
				pauses = s.pausesOf(ctx, func(p *client.Pause) bool { return holdsBack(p, tree, tasks) })
			}
			if !s.forPeople() {
				doc := export(tree, tasks)
				if paused := pausedValue(pauses, func(p *client.Pause) bool { return p.TreeID != "" }); paused != nil {
					doc.Tree.(map[string]any)["paused"] = paused
				}
				return s.format.write(s.out, doc)
			}
			return s.print(nil, func(w io.Writer) {
				fmt.Fprintln(w, oneLine(summary(tree, time.Now())))
				if models := usageText(tree.Usage); models != "" {
					fmt.Fprintln(w, "models  "+oneLine(models))
				}
				writePaused(w, pauses)
				if kept := keptText(tree, time.Now()); kept != "" {
					fmt.Fprintln(w, "kept  "+oneLine(kept))
				}
				if unique := uniqueText(tree.Unique); unique != "" {
					fmt.Fprintln(w, "unique  "+oneLine(unique))
				}
				table(w, func(w io.Writer) { writeBranches(w, tasks, time.Now()) })
			})
		})
	cmd.ValidArgsFunction = completeTasks(1)
	return cmd
}

// holdsBack reports whether a pause keeps tasks of a tree from starting.
func holdsBack(p *client.Pause, tree *client.Tree, tasks []*client.Task) bool {
	return p.Everything || p.TreeID == tree.ID || p.Pool != "" && slices.ContainsFunc(tasks, func(t *client.Task) bool { return t.Pool == p.Pool && t.CompletedAt.IsZero() })
}

// allTasks reads all tasks that the filter selects.
func (s *session) allTasks(ctx context.Context, f client.TaskFilter) (all []*client.Task, err error) {
	for t, err := range s.Tasks(ctx, f) {
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

// partSeparator stands between the parts of a summary.
const partSeparator = "  "

// summary is a tree in one line: what it is called, and its parts.
func summary(t *client.Tree, now time.Time) string {
	return strings.Join(append([]string{called(t.Name, t.ID)}, summaryParts(t, now)...), partSeparator)
}

// summaryParts are a tree's status, its counts, and how long it took.
func summaryParts(t *client.Tree, now time.Time) []string {
	status := string(t.Status)
	if t.OnlyOptionalFailed { // what the protocol calls failed
		status = fmt.Sprintf("all but %d optional completed", t.Failed)
	}
	parts := []string{status, fmt.Sprintf("%.0f%%", 100*t.Progress)}
	for _, c := range []struct {
		n    int
		what string
	}{{t.Completed - t.Skipped, "completed"}, {t.Skipped, "skipped"}, {t.Running, "running"}, {t.Failed - t.FailuresAllowed, "failed"}, {t.FailuresAllowed, "failed (allowed)"}, {t.Cancelled, "cancelled"}, {t.Blocked, "blocked"}, {t.Held, "held"}} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	parts = append(parts, "of "+counted(t.Tasks, "task"))
	if lasted := took(t.StartedAt, t.FinishedAt, now); lasted != "" {
		parts = append(parts, lasted)
	}
	return parts
}

// writeBranches writes tasks below their parents.
func writeBranches(w io.Writer, tasks []*client.Task, now time.Time) {
	short := shortTaskIDs(tasks)
	for _, b := range branches(tasks) {
		status := describe(b.task)
		if b.task.SubtreeID != "" {
			status += ", tree " + oneLine(b.task.SubtreeID)
		}
		fmt.Fprintf(w, "%s%s\t%s\t%s\t%s\t%s\n", strings.Repeat("  ", b.indent), oneLine(cmp.Or(b.task.Name, b.task.ID)), oneLine(short[b.task.ID]),
			status, took(b.task.StartedAt, b.task.CompletedAt, now), oneLine(b.task.Error))
	}
}
