package pg

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// TestATransactionThatWaitsEndsNoAttemptBeforeItsStart: of two transactions about a task, the one that began first may be the
// second to get it, and what it writes is later all the same.
func TestATransactionThatWaitsEndsNoAttemptBeforeItsStart(t *testing.T) {
	t.Parallel()
	for name, outcome := range map[string]dag.Outcome{"optimistic": dag.OutcomeCompleted, "read": dag.OutcomeFailed} {
		t.Run(name, func(t *testing.T) {
			h := newTwoStores(t, 1)
			first := h.begin("t")
			other, err := pgx.Connect(t.Context(), h.s.pool.pool.Config().ConnString())
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close(t.Context())
			exec := func(statement string, args ...any) {
				t.Helper()
				if _, err := other.Exec(t.Context(), statement, args...); err != nil {
					t.Fatal(err)
				}
			}
			exec("begin")
			exec("select from task where key = $1 for update", first.Key)
			settled := make(chan error, 1)
			go func() {
				_, _, err := h.s.Settle(t.Context(), []dag.Result{{Task: first.Key, Attempt: 1, Worker: h.worker, Outcome: outcome,
					Value: []byte(`1`), Facts: first.Facts()}}, nil)
				settled <- err
			}()
			h.eventually("the settlement waits for the row", `select count(*) > 0 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`)
			time.Sleep(20 * time.Millisecond)
			exec("update task set started_at = clock_timestamp() where key = $1", first.Key) // what a claim writes
			exec("commit")
			if err := <-settled; err != nil {
				t.Fatal(err)
			}
			var ended, happened bool
			if err := h.s.pool.QueryRow(t.Context(), `select a.finished_at >= a.started_at and a.started_at = t.started_at,
				(select max(at) from event where tree = t.key >> 24) >= t.started_at
				from attempt a join task t on t.key = a.task where t.key = $1`, first.Key).Scan(&ended, &happened); err != nil {
				t.Fatal(err)
			}
			if !ended || !happened {
				t.Errorf("it ends after its start: %v; the event is after it: %v", ended, happened)
			}
		})
	}
}

// eventually waits until the query says true.
func (h *twoStores) eventually(what, query string) {
	h.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		var yes bool
		if err := h.s.pool.QueryRow(h.t.Context(), query).Scan(&yes); err != nil {
			h.t.Fatal(err)
		}
		if yes {
			return
		}
	}
	h.t.Fatal("not in time: " + what)
}

// TestAnAttemptThatWaitedStartsLater: an attempt starts as much later than it was claimed as it waited for a slot of its worker,
// and one that never began has no start.
func TestAnAttemptThatWaitedStartsLater(t *testing.T) {
	t.Parallel()
	plain := dag.Result{Outcome: dag.OutcomeCompleted, Value: []byte(`1`)}
	with := func(r dag.Result, f func(*dag.Result)) dag.Result { f(&r); return r }
	for name, tt := range map[string]struct {
		result     dag.Result
		optimistic bool
		want       string // true of the task t, its first attempt a, and the time c of its claim
	}{
		"it waited, and nothing is read": {with(plain, func(r *dag.Result) { r.Waited = 30 * time.Millisecond }), true,
			"a.started_at = c + interval '30 milliseconds' and t.started_at = a.started_at"},
		"it waited for longer than that, and nothing is read": {with(plain, func(r *dag.Result) { r.Waited = 100 * 365 * 24 * time.Hour }), true,
			"a.started_at = a.finished_at and a.started_at > c"},
		"it did not wait, and nothing is read": {plain, true, "a.started_at = c"},
		"it waited, and is read": {with(plain, func(r *dag.Result) { r.Waited = 30 * time.Millisecond }), false,
			"a.started_at = c + interval '30 milliseconds' and t.started_at = a.started_at"},
		"it waited, and failed": {dag.Result{Outcome: dag.OutcomeFailed, Waited: 30 * time.Millisecond}, false,
			"a.started_at = c + interval '30 milliseconds'"},
		"it waited for longer than that": {with(plain, func(r *dag.Result) { r.Waited = 100 * 365 * 24 * time.Hour }), false,
			"a.started_at <= a.finished_at and a.started_at > c"},
		"it never began": {dag.Result{Outcome: dag.OutcomeReturned, Unstarted: true}, false,
			"a.started_at is null and t.started_at is null and not a.counted"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newTwoStores(t, 1)
			first := h.begin("t")
			var claimed time.Time
			if err := h.s.pool.QueryRow(t.Context(), "select started_at from task where key = $1", first.Key).Scan(&claimed); err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond)
			tt.result.Task, tt.result.Attempt, tt.result.Worker = first.Key, 1, h.worker
			if tt.optimistic {
				tt.result.Facts = first.Facts()
			}
			changed, _, err := h.s.Settle(t.Context(), []dag.Result{tt.result}, nil)
			if err != nil || !changed[0] {
				t.Fatal(changed, err)
			}
			var good bool
			if err := h.s.pool.QueryRow(t.Context(), "select "+tt.want+` from task t join attempt a on a.task = t.key and a.number = 1,
				(select $2::timestamptz as c) c where t.key = $1`, first.Key, claimed).Scan(&good); err != nil || !good {
				t.Errorf("%s: %v, %v", tt.want, good, err)
			}
		})
	}
}

