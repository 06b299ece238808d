package simulation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/history"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// settleWithin is how long a tree may take when nothing goes wrong any more. Leases, ack waits, republishing, attempts
// that their worker does not know (two leases) and retries lie within it many times over.
const settleWithin = 30 * time.Minute

// settleLimited is the same of a history in which tasks wait for each other's keys, or for the next minute.
const settleLimited = 4 * time.Hour

// Report is what a history came to.
type Report struct {
	Broken      string // the rule that was broken first; empty: none
	Hash        uint64 // of all that happened: the same for the same parameters
	Trace       []string
	Time        time.Duration // virtual
	Starts      int           // of executors
	Killed      int
	TakenBack   int // attempts, from workers that were lost or did not know them
	Overlapping int // starts beside another one, of those that may: repeatable, or frozen past the lease
	Early       int // starts before the claim was confirmed
	HandedOver  int // claims together with the result that unlocked the task
	Missed      int // of those, handed back as the message was lost
	Lines       Lines
	Beyond      Beyond
	Limits      Limits
}

type world struct {
	loop
	par          Params
	store        *store
	nats         *nats
	coordinators []*coordinator
	workers      []*worker
	sessions     int
	dbDown       time.Duration
	struck       int // see [Params.Strikes]
	pending      int // what users still want
	open         []*execution
	ran          []*execution               // all of them
	told         map[string][]history.Event // by trees' executions that have ended, the last ones left out
	begun        map[attemptKey]*execution  // the last one of each attempt
	ahead        map[attemptKey]bool        // attempts that were ever asked for while they were in line
	offers       map[attemptKey]int         // results that ever offered a slot, until a task is handed over for it: by which worker
	seen         map[string]int64           // the greatest token that the resource behind each lock has seen
	token        int64                      // the last one that was given
	report       Report
}

// Run plays the history.
func Run(par Params) Report {
	w := &world{par: par, offers: map[attemptKey]int{}, told: map[string][]history.Event{}, begun: map[attemptKey]*execution{}, ahead: map[attemptKey]bool{}, seen: map[string]int64{}}
	w.rng = rand.New(rand.NewPCG(par.Seed, 2))
	if par.Trace {
		w.keep = 400
	}
	w.store = &store{w: w, attempts: map[attemptKey]*attemptRow{}, beyond: newBeyond(), limits: newLimits(), caches: newCaches(par.Seed)}
	w.nats = &nats{w: w}
	for i := range par.Coordinators {
		c := &coordinator{process: process{w: w, id: i}}
		w.coordinators = append(w.coordinators, c)
		c.start()
	}
	for i := range par.Workers {
		wk := &worker{process: process{w: w, id: 100 + i}}
		w.workers = append(w.workers, wk)
		wk.start()
	}
	for i := range par.Trees {
		w.submit(dag.TreeKey(i + 1))
	}
	w.planFaults()
	patience := settleWithin
	if par.Limits > 0 {
		patience = settleLimited
	}
	end := par.Faults + patience
	for w.report.Broken == "" && !w.done() {
		if !w.step(end) {
			w.broken("not settled %s after the last fault: %s", patience, w.unsettled())
		}
	}
	if w.report.Broken == "" {
		w.judgeEnding()
	}
	w.report.Hash, w.report.Time, w.report.Trace = w.hash, w.now, w.lines
	return w.report
}

// broken notes that a rule was broken; the history ends there.
func (w *world) broken(format string, args ...any) {
	if w.report.Broken == "" {
		w.report.Broken = fmt.Sprintf(format, args...)
		w.trace("BROKEN: "+w.report.Broken, -1, 0, 0)
	}
}

// time is what the virtual clock shows.
func (w *world) time() time.Time { return epoch.Add(w.now) }

func (w *world) faulty() bool { return w.now < w.par.Faults }

// pause is how long a step takes.
func (w *world) pause() time.Duration {
	if w.rng.IntN(20) == 0 {
		return w.between(0, 100*time.Millisecond)
	}
	return w.between(100*time.Microsecond, 3*time.Millisecond)
}

