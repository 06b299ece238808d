package apitest

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// Update changes fields of a stored task.
func (s *Service) Update(_ context.Context, id string, change coordinator.TaskChange) (*coordinator.Task, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("Update"); err != nil {
		return nil, err
	}
	t, ok := s.tasks[id]
	if !ok {
		return nil, fmt.Errorf("update %s: %w", id, coordinator.ErrNotFound)
	}
	if err := t.tree.heldError(); err != nil {
		return nil, err
	}
	deps, missing := t.tree.resolve(change.Dependencies)
	facts := dag.Edited{ID: id, Root: t.ParentID == "", State: t.State, Created: t.tree.status.CreatedAt, Started: t.StartedAt, Finished: t.CompletedAt, Missing: missing,
		Cycle: t.closes(deps), Executor: t.Executor, Now: time.Now()}
	if faults, transition := change.Check(facts, dag.DefaultLimits); len(faults) > 0 {
		return nil, &coordinator.UpdateError{Faults: faults, Transition: transition}
	}
	s.change(t, change, deps)
	shown := t.Task
	shown.Options = coordinator.TaskOptions{}
	return &shown, nil
}

// resolve gives dependencies as they are stored, and the references that no task of the tree answers to.
func (tr *tree) resolve(given []dag.Dependency) (deps []coordinator.Dependency, missing []string) {
	for _, d := range given {
		i := slices.IndexFunc(tr.tasks, func(t *task) bool { return t.ID == d.Ref || t.Ref == d.Ref })
		switch {
		case d.Ref == "":
		case i < 0:
			missing = append(missing, d.Ref)
		default:
			deps = append(deps, coordinator.Dependency{ID: tr.tasks[i].ID, Required: !d.Optional, Type: d.Type})
		}
	}
	return deps, missing
}

// closes names a cycle that the task would close by new dependencies: the task itself, and the one that leads back to it.
func (t *task) closes(deps []coordinator.Dependency) []string {
	var leads func(id string, depth int) bool
	leads = func(id string, depth int) bool {
		if id == t.ID || depth > len(t.tree.tasks) {
			return id == t.ID
		}
		i := slices.IndexFunc(t.tree.tasks, func(o *task) bool { return o.ID == id })
		return slices.ContainsFunc(t.tree.tasks[i].Dependencies, func(d coordinator.Dependency) bool { return leads(d.ID, depth+1) })
	}
	for _, d := range deps {
		if leads(d.ID, 0) {
			return []string{t.Name, d.ID, t.Name}
		}
	}
	return nil
}

// change carries out what was checked. The caller holds mu.
func (s *Service) change(t *task, c coordinator.TaskChange, deps []coordinator.Dependency) {
	if c.Name != nil {
		t.Name = *c.Name
		if t.ParentID == "" {
			t.tree.status.Name = *c.Name
		}
	}
	if c.Priority != nil {
		t.Priority = *c.Priority
	}
	if c.HasDependencies {
		t.Dependencies = deps
	}
	if c.HasLabels {
		t.tree.status.Labels, t.Labels = c.Labels, c.Labels
	}
	for _, f := range []struct{ to, from *[]byte }{{(*[]byte)(&t.Inputs), (*[]byte)(&c.Inputs)}, {(*[]byte)(&t.Params), (*[]byte)(&c.Params)},
		{(*[]byte)(&t.Schemas), (*[]byte)(&c.Schemas)}, {(*[]byte)(&t.Result), (*[]byte)(&c.Result)}} {
		if *f.from != nil {
			*f.to = *f.from
		}
	}
	if c.Error != nil && *c.Error != "" {
		t.Error = *c.Error
	}
	if c.Progress != nil {
		t.Progress = *c.Progress
	}
	if c.Status != "" && c.Status != t.State.Status() {
		s.conclude(t, c.Status)
	}
	for _, at := range []struct{ to, from *time.Time }{{&t.StartedAt, &c.StartedAt}, {&t.CompletedAt, &c.CompletedAt}} {
		if !at.from.IsZero() {
			*at.to = *at.from
		}
	}
}

// conclude ends a task by a user's word. The caller holds mu.
func (s *Service) conclude(t *task, status dag.Status) {
	held := t.State == dag.Held
	event := coordinator.Event{Type: coordinator.EventCompleted, Result: t.Result}
	state := dag.Completed
	switch status {
	case dag.StatusFailed:
		state, event = dag.Failed, coordinator.Event{Type: coordinator.EventFailed, Error: t.Error}
	case dag.StatusCancelled:
		state, event = dag.Cancelled, coordinator.Event{Type: coordinator.EventCancelled, Error: t.Error}
	}
	if !held {
		s.settle(t, state, event)
		return
	}
	t.State, t.CompletedAt = state, time.Now() // in no execution: nobody is told
	if state == dag.Completed {
		t.Progress = 1
	}
}

