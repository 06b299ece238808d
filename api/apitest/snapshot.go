package apitest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag/columns"
)

// Snapshot yields a tree whole.
func (s *Service) Snapshot(_ context.Context, id string, opts coordinator.SnapshotOptions) iter.Seq2[*coordinator.SnapshotPart, error] {
	return func(yield func(*coordinator.SnapshotPart, error) bool) {
		parts, err := s.snapshot(id, opts)
		if err != nil {
			yield(nil, err)
			return
		}
		for _, p := range parts {
			if !yield(p, nil) {
				return
			}
		}
	}
}

func (s *Service) snapshot(id string, opts coordinator.SnapshotOptions) ([]*coordinator.SnapshotPart, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("Snapshot"); err != nil {
		return nil, err
	}
	t, ok := s.tasks[id]
	if !ok {
		return nil, fmt.Errorf("snapshot of %s: %w", id, coordinator.ErrNotFound)
	}
	places := map[string]int{}
	for i, t := range t.tree.tasks {
		places[t.ID] = i + 1
	}
	status := *t.tree.show()
	w := columns.NewWriter(status.CreatedAt)
	for i, t := range t.tree.tasks {
		if len(opts.Only) > 0 && !slices.Contains(opts.Only, i+1) {
			continue
		}
		one := &columns.Task{Place: i + 1, Name: t.Name, Parent: places[t.ParentID], State: t.State, Executor: t.Executor, Pool: t.Pool, Attempt: t.Attempt,
			ReadyAt: t.ReadyAt, StartedAt: t.StartedAt, CompletedAt: t.CompletedAt}
		if opts.IDs {
			one.ID = t.ID
		}
		for _, d := range t.Dependencies {
			one.Dependencies = append(one.Dependencies, columns.Dependency{Place: places[d.ID], Required: d.Required})
		}
		w.Add(one)
	}
	return []*coordinator.SnapshotPart{{Tree: &status, Part: &columns.Part{}}, {Part: w.Cut()}}, nil
}

var snapshots = map[string]func(*site){
	"a dry run says what would start, and starts nothing": func(s *site) {
		s.has("Execute", "Snapshot")
		s.submit(coordinator.SubmitOptions{Hold: true}, s.task("root", "", "a"), s.task("a", "root"))
		for range 2 { // it has changed nothing
			got, err := s.svc.Execute(s.Context(), s.id("root"), coordinator.ExecuteOptions{DryRun: true})
			got = must(s, got, err)
			if got.Outcome != coordinator.Planned || got.Tasks != 2 || len(got.Planned) != 2 || got.Planned[1].ID != s.id("a") || got.Planned[1].Name == "" || got.TreeID != s.id("root") {
				s.Errorf("held: got %+v", got)
			}
		}
		_, err := s.svc.Execute(s.Context(), s.id("root"), coordinator.ExecuteOptions{})
		must(s, 0, err)
		if got, err := s.svc.Execute(s.Context(), s.id("root"), coordinator.ExecuteOptions{DryRun: true}); err != nil || got.Outcome != coordinator.AlreadyRunning || len(got.Planned) > 0 {
			s.Errorf("it runs: got %+v, %v", got, err)
		}
		s.backend.Start(s.id("a"))
		s.backend.Complete(s.id("a"), "1")
		s.backend.Start(s.id("root"))
		s.backend.Fail(s.id("root"), "The DISK is full")
		got, err := s.svc.Execute(s.Context(), s.id("root"), coordinator.ExecuteOptions{DryRun: true})
		got = must(s, got, err)
		if got.Outcome != coordinator.Planned || len(got.Planned) != 1 || got.Planned[0].ID != s.id("root") {
			s.Errorf("failed: got %+v", got)
		}
		list := func(f coordinator.TaskFilter) (ids []string) {
			f.TreeOf = s.id("root")
			page, err := s.svc.Tasks(s.Context(), f)
			for _, t := range must(s, page, err).Items {
				ids = append(ids, t.ID)
			}
			return ids
		}
		if got := list(coordinator.TaskFilter{Error: "disk"}); !slices.Equal(got, []string{s.id("root")}) {
			s.Errorf("by their errors: got %q", got)
		}
		if got := list(coordinator.TaskFilter{Error: "disc"}); len(got) > 0 {
			s.Errorf("by other errors: got %q", got)
		}
		if got := list(coordinator.TaskFilter{Places: []int{2, 7, 2}}); !slices.Equal(got, []string{s.id("a")}) {
			s.Errorf("by places: got %q", got)
		}
		for field, f := range map[string]coordinator.TaskFilter{"places": {Places: []int{0}, TreeOf: s.id("root")}, "error": {Error: "x"}} {
			_, err := s.svc.Tasks(s.Context(), f)
			if invalid, ok := errors.AsType[*coordinator.InvalidArgumentError](err); err == nil || ok && invalid.Field != field {
				s.Errorf("%s: got %v", field, err)
			}
		}
	},
	"a snapshot has each task as it is, and where events go on": func(s *site) {
		s.has("Snapshot")
		s.submit(coordinator.SubmitOptions{Hold: true}, s.task("root", "", "a"), s.task("a", "root"))
		_, err := s.svc.Execute(s.Context(), s.id("root"), coordinator.ExecuteOptions{})
		must(s, 0, err)
		s.backend.Start(s.id("a"))
		for _, ids := range []bool{false, true} {
			var tree *coordinator.TreeStatus
			var got []columns.Task
			var r *columns.Reader
			for p, err := range s.svc.Snapshot(s.Context(), s.id("a"), coordinator.SnapshotOptions{IDs: ids}) {
				p = must(s, p, err)
				if p.Tree != nil {
					tree, r = p.Tree, columns.NewReader(p.Tree.CreatedAt)
				}
				tasks, err := r.Read(p.Part)
				got = append(got, must(s, tasks, err)...)
			}
			if tree == nil || tree.ID != s.id("root") || tree.Sequence != 2 || len(got) != 2 {
				s.Fatalf("got %+v, %+v", tree, got)
			}
			for _, t := range got {
				id := s.id(t.Name)
				if ids {
					id = t.ID
				}
				want, err := s.svc.Task(s.Context(), id)
				want = must(s, want, err)
				if t.State != want.State || t.Executor != want.Executor || t.Pool != want.Pool || t.Attempt != want.Attempt || t.StartedAt.UnixMilli() != want.StartedAt.UnixMilli() ||
					len(t.Dependencies) != len(want.Dependencies) || (t.Parent == 0) != (want.ParentID == "") || ids != (t.ID != "") || want.Name != t.Name {
					s.Errorf("got %+v, want %+v", t, want)
				}
			}
		}
		parts := 0
		for p, err := range s.svc.Snapshot(s.Context(), s.id("root"), coordinator.SnapshotOptions{IDs: true, Only: []int{2, 2}}) {
			if p = must(s, p, err); p.Tasks > 0 && (p.Tasks != 1 || p.IDs[0] != s.id("a")) {
				s.Errorf("of the second place alone: got %d tasks, %v", p.Tasks, p.IDs)
			}
			parts += p.Tasks
		}
		if parts != 1 {
			s.Errorf("of the second place alone: got %d tasks", parts)
		}
	},
}
