package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
)

// ids are the ids that the arguments stand for; those that are not there stay as they are, to be told. One that is ambiguous is an error
// before anything is done.
func (s *session) ids(ctx context.Context, args []string) (ids []string, err error) {
	for _, ref := range args {
		id, err := s.id(ctx, ref)
		if errors.Is(err, client.ErrNotFound) {
			id, err = ref, nil
		}
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// hasEnded says how a task has ended, or its tree if it is the root.
func (s *session) hasEnded(ctx context.Context, id string, status client.Status) string {
	what, at := "it", time.Time{}
	if task, err := s.Task(ctx, id); err == nil {
		at = task.CompletedAt
		if task.ParentID == "" && task.HasChildren {
			if tree, err := s.Tree(ctx, id); err == nil && tree.Ended() {
				what, status, at = "its tree", tree.Status, tree.FinishedAt
			}
		}
	}
	how := string(status)
	if status == client.StatusCancelled {
		how = "was cancelled"
	}
	if !at.IsZero() {
		how += " " + age(at, time.Now()) + " ago"
	}
	return what + " " + how
}

func cancelCommand() *cobra.Command {
	var force, cascade, wait bool
	var message string
	var cmd *cobra.Command
	all := bulk{verb: "cancel", past: "cancelled"}
	cmd = clientCommand("cancel TASK...", "Cancel tasks; a root cancels its whole tree",
		"Cancels tasks. A root cancels every unfinished task of its tree, another task itself alone, unless --cascade says\n"+
			"otherwise. What has ended already stays as it is: there is nothing to cancel, and the exit code is 0. It is 1 when a task\n"+
			"is unknown; the others are cancelled all the same.\n"+taskRefHelp+"\n\n"+bulkHelp,
		cobra.MinimumNArgs(1), func(ctx context.Context, s *session, args []string) error {
			var options []client.CancelOption
			if message == "" && force {
				message = "Force cancelled by user"
			}
			if message != "" {
				options = append(options, client.WithMessage(message))
			}
			if cmd.Flags().Changed("cascade") {
				options = append(options, client.WithCascade(cascade))
			}
			if len(args) == 0 {
				if wait {
					return usage("--wait: waits for tasks that are named")
				}
				return all.run(ctx, s, func(ctx context.Context, id string) (string, error) {
					out, err := s.Cancel(ctx, id, options...)
					switch {
					case err != nil:
						return "", err
					case out.Done:
						return "cancelled", nil
					}
					return "had ended", nil
				})
			}
			var failed error
			ids, err := s.ids(ctx, args)
			if err != nil {
				return err
			}
			left := stopping{still: stoppedStill, surely: map[string]bool{}}
			if cmd.Flags().Changed("cascade") {
				left.cascade = &cascade
			}
			for _, id := range ids {
				if wait {
					if err := left.find(ctx, s, id, client.StateRunning); err != nil && !errors.Is(err, client.ErrNotFound) {
						return err
					}
				}
				out, err := s.Cancel(ctx, id, options...)
				if errors.Is(err, client.ErrNotFound) { // the others are cancelled all the same
					out, err = &client.Cancelled{Message: "not found"}, nil
					failed = errors.Join(failed, fmt.Errorf("%s was not cancelled: not found", id))
				}
				if err != nil {
					return errors.Join(failed, err)
				}
				shown := struct {
					ID, Message string
					Done        bool
					Status      client.Status // as it is now; empty: unknown id
				}{id, out.Message, out.Done, out.Status}
				text := out.Message
				switch {
				case out.Done:
					shown.Status = client.StatusCancelled
					if message != "" {
						text = "cancelled: " + message
					}
				case out.Status != "" && s.forPeople():
					text = "nothing to cancel: " + s.hasEnded(ctx, id, out.Status)
				}
				if wait && out.Done { // what was claimed since
					if err := left.find(ctx, s, id, client.StateCancelled); err != nil {
						return err
					}
				}
				if err := s.print(shown, func(w io.Writer) { fmt.Fprintf(w, "%s: %s\n", oneLine(id), oneLine(text)) }); err != nil {
					return err
				}
			}
			if wait {
				failed = errors.Join(failed, left.wait(ctx, s))
			}
			return failed
		})
	all.bind(cmd)
	cmd.ValidArgsFunction = completeTasks(1000)
	cmd.Flags().BoolVar(&force, "force", false, "changes the text only")
	cmd.Flags().StringVar(&message, "message", "", "what cancelled tasks show as their error")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until the work of what was cancelled has stopped, and print how long each attempt took")
	cmd.Flags().BoolVar(&cascade, "cascade", false, "with a root: its whole tree (the default); else descendants and dependents, too")
	return cmd
}
