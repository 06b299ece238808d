package cancels

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors/ssh/sshtest"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

const (
	grace    = 500 * time.Millisecond // of what is deaf to the signal to stop
	patience = time.Minute            // nothing takes that long unless it is stuck
	noticed  = time.Minute            // in which a server notices that a request has gone
)

// site is a cluster, and what came of the cancellations.
type site struct {
	worker  config.Worker // its settings
	c       *cluster.Cluster
	kinds   []kind
	within  time.Duration // from a cancellation to its receipt
	mu      sync.Mutex
	tallies map[string]*tally // by executor
	temp    string            // directory for the worker's temporary files
}

// tally counts the attempts of an executor.
type tally struct {
	unstarted, completed int
	took                 []time.Duration // from the cancellation to the receipt
}

func newSite(t *testing.T) *site {
	s := &site{tallies: map[string]*tally{}, worker: *config.Defaults[*config.Worker]()}
	for _, build := range builders {
		kinds, err := build(t, s)
		if errors.Is(err, errLacks) {
			t.Log(err)
		} else if err != nil {
			t.Fatal(err)
		}
		s.kinds = append(s.kinds, kinds...)
	}
	s.within = s.worker.KillGrace
	if !full {
		s.within *= 4 // other tests run beside it
	}
	s.temp = t.TempDir()
	t.Setenv("TMPDIR", s.temp)
	s.c = cluster.Start(t, cluster.Options{Worker: func(w *config.Worker) {
		w.Executors = s.worker.Executors
		w.AddressLoopback, w.CommandGrace = true, grace
	}, Coordinator: func(c *config.Coordinator) { c.HTTPAddr = "127.0.0.1:0" }})
	return s
}

// play submits a tree, cancels it as planned, waits for the receipts, and looks for what is left.
func (s *site) play(ctx context.Context, name string, p *plan) error {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	tasks, kinds := s.tasks(name, p)
	out, err := s.c.Service().Submit(ctx, coordinator.SubmitOptions{}, cluster.Seq(tasks))
	if err != nil {
		return err
	}
	var faults []error
	if p.Child >= 0 {
		id := tasks[p.Child+1].ID
		faults = append(faults, s.cancel(ctx, p.ChildAt, id))
	}
	faults = append(faults, s.cancel(ctx, p.TreeAt, out.TreeID))
	for id, k := range kinds {
		faults = append(faults, s.judge(ctx, id, k))
	}
	return errors.Join(faults...)
}

// tasks are those of a plan, and their kinds by id.
func (s *site) tasks(name string, p *plan) (tasks []*dag.Task, kinds map[string]*kind) {
	kinds = map[string]*kind{}
	group := ""
	if len(p.Works) > 1 {
		group = name + "-group"
		tasks = append(tasks, &dag.Task{ID: group, Name: group, Priority: dag.Normal})
	}
	for i, w := range p.Works {
		k := &s.kinds[w.Kind]
		id := fmt.Sprintf("%s-%02d", name, i)
		inputs, _ := json.Marshal(k.inputs(id, w.Variant, w.Seconds)) // of texts and numbers
		task := &dag.Task{ID: id, Name: id, ParentRef: group, Priority: dag.Normal, Executor: k.executor, Inputs: inputs}
		if w.After {
			task.Dependencies = []dag.Dependency{{Ref: tasks[len(tasks)-1].ID}}
		}
		kinds[id] = k
		tasks = append(tasks, task)
	}
	return tasks, kinds
}

func (s *site) cancel(ctx context.Context, at time.Duration, id string) error {
	time.Sleep(at) // a moment that the seed chose
	_, err := s.c.Service().Cancel(ctx, id, coordinator.CancelOptions{})
	if err != nil {
		return fmt.Errorf("cancel %s: %w", id, err)
	}
	return nil
}

