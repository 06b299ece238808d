// Package oracle is the slow, obvious twin of the engine: it says how a scripted tree must end.
//
// It owns a description of trees whose tasks' outcomes are written down beforehand, and the rules of the protocol in
// their plainest form: a fixpoint over the whole tree, one pass after the other. It must not use the decisions of
// package dag, nor know of stores, queues, workers or time; only the names of states are shared.
package oracle
