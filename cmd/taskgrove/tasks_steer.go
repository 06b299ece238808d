package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
)

func tasksDeleteCommand() *cobra.Command {
	var force bool
	cmd := protocolCommand("delete ID", "Delete a task and all below it", cobra.ExactArgs(1), func(ctx context.Context, s *session, args []string) error {
		t, err := s.task(ctx, args[0])
		if err != nil {
			return err
		}
		var options []client.DeleteOption
		if force {
			options = append(options, client.ForceDelete())
		}
		n, err := s.Delete(ctx, t.ID, options...)
		if err != nil {
			return notFound(err, args[0])
		}
		err = writeProtocol(s.out, struct {
			Success  bool   `json:"success"`
			TaskID   string `json:"task_id"`
			Deleted  int    `json:"deleted_count"`
			Children int    `json:"children_deleted"`
		}{true, t.ID, n, n - 1})
		if err != nil {
			return err
		}
		return s.note("✅ Successfully deleted task %s and %d children", t.ID, n-1)
	})
	cmd.Flags().BoolVarP(&force, "force", "f", false, "whatever state the tasks are in, and whatever depends on them")
	return cmd
}

func tasksCopyCommand() *cobra.Command {
	var output, mode, custom, reset string
	var children, customChildren, dryRun bool
	cmd := protocolCommand("copy ID", "Copy a tree to run it again", cobra.ExactArgs(1), func(ctx context.Context, s *session, args []string) error {
		t, err := s.task(ctx, args[0])
		if err != nil {
			return err
		}
		copied, err := s.Copy(ctx, t.ID, client.CopyOptions{Mode: client.CopyMode(mode), Children: children, TaskIDs: commaList(custom),
			IncludeChildren: customChildren, ResetFields: commaList(reset), Preview: dryRun})
		if err != nil {
			return notFound(err, args[0])
		}
		var value any
		if dryRun {
			list := []*protocolTask{}
			for _, one := range copied.Tasks {
				list = append(list, protocolTaskOf(one))
			}
			value = map[string]any{"tasks": list, "saved": false}
		} else if value, err = s.nested(ctx, copied.TreeID); err != nil {
			return err
		}
		if output == "" {
			err = writeProtocol(s.out, value)
		} else {
			err = writeFile(output, func(w io.Writer) error { return writeProtocol(w, value) })
		}
		if err != nil || dryRun {
			return err
		}
		return s.note("✅ Successfully copied task tree: root task %s", copied.TreeID)
	})
	flags := cmd.Flags()
	flags.StringVarP(&output, "output", "o", "", "write it into this file")
	flags.BoolVar(&children, "children", false, "minimal: with what depends on the subtrees of the children, too")
	flags.StringVar(&mode, "copy-mode", "minimal", "minimal, full or custom")
	flags.StringVar(&custom, "custom-task-ids", "", "custom: the tasks, with commas between them")
	flags.BoolVar(&customChildren, "custom-include-children", false, "custom: with all below the tasks")
	flags.StringVar(&reset, "reset-fields", "", "fields of kept tasks that begin anew, with commas between them")
	flags.BoolVar(&dryRun, "dry-run", false, "store nothing, show what the copy would be")
	return cmd
}

// commaList are the words of a text with commas between them.
func commaList(text string) []string {
	var words []string
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word != "" {
			words = append(words, word)
		}
	}
	return words
}

// writeFile writes a file that others may read, as a shell's redirection would.
func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// cancelAnswer is what "tasks cancel" tells about one task (spec 3.8).
type cancelAnswer struct {
	TaskID  string        `json:"task_id"`
	Status  client.Status `json:"status"`
	Message string        `json:"message"`
	Current client.Status `json:"current_status,omitempty"`
	Error   string        `json:"error,omitempty"`
	Force   bool          `json:"force"`
}

func tasksCancelCommand() *cobra.Command {
	var force bool
	cmd := protocolCommand("cancel ID...", "Cancel tasks", cobra.MinimumNArgs(1), func(ctx context.Context, s *session, args []string) error {
		message := "Cancelled by user"
		if force {
			message = "Force cancelled by user"
		}
		var list []cancelAnswer
		unknown := false
		for _, ref := range args {
			one := cancelAnswer{TaskID: ref, Force: force, Status: client.StatusFailed}
			id, err := s.id(ctx, ref)
			var got *client.Cancelled
			if err == nil {
				one.TaskID = id
				got, err = s.Cancel(ctx, id, client.WithMessage(message))
			}
			switch {
			case errors.Is(err, client.ErrNotFound):
				one.Message, one.Error, unknown = fmt.Sprintf("Task %s not found", ref), "Task not found", true
			case err != nil:
				return err
			case got.Done:
				one.Status, one.Message = client.StatusCancelled, got.Message
			default:
				one.Message, one.Current = fmt.Sprintf("Task %s is already %s, cannot cancel", id, got.Status), got.Status
			}
			list = append(list, one)
		}
		if err := writeProtocol(s.out, list); err != nil {
			return err
		}
		if unknown {
			return errors.New("")
		}
		return nil
	})
	cmd.Flags().BoolVarP(&force, "force", "f", false, "say so in the error of what is cancelled")
	return cmd
}

func tasksWatchCommand() *cobra.Command {
	var task string
	var all bool
	var interval float64
	cmd := protocolCommand("watch", "Show a task, or all running trees, until they end", cobra.NoArgs, func(ctx context.Context, s *session, _ []string) error {
		if (task == "") == !all {
			return usage("one of --task-id and --all says what to watch")
		}
		if interval < 0.1 {
			return usage("--interval must be at least 0.1 seconds")
		}
		if task != "" {
			t, err := s.task(ctx, task)
			if err != nil {
				return err
			}
			return s.watchStatuses(ctx, []string{t.ID}, interval)
		}
		var ids []string
		for tree, err := range s.Trees(ctx, client.TreeFilter{Running: true}) {
			if err != nil {
				return err
			}
			if ids = append(ids, tree.ID); len(ids) == maxWatched {
				break
			}
		}
		if len(ids) == 0 {
			_, err := fmt.Fprintln(s.out, "No running tasks found")
			return err
		}
		return s.watchStatuses(ctx, ids, interval)
	})
	cmd.Flags().StringVarP(&task, "task-id", "t", "", "the task")
	cmd.Flags().BoolVarP(&all, "all", "a", false, "all trees that run")
	cmd.Flags().Float64VarP(&interval, "interval", "i", 1, "seconds between two looks")
	return cmd
}

// maxWatched is how many trees "tasks watch --all" shows.
const maxWatched = 100

// watchStatuses prints a table of the tasks whenever it has changed, until they have all ended.
func (s *session) watchStatuses(ctx context.Context, ids []string, interval float64) error {
	var before string
	for {
		var b strings.Builder
		running := false
		var fault error
		table(&b, func(w io.Writer) {
			fmt.Fprintln(w, "TASK ID\tNAME\tSTATUS\tPROGRESS\tRUNNING")
			for _, id := range ids {
				one, err := s.status(ctx, id)
				if err != nil {
					fault = err
					return
				}
				running = running || one.IsRunning
				fmt.Fprintf(w, "%s\t%s\t%s\t%.0f%%\t%t\n", oneLine(one.TaskID), oneLine(one.Name), one.Status, 100*one.Progress, one.IsRunning)
			}
		})
		if fault != nil {
			return fault
		}
		if text := b.String(); text != before {
			if _, err := io.WriteString(harmlessWriter{s.out}, text); err != nil {
				return err
			}
			before = text
		}
		if !running {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(interval * float64(time.Second))):
		}
	}
}
