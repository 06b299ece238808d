package coordinator_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// corruptions are what somebody could do to a database behind the system's back, and the kind that tells of it.
// key('id') stands for the key of a task.
var corruptions = []struct{ fact, kind, sql string }{
	{"a tree counts one completion too many", "tree_counts", `update tree set completed = completed + 1 where root_id = 'au-done'`},
	{"a tree counts a completed leaf too few", "tree_counts", `update tree set leaves_completed = leaves_completed - 1 where root_id = 'au-done'`},
	{"a tree counts an open attempt that is not there", "tree_counts", `update tree set running = running + 1 where root_id = 'au-live'`},
	{"a completed task is failed behind its tree's back", "tree_counts", `update task set state = 7 where key = key('au-done-a')`},
	{"a finished tree has no end", "tree_end", `update tree set finished_at = null where root_id = 'au-done'`},
	{"an unfinished tree has one", "tree_end", `update tree set finished_at = now() where root_id = 'au-live'`},
	{"a cancellation is not carried out", "tree_cancel", `update tree set cancelled_at = now() where root_id = 'au-live'`},
	{"a tree has another root than its row says", "tree_root", `update tree set root_id = 'nobody' where root_id = 'au-done'`},
	{"a task is of another namespace than its tree", "namespace", `update spec set namespace = 1 where key = key('au-done-a')`},
	{"a tree's deadline has no timer", "tree_deadline", `delete from timer where kind = 4`},
	{"a tree that is due has no timer", "tree_due", `delete from timer where kind = 7`},
	{"a tree is late and its run is not", "tree_due", `with s as (insert into fire (schedule, kind, instant, state, late, started_at) values (1, 1, now(), 4, false, now()) returning key) update tree set fire = s.key, late_at = now() from s where root_id = 'au-wait'`},
	{"a task has an unknown state", "task_state", `update task set state = 12 where key = key('au-held')`},
	{"a waiting task counts a dependency too many", "remaining", `update task set remaining = remaining + 1 where key = key('au-live')`},
	{"a waiting task counts a dependency too few", "remaining", `update task set remaining = remaining - 1 where key = key('au-live')`},
	{"a waiting task waits for nothing", "waiting_for_nothing", `update task set state = 1, remaining = 0 where key = key('au-ready-0')`},
	{"an expanded task counts a task too many", "expansion", `update task set remaining = remaining + 1 where key = key('au-map')`},
	{"nobody knows what an expanded task found", "expansion", `delete from expansion`},
	{"of what tasks are to be made is gone", "expansion", `delete from expansion_part where part = 0`},
	{"nothing ends an expanded task", "expansion", `with e as (update expansion set made = n) update task set remaining = 0 where key = key('au-map')`},
	{"nothing says what a task waits for", "awaiting", `delete from await`},
	{"a task waits by an attempt that it has not", "awaiting", `update await set attempt = attempt + 1`},
	{"nothing ends a wait with an end", "awaiting", `delete from timer where task = key('au-wait')`},
	{"a ready task is on record as waiting", "awaiting", `insert into await (task, attempt, kind, resume) select key, attempt, 1, false from task where key = key('au-ready-0')`},
	{"nobody knows which tree a task waits for", "subtree", `update await set tree = null where task = key('au-sub')`},
	{"nobody submits the tree of a task", "subtree", `delete from subtree where task = key('au-sub')`},
	{"nobody tells a task that its tree has ended", "subtree", `update tree set unfinished = 0, finished_at = now() where depth = 1`},
	{"nobody tells a task that its tree is gone", "subtree", `delete from tree where depth = 1`},
	{"nobody cancels a tree for which its task waits no more", "subtree", `with w as (delete from await where task = key('au-sub')) update task set state = 7 where key = key('au-sub')`},
	{"a task waits for one that failed", "waits_for_failed", `update task set state = 1, remaining = 1, blocked_by = null where key = key('au-live-blocked')`},
	{"a ready task is in no stretch", "ready_without_stretch", `with a as (delete from ready) delete from published`},
	{"a stretch has lost its last task", "ready_without_stretch", `update published set n = n - 1 where first = key('au-ready-0')`},
	{"a ready task is in two stretches", "ready_in_two_stretches", `insert into ready (pool, priority, first, n, attempt) select pool, priority, key, 1, attempt from task where key = key('au-ready-0')`},
	{"a ready task is in a stretch and in a line", "ready_in_two_stretches", `insert into waiter (namespace, kind, key, priority, id, task, attempt, n, cost, pool, share) select 1, 1, 'k', priority, 1, key, attempt, 1, 1, pool, 0 from task where key = key('au-ready-0')`},
	{"a running task waits in a line", "waiter", `insert into waiter (namespace, kind, key, priority, id, task, attempt, n, cost, pool, share) select 1, 1, 'k', priority, 1, key, attempt, 1, 1, pool, 0 from task where key = key('au-long')`},
	{"a task is not in all lines of what it asks for", "waiter", `with a as (delete from published where first = key('au-ready-0')) insert into waiter (namespace, kind, key, priority, id, task, attempt, n, cost, pool, share) select 1, 1, 'k', priority, 1, key, attempt, 2, 1, pool, 0 from task where key = key('au-ready-0')`},
	{"a task that has ended holds a limit", "hold", `insert into hold (task, ord, attempt, namespace, kind, key, cost, id) values (key('au-done-a'), 0, 1, 1, 1, 'k', 1, 1)`},
	{"a task holds what it has never asked for", "hold", `insert into hold (task, ord, attempt, namespace, kind, key, cost, id) select key, 0, attempt, 1, 1, 'k', 1, 1 from task where key = key('au-long')`},
	{"a running task does not hold its limit", "granted_without_hold", fmt.Sprintf(`with t as (update task set flags = flags | %d where key = key('au-long')) update spec set limits = '{"limits":[{"key":"k","max":1}]}' where id = 'au-long'`, dag.FlagLimited)},
	{"a lock is held for a parent that has ended", "hold", `insert into hold (task, ord, attempt, namespace, kind, key, cost, id, span) select key, 0, attempt, 1, 2, 'k', 1, 1, key('au-done') from task where key = key('au-done-a')`},
	{"a lock is held for a parent that is gone", "hold", `insert into hold (task, ord, attempt, namespace, kind, key, cost, id, span) select key, 0, attempt, 1, 2, 'k', 1, 1, 7 from task where key = key('au-done-a')`},
	{"more is held than may be", "limit_exceeded", `insert into hold (task, ord, attempt, namespace, kind, key, cost, max, id) select key, 0, attempt, 1, 2, 'k', 1, 1, 1 from task where key in (key('au-long'), key('au-ready-0'))`},
	{"a place is given beyond an operator's limit", "limit_exceeded", fmt.Sprintf(placesOf+` insert into hold (task, ord, attempt, namespace, kind, key, cost, id) select t.key, 100, attempt, 0, 4, r.pool::text, 1, 1 from t, r`, 1)},
	{"an attempt runs without its place", "running_without_place", fmt.Sprintf(placesOf+` insert into hold (task, ord, attempt, namespace, kind, key, cost, id) select t.key, 100, attempt, 0, 4, r.pool::text, 1, 1 from t, r where t.key = key('au-ready-0')`, 5)},
	{"a task that waits holds a place", "hold", fmt.Sprintf(`with t as (update task set flags = flags | %d where key = key('au-ready-0') returning key, attempt), p as (delete from published where first = key('au-ready-0') returning *),
		r as (insert into ready (pool, priority, first, n, attempt) select pool, priority, first, n, attempt from p)
		insert into hold (task, ord, attempt, namespace, kind, key, cost, id) select key, 100, attempt, 0, 4, '1', 1, 1 from t`, dag.FlagHolds)},
	{"a task that has expanded holds a place", "hold", fmt.Sprintf(`with t as (update task set flags = flags | %d where key = key('au-map') returning key, attempt)
		insert into hold (task, ord, attempt, namespace, kind, key, cost, id) select key, 100, attempt, 0, 4, '1', 1, 1 from t`, dag.FlagHolds)},
	{"a stretch is at an attempt that has not come", "stretch_mismatch", `insert into ready (pool, priority, first, n, attempt) select pool, priority, key, 1, attempt + 1 from task where key = key('au-ready-0')`},
	{"a stretch is in the wrong pool", "stretch_mismatch", `update published set pool = pool + 1 where first = key('au-ready-0')`},
	{"a stretch has the wrong priority", "stretch_mismatch", `update published set priority = priority - 1 where first = key('au-ready-0')`},
	{"a stretch that waits names a running task", "stretch_mismatch", `insert into ready (pool, priority, first, n, attempt) select pool, priority, key, 1, attempt from task where key = key('au-long')`},
	{"a stretch leads out of its tree", "stretch_mismatch", `update published set n = n + 100 where first = key('au-ready-0')`},
	{"a pool that a task waits in is closed", "pool_gone", `update pool set open = false where id = (select pool from task where key = key('au-ready-0'))`},
	{"a pool that a task waits in is gone", "pool_gone", `delete from pool where id = (select pool from task where key = key('au-ready-0'))`},
	{"a task waits in a pool that its tree does not name", "pool_gone", `update tree set pools = '{}' where root_id = 'au-live'`},
	{"a published run was forgotten", "published_forgotten", `update published set at = now() - interval '1 hour', sent = now() - interval '1 hour'`},
	{"a running task has no worker", "running_without_worker", `update task set worker = null where key = key('au-long')`},
	{"a ready task has a worker", "open_attempt", `update task set worker = (select max(key) from worker) where key = key('au-ready-0')`},
	{"a running task's worker is not there", "worker_missing", `delete from worker`},
	{"a running task's worker is done with", "worker_departed", `update worker set state = 4, attempts = '{-1}'`},
	{"a running task's worker was lost long ago", "worker_departed", `update worker set state = 4, lease_until = now() - interval '1 hour'`},
	{"a worker is below the level used", "level", `update worker set level = 0`},
	{"a lease ended long ago", "lease_overdue", `update worker set lease_until = now() - interval '1 hour'`},
	{"a worker has not known an attempt for long", "attempt_unlisted", `with w as (update worker set attempts = '{}') update task set started_at = now() - interval '1 hour' where key = key('au-long')`},
	{"a completed task has no attempt", "attempt_outcome", `delete from attempt where task = key('au-done-a')`},
	{"a running attempt has ended", "attempt_outcome", `insert into attempt (task, number, outcome, counted, finished_at) select key, attempt, 1, true, now() from task where key = key('au-long')`},
	{"a failed task's attempt completed", "attempt_outcome", `update attempt set outcome = 1 where task = key('au-failed-a')`},
	{"a task was settled twice", "settled_twice", `update attempt set outcome = 1 where task = key('au-done-retry') and number = 1`},
	{"an attempt used models that has not ended", "usage", `insert into model_usage select key, attempt, 'm', '', null, now(), 1, 1, 1, 0, 0, 1 from task where key = key('au-long')`},
	{"an attempt used models that was lost", "usage", `with a as (update attempt set outcome = 6 where task = key('au-done-retry') and number = 1 returning task, number) insert into model_usage select task, number, 'm', '', null, now(), 1, 1, 1, 0, 0, 1 from a`},
	{"an attempt is missing in the history", "attempt_number", `delete from attempt where task = key('au-done-retry') and number = 1`},
	{"an attempt has a number that was not given", "attempt_number", `update attempt set number = 7 where task = key('au-done-a')`},
	{"a delayed task has no timer", "delayed_without_timer", `delete from timer where task = key('au-delayed')`},
	{"a timeout has no timer", "timeout_without_timer", `delete from timer where kind = 3`},
	{"the time of a group has no timer", "timeout_without_timer", `delete from timer where kind = 8`},
	{"an attempt ended before it started", "times", `update attempt set started_at = finished_at + interval '1 minute' where task = key('au-done-a')`},
	{"a task started before it was ready", "times", `update task set ready_at = ready_at + interval '1 hour' where key = key('au-done-a')`},
	{"a task started before its tree was there", "times", `update attempt set started_at = started_at - interval '1 hour' where task = key('au-done-a')`},
	{"an attempt started before the one before ended", "times", `update attempt set finished_at = finished_at + interval '1 minute' where task = key('au-done-retry') and number = 1`},
	{"a settled task has a timer to start it", "stray_timer", `insert into timer (at, task, attempt, kind) select now(), key, attempt, 1 from task where key = key('au-done-a')`},
	{"a timer has not gone off", "timer_overdue", `update timer set at = now() - interval '1 hour' where task = key('au-delayed')`},
	{"events are missing in the middle", "event_sequence", `delete from event e using tree t where t.root_id = 'au-done' and e.tree = t.key and e.last < t.sequence and e.last > 1`},
	{"the last events are missing", "event_sequence", `delete from event e using tree t where t.root_id = 'au-live' and e.tree = t.key and e.last = t.sequence`},
	{"events can't be read", "event_sequence", `update event e set body = '\x02ffffffffffffff' from tree t where t.root_id = 'au-live' and e.tree = t.key and e.last = t.sequence`},
	{"something happened after the end", "event_final", `with t as (update tree set sequence = sequence + 1 where root_id = 'au-done' returning key, sequence) insert into event (tree, last, body) select key, sequence, '\x030001' from t`},
	{"the final event is missing", "event_final", `with e as (update event e set body = substring(body for length(body) - 1), last = e.last - 1 from tree t where t.root_id = 'au-done' and e.tree = t.key and e.last = t.sequence) update tree set sequence = sequence - 1 where root_id = 'au-done'`},
	{"a tree is late twice", "event_late", `with t as (update tree set late_at = now(), sequence = sequence + 2 where root_id = 'au-wait' returning key, sequence) insert into event (tree, last, body) select key, sequence - n, '\x0d0000' from t, generate_series(0, 1) n`},
	{"a tree is late and nobody was told", "event_late", `update tree set late_at = now() where root_id = 'au-live'`},
	{"a tree is told to be late that was not", "event_late", `with t as (update tree set sequence = sequence + 1 where root_id = 'au-wait' returning key, sequence) insert into event (tree, last, body) select key, sequence, '\x0d0000' from t`},
	{"an edge is missing", "edge", `delete from edge where dependency = key('au-done-a')`},
	{"an edge is optional that is required", "edge", `update edge set required = not required where dependency = key('au-done-a')`},
	{"an edge leads to another tree", "edge", `update edge set dependent = key('au-held') where dependency = key('au-done-a')`},
	{"a blocked task has no cause", "blocked_cause", `update task set blocked_by = null where key = key('au-live-blocked')`},
	{"a task is blocked by one that completed", "blocked_cause", `update task set blocked_by = key('au-failed-b') where key = key('au-failed-c')`},
	{"an artifact's content is gone", "artifact", `insert into artifact (task, attempt, kind, number, namespace, user_id, size, name, media_type, tag, content) select key('au-done-a'), 1, 1, 0, 1, '', 1, 'f', '', '\x00', 4711`},
	{"an artifact has lost what was with it", "artifact", `insert into artifact (task, attempt, kind, number, namespace, user_id, size, name, media_type, tag) select key('au-done-a'), 1, 1, 0, 1, '', 1, 'f', '', '\x00'`},
	{"a specification is missing", "orphan", `delete from spec where id = 'au-ready-0'`},
	{"a payload belongs to no task", "orphan", `insert into payload (key) values (key('au-done') >> 24 << 24 | 4711)`},
	{"a task belongs to no tree", "orphan", `insert into task (key, state, flags, priority, pool, remaining) values ((1000::bigint << 24) + 1, 6, 0, 2, 1, 0)`},
}

