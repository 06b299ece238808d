package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
)

// generateFlags say what to generate, and what becomes of it.
type generateFlags struct {
	client.Requirement
	temperature  float64
	budget       string
	submit, hold bool
	llm          llmKey
	following
}

func generateCommand() *cobra.Command {
	var f generateFlags
	cmd := clientCommand("generate REQUIREMENT|-", "Have a model make a tree of a requirement",
		"Has a language model make a tree of a requirement in plain language, and shows it. Nothing of it runs, and nothing is stored but the\n"+
			"task that generates it, unless you say --submit. With -o json or yaml: the document, for \"submit -\".\n"+
			"The tree may use executors that touch nothing of the worker's host; --executors names others, and commands and code take\n"+
			"--allow-commands, too. The model's key is the worker's, unless you send one along.",
		cobra.ExactArgs(1), func(ctx context.Context, s *session, args []string) error { return f.run(ctx, s, args[0]) })
	f.bind(cmd)
	f.llm.bind(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.Model, "model", "", "the model, or provider/model; empty: as the worker says")
	flags.StringVar(&f.Provider, "provider", "", "the model's provider, such as openai or anthropic")
	flags.Float64Var(&f.temperature, "temperature", -1, "0 to 2: how freely the model chooses; below 0: the executor's default")
	flags.IntVar(&f.MaxTokens, "max-tokens", 0, "most tokens of an answer; 0: the executor's default")
	flags.IntVar(&f.MaxTasks, "max-tasks", 0, "most tasks of the tree; 0: the executor's default")
	flags.StringSliceVar(&f.Executors, "executors", nil, "executors that the tree may use, separated by commas")
	flags.BoolVar(&f.AllowCommands, "allow-commands", false, "let the tree use executors that run commands or code")
	flags.StringVar(&f.budget, "budget", "", "what the generation may use, such as tokens=20000,calls=2,money=0.5,seconds=60")
	flags.StringVar(&f.UserID, "user", "", "owner of the tree")
	flags.DurationVar(&f.Timeout, "timeout", 0, "give up after so long, such as 2m; 0: 5m")
	flags.BoolVar(&f.submit, "submit", false, "submit the tree and start it")
	flags.BoolVar(&f.hold, "hold", false, "with --submit: store the tree without starting it; rerun starts it")
	return cmd
}

func (f *generateFlags) run(ctx context.Context, s *session, text string) error {
	if err := f.read(s.in, text); err != nil {
		return codedError{err, exitUsage}
	}
	task := ""
	f.Started = func(id string) { task = id }
	got, err := s.Generate(ctx, f.Requirement)
	if err != nil {
		if task != "" {
			_ = s.note("\"taskgrove get %s\" shows what was asked, and what came of it", task)
		}
		return err
	}
	for _, w := range got.Warnings {
		fmt.Fprintf(s.notes, "warning: %s\n", w)
	}
	if !f.submit {
		return f.show(s, got)
	}
	if s.forPeople() {
		if err := f.show(s, got); err != nil {
			return err
		}
	}
	options := []client.SubmitOption{client.WithUser(f.UserID), client.WithIdempotencyKey("generated-" + got.TaskID)}
	if f.hold {
		options = append(options, client.Hold())
	} else if f.ModelKey != "" {
		options = append(options, client.WithModelKey(f.ModelKey))
	}
	out, err := s.SubmitJSON(ctx, bytes.NewReader(got.Tasks), options...)
	if err != nil {
		return err
	}
	for _, w := range out.Warnings {
		fmt.Fprintf(s.notes, "warning: %s: %s\n", w.Field, w.Reason)
	}
	if !f.wait && !f.watch || s.forPeople() {
		if err := s.print(out, func(w io.Writer) { fmt.Fprintln(w, out.TreeID) }); err != nil {
			return err
		}
	}
	return f.follow(ctx, s, out.TreeID)
}

// maxRequirementBytes is how much is read of a requirement from standard input.
const maxRequirementBytes = 1 << 20

