package coordinator

import (
	"context"
	"errors"
	"iter"

	"github.com/taskgrove/taskgrove/dag"
)

var errNotYet = errors.New("is being built")

// Add stores tasks below a stored one; see [Editor].
func (c *Coordinator) Add(context.Context, string, SubmitOptions, iter.Seq2[*dag.Task, error]) (*Submitted, error) {
	return nil, errNotYet
}

// Copy copies a task; see [Editor].
func (c *Coordinator) Copy(context.Context, string, CopyOptions) (*Copied, error) {
	return nil, errNotYet
}
