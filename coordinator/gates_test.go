package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// started counts how many tasks of it have started, and lets each run for a moment.
type started struct {
	executors.Description
	n    atomic.Int64
	took time.Duration
}

func (s *started) Describe() executors.Description { return s.Description }

func (s *started) Run(ctx context.Context, _ *executors.Call) (*executors.Outcome, error) {
	s.n.Add(1)
	select {
	case <-time.After(s.took):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return executors.Completed(nil), nil
}

// flat is a root and n tasks of the executor in its pool.
func flat(id string, n int, user string) []*dag.Task {
	tasks := []*dag.Task{{ID: id, Name: id, UserID: user, Priority: dag.Normal}}
	for i := range n {
		tasks = append(tasks, &dag.Task{ID: fmt.Sprintf("%s.%d", id, i), Name: "x", ParentRef: id, UserID: user, Executor: "x", Priority: dag.Normal})
	}
	return tasks
}

// TestPausesOfACluster: while everything, the pool or the tree is paused nothing new starts, with two coordinators and a backlog; then all of it ends.
func TestPausesOfACluster(t *testing.T) {
	t.Parallel()
	x := &started{Description: executors.Description{ID: "x", Name: "X", Type: "go"}, took: 5 * time.Millisecond}
	c := cluster.Start(t, cluster.Options{Coordinators: 2, Concurrency: 4, Executors: func() []executors.Executor { return []executors.Executor{x} }})
	ctx := t.Context()
	c.Submit(coordinator.SubmitOptions{}, flat("t", 1500, "")...)
	for i, target := range []coordinator.PauseTarget{{Everything: true}, {Pool: "x"}, {TreeID: "t.7"}} {
		svc := c.Coordinators[i%2].P
		c.Eventually("tasks start", func() error {
			if before := x.n.Load(); before < int64(60*(i+1)) {
				return fmt.Errorf("%d have", before)
			}
			return nil
		})
		if _, err := svc.Pause(ctx, target, "maintenance"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(dag.LineWait + 50*time.Millisecond) // what was claimed ahead
		before := x.n.Load()
		time.Sleep(300 * time.Millisecond)
		if after := x.n.Load(); after != before {
			t.Errorf("%+v: %d tasks have started since it was paused", target, after-before)
		}
		st, err := svc.Tree(ctx, "t")
		if err != nil || st.Unfinished == 0 {
			t.Fatalf("%+v: nothing is left to wait: %+v, %v", target, st, err)
		}
		if page, err := c.Service().Pauses(ctx, coordinator.PauseFilter{}); err != nil || len(page.Items) != 1 || page.Items[0].Reason != "maintenance" {
			t.Errorf("%+v: listed as %+v, %v", target, page.Items, err)
		}
		for v, err := range svc.Verify(ctx, "") {
			t.Errorf("%+v: the auditor: %+v, %v", target, v, err)
		}
		if err := c.Coordinators[(i+1)%2].P.Resume(ctx, target); err != nil {
			t.Fatal(err)
		}
		if err := svc.Resume(ctx, target); !errors.Is(err, coordinator.ErrNotFound) {
			t.Errorf("%+v resumed again: %v", target, err)
		}
	}
	if st := c.Settled("t"); st.Completed != 1501 {
		t.Errorf("got %+v", st)
	}
}

// TestWhyAPausedTaskWaits: by whom, since when, and why.
func TestWhyAPausedTaskWaits(t *testing.T) {
	t.Parallel()
	x := &started{Description: executors.Description{ID: "x", Name: "X", Type: "go"}}
	c := cluster.Start(t, cluster.Options{Executors: func() []executors.Executor { return []executors.Executor{x} }})
	ctx, svc := t.Context(), c.Service()
	for _, target := range []coordinator.PauseTarget{{Everything: true}, {Pool: "x"}} {
		if _, err := svc.Pause(ctx, target, "maintenance"); err != nil {
			t.Fatal(err)
		}
	}
	c.Submit(coordinator.SubmitOptions{}, flat("t", 2, "")...)
	if _, err := svc.Pause(ctx, coordinator.PauseTarget{TreeID: "t"}, ""); err != nil {
		t.Fatal(err)
	}
	why, err := svc.Why(ctx, "t.1")
	if err != nil || why.Summary != "ready, and held back by a pause" || len(why.Waits) < 3 { // on a slow machine for a worker, too
		t.Fatalf("got %+v, %v", why, err)
	}
	for i, want := range []string{"somebody to resume everything, which anonymous has paused ", "somebody to resume pool x, which", "somebody to resume its tree, which"} {
		if w := why.Waits[i]; w.Kind != coordinator.WaitPause || !strings.HasPrefix(w.Text, want) || w.Since.IsZero() || i < 2 && !strings.HasSuffix(w.Text, "(maintenance)") {
			t.Errorf("got %+v, want %q", w, want)
		}
	}
}

// TestWhyATaskWaitsForAnOperatorsLimit: which limit, who set it and why, who has the places as far as the owner may know them, and how many tasks come first.
func TestWhyATaskWaitsForAnOperatorsLimit(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Concurrency: 8})
	ctx, svc := t.Context(), c.Service()
	one := int32(1)
	sleeps := func(id, user string) *dag.Task {
		task := sleeper(id, "", `{"seconds":600}`)
		task.UserID = user
		return task
	}
	c.Submit(coordinator.SubmitOptions{}, sleeps("amys", "amy"))
	running(c, "amys")
	if _, err := svc.SetLimit(ctx, coordinator.LimitSpec{LimitTarget: coordinator.LimitTarget{Pool: "sleep_executor"}, Max: &one, Reason: "one machine"}); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.SetLimit(ctx, coordinator.LimitSpec{LimitTarget: coordinator.LimitTarget{UserID: "amy"}, Running: &one}); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"bob", "amy"} {
		c.Submit(coordinator.SubmitOptions{}, sleeps(user+" waits", user))
	}
	pool, user := `^a place of pool sleep_executor: 1 of the 1 are held that anonymous has set \S+ \(one machine\); held by `, `^a place of user amy: 1 of the 1 are held that anonymous has set \S+; held by `
	for id, want := range map[string][]string{
		"bob waits": {pool + `a task that is not shown; it is the first in the line$`},
		"amy waits": {pool + `amys since \S+; 1 task is before it in the line$`, user + `amys since \S+$`},
	} {
		why, err := svc.Why(ctx, id)
		if err != nil || why.Summary != "ready, and held back by an operator's limit" || len(why.Waits) < len(want) {
			t.Fatalf("%s: got %+v, %v", id, why, err)
		}
		for _, w := range why.Waits[len(want):] {
			if w.Kind == coordinator.WaitLimit {
				t.Errorf("%s: got %+v, too", id, w)
			}
		}
		for i, pattern := range want {
			w := why.Waits[i]
			if w.Kind != coordinator.WaitLimit || !regexp.MustCompile(pattern).MatchString(w.Text) || (w.TaskID == "amys") != (id == "amy waits") || (w.Pool != "") != (i == 0) {
				t.Errorf("%s: got %+v, want %s", id, w, pattern)
			}
		}
	}
	why, err := svc.Why(ctx, "amys")
	for end := time.Now().Add(time.Minute); err == nil && len(why.Waits) > 0 && time.Now().Before(end); time.Sleep(dag.LineWait) { // it may only have been claimed
		why, err = svc.Why(ctx, "amys")
	}
	if err != nil || why.State != dag.Running || len(why.Waits) > 0 {
		t.Errorf("who has the place: %+v, %v", why, err)
	}
}

