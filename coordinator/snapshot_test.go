package coordinator_test

import (
	"compress/gzip"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/columns"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// seen is what a page knows of a tree: a snapshot, and what events have told since.
type seen struct {
	tree  *coordinator.TreeStatus
	tasks map[int]*columns.Task
	bytes int
}

// look takes a snapshot.
func look(t *testing.T, svc coordinator.Service, id string, ids bool) *seen {
	t.Helper()
	s := &seen{tasks: map[int]*columns.Task{}}
	var r *columns.Reader
	for p, err := range svc.Snapshot(t.Context(), id, coordinator.SnapshotOptions{IDs: ids}) {
		if err != nil {
			t.Fatal(err)
		}
		if p.Tree != nil {
			s.tree, r = p.Tree, columns.NewReader(p.Tree.CreatedAt)
		}
		tasks, err := r.Read(p.Part)
		if err != nil {
			t.Fatal(err)
		}
		for i := range tasks {
			s.tasks[tasks[i].Place] = &tasks[i]
		}
		s.bytes += proto.Size(&pb.SnapshotPart{Tasks: int32(p.Tasks), Places: p.Places, Names: p.Names, Ids: p.IDs, Parents: p.Parents, Dependencies: p.Dependencies, States: p.States,
			Executors: p.Executors, Executor: p.ExecutorOf, Pools: p.Pools, Pool: p.PoolOf, Attempts: p.Attempts, Ready: p.Ready, Started: p.Started, Completed: p.Completed})
	}
	return s
}

// apply takes over what an event tells. It is an error if the event can't follow what is known: one before it was lost, or is known already.
func (s *seen) apply(e *coordinator.Event) error {
	task := s.tasks[e.Place]
	if e.Place == 0 {
		return nil
	}
	if task == nil {
		return fmt.Errorf("event %d, %s, is about the place %d, where there is nothing", e.Sequence, e.Type, e.Place)
	}
	from, to := task.State.Status(), dag.Running
	switch want := dag.StatusInProgress; e.Type {
	case coordinator.EventStart:
		if want = dag.StatusPending; from != want {
			return fmt.Errorf("event %d: %s starts, and is %s", e.Sequence, task.Name, task.State)
		}
	case coordinator.EventCompleted:
		to = dag.Completed
	case coordinator.EventFailed:
		to = dag.Failed
	case coordinator.EventSkipped:
		to = dag.Skipped
	case coordinator.EventCancelled:
		to = dag.Cancelled
	case coordinator.EventRetry, coordinator.EventRepeat:
		if to = dag.Waiting; from != want {
			return fmt.Errorf("event %d: %s is tried again, and is %s", e.Sequence, task.Name, task.State)
		}
	}
	if task.State.Settled() {
		return fmt.Errorf("event %d, %s, is of %s, which is %s", e.Sequence, e.Type, task.Name, task.State)
	}
	task.State, task.Attempt = to, e.Attempt
	return nil
}

// TestSnapshotAndEventsAreTheTruth: while a tree runs, fails, is retried and cancelled in part, snapshots are taken. With each, the events after its sequence lead to what is
// stored in the end, and each of them fits what was known before it.
func TestSnapshotAndEventsAreTheTruth(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Coordinators: 2, Workers: 2})
	seed := rand.Uint64()
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	tasks := []*dag.Task{{ID: "root", Name: "root", Executor: "noop_executor"}}
	for i := range 300 {
		id := fmt.Sprint("t", i)
		one := &dag.Task{ID: id, Name: "name of " + id, ParentRef: "root", Executor: "sleep_executor", Inputs: []byte(`{"seconds":0}`)}
		switch random.IntN(12) {
		case 0:
			one.Inputs = []byte(`{"seconds":0,"fail_times":9,"fail":"no"}`)
		case 1:
			one.Inputs, one.Retry = []byte(`{"seconds":0,"fail_times":1,"fail":"not yet"}`), dag.RetryPolicy{MaxAttempts: 2, InitialDelay: 1}
		case 2:
			one.Executor, one.Inputs = "", nil
		}
		for range random.IntN(3) {
			if i > 0 {
				if ref := fmt.Sprint("t", random.IntN(i)); !slices.ContainsFunc(one.Dependencies, func(d dag.Dependency) bool { return d.Ref == ref }) {
					one.Dependencies = append(one.Dependencies, dag.Dependency{Ref: ref, Optional: random.IntN(2) == 0})
				}
			}
		}
		tasks = append(tasks, one)
	}
	c.Submit(coordinator.SubmitOptions{Hold: true}, tasks...)
	svc := c.Service()
	if held := look(t, svc, "root", false); held.tree.Sequence != 0 || len(held.tasks) != 301 || held.tasks[1].State != dag.Held {
		t.Fatalf("held: %+v, %d tasks", held.tree, len(held.tasks))
	}
	if _, err := svc.Execute(t.Context(), "root", coordinator.ExecuteOptions{}); err != nil {
		t.Fatal(err)
	}
	var pages sync.WaitGroup
	follow := func(by coordinator.Service, ids bool) {
		page := look(t, by, "t7", ids)
		pages.Go(func() {
			last := page.tree.Sequence
			for e, err := range by.Watch(t.Context(), "root", last) {
				if err != nil {
					t.Error(err)
					return
				}
				if e.Sequence == 0 {
					continue
				}
				if e.Sequence != last+1 {
					t.Errorf("event %d follows %d", e.Sequence, last)
				}
				last = e.Sequence
				if err := page.apply(e); err != nil {
					t.Error(err)
				}
			}
			for id, want := range c.Tasks("root") {
				var got *columns.Task
				for _, one := range page.tasks {
					if one.Name == want.Name {
						got = one
					}
				}
				stored := want.State
				if stored == dag.Blocked { // events don't tell
					stored = dag.Waiting
				}
				if got == nil || got.State.Status() != stored.Status() || stored.Settled() && got.State != stored || got.Executor != want.Executor || ids && got.ID != id {
					t.Errorf("%s is %s, with %d attempts; known is %+v", id, want.State, want.Attempt, got)
				}
			}
		})
	}
	last := int64(0)
	for i := 0; ; i++ {
		tree, err := svc.Tree(t.Context(), "root")
		if err != nil {
			t.Fatal(err)
		}
		if tree.Unfinished == 0 {
			break
		}
		if tree.Sequence > last+20 || i == 0 {
			last = tree.Sequence
			follow(c.Coordinators[i%2].P, i%2 == 0)
		}
		if i == 5 {
			if _, err := svc.Cancel(t.Context(), "t299", coordinator.CancelOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	pages.Wait()
	after := look(t, svc, "root", true)
	for id, want := range c.Tasks("root") {
		i := slices.IndexFunc(tasks, func(t *dag.Task) bool { return t.ID == id })
		got := after.tasks[i+1]
		if got == nil || got.ID != id || got.State != want.State || got.Attempt != want.Attempt || got.Pool != want.Pool || got.Executor != want.Executor ||
			got.ReadyAt.UnixMilli() != want.ReadyAt.UnixMilli() || got.StartedAt.UnixMilli() != want.StartedAt.UnixMilli() || got.CompletedAt.UnixMilli() != want.CompletedAt.UnixMilli() {
			t.Errorf("got %+v\nwant %+v", got, want)
			continue
		}
		for n, d := range want.Dependencies {
			if on := tasks[got.Dependencies[n].Place-1].ID; on != d.ID || d.Required != got.Dependencies[n].Required {
				t.Errorf("%s depends on %s, %v; want %+v", id, on, got.Dependencies[n].Required, d)
			}
		}
	}
	for _, err := range svc.Snapshot(t.Context(), "nope", coordinator.SnapshotOptions{}) {
		if !errors.Is(err, coordinator.ErrNotFound) {
			t.Errorf("what is not there: %v", err)
		}
	}
}

// TestSnapshotOfSomeTasks: it has the tasks that are asked for, each once, and leaves out those that are not there. Places that can't be are refused.
func TestSnapshotOfSomeTasks(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	svc := c.Service()
	tasks := []*dag.Task{{ID: "some", Name: "some"}}
	for i := range 9 {
		tasks = append(tasks, &dag.Task{ID: fmt.Sprintf("t%d", i), Name: fmt.Sprintf("task %d", i), ParentRef: "some"})
	}
	c.Submit(coordinator.SubmitOptions{Hold: true}, tasks...)
	if _, err := svc.Delete(t.Context(), "t3", coordinator.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		only []int
		want string
	}{{[]int{1}, "some"}, {[]int{9, 2, 9, 3}, "t0 t1 t7"}, {[]int{5}, ""}, {[]int{4, 5, 6, dag.MaxTreeTasks}, "t2 t4"}, {nil, "some t0 t1 t2 t4 t5 t6 t7 t8"}} {
		var got []string
		for p, err := range svc.Snapshot(t.Context(), "t5", coordinator.SnapshotOptions{IDs: true, Only: row.only}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, p.IDs...)
		}
		if strings.Join(got, " ") != row.want {
			t.Errorf("%v: got %v, want %s", row.only, got, row.want)
		}
	}
	for _, only := range [][]int{{0}, {-1}, {1, dag.MaxTreeTasks + 1}, make([]int, coordinator.MaxSnapshotPlaces+1)} {
		for _, err := range svc.Snapshot(t.Context(), "some", coordinator.SnapshotOptions{Only: only}) {
			if invalid, ok := errors.AsType[*coordinator.InvalidArgumentError](err); !ok || invalid.Field != "only" {
				t.Errorf("%d places: got %v", len(only), err)
			}
		}
	}
}

// TestSnapshotOfALargeTree: it takes parts of bounded size, few bytes a task, and goes on when a reader leaves early.
func TestSnapshotOfALargeTree(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	const n = 20_000
	c.Submit(coordinator.SubmitOptions{Hold: true}, woven(n, 1)...)
	for range 3 * 2 { // more than are read at once
		for p, err := range c.Service().Snapshot(t.Context(), "big", coordinator.SnapshotOptions{}) {
			if err != nil || p.Tree == nil {
				t.Fatal(p, err)
			}
			break
		}
	}
	got := look(t, c.Service(), "big", false)
	if len(got.tasks) != n || got.tasks[n].Dependencies[1].Place != n-2 {
		t.Fatalf("%d tasks; the last is %+v", len(got.tasks), got.tasks[n])
	}
	if each := got.bytes / n; each > 40 {
		t.Errorf("%d bytes a task", each)
	}
	t.Log(got.bytes/n, "bytes a task")
}

// woven is a tree of n tasks with two dependencies each, step and twice step tasks before it.
func woven(n, step int) []*dag.Task {
	tasks := []*dag.Task{{ID: "big", Name: "big"}}
	for i := range n - 1 {
		one := &dag.Task{ID: fmt.Sprint("b", i), Name: fmt.Sprint("b", i), ParentRef: "big", Executor: "noop_executor"}
		for k := step; k <= 2*step && i >= k; k += step {
			one.Dependencies = append(one.Dependencies, dag.Dependency{Ref: fmt.Sprint("b", i-k)})
		}
		tasks = append(tasks, one)
	}
	return tasks
}

// BenchmarkSnapshot reads 100 000 tasks with 200 000 dependencies whole: the time, what is kept at once, and the bytes on the wire, as JSON that is compressed.
func BenchmarkSnapshot(b *testing.B) {
	c := cluster.Start(b, cluster.Options{})
	c.Submit(coordinator.SubmitOptions{Hold: true}, woven(100_000, 5000)...)
	if _, err := c.Service().Execute(b.Context(), "big", coordinator.ExecuteOptions{}); err != nil {
		b.Fatal(err)
	}
	if tree := c.Settled("big"); tree.Completed != 100_000 {
		b.Fatal(tree)
	}
	var packed countingWriter
	var heap, before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	most := uint64(0)
	for b.Loop() {
		packed = 0
		z := gzip.NewWriter(&packed)
		for p, err := range c.Service().Snapshot(b.Context(), "big", coordinator.SnapshotOptions{}) {
			if err != nil {
				b.Fatal(err)
			}
			text, err := protojson.Marshal(&pb.SnapshotPart{Tasks: int32(p.Tasks), Places: p.Places, Names: p.Names, Parents: p.Parents, Dependencies: p.Dependencies, States: p.States,
				Executors: p.Executors, Executor: p.ExecutorOf, Pools: p.Pools, Pool: p.PoolOf, Attempts: p.Attempts, Ready: p.Ready, Started: p.Started, Completed: p.Completed})
			if err == nil {
				_, err = z.Write(text)
			}
			if err != nil {
				b.Fatal(err)
			}
			runtime.ReadMemStats(&heap)
			most = max(most, heap.HeapAlloc)
		}
		if err := z.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(packed), "wire-bytes")
	b.ReportMetric((float64(most)-float64(before.HeapAlloc))/(1<<20), "heap-MiB")
}

type countingWriter int

func (w *countingWriter) Write(p []byte) (int, error) {
	*w += countingWriter(len(p))
	return len(p), nil
}
