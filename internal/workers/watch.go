package workers

import (
	"maps"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// Results is how far the stream of results has come.
type Results struct {
	Created time.Time // of the stream: it is another one when it was deleted and made again
	Last    uint64    // sequence of the last result in it
	Settled uint64    // sequence up to which all are settled
}

// passed reports whether all that lay in the stream at an earlier time is settled, or lost with it.
func (r Results) passed(then Results) bool {
	return r.Settled >= then.Last || !r.Created.Equal(then.Created)
}

// Watch decides whose attempts go back: those of workers that are lost or gone, and those that a live worker does not
// know. Nothing is taken back before the results are settled that were there when it was noticed, since the attempt's own
// may be among them (design §4). One goroutine uses it. The zero Watch has seen nothing.
type Watch struct {
	departed map[dag.WorkerKey]Results // as they were when a departure was noticed
	suspects map[Held]Results          // attempts that their live worker did not list, and the results then
	looked   time.Time
}

// Departed tells whose attempts may be taken back, out of all workers that are lost or gone and may have some. now must
// be read after the list. Workers that the list lacks are forgotten: another coordinator has finished them.
func (w *Watch) Departed(list []dag.WorkerKey, now Results) (ripe []dag.WorkerKey) {
	if w.departed == nil {
		w.departed = map[dag.WorkerKey]Results{}
	}
	maps.DeleteFunc(w.departed, func(k dag.WorkerKey, _ Results) bool { return !slices.Contains(list, k) })
	for _, k := range list {
		then, known := w.departed[k]
		if !known {
			then = now
			w.departed[k] = now
		}
		if now.passed(then) {
			ripe = append(ripe, k)
		}
	}
	return ripe
}

// Done forgets workers whose attempts were all taken back.
func (w *Watch) Done(list []dag.WorkerKey) {
	for _, k := range list {
		delete(w.departed, k)
	}
}

// Due reports whether it is time to look at all open attempts, which is once in every interval.
func (w *Watch) Due(now time.Time, every time.Duration) bool {
	if !w.looked.IsZero() && now.Sub(w.looked) < every {
		return false
	}
	w.looked = now
	return true
}

// Look is one walk over all open attempts.
type Look struct {
	watch  *Watch
	before map[Held]Results
	now    Results
}

// Look begins a walk. now must be read after the lists of the workers' last beats.
func (w *Watch) Look(now Results) *Look {
	l := &Look{watch: w, before: w.suspects, now: now}
	w.suspects = map[Held]Results{}
	return l
}

// Stray reports whether an open attempt is to be taken back: its worker, alive, did not list it in this look, nor in the
// one before.
func (l *Look) Stray(h Held, alive, listed bool) bool {
	if !alive || listed {
		return false
	}
	then, again := l.before[h]
	switch {
	case !again:
		l.watch.suspects[h] = l.now
	case l.now.passed(then):
		return true
	default:
		l.watch.suspects[h] = then
	}
	return false
}
