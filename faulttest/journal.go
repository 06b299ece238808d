package faulttest

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

// Journal is what executors note of their runs, outside of the system: one line for each start and end in one file that
// all processes append to, so that the order of lines is the order of what happened. A kill -9 loses nothing of it.
type Journal struct{ file *os.File }

// OpenJournal opens the file for appending. The caller closes it, or ends.
func OpenJournal(path string) (*Journal, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	return &Journal{f}, nil
}

// Close closes the file.
func (j *Journal) Close() error { return j.file.Close() }

// note writes one line in one call, which the kernel appends as a whole.
func (j *Journal) note(what, task string, attempt int) error {
	_, err := j.file.WriteString(fmt.Sprintf("%s %s %d %d\n", what, task, attempt, os.Getpid()))
	return err
}

// Gone notes that a process was ended or frozen: its runs no longer count as alive.
func (j *Journal) Gone(pid int) error {
	_, err := j.file.WriteString(fmt.Sprintf("gone - 0 %d\n", pid))
	return err
}

// run is one run of an attempt, by line numbers of the journal.
type run struct {
	attempt, pid int
	start, end   int    // end 0: still alive
	how          string // done, failed or cut; gone with its process; empty while alive
}

// ReadJournal reads the runs of each task, in order of their starts.
func ReadJournal(path string) (map[string][]*run, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	runs := map[string][]*run{}
	alive := map[int]map[*run]bool{}
	scanner := bufio.NewScanner(f)
	for line := 1; scanner.Scan(); line++ {
		var what, task string
		var attempt, pid int
		if n, err := fmt.Sscan(scanner.Text(), &what, &task, &attempt, &pid); n != 4 {
			return nil, fmt.Errorf("journal line %d: %q: %w", line, scanner.Text(), err)
		}
		switch what {
		case "start":
			r := &run{attempt: attempt, pid: pid, start: line}
			runs[task] = append(runs[task], r)
			if alive[pid] == nil {
				alive[pid] = map[*run]bool{}
			}
			alive[pid][r] = true
		case "gone":
			for r := range alive[pid] {
				r.end, r.how = line, what
			}
			delete(alive, pid)
		default:
			for _, r := range runs[task] {
				if r.attempt == attempt && r.pid == pid && r.end == 0 {
					r.end, r.how = line, what
					delete(alive[pid], r)
					break
				}
			}
		}
	}
	return runs, scanner.Err()
}

func (r *run) String() string {
	return fmt.Sprintf("attempt %d pid %d lines %d-%d %s", r.attempt, r.pid, r.start, r.end, r.how)
}

func show(runs []*run) string {
	var lines []string
	for _, r := range runs {
		lines = append(lines, r.String())
	}
	return strings.Join(lines, "; ")
}
