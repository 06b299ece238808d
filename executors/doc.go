// Package executors is the contract between a worker and what runs tasks.
//
// It owns the [Executor] interface with its outcomes and errors, and [Func], which makes an executor of a function; each
// built-in executor lives in a folder of its own. It must not know how tasks reach a worker or where results are stored:
// nothing here imports NATS or Postgres.
//
// The package is stable: programs outside the module may rely on it.
package executors
