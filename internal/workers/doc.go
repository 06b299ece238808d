// Package workers decides how coordinators answer workers: whether a worker was given an attempt; which of its beats counts; which
// attempts it must stop, may forget or has missed; and when the attempts of a departed worker are taken back.
//
// It owns tokens, the comparison of beats with the states of tasks, and the conditions for taking an attempt back. It must not
// know a clock, NATS or Postgres: callers hand in their facts. Coordinators and the simulation of the protocol run this same
// code.
package workers
