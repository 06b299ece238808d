// Package faults breaks a whole cluster in every way that it must survive, and compares the outcome with package oracle's.
//
// It owns these tests and their tools: a proxy that delays and cuts connections; a source of second copies of messages; an
// executor that follows a script in its task and keeps a journal outside the system; coordinators and workers as separate
// processes that can be killed at named points; and the checks of Postgres, the events and the journal. It must not know how
// the engine works inside: it uses what operators and clients use.
package faults
