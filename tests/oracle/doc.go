// Package oracle is a slow, obvious twin of the engine: it says how a scripted tree must end.
//
// It owns trees whose tasks' outcomes are scripted, and the rules of the protocol in their plainest form: pass after pass over
// the whole tree, until nothing changes. It must not use the decisions of package dag, or know stores, queues, workers or
// time; it shares only the names of states.
package oracle
