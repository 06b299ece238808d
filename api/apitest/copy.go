package apitest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// Copy copies a task with what belongs to it.
func (s *Service) Copy(ctx context.Context, id string, opts coordinator.CopyOptions) (*coordinator.Copied, error) {
	if err := opts.Check(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("Copy"); err != nil {
		return nil, err
	}
	t, ok := s.tasks[id]
	if !ok {
		return nil, fmt.Errorf("copy %s: %w", id, coordinator.ErrNotFound)
	}
	asked := fmt.Sprintf("copy %s %s %t %q %q", id, opts.Mode, opts.IncludeChildren, opts.TaskIDs, opts.ResetFields)
	if first, ok := s.byKey[opts.IdempotencyKey]; ok && opts.IdempotencyKey != "" {
		if first.document != asked {
			return nil, &coordinator.InvalidArgumentError{Field: "idempotency_key", Reason: "was used for something else"}
		}
		return s.copied(s.tasks[first.answer.TreeID].tree, true, opts), nil
	}
	plan, err := t.tree.planCopy(t, opts)
	if err != nil {
		return nil, err
	}
	originals := make([]*coordinator.Task, len(plan.Tasks))
	for n, i := range plan.Tasks {
		one := t.tree.tasks[i].Task
		one.Dependencies = slices.Clone(one.Dependencies)
		originals[n] = &one
	}
	copies := coordinator.CopiesOf(originals, plan, opts.ResetFields)
	if opts.Preview {
		coordinator.DistinctNames(copies)
		return &coordinator.Copied{TreeID: copies[0].ID, Tasks: copies}, nil
	}
	tr := s.storeCopy(t.tree, copies)
	if opts.IdempotencyKey != "" {
		s.byKey[opts.IdempotencyKey] = keyed{&coordinator.Submitted{TreeID: tr.status.ID}, asked}
	}
	return s.copied(tr, false, opts), nil
}

// planCopy asks dag what a copy holds. The caller holds mu.
func (tr *tree) planCopy(target *task, opts coordinator.CopyOptions) (plan dag.CopyPlan, err error) {
	place := map[string]int{}
	for i, t := range tr.tasks {
		place[t.ID] = i
	}
	nodes, deps := make([]dag.CopyNode, len(tr.tasks)), make([][]dag.Edge, len(tr.tasks))
	for i, t := range tr.tasks {
		nodes[i] = dag.CopyNode{State: t.State, Parent: -1}
		if t.ParentID != "" {
			nodes[i].Parent = int32(place[t.ParentID])
		}
		for _, d := range t.Dependencies {
			deps[i] = append(deps[i], dag.Edge{Task: int32(place[d.ID]), Required: d.Required})
		}
	}
	asked := dag.CopyRequest{Mode: map[coordinator.CopyMode]dag.CopyMode{coordinator.CopyFull: dag.CopyFull, coordinator.CopyCustom: dag.CopyCustom}[opts.Mode],
		Target: place[target.ID], Descendants: opts.IncludeChildren, Fresh: slices.Contains(opts.ResetFields, "status")}
	var missing []string
	if opts.Mode == coordinator.CopyCustom {
		for _, id := range slices.Compact(slices.Sorted(slices.Values(opts.TaskIDs))) {
			if i, ok := place[id]; ok {
				asked.Named = append(asked.Named, i)
			} else {
				missing = append(missing, id)
			}
		}
	}
	if err := coordinator.NotInTree(missing); err != nil {
		return plan, err
	}
	return dag.PlanCopy(nodes, func(i int) []dag.Edge { return deps[i] }, asked), nil
}

// storeCopy keeps a copy, and marks its originals. The caller holds mu.
func (s *Service) storeCopy(original *tree, copies []*coordinator.Task) *tree {
	at := time.Now()
	key := dag.TreeKey(len(s.trees) + 1)
	root := copies[0]
	tr := &tree{status: coordinator.TreeStatus{Key: key, ID: root.ID, Name: root.Name, UserID: root.UserID, CreatedAt: at, Labels: original.status.Labels}}
	root.Labels = original.status.Labels
	for i, one := range copies {
		s.tasks[one.OriginalID].HasCopy = true
		t := &task{tree: tr, Task: *one}
		t.Key, t.CreatedAt, t.UpdatedAt = key.Key(i), at, at
		if t.State == dag.Held {
			t.Attempt = 0
		}
		tr.tasks = append(tr.tasks, t)
		s.tasks[t.ID] = t
	}
	s.trees = append(s.trees, tr)
	return tr
}

// copied is the answer that shows a stored copy, which is started if that is asked for and it never was. The caller holds mu.
func (s *Service) copied(tr *tree, replayed bool, opts coordinator.CopyOptions) *coordinator.Copied {
	out := &coordinator.Copied{TreeID: tr.status.ID, Replayed: replayed}
	if opts.Execute != nil {
		out.Execution = &coordinator.Execution{TreeID: tr.status.ID, Outcome: coordinator.Started}
		if tr.status.Sequence == 0 {
			out.Execution.Tasks = s.execute(s.tasks[tr.status.ID], *opts.Execute)
		}
	}
	for _, t := range tr.tasks {
		shown := t.Task
		shown.Options = coordinator.TaskOptions{}
		out.Tasks = append(out.Tasks, &shown)
	}
	return out
}

// copying are the scenarios of copies.
var copying = map[string]func(*site){
	"a copy is a held tree of its own, and its originals say that they were copied": func(s *site) {
		s.has("Copy")
		s.pipeline()
		got := s.copy("load", coordinator.CopyOptions{})
		s.wantCopy(got, "root:pending fetch:completed load:pending mail:pending")
		root := got.Tasks[0]
		if root.ParentID != "" || got.TreeID != root.ID || root.OriginalID != s.id("root") || root.HasCopy || !root.HasChildren {
			s.Errorf("the root of the copy is %+v", root)
		}
		names := map[string]string{}
		for _, t := range got.Tasks {
			names[t.ID] = t.Name
			if shown, err := s.svc.Task(s.Context(), t.ID); must(s, shown, err).OriginalID != s.id(t.Name) {
				s.Errorf("%s shows the original %q", t.Name, shown.OriginalID)
			}
		}
		for _, t := range got.Tasks {
			for _, d := range t.Dependencies {
				if names[d.ID] == "" {
					s.Errorf("%s depends on %s, which is not in the copy", t.Name, d.ID)
				}
			}
			if t.Name == "fetch" && string(t.Result) != `{"n":7}` {
				s.Errorf("what is kept has the result %s", t.Result)
			}
		}
		for name, want := range map[string]bool{"root": true, "fetch": true, "other": false} {
			if t, err := s.svc.Task(s.Context(), s.id(name)); must(s, t, err).HasCopy != want {
				s.Errorf("%s: has a copy: %t, want %t", name, t.HasCopy, want)
			}
		}
	},
	"each mode takes what it says": func(s *site) {
		s.has("Copy")
		s.pipeline()
		for _, tt := range []struct {
			task string
			opts coordinator.CopyOptions
			want string
		}{
			{"other", coordinator.CopyOptions{}, "other:pending"},
			{"root", coordinator.CopyOptions{Mode: coordinator.CopyMinimal, Children: true}, "root:pending fetch:pending load:pending mail:pending other:pending odd:pending"},
			{"other", coordinator.CopyOptions{Mode: coordinator.CopyFull}, "root:pending fetch:completed load:completed mail:pending other:pending odd:failed"},
			{"other", coordinator.CopyOptions{Mode: coordinator.CopyFull, ResetFields: []string{"status"}}, "root:pending fetch:pending load:pending mail:pending other:pending odd:pending"},
			{"root", coordinator.CopyOptions{Mode: coordinator.CopyCustom, TaskIDs: []string{s.id("mail")}}, "root:pending fetch:pending load:pending mail:pending"},
			{"mail", coordinator.CopyOptions{Mode: coordinator.CopyCustom, TaskIDs: []string{s.id("root")}, IncludeChildren: true}, "root:pending fetch:pending load:pending mail:pending other:pending odd:pending"},
		} {
			for _, tt.opts.Preview = range []bool{true, false} {
				s.wantCopy(s.copy(tt.task, tt.opts), tt.want)
			}
		}
	},
	"a preview is fit to be submitted, and stores nothing": func(s *site) {
		s.has("Copy")
		root, a, b := s.task("root", ""), s.task("a", "root"), s.task("b", "root", "a")
		a.Name, b.Name = "same", "same"
		s.submit(coordinator.SubmitOptions{Hold: true}, root, a, b)
		got := s.copy("root", coordinator.CopyOptions{Preview: true})
		s.wantCopy(got, "root:pending same:pending same_1:pending")
		for _, t := range got.Tasks {
			_, err := s.svc.Task(s.Context(), t.ID)
			s.wantFault("a task of a preview", err, api.NotFound)
		}
		if t, err := s.svc.Task(s.Context(), s.id("a")); must(s, t, err).HasCopy {
			s.Error("a preview marks its originals")
		}
		var again []*dag.Task
		for _, t := range got.Tasks {
			one := &dag.Task{ID: t.ID, Name: t.Name, ParentRef: t.ParentID, Priority: t.Priority, Executor: HandExecutor}
			for _, d := range t.Dependencies {
				one.Dependencies = append(one.Dependencies, dag.Dependency{Ref: d.ID, Optional: !d.Required})
			}
			again = append(again, one)
		}
		if sub := s.submit(coordinator.SubmitOptions{Hold: true}, again...); sub.IDMap != nil || sub.TreeID != got.TreeID {
			s.Errorf("submitted, it is %+v", sub)
		}
	},
	"a copy that is executed at once runs, and a repeated one with its key is the same": func(s *site) {
		s.has("Copy")
		s.pipeline()
		opts := coordinator.CopyOptions{IdempotencyKey: s.id("key"), Execute: &coordinator.ExecuteOptions{}}
		first := s.copy("load", opts)
		if x := first.Execution; x == nil || x.Outcome != coordinator.Started || x.Tasks != 3 || first.Replayed {
			s.Fatalf("got %+v with the execution %+v", first, first.Execution)
		}
		again := s.copy("load", opts)
		if x := again.Execution; again.TreeID != first.TreeID || !again.Replayed || x == nil || x.Outcome != coordinator.Started {
			s.Errorf("a repeated copy got %+v with the execution %+v, want the tree %s", again, again.Execution, first.TreeID)
		}
		_, err := s.svc.Copy(s.Context(), s.id("mail"), coordinator.CopyOptions{IdempotencyKey: opts.IdempotencyKey})
		s.wantFault("another copy with the key", err, api.Invalid)
	},
	"copies of a task are listed": func(s *site) {
		s.has("Copy", "Tasks")
		s.submit(coordinator.SubmitOptions{Hold: true}, s.task("root", ""), s.task("a", "root"))
		var want []string
		for range 3 {
			want = append(want, s.copy("root", coordinator.CopyOptions{}).TreeID)
		}
		slices.Reverse(want)
		for _, rootOnly := range []bool{false, true} {
			if got := s.all(coordinator.TaskFilter{OriginalID: s.id("root"), RootOnly: rootOnly}); !slices.Equal(got, want) {
				s.Errorf("roots only %t: got %q, want %q", rootOnly, got, want)
			}
		}
		if got := s.all(coordinator.TaskFilter{OriginalID: s.id("a")}); len(got) != 3 {
			s.Errorf("of a child: got %q, want 3", got)
		}
		if got := s.all(coordinator.TaskFilter{OriginalID: s.id("nope")}); len(got) != 0 {
			s.Errorf("of a task that is not there: got %q", got)
		}
	},
	"what can't be copied is refused": func(s *site) {
		s.has("Copy")
		s.submit(coordinator.SubmitOptions{Hold: true}, s.task("root", ""))
		s.submit(coordinator.SubmitOptions{Hold: true}, s.task("stranger", ""))
		_, err := s.svc.Copy(s.Context(), s.id("nope"), coordinator.CopyOptions{})
		s.wantFault("no task", err, api.NotFound)
		for _, tt := range []struct {
			want string
			opts coordinator.CopyOptions
		}{
			{"custom_task_ids is required when copy_mode='custom'", coordinator.CopyOptions{Mode: coordinator.CopyCustom}},
			{"Task IDs not found in tree: {'" + s.id("nope") + "', '" + s.id("stranger") + "'}", coordinator.CopyOptions{Mode: coordinator.CopyCustom, TaskIDs: []string{s.id("stranger"), s.id("root"), s.id("nope")}}},
			{"copy_mode", coordinator.CopyOptions{Mode: "most"}},
			{"reset_fields", coordinator.CopyOptions{ResetFields: []string{"name"}}},
		} {
			_, err := s.svc.Copy(s.Context(), s.id("root"), tt.opts)
			if f := s.wantFault(tt.want, err, api.Invalid); !strings.Contains(f.Text, tt.want) {
				s.Errorf("got %q, want %q", f.Text, tt.want)
			}
		}
	},
	"a tree of tasks that must be there is made anew of them, or refused": func(s *site) {
		s.has("require existing")
		s.submit(coordinator.SubmitOptions{Hold: true}, s.task("root", ""), s.task("a", "root"))
		opts := coordinator.SubmitOptions{Hold: true, RequireExisting: true}
		if got := s.submit(opts, s.task("root", ""), s.task("a", "root")); len(got.IDMap) != 2 {
			s.Errorf("got %+v, want new ids", got)
		}
		_, err := s.trySubmit(opts, s.task("root", ""), s.task("b", "root"))
		if f := s.wantFault("a task that is not there", err, api.Invalid); !strings.Contains(f.Text, "Task "+s.id("b")+" not found in database") {
			s.Errorf("got %q", f.Text)
		}
	},
	"labels go along in a copy": func(s *site) {
		s.has("Copy", "labels")
		root := s.task("root", "")
		root.Labels = map[string]string{"team": s.id("team")}
		s.submit(coordinator.SubmitOptions{Hold: true}, root, s.task("a", "root"))
		got := s.copy("a", coordinator.CopyOptions{})
		if t, err := s.svc.Task(s.Context(), got.TreeID); must(s, t, err).Labels["team"] != s.id("team") {
			s.Errorf("the copy has the labels %v", t.Labels)
		}
	},
}

// pipeline is a tree that has run: root after load and mail; load after fetch, mail after load; mail failed, and so root can't run; other and odd have
// nothing to do with them: one completed, one failed.
func (s *site) pipeline() {
	s.Helper()
	s.submit(coordinator.SubmitOptions{}, s.task("root", "", "load", "mail"), s.task("fetch", "root"), s.task("load", "root", "fetch"),
		s.task("mail", "root", "load"), s.task("other", "root"), s.task("odd", "root"))
	for _, end := range []struct{ name, result string }{{"fetch", `{"n":7}`}, {"load", `{}`}, {"mail", ""}, {"other", `{}`}, {"odd", ""}} {
		s.backend.Start(s.id(end.name))
		if end.result == "" {
			s.backend.Fail(s.id(end.name), "no luck")
		} else {
			s.backend.Complete(s.id(end.name), end.result)
		}
	}
}

// copy copies a task by its name.
func (s *site) copy(name string, opts coordinator.CopyOptions) *coordinator.Copied {
	s.Helper()
	got, err := s.svc.Copy(s.Context(), s.id(name), opts)
	return must(s, got, err)
}

// wantCopy checks the tasks of a copy: "name:status" of each, parents first.
func (s *site) wantCopy(got *coordinator.Copied, want string) {
	s.Helper()
	var shown []string
	for _, t := range got.Tasks {
		shown = append(shown, t.Name+":"+string(t.State.Status()))
	}
	if text := strings.Join(shown, " "); text != want {
		s.Errorf("got %s, want %s", text, want)
	}
}
