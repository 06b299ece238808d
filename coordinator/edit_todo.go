package coordinator

import (
	"context"
	"errors"
	"iter"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
)

// Error joins the reasons (spec 2.4).
func (e *DeleteError) Error() string { return "Cannot delete task: " + strings.Join(e.Reasons, "; ") }

// Unwrap makes it an [ErrConflict].
func (e *DeleteError) Unwrap() error { return ErrConflict }

var errNotYet = errors.New("is being built")

// Update changes fields of a stored task; see [Editor].
func (c *Coordinator) Update(context.Context, string, TaskChange) (*Task, error) {
	return nil, errNotYet
}

// Delete deletes a task; see [Editor].
func (c *Coordinator) Delete(context.Context, string, DeleteOptions) (*Deletion, error) {
	return nil, errNotYet
}

// Add stores tasks below a stored one; see [Editor].
func (c *Coordinator) Add(context.Context, string, SubmitOptions, iter.Seq2[*dag.Task, error]) (*Submitted, error) {
	return nil, errNotYet
}

// Copy copies a task; see [Editor].
func (c *Coordinator) Copy(context.Context, string, CopyOptions) (*Copied, error) {
	return nil, errNotYet
}
