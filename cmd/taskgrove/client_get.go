package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
)

// shownTask is a task with its history, when that was asked for.
type shownTask struct {
	Task     *client.Task
	Attempts []client.Attempt
}

func getCommand() *cobra.Command {
	var withAttempts bool
	cmd := clientCommand("get TASK", "Show a task", "Shows a task: where it stands, its inputs, its attempts, and its result.\n"+taskRefHelp, cobra.ExactArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			id, err := s.id(ctx, args[0])
			if err != nil {
				return err
			}
			t, err := s.Task(ctx, id)
			if err != nil {
				return err
			}
			var history []client.Attempt
			if withAttempts || s.forPeople() {
				if history, err = s.Attempts(ctx, id); err != nil {
					return err
				}
			}
			var tree *client.Tree
			if t.ParentID == "" && t.HasChildren && s.forPeople() {
				if tree, err = s.Tree(ctx, id); err != nil {
					return err
				}
			}
			return s.printTask(t, tree, history)
		})
	cmd.Flags().BoolVar(&withAttempts, "attempts", false, "with its attempts, also as json or yaml")
	cmd.ValidArgsFunction = completeTasks(1)
	return cmd
}

// printTask prints one task; its tree, of which people are told if it is the root, and its attempts may be nil.
func (s *session) printTask(t *client.Task, tree *client.Tree, attempts []client.Attempt) error {
	value := any(t)
	if attempts != nil {
		value = shownTask{t, attempts}
	}
	return s.print(value, func(w io.Writer) {
		table(w, func(w io.Writer) { writeTask(w, t, tree, time.Now()) })
		writeValue(w, "inputs", t.Inputs)
		writeAttempts(w, attempts, time.Now())
		writeValue(w, "result", t.Result)
	})
}

// printEnd prints a task that was waited for, and how its tree ended.
func (s *session) printEnd(t *client.Task, tree *client.Tree) error {
	shown := plain(reflect.ValueOf(t)).(map[string]any) // as get has it
	shown["tree_status"] = tree.Status
	return s.print(shown, func(w io.Writer) {
		table(w, func(w io.Writer) { writeTask(w, t, tree, time.Now()) })
		writeValue(w, "result", t.Result)
	})
}

// writeTask writes what a task has in single lines. tree, which may be nil, is its tree: a root can complete in a tree that fails.
func writeTask(w io.Writer, t *client.Task, tree *client.Tree, now time.Time) {
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, oneLine(value))
		}
	}
	line("id", t.ID)
	line("name", t.Name)
	if t.Ref != t.ID && t.Ref != t.Name {
		line("ref", t.Ref)
	}
	line("status", describe(t))
	line("tree", treeLine(t, tree, now))
	line("labels", labelText(t.Labels))
	line("executor", t.Executor)
	line("pool", t.Pool)
	line("worker", t.Worker)
	if t.Repeatable {
		line("repeatable", "yes")
	}
	line("attempt", attemptOf(t))
	line("blocked by", strings.Join(t.BlockedBy, ", "))
	line("created", moment(t.CreatedAt, now))
	line("started", moment(t.StartedAt, now))
	line("completed", moment(t.CompletedAt, now))
	line("took", took(t.StartedAt, t.CompletedAt, now))
	line("models", usageText(t.Usage))
	if tree != nil && tree.Tasks > 1 {
		line("tree's models", usageText(tree.Usage))
	}
	line("error", t.Error)
}

// treeLine is the tree of a task: its id, if that is not the task's own, and how it stands, if it has more tasks.
func treeLine(t *client.Task, tree *client.Tree, now time.Time) string {
	var parts []string
	if t.TreeID != t.ID {
		parts = append(parts, t.TreeID)
	}
	if tree != nil && tree.Tasks > 1 {
		parts = append(parts, summaryParts(tree, now)...)
	}
	return strings.Join(parts, partSeparator)
}

// writeAttempts writes a task's history.
func writeAttempts(w io.Writer, attempts []client.Attempt, now time.Time) {
	if len(attempts) == 0 {
		return
	}
	fmt.Fprintln(w, "attempts:")
	table(w, func(w io.Writer) {
		header, used := "", slices.ContainsFunc(attempts, func(a client.Attempt) bool { return a.Usage != nil })
		if used {
			header = "TOKENS\tCOST\t"
		}
		fmt.Fprintln(w, "  NUMBER\tOUTCOME\tWORKER\tSTARTED\tTOOK\t"+header+"ERROR")
		for _, a := range attempts {
			usage := ""
			switch {
			case a.Usage != nil:
				usage = fmt.Sprintf("%d\t%s\t", a.Usage.TokenUsage.TotalTokens, costText(a.Usage))
			case used:
				usage = "-\t-\t"
			}
			fmt.Fprintf(w, "  %d\t%s\t%s\t%s\t%s\t%s%s\n", a.Number, oneLine(string(a.Outcome)), oneLine(cmp.Or(a.Worker, "-")),
				cmp.Or(shownTime(a.StartedAt), "-"), cmp.Or(took(a.StartedAt, a.FinishedAt, now), "-"), usage, oneLine(a.Error)+stopped(&a))
		}
	})
	writeDetail(w, &attempts[len(attempts)-1])
}

// writeDetail writes what an attempt told of its failure beside the error, such as a stack, or a model's answer; nothing when there is none.
func writeDetail(w io.Writer, a *client.Attempt) {
	if a.Detail == "" {
		return
	}
	fmt.Fprintf(w, "detail of attempt %d:\n%s\n", a.Number, harmless(string(indented([]byte(strings.TrimRight(a.Detail, "\n")))), "\n\t"))
}

// writeValue writes JSON under a heading; nothing when there is none.
func writeValue(w io.Writer, heading string, value json.RawMessage) {
	if len(value) > 0 {
		fmt.Fprintf(w, "%s:\n%s\n", heading, indented(value))
	}
}

// attemptOf is a task's attempt, "-" before the first has begun.
func attemptOf(t *client.Task) string {
	if t.StartedAt.IsZero() && t.Attempt <= 1 {
		return "-"
	}
	return fmt.Sprint(t.Attempt)
}

// describe is a task's status, with its finer state where that says more.
func describe(t *client.Task) string {
	status := string(t.Status)
	if t.Status == client.StatusPending {
		status = "pending (" + string(t.State) + ")"
	}
	if t.State == client.StateDelayed && !t.DueAt.IsZero() {
		status += " until " + shownTime(t.DueAt)
	}
	if exit := exitOf(t.Result); exit != "" && t.Status == client.StatusCompleted {
		status += "  " + exit
	}
	return status
}
