package pg

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/taskgrove/taskgrove/dag"
)

// interrupter calls functions right before a store sends a batch with a statement: each once, in their order.
type interrupter struct {
	statement string // name
	calls     []func()
}

func (i *interrupter) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	if len(i.calls) > 0 && slices.ContainsFunc(data.Batch.QueuedQueries, func(q *pgx.QueuedQuery) bool { return q.SQL == sql(i.statement) }) {
		call := i.calls[0]
		i.calls = i.calls[1:]
		call()
	}
	return ctx
}

func (*interrupter) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (*interrupter) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}
func (*interrupter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}
func (*interrupter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// interrupt has the calls made before the store sends batches with the statement.
func (s *Store) interrupt(t *testing.T, statement string, calls ...func()) {
	t.Helper()
	cfg := s.pool.pool.Config()
	cfg.ConnConfig.Tracer = &interrupter{statement, calls}
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	s.pool = &connections{pool: pool}
}

// meeting is a tree that two processes steer: a is required by b, and that by the root.
type meeting struct {
	*twoStores
	tree dag.TreeKey
}

func newMeeting(t *testing.T, held bool) *meeting {
	h := newTwoStores(t, 1)
	sub := treeOf(&dag.Task{ID: "root", Name: "root", Executor: "e", Dependencies: []dag.Dependency{{Ref: "b"}}},
		&dag.Task{ID: "a", Name: "a", Executor: "e", ParentRef: "root"},
		&dag.Task{ID: "b", Name: "b", Executor: "e", ParentRef: "root", Dependencies: []dag.Dependency{{Ref: "a"}}},
		&dag.Task{ID: "c", Name: "c", Executor: "e", ParentRef: "root"})
	sub.Hold = held
	out, err := h.s.Submit(t.Context(), dag.DefaultNamespaceKey, sub)
	if err != nil {
		t.Fatal(err)
	}
	return &meeting{h, out.Tree}
}

// states are those of root, a, b and c.
func (m *meeting) states() (out []string) {
	m.t.Helper()
	rows, err := m.other.pool.Query(m.t.Context(), "select state from task order by key")
	if err != nil {
		m.t.Fatal(err)
	}
	states, err := pgx.CollectRows(rows, pgx.RowTo[dag.State])
	if err != nil {
		m.t.Fatal(err)
	}
	for _, s := range states {
		out = append(out, s.String())
	}
	return out
}

func (m *meeting) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Error(err)
	}
}

// carryOut does all follow-up work.
func (m *meeting) carryOut() {
	for more := true; more; {
		var err error
		_, more, err = m.other.Followups(m.t.Context(), nil)
		m.must(err)
	}
}

func (m *meeting) cancelTree() {
	_, err := m.other.CancelTree(m.t.Context(), m.tree, "enough")
	m.must(err)
}

func (m *meeting) cancel(index int) func() {
	return func() {
		_, _, err := m.other.Cancel(m.t.Context(), []dag.Key{m.tree.Key(index)}, "enough", nil)
		m.must(err)
	}
}

// complete ends a task as its worker would.
func (m *meeting) complete(index int) {
	m.t.Helper()
	k := m.tree.Key(index)
	_, err := m.other.pool.Exec(m.t.Context(), "with t as (update task set state = 4, worker = $2, started_at = now() where key = $1) update tree set running = running + 1", k, m.worker)
	m.must(err)
	_, _, err = m.other.Settle(m.t.Context(), []dag.Result{{Task: k, Attempt: 1, Worker: m.worker, Outcome: dag.OutcomeCompleted}}, nil)
	m.must(err)
}

