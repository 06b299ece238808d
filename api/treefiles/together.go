package treefiles

import (
	"errors"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// Faults are what is wrong with a tree before the service has it, as faults of the tree, so that they are told among those of others. Other errors stay
// as they are.
func Faults(err error) error {
	f, ok := errors.AsType[*api.Fault](err)
	if !ok || f.Kind != api.Invalid {
		return err
	}
	tree := &dag.InvalidTreeError{More: f.More, Problems: f.Problems}
	add := func(field, text string) {
		tree.Problems = append(tree.Problems, &dag.InvalidTaskError{Code: dag.InvalidField, Index: -1, Field: field, Reason: text})
	}
	for _, p := range f.Parameters {
		add(p.Field, p.Text)
	}
	if len(tree.Problems) == 0 {
		add(f.Field, f.Text)
	}
	return tree
}

// Together says of the faults of trees that were submitted together where they stand: each begins with its tree, "trees[2]", and goes on in the file that
// the tree was made of; nil: none. Other errors stay as they are.
func Together(err error, file func(tree int) *File) error {
	bad, ok := errors.AsType[*coordinator.TreesError](err)
	if !ok {
		_, tree := errors.AsType[*dag.InvalidTreeError](err)
		_, task := errors.AsType[*dag.InvalidTaskError](err)
		if !tree && !task {
			return err
		}
		bad = &coordinator.TreesError{Faults: []coordinator.TreeFault{{Err: err}}} // it was one alone
	}
	return bad.Problems(func(tree int, err error) error {
		if f := file(tree); f != nil {
			return f.Explain(err)
		}
		return err
	})
}
