package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/oracle"
	"github.com/taskgrove/taskgrove/worker"
)

// tasksOf reads all tasks of a tree, by id.
func tasksOf(ctx context.Context, s coordinator.Service, id string) (map[string]*coordinator.Task, error) {
	out := map[string]*coordinator.Task{}
	f := coordinator.TaskFilter{TreeOf: id, Limit: 1000}
	for {
		page, err := s.Tasks(ctx, f)
		if err != nil {
			return nil, err
		}
		for _, t := range page.Items {
			out[t.ID] = t
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			return out, nil
		}
	}
}

// CheckEnds holds a settled tree against the oracle. exact: attempts that count are as many as the oracle says, and no
// other kind is there; else workers were lost, and more may be. Once a worker is on record as lost, as leases end without a fault
// on a machine that is too busy, that does not hold for a task with attempts that do not count.
func CheckEnds(ctx context.Context, s coordinator.Service, tree oracle.Tree, exact bool) error {
	got, err := tasksOf(ctx, s, tree.Tasks[0].ID)
	if err != nil {
		return err
	}
	workers, err := s.Workers(ctx)
	if err != nil {
		return err
	}
	lost := slices.ContainsFunc(workers, func(w coordinator.Worker) bool { return w.State == coordinator.WorkerLost })
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if len(got) != len(tree.Tasks) {
		fault("got %d tasks, want %d", len(got), len(tree.Tasks))
	}
	for i, want := range tree.Run() {
		t := got[tree.Tasks[i].ID]
		if t == nil {
			fault("task %s is not there", tree.Tasks[i].ID)
			continue
		}
		if t.State != want.State {
			fault("task %s: got %s (%s), want %s", t.ID, t.State, t.Error, want.State)
			continue
		}
		if want.State == dag.Completed && !same(t.Result, want.Result) {
			fault("task %s: result: got %s, want %v", t.ID, t.Result, want.Result)
		}
		if want.Inputs != nil {
			if err := sameInputs(t.Inputs, want.Inputs); err != nil {
				fault("task %s: inputs: %w", t.ID, err)
			}
		}
		attempts, err := s.Attempts(ctx, t.ID)
		if err != nil {
			return err
		}
		if err := checkAttempts(attempts, want, exact, lost); err != nil {
			fault("task %s: %w", t.ID, err)
		}
	}
	return errors.Join(faults...)
}

func same(got json.RawMessage, want any) bool {
	var v any
	if len(got) > 0 && json.Unmarshal(got, &v) != nil {
		return false
	}
	return reflect.DeepEqual(v, want)
}

func sameInputs(got json.RawMessage, want map[string]any) error {
	var v map[string]any
	if err := json.Unmarshal(got, &v); err != nil {
		return fmt.Errorf("%s: %w", got, err)
	}
	delete(v, oracle.ScriptKey)
	if !reflect.DeepEqual(v, want) {
		return fmt.Errorf("got %v, want %v", v, want)
	}
	return nil
}

// ungranted are the errors of attempts whose grant was lost in a cut, or came too late for its slot or its timeout: they
// went back uncounted, and the task's script, which counts numbers, is one off.
var ungranted = []string{worker.ErrNoSlot.Error(), worker.ErrLate.Error(), worker.ErrMissed.Error(), dag.Disowned}

// checkAttempts holds a task's history against its end: numbers without gaps, only the last one successful, as many
// counted as the policy allows.
func checkAttempts(attempts []coordinator.Attempt, want oracle.End, exact, lost bool) error {
	counted, ends := 0, map[dag.Outcome]int{}
	for i, a := range attempts {
		if a.Number != i+1 {
			return fmt.Errorf("attempt %d has the number %d", i+1, a.Number)
		}
		if a.Counted {
			counted++
		}
		ends[a.Outcome]++
		exact = exact && !slices.Contains(ungranted, a.Error) && !(lost && !a.Counted)
	}
	wantCompleted, wantCancelled := 0, 0
	switch want.State {
	case dag.Completed:
		wantCompleted = 1
	case dag.Cancelled:
		wantCancelled = 1
	}
	switch {
	case ends[dag.OutcomeCompleted] != wantCompleted || ends[dag.OutcomeCancelled] != wantCancelled:
		return fmt.Errorf("outcomes of attempts: got %v, task is %s", ends, want.State)
	case counted != want.Attempts && (exact || want.State != dag.Completed && counted > want.Attempts):
		return fmt.Errorf("%d counted attempts %v, want %d", counted, ends, want.Attempts)
	case exact && len(attempts) != counted+wantCancelled:
		return fmt.Errorf("outcomes of attempts: got %v, nothing was lost: %+v", ends, attempts)
	}
	return nil
}

