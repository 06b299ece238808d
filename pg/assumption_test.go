package pg

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// What an optimistic transaction is tried with.
const (
	claim  = "claim"
	settle = "settle"
)

// wrongAssumption is something that is otherwise than is assumed of the first task of a chain of two, or around it.
type wrongAssumption struct {
	fact string
	what string
	sql  string // what another process did: $1 is the tree; empty: nothing
	want string // states of the first and the second task, with attempts; what the claim's verdict is, or what is handed over
	fine bool   // nothing that is compared
}

var wrongAssumptions = []wrongAssumption{
	{"all is as is assumed", claim, "", "ready 1, waiting 1: running 1, waiting 1; yes", true},
	{"the lease has ended", claim, "update worker set lease_until = now() - interval '1 second' where $1 > 0", "ready 1, waiting 1: ready 1, waiting 1; undecided", false},
	{"the worker was given up", claim, "update worker set state = 4 where $1 > 0", "ready 1, waiting 1: ready 1, waiting 1; undecided", false},
	{"the tree is cancelled", claim, "update tree set cancelled_at = now() where key = $1", "ready 1, waiting 1: ready 1, waiting 1; no", false},
	{"the task is cancelled", claim, "update task set state = 8 where key = ($1 << 24) + 1", "cancelled 1, waiting 1: cancelled 1, waiting 1; no", false},
	{"another one runs it", claim, "update task set state = 4, worker = 77 where key = ($1 << 24) + 1", "running 1, waiting 1: running 1, waiting 1; no", false},
	{"it was tried before", claim, "update task set attempt = 2 where key = ($1 << 24) + 1", "ready 2, waiting 1: ready 2, waiting 1; no", false},
	{"a failure was counted", claim, "update task set failures = 1 where key = ($1 << 24) + 1", "ready 1, waiting 1: running 1, waiting 1; yes", false},
	{"a worker was lost", claim, "update task set crashes = 1 where key = ($1 << 24) + 1", "ready 1, waiting 1: running 1, waiting 1; yes", false},
	{"the facts are another task's", claim, "update task set flags = flags # 1 where key = ($1 << 24) + 1", "ready 1, waiting 1: running 1, waiting 1; yes", false},
	{"it is in another pool", claim, "update task set pool = pool + 1 where key = ($1 << 24) + 1", "ready 1, waiting 1: running 1, waiting 1; yes", false},
	{"it is more urgent", claim, "update task set priority = 3 where key = ($1 << 24) + 1", "ready 1, waiting 1: running 1, waiting 1; yes", false},

	{"all is as is assumed", settle, "", "running 1, waiting 1: completed 1, running 1; handed over", true},
	{"the attempt was taken back", settle, "update task set state = 3, attempt = 2, worker = null where key = ($1 << 24) + 1", "ready 2, waiting 1: ready 2, waiting 1; nothing", false},
	{"another one runs it", settle, "update task set worker = 77 where key = ($1 << 24) + 1", "running 1, waiting 1: running 1, waiting 1; nothing", false},
	{"it has ended", settle, "update task set state = 6, worker = null where key = ($1 << 24) + 1", "completed 1, waiting 1: completed 1, waiting 1; nothing", false},
	{"it was cancelled, and its worker has not said that it stopped", settle,
		"with a as (insert into attempt (task, number, outcome, counted, finished_at) values (($1 << 24) + 1, 1, 3, false, now())) update task set state = 8 where key = ($1 << 24) + 1",
		"cancelled 1, waiting 1: cancelled 1, waiting 1; nothing", false},
	{"the dependent waits for more", settle, "update task set remaining = 2 where key = $1 << 24", "running 1, waiting 1: completed 1, waiting 1; nothing", false},
	{"the dependent is blocked", settle, "update task set state = 5, blocked_by = key where key = $1 << 24", "running 1, blocked 1: completed 1, blocked 1; nothing", false},
	{"the dependent is cancelled", settle, "update task set state = 8 where key = $1 << 24", "running 1, cancelled 1: completed 1, cancelled 1; nothing", false},
	{"the tree is cancelled", settle, "update tree set cancelled_at = now() where key = $1", "running 1, waiting 1: completed 1, ready 1; nothing", false},
	{"the tree is another one", settle, "with e as (delete from edge where dependency >> 24 = $1) update tree set created_at = created_at - interval '1 hour' where key = $1",
		"running 1, waiting 1: completed 1, waiting 1; nothing", false},
	{"the tree has another revision", settle, "with e as (delete from edge where dependency >> 24 = $1) update tree set revision = 2 where key = $1",
		"running 1, waiting 1: completed 1, waiting 1; nothing", false},
	{"the tree runs again", settle, "update tree set execution = 2 where key = $1", "running 1, waiting 1: completed 1, running 1; handed over in 2", false},
	{"the lease has ended", settle, "update worker set lease_until = now() - interval '1 second' where $1 > 0", "running 1, waiting 1: completed 1, ready 1; nothing", false},
	{"older ones wait in the pool", settle, "insert into ready (pool, priority, first, n, attempt) select pool, priority, key + 7, 1, 1 from task where key = $1 << 24",
		"running 1, waiting 1: completed 1, ready 1; nothing", false},
	{"a more urgent one is on its way in NATS", settle, inNATS(1, "0 seconds"), "running 1, waiting 1: completed 1, ready 1; nothing", false},
	{"a more urgent one waits in NATS behind others that are taken", settle, inNATS(0, "10 seconds"), "running 1, waiting 1: completed 1, ready 1; nothing", false},
	{"an equal one waits in NATS", settle, inNATS(2, "1 second"), "running 1, waiting 1: completed 1, ready 1; nothing", false},
	{"an equal one is on its way in NATS", settle, inNATS(2, "0 seconds"), "running 1, waiting 1: completed 1, running 1; handed over", true},
	{"a less urgent one waits in NATS", settle, inNATS(3, "1 second"), "running 1, waiting 1: completed 1, running 1; handed over", true},
	{"older ones wait, which are less urgent", settle, "insert into ready (pool, priority, first, n, attempt) select pool, 3, key + 7, 1, 1 from task where key = $1 << 24",
		"running 1, waiting 1: completed 1, running 1; handed over", true},
}

