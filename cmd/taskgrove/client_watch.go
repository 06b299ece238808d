package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/dag"
)

func watchCommand() *cobra.Command {
	cmd := clientCommand("watch TASK", "Watch a tree until it ends",
		"Shows a tree while it runs: live on a terminal, one plain line an event where output is piped or TERM is dumb, one JSON\n"+
			"object a line with -o json. What models say is shown as they say it. When nothing moves for 3 s, it says why. The exit code says how the tree ended.\n"+taskRefHelp,
		cobra.ExactArgs(1), func(ctx context.Context, s *session, args []string) error {
			id, err := s.id(ctx, args[0])
			if err != nil {
				return err
			}
			return watchTree(ctx, s, id)
		})
	cmd.ValidArgsFunction = completeTasks(1)
	return cmd
}

// screenOf is the terminal that a live view can be drawn on, if output goes to one that knows the escape sequences for it.
func (s *session) screenOf() (*os.File, bool) {
	f, ok := s.out.(*os.File)
	kind := os.Getenv("TERM")
	return f, ok && s.forPeople() && kind != "" && kind != "dumb" && term.IsTerminal(int(f.Fd()))
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
	if f, ok := s.screenOf(); ok {
		return watchLive(ctx, s, id, f)
	}
	end, err := s.printEvents(ctx, id)
	switch {
	case err != nil:
		return err
	case end != nil:
		return s.outcome(ctx, end, id)
	}
	return s.ended(ctx, id)
}

// printEvents prints a line for each event until the execution ends, and returns the tree as it is then, if the events tell.
func (s *session) printEvents(ctx context.Context, id string) (*client.Tree, error) {
	moved := make(chan struct{}, 1) // something happened
	stop := s.sayWhenStill(ctx, id, moved)
	defer stop()
	talk, reads := &transcript{}, parkedReads
	names := map[string]string{} // of tasks, for events that have none: those of version 0.2.0
	for e, err := range s.Watch(ctx, id, 0) {
		if err != nil {
			return nil, err
		}
		select {
		case moved <- struct{}{}:
		default:
		}
		if e.Name == "" {
			e.Name = names[e.TaskID]
		} else if len(names) < wholeTree {
			names[e.TaskID] = e.Name
		}
		err := s.print(e, func(w io.Writer) {
			if len(e.Pieces) > 0 {
				talk.print(w, e)
				return
			}
			if talk.hold(e) {
				return
			}
			talk.pause(w)
			fmt.Fprintln(w, eventLine(e)+s.parkedBy(ctx, e, &reads))
		})
		if err != nil {
			return nil, err
		}
		if e.Type == client.EventFinal && e.Tree != nil {
			return e.Tree, nil
		}
	}
	return nil, nil
}

// parkedReads is of how many tasks that wait, for the outside or for what they found, a watch asks what for.
const parkedReads = 100

// parkedBy is what a task waits for by its event, as far as that is so when it is read.
func (s *session) parkedBy(ctx context.Context, e *client.Event, reads *int) string {
	if e.Type != client.EventAwaiting && e.Type != client.EventExpanded || *reads == 0 {
		return ""
	}
	*reads--
	t, err := s.Task(ctx, e.TaskID)
	if err != nil || t.Attempt != e.Attempt || t.State != client.StateAwaiting && t.State != client.StateExpanded {
		return ""
	}
	return "  " + strings.TrimPrefix(parked(t), ": ")
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
	parts := []string{e.At.In(zone).Format("15:04:05.000"), string(e.Type)}
	if e.TaskID != "" {
		parts = append(parts, called(e.Name, e.TaskID))
	}
	if e.Attempt > 1 {
		parts = append(parts, fmt.Sprintf("attempt %d", e.Attempt))
	}
	if e.Type == client.EventProgress {
		parts = append(parts, fmt.Sprintf("%.0f%%", 100*e.Progress))
	}
	if e.Type == client.EventSkipped {
		parts = append(parts, dag.SkipReason(e.Result))
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
