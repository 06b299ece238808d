// Command chaos plays histories of a real cluster under faults, and checks each. Three coordinators, three workers, NATS and
// Postgres are processes of their own, with a proxy on every connection between them. The trees, calls and faults of a history
// come from a seed. It is recorded from outside, and package history judges it.
//
// It owns the faults, their schedule, and the shortening of histories that fail. It must not know the rules that a history must
// keep, or how the engine keeps them.
package main