// CheckEvents replays a tree's events: sequence numbers without gaps, each task ended at most once, and one final event
// at the end.
func CheckEvents(ctx context.Context, s coordinator.Service, id string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	last, finals, ended := int64(0), 0, map[string]coordinator.EventType{}
	for e, err := range s.Watch(ctx, id, 0) {
		if err != nil {
			return fmt.Errorf("watch: %w", err)
		}
		if e.Sequence == 0 {
			continue
		}
		if last != 0 && e.Sequence != last+1 {
			return fmt.Errorf("event %d follows %d", e.Sequence, last)
		}
		last = e.Sequence
		if finals > 0 {
			return fmt.Errorf("event %s after the final one", e.Type)
		}
		switch e.Type {
		case coordinator.EventCompleted, coordinator.EventFailed, coordinator.EventCancelled:
			if before, twice := ended[e.TaskID]; twice {
				return fmt.Errorf("task %s: %s after %s", e.TaskID, e.Type, before)
			}
			ended[e.TaskID] = e.Type
		case coordinator.EventFinal:
			finals++
		}
	}
	if finals != 1 {
		return fmt.Errorf("%d final events", finals)
	}
	return nil
}

// CheckRuns holds the journal's runs against the tree: one run at a time for each task, each attempt once, and none
// before what the task depends on had ended. ends are how the tasks ended; exempt tasks may overlap.
func CheckRuns(runs map[string][]*Run, tree oracle.Tree, states []dag.State, exempt func(i int) bool) error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for i, t := range tree.Tasks {
		mine := runs[t.ID]
		if len(mine) == 0 {
			if states[i] == dag.Completed && !t.Group {
				fault("task %s completed and never ran", t.ID)
			}
			continue
		}
		if states[i] == dag.Blocked || t.Cancelled {
			fault("task %s is %s and ran: %s", t.ID, states[i], show(mine))
		}
		for n, r := range mine {
			if n == 0 || exempt(i) {
				continue
			}
			before := mine[n-1]
			if before.over() == 0 || before.over() > r.Start {
				fault("task %s ran twice at once: %s", t.ID, show(mine))
			}
			if r.Attempt <= before.Attempt {
				fault("task %s: an attempt ran twice: %s", t.ID, show(mine))
			}
		}
		for _, d := range t.Deps {
			if states[d.On] == dag.Cancelled {
				continue // settled at once; what runs of it is being stopped
			}
			for _, r := range runs[tree.Tasks[d.On].ID] {
				if !exempt(d.On) && (r.over() == 0 || r.over() > mine[0].Start) {
					fault("task %s started at line %d, before its dependency %s had ended: %s", t.ID, mine[0].Start, tree.Tasks[d.On].ID, r)
				}
			}
		}
	}
	return errors.Join(faults...)
}

// checkQueues looks, in one snapshot, whether each ready task of a tree that is not being cancelled lies in exactly one
// run of ready or published.
const checkQueues = `
select count(*) from task t join tree on tree.key = t.key >> 24 and tree.cancelled_at is null
where t.state = 3 and 1 <>
  (select count(*) from ready r where r.first <= t.key and t.key < r.first + r.n and r.attempt = t.attempt and r.pool = t.pool and r.priority = t.priority)
+ (select count(*) from published r where r.first <= t.key and t.key < r.first + r.n and r.attempt = t.attempt and r.pool = t.pool and r.priority = t.priority)`

