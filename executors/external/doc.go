// Package external runs executors that are programs of their own, in any language.
//
// It owns the processes: how many there are, how long they are kept, when one is started anew, and what their executor says of itself. It
// must not know the words that are spoken with them: package protocol does.
package external
