package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/dag"
)

// selection is what list is to show, as its flags say.
type selection struct {
	user, status   string
	limit          int
	running, tasks bool
}

func listCommand() *cobra.Command {
	var sel selection
	cmd := clientCommand("list", "List trees, newest first",
		"Lists trees, or with --tasks tasks, newest first. With -o json: one JSON object a line.", cobra.NoArgs,
		func(ctx context.Context, s *session, _ []string) error {
			if err := sel.check(); err != nil {
				return err
			}
			if sel.tasks {
				return s.listTasks(ctx, sel)
			}
			return s.listTrees(ctx, sel)
		})
	cmd.Flags().StringVar(&sel.user, "user", "", "trees of this owner")
	cmd.Flags().StringVar(&sel.status, "status", "", "only those that are pending, in_progress, completed, failed or cancelled")
	cmd.Flags().IntVar(&sel.limit, "limit", 20, "how many at most")
	cmd.Flags().BoolVar(&sel.running, "running", false, "only trees with an execution in progress")
	cmd.Flags().BoolVar(&sel.tasks, "tasks", false, "tasks instead of trees")
	return cmd
}

func (sel selection) check() error {
	if sel.status != "" {
		if _, ok := dag.ParseStatus(sel.status); !ok {
			return usage("--status: takes pending, in_progress, completed, failed or cancelled, not %q", sel.status)
		}
	}
	if sel.limit < 1 {
		return usage("--limit: takes a number from 1 on, not %d", sel.limit)
	}
	if sel.tasks && (sel.user != "" || sel.running) {
		return usage("--tasks: --user and --running select trees only")
	}
	return nil
}

func (s *session) listTasks(ctx context.Context, sel selection) error {
	tasks := s.Tasks(ctx, client.TaskFilter{Status: client.Status(sel.status)})
	return list(s, tasks, sel.limit, "ID\tNAME\tSTATUS\tEXECUTOR\tTOOK", func(t *client.Task) string {
		return fmt.Sprintf("%s\t%s\t%s\t%s\t%s", oneLine(t.ID), oneLine(t.Name), describe(t), oneLine(t.Executor), took(t.StartedAt, t.CompletedAt, time.Now()))
	})
}

func (s *session) listTrees(ctx context.Context, sel selection) error {
	trees := s.Trees(ctx, client.TreeFilter{UserID: sel.user, Status: client.Status(sel.status), Running: sel.running})
	return list(s, trees, sel.limit, "ID\tNAME\tSTATUS\tPROGRESS\tDONE\tTOOK", func(t *client.Tree) string {
		return fmt.Sprintf("%s\t%s\t%s\t%.0f%%\t%d/%d\t%s", oneLine(t.ID), oneLine(t.Name), t.Status, 100*t.Progress, t.Completed, t.Tasks,
			took(t.StartedAt, t.FinishedAt, time.Now()))
	})
}

// list prints the first of what is read, up to the limit: as JSON each at once, else as a table, which is left away when there is nothing.
func list[T any](s *session, all iter.Seq2[T, error], limit int, header string, row func(T) string) error {
	var rows []string
	n := 0
	for item, err := range all {
		if err != nil {
			return err
		}
		if !s.json {
			rows = append(rows, row(item))
		} else if err := s.print(item, nil); err != nil {
			return err
		}
		if n++; n == limit {
			break
		}
	}
	if len(rows) == 0 {
		return nil
	}
	return s.print(nil, func(w io.Writer) {
		table(w, func(w io.Writer) {
			fmt.Fprintln(w, header)
			for _, row := range rows {
				fmt.Fprintln(w, row)
			}
		})
	})
}
