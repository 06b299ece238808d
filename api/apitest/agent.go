package apitest

import (
	"context"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
)

// KeepAgentTask keeps a task of the A2A protocol.
func (s *Service) KeepAgentTask(_ context.Context, t coordinator.AgentTask) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("KeepAgentTask"); err != nil {
		return err
	}
	if err := t.Validate(); err != nil {
		return err
	}
	if s.tasks[t.TaskID] == nil {
		return coordinator.ErrNotFound
	}
	t.KeptAt = time.Now()
	s.agents = append(s.agents, t)
	return nil
}

// DropAgentTask forgets it.
func (s *Service) DropAgentTask(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.agents {
		if s.agents[i].ID == id {
			s.agents = append(s.agents[:i:i], s.agents[i+1:]...)
			break
		}
	}
	return nil
}

// AgentTask shows it.
func (s *Service) AgentTask(_ context.Context, id string) (*coordinator.AgentTask, error) {
	return s.agent(func(t *coordinator.AgentTask) bool { return t.ID == id })
}

// AgentTaskOf shows the newest of a tree.
func (s *Service) AgentTaskOf(_ context.Context, taskID string) (*coordinator.AgentTask, error) {
	return s.agent(func(t *coordinator.AgentTask) bool {
		task := s.tasks[taskID]
		return task != nil && s.tasks[t.TaskID].tree == task.tree
	})
}

func (s *Service) agent(is func(*coordinator.AgentTask) bool) (*coordinator.AgentTask, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("AgentTask"); err != nil {
		return nil, err
	}
	for i := len(s.agents) - 1; i >= 0; i-- {
		if is(&s.agents[i]) {
			return s.shownAgent(s.agents[i]), nil
		}
	}
	return nil, coordinator.ErrNotFound
}

// shownAgent is one with its tree. The caller holds mu.
func (s *Service) shownAgent(t coordinator.AgentTask) *coordinator.AgentTask {
	status := s.tasks[t.TaskID].tree.status
	t.Tree = &status
	return &t
}

// AgentTasks lists them, newest first, in one page.
func (s *Service) AgentTasks(_ context.Context, f coordinator.AgentTaskFilter) (*coordinator.AgentTasks, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	page := &coordinator.AgentTasks{}
	for i := len(s.agents) - 1; i >= 0; i-- {
		t := s.shownAgent(s.agents[i])
		if f.Context != "" && t.Context != f.Context || f.UserID != "" && t.Tree.UserID != f.UserID {
			continue
		}
		page.Total++
		if f.Status == "" || t.Tree.ExecutionStatus() == f.Status {
			page.Items = append(page.Items, t)
		}
	}
	return page, nil
}
