package pg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// expansions are what tasks of a tree found, while an execution of it is planned. Trees without such tasks have none.
type expansions struct {
	list    []expansionOf
	finders map[int][]dag.Edge // dependencies of those that found others, with edges from these

	discarded             []expansionOf
	resumed               []resumption
	gone                  int // tasks that are discarded
	goneLeaves, newLeaves int // of those, and of those that had found them
}

// expansionOf is what one task found.
type expansionOf struct {
	by, attempt, first, n, atOnce int32 // by: index of the task
	alone                         bool
	parts                         int32
}

// end is the index behind the last.
func (e *expansionOf) end() int32 { return e.first + e.n }

// resumption is how one goes on.
type resumption struct {
	expansionOf
	made, next int32 // tasks that exist; the attempt that it goes on by
	waits      bool  // for tasks
	put        bool  // tasks were put back, to be let go as its window has room
}

// findExpansions reads what tasks of the tree found, if it has tasks that were, and tells the plan.
func (p *planner) findExpansions(ctx context.Context, c *pgx.Conn, tree dag.TreeKey) error {
	found := false
	for i := range p.nodes {
		if found = p.nodes[i].Flags&dag.FlagChild != 0; found {
			break
		}
	}
	if !found {
		return nil
	}
	first, end := tree.Range()
	rows, err := c.Query(ctx, sql("ExpansionsIn"), first, end)
	if err != nil {
		return fmt.Errorf("read what tasks of tree %d found: %w", tree, err)
	}
	var k dag.Key
	var e expansionOf
	if _, err := pgx.ForEachRow(rows, []any{&k, &e.attempt, &e.first, &e.n, &e.atOnce, &e.alone, &e.parts}, func() error {
		if e.by = int32(k.Index()); int(e.by) < len(p.nodes) {
			p.list = append(p.list, e)
		}
		return nil
	}); err != nil {
		return fmt.Errorf("read what tasks of tree %d found: %w", tree, err)
	}
	p.finders = map[int][]dag.Edge{}
	for _, e := range p.list {
		p.addFound(e)
	}
	return nil
}

// addFound tells the plan of what one task found.
func (p *planner) addFound(e expansionOf) {
	for len(p.nodes) < int(e.end()) { // some of a list may depend on what is not made yet
		p.nodes, p.lanes, p.start = append(p.nodes, dag.Node{Gone: true}), append(p.lanes, dag.Lane{}), append(p.start, int32(len(p.edges)))
	}
	made := p.made(e)
	edges := make([]dag.Edge, 0, int(made)+len(p.dependencies(int(e.by))))
	edges = append(edges, p.dependencies(int(e.by))...)
	for i := e.first; i < e.end(); i++ {
		if n := &p.nodes[i]; !n.Gone {
			n.By = e.by + 1
			edges = append(edges, dag.Edge{Task: i, Mode: dag.ChildEdge})
		}
	}
	p.finders[int(e.by)] = edges
	n := &p.nodes[e.by]
	n.Found, n.Unmade = true, e.n-made
	n.Resumes = n.Attempt == e.attempt && (e.alone || made == e.n)
}

// made is how many tasks of an expansion exist.
func (p *planner) made(e expansionOf) (n int32) {
	for i := e.first; i < e.end(); i++ {
		if !p.nodes[i].Gone {
			n++
		}
	}
	return n
}

// goOn works out what a plan means for what was found.
func (p *planner) goOn(ctx context.Context, c *pgx.Conn, tree dag.TreeKey, plan *dag.Plan) error {
	if len(p.list) == 0 {
		return nil
	}
	fresh := make(map[int32]bool, len(plan.Discards))
	for _, i := range plan.Discards {
		fresh[int32(i)] = true
	}
	at := make([]*dag.Restart, len(p.nodes))
	for i := range plan.Restarts {
		at[plan.Restarts[i].Index] = &plan.Restarts[i]
	}
	for _, e := range p.list {
		switch r := at[e.by]; {
		case fresh[e.by]:
			p.discarded = append(p.discarded, e)
		case r != nil && r.State == dag.Expanded:
			p.resumed = append(p.resumed, p.resume(e, r, at))
		}
	}
	return p.bare(ctx, c, tree, at)
}

