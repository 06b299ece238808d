//go:build linux

// Package proc finds processes in /proc and signals exactly those.
//
// It owns the way to tell a process from a later one with the same pid. It must not know why a process is ended. It imports
// little, as it is part of every guardian's start (see package guard).
package proc

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Process identifies a process by its pid and start time. By the time of a signal, the pid alone may belong to another process.
type Process struct {
	pid, parent, session int
	zombie               bool
	start                string // in clock ticks since boot
}

// Descendants lists the running processes below this one.
func Descendants() []Process {
	children := map[int][]Process{}
	for _, p := range processes() {
		children[p.parent] = append(children[p.parent], p)
	}
	var below []Process
	for queue := []int{os.Getpid()}; len(queue) > 0; queue = queue[1:] {
		for _, p := range children[queue[0]] {
			queue = append(queue, p.pid)
			if !p.zombie {
				below = append(below, p)
			}
		}
	}
	return below
}

// InSessions lists the running processes of the sessions with these ids; an id is the pid of the process that leads the session,
// or has led it.
func InSessions(ids []int) []Process {
	var in []Process
	for _, p := range processes() {
		if slices.Contains(ids, p.session) && !p.zombie {
			in = append(in, p)
		}
	}
	return in
}

// Session is the id of the session that the process is in.
func (p Process) Session() int { return p.session }

// processes lists all that /proc shows. One that ends meanwhile may be missing.
func processes() []Process {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	var all []Process
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			if p, ok := lookup(pid); ok {
				all = append(all, p)
			}
		}
	}
	return all
}

// lookup reads /proc/PID/stat (proc(5)): pid (name) state ppid pgrp session ... with the start time in field 22. The
// name may contain anything, even parentheses.
func lookup(pid int) (Process, bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	end := bytes.LastIndexByte(text, ')')
	if err != nil || end < 0 {
		return Process{}, false
	}
	fields := strings.Fields(string(text[end+1:]))
	if len(fields) < 20 {
		return Process{}, false
	}
	p := Process{pid: pid, start: fields[19], zombie: fields[0] == "Z" || fields[0] == "X"}
	p.parent, _ = strconv.Atoi(fields[1])
	p.session, _ = strconv.Atoi(fields[3])
	return p, true
}

// Signal signals exactly this process: the descriptor pins the pid, and the start time shows whether it is still the same
// process. If it is not, Signal returns ESRCH; for another user's process, EPERM.
func (p Process) Signal(sig syscall.Signal) error {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if errors.Is(err, syscall.ENOSYS) { // before Linux 5.3
		return syscall.Kill(p.pid, sig)
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if now, ok := lookup(p.pid); !ok || now.start != p.start {
		return syscall.ESRCH
	}
	return unix.PidfdSendSignal(fd, sig, nil, 0)
}
