package ledger

import (
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// An attempt that is taken while all slots of its pool are held stands in the pool's line: it is claimed ahead, so that a slot
// that frees has the next one at once, without a way to NATS and to a coordinator. A line is short: it holds what is to start
// within some milliseconds, by the runs that were seen (see [pace]). What waits longer is handed back, uncounted.

// turn is how much later than one of the next higher priority an attempt may have come and still start before it.
const turn = 10 * time.Millisecond

// passing is how much later than others an attempt may have come that passes them: more than any waits in line.
const passing = time.Minute

// line are the attempts of a pool that hold no slot. Attempts whose claims are not answered are counted only.
type line[A Attempt] struct {
	n     int // attempts in it
	ready [dag.Priorities]fifo[A]
	cold  [dag.Priorities]fifo[A]
	pace  pace
}

// fifo is a queue. What has left the line is passed over when it comes to the front.
type fifo[A Attempt] struct {
	list []A
	at   int // of the front
}

func (f *fifo[A]) push(a A) {
	if f.at > 64 && f.at > len(f.list)/2 {
		n := copy(f.list, f.list[f.at:])
		clear(f.list[n:])
		f.list, f.at = f.list[:n], 0
	}
	f.list = append(f.list, a)
}

// front is the first one that still is in line.
func (f *fifo[A]) front() (a A, ok bool) {
	var none A
	for ; f.at < len(f.list); f.at++ {
		if a := f.list[f.at]; a.Self().queued {
			return a, true
		}
		f.list[f.at] = none
	}
	f.list, f.at = f.list[:0], 0
	return none, false
}

// first is the one whose turn it is, by priority and time; who passes others comes with the priority above theirs, and is at the front there. due orders the firsts
// of several queues.
func first[A Attempt](queues *[dag.Priorities]fifo[A]) (a A, due time.Time, ok bool) {
	for p := range queues {
		front, some := queues[p].front()
		if !some {
			continue
		}
		at := front.Self().Taken.Add(time.Duration(p) * turn)
		if front.Self().Passes {
			at = at.Add(-passing)
		}
		if !ok || at.Before(due) {
			a, due, ok = front, at, true
		}
	}
	return a, due, ok
}

// next is the one that steps forward next. asked: it may start, or was asked for; else it is one that is asked for only once it has a
// slot. Neither kind passes the other.
func (ln *line[A]) next() (a A, asked, ok bool) {
	ready, readyDue, some := first(&ln.ready)
	cold, coldDue, others := first(&ln.cold)
	if others && (!some || coldDue.Before(readyDue)) {
		return cold, false, true
	}
	return ready, true, some
}

// lineUp puts an attempt into its pool's line, and has it asked for if it may be claimed ahead.
func (l *Ledger[A]) lineUp(a A, todo *Todo[A]) {
	e := a.Self()
	ln := &l.lines[e.Pool]
	e.inLine = true
	ln.n++
	l.inHand++
	todo.Lined = true
	switch {
	case !e.mayBeAskedAhead(), l.limits.Ahead == 0:
		l.queue(&ln.cold, a)
		return
	case e.mayStartEarly():
		l.queue(&ln.ready, a)
	}
	todo.Ask = append(todo.Ask, a)
}

func (l *Ledger[A]) queue(queues *[dag.Priorities]fifo[A], a A) {
	e := a.Self()
	e.queued = true
	queues[min(max(e.Priority, dag.Urgent), dag.Low)].push(a)
}

// leaveLine takes an attempt out of its line, if it is in one.
func (l *Ledger[A]) leaveLine(e *Entry, todo *Todo[A]) {
	if !e.inLine {
		return
	}
	e.inLine, e.queued = false, false
	l.lines[e.Pool].n--
	todo.Freed |= 1 << e.Pool
	if l.inHand--; l.inHand == 0 {
		todo.Quiet = true
	}
}

// stepForward lets attempts step forward from the line as long as slots are free.
func (l *Ledger[A]) stepForward(pool int, todo *Todo[A]) {
	ln := &l.lines[pool]
	for ln.n > 0 && l.held[pool] < l.limits.Slots[pool] {
		a, asked, ok := ln.next()
		if !ok {
			return
		}
		e := a.Self()
		l.leaveLine(e, todo)
		l.hold(e)
		if e.early = e.mayStartEarly(); e.early || e.claim == claimYes {
			e.phase = running
			todo.Start = append(todo.Start, a)
		}
		if !asked {
			todo.Ask = append(todo.Ask, a)
		}
	}
}

// Tire hands back what has waited in line for too long: a run takes longer than those before it. It reports
// whether something still is in line.
func (l *Ledger[A]) Tire(now time.Time, todo *Todo[A]) (left bool) {
	since := now.Add(-l.limits.Wait)
	for pool := range l.lines {
		ln := &l.lines[pool]
		if ln.n == 0 {
			continue
		}
		tired := false
		for _, queues := range []*[dag.Priorities]fifo[A]{&ln.ready, &ln.cold} {
			for p := range queues {
				for a, ok := queues[p].front(); ok && !a.Self().waitsSince().After(since); a, ok = queues[p].front() {
					tired = true
					l.letGo(a, todo)
				}
			}
		}
		if tired {
			ln.pace.strain(now)
		}
		left = left || ln.n > 0
	}
	return left
}

// waitsSince is since when the attempt could have started, had there been a slot.
func (e *Entry) waitsSince() time.Time {
	if e.Repeatable && e.Delivered == 1 || e.claim != claimYes { // it needs no answer, or is not even asked for
		return e.Taken
	}
	return e.granted
}

// letGo releases what has waited for too long. What is asked for, and could start early, waits for the answer.
func (l *Ledger[A]) letGo(a A, todo *Todo[A]) {
	if e := a.Self(); e.claim == claimSent {
		e.queued = false
		return
	}
	l.release(a, Waited, todo)
}