// TestACancelledAttemptThatNeverBeganHasNoStart: its worker says so with the receipt; one that began keeps its start.
func TestACancelledAttemptThatNeverBeganHasNoStart(t *testing.T) {
	t.Parallel()
	for _, unstarted := range []bool{false, true} {
		h := newTwoStores(t, 1)
		first := h.begin("t")
		if done, _, err := h.s.Cancel(t.Context(), []dag.Key{first.Key}, "not needed", nil); err != nil || !done[first.Key] {
			t.Fatal(done, err)
		}
		receipt := dag.Result{Task: first.Key, Attempt: 1, Worker: h.worker, Outcome: dag.OutcomeCancelled, Unstarted: unstarted}
		if changed, _, err := h.s.Settle(t.Context(), []dag.Result{receipt}, nil); err != nil || !changed[0] {
			t.Fatal(changed, err)
		}
		var task, attempt, ended bool
		if err := h.s.pool.QueryRow(t.Context(), `select t.started_at is null, a.started_at is null, a.finished_at is not null and t.worker is null
			from task t join attempt a on a.task = t.key and a.number = 1 where t.key = $1`, first.Key).Scan(&task, &attempt, &ended); err != nil {
			t.Fatal(err)
		}
		if task != unstarted || attempt != unstarted || !ended {
			t.Errorf("unstarted %v: the task has no start: %v, its attempt has none: %v, both ended: %v", unstarted, task, attempt, ended)
		}
	}
}

// TestAnEarlyAttemptStartsAfterWhatWasBefore: whatever its worker says of the time that it took.
func TestAnEarlyAttemptStartsAfterWhatWasBefore(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		again bool
		ran   time.Duration
		want  string // true of the task t, its tree and the attempt a
	}{
		"it ran for a while":              {false, time.Millisecond, "a.finished_at - a.started_at = interval '1 millisecond'"},
		"it can't have run for that long": {false, 100 * 365 * 24 * time.Hour, "a.started_at = tree.created_at"},
		"the attempt before ended later": {true, 100 * 365 * 24 * time.Hour,
			"a.started_at = (select finished_at from attempt where task = t.key and number = 1) and a.started_at > tree.created_at"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newTwoStores(t, 1)
			task := &dag.Task{ID: "t", Name: "t", Executor: "e", Repeatable: true}
			out, err := h.s.Submit(t.Context(), dag.DefaultNamespaceKey, treeOf(task))
			if err != nil {
				t.Fatal(err)
			}
			key, attempt := out.Effects.Publish[0].Key, int32(1)
			time.Sleep(10 * time.Millisecond)
			settle := func(outcome dag.Outcome, ran time.Duration) {
				t.Helper()
				changed, _, err := h.s.Settle(t.Context(), []dag.Result{{Task: key, Attempt: attempt, Worker: h.worker, Outcome: outcome, Early: true, Ran: ran}}, nil)
				if err != nil || !changed[0] {
					t.Fatal(changed, err)
				}
			}
			if tt.again {
				settle(dag.OutcomeReturned, 0)
				attempt = 2
				time.Sleep(10 * time.Millisecond)
			}
			settle(dag.OutcomeCompleted, tt.ran)
			var good bool
			if err := h.s.pool.QueryRow(t.Context(), "select "+tt.want+` from task t join tree on tree.key = t.key >> 24
				join attempt a on a.task = t.key and a.number = t.attempt where t.key = $1`, key).Scan(&good); err != nil || !good {
				t.Errorf("%s: %v, %v", tt.want, good, err)
			}
		})
	}
}
