// Package worker takes attempts from NATS, runs them with its executors, and reports their results.
//
// It owns an attempt from the moment it is taken until a coordinator's receipt for its result, and the lease under
// which it may run at all. It must not know Postgres, nor how a task came to be ready or what its result unlocks.
//
// The package is stable: programs outside the module may rely on it. docs/custom-workers.md is the guide.
//
// # Life of an attempt
//
//  1. A taker takes its message within the pool's free slots. Nothing is taken before a lease was granted, nor while
//     too many results wait for receipts.
//  2. The claimer asks a coordinator, many attempts at a time. Yes: the message is acknowledged and the attempt starts.
//     No: acknowledged and forgotten. No answer: asked again, for as long as the lease lives. A repeatable attempt
//     starts beside its claim on its first delivery, and skips the claim if it is faster.
//  3. It runs in a goroutine of its own under a context that ends, with a cause, on cancel, timeout, drain and a lost
//     lease. It keeps its slot until its work has stopped.
//  4. The reporter keeps the result, publishes it, and publishes it again until a receipt comes.
//
// # Goroutines
//
// [Worker.Run] owns all of them. For the whole run: news, reporter, resender, log flusher, progress flusher. For each
// session, which is one instance id under one lease: beats, the fence, the claimer, one taker per pool and the
// drainer. A session ends when it is fenced (its lease could not be extended; a new session follows under a new
// instance id) or drained (the run ends).
//
// The book is the only state that they share: the ledger, whose steps package internal/ledger decides, under a mutex that
// is taken last and under which nothing blocks. What a step says is done after it, outside of the lock.
package worker