// checkCounts looks for trees whose aggregates are not those of their tasks.
const checkCounts = `
select count(*) from tree cross join lateral (
  select count(*) filter (where state = 0) as held, count(*) filter (where state in (1, 2, 3, 4)) as unfinished,
    count(*) filter (where worker is not null) as running, count(*) filter (where state = 6) as completed,
    count(*) filter (where state = 7) as failed, count(*) filter (where state = 8) as cancelled,
    count(*) filter (where state = 5) as blocked, count(*) filter (where state = 6 and flags & 1 = 1) as leaves, count(*) as tasks
  from task where key >= tree.key << 24 and key < (tree.key + 1) << 24) n
where (tree.held, tree.unfinished, tree.running, tree.completed, tree.failed, tree.cancelled, tree.blocked, tree.leaves_completed, tree.tasks)
  is distinct from (n.held, n.unfinished, n.running, n.completed, n.failed, n.cancelled, n.blocked, n.leaves, n.tasks)
  or (tree.finished_at is not null) is distinct from (tree.unfinished = 0 and tree.execution > 0)`

// checkWorkers looks for tasks that hold a worker without running or being stopped, or run without one.
const checkWorkers = `select count(*) from task where (state = 4) and worker is null or worker is not null and state not in (4, 8)`

// CheckStore looks at the invariants of the store that hold at every moment.
func CheckStore(ctx context.Context, url string) error {
	return query(ctx, url, map[string]string{
		"ready tasks that are not in exactly one run":               checkQueues,
		"trees whose counts are not those of their tasks":           checkCounts,
		"tasks with a worker that do not run, or run without a one": checkWorkers,
	})
}

// CheckSettled looks at what must be gone some time after everything is settled.
func CheckSettled(ctx context.Context, url string) error {
	return query(ctx, url, map[string]string{
		"runs left in ready":               "select count(*) from ready",
		"runs left in published":           "select count(*) from published",
		"followups left":                   "select count(*) from followup",
		"attempts open":                    "select count(*) from task where worker is not null",
		"timers left of delayed tasks":     "select count(*) from timer where kind = 1",
		"trees that count an open attempt": "select count(*) from tree where running <> 0",
	})
}

// query runs statements that count what must not be, each in a snapshot of its own.
func query(ctx context.Context, url string, counts map[string]string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var faults []error
	for what, statement := range counts {
		var n int
		if err := conn.QueryRow(ctx, statement).Scan(&n); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if n != 0 {
			faults = append(faults, fmt.Errorf("%d %s", n, what))
		}
	}
	return errors.Join(faults...)
}

// explainStatement tells of every unfinished task what it waits for, as far as the store knows.
const explainStatement = `
select s.id, t.state, t.attempt, t.pool, t.priority, t.remaining, coalesce(t.worker, 0),
  (select count(*) from ready r where r.first <= t.key and t.key < r.first + r.n),
  (select string_agg(format('attempt %s at %s', r.attempt, r.at::time), ', ') from published r where r.first <= t.key and t.key < r.first + r.n),
  (select string_agg(format('kind %s attempt %s in %s', m.kind, m.attempt, m.at - now()), ', ') from timer m where m.task = t.key),
  (select string_agg(format('kind %s', c.kind), ', ') from followup c where c.task = t.key), now()::time::text
from task t join spec s on s.key = t.key where t.state in (1, 2, 3, 4) order by t.state desc limit 12`

// Explain tells what the first unfinished tasks of a cluster that is stuck wait for.
func Explain(ctx context.Context, url string) string {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err.Error()
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, explainStatement)
	if err != nil {
		return err.Error()
	}
	var out strings.Builder
	for rows.Next() {
		var id, now string
		var state dag.State
		var attempt, pool, priority, remaining, worker, ready int64
		var published, timers, followups *string
		if err := rows.Scan(&id, &state, &attempt, &pool, &priority, &remaining, &worker, &ready, &published, &timers, &followups, &now); err != nil {
			return err.Error()
		}
		fmt.Fprintf(&out, "\n%s: %s, attempt %d, pool %d, priority %d, %d remaining, worker %d; %d in ready; published %s; timers %s; followups %s; now %s",
			id, state, attempt, pool, priority, remaining, worker, ready, text(published), text(timers), text(followups), now)
	}
	return out.String()
}

func text(s *string) string {
	if s == nil {
		return "none"
	}
	return *s
}
