package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/tests/faults"
	"github.com/taskgrove/taskgrove/tests/history"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// story is one client with its tree.
func (g *game) story(ctx context.Context, n int, began time.Time) {
	s := g.plan.Trees[n]
	time.Sleep(time.Until(began.Add(s.At)))
	if err := g.live(ctx, s); err != nil {
		g.problem("tree %d: %v", n, err)
	}
}

func (g *game) live(ctx context.Context, s Story) error {
	root := s.root()
	options := []client.SubmitOption{client.WithIdempotencyKey(root)}
	if s.How == Held {
		options = append(options, client.Hold())
	}
	tasks := s.tasks()
	submit := func(ctx context.Context, c *client.Client) error {
		_, err := c.Submit(ctx, tasks, options...)
		return err
	}
	err := g.once(ctx, "submit "+root, submit)
	s.Drop = s.Drop && err == nil // a first call that is late could store it again
	if err != nil && !s.GiveUp {
		err = g.call(ctx, "submit "+root+" again", submit)
	}
	answer := history.Accepted
	if err != nil {
		if answer = history.Unknown; !s.GiveUp {
			return fmt.Errorf("submit: %w", err)
		}
	}
	g.mu.Lock()
	g.submits[root] = history.Submit{Root: root, Answer: answer, Steered: s.How == Steered}
	g.mu.Unlock()
	if answer != history.Accepted {
		return nil
	}
	switch s.How {
	case Held, Gated:
		return g.prepare(ctx, s)
	case Steered, Straight:
		return g.disturb(ctx, s)
	}
	return nil
}

// prepare changes what can't have started, and lets it go.
func (g *game) prepare(ctx context.Context, s Story) error {
	rng := rand.New(rand.NewPCG(s.Seed, 0xed17))
	e, err := g.edit(ctx, s, rng)
	if err != nil {
		return err
	}
	g.mu.Lock()
	g.trees[s.root()] = e.trees
	g.mu.Unlock()
	if s.Copy {
		if err := g.copy(ctx, s, e.trees); err != nil {
			return err
		}
	}
	if s.Drop {
		return g.drop(ctx, s)
	}
	return g.release(ctx, s, e.tree())
}

// disturb cancels and changes tasks while others run.
func (g *game) disturb(ctx context.Context, s Story) error {
	var parties sync.WaitGroup
	var errs [3]error
	parties.Go(func() { errs[0] = g.steer(ctx, s) })
	parties.Go(func() { errs[1] = g.nudge(ctx, s) })
	if s.Copy {
		parties.Go(func() { errs[2] = g.copy(ctx, s, []oracle.Tree{s.Tree}) })
	}
	parties.Wait()
	return errors.Join(errs[:]...)
}

func (g *game) cancel(ctx context.Context, id string, cascade bool) error {
	return g.call(ctx, fmt.Sprintf("cancel %s, cascade %v", id, cascade), func(ctx context.Context, c *client.Client) error {
		_, err := c.Cancel(ctx, id, client.WithCascade(cascade))
		return err
	})
}

// release cancels what is to be cancelled before it starts, and lets the rest go.
func (g *game) release(ctx context.Context, s Story, tree oracle.Tree) error {
	for _, i := range tree.Cancellations() {
		if err := g.cancel(ctx, tree.Tasks[i].ID, false); err != nil {
			return err
		}
	}
	for _, t := range tree.Tasks {
		if t.Script.Gate {
			return faults.OpenGate(g.c.base.Dir, t.ID)
		}
	}
	return g.execute(ctx, s.root(), s.top())
}

// execute starts a held tree.
func (g *game) execute(ctx context.Context, root, top string) error {
	// An execution whose answer was lost may have ended, and another one would run what failed again.
	return g.call(ctx, "execute "+root, func(ctx context.Context, c *client.Client) error {
		tree, err := c.Tree(ctx, root)
		if err != nil || !tree.StartedAt.IsZero() {
			return err
		}
		_, err = c.Execute(ctx, top)
		return err
	})
}

func (g *game) steer(ctx context.Context, s Story) error {
	for _, step := range s.Steps {
		time.Sleep(step.After)
		if err := g.cancel(ctx, s.Tree.Tasks[step.Task].ID, step.Cascade); err != nil {
			return err
		}
	}
	return nil
}
