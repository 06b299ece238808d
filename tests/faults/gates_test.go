package faults

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// crowd submits a tree of a user of its name: short tasks behind as many as a worker has slots, which wait until their gates open. It waits until these run, and others
// are on their way to the worker.
func (s *site) crowd(root string, asks *dag.Limiting) oracle.Tree {
	s.t.Helper()
	tree := oracle.Tree{Tasks: []oracle.Task{{ID: root, Parent: -1, Group: true, MaxAttempts: 1}}}
	for i := range 5 * s.base.Concurrency {
		tree.Tasks = append(tree.Tasks, oracle.Task{ID: fmt.Sprintf("%s-%d", root, i), MaxAttempts: 1, Script: oracle.Script{Add: i, Gate: i < s.base.Concurrency, Millis: 3}})
	}
	tasks := TasksOf(tree, time.Now())
	for i, t := range tasks {
		t.Priority, t.NotBefore = dag.Normal, time.Time{}
		if i > 0 {
			t.Pool, t.Limiting = Pools[0], asks
		}
	}
	if _, err := s.front.Submit(s.t.Context(), coordinator.SubmitOptions{UserID: root}, each(tasks)); err != nil {
		s.t.Fatal(err)
	}
	s.trees = append(s.trees, tree)
	eventually(s.t, "the gates are reached, and others on their way", func() error {
		running := s.count("select count(*) from task t join spec s on s.key = t.key where t.worker is not null and s.id like $1", root+"-%")
		published := s.count("select count(*) from published p join task t on t.key >= p.first and t.key < p.first + p.n and t.attempt = p.attempt where t.state = $1", dag.Ready)
		if running < s.base.Concurrency || published == 0 {
			return fmt.Errorf("%d run, %d are on their way", running, published)
		}
		return nil
	})
	return tree
}

// now is what Postgres's clock says.
func (s *site) now() (at time.Time) {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.base.Postgres)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(s.t.Context(), "select clock_timestamp()").Scan(&at); err != nil {
		s.t.Fatal(err)
	}
	return at
}

// operate has a process of its own do what an operator does, and kills it at the fail point. beside goes on meanwhile; it finishes what is begun. Where it would be faster
// than the process that is to die it is stopped, and operate gives the one that comes after both.
func (s *site) operate(do Operation, point string, beside *Process) *Process {
	s.t.Helper()
	alone := point == "coordinator.after-recall-commit" || point == "coordinator.after-limits-counted"
	if alone {
		if err := beside.Stop(); err != nil {
			s.t.Error(err)
		}
	}
	settings := s.settings(SubmitRole)
	settings.Operation = &do
	victim, err := StartProcess(settings, point+"=kill")
	if err != nil {
		s.t.Fatal(err)
	}
	s.dies(victim)
	if alone {
		beside = s.start(CoordinatorRole, "")
	}
	return beside
}

// watchRules looks all the time at operators' limits that count what runs, until the function that it gives is called: what each of them holds grows to its max at most, and
// each open attempt that one is for holds its place.
func (s *site) watchRules() (stop func()) {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.base.Postgres)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		defer conn.Close(context.WithoutCancel(ctx))
		type rule struct {
			kind  dag.LimitKind
			key   string
			setAt time.Time
		}
		last := map[rule]int{}
		for ; ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
			rows, err := conn.Query(ctx, `select kind, key, set_at, max,
					(select coalesce(sum(cost), 0) from hold where hold.kind = r.kind and hold.key = coalesce(r.pool::text, r.share::text, r.key)),
					(select count(*) from task t join tree on tree.key = t.key >> 24 where t.worker is not null and t.state = $1 and (t.pool = r.pool or tree.share = r.share)
						and not exists (select from hold where hold.task = t.key and hold.kind = r.kind))
				from limit_rule r where counted`, dag.Running)
			if err != nil {
				break
			}
			var r rule
			var most, held, without int
			if _, err := pgx.ForEachRow(rows, []any{&r.kind, &r.key, &r.setAt, &most, &held, &without}, func() error {
				if was, known := last[r]; known && held > max(most, was) {
					s.t.Errorf("%d places of %s are held, %d were, and %d may be", held, r.key, was, most)
				}
				if without > 0 {
					s.t.Errorf("%d attempts run without a place of %s", without, r.key)
				}
				last[r] = held
				return nil
			}); err != nil && ctx.Err() == nil {
				s.t.Error(err)
			}
		}
	})
	return func() {
		cancel()
		done.Wait()
	}
}

