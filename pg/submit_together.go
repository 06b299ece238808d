package pg

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/taskgrove/taskgrove/dag"
)

// TreesError is what is wrong with trees that were to be stored together, of which none is. Its errors are those of [Store.Submit].
type TreesError struct {
	Errs []error // by tree; nil: nothing is wrong with it
}

// Error names the first of them.
func (e *TreesError) Error() string {
	i := slices.IndexFunc(e.Errs, func(err error) bool { return err != nil })
	return fmt.Sprintf("tree %d: %v", i, e.Errs[i])
}

// SubmitTogether validates trees of a namespace and stores them in one transaction: all, or none. Each is read whole first. One whose idempotency key is
// known is answered as it was the first time, beside the others. Errors: *[TreesError] of all that is wrong with trees, and what [Store.Submit]
// says where no tree is at fault.
func (s *Store) SubmitTogether(ctx context.Context, namespace dag.NamespaceKey, subs []Submission) ([]*Submitted, error) {
	for i := range subs {
		subs[i].namespace = namespace
	}
	out, err := s.submissions.submitTogether(ctx, subs)
	return out, quotaRefusal(err)
}

func (s *submissions) submitTogether(ctx context.Context, subs []Submission) ([]*Submitted, error) {
	trees := make([]*batchedTree, len(subs))
	bad := &TreesError{Errs: make([]error, len(subs))}
	faulty := false
	for i, sub := range subs {
		t, err := s.readWhole(ctx, sub)
		switch {
		case err == nil:
			t.together, trees[i] = true, t
		case ofTree(err):
			bad.Errs[i], faulty = err, true
		default:
			return nil, err
		}
	}
	if sameKeys(trees, bad) || faulty {
		return nil, bad
	}
	if err := s.storeTogether(ctx, trees); err != nil {
		return nil, err
	}
	out := make([]*Submitted, len(trees))
	for i, t := range trees {
		out[i] = t.out
	}
	return out, nil
}

// readWhole validates a tree of any size, which is in memory then.
func (s *submissions) readWhole(ctx context.Context, sub Submission) (*batchedTree, error) {
	in := newIntake(&sub)
	var tasks []*dag.Task
	for t, err := range sub.Tasks {
		if err != nil {
			return nil, err
		}
		t = cloneTask(t)
		tasks = append(tasks, t)
		if _, err := in.add(t); err != nil {
			return nil, err
		}
	}
	tree, err := s.stage(ctx, sub, in)
	if err != nil {
		return nil, err
	}
	return newBatchedTree(tree, tasks), nil
}

// ofTree reports whether an error says what is wrong with a tree.
func ofTree(err error) bool {
	_, tree := errors.AsType[*dag.InvalidTreeError](err)
	_, task := errors.AsType[*dag.InvalidTaskError](err)
	_, pools := errors.AsType[*PoolLimitError](err)
	return tree || task || pools
}

// storeTogether stores the trees. What another process has taken meanwhile, an id, a key or a pool, has it look again.
func (s *submissions) storeTogether(ctx context.Context, trees []*batchedTree) error {
	for tries := 0; ; tries++ {
		err := retry(ctx, func() error {
			ctx, cancel := s.deadline(ctx)
			defer cancel()
			return s.storeTrees(ctx, trees, 0)
		})
		closed := errors.Is(err, errPoolClosed)
		if err == nil || tries == maxRetries || !closed && !isUnique(err, "spec_id") && !isUnique(err, "submission_pkey") {
			return levelRefusal(err, trees[0].sub.Levels, levelOf(trees))
		}
		for _, t := range trees {
			if closed {
				if err := s.reopenPools(ctx, t.stagedTree); err != nil {
					return err
				}
			}
		}
	}
}

// sameKeys tells which trees ask for the key of one before them ([dag.Unique]).
func sameKeys(trees []*batchedTree, bad *TreesError) (faulty bool) {
	type owned struct{ user, key string }
	seen := map[owned]bool{}
	for i, t := range trees {
		if t == nil || t.in.unique == nil {
			continue
		}
		k := owned{t.g.UserID, t.in.unique.Key}
		if seen[k] {
			root := int(t.g.Root)
			bad.Errs[i], faulty = &dag.InvalidTreeError{Problems: []*dag.InvalidTaskError{{Code: dag.InvalidField, Index: root, Task: t.g.IDs[root], Field: "unique.key",
				Reason: fmt.Sprintf("tasks[%d].unique.key: another tree of this submission asks for it", root)}}}, true
		}
		seen[k] = true
	}
	return faulty
}

// refusedTogether is the error of trees that are stored together, one of which is answered with an error already; nil: none is. Its transaction is to be
// rolled back.
func refusedTogether(trees []*batchedTree) error {
	bad := &TreesError{Errs: make([]error, len(trees))}
	faulty := false
	for i, t := range trees {
		if !t.together {
			continue
		}
		if taken, is := errors.AsType[*KeyTakenError](t.err); is { // no fault of the tree
			return taken
		}
		if errors.Is(t.err, ErrDigest) {
			bad.Errs[i], faulty = t.err, true
		}
	}
	if !faulty {
		return nil
	}
	return bad
}
