package coordinator_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// timedTree is a tree with a job of two steps, which wait for their gates, and a task after the job, whatever becomes of that. All ids begin with the name.
func timedTree(name string, fold bool, timeout time.Duration) []*dag.Task {
	id := func(of string) string { return name + "-" + of }
	job := &dag.Task{ID: id("job"), Name: id("job"), ParentRef: name, Fold: fold, Timeout: timeout, Dependencies: []dag.Dependency{{Ref: id("a")}, {Ref: id("b")}}}
	after := noop(id("after"), name)
	after.Dependencies = []dag.Dependency{{Ref: id("job"), Optional: true}}
	root := noop(name, "")
	root.Dependencies = []dag.Dependency{{Ref: id("job"), Optional: true}, {Ref: id("after")}}
	return []*dag.Task{root, job, gated(id("a"), id("job"), "gate_executor", `{}`), gated(id("b"), id("job"), "gate_executor", `{}`, id("a")), after}
}

// timedOut fails the test unless the job of a tree ended as its time was up, with all below it.
func (l *limits) timedOut(name string) {
	l.t.Helper()
	l.Settled(name)
	tasks := l.Tasks(name)
	job, a, b := tasks[name+"-job"], tasks[name+"-a"], tasks[name+"-b"]
	if job.State != dag.Failed || job.ErrorKind != dag.KindTimeout || a.State != dag.Cancelled || b.State != dag.Cancelled || tasks[name+"-after"].State != dag.Completed {
		l.t.Errorf("%s: the job is %s, %s (%s), a is %s, b is %s, what comes after it is %s", name, job.State, job.ErrorKind, job.Error, a.State, b.State, tasks[name+"-after"].State)
	}
}

// TestAGroupTimesOut: when the time of a group is up, it fails, and what is below it is cancelled; its time begins with what is below it, and anew when it runs again.
func TestAGroupTimesOut(t *testing.T) {
	t.Parallel()
	l := startLimits(t, cluster.Options{Concurrency: 8})
	const short = 300 * time.Millisecond
	for _, fold := range []bool{true, false} {
		l.Submit(coordinator.SubmitOptions{}, timedTree(fmt.Sprint("late ", fold), fold, short)...)
	}
	l.Submit(coordinator.SubmitOptions{}, timedTree("in time", true, time.Hour)...)
	locked := timedTree("locked", true, short)
	locked[2] = limited(locked[2], &dag.Limiting{Lock: &dag.Lock{Key: "k"}})
	holder := limited(gated("holder", "", "gate_executor", `{}`), &dag.Limiting{Lock: &dag.Lock{Key: "k"}})
	l.Submit(coordinator.SubmitOptions{}, holder)
	l.waitsFor("holder", dag.Running)
	l.Submit(coordinator.SubmitOptions{}, locked...)
	l.timedOut("late true")
	l.timedOut("late false")

	got, err := l.Service().Execute(t.Context(), "late true", coordinator.ExecuteOptions{RerunCancelled: true})
	if err != nil || got.Outcome != coordinator.Started {
		t.Fatal(got, err)
	}
	l.timedOut("late true")
	if job := l.Tasks("late true")["late true-job"]; job.Attempt != 2 {
		t.Errorf("the job that ran again has attempt %d", job.Attempt)
	}

	if job := l.Tasks("locked")["locked-job"]; job.State != dag.Waiting {
		t.Errorf("a job that waits for its lock is %s", job.State)
	}
	l.gate.open("holder")
	l.timedOut("locked")

	l.gate.open("in time-a")
	l.gate.open("in time-b")
	l.Settled("in time")
	if job := l.Tasks("in time")["in time-job"]; job.State != dag.Completed {
		t.Errorf("the job in time is %s", job.State)
	}
	l.empty()
}

// TestAGroupThatIsHeldTimesOut: a tree that is executed later, and one to which tasks are added, keep the time of their groups; one that is cancelled has none.
func TestAGroupThatIsHeldTimesOut(t *testing.T) {
	t.Parallel()
	l := startLimits(t, cluster.Options{Concurrency: 8})
	l.Submit(coordinator.SubmitOptions{Hold: true}, timedTree("held", true, 300*time.Millisecond)...)
	l.Submit(coordinator.SubmitOptions{}, timedTree("cancelled", true, 2*time.Second)...)
	l.waitsFor("cancelled-a", dag.Running)
	if _, err := l.Service().Cancel(context.WithoutCancel(t.Context()), "cancelled", coordinator.CancelOptions{}); err != nil {
		t.Fatal(err)
	}
	if got, err := l.Service().Execute(t.Context(), "held", coordinator.ExecuteOptions{}); err != nil || got.Outcome != coordinator.Started {
		t.Fatal(got, err)
	}
	l.timedOut("held")
	l.Settled("cancelled")
	if job := l.Tasks("cancelled")["cancelled-job"]; job.State != dag.Cancelled {
		t.Errorf("the job of a cancelled tree is %s", job.State)
	}
	l.empty()
}
