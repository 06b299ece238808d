package simulation

import (
	"container/heap"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// loop steps what is planned in the order of virtual time; what is planned for one instant goes in the order of planning.
type loop struct {
	now   time.Duration // since the beginning of the history
	queue agenda
	seq   uint64
	rng   *rand.Rand
	hash  uint64 // of all trace lines
	lines []string
	keep  int // how many of the last trace lines are kept
}

type entry struct {
	at  time.Duration
	seq uint64
	f   func()
}

type agenda []entry

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return a[i].at < a[j].at || a[i].at == a[j].at && a[i].seq < a[j].seq
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(entry)) }
func (a *agenda) Pop() any {
	last := len(*a) - 1
	e := (*a)[last]
	(*a)[last] = entry{}
	*a = (*a)[:last]
	return e
}

// after plans f.
func (l *loop) after(d time.Duration, f func()) {
	l.seq++
	heap.Push(&l.queue, entry{l.now + max(0, d), l.seq, f})
}

// step does the next thing, and reports whether there was one before the end.
func (l *loop) step(end time.Duration) bool {
	if len(l.queue) == 0 || l.queue[0].at > end {
		return false
	}
	e := heap.Pop(&l.queue).(entry)
	l.now = e.at
	e.f()
	return true
}

func (l *loop) chance(p float64) bool { return p > 0 && l.rng.Float64() < p }

// between draws a duration from [from, to).
func (l *loop) between(from, to time.Duration) time.Duration {
	return from + time.Duration(l.rng.Int64N(int64(max(1, to-from))))
}

// trace notes what happened. The hash of all notes is the history's fingerprint.
func (l *loop) trace(what string, who, task, attempt int) {
	h := fnv.New64a()
	fmt.Fprint(h, l.hash, int64(l.now), what, who, task, attempt)
	l.hash = h.Sum64()
	if l.keep == 0 {
		return
	}
	if len(l.lines) >= 2*l.keep {
		l.lines = append(l.lines[:0], l.lines[len(l.lines)-l.keep:]...)
	}
	l.lines = append(l.lines, fmt.Sprintf("%9.3fs %s%s task %d attempt %d", l.now.Seconds(), what, name(who), task, attempt))
}

// name is how a process shows in traces: coordinators from 0, workers from 100.
func name(who int) string {
	switch {
	case who < 0:
		return ""
	case who >= 100:
		return fmt.Sprintf(" w%d", who-100)
	}
	return fmt.Sprintf(" c%d", who)
}

// process is what can be killed and frozen. What it has planned dies with it, or waits until it thaws.
type process struct {
	w      *world
	id     int // see [name]
	up     bool
	life   int // which life this is
	frozen time.Duration
}

// then does f after d, in this life. Between any two steps the process may be killed.
func (p *process) then(d time.Duration, f func()) {
	if p.w.chance(p.w.par.Kill) && p.w.faulty() {
		p.w.kill(p)
		return
	}
	life := p.life
	p.w.after(d, func() { p.resume(life, f) })
}

func (p *process) resume(life int, f func()) {
	switch {
	case !p.up || p.life != life:
	case p.frozen > p.w.now:
		p.w.after(p.frozen-p.w.now, func() { p.resume(life, f) })
	default:
		f()
	}
}

// tx is one transaction: f is done whole or not at all, and the answer may be lost. A process that dies while it is on
// its way does not know which it was.
func (p *process) tx(f func(), next func(ok bool)) {
	w, life := p.w, p.life
	w.after(w.pause(), func() {
		if !(p.up && p.life == life) && w.chance(0.5) {
			return
		}
		ok := w.now >= w.dbDown && !(w.faulty() && w.chance(w.par.DBError))
		if ok {
			f()
			ok = !(w.faulty() && w.chance(w.par.DBError))
		}
		w.after(w.pause(), func() { p.resume(life, func() { next(ok) }) })
	})
}

// ticker does its work every so often, and when it is woken; never twice at once.
type ticker struct {
	p       *process
	every   time.Duration
	work    func(done func())
	working bool
	again   bool
	round   int // a plan of an older round is void
}

func (p *process) tick(every time.Duration, work func(done func())) *ticker {
	t := &ticker{p: p, every: every, work: work}
	t.plan(p.w.between(0, every))
	return t
}

func (t *ticker) plan(d time.Duration) {
	t.round++
	round := t.round
	t.p.then(d, func() {
		if round == t.round {
			t.run()
		}
	})
}

func (t *ticker) run() {
	t.working, t.again = true, false
	t.work(func() {
		t.working = false
		if t.again {
			t.plan(t.p.w.pause())
			return
		}
		t.plan(t.every)
	})
}

// wake asks for a round soon.
func (t *ticker) wake() {
	if t.working {
		t.again = true
		return
	}
	t.plan(t.p.w.pause())
}