// send carries a message over the network: late, never, or twice.
func (w *world) send(f func()) {
	if !w.faulty() {
		w.after(w.pause(), f)
		return
	}
	n := 1
	switch {
	case w.chance(w.par.Lose):
		n = 0
	case w.chance(w.par.Copy):
		n = 2
	}
	for range n {
		d := w.pause()
		if w.chance(w.par.Slow) {
			d = w.between(0, 10*time.Second)
		}
		w.after(d, f)
	}
}

func (w *world) anyCoordinator() *coordinator {
	var up []*coordinator
	for _, c := range w.coordinators {
		if c.up {
			up = append(up, c)
		}
	}
	if len(up) == 0 {
		return nil
	}
	return up[w.rng.IntN(len(up))]
}

func (w *world) script(k dag.Key) oracle.Script {
	return w.store.trees[k.Tree()-1].script.Tasks[k.Index()].Script
}

// done reports whether nobody wants anything any more and everything is at rest.
func (w *world) done() bool {
	if w.pending > 0 || len(w.store.followups) > 0 || len(w.open) > 0 {
		return false
	}
	for _, t := range w.store.trees {
		if !t.finished && t.execution > 0 || t.counts.Unfinished != 0 || t.counts.Running != 0 {
			return false
		}
	}
	for _, wk := range w.workers {
		if wk.ledger.Len() > 0 {
			return false
		}
	}
	return true
}

func (w *world) unsettled() string {
	if w.pending > 0 {
		return fmt.Sprintf("%d requests of users", w.pending)
	}
	for _, t := range w.store.trees {
		for i, task := range t.tasks {
			if task.row.State.Unfinished() || task.row.Worker != 0 {
				return fmt.Sprintf("task %d of tree %d is %s, attempt %d, remaining %d, worker %d", i, t.key, task.row.State,
					task.row.Attempt, task.row.Remaining, task.row.Worker)
			}
		}
		if !t.finished {
			return fmt.Sprintf("tree %d has no final event", t.key)
		}
	}
	for _, wk := range w.workers {
		if inHand, kept, _ := wk.ledger.Counts(); inHand+kept > 0 {
			return fmt.Sprintf("worker %d has %d attempts in hand and keeps %d results", wk.id-100, inHand, kept)
		}
	}
	return fmt.Sprintf("%d followups, %d executions", len(w.store.followups), len(w.open))
}

