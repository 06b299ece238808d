package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskgrove/taskgrove/client"
)

// pools of the load run: each has a group of workers of its own in values.yaml.
var pools = [3]struct {
	name, executor string
	seconds        float64 // that a task sleeps
}{
	{"quick", "noop_executor", 0},
	{"steady", "sleep_executor", 0.05},
	{"slow", "sleep_executor", 0.3},
}

// layers of a tree. Each task needs two of the layer before, of other pools than its own as well.
const layers = 9

// treeOf makes a tree with as many tasks as size says: its root, which needs the last layer, and layers below it.
func treeOf(number, size int) []client.NewTask {
	tasks := make([]client.NewTask, 1, size)
	root := fmt.Sprintf("root-%d", number)
	width := (size - 1) / layers
	rest := (size - 1) % layers // so many layers have one task more
	var before []string
	for layer := range layers {
		n := width
		if layer < rest {
			n++
		}
		names := make([]string, n)
		for i := range n {
			names[i] = fmt.Sprintf("t-%d-%d-%d", number, layer, i)
			pool := pools[(i+layer)%len(pools)]
			task := client.NewTask{Name: names[i], Parent: root, Executor: pool.executor, Pool: pool.name}
			if pool.seconds > 0 {
				task.Inputs = map[string]any{"seconds": pool.seconds}
			}
			if before != nil {
				task.Needs = []string{before[i%len(before)]}
				if next := before[(i+1)%len(before)]; next != task.Needs[0] {
					task.Needs = append(task.Needs, next)
				}
			}
			tasks = append(tasks, task)
		}
		before = names
	}
	tasks[0] = client.NewTask{Name: root, Executor: pools[0].executor, Pool: pools[0].name, Needs: before}
	return tasks
}

// load submits trees, so many unfinished at once, and waits until all have ended.
type load struct {
	c     *client.Client
	total int64
	done  atomic.Int64 // tasks of the trees that ended, and of the others what was last seen

	mu    sync.Mutex
	roots []string         // guarded by mu; of trees that were accepted
	seen  map[string]int64 // guarded by mu; completed tasks of a tree
}

// play submits trees and waits for them.
func (l *load) play(ctx context.Context, s settings) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	room := make(chan struct{}, s.atOnce)
	var all sync.WaitGroup
	for n := range s.trees {
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		all.Go(func() {
			defer func() { <-room }()
			if err := l.tree(ctx, n, s.size); err != nil {
				cancel(fmt.Errorf("tree %d: %w", n, err))
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// tree submits one tree, whatever happens to the coordinators meanwhile, and looks at it until it has ended.
func (l *load) tree(ctx context.Context, number, size int) error {
	var sent *client.Submitted
	err := again(ctx, func() (err error) {
		sent, err = l.c.Submit(ctx, treeOf(number, size), client.WithIdempotencyKey(fmt.Sprintf("cluster-test-%d", number)))
		return err
	})
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.roots = append(l.roots, sent.TreeID)
	l.mu.Unlock()
	for {
		var tree *client.Tree
		if err := again(ctx, func() (err error) { tree, err = l.c.Tree(ctx, sent.TreeID); return err }); err != nil {
			return err
		}
		l.mu.Lock()
		l.done.Add(int64(tree.Completed) - l.seen[sent.TreeID])
		l.seen[sent.TreeID] = int64(tree.Completed)
		l.mu.Unlock()
		if tree.Ended() {
			return nil
		}
		if err := sleep(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
}

// again asks until there is an answer, for two minutes at most: while coordinators change, a call may meet one that has just gone.
func again(ctx context.Context, ask func() error) error {
	var err error
	for until := time.Now().Add(2 * time.Minute); time.Now().Before(until); {
		if err = ask(); err == nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if err := sleep(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("no answer for two minutes: %w", err)
}

// share waits until a part of all tasks has completed.
func (l *load) share(ctx context.Context, percent int64) error {
	for l.done.Load()*100 < l.total*percent {
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}
