package faults

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
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
func (j *Journal) note(what, task string, attempt, pid int) error {
	return j.line(what, task, attempt, pid, time.Now(), "")
}

// start notes that an attempt began, with its idempotency key.
func (j *Journal) start(at time.Time, task string, attempt, pid int, key string) error {
	return j.line("start", task, attempt, pid, at, " "+key)
}

func (j *Journal) line(what, task string, attempt, pid int, at time.Time, more string) error {
	_, err := j.file.WriteString(fmt.Sprintf("%s %s %d %d %d%s\n", what, task, attempt, pid, at.UnixNano(), more))
	return err
}

// lock notes that an attempt used its lock: with which token, and whether what the lock is for took it.
func (j *Journal) lock(task string, attempt, pid int, key string, token int64, taken bool) error {
	return j.line("lock", task, attempt, pid, time.Now(), fmt.Sprintf(" %s %d %v", key, token, taken))
}

// Gone notes that a process has ended: its runs no longer count as alive.
func (j *Journal) Gone(pid int) error { return j.note("gone", "-", 0, pid) }

// Frozen notes that a process stands still: after its lease's end others may have what it runs.
func (j *Journal) Frozen(pid int) error { return j.note("frozen", "-", 0, pid) }

// Remark notes what somebody else did, for people who read the journal.
func (j *Journal) Remark(format string, args ...any) error {
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " ")
	_, err := j.file.WriteString(fmt.Sprintf("# %d %s\n", time.Now().UnixNano(), text))
	return err
}

// Run is one run of an attempt. Places are line numbers of the journal, from 1, which are in order across all processes.
type Run struct {
	Task        string
	Attempt     int
	Process     int
	Key         string    // its idempotency key
	Start, End  int       // places; End 0: still alive
	Began       time.Time // by the machine's clock
	Ended       time.Time // zero: still alive
	How         string    // done, failed or cut; gone with its process; empty while alive
	Token       int64     // of its lock; 0: it has none, or had not used it
	Refused     bool      // what the lock is for had seen a later token
	FrozenSince int       // place where its process was first frozen while it ran; before Start: its executor had begun, and not noted it; 0: never
}

// ReadJournal reads the runs of each task, in order of their starts.
func ReadJournal(path string) (map[string][]*Run, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	runs := map[string][]*Run{}
	alive := map[int]map[*Run]bool{} // by process
	type freeze struct {
		line int
		at   int64
	}
	frozen := map[int]freeze{} // the last one of each process
	scanner := bufio.NewScanner(f)
	for line := 1; scanner.Scan(); line++ {
		if strings.HasPrefix(scanner.Text(), "#") {
			continue
		}
		var what, task string
		var attempt, pid int
		var at int64
		if n, err := fmt.Sscan(scanner.Text(), &what, &task, &attempt, &pid, &at); n != 5 {
			return nil, fmt.Errorf("journal line %d: %q: %w", line, scanner.Text(), err)
		}
		switch what {
		case "start":
			r := &Run{Task: task, Attempt: attempt, Process: pid, Start: line, Began: time.Unix(0, at)}
			if words := strings.Fields(scanner.Text()); len(words) > 5 {
				r.Key = words[5]
			}
			if f, ok := frozen[pid]; ok && at < f.at {
				r.FrozenSince = f.line
			}
			runs[task] = append(runs[task], r)
			if alive[pid] == nil {
				alive[pid] = map[*Run]bool{}
			}
			alive[pid][r] = true
		case "lock":
			words := strings.Fields(scanner.Text())
			for _, r := range runs[task] {
				if r.Attempt == attempt && r.Process == pid && r.End == 0 && len(words) == 8 {
					r.Token, _ = strconv.ParseInt(words[6], 10, 64)
					r.Refused = r.Refused || words[7] == "false"
				}
			}
		case "frozen":
			frozen[pid] = freeze{line, at}
			for r := range alive[pid] {
				if r.FrozenSince == 0 {
					r.FrozenSince = line
				}
			}
		case "gone":
			for r := range alive[pid] {
				r.End, r.Ended, r.How = line, time.Unix(0, at), what
			}
			delete(alive, pid)
		default:
			for _, r := range runs[task] {
				if r.Attempt == attempt && r.Process == pid && r.End == 0 {
					r.End, r.Ended, r.How = line, time.Unix(0, at), what
					delete(alive[pid], r)
					break
				}
			}
		}
	}
	return runs, scanner.Err()
}

// String is the run for people.
func (r *Run) String() string {
	return fmt.Sprintf("attempt %d pid %d lines %d-%d %s", r.Attempt, r.Process, r.Start, r.End, r.How)
}
