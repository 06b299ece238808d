package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
)

// maxPayloadBytes is how much of a payload is read: more than a server takes, which says so.
const maxPayloadBytes = 1 << 20

// payload is the value of --payload: JSON, or after @ the name of a file with JSON, - for standard input.
func (s *session) payload(text string) (any, error) {
	if text == "" {
		return nil, nil
	}
	value := []byte(text)
	if name, file := strings.CutPrefix(text, "@"); file {
		from, what := s.in, "standard input"
		if name != "-" {
			f, err := os.Open(name)
			if err != nil {
				return nil, usage("--payload: %w", err)
			}
			defer func() { _ = f.Close() }()
			from, what = f, name
		}
		var err error
		if value, err = io.ReadAll(io.LimitReader(from, maxPayloadBytes+1)); err != nil {
			return nil, fmt.Errorf("read %s: %w", what, err)
		}
		if len(value) > maxPayloadBytes {
			return nil, usage("--payload: %s has more than %d bytes", what, maxPayloadBytes)
		}
	}
	if value = bytes.TrimSpace(value); !json.Valid(value) {
		return nil, usage("--payload: takes JSON: a text stands in double quotes, such as '\"yes\"'; @FILE takes it from a file")
	}
	return json.RawMessage(value), nil
}

// shownSignal is the answer to a signal, for programs.
type shownSignal struct {
	ID     string              `json:"id"`
	Signal string              `json:"signal"`
	Status client.SignalStatus `json:"status"`
	State  client.State        `json:"state"`
}

func signalCommand() *cobra.Command {
	var payload, key string
	cmd := clientCommand("signal TASK NAME", "Send a task the signal that it waits for",
		"Sends a task a signal. If it does not wait for it yet, the signal is kept until it does. The first of a name counts: another is\n"+
			"late, and changes nothing. Exit code 0 in all three cases; 1: the task has ended; 2: it never waits for that, or asks for another payload.\n"+taskRefHelp,
		cobra.ExactArgs(2), func(ctx context.Context, s *session, args []string) error {
			value, err := s.payload(payload)
			if err != nil {
				return err
			}
			id, err := s.id(ctx, args[0])
			if err != nil {
				return err
			}
			got, err := s.Signal(ctx, id, client.Signal{Name: args[1], Payload: value, IdempotencyKey: key})
			if err != nil {
				return err
			}
			return s.print(shownSignal{id, args[1], got.Status, got.Task.State}, func(w io.Writer) {
				text := string(got.Status)
				switch got.Status {
				case client.SignalTaken:
					text = "taken: it is " + describe(got.Task)
				case client.SignalKept:
					text = "kept until the task waits for it: it is " + describe(got.Task)
				case client.SignalLate:
					text = "late: a signal of the name was there before"
				}
				fmt.Fprintf(w, "%s: %s\n", oneLine(id), oneLine(text))
			})
		})
	cmd.Flags().StringVar(&payload, "payload", "", "what the task gets: JSON, or @FILE, @- for standard input; null if left out")
	cmd.Flags().StringVar(&key, "key", "", "idempotency key: a repetition gets the first answer")
	cmd.ValidArgsFunction = completeTasks(1)
	return cmd
}

// shownAnswer is an answered approval, for programs.
type shownAnswer struct {
	ID     string       `json:"id"`
	Choice string       `json:"choice"`
	State  client.State `json:"state,omitempty"` // not of one that was answered by a link
}

func approveCommand() *cobra.Command {
	var choice, payload, link string
	var expires time.Duration
	cmd := answerCommand("approve TASK", "Answer what a task asks people, or make a link to it",
		"Answers the approval that a task waits for: approve, or with --choice another of its choices. With --link it answers nothing,\n"+
			"and prints a link by which whoever has it can answer, once, without an account: the answer is by link:NAME.\n"+
			"Who may answer is what the task says; if it names nobody, whoever may run it. \"taskgrove approvals\" lists what waits.\n"+
			"Exit code 1: it has ended, or does not wait for an answer (any more).\n"+taskRefHelp,
		func(ctx context.Context, s *session, id, comment string, cmd *cobra.Command) error {
			if link == "" && expires != 0 {
				return usage("--expires: is of a --link")
			}
			if link == "" {
				value, err := s.payload(payload)
				if err != nil {
					return err
				}
				return s.answer(ctx, id, client.Approval{Choice: cmp.Or(choice, client.ChoiceApprove), Comment: comment, Payload: value})
			}
			if choice+comment+payload != "" {
				return usage("--link: whoever has the link answers, so that --choice, --comment and --payload are not for it")
			}
			got, err := s.LinkApproval(ctx, id, link, expires)
			if err != nil {
				return err
			}
			return s.print(got, func(w io.Writer) { fmt.Fprintln(w, cmp.Or(got.URL, got.Path)) })
		})
	cmd.Flags().StringVar(&choice, "choice", "", "another of the task's choices (approve)")
	cmd.Flags().StringVar(&payload, "payload", "", "what is changed of what is asked for, where that may be: JSON, or @FILE, @- for standard input")
	cmd.Flags().StringVar(&link, "link", "", "who a link is for: print one, and answer nothing")
	cmd.Flags().DurationVar(&expires, "expires", 0, "with --link: how long it counts, at most 2160h; 0: 7 days")
	return cmd
}

