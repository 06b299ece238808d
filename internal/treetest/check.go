package treetest

import (
	"errors"
	"fmt"
	"math"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

// checked is a document of a tree that was looked at as a submission is.
type checked struct {
	graph  *dag.Graph
	tasks  []*dag.Task
	faults []*dag.InvalidTaskError
	more   int
}

// limits are those of trees here: what a cluster's are, its operators say.
var limits = dag.Limits{Tasks: maxTasks, Edges: math.MaxInt32, PayloadBytes: math.MaxInt32}

// check looks at a document as a coordinator does, but for what operators have set.
func (g *game) check(document []byte) (out checked) {
	next := 0
	b := dag.NewBuilder(limits, func() string {
		next++
		return fmt.Sprintf("task-%d", next)
	})
	violations := g.submitted.Tree()
	for t, err := range treedoc.Parse(document, treedoc.Options{Executors: g.executors}) {
		if err == nil {
			g.renderTrees(t, len(out.tasks))
			treefile.Look(t, len(out.tasks), g.executors)
			g.look(t, len(out.tasks), violations)
			out.tasks = append(out.tasks, t)
			_, err = b.Add(t)
		}
		if bad, ok := errors.AsType[*dag.InvalidTaskError](err); ok {
			out.faults = []*dag.InvalidTaskError{bad}
			return out
		}
		if err != nil {
			out.faults = []*dag.InvalidTaskError{{Index: -1, Reason: err.Error()}}
			return out
		}
	}
	graph, err := b.Build()
	if bad, ok := errors.AsType[*dag.InvalidTreeError](err); ok {
		out.faults, out.more = bad.Problems, bad.More
	}
	out.graph = graph
	return out
}

// renderTrees makes the protocol's form of trees that inputs of maps and subtrees have in the form of tree files.
func (g *game) renderTrees(t *dag.Task, index int) {
	if t.Executor != dag.SubtreeExecutor && t.Executor != dag.MapExecutor {
		return
	}
	rendered, was, err := treefile.Inputs(t.Executor, t.Inputs, g.executors)
	if refused, ok := errors.AsType[*treefile.Error](err); ok {
		for _, f := range refused.Faults {
			t.Faults = append(t.Faults, &dag.InvalidTaskError{Code: dag.InvalidField, Index: index, Task: t.Name, Field: f.Path, Reason: fmt.Sprintf("tasks[%d].%s", index, f.Text)})
		}
	} else if was {
		t.Inputs = rendered
	}
}

// renderTree makes the protocol's form of a tree that a task submits, if it is a tree file, as a text or an object.
func (g *game) renderTree(tree []byte) ([]byte, error) {
	if len(tree) == 0 || tree[0] != '"' && !treefile.Names(tree) {
		return tree, nil
	}
	f, err := treefile.Within(tree, "tree", g.executors)
	if err != nil {
		return nil, err
	}
	return f.JSON, nil
}

// look adds the faults of a task's inputs, as far as they are known before anything ran.
func (g *game) look(t *dag.Task, index int, violations func(inputs.Task) []inputs.Violation) {
	if t.Executor == "" || len(t.Faults) > 0 {
		return
	}
	task := inputs.Task{Executor: t.Executor, Inputs: t.Inputs, Schemas: t.Schemas, Templates: t.Control != nil && t.Control.Template}
	if len(t.Dependencies) > 0 {
		task.Overwrites = t.Overwrites
	}
	for _, v := range violations(task) {
		bad := &dag.InvalidTaskError{Code: dag.InvalidField, Index: index, Task: t.Name, Field: "inputs"}
		if v.Field != "" {
			bad.Field += "." + treedoc.Short(v.Field)
		}
		bad.Reason = fmt.Sprintf("tasks[%d].%s: %s", index, bad.Field, v.Reason)
		t.Faults = append(t.Faults, bad)
	}
}

// fieldOf is how APIs name the field of a fault.
func fieldOf(bad *dag.InvalidTaskError) string {
	field := fmt.Sprintf("tasks[%d]", bad.Index)
	if bad.Field != "" {
		field += "." + bad.Field
	}
	return field
}
