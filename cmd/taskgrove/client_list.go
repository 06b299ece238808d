package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/dag"
)

// selection is what list is to show, as its flags say.
type selection struct {
	user, status, state, name, executor, tree, cursor string
	since, before                                     timeFlag
	limit                                             int
	running, tasks                                    bool
}

func listCommand() *cobra.Command {
	var sel selection
	cmd := clientCommand("list", "List trees, newest first",
		"Lists trees, or with --tasks, --tree, --state or --executor tasks, newest first; those of one tree in the order in which they\n"+
			"were submitted. With -o json: one JSON object a line. If there are more than --limit, a note on stderr says how to go on.",
		cobra.NoArgs,
		func(ctx context.Context, s *session, _ []string) error {
			if err := sel.check(); err != nil {
				return err
			}
			if sel.tasks {
				return s.listTasks(ctx, sel)
			}
			return s.listTrees(ctx, sel)
		})
	sel.bind(cmd)
	return cmd
}

func (sel *selection) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&sel.user, "user", "", "of this owner")
	f.StringVar(&sel.status, "status", "", "only those that are pending, in_progress, completed, failed or cancelled")
	f.StringVar(&sel.state, "state", "", "tasks that are held, waiting, delayed, ready, running, blocked, completed, failed or cancelled")
	f.StringVar(&sel.name, "name", "", "with this name; a tree has that of its root")
	f.StringVar(&sel.executor, "executor", "", "tasks of this executor")
	f.StringVar(&sel.tree, "tree", "", "tasks of this tree")
	f.Var(&sel.since, "since", "created since then: a time, or a duration before now, such as 24h or 7d")
	f.Var(&sel.before, "before", "created before then, as --since")
	f.IntVar(&sel.limit, "limit", 20, "how many at most")
	f.StringVar(&sel.cursor, "cursor", "", "where to go on, as the list before said")
	f.BoolVar(&sel.running, "running", false, "only trees with an execution in progress")
	f.BoolVar(&sel.tasks, "tasks", false, "tasks instead of trees")
	mustComplete(cmd, "tree", completeTasks(1))
	words := func(words []string) cobra.CompletionFunc {
		return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
	}
	var states, statuses []string
	for _, state := range dag.AllStates.States() {
		states = append(states, state.String())
	}
	for _, status := range []client.Status{client.StatusPending, client.StatusInProgress, client.StatusCompleted, client.StatusFailed, client.StatusCancelled} {
		statuses = append(statuses, string(status))
	}
	mustComplete(cmd, "state", words(states))
	mustComplete(cmd, "status", words(statuses))
}

// check refuses what does not go together, and chooses between trees and tasks.
func (sel *selection) check() error {
	if sel.status != "" {
		if _, ok := dag.ParseStatus(sel.status); !ok {
			return usage("--status: takes pending, in_progress, completed, failed or cancelled, not %q", sel.status)
		}
	}
	if sel.state != "" {
		if _, ok := dag.ParseState(sel.state); !ok {
			return usage("--state: takes held, waiting, delayed, ready, running, blocked, completed, failed or cancelled, not %q", sel.state)
		}
	}
	if sel.limit < 1 {
		return usage("--limit: takes a number from 1 on, not %d", sel.limit)
	}
	sel.tasks = sel.tasks || sel.tree != "" || sel.state != "" || sel.executor != ""
	switch {
	case sel.tasks && sel.running:
		return usage("--running: selects trees, not tasks; --state running selects tasks that run")
	case sel.tree != "" && (sel.user != "" || sel.since.text != "" || sel.before.text != ""):
		return usage("--tree: is one tree, so that --user, --since and --before have nothing to select")
	}
	return nil
}

func (s *session) listTasks(ctx context.Context, sel selection) error {
	f := client.TaskFilter{UserID: sel.user, Status: client.Status(sel.status), State: client.State(sel.state), Name: sel.name,
		Executor: sel.executor, Since: sel.since.at, Before: sel.before.at}
	if sel.tree != "" {
		id, err := s.id(ctx, sel.tree)
		if err != nil {
			return err
		}
		f.TreeOf = id
	}
	now := time.Now()
	return list(s, sel, "ID\tNAME\tSTATUS\tEXECUTOR\tAGE\tTOOK", func(cursor string, limit int) (*client.Page[*client.Task], error) {
		f.Cursor, f.PageSize = cursor, limit
		return s.TasksPage(ctx, f)
	}, func(t *client.Task) string {
		return fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s", oneLine(t.ID), oneLine(t.Name), describe(t), oneLine(t.Executor), age(t.CreatedAt, now),
			took(t.StartedAt, t.CompletedAt, now))
	})
}

func (s *session) listTrees(ctx context.Context, sel selection) error {
	f := client.TreeFilter{UserID: sel.user, Status: client.Status(sel.status), Name: sel.name, Since: sel.since.at, Before: sel.before.at, Running: sel.running}
	now := time.Now()
	return list(s, sel, "ID\tNAME\tSTATUS\tPROGRESS\tDONE\tAGE\tTOOK", func(cursor string, limit int) (*client.Page[*client.Tree], error) {
		f.Cursor, f.PageSize = cursor, limit
		return s.TreesPage(ctx, f)
	}, func(t *client.Tree) string {
		return fmt.Sprintf("%s\t%s\t%s\t%.0f%%\t%d/%d\t%s\t%s", oneLine(t.ID), oneLine(t.Name), t.Status, 100*t.Progress, t.Completed, t.Tasks,
			age(t.CreatedAt, now), took(t.StartedAt, t.FinishedAt, now))
	})
}

// maxPage is how many items a page has at most.
const maxPage = 1000

// list prints what is on the pages, up to the limit: as JSON each at once, else as a table, which is left away when there is nothing. It says
// when there is more.
func list[T any](s *session, sel selection, header string, page func(cursor string, limit int) (*client.Page[T], error), row func(T) string) error {
	var rows []string
	cursor := sel.cursor
	for left := sel.limit; left > 0; {
		got, err := page(cursor, min(left, maxPage))
		if err != nil {
			return err
		}
		for _, item := range got.Items {
			if s.forPeople() {
				rows = append(rows, row(item))
			} else if err := s.print(item, nil); err != nil {
				return err
			}
		}
		left -= len(got.Items)
		if cursor = got.Next; cursor == "" {
			break
		}
	}
	if len(rows) > 0 {
		if err := s.print(nil, func(w io.Writer) {
			table(w, func(w io.Writer) {
				fmt.Fprintln(w, header)
				for _, row := range rows {
					fmt.Fprintln(w, row)
				}
			})
		}); err != nil {
			return err
		}
	}
	if cursor == "" {
		return nil
	}
	_, err := fmt.Fprintf(s.notes, "there may be more: go on with --cursor %s, or show more with --limit\n", cursor)
	return err
}
