package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/faults"
	"github.com/taskgrove/taskgrove/tests/history"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// Hold is something that an operator holds back for a while: a pause, or a limit lower than what tasks say.
type Hold struct {
	What    string // "everything", "pool" and "tree" pause; "key", "rate" and "running", of a pool, limit
	Name    string // of the pool, the key or the tree's first task
	Max     int32  // of a limit
	At, For time.Duration
}

// String is the hold for people.
func (h Hold) String() string {
	return fmt.Sprintf("%s %s max %d at %s for %s", h.What, h.Name, h.Max, h.At.Round(time.Millisecond), h.For.Round(time.Millisecond))
}

// pauses reports whether nothing at all may start.
func (h Hold) pauses() bool { return h.What == "everything" || h.What == "pool" || h.What == "tree" }

// limit lets tasks of a history ask for limits, locks and rates, whose keys its trees share, and draws what operators do meanwhile.
func (p *Plan) limit() {
	rng := rand.New(rand.NewPCG(p.Seed, 0x11c5))
	if rng.IntN(4) == 0 {
		return
	}
	keys := oracle.Keys{Prefix: fmt.Sprintf("h%d-k", p.Seed), Limits: 0.15 * rng.Float64(), Locks: 0.15 * rng.Float64(), Rates: 0.1 * rng.Float64(), Denies: 0.4}
	for _, s := range p.Trees {
		if s.How != Commands {
			keys.Limit(rng, s.Tree)
			if rng.IntN(3) == 0 {
				oracle.Span(rng, s.Tree, keys.Prefix+"span")
			}
		}
	}
	for range rng.IntN(4) {
		h := Hold{What: []string{"everything", "pool", "tree", "key", "rate", "running"}[rng.IntN(6)], At: upTo(rng, window), For: upTo(rng, window)}
		switch h.What {
		case "pool", "running":
			h.Name = faults.Pools[rng.IntN(len(faults.Pools))]
		case "tree":
			h.Name = p.Trees[rng.IntN(len(p.Trees))].root()
		case "key":
			n := 1 + rng.Int32N(4)
			h.Name, h.Max = fmt.Sprint(keys.Prefix, n), rng.Int32N(n)
			if h.Max > 0 { // 0 refuses nothing
				h.Max = max(h.Max, p.costOfFound(h.Name))
			}
		case "rate":
			h.Name, h.Max = fmt.Sprint(keys.Prefix, rng.IntN(2)), rng.Int32N(10)
		}
		if h.What == "running" {
			h.Max = rng.Int32N(5)
		}
		if !slices.ContainsFunc(p.Holds, h.same) {
			p.Holds = append(p.Holds, h)
		}
	}
}

// costOfFound is the most of a key that a task asks for which a run finds: with less, that run would fail.
func (p *Plan) costOfFound(key string) (most int32) {
	for _, s := range p.Trees {
		for _, task := range s.Tree.Tasks {
			if task.By == 0 || task.Limiting == nil {
				continue
			}
			for _, l := range task.Limiting.Limits {
				if l.Key == key {
					most = max(most, l.Cost)
				}
			}
		}
	}
	return most
}

// tooMuch reports whether a submission was refused as a task asks for more of a key than an operator lets for now.
func tooMuch(err error) bool {
	return errors.Is(err, client.ErrInvalid) && strings.Contains(err.Error(), "which an operator has set")
}

// same reports whether another one holds back the same: who lets that go lets both go.
func (h Hold) same(other Hold) bool { return h.What == other.What && h.Name == other.Name }

// heldBack is when something was held back for sure: from the answer on, until somebody asked for its end.
type heldBack struct {
	Hold
	from, to time.Time
}

