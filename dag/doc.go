// Package dag is the model of a task tree and its rules: validation, readiness, the merging of results into inputs, progress, and
// the decisions that turn results, claims, cancellations and time into changes.
//
// It owns the meaning of a task and the changes of its state. It must not know where rows are stored, how messages travel or
// what time it is: every function here is deterministic, does no I/O and imports only the standard library.
//
// It gives no promise to programs outside the module.
package dag
