package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/internal/config"
)

// tasksCommand are the commands of the reference (spec section 9), with its flags, JSON and exit codes, as a client of a coordinator.
func tasksCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "tasks",
		Short:   "Use trees of tasks by the commands of aipartnerupflow",
		Long:    "The commands of aipartnerupflow's \"tasks\", for scripts that have them: they take the same flags and print the same JSON.",
		GroupID: groupClient,
		Args:    cobra.NoArgs,
	}
	cmd.AddCommand(tasksListCommand(), tasksGetCommand(), tasksTreeCommand(), tasksChildrenCommand(), tasksStatusCommand(), tasksCountCommand(),
		tasksCreateCommand(), tasksUpdateCommand(), tasksDeleteCommand(), tasksCopyCommand(), tasksCancelCommand(), tasksWatchCommand())
	return cmd
}

// protocolCommand makes a command of the reference that has a connection. It prints JSON, so --json changes nothing.
func protocolCommand(use, short string, args cobra.PositionalArgs, do func(ctx context.Context, s *session, args []string) error) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: args, ValidArgsFunction: cobra.NoFileCompletions}
	bind(cmd, config.Variables(&config.Client{}))
	mustComplete(cmd, "context", completeContexts)
	cmd.Flags().Bool("json", false, "print JSON, as it does anyway")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := connect(cmd)
		if err != nil {
			return err
		}
		defer s.Close() //nolint:errcheck // nothing is left to be sent
		s.format = formatJSON
		return s.fails(cmd.Context(), do(cmd.Context(), s, args))
	}
	return cmd
}

// fails prints an error as the reference does. The exit code is 1, but for wrong command lines and interrupts.
func (s *session) fails(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	code := exitError
	explained := s.explain(ctx, err)
	if coded, ok := errors.AsType[codedError](explained); ok && (coded.code == exitInterrupted || coded.code == exitUsage && errors.As(err, new(codedError))) {
		code = coded.code
	}
	if text := explained.Error(); text != "" {
		fmt.Fprintf(s.notes, "Error: %s\n", text)
	}
	return codedError{errors.New(""), code}
}

// notFound is the error of the reference for a task that is not there.
func notFound(err error, id string) error {
	if errors.Is(err, client.ErrNotFound) {
		return fmt.Errorf("Task %s not found", id) //nolint:staticcheck // the text is the reference's
	}
	return err
}

// task finds the task that an argument stands for.
func (s *session) task(ctx context.Context, ref string) (*client.Task, error) {
	id, err := s.id(ctx, ref)
	if err != nil {
		return nil, notFound(err, ref)
	}
	t, err := s.Task(ctx, id)
	return t, notFound(err, ref)
}

func tasksListCommand() *cobra.Command {
	var user, status string
	var rootOnly, all bool
	var limit, offset int
	cmd := protocolCommand("list", "List tasks, newest first", cobra.NoArgs, func(ctx context.Context, s *session, _ []string) error {
		if limit < 1 || offset < 0 {
			return usage("--limit must be at least 1, --offset at least 0")
		}
		list := []*protocolTask{}
		filter := client.TaskFilter{UserID: user, Status: client.Status(status), RootOnly: rootOnly && !all, PageSize: min(limit, 1000), Offset: offset}
		for t, err := range s.Tasks(ctx, filter) {
			if err != nil {
				return err
			}
			if list = append(list, protocolTaskOf(t)); len(list) == limit {
				break
			}
		}
		return writeProtocol(s.out, list)
	})
	cmd.Flags().StringVarP(&user, "user-id", "u", "", "of trees of this owner")
	cmd.Flags().StringVarP(&status, "status", "s", "", "with this status")
	cmd.Flags().BoolVar(&rootOnly, "root-only", true, "roots only")
	cmd.Flags().BoolVar(&all, "all-tasks", false, "not only roots")
	cmd.Flags().IntVarP(&limit, "limit", "l", 100, "so many at most")
	cmd.Flags().IntVarP(&offset, "offset", "o", 0, "leave out so many")
	return cmd
}

func tasksGetCommand() *cobra.Command {
	return protocolCommand("get ID", "Show a task", cobra.ExactArgs(1), func(ctx context.Context, s *session, args []string) error {
		t, err := s.task(ctx, args[0])
		if err != nil {
			return err
		}
		return writeProtocol(s.out, protocolTaskOf(t))
	})
}

