package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/tests/history"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// nudge changes tasks at any time in ways that don't matter to how they end: what waits in a queue is queued anew.
func (g *game) nudge(ctx context.Context, s Story) error {
	e := &edited{rng: rand.New(rand.NewPCG(s.Seed, 0x40d9)), trees: []oracle.Tree{s.Tree}}
	for range s.Nudges {
		time.Sleep(upTo(e.rng, 300*time.Millisecond))
		i := e.rng.IntN(len(s.Tree.Tasks))
		change, _ := e.priority(i)
		if task := s.Tree.Tasks[i]; !task.Group && e.rng.IntN(3) > 0 {
			change = e.update(i, "the same inputs", client.Change{Inputs: map[string]any{oracle.ScriptKey: task.Script}}, s.Tree)
		}
		if _, err := g.change(ctx, change, e.rng.IntN(4) == 0); err != nil {
			return err
		}
	}
	return nil
}

// drop deletes a held tree.
func (g *game) drop(ctx context.Context, s Story) error {
	remove := edit{what: "delete tree " + s.root(), found: true, call: func(ctx context.Context, c *client.Client) error {
		_, err := c.Delete(ctx, s.top(), client.ForceDelete())
		return err
	}}
	if _, err := g.change(ctx, remove, false); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.submits[s.root()] = history.Submit{Root: s.root(), Answer: history.Refused}
	return nil
}

// copy copies a tree, and executes the copy. trees are what the original may be.
func (g *game) copy(ctx context.Context, s Story, trees []oracle.Tree) error {
	time.Sleep(upTo(rand.New(rand.NewPCG(s.Seed, 0xc09)), time.Second))
	var id string
	if err := g.call(ctx, "copy "+s.top(), func(ctx context.Context, c *client.Client) error {
		got, err := c.Copy(ctx, s.top(), client.CopyOptions{Mode: client.CopyFull, IdempotencyKey: "copy of " + s.root()})
		if err == nil {
			id = got.TreeID
		}
		return err
	}); err != nil {
		return err
	}
	ids := map[string]string{} // by those of the originals
	if err := g.call(ctx, "read the copy "+id, func(ctx context.Context, c *client.Client) error {
		for t, err := range c.Tasks(ctx, client.TaskFilter{TreeOf: id}) {
			if err != nil {
				return err
			}
			ids[t.OriginalID] = t.ID
		}
		return nil
	}); err != nil {
		return err
	}
	var possible []oracle.Tree
	for _, t := range trees {
		if c, ok := copied(t, ids); ok {
			possible = append(possible, c)
		}
	}
	if len(possible) == 0 {
		return errors.New(fmt.Sprint("the copy has other tasks than its original: ", ids))
	}
	root := possible[0].Tasks[0].ID
	g.mu.Lock()
	g.out.Counts.Copies++
	g.trees[root] = possible
	g.copies = append(g.copies, root)
	g.submits[root] = history.Submit{Root: root, Answer: history.Accepted}
	g.mu.Unlock()
	return g.execute(ctx, root, id)
}

// copied is the whole copy of a tree, of which all runs again. ids are those of its tasks, by those of the originals, which must be there all.
func copied(t oracle.Tree, ids map[string]string) (oracle.Tree, bool) {
	t = copyOf(t)
	there := 0
	for i := range t.Tasks {
		task := &t.Tasks[i]
		task.Ref, task.ByHand, task.Cancelled = task.ID, nil, false
		if task.Deleted {
			task.ID = "copy of " + task.ID
			continue
		}
		id, ok := ids[task.ID]
		if !ok {
			return t, false
		}
		task.ID = id
		there++
	}
	return t, there == len(ids)
}
