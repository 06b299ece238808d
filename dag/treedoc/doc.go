// Package treedoc reads the JSON document of a task tree (spec 1.1, 1.4, 5.3), one task at a time and in bounded memory, however
// long the document is.
//
// It owns the document's keys, types and forms. It must not know what makes a tree valid: [dag.Builder], which gets the tasks
// next, checks bounds, references and cycles.
//
// A document is an array of tasks, one task, or {"tasks": [...]} with no other key. Besides the keys of the protocol, a task may
// have:
//
//	pool               text
//	retry              {"max_attempts": 3, "backoff": "exponential", "initial_delay": 1.0, "max_delay": 60.0}, in seconds
//	timeout            seconds, start to close of one attempt
//	schedule_to_start  seconds
//	tree_timeout       seconds, root only
//	not_before         ISO 8601; without zone it is UTC
//	on_lost            "retry" or "fail"
//	repeatable         bool
//
// null is the same as a missing key. Keys that the engine writes into a task (status, result and so on) are ignored, so a stored
// task can be submitted again. Any other key is kept in Custom.
package treedoc
