package pg

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
)

// newConditional is a tree in which a gate with a condition, b, depends on a.
func newConditional(t *testing.T) *meeting {
	h := newTwoStores(t, 1)
	sub := treeOf(&dag.Task{ID: "root", Name: "root", Executor: "e"},
		&dag.Task{ID: "a", Name: "a", Executor: "e", ParentRef: "root"},
		&dag.Task{ID: "b", Name: "b", ParentRef: "root", Dependencies: []dag.Dependency{{Ref: "a"}}, Inputs: json.RawMessage(`{"x":1}`),
			Control: &dag.Control{When: "deps.a.result.ok"}},
		&dag.Task{ID: "c", Name: "c", Executor: "e", ParentRef: "root"})
	out, err := h.s.Submit(t.Context(), dag.DefaultNamespaceKey, sub)
	if err != nil {
		t.Fatal(err)
	}
	return &meeting{h, out.Tree}
}

// end ends an attempt as its worker would.
func (m *meeting) end(index int, attempt int32, result string) {
	m.t.Helper()
	k := m.tree.Key(index)
	_, err := m.other.pool.Exec(m.t.Context(), "with t as (update task set state = 4, worker = $2, started_at = now() where key = $1) update tree set running = running + 1", k, m.worker)
	m.must(err)
	_, _, err = m.other.Settle(m.t.Context(), []dag.Result{{Task: k, Attempt: attempt, Worker: m.worker, Outcome: dag.OutcomeCompleted, Value: []byte(result)}}, nil)
	m.must(err)
	m.carryOut()
}

// verdicts are those over all pending conditions, each of which holds or not.
func (m *meeting) verdicts(holds bool) (list []Verdict) {
	m.t.Helper()
	pending, _, err := m.s.PendingConditions(m.t.Context(), 0, 100)
	m.must(err)
	for _, c := range pending {
		list = append(list, Verdict{Condition: c, Is: dag.Condition{Known: true, Holds: holds}})
	}
	return list
}

func (m *meeting) decide(list []Verdict) (decided bool) {
	m.t.Helper()
	eff, err := m.s.DecideConditions(m.t.Context(), list, nil)
	m.must(err)
	return eff != nil
}

// anew makes another attempt of a the one that counts, as a re-run has it that has ended.
func (m *meeting) anew() {
	m.t.Helper()
	_, err := m.other.pool.Exec(m.t.Context(), "with a as (insert into attempt (task, number, outcome, counted, finished_at, result) values ($1, 2, 1, true, now(), '{}')) update task set attempt = 2 where key = $1", m.tree.Key(1))
	m.must(err)
}

func (m *meeting) pending() (n int) {
	m.t.Helper()
	m.must(m.other.pool.QueryRow(m.t.Context(), sqlWords("select count(*) from followup where kind = :followup_condition")).Scan(&n))
	return n
}

func sqlWords(text string) string {
	text, err := spell(text)
	if err != nil {
		panic(err)
	}
	return text
}

// TestPendingConditionsHaveWhatTheyNeed: a condition comes with how its dependencies ended, and values when they are asked for, sealed or not.
func TestPendingConditionsHaveWhatTheyNeed(t *testing.T) {
	t.Parallel()
	m := newConditional(t)
	if list := m.verdicts(true); len(list) > 0 {
		t.Fatalf("%d conditions are pending before their dependencies ended", len(list))
	}
	m.end(1, 1, `{"ok":true}`)
	list := m.verdicts(true)
	if len(list) != 1 {
		t.Fatalf("%d conditions are pending", len(list))
	}
	c := list[0]
	d := c.Dependencies
	if !c.Waits || c.ID != "b" || c.Root != "root" || c.Control.When != "deps.a.result.ok" || len(d) != 1 || d[0].State != dag.Completed || d[0].Attempt != 1 || d[0].ID != "a" || !d[0].Required {
		t.Errorf("got %+v", c.Condition)
	}
	a := AttemptOf{d[0].Task, d[0].Attempt}
	values, err := m.s.AttemptValues(t.Context(), []AttemptOf{a}, 1000)
	if err != nil || string(values[a].Result) != `{"ok":true}` || values[a].Cut {
		t.Errorf("values: %+v, %v", values, err)
	}
	if values, err := m.s.AttemptValues(t.Context(), []AttemptOf{a}, 5); err != nil || values[a].Result != nil || !values[a].Cut {
		t.Errorf("values that are too much: %+v, %v", values, err)
	}
	if inputs, cut, err := m.s.ConditionInputs(t.Context(), []*Condition{c.Condition}, 1000); err != nil || string(inputs[c.Task]) != `{"x":1}` || cut[c.Task] {
		t.Errorf("inputs: %q, %v, %v", inputs[c.Task], cut, err)
	}
	if !m.decide(list) || m.pending() != 0 {
		t.Error("it was not decided")
	}
	m.audit()
}

