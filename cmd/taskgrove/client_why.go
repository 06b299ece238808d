package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
)

func whyCommand() *cobra.Command {
	cmd := clientCommand("why TASK", "Say what a task waits for",
		"Says what a task that is not running waits for: the first line where it stands, then a line for each cause, and below a\n"+
			"dependency what that waits for in turn.\n"+
			"Exit code 0 whatever the answer is. With -o json: one object, of the task alone.\n"+taskRefHelp, cobra.ExactArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			id, err := s.id(ctx, args[0])
			if err != nil {
				return err
			}
			e, err := s.Why(ctx, id)
			if err != nil {
				return err
			}
			if !s.forPeople() {
				return s.print(e, nil)
			}
			r := newReasons(s)
			if err := r.explain(ctx, e); err != nil {
				return err
			}
			return s.print(nil, func(w io.Writer) {
				for _, line := range r.lines {
					fmt.Fprintln(w, line)
				}
			})
		})
	cmd.ValidArgsFunction = completeTasks(1)
	return cmd
}

// Bounds of an explanation for people.
const (
	reasonDepth = 10 // dependencies of dependencies
	reasonWide  = 10 // of one task
	reasonTasks = 40 // that are asked about
)

// reasons are explanations of tasks, each below what waits for it.
type reasons struct {
	s     *session
	lines []string
	seen  map[string]bool // tasks that were explained
}

func newReasons(s *session) *reasons { return &reasons{s: s, seen: map[string]bool{}} }

// explain adds what is known of a task, and of what it waits for.
func (r *reasons) explain(ctx context.Context, e *client.Explanation) error {
	r.seen[e.TaskID] = true
	r.lines = append(r.lines, oneLine(called(e.Name, e.TaskID)+": "+inZone(e.Summary)))
	return r.waits(ctx, e, 1)
}

func (r *reasons) waits(ctx context.Context, e *client.Explanation, level int) error {
	indent := strings.Repeat("  ", level)
	for i, w := range e.Waits {
		if i == reasonWide {
			r.lines = append(r.lines, fmt.Sprintf("%s… and for %d more", indent, len(e.Waits)-i))
			break
		}
		text := inZone(w.Text)
		if w.TaskID != "" {
			text = strings.ReplaceAll(text, w.TaskID, shortID(w.TaskID))
		}
		r.lines = append(r.lines, indent+"waits for "+oneLine(text))
		if w.Kind != "dependency" || r.seen[w.TaskID] || level >= reasonDepth || len(r.seen) >= reasonTasks {
			continue
		}
		r.seen[w.TaskID] = true
		below, err := r.s.Why(ctx, w.TaskID)
		if err != nil {
			return err
		}
		if err := r.waits(ctx, below, level+1); err != nil {
			return err
		}
	}
	return nil
}
