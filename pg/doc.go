// Package pg keeps task trees in Postgres, the only truth.
//
// It owns the schema, every SQL statement, locks and transactions. It locks and loads rows, calls the decisions of
// package dag, and writes what they say. It must not know NATS, workers' messages or client protocols, and decides
// nothing itself.
package pg
