package main

import (
	"context"
	"errors"
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
	for n := 0; n < len(p.Timed) && ctx.Err() == nil; {
		q := p
		if q.Timed = slices.Delete(slices.Clone(p.Timed), n, n+1); !fails(q) {
			n++
		}
	}
	for n := 0; n < len(p.Flows) && ctx.Err() == nil; {
		q := p
		if q.Flows = slices.Delete(slices.Clone(p.Flows), n, n+1); !fails(q) {
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

// mask is which parts of a plan are played, by their numbers in the whole; nil: all.
type mask struct{ trees, faults, holds, timed, flows []int }

// of is a plan of which only some parts are played.
func (m mask) of(p Plan) (Plan, error) {
	var errs [5]error
	p.Trees, errs[0] = pick("tree", p.Trees, m.trees)
	p.Faults, errs[1] = pick("fault", p.Faults, m.faults)
	p.Holds, errs[2] = pick("hold", p.Holds, m.holds)
	p.Timed, errs[3] = pick("schedule", p.Timed, m.timed)
	p.Flows, errs[4] = pick("flow", p.Flows, m.flows)
	return p, errors.Join(errs[:]...)
}

// pick takes some of a list; nil: all.
func pick[T any](what string, list []T, chosen []int) (out []T, err error) {
	if chosen == nil {
		return list, nil
	}
	for _, i := range chosen {
		if i < 0 || i >= len(list) {
			return nil, fmt.Errorf("%s %d: the history has %d", what, i, len(list))
		}
		out = append(out, list[i])
	}
	return out, nil
}
