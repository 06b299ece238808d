package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/internal/apflow"
)

func importCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "import", Short: "Import trees from other programs", Args: cobra.NoArgs, GroupID: groupClient}
	cmd.AddCommand(importApflowCommand())
	return cmd
}

func importApflowCommand() *cobra.Command {
	var from, table string
	var dry bool
	cmd := clientCommand("apflow --from URL", "Import the trees of aipartnerupflow",
		"Copies the trees in the table of aipartnerupflow, with how each task ended, and compares each tree with its original.\n"+
			"The URL is postgresql://…, sqlite:PATH, or a file that DuckDB exported: .json, .jsonl, .ndjson or .csv. What was imported\n"+
			"before is compared again, so that an import that was interrupted goes on. The exit code is 1 if a tree was not imported,\n"+
			"or is not as its original.",
		cobra.NoArgs, func(ctx context.Context, s *session, _ []string) error {
			if from == "" {
				return usage("--from is needed: where the table is, as postgresql://…, sqlite:PATH, or a file that DuckDB exported")
			}
			source, err := apflow.Open(ctx, from, table)
			if err != nil {
				return codedError{fmt.Errorf("--from: %w", err), exitUsage}
			}
			defer source.Close() //nolint:errcheck // it was only read
			return s.importAll(ctx, source, dry)
		})
	cmd.GroupID = ""
	cmd.Flags().StringVar(&from, "from", "", "where the table is; a password is better in PGPASSWORD or a password file than here")
	cmd.Flags().StringVar(&table, "table", apflow.DefaultTable, "what the table is called")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "import nothing, list the trees")
	return cmd
}

// importedTree is what becomes of a tree.
type importedTree struct {
	ID       string   `json:"id"` // of the root, there
	Name     string   `json:"name"`
	Tasks    int      `json:"tasks"`
	Outcome  string   `json:"outcome"` // imported, present, refused, different; would import
	TreeID   string   `json:"tree_id,omitempty"`
	Notes    []string `json:"notes,omitempty"`    // what was changed on the way
	Problems []string `json:"problems,omitempty"` // why it was refused, or what is different
}

func (s *session) importAll(ctx context.Context, source apflow.Source, dry bool) error {
	counts, rows := map[string]int{}, 0
	for tree, err := range source.Trees(ctx) {
		if err != nil {
			return err
		}
		rows += len(tree)
		one := importedTree{ID: tree[0].ID, Name: tree[0].Name, Tasks: len(tree), Outcome: "would import"}
		if !dry {
			if err := s.importTree(ctx, tree, &one); err != nil {
				return err
			}
		}
		counts[one.Outcome]++
		if err := s.tellImported(&one); err != nil {
			return err
		}
	}
	all, err := source.Rows(ctx)
	if err != nil {
		return err
	}
	if all > rows {
		counts["without a root"] = all - rows
		if err := s.note("%d rows belong to no tree: they lead to no root, and were left out", all-rows); err != nil {
			return err
		}
	}
	var parts []string
	for _, outcome := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[outcome], outcome))
	}
	if err := s.note("trees: %s", strings.Join(parts, ", ")); err != nil {
		return err
	}
	if counts["refused"]+counts["different"] > 0 {
		return codedError{errors.New("not all trees are here as they are there"), exitError}
	}
	return nil
}

func (s *session) tellImported(one *importedTree) error {
	if !s.forPeople() {
		return s.format.write(s.out, one)
	}
	w := &firstError{Writer: harmlessWriter{s.out}}
	fmt.Fprintf(w, "%s  %s (%d tasks): %s\n", oneLine(one.ID), oneLine(one.Name), one.Tasks, one.Outcome)
	for _, line := range slices.Concat(one.Notes, one.Problems) {
		fmt.Fprintf(w, "  %s\n", oneLine(line))
	}
	return w.err
}

