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
)

func updateCommand() *cobra.Command {
	var change changeFlags
	var cmd *cobra.Command
	cmd = clientCommand("update TASK", "Change a stored task",
		"Changes fields of a task, all or none, and shows it. Inputs, params, schemas and a result are JSON; @FILE reads them from a file, @- from\n"+
			"stdin. --needs and --wants together replace all that the task depends on, which can be changed while it is pending; --needs \"\" leaves none.\n"+
			"A change of status goes on to what depends on the task.\n"+taskRefHelp,
		cobra.ExactArgs(1), func(ctx context.Context, s *session, args []string) error {
			what, err := change.read(cmd, s.in)
			if err != nil {
				return codedError{err, exitUsage}
			}
			id, err := s.id(ctx, args[0])
			if err != nil {
				return err
			}
			task, err := s.Update(ctx, id, *what)
			if err != nil {
				return err
			}
			return s.print(task, func(w io.Writer) { fmt.Fprintf(w, "%s: updated\n", oneLine(task.ID)) })
		})
	change.bind(cmd)
	cmd.ValidArgsFunction = completeTasks(1)
	return cmd
}

// changeFlags are the flags that say what update changes.
type changeFlags struct {
	name, status, problem           string
	inputs, params, schemas, result string
	needs, wants                    []string
	priority                        int
	progress                        float64
}

func (c *changeFlags) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.name, "name", "", "its name")
	f.IntVar(&c.priority, "priority", 2, "0 urgent, 1 high, 2 normal, 3 low")
	f.StringVar(&c.inputs, "inputs", "", "a JSON object")
	f.StringVar(&c.params, "params", "", "a JSON object")
	f.StringVar(&c.schemas, "schemas", "", "a JSON object")
	f.StringSliceVar(&c.needs, "needs", nil, "ids of tasks that must complete before it starts")
	f.StringSliceVar(&c.wants, "wants", nil, "ids of tasks that must end before it starts")
	f.StringVar(&c.status, "status", "", "pending, in_progress, completed, failed or cancelled")
	f.StringVar(&c.problem, "error", "", "why it failed")
	f.StringVar(&c.result, "result", "", "JSON")
	f.Float64Var(&c.progress, "progress", 0, "0 to 1")
}

// read is what is to be changed: what a flag was given for.
func (c *changeFlags) read(cmd *cobra.Command, stdin io.Reader) (*client.Change, error) {
	out := &client.Change{Status: client.Status(c.status)}
	given, some := cmd.Flags().Changed, false
	for name, set := range map[string]func(){
		"name": func() { out.Name = &c.name }, "error": func() { out.Error = &c.problem }, "progress": func() { out.Progress = &c.progress },
		"priority": func() { out.Priority = new(client.Priority(c.priority) - 2) }, "status": func() {}, // the client counts from normal
	} {
		if given(name) {
			set()
			some = true
		}
	}
	if given("needs") || given("wants") {
		list := []client.Dependency{}
		for _, id := range c.needs {
			list = append(list, client.Dependency{Ref: id})
		}
		for _, id := range c.wants {
			list = append(list, client.Dependency{Ref: id, Optional: true})
		}
		out.Dependencies, some = &list, true
	}
	for _, part := range []struct {
		name, value string
		to          *any
	}{{"inputs", c.inputs, &out.Inputs}, {"params", c.params, &out.Params}, {"schemas", c.schemas, &out.Schemas}} {
		if !given(part.name) {
			continue
		}
		raw, err := jsonOrFile(part.name, part.value, stdin)
		if err != nil {
			return nil, err
		}
		*part.to, some = raw, true
	}
	if given("result") {
		raw, err := jsonOrFile("result", c.result, stdin)
		if err != nil {
			return nil, err
		}
		out.Result, some = raw, true
	}
	if !some {
		return nil, errors.New("nothing is to be changed: give a flag, such as --name or --inputs")
	}
	return out, nil
}

// maxFlagFile is how large a file of a flag may be.
const maxFlagFile = 16 << 20

// jsonOrFile is the JSON of a flag: its value, or of @FILE what the file holds.
func jsonOrFile(name, value string, stdin io.Reader) (json.RawMessage, error) {
	path, isFile := strings.CutPrefix(value, "@")
	raw := []byte(value)
	if isFile {
		from := stdin
		if path != "-" {
			f, err := os.Open(path)
			if err != nil {
				return nil, fmt.Errorf("--%s: %w", name, err)
			}
			defer f.Close()
			from = f
		}
		var err error
		if raw, err = io.ReadAll(io.LimitReader(from, maxFlagFile+1)); err != nil {
			return nil, fmt.Errorf("--%s: %w", name, err)
		}
		if len(raw) > maxFlagFile {
			return nil, fmt.Errorf("--%s: %s is larger than %d MiB", name, path, maxFlagFile>>20)
		}
	}
	if !json.Valid(raw) {
		return nil, fmt.Errorf("--%s: must be JSON", name)
	}
	return raw, nil
}

