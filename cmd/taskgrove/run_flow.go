package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
)

// runFlowGroup looks after runs of flows. It has the reference's "run flow", too (spec section 9).
func runFlowGroup() *cobra.Command {
	cmd := &cobra.Command{
		Use: "run", Short: "Look after runs of flows", GroupID: groupClient, Args: cobra.NoArgs,
		Long: "Runs of flows, which \"taskgrove flow run\" begins. A run is a task tree: \"run get\" shows its id, by which \"tree\", \"why\" and \"watch\" show it, too. \"run flow\" is a command of aipartnerupflow, for scripts that have it.",
	}
	cmd.AddCommand(runListCommand(), runGetCommand(), runWaitCommand(), runLogsCommand(), runEventsCommand(), runArtifactsCommand(), runResumeCommand(), runRestartCommand(), runCancelCommand(), runFlowCommand())
	for _, below := range cmd.Commands() {
		below.GroupID = ""
	}
	return cmd
}

// flowRun are the flags of "run flow".
type flowRun struct {
	tasks, tasksFile, inputs, inputsFile, output, user string
	background, watch, demo                            bool
}

func runFlowCommand() *cobra.Command {
	var f flowRun
	cmd := protocolCommand("flow [EXECUTOR_ID]", "Run tasks, or one executor, and show how they ended", cobra.MaximumNArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			groups, err := f.groups(args)
			if err != nil {
				return err
			}
			if f.watch && !f.background {
				return usage("--watch goes with --background; without it the command waits anyway")
			}
			return f.run(ctx, s, groups)
		})
	flags := cmd.Flags()
	flags.StringVarP(&f.tasks, "tasks", "t", "", "the tasks, a JSON array")
	flags.StringVarP(&f.tasksFile, "tasks-file", "f", "", "a file with the tasks, a JSON array")
	flags.StringVarP(&f.inputs, "inputs", "i", "", "inputs of the executor, a JSON object")
	flags.StringVar(&f.inputsFile, "inputs-file", "", "a file with the inputs of the executor")
	flags.StringVarP(&f.output, "output", "o", "", "write the result into this file")
	flags.StringVarP(&f.user, "user-id", "u", "cli_user", "owner of tasks that name none")
	flags.BoolVarP(&f.background, "background", "b", false, "start the tasks and return")
	flags.BoolVarP(&f.watch, "watch", "w", false, "with --background: show them until they end")
	flags.BoolVar(&f.demo, "use-demo", false, demoHelp)
	return cmd
}

// groups are the trees that the flags give, by the first of: the file of tasks, the tasks, the executor.
func (f *flowRun) groups(args []string) (groups [][]json.RawMessage, err error) {
	var tasks []json.RawMessage
	switch {
	case f.tasksFile != "":
		var text []byte
		if text, err = os.ReadFile(f.tasksFile); err == nil && json.Unmarshal(text, &tasks) != nil {
			err = errors.New("tasks_file must contain a JSON array")
		}
	case f.tasks != "":
		if json.Unmarshal([]byte(f.tasks), &tasks) != nil {
			err = errors.New("--tasks must be a JSON array")
		}
	case len(args) == 1:
		tasks, err = f.single(args[0])
	default:
		err = errors.New("Either --tasks/--tasks-file or executor_id must be provided") //nolint:staticcheck // the text is the reference's
	}
	if err != nil {
		return nil, err
	}
	if len(tasks) == 0 {
		return nil, errors.New("No tasks provided") //nolint:staticcheck // the text is the reference's
	}
	return byRoot(tasks), nil
}