// submit stores a tree, held, and plans what users do with it.
func (w *world) submit(key dag.TreeKey) {
	script := oracle.Random(w.rng, oracle.Shape{Prefix: fmt.Sprint(key), Tasks: 1 + w.rng.IntN(w.par.Tasks), Fails: 0.3, Optional: 0.3, Group: 0.1, Hang: 0.03, Beyond: w.par.Beyond})
	var read reading
	if w.par.Flows > 0 && w.chance(w.par.Flows) {
		script, read = randomFlow(w.rng, fmt.Sprint(key))
	} else {
		tame(script)
		w.loosen(script)
		w.limit(script)
	}
	g, err := graph(script)
	if err != nil {
		panic(err)
	}
	t := &tree{key: key, script: script, reading: read, graph: g, share: int32(1 + w.rng.IntN(shares))}
	for i, st := range script.Tasks {
		row := dag.Row{Key: key.Key(i), Flags: dag.FlagLeaf, Priority: dag.Priority(w.rng.IntN(dag.Priorities)), Pool: int32(1 + w.rng.IntN(pools)), Attempt: 1}
		task := &task{policy: dag.Policy{Retry: dag.RetryPolicy{MaxAttempts: st.MaxAttempts, InitialDelay: time.Second, MaxDelay: 10 * time.Second,
			RetryOn: kinds(st.RetryOn), NoRetryOn: kinds(st.NoRetryOn)}}}
		if st.Parent < 0 {
			t.root = i
		}
		task.deps = g.Dependencies(i)
		task.made, task.by, task.when, task.imported = st.By == 0, st.By, st.When, st.Imported
		task.brisk = w.chance(w.par.Brisk)
		w.furnish(&row, task, st, &script.Tasks[i].Script)
		w.endow(&row, task, st, g, i)
		w.restrain(&row, task, st)
		w.cached(&row, task, st, t.share)
		task.row = row
		t.tasks = append(t.tasks, task)
	}
	w.found(t)
	for _, task := range t.tasks {
		if task.above != 0 {
			t.tasks[task.above.Index()].row.Flags |= dag.FlagKept
		}
	}
	for i, task := range t.tasks {
		if p := script.Tasks[i].Parent; p >= 0 && script.Tasks[i].By != p+1 {
			t.tasks[p].row.Flags &^= dag.FlagLeaf
		}
		for _, e := range task.deps {
			on := t.tasks[e.Task]
			on.row.Flags |= dag.FlagDependents
			on.dependents = append(on.dependents, dag.Dependent{Key: key.Key(i), Required: e.Required, Mode: e.Mode})
			if len(on.dependents) == 1 && w.rng.IntN(4) == 0 {
				on.row.Flags |= dag.FlagWide
			}
		}
	}
	for _, task := range t.tasks {
		if task.made {
			t.counts.Count(task.row.State, task.row.Flags, +1)
		}
	}
	w.store.trees = append(w.store.trees, t)
	if w.rng.IntN(6) == 0 {
		t.timeout = w.between(5*time.Second, 3*time.Minute)
	}
	w.start(t)
	if t.grows {
		return // what it found runs again otherwise than the model knows
	}
	for range w.par.Parts {
		target, opts := w.rng.IntN(len(t.tasks)), dag.ExecutionOptions{Force: w.rng.IntN(2) == 0, RerunCancelled: w.rng.IntN(3) == 0, RerunDependencies: w.rng.IntN(3) == 0,
			KeepCompleted: w.rng.IntN(3) == 0}
		w.want(w.between(0, w.par.Faults), func() bool { return w.execute(t, target, opts) })
	}
	if w.par.Rerun {
		w.want(w.between(0, w.par.Faults), func() bool {
			return t.counts.Held+t.counts.Unfinished == 0 && w.execute(t, t.root, dag.ExecutionOptions{Force: w.rng.IntN(2) == 0, RerunCancelled: w.rng.IntN(2) == 0, KeepCompleted: w.rng.IntN(2) == 0})
		})
	}
}

// start starts a tree: at once, or once it was stored.
func (w *world) start(t *tree) {
	for _, task := range t.tasks {
		if task.imported != nil {
			w.report.Beyond.Imported++
		}
	}
	at := w.between(0, w.par.Faults/2)
	if w.rng.IntN(2) == 0 {
		w.want(at, func() bool { return w.execute(t, t.root, dag.ExecutionOptions{}) })
		return
	}
	w.want(at, func() bool {
		c := w.anyCoordinator()
		if c == nil || w.now < w.dbDown {
			return false
		}
		if t.cancelled || t.execution > 0 || slices.ContainsFunc(t.tasks, func(o *task) bool { return o.made && o.imported == nil && o.row.State != dag.Held }) {
			return w.execute(t, t.root, dag.ExecutionOptions{}) // somebody has seen it already
		}
		eff := w.store.bear(t)
		c.resume(c.life, func() { c.after(eff) })
		return true
	})
}

func kinds(words []string) (out []dag.Kind) {
	for _, k := range words {
		out = append(out, dag.Kind(k))
	}
	return out
}

// loosen leaves few dependencies in a tree whose tasks are to come at once.
func (w *world) loosen(t oracle.Tree) {
	for i := range t.Tasks {
		task := &t.Tasks[i]
		task.Deps = slices.DeleteFunc(task.Deps, func(oracle.Dep) bool { return task.When == nil && w.par.Brisk > 0 && w.chance(0.8) })
	}
}

