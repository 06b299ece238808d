// Package dag is the task-tree model and its rules: validation, readiness, the merge of results into inputs, progress,
// and the decisions that turn results, claims, cancels and time into changes.
//
// It owns what a task means and how its state may change. It must not know where rows are stored, how messages travel
// or what time it is: every function here is deterministic, does no I/O and imports only the standard library.
package dag