// TestWhatWaitsOfAUserIsBounded: a submission that goes above is refused whole; so is the start of a tree that was stored.
func TestWhatWaitsOfAUserIsBounded(t *testing.T) {
	t.Parallel()
	x := &started{Description: executors.Description{ID: "x", Name: "X", Type: "go"}}
	c := cluster.Start(t, cluster.Options{Executors: func() []executors.Executor { return []executors.Executor{x} }})
	ctx, svc := t.Context(), c.Service()
	five := int32(5)
	if _, err := svc.SetLimit(ctx, coordinator.LimitSpec{LimitTarget: coordinator.LimitTarget{UserID: "amy"}, Waiting: &five}); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.Pause(ctx, coordinator.PauseTarget{Everything: true}, ""); err != nil {
		t.Fatal(err)
	}
	c.Submit(coordinator.SubmitOptions{Hold: true}, flat("held", 3, "amy")...)
	c.Submit(coordinator.SubmitOptions{}, flat("few", 2, "amy")...) // the root waits, too
	wantQuota := func(err error) {
		t.Helper()
		quota, ok := errors.AsType[*coordinator.QuotaError](err)
		if !ok || quota.Quota != "waiting" || quota.Namespace != "amy" || quota.Most != 5 {
			t.Errorf("got %v", err)
		}
	}
	_, err := svc.Submit(ctx, coordinator.SubmitOptions{}, cluster.Seq(flat("more", 4, "amy")))
	wantQuota(err)
	if _, err := svc.Task(ctx, "more"); !errors.Is(err, coordinator.ErrNotFound) {
		t.Errorf("it was stored: %v", err)
	}
	_, err = svc.Execute(ctx, "held", coordinator.ExecuteOptions{})
	wantQuota(err)
	c.Submit(coordinator.SubmitOptions{}, flat("bobs", 9, "bob")...)
	if err := svc.Resume(ctx, coordinator.PauseTarget{Everything: true}); err != nil {
		t.Fatal(err)
	}
	c.Settled("few")
	if _, err := svc.Execute(ctx, "held", coordinator.ExecuteOptions{}); err != nil {
		t.Error(err)
	}
	c.Settled("held")
}

