package workers_test

import (
	"slices"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/workers"
)

// first and second are when the stream of results was made.
var first, second = time.Unix(1000, 0), time.Unix(2000, 0)

// results are those of a stream whose last result is last, settled up to settled.
func results(created time.Time, last, settled uint64) workers.Results {
	return workers.Results{Created: created, Last: last, Settled: settled}
}

// TestNothingIsTakenBackBeforeResultsAreSettled holds for departed workers and for strays: a row says how far the stream was
// when the departure was noticed, and how far it is when somebody looks again.
func TestNothingIsTakenBackBeforeResultsAreSettled(t *testing.T) {
	for _, row := range []struct {
		fact      string
		then, now workers.Results
		ripe      bool
	}{
		{"nothing has moved", results(first, 10, 4), results(first, 10, 4), false},
		{"one is left", results(first, 10, 4), results(first, 10, 9), false},
		{"all are settled", results(first, 10, 4), results(first, 10, 10), true},
		{"those that came later do not count", results(first, 10, 4), results(first, 30, 10), true},
		{"as many came as were settled", results(first, 10, 4), results(first, 16, 9), false},
		{"the stream was made again", results(first, 10, 4), results(second, 1, 0), true},
		{"the same moment in another zone", results(first, 10, 4), results(first.UTC(), 10, 4), false},
	} {
		t.Run(row.fact, func(t *testing.T) {
			var w workers.Watch
			if got := w.Departed([]dag.WorkerKey{1}, row.then); got != nil {
				t.Errorf("a departed worker is ripe at first sight: %v", got)
			}
			if got := len(w.Departed([]dag.WorkerKey{1}, row.now)) > 0; got != row.ripe {
				t.Errorf("a departed worker is ripe: %v, want %v", got, row.ripe)
			}
			h := workers.Held{Key: 5, Attempt: 1, Worker: 1}
			w.Look(row.then).Stray(h, true, false)
			if got := w.Look(row.now).Stray(h, true, false); got != row.ripe {
				t.Errorf("a stray is ripe: %v, want %v", got, row.ripe)
			}
		})
	}
}

func TestDeparted(t *testing.T) {
	var w workers.Watch
	for i, step := range []struct {
		fact string
		list []dag.WorkerKey
		now  workers.Results
		done []dag.WorkerKey // afterwards
		want []dag.WorkerKey
	}{
		{"one departs", []dag.WorkerKey{1}, results(first, 10, 4), nil, nil},
		{"the first one waits for its own results, as another departs", []dag.WorkerKey{1, 2}, results(first, 20, 9), nil, nil},
		{"its results are settled, not the other's", []dag.WorkerKey{1, 2}, results(first, 20, 10), nil, []dag.WorkerKey{1}},
		{"it stays ripe until it is done", []dag.WorkerKey{1, 2}, results(first, 30, 11), []dag.WorkerKey{1}, []dag.WorkerKey{1}},
		{"what was done is noticed anew", []dag.WorkerKey{1, 2}, results(first, 30, 20), nil, []dag.WorkerKey{2}},
		{"another coordinator finished both", nil, results(first, 40, 30), nil, nil},
		{"those are forgotten", []dag.WorkerKey{1, 2}, results(first, 50, 40), nil, nil},
		{"and wait again", []dag.WorkerKey{1, 2}, results(first, 50, 50), nil, []dag.WorkerKey{1, 2}},
	} {
		if got := w.Departed(step.list, step.now); !slices.Equal(got, step.want) {
			t.Errorf("step %d, %s: got %v, want %v", i, step.fact, got, step.want)
		}
		w.Done(step.done)
	}
	if got := new(workers.Watch).Departed([]dag.WorkerKey{1}, results(first, 10, 10)); !slices.Equal(got, []dag.WorkerKey{1}) {
		t.Errorf("no result waits: got %v, want that worker 1 is ripe at once", got)
	}
}

func TestStray(t *testing.T) {
	// A look is told of one attempt of worker 1, while nothing waits to be settled.
	type look struct {
		attempt       int32
		alive, listed bool
		want          bool
	}
	for _, row := range []struct {
		fact  string
		looks []look
	}{
		{"it is not listed twice", []look{{1, true, false, false}, {1, true, false, true}}},
		{"it is listed", []look{{1, true, true, false}, {1, true, true, false}}},
		{"it is listed in between", []look{{1, true, false, false}, {1, true, true, false}, {1, true, false, false}}},
		{"its worker is not alive", []look{{1, false, false, false}, {1, false, false, false}}},
		{"its worker was not alive before", []look{{1, false, false, false}, {1, true, false, false}, {1, true, false, true}}},
		{"it is the next attempt", []look{{1, true, false, false}, {2, true, false, false}, {2, true, false, true}}},
		{"it was taken back before", []look{{1, true, false, false}, {1, true, false, true}, {1, true, false, false}}},
	} {
		var w workers.Watch
		for i, l := range row.looks {
			h := workers.Held{Key: 5, Attempt: l.attempt, Worker: 1}
			if got := w.Look(results(first, 10, 10)).Stray(h, l.alive, l.listed); got != l.want {
				t.Errorf("%s, look %d: stray is %v, want %v", row.fact, i, got, l.want)
			}
		}
	}
}

// TestStrayWaitsSinceItWasNoticed: results that come while an attempt is a suspect do not make it wait longer.
func TestStrayWaitsSinceItWasNoticed(t *testing.T) {
	var w workers.Watch
	h := workers.Held{Key: 5, Attempt: 1, Worker: 1}
	for i, step := range []struct {
		now  workers.Results
		want bool
	}{
		{results(first, 10, 4), false},
		{results(first, 20, 9), false},
		{results(first, 30, 10), true},
	} {
		if got := w.Look(step.now).Stray(h, true, false); got != step.want {
			t.Errorf("look %d: stray is %v, want %v", i, got, step.want)
		}
	}
}

func TestDue(t *testing.T) {
	var w workers.Watch
	for i, step := range []struct {
		after time.Duration
		want  bool
	}{
		{0, true},
		{0, false},
		{time.Minute - 1, false},
		{time.Minute, true},
		{time.Minute + 1, false},
		{2 * time.Minute, true},
	} {
		if got := w.Due(first.Add(step.after), time.Minute); got != step.want {
			t.Errorf("step %d, after %s: due is %v, want %v", i, step.after, got, step.want)
		}
	}
}
