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
// 0: no end), "tell sessions", "start", "stop". To the worker, as it was asked for: "session ID" (a session that it saw below it);
// and last, one of: "error ERRNO" (the command could not be started), "exit STATUS LEFT REASON" (wait status; number of another
// user's processes, which could not be killed; what ended the command).
//
// A command may kill its own guardian. Then its first process dies (parent-death signal), and the worker kills the rest: where it
// can make control groups (cgroup v2, Linux 5.14, write access to its own group) guardian and command are in one, and all
// of that is killed; elsewhere, the guardian's session and those that the guardian saw are. It looks 10 ms after the start, then after
// pauses that double up to a second, so a session that began after its last look is out of reach.
//
// Out of reach are also processes that something else starts on the command's behalf (a container daemon, at, systemd-run), and all
// that a command leaves that kills both its guardian and its worker.
package guardian