// inNATS publishes a stretch of two tasks of another tree, of which the first is taken and the second is ready, in the pool of the
// first tree.
func inNATS(priority dag.Priority, ago string) string {
	return fmt.Sprintf(`with t as (insert into task (key, state, flags, priority, pool, remaining)
			select (($1 + 1000) << 24) + i, case i when 0 then %d else %d end, 0, %d, pool, 0 from task, generate_series(0, 1) i where key = $1 << 24)
		insert into published (pool, priority, first, n, attempt, sent)
			select pool, %d, ($1 + 1000) << 24, 2, 1, now() - interval '%s' from task where key = $1 << 24`, dag.Running, dag.Ready, priority, priority, ago)
}

// TestAnAssumptionThatIsWrong: whatever is otherwise than is assumed, what comes of a claim or a result is what comes of it when
// its task is read.
func TestAnAssumptionThatIsWrong(t *testing.T) {
	t.Parallel()
	for _, tc := range wrongAssumptions {
		t.Run(tc.what+": "+tc.fact, func(t *testing.T) {
			h := newTwoStores(t, 1)
			out, err := h.s.Submit(t.Context(), dag.DefaultNamespaceKey, chainOfTwo("t"))
			if err != nil {
				t.Fatal(err)
			}
			first := out.Effects.Publish[0]
			if tc.what == settle && h.claimFirst(first) != dag.Yes {
				t.Fatal("the claim is refused")
			}
			if tc.sql != "" {
				if _, err := h.s.pool.Exec(t.Context(), tc.sql, pgx.QueryExecModeSimpleProtocol, out.Tree); err != nil {
					t.Fatal(err)
				}
			}
			tried, refused := h.s.OptimisticTransactions()
			before := h.states(out.Tree)
			var then string
			if tc.what == claim {
				then = [...]string{"undecided", "yes", "no"}[h.claimFirst(first)]
			} else {
				then = h.settleFirst(first)
			}
			if got := before + ": " + h.states(out.Tree) + "; " + then; got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
			nowTried, nowRefused := h.s.OptimisticTransactions()
			if nowTried != tried+1 || (nowRefused == refused) != tc.fine {
				t.Errorf("%d more optimistic transactions, %d of them refused", nowTried-tried, nowRefused-refused)
			}
			if tc.sql == "" {
				h.checkAttempts()
			}
		})
	}
}

// claimFirst claims the first task of a chain.
func (h *twoStores) claimFirst(first *Work) dag.Verdict {
	h.t.Helper()
	verdicts, _, err := h.s.Claim(h.t.Context(), []dag.Claim{{Task: first.Key, Attempt: 1, Worker: h.worker, Facts: first.Facts()}})
	if err != nil {
		h.t.Fatal(err)
	}
	return verdicts[0]
}

// settleFirst completes the first task of a chain, offering its slot, and tells what is handed over.
func (h *twoStores) settleFirst(first *Work) string {
	h.t.Helper()
	_, eff, err := h.s.Settle(h.t.Context(), []dag.Result{{Task: first.Key, Attempt: 1, Worker: h.worker, Outcome: dag.OutcomeCompleted,
		Value: []byte(`{"r":1}`), Offer: true, Facts: first.Facts()}}, func(int32, dag.Priority, int32) bool { return true })
	if err != nil {
		h.t.Fatal(err)
	}
	switch {
	case len(eff.Handed) == 0:
		return "nothing"
	case eff.Handed[0].Work.Execution != 1:
		return fmt.Sprintf("handed over in %d", eff.Handed[0].Work.Execution)
	}
	return "handed over"
}

// checkAttempts checks that tasks say when they started, and attempts what their tasks say.
func (h *twoStores) checkAttempts() {
	h.t.Helper()
	var unstarted, odd int
	if err := h.s.pool.QueryRow(h.t.Context(), `select count(*) filter (where t.state in (4, 6) and t.started_at is null and t.attempt = 1),
		count(*) filter (where t.state = 6 and (a.outcome <> 1 or a.started_at is distinct from t.started_at or a.result->>'r' is distinct from '1' or a.worker is distinct from $1))
		from task t left join attempt a on a.task = t.key`, h.worker).Scan(&unstarted, &odd); err != nil {
		h.t.Fatal(err)
	}
	if unstarted+odd > 0 {
		h.t.Errorf("%d tasks don't say when they started, %d attempts are not as their task says", unstarted, odd)
	}
}
