// Package simulation plays the cluster in one goroutine: the decisions of package dag against a store in memory, coordinators,
// workers, clients, a queue that forgets and a network that delays, loses, repeats and reorders, all on a virtual clock
// and from one seed, so that every history can be played again.
//
// It owns the model of the protocol around the decisions, the faults, and the rules that a history is held against. It
// must not know Postgres, NATS, goroutines or real time; the decisions are the real ones, and nothing else is.
package simulation
