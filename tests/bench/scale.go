package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/taskgrove/taskgrove/client"
)

// clients is how many clients submit at once where there are many trees.
const clients = 16

// million is a flat tree of a million tasks, and what the processes needed of memory for it.
func million(ctx context.Context, c *cluster, o options) ([]figure, error) {
	figures, err := flat(ctx, c, 1_000_000, claimed)
	if err != nil {
		return nil, err
	}
	for _, r := range c.roles {
		figures = append(figures, figure{"flat 1000000, claimed: peak memory of " + r.name, "MiB", r.peak()})
	}
	return figures, nil
}

// several is the flat work with more coordinators, and the deadlocks that they ran into.
func several(ctx context.Context, c *cluster, o options) ([]figure, error) {
	figures, err := flat(ctx, c, o.tasks, claimed)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("flat %d, %d coordinators", o.tasks, o.coordinators)
	deadlocks, err := c.count(ctx, "select deadlocks from pg_stat_database where datname = current_database()")
	return []figure{{name, "tasks/s", figures[0].Value}, {name + ": deadlocks", "", float64(deadlocks)}}, err
}

// trees are a thousand trees of a hundred tasks, submitted by several clients at once: a third of them flat, a third
// chains of ten side by side, a third layers of ten in which each task waits for two of the layer before.
func trees(ctx context.Context, c *cluster, o options) ([]figure, error) {
	const n = 1000
	begin := time.Now()
	if err := c.submitMany(ctx, n, func(i int) []client.NewTask { return grove("t"+strconv.Itoa(i), i%3) }); err != nil {
		return nil, err
	}
	submitted := time.Since(begin)
	if err := c.allEnded(ctx); err != nil {
		return nil, err
	}
	figures := []figure{{"1000 trees of 100 tasks", "tasks/s", 100 * n / time.Since(begin).Seconds()},
		{"1000 trees of 100 tasks: submitting", "trees/s", n / submitted.Seconds()}}
	return append(figures, c.costs("1000 trees of 100 tasks", 100*n)...), nil
}

// grove is a tree of 100 tasks: 0 flat, 1 chains, 2 layers. The root waits for the last ones.
func grove(prefix string, shape int) []client.NewTask {
	id := func(i int) string { return prefix + "-" + strconv.Itoa(i) }
	root := *newTask(prefix, "", claimed)
	tasks := make([]client.NewTask, 1, 100)
	for i := range 99 {
		t := newTask(id(i), prefix, claimed)
		if i >= 10 && shape > 0 {
			t.Needs = append(t.Needs, id(i-10))
		}
		if i >= 10 && shape == 2 {
			t.Needs = append(t.Needs, id(i-i%10-10+(i+1)%10))
		}
		if shape == 0 || i >= 89 {
			root.Needs = append(root.Needs, id(i))
		}
		tasks = append(tasks, *t)
	}
	tasks[0] = root
	return tasks
}

// meadow is a small flat tree, whole.
func meadow(root string, n int) (tasks []client.NewTask) {
	for t := range flatTree(root, claimed, n, payload) {
		tasks = append(tasks, *t)
	}
	return tasks
}

