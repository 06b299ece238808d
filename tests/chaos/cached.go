package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors/command"
	"github.com/taskgrove/taskgrove/tests/history"
)

// endings is the rule of tasks that earlier successes end.
const endings history.Rule = "a cached task ends once: by a run, or by a young enough success of the same user and inputs"

// fresh is how long a success of each key counts. What counts for an hour does so for the whole history.
var fresh = []time.Duration{time.Hour, time.Hour, 2 * time.Second}

// Like is a task that earlier successes may end.
type Like struct {
	Key  int  // index of fresh: tasks with the same have the same inputs
	Next bool // it starts after the one before
}

// cached draws trees of tasks that may end by successes of each other's.
func (p *Plan) cached() {
	rng := rand.New(rand.NewPCG(p.Seed, 0xcac4))
	if rng.IntN(2) == 0 {
		return
	}
	for n := range 3 + rng.IntN(4) {
		s := Story{How: Cached, Prefix: fmt.Sprintf("h%d-l%d", p.Seed, n), At: upTo(rng, window), User: []string{"ann", "bob"}[rng.IntN(2)]}
		for range 1 + rng.IntN(8) {
			s.Like = append(s.Like, Like{rng.IntN(len(fresh)), rng.IntN(2) == 0})
		}
		p.Trees = append(p.Trees, s)
	}
}

// ranFile has the ids of tasks whose commands ran.
func (c *cluster) ranFile() string { return filepath.Join(c.base.Dir, "ran") }

// likes are the tasks of a story as a client submits them. What each prints is its own: the key of its run.
func (s Story) likes(seed uint64, ran string) []client.NewTask {
	out := []client.NewTask{{ID: s.root(), Name: "cached"}}
	for n, like := range s.Like {
		t := client.NewTask{ID: fmt.Sprintf("%s-%d", s.Prefix, n+1), Name: "like", Parent: s.root(), Schemas: map[string]any{"method": command.ID},
			Inputs: map[string]any{"command": fmt.Sprintf("echo $TASKGROVE_TASK_ID >> %s; sleep 0.1; echo h%d-k%d $TASKGROVE_IDEMPOTENCY_KEY", ran, seed, like.Key)},
			Cache:  &client.Cache{For: fresh[like.Key]}, Retry: client.RetryPolicy{MaxAttempts: 100}}
		if like.Next && n > 0 { // its result would be an input
			t.Dependencies = []client.Dependency{{Ref: out[n].ID, OrderOnly: true}}
		}
		out = append(out, t)
	}
	return out
}

// probe submits a tree after all others have ended, of each user: what has succeeded ends its tasks.
func (g *game) probe(ctx context.Context) error {
	users := map[string]bool{}
	for _, s := range g.plan.Trees {
		if s.How != Cached || users[s.User] {
			continue
		}
		users[s.User] = true
		probe := Story{How: Cached, Prefix: fmt.Sprintf("h%d-p-%s", g.plan.Seed, s.User), User: s.User}
		for key, most := range fresh {
			if most == time.Hour {
				probe.Like = append(probe.Like, Like{Key: key})
			}
		}
		if err := g.live(ctx, probe); err != nil {
			return fmt.Errorf("tree %s: %w", probe.root(), err)
		}
		g.probes = append(g.probes, probe)
		if err := g.call(ctx, "wait for "+probe.root(), func(ctx context.Context, c *client.Client) error {
			_, err := c.Wait(ctx, probe.root())
			return err
		}); err != nil {
			return fmt.Errorf("tree %s: %w", probe.root(), err)
		}
	}
	return nil
}

// alike is a task that earlier successes might end, as it ended.
type alike struct {
	*client.Task
	Like
	user  string
	probe bool
	ran   bool
	done  int    // attempts that completed
	lost  int    // those whose workers were lost
	begun int    // those that began
	root  string // of its tree
}

