package worker

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/internal/ledger"
)

// todo is what a step of the ledger leaves to be done.
type todo = ledger.Todo[*attempt]

// book is the ledger that the worker's goroutines share. Each step is taken under its lock, and what is to be done for it
// comes afterwards. Safe for concurrent use.
type book struct {
	pools   []*pool
	changed chan struct{} // capacity 1: nothing may be in hand any more, or nothing kept
	lined   chan struct{} // capacity 1: something is in line for a slot

	mu     sync.Mutex
	ledger *ledger.Ledger[*attempt]
}

func newBook(limits ledger.Limits, pools []*pool) *book {
	for _, p := range pools {
		limits.Slots = append(limits.Slots, p.slots)
	}
	return &book{pools: pools, changed: make(chan struct{}, 1), lined: make(chan struct{}, 1), ledger: ledger.New[*attempt](limits)}
}

// step takes a step under the lock and wakes who waits for what it changed. The rest is left to the caller: see
// [Worker.do].
func (b *book) step(take func(l *ledger.Ledger[*attempt], out *todo)) (out todo) {
	b.mu.Lock()
	take(b.ledger, &out)
	b.mu.Unlock()
	b.wake(&out)
	return out
}

// finish is the step of an attempt whose work has stopped. It is of its own as it comes once for each attempt.
func (b *book) finish(a *attempt, r ledger.Result, offer ledger.Offer) (out todo) {
	now := time.Now()
	b.mu.Lock()
	b.ledger.Finish(now, a, r, offer, &out)
	b.mu.Unlock()
	b.wake(&out)
	return out
}

func (b *book) wake(out *todo) {
	if out.Freed != 0 {
		for i, p := range b.pools {
			if out.Freed.Has(i) {
				p.nudge()
			}
		}
	}
	if out.Quiet {
		signal(b.changed)
	}
	if out.Lined {
		signal(b.lined)
	}
}

// free is how many more attempts of a pool may be taken.
func (b *book) free(p *pool) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ledger.Age(time.Now(), p.index)
	return b.ledger.Free(p.index)
}

// most is how many attempts of a pool may be taken when nothing of it is in hand.
func (b *book) most(p *pool) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ledger.Most(p.index)
}

// inLine is how many attempts of a pool wait for slots.
func (b *book) inLine(p *pool) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ledger.InLine(p.index)
}

// used is how many slots of a pool are held.
func (b *book) used(p *pool) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ledger.Held(p.index)
}

// hasRoom reports whether more work may be taken, or too many results wait for receipts.
func (b *book) hasRoom() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ledger.HasRoom()
}

// counts are how many attempts hold slots and how many results, of how many bytes, wait for receipts.
func (b *book) counts() (inHand, kept, keptBytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ledger.Counts()
}

// await waits until the condition on (in hand, kept) holds, or ctx ends. One caller at a time.
func (b *book) await(ctx context.Context, holds func(inHand, kept int) bool) bool {
	for {
		if inHand, kept, _ := b.counts(); holds(inHand, kept) {
			return true
		}
		select {
		case <-b.changed:
		case <-ctx.Done():
			return false
		}
	}
}

// all calls f for every attempt, under the lock.
func (b *book) all(f func(*attempt)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for a := range b.ledger.All {
		f(a)
	}
}

// do acts on what a step left to be done, but for what is to be asked for again.
func (w *Worker) do(out *todo) {
	for _, m := range out.Ack {
		m.Ack()
	}
	for _, m := range out.Nak {
		m.Nak()
	}
	for _, s := range out.Stop {
		s.Attempt.stop(causes[s.Cause])
	}
	if len(out.Start) >= rushOf {
		w.results.expect(time.Now())
	}
	for _, a := range out.Start {
		w.start(a)
	}
	for ask := out.Ask; len(ask) > 0; { // together, as they are of one session but for the moment when the next one begins
		s := ask[0].session
		n := slices.IndexFunc(ask, func(a *attempt) bool { return a.session != s })
		if n < 0 {
			n = len(ask)
		}
		if n >= rushOf {
			s.claims.expect(time.Now())
		}
		s.claims.add(ask[:n]...)
		ask = ask[n:]
	}
	w.report(out.Report)
}

// report hands results to the reporter.
func (w *Worker) report(list []*attempt) {
	for _, a := range list {
		a.seal()
	}
	w.results.add(list...)
}
