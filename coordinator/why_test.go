package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestWhy sets up each cause, sees it named and nothing else, removes what was named, and sees the task start.
func TestWhy(t *testing.T) {
	t.Parallel()
	g, commands := &gate{closed: map[string]chan struct{}{}}, &atomic.Bool{}
	pools := []string{"gate_executor"}
	for d := range builtin.Catalogue() {
		pools = append(pools, dag.PoolOf(d.ID))
	}
	shared := cluster.Start(t, cluster.Options{Pools: pools, Executors: func() []executors.Executor { return []executors.Executor{g} },
		Coordinator: func(s *config.Coordinator) { s.Window = 2 },
		Worker:      func(s *config.Worker) { s.CommandAllow = config.Bool(commands.Load()) }})
	db, err := pgx.Connect(t.Context(), shared.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.WithoutCancel(t.Context()))
	for _, story := range []struct {
		name string
		run  func(w *whyTest)
	}{
		{"held: a user's execute", whyHeld},
		{"dependencies in several states", whyDependencies},
		{"more dependencies than are named", whyManyDependencies},
		{"a group waits as others do", whyGroup},
		{"edges, folds and conditions that are waited for", whyOutcomesWaited},
		{"skipped and blocked by others, named down to the first", whyOutcomes},
		{"a time", whyTime},
		{"its next run", whyRepeat},
		{"the back-off before another attempt", whyRetry},
		{"a pool that no worker ever served", whyPoolNever},
		{"a pool whose worker left", whyPoolLeft},
		{"a pool whose worker was lost", whyPoolLost},
		{"a pool whose worker drains", whyPoolDrains},
		{"a pool that a worker can't serve", whyPoolFaulty},
		{"capacity: what comes first is counted by priority, then time", whyCapacity},
		{"capacity: many wait in Postgres", whyBacklog},
		{"a dispatch that is on its way", whyDispatch},
		{"blocked, and run again", whyBlocked},
		{"a cancelled attempt that is open", whyOpen},
		{"a cancelled tree", whyCancelledTree},
		{"an attempt that may wait for a slot of its worker", whyClaimed},
		{"what runs or has ended waits for nothing", whyNothing},
	} {
		t.Run(story.name, func(t *testing.T) {
			story.run(&whyTest{Cluster: shared.For(t), T: t, gate: g, db: db, commands: commands})
		})
	}
	for _, id := range []string{"no-such-task", "", "a\x00b"} {
		if _, err := shared.Service().Why(t.Context(), id); !errors.Is(err, coordinator.ErrNotFound) {
			t.Errorf("why %q: got %v, want not found", id, err)
		}
	}
}

