package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
)

func logsCommand() *cobra.Command {
	var f client.LogFilter
	var since timeFlag
	var only bool
	cmd := clientCommand("logs TASK", "Show what executors wrote",
		"Shows what the executor of a task wrote; of a root, what those of all tasks of its tree wrote, each line with its task's name.\n"+
			"With -o json: one object a line.\n"+taskRefHelp,
		cobra.ExactArgs(1), nil)
	cmd.Flags().IntVar(&f.Attempt, "attempt", 0, "only this attempt; 0: all")
	cmd.Flags().BoolVarP(&f.Follow, "follow", "f", false, "go on until the task, or the tree's execution, has ended")
	cmd.Flags().IntVar(&f.Tail, "tail", -1, "only so many of the lines that are there, the last ones; -1: all")
	cmd.Flags().Var(&since, "since", "only lines since then: a time, or a duration before now, such as 10m")
	cmd.Flags().BoolVar(&only, "only", false, "of a root, its own lines only")
	cmd.ValidArgsFunction = completeTasks(1)
	run(cmd, func(ctx context.Context, s *session, args []string) error {
		switch {
		case f.Tail == 0 || f.Tail < -1:
			return usage("--tail: takes a number from 1 on, or -1 for all lines, not %d", f.Tail)
		case f.Attempt < 0:
			return usage("--attempt: takes a number from 1 on, or 0 for all, not %d", f.Attempt)
		}
		f.Tail, f.Since = max(f.Tail, 0), since.at
		width := 0
		id, err := s.id(ctx, args[0])
		if err != nil {
			return err
		}
		if !only && f.Attempt == 0 {
			tree, err := s.Tree(ctx, id)
			if err != nil {
				return err
			}
			f.Tree = tree.ID == id && tree.Tasks > 1
			if f.Tree && tree.Tasks <= wholeTree && s.forPeople() {
				if width, err = s.nameWidth(ctx, id); err != nil {
					return err
				}
			}
		}
		return s.logs(ctx, id, f, width)
	})
	return cmd
}

// maxNameWidth is how many columns names take before lines at most, for the lines to begin at the same one.
const maxNameWidth = 30

// nameWidth is how many columns the names of a tree's tasks take before their lines, up to the bound.
func (s *session) nameWidth(ctx context.Context, id string) (width int, err error) {
	seen := map[string]bool{}
	for t, err := range s.Tasks(ctx, client.TaskFilter{TreeOf: id}) {
		if err != nil {
			return 0, err
		}
		if t.Executor == "" { // it writes nothing
			continue
		}
		name := t.Name
		if seen[name] {
			name = called(name, t.ID)
		}
		seen[name] = true
		if n := columns(oneLine(name)); n <= maxNameWidth {
			width = max(width, n)
		}
	}
	return width, nil
}

// logs prints lines, those of a tree with what their task is called, in so many columns at least; they become wider with the names.
func (s *session) logs(ctx context.Context, id string, f client.LogFilter, width int) error {
	ids := map[string]string{} // by name, the first task that is called so
	n := 0
	for line, err := range s.Logs(ctx, id, f) {
		if err != nil {
			return err
		}
		prefix := ""
		if f.Tree && line.TaskID != "" {
			if _, known := ids[line.Name]; !known {
				ids[line.Name] = line.TaskID
			}
			if prefix = line.Name; ids[line.Name] != line.TaskID {
				prefix = called(line.Name, line.TaskID)
			}
			prefix = oneLine(prefix)
			if n := columns(prefix); n <= maxNameWidth {
				width = max(width, n)
				prefix = pad(prefix, width)
			}
			prefix += " | "
		}
		n++
		if err := s.print(line, func(w io.Writer) { fmt.Fprintln(w, prefix+line.Text) }); err != nil {
			return err
		}
	}
	return s.noteNone(n, "line")
}
