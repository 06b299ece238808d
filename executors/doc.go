// Package executors is the contract between a worker and its executors, which run tasks.
//
// It owns the [Executor] interface with its outcomes and errors, and [Func], which makes an executor from a function. Each
// built-in executor has a package of its own below. It must not know how tasks reach a worker or where results are stored:
// nothing here imports NATS or Postgres.
//
// The package is stable: programs outside the module may rely on it.
package executors
