// Package workers decides what coordinators owe to workers: whether a worker was given an attempt, which of its beats
// counts, what it must stop, may forget or has missed, and when the attempts of one that departed go back.
//
// It owns tokens, the comparison of beats with where tasks stand, and what must be settled before an attempt is taken
// back. It must not know a clock, NATS or Postgres: what they say is handed in. Coordinators and the simulation of the
// protocol run this same code.
package workers
