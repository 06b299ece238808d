package coordinator

import (
	"context"
	"fmt"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
)

// MaxMatches is how many tasks a text may stand for until the others are no longer named.
const MaxMatches = 10

// maxSlashes is at how many places a text is tried as TREE/name: ids and names may have slashes themselves.
const maxSlashes = 8

// Match is a task that a text may stand for.
type Match struct {
	ID, TreeID, Name string
	Status           dag.Status
}

// Matches are the tasks that a text may stand for: one if it is unambiguous.
type Matches struct {
	Tasks []Match // MaxMatches at most, at least one
	More  bool    // there are others
}

// Resolve finds the tasks that a text may stand for; see [Reader].
func (c *Coordinator) Resolve(ctx context.Context, ref, owner string) (*Matches, error) {
	if !text(ref) || !text(owner) || ref == "" {
		return nil, ErrNotFound
	}
	here, err := c.here(ctx)
	if err != nil {
		return nil, err
	}
	begin, err := c.store.TasksWithPrefix(ctx, here, ref, owner, MaxMatches+1)
	if err != nil {
		return nil, c.internal("look up task", err)
	}
	if len(begin) > 0 && begin[0].ID == ref {
		return matches(begin[:1]), nil
	}
	named, trees, err := c.named(ctx, here, ref, owner)
	switch {
	case err != nil:
		return nil, err
	case len(named) > 0:
		return matches(named), nil
	case len(begin) > 0:
		return matches(begin), nil
	case len(trees) > 0:
		return matches(trees), nil
	}
	return nil, ErrNotFound
}

// named finds what TREE/name stands for, the longest TREE first; if TREE itself is ambiguous, trees are what it may stand for.
func (c *Coordinator) named(ctx context.Context, here dag.NamespaceKey, ref, owner string) (tasks, trees []pg.Found, err error) {
	at := len(ref)
	for range maxSlashes {
		if at = strings.LastIndexByte(ref[:at], '/'); at <= 0 {
			break
		}
		begin, err := c.store.TasksWithPrefix(ctx, here, ref[:at], owner, MaxMatches+1)
		if err != nil {
			return nil, nil, c.internal("look up tree", err)
		}
		tree, ok := oneTree(begin, ref[:at])
		if !ok {
			if len(begin) > 0 {
				trees = begin
			}
			continue
		}
		if tasks, err = c.namedIn(ctx, tree, ref[at+1:]); err != nil || len(tasks) > 0 {
			return tasks, nil, err
		}
	}
	return nil, trees, nil
}

// oneTree is the tree that the tasks found by a prefix belong to, if it is one.
func oneTree(begin []pg.Found, prefix string) (dag.TreeKey, bool) {
	if len(begin) == 0 {
		return 0, false
	}
	tree := begin[0].Key.Tree()
	if begin[0].ID == prefix {
		return tree, true
	}
	for _, f := range begin {
		if f.Key.Tree() != tree {
			return 0, false
		}
	}
	return tree, true
}

// namedIn finds the tasks of a tree that have the name.
func (c *Coordinator) namedIn(ctx context.Context, tree dag.TreeKey, name string) ([]pg.Found, error) {
	if name == "" {
		return nil, nil
	}
	list, err := c.store.TasksNamed(ctx, tree, name, MaxMatches+1)
	if err != nil {
		return nil, c.internal("look up task by name", err)
	}
	if len(list) > 0 {
		return list, nil
	}
	t, err := c.store.Tree(ctx, tree)
	if err != nil {
		return nil, c.internal("look up tree", err)
	}
	if t.Tasks > pg.MaxNamed {
		return nil, &InvalidArgumentError{Field: "ref", Reason: fmt.Sprintf(
			"names are looked up among the first %d tasks of a tree, and %s has %d: give the task's id", pg.MaxNamed, t.ID, t.Tasks)}
	}
	return nil, nil
}

func matches(found []pg.Found) *Matches {
	m := &Matches{More: len(found) > MaxMatches}
	for _, f := range found[:min(len(found), MaxMatches)] {
		m.Tasks = append(m.Tasks, Match{ID: f.ID, TreeID: f.TreeID, Name: f.Name, Status: f.State.Status()})
	}
	return m
}