// TestExecutionMeetsOthers: what others do between the plan of an execution and its write makes it plan again, and is no fault of
// the store. Whatever comes first holds.
func TestExecutionMeetsOthers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		running bool // the tree is under way, but for what the execution is about
		target  int
		opts    dag.ExecutionOptions
		before  func(m *meeting)
		others  func(m *meeting) []func() // at the first write, and at those that follow
		status  ExecutionStatus
		states  string // root a b c
	}{
		"a cancellation of the tree that is carried out": {
			others: func(m *meeting) []func() { return []func(){func() { m.cancelTree(); m.carryOut() }} },
			status: ExecutionCancelled, states: "[cancelled cancelled cancelled cancelled]"},
		"a cancellation of the tree that is on record": {
			others: func(m *meeting) []func() {
				return []func(){func() { m.cancelTree(); time.AfterFunc(executionPause/2, m.carryOut) }}
			},
			status: ExecutionCancelled, states: "[cancelled cancelled cancelled cancelled]"},
		"a cancellation of one task": {
			others: func(m *meeting) []func() { return []func(){m.cancel(3)} },
			status: ExecutionStarted, states: "[waiting ready waiting cancelled]"},
		"cancellations of one task after the other": {
			others: func(m *meeting) []func() { return []func(){m.cancel(0), m.cancel(2), m.cancel(1), m.cancel(3)} },
			status: ExecutionCancelled, states: "[cancelled cancelled cancelled cancelled]"},
		"a cancellation of the target": {
			target: 2,
			others: func(m *meeting) []func() { return []func(){m.cancel(2)} },
			status: ExecutionCancelled, states: "[held held cancelled held]"},
		"a deadline of what is under way": {
			target: 3, opts: dag.ExecutionOptions{Force: true},
			running: true, before: func(m *meeting) { m.complete(3) },
			others: func(m *meeting) []func() {
				return []func(){func() {
					_, err := m.other.pool.Exec(t.Context(), "insert into timer (at, task, attempt, kind) select now(), root, execution, 4 from tree")
					m.must(err)
					_, n, err := m.other.DueTimers(m.t.Context(), 10, nil)
					m.must(err)
					if n != 1 {
						m.t.Errorf("%d timers were due", n)
					}
					m.carryOut()
				}}
			},
			status: ExecutionStarted, states: "[cancelled cancelled cancelled ready]"},
		"a result of what is under way": {
			target: 3, opts: dag.ExecutionOptions{Force: true},
			running: true, before: func(m *meeting) { m.complete(3) },
			others: func(m *meeting) []func() { return []func(){func() { m.complete(1) }} },
			status: ExecutionStarted, states: "[waiting completed ready ready]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMeeting(t, !tc.running)
			if tc.before != nil {
				tc.before(m)
			}
			m.s.interrupt(t, "StartExecution", tc.others(m)...)
			out, err := m.s.Execute(t.Context(), m.tree.Key(tc.target), tc.opts)
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(m.states()); out.Status != tc.status || got != tc.states {
				t.Errorf("got %+v and %s, want status %d and %s", out, got, tc.status, tc.states)
			}
			m.audit()
		})
	}
}

func (m *meeting) audit() {
	m.t.Helper()
	if found, _, _, err := m.other.AuditAll(m.t.Context(), 0, AuditOptions{}); err != nil || len(found) > 0 {
		m.t.Errorf("the audit says %+v, %v", found, err)
	}
}

// TestTwoExecutionsOfATree: the second waits for the first, and finds it running.
func TestTwoExecutionsOfATree(t *testing.T) {
	t.Parallel()
	m := newMeeting(t, true)
	second := make(chan *Execution, 1)
	m.s.interrupt(t, "StartExecution", func() {
		go func() {
			out, err := m.other.Execute(t.Context(), m.tree.Key(0), dag.ExecutionOptions{})
			m.must(err)
			second <- out
		}()
	})
	out, err := m.s.Execute(t.Context(), m.tree.Key(0), dag.ExecutionOptions{})
	if err != nil || out.Status != ExecutionStarted {
		t.Errorf("the first: %+v, %v", out, err)
	}
	if out := <-second; out == nil || out.Status != ExecutionRunning {
		t.Errorf("the second: %+v", out)
	}
	m.audit()
}

