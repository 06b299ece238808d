package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/taskgrove/taskgrove/client"
)

// Sizes of [flowRuns].
const (
	flowJobs  = 10
	flowSteps = 1000 // of each job
	manyJobs  = 1000 // of one step
	manyRuns  = 1000
)

// flowRuns runs flows, and the same work as plain tasks. A step is to cost at most 1.3 times what a task of a chain does, and a task of what many jobs compile to at most 1.3 times
// what one of a flat tree does. Both times begin when the tree is stored: its text is compiled once, whatever its tasks do. How long that takes is a figure of its own.
func flowRuns(ctx context.Context, c *cluster, o options) ([]figure, error) {
	if _, _, _, err := submit(ctx, c, flatTree("warm", claimed, flowJobs*flowSteps, payload)); err != nil {
		return nil, err
	}
	submitted, total, _, err := submit(ctx, c, func(yield func(*client.NewTask) bool) {
		if !yield(newTask("chains", "", claimed)) {
			return
		}
		for i := range flowJobs * flowSteps {
			t := newTask("chain-"+strconv.Itoa(i), "chains", claimed)
			if i%flowSteps > 0 {
				t.Needs = []string{"chain-" + strconv.Itoa(i-1)}
			}
			if !yield(t) {
				return
			}
		}
	})
	if err != nil {
		return nil, err
	}
	chained := total - submitted
	name := fmt.Sprintf("%d chains of %d tasks", flowJobs, flowSteps)
	figures := []figure{{name, "tasks/s", flowJobs * flowSteps / chained.Seconds()}}

	compiled, steps, _, err := c.runFlow(ctx, "steps", flowJobs, flowSteps)
	if err != nil {
		return figures, err
	}
	name = fmt.Sprintf("flow of %d jobs with %d steps each", flowJobs, flowSteps)
	figures = append(figures, figure{name, "steps/s", flowJobs * flowSteps / steps.Seconds()}, figure{name + ": compiled and stored", "s", compiled.Seconds()}, figure{name + ": time of a step, against a task of a chain", "times", steps.Seconds() / chained.Seconds()})

	compiled, jobs, tasks, err := c.runFlow(ctx, "jobs", manyJobs, 1)
	if err != nil {
		return figures, err
	}
	submitted, total, _, err = submit(ctx, c, flatTree("flat", claimed, int(tasks), payload))
	if err != nil {
		return figures, err
	}
	flat := total - submitted
	name = fmt.Sprintf("flow of %d jobs with a step each", manyJobs)
	figures = append(figures, figure{name, "jobs/s", manyJobs / jobs.Seconds()}, figure{name + ": compiled and stored", "s", compiled.Seconds()}, figure{name + ": tasks of its tree", "tasks", float64(tasks)},
		figure{name + ": time of a task, against a flat tree of as many", "times", jobs.Seconds() / flat.Seconds()})

	begin := time.Now()
	text := flowOf("small", 2, 2)
	var all errgroup.Group
	all.SetLimit(clients)
	for i := range manyRuns {
		all.Go(func() error {
			_, err := c.client.RunFlow(ctx, client.FlowStart{Text: text, RunID: "run-" + strconv.Itoa(i)})
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return figures, err
	}
	begun := time.Since(begin)
	if err := c.allEnded(ctx); err != nil {
		return figures, err
	}
	name = fmt.Sprintf("%d runs of a flow of two jobs with two steps", manyRuns)
	return append(figures, figure{name + ": begun", "runs/s", manyRuns / begun.Seconds()}, figure{name, "runs/s", manyRuns / time.Since(begin).Seconds()}), nil
}

// flowOf is the text of a flow whose jobs have nothing to do with each other.
func flowOf(id string, jobs, steps int) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "version: 1\nflow: {id: %s, execution: graph}\njobs:\n", id)
	for j := range jobs {
		fmt.Fprintf(&b, "- id: j%d\n  steps:\n", j)
		for s := range steps {
			fmt.Fprintf(&b, "  - {id: s%d, type: %s, inputs: %s}\n", s, claimed, payload)
		}
	}
	return []byte(b.String())
}

// runFlow runs a flow to its end. It tells how long it took until its tree was stored, how long from there, and how many tasks that has.
func (c *cluster) runFlow(ctx context.Context, id string, jobs, steps int) (compiled, took time.Duration, tasks int64, err error) {
	text := flowOf(id, jobs, steps)
	begin := time.Now()
	run, err := c.client.RunFlow(ctx, client.FlowStart{Text: text})
	if err != nil {
		return 0, 0, 0, err
	}
	compiled = time.Since(begin)
	for {
		tree, err := c.client.Tree(ctx, run.TreeID)
		if err != nil {
			return 0, 0, 0, err
		}
		if tree.Unfinished == 0 {
			if tree.Completed != tree.Tasks {
				return 0, 0, 0, fmt.Errorf("%d of %d tasks completed", tree.Completed, tree.Tasks)
			}
			return compiled, time.Since(begin) - compiled, int64(tree.Tasks), nil
		}
		time.Sleep(20 * time.Millisecond) // each look is work for Postgres
	}
}
