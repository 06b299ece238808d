// Package ledger decides each step of a worker's attempts, from the message to the receipt, and whether the worker's lease still
// allows them to run.
//
// It owns the states of attempts, slots, offers of slots, the lists in beats, the times of repeats, and the lease's fence. It
// must not know a clock, goroutines, contexts, NATS or executors: times are handed in, and each step returns a [Todo]. The
// worker and the simulation of the protocol run this same code.
//
// The steps of an attempt:
//
//	waiting ─yes─▶ running ─result─▶ reported ─receipt─▶ gone
//	   │              ▲  └─interrupted before the claim's answer─▶ stopped ─yes─▶ reported
//	   │              └─ at once, when repeatable and delivered for the first time
//	   └─no, fence, drain─▶ gone
//
// Nothing here is safe for concurrent use: the caller holds a lock around each step, and acts on the Todo outside of it.
package ledger