// placesOf sets a limit of a pool, for so many, and lets two tasks hold something.
var placesOf = fmt.Sprintf(`with t as (update task set flags = flags | %d where key in (key('au-long'), key('au-ready-0')) returning key, attempt),
	r as (insert into limit_rule (namespace, kind, key, max, pool, set_by, set_at) select 0, 4, 'p', %%d, pool, 'ops', now() - interval '1 minute' from task where key = key('au-long') returning pool)`, dag.FlagHolds)

// castOfTrees brings trees into every state there is.
func castOfTrees(c *cluster.Cluster) {
	c.T.Helper()
	retry := sleeper("au-done-retry", "au-done", `{"seconds":0,"fail_times":1}`)
	retry.Retry = dag.RetryPolicy{MaxAttempts: 3, InitialDelay: time.Millisecond}
	c.Submit(coordinator.SubmitOptions{}, noop("au-done", "", "au-done-a", "au-done-retry"), noop("au-done-a", "au-done"), retry)
	c.Submit(coordinator.SubmitOptions{}, noop("au-failed", "", "au-failed-b"), with(noop("au-failed-a", "au-failed"), `{"fail":"no luck"}`),
		noop("au-failed-b", "au-failed"), noop("au-failed-c", "au-failed", "au-failed-a", "au-failed-b"))
	c.Submit(coordinator.SubmitOptions{}, noop("au-cancelled", "", "au-cancelled-a"), sleeper("au-cancelled-a", "au-cancelled", `{"seconds":600}`))
	c.Submit(coordinator.SubmitOptions{Hold: true}, noop("au-held", "", "au-held-a"), noop("au-held-a", "au-held"))
	c.Submit(coordinator.SubmitOptions{Hold: true}, noop("au-hand", "", "au-hand-a"), noop("au-hand-a", "au-hand"))
	if _, err := c.Service().Update(c.T.Context(), "au-hand-a", coordinator.TaskChange{Status: dag.StatusCompleted}); err != nil { // and run all the same
		c.T.Fatal(err)
	}
	if _, err := c.Service().Execute(c.T.Context(), "au-hand", coordinator.ExecuteOptions{Force: true}); err != nil {
		c.T.Fatal(err)
	}
	long := sleeper("au-long", "au-live", `{"seconds":600}`)
	long.Timeout = time.Hour
	delayed := noop("au-delayed", "au-live")
	delayed.NotBefore = time.Now().Add(time.Hour)
	live := []*dag.Task{noop("au-live", "", "au-long", "au-delayed", "au-ready-0"), long, delayed,
		with(noop("au-live-bad", "au-live"), `{"fail":"no luck"}`), noop("au-live-blocked", "au-live", "au-live-bad")}
	for i := range 5 {
		ready := noop(fmt.Sprintf("au-ready-%d", i), "au-live")
		ready.Pool = "nobody-serves-this"
		live = append(live, ready)
	}
	c.Submit(coordinator.SubmitOptions{Timeout: time.Hour, Due: &dag.Due{After: time.Hour}}, live...)
	c.Submit(coordinator.SubmitOptions{}, expands("au-map", "", "map_executor", `{"items":[600,600,600],"window":2,"task":{"schemas":{"method":"sleep_executor"},"inputs":{"seconds":"{{item}}"}}}`))
	c.Submit(coordinator.SubmitOptions{}, noop("au-group", "", "au-group-job"), &dag.Task{ID: "au-group-job", Name: "job", ParentRef: "au-group", Timeout: time.Hour,
		Dependencies: []dag.Dependency{{Ref: "au-group-a"}}}, expands("au-group-a", "au-group-job", "wait_executor", `{"signal":"go"}`))
	c.Submit(coordinator.SubmitOptions{}, expands("au-wait", "", "wait_executor", `{"signal":"go","timeout":3600}`))
	c.Submit(coordinator.SubmitOptions{}, expands("au-sub", "", "subtree_executor", `{"tree":[{"name":"inner","schemas":{"method":"wait_executor"},"inputs":{"signal":"go"}}]}`))
	c.Settled("au-done")
	c.Settled("au-failed")
	c.Settled("au-hand")
	running(c, "au-cancelled-a")
	if got, err := c.Service().Cancel(c.T.Context(), "au-cancelled", coordinator.CancelOptions{}); err != nil || got.Outcome != coordinator.Cancelled {
		c.T.Fatal(got, err)
	}
	c.Settled("au-cancelled")
	running(c, "au-long")
	c.Eventually("the live tree stands still", func() error {
		st := states(c, "au-live")
		if st["au-live-blocked"] != dag.Blocked || st["au-ready-4"] != dag.Ready || st["au-delayed"] != dag.Delayed {
			return fmt.Errorf("%v", st)
		}
		return nil
	})
	c.Eventually("the signal is waited for", func() error {
		if s := states(c, "au-wait")["au-wait"]; s != dag.Awaiting {
			return fmt.Errorf("it is %s", s)
		}
		return nil
	})
	c.Eventually("the tree of a task waits", func() error {
		task, err := c.Service().Task(c.T.Context(), "au-sub")
		if err == nil && task.SubtreeID == "" {
			err = fmt.Errorf("it is %s", task.State)
		}
		if err != nil {
			return err
		}
		if s := states(c, task.SubtreeID)[task.SubtreeID]; s != dag.Awaiting {
			return fmt.Errorf("the tree is %s", s)
		}
		return nil
	})
	c.Eventually("what the map found runs", func() error {
		n := 0
		for _, s := range states(c, "au-map") {
			if s == dag.Running {
				n++
			}
		}
		if n != 2 {
			return fmt.Errorf("%d run", n)
		}
		return nil
	})
}

