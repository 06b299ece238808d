// Package protocol speaks with an executor that is a program of its own, in lines of JSON on its standard input and output.
//
// It owns the messages, their order and bounds, and what becomes of the attempts of a program that breaks them
// (docs/external-executors.md). It must not know how a program is started, or which executor it serves.
//
// A [Process] is one running program. Three goroutines serve it, which all end with it: one runs the program until it and all that it
// started are gone, one reads its output, and one follows the leases of its attempts. An attempt waits in the goroutine that called
// [Process.Run]. Whatever goes wrong ends in [Process.kill]: the program is ended, and when nothing of it is left, its attempts fail
// with the reason.
package protocol
