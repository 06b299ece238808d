// Package executors is the contract between a worker and what runs tasks, and the registry of the latter.
//
// It owns the [Executor] interface, its errors and the [Registry]; each executor lives in a folder of its own. It must
// not know how tasks reach a worker or where results are stored: nothing here imports NATS or Postgres.
package executors
