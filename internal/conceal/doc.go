// Package conceal keeps what a process knows from other processes of the same user.
//
// It owns the two places where such a process could read it: the environment that the kernel keeps (/proc/PID/environ), and
// the memory itself (/proc/PID/mem, ptrace, core dumps). It must not know what is secret: all of it is closed.
package conceal

import "sync"

// Process closes this process, once; later calls return what the first did. An error says what is still open; the process
// works all the same.
//
// The environment stays readable for the process itself (os.Getenv has a copy), for the children that it is passed to, but not
// for code in C. A process that may trace all others (root with CAP_SYS_PTRACE) can still read memory. Does nothing outside Linux.
var Process = sync.OnceValue(process)
