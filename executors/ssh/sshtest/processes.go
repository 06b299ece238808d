package sshtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Processes are those of the machine that are not dead, each with its parent.
func Processes() map[int]int {
	entries, _ := os.ReadDir("/proc")
	found := map[int]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:])) // state, parent
		if len(fields) > 1 && fields[0] != "Z" {
			found[pid], _ = strconv.Atoi(fields[1])
		}
	}
	return found
}

// CommandLine is that of a process; empty if there is none.
func CommandLine(pid int) string {
	line, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	return strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
}

// With are the processes in whose command line or environment a text stands, which nobody else's hold.
func With(text string) []string {
	var found []string
	for pid := range Processes() {
		env, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
		if line := CommandLine(pid); pid != os.Getpid() && (strings.Contains(string(env), text) || strings.Contains(line, text)) {
			found = append(found, fmt.Sprintf("%d %s", pid, line))
		}
	}
	return found
}

// Gone waits until there is no process with the text, for a minute at most.
func Gone(text string) error {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		left := With(text)
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.New("left on the host: " + strings.Join(left, "; "))
		}
	}
}
