//go:build linux

// Package proc finds processes in /proc and signals exactly those.
//
// It owns how a process is told from a later one of the same number. It must not know why anything is ended. It imports
// little, since a guardian starts with it (see package guard).
package proc

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Process is one that was seen in /proc. A pid alone may name another one by the time it is signalled; the pid and the
// time of its start do not.
type Process struct {
	pid, parent, session int
	zombie               bool
	start                string // in clock ticks since boot
}

// Descendants are the processes below this one that still run.
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

// InSession are the processes of the session that the process pid leads, or led.
func InSession(pid int) []Process {
	var in []Process
	for _, p := range processes() {
		if p.session == pid {
			in = append(in, p)
		}
	}
	return in
}

// processes are all that /proc shows. One that ends meanwhile may be missing.
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
// name may hold anything, also parentheses.
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

// Signal reaches exactly this process: the descriptor pins the pid, and the start time tells whether it is still the
// same one. It returns ESRCH when it is not, and EPERM for another user's process.
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