// judge waits until nothing of a task is open, and says what is wrong with its end.
func (s *site) judge(ctx context.Context, id string, k *kind) error {
	t, err := s.ended(ctx, id)
	if err != nil {
		return err
	}
	if err := s.nothingLeft(id, k); err != nil {
		return fmt.Errorf("%s, %s, %s: left behind: %w", id, k.executor, t.State, err)
	}
	attempts, err := s.c.Service().Attempts(ctx, id)
	if err != nil {
		return err
	}
	switch t.State {
	case dag.Blocked:
		if len(attempts) > 0 {
			return fmt.Errorf("%s, %s: blocked, with an attempt", id, k.executor)
		}
	case dag.Completed:
		if !k.silent && !strings.Contains(string(t.Result), id) {
			return fmt.Errorf("%s, %s: completed with %s", id, k.executor, t.Result)
		}
	case dag.Cancelled:
	default:
		return fmt.Errorf("%s, %s: %s: %s", id, k.executor, t.State, t.Error)
	}
	return s.count(id, k, attempts)
}

// count judges the attempts of a task, and counts them.
func (s *site) count(id string, k *kind, attempts []coordinator.Attempt) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := s.tallies[k.executor]
	if sum == nil {
		sum = &tally{}
		s.tallies[k.executor] = sum
	}
	if len(attempts) == 0 {
		sum.unstarted++
	}
	for _, a := range attempts {
		switch {
		case a.Outcome == dag.OutcomeCompleted:
			sum.completed++
		case a.Outcome != dag.OutcomeCancelled:
			return fmt.Errorf("%s, %s: attempt %+v", id, k.executor, a)
		case a.CancelledAt.IsZero() && a.StartedAt.IsZero():
			sum.unstarted++
		case a.CancelledAt.IsZero():
			return fmt.Errorf("%s, %s: no receipt: %+v", id, k.executor, a)
		default:
			took := a.FinishedAt.Sub(a.CancelledAt)
			sum.took = append(sum.took, took)
			if took > s.within {
				return fmt.Errorf("%s, %s: its receipt came after %v", id, k.executor, took)
			}
		}
	}
	return nil
}

// ended waits until a task has ended and no worker holds an attempt of it.
func (s *site) ended(ctx context.Context, id string) (t *coordinator.Task, err error) {
	err = eventually(patience, func() error {
		why, err := s.c.Service().Why(ctx, id)
		if err != nil {
			return err
		}
		if !why.State.Settled() || slices.ContainsFunc(why.Waits, func(w coordinator.Wait) bool { return w.Kind == coordinator.WaitWorker }) {
			return fmt.Errorf("%s: %s", id, why.Summary)
		}
		t, err = s.c.Service().Task(ctx, id)
		return err
	})
	return t, err
}

// nothingLeft looks at what is left of a task. Processes are gone by then; a server may take a moment to notice.
func (s *site) nothingLeft(id string, k *kind) error {
	if err := processes(id); err != nil {
		return err
	}
	if k.left == nil {
		return nil
	}
	return eventually(noticed, func() error { return k.left(id) })
}

// eventually waits until f is nil.
func eventually(most time.Duration, f func() error) (err error) {
	for end := time.Now().Add(most); ; time.Sleep(5 * time.Millisecond) {
		if err = f(); err == nil || time.Now().After(end) {
			return err
		}
	}
}

// held are the descriptors and goroutines of this process, whose worker has nothing to do.
func held() (files, goroutines int) {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries), runtime.NumGoroutine()
}

// children are the processes that this one has started, without the servers of the test.
func children() error {
	var left []string
	for pid, parent := range sshtest.Processes() {
		line := sshtest.CommandLine(pid)
		if parent == os.Getpid() && !strings.Contains(line, "sshd") && !strings.Contains(line, "postgres") {
			left = append(left, line)
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("children: %s", strings.Join(left, "; "))
	}
	return nil
}

// working are goroutines of executors, which none is when their worker has stopped.
func working() error {
	buf := make([]byte, 8<<20)
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		ours := strings.Contains(stack, "taskgrove/executors/") || strings.Contains(stack, "taskgrove/worker.")
		if ours && !strings.Contains(stack, "/sshtest.") {
			return fmt.Errorf("a goroutine:\n%s", stack)
		}
	}
	return nil
}