// TestWhatIsAddedWaitsToo: an addition that goes above is refused whole; one to a tree that nobody has executed waits for nobody.
func TestWhatIsAddedWaitsToo(t *testing.T) {
	t.Parallel()
	x := &started{Description: executors.Description{ID: "x", Name: "X", Type: "go"}}
	c := cluster.Start(t, cluster.Options{Executors: func() []executors.Executor { return []executors.Executor{x} }})
	ctx, svc := t.Context(), c.Service()
	three := int32(3)
	if _, err := svc.SetLimit(ctx, coordinator.LimitSpec{LimitTarget: coordinator.LimitTarget{UserID: "amy"}, Waiting: &three}); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.Pause(ctx, coordinator.PauseTarget{Everything: true}, ""); err != nil {
		t.Fatal(err)
	}
	one := func(id string) *dag.Task {
		return &dag.Task{ID: id, Name: "x", UserID: "amy", Executor: "x", Priority: dag.Normal}
	}
	c.Submit(coordinator.SubmitOptions{}, one("waits"))
	c.Submit(coordinator.SubmitOptions{Hold: true}, one("held"))
	_, err := svc.Add(ctx, "waits", coordinator.SubmitOptions{}, cluster.Seq([]*dag.Task{one("a"), one("b"), one("c")}))
	if quota, ok := errors.AsType[*coordinator.QuotaError](err); !ok || quota.Quota != "waiting" || quota.Most != 3 {
		t.Errorf("three more: %v", err)
	}
	if _, err := svc.Task(ctx, "a"); !errors.Is(err, coordinator.ErrNotFound) {
		t.Errorf("one was added: %v", err)
	}
	if _, err := svc.Add(ctx, "waits", coordinator.SubmitOptions{}, cluster.Seq([]*dag.Task{one("a"), one("b")})); err != nil {
		t.Errorf("two more: %v", err)
	}
	if _, err := svc.Add(ctx, "held", coordinator.SubmitOptions{}, cluster.Seq([]*dag.Task{one("d")})); err != nil {
		t.Errorf("to a tree that is held: %v", err)
	}
	if err := svc.Resume(ctx, coordinator.PauseTarget{Everything: true}); err != nil {
		t.Fatal(err)
	}
	if st := c.Settled("waits"); st.Completed != 3 {
		t.Errorf("got %+v", st)
	}
}