func tasksTreeCommand() *cobra.Command {
	return protocolCommand("tree ID", "Show the tree of a task", cobra.ExactArgs(1), func(ctx context.Context, s *session, args []string) error {
		t, err := s.task(ctx, args[0])
		if err != nil {
			return err
		}
		root, err := s.nested(ctx, t.ID)
		if err != nil {
			return notFound(err, args[0])
		}
		return writeProtocol(s.out, root)
	})
}

func tasksChildrenCommand() *cobra.Command {
	var parent, task string
	cmd := protocolCommand("children", "List the direct children of a task", cobra.NoArgs, func(ctx context.Context, s *session, _ []string) error {
		if (parent == "") == (task == "") {
			return usage("one of --parent-id and --task-id names the task")
		}
		t, err := s.task(ctx, parent+task)
		if err != nil {
			return err
		}
		list := []*protocolTask{}
		for child, err := range s.Tasks(ctx, client.TaskFilter{ParentID: t.ID}) {
			if err != nil {
				return err
			}
			list = append(list, protocolTaskOf(child))
		}
		return writeProtocol(s.out, list)
	})
	cmd.Flags().StringVarP(&parent, "parent-id", "p", "", "the task")
	cmd.Flags().StringVarP(&task, "task-id", "t", "", "the same")
	return cmd
}

// taskStatus is what "tasks status" tells about one task.
type taskStatus struct {
	TaskID    string  `json:"task_id"`
	ContextID string  `json:"context_id"`
	Name      string  `json:"name"`
	Status    string  `json:"status"`
	Progress  float64 `json:"progress"`
	Error     *string `json:"error"`
	IsRunning bool    `json:"is_running"`
	StartedAt any     `json:"started_at"`
	UpdatedAt any     `json:"updated_at"`
}

// status tells how a task stands. A root runs while its tree has an execution in progress.
func (s *session) status(ctx context.Context, ref string) (*taskStatus, error) {
	id, err := s.id(ctx, ref)
	var tree *client.Tree
	var t *client.Task
	if err == nil {
		tree, err = s.Tree(ctx, id)
	}
	if err == nil {
		t, err = s.Task(ctx, id) // after the tree: where that has ended, so has the task
	}
	if errors.Is(err, client.ErrNotFound) {
		return &taskStatus{TaskID: ref, ContextID: ref, Status: "not_found"}, nil
	}
	if err != nil {
		return nil, err
	}
	shown := protocolTaskOf(t)
	out := &taskStatus{TaskID: t.ID, ContextID: t.ID, Name: t.Name, Status: string(t.Status), Progress: shown.Progress, Error: shown.Error,
		StartedAt: shown.StartedAt, UpdatedAt: shown.UpdatedAt}
	switch t.State {
	case client.StateWaiting, client.StateDelayed, client.StateReady, client.StateRunning:
		out.IsRunning = true
	}
	if t.ParentID == "" {
		out.IsRunning = !tree.Ended()
	}
	return out, nil
}

func tasksStatusCommand() *cobra.Command {
	return protocolCommand("status ID...", "Show how tasks stand", cobra.MinimumNArgs(1), func(ctx context.Context, s *session, args []string) error {
		var list []*taskStatus
		for _, ref := range args {
			one, err := s.status(ctx, ref)
			if err != nil {
				return err
			}
			list = append(list, one)
		}
		return writeProtocol(s.out, list)
	})
}

// maxCounted is how many tasks of a status are counted (spec section 9).
const maxCounted = 10_000

// statuses are those that are counted, in the order in which they are told.
var statuses = []client.Status{client.StatusPending, client.StatusInProgress, client.StatusCompleted, client.StatusFailed, client.StatusCancelled}

func tasksCountCommand() *cobra.Command {
	var user, as string
	var rootOnly bool
	cmd := protocolCommand("count", "Count tasks by status, at most 10000 of each", cobra.NoArgs, func(ctx context.Context, s *session, _ []string) error {
		if as != "table" && as != "json" {
			return usage("--format takes table or json, not %q", as)
		}
		counts, total := map[string]any{}, 0
		for _, status := range statuses {
			n := 0
			for _, err := range s.Tasks(ctx, client.TaskFilter{UserID: user, Status: status, RootOnly: rootOnly, PageSize: 1000}) {
				if err != nil {
					return err
				}
				if n++; n == maxCounted {
					break
				}
			}
			counts[string(status)] = n
			total += n
		}
		if as == "table" {
			table(s.out, func(w io.Writer) {
				for _, status := range statuses {
					fmt.Fprintf(w, "%s\t%d\n", status, counts[string(status)])
				}
				fmt.Fprintf(w, "total\t%d\n", total)
			})
			return nil
		}
		counts["total"] = total
		if user != "" {
			counts["user_id"] = user
		}
		if rootOnly {
			counts["root_only"] = true
		}
		return writeProtocol(s.out, counts)
	})
	cmd.Flags().StringVarP(&user, "user-id", "u", "", "of trees of this owner")
	cmd.Flags().BoolVarP(&rootOnly, "root-only", "r", false, "roots only")
	cmd.Flags().StringVarP(&as, "format", "f", "table", "table or json")
	return cmd
}

