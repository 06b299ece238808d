package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/taskgrove/taskgrove/client"
)

func watchCommand() *cobra.Command {
	return clientCommand("watch ID", "Watch a tree until it ends",
		"Shows a tree while it runs: live on a terminal, one plain line an event where output is piped, one JSON object a line\n"+
			"with -o json. The exit code says how it ended.",
		cobra.ExactArgs(1), func(ctx context.Context, s *session, args []string) error { return watchTree(ctx, s, args[0]) })
}

// watchTree shows a tree until its execution ends.
func watchTree(ctx context.Context, s *session, id string) error {
	tree, err := s.Tree(ctx, id) // a watch waits for a server that went away; one that never was is told here
	if err != nil {
		return err
	}
	if tree.Held == tree.Tasks { // it never ran, and has no events
		return s.outcome(ctx, tree, id)
	}
	if f, ok := s.out.(*os.File); ok && !s.json && term.IsTerminal(int(f.Fd())) {
		return watchLive(ctx, s, id, f)
	}
	for e, err := range s.Watch(ctx, id, 0) {
		if err != nil {
			return err
		}
		if err := s.print(e, func(w io.Writer) { fmt.Fprintln(w, eventLine(e)) }); err != nil {
			return err
		}
		if e.Type == client.EventFinal && e.Tree != nil {
			return s.outcome(ctx, e.Tree, id)
		}
	}
	return s.ended(ctx, id)
}

// ended gives the outcome of a tree that has none of its events to tell.
func (s *session) ended(ctx context.Context, id string) error {
	tree, err := s.Tree(ctx, id)
	if err != nil {
		return err
	}
	return s.outcome(ctx, tree, id)
}

// eventLine is an event in one plain line.
func eventLine(e *client.Event) string {
	parts := []string{e.At.Local().Format("15:04:05.000"), string(e.Type)}
	if label := cmp.Or(e.Name, e.TaskID); label != "" { // progress has no name
		parts = append(parts, label)
	}
	if e.Attempt > 1 {
		parts = append(parts, fmt.Sprintf("attempt %d", e.Attempt))
	}
	if e.Type == client.EventProgress {
		parts = append(parts, fmt.Sprintf("%.0f%%", 100*e.Progress))
	}
	if exit := exitOf(e.Result); exit != "" && e.Type == client.EventCompleted {
		parts = append(parts, exit)
	}
	if e.Message != "" {
		parts = append(parts, e.Message)
	}
	if e.Error != "" {
		parts = append(parts, e.Error)
	}
	return oneLine(strings.Join(parts, "  "))
}