// The workers serve no pool for an executor that is off, and say so.
func whyPoolFaulty(w *whyTest) {
	t := noop("faulty", "")
	t.Executor = "command_executor"
	w.Submit(coordinator.SubmitOptions{}, with(t, `{"command": "true"}`))
	e := w.why("faulty", "pool command_executor")
	if want := "worker worker-1: commands are not allowed on this worker"; !strings.Contains(e.Waits[0].Text, want) || !strings.Contains(e.Summary, "can take it") {
		w.Errorf("got %q, %q, want %q", e.Summary, e.Waits[0].Text, want)
	}
	workers, err := w.Service().Workers(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	for _, x := range workers {
		if x.ID != "worker-1" {
			continue
		}
		const want = "executor command_executor is off, and tasks of pool command_executor are not taken: commands are not allowed"
		told := slices.ContainsFunc(x.Faults, func(fault string) bool { return strings.HasPrefix(fault, want) }) // others are off, too
		if !told || x.Pools["command_executor"] > 0 || x.Pools["noop_executor"] == 0 {
			w.Errorf("got %+v", x)
		}
	}
	w.commands.Store(true)
	w.AddWorkerOf(1, "command_executor")
	w.starts("faulty")
}

func whyHeld(w *whyTest) {
	w.Submit(coordinator.SubmitOptions{Hold: true}, noop("held", "", "held-a"), noop("held-a", "held"))
	w.why("held", "execute")
	if _, err := w.Service().Execute(w.Context(), "held", coordinator.ExecuteOptions{}); err != nil {
		w.Fatal(err)
	}
	w.starts("held")
}

func whyDependencies(w *whyTest) {
	later := noop("dep-later", "dep")
	later.NotBefore = time.Now().Add(time.Hour)
	last := noop("dep-last", "dep", "dep-done", "dep-runs", "dep-ready")
	last.Dependencies = append(last.Dependencies, dag.Dependency{Ref: "dep-later", Optional: true})
	w.Submit(coordinator.SubmitOptions{}, group("dep", ""), noop("dep-done", "dep"), gated("dep-runs", "dep", "", `{}`),
		pooled("dep-ready", "dep", "why-dep"), later, last)
	w.why("dep-last", "dependency dep-runs running, dependency dep-ready ready, dependency dep-later delayed")
	w.AddWorkerOf(1, "why-dep")
	w.why("dep-last", "dependency dep-runs running, dependency dep-later delayed")
	w.gate.open("dep-runs")
	w.why("dep-last", "dependency dep-later delayed")
	if _, err := w.Service().Cancel(w.Context(), "dep-later", coordinator.CancelOptions{}); err != nil {
		w.Fatal(err)
	}
	w.starts("dep-last")
}

func whyManyDependencies(w *whyTest) {
	tasks := []*dag.Task{noop("many", "")}
	for i := range 150 {
		id := fmt.Sprintf("many-%d", i)
		tasks = append(tasks, pooled(id, "many", "why-many"))
		tasks[0].Dependencies = append(tasks[0].Dependencies, dag.Dependency{Ref: id})
	}
	w.Submit(coordinator.SubmitOptions{}, tasks...)
	e, err := w.Service().Why(w.Context(), "many")
	if err != nil || len(e.Waits) != 100 || !strings.Contains(e.Summary, "150 of its 150") || !strings.Contains(e.Summary, "50 are not") {
		w.Errorf("got %d waits, %+v, %v", len(e.Waits), e.Summary, err)
	}
	w.AddWorkerOf(16, "why-many")
	w.starts("many")
}

func whyGroup(w *whyTest) {
	w.Submit(coordinator.SubmitOptions{}, group("group", "", "group-b"), group("group-b", "group", "group-a"), gated("group-a", "group", "", `{}`))
	w.why("group-b", "dependency group-a running")
	w.why("group", "dependency group-b waiting")
	w.gate.open("group-a")
	w.starts("group")
}

func whyTime(w *whyTest) {
	task := noop("time", "")
	task.NotBefore = time.Now().Add(5 * time.Second).Truncate(time.Millisecond)
	w.Submit(coordinator.SubmitOptions{}, task)
	if e := w.why("time", "not_before"); !e.Waits[0].Until.Equal(task.NotBefore) {
		w.Errorf("until: got %s, want %s", e.Waits[0].Until, task.NotBefore)
	}
	w.starts("time")
}

func whyRepeat(w *whyTest) {
	task := noop("poll", "")
	task.Control = &dag.Control{Repeat: &dag.Repeat{Until: "attempt == 2", Max: 9, Delay: 5 * time.Second}}
	w.Submit(coordinator.SubmitOptions{}, task)
	if e := w.why("poll", "not_before"); !strings.Contains(e.Summary, "it repeats") || !strings.Contains(e.Waits[0].Text, "its next run") {
		w.Errorf("got %q, %q", e.Summary, e.Waits[0].Text)
	}
	w.starts("poll")
}

func whyRetry(w *whyTest) {
	tasks := []*dag.Task{group("retry", "")}
	for i := range 5 { // the pause is drawn at random: one of five is long enough to be seen
		task := sleeper(fmt.Sprintf("retry-%d", i), "retry", `{"seconds":0,"fail_times":1,"fail":"no luck"}`)
		task.Retry = dag.RetryPolicy{MaxAttempts: 2, InitialDelay: 8 * time.Second}
		tasks = append(tasks, task)
	}
	w.Submit(coordinator.SubmitOptions{}, tasks...)
	var got *coordinator.Explanation
	w.Eventually("one waits for its retry", func() error {
		for _, task := range tasks[1:] {
			e, err := w.Service().Why(w.Context(), task.ID)
			if err != nil {
				return err
			}
			if e.State == dag.Delayed {
				got = e
				return nil
			}
		}
		return errors.New("none does")
	})
	if want := "retry 2 (no luck)"; causes(got) != want {
		w.Errorf("got %s, want %s", causes(got), want)
	}
	if until := got.Waits[0].Until; time.Until(until) > 8*time.Second || until.IsZero() {
		w.Errorf("until: got %s", until)
	}
	w.starts(got.TaskID)
	if task, err := w.Service().Task(w.Context(), got.TaskID); err != nil || task.Attempt != 2 || task.StartedAt.Before(got.Waits[0].Until) {
		w.Errorf("got attempt %d at %s, before %s: %v", task.Attempt, task.StartedAt, got.Waits[0].Until, err)
	}
}

func whyPoolNever(w *whyTest) {
	w.Submit(coordinator.SubmitOptions{}, pooled("never", "", "why-never"))
	if e := w.why("never", "pool why-never"); !e.Waits[0].Since.IsZero() || !strings.Contains(e.Waits[0].Text, "none ever did") {
		w.Errorf("got %+v", *e)
	}
	w.AddWorkerOf(1, "why-never")
	w.starts("never")
}

func whyPoolLeft(w *whyTest) {
	worker := w.AddWorkerOf(1, "why-left")
	w.Eventually("worker has a lease", func() error { return worker.P.Ready() })
	before := time.Now().Add(-time.Millisecond)
	if err := worker.Stop(); err != nil {
		w.Fatal(err)
	}
	after := time.Now().Add(time.Millisecond)
	w.Submit(coordinator.SubmitOptions{}, pooled("left", "", "why-left"))
	if e := w.why("left", "pool why-left"); e.Waits[0].Since.Before(before) || e.Waits[0].Since.After(after) {
		w.Errorf("since: got %s, want from %s to %s", e.Waits[0].Since, before, after)
	}
	w.AddWorkerOf(1, "why-left")
	w.starts("left")
}

func whyPoolLost(w *whyTest) {
	lost := time.Now().Add(-10 * time.Minute).Truncate(time.Millisecond)
	for i, until := range []time.Time{lost.Add(-time.Minute), lost} {
		w.exec(`insert into worker (instance, id, host, build, pools, state, beat, lease_until, attempts)
			values ($1, 'lost', '', '', '{"why-lost":1}', 4, 1, $2, '{-1}')`, fmt.Sprint("lost-", i), until)
	}
	w.Submit(coordinator.SubmitOptions{}, pooled("lost", "", "why-lost"))
	if e := w.why("lost", "pool why-lost"); !e.Waits[0].Since.Equal(lost) {
		w.Errorf("since: got %s, want %s", e.Waits[0].Since, lost)
	}
	w.AddWorkerOf(1, "why-lost")
	w.starts("lost")
}

func whyPoolDrains(w *whyTest) {
	worker := w.AddWorkerOf(1, "why-drains")
	w.Submit(coordinator.SubmitOptions{}, gated("drains", "", "why-drains", `{"stubborn":true}`))
	defer w.gate.open("drains")
	w.begins("drains")
	worker.P.Drain()
	w.Submit(coordinator.SubmitOptions{}, pooled("drains-2", "", "why-drains"))
	if e := w.why("drains-2", "pool why-drains"); !strings.Contains(e.Waits[0].Text, "draining") {
		w.Errorf("got %+v", *e)
	}
	w.AddWorkerOf(1, "why-drains")
	w.starts("drains-2")
}

func whyCapacity(w *whyTest) {
	const pool = "why-capacity"
	w.AddWorkerOf(1, pool)
	w.Submit(coordinator.SubmitOptions{}, gated("cap-x", "", pool, `{}`))
	w.starts("cap-x")
	urgent, low := gated("cap-urgent", "cap", pool, `{}`), gated("cap-low", "cap", pool, `{}`)
	urgent.Priority, low.Priority = dag.Urgent, dag.Low
	w.Submit(coordinator.SubmitOptions{}, group("cap", ""), gated("cap-1", "cap", pool, `{}`), gated("cap-2", "cap", pool, `{}`), urgent, low,
		gated("cap-3", "cap", pool, `{}`), gated("cap-4", "cap", pool, `{}`))
	for id, ahead := range map[string]int{"cap-urgent": 0, "cap-1": 1, "cap-2": 2, "cap-3": 3, "cap-4": 4, "cap-low": 5} {
		w.why(id, fmt.Sprintf("capacity %s ahead %d of 1", pool, ahead))
	}
	w.gate.open("cap-x") // what is ahead gets through
	w.starts("cap-urgent")
	w.why("cap-4", "capacity why-capacity ahead 3 of 1")
	w.gate.open("cap-urgent")
	w.starts("cap-1")
	w.why("cap-4", "capacity why-capacity ahead 2 of 1")
	w.AddWorkerOf(4, pool) // and room for all
	w.starts("cap-4")
	w.starts("cap-low")
	for _, id := range []string{"cap-1", "cap-2", "cap-3", "cap-4", "cap-low"} {
		w.gate.open(id)
	}
}

func whyBacklog(w *whyTest) {
	const pool = "why-backlog"
	w.AddWorkerOf(2, pool)
	w.Submit(coordinator.SubmitOptions{}, group("log-x", ""), gated("log-x1", "log-x", pool, `{}`), gated("log-x2", "log-x", pool, `{}`))
	w.starts("log-x1")
	w.starts("log-x2")
	tasks := []*dag.Task{group("log", "")}
	for i := range 500 {
		tasks = append(tasks, pooled(fmt.Sprintf("log-%d", i), "log", pool))
	}
	w.Submit(coordinator.SubmitOptions{}, tasks...)
	w.Submit(coordinator.SubmitOptions{}, pooled("log-last", "", pool))
	for id, ahead := range map[string]int{"log-0": 0, "log-1": 1, "log-250": 250, "log-499": 499, "log-last": 500} {
		w.why(id, fmt.Sprintf("capacity %s ahead %d of 2", pool, ahead))
	}
	w.gate.open("log-x1")
	w.gate.open("log-x2")
	w.starts("log-last")
}

func whyDispatch(w *whyTest) {
	// A worker that is alive, has room, and takes nothing: none that is real stays that way.
	w.exec(`insert into worker (instance, id, host, build, pools, state, beat, lease_until, attempts)
		values ('idle', 'idle', '', '', '{"why-idle":4}', 1, 1, now() + interval '1 hour', '{}')`)
	w.Submit(coordinator.SubmitOptions{}, pooled("idle", "", "why-idle"))
	if e := w.why("idle", "dispatch why-idle"); e.State != dag.Ready {
		w.Errorf("got %+v", *e)
	}
	w.AddWorkerOf(1, "why-idle")
	w.starts("idle")
}

func whyBlocked(w *whyTest) {
	w.Submit(coordinator.SubmitOptions{}, group("blocked", "", "blocked-c"), gated("blocked-a", "blocked", "", `{"fail":"no luck"}`),
		noop("blocked-b", "blocked", "blocked-a"), noop("blocked-c", "blocked", "blocked-b"))
	for _, id := range []string{"blocked-b", "blocked-c", "blocked"} {
		w.why(id, "blocked blocked-a failed (no luck)")
	}
	if e := w.why("blocked-a", ""); !strings.Contains(e.Summary, "no luck") {
		w.Errorf("got %+v", *e)
	}
	if _, err := w.Service().Execute(w.Context(), "blocked", coordinator.ExecuteOptions{}); err != nil {
		w.Fatal(err)
	}
	w.why("blocked-b", "dependency blocked-a running")
	w.why("blocked-c", "dependency blocked-b waiting")
	w.gate.open("blocked-a")
	w.starts("blocked-c")
}

// needs are tasks that the task depends on by an edge.
func needs(t *dag.Task, dependencies ...dag.Dependency) *dag.Task {
	t.Dependencies = dependencies
	return t
}

func whyOutcomesWaited(w *whyTest) {
	fold := needs(group("wait-fold", "wait"), dag.Dependency{Ref: "wait-a"}, dag.Dependency{Ref: "wait-b", Optional: true})
	fold.Fold = true
	w.Submit(coordinator.SubmitOptions{}, group("wait", ""), gated("wait-a", "wait", "", `{}`), gated("wait-b", "wait", "", `{}`), fold,
		needs(noop("wait-on", "wait"), edge(w.T, "wait-a", "failed", "skip"), edge(w.T, "wait-b", "any", "")),
		when(noop("wait-when", "wait", "wait-a"), `deps["wait-a"].outcome == "success"`))
	for _, tt := range []struct{ id, want, summary, first, second string }{
		{"wait-on", "dependency wait-a running, dependency wait-b running", "2 of its 2", "to end as failed; otherwise it is skipped", "to end, in whichever outcome"},
		{"wait-fold", "dependency wait-a running, dependency wait-b running", "2 of its 2", "as one of those that it folds", "as one of those that it folds"},
		{"wait-when", "dependency wait-a running", `then its condition decides, "deps[\"wait-a\"].outcome == \"success\""`, "to complete; it is running", ""},
	} {
		e := w.why(tt.id, tt.want)
		if !strings.Contains(e.Summary, tt.summary) || !strings.Contains(e.Waits[0].Text, tt.first) || !strings.Contains(e.Waits[len(e.Waits)-1].Text, tt.second) {
			w.Errorf("%s: got %+v", tt.id, *e)
		}
	}
	w.gate.open("wait-a")
	w.gate.open("wait-b")
	w.Settled("wait")
}

func whyOutcomes(w *whyTest) {
	found := with(noop("end-found", "end"), `{"n":0}`)
	fold := needs(group("end-fold", "end"), dag.Dependency{Ref: "end-some"}, dag.Dependency{Ref: "end-more"})
	fold.Fold = true
	rerun := w.importing("end-old")
	w.Submit(coordinator.SubmitOptions{}, group("end", ""), found, rerun,
		when(noop("end-some", "end", "end-found"), `deps["end-found"].attempts > 7`),
		needs(noop("end-more", "end"), edge(w.T, "end-some", "success", "skip")),
		gated("end-fails", "end", "", `{"fail":"no luck"}`),
		needs(noop("end-next", "end"), edge(w.T, "end-fails", "success", "skip")),
		needs(noop("end-needs", "end"), edge(w.T, "end-more", "success", "block")),
		noop("end-last", "end", "end-needs"), fold,
		when(noop("end-errs", "end", "end-found"), `deps["end-found"].result.nothing > 1`),
		needs(pooled("end-user", "end", "why-end")))
	if _, err := w.Service().Skip(w.Context(), "end-user"); err != nil {
		w.Fatal(err)
	}
	w.Settled("end")
	const some = `deps[\"end-found\"].attempts > 7`
	for id, want := range map[string]string{
		"end-some":  `: when_false, its condition "` + some + `" was false; it waits for nothing`,
		"end-more":  `: dependency_skipped: it accepts success of end-some, which was skipped (when_false: "` + some + `"); it waits`,
		"end-next":  `: dependency_failed: it accepts success of end-fails, which failed (no luck); it waits`,
		"end-needs": `blocked: a dependency can't end any more as it has to: it accepts success of end-more, which was skipped (dependency_skipped); end-more accepts success of end-some, which was skipped (when_false: "` + some + `")`,
		"end-last":  `: it accepts success or skipped of end-needs, which is blocked; end-needs accepts success of end-more, which was skipped (dependency_skipped); end-more accepts`,
		"end-fold":  `: dependency_skipped, all that it folds were skipped`,
		"end-errs":  `failed`,
		"end-user":  `: user, by somebody's word`,
		"end-old":   ` (of old): it waits for nothing; it was submitted as ended, and did not run here`,
	} {
		e, err := w.Service().Why(w.Context(), id)
		if err != nil || !strings.Contains(e.Summary, want) {
			w.Errorf("%s: got %q, %v, want %q", id, e.Summary, err, want)
		}
	}
	for _, want := range []string{"when_error: line 1, column", `its condition was "deps[`} {
		if e, err := w.Service().Why(w.Context(), "end-errs"); err != nil || !strings.Contains(e.Summary, want) {
			w.Errorf("got %q, %v, want %q", e.Summary, err, want)
		}
	}
}

// importing is a task that had failed before it was submitted, and whose failure does not matter.
func (w *whyTest) importing(id string) *dag.Task {
	t := noop(id, "end")
	t.AllowFailure, t.Imported = true, &dag.Imported{State: dag.Failed, Error: "of old"}
	return t
}

func whyOpen(w *whyTest) {
	w.AddWorkerOf(1, "why-open")
	w.Submit(coordinator.SubmitOptions{}, gated("open", "", "why-open", `{"stubborn":true}`))
	w.starts("open")
	if _, err := w.Service().Cancel(w.Context(), "open", coordinator.CancelOptions{Reason: "enough"}); err != nil {
		w.Fatal(err)
	}
	e := w.why("open", fmt.Sprintf("worker worker-%d 1", len(w.Workers)))
	if !strings.Contains(e.Summary, "enough") || e.State != dag.Cancelled {
		w.Errorf("got %+v", *e)
	}
	if _, err := w.Service().Execute(w.Context(), "open", coordinator.ExecuteOptions{Force: true}); !errors.Is(err, coordinator.ErrConflict) {
		w.Errorf("execute while the attempt is open: got %v", err)
	}
	w.gate.open("open")
	w.why("open", "")
	if _, err := w.Service().Execute(w.Context(), "open", coordinator.ExecuteOptions{Force: true}); err != nil {
		w.Fatal(err)
	}
	w.starts("open")
}

func whyCancelledTree(w *whyTest) {
	w.Submit(coordinator.SubmitOptions{}, group("tree", "", "tree-b"), pooled("tree-a", "tree", "why-tree"), noop("tree-b", "tree", "tree-a"))
	w.why("tree-b", "dependency tree-a ready")
	if _, err := w.Service().Cancel(w.Context(), "tree", coordinator.CancelOptions{}); err != nil {
		w.Fatal(err)
	}
	for _, id := range []string{"tree", "tree-a", "tree-b"} {
		if e := w.why(id, ""); !strings.Contains(e.Summary, "cancelled") || !strings.Contains(e.Summary, "Cancelled by user") {
			w.Errorf("got %+v", *e)
		}
	}
	w.Settled("tree")
	if _, err := w.Service().Execute(w.Context(), "tree", coordinator.ExecuteOptions{Force: true}); err != nil {
		w.Fatal(err)
	}
	w.why("tree-a", "pool why-tree")
	w.AddWorkerOf(1, "why-tree")
	w.starts("tree-b")

	w.Submit(coordinator.SubmitOptions{Hold: true}, noop("tree-2", "")) // a cancellation that has not come to the task yet
	w.exec("update tree set cancelled_at = now(), cancel_message = 'because' where root_id = 'tree-2'")
	if e := w.why("tree-2", ""); !strings.Contains(e.Summary, "its tree was cancelled") || !strings.Contains(e.Summary, "because") {
		w.Errorf("got %+v", *e)
	}
}

// What was claimed a moment ago may be in line. When that is over it runs, and so does at once what is never claimed ahead.
func whyClaimed(w *whyTest) {
	once := gated("claimed-once", "claimed", "", `{}`)
	once.OnLost = dag.FailLost
	again := gated("claimed-again", "claimed", "", `{"fail":"no luck"}`)
	again.Retry = dag.RetryPolicy{MaxAttempts: 2, InitialDelay: time.Millisecond}
	w.Submit(coordinator.SubmitOptions{}, group("claimed", ""), gated("claimed-first", "claimed", "", `{}`), once, again)
	for _, id := range []string{"claimed-first", "claimed-once", "claimed-again"} {
		defer w.gate.open(id)
		w.begins(id)
		w.Eventually("its claim is on record", func() error {
			task, err := w.Service().Task(w.Context(), id)
			if err == nil && task.State != dag.Running {
				err = errors.New(task.State.String())
			}
			return err
		})
	}
	since := func(ago string) string {
		return "update task set started_at = clock_timestamp() - interval '" + ago + "' where key in (select key from spec where id like 'claimed-%')"
	}
	for _, step := range []struct {
		fact, set, id, want, summary string
	}{
		{"claimed just now", since("-50 s"), "claimed-first", "slot worker-1 1", "claimed by worker worker-1 since 20"},
		{"it must not start twice", since("-50 s"), "claimed-once", "", "runs on worker worker-1"},
		{"it must not start twice, and was stored by version 0.3", fmt.Sprintf("update task set flags = flags & ~%d where key in (select key from spec where id = 'claimed-once')", dag.FlagOnce),
			"claimed-once", "", "runs on worker worker-1"},
		{"it follows one that failed", since("-50 s"), "claimed-again", "", "runs on worker worker-1"},
		{"its worker never claims ahead", "update worker set level = 2 where id = 'worker-1'", "claimed-first", "", "runs on worker worker-1"},
		{"claimed long ago", since("101 ms"), "claimed-first", "", "runs on worker worker-1"},
	} {
		var e *coordinator.Explanation
		w.Eventually(step.fact, func() (err error) {
			w.exec(step.set) // each time, as beats set a worker's level
			if e, err = w.Service().Why(w.Context(), step.id); err == nil && (causes(e) != step.want || !strings.Contains(e.Summary, step.summary)) {
				err = fmt.Errorf("got %q: %+v", causes(e), *e)
			}
			return err
		})
		for _, x := range e.Waits {
			if !strings.Contains(x.Text, "within 100ms") || time.Until(x.Until) < 40*time.Second || x.Pool != "gate_executor" {
				w.Errorf("%s: got %+v", step.fact, x)
			}
		}
	}
}

func whyNothing(w *whyTest) {
	w.Submit(coordinator.SubmitOptions{}, group("nothing", ""), gated("nothing-runs", "nothing", "", `{}`), noop("nothing-done", "nothing"),
		with(noop("nothing-failed", "nothing"), `{"fail":"no luck"}`))
	w.starts("nothing-runs")
	defer w.gate.open("nothing-runs")
	for id, parts := range map[string][]string{
		"nothing-runs":   {"runs on worker worker-1 since 20", "attempt 1"},
		"nothing-done":   {"completed 20"},
		"nothing-failed": {"failed 20", "no luck"},
		"nothing":        {"completed 20"},
	} {
		w.Eventually(id+" is told of", func() error {
			e, err := w.Service().Why(w.Context(), id)
			if err == nil && (len(e.Waits) > 0 || slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(e.Summary, p) })) {
				err = fmt.Errorf("got %+v, want %q", *e, parts)
			}
			return err
		})
	}
}