// read takes the requirement and the flags that need a look.
func (f *generateFlags) read(in io.Reader, text string) error {
	if text == "-" {
		all, err := io.ReadAll(io.LimitReader(in, maxRequirementBytes))
		if err != nil {
			return fmt.Errorf("read standard input: %w", err)
		}
		text = string(all)
	}
	if f.Text = strings.TrimSpace(text); f.Text == "" {
		return errors.New("the requirement is empty: say what the tree shall do")
	}
	if !f.submit && (f.hold || f.wait || f.watch) {
		return errors.New("--hold, --wait and --watch are for a tree that is submitted: add --submit")
	}
	if f.hold && (f.wait || f.watch) {
		return errors.New("--hold: a held tree does not run, so that --wait and --watch have nothing to wait for")
	}
	var err error
	if f.ModelKey, err = f.llm.read(); err != nil {
		return err
	}
	if f.temperature >= 0 {
		f.Temperature = &f.temperature
	}
	if f.budget == "" {
		return nil
	}
	budget := map[string]json.Number{}
	for part := range strings.SplitSeq(f.budget, ",") {
		name, value, ok := strings.Cut(part, "=")
		if name = strings.TrimSpace(name); !ok || !json.Valid([]byte(strings.TrimSpace(value))) {
			return fmt.Errorf("--budget: %q is not name=number, such as tokens=20000", part)
		}
		budget[name] = json.Number(strings.TrimSpace(value))
	}
	f.Budget, err = json.Marshal(budget)
	return err
}

// show prints the tree: for people as a table, for programs as the document that submit takes.
func (f *generateFlags) show(s *session, got *client.Generated) error {
	if !s.forPeople() {
		return s.format.write(s.out, map[string]json.RawMessage{"tasks": got.Tasks})
	}
	tasks, err := previewed(got.Tasks)
	if err != nil {
		return err
	}
	if err := s.print(nil, func(w io.Writer) { table(w, func(w io.Writer) { writePreview(w, tasks) }) }); err != nil {
		return err
	}
	by := cmp.Or(got.Model, "the model")
	if got.Repaired {
		by += ", after a correction"
	}
	what := fmt.Sprintf("%s by %s", counted(got.Count, "task"), by)
	if !f.submit {
		what += "; nothing runs yet: --submit submits such a tree, -o yaml writes it for you to look at"
	}
	fmt.Fprintln(s.notes, what)
	return nil
}

// previewed reads the tasks of a tree that is not submitted.
func previewed(document []byte) (tasks []*client.Task, err error) {
	for t, err := range treedoc.Parse(document, treedoc.Options{}) {
		if err != nil {
			return nil, fmt.Errorf("the generated tree can't be read: %w", err)
		}
		task := &client.Task{ID: t.ID, Name: t.Name, ParentID: t.ParentRef, Priority: client.Priority(t.Priority - dag.Normal), Executor: t.Executor, Inputs: t.Inputs}
		for _, d := range t.Dependencies {
			task.Dependencies = append(task.Dependencies, client.Dependency{Ref: d.Ref, Optional: d.Optional})
		}
		tasks = append(tasks, task)
	}
	return tasks, nil
}

// Bounds of a preview.
const (
	previewInputs = 100 // characters
	previewAfter  = 3   // names of dependencies
)

// writePreview writes tasks below their parents: what runs each, with what, and after which.
func writePreview(w io.Writer, tasks []*client.Task) {
	names := map[string]string{}
	for _, t := range tasks {
		names[t.ID] = cmp.Or(t.Name, t.ID)
	}
	for _, b := range branches(tasks) {
		var after []string
		for i, d := range b.task.Dependencies {
			if i == previewAfter {
				after = append(after, fmt.Sprintf("%d more", len(b.task.Dependencies)-i))
				break
			}
			name := names[d.Ref]
			if d.Optional {
				name += " (in any case)"
			}
			after = append(after, name)
		}
		waits := ""
		if len(after) > 0 {
			waits = "after " + strings.Join(after, ", ")
		}
		inputs := string(b.task.Inputs)
		if inputs == "{}" {
			inputs = ""
		}
		if r := []rune(inputs); len(r) > previewInputs {
			inputs = string(r[:previewInputs]) + "…"
		}
		fmt.Fprintf(w, "%s%s\t%s\t%s\t%s\n", strings.Repeat("  ", b.indent), oneLine(cmp.Or(b.task.Name, b.task.ID)), oneLine(cmp.Or(b.task.Executor, "(group)")),
			oneLine(waits), oneLine(inputs))
	}
}