// Delete deletes a task and all below it.
func (s *Service) Delete(_ context.Context, id string, opts coordinator.DeleteOptions) (*coordinator.Deletion, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("Delete"); err != nil {
		return nil, err
	}
	t, ok := s.tasks[id]
	if !ok {
		return nil, fmt.Errorf("delete %s: %w", id, coordinator.ErrNotFound)
	}
	if err := t.tree.heldError(); err != nil {
		return nil, err
	}
	gone := map[string]bool{id: true}
	for range t.tree.tasks { // as deep as it can be
		for _, other := range t.tree.tasks {
			if gone[other.ParentID] {
				gone[other.ID] = true
			}
		}
	}
	view := dag.Deletion{Force: opts.Force, Alone: opts.Alone}
	for _, other := range t.tree.tasks {
		if gone[other.ID] {
			view.See(other.Key, other == t, other.State, other.State == dag.Running)
		} else if slices.ContainsFunc(other.Dependencies, func(d coordinator.Dependency) bool { return gone[d.ID] }) {
			view.SeeDependent(other.Key, other.State, other.State == dag.Running)
		}
	}
	if view.Refused() {
		return nil, &coordinator.DeleteError{Reasons: view.Reasons(func(k dag.Key) string { return t.tree.byKey(k).ID })}
	}
	s.remove(t, gone)
	return &coordinator.Deletion{Tasks: len(gone)}, nil
}

func (tr *tree) byKey(k dag.Key) *task {
	return tr.tasks[slices.IndexFunc(tr.tasks, func(t *task) bool { return t.Key == k })]
}

// remove takes tasks out. The caller holds mu.
func (s *Service) remove(root *task, gone map[string]bool) {
	tr := root.tree
	for id := range gone {
		delete(s.tasks, id)
	}
	if root.ParentID == "" {
		s.trees = slices.DeleteFunc(s.trees, func(other *tree) bool { return other == tr })
		return
	}
	tr.tasks = slices.DeleteFunc(tr.tasks, func(t *task) bool { return gone[t.ID] })
	for _, t := range tr.tasks {
		t.Dependencies = slices.DeleteFunc(slices.Clone(t.Dependencies), func(d coordinator.Dependency) bool { return gone[d.ID] })
		t.HasChildren = slices.ContainsFunc(tr.tasks, func(c *task) bool { return c.ParentID == t.ID })
	}
}

// Add stores tasks below a stored one: all of the tree is checked with them.
func (s *Service) Add(_ context.Context, parentID string, opts coordinator.SubmitOptions, tasks iter.Seq2[*dag.Task, error]) (*coordinator.Submitted, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("Add"); err != nil {
		return nil, err
	}
	parent, ok := s.tasks[parentID]
	if !ok {
		return nil, fmt.Errorf("add to %s: %w", parentID, coordinator.ErrNotFound)
	}
	tr := parent.tree
	if slices.ContainsFunc(tr.tasks, func(t *task) bool { return !t.StartedAt.IsZero() || t.State.Settled() }) {
		return nil, &coordinator.ParentError{ParentID: parentID, TreeID: tr.status.ID}
	}
	builder := dag.NewBuilder(dag.Limits{}, uuid.NewString)
	var given []*dag.Task
	for t, err := range tasks {
		if err != nil {
			return nil, err
		}
		if t.ParentRef == "" {
			t.ParentRef = parentID
		}
		if t.ID == "" {
			t.ID = uuid.NewString()
		}
		if _, err := builder.Add(t); err != nil {
			return nil, err
		}
		given = append(given, t)
	}
	if len(given) == 0 {
		_, err := dag.NewBuilder(dag.Limits{}, uuid.NewString).Build()
		return nil, err
	}
	for _, t := range tr.tasks {
		if _, err := builder.Add(&dag.Task{ID: t.ID, Name: t.Name, ParentRef: t.ParentID, Priority: t.Priority}); err != nil {
			return nil, err
		}
	}
	graph, err := builder.Build()
	if err != nil {
		return nil, err
	}
	return s.grow(parent, graph, given, opts), nil
}

