package pg

import (
	"cmp"
	"encoding/json"
	"iter"

	"github.com/taskgrove/taskgrove/dag"
)

// ShowLimits are how much an answer may show; none of it if a tree has more.
type ShowLimits struct {
	Tasks int
	Bytes int // of inputs, params, schemas and custom keys
}

// payloads are what a submission's tasks carry, kept for the answer.
type payloads struct {
	left ShowLimits
	all  [][4]json.RawMessage // inputs, params, schemas, custom
}

// keep keeps what a task carries. It reports false, and keeps nothing more, when that is too much to be shown.
func (p *payloads) keep(t *dag.Task) bool {
	p.left.Tasks--
	p.left.Bytes -= len(t.Inputs) + len(t.Params) + len(t.Schemas) + len(t.Custom)
	p.all = append(p.all, [...]json.RawMessage{t.Inputs, t.Params, t.Schemas, t.Custom})
	return p.left.Tasks >= 0 && p.left.Bytes >= 0
}

// shown are the tasks of a held tree as they were stored: what [Store.TreeTasks] gives of them until the tree is executed or
// cancelled. A task is valid until the next.
func (t *stagedTree) shown() iter.Seq[*Shown] {
	return func(yield func(*Shown) bool) {
		root := t.g.IDs[t.g.Root]
		for i, id := range t.g.IDs {
			head, carried := &t.in.tasks[i], &t.in.payloads.all[i]
			s := Shown{Key: t.tree.Key(i), ID: id, Ref: t.refs()[i], TreeID: root, Name: head.name, State: dag.Held, Priority: head.priority,
				Flags: t.flags(i), Inputs: carried[0], Params: carried[1], Schemas: carried[2], Custom: carried[3], Executor: head.executor,
				Attempt: 1, Parent: t.g.Parent[i], CreatedAt: t.created, Namespace: t.sub.namespace}
			if head.limits != nil {
				s.Limiting = head.limits.limiting(dag.Identity{Task: id, Tree: root, User: t.g.UserID})
			}
			if t.g.UserID != "" {
				s.UserID = &t.g.UserID
			}
			if s.Parent >= 0 {
				s.ParentID = &t.g.IDs[s.Parent]
			} else {
				s.Labels = t.in.labels
			}
			if _, ok := t.pools[head.pool]; ok {
				s.Pool = head.pool
			}
			for _, e := range t.g.Dependencies(i) {
				s.Dependencies = append(s.Dependencies, ShownDependency{ID: t.g.IDs[e.Task], Required: e.Required, Type: cmp.Or(e.Type, "result")})
			}
			if !yield(&s) {
				return
			}
		}
	}
}
