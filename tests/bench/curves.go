package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/taskgrove/taskgrove/client"
)

// The curves: what a task costs against one thing that grows. A figure's name is "curve", what grows, and how much.
const (
	curveTasks   = "tasks"
	curveWorkers = "workers"
	curveEdges   = "dependencies per task"
	curveBytes   = "KiB of result"
)

// point is one figure of a curve: the cost of n tasks that were done in that many seconds.
func point(curve string, x int, n int, seconds float64) figure {
	return figure{fmt.Sprintf("curve, %s: %d", curve, x), "µs/task", seconds * 1e6 / float64(n)}
}

// curveOfTasks are flat trees from a thousand tasks to a million, one after the other in one cluster.
func curveOfTasks(ctx context.Context, c *cluster, o options) (out []figure, err error) {
	for n := 1000; n <= o.largest; n *= 10 {
		_, total, _, err := submit(ctx, c, flatTree("n"+strconv.Itoa(n), claimed, n, payload))
		if err != nil {
			return out, fmt.Errorf("%d tasks: %w", n, err)
		}
		out = append(out, point(curveTasks, n, n, total.Seconds()))
	}
	return out, nil
}

// curveOfWorkers is the same flat work with more and more worker processes, each with as many slots.
func curveOfWorkers(ctx context.Context, o options) (out []measured, err error) {
	c, err := startCluster(ctx, o)
	if err != nil {
		return nil, err
	}
	defer c.stop()
	for have, want := 1, 1; want <= maxWorkers; want *= 2 {
		for ; have < want; have++ {
			if err := c.addWorker(have, o); err != nil {
				return out, err
			}
		}
		_, total, _, err := submit(ctx, c, flatTree("w"+strconv.Itoa(want), claimed, o.curve, payload))
		if err != nil {
			return out, fmt.Errorf("%d workers: %w", want, err)
		}
		out = append(out, measured{point(curveWorkers, want, o.curve, total.Seconds()), o.concurrency, want})
	}
	return out, nil
}

// curveOfEdges are layers of a hundred tasks, each of which waits for some of the layer before.
func curveOfEdges(ctx context.Context, c *cluster, o options) (out []figure, err error) {
	for _, edges := range []int{0, 1, 2, 5, 10, 20, 50} {
		const width = 100
		prefix := "e" + strconv.Itoa(edges)
		id := func(i int) string { return prefix + "-" + strconv.Itoa(i) }
		_, total, _, err := submit(ctx, c, func(yield func(*client.NewTask) bool) {
			if !yield(newTask(prefix, "", claimed)) {
				return
			}
			for i := range o.curve - 1 {
				t := newTask(id(i), prefix, claimed)
				for d := range edges {
					if i >= width {
						t.Needs = append(t.Needs, id(i-i%width-width+(i+d)%width))
					}
				}
				if !yield(t) {
					return
				}
			}
		})
		if err != nil {
			return out, fmt.Errorf("%d dependencies: %w", edges, err)
		}
		out = append(out, point(curveEdges, edges, o.curve, total.Seconds()))
	}
	return out, nil
}

// curveOfBytes are flat trees whose tasks return more and more; the no-op returns what it was given, so that it goes both
// ways.
func curveOfBytes(ctx context.Context, c *cluster, o options) (out []figure, err error) {
	for _, kib := range []int{0, 1, 4, 16, 64, 256, 1000} {
		n := min(o.curve, max(200, o.curve*4/max(kib, 1))) // a bounded volume
		inputs := json.RawMessage(`{"value":{"ok":true,"output":"` + strings.Repeat("r", kib<<10) + `"}}`)
		_, total, _, err := submit(ctx, c, flatTree("b"+strconv.Itoa(kib), claimed, n, inputs))
		if err != nil {
			return out, fmt.Errorf("%d KiB: %w", kib, err)
		}
		out = append(out, point(curveBytes, kib, n, total.Seconds()))
	}
	return out, nil
}