// judgeCached reads the tasks that successes of others may have ended, and holds them against the rule.
func (g *game) judgeCached(ctx context.Context) error {
	text, err := os.ReadFile(g.c.ranFile())
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	ran := map[string]bool{}
	for id := range strings.FieldsSeq(string(text)) {
		ran[id] = true
	}
	all := map[string]*alike{}
	for n, s := range slices.Concat(g.plan.Trees, g.probes) {
		if s.How != Cached {
			continue
		}
		for i, like := range s.Like {
			id := fmt.Sprintf("%s-%d", s.Prefix, i+1)
			t, err := g.c.clients[0].Task(ctx, id)
			if err != nil {
				return err
			}
			attempts, err := g.c.clients[0].Attempts(ctx, id)
			if err != nil {
				return err
			}
			a := &alike{Task: t, Like: like, user: s.User, probe: n >= len(g.plan.Trees), ran: ran[id], root: s.root()}
			for _, one := range attempts {
				if !one.StartedAt.IsZero() {
					a.begun++
				}
				switch one.Outcome {
				case client.OutcomeLost:
					a.lost++
				case client.OutcomeCompleted:
					a.done++
				}
			}
			all[id] = a
		}
	}
	keys := map[string]string{} // by what a run printed
	for id, a := range all {
		why := g.endingOf(a, all)
		switch {
		case why != "":
		case a.CachedFrom != nil:
			g.out.Counts.Cached++
		case a.State == client.StateCompleted:
			g.out.Counts.Uncached++
			if other, there := keys[string(a.Result)]; there {
				why = "its result is that of " + other
			}
			keys[string(a.Result)] = id
		}
		if why != "" {
			g.problem("%s: task %s: %s", endings, id, why)
		}
	}
	return nil
}

// endingOf is what is wrong with how a task ended; empty: nothing.
func (g *game) endingOf(a *alike, all map[string]*alike) string {
	if a.State != client.StateCompleted {
		poisoned := slices.ContainsFunc(slices.Collect(maps.Values(all)), func(o *alike) bool { return o.root == a.root && o.lost >= dag.PoisonLimit })
		if poisoned && (a.State == client.StateFailed || a.State == client.StateBlocked) {
			g.out.Counts.Poisoned++
			return ""
		}
		return fmt.Sprintf("it is %s: %s", a.State, a.Error)
	}
	if a.CachedFrom == nil {
		return a.ranBy(all)
	}
	from := all[a.CachedFrom.TaskID]
	age := time.Duration(0)
	if from != nil {
		age = a.CompletedAt.Sub(from.CompletedAt)
	}
	switch {
	case from == nil:
		return fmt.Sprintf("it ended by %s, which is not like it", a.CachedFrom.TaskID)
	case from.user != a.user || from.Key != a.Key:
		return fmt.Sprintf("it is key %d of %s, and ended by key %d of %s", a.Key, a.user, from.Key, from.user)
	case from.CachedFrom != nil || from.State != client.StateCompleted || from.done != 1:
		return fmt.Sprintf("it ended by %s, which has no success of its own", from.ID)
	case a.CachedFrom.TreeID != from.TreeID:
		return fmt.Sprintf("it ended by %s of tree %s, which is of tree %s", from.ID, a.CachedFrom.TreeID, from.TreeID)
	case string(a.Result) != string(from.Result):
		return fmt.Sprintf("it ended by %s, which gave %s, with %s", from.ID, from.Result, a.Result)
	case a.begun > 0 || a.ran:
		return fmt.Sprintf("it ended by %s, and %d attempts of it began (its command ran: %v)", from.ID, a.begun, a.ran)
	case !g.c.clockMoved() && (age < 0 || age > fresh[a.Key]):
		return fmt.Sprintf("it ended by %s, which had succeeded %s before", from.ID, age)
	}
	return ""
}

// ranBy is what is wrong with a task that ended by a run of its own.
func (a *alike) ranBy(all map[string]*alike) string {
	switch {
	case a.done != 1 || !a.ran:
		return fmt.Sprintf("%d attempts of it completed (its command ran: %v)", a.done, a.ran)
	case !strings.Contains(string(a.Result), fmt.Sprintf("-k%d ", a.Key)):
		return fmt.Sprintf("it has the result of another one: %s", a.Result)
	case a.probe:
		for _, o := range all {
			if o.user == a.user && o.Key == a.Key && !o.probe && o.State == client.StateCompleted {
				return fmt.Sprintf("it ran after %s had succeeded", o.ID)
			}
		}
	}
	return ""
}