// stilled is a database that nobody works on any more, the coordinator that looks at it, and a way to undo changes.
type stilled struct {
	conn   *pgx.Conn
	svc    coordinator.Service
	tables []string
}

// still stops a cluster in the middle of its work.
func still(t *testing.T, c *cluster.Cluster) *stilled {
	t.Helper()
	for _, p := range c.Coordinators {
		if err := p.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range c.Workers {
		p.Cut()
	}
	conn, err := pgx.Connect(t.Context(), c.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	s := &stilled{conn: conn, svc: c.AddResting().P,
		tables: []string{"tree", "task", "spec", "payload", "edge", "attempt", "ready", "published", "timer", "followup", "event", "worker", "pool", "model_usage", "expansion", "expansion_part", "await", "subtree", "artifact", "waiter", "hold", "flow_run", "flow_text", "bundle", "bundle_file", "bundle_blob", "fire", "schedule"}}
	s.exec(t, "create schema saved")
	for _, table := range s.tables {
		s.exec(t, fmt.Sprintf("create table saved.%s as table %s", table, table))
	}
	s.exec(t, "create function key(text) returns bigint language sql as 'select key from spec where id = $1'")
	return s
}

func (s *stilled) exec(t *testing.T, statement string) int64 {
	t.Helper()
	tag, err := s.conn.Exec(t.Context(), statement)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return tag.RowsAffected()
}

func (s *stilled) undo(t *testing.T) {
	t.Helper()
	var b strings.Builder
	b.WriteString("begin; delete from limit_rule;") // it has generated columns, and no row
	for _, table := range s.tables {
		fmt.Fprintf(&b, "delete from %[1]s; insert into %[1]s overriding system value select * from saved.%[1]s;", table)
	}
	s.exec(t, b.String()+"commit")
}

// kinds are what Verify finds.
func (s *stilled) kinds(t *testing.T, tree string) (kinds []string, all string) {
	t.Helper()
	var b strings.Builder
	for v, err := range s.svc.Verify(t.Context(), tree) {
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, v.Kind)
		fmt.Fprintf(&b, "\n  %s tree %q task %q: %s", v.Kind, v.TreeID, v.TaskID, v.Text)
	}
	return kinds, b.String()
}

// findsEach has the auditor find nothing at first, and its kind after each corruption.
func (s *stilled) findsEach(t *testing.T, list []struct{ fact, kind, sql string }) {
	t.Helper()
	if kinds, all := s.kinds(t, ""); len(kinds) > 0 {
		t.Fatalf("found before anything was corrupted:%s", all)
	}
	for _, co := range list {
		t.Run(co.fact, func(t *testing.T) {
			defer s.undo(t)
			if n := s.exec(t, co.sql); n == 0 {
				t.Fatalf("nothing was corrupted: %s", co.sql)
			}
			kinds, all := s.kinds(t, "")
			if !slices.Contains(kinds, co.kind) {
				t.Errorf("got %v, want %s%s", kinds, co.kind, all)
			}
			if co.kind == "times" && !strings.Contains(all, "where Postgres's clock was set back") {
				t.Errorf("the text does not say what else it may be:%s", all)
			}
		})
	}
}

// TestAuditorFindsEachCorruption: in a database with trees in every state nothing is found; after each corruption, its
// kind is.
func TestAuditorFindsEachCorruption(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Coordinator: func(s *config.Coordinator) { s.Audit = 0 }})
	castOfTrees(c)
	s := still(t, c)
	s.findsEach(t, corruptions)
	t.Run("one tree only", func(t *testing.T) {
		defer s.undo(t)
		s.exec(t, `update tree set completed = completed + 1 where root_id = 'au-done'`)
		if kinds, _ := s.kinds(t, "au-done-a"); !slices.Equal(kinds, []string{"tree_counts"}) {
			t.Errorf("its own: got %v", kinds)
		}
		if kinds, all := s.kinds(t, "au-live"); len(kinds) > 0 {
			t.Errorf("another: got %s", all)
		}
	})
	if kinds, all := s.kinds(t, ""); len(kinds) > 0 {
		t.Errorf("found after all was undone:%s", all)
	}
}

