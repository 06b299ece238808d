package coordinator

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

// checked are tasks on their way, with all that can be seen of each alone.
func (c *Coordinator) checked(ctx context.Context, tasks iter.Seq2[*dag.Task, error]) iter.Seq2[*dag.Task, error] {
	return c.checkPools(c.checkConditions(c.checkInputs(ctx, c.renderTrees(tasks))))
}

// renderTrees makes the protocol's form of trees that inputs of maps and subtrees have in the form of tree files. It is stored so: nobody reads the
// other form later.
func (c *Coordinator) renderTrees(tasks iter.Seq2[*dag.Task, error]) iter.Seq2[*dag.Task, error] {
	return func(yield func(*dag.Task, error) bool) {
		index := 0
		for t, err := range tasks {
			if err == nil && (t.Executor == dag.SubtreeExecutor || t.Executor == dag.MapExecutor) {
				c.renderTreesOf(index, t)
			}
			index++
			if !yield(t, err) {
				return
			}
		}
	}
}

func (c *Coordinator) renderTreesOf(index int, t *dag.Task) {
	rendered, was, err := treefile.Inputs(t.Executor, t.Inputs, c.cfg.Known)
	refused, faulty := errors.AsType[*treefile.Error](err)
	switch {
	case faulty:
		for _, f := range refused.Faults {
			t.Faults = append(t.Faults, &dag.InvalidTaskError{Code: dag.InvalidField, Index: index, Task: t.ID, Field: f.Path, Reason: fmt.Sprintf("tasks[%d].%s", index, f.Text)})
		}
	case was:
		t.Inputs = rendered
	}
}

// renderTree makes the protocol's form of a tree that a task submits, if it is a tree file, as a text or an object.
func (c *Coordinator) renderTree(tree []byte) ([]byte, error) {
	if len(tree) == 0 || tree[0] != '"' && !treefile.Names(tree) {
		return tree, nil
	}
	f, err := treefile.Within(tree, "tree", c.cfg.Known)
	if refused, ok := errors.AsType[*treefile.Error](err); ok {
		bad := &dag.InvalidTreeError{More: refused.More}
		for _, f := range refused.Faults {
			bad.Problems = append(bad.Problems, &dag.InvalidTaskError{Code: dag.InvalidField, Index: -1, Field: f.Path, Reason: strings.TrimPrefix(f.Text, f.Path+": ")})
		}
		return nil, bad
	}
	if err != nil {
		return nil, err
	}
	return f.JSON, nil
}