func deleteCommand() *cobra.Command {
	var force, alone bool
	all := bulk{verb: "delete", past: "deleted"}
	const hint = "; --force deletes tasks in whatever state they are"
	cmd := clientCommand("delete TASK...", "Delete tasks with all below them; a root deletes its tree",
		"Deletes tasks from the store, each with all below it, as long as these are pending and nothing else depends on them. With --force\n"+
			"whatever state they are in, unless one of them runs: cancel it first. The exit code is 1 when one could not be deleted; the others are\n"+
			"deleted all the same.\n"+taskRefHelp+"\n\n"+bulkHelp,
		cobra.MinimumNArgs(1), func(ctx context.Context, s *session, args []string) error {
			var options []client.DeleteOption
			if force {
				options = append(options, client.ForceDelete())
			}
			if alone {
				options = append(options, client.DeleteAlone())
			}
			if !force {
				all.hint = hint
			}
			if len(args) == 0 {
				return all.run(ctx, s, func(ctx context.Context, id string) (string, error) {
					_, err := s.Delete(ctx, id, options...)
					if errors.Is(err, client.ErrNotFound) { // with one above it, or by somebody else
						return "gone already", nil
					}
					return "deleted", err
				})
			}
			err := s.delete(ctx, args, options)
			if refused, ok := errors.AsType[*client.ConflictError](err); ok && refused.Reason == "CANNOT_DELETE" && !force {
				return fmt.Errorf("%w%s", err, hint)
			}
			return err
		})
	all.bind(cmd)
	cmd.ValidArgsFunction = completeTasks(1000)
	cmd.Flags().BoolVar(&force, "force", false, "whatever state the tasks are in, also what others depend on")
	cmd.Flags().BoolVar(&alone, "alone", false, "refuse a task that has children")
	return cmd
}

// delete deletes the tasks that are named. One that is ambiguous is an error before anything is deleted.
func (s *session) delete(ctx context.Context, args []string, options []client.DeleteOption) error {
	ids, err := s.ids(ctx, args)
	if err != nil {
		return err
	}
	var failed error
	for _, id := range ids {
		n, err := s.Delete(ctx, id, options...)
		if errors.Is(err, client.ErrUnavailable) || ctx.Err() != nil {
			return errors.Join(failed, err)
		}
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		if err := s.print(struct {
			ID    string
			Tasks int
		}{id, n}, func(w io.Writer) { fmt.Fprintf(w, "%s: deleted, %s\n", oneLine(id), counted(n, "task")) }); err != nil {
			return err
		}
	}
	return failed
}

func copyCommand() *cobra.Command {
	var f following
	var o client.CopyOptions
	var mode string
	var run bool
	cmd := clientCommand("copy TASK", "Copy a task with what belongs to it as a tree of its own",
		"Copies a task, all below it and what depends on them; with --mode full its whole tree; with --mode custom the tasks of --task-ids and what\n"+
			"they depend on. What has completed outside of what is to run again keeps its result. The copy is held: \"rerun\" starts it, or --run does.\n"+
			"Prints the id of the new tree. With --dry-run nothing is stored, and the tasks are shown.\n"+taskRefHelp,
		cobra.ExactArgs(1), func(ctx context.Context, s *session, args []string) error {
			f.wait = f.wait && !f.watch
			switch run = run || f.wait || f.watch; {
			case run && o.Preview:
				return usage("--dry-run: stores nothing, so that there is nothing to run")
			case (mode == string(client.CopyCustom)) != (len(o.TaskIDs) > 0):
				return usage("--mode custom and --task-ids go together")
			}
			o.Mode = client.CopyMode(mode)
			id, err := s.id(ctx, args[0])
			if err != nil {
				return err
			}
			for i, ref := range o.TaskIDs {
				if o.TaskIDs[i], err = s.id(ctx, ref); err != nil {
					return err
				}
			}
			got, err := s.Copy(ctx, id, o)
			if err != nil {
				return err
			}
			if err := s.printCopy(got, o.Preview, run && (f.wait || f.watch)); err != nil || !run {
				return err
			}
			if _, err := s.Execute(ctx, got.TreeID); err != nil {
				return err
			}
			return f.follow(ctx, s, got.TreeID)
		})
	f.bind(cmd)
	cmd.ValidArgsFunction = completeTasks(1)
	cmd.Flags().StringVar(&mode, "mode", string(client.CopyMinimal), "minimal, full or custom")
	mustComplete(cmd, "mode", cobra.FixedCompletions([]string{string(client.CopyMinimal), string(client.CopyFull), string(client.CopyCustom)}, cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().BoolVar(&o.Children, "children", false, "minimal: what depends on the subtrees of its children, too")
	cmd.Flags().StringSliceVar(&o.TaskIDs, "task-ids", nil, "custom: these tasks")
	mustComplete(cmd, "task-ids", completeTasks(1))
	cmd.Flags().BoolVar(&o.IncludeChildren, "include-children", false, "custom: all below --task-ids, too")
	cmd.Flags().StringSliceVar(&o.ResetFields, "reset-fields", nil, "fields that begin anew in tasks that are kept: status, progress, result, error, started_at, completed_at, updated_at")
	cmd.Flags().BoolVar(&o.Preview, "dry-run", false, "store nothing and show the tasks")
	cmd.Flags().BoolVar(&run, "run", false, "start the copy; --wait and --watch do, too")
	return cmd
}

// printCopy prints a copy: of a stored one its id, unless programs get its end instead.
func (s *session) printCopy(got *client.Copied, preview, followed bool) error {
	switch {
	case followed && !s.forPeople():
		return nil
	case preview && s.forPeople():
		return s.print(nil, func(w io.Writer) {
			table(w, func(w io.Writer) {
				for _, b := range branches(got.Tasks) {
					fmt.Fprintf(w, "%s%s\t%s\t%s\n", strings.Repeat("  ", b.indent), oneLine(b.task.Name), describe(b.task), oneLine(b.task.OriginalID))
				}
			})
		})
	}
	return s.print(got, func(w io.Writer) { fmt.Fprintln(w, got.TreeID) })
}