func tasksCreateCommand() *cobra.Command {
	var file string
	var stdin bool
	cmd := protocolCommand("create", "Store a tree without running it", cobra.NoArgs, func(ctx context.Context, s *session, _ []string) error {
		if (file == "") == !stdin {
			return usage("one of --file and --stdin gives the tasks")
		}
		in := s.in
		if file != "" {
			f, err := os.Open(file)
			if err != nil {
				return err
			}
			defer f.Close() //nolint:errcheck // it was only read
			in = f
		}
		out, err := s.SubmitJSON(ctx, in, client.Hold())
		if err != nil {
			return err
		}
		root, err := s.nested(ctx, out.TreeID)
		if err != nil {
			return err
		}
		if err := writeProtocol(s.out, root); err != nil {
			return err
		}
		return s.note("✅ Successfully created task tree: root task %s", out.TreeID)
	})
	cmd.Flags().StringVarP(&file, "file", "f", "", "the tasks, a file of JSON")
	cmd.Flags().BoolVar(&stdin, "stdin", false, "read the tasks from standard input")
	return cmd
}

func tasksUpdateCommand() *cobra.Command {
	var name, status, failure, result, inputs, params, schemas string
	var progress float64
	var priority int
	var cmd *cobra.Command
	cmd = protocolCommand("update ID", "Change fields of a task", cobra.ExactArgs(1), func(ctx context.Context, s *session, args []string) error {
		given := cmd.Flags().Changed
		change := client.Change{Status: client.Status(status)}
		any := status != ""
		for _, f := range []struct {
			flag string
			set  func() error
		}{
			{"name", func() error { change.Name = &name; return nil }},
			{"error", func() error { change.Error = &failure; return nil }},
			{"progress", func() error { change.Progress = &progress; return nil }},
			{"priority", func() error {
				change.Priority = new(client.Priority)
				return json.Unmarshal([]byte(fmt.Sprint(priority)), change.Priority)
			}},
			{"result", func() error { return jsonFlag("result", result, &change.Result) }},
			{"inputs", func() error { return jsonFlag("inputs", inputs, &change.Inputs) }},
			{"params", func() error { return jsonFlag("params", params, &change.Params) }},
			{"schemas", func() error { return jsonFlag("schemas", schemas, &change.Schemas) }},
		} {
			if !given(f.flag) {
				continue
			}
			any = true
			if err := f.set(); err != nil {
				return err
			}
		}
		if !any {
			return errors.New("nothing to change is given")
		}
		t, err := s.task(ctx, args[0])
		if err != nil {
			return err
		}
		changed, err := s.Update(ctx, t.ID, change)
		if err != nil {
			return notFound(err, args[0])
		}
		if err := writeProtocol(s.out, protocolTaskOf(changed)); err != nil {
			return err
		}
		return s.note("✅ Successfully updated task %s", t.ID)
	})
	flags := cmd.Flags()
	flags.StringVar(&name, "name", "", "its name")
	flags.StringVar(&status, "status", "", "its status")
	flags.Float64Var(&progress, "progress", 0, "its progress, 0 to 1")
	flags.StringVar(&failure, "error", "", "its error")
	flags.StringVar(&result, "result", "", "its result, JSON")
	flags.IntVar(&priority, "priority", 0, "its priority: 0 urgent, 1 high, 2 normal, 3 low")
	flags.StringVar(&inputs, "inputs", "", "its inputs, JSON")
	flags.StringVar(&params, "params", "", "its params, JSON")
	flags.StringVar(&schemas, "schemas", "", "its schemas, JSON")
	return cmd
}

// jsonFlag puts JSON that a flag gives where it belongs.
func jsonFlag[T any](flag, text string, into *T) error {
	raw := json.RawMessage(strings.TrimSpace(text))
	if !json.Valid(raw) {
		return fmt.Errorf("--%s is no JSON: %s", flag, text)
	}
	*into = any(raw).(T)
	return nil
}
