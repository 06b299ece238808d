package ledger

import (
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// Limits bound what a worker has in hand.
type Limits struct {
	Kept      int           // results without receipt, beyond which nothing is taken
	KeptBytes int           // their size, beyond which nothing is taken
	Slots     []int         // of each pool
	Resend    time.Duration // after which a result without receipt is sent again, doubling up to six times this

	Ahead      int           // attempts of a pool in line for slots, at most; 0: nothing is claimed ahead
	AheadBytes int           // the most that the messages in a pool's line are expected to have
	Wait       time.Duration // after which what is in line is handed back
}

// Ledger holds every attempt that a worker knows of. Make it with [New].
type Ledger[A Attempt] struct {
	limits    Limits
	attempts  map[Key]A
	held      []int // slots that are held, by pool
	lines     []line[A]
	inHand    int // attempts that hold slots or are in line
	kept      int // results without receipt
	keptBytes int
}

// New makes an empty ledger.
func New[A Attempt](limits Limits) *Ledger[A] {
	return &Ledger[A]{limits: limits, attempts: map[Key]A{}, held: make([]int, len(limits.Slots)), lines: make([]line[A], len(limits.Slots))}
}

// HasRoom reports whether more work may be taken, or too many results wait for receipts.
func (l *Ledger[A]) HasRoom() bool {
	return l.kept < l.limits.Kept && l.keptBytes < l.limits.KeptBytes
}

// Free is how many more attempts of a pool may be taken.
func (l *Ledger[A]) Free(pool int) int {
	if !l.HasRoom() {
		return 0
	}
	return l.limits.Slots[pool] + l.mayLine(pool) - l.held[pool] - l.lines[pool].n
}

// Most is how many attempts of a pool may be taken when nothing of it is in hand.
func (l *Ledger[A]) Most(pool int) int { return l.limits.Slots[pool] + l.mayLine(pool) }

// mayLine is how many attempts may be in a pool's line: what starts soon, and no more results than may be kept.
func (l *Ledger[A]) mayLine(pool int) int {
	slots := l.limits.Slots[pool]
	return l.lines[pool].pace.room(slots, ahead(l.limits.Wait), min(l.limits.Ahead, max(0, l.limits.Kept-l.kept-slots)), l.limits.AheadBytes)
}

// Age forgets the pace of a pool that was idle. It is to be called before [Ledger.Free].
func (l *Ledger[A]) Age(now time.Time, pool int) { l.lines[pool].pace.age(now) }

// Held is how many slots of a pool are held.
func (l *Ledger[A]) Held(pool int) int { return l.held[pool] }

// InLine is how many attempts of a pool are in line for slots.
func (l *Ledger[A]) InLine(pool int) int { return l.lines[pool].n }

// Counts are how many attempts hold slots or are in line, and how many results of how many bytes wait for receipts.
func (l *Ledger[A]) Counts() (inHand, kept, keptBytes int) { return l.inHand, l.kept, l.keptBytes }

// Len is how many attempts there are.
func (l *Ledger[A]) Len() int { return len(l.attempts) }

// All yields all attempts, in no particular order.
func (l *Ledger[A]) All(yield func(A) bool) {
	for _, a := range l.attempts {
		if !yield(a) {
			return
		}
	}
}

// hold gives the attempt a slot.
func (l *Ledger[A]) hold(e *Entry) {
	e.holdsSlot = true
	l.held[e.Pool]++
	l.inHand++
}

// dropSlot ends an attempt's hold on its slot.
func (l *Ledger[A]) dropSlot(e *Entry, todo *Todo[A]) {
	if !e.holdsSlot {
		return
	}
	e.holdsSlot = false
	l.held[e.Pool]--
	todo.Freed |= 1 << e.Pool
	if l.inHand--; l.inHand == 0 {
		todo.Quiet = true
	}
	l.stepForward(e.Pool, todo)
}

// remove forgets an attempt.
func (l *Ledger[A]) remove(e *Entry, todo *Todo[A]) {
	if e.phase == gone {
		return
	}
	if e.phase == reported {
		had := l.HasRoom()
		l.keptBytes -= e.Result.Bytes
		if l.kept--; l.kept == 0 {
			todo.Quiet = true
		}
		if !had && l.HasRoom() {
			todo.Freed = ^Pools(0)
		}
	}
	e.phase = gone
	delete(l.attempts, e.Key)
	l.leaveLine(e, todo)
	l.endOffer(e, todo)
	l.dropSlot(e, todo)
}

// report makes a result the attempt's last word and frees the slot, unless that is offered.
func (l *Ledger[A]) report(now time.Time, a A, r Result, todo *Todo[A]) {
	e := a.Self()
	e.Result = r
	e.phase = reported
	e.sending = true
	l.kept++
	l.keptBytes += r.Bytes
	todo.Report = append(todo.Report, a)
	l.leaveLine(e, todo)
	if r.Offer {
		e.offers, e.offered = true, now
		return
	}
	l.dropSlot(e, todo)
}

// handBack reports an attempt that was granted and never began.
func (l *Ledger[A]) handBack(a A, why Cause, todo *Todo[A]) {
	outcome := dag.OutcomeReturned
	if why == Cancelled {
		outcome = dag.OutcomeCancelled
	}
	l.report(time.Time{}, a, Result{Outcome: outcome, Why: why, Bytes: unstartedBytes}, todo) // it offers nothing: no time is needed
}

// Arrival says what becomes of a message that was taken.
type Arrival uint8

// What may become of a message.
const (
	Entered  Arrival = iota
	Known            // it is acknowledged: the attempt is decided, or another copy stands for it
	Twin             // known and undecided: the same message once more; this delivery now stands for it
	Conflict         // in conflict with something that ends soon: left alone, it is delivered again after the ack wait
	TooLate          // the session is over: it is given back
)

// Take enters an attempt whose message was taken, unless its message is another one of an attempt that is known. What is
// new is to be asked for, at once if a slot is free or it may be claimed ahead. It starts at once if a slot is free, it is
// repeatable, and its message was never delivered before, so that crashes are counted.
func (l *Ledger[A]) Take(a A, todo *Todo[A]) Arrival {
	e := a.Self()
	old, known := l.attempts[e.Key]
	arrival := Entered
	switch {
	case e.Session.ended:
		todo.giveBack(e)
		arrival = TooLate
	case !known:
		l.attempts[e.Key] = a
		l.lines[e.Pool].pace.message(e.Bytes)
		if l.held[e.Pool] == l.limits.Slots[e.Pool] {
			l.lineUp(a, todo)
			return Entered
		}
		l.hold(e)
		if e.early = e.mayStartEarly(); e.early {
			e.phase = running
			todo.Start = append(todo.Start, a)
		}
		todo.Ask = append(todo.Ask, a)
		return Entered
	default:
		arrival = old.Self().meets(e)
	}
	switch arrival {
	case Known:
		todo.ack(e)
	case Twin:
		old.Self().Message = e.Message
	}
	e.phase = gone
	return arrival
}

// meets tells what another message of the attempt is.
func (e *Entry) meets(other *Entry) Arrival {
	switch {
	case e.Session != other.Session && e.phase != reported || string(e.Token) != string(other.Token):
		return Conflict
	case e.claim == claimYes || e.phase == reported && !e.sending || other.Delivered == 1:
		return Known // decided, or a republished copy: the first one stands for it until it is
	}
	return Twin
}