// single is the one task of an executor.
func (f *flowRun) single(executor string) ([]json.RawMessage, error) {
	inputs := []byte(cmp.Or(f.inputs, "{}"))
	if f.inputsFile != "" {
		var err error
		if inputs, err = os.ReadFile(f.inputsFile); err != nil {
			return nil, err
		}
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(inputs, &object); err != nil || object == nil {
		return nil, errors.New("the inputs are no JSON object")
	}
	task, err := json.Marshal(map[string]any{"name": "Execute " + executor, "schemas": map[string]string{"method": executor}, "inputs": object})
	return []json.RawMessage{task}, err
}

// byRoot makes a group of each root and what is below it, in their order. Tasks that belong to no root, and what is no task, go to the first: the
// server says what is wrong.
func byRoot(tasks []json.RawMessage) [][]json.RawMessage {
	type facts struct {
		ID     *string `json:"id"`
		Name   string  `json:"name"`
		Parent *string `json:"parent_id"`
	}
	known := make([]facts, len(tasks))
	parents := map[string]string{}
	for i, raw := range tasks {
		_ = json.Unmarshal(raw, &known[i])
		f := &known[i]
		if f.ID == nil {
			f.ID = &f.Name
		}
		if f.Parent != nil {
			parents[*f.ID] = *f.Parent
		}
	}
	rootOf := func(id string) string {
		for range tasks { // no way to a root is longer
			parent, ok := parents[id]
			if !ok {
				break
			}
			id = parent
		}
		return id
	}
	place := map[string]int{}
	var groups [][]json.RawMessage
	for _, f := range known {
		if f.Parent == nil {
			if _, twice := place[*f.ID]; !twice {
				place[*f.ID] = len(groups)
				groups = append(groups, nil)
			}
		}
	}
	if len(groups) == 0 {
		return [][]json.RawMessage{tasks}
	}
	for i, raw := range tasks {
		group := place[rootOf(*known[i].ID)]
		groups[group] = append(groups[group], raw)
	}
	return groups
}

// flowResult is how a tree ended.
type flowResult struct {
	Status   client.Status   `json:"status"`
	Progress float64         `json:"progress"`
	RootID   *string         `json:"root_task_id"`
	Tasks    int             `json:"task_count"`
	Result   json.RawMessage `json:"result"`
	Error    *string         `json:"error"`
}

func (f *flowRun) run(ctx context.Context, s *session, groups [][]json.RawMessage) error {
	var roots []string
	var results []flowResult
	for _, group := range groups {
		out, err := f.submit(ctx, s, group)
		switch {
		case err != nil && len(groups) == 1:
			return err
		case err != nil:
			text := err.Error()
			results = append(results, flowResult{Status: client.StatusFailed, Tasks: len(group), Error: &text})
			continue
		}
		roots = append(roots, out.TreeID)
		if f.background {
			continue
		}
		one, err := flowEnd(ctx, s, out)
		if err != nil {
			return err
		}
		results = append(results, *one)
	}
	if f.background {
		return f.inBackground(ctx, s, roots, results)
	}
	return f.tell(s, roots, results)
}

func (f *flowRun) submit(ctx context.Context, s *session, group []json.RawMessage) (*client.Submitted, error) {
	document, err := json.Marshal(group)
	if err != nil {
		return nil, err
	}
	options := []client.SubmitOption{client.WithUser(f.user)}
	if f.demo {
		options = append(options, client.WithDemo())
	}
	return s.SubmitJSON(ctx, bytes.NewReader(document), options...)
}

// flowEnd waits for a tree.
func flowEnd(ctx context.Context, s *session, out *client.Submitted) (*flowResult, error) {
	tree, err := s.Wait(ctx, out.TreeID)
	if err != nil {
		return nil, err
	}
	root, err := s.Task(ctx, out.TreeID)
	if err != nil {
		return nil, err
	}
	return &flowResult{Status: tree.Status, Progress: tree.Progress, RootID: &out.TreeID, Tasks: tree.Tasks, Result: root.Result, Error: orNull(root.Error)}, nil
}

// tell prints the result, or writes its file. Trees that did not complete make the exit code 1.
func (f *flowRun) tell(s *session, roots []string, results []flowResult) error {
	status := client.StatusCompleted
	for _, one := range results {
		if one.Status != client.StatusCompleted {
			status = "partial"
		}
	}
	var value any = results[0]
	if len(results) > 1 {
		value = map[string]any{"status": status, "task_groups": len(results), "root_task_ids": roots, "results": results}
	}
	var err error
	if f.output == "" {
		if err = s.note("Result:"); err == nil {
			err = writeProtocol(s.out, value)
		}
	} else if err = writeFile(f.output, func(w io.Writer) error { return writeProtocol(w, value) }); err == nil {
		err = s.note("Result saved to: %s", f.output)
	}
	if err == nil && status != client.StatusCompleted {
		err = errors.New("")
	}
	return err
}

// inBackground tells what was started, and how to follow it.
func (f *flowRun) inBackground(ctx context.Context, s *session, roots []string, refused []flowResult) error {
	if len(roots) > 0 {
		ids, watched := "Task ID", "--task-id "+roots[0]
		if len(roots) > 1 {
			ids, watched = "Task IDs", "--all"
		}
		if _, err := fmt.Fprintf(s.out, "%s: %s\n", ids, oneLine(strings.Join(roots, ", "))); err != nil {
			return err
		}
		if err := s.note("Monitor with: taskgrove tasks status %s\nWatch with: taskgrove tasks watch %s", strings.Join(roots, " "), watched); err != nil {
			return err
		}
	}
	for _, one := range refused {
		fmt.Fprintf(s.notes, "Error: %s\n", *one.Error)
	}
	if f.watch && len(roots) > 0 {
		if err := s.watchStatuses(ctx, roots, 1); err != nil {
			return err
		}
	}
	if len(refused) > 0 {
		return errors.New("")
	}
	return nil
}
