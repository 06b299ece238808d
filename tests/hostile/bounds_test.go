package hostile

import (
	"fmt"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// TestPoolsOfALiarAreBounded: a worker that announces other pools and executors with every beat gets no more of them in the end, and
// keeps its lease; what others announce is still taken.
func TestPoolsOfALiarAreBounded(t *testing.T) {
	s := newSite(t)
	lie := func(beat int, executors bool) string {
		reply, err := s.crook.Beat(t.Context(), func(m *workerv1.Beat) {
			for i := range 100 {
				if executors {
					for j := range 9 {
						m.Executors = append(m.Executors, fmt.Sprintf("lie-%d-%d-%d", beat, i, j))
					}
				} else if i < 50 {
					m.Pools = append(m.Pools, &workerv1.PoolCapacity{Pool: fmt.Sprintf("lie-%d-%d", beat, i), Concurrency: 1})
				}
			}
		})
		must(t, err)
		if others, err := s.other.Beat(t.Context(), nil); err != nil || others.Error != "" {
			t.Errorf("another worker meanwhile: got %v, %v", others, err)
		}
		if reply.Error != "" || reply.LeaseMs == 0 {
			t.Errorf("beat %d: got %v, want a lease", beat, reply)
		}
		return strings.Join(reply.Refused, "; ")
	}
	for _, executors := range []bool{false, true} {
		beats := 0
		refusal := ""
		for ; refusal == "" && beats < 50; beats++ {
			refusal = lie(beats, executors)
		}
		if want := map[bool]string{false: "this worker has named too many new pools", true: "this worker has announced too many new executors"}[executors]; !strings.Contains(refusal, want) {
			t.Errorf("after %d beats: got %q, want a refusal", beats, refusal)
		}
	}
	pools, err := s.Service().Pools(t.Context())
	must(t, err)
	made := 0
	for _, p := range pools {
		if strings.HasPrefix(p.Name, "lie-") {
			made++
		}
	}
	if made > 2*workerv1.MaxPools {
		t.Errorf("the liar made %d pools", made)
	}
	reply, err := s.other.Beat(t.Context(), func(m *workerv1.Beat) {
		m.Pools = append(m.Pools, &workerv1.PoolCapacity{Pool: "true", Concurrency: 1})
	})
	if err != nil || reply.Error != "" {
		t.Errorf("another worker's new pool: got %v, %v", reply, err)
	}
	if reply, err = s.crook.Beat(t.Context(), nil); err != nil || reply.Error != "" || reply.LeaseMs == 0 {
		t.Errorf("a proper beat afterwards: got %v, %v", reply, err)
	}
	s.good()
}

// TestPoolsOfATreeAreBounded: a tree can't make hundreds of pools, and the refusal names the field.
func TestPoolsOfATreeAreBounded(t *testing.T) {
	s := newSite(t)
	root := &dag.Task{ID: "root", Name: "root", Executor: "noop_executor", Priority: dag.Normal}
	tasks := []*dag.Task{root}
	for i := range pg.MaxPools {
		tasks = append(tasks, &dag.Task{ID: fmt.Sprint("t", i), Name: "t", ParentRef: "root", Executor: "noop_executor", Pool: fmt.Sprint("p", i), Priority: dag.Normal})
	}
	_, err := s.Service().Submit(t.Context(), coordinator.SubmitOptions{}, func(yield func(*dag.Task, error) bool) {
		for _, task := range tasks {
			if !yield(task, nil) {
				return
			}
		}
	})
	if err == nil || !strings.HasPrefix(err.Error(), "pool: ") {
		t.Errorf("got %v, want a refusal of the pool", err)
	}
	s.good()
}

// TestAResultThatIsRefusedTwice: a result that can't be stored fails its attempt; the same once more, whole or beside
// good ones, changes nothing and holds nobody up.
func TestAResultThatIsRefusedTwice(t *testing.T) {
	s := newSite(t)
	work := s.bait(nil)
	s.claim(s.crook, work, yes)
	bad := ResultOf(work, `"\u0000"`)
	bad.End = &workerv1.Result_CompletedInChunks{CompletedInChunks: 1 << 20} // its parts were never sent
	must(t, s.crook.Report(t.Context(), bad, bad))
	task := s.is(work, dag.StatusFailed)
	next := s.bait(nil)
	s.claim(s.crook, next, yes)
	must(t, s.crook.Report(t.Context(), bad, ResultOf(next, `1`), bad))
	if got := s.is(next, dag.StatusCompleted); string(got.Result) != "1" {
		t.Errorf("beside it: got %s", got.Result)
	}
	must(t, s.crook.Report(t.Context(), bad))
	s.good()
	if again := s.is(work, dag.StatusFailed); again.Error != task.Error || !again.CompletedAt.Equal(task.CompletedAt) {
		t.Errorf("got %q at %s, was %q at %s", again.Error, again.CompletedAt, task.Error, task.CompletedAt)
	}
	if attempts, err := s.Service().Attempts(t.Context(), work.TaskId); err != nil || len(attempts) != 1 {
		t.Errorf("got %d attempts, %v", len(attempts), err)
	}
}
