package pg

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
)

// noted is one task whose attempts note where they are.
type noted struct {
	*twoStores
	w *Work
}

func newNoted(t *testing.T, sealed bool) *noted {
	t.Helper()
	h := newTwoStores(t, 1)
	if sealed {
		sealing(t, h.s)
		sealing(t, h.other)
	}
	sub, err := h.s.Submit(t.Context(), dag.DefaultNamespaceKey, treeOf(&dag.Task{ID: "t", Name: "t", Executor: "e", Retry: dag.RetryPolicy{MaxAttempts: 100, NoDelay: true}}))
	if err != nil {
		t.Fatal(err)
	}
	return &noted{h, sub.Effects.Publish[0]}
}

func (n *noted) claim() {
	n.t.Helper()
	if verdicts, _, err := n.s.Claim(n.t.Context(), []dag.Claim{n.twoStores.claim(n.w)}); err != nil || verdicts[0] != dag.Yes {
		n.t.Fatal(verdicts, err)
	}
}

// note stores a note and says whether it counts.
func (n *noted) note(worker dag.WorkerKey, attempt int32, number int64, text string) bool {
	n.t.Helper()
	stored, err := n.s.SetCheckpoints(n.t.Context(), worker, []Checkpoint{{n.w.Key, attempt, number, []byte(text)}})
	if err != nil {
		n.t.Fatal(err)
	}
	return stored[n.w.Key]
}

// end ends the attempt, and gives what the next one is sent; nil: there is none.
func (n *noted) end(outcome dag.Outcome, room Room, change ...func(*dag.Result)) *Work {
	n.t.Helper()
	res := dag.Result{Task: n.w.Key, Attempt: n.w.Attempt, Worker: n.worker, Outcome: outcome, Error: "e", Noted: true}
	for _, c := range change {
		c(&res)
	}
	changed, eff, err := n.s.Settle(n.t.Context(), []dag.Result{res}, room)
	if err != nil || !changed[0] {
		n.t.Fatal(changed, err)
	}
	return n.sent(eff)
}

// sent is the attempt that was sent.
func (n *noted) sent(eff *Effects) *Work {
	n.t.Helper()
	mine := func(p *Work) bool { return p.Key == n.w.Key }
	if eff != nil {
		if i := slices.IndexFunc(eff.Publish, mine); i >= 0 {
			return eff.Publish[i]
		}
	}
	work, err := takeReady(n.t.Context(), n.s, n.w.Lane(), 10, false)
	if err != nil {
		n.t.Fatal(err)
	}
	if i := slices.IndexFunc(work, mine); i >= 0 {
		return work[i]
	}
	return nil
}

func (n *noted) rows() (count int) {
	n.t.Helper()
	if err := n.s.pool.QueryRow(n.t.Context(), "select count(*) from checkpoint").Scan(&count); err != nil {
		n.t.Fatal(err)
	}
	return count
}

// TestTheNextAttemptGetsTheLastNote: whatever the end, however it is sent, sealed or not.
func TestTheNextAttemptGetsTheLastNote(t *testing.T) {
	t.Parallel()
	for _, sealed := range []bool{false, true} {
		for _, tt := range []struct {
			outcome dag.Outcome
			room    Room
		}{{dag.OutcomeReturned, everywhere}, {dag.OutcomeReturned, nil}, {dag.OutcomeFailed, everywhere}, {dag.OutcomeTimedOut, nil}} {
			t.Run(fmt.Sprint(tt.outcome, sealed, tt.room != nil), func(t *testing.T) {
				t.Parallel()
				n := newNoted(t, sealed)
				if n.w.Checkpoint != nil {
					t.Errorf("the first attempt has %s", n.w.Checkpoint)
				}
				n.claim()
				if !n.note(n.worker, 1, 1, `{"n": 1}`) || !n.note(n.worker, 1, 3, `{"n": 3}`) {
					t.Error("a note is not stored")
				}
				if !n.note(n.worker, 1, 2, `{"n": 2}`) || !n.note(n.worker, 1, 3, `{"n": 3}`) {
					t.Error("a late or a doubled one is told as lost, though a later one is there")
				}
				next := n.end(tt.outcome, tt.room)
				if next == nil || string(next.Checkpoint) != `{"n": 3}` || next.Attempt != 2 {
					t.Fatalf("the next attempt is %+v", next)
				}
				var plain bool
				if err := n.s.pool.QueryRow(t.Context(), "select data is not null from checkpoint").Scan(&plain); err != nil || plain == sealed {
					t.Errorf("readable in Postgres: %v, %v", plain, err)
				}
			})
		}
	}
}