func rejectCommand() *cobra.Command {
	return answerCommand("reject TASK", "Reject what a task asks people",
		"Rejects the approval that a task waits for: the task fails, or is skipped if it says so.\n"+
			"Exit code 1: it has ended, or does not wait for an answer (any more).\n"+taskRefHelp,
		func(ctx context.Context, s *session, id, comment string, _ *cobra.Command) error {
			return s.answer(ctx, id, client.Approval{Choice: client.ChoiceReject, Comment: comment})
		})
}

// answerCommand is a command about the approval of one task.
func answerCommand(use, short, long string, do func(ctx context.Context, s *session, id, comment string, cmd *cobra.Command) error) *cobra.Command {
	var comment string
	var cmd *cobra.Command
	cmd = clientCommand(use, short, long, cobra.ExactArgs(1), func(ctx context.Context, s *session, args []string) error {
		id, err := s.id(ctx, args[0])
		if err != nil {
			return err
		}
		return do(ctx, s, id, comment, cmd)
	})
	cmd.Flags().StringVar(&comment, "comment", "", "what is kept with the answer")
	cmd.ValidArgsFunction = completeTasks(1)
	return cmd
}

// answer answers the approval of a task.
func (s *session) answer(ctx context.Context, id string, a client.Approval) error {
	t, err := s.Approve(ctx, id, a)
	if err != nil {
		return err
	}
	return s.print(shownAnswer{id, a.Choice, t.State}, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %s: it is %s\n", oneLine(id), oneLine(a.Choice), oneLine(describe(t)))
	})
}

// shownApproval is an approval that waits, for programs.
type shownApproval struct {
	ID        string    `json:"id"`
	TreeID    string    `json:"tree_id"`
	Name      string    `json:"name"`
	Message   string    `json:"message"`
	Choices   []string  `json:"choices"`
	Approvers []string  `json:"approvers"` // empty: whoever may run the tree
	Since     time.Time `json:"since"`
	Until     time.Time `json:"until,omitzero"` // zero: for ever
}

func approvalsCommand() *cobra.Command {
	var user string
	cmd := clientCommand("approvals", "List what waits for people's answers",
		"Lists the tasks that wait for an approval, newest tree first: what they ask, since when, and who may answer.",
		cobra.NoArgs, func(ctx context.Context, s *session, _ []string) error {
			list := []shownApproval{}
			for t, err := range s.Tasks(ctx, client.TaskFilter{Approvals: true, UserID: user, PageSize: 1000}) {
				if err != nil {
					return err
				}
				if t.Waiting == nil || t.Waiting.Kind != "approval" {
					continue
				}
				one := shownApproval{ID: t.ID, TreeID: t.TreeID, Name: t.Name, Approvers: []string{}, Since: t.Waiting.Since, Until: t.Waiting.Until}
				var data struct {
					Message            string
					Choices, Approvers []string
				}
				if len(t.Waiting.Data) > 0 && json.Unmarshal(t.Waiting.Data, &data) == nil {
					one.Message, one.Choices, one.Approvers = data.Message, data.Choices, append(one.Approvers, data.Approvers...)
				}
				if len(one.Choices) == 0 {
					one.Choices = []string{client.ChoiceApprove, client.ChoiceReject}
				}
				list = append(list, one)
			}
			now := time.Now()
			if len(list) == 0 && s.forPeople() {
				return s.noteNone(0, "approval")
			}
			return s.print(list, func(w io.Writer) {
				ids := make([]string, len(list))
				for i, one := range list {
					ids[i] = one.ID
				}
				short := shortIDs(ids)
				table(w, func(w io.Writer) {
					fmt.Fprintln(w, "ID\tNAME\tSINCE\tCHOICES\tFOR\tMESSAGE")
					for _, one := range list {
						fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", short[one.ID], oneLine(one.Name), age(one.Since, now), oneLine(strings.Join(one.Choices, ",")),
							oneLine(strings.Join(one.Approvers, ",")), oneLine(one.Message))
					}
				})
			})
		})
	cmd.Flags().StringVar(&user, "user", "", "of trees of this owner")
	return cmd
}
