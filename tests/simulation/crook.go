package simulation

import "github.com/taskgrove/taskgrove/dag"

// forge has a worker claim or report what is not its own: an attempt that it was never given, without the token, or one
// that it was given and somebody else holds, with the token.
func (w *world) forge(wk *worker) {
	c := w.anyCoordinator()
	if c == nil || wk.session == nil {
		return
	}
	t := w.store.trees[w.rng.IntN(len(w.store.trees))]
	task := t.tasks[w.rng.IntN(len(t.tasks))]
	row := task.row
	if !task.made {
		return
	}
	r := result{key: attemptKey{row.Key, row.Attempt}, token: []byte("forged"), outcome: dag.OutcomeCompleted, early: w.rng.IntN(2) == 0}
	if k, ok := w.others(wk); ok {
		r = result{key: k, token: tokens.Of(k.task, k.number), outcome: dag.OutcomeCompleted}
	} else if w.rng.IntN(2) == 0 {
		session := wk.session.name
		c.resume(c.life, func() { c.claim(wk.id-100, session, []grant{{r.key, r.token}}, func([]dag.Verdict) {}) })
		return
	}
	w.nats.report(batch{worker: wk.id - 100, session: wk.session.name, results: []result{r}})
}

// others finds an attempt whose message reached the worker, and which another worker holds.
func (w *world) others(wk *worker) (attemptKey, bool) {
	for _, h := range w.store.open() {
		t, holder := w.store.task(h.Key), w.store.worker(h.Worker)
		if t.row.State == dag.Running && t.row.Flags&dag.FlagRepeatable == 0 && holder.worker != wk.id-100 && t.truth.has(h.Attempt, wk.id-100) {
			return attemptKey{h.Key, h.Attempt}, true
		}
	}
	return attemptKey{}, false
}