// TestVerdictsMeetOthers: a verdict that comes twice decides once; one about other attempts than those that are there decides nothing; one about a task that does
// not wait any more is dropped.
func TestVerdictsMeetOthers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		holds         bool
		before, while func(m *meeting) // the decision
		states        string           // of root a b c
		pending       int
	}{
		"nobody":        {holds: true, states: "[ready completed completed ready]"},
		"nobody, false": {states: "[ready completed skipped ready]"},
		"itself": {before: func(m *meeting) {
			if !m.decide(m.verdicts(false)) {
				m.t.Error("the first one decided nothing")
			}
		}, holds: true, states: "[ready completed skipped ready]"},
		"itself at the same time": {while: func(m *meeting) {
			list, _, err := m.other.PendingConditions(m.t.Context(), 0, 10)
			m.must(err)
			eff, err := m.other.DecideConditions(m.t.Context(), []Verdict{{Condition: list[0], Is: dag.Condition{Known: true, Holds: true}}}, nil)
			m.must(err)
			if eff == nil {
				m.t.Error("the other decided nothing")
			}
		}, states: "[ready completed completed ready]"},
		"another end":                       {before: (*meeting).anew, states: "[ready completed waiting ready]", pending: 1},
		"another end in its midst":          {while: (*meeting).anew, states: "[ready completed waiting ready]", pending: 1},
		"a cancellation of its tree":        {before: func(m *meeting) { m.cancelTree(); m.carryOut() }, states: "[cancelled completed cancelled cancelled]"},
		"a cancellation that is on record":  {before: (*meeting).cancelTree, states: "[ready completed waiting ready]"},
		"a cancellation of its task":        {before: func(m *meeting) { m.cancel(2)() }, states: "[ready completed cancelled ready]"},
		"a cancellation of it in its midst": {while: func(m *meeting) { m.cancel(2)() }, states: "[ready completed cancelled ready]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newConditional(t)
			m.end(1, 1, `{"ok":true}`)
			list := m.verdicts(tc.holds)
			if len(list) != 1 {
				t.Fatalf("%d conditions are pending", len(list))
			}
			if tc.before != nil {
				tc.before(m)
			}
			if tc.while != nil {
				m.s.interrupt(t, "TakeConditions", func() { tc.while(m) })
			}
			m.decide(list)
			if got := fmt.Sprint(m.states()); got != tc.states {
				t.Errorf("got %s, want %s", got, tc.states)
			}
			if got := m.pending(); got != tc.pending {
				t.Errorf("%d are pending, want %d", got, tc.pending)
			}
			if tc.pending > 0 { // it's evaluated anew
				if m.decide(m.verdicts(false)); m.pending() > 0 {
					t.Error("it is pending still")
				}
				if got := m.states()[2]; got != "skipped" {
					t.Errorf("got %s", got)
				}
			}
			if name == "a cancellation that is on record" {
				m.carryOut()
			}
			m.audit()
		})
	}
}

// TestAConditionThatErrs: its task fails without an attempt that started, and is never tried again.
func TestAConditionThatErrs(t *testing.T) {
	t.Parallel()
	m := newConditional(t)
	m.end(1, 1, `{}`)
	list := m.verdicts(true)
	for i := range list {
		list[i].Is = dag.Condition{Known: true, Error: `line 1, column 14: there is no key "ok"`}
	}
	m.decide(list)
	if got := fmt.Sprint(m.states()); got != "[ready completed failed ready]" {
		t.Errorf("got %s", got)
	}
	var kind, text string
	var unstarted, finished bool
	m.must(m.other.pool.QueryRow(t.Context(), "select kind, coalesce(error, ''), started_at is null, finished_at is not null from attempt where task = $1", m.tree.Key(2)).
		Scan(&kind, &text, &unstarted, &finished))
	if kind != "when_error" || !unstarted || !finished || text != "" && !strings.HasPrefix(text, "when_error: line 1, column 14: ") {
		t.Errorf("got %s, %q, not started %t, finished %t", kind, text, unstarted, finished)
	}
	m.audit()
}

// TestManyConditionsAreReadInParts: each comes once, whatever the size of a batch.
func TestManyConditionsAreReadInParts(t *testing.T) {
	t.Parallel()
	h := newTwoStores(t, 1)
	tasks := []*dag.Task{{ID: "root", Name: "root", Executor: "e"}}
	for i := range 25 {
		tasks = append(tasks, &dag.Task{ID: fmt.Sprint("g", i), Name: "g", ParentRef: "root", Control: &dag.Control{When: "true"}})
	}
	out, err := h.s.Submit(t.Context(), dag.DefaultNamespaceKey, treeOf(tasks...))
	if err != nil {
		t.Fatal(err)
	}
	m := &meeting{h, out.Tree}
	m.carryOut()
	var seen []dag.Key
	for after := dag.Key(0); ; {
		list, last, err := m.s.PendingConditions(t.Context(), after, 10)
		if err != nil {
			t.Fatal(err)
		}
		if last == 0 {
			break
		}
		for _, c := range list {
			seen = append(seen, c.Task)
		}
		after = last
	}
	if !slices.IsSorted(seen) || len(slices.Compact(seen)) != 25 {
		t.Errorf("seen: %v", seen)
	}
}
