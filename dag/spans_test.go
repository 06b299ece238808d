package dag

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// TestLocksForParents: a lock is held on only for a parent that can't end before who takes it; that one knows it, and the tree needs the level.
func TestLocksForParents(t *testing.T) {
	lock := func() *Limiting { return &Limiting{Lock: &Lock{Key: "k", Hold: HoldParent}} }
	root := Task{ID: "root", Name: "root", Dependencies: []Dependency{{Ref: "job"}}}
	job := Task{ID: "job", Name: "job", ParentRef: "root", Fold: true, Dependencies: []Dependency{{Ref: "take"}, {Ref: "step"}}}
	take := Task{ID: "take", Name: "take", ParentRef: "job", Executor: "e", Limiting: lock()}
	step := Task{ID: "step", Name: "step", ParentRef: "job", Executor: "e", Dependencies: []Dependency{{Ref: "take"}}}
	for _, tt := range []struct {
		fact   string
		change func(root, job, take, step *Task)
		want   []string // fields of faults
	}{
		{"a fold depends on it", func(_, _, _, _ *Task) {}, nil},
		{"so does a group", func(_, job, _, _ *Task) { job.Fold = false }, nil},
		{"and a task that runs", func(_, job, _, _ *Task) { job.Fold, job.Executor = false, "e" }, nil},
		{"the root", func(root, job, take, _ *Task) {
			take.ParentRef, root.Dependencies, job.Dependencies = "root", []Dependency{{Ref: "job"}, {Ref: "take"}}, job.Dependencies[1:]
		}, nil},
		{"its parent does not depend on it", func(_, job, _, _ *Task) { job.Dependencies = job.Dependencies[1:] }, []string{"lock.hold"}},
		{"it has none", func(root, _, _, _ *Task) { root.Executor, root.Limiting = "e", lock() }, []string{"lock.hold"}},
		{"it is a group", func(_, _, take, _ *Task) { take.Executor = "" }, []string{"lock"}},
		{"it may take nothing", func(_, _, take, _ *Task) { take.Control = &Control{Cache: &Cache{For: MaxCacheFor}} }, []string{"lock.hold"}},
		{"it has ended before", func(_, _, take, _ *Task) { take.Imported = &Imported{State: Completed} }, []string{"lock.hold"}},
		{"a number that is none", func(_, _, take, _ *Task) { take.Limiting.Lock.Hold = 7 }, []string{"lock.hold"}},
	} {
		t.Run(tt.fact, func(t *testing.T) {
			tasks := []*Task{new(root), new(job), new(take), new(step)}
			tasks[2].Limiting = lock()
			tt.change(tasks[0], tasks[1], tasks[2], tasks[3])
			g, err := build(Limits{}, tasks...)
			var got []string
			if bad, is := errors.AsType[*InvalidTreeError](err); is {
				for _, f := range bad.Problems {
					got = append(got, f.Field)
				}
			} else if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, tt.want) {
				t.Fatalf("got %q (%v), want %q", got, err, tt.want)
			}
			if err != nil {
				return
			}
			for i, task := range tasks {
				f := g.Flags(i, 1, task.Beyond())
				if above := task.ID == tasks[2].ParentRef; f&FlagKept != 0 != above || f&FlagKeeps != 0 != (i == 2) {
					t.Errorf("%s: flags %b", task.ID, f)
				}
				if under := tasks[2].ParentRef == "job" && task.ParentRef == "job" || tasks[2].ParentRef == "root" && i > 0; f&FlagUnder != 0 != under {
					t.Errorf("%s: it is below the lock: %t", task.ID, f&FlagUnder != 0)
				}
			}
			if got := AllLevels.Needed(tasks[2]); got != SpansLevel {
				t.Errorf("it needs level %d, want %d", got, SpansLevel)
			}
		})
	}
}

