package apitest

import (
	"context"
	"errors"
	"iter"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

var errNotYet = errors.New("is being built")

// Update changes fields of a stored task.
func (s *Service) Update(context.Context, string, coordinator.TaskChange) (*coordinator.Task, error) {
	return nil, errNotYet
}

// Delete deletes a task and all below it.
func (s *Service) Delete(context.Context, string, coordinator.DeleteOptions) (*coordinator.Deletion, error) {
	return nil, errNotYet
}

// Add stores tasks below a stored one.
func (s *Service) Add(context.Context, string, coordinator.SubmitOptions, iter.Seq2[*dag.Task, error]) (*coordinator.Submitted, error) {
	return nil, errNotYet
}