// furnish gives a task flags and policies.
func (w *world) furnish(row *dag.Row, t *task, st oracle.Task, sc *oracle.Script) {
	if st.Group {
		row.Flags |= dag.FlagGroup
		return
	}
	if st.Script.Hang {
		row.Flags |= dag.FlagTimeout
		t.policy.Timeout = w.between(2*time.Second, 30*time.Second)
		return
	}
	switch w.rng.IntN(14) {
	case 0, 1, 2:
		row.Flags |= dag.FlagRepeatable
	case 3:
		row.Flags |= dag.FlagTimed
		t.policy.NotBefore = epoch.Add(w.between(0, 60*time.Second))
	case 4:
		t.policy.OnLost = dag.FailLost
		row.Flags |= dag.FlagOnce
		if w.rng.IntN(4) == 0 {
			row.Flags |= dag.FlagRepeatable
		}
	case 5:
		row.Flags |= dag.FlagTimed
		t.policy.ScheduleToStart = w.between(10*time.Second, 120*time.Second)
	case 6, 9, 10:
		row.Flags |= dag.FlagTimeout
		t.policy.Timeout = w.between(2*time.Second, 60*time.Second)
	case 7:
		t.deadly = w.rng.IntN(3) == 0
	case 8:
		row.Flags |= dag.FlagUnknown
		*sc = oracle.Script{Fail: -1, Permanent: true}
	}
}

// endow gives a task what the protocol does not have.
func (w *world) endow(row *dag.Row, t *task, st oracle.Task, g *dag.Graph, i int) {
	if st.Fold {
		row.Flags |= dag.FlagFold
	}
	if st.AllowFailure {
		row.Flags |= dag.FlagAllowed
	}
	if st.When != nil {
		row.Flags |= dag.FlagWhen
	}
	if g.Judged != nil && g.Judged[i] {
		row.Flags |= dag.FlagJudged
	}
	if st.By > 0 {
		row.Flags |= dag.FlagChild | dag.FlagDependents
		t.dependents = append(t.dependents, dag.Dependent{Key: row.Key.Tree().Key(st.By - 1), Mode: dag.ChildEdge})
	}
	if st.Imported != nil {
		row.State = st.Imported.State
		row.Flags = row.Flags&^(dag.FlagUnknown|dag.FlagTimed) | dag.FlagImported
		t.policy.NotBefore = time.Time{}
	}
}

// found has tasks know what their runs find, and users send what they wait for.
func (w *world) found(t *tree) {
	beyond := 0
	for i, task := range t.tasks {
		st := t.script.Tasks[i]
		if st.By > 0 {
			t.grows = true
			on := t.tasks[st.By-1]
			if on.finds == 0 {
				on.first = i
			}
			on.finds++
		}
		t.grows = t.grows || st.Script.Collect != ""
		w.patient(task, st.Script.Wait)
		if !(oracle.Tree{Tasks: []oracle.Task{st}}).Plain() {
			beyond++
		}
	}
	if w.report.Beyond.Tasks += beyond; beyond > 0 {
		t.beyond = true
		w.report.Beyond.Trees++
	}
}

// want is a user who asks until it is done.
func (w *world) want(d time.Duration, try func() bool) {
	w.pending++
	var ask func()
	ask = func() {
		if try() {
			w.pending--
			return
		}
		w.after(w.between(time.Second, 3*time.Second), ask)
	}
	w.after(d, ask)
}

// execute asks for it through a coordinator that may die with the answer.
func (w *world) execute(t *tree, target int, opts dag.ExecutionOptions) bool {
	c := w.anyCoordinator()
	if c == nil || w.now < w.dbDown {
		return false
	}
	done, eff := w.store.execute(t, target, opts)
	c.resume(c.life, func() { c.after(eff) })
	return done
}

func (w *world) kill(p *process) {
	if !p.up {
		return
	}
	w.trace("killed", p.id, 0, p.life)
	w.report.Killed++
	w.stopProcess(p)
}