// grow keeps the new tasks of a tree. The caller holds mu.
func (s *Service) grow(parent *task, graph *dag.Graph, given []*dag.Task, opts coordinator.SubmitOptions) *coordinator.Submitted {
	tr := parent.tree
	sub := &coordinator.Submitted{TreeID: tr.status.ID, Tasks: len(given)}
	next := tr.tasks[len(tr.tasks)-1].Key.Index() + 1
	for i, g := range given {
		t := &task{tree: tr, Task: coordinator.Task{
			Key: tr.status.Key.Key(next + i), ID: g.ID, Ref: g.ID, TreeID: tr.status.ID, ParentID: graph.IDs[graph.Parent[i]], UserID: tr.status.UserID, Name: g.Name,
			State: parent.State, Attempt: parent.Attempt, Priority: g.Priority, Inputs: g.Inputs, Params: g.Params, Schemas: g.Schemas, Custom: g.Custom,
			Executor: g.Executor, Pool: g.QueueName(), HasChildren: !graph.Leaf[i], Repeatable: g.Repeatable, CreatedAt: time.Now(), UpdatedAt: time.Now(),
		}}
		for _, e := range graph.Dependencies(i) {
			t.Dependencies = append(t.Dependencies, coordinator.Dependency{ID: graph.IDs[e.Task], Required: e.Required, Type: e.Type})
		}
		tr.tasks = append(tr.tasks, t)
		s.tasks[t.ID] = t
		s.tasks[t.ParentID].HasChildren = true
		if len(given) <= opts.Show.Tasks {
			shown := t.Task
			sub.Shown = append(sub.Shown, &shown)
		}
	}
	return sub
}

func (s *site) add(parent string, tasks ...*dag.Task) (*coordinator.Submitted, error) {
	return s.svc.Add(s.Context(), s.id(parent), coordinator.SubmitOptions{}, func(yield func(*dag.Task, error) bool) {
		for _, t := range tasks {
			if !yield(t, nil) {
				return
			}
		}
	})
}

