// Package condition compiles and evaluates what trees say in CEL: a task's `when`, and the `until` of its loop.
//
// It owns the language: which names an expression may use, their types, which parts of CEL there are, the bounds of texts and of evaluations,
// and what errors look like. It must not know where values come from or what becomes of a verdict: it reads no clock, opens nothing, and the same
// text and values give the same verdict everywhere.
//
// CEL's checker and interpreter are those of cel.dev/cel-go. The parser is our own, as the one there brings a run-time for grammars that is larger
// than all the rest and keeps what it has learned of every text for ever; a fuzz test compares the two. Left out are literals of bytes and of messages,
// optional fields, and functions that read a time zone from the machine.
package condition
