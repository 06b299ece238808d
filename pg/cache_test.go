package pg

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// newCachedTask is a tree in which b, which may be cached, depends on a, which has ended.
func newCachedTask(t *testing.T) *meeting {
	h := newTwoStores(t, 1)
	sub := treeOf(&dag.Task{ID: "root", Name: "root", Executor: "e"},
		&dag.Task{ID: "a", Name: "a", Executor: "e", ParentRef: "root"},
		&dag.Task{ID: "b", Name: "b", Executor: "e", ParentRef: "root", Dependencies: []dag.Dependency{{Ref: "a"}}, Inputs: json.RawMessage(`{"x":1}`),
			Control: &dag.Control{Cache: &dag.Cache{For: time.Hour}}})
	out, err := h.s.Submit(t.Context(), dag.DefaultNamespaceKey, sub)
	if err != nil {
		t.Fatal(err)
	}
	m := &meeting{h, out.Tree}
	m.end(1, 1, `{"v":1}`)
	return m
}

// looked are verdicts by which the tasks run whose earlier successes were looked for.
func (m *meeting) looked() []Verdict {
	m.t.Helper()
	list := m.verdicts(true)
	for i := range list {
		w, err := m.s.ToBeRun(m.t.Context(), list[i].Condition, 1<<20)
		m.must(err)
		list[i].Is.Looked = true
		list[i].Digest, err = m.s.CacheDigest(m.t.Context(), m.tree, w.Inputs)
		m.must(err)
	}
	return list
}

// TestChangesTakeFromTheCache: whoever changes a task, or what it depends on, while it is judged or before it has ended, keeps what it gives from others: it was told by what was
// there before.
func TestChangesTakeFromTheCache(t *testing.T) {
	t.Parallel()
	changes := map[string]func(m *meeting) error{
		"nothing": nil,
		"its inputs": func(m *meeting) error {
			_, err := m.other.Update(m.t.Context(), m.tree.Key(2), Update{Change: dag.Change{Inputs: json.RawMessage(`{"x":2}`)}})
			return err
		},
		"what it depends on": func(m *meeting) error {
			_, err := m.other.Update(m.t.Context(), m.tree.Key(1), Update{Change: dag.Change{Result: json.RawMessage(`{"v":2}`)}})
			return err
		},
	}
	for name, change := range changes {
		for when, at := range map[string]struct {
			change func(m *meeting, change func()) (decided bool)
			judged bool // the change comes too late for the verdict
		}{
			"before it is decided": {change: func(m *meeting, change func()) bool {
				list := m.looked()
				change()
				return m.decide(list) && m.pending() == 0
			}},
			"while it is decided": {change: func(m *meeting, change func()) bool {
				list := m.looked()
				m.s.interrupt(m.t, "TakeConditions", change)
				return m.decide(list) && m.pending() == 0
			}},
			"once it is decided": {judged: true, change: func(m *meeting, change func()) bool { decided := m.decide(m.looked()); change(); return decided }},
		} {
			t.Run(name+" "+when, func(t *testing.T) {
				t.Parallel()
				m := newCachedTask(t)
				decided := at.change(m, func() {
					if change != nil {
						m.must(change(m))
					}
				})
				if want := at.judged || change == nil; decided != want {
					t.Errorf("decided: %t, want %t", decided, want)
				}
				want := 0
				if change == nil {
					want = 1
				} else if !at.judged { // it is judged anew, by what is there now
					want = 1
					if !m.decide(m.looked()) || m.pending() > 0 {
						t.Error("it was not decided anew")
					}
				}
				b := m.tree.Key(2)
				var got int
				var attempt int32 // a change of inputs of what is sent already begins another one
				m.must(m.other.pool.QueryRow(t.Context(), "select attempt from task where key = $1", b).Scan(&attempt))
				m.end(2, attempt, `{"of":"b"}`)
				m.must(m.other.pool.QueryRow(t.Context(), "select count(*) from cache").Scan(&got))
				if got != want {
					t.Errorf("%d successes are there for others, want %d", got, want)
				}
				var state dag.State
				m.must(m.other.pool.QueryRow(t.Context(), "select state from task where key = $1", b).Scan(&state))
				if state != dag.Completed {
					t.Errorf("it is %s", state)
				}
			})
		}
	}
}