// TestRetentionMeetsAnExecution: a tree is executed again or deleted, never both.
func TestRetentionMeetsAnExecution(t *testing.T) {
	t.Parallel()
	ended := func(t *testing.T) *meeting {
		m := newMeeting(t, false)
		m.cancelTree()
		m.carryOut()
		if _, err := m.other.pool.Exec(t.Context(), "update tree set finished_at = now() - interval '1 day'"); err != nil {
			t.Fatal(err)
		}
		return m
	}
	again := dag.ExecutionOptions{RerunCancelled: true}
	t.Run("executed before it is deleted", func(t *testing.T) {
		t.Parallel()
		m := ended(t)
		m.s.interrupt(t, "FinishedTree", func() {
			out, err := m.other.Execute(t.Context(), m.tree.Key(0), again)
			if err != nil || out.Status != ExecutionStarted {
				t.Errorf("got %+v, %v", out, err)
			}
		})
		if _, err := m.s.Expire(t.Context(), time.Hour, 10); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(m.states()); got != "[waiting ready waiting ready]" {
			t.Error(got)
		}
		m.audit()
	})
	t.Run("executed while it is deleted", func(t *testing.T) {
		t.Parallel()
		m := ended(t)
		answer := make(chan error, 1)
		m.s.interrupt(t, "DeleteTasks", func() {
			go func() {
				_, err := m.other.Execute(t.Context(), m.tree.Key(0), again)
				answer <- err
			}()
		})
		if _, err := m.s.Expire(t.Context(), time.Hour, 10); err != nil {
			t.Fatal(err)
		}
		if err := <-answer; !errors.Is(err, ErrNotFound) || len(m.states()) > 0 {
			t.Errorf("got %v and %s", err, m.states())
		}
	})
	t.Run("executed when a part of it is deleted", func(t *testing.T) {
		t.Parallel()
		m := ended(t)
		if _, err := m.s.pool.Exec(t.Context(), "with s as (delete from spec where key & 1 = 0) delete from task where key & 1 = 0"); err != nil {
			t.Fatal(err)
		}
		if _, err := m.s.Execute(t.Context(), m.tree.Key(3), again); !errors.Is(err, ErrNotFound) {
			t.Errorf("got %v", err)
		}
	})
}

// TestTwoCancellationsOfATree: the second finds that of the first, and when that has been carried out, nothing.
func TestTwoCancellationsOfATree(t *testing.T) {
	t.Parallel()
	m := newMeeting(t, true)
	for _, want := range []TreeCancellation{{Did: true, Pending: true, Message: "first"}, {Pending: true, Message: "first"}, {}} {
		if want == (TreeCancellation{}) {
			m.carryOut()
		}
		message := "first"
		if !want.Did {
			message = "second"
		}
		if got, err := m.s.CancelTree(t.Context(), m.tree, message); err != nil || got != want {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	m.carryOut()
	m.audit()
}

// TestWhatACancellationSaidOutlivesIt: the next execution of the tree takes it off the tree's row.
func TestWhatACancellationSaidOutlivesIt(t *testing.T) {
	t.Parallel()
	m := newMeeting(t, true)
	m.cancelTree()
	m.carryOut()
	if _, err := m.s.Execute(t.Context(), m.tree.Key(3), dag.ExecutionOptions{RerunCancelled: true}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"root", "a", "b"} {
		shown, err := m.s.Task(t.Context(), dag.DefaultNamespaceKey, id)
		if err != nil {
			t.Fatal(err)
		}
		if shown.State != dag.Cancelled || shown.Error == nil || *shown.Error != "enough" {
			t.Errorf("%s is %s, its error %v", id, shown.State, shown.Error)
		}
	}
	if got, err := m.s.Attempts(t.Context(), m.tree.Key(3)); err != nil || len(got) != 1 || got[0].Outcome != dag.OutcomeCancelled || got[0].Error != "enough" {
		t.Errorf("got %+v, %v", got, err)
	}
	m.audit()
}