// TestWhoseNotesCount: those of the attempt that runs, from the worker that it runs at.
func TestWhoseNotesCount(t *testing.T) {
	t.Parallel()
	n := newNoted(t, false)
	if n.note(n.worker, 1, 1, `1`) {
		t.Error("of an attempt that does not run yet")
	}
	n.claim()
	if n.note(n.worker+1, 1, 1, `1`) || n.note(n.worker, 2, 1, `1`) || n.note(n.worker, 0, 1, `1`) {
		t.Error("of another worker, or of an attempt that is not there")
	}
	if !n.note(n.worker, 1, 7, `"first"`) {
		t.Error("the right one does not count")
	}
	n.w = n.end(dag.OutcomeReturned, everywhere)
	if n.note(n.worker, 1, 8, `"late"`) {
		t.Error("of an attempt that has ended")
	}
	n.claim()
	if n.note(n.worker, 1, 9, `"late"`) {
		t.Error("of the attempt before")
	}
	if next := n.end(dag.OutcomeReturned, everywhere); string(next.Checkpoint) != `"first"` {
		t.Errorf("an attempt that noted nothing passes on %s", next.Checkpoint)
	} else {
		n.w = next
	}
	n.claim()
	if !n.note(n.worker, 3, 1, `"third"`) { // its numbers begin anew
		t.Error("a later attempt's does not count")
	}
	if next := n.end(dag.OutcomeReturned, everywhere); string(next.Checkpoint) != `"third"` {
		t.Errorf("got %s", next.Checkpoint)
	}
}

// TestNotesThatComeWithResults are stored with them, if no later one is there.
func TestNotesThatComeWithResults(t *testing.T) {
	t.Parallel()
	for _, sealed := range []bool{false, true} {
		n := newNoted(t, sealed)
		n.claim()
		brings := func(number int64, text string) func(*dag.Result) {
			return func(r *dag.Result) { r.Note, r.NoteNumber = []byte(text), number }
		}
		n.w = n.end(dag.OutcomeFailed, everywhere, brings(2, `"with the result"`))
		if string(n.w.Checkpoint) != `"with the result"` {
			t.Errorf("got %s", n.w.Checkpoint)
		}
		n.claim()
		n.note(n.worker, 2, 5, `"by a beat"`)
		n.w = n.end(dag.OutcomeFailed, everywhere, brings(4, `"older"`))
		if string(n.w.Checkpoint) != `"by a beat"` {
			t.Errorf("got %s", n.w.Checkpoint)
		}
		late := dag.Result{Task: n.w.Key, Attempt: 2, Worker: n.worker, Outcome: dag.OutcomeFailed, Error: "e", Noted: true, Note: []byte(`"again"`), NoteNumber: 9}
		if changed, _, err := n.s.Settle(t.Context(), []dag.Result{late}, nil); err != nil || changed[0] {
			t.Fatal(changed, err)
		}
		n.claim()
		if n.w = n.end(dag.OutcomeReturned, everywhere); string(n.w.Checkpoint) != `"by a beat"` {
			t.Errorf("after a doubled result: %s", n.w.Checkpoint)
		}
	}
}

// TestWhatEndedWellBeginsAnew: its notes are gone, and a late one is given to nobody.
func TestWhatEndedWellBeginsAnew(t *testing.T) {
	t.Parallel()
	for _, outcome := range []dag.Outcome{dag.OutcomeCompleted, dag.OutcomeSkipped} {
		n := newNoted(t, false)
		n.claim()
		n.note(n.worker, 1, 1, `1`)
		n.end(outcome, nil, func(r *dag.Result) { r.Error = "" })
		if rows := n.rows(); rows != 0 {
			t.Errorf("%s: %d notes are left", outcome, rows)
		}
		n.exec("insert into checkpoint (task, attempt, number, data) values ($1, 1, 9, '9')", n.w.Key) // in flight while it ended
		if out, err := n.s.Execute(t.Context(), n.w.Key, dag.ExecutionOptions{Force: true}); err != nil || out.Status != ExecutionStarted {
			t.Fatal(out, err)
		}
		n.exec("insert into checkpoint (task, attempt, number, data) values ($1, 1, 9, '9') on conflict do nothing", n.w.Key)
		if w := n.sent(nil); w == nil || w.Checkpoint != nil || w.Attempt != 2 {
			t.Errorf("%s: the next run is %+v", outcome, w)
		}
	}
}

// TestARerunGoesOnUnlessForced: a task that failed keeps its note.
func TestARerunGoesOnUnlessForced(t *testing.T) {
	t.Parallel()
	for _, force := range []bool{false, true} {
		n := newNoted(t, false)
		n.claim()
		n.note(n.worker, 1, 1, `{"n": 1}`)
		n.end(dag.OutcomeFailed, nil, func(r *dag.Result) { r.Permanent = true })
		if n.rows() != 1 {
			t.Error("a task that failed lost its note")
		}
		if out, err := n.s.Execute(t.Context(), n.w.Key, dag.ExecutionOptions{Force: force}); err != nil || out.Status != ExecutionStarted {
			t.Fatal(out, err)
		}
		w := n.sent(nil)
		if w == nil || bytes.Equal(w.Checkpoint, []byte(`{"n": 1}`)) == force {
			t.Errorf("forced %v: got %+v", force, w)
		}
	}
}

// TestNotesAreSealedAnew with all else, when a cluster begins to seal.
func TestNotesAreSealedAnew(t *testing.T) {
	t.Parallel()
	n := newNoted(t, false)
	n.claim()
	n.note(n.worker, 1, 1, `"plain"`)
	sealing(t, n.s)
	if w := n.end(dag.OutcomeReturned, everywhere); string(w.Checkpoint) != `"plain"` {
		t.Errorf("what was stored before is %s", w.Checkpoint)
	}
}
