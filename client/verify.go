package client

import (
	"context"
	"errors"
	"io"
	"iter"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// Violation is a rule that the stored data breaks.
type Violation struct {
	Kind   string // as in the metric taskgrove_invariant_violations_total; docs/reliability.md lists them
	TreeID string // empty: not of one tree
	TaskID string // empty: not of one task
	Text   string // what is stored, and what the rule demands
}

// Verify makes the cluster check what it stores against its rules, for the tree of a task or, if treeOf is empty, for all trees,
// and yields each violation. It ends after an error. If it yields nothing, nothing was found. [ErrNotFound].
func (c *Client) Verify(ctx context.Context, treeOf string) iter.Seq2[*Violation, error] {
	return func(yield func(*Violation, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // ends the stream
		stream, err := c.rpc.Verify(ctx, &pb.VerifyRequest{TreeId: treeOf})
		for err == nil {
			var got *pb.Violation
			if got, err = stream.Recv(); err == nil && !yield(&Violation{Kind: got.Kind, TreeID: got.TreeId, TaskID: got.TaskId, Text: got.Text}, nil) {
				return
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(nil, wrap(ctx, err, "verify"))
		}
	}
}