// TestKilledWhilePausing kills the process that pauses everything, a pool or a tree, once that is stored, and once some of what was published has been called back; and the
// one that resumes it, once that is stored. Another one finishes it: nothing starts that is paused, what is not goes on, and then everything ends as the oracle says.
func TestKilledWhilePausing(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	ctx := t.Context()
	spare := s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	n := 0
	for _, what := range []string{"everything", "pool", "tree"} {
		for _, point := range []string{"coordinator.after-pause-commit", "coordinator.after-recall-commit"} {
			n++
			root := fmt.Sprintf("p%d", n)
			tree := s.crowd(root, nil)
			target := map[string]coordinator.PauseTarget{"everything": {Everything: true}, "pool": {Pool: Pools[0]}, "tree": {TreeID: root}}[what]
			spare = s.operate(Operation{Pause: &target}, point, spare)
			eventually(t, "another process calls back the rest", func() error {
				if n := s.count("select count(*) from pause where not settled"); n > 0 {
					return errors.New("the pause is not settled")
				}
				return nil
			})
			since := s.now()
			s.open(tree)
			if what != "everything" {
				beside := oracle.Tree{Tasks: []oracle.Task{{ID: root + "-beside", Parent: -1, MaxAttempts: 1, Script: oracle.Script{Add: n}}}}
				if what == "pool" {
					tasks := TasksOf(beside, time.Now())
					tasks[0].Pool = Pools[1]
					if _, err := s.front.Submit(ctx, coordinator.SubmitOptions{}, each(tasks)); err != nil {
						t.Fatal(err)
					}
					s.trees = append(s.trees, beside)
				} else {
					s.submit(beside)
				}
				s.ends(root + "-beside")
			}
			eventually(t, "what ran has ended", func() error {
				if n := s.count("select count(*) from task where worker is not null"); n > 0 {
					return fmt.Errorf("%d run", n)
				}
				return nil
			})
			time.Sleep(300 * time.Millisecond) // for what must not happen
			if n := s.count(`select count(*) from task t join spec s on s.key = t.key where s.id like $1 and s.id <> $2
				and (t.started_at > $3 or exists (select from attempt a where a.task = t.key and a.started_at > $3))`, root+"-%", root+"-beside", since); n > 0 {
				t.Errorf("%s, %s: %d tasks have started while they are paused", what, point, n)
			}
			if st, err := s.front.Tree(ctx, root); err != nil || st.Unfinished == 0 {
				t.Errorf("%s, %s: the tree has nothing left that was paused: %+v, %v", what, point, st, err)
			}
			s.operate(Operation{Resume: &target}, "coordinator.after-resume-commit", spare)
			s.ends(root)
		}
	}
	s.check()
}