// importTree stores a tree that is held, ends its tasks as they ended there, and compares. Each step may be repeated. The error is one after which
// others need not be tried.
func (s *session) importTree(ctx context.Context, tree apflow.Tree, one *importedTree) error {
	document, notes, err := documentOf(tree)
	if err != nil {
		one.Outcome, one.Problems = "refused", []string{err.Error()}
		return nil
	}
	one.Notes = notes
	out, err := s.SubmitJSON(ctx, bytes.NewReader(document), client.Hold(), client.WithIdempotencyKey("import apflow "+tree[0].ID))
	if bad, ok := errors.AsType[*client.InvalidError](err); ok {
		one.Outcome = "refused"
		for _, f := range bad.Faults {
			one.Problems = append(one.Problems, f.Field+": "+f.Reason)
		}
		if len(one.Problems) == 0 {
			one.Problems = []string{bad.Error()}
		}
		return nil
	}
	if err != nil {
		return err
	}
	one.Outcome, one.TreeID = "imported", out.TreeID
	if out.Replayed {
		one.Outcome = "present"
	}
	if len(out.IDMap) > 0 {
		one.Notes = append(one.Notes, fmt.Sprintf("%d ids were taken, and are others here", len(out.IDMap)))
	}
	if err := s.endTasks(ctx, tree, out); err != nil {
		return err
	}
	one.Problems, err = s.differences(ctx, tree, out)
	if len(one.Problems) > 0 {
		one.Outcome = "different"
	}
	return err
}

// importedKey is the key under which a task has what only the reference knew of it.
const importedKey = "imported"

// documentOf is a tree as a document. notes are what had to be changed.
func documentOf(tree apflow.Tree) (document []byte, notes []string, err error) {
	tasks := make([]map[string]any, len(tree))
	meaning := map[string]bool{}
	for _, key := range treedoc.TaskKeys() {
		meaning[key.Name] = true
	}
	for i, row := range tree {
		priority := int64(2)
		if row.Priority != nil {
			if priority = min(max(*row.Priority, 0), 3); priority != *row.Priority {
				notes = append(notes, fmt.Sprintf("task %s: priority %d is %d here", row.ID, *row.Priority, priority))
			}
		}
		if row.Status == "in_progress" {
			notes = append(notes, fmt.Sprintf("task %s was in progress, and is pending here", row.ID))
		}
		task := map[string]any{"id": row.ID, "name": row.Name, "priority": priority, importedKey: historyOf(row)}
		for key, raw := range row.Extra {
			if meaning[key] { // it would change what the task does
				key = "apflow_" + key
			}
			task[key] = raw
		}
		for key, text := range map[string]string{"parent_id": row.ParentID, "user_id": row.UserID} {
			if text != "" {
				task[key] = text
			}
		}
		for key, raw := range map[string]json.RawMessage{"dependencies": row.Dependencies, "inputs": row.Inputs, "params": row.Params, "schemas": row.Schemas} {
			if raw != nil {
				task[key] = raw
			}
		}
		tasks[i] = task
	}
	document, err = json.Marshal(tasks)
	return document, notes, err
}

// historyOf is what the cluster can't know, as it was not there.
func historyOf(row *apflow.Row) map[string]any {
	history := map[string]any{"from": "aipartnerupflow", "status": row.Status}
	for key, at := range map[string]time.Time{"created_at": row.CreatedAt, "started_at": row.StartedAt, "completed_at": row.EndsAt} {
		if !at.IsZero() {
			history[key] = at.UTC().Format(time.RFC3339Nano)
		}
	}
	if row.OriginalID != "" {
		history["original_task_id"] = row.OriginalID
	}
	return history
}

// importUpdates is how many tasks are ended at the same time.
const importUpdates = 16

// endTasks ends the tasks that ended there, and have not here.
func (s *session) endTasks(ctx context.Context, tree apflow.Tree, out *client.Submitted) error {
	here, err := s.tasksByRef(ctx, out.TreeID)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(importUpdates)
	for _, row := range tree {
		status := client.Status(row.Status)
		task := here[row.ID]
		if !slices.Contains([]client.Status{client.StatusCompleted, client.StatusFailed, client.StatusCancelled}, status) || task == nil || task.Status != client.StatusPending {
			continue
		}
		group.Go(func() error {
			change := client.Change{Status: status}
			switch {
			case status == client.StatusFailed:
				text := errorOf(row)
				change.Error = &text
			case status == client.StatusCancelled:
				text := errorOf(row)
				change.Error, change.Result = &text, row.Result
			default:
				change.Result = row.Result
			}
			_, err := s.Update(ctx, task.ID, change)
			return err
		})
	}
	return group.Wait()
}

// errorOf is a task's error, which is never empty here.
func errorOf(row *apflow.Row) string {
	if row.Error != "" {
		return row.Error
	}
	return "the task " + row.Status + " without a text"
}

