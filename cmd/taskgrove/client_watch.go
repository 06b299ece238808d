package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/dag"
)

func watchCommand() *cobra.Command {
	return clientCommand("watch ID", "Watch a tree until it ends",
		"Shows a tree while it runs: live on a terminal, one plain line an event where output is piped, one JSON object a line\n"+
			"with -o json. The exit code says how it ended.",
		cobra.ExactArgs(1), func(ctx context.Context, s *session, args []string) error { return watchTree(ctx, s, args[0]) })
}

// watchTree shows a tree until its execution ends.
func watchTree(ctx context.Context, s *session, id string) error {
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
			return outcome(e.Tree)
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
	return outcome(tree)
}

// eventLine is an event in one plain line.
func eventLine(e *client.Event) string {
	parts := []string{e.At.Local().Format("15:04:05.000"), e.Type}
	if e.Name != "" {
		parts = append(parts, e.Name)
	}
	if e.Attempt > 1 {
		parts = append(parts, fmt.Sprintf("attempt %d", e.Attempt))
	}
	if e.Type == client.EventProgress {
		parts = append(parts, fmt.Sprintf("%.0f%%", 100*e.Progress))
	}
	if e.Message != "" {
		parts = append(parts, e.Message)
	}
	if e.Error != "" {
		parts = append(parts, e.Error)
	}
	return oneLine(strings.Join(parts, "  "))
}

// redraw is how often a live view is drawn at most.
const redraw = 150 * time.Millisecond

// watchLive redraws the tree on a terminal. It reads the tree at most once a redraw, however many events there are.
func watchLive(ctx context.Context, s *session, id string, screen *os.File) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changed := make(chan struct{}, 1)
	over := make(chan error, 1)
	go func() { // ends with ctx
		for e, err := range s.Watch(ctx, id, 0) {
			if err != nil || e.Type == client.EventFinal {
				over <- err
				return
			}
			select {
			case changed <- struct{}{}:
			default:
			}
		}
		over <- nil
	}()
	fmt.Fprint(screen, "\x1b[?25l") // no cursor
	defer fmt.Fprint(screen, "\x1b[?25h")
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	lines := 0
	draw := func() (*client.Tree, error) {
		tree, err := s.Tree(ctx, id)
		if err != nil {
			return nil, err
		}
		tasks, err := s.interesting(ctx, id, tree)
		if err != nil {
			return nil, err
		}
		width, height, err := term.GetSize(int(screen.Fd()))
		if err != nil {
			width, height = 80, 24
		}
		text := liveView(tree, tasks, width, height-1, time.Now())
		fmt.Fprint(screen, up(lines), text)
		lines = strings.Count(text, "\n")
		return tree, nil
	}
	for {
		tree, err := draw()
		if err != nil {
			return err
		}
		if tree.Ended() {
			return outcome(tree)
		}
		select {
		case err := <-over:
			if err != nil {
				return err
			}
			if tree, err = draw(); err != nil {
				return err
			}
			return outcome(tree)
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		select {
		case <-changed:
		case <-time.After(time.Second): // running times go on
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// up goes back to the first of the lines drawn before and clears what is below.
func up(lines int) string {
	if lines == 0 {
		return ""
	}
	return fmt.Sprintf("\x1b[%dA\x1b[J", lines)
}

// wholeTree is the largest tree of which a live view reads all tasks; of larger ones it reads what runs and what failed.
const wholeTree = 500

// interesting are the tasks that a live view shows.
func (s *session) interesting(ctx context.Context, id string, tree *client.Tree) ([]*client.Task, error) {
	if tree.Tasks <= wholeTree {
		return s.allTasks(ctx, id)
	}
	var out []*client.Task
	for _, status := range []dag.Status{dag.StatusInProgress, dag.StatusFailed} {
		n := 0
		for t, err := range s.Tasks(ctx, client.TaskFilter{TreeOf: id, Status: status}) {
			if err != nil {
				return nil, err
			}
			out = append(out, t)
			if n++; n == 100 {
				break
			}
		}
	}
	return out, nil
}

// liveView draws a tree in at most height lines of width columns: a line about the whole, a bar, and the tasks that fit,
// running and failed ones first, then in submission order.
func liveView(tree *client.Tree, tasks []*client.Task, width, height int, now time.Time) string {
	var b strings.Builder
	line := func(s string) { b.WriteString(cut(oneLine(s), width) + "\n") }
	line(summary(tree, now))
	line(bar(tree.Progress, min(width, 60)))
	rank := func(t *client.Task) int {
		switch {
		case t.Status == dag.StatusInProgress:
			return 0
		case t.Status == dag.StatusFailed:
			return 1
		}
		return 2
	}
	room := max(0, height-3)
	shown := slices.Clone(tasks)
	if len(shown) > room {
		slices.SortStableFunc(shown, func(x, y *client.Task) int { return rank(x) - rank(y) })
		shown = shown[:room]
	}
	for _, t := range shown {
		text := fmt.Sprintf("%s %-30s %-22s %8s  %s", mark(t), cut(t.Name, 30), describe(t), took(t.StartedAt, t.CompletedAt, now), t.Error)
		line(strings.TrimRight(text, " "))
	}
	if left := tree.Tasks - len(shown); left > 0 {
		line(fmt.Sprintf("… and %d more tasks", left))
	}
	return b.String()
}

func mark(t *client.Task) string {
	switch t.Status {
	case dag.StatusCompleted:
		return "✓"
	case dag.StatusFailed:
		return "✗"
	case dag.StatusCancelled:
		return "-"
	case dag.StatusInProgress:
		return "▶"
	}
	if t.State == "blocked" {
		return "!"
	}
	return "·"
}

func bar(progress float64, width int) string {
	inner := max(10, width-8)
	full := min(inner, int(progress*float64(inner)))
	return fmt.Sprintf("[%s%s] %3.0f%%", strings.Repeat("█", full), strings.Repeat("░", inner-full), 100*progress)
}

// cut shortens a text to n columns.
func cut(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	if n < 1 {
		return ""
	}
	return string(r[:n-1]) + "…"
}
