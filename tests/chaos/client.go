package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/dag"
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
	if s.How == Cached {
		tasks = s.likes(g.plan.Seed, g.c.ranFile())
		options = append(options, client.WithUser(s.User))
	}
	submit := func(ctx context.Context, c *client.Client) error {
		for {
			_, err := c.Submit(ctx, tasks, options...)
			if !tooMuch(err) || ctx.Err() != nil {
				return err
			}
			time.Sleep(50 * time.Millisecond) // until the operator lets go
		}
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
		if !s.Tree.Plain() {
			return g.behind(ctx, s)
		}
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

// behind cancels and skips what waits for a gate of a tree that says more than the protocol, and lets the rest go.
func (g *game) behind(ctx context.Context, s Story) error {
	released := make(chan error, 1)
	go func() { released <- g.release(ctx, s, s.Tree) }()
	return errors.Join(g.disturb(ctx, s), <-released)
}

// disturb cancels and changes tasks while others run, and sends those that wait what they wait for.
func (g *game) disturb(ctx context.Context, s Story) error {
	var parties sync.WaitGroup
	var errs [4]error
	parties.Go(func() {
		rng := rand.New(rand.NewPCG(s.Seed, 0x5e4d))
		errs[3] = faults.Users(ctx, rng, s.Tree, outside{g})
	})
	parties.Go(func() { errs[0] = g.steer(ctx, s) })
	parties.Go(func() { errs[1] = g.nudge(ctx, s) })
	if s.Copy {
		parties.Go(func() { errs[2] = g.copy(ctx, s, []oracle.Tree{s.Tree}) })
	}
	parties.Wait()
	return errors.Join(errs[:]...)
}

// outside is how users reach what waits: through any coordinator, each call once.
type outside struct{ g *game }

func outsideError(err error) error {
	switch {
	case errors.Is(err, client.ErrConflict):
		return faults.ErrOver
	case errors.Is(err, client.ErrUnavailable):
		return faults.ErrAway
	}
	return err
}

func (o outside) count() {
	o.g.mu.Lock()
	defer o.g.mu.Unlock()
	o.g.out.Counts.Answers++
}

// Signal implements [faults.Outside].
func (o outside) Signal(ctx context.Context, task, name string, payload json.RawMessage, key string) (status string, err error) {
	err = o.g.once(ctx, fmt.Sprintf("signal %s, key %q", task, key), func(ctx context.Context, c *client.Client) error {
		got, err := c.Signal(ctx, task, client.Signal{Name: name, Payload: payload, IdempotencyKey: key})
		if err == nil {
			status = string(got.Status)
			o.count()
		}
		return err
	})
	return status, outsideError(err)
}

// Approve implements [faults.Outside].
func (o outside) Approve(ctx context.Context, task, choice, comment string) error {
	return outsideError(o.g.once(ctx, fmt.Sprintf("answer %s to %s", choice, task), func(ctx context.Context, c *client.Client) error {
		_, err := c.Approve(ctx, task, client.Approval{Choice: choice, Comment: comment})
		if err == nil {
			o.count()
		}
		return err
	}))
}

// State implements [faults.Outside].
func (o outside) State(ctx context.Context, task string) (state dag.State, err error) {
	err = o.g.once(ctx, "look at "+task, func(ctx context.Context, c *client.Client) error {
		t, err := c.Task(ctx, task)
		if err == nil {
			state = states[string(t.State)]
		}
		return err
	})
	return state, outsideError(err)
}

// skip has a user skip a task. begun: it has begun, or ended, which is no fault of a tree that runs.
func (g *game) skip(ctx context.Context, id string, begun bool) error {
	err := g.call(ctx, "skip "+id, func(ctx context.Context, c *client.Client) error {
		_, err := c.Skip(ctx, id)
		if errors.Is(err, client.ErrConflict) {
			if t, looked := c.Task(ctx, id); looked != nil || begun || t.State == client.StateSkipped { // a call without an answer was ours
				return looked
			}
		}
		return err
	})
	if err == nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.out.Counts.Skips++
	}
	return err
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
		end := g.cancel
		if tree.Tasks[i].Skipped {
			end = g.skip
		}
		if err := end(ctx, tree.Tasks[i].ID, false); err != nil {
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
		if step.Skip {
			if err := g.skip(ctx, s.Tree.Tasks[step.Task].ID, true); err != nil {
				return err
			}
			continue
		}
		if err := g.cancel(ctx, s.Tree.Tasks[step.Task].ID, step.Cascade); err != nil {
			return err
		}
	}
	return nil
}
