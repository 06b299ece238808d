// Package treedoc reads the JSON document of a task tree (spec 1.1, 1.4, 5.3) into tasks, one at a time and in bounded
// memory, however long the document is.
//
// It owns the document's keys, types and forms. It must not know what makes a tree valid: bounds, references and
// cycles are [dag.Builder]'s, to which its tasks go next.
//
// A document is an array of tasks, one task, or {"tasks": [...]} with no other key. Beside the keys of the protocol a
// task may have:
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
// null is the same as leaving the key out. What the engine writes into a task (status, result and so on) is ignored, so
// that a stored task can be submitted again. Any other key is kept in Custom.
package treedoc