// stopProcess ends a process, and what runs below it; it is started again. One that was killed in the step that stops it has ended.
func (w *world) stopProcess(p *process) {
	if !p.up {
		return
	}
	p.up = false
	p.life++
	if p.id >= 100 {
		w.end(func(e *execution) bool { return e.worker == p.id-100 })
		w.workers[p.id-100].crashed()
		w.workers[p.id-100].forgetAll()
	}
	w.after(w.between(100*time.Millisecond, 40*time.Second), func() {
		w.trace("started", p.id, 0, p.life)
		if p.id >= 100 {
			w.workers[p.id-100].start()
		} else {
			w.coordinators[p.id].start()
		}
	})
}

// planFaults draws when what goes wrong.
func (w *world) planFaults() {
	plan := func(n int, f func()) {
		for range n {
			w.after(w.between(0, w.par.Faults), f)
		}
	}
	someone := func() *process {
		if i := w.rng.IntN(len(w.coordinators) + len(w.workers)); i < len(w.workers) {
			return &w.workers[i].process
		} else {
			return &w.coordinators[i-len(w.workers)].process
		}
	}
	aWorker := func() *worker { return w.workers[w.rng.IntN(len(w.workers))] }
	plan(w.par.Crashes, func() { w.kill(someone()) })
	plan(w.par.Freezes, func() { w.freeze(someone(), w.between(0, 70*time.Second)) })
	plan(w.par.Wipes, func() { w.nats.wipe() })
	plan(w.par.Outages, func() { w.dbDown = w.now + w.between(0, 50*time.Second) })
	plan(w.par.Cuts, func() { aWorker().cut = w.now + w.between(0, 60*time.Second) })
	plan(w.par.Drains, func() { wk := aWorker(); wk.resume(wk.life, wk.drain) })
	plan(w.par.Forgeries, func() { w.forge(aWorker()) })
	for range w.par.Operators {
		w.holdBack()
	}
	for range w.par.Cancels {
		w.want(w.between(0, w.par.Faults), w.cancelSomething)
	}
}

func (w *world) freeze(p *process, d time.Duration) {
	w.trace("frozen", p.id, int(d.Seconds()), p.life)
	p.frozen = max(p.frozen, w.now+d)
	if p.id >= 100 {
		for _, e := range w.open {
			if e.worker == p.id-100 && (epoch.Add(p.frozen).After(e.session.lease.Fence()) || e.task.policy.Timeout > 0 && p.frozen > e.begun+e.task.policy.Timeout) {
				e.frozen = true
			}
		}
	}
}

func (w *world) cancelSomething() bool {
	if w.now < w.dbDown {
		return false
	}
	c := w.anyCoordinator()
	if c == nil {
		return false
	}
	t := w.store.trees[w.rng.IntN(len(w.store.trees))]
	w.trace("cancel", -1, int(t.key), 0)
	if w.rng.IntN(3) == 0 {
		w.cancelTree(t, c)
		return true
	}
	var keys []dag.Key
	for range 1 + w.rng.IntN(2) {
		if i := w.rng.IntN(len(t.tasks)); t.tasks[i].made {
			keys = append(keys, t.key.Key(i))
		}
	}
	if w.rng.Float64() < w.par.Beyond/2 {
		w.skipTasks(keys, c)
		return true
	}
	w.cancelTasks(keys, c)
	return true
}

func (w *world) cancelTree(t *tree, c *coordinator) {
	w.store.cancelTree(t)
	c.resume(c.life, func() { c.followups.wake() })
}

func (w *world) skipTasks(keys []dag.Key, c *coordinator) {
	eff := w.store.skipTasks(keys, c.room)
	c.resume(c.life, func() { c.after(eff) })
}

func (w *world) cancelTasks(keys []dag.Key, c *coordinator) {
	eff := w.store.cancelTasks(keys, c.room)
	c.resume(c.life, func() { c.after(eff) })
}