// resume is how one that found others goes on. Where only so many are in progress at a time, those that run again wait to be let go.
func (p *planner) resume(e expansionOf, r *dag.Restart, at []*dag.Restart) resumption {
	out := resumption{expansionOf: e, made: p.made(e), next: r.Attempt, waits: r.Remaining > 0}
	for i := e.first; e.atOnce > 0 && i < e.end(); i++ {
		if child := at[i]; child != nil && child.Remaining == 0 && (child.State == dag.Ready || child.State == dag.Waiting) {
			child.State, child.Release, out.put = dag.Waiting, false, true
		}
	}
	return out
}

// bare finds who has nothing below it any more as what it found is discarded: it is a leaf again.
func (p *planner) bare(ctx context.Context, c *pgx.Conn, tree dag.TreeKey, at []*dag.Restart) error {
	var tasks, first, n []int32
	leaf := map[int32]bool{}
	for _, e := range p.discarded {
		for i := e.first; i < e.end(); i++ {
			if node := p.nodes[i]; !node.Gone {
				p.gone++
				if node.Flags&dag.FlagLeaf != 0 {
					p.goneLeaves++
				}
			}
		}
		if r := at[e.by]; r != nil && r.Flags&dag.FlagLeaf == 0 {
			tasks, first, n, leaf[e.by] = append(tasks, e.by), append(first, e.first), append(n, e.n), true
		}
	}
	if len(tasks) == 0 {
		return nil
	}
	from, end := tree.Range()
	rows, err := c.Query(ctx, sql("ParentsBeside"), from, end, tasks, first, n)
	if err != nil {
		return fmt.Errorf("look for tasks below those of tree %d that run anew: %w", tree, err)
	}
	var parent int32
	if _, err := pgx.ForEachRow(rows, []any{&parent}, func() error {
		delete(leaf, parent)
		return nil
	}); err != nil {
		return fmt.Errorf("look for tasks below those of tree %d that run anew: %w", tree, err)
	}
	for by := range leaf {
		at[by].Flags |= dag.FlagLeaf
		p.newLeaves++
	}
	return nil
}

// queueExpansions writes how those that found others go on, and deletes what is discarded. followups is how many it has queued.
func (p *planner) queueExpansions(b *pgx.Batch, tree dag.TreeKey, delta *dag.TreeDelta) (followups int) {
	for _, e := range p.discarded {
		for i := e.first; i < e.end(); i++ {
			if node := p.nodes[i]; !node.Gone {
				delta.Count(node.State, node.Flags, -1)
			}
		}
		queueDeletion(b, tree.Key(int(e.first)), tree.Key(int(e.end())))
		b.Queue(sql("ForgetExpansion"), tree.Key(int(e.by)))
	}
	if len(p.resumed) == 0 {
		return 0
	}
	var tasks, grow, collect []dag.Key
	var was, next, made, part, within []int32
	for _, r := range p.resumed {
		k := tree.Key(int(r.by))
		tasks, was, next, made = append(tasks, k), append(was, r.attempt), append(next, r.next), append(made, r.made)
		if r.made < r.n || r.put {
			grow, part, within = append(grow, k), append(part, puttingBack), append(within, 0)
			continue
		}
		part, within = append(part, r.parts), append(within, r.n)
		if !r.waits {
			collect = append(collect, k)
		}
	}
	b.Queue(sql("ResumeExpansions"), tasks, was, next, made, part, within)
	if len(grow) > 0 {
		queueFollowups(b, FollowupGrow, grow)
	}
	if len(collect) > 0 {
		queueFollowups(b, FollowupCollect, collect)
	}
	return len(grow) + len(collect)
}
