// Package simulation plays a cluster in one goroutine, on a virtual clock and from one seed, so that every history can be played
// again. The decisions are those of package dag; around them are a store in memory, coordinators, workers, clients, a queue
// that forgets, and a network that delays, loses, repeats and reorders.
//
// What it plays is the engine's own code: the decisions about rows (dag), each step of a worker's attempts and the fence
// of its lease (internal/ledger), and what coordinators owe to workers (internal/workers). It owns the model of what is
// around them, which is Postgres, NATS, executors and clients, and the faults; package history judges what happened, but
// for what must hold of rows at each step. It must not know Postgres, NATS, goroutines or real time.
package simulation
