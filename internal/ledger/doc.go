// Package ledger decides each step of a worker's attempts, from the message to the receipt, and whether the worker's lease still
// allows them to run.
//
// It owns the states of attempts, slots, the lines for them, offers of slots, the lists in beats, the times of repeats, and the
// lease's fence. It must not know a clock, goroutines, contexts, NATS or executors: times are handed in, and each step returns a [Todo]. The
// worker and the simulation of the protocol run this same code.
//
// The steps of an attempt:
//
//	waiting ─yes, and it has a slot─▶ running ─result─▶ reported ─receipt─▶ gone
//	   │ │                               ▲  └─interrupted before the claim's answer─▶ stopped ─yes─▶ reported
//	   │ │                               └─ as soon as it has a slot, when repeatable and delivered for the first time
//	   │ └─yes, but no slot in time; yes, and a cancel, a drain or a fence─▶ reported, as never begun
//	   └─no; no yes, and a fence, a drain or no slot in time─▶ gone
//
// An attempt that waits has a slot, or is in its pool's line for one: while runs are short, more is taken and claimed than there are
// slots.
//
// Nothing here is safe for concurrent use: the caller holds a lock around each step, and acts on the Todo outside of it.
package ledger
