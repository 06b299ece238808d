package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/flows"
	"github.com/taskgrove/taskgrove/flows/flowtest"
	"github.com/taskgrove/taskgrove/tests/faults"
	"github.com/taskgrove/taskgrove/tests/history"
)

// flowsCome is the rule of runs of flows.
const flowsCome history.Rule = "jobs and steps of a flow come to what the documentation says, in its order; steps see what it says; a step that has ended never runs again in its run"

// Flow is a flow that a client runs.
type Flow struct {
	ID     string
	Seed   uint64 // of what the flow is
	At     time.Duration
	Mend   bool // it fails, is mended and resumed
	Repeat bool // its calls are made twice, whatever they are answered
}

// flows draws runs of flows.
func (p *Plan) flows() {
	rng := rand.New(rand.NewPCG(p.Seed, 0xf10e))
	for n := range 2 + rng.IntN(2) {
		p.Flows = append(p.Flows, Flow{fmt.Sprintf("h%d-f%d", p.Seed, n), rng.Uint64(), upTo(rng, window/2), rng.IntN(2) == 0, rng.IntN(3) == 0})
	}
}

// flow makes the flow, which has some steps.
func (f Flow) flow() (*faults.FlowRun, error) {
	rng := rand.New(rand.NewPCG(f.Seed, 0xf10e))
	for {
		flow := flowtest.Random(rng)
		steps := 0
		for _, j := range flow.Jobs {
			steps += len(j.Steps)
		}
		if steps < 5 {
			continue
		}
		flow.ID, flow.Pool = f.ID, faults.Pools[steps%len(faults.Pools)]
		run, err := faults.NewFlowRun(flow, "run")
		if err != nil || !f.Mend || faults.FollowsOn(flow) && slices.ContainsFunc(flow.Jobs, faults.StepFails) {
			return run, err
		}
	}
}

// revision is a revision of a run, as it ended.
type revision struct {
	*faults.FlowRun
	jobs     []flows.JobOutcome
	outcome  string
	number   int
	tree     string
	resumes  map[string]bool // steps that had ended before it
	poisoned int             // steps that failed by lost workers, here or before
}

// runFlow is one client with its run of a flow.
func (g *game) runFlow(ctx context.Context, f Flow, began time.Time) error {
	time.Sleep(time.Until(began.Add(f.At)))
	run, err := f.flow()
	if err != nil {
		return err
	}
	first, err := g.revise(ctx, f, run, nil, func(ctx context.Context, c *client.Client) error {
		_, err := c.RunFlow(ctx, client.FlowStart{Text: run.Text, RunID: run.Run})
		return err
	})
	if err != nil || !f.Mend || first.outcome != "FAILED" || first.poisoned > 0 {
		return err
	}
	mended, err := faults.NewFlowRun(faults.Mended(run.Flow), run.Run)
	if err != nil {
		return err
	}
	_, err = g.revise(ctx, f, mended, first, func(ctx context.Context, c *client.Client) error {
		_, err := c.ResumeFlowRun(ctx, client.FlowResume{Run: run.Name(), Text: mended.Text})
		return err
	})
	return err
}

// revise begins a revision, after the one before it, and waits for its end.
func (g *game) revise(ctx context.Context, f Flow, run *faults.FlowRun, before *revision, begin func(context.Context, *client.Client) error) (*revision, error) {
	out := &revision{FlowRun: run, number: 1}
	if before != nil {
		out.number, out.resumes = before.number+1, faults.SettledOf(before.jobs)
	}
	what := fmt.Sprintf("begin revision %d of %s", out.number, run.Name())
	if err := g.call(ctx, what, begin); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if f.Repeat && before == nil {
		if err := g.call(ctx, what+" again", begin); err != nil {
			return nil, fmt.Errorf("%s again: %w", what, err)
		}
	}
	err := g.call(ctx, "wait for "+run.Name(), func(ctx context.Context, c *client.Client) error {
		got, err := c.FlowRun(ctx, run.Name())
		if err != nil {
			return err
		}
		if out.tree == "" {
			out.tree = got.TreeID
			g.mu.Lock()
			g.flowTrees = append(g.flowTrees, out.tree)
			g.mu.Unlock()
		}
		if got.Outcome == "RUNNING" {
			if _, err := c.Wait(ctx, got.TreeID); err != nil {
				return err
			}
			if got, err = c.FlowRun(ctx, run.Name()); err != nil {
				return err
			}
		}
		out.outcome = got.Outcome
		if got.Revision != out.number {
			g.problem("%s: %s is at revision %d, want %d", flowsCome, run.Name(), got.Revision, out.number)
		}
		return json.Unmarshal(got.Jobs, &out.jobs)
	})
	if err != nil {
		return nil, fmt.Errorf("wait for %s: %w", run.Name(), err)
	}
	for _, j := range out.jobs {
		for _, step := range j.Steps {
			if step.Status == "FAILED" && step.ErrorKind == string(dag.KindLost) {
				out.poisoned++
			}
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.revisions = append(g.revisions, out)
	return out, nil
}

// judgeFlows holds the runs of flows against what they must come to.
func (g *game) judgeFlows(ctx context.Context) error {
	runs, err := faults.ReadJournal(g.c.base.JournalFile())
	if err != nil {
		return err
	}
	counts := &g.out.Counts
	for _, r := range g.revisions {
		counts.Flows++
		if r.number > 1 {
			counts.Resumed++
		}
		if counts.Poisoned += r.poisoned; r.poisoned > 0 {
			continue
		}
		ids := map[string]string{}
		for t, err := range g.c.clients[0].Tasks(ctx, client.TaskFilter{TreeOf: r.tree}) {
			if err != nil {
				return err
			}
			ids[t.Name] = t.ID
			counts.Runs += len(runs[t.ID])
		}
		problems, err := r.Came(r.jobs, ids, g.c.base.Dir, r.resumes)
		if err != nil {
			return err
		}
		problems = append(problems, r.InOrder(runs, ids, func(r *faults.Run) bool { return r.FrozenSince > 0 || g.c.leapt(r) })...)
		if want := r.Outcome(); r.outcome != want {
			problems = append(problems, fmt.Sprintf("%s: revision %d is %s, want %s", r.Name(), r.number, r.outcome, want))
		}
		for _, problem := range problems {
			g.problem("%s: %s", flowsCome, problem)
		}
	}
	return nil
}
