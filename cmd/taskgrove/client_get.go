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
			if t.ParentID == "" && s.forPeople() {
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
	line("waits for", waitingText(t.Waiting))
	line("tree", treeLine(t, tree, now))
	line("labels", labelText(t.Labels))
	if tree != nil {
		line("kept", keptText(tree, now))
		line("unique", uniqueText(tree.Unique))
		line("due", dueText(tree))
	}
	line("executor", t.Executor)
	line("pool", t.Pool)
	line("worker", t.Worker)
	if t.Repeatable {
		line("repeatable", "yes")
	}
	line("attempt", attemptOf(t))
	line("blocked by", strings.Join(t.BlockedBy, ", "))
	line("created", moment(t.CreatedAt, now))
	line("ready", moment(t.ReadyAt, now))
	line("started", moment(t.StartedAt, now))
	line("completed", moment(t.CompletedAt, now))
	line("took", took(t.StartedAt, t.CompletedAt, now))
	line("models", usageText(t.Usage))
	if tree != nil && tree.Tasks > 1 {
		line("tree's models", usageText(tree.Usage))
	}
	line("subtree", t.SubtreeID)
	line("when", t.When)
	for _, l := range t.Limits {
		line("limit", limitAsked(l))
	}
	if t.Lock != nil {
		line("lock", lockAsked(t.Lock))
	}
	for _, r := range t.Rates {
		line("rate", rateAsked(r))
	}
	line("runs", repeats(t))
	if from := t.CachedFrom; from != nil {
		line("cached from", fmt.Sprintf("%s, of tree %s", oneLine(from.TaskID), oneLine(from.TreeID)))
	}
	line("error", t.Error)
	if t.ErrorKind != "executor" {
		line("kind", t.ErrorKind)
	}
}

func limitAsked(l client.TaskLimit) string {
	text := oneLine(l.Key)
	if l.Cost > 1 {
		text += fmt.Sprintf(", %d", l.Cost)
	}
	if l.Max > 0 {
		return text + fmt.Sprintf(" of %d", l.Max)
	}
	return text + ", of what an operator has set"
}

func lockAsked(l *client.TaskLock) string {
	text := oneLine(l.Key)
	if l.OnContention != "" && l.OnContention != "wait" {
		text += ", or " + oneLine(l.OnContention)
	}
	if l.WaitTimeout > 0 {
		text += fmt.Sprintf(", waits %s at most", l.WaitTimeout)
	}
	return text
}

func rateAsked(r client.TaskRate) string {
	text := fmt.Sprintf("%s, %d a %s", oneLine(r.Key), r.Max, oneLine(r.Per))
	if r.Burst > 0 {
		text += fmt.Sprintf(", %d at once", r.Burst)
	}
	return text
}

// waitingText is what a task waits for from outside; empty: for nothing.
func waitingText(w *client.Waiting) (text string) {
	if w == nil {
		return ""
	}
	switch w.Kind {
	case "signal":
		text = fmt.Sprintf("the signal %q", w.Name)
	case "approval":
		var asked struct{ Message string }
		_ = json.Unmarshal(w.Data, &asked) // what has none is shown without
		text = strings.TrimSuffix("an answer: "+asked.Message, ": ")
	case "tree":
		text = "the end of tree " + w.TreeID
	default:
		text = "its time"
	}
	if !w.Until.IsZero() {
		text += ", until " + shownTime(w.Until)
	}
	return text
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
	switch {
	case t.State == client.StateSkipped:
		return "skipped: " + oneLine(t.SkipReason)
	case t.State == client.StateFailed && t.AllowFailure:
		status += " (allowed)"
	case t.State == client.StateExpanded || t.State == client.StateAwaiting:
		status += " (" + string(t.State) + parked(t) + ")"
	}
	if t.State == client.StateDelayed && !t.DueAt.IsZero() {
		status += " until " + shownTime(t.DueAt)
	}
	if exit := exitOf(t.Result); exit != "" && t.Status == client.StatusCompleted {
		status += "  " + exit
	}
	if r := t.Repeat; r != nil && t.Repeats > 0 && !t.RepeatExhausted {
		status += fmt.Sprintf("  run %d of %d", t.Repeats+1, r.Max)
	}
	if t.RepeatExhausted {
		status += fmt.Sprintf("  repeat exhausted after %d runs", t.Repeats+1)
	}
	return status
}

// parked is what a task waits for that holds no slot, behind its state.
func parked(t *client.Task) string {
	if e := t.Expansion; e != nil {
		return fmt.Sprintf(": %d of %d have ended", e.Tasks-e.Unfinished, e.Tasks)
	}
	w := t.Waiting
	if w == nil {
		return ""
	}
	text := ": " + w.Kind
	switch {
	case w.Name != "":
		text += " " + oneLine(w.Name)
	case w.TreeID != "":
		text += " " + oneLine(w.TreeID)
	}
	if !w.Until.IsZero() {
		text += ", until " + shownTime(w.Until)
	}
	return text
}

// repeats is how often a task runs; empty: once.
func repeats(t *client.Task) string {
	r := t.Repeat
	if r == nil {
		return ""
	}
	text := fmt.Sprintf("%d of %d at most, until %s", t.Repeats+1, r.Max, r.Until)
	if t.RepeatExhausted {
		text += "; it never came to that"
	}
	return text
}
