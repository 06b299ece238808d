package main

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/executors/sleep"
)

// suite measures one thing: with run on a fresh cluster, or with alone on what it starts itself.
type suite struct {
	name         string
	run          func(ctx context.Context, c *cluster, o options) ([]figure, error)
	alone        func(ctx context.Context, o options) ([]measured, error)
	coordinators int      // of the cluster for run; 0: as the flag says
	floors       []string // suites of the limits programs that its figures are held against
}

// Suites of the limits programs.
const (
	floorsOfRates = "combined"
	floorsOfHops  = "hop"
	floorsOfCopy  = "postgres"
)

// Suites that need a program of their own.
const (
	riverSuite = "river"
	startSuite = "start"
)

var suites = []suite{
	{name: "small", floors: []string{floorsOfRates}, run: func(ctx context.Context, c *cluster, o options) ([]figure, error) {
		return flat(ctx, c, 10_000, claimed)
	}},
	{name: "flat", floors: []string{floorsOfRates}, run: func(ctx context.Context, c *cluster, o options) ([]figure, error) {
		return flat(ctx, c, o.tasks, claimed)
	}},
	{name: "flat-slots", floors: []string{floorsOfRates}, alone: flatWithSlots},
	{name: riverSuite, floors: []string{floorsOfRates}, alone: riverWithWorkers},
	{name: "sleeps", alone: sleeps},
	{name: "repeatable", floors: []string{floorsOfRates, floorsOfCopy}, run: func(ctx context.Context, c *cluster, o options) ([]figure, error) {
		return flat(ctx, c, o.tasks, repeatable)
	}},
	{name: "chain", floors: []string{floorsOfHops}, run: chain},
	{name: "loaded", floors: []string{floorsOfRates, floorsOfHops}, run: loaded},
	{name: "fanin", floors: []string{floorsOfRates}, run: fanIn},
	{name: "trees", floors: []string{floorsOfRates}, run: trees},
	{name: "two", floors: []string{floorsOfRates}, run: several, coordinators: 2},
	{name: "three", floors: []string{floorsOfRates}, run: several, coordinators: 3},
	{name: "json", run: throughJSON},
	{name: startSuite, alone: starts},
	{name: "million", floors: []string{floorsOfRates, floorsOfCopy}, run: million},
	{name: "history", run: history},
	{name: "idle", run: idle},
	{name: "copy", floors: []string{floorsOfCopy}, run: copyIDs},
	{name: "steps", alone: withoutSteps},
	{name: "map", run: mapped},
	{name: "map-million", run: mappedMillion},
	{name: "gates", run: gates},
	{name: "waits", run: waits},
	{name: "limits", run: limited},
	{name: "schedules", run: scheduled},
	{name: "flows", run: flowRuns},
	{name: "fair", alone: fair},
	{name: "executors", alone: overheads},
	{name: "artifacts", alone: throughArtifacts},
	{name: "curve-tasks", run: curveOfTasks},
	{name: "curve-workers", alone: curveOfWorkers},
	{name: "curve-dependencies", run: curveOfEdges},
	{name: "curve-results", run: curveOfBytes},
}

// people are the suites that show how fast it is as people run it: what the table of bars at the top of the report needs.
const people = "flat,flat-slots,river,sleeps,chain,loaded,two,three,json,start"

func suiteNames() (names []string) {
	for _, s := range suites {
		names = append(names, s.name)
	}
	return names
}

var methods = map[string]json.RawMessage{
	claimed:    json.RawMessage(`{"method":"` + claimed + `"}`),
	repeatable: json.RawMessage(`{"method":"` + repeatable + `"}`),
	sleep.ID:   json.RawMessage(`{"method":"` + sleep.ID + `"}`),
}

// The two no-ops: one pays for its claim, the other may start before it.
const (
	claimed    = "noop_executor"
	repeatable = "noop_repeatable_executor"
)

// payload makes a task's inputs about as large as those of the limits programs.
var payload = json.RawMessage(`{"value":{"ok":true,"output":"` + strings.Repeat("r", 76) + `"},"url":"` + strings.Repeat("u", 150) + `"}`)

func newTask(id, parent, executor string) *client.NewTask {
	return &client.NewTask{ID: id, Name: "resize-image", Parent: parent, Schemas: methods[executor], Inputs: payload}
}

// flatTree is a tree of n tasks without dependencies: the root, of the id given, and its children.
func flatTree(root, executor string, n int, inputs json.RawMessage) iter.Seq[*client.NewTask] {
	return func(yield func(*client.NewTask) bool) {
		for i := range n {
			t := newTask(root, "", executor)
			if i > 0 {
				t = newTask(root+"-"+strconv.Itoa(i), root, executor)
			}
			if t.Inputs = inputs; !yield(t) {
				return
			}
		}
	}
}

