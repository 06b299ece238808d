// Package guardian runs a command so that nothing of it outlives its attempt, whatever becomes of the worker.
//
// It owns the guardian process and the protocol between it and the worker. It must not know what a task is: it gets a
// command, a context and a lease.
//
// The guardian is this same program, executed again under the name "taskgrove-guardian", with the command's environment and
// never the worker's. It becomes a subreaper, so every process that the command starts stays below it, even after a double
// fork and a new session. It starts the command in a process group of its own. It ends everything below it, with SIGTERM
// and after the grace time with SIGKILL, as soon as
//
//   - the command has ended,
//   - the worker asks for it, because its context ended,
//   - the worker is gone, so the control socket is closed, which the kernel does even after kill -9, or
//   - the lease is about to end and was not extended, because the worker is frozen or cut off. SIGTERM comes early enough for
//     the grace time to be over at the end of the lease.
//
// When nothing is left, it reports the command's status and ends.
//
// On the control socket each line is a message. To the guardian: "lease N" (CLOCK_MONOTONIC in nanoseconds, the same for both;
// 0: no end), "start", "stop". To the worker, one of: "error ERRNO" (the command could not be started), "exit STATUS LEFT
// REASON" (wait status; number of another user's processes, which could not be killed; what ended the command).
//
// A process that something else starts on the command's behalf (a container daemon, at, systemd-run) is not below the
// guardian. If a command kills its own guardian, its first process dies (parent-death signal), and the worker kills its
// session; processes that have left the session are then out of reach.
package guardian