// editing are the scenarios of stored tasks that are changed, deleted and added.
var editing = map[string]func(*site){
	"fields of a stored task change": func(s *site) {
		s.has("Update")
		s.submit(coordinator.SubmitOptions{Hold: true}, s.task("root", ""), s.task("a", "root"))
		got, err := s.svc.Update(s.Context(), s.id("root"), coordinator.TaskChange{Name: new("new"), Priority: new(dag.Urgent), Inputs: []byte(`{"n":2}`),
			HasDependencies: true, Dependencies: []dag.Dependency{{Ref: s.id("a"), Optional: true}}})
		shown, err2 := s.svc.Task(s.Context(), s.id("root"))
		for _, t := range []*coordinator.Task{must(s, got, err), must(s, shown, err2)} {
			if t.Name != "new" || t.Priority != dag.Urgent || string(t.Inputs) != `{"n":2}` || len(t.Dependencies) != 1 || t.Dependencies[0].ID != s.id("a") || t.Dependencies[0].Required {
				s.Errorf("got %+v", t)
			}
		}
	},
	"an update tells all its faults, and changes nothing": func(s *site) {
		s.has("Update")
		s.submit(coordinator.SubmitOptions{Hold: true}, s.task("root", "", "a"), s.task("a", "root"))
		_, err := s.svc.Update(s.Context(), s.id("a"), coordinator.TaskChange{Name: new("changed"), Progress: new(2.0), Status: dag.StatusInProgress, HasDependencies: true,
			Dependencies: []dag.Dependency{{Ref: "nope"}, {Ref: s.id("root")}}})
		text := s.wantFault("faults", err, api.Invalid).Text
		for _, want := range []string{"Update failed:", "- Dependency reference 'nope' not found in task tree", "- Circular dependency detected: ",
			"- Invalid state transition: cannot transition from 'pending' to 'in_progress'", "- Cannot update 'progress': must be 0 to 1, got 2"} {
			if !strings.Contains(text, want) {
				s.Errorf("%q lacks %q", text, want)
			}
		}
		shown, err := s.svc.Task(s.Context(), s.id("a"))
		if shown = must(s, shown, err); shown.Name != "a" || len(shown.Dependencies) != 0 {
			s.Errorf("got %+v", shown)
		}
	},
	"a task that is completed by hand lets others start": func(s *site) {
		s.has("Update")
		s.submit(coordinator.SubmitOptions{}, s.task("root", "", "a"), s.task("a", "root"))
		got, err := s.svc.Update(s.Context(), s.id("a"), coordinator.TaskChange{Status: dag.StatusCompleted, Result: []byte(`{"by":"hand"}`)})
		if got = must(s, got, err); got.State != dag.Completed || string(got.Result) != `{"by":"hand"}` || got.Progress != 1 || got.CompletedAt.IsZero() {
			s.Errorf("got %+v", got)
		}
		s.backend.Complete(s.id("root"), `{}`)
		if got := s.status("root"); got != dag.StatusCompleted {
			s.Errorf("got %s", got)
		}
		_, err = s.svc.Update(s.Context(), s.id("a"), coordinator.TaskChange{Status: dag.StatusPending})
		s.wantName(s.wantFault("back to pending", err, api.Invalid), "cannot transition from 'completed' to 'pending'")
	},
	"a task is deleted with what is below it, unless others need it or it is not pending": func(s *site) {
		s.has("Delete")
		s.submit(coordinator.SubmitOptions{Hold: true}, s.task("root", "", "b"), s.task("a", "root"), s.task("a1", "a"), s.task("b", "root"))
		_, err := s.svc.Delete(s.Context(), s.id("b"), coordinator.DeleteOptions{})
		s.wantName(s.wantFault("what others need", err, api.Conflict), "Cannot delete task: 1 tasks depend on this task: ["+s.id("root")+"]")
		_, err = s.svc.Delete(s.Context(), s.id("a"), coordinator.DeleteOptions{Alone: true})
		s.wantName(s.wantFault("alone", err, api.Conflict), "task has 1 children")
		got, err := s.svc.Delete(s.Context(), s.id("a"), coordinator.DeleteOptions{})
		if must(s, got, err).Tasks != 2 {
			s.Errorf("got %+v", got)
		}
		_, err = s.svc.Task(s.Context(), s.id("a1"))
		s.wantFault("what was deleted", err, api.NotFound)
		got, err = s.svc.Delete(s.Context(), s.id("b"), coordinator.DeleteOptions{Force: true})
		must(s, got, err)
		shown, err := s.svc.Task(s.Context(), s.id("root"))
		if shown = must(s, shown, err); shown.HasChildren || len(shown.Dependencies) != 0 {
			s.Errorf("got %+v", shown)
		}
		got, err = s.svc.Delete(s.Context(), s.id("root"), coordinator.DeleteOptions{})
		if must(s, got, err).Tasks != 1 {
			s.Errorf("got %+v", got)
		}
		id := s.start("done")
		s.backend.Complete(id, `{}`)
		_, err = s.svc.Delete(s.Context(), id, coordinator.DeleteOptions{})
		s.wantName(s.wantFault("what has completed", err, api.Conflict), "task status is 'completed' (must be 'pending')")
	},
	"tasks are added to a stored tree until one has started": func(s *site) {
		s.has("Add")
		s.submit(coordinator.SubmitOptions{Hold: true}, s.task("root", "", "a"), s.task("a", "root"))
		got, err := s.add("a", s.task("n", "", "a"), s.task("m", "n"))
		if got = must(s, got, err); got.Tasks != 2 || got.TreeID != s.id("root") {
			s.Errorf("got %+v", got)
		}
		shown, err := s.svc.Task(s.Context(), s.id("n"))
		if shown = must(s, shown, err); shown.ParentID != s.id("a") || !shown.HasChildren || len(shown.Dependencies) != 1 || shown.Dependencies[0].ID != s.id("a") {
			s.Errorf("got %+v", shown)
		}
		_, err = s.add("a", s.task("x", "", "nope"))
		s.wantName(s.wantFault("a dependency that is not there", err, api.Invalid), "which is not in the tasks array")
		if _, err := s.svc.Execute(s.Context(), s.id("root"), coordinator.ExecuteOptions{}); err != nil {
			s.Fatal(err)
		}
		s.backend.Start(s.id("a"))
		_, err = s.add("a", s.task("late", ""))
		s.wantFault("a tree that has started", err, api.Conflict)
		for _, name := range []string{"a", "n", "m", "root"} {
			s.backend.Complete(s.id(name), `{}`)
		}
	},
	"edits of what is not there": func(s *site) {
		s.has("Update", "Delete", "Add")
		_, err := s.svc.Update(s.Context(), s.id("nope"), coordinator.TaskChange{})
		s.wantFault("update", err, api.NotFound)
		_, err = s.svc.Delete(s.Context(), s.id("nope"), coordinator.DeleteOptions{})
		s.wantFault("delete", err, api.NotFound)
		_, err = s.add("nope", s.task("x", ""))
		s.wantFault("add", err, api.NotFound)
	},
}