// tasksByRef are the tasks of a tree by what its document calls them.
func (s *session) tasksByRef(ctx context.Context, treeID string) (map[string]*client.Task, error) {
	here := map[string]*client.Task{}
	for t, err := range s.Tasks(ctx, client.TaskFilter{TreeOf: treeID, AsSubmitted: true, PageSize: 1000}) {
		if err != nil {
			return nil, err
		}
		here[t.Ref] = t
	}
	return here, nil
}

// maxDifferences is how many are told of a tree.
const maxDifferences = 20

// differences compares a tree with its original.
func (s *session) differences(ctx context.Context, tree apflow.Tree, out *client.Submitted) (found []string, err error) {
	here, err := s.tasksByRef(ctx, out.TreeID)
	if err != nil {
		return nil, err
	}
	if len(here) != len(tree) {
		found = append(found, fmt.Sprintf("%d tasks there, %d here", len(tree), len(here)))
	}
	for _, row := range tree {
		if task := here[row.ID]; task != nil {
			found = append(found, differencesOf(row, task, out)...)
		}
		if len(found) >= maxDifferences {
			return append(found[:maxDifferences], "…"), nil
		}
	}
	return found, nil
}

func differencesOf(row *apflow.Row, task *client.Task, out *client.Submitted) (found []string) {
	differ := func(field string, there, here any) {
		found = append(found, fmt.Sprintf("task %s: %s is %.200v there, %.200v here", row.ID, field, there, here))
	}
	texts := func(field, there, here string) {
		if there != here {
			differ(field, there, here)
		}
	}
	status := row.Status
	if status == "in_progress" {
		status = "pending"
	}
	texts("name", row.Name, task.Name)
	texts("user_id", row.UserID, task.UserID)
	texts("status", status, string(task.Status))
	if row.ParentID != "" {
		texts("parent_id", out.ID(row.ParentID), task.ParentID)
	}
	if status == "failed" || status == "cancelled" {
		texts("error", errorOf(row), task.Error)
	}
	for _, f := range []struct {
		name        string
		there, here json.RawMessage
	}{{"inputs", row.Inputs, task.Inputs}, {"params", row.Params, task.Params}, {"schemas", row.Schemas, task.Schemas}, {"result", endedResult(row), task.Result}} {
		if !sameJSON(f.there, f.here) {
			differ(f.name, string(f.there), string(f.here))
		}
	}
	if there, here := dependenciesThere(row, out), dependenciesHere(task); !slices.Equal(there, here) {
		differ("dependencies", there, here)
	}
	return found
}

// endedResult is the result that a task has here: one that failed has none (spec 12.2).
func endedResult(row *apflow.Row) json.RawMessage {
	if row.Status == "completed" || row.Status == "cancelled" {
		return row.Result
	}
	return nil
}

// dependenciesThere are those of a row by the ids that they have here, with what is optional marked.
func dependenciesThere(row *apflow.Row, out *client.Submitted) (all []string) {
	var list []json.RawMessage
	_ = json.Unmarshal(row.Dependencies, &list) // the server has read it
	for _, raw := range list {
		one := struct {
			ID, Name string
			Required *bool
		}{}
		if json.Unmarshal(raw, &one.ID) != nil {
			_ = json.Unmarshal(raw, &one)
		}
		id := out.ID(cmp.Or(one.ID, one.Name))
		if one.Required != nil && !*one.Required {
			id += " (optional)"
		}
		all = append(all, id)
	}
	return all
}

func dependenciesHere(task *client.Task) (all []string) {
	for _, d := range task.Dependencies {
		id := d.Ref
		if d.Optional {
			id += " (optional)"
		}
		all = append(all, id)
	}
	return all
}

// sameJSON compares values, not texts; an empty object is as good as none.
func sameJSON(a, b json.RawMessage) bool {
	return reflect.DeepEqual(valueOf(a), valueOf(b))
}

func valueOf(raw json.RawMessage) any {
	if len(raw) == 0 {
		return nil
	}
	var value any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if d.Decode(&value) != nil {
		return string(raw)
	}
	if object, ok := value.(map[string]any); ok && len(object) == 0 {
		return nil
	}
	return numbers(value)
}

// numbers makes equal numbers the same: 1, 1.0 and 1e0.
func numbers(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key, one := range v {
			v[key] = numbers(one)
		}
	case []any:
		for i, one := range v {
			v[i] = numbers(one)
		}
	case json.Number:
		if f, err := v.Float64(); err == nil && math.Abs(f) < 1<<53 {
			return f
		}
	}
	return value
}
