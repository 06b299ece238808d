// Package guardian runs a command so that nothing of it outlives its attempt, whatever becomes of the worker.
//
// It owns the guardian process and the protocol between it and the worker. It must not know what a task is: it is given
// a command, a context and a lease.
//
// The guardian is this same program, executed again under the name "taskgrove-guardian" with the command's environment
// (never the worker's). It makes itself a subreaper, so that every process below it stays below it even after a double
// fork and a new session, starts the command in a process group of its own, and ends everything below it, first with
// SIGTERM and after the grace time with SIGKILL, when
//
//   - the command has ended,
//   - the worker asks: its context ended,
//   - the worker is gone: the control socket is closed, as the kernel does after kill -9, or
//   - the lease that it last heard of ends: the worker is frozen or cut off. SIGTERM then comes early enough for the
//     grace time to be over when the lease is.
//
// It reports the command's status when nothing is left, and ends.
//
// Control socket, one line per message. To the guardian: "lease N" (CLOCK_MONOTONIC in nanoseconds, which both see
// alike; 0: no end), "start", "stop". To the worker, one of: "error ERRNO" (the command could not be started), "exit
// STATUS LEFT REASON" (wait status; processes that could not be killed, as they belong to another user; what ended it).
//
// A process that is made by someone else on the command's behalf (a container daemon, at, systemd-run) is not below the
// guardian. A command that kills its own guardian loses its first process (parent-death signal), and its session to
// the worker; what left that session before is then out of reach.
package guardian
