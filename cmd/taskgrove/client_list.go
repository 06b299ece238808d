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
	labels                                            labelFlag
}

func listCommand() *cobra.Command {
	sel := selection{labels: labelFlag{selects: true}}
	cmd := clientCommand("list", "List trees, newest first",
		"Lists trees, or with --tasks, --tree, --state or --executor tasks, newest first; those of one tree in the order in which they\n"+
			"were submitted. Ids are short, as \"get\" takes them; -o wide shows them whole, and more. With -o json: one JSON object a line.\n"+
			"If there may be more than --limit, a note on stderr says how to go on; another says that nothing matched.",
		cobra.NoArgs,
		func(ctx context.Context, s *session, _ []string) error {
			if err := sel.check(); err != nil {
				return err
			}
			if sel.limit < 1 {
				return usage("--limit: takes a number from 1 on, not %d", sel.limit)
			}
			if !sel.tasks {
				return list(s, sel, s.trees(ctx, sel))
			}
			tasks, err := s.tasks(ctx, sel)
			if err != nil {
				return err
			}
			return list(s, sel, tasks)
		})
	takesWide(cmd)
	sel.bind(cmd)
	cmd.Flags().IntVar(&sel.limit, "limit", 20, "how many at most")
	cmd.Flags().StringVar(&sel.cursor, "cursor", "", "where to go on, as the list before said")
	return cmd
}

// bind gives a command the flags that select.
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
	f.BoolVar(&sel.running, "running", false, "only trees with an execution in progress")
	f.VarP(&sel.labels, "selector", "l", "trees with all these labels; a key alone stands for any value")
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
	sel.tasks = sel.tasks || sel.tree != "" || sel.state != "" || sel.executor != ""
	switch {
	case sel.tasks && sel.running:
		return usage("--running: selects trees, not tasks; --state running selects tasks that run")
	case sel.tasks && sel.labels.labels != nil:
		return usage("--selector: selects trees, not tasks")
	case sel.tree != "" && (sel.user != "" || sel.since.text != "" || sel.before.text != ""):
		return usage("--tree: is one tree, so that --user, --since and --before have nothing to select")
	}
	return nil
}

// selects reports whether not all trees or tasks are asked for.
func (sel *selection) selects() bool {
	return sel.user+sel.status+sel.state+sel.name+sel.executor+sel.tree+sel.since.text+sel.before.text != "" || sel.running || sel.labels.labels != nil
}

// tasks is a listing of the tasks that are selected.
func (s *session) tasks(ctx context.Context, sel selection) (out listing[*client.Task], err error) {
	f := client.TaskFilter{UserID: sel.user, Status: client.Status(sel.status), State: client.State(sel.state), Name: sel.name,
		Executor: sel.executor, Since: sel.since.at, Before: sel.before.at}
	if sel.tree != "" {
		if f.TreeOf, err = s.id(ctx, sel.tree); err != nil {
			return out, err
		}
	}
	now := time.Now()
	return listing[*client.Task]{
		what: "task", header: []string{"ID", "NAME", "STATUS", "EXECUTOR", "AGE", "TOOK"}, wide: []string{"TREE", "POOL", "WORKER", "CREATED"},
		page: func(cursor string, limit int) (*client.Page[*client.Task], error) {
			f.Cursor, f.PageSize = cursor, limit
			return s.TasksPage(ctx, f)
		},
		id: func(t *client.Task) string { return t.ID },
		row: func(t *client.Task, id string) string {
			return s.row([]string{id, oneLine(t.Name), describe(t), oneLine(t.Executor), age(t.CreatedAt, now), took(t.StartedAt, t.CompletedAt, now)},
				oneLine(t.TreeID), oneLine(t.Pool), oneLine(t.Worker), shownTime(t.CreatedAt))
		},
	}, nil
}

// trees is a listing of the trees that are selected.
func (s *session) trees(ctx context.Context, sel selection) listing[*client.Tree] {
	f := client.TreeFilter{UserID: sel.user, Status: client.Status(sel.status), Name: sel.name, Since: sel.since.at, Before: sel.before.at, Running: sel.running, Labels: sel.labels.labels}
	now := time.Now()
	return listing[*client.Tree]{
		what: "tree", header: []string{"ID", "NAME", "STATUS", "PROGRESS", "DONE", "AGE", "TOOK"}, wide: []string{"USER", "CREATED", "LABELS"},
		page: func(cursor string, limit int) (*client.Page[*client.Tree], error) {
			f.Cursor, f.PageSize = cursor, limit
			return s.TreesPage(ctx, f)
		},
		id: func(t *client.Tree) string { return t.ID },
		row: func(t *client.Tree, id string) string {
			return s.row([]string{id, oneLine(t.Name), string(t.Status), fmt.Sprintf("%.0f%%", 100*t.Progress), fmt.Sprintf("%d/%d", t.Completed, t.Tasks),
				age(t.CreatedAt, now), took(t.StartedAt, t.FinishedAt, now)}, oneLine(t.UserID), shownTime(t.CreatedAt), oneLine(labelText(t.Labels)))
		},
	}
}

// listing is how one kind of items is listed.
type listing[T any] struct {
	what         string // an item
	header, wide []string
	page         func(cursor string, limit int) (*client.Page[T], error)
	id           func(T) string
	row          func(item T, id string) string // id as it is shown
}

// table prints items. Their ids are short, unless all columns are asked for.
func (l listing[T]) table(s *session, items []T) error {
	return s.print(nil, func(w io.Writer) { l.write(w, s, items) })
}

func (l listing[T]) write(w io.Writer, s *session, items []T) {
	ids := make([]string, len(items))
	for i, item := range items {
		ids[i] = l.id(item)
	}
	short := shortIDs(ids)
	table(w, func(w io.Writer) {
		fmt.Fprintln(w, s.row(l.header, l.wide...))
		for i, item := range items {
			id := short[ids[i]]
			if s.wide() {
				id = ids[i]
			}
			fmt.Fprintln(w, l.row(item, oneLine(id)))
		}
	})
}

// maxPage is how many items a page has at most.
const maxPage = 1000

// list prints what is on the pages, up to the limit: as JSON each at once, else as a table. It notes when there is nothing, and when
// there may be more.
func list[T any](s *session, sel selection, l listing[T]) error {
	var shown []T
	n := 0
	cursor := sel.cursor
	for left := sel.limit; left > 0; {
		got, err := l.page(cursor, min(left, maxPage))
		if err != nil {
			return err
		}
		if s.forPeople() {
			shown = append(shown, got.Items...)
		} else {
			for _, item := range got.Items {
				if err := s.print(item, nil); err != nil {
					return err
				}
			}
		}
		n += len(got.Items)
		left -= len(got.Items)
		if cursor = got.Next; cursor == "" {
			break
		}
	}
	if len(shown) > 0 {
		if err := l.table(s, shown); err != nil {
			return err
		}
	}
	switch {
	case cursor != "":
		return s.note("there may be more: go on with --cursor %s, or show more with --limit", cursor)
	case n == 0 && sel.cursor != "":
		return s.note("there are no more %s", plural(l.what))
	case n == 0 && sel.selects():
		return s.note("no %s matches", l.what)
	}
	return s.noteNone(n, l.what)
}
