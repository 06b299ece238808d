package disasters

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// load submits small trees one after the other, through each coordinator in turn, and remembers which were accepted, and when.
type load struct {
	t    *testing.T
	c    *cluster.Cluster
	stop context.CancelFunc
	done sync.WaitGroup

	mu       sync.Mutex
	accepted map[string]time.Time // by id of the tree: when its answer came
	n        int
}

// tasks of each tree: two, and one that needs them.
const tasks = 3

// startLoad begins, with so many callers at once.
func startLoad(t *testing.T, c *cluster.Cluster, callers int) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{t: t, c: c, stop: cancel, accepted: map[string]time.Time{}}
	coordinators := slices.Clone(c.Coordinators)
	for caller := range callers {
		l.done.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				l.submit(ctx, coordinators[n%len(coordinators)].P, caller)
			}
		})
	}
	t.Cleanup(l.end)
	return l
}

// end stops the callers.
func (l *load) end() {
	l.stop()
	l.done.Wait()
}

// submit submits one tree, and gives up what has no answer within 2 s, as an impatient caller does: whether it was stored is not known then.
func (l *load) submit(ctx context.Context, to coordinator.Service, caller int) {
	l.mu.Lock()
	l.n++
	id := fmt.Sprintf("load-%d-%d", caller, l.n)
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	tree := []*dag.Task{{ID: id, Name: id, Executor: "noop_executor", Dependencies: []dag.Dependency{{Ref: id + "-a"}, {Ref: id + "-b"}}}}
	for _, part := range []string{"-a", "-b"} {
		tree = append(tree, &dag.Task{ID: id + part, Name: id + part, ParentRef: id, Executor: "noop_executor"})
	}
	if _, err := to.Submit(ctx, coordinator.SubmitOptions{}, cluster.Seq(tree)); err != nil {
		time.Sleep(10 * time.Millisecond)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepted[id] = time.Now()
}

// trees are the ids of the accepted trees.
func (l *load) trees() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.accepted))
}

// after waits until so many trees were accepted after a moment.
func (l *load) after(at time.Time, trees int) (first time.Time) {
	l.t.Helper()
	eventually(l.t, "trees are accepted", func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		n := 0
		first = time.Time{}
		for _, when := range l.accepted {
			if when.After(at) {
				n++
				if first.IsZero() || when.Before(first) {
					first = when
				}
			}
		}
		if n < trees {
			return fmt.Errorf("%d were", n)
		}
		return nil
	})
	return first
}

// settled waits until every tree that the database has is completed, each task after one result, and answers which of the accepted ones it
// does not have. by is asked.
func (l *load) settled(by coordinator.Service) (lost []string) {
	l.t.Helper()
	for _, id := range l.trees() {
		eventually(l.t, id+" is settled", func() error {
			tree, err := by.Tree(l.t.Context(), id)
			if errors.Is(err, coordinator.ErrNotFound) {
				lost = append(lost, id)
				return nil
			}
			if err == nil && (tree.Unfinished > 0 || tree.Completed != tasks) {
				err = fmt.Errorf("%+v", *tree)
			}
			return err
		})
	}
	return lost
}