// TestAuditorKnowsWhatWasCancelledLater: what was blocked by a blocked dependency stays so when that is cancelled, though the edge accepts what is cancelled.
func TestAuditorKnowsWhatWasCancelledLater(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Coordinator: func(s *config.Coordinator) { s.Audit = 0 }})
	mode, _ := dag.EdgeOf([]string{"cancelled"}, "", false, false)
	last := noop("later-c", "later")
	last.Dependencies = []dag.Dependency{{Ref: "later-b", Optional: true, Mode: mode}}
	c.Submit(coordinator.SubmitOptions{}, noop("later", ""), with(noop("later-a", "later"), `{"fail":"no"}`), noop("later-b", "later", "later-a"), last)
	c.Settled("later")
	if got, err := c.Service().Cancel(t.Context(), "later-b", coordinator.CancelOptions{}); err != nil || got.Outcome != coordinator.Cancelled {
		t.Fatalf("a blocked task is not cancelled: %+v, %v", got, err)
	}
	if got, err := c.Service().Task(t.Context(), "later-c"); err != nil || got.State != dag.Blocked {
		t.Fatalf("what it blocks is %+v, %v", got, err)
	}
	s := still(t, c)
	if kinds, all := s.kinds(t, ""); len(kinds) > 0 {
		t.Errorf("found in a tree that keeps the rules:%s", all)
	}
	if n := s.exec(t, `update task set state = 6, blocked_by = null where key = key('later-b')`); n != 1 {
		t.Fatal("nothing was corrupted")
	}
	if kinds, all := s.kinds(t, ""); !slices.Contains(kinds, "blocked_cause") {
		t.Errorf("blocked by what completed, and not found:%s", all)
	}
}

