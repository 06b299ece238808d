package apitest

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// show is the tree's aggregate. The caller holds mu.
func (tr *tree) show() *coordinator.TreeStatus {
	out := tr.status
	out.Tasks = len(tr.tasks)
	leaves, done := 0, 0.0
	for _, t := range tr.tasks {
		switch t.State {
		case dag.Held:
			out.Held++
		case dag.Running:
			out.Running++
		case dag.Completed, dag.Skipped:
			out.Completed++
		case dag.Failed:
			out.Failed++
		case dag.Cancelled:
			out.Cancelled++
		case dag.Blocked:
			out.Blocked++
		}
		if t.State.Unfinished() {
			out.Unfinished++
		}
		if !t.HasChildren {
			leaves++
			done += t.Progress
		}
	}
	out.Progress = done / float64(leaves)
	out.Usage = coordinator.UsageOf(tr.used(), true)
	out.OnlyOptionalFailed = out.Failed > 0 && out.Completed+out.Failed == out.Tasks && !slices.ContainsFunc(tr.tasks, tr.requires)
	switch {
	case out.Failed > 0:
		out.Status = dag.StatusFailed
	case out.Cancelled > 0:
		out.Status = dag.StatusCancelled
	case out.Completed == out.Tasks:
		out.Status = dag.StatusCompleted
	case out.Unfinished > 0 && out.Running+out.Completed > 0:
		out.Status = dag.StatusInProgress
	default:
		out.Status = dag.StatusPending
	}
	return &out
}

// add records an event and wakes those who watch. The caller holds mu.
func (s *Service) add(tr *tree, e coordinator.Event) {
	tr.status.Sequence++
	e.Sequence, e.TreeID, e.At = tr.status.Sequence, tr.status.ID, time.Now()
	if e.TaskID == "" {
		e.TaskID = tr.status.ID
	}
	e.Progress = tr.show().Progress
	e.TreeProgress = e.Progress
	tr.events = append(tr.events, &e)
	close(s.changed)
	s.changed = make(chan struct{})
}

// settle changes a task and says so. The caller holds mu.
func (s *Service) settle(t *task, state dag.State, e coordinator.Event) {
	t.State, t.UpdatedAt = state, time.Now()
	switch state {
	case dag.Running:
		t.StartedAt = t.UpdatedAt
	case dag.Completed, dag.Skipped:
		t.Progress = 1
		fallthrough
	default:
		t.CompletedAt = t.UpdatedAt
		t.spend(&e)
	}
	e.TaskID, e.Name, e.Status, e.Attempt = t.ID, t.Name, state.Status(), t.Attempt
	s.add(t.tree, e)
	if shown := t.tree.show(); shown.Unfinished == 0 {
		t.tree.status.FinishedAt = time.Now()
		shown.FinishedAt = t.tree.status.FinishedAt
		s.add(t.tree, coordinator.Event{Type: coordinator.EventFinal, Status: shown.ExecutionStatus(), Tree: shown, Usage: shown.Usage})
	}
}

// must is the task of the id.
func (s *Service) must(id string) *task {
	t, ok := s.tasks[id]
	if !ok {
		panic("servicetest: no task " + id)
	}
	return t
}

// Start makes a task running, as a worker's claim does. It panics when there is no such task, as do the next two.
func (s *Service) Start(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.must(id).Worker = "w1"
	s.settle(s.must(id), dag.Running, coordinator.Event{Type: coordinator.EventStart})
}

// Tell lets the attempt of a task that runs tell pieces to those who watch.
func (s *Service) Tell(id string, pieces ...coordinator.Piece) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.must(id)
	t.tree.told = append(t.tree.told, &coordinator.Event{Type: coordinator.EventProgress, TreeID: t.tree.status.ID, TaskID: id, Name: t.Name,
		Status: dag.StatusInProgress, Attempt: t.Attempt, At: time.Now(), Pieces: pieces})
	close(s.changed)
	s.changed = make(chan struct{})
}

// Complete gives a task its result, which is JSON.
func (s *Service) Complete(id, result string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.must(id)
	t.Result = json.RawMessage(result)
	s.settle(t, dag.Completed, coordinator.Event{Type: coordinator.EventCompleted, Result: t.Result})
}

// Fail makes a task fail.
func (s *Service) Fail(id, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.must(id)
	t.Error = text
	s.settle(t, dag.Failed, coordinator.Event{Type: coordinator.EventFailed, Error: text})
}