// TestKilledWhileLimiting kills the process that sets a limit of a pool, a user or a key, once that is stored, once some of what was published has been called back,
// and once all that runs is counted. Another one finishes it: at no moment more than the max starts, and then everything ends as the oracle says, and nothing is held.
func TestKilledWhileLimiting(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	defer s.watchRules()()
	spare := s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	two := int32(2)
	n := 0
	for _, what := range []string{"pool", "user", "key"} {
		for _, point := range []string{"coordinator.after-limit-commit", "coordinator.after-recall-commit", "coordinator.after-limits-counted"} {
			if what == "key" && point != "coordinator.after-limit-commit" {
				continue // it counts what runs from the start
			}
			n++
			root := fmt.Sprintf("l%d", n)
			var asks *dag.Limiting
			if what == "key" {
				asks = &dag.Limiting{Limits: []dag.Limit{{Key: root, Max: 100}}}
			}
			tree := s.crowd(root, asks)
			target := map[string]coordinator.LimitTarget{"pool": {Pool: Pools[0]}, "user": {UserID: root}, "key": {Key: root}}[what]
			spec := &coordinator.LimitSpec{LimitTarget: target, Max: &two}
			if what == "user" {
				spec.Max, spec.Running = nil, &two
			}
			spare = s.operate(Operation{Limit: spec}, point, spare)
			eventually(t, "another process counts what runs", func() error {
				if n := s.count("select count(*) from limit_rule where not counted"); n > 0 {
					return errors.New("the limit is not counted")
				}
				return nil
			})
			s.open(tree)
			s.ends(root)
			if held := s.count("select count(*) from hold"); held > 0 {
				t.Errorf("%s, %s: %d places are held after the end", what, point, held)
			}
			s.operate(Operation{Unlimit: &target}, "coordinator.after-limit-commit", spare)
			if rules := s.count("select count(*) from limit_rule"); rules > 0 {
				t.Errorf("%s, %s: the limit is there after it was deleted", what, point)
			}
		}
	}
	s.check()
}

// TestOperatorsAtOnce: what two processes are told twice, at once, is as if it had been told once.
func TestOperatorsAtOnce(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	ctx := t.Context()
	defer s.watchRules()()
	s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	second, err := s.settings(SubmitRole).Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close() //nolint:errcheck // the test is over
	twice := func(do Operation) (failed []error) {
		var both sync.WaitGroup
		errs := make([]error, 2)
		for i, c := range []coordinator.Service{s.front, second.Coordinator} {
			both.Go(func() { errs[i] = do.do(ctx, c) })
		}
		both.Wait()
		for _, err := range errs {
			if err != nil {
				failed = append(failed, err)
			}
		}
		return failed
	}
	tree := s.crowd("twice", nil)
	two := int32(2)
	pool, user := coordinator.LimitTarget{Pool: Pools[0]}, coordinator.LimitTarget{UserID: "twice"}
	everything, whole := coordinator.PauseTarget{Everything: true}, coordinator.PauseTarget{TreeID: "twice"}
	for _, do := range []Operation{{Pause: &everything}, {Pause: &whole}, {Limit: &coordinator.LimitSpec{LimitTarget: pool, Max: &two}},
		{Limit: &coordinator.LimitSpec{LimitTarget: user, Running: &two}}} {
		if failed := twice(do); len(failed) > 0 {
			t.Errorf("%+v: %v", do, failed)
		}
	}
	if n := s.count("select (select count(*) from pause where settled) + (select count(*) from limit_rule where counted)"); n != 4 {
		t.Errorf("%d pauses and limits are in force, want 4", n)
	}
	if n := s.count("select (select count(*) from hold) - 2 * (select count(*) from task where worker is not null)"); n != 0 {
		t.Errorf("%d places more than two are held for each attempt, of its pool and of its user", n)
	}
	s.open(tree)
	for _, do := range []Operation{{Resume: &everything}, {Resume: &whole}} {
		if failed := twice(do); len(failed) != 1 || !errors.Is(failed[0], coordinator.ErrNotFound) {
			t.Errorf("%+v: %v; want one that finds nothing", do, failed)
		}
	}
	s.ends("twice")
	for _, do := range []Operation{{Unlimit: &pool}, {Unlimit: &user}} {
		if failed := twice(do); len(failed) != 1 || !errors.Is(failed[0], coordinator.ErrNotFound) {
			t.Errorf("%+v: %v; want one that finds nothing", do, failed)
		}
	}
	s.check()
}