// TestWhatTasksFindWaitsToo: what tasks find, and the trees that they submit, count as waiting, and are not refused.
func TestWhatTasksFindWaitsToo(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{})
	ctx, svc := t.Context(), c.Service()
	three := int32(3)
	if _, err := svc.SetLimit(ctx, coordinator.LimitSpec{LimitTarget: coordinator.LimitTarget{UserID: "amy"}, Waiting: &three}); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.Pause(ctx, coordinator.PauseTarget{Pool: "sleep_executor"}, ""); err != nil {
		t.Fatal(err)
	}
	c.Submit(coordinator.SubmitOptions{UserID: "amy"}, expands("sub", "", "subtree_executor", `{"tree":[{"name":"a","schemas":{"method":"sleep_executor"},"inputs":{"seconds":0}}]}`))
	c.Submit(coordinator.SubmitOptions{UserID: "amy"}, expands("map", "", "map_executor", `{"items":[0,0,0,0,0],"task":{"schemas":{"method":"sleep_executor"},"inputs":{"seconds":"{{item}}"}}}`))
	c.Eventually("both have found what they look for", func() error {
		st, err := svc.Tree(ctx, "map")
		if err != nil || st.Tasks != 6 {
			return fmt.Errorf("%+v, %w", st, err)
		}
		if sub, err := svc.Task(ctx, "sub"); err != nil || sub.SubtreeID == "" {
			return fmt.Errorf("%+v, %w", sub, err)
		}
		return nil
	})
	_, err := svc.Submit(ctx, coordinator.SubmitOptions{UserID: "amy"}, cluster.Seq([]*dag.Task{noop("more", "")}))
	if quota, ok := errors.AsType[*coordinator.QuotaError](err); !ok || quota.Quota != "waiting" || quota.Most != 3 {
		t.Errorf("beside them: %v", err)
	}
	if err := svc.Resume(ctx, coordinator.PauseTarget{Pool: "sleep_executor"}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"map", "sub"} {
		if st := c.Settled(id); st.Failed > 0 {
			t.Errorf("%s: %+v", id, st)
		}
	}
	c.Submit(coordinator.SubmitOptions{UserID: "amy"}, noop("more", ""))
}

// TestLimitsOfPoolsAndUsers: at every instant at most so many tasks of a pool, or of a user, run or are on their way; a limit counts what ran before it was set.
func TestLimitsOfPoolsAndUsers(t *testing.T) {
	t.Parallel()
	for name, target := range map[string]coordinator.LimitTarget{"pool": {Pool: "x"}, "user": {UserID: "amy"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := &started{Description: executors.Description{ID: "x", Name: "X", Type: "go"}, took: 10 * time.Millisecond}
			c := cluster.Start(t, cluster.Options{Coordinators: 2, Workers: 2, Concurrency: 8, Executors: func() []executors.Executor { return []executors.Executor{x} }})
			ctx := t.Context()
			c.Submit(coordinator.SubmitOptions{}, flat("t", 400, "amy")...)
			c.Eventually("tasks start", func() error {
				if x.n.Load() < 20 {
					return errors.New("few have")
				}
				return nil
			})
			spec := coordinator.LimitSpec{LimitTarget: target}
			three := int32(3)
			if target.UserID != "" {
				spec.Running = &three
			} else {
				spec.Max = &three
			}
			if info, err := c.Service().SetLimit(ctx, spec); err != nil || !info.Counted {
				t.Fatal(info, err)
			}
			conn, err := pgx.Connect(ctx, c.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(context.WithoutCancel(ctx))
			count := func() (running, held int) {
				if err := conn.QueryRow(ctx, "select (select count(*) from task where pool > 0 and state = $1), (select count(*) from hold)", dag.Running).Scan(&running, &held); err != nil {
					t.Fatal(err)
				}
				return running, held
			}
			c.Eventually("what ran before has ended", func() error {
				if running, _ := count(); running > 3 {
					return fmt.Errorf("%d run", running)
				}
				return nil
			})
			most := 0
			for start := time.Now(); ; {
				running, held := count()
				if running > 3 || held > 3 {
					t.Fatalf("%d run, %d are held", running, held)
				}
				most = max(most, held)
				st, err := c.Service().Tree(ctx, "t")
				if err != nil {
					t.Fatal(err)
				}
				if st.Unfinished == 0 {
					break
				}
				if time.Since(start) > time.Minute {
					t.Fatalf("stuck: %+v", *st)
				}
			}
			if most < 3 {
				t.Errorf("at most %d were held", most)
			}
			c.Eventually("nothing is held", func() error {
				var held int
				if err := conn.QueryRow(ctx, "select count(*) from hold").Scan(&held); err != nil || held != 0 {
					return fmt.Errorf("%d: %w", held, err)
				}
				return nil
			})
			if err := c.Service().DeleteLimit(ctx, target, 0); err != nil {
				t.Error(err)
			}
		})
	}
}