// holdBack has an operator hold something back, and let it go.
func (g *game) holdBack(ctx context.Context, h Hold, began time.Time) error {
	time.Sleep(time.Until(began.Add(h.At)))
	pause := client.PauseTarget{Everything: h.What == "everything"}
	target := client.LimitTarget{}
	spec := client.LimitSpec{Max: &h.Max, Reason: "chaos"}
	switch h.What {
	case "pool":
		pause.Pool = h.Name
	case "tree":
		pause.TreeID = h.Name
	case "key":
		target.Key = h.Name
	case "rate":
		target.Rate, spec.Per = h.Name, "second"
	case "running":
		target.Pool = h.Name
	}
	spec.LimitTarget = target
	err := g.call(ctx, "hold back "+h.String(), func(ctx context.Context, c *client.Client) (err error) {
		if h.pauses() {
			_, err = c.Pause(ctx, pause, "chaos")
		} else {
			_, err = c.SetLimit(ctx, spec)
		}
		return err
	})
	if errors.Is(err, client.ErrNotFound) && h.What == "tree" { // it is not stored yet, or no more
		return nil
	}
	if err != nil {
		return err
	}
	held := heldBack{Hold: h, from: time.Now()}
	time.Sleep(h.For)
	held.to = time.Now()
	g.mu.Lock()
	g.held = append(g.held, held)
	g.out.Counts.Holds++
	g.mu.Unlock()
	err = g.call(ctx, "let go "+h.String(), func(ctx context.Context, c *client.Client) error {
		if h.pauses() {
			return c.Resume(ctx, pause)
		}
		return c.DeleteLimit(ctx, target)
	})
	if errors.Is(err, client.ErrNotFound) { // the call before, without an answer, has done it; or another operator held the same
		return nil
	}
	return err
}

// lookAtHolds takes over what was found wrong at the instants when attempts came to hold something. It comes first of all problems, as it may be why there are others.
func (g *game) lookAtHolds(ctx context.Context) {
	looked, wrong, err := faults.WatchedHolds(ctx, g.c.direct)
	if err != nil {
		g.problem("%v", err)
	}
	g.out.Counts.Held = looked - g.c.held
	g.c.held = looked
	for n, text := range wrong {
		g.out.Problems = slices.Insert(g.out.Problems, n, fmt.Sprintf("%s: %s", history.Limits, text))
	}
}

// place is where an attempt ran by what is stored of it.
type place struct {
	task, root, pool string
	start, end       time.Time
	rests            bool // it may go on without a worker, which takes no place in its pool: nobody knows from when on
}

// slack is how long after a pause was answered what had been claimed before may still note its start.
const slack = time.Second

// judgeHolds looks whether anything started that was held back. Postgres's clock must not have been moved.
func (g *game) judgeHolds() {
	for _, h := range g.held {
		for _, p := range g.places {
			if !p.start.After(h.from.Add(slack)) || !p.start.Before(h.to) {
				continue
			}
			switch {
			case h.What == "everything", h.What == "pool" && h.Name == p.pool, h.What == "tree" && h.Name == p.root:
				g.problem("%s started at %s, and %s was paused from %s to %s", p.task, p.start, h.What, h.from, h.to)
			case h.What == "running" && h.Name == p.pool:
				if n := g.runningAt(p); n > int(h.Max) {
					g.problem("%s started at %s as one of %d of pool %s, of at most %d", p.task, p.start, n, p.pool, h.Max)
				}
			}
		}
	}
}

// runningAt is how many attempts of its pool ran as one started, by what is stored, others that may have rested left out.
func (g *game) runningAt(p place) (n int) {
	for _, o := range g.places {
		if o.pool == p.pool && (!o.rests || o.task == p.task) && !o.start.After(p.start) && (o.end.IsZero() || o.end.After(p.start)) {
			n++
		}
	}
	return n
}

// note keeps where the attempts of a task ran that an executor began.
func (g *game) note(t *client.Task, name, root string, rests bool, attempts []client.Attempt) {
	for _, a := range attempts {
		g.kinds[name] = a.Kind
		if t.Executor != "" && !a.StartedAt.IsZero() {
			g.places = append(g.places, place{name, root, t.Pool, a.StartedAt, a.FinishedAt, rests})
		}
	}
}

// deny tells the oracle which tasks of a tree have ended as they did not get their locks.
func (g *game) deny(tree oracle.Tree, h *history.History) oracle.Tree {
	tree = copyOf(tree)
	for i := range tree.Tasks {
		task := &tree.Tasks[i]
		end, kind := h.Ends[task.ID], dag.Kind(g.kinds[task.ID])
		result, _ := end.Result.(map[string]any)
		locked := end.State == dag.Skipped && result["reason"] == oracle.SkippedLocked
		if !locked && (end.State != dag.Failed || kind != dag.KindLockContended && kind != dag.KindLockTimeout) {
			continue
		}
		counted := 0
		for _, a := range h.Attempts[task.ID] {
			if a.Counted {
				counted++
			}
		}
		if task.Deny(end.State, counted) {
			g.out.Counts.Denied++
		}
	}
	return tree
}
