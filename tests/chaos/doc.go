// Command chaos plays histories of a real cluster under faults and checks each: three coordinators, three workers, NATS and
// Postgres, each a process of its own, with a proxy on every connection between them. What a history holds, trees, calls and
// faults, comes from a seed; what happened is recorded from outside and judged by package history.
//
// It owns the faults, their schedule, and how a history that fails is made short. It must not know the rules that a history
// must keep, nor how the engine keeps them.
package main
