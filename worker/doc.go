// Package worker takes attempts from NATS, runs them with its executors, and reports their results.
//
// A program makes a worker with [FromEnv] and [Dial], gives it executors, and calls [Worker.Run], which works until its context
// ends and then drains. Package executors makes executors; docs/custom-workers.md is the guide. The package is stable: programs
// outside the module may rely on it.
//
// The rest of this comment is for those who change the package. It owns an attempt from the moment it is taken until a
// coordinator's receipt for its result, and the lease that allows it to run. It must not know Postgres, how a task became ready,
// or what its result unlocks.
//
// # Life of an attempt
//
//  1. A taker takes its message if the pool has a free slot or, while runs are short, room in its line for what starts within
//     milliseconds. It takes nothing before a lease is granted, or while too many results wait for receipts. A message may hold
//     several attempts; it is answered when each of them is.
//  2. The claimer asks a coordinator, for many attempts at once: for what has a slot, and ahead for what is in line, unless its
//     message says otherwise. On a yes, the message is acknowledged and the attempt starts, once it has a slot; on a no, it is
//     acknowledged and forgotten. Without an answer the claimer asks again, as long as the lease lasts. A repeatable attempt that
//     has a slot starts without waiting for the answer if this is its first delivery, and skips the claim if it ends before that.
//     What has no slot after 100 ms is handed back as never begun, or given back if it was not granted.
//  3. The attempt runs in a goroutine of its own, under a context that ends, with a cause, on cancel, timeout, drain and a lost
//     lease. It keeps its slot until its work has stopped.
//  4. The reporter keeps the result, and publishes it again and again until a receipt comes.
//
// # Goroutines
//
// [Worker.Run] owns all of them. For the whole run there are news, reporter, resender, the one that hands back what waits too long
// in line, and the flushers of logs, progress and what is told live. For each
// session, which is one instance id under one lease, there are beats, the fence, the claimer, one taker per pool, and the
// drainer. A session ends when it is fenced or drained. Fenced means that its lease could not be extended: a new session
// follows, with a new instance id. Drained means that the run ends.
//
// They share only the book: the ledger, whose steps package internal/ledger decides, under a mutex. The mutex is taken last, and
// nothing blocks under it. What a step demands is done after it, outside the lock.
package worker