// submit submits tasks and waits for the end of their tree.
func submit(ctx context.Context, c *cluster, tasks iter.Seq[*client.NewTask]) (submitted, total time.Duration, tree *client.Tree, err error) {
	begin := time.Now()
	out, err := c.client.SubmitSeq(ctx, func(yield func(*client.NewTask, error) bool) {
		for t := range tasks {
			if !yield(t, nil) {
				return
			}
		}
	})
	if err != nil {
		return 0, 0, nil, err
	}
	submitted = time.Since(begin)
	for {
		if tree, err = c.client.Tree(ctx, out.TreeID); err != nil {
			return 0, 0, nil, err
		}
		if tree.Unfinished == 0 {
			total = time.Since(begin)
			break
		}
		time.Sleep(20 * time.Millisecond) // each look is work for Postgres
	}
	if tree.Completed != tree.Tasks {
		return 0, 0, nil, fmt.Errorf("%d of %d tasks completed", tree.Completed, tree.Tasks)
	}
	return submitted, total, tree, nil
}

func flat(ctx context.Context, c *cluster, n int, executor string) ([]figure, error) {
	submitted, total, _, err := submit(ctx, c, flatTree("root", executor, n, payload))
	if err != nil {
		return nil, err
	}
	kind := map[string]string{claimed: "claimed", repeatable: "repeatable"}[executor]
	figures := []figure{
		{fmt.Sprintf("flat %d, %s", n, kind), "tasks/s", float64(n) / total.Seconds()},
		{fmt.Sprintf("submit %d, %s", n, kind), "tasks/s", float64(n) / submitted.Seconds()},
	}
	return append(figures, c.costs(fmt.Sprintf("flat %d, %s", n, kind), n)...), nil
}

// costs are the processor times of each process, per task.
func (c *cluster) costs(name string, n int) (out []figure) {
	for _, r := range c.roles {
		out = append(out, figure{name + ": cpu of " + r.name, "µs/task", float64(r.cpu().Microseconds()) / float64(n)})
	}
	return append(out, figure{name + ": cpu of postgres, all processes", "µs/task", float64(c.postgresCPU().Microseconds()) / float64(n)})
}

func chain(ctx context.Context, c *cluster, o options) ([]figure, error) {
	return hops(ctx, c, o.hops, "hop")
}

// hops runs a chain and tells how long its hops took.
func hops(ctx context.Context, c *cluster, steps int, name string) ([]figure, error) {
	out, err := c.client.SubmitSeq(ctx, func(yield func(*client.NewTask, error) bool) {
		for i := range steps + 1 {
			t := newTask("step-"+strconv.Itoa(i), "step-0", claimed)
			if i == 0 {
				t.Parent = ""
			} else {
				t.Needs = []string{"step-" + strconv.Itoa(i-1)}
			}
			if !yield(t, nil) {
				return
			}
		}
	})
	if err != nil {
		return nil, err
	}
	for {
		tree, err := c.client.Tree(ctx, out.TreeID)
		if err != nil {
			return nil, err
		}
		if tree.Unfinished == 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	// A hop is from one start to the next, by the times on record.
	var starts []time.Time
	for t, err := range c.client.Tasks(ctx, client.TaskFilter{TreeOf: out.TreeID}) {
		if err != nil {
			return nil, err
		}
		starts = append(starts, t.StartedAt)
	}
	slices.SortFunc(starts, time.Time.Compare)
	var hops []time.Duration
	for i := 1; i < len(starts); i++ {
		hops = append(hops, starts[i].Sub(starts[i-1]))
	}
	slices.Sort(hops)
	ms := func(p float64) float64 { return float64(hops[min(int(p*float64(len(hops))), len(hops)-1)]) / 1e6 }
	return []figure{{name + " p50", "ms", ms(.5)}, {name + " p99", "ms", ms(.99)}, {name + " max", "ms", ms(1)}}, nil
}

func fanIn(ctx context.Context, c *cluster, o options) ([]figure, error) {
	_, total, _, err := submit(ctx, c, func(yield func(*client.NewTask) bool) {
		root := newTask("root", "", claimed)
		for i := range o.wide {
			root.Needs = append(root.Needs, "task-"+strconv.Itoa(i))
		}
		if !yield(root) {
			return
		}
		for i := range o.wide {
			if !yield(newTask("task-"+strconv.Itoa(i), "root", claimed)) {
				return
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return []figure{{fmt.Sprintf("fan-in of %d", o.wide), "tasks/s", float64(o.wide+1) / total.Seconds()}}, nil
}