// submitMany submits n trees from several clients.
func (c *cluster) submitMany(ctx context.Context, n int, tree func(i int) []client.NewTask) error {
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range clients {
		g.Go(func() error {
			conn, err := client.New(c.address)
			if err != nil {
				return err
			}
			defer conn.Close()
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if _, err := conn.Submit(ctx, tree(i)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// allEnded waits until no tree runs. It asks seldom: a table of trees that change all the time is dear to look through.
func (c *cluster) allEnded(ctx context.Context) error {
	for {
		open, err := c.count(ctx, "select count(*) from (select from tree where finished_at is null limit 1) t")
		if err != nil || open == 0 {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// count asks Postgres for a number.
func (c *cluster) count(ctx context.Context, sql string) (n int64, err error) {
	if c.asking == nil {
		if c.asking, err = pgx.Connect(ctx, c.pg.URL()); err != nil {
			return 0, err
		}
	}
	return n, c.asking.QueryRow(ctx, sql).Scan(&n)
}

// loaded is a chain beside flat work that comes at half the rate that the cluster can do.
func loaded(ctx context.Context, c *cluster, o options) ([]figure, error) {
	figures, err := flat(ctx, c, 50_000, claimed)
	if err != nil {
		return nil, err
	}
	half := figures[0].Value / 2
	load, stop := context.WithCancel(ctx)
	defer stop()
	var g errgroup.Group
	g.Go(func() error {
		const tasks = 100
		ticker := time.NewTicker(time.Duration(tasks / half * float64(time.Second)))
		defer ticker.Stop()
		for i := 0; ; i++ {
			select {
			case <-load.Done():
				return nil
			case <-ticker.C:
			}
			g.Go(func() error {
				_, err := c.client.Submit(ctx, meadow("load"+strconv.Itoa(i), tasks))
				return err
			})
		}
	})
	out, err := hops(ctx, c, 300, "hop at half load")
	stop()
	if waited := g.Wait(); err == nil {
		err = waited
	}
	return append(out, figure{"hop at half load: the load", "tasks/s", half}), err
}

// history is how long reads take in an almost empty store, and in one with 10 000 finished trees.
func history(ctx context.Context, c *cluster, o options) ([]figure, error) {
	if err := c.submitMany(ctx, 100, func(i int) []client.NewTask { return meadow("a"+strconv.Itoa(i), 5) }); err != nil {
		return nil, err
	}
	if err := c.allEnded(ctx); err != nil {
		return nil, err
	}
	figures, err := c.timeReads(ctx, "100 trees")
	if err != nil {
		return nil, err
	}
	if err := c.submitMany(ctx, 10_000, func(i int) []client.NewTask { return meadow("b"+strconv.Itoa(i), 5) }); err != nil {
		return nil, err
	}
	if err := c.allEnded(ctx); err != nil {
		return nil, err
	}
	more, err := c.timeReads(ctx, "10000 trees")
	return append(figures, more...), err
}

// reads are the kinds of read that are timed.
var reads = []struct {
	what string
	call func(ctx context.Context, c *cluster, i int) error
}{
	{"detail", func(ctx context.Context, c *cluster, i int) error {
		_, err := c.client.Task(ctx, "a"+strconv.Itoa(i%100)+"-1")
		return err
	}},
	{"tree", func(ctx context.Context, c *cluster, i int) error {
		_, err := c.client.Tree(ctx, "a"+strconv.Itoa(i%100))
		return err
	}},
	{"tasks of a tree", func(ctx context.Context, c *cluster, i int) error {
		for _, err := range c.client.Tasks(ctx, client.TaskFilter{TreeOf: "a" + strconv.Itoa(i%100)}) {
			if err != nil {
				return err
			}
		}
		return nil
	}},
	{"newest 20 trees", func(ctx context.Context, c *cluster, _ int) error {
		n := 0
		for _, err := range c.client.Trees(ctx, client.TreeFilter{PageSize: 20}) {
			if n++; err != nil || n == 20 {
				return err
			}
		}
		return nil
	}},
}

// timeReads times each kind of read.
func (c *cluster) timeReads(ctx context.Context, store string) (out []figure, err error) {
	for _, read := range reads {
		var took []time.Duration
		for i := range 400 {
			begin := time.Now()
			if err := read.call(ctx, c, i); err != nil {
				return nil, err
			}
			if i >= 100 { // the first ones prepare statements
				took = append(took, time.Since(begin))
			}
		}
		slices.Sort(took)
		out = append(out, figure{fmt.Sprintf("read, %s: %s", store, read.what), "ms", float64(took[len(took)/2]) / 1e6})
	}
	return out, nil
}

// idle is what the processes use of a core when there is nothing to do.
func idle(ctx context.Context, c *cluster, o options) (out []figure, err error) {
	const look = 20 * time.Second
	time.Sleep(5 * time.Second)
	before := make([]time.Duration, len(c.roles))
	for i, r := range c.roles {
		before[i] = r.cpu()
	}
	database := c.postgresCPU()
	time.Sleep(look)
	for i, r := range c.roles {
		out = append(out, figure{"idle: cpu of " + r.name, "% of a core", 100 * float64(r.cpu()-before[i]) / float64(look)})
	}
	return append(out, figure{"idle: cpu of postgres, all processes", "% of a core", 100 * float64(c.postgresCPU()-database) / float64(look)}), nil
}

// postgresCPU is the processor time of the server's processes that live.
func (c *cluster) postgresCPU() (sum time.Duration) {
	text, err := os.ReadFile(filepath.Join(c.dir, "postgres", "pgdata", "postmaster.pid"))
	if err != nil {
		return 0
	}
	postmaster, _, _ := strings.Cut(string(text), "\n")
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && (fields[1] == postmaster || filepath.Base(filepath.Dir(name)) == postmaster) {
			sum += parseCPU(string(stat))
		}
	}
	return sum
}

// peak is the most memory that the role's process ever had resident, in MiB.
func (r *role) peak() float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if kib, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.Atoi(strings.Fields(kib)[0])
			return float64(n) / 1024
		}
	}
	return 0
}