// TestWhatKeepsALock: a task keeps its lock by a success alone, and its parent gives it back by any end.
func TestWhatKeepsALock(t *testing.T) {
	for _, state := range []State{Completed, Failed, Skipped} {
		d := NewDecision(time.Unix(1e9, 0), nil)
		d.Add(Row{Key: 1, State: Running, Attempt: 1, Worker: 7, Flags: FlagLimited | FlagKeeps}, false)
		outcome := map[State]Outcome{Completed: OutcomeCompleted, Failed: OutcomeFailed, Skipped: OutcomeSkipped}[state]
		if !d.Settle(Result{Task: 1, Attempt: 1, Worker: 7, Outcome: outcome}) {
			t.Fatal("not settled")
		}
		if got := d.Row(1).KeepsLock(); got != (state == Completed) {
			t.Errorf("%s: keeps its lock: %t", state, got)
		}
	}
	for _, r := range []Row{{State: Waiting, Remaining: 1}, {State: Held}, {State: Ready, Attempt: 1}} {
		r.Key, r.Flags = 1, FlagKept
		d := NewDecision(time.Unix(1e9, 0), nil)
		d.Add(r, false)
		if d.Row(1).GivesBack() || !d.Cancel(1, "", false) || !d.Row(1).GivesBack() {
			t.Errorf("%s: cancelled, it does not give back what is held for it", r.State)
		}
	}
}

// TestPlanExecutionBelowALock: what runs below a lock does so with the lock, and what has completed stays so.
func TestPlanExecutionBelowALock(t *testing.T) {
	const (
		root = iota
		job
		take
		a
		b
		n
	)
	deps := [][]Edge{root: {{Task: job}}, job: {{Task: take}, {Task: a}, {Task: b}}, a: {{Task: take, Required: true}}, b: {{Task: take, Required: true}, {Task: a, Required: true}}}
	for _, tt := range []struct {
		fact   string
		states [n]State
		target int
		opts   ExecutionOptions
		want   []int // that run
	}{
		{"all of it starts", [n]State{}, root, ExecutionOptions{}, []int{root, job, take, a, b}},
		{"one step, with the job around it", [n]State{}, a, ExecutionOptions{}, []int{job, take, a, b}},
		{"what failed", [n]State{Failed, Failed, Completed, Completed, Failed}, root, ExecutionOptions{}, []int{root, job, take, b}},
		{"one step that failed", [n]State{Failed, Failed, Completed, Completed, Failed}, b, ExecutionOptions{}, []int{job, take, b}},
		{"one that is to run again", [n]State{Completed, Completed, Completed, Completed, Completed}, b, ExecutionOptions{Force: true}, []int{job, take, b}},
		{"also where what has completed stays", [n]State{Completed, Completed, Completed, Completed, Completed}, b, ExecutionOptions{Force: true, KeepCompleted: true}, []int{job, take, b}},
		{"what takes it is to run again, and all that depends on it", [n]State{Completed, Completed, Completed, Completed, Completed}, take, ExecutionOptions{Force: true}, []int{job, take, a, b}},
		{"a skipped one is asked again", [n]State{Completed, Completed, Skipped, Skipped, Skipped}, a, ExecutionOptions{Force: true}, []int{job, take, a, b}},
	} {
		t.Run(tt.fact, func(t *testing.T) {
			nodes := make([]Node, n)
			for i, s := range tt.states {
				nodes[i] = Node{State: s, Attempt: 1, Above: []int32{0, root + 1, job + 1, job + 1, job + 1}[i]}
			}
			nodes[take].Flags, nodes[job].Flags = FlagKeeps|FlagLimited, FlagKept|FlagFold|FlagJudged
			p := PlanExecution(nodes, func(i int) []Edge { return deps[i] }, tt.target, tt.target == root, tt.opts)
			var got []int
			for _, r := range p.Restarts {
				got = append(got, r.Index)
				if r.Index > take && r.State != Waiting {
					t.Errorf("task %d is %s, and the lock is not taken yet", r.Index, r.State)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v (%+v), want %v", got, p, tt.want)
			}
		})
	}
}