// TestAuditorCountsAViolationOnce: of two running coordinators one audits, and counts what it finds once.
func TestAuditorCountsAViolationOnce(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	otel.SetMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	c := cluster.Start(t, cluster.Options{Coordinators: 2, Coordinator: func(s *config.Coordinator) { s.Audit = 5 * time.Millisecond }})
	c.Submit(coordinator.SubmitOptions{}, noop("once", "", "once-a"), noop("once-a", "once"))
	c.Settled("once")
	conn, err := pgx.Connect(t.Context(), c.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	corrupt := func(kind, statement string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
		c.Eventually(kind+" is counted", func() error {
			if n := counted(t, reader, kind); n != 1 {
				return fmt.Errorf("counted %d times", n)
			}
			return nil
		})
	}
	corrupt("tree_counts", `update tree set failed = failed + 1 where root_id = 'once'`)
	corrupt("edge", `update edge set required = not required`) // by now the first was seen again
	corrupt("tree_root", `update tree set root_id = 'twice'`)
	if n := counted(t, reader, "tree_counts"); n != 1 {
		t.Errorf("counted %d times, want once", n)
	}
}

// counted is the sum of taskgrove_invariant_violations_total of a kind.
func counted(t *testing.T, reader sdkmetric.Reader, kind string) (n int64) {
	t.Helper()
	var rm metricdata.ResourceMetrics
	_ = reader.Collect(t.Context(), &rm) // gauges of clusters of other tests can't be read any more
	for _, scope := range rm.ScopeMetrics {
		for _, m := range scope.Metrics {
			sum, ok := m.Data.(metricdata.Sum[int64])
			if !ok || m.Name != "taskgrove.invariant.violations" {
				continue
			}
			for _, p := range sum.DataPoints {
				if v, ok := p.Attributes.Value(attribute.Key("kind")); ok && v.AsString() == kind {
					n += p.Value
				}
			}
		}
	}
	return n
}
