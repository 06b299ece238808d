// Package client speaks to a Taskgrove cluster over gRPC.
//
// It owns the connection, the conversion between Go values and messages, and the recovery from a lost connection: reads and
// watches resume automatically, submissions only with an idempotency key. It must not know how trees are stored or run, and
// imports nothing of the server.
//
// The package is stable: programs outside the module may rely on it.
package client
