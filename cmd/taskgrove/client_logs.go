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
		}
		return s.logs(ctx, id, f)
	})
	return cmd
}

// logs prints lines, those of a tree with what their task is called.
func (s *session) logs(ctx context.Context, id string, f client.LogFilter) error {
	ids := map[string]string{} // by name, the first task that is called so
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
			prefix = oneLine(prefix) + " | "
		}
		if err := s.print(line, func(w io.Writer) { fmt.Fprintln(w, prefix+line.Text) }); err != nil {
			return err
		}
	}
	return nil
}
