package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// again plays a plan on a cluster of its own.
func again(ctx context.Context, p Plan) (Played, error) {
	c, err := startCluster(ctx)
	if err != nil {
		return Played{}, err
	}
	defer c.close()
	return play(ctx, c, p), nil
}

// shrink makes a plan that broke a rule shorter: it leaves out one fault, hold or tree after the other, for as long as one of a few
// tries still breaks a rule, and until ctx ends. What real processes do is not the same twice, so that a part which is left
// in may not be needed. It returns the shortest plan that failed, and its problems.
func shrink(ctx context.Context, p Plan, problems []string, tries int) (Plan, []string) {
	fails := func(q Plan) bool {
		for range tries {
			got, err := again(ctx, q)
			if err == nil && ctx.Err() == nil && len(got.Problems) > 0 {
				p, problems = q, got.Problems
				return true
			}
		}
		return false
	}
	for n := 0; n < len(p.Faults) && ctx.Err() == nil; {
		q := p
		if q.Faults = slices.Delete(slices.Clone(p.Faults), n, n+1); !fails(q) {
			n++
		}
	}
	for n := 0; n < len(p.Holds) && ctx.Err() == nil; {
		q := p
		if q.Holds = slices.Delete(slices.Clone(p.Holds), n, n+1); !fails(q) {
			n++
		}
	}
	for n := 0; n < len(p.Trees) && len(p.Trees) > 1 && ctx.Err() == nil; {
		q := p
		if q.Trees = slices.Delete(slices.Clone(p.Trees), n, n+1); !fails(q) {
			n++
		}
	}
	return p, problems
}

// shrinkTime is how long a failing history is made shorter, at most.
const shrinkTime = 10 * time.Minute

// masked is a plan of which only some parts are played, by their numbers in the whole; nil: all.
func masked(p Plan, trees, faults, holds []int) (Plan, error) {
	pick := func(what string, n int, chosen []int) error {
		for _, i := range chosen {
			if i < 0 || i >= n {
				return fmt.Errorf("%s %d: the history has %d", what, i, n)
			}
		}
		return nil
	}
	if err := pick("tree", len(p.Trees), trees); err != nil {
		return p, err
	}
	if err := pick("fault", len(p.Faults), faults); err != nil {
		return p, err
	}
	if err := pick("hold", len(p.Holds), holds); err != nil {
		return p, err
	}
	out := p
	if holds != nil {
		out.Holds = nil
		for _, i := range holds {
			out.Holds = append(out.Holds, p.Holds[i])
		}
	}
	if trees != nil {
		out.Trees = nil
		for _, i := range trees {
			out.Trees = append(out.Trees, p.Trees[i])
		}
	}
	if faults != nil {
		out.Faults = nil
		for _, i := range faults {
			out.Faults = append(out.Faults, p.Faults[i])
		}
	}
	return out, nil
}
