// Package a2a serves the A2A protocol, in its versions 1.0 and 0.3, over JSON-RPC, REST and gRPC (spec 6).
//
// It owns the agent's card, the protocol's objects and states, its codes, and how a message becomes a call. It must not know how trees are
// stored or run: [coordinator.Access] hides that, and the methods of the task-tree protocol are answered by package jsonrpc.
//
// A task of A2A is tied to a tree, and has no state of its own: what a client is told is made of the tree's, whenever it asks and whichever
// coordinator it asks. Messages that start no tree (lists, counts, single tasks) are answered with a task that is not kept.
//
// The files to begin with: handler.go (paths, the JSON-RPC binding), request.go (what a message says), send.go (executions), operate.go (the other
// skills), task.go (what is answered), stream.go (events), bindings.go (REST and gRPC).
package a2a
