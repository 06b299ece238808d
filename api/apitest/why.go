package apitest

import (
	"context"
	"fmt"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// Explain sets the answer of Why for a task.
func (s *Service) Explain(taskID string, waits ...coordinator.Wait) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waits == nil {
		s.waits = map[string][]coordinator.Wait{}
	}
	s.waits[taskID] = waits
}

// Why gives what Explain has set; else what follows from the state: held tasks wait for a user's word.
func (s *Service) Why(_ context.Context, taskID string) (*coordinator.Explanation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("Why"); err != nil {
		return nil, err
	}
	t, ok := s.tasks[taskID]
	if !ok {
		return nil, fmt.Errorf("why %s: %w", taskID, coordinator.ErrNotFound)
	}
	out := &coordinator.Explanation{TaskID: t.ID, TreeID: t.TreeID, Name: t.Name, State: t.State, Summary: t.State.String(), Waits: s.waits[taskID]}
	if out.Waits == nil && t.State == dag.Held {
		out.Waits = []coordinator.Wait{{Kind: coordinator.WaitExecute, Text: "a user's execute"}}
	}
	return out, nil
}
