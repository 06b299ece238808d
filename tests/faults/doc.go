// Package faults breaks a whole cluster in every way that it must survive, and holds what comes of it against
// package oracle.
//
// It owns the tests of it and their tools: a proxy that delays and cuts connections, a source of second copies of
// messages, an executor that does as its task says and keeps a journal outside of the system, coordinators and workers
// as processes of their own that can be killed at named points, and the checks of what must hold in Postgres, in the
// events and in the journal. It must not know how the engine works inside: it uses what operators and clients use.
package faults