// HandBack makes a task ready again whose attempt never began: its worker gave it back.
func (s *Service) HandBack(id, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.must(id)
	t.returned = append(t.returned, coordinator.Attempt{Number: t.Attempt, Outcome: dag.OutcomeReturned, Worker: "w1", Error: why, FinishedAt: time.Now()})
	s.settle(t, dag.Ready, coordinator.Event{Type: coordinator.EventRetry, Error: why})
	t.Attempt++
	t.StartedAt, t.CompletedAt = time.Time{}, time.Time{}
}

// Log adds a line to what a task's executor wrote.
func (s *Service) Log(id, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.must(id)
	t.lines = append(t.lines, &coordinator.LogLine{
		TaskID: t.ID, Name: t.Name, Attempt: t.Attempt, Number: int64(len(t.lines)) + 1, Stream: "stdout", Text: text, At: time.Now(),
	})
}

// Skip ends a task that has not begun.
func (s *Service) Skip(_ context.Context, id string) (*coordinator.Task, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("Skip"); err != nil {
		return nil, err
	}
	t, ok := s.tasks[id]
	if !ok {
		return nil, fmt.Errorf("skip %s: %w", id, coordinator.ErrNotFound)
	}
	if t.State == dag.Running || t.State == dag.Held || t.State.Settled() || t.Attempt > 1 {
		return nil, &coordinator.SkipError{TaskID: id, State: t.State}
	}
	t.Result = dag.SkippedResult(dag.SkipUser, nil)
	s.settle(t, dag.Skipped, coordinator.Event{Type: coordinator.EventSkipped, Result: t.Result})
	shown := t.Task
	return &shown, nil
}

// Cancel cancels a task, and the rest of the tree with a root.
func (s *Service) Cancel(_ context.Context, id string, opts coordinator.CancelOptions) (*coordinator.Cancellation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("Cancel"); err != nil {
		return nil, err
	}
	t, ok := s.tasks[id]
	if !ok {
		return nil, fmt.Errorf("cancel %s: %w", id, coordinator.ErrNotFound)
	}
	if t.State >= dag.Completed {
		return &coordinator.Cancellation{Outcome: coordinator.AlreadyEnded, Status: t.State.Status()}, nil
	}
	reason := opts.Reason
	if reason == "" {
		reason = coordinator.DefaultCancelReason
	}
	all := []*task{t}
	if cascade := opts.Cascade; cascade == nil && t.ParentID == "" || cascade != nil && *cascade {
		all = t.tree.tasks
	}
	for _, t := range all {
		if t.State < dag.Completed {
			t.Error = reason
			s.settle(t, dag.Cancelled, coordinator.Event{Type: coordinator.EventCancelled, Error: reason})
		}
	}
	return &coordinator.Cancellation{Outcome: coordinator.Cancelled, Reason: reason}, nil
}

// Watch yields events of the current execution.
func (s *Service) Watch(ctx context.Context, id string, after int64) iter.Seq2[*coordinator.Event, error] {
	return func(yield func(*coordinator.Event, error) bool) {
		told := 0 // of what is told live
		for first := true; ; first = false {
			s.mu.Lock()
			t, ok := s.tasks[id]
			if first {
				if err := s.fault("Watch"); err != nil {
					s.mu.Unlock()
					yield(nil, err)
					return
				}
			}
			if !ok {
				s.mu.Unlock()
				yield(nil, fmt.Errorf("watch %s: %w", id, coordinator.ErrNotFound))
				return
			}
			after = max(after, t.tree.begun)
			events := t.tree.events[min(after, int64(len(t.tree.events))):]
			over := t.tree.show().Unfinished == 0 && len(t.tree.events) > 0
			changed := s.changed
			if first {
				told = len(t.tree.told)
			}
			live := t.tree.told[told:]
			told = len(t.tree.told)
			s.mu.Unlock()
			for _, e := range live {
				if !yield(e, nil) {
					return
				}
			}
			for _, e := range events {
				after = e.Sequence
				if !yield(e, nil) || e.Type == coordinator.EventFinal {
					return
				}
			}
			if over {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				yield(nil, ctx.Err())
				return
			}
		}
	}
}

// requires reports whether the task failed and was not only optional to others.
func (tr *tree) requires(t *task) bool {
	if t.State != dag.Failed {
		return false
	}
	wanted := false
	for _, other := range tr.tasks {
		for _, d := range other.Dependencies {
			if d.ID == t.ID {
				if d.Required {
					return true
				}
				wanted = true
			}
		}
	}
	return !wanted
}
