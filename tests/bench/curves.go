package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
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
func curveOfWorkers(ctx context.Context, c *cluster, o options) (out []figure, err error) {
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
		out = append(out, point(curveWorkers, want, o.curve, total.Seconds()))
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

// plot draws a curve: x and y from 0, x on a logarithmic scale where it spans more than two decades.
func plot(title string, xs, ys []float64) string {
	const w, h, left, bottom = 520.0, 260.0, 60.0, 40.0
	scale := func(x float64) float64 { return x }
	if xs[0] > 0 && xs[len(xs)-1]/xs[0] > 100 {
		scale = math.Log10
	}
	low, high, top := scale(xs[0]), scale(xs[len(xs)-1]), 0.0
	for _, y := range ys {
		top = max(top, y*1.15)
	}
	px := func(x float64) float64 { return left + (scale(x)-low)/max(high-low, 1e-9)*(w-left-30) }
	py := func(y float64) float64 { return h - bottom - y/max(top, 1e-9)*(h-bottom-30) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="11">`+"\n", w, h)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/><text x="%.0f" y="18" font-size="13">µs per task, by %s</text>`+"\n", left, title)
	fmt.Fprintf(&b, `<path d="M%.0f 30V%.0fH%.0f" fill="none" stroke="black"/>`+"\n", left, h-bottom, w-20)
	var line []string
	for i, x := range xs {
		line = append(line, fmt.Sprintf("%.1f,%.1f", px(x), py(ys[i])))
		fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3"/><text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`, px(x), py(ys[i]), px(x), py(ys[i])-8, human(ys[i]))
		fmt.Fprintf(&b, `<text x="%.1f" y="%.0f" text-anchor="middle">%s</text>`+"\n", px(x), h-bottom+16, strconv.FormatFloat(x, 'f', -1, 64))
	}
	fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="black"/></svg>`+"\n", strings.Join(line, " "))
	return b.String()
}
